public import Configuration
public import Dataplane

/// Writes passing packets to a capture (pcap, nanoseconds).
///
///     dump: { Capture: { file: dump.pcap, snap: 128 } }
///     - lan -> dump -> wan
public struct Capture: Element {
  public static let about = ElementDescription(
    "Writes passing packets to a pcap file, at any edge of the graph.",
    example: """
      elements:
        dump: { Capture: { file: /tmp/dump.pcap, snap: 128, limit: 100000 } }
      graph:
        - lan -> dump -> wan
      """)

  private let path: String
  private let snap: Int
  private var left: Int
  private var writer: CaptureWriter?
  private var problems: [String] = []
  private var captured: UInt64 = 0
  private var beyondLimit: UInt64 = 0

  public init(_ settings: inout Settings) throws(ConfigurationError) {
    let file: FileSetting = try settings.take("file", "the file to write", shorthand: true)
    snap = try settings.take(
      "snap", default: CaptureWriter.wholePackets, in: 1...CaptureWriter.wholePackets, "bytes kept of each packet")
    left = try settings.take(
      "limit", default: Int.max, in: 1...Int.max, "packets after which the file is left as it is")
    path = file.path
  }

  public var counters: [ElementCounter] {
    [ElementCounter("captured", captured), ElementCounter("beyondLimit", beyondLimit)]
  }

  public mutating func start(_ context: inout Context) {
    // Workers write files of their own: two of them in one would overwrite each other.
    let own = context.worker == 0 ? path : "\(path).\(context.worker)"
    do throws(EnvironmentError) {
      writer = try CaptureWriter(path: own, snapLength: snap)
    } catch {
      problems.append("\(error)")
    }
  }

  public mutating func process(_ batch: inout PacketBatch<Self>, _ context: inout Context) {
    let now = context.now
    batch.forEach { packet in
      if left > 0 {
        left -= 1
        captured &+= 1
        writer?.write(packet, at: now)
      } else {
        beyondLimit &+= 1
      }
      return .forward(.output)
    }
  }

  public mutating func finish() -> [String] { problems + (writer?.close() ?? []) }
}
