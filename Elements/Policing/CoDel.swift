public import Configuration
public import Dataplane

/// Holds packets for a link of a rate, and drops or marks some when all have been waiting too long for too long (RFC 8289):
/// senders slow down, and the queue stays short.
///
///     queue: { CoDel: 100Mbps }
///     - lan -> queue -> wan
public struct CoDel: Element, ~Copyable {
  /// Why packets are dropped.
  public enum Drop: UInt8, ElementDropReason {
    /// Packets have been waiting longer than the target for longer than the interval.
    case delayed
  }

  public static let about = ElementDescription(
    "Paces packets to a rate and keeps their queue short: controlled delay (RFC 8289).",
    example: """
      elements:
        queue: { CoDel: { rate: 100Mbps, ecn: yes } }
      graph:
        - lan -> queue -> wan
      """)
  public static let boundsLoops = true

  private var queue: DelayQueue

  public init(_ settings: inout Settings) throws(ConfigurationError) {
    queue = DelayQueue(try DelaySettings(&settings, fair: false))
  }

  public var held: Int { queue.held }
  public var counters: [ElementCounter] { queue.counters }

  public mutating func process(_ batch: inout PacketBatch<Self>, _ context: inout Context) {
    queue.process(&batch, &context)
  }

  public mutating func wake(_ batch: inout PacketBatch<Self>, _ context: inout Context) {
    queue.wake(&batch, &context, output: .output, tooLong: Drop.delayed.reason)
  }
}
