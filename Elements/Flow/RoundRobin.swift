public import Configuration
public import Dataplane

/// Deals packets out to outputs in turn, whatever flow they belong to.
///
///     deal: { RoundRobin: 2 }
///     - lan -> deal
///     - deal.0 -> a
public struct RoundRobin: Element {
  public typealias Output = NumberedOutput

  public static let about = ElementDescription(
    "Deals packets out to outputs in turn.",
    example: """
      elements:
        deal: { RoundRobin: 2 }
      graph:
        - lan -> deal
        - deal.0 -> wan
        - deal.1 -> backup
      """)

  private let count: Int
  private var next = 0

  public init(_ settings: inout Settings) throws(ConfigurationError) {
    count = try settings.take("outputs", default: 2, in: 2...64, "how many outputs", shorthand: true)
  }

  public var outputs: [OutputDescription] { (0..<count).map { OutputDescription("\($0)") } }

  public mutating func process(_ batch: inout PacketBatch<Self>, _ context: inout Context) {
    batch.forEach { _ in
      let output = next
      next = output + 1 == count ? 0 : output + 1
      return .forward(NumberedOutput(output))
    }
  }
}
