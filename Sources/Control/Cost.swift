import Dataplane

/// What a run cost, packet by packet and element by element.
public struct Cost {
  private let report: Report
  private let packets: UInt64
  private let seconds: Double

  /// The cost of a live run.
  public init(_ report: Report) {
    self.report = report
    packets = report.balance.received
    seconds = Double(report.nanoseconds) / 1e9
  }

  private var megapackets: Double { seconds > 0 ? Double(packets) / seconds / 1e6 : 0 }
  private var cycles: Double {
    packets > 0 ? seconds * Double(PacketEnvironment.ticksPerSecond) / Double(packets) : 0
  }

  private static func rounded(_ value: Double) -> String { "\((value * 10).rounded() / 10)" }

  private static func fill(_ counters: NodeCounters) -> Double {
    counters.runs > 0 ? Double(counters.packetsIn) / Double(counters.runs) : 0
  }

  /// For people.
  public var text: String {
    var table = TextTable(["", "packets", "cycles/packet", "batch"])
    for port in report.ports {
      guard let received = port.received else { continue }
      table.add([
        "\(port.name)  (\(port.kind))", Report.grouped(received.packetsIn), "", Self.rounded(Self.fill(received)),
      ])
    }
    for element in report.elements {
      table.add([
        "\(element.name)  \(element.type)", Report.grouped(element.counters.packetsIn),
        element.counters.cyclesPerPacket.map(Self.rounded) ?? "", Self.rounded(Self.fill(element.counters)),
      ])
    }
    for port in report.ports {
      guard let sent = port.transmitted else { continue }
      table.add([
        "\(port.name)  sent", Report.grouped(sent.packetsIn), sent.cyclesPerPacket.map(Self.rounded) ?? "",
        Self.rounded(Self.fill(sent)),
      ])
    }
    return table.text + "\n\(Self.rounded(megapackets)) Mpps, \(Self.rounded(cycles)) cycles a packet in all\n"
      + report.summary
  }

  /// For programs.
  public var json: JSON {
    .object([
      ("packets", .count(packets)), ("seconds", .decimal(seconds)), ("mpps", .decimal(megapackets)),
      ("cyclesPerPacket", .decimal(cycles)),
      (
        "elements",
        .array(
          report.elements.map { element in
            .object([
              ("name", .string(element.name)), ("type", .string(element.type)),
              ("packets", .count(element.counters.packetsIn)),
              ("cyclesPerPacket", .decimal(element.counters.cyclesPerPacket ?? 0)),
              ("batch", .decimal(Self.fill(element.counters))),
            ])
          })
      ),
    ])
  }
}
