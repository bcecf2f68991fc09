public import Configuration
public import Dataplane
import Tables
import Wire

/// Holds packets and lets them go in order, at a rate when one is given.
///
///     queue: { Queue: { capacity: 1000, rate: 10Mbps } }
///     - lan -> queue -> wan
public struct Queue: Element, ~Copyable {
  public static let about = ElementDescription(
    "Holds packets and releases them in order, at most at a rate.",
    example: """
      elements:
        queue: { Queue: { capacity: 1000, rate: 10Mbps } }
      graph:
        - lan -> queue -> wan
      """)
  public static let boundsLoops = true

  private var queue: PacketQueue
  private let byteLimit: UInt64
  private let dropsOldest: Bool
  private var pacer: Pacer?
  private var nextRelease = Instant(nanoseconds: 0)
  private var bytes: UInt64 = 0
  private var most = 0

  /// Which packet has to go when the queue is full.
  private enum DropPolicy: String, SettingChoice {
    case newest, oldest
  }

  public init(_ settings: inout Settings) throws(ConfigurationError) {
    let capacity = try settings.take("capacity", default: 1024, in: 1...1_000_000, "packets that fit", shorthand: true)
    let size: DataSize? = try settings.takeIfPresent(
      "bytes", "bytes that fit; as many as the packets have when left out")
    let policy = try settings.take("drop", default: DropPolicy.newest, "which packet goes when the queue is full")
    let rate: LimitRate? = try settings.takeIfPresent(
      "rate", "packets or bits a second; as fast as it goes when left out")
    rate?.check(&settings)
    queue = PacketQueue(capacity: capacity)
    byteLimit = size?.bytes ?? .max
    dropsOldest = policy == .oldest
    pacer = rate.map(Pacer.init)
  }

  public var held: Int { queue.count }

  public var counters: [ElementCounter] { [ElementCounter("mostHeld", UInt64(most))] }

  public mutating func process(_ batch: inout PacketBatch<Self>, _ context: inout Context) {
    let wasEmpty = queue.isEmpty
    batch.takeEach { packet, emitter in
      let length = UInt64(packet.length)
      // A packet that would not even fit an empty queue does not push others out.
      guard length <= byteLimit else {
        emitter.drop(packet, .queueFull)
        return
      }
      while queue.isFull || bytes > byteLimit - length {
        guard dropsOldest, let oldest = queue.popFirst() else {
          emitter.drop(packet, .queueFull)
          return
        }
        bytes -= UInt64(oldest.length)
        emitter.drop(oldest, .queueFull)
      }
      bytes += length
      queue.append(packet)
    }
    most = max(most, queue.count)
    if wasEmpty, !queue.isEmpty {
      // Time without packets earns no credit.
      nextRelease = max(nextRelease, context.now)
      context.wake(at: nextRelease)
    }
  }

  public mutating func wake(_ batch: inout PacketBatch<Self>, _ context: inout Context) {
    while nextRelease <= context.now, let packet = queue.popFirst() {
      bytes -= UInt64(packet.length)
      // From the time it was due, not from now: a late wake-up does not lower the rate.
      if let spacing = pacer?.spacing(afterBytes: packet.length) { nextRelease = nextRelease.advanced(by: spacing) }
      batch.emit(packet, to: .output)
    }
    if !queue.isEmpty { context.wake(at: nextRelease) }
  }
}
