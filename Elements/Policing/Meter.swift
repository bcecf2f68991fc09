public import Configuration
public import Dataplane

/// Tells packets within a rate from those that exceed it (token bucket), and drops none.
///
///     meter: { Meter: 1Mpps }
///     - lan -> meter -> wan
///     - meter.exceeding -> slow
public struct Meter: Element {
  /// Where packets leave.
  public enum Output: UInt8, OutputPort {
    /// Packets within the rate.
    case conforming
    /// Packets above it.
    case exceeding

    public var about: String { self == .conforming ? "packets within the rate" : "packets above the rate" }
  }

  public static let about = ElementDescription(
    "Tells packets within a rate from those above it.",
    example: """
      elements:
        meter: { Meter: { rate: 1Mpps, burst: 1000 } }
      graph:
        - lan -> meter -> wan
        - meter.exceeding -> drop
      """)

  private var limit: Limit

  public init(_ settings: inout Settings) throws(ConfigurationError) { limit = try Limit(&settings) }

  public mutating func process(_ batch: inout PacketBatch<Self>, _ context: inout Context) {
    let now = context.now
    batch.forEach { packet in .forward(limit.allows(packet, now: now) ? .conforming : .exceeding) }
  }
}
