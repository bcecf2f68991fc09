public import Configuration
public import Dataplane
import Tables

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
  private let dropsOldest: Bool
  private let rate: LimitRate?
  private var nextRelease = Instant(nanoseconds: 0)

  /// Which packet has to go when the queue is full.
  private enum DropPolicy: String, SettingChoice {
    case newest, oldest
  }

  public init(_ settings: inout Settings) throws(ConfigurationError) {
    let capacity = try settings.take("capacity", default: 1024, in: 1...1_000_000, "packets that fit", shorthand: true)
    let policy = try settings.take("drop", default: DropPolicy.newest, "which packet goes when the queue is full")
    let limit: LimitRate? = try settings.takeIfPresent(
      "rate", "packets or bits a second; as fast as it goes when left out")
    if let limit, limit.nanoseconds(forBytes: 1) == nil {
      settings.reject(settings.range(of: "rate"), "a rate of nothing", remedy: "give at least 1pps or 8bps")
    }
    queue = PacketQueue(capacity: capacity)
    dropsOldest = policy == .oldest
    rate = limit
  }

  public var held: Int { queue.count }

  public mutating func process(_ batch: inout PacketBatch<Self>, _ context: inout Context) {
    let wasEmpty = queue.isEmpty
    batch.takeEach { packet, emitter in
      if queue.isFull {
        guard dropsOldest, let oldest = queue.popFirst() else {
          emitter.drop(packet, .queueFull)
          return
        }
        emitter.drop(oldest, .queueFull)
      }
      queue.append(packet)
    }
    if wasEmpty, !queue.isEmpty { context.wake(at: max(nextRelease, context.now)) }
  }

  public mutating func wake(_ batch: inout PacketBatch<Self>, _ context: inout Context) {
    while let length = queue.firstLength, nextRelease <= context.now, let packet = queue.popFirst() {
      if let rate {
        // From the time it was due, not from now: a late wake-up does not lower the rate.
        let spacing = rate.nanoseconds(forBytes: UInt64(length)) ?? 0
        let due = nextRelease.nanoseconds(since: Instant(nanoseconds: 0)) == 0 ? context.now : nextRelease
        nextRelease = max(due, previousInstant(context.now, by: spacing)).advanced(by: spacing)
      }
      batch.emit(packet, to: .output)
    }
    if !queue.isEmpty { context.wake(at: max(nextRelease, context.now)) }
  }

  private func previousInstant(_ now: Instant, by nanoseconds: UInt64) -> Instant {
    Instant(nanoseconds: now.nanoseconds > nanoseconds ? now.nanoseconds - nanoseconds : 0)
  }
}

extension LimitRate {
  /// How long a packet of this many bytes takes at the rate, rounded up; nil for a rate of nothing.
  func nanoseconds(forBytes bytes: UInt64) -> UInt64? {
    switch self {
    case .packets(let rate):
      rate.packetsPerSecond == 0 ? nil : (1_000_000_000 + rate.packetsPerSecond - 1) / rate.packetsPerSecond
    case .bits(let rate):
      rate.bitsPerSecond < 8 ? nil : (bytes * 8 * 1_000_000_000 + rate.bitsPerSecond - 1) / rate.bitsPerSecond
    }
  }
}
