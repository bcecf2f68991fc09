public import Configuration
public import Dataplane

/// Drops what exceeds a rate (token bucket).
///
///     limit: { RateLimit: 10Mbps }
///     - lan -> limit -> wan
public struct RateLimit: Element {
  public static let about = ElementDescription(
    "Drops what exceeds a rate in packets or bits a second.",
    example: """
      elements:
        limit: { RateLimit: { rate: 100Mbps, burst: 64KiB } }
      graph:
        - lan -> limit -> wan
      """)

  private var limit: Limit

  public init(_ settings: inout Settings) throws(ConfigurationError) { limit = try Limit(&settings) }

  public mutating func process(_ batch: inout PacketBatch<Self>, _ context: inout Context) {
    let now = context.now
    batch.forEach { packet in limit.allows(packet, now: now) ? .forward(.output) : .drop(.rateExceeded) }
  }
}
