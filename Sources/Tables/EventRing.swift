import Synchronization

/// Records on their way from one thread to another: bounded, never blocking, none lost without its being counted.
@safe
public final class EventRing<Event: BitwiseCopyable & Sendable>: Sendable {
  private nonisolated(unsafe) let base: UnsafeMutablePointer<Event>
  private let mask: Int
  private let written = Atomic<Int>(0)
  private let read = Atomic<Int>(0)
  private let lost = Atomic<Int>(0)

  /// An empty ring.
  /// - Parameter capacity: How many records there is room for, at least 1; rounded up to a power of two.
  public init(capacity: Int) {
    let count = 1 << (Int.bitWidth - max(capacity - 1, 1).leadingZeroBitCount)
    mask = count - 1
    unsafe base = .allocate(capacity: count)
  }

  deinit { unsafe base.deallocate() }

  /// How many records there are.
  public var count: Int { written.load(ordering: .acquiring) - read.load(ordering: .acquiring) }

  /// How many records there was no room for.
  public var lostCount: Int { lost.load(ordering: .relaxed) }

  /// Whether more than half of the room is taken.
  public var isHalfFull: Bool { count > mask / 2 }

  /// Adds a record, or counts it as lost when there is no room. To be called by one thread.
  public func push(_ event: Event) {
    let place = written.load(ordering: .relaxed)
    guard place - read.load(ordering: .acquiring) <= mask else {
      lost.add(1, ordering: .relaxed)
      return
    }
    unsafe (base + (place & mask)).initialize(to: event)
    written.store(place + 1, ordering: .releasing)
  }

  /// Takes the oldest record. To be called by one thread at a time.
  public func pop() -> Event? {
    let place = read.load(ordering: .relaxed)
    guard place < written.load(ordering: .acquiring) else { return nil }
    let event = unsafe base[place & mask]
    read.store(place + 1, ordering: .releasing)
    return event
  }
}
