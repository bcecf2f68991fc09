public import Configuration
public import Dataplane
import Tables

/// Spreads packets over outputs by their flow: both directions of a flow, and all fragments of a datagram, take the same
/// output.
///
///     split: { HashSplit: 4 }
///     - lan -> split
///     - split.0 -> a
public struct HashSplit: Element {
  public typealias Output = NumberedOutput

  public static let about = ElementDescription(
    "Spreads flows over outputs, both directions of a flow to the same one.",
    example: """
      elements:
        split: { HashSplit: { weights: [3, 1] } }
      graph:
        - lan -> split
        - split.0 -> wan
        - split.1 -> backup
      """)

  private let slots: FlatArray<UInt8>
  private let count: Int

  public init(_ settings: inout Settings) throws(ConfigurationError) {
    let outputs: Int? = try settings.takeIfPresent("outputs", "how many outputs, all alike", shorthand: true)
    let weights: [Int]? = try settings.takeIfPresent("weights", "a weight for each output")
    let shares = weights ?? Array(repeating: 1, count: min(max(outputs ?? 2, 2), 64))
    if let outputs, !(2...64).contains(outputs) || weights != nil && weights?.count != outputs {
      settings.reject(settings.range(of: "outputs"), "\(outputs) outputs", remedy: "give 2 to 64, as many as weights")
    }
    let sum = shares.reduce(0) { $0 &+ min(max($1, 0), 4096) }
    if !(2...64).contains(shares.count) || shares.contains(where: { !(0...1024).contains($0) })
      || !(1...4096).contains(sum)
    {
      settings.reject(
        settings.range(of: "weights"), "weights that cannot be used",
        remedy: "give 2 to 64 weights of 0 to 1024, one above 0")
      slots = FlatArray([0])
      count = 2
      return
    }
    count = shares.count
    slots = FlatArray(shares.enumerated().flatMap { index, share in Array(repeating: UInt8(index), count: share) })
  }

  public var outputs: [OutputDescription] { (0..<count).map { OutputDescription("\($0)") } }

  public mutating func process(_ batch: inout PacketBatch<Self>, _ context: inout Context) {
    let range = UInt64(slots.count)
    batch.forEach { packet in
      // The high bits of a product spread a hash evenly over any range.
      .forward(NumberedOutput(Int(slots[Int((UInt64(packet.flowHash) &* range) >> 32)])))
    }
  }
}
