import Configuration
import Dataplane
import TestKit
import Testing

@testable import Elements

/// Sessions, rules and zones.
@Suite struct FirewallTests {
  // MARK: Sessions

  @Test(arguments: [false, true]) func aSessionPassesBothWays(isIPv6: Bool) throws {
    let bench = try FirewallBench(isIPv6: isIPv6)
    bench.connect()
    #expect(bench.send(bench.tcp(lan: false, "PA", 5001, 1001, data: 500)) == "lan")
    #expect(bench.send(bench.tcp(lan: true, "A", 1001, 5501)) == "wan")
    #expect(bench.counter("sessions") == 1)
    #expect(bench.counter("rule:out") == 1)
    // The other direction has a rule, but this port none.
    #expect(bench.send(bench.ip(fromLAN: false).tcp(from: 4000, to: 22, flags: "S")) == "deniedByDefault")
    #expect(bench.counter("rule:default") == 1)
  }

  @Test func packetsAreNotChanged() throws {
    let bench = try FirewallBench()
    let frames = [
      bench.tcp(lan: true, "S", 1000, options: [2, 4, 5, 180, 1, 3, 3, 7]),
      bench.ip(fromLAN: true).udp().payload("hello"),
      bench.ip(fromLAN: true).icmp().payload(count: 8),
    ]
    let sent = bench.element.push(frames)["wan"]
    #expect(sent.map(\.bytes) == frames.map(\.bytes))
  }

  @Test(arguments: [false, true]) func udpPassesWhileItLasts(isIPv6: Bool) throws {
    let bench = try FirewallBench("timeouts: { udp: 10s, udp_replied: 100s }", isIPv6: isIPv6)
    let query = bench.ip(fromLAN: true).udp(from: 3000, to: 53).payload("q")
    let answer = bench.ip(fromLAN: false).udp(from: 53, to: 3000).payload("a")
    #expect(bench.send(answer) == "deniedByDefault")
    #expect(bench.send(query) == "wan")
    bench.wait(seconds: 9)
    #expect(bench.send(query) == "wan")
    bench.wait(seconds: 9)
    #expect(bench.send(answer) == "lan")
    bench.wait(seconds: 99)
    #expect(bench.send(answer) == "lan")
    bench.wait(seconds: 101)
    #expect(bench.send(answer) == "deniedByDefault")
    #expect(bench.counter("sessions") == 0)
    #expect(bench.counter("expired") == 1)
    // Nothing but the ports is the same.
    #expect(bench.send(query) == "wan")
    #expect(bench.send(bench.ip(fromLAN: false).udp(from: 54, to: 3000)) == "deniedByDefault")
    #expect(bench.send(bench.ip(fromLAN: false).udp(from: 53, to: 3001)) == "deniedByDefault")
  }

  @Test(arguments: [false, true]) func queriesAreAnsweredOnlyWhereTheyWereAsked(isIPv6: Bool) throws {
    let bench = try FirewallBench("icmpv6: no", isIPv6: isIPv6)
    func message(lan: Bool, _ type: UInt8, _ identifier: UInt16) -> Frame {
      isIPv6
        ? bench.ip(fromLAN: lan).icmpv6(type: type, identifier: identifier)
        : bench.ip(fromLAN: lan).icmp(type: type, identifier: identifier)
    }
    let (query, answer): (UInt8, UInt8) = isIPv6 ? (128, 129) : (8, 0)
    #expect(bench.send(message(lan: false, answer, 7)) == "noSession")
    #expect(bench.send(message(lan: true, query, 7)) == "wan")
    #expect(bench.send(message(lan: false, answer, 8)) == "noSession")
    #expect(bench.send(message(lan: false, answer, 7)) == "lan")
    // A query of the same identifier from the other end is no answer.
    #expect(bench.send(message(lan: false, query, 7)) == "deniedByDefault")
    #expect(bench.send(message(lan: true, answer, 7)) == "noSession")
    if !isIPv6 {
      #expect(bench.send(message(lan: false, 14, 7)) == "noSession")
    }
  }

  @Test func otherProtocolsAreSessionsOfAddresses() throws {
    let bench = try FirewallBench()
    let there = Frame.ethernet().from(port: 1).ipv4(from: "10.0.0.5", to: "192.0.2.9", protocolNumber: 47)
      .payload(count: 30)
    let back = Frame.ethernet().from(port: 2).ipv4(from: "192.0.2.9", to: "10.0.0.5", protocolNumber: 47)
      .payload(count: 30)
    #expect(bench.send(back) == "deniedByDefault")
    #expect(bench.send(there) == "wan")
    #expect(bench.send(back) == "lan")
  }

  @Test func sessionsOfABatchSeeOneAnother() throws {
    for size in [1, 2, 32] {
      let bench = try FirewallBench(batchSize: size)
      let frames = [
        bench.tcp(lan: true, "S", 1000), bench.tcp(lan: false, "SA", 5000, 1001), bench.tcp(lan: true, "A", 1001, 5001),
        bench.tcp(lan: true, "PA", 1001, 5001, data: 100), bench.tcp(lan: false, "RA", 5001, 1101),
        bench.tcp(lan: true, "S", 90_000),
      ]
      let result = bench.element.push(frames)
      #expect(result.drops == [:])
      #expect(result["wan"].count == 4)
      #expect(bench.counter("opened") == 2)
    }
  }

  /// A full table refuses new sessions by name, and keeps those it has.
  @Test func aFullTableRefusesAndNeverEvicts() throws {
    let bench = try FirewallBench("sessions: 2\ntimeouts: { udp: 10s }")
    func query(_ port: UInt16) -> Frame { bench.ip(fromLAN: true).udp(from: port, to: 53) }
    #expect(bench.send(query(1)) == "wan")
    #expect(bench.send(query(2)) == "wan")
    #expect(bench.send(query(3)) == "sessionTableFull")
    #expect(bench.send(query(1)) == "wan")
    #expect(bench.send(bench.ip(fromLAN: false).udp(from: 53, to: 2)) == "lan")
    #expect(bench.counter("sessions") == 2)
    bench.wait(seconds: 11)
    #expect(bench.send(query(3)) == "wan")
  }

  @Test func sessionsAreExpiredFewAtATime() throws {
    let bench = try FirewallBench("sessions: 5000\ntimeouts: { udp: 10s }", packets: 8192)
    for port in 0..<4000 as Range<UInt16> { bench.send(bench.ip(fromLAN: true).udp(from: port, to: 53)) }
    #expect(bench.counter("sessions") == 4000)
    bench.wait(seconds: 12)
    #expect(bench.counter("sessions") == 0)
    #expect(bench.element.nextWake == .never)
  }

  // MARK: Pickup

  @Test func connectionsAreTakenUpInTheirMidstWhenAskedTo() throws {
    let strict = try FirewallBench()
    #expect(strict.send(strict.tcp(lan: true, "A", 7000, 9000, data: 10)) == "noSession")
    #expect(strict.send(strict.tcp(lan: true, "FA", 7000, 9000)) == "noSession")
    let loose = try FirewallBench("pickup: yes")
    #expect(loose.send(loose.tcp(lan: true, "A", 7000, 9000, data: 10)) == "wan")
    #expect(loose.send(loose.tcp(lan: false, "A", 9000, 7010, data: 10)) == "lan")
    #expect(loose.counter("pickedUp") == 1)
    #expect(loose.send(loose.tcp(lan: true, "R", 7000, client: 4001)) == "noSession")
    #expect(loose.send(loose.tcp(lan: true, "SA", 7000, 1, client: 4001)) == "noSession")
    #expect(loose.send(loose.tcp(lan: false, "A", 7000, 1, client: 4001, server: 22)) == "deniedByDefault")
  }

  // MARK: Zones

  @Test func zonesAreToldByNetworks() throws {
    let bench = try FirewallBench(
      rules: """
        rules:
          - { name: dns, action: accept, from: lan, to: dmz, protocol: udp }
          - { name: out, action: accept, from: [lan, dmz], to: wan }
          - { name: in, action: accept, from: not lan, to: dmz, protocol: tcp }
        """,
      zones: """
        zones:
          lan: { ports: lan, networks: [10.0.0.0/8, "2001:db8:1::/48"] }
          dmz: { ports: dmz, networks: [10.9.0.0/16] }
          wan: { ports: wan }
        """)
    func udp(_ port: Int, _ from: String, _ to: String) -> Frame {
      Frame.ethernet().from(port: port).ipv4(from: from, to: to).udp()
    }
    #expect(bench.send(udp(1, "10.0.0.1", "10.9.0.1")) == "dmz")
    #expect(bench.send(udp(1, "10.0.0.1", "8.8.8.8")) == "wan")
    #expect(bench.send(udp(3, "10.9.0.1", "8.8.8.8")) == "wan")
    #expect(bench.send(udp(3, "10.9.0.1", "10.0.0.2")) == "deniedByDefault")
    #expect(bench.send(udp(2, "8.8.8.8", "10.9.0.7")) == "deniedByDefault")
    let tcp = Frame.ethernet().from(port: 2).ipv4(from: "8.8.8.8", to: "10.9.0.7").tcp()
    #expect(bench.send(tcp) == "dmz")
    #expect(bench.send(udp(7, "8.8.8.8", "10.9.0.7")) == "unknownZone")
    let six = Frame.ethernet().from(port: 1).ipv6(from: "2001:db8:1::1", to: "2001:db8:2::1").udp()
    #expect(bench.send(six) == "wan")
  }

  @Test func zonesWithoutPortsAreToldBySources() throws {
    let bench = try FirewallBench(
      rules: "rules: [{ action: accept, from: lan, to: wan }]",
      zones: "zones: { lan: { networks: 10.0.0.0/8 }, wan: {} }")
    #expect(bench.send(Frame.ethernet().ipv4(from: "10.0.0.1", to: "8.8.8.8").udp(from: 1, to: 2)) == "wan")
    #expect(bench.send(Frame.ethernet().ipv4(from: "8.8.8.8", to: "10.0.0.1").udp(from: 2, to: 1)) == "lan")
    #expect(bench.send(Frame.ethernet().ipv4(from: "8.8.8.8", to: "10.0.0.1").udp(from: 3, to: 1)) == "deniedByDefault")
  }

  @Test func withoutZonesThereAreTwoOutputs() throws {
    let bench = try FirewallBench(
      rules: """
        rules:
          - { action: accept, protocol: udp }
          - { action: reject, protocol: tcp }
        """, zones: "")
    #expect(bench.element.outputNames == ["passed", "replies"])
    #expect(bench.send(Frame.ethernet().ipv4().udp()) == "passed")
    #expect(bench.send(Frame.ethernet().ipv4().tcp()) == "replies")
  }

  /// A packet's source must be in the networks of the zone that it comes from.
  @Test func rfc3704_2_1_sourcesMustBelongToTheirZone() throws {
    let zones = "zones: { lan: { ports: lan, networks: [10.0.0.0/24, \"2001:db8:1::/64\"] }, wan: { ports: wan } }"
    let rules = "rules: [{ action: accept }]"
    let bench = try FirewallBench(rules: rules, zones: zones)
    func from(_ port: Int, _ source: String, to destination: String = "198.51.100.1") -> String {
      bench.send(Frame.ethernet().from(port: port).ipv4(from: source, to: destination).udp())
    }
    #expect(from(1, "10.0.0.7") == "wan")
    #expect(from(1, "10.0.1.7") == "spoofedSource")
    #expect(from(2, "10.0.0.8", to: "10.0.0.9") == "spoofedSource")
    #expect(from(2, "10.0.1.8", to: "10.0.0.9") == "lan")
    #expect(from(2, "127.0.0.1", to: "10.0.0.9") == "spoofedSource")
    #expect(from(2, "224.0.0.1", to: "10.0.0.9") == "spoofedSource")
    let six = Frame.ethernet().from(port: 2).ipv6(from: "2001:db8:1::7", to: "2001:db8:1::8").udp()
    #expect(bench.send(six) == "spoofedSource")
    let lax = try FirewallBench("anti_spoofing: no", rules: rules, zones: zones)
    #expect(lax.send(Frame.ethernet().from(port: 1).ipv4(from: "10.0.1.7", to: "198.51.100.1").udp()) == "wan")
  }

  /// A session's packets come from the zones that it is between.
  @Test func rfc3704_2_1_sessionsKeepToTheirZones() throws {
    let bench = try FirewallBench()
    bench.connect()
    let forged = Frame.ethernet().from(port: 1).ipv4(from: "192.0.2.9", to: "10.0.0.5").tcp(
      from: 80, to: 4000, sequence: 5001, acknowledgment: 1001, flags: "A")
    #expect(bench.send(forged) == "wrongZone")
  }

  // MARK: Rules

  @Test(arguments: [false, true]) func rejectedPacketsAreAnswered(isIPv6: Bool) throws {
    let bench = try FirewallBench(rules: "rules: [{ action: reject, to: lan }]", isIPv6: isIPv6)
    // RFC 9293, 3.10.7.1: a reset of what has no ACK acknowledges it.
    let first = bench.element.push(bench.tcp(lan: false, "S", 5000, data: 3))["wan"]
    #expect(first.count == 1)
    #expect(first[0].problems == [])
    #expect(first[0].tcpFlags == 0x14 && first[0].tcpSequence == 0 && first[0].tcpAcknowledgment == 5004)
    let error = bench.element.push(bench.ip(fromLAN: false).udp().payload("x"))["wan"]
    #expect(error.count == 1)
    #expect(error[0].problems == [])
    #expect(error[0].icmpType == (isIPv6 ? [1, 1] : [3, 13]))
    // From where the packet was to go.
    let source = Array(error[0].bytes[isIPv6 ? 22..<38 : 26..<30])
    #expect(source == Array(bench.ip(fromLAN: false).udp().bytes[isIPv6 ? 38..<54 : 30..<34]))
  }

  @Test func errorsComeFromAnAddressThatIsGiven() throws {
    let bench = try FirewallBench(
      "reject: { source: [203.0.113.1, \"2001:db8::9\"] }", rules: "rules: [{ action: reject }]")
    let error = bench.element.push(bench.ip(fromLAN: true).udp())["lan"]
    #expect(Array(error[0].bytes[26..<30]) == [203, 0, 113, 1])
  }

  /// No packet with RST is answered by one.
  @Test func rfc9293_3_10_7_1_resetsAreNotReset() throws {
    let bench = try FirewallBench("pickup: yes", rules: "rules: [{ action: reject }]")
    #expect(bench.send(bench.tcp(lan: true, "R", 1000)) == "noSession")
    let reset = bench.element.push(bench.tcp(lan: true, "A", 1000, 7777))["lan"]
    #expect(reset[0].tcpFlags == 0x04 && reset[0].tcpSequence == 7777)
  }

  @Test func rejectionsAreLimited() throws {
    let bench = try FirewallBench(
      "reject: { rate: 1pps, burst: 3, prefix_burst: 2 }", rules: "rules: [{ action: reject }]")
    let resets = (0..<5).map { bench.send(bench.tcp(lan: true, "S", 1000, client: 100 + $0)) }
    #expect(resets == ["lan", "lan", "lan", "rejectedSilently", "rejectedSilently"])
    let errors = (0..<4).map { bench.send(bench.ip(fromLAN: true).udp(from: 100 + $0, to: 1)) }
    #expect(errors == ["lan", "lan", "rejectedSilently", "rejectedSilently"])
    bench.wait(seconds: 2)
    #expect(bench.send(bench.tcp(lan: true, "S", 1000)) == "lan")
  }

  @Test func theFirstRuleThatMatchesCounts() throws {
    let bench = try FirewallBench(
      rules: """
        rules:
          - { action: drop, from: lan, protocol: udp, destination_port: 53 }
          - { name: udp, action: accept, protocol: udp }
        """)
    #expect(bench.send(bench.ip(fromLAN: true).udp(to: 53)) == "deniedByRule")
    #expect(bench.send(bench.ip(fromLAN: true).udp(to: 54)) == "wan")
    #expect(bench.send(bench.ip(fromLAN: false).udp(to: 53)) == "lan")
    #expect(bench.counter("rule:1") == 1 && bench.counter("rule:udp") == 2)
    let open = try FirewallBench("default: accept", rules: "")
    #expect(open.send(open.ip(fromLAN: false).udp()) == "lan")
  }

  // MARK: Limits

  @Test func aSourceMayHaveSoManySessions() throws {
    let bench = try FirewallBench("connections_per_source: 2\ntimeouts: { udp: 10s }")
    func query(_ port: UInt16, from: String? = nil) -> String {
      bench.send(bench.ip(fromLAN: true, from: from).udp(from: port, to: 53))
    }
    #expect(query(1) == "wan")
    #expect(query(2) == "wan")
    #expect(query(3) == "tooManyConnections")
    #expect(query(1) == "wan")
    #expect(query(3, from: "10.0.0.6") == "wan")
    bench.wait(seconds: 11)
    #expect(query(3) == "wan")
    #expect(query(4) == "wan")
    #expect(query(5) == "tooManyConnections")
  }

  @Test func aSourceMayOpenSoManySessionsASecond() throws {
    let bench = try FirewallBench("rate_per_source: 10pps\nburst_per_source: 3")
    func query(_ port: UInt16, from: String? = nil) -> String {
      bench.send(bench.ip(fromLAN: true, from: from).udp(from: port, to: 53))
    }
    #expect((1...4).map { query($0) } == ["wan", "wan", "wan", "rateExceeded"])
    #expect(query(1) == "wan")
    #expect(query(1, from: "10.0.0.6") == "wan")
    bench.wait(seconds: 0.1)
    #expect(query(5) == "wan")
  }

  // MARK: Mistakes

  static let mistakes: [(settings: String, message: String)] = [
    (
      "zones: { lan: { ports: lan }, wan: { ports: wan } }\nrules: [{ action: accept, from: lam }]",
      "there is no zone 'lam'"
    ),
    ("rules: [{ action: accept, from: lan }]", "there is no zone 'lan'"),
    ("zones: { lan: { ports: lan } }", "one zone has nobody to be protected from"),
    ("zones: { lan: { ports: lan }, wan: { ports: [wan, lan] } }", "port 'lan' is in zones 'lan' and 'wan'"),
    ("zones: { lan: { ports: lan }, wan: { ports: wan }, dmz: { ports: dmz } }", "both lack 'networks'"),
    (
      "zones: { lan: { networks: 10.0.0.0/8 }, wan: { networks: 10.0.0.0/8 } }",
      "10.0.0.0/8 is in zones 'lan' and 'wan'"
    ),
    ("zones: { lan: { ports: lam }, wan: {} }", "there is no port 'lam'"),
    ("rules: [{ action: accept, version: 4, source: \"2001:db8::/32\" }]", "'source' contradicts 'version'"),
    (
      "zones: { lan: { ports: lan }, wan: { ports: wan } }\nrules: [{ action: accept, from: [not lan, not wan] }]",
      "'from' leaves nothing"
    ),
    ("rules: [{ action: allow }]", "is none of accept, drop, reject"),
    ("rules: [{ action: accept, name: a }, { action: drop, name: a, version: 4 }]", "two rules are called 'a'"),
    ("rate_per_source: 0pps", "a rate of nothing"),
    ("sessions: 0", "'sessions' is 0"),
  ]

  @Test(arguments: mistakes.indices) func mistakesHaveAPlace(index: Int) throws {
    let (text, message) = Self.mistakes[index]
    let error = #expect(throws: ConfigurationError.self) {
      _ = try ElementUnderTest(Firewall.self, settings: text, ports: FirewallBench.ports)
    }
    let found = error?.diagnostics ?? []
    #expect(found.contains { $0.message.contains(message) && $0.range != nil }, "\(found.map(\.message))")
    #expect(found.count == 1, "\(found.map(\.message))")
  }
}
