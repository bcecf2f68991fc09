import Dataplane
import TestKit
import Testing

@testable import Elements

/// SYN cookies and the handshakes that the firewall makes.
@Suite struct FirewallProxyTests {
  static let always = "syn_proxy: { mode: always, mss: 1400 }"
  static let asked: [UInt8] = [2, 4, 5, 180, 1, 3, 3, 7, 4, 2, 1, 1]

  /// A client outside and a server inside.
  private func syn(_ bench: FirewallBench, _ sequence: UInt32 = 1000, port: UInt16 = 4000, options: [UInt8] = asked)
    -> Frame
  {
    bench.ip(fromLAN: false).tcp(from: port, to: 80, sequence: sequence, flags: "S", options: options)
  }

  private func client(
    _ bench: FirewallBench, _ flags: String, _ sequence: UInt32, _ acknowledgment: UInt32, window: UInt16 = 500,
    data: Int = 0, options: [UInt8] = []
  ) -> Frame {
    let frame = bench.ip(fromLAN: false).tcp(
      from: 4000, to: 80, sequence: sequence, acknowledgment: acknowledgment, flags: flags, window: window,
      options: options)
    return data > 0 ? frame.payload(count: data) : frame
  }

  private func server(
    _ bench: FirewallBench, _ flags: String, _ sequence: UInt32, _ acknowledgment: UInt32, window: UInt16 = 64_000,
    data: Int = 0, options: [UInt8] = []
  ) -> Frame {
    let frame = bench.ip(fromLAN: true).tcp(
      from: 80, to: 4000, sequence: sequence, acknowledgment: acknowledgment, flags: flags, window: window,
      options: options)
    return data > 0 ? frame.payload(count: data) : frame
  }

  /// Takes a connection up to where both ends are connected; returns the cookie.
  private func connect(_ bench: FirewallBench, serverOptions: [UInt8] = asked) throws -> UInt32 {
    let cookie = try #require(bench.element.push(syn(bench))["wan"].first).tcpSequence
    #expect(bench.element.push(client(bench, "A", 1001, cookie &+ 1))["lan"].count == 1)
    #expect(bench.element.push(server(bench, "SA", 70_000, 1001, options: serverOptions)).drops == [:])
    return cookie
  }

  /// A SYN is answered without any state: by a cookie, a closed window, and the options that the client asked for.
  @Test(arguments: [false, true]) func rfc4987_3_6_synsAreAnsweredByCookies(isIPv6: Bool) throws {
    let bench = try FirewallBench(Self.always, isIPv6: isIPv6)
    let result = bench.element.push(syn(bench))
    #expect(result["lan"].isEmpty)
    let answer = try #require(result["wan"].first)
    #expect(answer.problems == [])
    #expect(answer.tcpFlags == 0x12 && answer.tcpAcknowledgment == 1001 && answer.tcpWindow == 0)
    #expect(answer.tcpOptions == [2, 4, 5, 120, 1, 3, 3, 7, 1, 1, 4, 2])
    #expect(Array(answer.bytes[0..<12]) == Array(syn(bench).bytes[6..<12] + syn(bench).bytes[0..<6]))
    #expect(bench.counter("sessions") == 0)
    #expect(bench.counter("cookiesSent") == 1)
    let plain = try #require(bench.element.push(syn(bench, options: []))["wan"].first)
    #expect(plain.tcpOptions == [2, 4, 5, 120])
    // The rules are asked all the same.
    let denied = bench.ip(fromLAN: false).tcp(from: 1, to: 22, flags: "S")
    #expect(bench.send(denied) == "deniedByDefault")
  }

  /// The acknowledgement of a cookie opens a connection to the server, with what the client asked for.
  @Test(arguments: [false, true]) func rfc4987_3_6_acknowledgedCookiesOpenConnections(isIPv6: Bool) throws {
    let bench = try FirewallBench(Self.always, isIPv6: isIPv6)
    let cookie = try #require(bench.element.push(syn(bench))["wan"].first).tcpSequence
    #expect(bench.send(client(bench, "A", 1001, cookie)) == "noSession")
    #expect(bench.send(client(bench, "A", 1002, cookie &+ 1)) == "noSession")
    let toServer = try #require(bench.element.push(client(bench, "A", 1001, cookie &+ 1, data: 30))["lan"].first)
    #expect(toServer.problems == [])
    #expect(toServer.tcpFlags == 0x02 && toServer.tcpSequence == 1000)
    #expect(toServer.tcpOptions == [2, 4, 5, 180, 1, 3, 3, 7, 1, 1, 4, 2])
    #expect(bench.counter("cookiesAccepted") == 1)
    #expect(bench.element.perform("sessions").rows.map { $0["state"] } == ["PROXYING"])
    // The server's answer: an acknowledgement goes back, the window on to the client.
    let result = bench.element.push(server(bench, "SA", 70_000, 1001, window: 64_000, options: [1, 3, 3, 9]))
    #expect(result.created == 1)
    let back = try #require(result["lan"].first)
    #expect(back.problems == [])
    #expect(back.tcpFlags == 0x10 && back.tcpSequence == 1001 && back.tcpAcknowledgment == 70_001)
    #expect(back.tcpWindow == 500)
    let update = try #require(result["wan"].first)
    #expect(update.problems == [])
    #expect(update.tcpFlags == 0x10 && update.tcpSequence == cookie &+ 1 && update.tcpAcknowledgment == 1001)
    // 64,000 as the client reads it, who was told a scale of 7.
    #expect(update.tcpWindow == 500)
    #expect(bench.element.perform("sessions").rows.map { $0["state"] } == ["ESTABLISHED"])
  }

  /// Numbers, windows and selective acknowledgements are translated from then on.
  @Test(arguments: [false, true]) func rfc4987_3_6_sequenceNumbersAreTranslated(isIPv6: Bool) throws {
    let bench = try FirewallBench(Self.always, isIPv6: isIPv6)
    let cookie = try connect(bench, serverOptions: [1, 3, 3, 9, 4, 2, 1, 1])
    let answer = try #require(
      bench.element.push(server(bench, "PA", 70_001, 1001, window: 100, data: 200))["wan"].first)
    #expect(answer.problems == [])
    #expect(answer.tcpSequence == cookie &+ 1 && answer.tcpAcknowledgment == 1001)
    // 100 with a scale of 9, to one who was told 7.
    #expect(answer.tcpWindow == 400)
    func words(_ numbers: [UInt32]) -> [UInt8] {
      numbers.flatMap { number in (0..<4).reversed().map { UInt8(truncatingIfNeeded: number >> ($0 * 8)) } }
    }
    let blocks = [cookie &+ 301, cookie &+ 401, cookie &+ 501, cookie &+ 601]
    let selective: [UInt8] = [1, 1, 5, 18] + words(blocks)
    let request = try #require(
      bench.element.push(client(bench, "A", 1001, cookie &+ 201, data: 77, options: selective))["lan"].first)
    #expect(request.problems == [])
    #expect(request.tcpAcknowledgment == 70_201 && request.tcpSequence == 1001 && request.tcpWindow == 500)
    #expect(request.tcpOptions == [1, 1, 5, 18] + words(blocks.map { $0 &- cookie &+ 70_000 }))
    // An option at an odd place.
    let odd: [UInt8] = [1, 5, 10] + words(Array(blocks.prefix(2))) + [0]
    let shifted = try #require(
      bench.element.push(client(bench, "A", 1001, cookie &+ 201, options: odd))["lan"].first)
    #expect(shifted.problems == [])
    #expect(shifted.tcpOptions == [1, 5, 10] + words(blocks.prefix(2).map { $0 &- cookie &+ 70_000 }) + [0])
    // Windows are checked as ever.
    #expect(bench.send(client(bench, "A", 90_001_000, cookie &+ 201, data: 1)) == "outOfWindow")
    #expect(bench.send(client(bench, "A", 1078, 70_201, data: 1)) == "badAcknowledgment")
    // And it ends as others do.
    #expect(bench.send(client(bench, "FA", 1078, cookie &+ 201)) == "lan")
    #expect(bench.send(server(bench, "FA", 70_201, 1079, window: 100)) == "wan")
    #expect(bench.send(client(bench, "A", 1079, cookie &+ 202)) == "lan")
    #expect(bench.element.perform("sessions").rows.map { $0["state"] } == ["TIME_WAIT"])
  }

  /// A server that knows no scaling is given windows that are none.
  @Test func windowsAreTranslatedForServersWithoutScaling() throws {
    let bench = try FirewallBench(Self.always)
    let cookie = try #require(bench.element.push(syn(bench))["wan"].first).tcpSequence
    #expect(bench.send(client(bench, "A", 1001, cookie &+ 1, window: 100)) == "lan")
    let back = try #require(bench.element.push(server(bench, "SA", 70_000, 1001, options: []))["lan"].first)
    #expect(back.tcpWindow == 100 << 7)
    let answer = try #require(bench.element.push(server(bench, "A", 70_001, 1001, window: 6400))["wan"].first)
    #expect(answer.tcpWindow == 6400 >> 7)
    let small = try #require(bench.element.push(server(bench, "A", 70_001, 1001, window: 6))["wan"].first)
    #expect(small.tcpWindow == 1)
    let request = try #require(
      bench.element.push(client(bench, "A", 1001, cookie &+ 1, window: 60_000))["lan"].first)
    #expect(request.tcpWindow == 65_535)
  }

  /// A server that refuses is heard by the client.
  @Test func aServersResetIsTranslated() throws {
    let bench = try FirewallBench(Self.always)
    let cookie = try #require(bench.element.push(syn(bench))["wan"].first).tcpSequence
    #expect(bench.send(client(bench, "A", 1001, cookie &+ 1)) == "lan")
    #expect(bench.send(server(bench, "RA", 0, 999)) == "badHandshake")
    let reset = try #require(bench.element.push(server(bench, "RA", 0, 1001))["wan"].first)
    #expect(reset.problems == [])
    #expect(reset.tcpFlags == 0x14 && reset.tcpSequence == cookie &+ 1 && reset.tcpAcknowledgment == 1001)
    #expect(bench.counter("sessions") == 0)
  }

  /// What the client says before the server has answered has SYN sent again.
  @Test func lostSynsAreRepeated() throws {
    let bench = try FirewallBench(Self.always)
    let cookie = try #require(bench.element.push(syn(bench))["wan"].first).tcpSequence
    #expect(bench.send(client(bench, "A", 1001, cookie &+ 1)) == "lan")
    let again = try #require(bench.element.push(client(bench, "PA", 1001, cookie &+ 1, data: 9))["lan"].first)
    #expect(again.tcpFlags == 0x02 && again.tcpSequence == 1000)
    let probe = try #require(bench.element.push(client(bench, "A", 1000, cookie &+ 1))["lan"].first)
    #expect(probe.tcpFlags == 0x02 && probe.tcpSequence == 1000)
    #expect(bench.send(client(bench, "PA", 1002, cookie &+ 1, data: 9)) == "outOfWindow")
    #expect(bench.send(client(bench, "R", 1001, 0)) == "lan")
    #expect(bench.counter("sessions") == 0)
  }

  /// ICMP errors about what was translated are translated back.
  @Test func errorsAboutTranslatedSegments() throws {
    let bench = try FirewallBench(Self.always)
    _ = try connect(bench)
    let answer = try #require(bench.element.push(server(bench, "A", 70_001, 1001, data: 50))["wan"].first)
    let quoted = Array(answer.bytes.dropFirst(14).prefix(28))
    let error = bench.ip(fromLAN: false, from: "203.0.113.7").icmp(type: 3, code: 4).payload(quoted)
    let sent = try #require(bench.element.push(error)["lan"].first)
    #expect(sent.problems == [])
    #expect(sent.word32(14 + 20 + 8 + 20 + 4) == 70_001)
  }

  /// Cookies begin when too many connections are half open, and end at half of that. Meanwhile the table is bounded, and
  /// whoever is there gets through.
  @Test func rfc4987_4_cookiesBeginUnderFlood() throws {
    let bench = try FirewallBench("syn_proxy: { half_open: 50 }\ntimeouts: { syn_sent: 20s }")
    for port in 0..<60 as Range<UInt16> { bench.send(syn(bench, port: 10_000 + port)) }
    #expect(bench.counter("halfOpen") == 51)
    #expect(bench.counter("cookiesSent") == 9)
    let cookie = try #require(bench.element.push(syn(bench))["wan"].first).tcpSequence
    #expect(bench.send(client(bench, "A", 1001, cookie &+ 1)) == "lan")
    #expect(bench.element.push(server(bench, "SA", 70_000, 1001)).drops == [:])
    #expect(bench.send(client(bench, "PA", 1001, cookie &+ 1, data: 10)) == "lan")
    bench.wait(seconds: 21)
    #expect(bench.counter("halfOpen") == 0)
    #expect(bench.send(syn(bench, port: 5)) == "lan")
    #expect(bench.send(client(bench, "PA", 1011, cookie &+ 1, data: 10)) == "lan")
  }

  @Test func withoutCookiesNobodyCanAcknowledgeOne() throws {
    let bench = try FirewallBench("syn_proxy: { mode: never, half_open: 1 }")
    for port in 0..<5 as Range<UInt16> { #expect(bench.send(syn(bench, port: port)) == "lan") }
    #expect(bench.send(client(bench, "A", 1001, 1)) == "noSession")
  }

  /// A cookie is good for two minutes.
  @Test func cookiesExpire() throws {
    let bench = try FirewallBench(Self.always)
    let cookie = try #require(bench.element.push(syn(bench))["wan"].first).tcpSequence
    bench.wait(seconds: 129)
    #expect(bench.send(client(bench, "A", 1001, cookie &+ 1)) == "noSession")
  }
}
