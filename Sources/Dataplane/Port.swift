/// One queue of a network interface, or of what stands in for one. A queue belongs to one worker.
public protocol PortQueue: AnyObject {
  /// Called once before anything is received. `isLive`: time is the clock's; otherwise it is that of the packets.
  func begin(at now: Instant, isLive: Bool)
  /// Puts up to `limit` packets at `slots` and returns how many, adding their lengths to `bytes`. Never waits. A queue
  /// whose packets carry a time gives those of one instant at a time.
  @unsafe func receive(_ slots: UnsafeMutablePointer<PacketSlot>, limit: Int, now: Instant, bytes: inout UInt64) -> Int
  /// Takes packets from the front and returns how many; the others stay the caller's.
  /// Never waits.
  @unsafe func transmit(_ slots: UnsafeMutablePointer<PacketSlot>, count: Int, now: Instant) -> Int
  /// How many packets that were taken since the last call could not be sent after all; they count as dropped.
  func takeLost() -> Int
  /// A descriptor that becomes readable when packets arrive, for an idle worker to sleep on.
  var descriptor: Int32? { get }
  /// Takes an error off the descriptor, so that it can be slept on again.
  func clearError()
  /// Queues whose packets carry a time of their own say when the next is due; nil when there are no more.
  var nextArrival: Instant? { get }
  /// Whether `nextArrival` says when packets are due.
  var isTimed: Bool { get }
  /// Gives up the packet that is due and counts it: there is no buffer for it, and none will come before the next.
  /// Returns whether it did.
  func skip() -> Bool
  /// Whether no packet will ever come again.
  var hasEnded: Bool { get }
}

extension PortQueue {
  /// None: what is taken is sent.
  public func takeLost() -> Int { 0 }
  public func begin(at now: Instant, isLive: Bool) {}
  public func skip() -> Bool { false }
  public var descriptor: Int32? { nil }
  public func clearError() {}
  public var nextArrival: Instant? { nil }
  public var isTimed: Bool { false }
  public var hasEnded: Bool { false }
}

/// A network interface, or what stands in for one, with its queues.
public protocol Port: AnyObject {
  /// Number that packets carry as their ingress port.
  var number: Int { get }
  /// Queues; as many as the configuration asked for.
  var queues: [any PortQueue] { get }
  /// Counts that only the port knows: what the driver or the kernel lost.
  var counters: [ElementCounter] { get }
  /// What was noticed when the port was opened, in the user's words.
  var warnings: [String] { get }
  /// Completes files and gives devices back. What it returns went wrong, in the user's words.
  func close() -> [String]
  /// Gives back what was opened, as if it had never been: no packet was received or sent.
  func cancel()
}

extension Port {
  public var counters: [ElementCounter] { [] }
  public var warnings: [String] { [] }
  public func close() -> [String] { [] }
  public func cancel() { _ = close() }
}
