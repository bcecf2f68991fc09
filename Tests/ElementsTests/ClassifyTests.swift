import Dataplane
import Elements
import TestKit
import Testing

@Suite struct ClassifyTests {
  static let udp = Frame.ethernet().ipv4().udp()
  static let tcp = Frame.ethernet().ipv4().tcp()

  @Test func sortsByWhatFramesCarry() throws {
    let classify = try ElementUnderTest(Classify.self)
    #expect(classify.outputNames == ["ipv4", "ipv6", "arp", "other"])
    let broken = Frame(Array(Self.udp.bytes.prefix(30)))
    let frames = [
      Self.udp, .ethernet().vlan(3).ipv6().tcp(), .ethernet().arp(), broken, .ethernet().payload("?"), Frame([1, 2]),
    ]
    let result = classify.push(frames)
    #expect(result["ipv4"].are([frames[0]]))
    #expect(result["ipv6"].are([frames[1]]))
    #expect(result["arp"].are([frames[2]]))
    #expect(result["other"].are(Array(frames[3...])))
  }

  @Test func saysWhatItsOutputsDeliver() throws {
    let plain = try Verdicts("Classify", "{}").outputs
    #expect(plain.map(\.delivers) == [.ipv4, .ipv6, .arp, nil])
    let rules = """
      rules:
        - { to: four, source: 10.0.0.0/8 }
        - { to: six, version: 6 }
        - { to: ports, destination_port: 53 }
        - { to: tagged, vlan: 7 }
        - { to: both, version: 4 }
        - { to: both, version: 6 }
        - { to: mixed, version: 4 }
        - { to: mixed, vlan: 8 }
      else: tagged
      """
    let outputs = try Verdicts("Classify", rules).outputs
    let delivers = Dictionary(uniqueKeysWithValues: outputs.map { ($0.name, $0.delivers) })
    #expect(delivers == ["four": .ipv4, "six": .ipv6, "ports": .ip, "tagged": nil, "both": .ip, "mixed": nil])
  }

  @Test func theFirstRuleInTheOrderWrittenWins() throws {
    let settings = """
      rules:
        - { to: a, destination_port: 53 }
        - { to: b, protocol: udp }
        - { to: a, protocol: tcp }
      else: c
      """
    let classify = try ElementUnderTest(Classify.self, settings: settings)
    let frames = [Self.udp, Frame.ethernet().ipv4().udp(to: 54), Self.tcp, Frame.ethernet().arp()]
    let result = classify.push(frames)
    #expect(result["a"].are([frames[0], frames[2]]))
    #expect(result["b"].are([frames[1]]))
    #expect(result["c"].are([frames[3]]))
    #expect(classify.counters == ["1:a": 1, "2:b": 1, "3:a": 1, "else": 1])
  }

  /// A rule, a frame that matches it and one that is just beside.
  static let fields: [(rule: String, hit: Frame, miss: Frame)] = [
    ("ethertype: arp", .ethernet().arp(), udp),
    ("ethertype: 0x88B5", .ethernet().vlan(3).payload("x"), udp),
    (
      "vlan: 7", .ethernet().vlan(7, protocolIdentifier: 0x88A8).vlan(8).ipv4().udp(),
      .ethernet().vlan(8).vlan(7).ipv4()
    ),
    ("version: 4", udp, .ethernet().ipv6().udp()),
    ("version: 6", .ethernet().ipv6().udp(), udp),
    ("protocol: tcp", .ethernet().ipv6().ipv6Extension(0).ipv6Extension(60).tcp(), udp),
    ("source: 10.0.0.0/31", .ethernet().ipv4(from: "10.0.0.1").udp(), .ethernet().ipv4(from: "10.0.0.2").udp()),
    (
      "destination: 2001:db8::/127", .ethernet().ipv6(to: "2001:db8::1").udp(),
      .ethernet().ipv6(to: "2001:db8::2").udp()
    ),
    ("source: 0.0.0.0/0", udp, .ethernet().ipv6().udp()),
    ("source_port: 1000-1024", .ethernet().ipv4().udp(from: 1024), .ethernet().ipv4().udp(from: 1025)),
    ("destination_port: 53", .ethernet().ipv6().tcp(to: 53), .ethernet().ipv6().tcp(to: 52)),
    ("flags: syn", .ethernet().ipv4().tcp(flags: "SA"), .ethernet().ipv4().tcp(flags: "A")),
    ("{ flags: syn, flags_mask: syn+ack }", .ethernet().ipv4().tcp(flags: "SP"), .ethernet().ipv4().tcp(flags: "SA")),
    ("{ flags: none, flags_mask: rst }", .ethernet().ipv4().tcp(flags: "A"), .ethernet().ipv4().tcp(flags: "R")),
    ("dscp: 46", .ethernet().ipv4(dscp: 46, ecn: 3).udp(), .ethernet().ipv4(dscp: 45).udp()),
    ("dscp: ef", .ethernet().ipv6(trafficClass: 46 << 2 | 1).udp(), .ethernet().ipv6(trafficClass: 46).udp()),
    ("icmp_type: 8", .ethernet().ipv4().icmp(type: 8), .ethernet().ipv4().icmp(type: 0)),
    ("icmp_type: 128", .ethernet().ipv6().icmpv6(type: 128), .ethernet().ipv4().udp(from: 0x8000)),
    ("icmp_code: 4", .ethernet().ipv4().icmp(type: 3, code: 4), .ethernet().ipv4().icmp(type: 3, code: 3)),
    ("fragment: yes", .ethernet().ipv4(moreFragments: true).udp(), udp),
    ("fragment: no", udp, .ethernet().ipv4(fragmentOffset: 8).payload("x")),
    (
      "fragment: first", .ethernet().ipv4(moreFragments: true).udp(),
      .ethernet().ipv4(moreFragments: true, fragmentOffset: 8)
    ),
    (
      "fragment: later", .ethernet().ipv6().ipv6Fragment(offset: 8).payload("x"),
      .ethernet().ipv6().ipv6Fragment().udp()
    ),
    ("length: 60", Frame.ethernet().payload(count: 46), Frame.ethernet().payload(count: 47)),
    ("length: 15-20", Frame.ethernet().payload(count: 6), Frame.ethernet()),
    ("mark: 7", udp.marked(7), udp.marked(8)),
    ("{ mark: 2, mark_mask: 0x6 }", udp.marked(3), udp.marked(6)),
    ("{ protocol: udp, destination_port: 53, vlan: 4 }", .ethernet().vlan(4).ipv4().udp(), udp),
  ]

  @Test(arguments: fields.indices) func matches(index: Int) throws {
    let field = Self.fields[index]
    let rule = field.rule.hasPrefix("{") ? String(field.rule.dropFirst().dropLast()) : field.rule
    let classify = try ElementUnderTest(Classify.self, settings: "{ rules: [{ to: hit, \(rule) }], else: miss }")
    let result = classify.push([field.hit, field.miss, Frame([1])])
    #expect(result["hit"].are([field.hit]), "\(field.rule): \(result)")
    #expect(result["miss"].are([field.miss, Frame([1])]), "\(field.rule): \(result)")
  }

  @Test(arguments: ["source_port: 0-65535", "destination_port: 0-65535", "flags: none", "icmp_type: 8"])
  func laterFragmentsNeverMatchFieldsBehindIP(rule: String) throws {
    let classify = try ElementUnderTest(Classify.self, settings: "{ rules: [{ to: hit, \(rule) }], else: miss }")
    // The bytes would do as a transport header.
    let fake = Frame.ethernet().ipv4().icmp(type: 8, code: 0).payload(count: 40).bytes[34...]
    let frames = [UInt8(1), 6, 17].flatMap { number in
      [
        Frame.ethernet().ipv4(fragmentOffset: 8, protocolNumber: number).payload(Array(fake)),
        Frame.ethernet().ipv6().ipv6Fragment(offset: 8, nextHeader: number).payload(Array(fake)),
      ]
    }
    #expect(classify.push(frames)["miss"].are(frames))
  }

  @Test func aRuleThatAnEarlierOneCoversIsAWarningWithBothPlaces() throws {
    let verdicts = try Verdicts(
      "Classify",
      """
      rules:
        - { to: a, source: 10.0.0.0/8, destination_port: 1-1023 }
        - { to: b, protocol: tcp }
        - { to: c, source: 10.1.0.0/16, destination_port: 80, protocol: tcp, length: 60-80 }
        - { to: d, source: 10.1.0.0/16, destination_port: 80-2000 }
        - { to: e, protocol: tcp }
        - { to: f, mark: 1, mark_mask: 1 }
        - { to: g, mark: 1 }
      """)
    #expect(verdicts.errors == [])
    #expect(verdicts.warnings.map { $0.range?.start.line } == [4, 6, 8])
    #expect(verdicts.warnings.map { $0.notes.first?.range?.start.line } == [2, 3, 7])
  }

  @Test(arguments: [
    ("{ rules: [{ to: a, version: 5 }] }", "1:29 5 is no IP version"),
    (
      "{ rules: [{ to: a, version: 6, source: 10.0.0.0/8 }] }",
      "1:40 'source' contradicts 'version': the rule can never match"
    ),
    (
      "{ rules: [{ to: a, flags: syn, flags_mask: ack }] }",
      "1:27 flags that 'flags_mask' leaves out can never match"
    ),
    ("{ rules: [{ to: a, mark: 2, mark_mask: 1 }] }", "1:26 bits that 'mark_mask' leaves out can never match"),
    ("{ else: arp }", "1:9 'arp' is an output of its own without rules"),
    ("{ rules: [{ vlan: 1 }] }", "1:11 'to' is missing"),
    ("{ rules: [{ to: a, port: 1 }] }", "1:20 there is no setting 'port'"),
  ])
  func refuses(settings: String, message: String) throws {
    #expect(try Verdicts("Classify", settings).messages == [message])
  }
}
