/// Which flows' times come next: a wheel of lists, one a tick, through which a hand goes.
///
/// A flow hangs at the tick of its deadline, or at the farthest tick when that is beyond the wheel. Nobody moves it when
/// the deadline is put off: once the hand comes by, it is hung anew. Links lie beside the records, sixteen to two cache
/// lines, and the heads of the lists come before them.
@safe @usableFromInline
struct FlowWheel: ~Copyable, @unchecked Sendable {
  @usableFromInline static var slots: Int { 8192 }

  @frozen @usableFromInline
  struct Link {
    @usableFromInline var next: UInt32
    @usableFromInline var previous: UInt32

    @inlinable
    init(next: UInt32, previous: UInt32) {
      self.next = next
      self.previous = previous
    }
  }

  private let memory: FlowMemory
  @usableFromInline let links: UnsafeMutablePointer<Link>
  /// A bit for each slot that may have flows; one that has some has a bit.
  @usableFromInline let occupied: UnsafeMutablePointer<UInt64>
  @usableFromInline let capacity: Int
  /// A tick has two to the power of this many nanoseconds.
  @usableFromInline let shift: UInt64
  /// The tick at which the hand stands: what hung before it has been looked at.
  @usableFromInline var hand: UInt64
  /// The last of the numbers that were used and are free, which hang one behind the other.
  @usableFromInline var firstFree = UInt32.max
  /// The numbers from here on have never been used.
  @usableFromInline var firstUnused = 0

  @usableFromInline
  init?(capacity: Int, shift: UInt64, now: UInt64) {
    let linkBytes = (Self.slots + capacity) * MemoryLayout<Link>.stride
    guard let memory = FlowMemory(byteCount: linkBytes + Self.slots / 8) else { return nil }
    unsafe links = memory.base.bindMemory(to: Link.self, capacity: Self.slots + capacity)
    unsafe occupied = (memory.base + linkBytes).bindMemory(to: UInt64.self, capacity: Self.slots / 64)
    self.memory = memory
    self.capacity = capacity
    self.shift = shift
    hand = now >> shift
    for slot in 0..<Self.slots { unsafe links[slot] = Link(next: UInt32(slot), previous: UInt32(slot)) }
  }

  var byteCount: Int { (Self.slots + capacity) * MemoryLayout<Link>.stride + Self.slots / 8 }

  /// A link or a head by its place; numbers of flows come behind the heads.
  @inlinable
  func link(_ place: Int) -> UnsafeMutablePointer<Link> {
    precondition(UInt(bitPattern: place) < UInt(bitPattern: Self.slots &+ capacity), "a flow's link is out of range")
    return unsafe links + place
  }

  // MARK: Numbers

  /// A number that is free; nil when all are used.
  @inlinable
  mutating func takeNumber() -> Int? {
    if firstFree != .max {
      let number = Int(firstFree)
      firstFree = unsafe link(Self.slots &+ number).pointee.next
      return number
    }
    guard firstUnused < capacity else { return nil }
    firstUnused &+= 1
    return firstUnused &- 1
  }

  @inlinable
  mutating func giveBack(_ number: Int) {
    unsafe link(Self.slots &+ number).pointee.next = firstFree
    firstFree = UInt32(truncatingIfNeeded: number)
  }

  // MARK: Hanging

  /// The tick at which a flow of this deadline is to hang, not before the hand nor round to it again.
  @inlinable
  func tick(_ deadline: UInt64) -> UInt64 {
    let late = deadline & (1 << shift &- 1) == 0 ? 0 : 1 as UInt64
    return min(max(deadline >> shift &+ late, hand), hand &+ UInt64(Self.slots &- 1))
  }

  @inlinable
  mutating func hang(_ number: Int, at tick: UInt64) {
    let slot = Int(truncatingIfNeeded: tick) & (Self.slots &- 1)
    unsafe occupied[slot >> 6] |= 1 << UInt64(slot & 63)
    let last = unsafe links[slot].previous
    let own = UInt32(truncatingIfNeeded: Self.slots &+ number)
    unsafe link(Self.slots &+ number).pointee = Link(next: UInt32(truncatingIfNeeded: slot), previous: last)
    unsafe link(Int(last)).pointee.next = own
    unsafe links[slot].previous = own
  }

  @inlinable
  mutating func unhang(_ number: Int) {
    let link = unsafe link(Self.slots &+ number).pointee
    unsafe self.link(Int(link.previous)).pointee.next = link.next
    unsafe self.link(Int(link.next)).pointee.previous = link.previous
  }

  // MARK: The hand

  /// Before the hand moves on: after a leap of more than a turn all that hangs is due, and one turn reaches it.
  @inlinable
  mutating func leap(to target: UInt64) {
    let turn = UInt64(Self.slots &- 1)
    if target > hand &+ turn { hand = target &- turn }
  }

  /// The first flow at the hand, and the one after it; moves the hand on to `target` at most. Nil when nothing hangs
  /// up to there.
  @inlinable
  mutating func firstDue(upTo target: UInt64) -> (number: Int, next: Int?)? {
    guard hand <= target else { return nil }
    while true {
      let slot = Int(truncatingIfNeeded: hand) & (Self.slots &- 1)
      let first = unsafe Int(links[slot].next)
      if first != slot {
        let next = unsafe Int(link(first).pointee.next)
        return (first &- Self.slots, next == slot ? nil : next &- Self.slots)
      }
      unsafe occupied[slot >> 6] &= ~(1 << UInt64(slot & 63))
      guard hand < target else { return nil }
      hand = min(nextOccupied(), target)
    }
  }

  /// The first tick after the hand's at which something may hang; a turn on when there is none.
  @usableFromInline
  func nextOccupied() -> UInt64 {
    var distance = 1
    while distance < Self.slots {
      let slot = (Int(truncatingIfNeeded: hand) &+ distance) & (Self.slots - 1)
      let bits = unsafe occupied[slot >> 6] >> UInt64(slot & 63)
      if bits != 0 { return hand &+ UInt64(min(distance + bits.trailingZeroBitCount, Self.slots)) }
      distance += 64 - slot & 63
    }
    return hand &+ UInt64(Self.slots)
  }

  /// When something may hang next, in nanoseconds.
  var nextEvent: UInt64 {
    let slot = Int(truncatingIfNeeded: hand) & (Self.slots - 1)
    let tick = unsafe Int(links[slot].next) == slot ? nextOccupied() : hand
    let (time, overflow) = tick.multipliedReportingOverflow(by: 1 << shift)
    return overflow ? .max : time
  }
}
