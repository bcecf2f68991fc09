/// Timers on a clock of the caller's: setting, moving and cancelling one costs the same however many there are.
///
/// A hierarchical wheel (Varghese and Lauck, 1987): levels of 64 slots, each slot of a level as long as the whole level
/// below. A timer stands at the level of the highest digit, to base 64, in which its time differs from the clock's, and
/// sinks as the clock comes near; timers of one time expire in the order they were set. Memory is taken once.
@safe
public struct TimerWheel: ~Copyable {
  /// A timer that was set. It means nothing any more once the timer has expired or was cancelled, and does no harm then.
  @frozen
  public struct Timer: Hashable, Sendable {
    let index: UInt32
    let generation: UInt32
  }

  private struct Node {
    /// In units of the resolution.
    var deadline: UInt64
    var payload: UInt64
    var generation: UInt32
    var next: UInt32
    var previous: UInt32
    var list: UInt16
  }

  private struct List {
    var first = none
    var last = none
  }

  private static let none = UInt32.max
  private static let digitBits = 6
  private static let slots = 64
  private static let levels = 11
  /// The list of timers whose time has come, behind those of the slots.
  private static let due = UInt16(levels * slots)
  private static let unused = due + 1

  private let nodes: UnsafeMutablePointer<Node>
  private let lists: UnsafeMutablePointer<List>
  /// A bit for each slot of a level that has timers.
  private let occupied: UnsafeMutablePointer<UInt64>
  private var firstUnused: UInt32
  private var clock: UInt64
  /// Nanoseconds in which times are counted.
  public let resolution: UInt64
  /// How many timers can be set at once.
  public let capacity: Int
  /// How many timers are set.
  public private(set) var count = 0

  /// A wheel without timers.
  /// - Parameters:
  ///   - capacity: How many timers can be set at once, up to 4,294,967,294.
  ///   - resolution: Nanoseconds by which timers may be late; they are never early.
  ///   - now: The clock in nanoseconds.
  public init(capacity: Int, resolution: UInt64 = 1_000_000, now: UInt64 = 0) {
    precondition(capacity > 0 && capacity < Int(Self.none), "a timer wheel has room for 1 to 4,294,967,294 timers")
    precondition(resolution > 0, "a timer wheel has a resolution above 0")
    self.capacity = capacity
    self.resolution = resolution
    clock = now / resolution
    unsafe nodes = .allocate(capacity: capacity)
    for index in 0..<capacity {
      let next = index + 1 < capacity ? UInt32(index + 1) : Self.none
      unsafe (nodes + index).initialize(
        to: Node(deadline: 0, payload: 0, generation: 0, next: next, previous: Self.none, list: Self.unused))
    }
    unsafe lists = .allocate(capacity: Int(Self.unused))
    unsafe lists.initialize(repeating: List(), count: Int(Self.unused))
    unsafe occupied = .allocate(capacity: Self.levels)
    unsafe occupied.initialize(repeating: 0, count: Self.levels)
    firstUnused = 0
  }

  deinit {
    unsafe nodes.deallocate()
    unsafe lists.deallocate()
    unsafe occupied.deallocate()
  }

  // MARK: Setting

  /// Sets a timer.
  /// - Parameters:
  ///   - payload: What `popExpired` gives when the time has come.
  ///   - deadline: When, in nanoseconds; a time that is past expires at once.
  /// - Returns: The timer; nil when `capacity` timers are set.
  public mutating func set(_ payload: UInt64, at deadline: UInt64) -> Timer? {
    let index = firstUnused
    guard index != Self.none else { return nil }
    firstUnused = unsafe nodes[Int(index)].next
    unsafe nodes[Int(index)].payload = payload
    unsafe nodes[Int(index)].deadline = ticks(deadline)
    place(index)
    count += 1
    return unsafe Timer(index: index, generation: nodes[Int(index)].generation)
  }

  /// Gives a timer another time. False when it has expired or was cancelled.
  public mutating func move(_ timer: Timer, to deadline: UInt64) -> Bool {
    guard isSet(timer) else { return false }
    unlink(timer.index)
    unsafe nodes[Int(timer.index)].deadline = ticks(deadline)
    place(timer.index)
    return true
  }

  /// Cancels a timer.
  /// - Returns: Its payload; nil when it has expired or was cancelled already.
  public mutating func cancel(_ timer: Timer) -> UInt64? {
    guard isSet(timer) else { return nil }
    unlink(timer.index)
    return release(timer.index)
  }

  /// Whether a timer has neither expired nor been cancelled.
  public func isSet(_ timer: Timer) -> Bool {
    guard Int(timer.index) < capacity else { return false }
    let node = unsafe nodes[Int(timer.index)]
    return node.generation == timer.generation && node.list != Self.unused
  }

  // MARK: Expiry

  /// Takes the next timer whose time has come, earlier times first.
  /// - Parameter now: The clock in nanoseconds; one that goes back counts as standing still.
  /// - Returns: Its payload; nil when no more timers have expired by now.
  public mutating func popExpired(now: UInt64) -> UInt64? {
    let target = now / resolution
    while unsafe lists[Int(Self.due)].first == Self.none {
      guard let (list, start) = nextSlot(), start <= target else {
        clock = max(clock, target)
        return nil
      }
      clock = start
      sink(list)
    }
    let index = unsafe lists[Int(Self.due)].first
    unlink(index)
    return release(index)
  }

  /// When to call `popExpired` next, in nanoseconds: not after the earliest deadline is due, but perhaps before, so that
  /// timers sink in time. Nil without timers.
  public var nextEvent: UInt64? {
    if unsafe lists[Int(Self.due)].first != Self.none { return nanoseconds(clock) }
    return nextSlot().map { nanoseconds($0.start) }
  }

  // MARK: Slots

  /// The first slot that has timers, and when it starts. Slots of a lower level all come before those of a higher.
  private func nextSlot() -> (list: UInt16, start: UInt64)? {
    for level in 0..<Self.levels {
      let bits = unsafe occupied[level]
      guard bits != 0 else { continue }
      let slot = bits.trailingZeroBitCount
      let shift = level * Self.digitBits
      // Shifts by more than 63 bits give 0: the top level has no digits above it.
      let above = (clock >> UInt64(shift + Self.digitBits)) << UInt64(shift + Self.digitBits)
      return (UInt16(level * Self.slots + slot), above | UInt64(slot) << UInt64(shift))
    }
    return nil
  }

  /// Places a slot's timers anew, now that the clock stands where the slot starts.
  private mutating func sink(_ list: UInt16) {
    var index = unsafe lists[Int(list)].first
    unsafe lists[Int(list)] = List()
    unsafe occupied[Int(list) / Self.slots] &= ~(1 << UInt64(Int(list) % Self.slots))
    while index != Self.none {
      let next = unsafe nodes[Int(index)].next
      place(index)
      index = next
    }
  }

  private mutating func place(_ index: UInt32) {
    let deadline = unsafe nodes[Int(index)].deadline
    guard deadline > clock else {
      append(index, to: Self.due)
      return
    }
    let level = (63 - (deadline ^ clock).leadingZeroBitCount) / Self.digitBits
    let slot = Int(truncatingIfNeeded: deadline >> UInt64(level * Self.digitBits)) & (Self.slots - 1)
    unsafe occupied[level] |= 1 << UInt64(slot)
    append(index, to: UInt16(level * Self.slots + slot))
  }

  private mutating func append(_ index: UInt32, to list: UInt16) {
    let last = unsafe lists[Int(list)].last
    unsafe nodes[Int(index)].list = list
    unsafe nodes[Int(index)].previous = last
    unsafe nodes[Int(index)].next = Self.none
    if last == Self.none {
      unsafe lists[Int(list)].first = index
    } else {
      unsafe nodes[Int(last)].next = index
    }
    unsafe lists[Int(list)].last = index
  }

  private mutating func unlink(_ index: UInt32) {
    let node = unsafe nodes[Int(index)]
    let list = Int(node.list)
    if node.previous == Self.none {
      unsafe lists[list].first = node.next
    } else {
      unsafe nodes[Int(node.previous)].next = node.next
    }
    if node.next == Self.none {
      unsafe lists[list].last = node.previous
    } else {
      unsafe nodes[Int(node.next)].previous = node.previous
    }
    if unsafe lists[list].first == Self.none, node.list < Self.due {
      unsafe occupied[list / Self.slots] &= ~(1 << UInt64(list % Self.slots))
    }
  }

  private mutating func release(_ index: UInt32) -> UInt64 {
    unsafe nodes[Int(index)].list = Self.unused
    unsafe nodes[Int(index)].generation &+= 1
    unsafe nodes[Int(index)].next = firstUnused
    firstUnused = index
    count -= 1
    return unsafe nodes[Int(index)].payload
  }

  // MARK: Time

  /// Rounded up, so that no timer is early.
  private func ticks(_ nanoseconds: UInt64) -> UInt64 {
    let (quotient, rest) = nanoseconds.quotientAndRemainder(dividingBy: resolution)
    return rest == 0 ? quotient : quotient + 1
  }

  private func nanoseconds(_ ticks: UInt64) -> UInt64 {
    let (product, overflow) = ticks.multipliedReportingOverflow(by: resolution)
    return overflow ? .max : product
  }
}
