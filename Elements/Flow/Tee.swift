public import Configuration
public import Dataplane

/// Sends every packet to the first output and a copy to each other one. Copies share the packet's bytes until one of
/// them is written to.
///
///     tee: { Tee: 2 }
///     - lan -> tee
///     - tee.0 -> wan
///     - tee.1 -> monitor
public struct Tee: Element {
  public typealias Output = NumberedOutput

  public static let about = ElementDescription(
    "Copies every packet to several outputs.",
    example: """
      elements:
        tee: { Tee: 2 }
      graph:
        - lan -> tee
        - tee.0 -> wan
        - tee.1 -> monitor
      """)

  private let count: Int
  private var missed: UInt64 = 0

  public init(_ settings: inout Settings) throws(ConfigurationError) {
    count = try settings.take("outputs", default: 2, in: 2...64, "how many outputs", shorthand: true)
  }

  public var outputs: [OutputDescription] { (0..<count).map { OutputDescription("\($0)") } }
  public var counters: [ElementCounter] { [ElementCounter("notCopied", missed)] }

  public mutating func process(_ batch: inout PacketBatch<Self>, _ context: inout Context) {
    batch.forEach { packet, emitter in
      for output in 1..<count {
        if let copy = context.clone(packet) { emitter.emit(copy, to: NumberedOutput(output)) } else { missed &+= 1 }
      }
      return .forward(NumberedOutput(0))
    }
  }
}
