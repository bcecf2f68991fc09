public import Configuration
public import Dataplane

/// Holds packets for a link of a rate: flows have their turn one after the other by bytes, those that send little go first,
/// and each flow's queue is kept short by CoDel (RFC 8290).
///
///     queue: { FQCoDel: 100Mbps }
///     - lan -> queue -> wan
public struct FQCoDel: Element, ~Copyable {
  /// Why packets are dropped.
  public enum Drop: UInt8, ElementDropReason {
    /// Packets of its flow have been waiting longer than the target for longer than the interval.
    case delayed
  }

  public static let about = ElementDescription(
    "Paces packets to a rate, fair to flows, with short queues: flow queue CoDel (RFC 8290).",
    example: """
      elements:
        queue: { FQCoDel: { rate: 100Mbps, flows: 1024, quantum: 1514 } }
      graph:
        - lan -> queue -> wan
      """)
  public static let boundsLoops = true

  private var queue: DelayQueue

  public init(_ settings: inout Settings) throws(ConfigurationError) {
    queue = DelayQueue(try DelaySettings(&settings, fair: true))
  }

  public var held: Int { queue.held }
  public var counters: [ElementCounter] { queue.counters }

  public mutating func start(_ context: inout Context) { queue.start(&context) }

  public mutating func process(_ batch: inout PacketBatch<Self>, _ context: inout Context) {
    queue.process(&batch, &context)
  }

  public mutating func wake(_ batch: inout PacketBatch<Self>, _ context: inout Context) {
    queue.wake(&batch, &context, output: .output, tooLong: Drop.delayed.reason)
  }
}
