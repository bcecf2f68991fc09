import Dataplane
import TestKit
import Testing

@testable import Elements

/// What the firewall makes of TCP on the wire.
@Suite struct FirewallTCPTests {
  /// Without a SYN there is no connection, and what port scanners send in its place meets nobody.
  @Test(arguments: ["A", "FA", "R", "SA", "PA", "RA"]) func rfc9293_3_10_7_segmentsWithoutAConnection(flags: String)
    throws
  {
    let bench = try FirewallBench()
    #expect(bench.send(bench.tcp(lan: false, flags, 1, 1, client: 80, server: 4000)) == "noSession")
    #expect(bench.counter("sessions") == 0)
  }

  /// Null, FIN and Christmas tree scans have flags that make no sense.
  @Test(arguments: ["", "F", "FPU", "SF", "SR", "U", "SRFPU"]) func rfc9293_3_10_7_flagsOfScans(flags: String) throws {
    let bench = try FirewallBench()
    #expect(bench.send(bench.tcp(lan: true, flags, 1)) == "invalidFlags")
    bench.connect()
    #expect(bench.send(bench.tcp(lan: true, flags, 1001, 5001)) == "invalidFlags")
  }

  /// A connection goes through the states, and lasts as long as each of them may.
  @Test func rfc9293_3_3_2_statesHaveTimeouts() throws {
    let timeouts = """
      timeouts: { syn_sent: 5s, syn_received: 6s, established: 100s, fin_wait: 7s, close_wait: 8s, last_ack: 9s, \
      time_wait: 4s, closed: 3s }
      """
    func check(_ steps: [(Bool, String, UInt32, UInt32)], _ state: String, lasts seconds: Double) throws {
      let bench = try FirewallBench(timeouts)
      for (fromLAN, flags, sequence, acknowledgment) in steps {
        #expect(bench.send(bench.tcp(lan: fromLAN, flags, sequence, acknowledgment)) == (fromLAN ? "wan" : "lan"))
      }
      let rows = bench.element.perform("sessions").rows
      #expect(rows.map { $0["state"] } == [state])
      bench.wait(seconds: seconds - 0.1)
      #expect(bench.counter("sessions") == 1)
      bench.wait(seconds: 0.2)
      #expect(bench.counter("sessions") == 0, "\(state)")
    }
    var steps = [(true, "S", 1000, 0)] as [(Bool, String, UInt32, UInt32)]
    try check(steps, "SYN_SENT", lasts: 5)
    try check(steps + [(false, "S", 5000, 0)], "SYN_SENT2", lasts: 5)
    try check(steps + [(false, "RA", 0, 1001)], "CLOSED", lasts: 3)
    steps.append((false, "SA", 5000, 1001))
    try check(steps, "SYN_RECEIVED", lasts: 6)
    steps.append((true, "A", 1001, 5001))
    try check(steps, "ESTABLISHED", lasts: 100)
    steps.append((true, "FA", 1001, 5001))
    try check(steps, "FIN_WAIT", lasts: 7)
    steps.append((false, "A", 5001, 1002))
    try check(steps, "CLOSE_WAIT", lasts: 8)
    steps.append((false, "FA", 5001, 1002))
    try check(steps, "LAST_ACK", lasts: 9)
    steps.append((true, "A", 1002, 5002))
    try check(steps, "TIME_WAIT", lasts: 4)
  }

  /// What is outside the window is dropped, by name.
  @Test(arguments: [false, true]) func rfc9293_3_10_7_4_outOfWindowIsDropped(isIPv6: Bool) throws {
    let bench = try FirewallBench(isIPv6: isIPv6)
    bench.connect()
    #expect(bench.send(bench.tcp(lan: false, "A", 5001 + 20_000, 1001, data: 10)) == "outOfWindow")
    #expect(bench.send(bench.tcp(lan: false, "A", 5001 &- 20_000, 1001, data: 10)) == "outOfWindow")
    #expect(bench.send(bench.tcp(lan: false, "A", 5001, 1002, data: 10)) == "badAcknowledgment")
    #expect(bench.send(bench.tcp(lan: false, "A", 5001, 1001, data: 10)) == "lan")
  }

  /// Windows are scaled as both SYNs agreed.
  @Test func rfc7323_2_2_scaledWindows() throws {
    let bench = try FirewallBench()
    #expect(bench.send(bench.tcp(lan: true, "S", 1000, options: [1, 3, 3, 8])) == "wan")
    #expect(bench.send(bench.tcp(lan: false, "SA", 5000, 1001, options: [3, 3, 2])) == "lan")
    #expect(bench.send(bench.tcp(lan: true, "A", 1001, 5001, window: 1000)) == "wan")
    // 1,000 with a scale of 8.
    #expect(bench.send(bench.tcp(lan: false, "A", 5001 + 255_000, 1001, data: 10)) == "lan")
    #expect(bench.send(bench.tcp(lan: false, "A", 5001 + 256_001, 1001, data: 10)) == "outOfWindow")
  }

  /// A blind reset does not end the session, though it passes for its receiver to challenge.
  @Test func rfc5961_3_2_blindResets() throws {
    let bench = try FirewallBench()
    bench.connect()
    #expect(bench.send(bench.tcp(lan: false, "R", 5001 + 50_000)) == "badReset")
    #expect(bench.send(bench.tcp(lan: false, "R", 5001 + 100)) == "lan")
    #expect(bench.counter("unbelieved") == 1)
    #expect(bench.send(bench.tcp(lan: true, "A", 1001, 5001, data: 5)) == "wan")
    #expect(bench.send(bench.tcp(lan: false, "R", 5001)) == "lan")
    #expect(bench.send(bench.tcp(lan: true, "A", 1006, 5001, data: 5)) == "outOfWindow")
    #expect(bench.send(bench.tcp(lan: true, "S", 1000)) == "wan")
  }

  /// A SYN within a connection passes for its receiver to challenge; the session goes on.
  @Test func rfc5961_4_2_blindSyns() throws {
    let bench = try FirewallBench()
    bench.connect()
    #expect(bench.send(bench.tcp(lan: false, "S", 77_777)) == "lan")
    #expect(bench.send(bench.tcp(lan: true, "A", 1001, 5001, data: 5)) == "wan")
  }

  /// A SYN may reuse the ports of a connection that is over, if the rules let it.
  @Test func rfc9293_3_6_1_reopening() throws {
    let bench = try FirewallBench()
    bench.connect()
    bench.send(bench.tcp(lan: true, "FA", 1001, 5001))
    bench.send(bench.tcp(lan: false, "FA", 5001, 1002))
    #expect(bench.send(bench.tcp(lan: true, "A", 1002, 5002)) == "wan")
    // From the outside there is no rule for this port.
    #expect(bench.send(bench.tcp(lan: false, "S", 9)) == "deniedByDefault")
    #expect(bench.send(bench.tcp(lan: true, "S", 500_000)) == "wan")
    #expect(bench.send(bench.tcp(lan: false, "SA", 600_000, 500_001)) == "lan")
    #expect(bench.counter("sessions") == 1)
  }

  /// What changes a connection's state must have the right checksum, since its receiver would ignore it otherwise.
  @Test func rfc9293_3_1_checksumsOfWhatChangesTheState() throws {
    let bench = try FirewallBench()
    let bad = bench.ip(fromLAN: true).tcp(from: 4000, to: 80, sequence: 1000, flags: "S", checksum: .wrong)
    #expect(bench.send(bad) == "badChecksum")
    bench.connect()
    let reset = bench.ip(fromLAN: false).tcp(
      from: 80, to: 4000, sequence: 5001, acknowledgment: 1001, flags: "RA", checksum: .wrong)
    #expect(bench.send(reset) == "badChecksum")
    #expect(bench.send(bench.tcp(lan: true, "A", 1001, 5001, data: 5)) == "wan")
  }

  // MARK: ICMP errors

  private func error(
    _ bench: FirewallBench, about frame: Frame, lan: Bool = false, from: String? = nil, to: String? = nil,
    type: UInt8 = 3, code: UInt8 = 4, quoting: Int = 28
  ) -> Frame {
    let router = from ?? (bench.isIPv6 ? "2001:db8:3::1" : "203.0.113.7")
    let head = bench.ip(fromLAN: lan, from: router, to: to)
    let quoted = Array(frame.bytes.dropFirst(14).prefix(quoting + (bench.isIPv6 ? 20 : 0)))
    return bench.isIPv6
      ? head.icmpv6(type: type == 3 ? 1 : type, code: code).payload(quoted)
      : head.icmp(type: type, code: code).payload(quoted)
  }

  /// An ICMP error passes when it is about a packet of a session, and quotes octets that are under way.
  @Test(arguments: [false, true]) func rfc5927_4_1_relatedErrors(isIPv6: Bool) throws {
    let bench = try FirewallBench(isIPv6: isIPv6)
    bench.connect()
    let data = bench.tcp(lan: true, "A", 1001, 5001, data: 100)
    #expect(bench.send(error(bench, about: data)) == "lan")
    bench.send(data)
    #expect(bench.send(error(bench, about: data)) == "lan")
    // About what was never sent, or to somebody else.
    #expect(bench.send(error(bench, about: bench.tcp(lan: true, "A", 90_000, 5001))) == "unrelatedError")
    #expect(bench.send(error(bench, about: bench.tcp(lan: true, "A", 1001, 5001, client: 4001))) == "unrelatedError")
    let other = isIPv6 ? "2001:db8:1::77" : "10.0.0.77"
    #expect(bench.send(error(bench, about: data, to: other)) == "unrelatedError")
    // From the wrong side.
    #expect(bench.send(error(bench, about: data, lan: true, to: bench.inside)) == "wrongZone")
    // About an answer, from the inside.
    let answer = bench.tcp(lan: false, "A", 5001, 1001, data: 50)
    bench.send(answer)
    #expect(bench.send(error(bench, about: answer, lan: true)) == "wan")
    // Too little is quoted.
    #expect(bench.send(error(bench, about: data, quoting: 24)) == "unrelatedError")
  }

  @Test func errorsAboutOtherSessionsAreRelated() throws {
    let bench = try FirewallBench()
    let query = bench.ip(fromLAN: true).udp(from: 3000, to: 53)
    #expect(bench.send(error(bench, about: query, code: 3)) == "unrelatedError")
    bench.send(query)
    #expect(bench.send(error(bench, about: query, code: 3)) == "lan")
    let ping = bench.ip(fromLAN: true).icmp(identifier: 9)
    #expect(bench.send(error(bench, about: ping, type: 11, code: 0)) == "unrelatedError")
    bench.send(ping)
    #expect(bench.send(error(bench, about: ping, type: 11, code: 0)) == "lan")
    #expect(bench.send(error(bench, about: bench.ip(fromLAN: true).icmp(type: 13, identifier: 9))) == "unrelatedError")
    // An error about an error.
    let nested = error(bench, about: query, lan: true, from: bench.inside, to: bench.outside)
    #expect(bench.send(error(bench, about: nested, quoting: 60)) == "unrelatedError")
  }

  /// Source quench is dropped (section 6), and redirects are no session's errors.
  @Test func rfc6633_6_sourceQuenchIsDropped() throws {
    let bench = try FirewallBench()
    let query = bench.ip(fromLAN: true).udp(from: 3000, to: 53)
    bench.send(query)
    #expect(bench.send(error(bench, about: query, type: 4, code: 0)) == "deniedByDefault")
    #expect(bench.send(error(bench, about: query, type: 5, code: 0)) == "deniedByDefault")
  }

  // MARK: ICMPv6

  /// ICMPv6 that must not be dropped passes without a rule: echo (4.3.1), and discovery between neighbours (4.4.1).
  @Test func rfc4890_4_3_1_essentialMessagesPass() throws {
    let bench = try FirewallBench(isIPv6: true)
    #expect(bench.send(bench.ip(fromLAN: false).icmpv6(type: 128, identifier: 3)) == "lan")
    #expect(bench.send(bench.ip(fromLAN: true).icmpv6(type: 129, identifier: 3)) == "wan")
    let frame = Frame.ethernet().from(port: 2)
    for type in [133, 134, 135, 136] as [UInt8] {
      let good = frame.ipv6(from: "fe80::1", to: "ff02::1", hopLimit: 255).icmpv6(type: type).payload(count: 16)
      #expect(bench.send(good) == "lan")
      let routed = frame.ipv6(from: "fe80::1", to: "ff02::1", hopLimit: 254).icmpv6(type: type).payload(count: 16)
      #expect(bench.send(routed) == "deniedByDefault")
    }
    let report = frame.ipv6(from: "fe80::1", to: "ff02::16", hopLimit: 1).icmpv6(type: 143).payload(count: 16)
    #expect(bench.send(report) == "lan")
    // Router renumbering and node information are by policy (4.3.4, 4.3.5).
    for type in [138, 139, 140] as [UInt8] {
      #expect(bench.send(bench.ip(fromLAN: false).icmpv6(type: type)) == "deniedByDefault")
    }
    let strict = try FirewallBench("icmpv6: no", isIPv6: true)
    #expect(strict.send(strict.ip(fromLAN: false).icmpv6(type: 128)) == "deniedByDefault")
    let explicit = try FirewallBench(rules: "rules: [{ action: drop, protocol: icmpv6 }]", isIPv6: true)
    #expect(explicit.send(explicit.ip(fromLAN: false).icmpv6(type: 128)) == "deniedByRule")
  }

  // MARK: Options

  /// Source routes and other options that endanger routers are dropped (4.3 to 4.22), and the security labels pass (4.12
  /// to 4.14).
  @Test func rfc7126_4_optionsByPolicy() throws {
    let bench = try FirewallBench()
    func send(_ options: [UInt8], to bench: FirewallBench) -> String {
      bench.send(
        Frame.ethernet().from(port: 1).ipv4(from: "10.0.0.5", to: "192.0.2.9", options: options).udp())
    }
    for number in [7, 68, 131, 137, 136, 148, 25, 82, 30, 200] as [UInt8] {
      #expect(send([number, 7, 4, 10, 0, 0, 1, 0], to: bench) == "headerNotAllowed")
    }
    #expect(send([1, 1, 1, 0], to: bench) == "wan")
    #expect(send([130, 4, 0, 0], to: bench) == "wan")
    // Options of a session's later packets are judged as well, and those that are cut short.
    #expect(send([131, 3, 4, 0], to: bench) == "headerNotAllowed")
    #expect(send([130, 9, 0, 0], to: bench) == "headerNotAllowed")
    #expect(send([130, 1, 0, 0], to: bench) == "headerNotAllowed")
    let lax = try FirewallBench("ip_options: [router-alert, 7]")
    #expect(send([148, 4, 0, 0], to: lax) == "wan")
    #expect(send([7, 3, 4, 0], to: lax) == "wan")
    #expect(send([130, 4, 0, 0], to: lax) == "headerNotAllowed")
  }

  /// Extension headers pass but for those that are unknown or for experiments (3.4), and of routing headers types 0, 1 and
  /// 3 do not (3.4.2).
  @Test func rfc9288_3_4_extensionHeadersByPolicy() throws {
    let bench = try FirewallBench(isIPv6: true)
    let head = bench.ip(fromLAN: true)
    for number in [0, 60, 135, 139, 140] as [UInt8] {
      #expect(bench.send(head.ipv6Extension(number).udp()) == "wan")
    }
    for (type, passes) in [(0, false), (1, false), (2, true), (3, false), (4, true), (253, false)] as [(UInt8, Bool)] {
      let frame = head.ipv6Extension(43, content: [type, 0, 0, 0, 0, 0]).udp()
      #expect(bench.send(frame) == (passes ? "wan" : "headerNotAllowed"))
    }
    // Hop-by-hop options stand first or nowhere (RFC 8200, 4.1).
    #expect(bench.send(head.ipv6Extension(60).ipv6Extension(0).udp()) == "headerNotAllowed")
    #expect(
      bench.send(bench.ip(fromLAN: true).ipv6Extension(60, nextHeader: 253).payload(count: 9)) == "headerNotAllowed")
    let strict = try FirewallBench("extension_headers: [esp, ah]", isIPv6: true)
    #expect(strict.send(head.ipv6Extension(60).udp()) == "headerNotAllowed")
  }
}
