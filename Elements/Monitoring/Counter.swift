public import Configuration
public import Dataplane
import Tables

/// Counts packets and bytes, and passes them on.
///
///     - lan -> Counter -> wan
public struct Counter: Element {
  public static let about = ElementDescription(
    "Counts packets and bytes.",
    example: """
      elements:
        up: Counter
      graph:
        - lan -> up -> wan
      """)

  private let tally = Tally(2)

  public init(_ settings: inout Settings) throws(ConfigurationError) {}

  public var counters: [ElementCounter] { [ElementCounter("packets", tally[0]), ElementCounter("bytes", tally[1])] }

  public mutating func process(_ batch: inout PacketBatch<Self>, _ context: inout Context) {
    var bytes = 0
    batch.forEach { packet in
      bytes &+= packet.length
      return .forward(.output)
    }
    tally.add(UInt64(batch.count), to: 0)
    tally.add(UInt64(bytes), to: 1)
  }
}
