import Configuration
import Dataplane
import TestKit
import Testing

@testable import Elements

/// Rules from YAML as `Classify` reads them, without its outputs.
private struct ReadRules {
  var terms: [[RuleTerm]] = []
  var filters: [String] = []
  var ranges: [SourceRange?] = []
  var warnings: [Diagnostic] = []

  init(_ rules: [String]) throws {
    try append(rules)
    var settings = Settings(nil, range: nil)
    let written = zip(terms, ranges).enumerated().map {
      RuleRelations.Written(terms: $1.0, outcome: "\($0)", range: $1.1)
    }
    RuleRelations.warn(of: written, &settings)
    warnings = settings.warnings
  }

  private mutating func append(_ rules: [String]) throws {
    for (line, rule) in rules.enumerated() {
      let node = try YAMLDocument.load(text: String(repeating: "\n", count: line) + "{ \(rule) }", name: "rules")
      let context = SettingContext(
        folder: "", ports: PortDirectory(RuleModel.ports.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }))
      var settings = Settings(node, range: node.range, context: context)
      terms.append(try RuleConditions(&settings, filters: &filters).terms)
      try settings.finish()
      ranges.append(node.range)
    }
  }
}

/// What a rule set says of packets; nil where no rule matches.
private func results(_ rules: borrowing RuleSet, _ frames: [Frame], _ pool: borrowing TestPool) -> [Int?] {
  let burst = LookupBurst<RuleKey>()
  var found: [Int?] = []
  for start in stride(from: 0, to: frames.count, by: LookupBurst<RuleKey>.limit) {
    let some = frames[start..<min(start + LookupBurst<RuleKey>.limit, frames.count)]
    burst.begin(some.count)
    for (index, frame) in some.enumerated() {
      let packet = pool.packet(frame)
      rules.read(packet, index, into: burst)
      pool.free(packet)
    }
    rules.match(burst, some.count)
    found += some.indices.map { index in
      let result = burst.result(index - start)
      return result == LookupBurst<RuleKey>.none ? nil : Int(result)
    }
  }
  return found
}

@Suite struct RuleSetTests {
  private static let methods: [RuleSet.Method?] = [nil, .linear, .lists, .hash]

  /// Random rules in words and random packets: what the model says, every way of matching says.
  @Test(arguments: 1...24) func everyMethodGivesWhatTheModelSays(seed: Int) throws {
    var model = RuleModel(seed: UInt64(seed))
    var rules: [[ModelCondition]] = []
    let packets = (0..<200).map { _ in model.packet() }
    for _ in 0..<(seed % 3 == 0 ? 3 : 40) {
      let rule = model.rule()
      do {
        _ = try ReadRules([rule.map(\.text).joined(separator: ", ")])
        rules.append(rule)
      } catch let error as ConfigurationError {
        // What is refused as contradictory is so: no packet would match.
        #expect(
          error.diagnostics.allSatisfy { $0.message.contains("can never match") }, "\(rule.map(\.text)): \(error)")
        #expect(!packets.contains { packet in rule.allSatisfy { $0.holds(packet) } }, "\(rule.map(\.text))")
      }
    }
    let read = try ReadRules(rules.map { $0.map(\.text).joined(separator: ", ") })
    let expected = packets.map { packet in
      rules.firstIndex { $0.allSatisfy { $0.holds(packet) } }
    }
    try withTestPool { pool in
      for method in Self.methods {
        let set = RuleSet(read.terms, filters: read.filters, method: method)
        let found = results(set, packets.map(\.frame), pool)
        for (index, pair) in zip(found, expected).enumerated() where pair.0 != pair.1 {
          func text(_ rule: Int?) -> String { rule.map { "\($0): \(rules[$0].map(\.text))" } ?? "none" }
          Issue.record(
            """
            \(String(describing: method)), packet \(packets[index]): \(text(pair.0)) instead of \(text(pair.1))
            """)
          return
        }
      }
    }
    // Rules that are said never to match do not.
    for warning in read.warnings {
      let line = try #require(warning.range?.start.line)
      #expect(!expected.contains(line - 1), "\(warning.message): \(rules[line - 1].map(\.text))")
    }
  }

  /// Rules over damaged frames and noise: every way of matching agrees, and nothing traps.
  @Test(arguments: 1...6) func everyMethodAgreesOnDamagedFrames(seed: Int) throws {
    var model = RuleModel(seed: UInt64(1000 + seed))
    var texts: [String] = []
    while texts.count < 60 {
      let text = model.rule().map(\.text).joined(separator: ", ")
      if (try? ReadRules([text])) != nil { texts.append(text) }
    }
    let read = try ReadRules(texts)
    var generator = FrameGenerator(seed: UInt64(seed))
    let frames = generator.frames(500)
    try withTestPool { pool in
      let expected = results(RuleSet(read.terms, method: .linear), frames, pool)
      #expect(Set(expected).count > 3)
      for method in Self.methods {
        #expect(results(RuleSet(read.terms, method: method), frames, pool) == expected, "\(String(describing: method))")
      }
    }
  }

  @Test func theMethodIsChosenByTheRules() throws {
    try TestEnvironment.start()
    let few = try ReadRules(["protocol: tcp, destination_port: 80", "protocol: udp"])
    #expect(Set(RuleSet(few.terms).methods.values) == [.linear])
    let hosts = try ReadRules((0..<200).map { "destination: 10.0.0.\($0)" })
    #expect(RuleSet(hosts.terms).methods == [.ipv4: .hash])
    let mixed = try ReadRules((1..<100).map { "destination: 10.\($0).0.0/\(16 + $0 % 9), destination_port: 1-\($0)" })
    #expect(RuleSet(mixed.terms).methods == [.portsIPv4: .lists])
    // Kinds of packets that the same rules are about share a list.
    let tenant = try ReadRules((0..<50).map { "source: 10.\($0).0.0/\(16 + $0 % 5 * 2)" })
    #expect(RuleSet(tenant.terms).methods == [.ipv4: .lists])
  }

  @Test func thousandsOfRulesGiveWhatLinearSearchGives() throws {
    var random = FrameGenerator(seed: 5)
    var texts: [String] = []
    for index in 0..<1500 {
      let low = random.number(below: 60_000)
      let host = random.chance(4) ? "10.0.0.\(1 + random.number(below: 6))" : "10.\(index % 250).\(index / 250).0/24"
      switch index % 3 {
      case 0: texts.append("source: \(host), protocol: [tcp, udp], destination_port: \(low)-\(low + 5_000)")
      case 1:
        texts.append("source: 10.0.0.\(random.number(below: 7)), destination_port: \(low), mark: \(index % 4)")
      default:
        let to = index % 50 == 2 ? "not 2001:db8::2" : "2001:db8::\(random.number(below: 6))"
        texts.append("source: 2001:db8::\(random.number(below: 6)), destination: \(to), length: \(low % 200)-1500")
      }
    }
    let read = try ReadRules(texts)
    let frames = random.frames(600)
    try withTestPool { pool in
      let expected = results(RuleSet(read.terms, method: .linear), frames, pool)
      #expect(Set(expected).count > 5)
      let set = RuleSet(read.terms)
      #expect(set.methods.values.contains(.lists))
      #expect(results(set, frames, pool) == expected)
    }
  }

  /// A box less another, and what they have in common, are the box again: no key is lost or counted twice.
  @Test func boxesCanBeTakenApart() throws {
    let terms = try ReadRules([
      "source: 10.0.0.0/8, destination_port: 10-100", "source: 10.1.0.0/16, destination_port: 50-200",
      "protocol: tcp, flags: syn/syn+ack", "mark: 0x2/0x6, length: 60-100", "version: 6", "vlan: [1-10, 20]",
    ]).terms.flatMap { $0 }
    for one in terms {
      for other in terms {
        let pieces = one.subtracting(other)
        for (index, piece) in pieces.enumerated() {
          #expect(one.covers(piece) && !piece.meets(other))
          #expect(!pieces[..<index].contains { $0.meets(piece) })
        }
        #expect(one.covers(other) == other.subtracting(one).isEmpty)
      }
    }
  }
}
