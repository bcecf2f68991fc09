import Dataplane

/// What a run cost, packet by packet: by port that receives, element and port that sends.
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

  /// Which part of all cycles was spent here, from 0 to 1.
  private func share(_ counters: NodeCounters) -> Double {
    guard packets > 0, cycles > 0, let own = counters.cyclesPerPacket else { return 0 }
    return own * Double(counters.packetsIn) / (cycles * Double(packets))
  }

  // MARK: Text

  /// For people.
  public var text: String {
    var table = TextTable(["", "packets", "cycles/packet", "share", "batch", "dropped"])
    for port in report.ports {
      guard let received = port.received else { continue }
      table.add(row("\(port.name)  (\(port.kind))", received, drops: []))
    }
    for element in report.elements {
      let lines = element.drops.map { "\(Report.grouped($0.packets)) \($0.reason)" }
      table.add(row("\(element.name)  \(element.type)", element.counters, drops: Array(lines.prefix(1))))
      for line in lines.dropFirst() { table.add(["", "", "", "", "", line]) }
    }
    for port in report.ports {
      guard let sent = port.transmitted else { continue }
      table.add(
        row("\(port.name)  sent", sent, drops: sent.dropped > 0 ? ["\(Report.grouped(sent.dropped)) portBusy"] : []))
    }
    if report.discarded > 0 {
      let discarded = Report.grouped(report.discarded)
      table.add(["drop", discarded, "", "", "", "\(discarded) discarded"])
    }
    return table.text + "\n\(Self.rounded(megapackets)) Mpps, \(Self.rounded(cycles)) cycles a packet in all\n"
      + report.summary
  }

  private func row(_ name: String, _ counters: NodeCounters, drops: [String]) -> [String] {
    [
      name, Report.grouped(counters.packetsIn), counters.cyclesPerPacket.map(Self.rounded) ?? "",
      counters.cyclesPerPacket == nil ? "" : "\(Int((share(counters) * 100).rounded())) %",
      Self.rounded(Self.fill(counters)), drops.first ?? "",
    ]
  }

  // MARK: JSON

  /// For programs.
  public var json: JSON {
    .object([
      ("packets", .count(packets)), ("seconds", .decimal(seconds)), ("mpps", .decimal(megapackets)),
      ("cyclesPerPacket", .decimal(cycles)),
      ("ports", .array(report.ports.map(json(of:)))),
      (
        "elements",
        .array(
          report.elements.map { element in
            .object(
              [("name", .string(element.name)), ("type", .string(element.type))] + figures(element.counters)
                + [("drops", .object(element.drops.map { ($0.reason, .count($0.packets)) }))])
          })
      ),
      ("discarded", .count(report.discarded)),
    ])
  }

  private func json(of port: Report.PortLine) -> JSON {
    var members: [(String, JSON)] = [("name", .string(port.name)), ("kind", .string(port.kind))]
    if let received = port.received { members.append(("received", .object(figures(received)))) }
    if let sent = port.transmitted {
      members.append(("sent", .object(figures(sent) + [("dropped", .count(sent.dropped))])))
    }
    return .object(members)
  }

  private func figures(_ counters: NodeCounters) -> [(String, JSON)] {
    [
      ("packets", .count(counters.packetsIn)), ("cyclesPerPacket", .decimal(counters.cyclesPerPacket ?? 0)),
      ("share", .decimal(share(counters))), ("batch", .decimal(Self.fill(counters))),
    ]
  }
}
