public import Configuration
public import Dataplane
import Wire

/// Prints a line for every packet, as tcpdump would begin it; for looking on, not for speed.
///
///     show: { Print: { label: in, limit: 20 } }
///     - lan -> show -> wan
public struct Print: Element {
  public static let about = ElementDescription(
    "Prints a line for every packet.",
    example: """
      elements:
        show: { Print: { label: lan, limit: 20 } }
      graph:
        - lan -> show -> wan
      """)

  private let label: String
  private var left: Int
  private let path: String?
  private var output: TextOutput

  public init(_ settings: inout Settings) throws(ConfigurationError) {
    label = try settings.take("label", default: "", "a word in front of each line", shorthand: true)
    left = try settings.take(
      "limit", default: Int.max, in: 1...Int.max, "packets after which no more lines are printed")
    let file: FileSetting? = try settings.takeIfPresent("file", "the file to print to; standard output when left out")
    path = file?.path
    output = TextOutput(path: file?.path)
  }

  public mutating func start(_ context: inout Context) {
    // Workers write files of their own: two of them in one would overwrite each other.
    if let path, context.worker > 0 { output = TextOutput(path: "\(path).\(context.worker)") }
  }

  public mutating func process(_ batch: inout PacketBatch<Self>, _ context: inout Context) {
    let now = context.now
    batch.forEach { packet in
      if left > 0 {
        left -= 1
        output.write(PacketText.line(packet, at: now, label: label))
      }
      return .forward(.output)
    }
    output.flush()
  }

  public mutating func finish() -> [String] { output.finish() }
}
