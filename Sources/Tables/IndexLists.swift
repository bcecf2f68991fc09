/// Lists of small numbers, each number on one list at most; putting one on and taking it off costs the same always.
struct IndexLists {
  private static let none = UInt32.max
  private var next: [UInt32]
  private var previous: [UInt32]
  /// The list that a number is on.
  private var list: [UInt32]
  private var firsts: [UInt32]
  private var lasts: [UInt32]

  /// Empty lists for numbers below `capacity`.
  init(lists: Int, capacity: Int) {
    next = Array(repeating: Self.none, count: capacity)
    previous = next
    list = next
    firsts = Array(repeating: Self.none, count: lists)
    lasts = firsts
  }

  /// The number that has been on a list for longest.
  func first(of list: Int) -> Int? { firsts[list] == Self.none ? nil : Int(firsts[list]) }

  /// The number behind this one on its list.
  func following(_ index: Int) -> Int? { next[index] == Self.none ? nil : Int(next[index]) }

  /// Puts a number at the end of a list; it stays where it is when it is on one already.
  mutating func append(_ index: Int, to list: Int) {
    guard self.list[index] == Self.none else { return }
    let last = lasts[list]
    self.list[index] = UInt32(list)
    previous[index] = last
    next[index] = Self.none
    if last == Self.none { firsts[list] = UInt32(index) } else { next[Int(last)] = UInt32(index) }
    lasts[list] = UInt32(index)
  }

  /// Takes a number off the list it is on, if any.
  mutating func remove(_ index: Int) {
    let list = list[index]
    guard list != Self.none else { return }
    if previous[index] == Self.none {
      firsts[Int(list)] = next[index]
    } else {
      next[Int(previous[index])] = next[index]
    }
    if next[index] == Self.none {
      lasts[Int(list)] = previous[index]
    } else {
      previous[Int(next[index])] = previous[index]
    }
    self.list[index] = Self.none
  }
}
