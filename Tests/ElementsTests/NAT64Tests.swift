import Configuration
import Dataplane
import Elements
import TestKit
import Testing

@Suite struct NAT64Tests {
  static let host = "2001:db8::10"
  static let other = "2001:db8::11"
  static let server = "198.51.100.1"
  static let server6 = "2001:db8:64::c633:6401"
  static let second = "198.51.100.2"
  static let second6 = "2001:db8:64::c633:6402"
  static let pool = "203.0.113.1"
  static let pool6 = "2001:db8:64::cb00:7101"
  static let oneSecond: UInt64 = 1_000_000_000

  private func nat64(_ more: String = "", pool: String = Self.pool) throws -> ElementUnderTest {
    try ElementUnderTest(NAT64.self, settings: "{ prefix: 2001:db8:64::/96, pool: [\(pool)]\(more) }")
  }

  private func out(_ host: String = Self.host, to server: String = Self.server6, hops: UInt8 = 64) -> Frame {
    Frame.ethernet().ipv6(from: host, to: server, hopLimit: hops)
  }

  private func back(_ server: String = Self.server, to pool: String = Self.pool, dontFragment: Bool = true) -> Frame {
    Frame.ethernet().ipv4(from: server, to: pool, dontFragment: dontFragment)
  }

  private func delivered(_ host: String = Self.host, from server: String = Self.server6, hops: UInt8 = 63) -> Frame {
    Frame.ethernet().ipv6(from: server, to: host, hopLimit: hops)
  }

  /// The layers of what left by an output, in words, without the Ethernet header.
  private func layers(_ packets: [SentPacket], sourceLocation: SourceLocation = #_sourceLocation) -> [String] {
    packets.map { packet in
      let dissection = Dissection(packet.bytes)
      #expect(dissection.problems == [], sourceLocation: sourceLocation)
      return dissection.layers.dropFirst().joined(separator: ", ")
    }
  }

  // MARK: UDP

  /// A UDP session is made by a packet from inside, and carries answers back.
  @Test func rfc6146_3_5_1_udp() throws {
    let nat = try nat64()
    let sent = nat.push(out().udp(from: 5000, to: 53).payload("hello"), input: "inside")
    #expect(layers(sent["outside"]) == ["ipv4 203.0.113.1 > 198.51.100.1 ttl 63, udp 5000 > 53"])
    let answer = nat.push(back().udp(from: 53, to: 5000).payload("world"), input: "outside")
    #expect(answer["inside"].map(\.bytes) == [delivered().udp(from: 53, to: 5000).payload("world").bytes])
  }

  /// An inside endpoint has one outside port whatever it sends to, and no two have the same.
  @Test func rfc6146_3_5_1_1_mappingIsEndpointIndependent() throws {
    let nat = try nat64()
    let first = nat.push(
      [out().udp(from: 5000, to: 53), out(to: Self.second6).udp(from: 5000, to: 99)], input: "inside")
    #expect(
      layers(first["outside"]) == [
        "ipv4 203.0.113.1 > 198.51.100.1 ttl 63, udp 5000 > 53",
        "ipv4 203.0.113.1 > 198.51.100.2 ttl 63, udp 5000 > 99",
      ])
    let clash = nat.push(out(Self.other).udp(from: 5000, to: 53), input: "inside")
    let text = try #require(layers(clash["outside"]).first)
    #expect(!text.contains("udp 5000 >"))
    // TCP's ports are others.
    let tcp = nat.push(out(Self.other).tcp(from: 5000, to: 80), input: "inside")
    #expect(layers(tcp["outside"]) == ["ipv4 203.0.113.1 > 198.51.100.1 ttl 63, tcp 5000 > 80 flags 0x2"])
    #expect(nat.counters["bindings"] == 3)
    #expect(nat.counters["sessions"] == 4)
  }

  /// Port parity and the range of well-known ports are kept where possible.
  @Test func rfc6146_3_5_1_1_parity() throws {
    let nat = try nat64(", ports: 512-65535")
    _ = nat.push(out().udp(from: 5001), input: "inside")
    for (port, isLow) in [(UInt16(5001), false), (700, true)] {
      _ = nat.push(out().udp(from: port), input: "inside")
      let clash = nat.push(out(Self.other).udp(from: port), input: "inside")
      let bytes = try #require(clash["outside"].first?.bytes)
      let given = UInt16(bytes[34]) << 8 | UInt16(bytes[35])
      #expect(given % 2 == port % 2)
      #expect((given < 1024) == isLow)
    }
  }

  /// Without address-dependent filtering any IPv4 host may send to a bound port, and begins a session of its own.
  @Test func rfc6146_3_5_1_endpointIndependentFiltering() throws {
    let nat = try nat64()
    _ = nat.push(out().udp(from: 5000, to: 53), input: "inside")
    let result = nat.push(back(Self.second).udp(from: 7, to: 5000), input: "outside")
    #expect(result["inside"].map(\.bytes) == [delivered(from: Self.second6).udp(from: 7, to: 5000).bytes])
    #expect(nat.counters["sessions"] == 2)
  }

  /// With address-dependent filtering only hosts that the inside has sent to may answer, from any port.
  @Test func rfc6146_3_5_1_addressDependentFiltering() throws {
    let nat = try nat64(", filtering: address-dependent")
    _ = nat.push(out().udp(from: 5000, to: 53), input: "inside")
    let same = nat.push(back().udp(from: 54, to: 5000), input: "outside")
    #expect(same["inside"].count == 1)
    let stranger = back(Self.second).udp(from: 53, to: 5000)
    #expect(nat.push(stranger, input: "outside")["prohibited"].map(\.bytes) == [stranger.bytes])
    _ = nat.advance(by: 301 * Self.oneSecond)
    #expect(nat.push(back().udp(from: 53, to: 5000), input: "outside").drops == ["noBinding": 1])
  }

  /// A UDP session lives five minutes without packets, and each packet, whichever way, gives it five more.
  @Test func rfc6146_4_udpLifetime() throws {
    let nat = try nat64()
    _ = nat.push(out().udp(from: 5000, to: 53), input: "inside")
    _ = nat.advance(by: 299 * Self.oneSecond)
    #expect(nat.push(back().udp(from: 53, to: 5000), input: "outside")["inside"].count == 1)
    _ = nat.advance(by: 299 * Self.oneSecond)
    #expect(nat.push(out().udp(from: 5000, to: 53), input: "inside")["outside"].count == 1)
    _ = nat.advance(by: 301 * Self.oneSecond)
    #expect(nat.counters["bindings"] == 0)
    #expect(nat.push(back().udp(from: 53, to: 5000), input: "outside").drops == ["noBinding": 1])
  }

  /// UDP sessions cannot be set to live less than two minutes, connections not less than two hours and four minutes.
  @Test func rfc6146_4_leastLifetimes() {
    #expect(mistakes("{ pool: [192.0.2.1], udp_timeout: 119s }").count == 1)
    #expect(mistakes("{ pool: [192.0.2.1], tcp_established_timeout: 7439s }").count == 1)
    #expect(mistakes("{ pool: [192.0.2.1], udp_timeout: 120s, tcp_established_timeout: 7440s }") == [])
  }

  /// Packets to ports that stand for nobody are dropped.
  @Test func rfc6146_3_5_1_noBinding() throws {
    let nat = try nat64()
    #expect(nat.push(back().udp(from: 53, to: 5000), input: "outside").drops == ["noBinding": 1])
    #expect(nat.push(back().icmp(identifier: 7), input: "outside").drops == ["noBinding": 1])
  }

  // MARK: TCP

  private func open(_ nat: ElementUnderTest, sourceLocation: SourceLocation = #_sourceLocation) {
    let syn = nat.push(out().tcp(from: 5000, to: 80, flags: "S"), input: "inside")
    #expect(syn["outside"].count == 1, sourceLocation: sourceLocation)
    let answer = nat.push(back().tcp(from: 80, to: 5000, flags: "SA"), input: "outside")
    #expect(answer["inside"].count == 1, sourceLocation: sourceLocation)
    let ack = nat.push(out().tcp(from: 5000, to: 80, flags: "A"), input: "inside")
    #expect(ack["outside"].count == 1, sourceLocation: sourceLocation)
  }

  private func state(_ nat: ElementUnderTest) -> [String] {
    nat.perform("sessions").rows.map { "\($0["state"] ?? "-") \($0["seconds_left"] ?? "-")" }
  }

  /// SYNs both ways make a connection, which lives two hours and four minutes; one SYN lives four minutes.
  @Test func rfc6146_3_5_2_2_opening() throws {
    let nat = try nat64()
    _ = nat.push(out().tcp(from: 5000, to: 80, flags: "S"), input: "inside")
    #expect(state(nat) == ["v6Init 240"])
    _ = nat.push(back().tcp(from: 80, to: 5000, flags: "SA"), input: "outside")
    #expect(state(nat) == ["established 7440"])
    let unanswered = try nat64()
    _ = unanswered.push(out().tcp(from: 5000, to: 80, flags: "S"), input: "inside")
    _ = unanswered.advance(by: 241 * Self.oneSecond)
    #expect(unanswered.counters["bindings"] == 0)
  }

  /// FINs of both ends leave a connection four minutes; one FIN leaves it its life.
  @Test func rfc6146_3_5_2_2_closing() throws {
    for (first, last) in [("v6FinReceived 7440", true), ("v4FinReceived 7440", false)] {
      let nat = try nat64()
      open(nat)
      let steps = [
        (out().tcp(from: 5000, to: 80, flags: "FA"), "inside"),
        (back().tcp(from: 80, to: 5000, flags: "FA"), "outside"),
      ]
      for (number, step) in (last ? steps : steps.reversed()).enumerated() {
        _ = nat.push(step.0, input: step.1)
        #expect(state(nat) == [number == 0 ? first : "bothFinReceived 240"])
      }
      _ = nat.advance(by: 100 * Self.oneSecond)
      #expect(nat.push(out().tcp(from: 5000, to: 80, flags: "A"), input: "inside")["outside"].count == 1)
      _ = nat.advance(by: 141 * Self.oneSecond)
      #expect(nat.counters["sessions"] == 0)
      #expect(nat.push(out().tcp(from: 5000, to: 80, flags: "A"), input: "inside").drops == ["noSession": 1])
    }
  }

  /// A RST leaves a connection four minutes, unless something else follows.
  @Test func rfc6146_3_5_2_2_reset() throws {
    let nat = try nat64()
    open(nat)
    _ = nat.push(back().tcp(from: 80, to: 5000, flags: "R"), input: "outside")
    #expect(state(nat) == ["transitory 240"])
    _ = nat.push(back().tcp(from: 80, to: 5000, flags: "A"), input: "outside")
    #expect(state(nat) == ["established 7440"])
    _ = nat.push(out().tcp(from: 5000, to: 80, flags: "RA"), input: "inside")
    _ = nat.advance(by: 241 * Self.oneSecond)
    #expect(nat.counters["sessions"] == 0)
  }

  /// A connection that was silent for its life is probed on the inside, and goes four minutes later without an answer.
  @Test func rfc6146_3_5_2_2_probe() throws {
    let nat = try nat64()
    open(nat)
    let silent = nat.advance(by: 7_441 * Self.oneSecond)
    #expect(layers(silent["inside"]) == ["ipv6 \(Self.server6) > \(Self.host) hops 64, tcp 80 > 5000 flags 0x10"])
    #expect(silent.created == 1)
    #expect(nat.push(out().tcp(from: 5000, to: 80, flags: "A"), input: "inside")["outside"].count == 1)
    #expect(state(nat) == ["established 7440"])
    #expect(nat.advance(by: 7_441 * Self.oneSecond)["inside"].count == 1)
    _ = nat.advance(by: 241 * Self.oneSecond)
    #expect(nat.counters["sessions"] == 0)
  }

  /// A SYN to an unbound port waits six seconds for the inside's before it is answered with Port Unreachable.
  @Test func rfc6146_3_5_2_2_incomingSYN() throws {
    let nat = try nat64()
    let syn = back().tcp(from: 80, to: 5000, flags: "S")
    #expect(nat.push(syn, input: "outside").held == 1)
    #expect(nat.push(syn, input: "outside").drops == ["noSession": 1])
    #expect(nat.advance(by: 5 * Self.oneSecond)["unanswered"].isEmpty)
    let result = nat.advance(by: 2 * Self.oneSecond)
    #expect(result["unanswered"].map(\.bytes) == [syn.bytes])
    #expect(nat.held == 0)
  }

  /// The inside's SYN meets one that waits: the connection is open, and nobody is told that the port is unreachable.
  @Test func rfc6146_3_5_2_2_simultaneousOpen() throws {
    let nat = try nat64()
    _ = nat.push(back().tcp(from: 80, to: 5000, flags: "S"), input: "outside")
    let met = nat.push(out().tcp(from: 5000, to: 80, flags: "S"), input: "inside")
    #expect(met["outside"].count == 1)
    #expect(met.drops == ["metSYN": 1])
    #expect(state(nat) == ["established 7440"])
    #expect(nat.advance(by: 10 * Self.oneSecond)["unanswered"].isEmpty)
  }

  /// A waiting SYN whose time is just over, and which expiry has not come to, is given up when the inside sends its own.
  @Test func aWaitingSYNIsNotLostWhenItsTimeIsOver() throws {
    let nat = try nat64()
    _ = nat.push(back().tcp(from: 80, to: 5000, flags: "S"), input: "outside")
    #expect(nat.held == 1)
    let later = nat.now.advanced(by: 6 * Self.oneSecond + 1000)
    let sent = nat.push(out().tcp(from: 5000, to: 80, flags: "S"), input: "inside", at: later)
    #expect(sent["outside"].count == 1)
    #expect(nat.held == 0)
    #expect(nat.advance(by: 10 * Self.oneSecond)["unanswered"].isEmpty)
  }

  /// A SYN from outside to a bound port begins a connection at once, but waits with address-dependent filtering.
  @Test func rfc6146_3_5_2_2_incomingSYNToABoundPort() throws {
    let nat = try nat64()
    open(nat)
    let syn = back(Self.second).tcp(from: 9, to: 5000, flags: "S")
    #expect(nat.push(syn, input: "outside")["inside"].count == 1)
    #expect(nat.push(out(to: Self.second6).tcp(from: 5000, to: 9, flags: "SA"), input: "inside")["outside"].count == 1)
    #expect(Set(state(nat)) == ["established 7440"])
    let filtered = try nat64(", filtering: address-dependent")
    open(filtered)
    #expect(filtered.push(syn, input: "outside").held == 1)
    #expect(filtered.advance(by: 7 * Self.oneSecond)["unanswered"].map(\.bytes) == [syn.bytes])
  }

  @Test func segmentsOfNoConnection() throws {
    let nat = try nat64()
    #expect(nat.push(out().tcp(flags: "A"), input: "inside").drops == ["noSession": 1])
    #expect(nat.push(back().tcp(flags: "SA"), input: "outside").held == 1)
    #expect(nat.push(back().tcp(flags: "FA"), input: "outside").drops == ["noSession": 1])
  }

  @Test func waitingSYNsAreLimited() throws {
    let nat = try nat64(", held_syns: 2")
    let syns = (0..<3).map { back().tcp(from: 80, to: 6000 + UInt16($0), flags: "S") }
    let result = nat.push(syns, input: "outside")
    #expect(result.held == 2)
    #expect(result.drops == ["tooManySYNs": 1])
    _ = nat.advance(by: 7 * Self.oneSecond)
  }

  // MARK: ICMP

  /// Echo identifiers are translated like ports, and live a minute.
  @Test func rfc6146_3_5_3_icmpQueries() throws {
    let nat = try nat64()
    _ = nat.push(out(Self.other).icmpv6(identifier: 5000), input: "inside")
    let sent = nat.push(out().icmpv6(identifier: 5000, sequence: 9).payload("ping"), input: "inside")
    let bytes = try #require(sent["outside"].first?.bytes)
    #expect(layers(sent["outside"]) == ["ipv4 203.0.113.1 > 198.51.100.1 ttl 63, icmp 8/0"])
    let identifier = UInt16(bytes[38]) << 8 | UInt16(bytes[39])
    #expect(identifier != 5000)
    let reply = nat.push(
      back().icmp(type: 0, identifier: identifier, sequence: 9).payload("ping"), input: "outside")
    #expect(
      reply["inside"].map(\.bytes) == [
        delivered().icmpv6(type: 129, identifier: 5000, sequence: 9).payload("ping").bytes
      ])
    _ = nat.advance(by: 61 * Self.oneSecond)
    #expect(nat.push(back().icmp(type: 0, identifier: identifier), input: "outside").drops == ["noBinding": 1])
  }

  /// An ICMP error finds its session by the packet within, which is translated, too; it does not change the session.
  @Test func rfc6146_3_6_errorsFromOutside() throws {
    let nat = try nat64()
    _ = nat.push(out(Self.other).udp(from: 5000, to: 53), input: "inside")
    let sent = nat.push(out().udp(from: 5000, to: 53).payload("lost"), input: "inside")
    let lost = try #require(sent["outside"].first?.bytes)
    let error = Frame.ethernet().ipv4(from: "192.0.2.99", to: Self.pool).icmp(type: 11, identifier: 0, sequence: 0)
      .payload(Array(lost[14...]))
    let result = nat.push(error, input: "outside")
    let original = out(hops: 63).udp(from: 5000, to: 53).payload("lost")
    #expect(
      result["inside"].map(\.bytes) == [
        delivered(from: "2001:db8:64::c000:263").icmpv6(type: 3, identifier: 0, sequence: 0).carrying(original).bytes
      ])
    _ = nat.advance(by: 299 * Self.oneSecond)
    #expect(nat.push(error, input: "outside")["inside"].count == 1)
    _ = nat.advance(by: 2 * Self.oneSecond)
    #expect(nat.push(error, input: "outside").drops == ["noSession": 1])
  }

  /// The same from inside, whichever node on the way sends it: the outside sees its own session's address.
  @Test func rfc6146_3_6_errorsFromInside() throws {
    let nat = try nat64()
    _ = nat.push(out(Self.other).udp(from: 5000, to: 53), input: "inside")
    let sent = nat.push(out().udp(from: 5000, to: 53), input: "inside")
    let bytes = try #require(sent["outside"].first?.bytes)
    let port = UInt16(bytes[34]) << 8 | UInt16(bytes[35])
    let answer = nat.push(back().udp(from: 53, to: port).payload("lost"), input: "outside")
    let lost = try #require(answer["inside"].first?.bytes)
    let result = nat.push(
      Frame.ethernet().ipv6(from: "2001:db8::99", to: Self.server6).icmpv6(
        type: 1, code: 4, identifier: 0, sequence: 0
      ).payload(Array(lost[14...])), input: "inside")
    #expect(layers(result["outside"]) == ["ipv4 203.0.113.1 > 198.51.100.1 ttl 63, icmp 3/3"])
    let within = try #require(result["outside"].first?.bytes[42...])
    let embedded = Frame.ethernet().ipv4(from: Self.server, to: Self.pool, ttl: 63).udp(from: 53, to: port)
      .payload("lost").bytes
    // Behind identification and the header's checksum.
    #expect(Array(within.dropFirst(12)) == Array(embedded[26...]))
  }

  // MARK: Hairpinning

  /// A packet to an outside address of the inside comes back, from the sender's outside address.
  @Test func rfc6146_3_8_hairpinning() throws {
    let nat = try nat64()
    _ = nat.push(out(Self.other).udp(from: 6000, to: 53), input: "inside")
    let there = nat.push(out(to: Self.pool6).udp(from: 5000, to: 6000).payload("hi"), input: "inside")
    #expect(
      there["inside"].map(\.bytes) == [
        delivered(Self.other, from: Self.pool6).udp(from: 5000, to: 6000).payload("hi").bytes
      ])
    let backAgain = nat.push(out(Self.other, to: Self.pool6).udp(from: 6000, to: 5000).payload("ho"), input: "inside")
    #expect(
      backAgain["inside"].map(\.bytes) == [delivered(from: Self.pool6).udp(from: 6000, to: 5000).payload("ho").bytes])
    let error = nat.push(
      out(Self.other, to: Self.pool6).icmpv6(type: 1, code: 4, identifier: 0, sequence: 0)
        .carrying(delivered(Self.other, from: Self.pool6).udp(from: 5000, to: 6000).payload("hi")), input: "inside")
    #expect(layers(error["inside"]) == ["ipv6 \(Self.pool6) > \(Self.host) hops 63, icmpv6 1/4"])
    let nobody = nat.push(out(to: Self.pool6).udp(from: 5000, to: 9), input: "inside")
    #expect(nobody.drops == ["noBinding": 1])
    let tcp = try nat64()
    _ = tcp.push(out(Self.other).tcp(from: 6000, to: 80), input: "inside")
    #expect(tcp.push(out(to: Self.pool6).tcp(from: 5000, to: 6000), input: "inside")["inside"].count == 1)
    #expect(
      tcp.push(out(Self.other, to: Self.pool6).tcp(from: 6000, to: 5000, flags: "SA"), input: "inside")["inside"].count
        == 1)
  }

  // MARK: Fragments

  /// Fragments follow their first, in whichever order they come.
  @Test func rfc6146_3_4_fragments() throws {
    let nat = try nat64()
    let whole = out().udp(from: 5000, to: 53).payload(count: 1500)
    let expected = Frame.ethernet().ipv4(from: Self.pool, to: Self.server, ttl: 63).udp(from: 5000, to: 53)
      .payload(count: 1500).fragments(of: 512, identification: 9)
    let pieces = whole.fragments(of: 512, identification: 9)
    #expect(pieces.count == 3)
    let inOrder = nat.push(pieces, input: "inside")
    #expect(inOrder["outside"].map(\.bytes) == expected.map(\.bytes))
    for piece in [pieces[2], pieces[1]].map({ $0 }) {
      _ = nat.push(retagged(piece), input: "inside")
    }
    #expect(nat.held == 2)
    let released = nat.push(retagged(pieces[0]), input: "inside")
    #expect(released["outside"].count == 3)
    #expect(nat.held == 0)
    let answer = back(dontFragment: false).udp(from: 53, to: 5000).payload(count: 1500)
      .fragments(of: 512, identification: 11)
    let received = nat.push(answer.reversed(), input: "outside")
    let answered = delivered().udp(from: 53, to: 5000).payload(count: 1500).fragments(of: 512, identification: 11)
    #expect(Set(received["inside"].map(\.bytes)) == Set(answered.map(\.bytes)))
  }

  /// The same IPv6 fragment with another identification.
  private func retagged(_ frame: Frame) -> Frame {
    var bytes = frame.bytes
    bytes[14 + 47] = 77
    return Frame(bytes)
  }

  /// Fragments whose first does not come are dropped after two seconds.
  @Test func rfc6146_3_4_firstFragmentLost() throws {
    let nat = try nat64()
    let pieces = out().udp(from: 5000, to: 53).payload(count: 1500).fragments(of: 512)
    #expect(nat.push(pieces[1], input: "inside").held == 1)
    #expect(nat.advance(by: 3 * Self.oneSecond).drops == ["firstFragmentLost": 1])
  }

  /// An IPv4 packet that becomes longer than 1,280 bytes is cut, its DF being clear.
  @Test func largePacketsAreCut() throws {
    let nat = try nat64()
    _ = nat.push(out().udp(from: 5000, to: 53), input: "inside")
    let result = nat.push(
      Frame.ethernet().ipv4(from: Self.server, to: Self.pool, identification: 3).udp(from: 53, to: 5000)
        .payload(count: 1400), input: "outside")
    let expected = delivered().udp(from: 53, to: 5000).payload(count: 1400).fragments(of: 1232, identification: 3)
    #expect(result["inside"].map(\.bytes) == expected.map(\.bytes))
  }

  // MARK: Limits

  /// Without a port left a new endpoint gets none; others go on. The number of those turned away is counted.
  @Test func exhaustion() throws {
    let nat = try nat64(", ports: 4000-4001")
    let frames = (0..<4).map { out("2001:db8::2\($0)").udp(from: 5000, to: 53) }
    let result = nat.push(frames, input: "inside")
    #expect(result["outside"].count == 2)
    #expect(result["unreachable"].map(\.bytes) == frames[2...].map(\.bytes))
    #expect(nat.counters["portsExhausted"] == 2)
    #expect(nat.push(frames[0], input: "inside")["outside"].count == 1)
    _ = nat.advance(by: 301 * Self.oneSecond)
    #expect(nat.push(frames[2], input: "inside")["outside"].count == 1)
  }

  @Test func fullTables() throws {
    let nat = try nat64(", sessions: 16")
    let frames = (0..<20).map { out().udp(from: 5000, to: 53 + UInt16($0)) }
    let result = nat.push(frames, input: "inside")
    #expect(result["outside"].count == 16)
    #expect(result["unreachable"].count == 4)
    #expect(nat.counters["sessionsRefused"] == 4)
  }

  /// An inside address keeps its outside address (paired pooling).
  @Test func rfc4787_4_1_pairedPooling() throws {
    let nat = try nat64(pool: "203.0.113.0/28")
    var seen: Set<[UInt8]> = []
    for host in 0..<40 {
      var own: Set<[UInt8]> = []
      for port in 0..<10 {
        let result = nat.push(out("2001:db8::\(host + 100)").udp(from: 5000 + UInt16(port)), input: "inside")
        own.formUnion(result["outside"].map { Array($0.bytes[26..<30]) })
      }
      #expect(own.count == 1)
      seen.formUnion(own)
    }
    #expect(seen.count > 8)
  }

  /// Many clients that come and go never share a port, and none is left behind.
  @Test func noPortIsUsedTwice() throws {
    let nat = try ElementUnderTest(
      NAT64.self, settings: "{ prefix: 2001:db8:64::/96, pool: [\(Self.pool)], ports: 2000-2099 }", packets: 2048)
    var generator = FrameGenerator(seed: 5)
    var owners: [UInt16: (host: Int, port: UInt16, until: UInt64)] = [:]
    for _ in 0..<3000 {
      let host = generator.number(below: 200)
      let port = 3000 + UInt16(generator.number(below: 3))
      let result = nat.push(out("2001:db8::\(host + 1000)").udp(from: port), input: "inside")
      let now = nat.now.nanoseconds
      owners = owners.filter { $0.value.until > now }
      if let bytes = result["outside"].first?.bytes {
        let given = UInt16(bytes[34]) << 8 | UInt16(bytes[35])
        #expect(2000...2099 ~= given)
        if let owner = owners[given] { #expect(owner.host == host && owner.port == port) }
        owners[given] = (host, port, now + 300 * Self.oneSecond)
      } else {
        #expect(owners.count == 100)
      }
      #expect(nat.counters["bindings"] == UInt64(owners.count))
      _ = nat.advance(by: UInt64(generator.number(below: 8)) * 1_100_000_000)
    }
    _ = nat.advance(by: 301 * Self.oneSecond)
    #expect(nat.counters["bindings"] == 0)
    #expect(nat.counters["sessions"] == 0)
  }

  // MARK: Addresses

  /// Packets from the prefix itself, and to addresses outside it or the pool, are not translated.
  @Test func rfc6146_3_5_addresses() throws {
    let nat = try nat64()
    #expect(nat.push(out(Self.second6).udp(), input: "inside").drops == ["badSource": 1])
    #expect(nat.push(out(to: "2001:db8:65::1").udp(), input: "inside").drops == ["notTranslated": 1])
    #expect(nat.push(back(to: "203.0.113.2").udp(), input: "outside").drops == ["notTranslated": 1])
    #expect(nat.push(back().udp(), input: "inside").drops == ["otherVersion": 1])
    #expect(nat.push(out().udp(), input: "outside").drops == ["otherVersion": 1])
    let global = try ElementUnderTest(NAT64.self, settings: "pool: [203.0.113.1]")
    #expect(global.push(out(to: "64:ff9b::a00:1").udp(), input: "inside").drops == ["notGlobal": 1])
    #expect(global.push(out(to: "64:ff9b::808:808").udp(), input: "inside")["outside"].count == 1)
  }

  @Test func otherProtocols() throws {
    let nat = try nat64()
    #expect(
      nat.push(out().ipv6Extension(60, nextHeader: 47).payload(count: 20), input: "inside").drops == ["unsupported": 1])
    #expect(
      nat.push(
        Frame.ethernet().ipv4(from: Self.server, to: Self.pool, protocolNumber: 47).payload(count: 20), input: "outside"
      ).drops == ["unsupported": 1])
    #expect(nat.push(out().icmpv6(type: 135), input: "inside").drops == ["untranslatableICMP": 1])
    #expect(nat.push(back().icmp(type: 13), input: "outside").drops == ["untranslatableICMP": 1])
  }

  @Test func expired() throws {
    let nat = try nat64()
    let frame = out(hops: 1).udp()
    #expect(nat.push(frame, input: "inside")["expired"].map(\.bytes) == [frame.bytes])
    #expect(nat.counters["sessions"] == 0)
  }

  // MARK: Operations

  @Test func listing() throws {
    let nat = try nat64()
    _ = nat.push(
      [out().udp(from: 5000, to: 53), out().icmpv6(identifier: 7), out(Self.other, to: Self.second6).tcp(from: 6000)],
      input: "inside")
    let bindings = nat.perform("bindings", ["protocol": "udp"])
    #expect(
      bindings.rows == [
        [
          "protocol": "udp", "inside": Self.host, "inside_port": "5000", "outside": Self.pool, "outside_port": "5000",
          "sessions": "1",
        ]
      ])
    #expect(nat.perform("bindings").rows.count == 3)
    #expect(nat.perform("bindings", ["inside": Self.host]).rows.count == 2)
    #expect(nat.perform("sessions", ["remote": Self.second]).rows.map { $0["state"] } == ["v6Init"])
    #expect(nat.perform("sessions", ["protocol": "icmp"]).rows.map { $0["inside_port"] } == ["7"])
    #expect(nat.perform("sessions", ["outside": "203.0.113.9"]).rows.isEmpty)
    #expect(nat.perform("sessions", ["inside": "nonsense"]).failure != nil)
    #expect(nat.perform("forget").failure != nil)
  }

  // MARK: Mistakes

  private func mistakes(_ settings: String) -> [String] {
    do {
      _ = try ElementUnderTest(NAT64.self, settings: settings)
      return []
    } catch let error as ConfigurationError {
      return error.diagnostics.map { "\($0.range?.start.column ?? 0) \($0.message)" }
    } catch { return ["\(error)"] }
  }

  @Test func mistakesHaveTheirPlace() {
    #expect(mistakes("{ pool: [] }") == ["9 there is no address in 'pool'"])
    #expect(mistakes("{ pool: [192.0.2.1, 192.0.2.0/24] }") == ["9 192.0.2.0/24 overlaps with 192.0.2.1/32"])
    #expect(mistakes("{ pool: [10.0.0.0/8] }") == ["9 the pool has more than 1024 addresses"])
    #expect(mistakes("{ pool: [224.0.0.1] }") == ["9 224.0.0.1/32 is not for hosts"])
    #expect(mistakes("{ pool: [192.0.2.1], ports: 0-100 }") == ["29 0 is no port"])
    #expect(mistakes("{ prefix: \"64:ff9b::/64\", pool: [192.0.2.1] }") == [])
    #expect(
      mistakes("{ prefix: \"64:ff9b::/72\", pool: [192.0.2.1] }")
        == ["11 64:ff9b::/72 has a length that RFC 6052 does not know"])
    #expect(mistakes("{}") == ["1 'pool' is missing"])
  }

  @Test func survivesAnything() throws {
    try expectRobust(ElementKind(NAT64.self), settings: "{ prefix: 2001:db8::/96, pool: [10.0.0.2] }")
    try expectRobust(
      ElementKind(NAT64.self),
      settings: "{ prefix: 2001:db8::/32, pool: [10.0.0.0/29], filtering: address-dependent, port_rest: 120s }", seed: 3
    )
  }
}
