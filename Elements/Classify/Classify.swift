public import Configuration
public import Dataplane
import Tables

/// Sends each packet to the output of the first rule that it matches.
///
/// Without rules it sorts by what a frame carries: outputs `ipv4`, `ipv6`, `arp` and `other`. With rules the outputs are
/// those that the rules name with `to`, and `else`. Fragments other than the first have no ports and never match rules
/// that ask for some.
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
              - { to: dns, protocol: udp, destination_port: 53 }
              - { to: web, protocol: tcp, destination_port: 80 }
              - { to: lan, source: 10.0.0.0/8 }
            else: rest
      graph:
        - lan -> in
        - in.ipv4 -> services
        - in.ipv6 -> services
        - in.arp -> drop
        - in.other -> drop
        - services.dns -> wan
        - services.web -> wan
        - services.lan -> lan
        - services.rest -> drop
      """)

  private let rules: FlatArray<ClassifyRule>
  private let sorts: Bool
  private let otherwise: UInt16
  private let matched: Tally
  public let outputs: [OutputDescription]

  public init(_ settings: inout Settings) throws(ConfigurationError) {
    var names: [String] = []
    func number(_ name: String) -> UInt16 {
      if let index = names.firstIndex(of: name) { return UInt16(index) }
      names.append(name)
      return UInt16(names.count - 1)
    }
    let ranged = try settings.takeEach("rules", "in this order; the first that matches counts") {
      (settings: inout Settings) throws(ConfigurationError) -> (rule: ClassifyRule, range: SourceRange?) in
      let output: String = try settings.take("to", "output for packets that match")
      var rule = try ClassifyRule(&settings)
      rule.output = number(output)
      return (rule, settings.range)
    }
    let rest = try settings.take("else", default: "other", "output for packets that match no rule")
    sorts = ranged.isEmpty
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
      otherwise = 3
    } else {
      otherwise = number(rest)
      let rules = ranged.map(\.rule)
      let fallback = otherwise
      outputs = names.enumerated().map { index, name in
        OutputDescription(name, delivers: index == fallback ? nil : Self.common(rules.filter { $0.output == index }))
      }
      Self.warnOfCovered(ranged, &settings)
    }
    rules = FlatArray(ranged.map(\.rule))
    matched = Tally(ranged.count + 1)
  }

  /// What is known of packets at an output that these rules share.
  private static func common(_ rules: [ClassifyRule]) -> HeaderState? {
    let states = rules.map(\.delivers)
    guard let first = states.first, var common = first else { return nil }
    for state in states {
      guard let state else { return nil }
      common.formIntersection(state)
    }
    return common
  }

  private static func warnOfCovered(_ rules: [(rule: ClassifyRule, range: SourceRange?)], _ settings: inout Settings) {
    let plain = rules.map(\.rule)
    for (index, later) in rules.enumerated() {
      guard let earlier = plain[..<index].firstIndex(where: { $0.covers(later.rule) }).map({ rules[$0] }) else {
        continue
      }
      settings.warn(
        later.range, "this rule never matches: an earlier one takes all its packets",
        remedy: "move it up or remove it", notes: [.init(earlier.range, "the earlier rule")])
    }
  }

  public var counters: [ElementCounter] {
    guard !sorts else { return [] }
    return (0..<rules.count).map { ElementCounter("\($0 + 1):\(outputs[Int(rules[$0].output)].name)", matched[$0]) }
      + [ElementCounter("else", matched[rules.count])]
  }

  public mutating func process(_ batch: inout PacketBatch<Self>, _ context: inout Context) {
    if sorts {
      let other = NumberedOutput(3)
      batch.forEach { packet in
        if packet.isIPv4 { return .forward(NumberedOutput(0)) }
        if packet.isIPv6 { return .forward(NumberedOutput(1)) }
        return .forward(packet.isARP ? NumberedOutput(2) : other)
      }
    } else {
      batch.forEach { packet in .forward(match(packet)) }
    }
  }

  private func match(_ packet: borrowing Packet) -> NumberedOutput {
    let key = ClassifyKey(packet)
    for index in 0..<rules.count {
      let rule = rules[index]
      if key.matches(rule) {
        matched.add(1, to: index)
        return NumberedOutput(Int(rule.output))
      }
    }
    matched.add(1, to: rules.count)
    return NumberedOutput(Int(otherwise))
  }
}
