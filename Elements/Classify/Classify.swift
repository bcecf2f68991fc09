public import Configuration
public import Dataplane
import Tables

/// Sends each packet to the output of the first rule that it matches.
///
/// Without rules it sorts by what a frame carries: outputs `ipv4`, `ipv6`, `arp` and `other`. With rules, which stand in
/// the pipeline or in a file, the outputs are those that the rules name with `to`, and `else`. Fragments other than the
/// first have no ports and never match rules that ask for some; excluding a value (`not 80`) asks for the field as well.
public struct Classify: Element {
  public typealias Output = NumberedOutput

  public static let about = ElementDescription(
    "Sends each packet to the output of the first rule it matches, or sorts by IPv4, IPv6, ARP and other.",
    example: """
      elements:
        in: Classify
        services:
          Classify:
            rules:
              - { to: scans, protocol: tcp, flags: none }
              - { to: dns, protocol: [udp, tcp], destination_port: 53 }
              - { to: web, protocol: tcp, destination_port: [80, 443, 8000-8099], source: not 10.66.0.0/16 }
              - { to: web, filter: "udp port 443 and greater 1200" }
              - { to: lan, source: [10.0.0.0/8, "2001:db8::/32"], ingress: lan }
            else: rest
      graph:
        - lan -> in
        - in.ipv4 -> services
        - in.ipv6 -> services
        - in.arp -> drop
        - in.other -> drop
        - services.scans -> drop
        - services.dns -> wan
        - services.web -> wan
        - services.lan -> lan
        - services.rest -> drop
      """)

  private let sorts: Bool
  private let table: Snapshot<ClassifyTable>
  private let burst = LookupBurst<RuleKey>()
  private var worker = 0
  public let outputs: [OutputDescription]

  public init(_ settings: inout Settings) throws(ConfigurationError) {
    var reader = ClassifyReader(running: settings.context.runningOutputs)
    let inline = try settings.takeEach("rules", "in this order; the first that matches counts") {
      (settings: inout Settings) throws(ConfigurationError) in try reader.read(&settings)
    }
    let file: FileSetting? = try settings.takeIfPresent("file", "a YAML file that lists more rules, behind 'rules'")
    let rest = try settings.take("else", default: "other", "output for packets that match no rule")
    var rules = inline
    if let file {
      do throws(ConfigurationError) {
        let read = try RuleFile.read(file, in: settings) { (settings: inout Settings) throws(ConfigurationError) in
          try reader.read(&settings)
        }
        rules += read.rules
        if rules.isEmpty {
          settings.reject(file.range, "\(file.path) has no rules", remedy: "write '- { to: output, ... }' lines")
        }
      } catch {
        settings.reject(error)
      }
    }
    sorts = rules.isEmpty && file == nil
    if sorts {
      if ["ipv4", "ipv6", "arp"].contains(rest) {
        settings.reject(
          settings.range(of: "else"), "'\(rest)' is an output of its own without rules", remedy: "choose another name")
      }
      outputs = [
        OutputDescription("ipv4", delivers: .ipv4, about: "structurally sound IPv4 packets"),
        OutputDescription("ipv6", delivers: .ipv6, about: "structurally sound IPv6 packets"),
        OutputDescription("arp", delivers: .arp, about: "ARP for IPv4 over Ethernet"),
        OutputDescription(rest, about: "everything else"),
      ]
    } else {
      let fallback = reader.number(rest)
      if reader.names.count > NumberedOutput.limit {
        settings.reject(nil, "more than \(NumberedOutput.limit) outputs", remedy: "let rules share outputs")
      }
      outputs = reader.names.enumerated().map { index, name in
        OutputDescription(name, delivers: index == fallback ? nil : Self.common(rules.filter { $0.output == index }))
      }
    }
    let names = outputs.map(\.name)
    let written = rules.map {
      RuleRelations.Written(terms: $0.conditions.terms, outcome: names[$0.output], range: $0.range)
    }
    // What lives in EAL's memory is made once it runs: a pipeline that is only checked is not compiled.
    table = try settings.shared(
      PacketEnvironment.isRunning ? "rules" : "rules to be checked", replacing: ["rules", "file", "else"]
    ) {
      Snapshot(ClassifyTable(rules, filters: reader.filters, otherwise: reader.number(rest)))
    }
    var isFirst = false
    _ = try settings.shared("warned") {
      isFirst = true
      return Warned()
    }
    if isFirst { RuleRelations.warn(of: written, &settings) }
  }

  /// Says that warnings were given: once is enough, however many workers there are.
  private final class Warned {}

  /// What is known of packets at an output that these rules share.
  private static func common(_ rules: [ClassifyRule]) -> HeaderState? {
    let states = rules.map(\.conditions.delivers)
    guard let first = states.first, var common = first else { return nil }
    for state in states {
      guard let state else { return nil }
      common.formIntersection(state)
    }
    return common
  }

  public var counters: [ElementCounter] { sorts ? [] : table.read { $0.counters(of: worker, names: outputs) } }

  public mutating func start(_ context: inout Context) { worker = context.worker }

  public mutating func process(_ batch: inout PacketBatch<Self>, _ context: inout Context) {
    if sorts {
      let other = NumberedOutput(3)
      batch.forEach { packet in
        if packet.isIPv4 { return .forward(NumberedOutput(0)) }
        if packet.isIPv6 { return .forward(NumberedOutput(1)) }
        return .forward(packet.isARP ? NumberedOutput(2) : other)
      }
    } else {
      let count = batch.count
      burst.begin(count)
      table.read { table in
        batch.survey { index, packet in table.rules.read(packet, index, into: burst) }
        table.rules.match(burst, count)
        batch.forEach { index, _ in .forward(table.count(burst.result(index), worker)) }
      }
    }
  }
}
