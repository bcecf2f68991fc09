import CDPDK

/// Receives nothing, and frees what it is sent.
public final class NullPort: Port {
  public let number: Int
  public let queues: [any PortQueue]

  /// A port with as many queues as wanted.
  public init(number: Int, queues: Int) {
    self.number = number
    self.queues = (0..<queues).map { _ in NullQueue() }
  }
}

final class NullQueue: PortQueue {
  var hasEnded: Bool { true }

  @unsafe
  func receive(_ slots: UnsafeMutablePointer<PacketSlot>, limit: Int, now: Instant, bytes: inout UInt64) -> Int { 0 }

  @unsafe
  func transmit(_ slots: UnsafeMutablePointer<PacketSlot>, count: Int, now: Instant) -> Int {
    unsafe nfv_free(slots, UInt32(count))
    return count
  }
}
