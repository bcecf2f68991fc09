/// Controlled delay (CoDel, RFC 8289) of one queue: packets at its front are refused when all have been waiting too long for too
/// long. Times are nanoseconds.
@frozen
public struct ControlledDelay: Sendable {
  /// What it is set to.
  @frozen
  public struct Parameters: Hashable, Sendable {
    /// The wait that is acceptable for good.
    public let target: UInt64
    /// For how long it has to be exceeded: about the longest round trip.
    public let interval: UInt64
    /// The longest packet in bytes: a queue with no more is never too long.
    public let packet: UInt64

    /// Both times, and the longest packet in bytes.
    public init(target: UInt64, interval: UInt64, packet: UInt64) {
      self.target = target
      self.interval = interval
      self.packet = packet
    }
  }

  /// What a queue says of the packet that it gave.
  public struct Taken: Sendable {
    /// How long the packet waited.
    public let waited: UInt64
    /// Bytes that are still in the queue.
    public let backlog: UInt64

    /// So long a wait, and so many bytes behind.
    public init(waited: UInt64, backlog: UInt64) {
      self.waited = waited
      self.backlog = backlog
    }
  }

  /// When the wait will have been above the target for an interval; 0 while it is not above it.
  private var firstAbove: UInt64 = 0
  private var nextDrop: UInt64 = 0
  private var count: UInt32 = 0
  private var lastCount: UInt32 = 0
  private var isDropping = false

  /// For an empty queue.
  public init() {}

  /// Chooses the packet that is sent next, and has those ahead of it refused that have to be.
  /// - Parameters:
  ///   - take: Takes the packet at the front; nil when there is none.
  ///   - refuse: Drops the packet that was taken last, and returns true; or marks it, and returns false: it is to be sent.
  /// - Returns: Whether the packet that was taken last is to be sent; false: there is none.
  public mutating func next(
    now: UInt64, _ parameters: Parameters, take: () -> Taken?, refuse: () -> Bool
  ) -> Bool {
    guard var mayRefuse = judge(take(), now, parameters) else { return false }
    if isDropping {
      isDropping = mayRefuse
      while isDropping && now >= nextDrop {
        count &+= 1
        guard refuse() else {
          nextDrop = Self.control(nextDrop, count, parameters)
          return true
        }
        guard let following = judge(take(), now, parameters) else { return false }
        mayRefuse = following
        isDropping = mayRefuse
        if isDropping { nextDrop = Self.control(nextDrop, count, parameters) }
      }
    } else if mayRefuse {
      let isGone = refuse()
      isDropping = true
      // After a short pause it goes on at the pace that was right then.
      let delta = count &- lastCount
      let pause = now > nextDrop ? now - nextDrop : 0
      count = delta > 1 && pause < 16 &* parameters.interval ? delta : 1
      nextDrop = Self.control(now, count, parameters)
      lastCount = count
      if isGone { return judge(take(), now, parameters) != nil }
    }
    return true
  }

  /// Whether a packet may be refused; nil when there is none.
  private mutating func judge(_ taken: Taken?, _ now: UInt64, _ parameters: Parameters) -> Bool? {
    guard let taken else {
      firstAbove = 0
      isDropping = false
      return nil
    }
    if taken.waited < parameters.target || taken.backlog <= parameters.packet {
      firstAbove = 0
      return false
    }
    if firstAbove == 0 {
      firstAbove = now &+ parameters.interval
      return false
    }
    return now >= firstAbove
  }

  /// When the next is refused: the pauses shrink with the square root of how many were, so that senders slow down evenly.
  private static func control(_ time: UInt64, _ count: UInt32, _ parameters: Parameters) -> UInt64 {
    time &+ UInt64(Double(parameters.interval) / Double(max(count, 1)).squareRoot())
  }
}
