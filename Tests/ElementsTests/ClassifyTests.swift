import Dataplane
import Elements
import Foundation
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
    ("ethertype: not ipv4", .ethernet().ipv6().udp(), udp),
    ("ethertype: [arp, 0x88b5]", .ethernet().payload("x"), udp),
    ("{ version: 4, vlan: none }", udp, .ethernet().vlan(0).ipv4().udp()),
    ("vlan: [1-10, not 7]", .ethernet().vlan(8).payload("x"), .ethernet().vlan(7).payload("x")),
    ("vlan: not 7", .ethernet().vlan(8).ipv4().udp(), udp),
    ("protocol: [udp, icmp]", .ethernet().ipv4().icmp(), tcp),
    ("protocol: not tcp", .ethernet().ipv6().icmpv6(), .ethernet().arp()),
    ("source: not 10.0.0.0/8", .ethernet().ipv4(from: "11.0.0.1").udp(), .ethernet().ipv6().udp()),
    (
      "source: [10.0.0.0/8, not 10.0.0.0/30]", .ethernet().ipv4(from: "10.0.0.4").udp(),
      .ethernet().ipv4(from: "10.0.0.3").udp()
    ),
    (
      "destination: [192.0.2.0/24, 2001:db8::/64]", .ethernet().ipv6(to: "2001:db8::ffff").tcp(),
      .ethernet().ipv6(to: "2001:db8:0:1::").tcp()
    ),
    ("destination: not 2001:db8::/127", .ethernet().ipv6(to: "2001:db8::2").udp(), .ethernet().ipv6(to: "2001:db8::1")),
    ("destination_port: [53, 80-90]", .ethernet().ipv4().tcp(to: 90), .ethernet().ipv4().tcp(to: 91)),
    ("destination_port: not 53", .ethernet().ipv4().tcp(to: 54), .ethernet().ipv4().icmp()),
    ("{ source_port: '!1024' }", .ethernet().ipv4().udp(from: 1025), udp),
    ("flags: none", .ethernet().ipv4().tcp(flags: ""), .ethernet().ipv4().tcp(flags: "E")),
    ("flags: syn/syn+ack", .ethernet().ipv4().tcp(flags: "SU"), .ethernet().ipv4().tcp(flags: "SA")),
    ("flags: [fin+psh+urg, none]", .ethernet().ipv6().tcp(flags: "FPU"), .ethernet().ipv6().tcp(flags: "FP")),
    ("flags: not syn/syn+ack", .ethernet().ipv4().tcp(flags: "SA"), .ethernet().ipv4().tcp(flags: "S")),
    ("icmp_type: [3, 11-12]", .ethernet().ipv4().icmp(type: 12), .ethernet().ipv4().icmp(type: 13)),
    (
      "{ icmp_type: 3, icmp_code: not 4 }", .ethernet().ipv4().icmp(type: 3, code: 1),
      .ethernet().ipv4().icmp(type: 3, code: 4)
    ),
    ("{ protocol: icmp, icmp_type: 8 }", .ethernet().ipv4().icmp(type: 8), .ethernet().ipv6().icmpv6(type: 8)),
    ("dscp: [ef, af11]", .ethernet().ipv4(dscp: 10).udp(), .ethernet().ipv4(dscp: 12).udp()),
    ("ecn: ce", .ethernet().ipv4(dscp: 5, ecn: 3).udp(), .ethernet().ipv4(dscp: 5, ecn: 2).udp()),
    ("ecn: [ect0, ect1]", .ethernet().ipv6(trafficClass: 0xB9).udp(), .ethernet().ipv6(trafficClass: 0xB8).udp()),
    ("fragment: [no, first]", .ethernet().ipv4(moreFragments: true).udp(), .ethernet().ipv4(fragmentOffset: 8)),
    (
      "fragment: not later", .ethernet().ipv6().ipv6Fragment(moreFragments: true).udp(),
      .ethernet().ipv4(fragmentOffset: 8)
    ),
    ("options: yes", .ethernet().ipv4(options: [1]).udp(), udp),
    ("options: yes", .ethernet().ipv6().ipv6Extension(60).udp(), .ethernet().ipv6().udp()),
    ("options: no", udp, .ethernet().ipv4(options: [7, 3, 4]).udp()),
    ("length: [60, 100-65535]", Frame.ethernet().payload(count: 86), Frame.ethernet().payload(count: 47)),
    ("ingress: lan", udp.from(port: 3), udp.from(port: 5)),
    ("ingress: [wan, dmz]", udp.from(port: 9), udp.from(port: 3)),
    ("mark: [1, 0x4/0x4]", udp.marked(6), udp.marked(3)),
    ("{ version: 4, mark: not 7 }", udp, udp.marked(7)),
    ("filter: udp port 53 and not net 10.9.0.0/16", udp, .ethernet().ipv4(from: "10.9.0.1").udp()),
    ("filter: [arp, 'tcp[tcpflags] & tcp-syn != 0']", tcp, .ethernet().ipv4().tcp(flags: "A")),
    ("{ filter: ip, destination_port: 80 }", tcp, .ethernet().ipv6().tcp()),
  ]

  @Test(arguments: fields.indices) func matches(index: Int) throws {
    let field = Self.fields[index]
    let rule = field.rule.hasPrefix("{") ? String(field.rule.dropFirst().dropLast()) : field.rule
    let classify = try ElementUnderTest(
      Classify.self, settings: "{ rules: [{ to: hit, \(rule) }], else: miss }", ports: ["lan": 3, "wan": 5, "dmz": 9])
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
    (
      "{ rules: [{ to: a, protocol: tcp, icmp_type: 8 }] }",
      "1:46 'icmp_type' contradicts 'protocol': the rule can never match"
    ),
    (
      "{ rules: [{ to: a, protocol: icmp, source_port: 8 }] }",
      "1:49 'source_port' contradicts 'protocol': the rule can never match"
    ),
    (
      "{ rules: [{ to: a, fragment: later, flags: syn }] }",
      "1:44 'flags' contradicts 'fragment': the rule can never match"
    ),
    (
      "{ rules: [{ to: a, ethertype: arp, dscp: ef }] }",
      "1:42 'dscp' contradicts 'ethertype': the rule can never match"
    ),
    ("{ rules: [{ to: a, length: 20, version: 4 }] }", "1:28 'length' contradicts 'version': the rule can never match"),
    (
      "{ rules: [{ to: a, icmp_type: 8, source_port: 8 }] }",
      "1:31 'icmp_type' contradicts 'source_port': the rule can never match"
    ),
    ("{ rules: [{ to: a, source: [10.0.0.0/8, not 10.0.0.0/7] }] }", nil),
    (
      "{ rules: [{ to: a, source: [10.0.0.0/8, not 10.0.0.0/8] }] }",
      "1:28 'source' leaves nothing: the rule can never match"
    ),
    (
      "{ rules: [{ to: a, destination_port: [1-5, not 0-9] }] }",
      "1:38 'destination_port' leaves nothing: the rule can never match"
    ),
    ("{ rules: [{ to: a, flags: [] }] }", "1:27 an empty list matches nothing"),
    ("{ rules: [{ to: a, protocol: not tpc }] }", "1:34 'tpc' is not an IP protocol"),
    ("{ rules: [{ to: a, source: 10.0.0.1/8 }] }", "1:28 '10.0.0.1/8' has bits set behind its length"),
    ("{ rules: [{ to: a, vlan: 4096 }] }", "1:26 '4096' is not a VLAN identifier from 0 to 4095, range, or none"),
    ("{ rules: [{ to: a, icmp_type: 3-300 }] }", "1:31 '3-300' is not a number from 0 to 255 or range"),
    ("{ rules: [{ to: a, length: 9-5 }] }", "1:28 '9-5' is not a length or range of lengths"),
    ("{ rules: [{ to: a, ecn: 4 }] }", nil),
    ("{ rules: [{ to: a, mark: 1/x }] }", "1:28 'x' is not a number from 0 to 4294967295"),
    ("{ rules: [{ to: a, ingress: lan }] }", "1:29 there is no port 'lan'"),
    ("{ rules: [{ to: a, filter: tcp port }] }", nil),
    ("{ rules: [{ to: a, filter: tcp prot 80 }] }", nil),
    (
      "{ rules: [{ to: a, filter: 'ip broadcast' }] }",
      "1:28 libpcap refuses the filter: netmask not known, so 'ip broadcast' not supported"
    ),
  ])
  func refuses(settings: String, message: String?) throws {
    let messages = try Verdicts("Classify", settings).messages
    #expect(messages.count == 1, "\(messages)")
    if let message { #expect(messages == [message]) }
  }

  @Test func aMistakeInAFilterIsShownWhereItIs() throws {
    func mistake(_ filter: String) throws -> String {
      let verdicts = try Verdicts("Classify", "{ rules: [{ to: a, filter: '\(filter)' }] }")
      let range = try #require(verdicts.errors.first?.range)
      #expect(verdicts.errors.count == 1)
      #expect(verdicts.errors[0].message.hasPrefix("libpcap refuses the filter: "), "\(verdicts.errors)")
      return String(Array(range.text)[range.start.column - 1..<range.start.column - 1 + range.length])
    }
    #expect(try mistake("tcp prot 80") == "prot")
    #expect(try mistake("ip and and udp") == "and")
    #expect(try mistake("tcp port 80 )") == ")")
    #expect(try mistake("(udp or tcp") == "p")
  }

  @Test func unreachableAndRepeatedRulesAreNamedForWhatTheyAre() throws {
    let verdicts = try Verdicts(
      "Classify",
      """
      rules:
        - { to: a, destination_port: 0-99 }
        - { to: b, destination_port: 100-65535 }
        - { to: c, protocol: tcp, flags: syn }
        - { to: d, version: 6, protocol: [tcp, udp] }
        - { to: d, protocol: [udp, tcp], version: 6 }
        - { to: e, version: 6, protocol: [tcp, udp] }
      """)
    #expect(verdicts.errors == [])
    #expect(
      verdicts.warnings.map(\.message) == [
        "this rule never matches: earlier ones together take all its packets", "this rule repeats an earlier one",
        "this rule never matches: an earlier one has the same conditions",
      ])
    #expect(verdicts.warnings.map { $0.range?.start.line } == [4, 6, 7])
    #expect(verdicts.warnings.map { $0.notes.map { $0.range?.start.line } } == [[2, 3], [5], [5]])
  }

  /// A folder with a file of rules.
  func withFile<T>(_ text: String, _ body: (String) throws -> T) throws -> T {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("rules-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    try text.write(to: folder.appendingPathComponent("rules.yaml"), atomically: true, encoding: .utf8)
    return try body(folder.path)
  }

  @Test func rulesOfAFileStandBehindThoseOfThePipeline() throws {
    try withFile("# ours\n- { to: b, protocol: udp }\n- to: a\n  protocol: [tcp, udp]\n") { folder in
      let classify = try ElementUnderTest(
        Classify.self, settings: "{ rules: [{ to: a, destination_port: 53 }], file: rules.yaml, else: c }",
        folder: folder)
      #expect(classify.outputNames == ["a", "b", "c"])
      let frames = [Self.udp, Frame.ethernet().ipv4().udp(to: 54), Self.tcp, Frame.ethernet().arp()]
      let result = classify.push(frames)
      #expect(result["a"].are([frames[0], frames[2]]))
      #expect(result["b"].are([frames[1]]))
      #expect(classify.counters == ["1:a": 1, "2:b": 1, "3:a": 1, "else": 1])
    }
  }

  @Test func mistakesInTheFileNameTheirPlace() throws {
    let text = """
      - { to: a, protocol: tcp }
      - { to: a, protocl: tcp }
      - { to: b, source: [10.0.0.0/8, 10.0.0.300] }
      - rubbish
      - { protocol: udp }
      - { to: c, protocol: udp, flags: syn }
      """
    try withFile(text) { folder in
      let verdicts = try Verdicts("Classify", "file: rules.yaml", folder: folder)
      let places = verdicts.errors.map { "\($0.range?.start.line ?? 0):\($0.range?.start.column ?? 0)" }
      #expect(places == ["2:12", "3:33", "4:3", "5:3", "6:34"])
      #expect(verdicts.errors.allSatisfy { $0.range?.start.file == "\(folder)/rules.yaml" })
      let missing = try Verdicts("Classify", "file: missing.yaml", folder: folder)
      #expect(missing.messages == ["1:7 \(folder)/missing.yaml: No such file or directory"])
    }
    for text in ["", "[]", "rules: []", "- {", "web"] {
      try withFile(text) { folder in
        let verdicts = try Verdicts("Classify", "file: rules.yaml", folder: folder)
        #expect(verdicts.errors.count == 1 && verdicts.errors[0].range != nil, "\(text): \(verdicts.errors)")
      }
    }
    try withFile("- { to: a, protocol: tcp }\n- { to: b, protocol: tcp }\n") { folder in
      let warnings = try Verdicts("Classify", "file: rules.yaml", folder: folder).warnings
      #expect(warnings.map { $0.range?.start.line } == [2])
      #expect(warnings.first?.notes.first?.range?.start.file == "\(folder)/rules.yaml")
    }
  }

  /// RFC 8200, section 4.5; RFC 7112, section 5: what stands behind the headers of a fragment that is not the first is no
  /// transport header, and a first fragment without its whole header chain is no packet that rules can be applied to.
  @Test func rfc7112_5_firstFragmentsWithoutTheirHeaderChainMatchNoTransportRule() throws {
    let rules = "{ rules: [{ to: port, destination_port: 0-65535 }, { to: six, version: 6 }], else: rest }"
    let classify = try ElementUnderTest(Classify.self, settings: rules)
    let whole = Frame.ethernet().ipv6().ipv6Fragment(moreFragments: true).ipv6Extension(60).udp()
    let cut = Frame(Array(whole.bytes.prefix(14 + 40 + 8 + 4)))
    let cutInside = Frame.ethernet().ipv6().ipv6Fragment(moreFragments: true, nextHeader: 60).payload([17, 3, 0, 0])
    let result = classify.push([whole, cut, cutInside])
    #expect(result["port"].are([whole]))
    #expect(result["rest"].are([cut, cutInside]))
  }

  @Test func headersInSeveralSegmentsAreNotMisread() throws {
    let rules = """
      { rules: [{ to: web, protocol: tcp, destination_port: 80, source: 10.0.0.1 },
                { to: long, filter: "udp[100:2] = 0x5c5d" }], else: rest }
      """
    let classify = try ElementUnderTest(Classify.self, settings: rules)
    let far = Frame.ethernet().ipv4().udp().payload(count: 400)
    for cuts in [[1], [14], [20, 25], [33, 34, 35, 36], [40], [50, 141, 142]] {
      let frames = [Self.tcp.split(at: cuts), far.split(at: cuts), Self.udp.split(at: cuts)]
      let result = classify.push(frames)
      #expect(result["web"].are([frames[0]]), "\(cuts)")
      #expect(result["long"].are([frames[1]]), "\(cuts)")
      #expect(result["rest"].are([frames[2]]), "\(cuts)")
    }
  }
}
