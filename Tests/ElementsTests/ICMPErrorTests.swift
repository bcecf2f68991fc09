import Dataplane
import TestKit
import Testing
import Wire

@testable import Elements

private let second: UInt64 = 1_000_000_000
private let both = "source: [192.0.2.1, 2001:db8:ffff::1]"

private func makeErrors(_ more: String = "", batchSize: Int = 32) throws -> ElementUnderTest {
  try ElementUnderTest(
    ICMPError.self, settings: "{ \(both)\(more.isEmpty ? "" : ", " + more) }", batchSize: batchSize)
}

/// A packet's fields by offset behind its Ethernet header.
extension SentPacket {
  fileprivate func byte(_ offset: Int) -> UInt8 { bytes[14 + offset] }
  fileprivate func word(_ offset: Int) -> Int { Int(byte(offset)) << 8 | Int(byte(offset + 1)) }
  fileprivate func ip(_ range: Range<Int>) -> [UInt8] { Array(bytes[14 + range.lowerBound..<14 + range.upperBound]) }
}

@Suite struct ICMPErrorTests {
  // MARK: Messages

  static let messages: [(input: String, v4: [UInt8]?, v6: [UInt8])] = [
    ("expired", [11, 0], [3, 0]), ("reassembly", [11, 1], [3, 1]), ("noRoute", [3, 0], [1, 0]),
    ("hostUnreachable", [3, 1], [1, 3]), ("prohibited", [3, 13], [1, 1]), ("portUnreachable", [3, 3], [1, 4]),
    ("protocolUnreachable", [3, 2], [4, 1]), ("tooBig", [3, 4], [2, 0]), ("sourceRefused", [3, 13], [1, 5]),
    ("beyondScope", nil, [1, 2]), ("badHeader", [12, 0], [4, 0]), ("unknownOption", [12, 0], [4, 2]),
  ]

  /// Each reason has the type and code that RFC 792, RFC 1812 (5.2.7.1) and RFC 4443 (3) give it.
  @Test(arguments: messages.indices) func rfc1812_5_2_7_1_typesAndCodes(index: Int) throws {
    let (input, v4, v6) = Self.messages[index]
    let errors = try makeErrors()
    let result = errors.push([.ethernet().ipv4().udp(), .ethernet().ipv6().udp()], input: input)
    var sent = result["errors"][...]
    if let v4 {
      let next = sent.popFirst()
      let error = try #require(next)
      #expect(error.ip(20..<22) == v4)
      #expect(error.byte(9) == 1)
    } else {
      #expect(result.drops == ["unsupported": 1])
    }
    let next = sent.popFirst()
    let error = try #require(next)
    #expect(error.ip(40..<42) == v6)
    #expect(error.byte(6) == 58)
    #expect(result["errors"].flatMap(\.problems) == [])
  }

  /// Every test of what an input means is made: no input is without one.
  @Test func everyInputHasAMessage() {
    #expect(Self.messages.map(\.input) == ElementKind(ICMPError.self).inputs.map(\.name))
  }

  @Test func anIPv4ErrorIsByteForByteWhatIsExpected() throws {
    let errors = try makeErrors()
    let packet = Frame.ethernet(from: "02:00:00:00:00:0a", to: "02:00:00:00:00:0b").vlan(7)
      .ipv4(from: "198.51.100.7", to: "203.0.113.9", ttl: 1, dscp: 46, ecn: 1, identification: 99).udp(
        from: 4000, to: 53
      )
      .payload("hello")
    let sent = errors.push(packet.padded(), input: "expired")["errors"]
    let identification = UInt16(sent[0].bytes[22]) << 8 | UInt16(sent[0].bytes[23])
    let expected = Frame.ethernet(from: "02:00:00:00:00:0b", to: "02:00:00:00:00:0a").vlan(7)
      .ipv4(
        from: "192.0.2.1", to: "198.51.100.7", ttl: 255, dscp: 0xD8 >> 2, identification: identification
      ).icmp(type: 11, identifier: 0, sequence: 0).carrying(packet, skipping: 18)
    #expect(sent.are([expected]), "\(sent)")
  }

  @Test func anIPv6ErrorIsByteForByteWhatIsExpected() throws {
    let errors = try makeErrors()
    let packet = Frame.ethernet(from: "02:00:00:00:00:0a", to: "02:00:00:00:00:0b")
      .ipv6(from: "2001:db8::7", to: "2001:db8:9::9", hopLimit: 1, trafficClass: 5, flowLabel: 77).tcp()
    let expected = Frame.ethernet(from: "02:00:00:00:00:0b", to: "02:00:00:00:00:0a")
      .ipv6(from: "2001:db8:ffff::1", to: "2001:db8::7", hopLimit: 255)
      .icmpv6(type: 3, identifier: 0, sequence: 0).carrying(packet)
    #expect(errors.push(packet.padded(to: 100), input: "expired")["errors"].are([expected]))
  }

  // MARK: RFC 1812

  /// The TTL is this router's own, not the packet's.
  @Test(arguments: [UInt8(1), 64, 200]) func rfc1812_4_3_2_2_initialTTL(ttl: UInt8) throws {
    let sent = try makeErrors().push(.ethernet().ipv4(ttl: ttl).udp(), input: "noRoute")["errors"]
    #expect(sent.map { $0.byte(8) } == [255])
  }

  /// As much of the packet is quoted as fits 576 bytes, its header and data unchanged.
  @Test(arguments: [0, 8, 512, 519, 520, 521, 1400, 8000]) func rfc1812_4_3_2_3_quotesUpTo576Bytes(count: Int) throws {
    let packet = Frame.ethernet().ipv4(options: [7, 7, 4, 0, 0, 0, 0]).udp().payload(count: count)
    let cuts = [20, 300, 600] + Array(stride(from: 2000, to: count + 50, by: 2000))
    for frame in [packet.inBuffers, packet.padded(to: packet.length + 9).inBuffers, packet.split(at: cuts)] {
      let error = try #require(try makeErrors().push(frame, input: "expired")["errors"].first)
      let quoted = min(28 + 8 + count, 548)
      #expect(error.bytes.count == 14 + 28 + quoted)
      #expect(error.ip(28..<28 + quoted) == Array(packet.bytes[14..<14 + quoted]))
      #expect(error.problems == [])
    }
  }

  /// Errors come from an address of this host: the first of its IP version.
  @Test func rfc1812_4_3_2_4_sourceAddress() throws {
    let errors = try ElementUnderTest(
      ICMPError.self, settings: "source: [2001:db8:ffff::1, 192.0.2.1, 192.0.2.2, 2001:db8:ffff::2]")
    let sent = errors.push([.ethernet().ipv4().udp(), .ethernet().ipv6().udp()], input: "expired")["errors"]
    #expect(sent[0].description.contains("ipv4 192.0.2.1 > 10.0.0.1"))
    #expect(sent[1].description.contains("ipv6 2001:db8:ffff::1 > 2001:db8::1"))
  }

  /// An element made of others chooses the address by the interface that the packet came in by.
  @Test func rfc1812_4_3_2_4_sourceByInterface() throws {
    let sources = ErrorSources(
      own: [.v4(.init(192, 0, 2, 1)), .v4(.init(192, 0, 2, 9))],
      ports: [[], [.v6(.loopback), .v4(.init(198, 51, 100, 1))], [.v4(.init(203, 0, 113, 1))]])
    let far = IPv4Address(8, 8, 8, 8)
    #expect(
      (0..<4).map { sources.v4(about: far, isOwn: false, port: $0)?.description } == [
        "192.0.2.1", "198.51.100.1", "203.0.113.1", "192.0.2.1",
      ])
    #expect(sources.v4(about: IPv4Address(192, 0, 2, 9), isOwn: false, port: 1) == IPv4Address(192, 0, 2, 9))
    #expect(sources.v6(about: .allNodes, isOwn: false, port: 1) == .loopback)
    #expect(sources.v6(about: .allNodes, isOwn: false, port: 2) == nil)
  }

  /// Precedence is 6 unless it is set, and the type of service is that of the packet.
  @Test(arguments: [UInt8(0), 0x08, 0x10, 0x1C, 0xB8, 0xFF]) func rfc1812_4_3_2_5_precedenceAndTypeOfService(
    class original: UInt8
  ) throws {
    let packet = Frame.ethernet().ipv4(dscp: original >> 2, ecn: original & 3).udp()
    #expect(try makeErrors().push(packet, input: "expired")["errors"].map { $0.byte(1) } == [0xC0 | original & 0x1C])
    let settable = try makeErrors("precedence: 7").push(packet, input: "expired")["errors"]
    #expect(settable.map { $0.byte(1) } == [0xE0 | original & 0x1C])
  }

  static let icmpQueries: [UInt8] = [0, 8, 9, 10, 13, 14, 15, 16, 17, 18, 42, 43]

  /// There is no error about an ICMP error, nor about a message that may be one.
  @Test(arguments: ElementKind(ICMPError.self).inputs.map(\.name)) func rfc1812_4_3_2_7_neverForICMPErrors(
    input: String
  ) throws {
    let types = (0...255).map { UInt8($0) }.filter { !Self.icmpQueries.contains($0) }
    let errors = try makeErrors()
    let cut = Frame.ethernet().ipv4(protocolNumber: 1).payload([8, 0, 0, 0])
    let result = errors.push(types.map { .ethernet().ipv4().icmp(type: $0) } + [cut], input: input)
    #expect(result.drops == ["neverForICMPError": types.count + 1])
  }

  @Test func queriesAreAnswered() throws {
    let errors = try makeErrors("prefix_burst: 100")
    let result = errors.push(Self.icmpQueries.map { .ethernet().ipv4().icmp(type: $0) }, input: "expired")
    #expect(result["errors"].count == Self.icmpQueries.count)
  }

  /// There is no error about a packet to a multicast or broadcast address, those of this host's networks among them.
  @Test(arguments: [
    "224.0.0.1", "239.255.255.255", "255.255.255.255", "192.0.2.255", "192.0.2.0", "198.51.100.3",
  ]) func rfc1812_4_3_2_7_neverForMulticastOrBroadcast(destination: String) throws {
    let errors = try makeErrors("networks: [192.0.2.0/24, 198.51.100.0/30, 203.0.113.0/31]")
    let result = errors.push(.ethernet().ipv4(to: destination).udp(), input: "tooBig")
    #expect(result.drops == ["neverForMulticast": 1])
  }

  @Test(arguments: ["203.0.113.0", "203.0.113.1", "192.0.2.254", "198.51.100.4"]) func hostsAreNoBroadcasts(
    destination: String
  ) throws {
    let errors = try makeErrors("networks: [192.0.2.0/24, 198.51.100.0/30, 203.0.113.0/31]")
    #expect(errors.push(.ethernet().ipv4(to: destination).udp(), input: "noRoute")["errors"].count == 1)
  }

  /// There is no error about a frame that was a link-layer broadcast or multicast.
  @Test(arguments: ["ff:ff:ff:ff:ff:ff", "01:00:5e:00:00:05"]) func rfc1812_4_3_2_7_neverForLinkLayerMulticast(
    mac: String
  ) throws {
    let result = try makeErrors().push(
      [.ethernet(to: mac).ipv4().udp(), .ethernet(from: mac).ipv4().udp()], input: "tooBig")
    #expect(result.drops == ["neverForLinkMulticast": 2])
  }

  /// There is no error to an address whose network is zero or that is invalid as a source.
  @Test(arguments: [
    "0.0.0.0", "0.1.2.3", "127.0.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255", "192.0.2.255",
  ]) func rfc1812_4_3_2_7_neverToInvalidSources(source: String) throws {
    let errors = try makeErrors("networks: 192.0.2.0/24")
    #expect(errors.push(.ethernet().ipv4(from: source).udp(), input: "expired").drops == ["neverToThatSource": 1])
  }

  /// There is no error about a fragment other than the first.
  @Test func rfc1812_4_3_2_7_neverForLaterFragments() throws {
    let fragments = Frame.ethernet().ipv4().udp().payload(count: 100).fragments(of: 40)
    let result = try makeErrors().push(fragments, input: "expired")
    #expect(result["errors"].count == 1)
    #expect(result.drops == ["neverForLaterFragment": 2])
  }

  /// There is no error about a packet whose header fails validation.
  @Test func rfc1812_4_3_2_7_neverForDamagedHeaders() throws {
    let result = try makeErrors().push(
      [.ethernet().ipv4(checksum: .wrong).udp(), .ethernet().arp()], input: "expired")
    #expect(result.drops == ["malformed": 2])
  }

  /// The rate of errors is limited, and the limit can be set.
  @Test func rfc1812_4_3_2_8_rateIsLimited() throws {
    let errors = try makeErrors("rate: 4pps, burst: 3, prefix_rate: 1Mpps, prefix_burst: 1000")
    let packets = (0..<10).map { Frame.ethernet().ipv4(from: "10.\($0).0.1").udp() }
    let first = errors.push(packets, input: "expired")
    #expect(first["errors"].count == 3)
    #expect(first.drops == ["rateLimited": 7])
    #expect(errors.push(packets, input: "expired", at: Instant(nanoseconds: second / 2))["errors"].count == 2)
    // Both versions share the limit.
    let six = (0..<10).map { Frame.ethernet().ipv6(from: "2001:db8:\($0)::1").udp() }
    #expect(errors.push(six, input: "expired").drops == ["rateLimited": 10])
  }

  /// One /24 or /64 does not use up what others need.
  @Test func rfc4443_2_4_f_rateIsLimitedByDestination() throws {
    let errors = try makeErrors("prefix_rate: 1pps, prefix_burst: 2")
    let flood = (0..<50).map { Frame.ethernet().ipv4(from: "10.0.0.\($0)").udp() }
    #expect(errors.push(flood, input: "expired")["errors"].count == 2)
    #expect(errors.push(.ethernet().ipv4(from: "10.0.1.1").udp(), input: "expired")["errors"].count == 1)
    let flood6 = (0..<50).map { Frame.ethernet().ipv6(from: "2001:db8::\($0 + 1)").udp() }
    #expect(errors.push(flood6, input: "noRoute")["errors"].count == 2)
    #expect(errors.push(.ethernet().ipv6(from: "2001:db8:0:1::1").udp(), input: "expired")["errors"].count == 1)
    // Path MTU discovery is not held up by it.
    #expect(errors.push(flood + flood6, input: "tooBig", at: Instant(nanoseconds: second))["errors"].count > 90)
  }

  // MARK: RFC 1122

  /// An error is sent from the address that the packet was for when that is this host's.
  @Test func rfc1122_3_2_2_deliveredPacketsAreAnsweredFromTheirDestination() throws {
    let errors = try makeErrors()
    let packets: [Frame] = [.ethernet().ipv4(to: "10.0.0.2").udp(), .ethernet().ipv6(to: "2001:db8::2").udp()]
    for input in ["portUnreachable", "protocolUnreachable"] {
      let sent = errors.push(packets, input: input)["errors"]
      #expect(sent[0].description.contains("ipv4 10.0.0.2 > 10.0.0.1"))
      #expect(sent[1].description.contains("ipv6 2001:db8::2 > 2001:db8::1"))
    }
  }

  // MARK: Path MTU

  /// "Fragmentation needed" carries the next hop's MTU in the low 16 bits of the header's last word.
  @Test func rfc1191_4_nextHopMTU() throws {
    let packet = Frame.ethernet().ipv4(dontFragment: true).udp().payload(count: 2000)
    let sent = try makeErrors("mtu: 1400").push(packet, input: "tooBig")["errors"]
    #expect(sent.map { [$0.word(24), $0.word(26)] } == [[0, 1400]])
    let annotated = try makeErrors().push(packet.annotated(1492), input: "tooBig")["errors"]
    #expect(annotated.map { $0.word(26) } == [1492])
    // Without a setting and without an annotation it is the least that any link has (RFC 791, 3.2).
    let unset = try makeErrors().push(packet, input: "tooBig")["errors"]
    #expect(unset.map { $0.word(26) } == [68])
  }

  /// A Packet Too Big never names less than 1,280 bytes.
  @Test(arguments: [(68, 1280), (1280, 1280), (1492, 1492), (65_535, 65_535)]) func rfc8201_4_leastMTU(
    setting: Int, reported: Int
  ) throws {
    let sent = try makeErrors("mtu: \(setting)").push(.ethernet().ipv6().udp(), input: "tooBig")["errors"]
    #expect(sent.map { [$0.word(44), $0.word(46)] } == [[0, reported]])
  }

  // MARK: RFC 4443

  /// As much of the packet is quoted as fits the least IPv6 MTU.
  @Test(arguments: [0, 1183, 1184, 1185, 1400, 9000]) func rfc4443_2_4_c_quotesUpToTheLeastMTU(count: Int) throws {
    let packet = Frame.ethernet().ipv6().udp().payload(count: count)
    let cuts = [20, 300, 600] + Array(stride(from: 2000, to: count + 50, by: 2000))
    for frame in [packet.inBuffers, packet.padded(to: packet.length + 9).inBuffers, packet.split(at: cuts)] {
      let error = try #require(try makeErrors().push(frame, input: "prohibited")["errors"].first)
      let quoted = min(48 + count, 1232)
      #expect(error.bytes.count == 14 + 48 + quoted)
      #expect(error.ip(48..<48 + quoted) == Array(packet.bytes[14..<14 + quoted]))
      #expect(error.problems == [])
    }
  }

  /// The source is the packet's destination if that is an address of this node, and a unicast address of it otherwise.
  @Test func rfc4443_2_2_source() throws {
    let errors = try ElementUnderTest(ICMPError.self, settings: "source: [2001:db8:ffff::1, 2001:db8::2]")
    let sent = errors.push(
      [.ethernet().ipv6(to: "2001:db8::2").udp(), .ethernet().ipv6(to: "2001:db8::3").udp()], input: "reassembly")[
        "errors"]
    #expect(sent[0].description.contains("ipv6 2001:db8::2 > 2001:db8::1"))
    #expect(sent[1].description.contains("ipv6 2001:db8:ffff::1 > 2001:db8::1"))
  }

  /// There is no error about an ICMPv6 error, unknown types of errors among them.
  @Test(arguments: ElementKind(ICMPError.self).inputs.map(\.name)) func rfc4443_2_4_e_1_neverForICMPv6Errors(
    input: String
  ) throws {
    let cut = Frame.ethernet().ipv6(nextHeader: 58).payload([128, 0, 0, 0])
    let later = Frame.ethernet().ipv6().ipv6Fragment(offset: 8, nextHeader: 58).payload(count: 40)
    let behind = Frame.ethernet().ipv6().ipv6Extension(0).ipv6Extension(60).icmpv6(type: 1)
    let result = try makeErrors().push(
      (0..<128).map { .ethernet().ipv6().icmpv6(type: $0) } + [cut, later, behind], input: input)
    #expect(result.drops == ["neverForICMPError": 131])
  }

  /// There is no error about a redirect.
  @Test func rfc4443_2_4_e_2_neverForRedirects() throws {
    let result = try makeErrors().push(
      [.ethernet().ipv6().icmpv6(type: 137), .ethernet().ipv6().icmpv6(type: 128)], input: "expired")
    #expect(result.drops == ["neverForICMPError": 1])
    #expect(result["errors"].count == 1)
  }

  /// Fragments other than the first of anything but ICMPv6 are no reason to be silent.
  @Test func laterFragmentsOfIPv6AreAnswered() throws {
    let later = Frame.ethernet().ipv6().ipv6Fragment(offset: 8, nextHeader: 17).payload(count: 40)
    #expect(try makeErrors().push(later, input: "tooBig")["errors"].count == 1)
  }

  static let inputsWithoutTooBig = ElementKind(ICMPError.self).inputs.map(\.name).filter { $0 != "tooBig" }

  /// There is no error about a packet to an IPv6 multicast address.
  @Test(arguments: inputsWithoutTooBig) func rfc4443_2_4_e_3_neverForMulticast(input: String) throws {
    let result = try makeErrors().push(.ethernet().ipv6(to: "ff02::1").udp(), input: input)
    #expect(result.drops == ["neverForMulticast": 1])
  }

  /// There is no error about a packet that was sent as a link-layer multicast.
  @Test(arguments: inputsWithoutTooBig) func rfc4443_2_4_e_4_neverForLinkLayerMulticast(input: String) throws {
    let result = try makeErrors().push(.ethernet(to: "33:33:00:00:00:01").ipv6().udp(), input: input)
    #expect(result.drops == ["neverForLinkMulticast": 1])
  }

  /// There is no error about a packet that was sent as a link-layer broadcast.
  @Test(arguments: inputsWithoutTooBig) func rfc4443_2_4_e_5_neverForLinkLayerBroadcast(input: String) throws {
    let result = try makeErrors().push(.ethernet(to: "ff:ff:ff:ff:ff:ff").ipv6().udp(), input: input)
    #expect(result.drops == ["neverForLinkMulticast": 1])
  }

  /// But for Packet Too Big, so that path MTU discovery works for multicast.
  @Test func rfc4443_2_4_e_3_packetTooBigForMulticast() throws {
    let packet = Frame.ethernet(from: "02:00:00:00:00:0a", to: "33:33:00:00:00:01").ipv6(to: "ff05::1").udp()
    let sent = try makeErrors("mtu: 1400").push(packet, input: "tooBig")["errors"]
    let expected = Frame.ethernet(from: "00:00:00:00:00:00", to: "02:00:00:00:00:0a")
      .ipv6(from: "2001:db8:ffff::1", to: "2001:db8::1", hopLimit: 255)
      .icmpv6(type: 2, identifier: 0, sequence: 1400).carrying(packet)
    #expect(sent.are([expected]), "\(sent)")
  }

  /// And for an unknown option whose type begins with the bits 10.
  @Test(arguments: [UInt8(0x3E), 0x7E, 0xBE, 0xFE]) func rfc4443_2_4_e_3_unknownOptionForMulticast(type: UInt8) throws {
    let packet = Frame.ethernet(to: "33:33:00:00:00:01").ipv6(to: "ff05::1")
      .ipv6Extension(0, content: [type, 4, 0, 0, 0, 0]).udp()
    let result = try makeErrors().push(packet.annotated(42), input: "unknownOption")
    if type == 0xBE {
      #expect(result["errors"].map { [$0.word(40), $0.word(44), $0.word(46)] } == [[0x0402, 0, 42]])
    } else {
      #expect(result.drops == ["neverForLinkMulticast": 1])
    }
  }

  /// There is no error to an address that does not stand for one node.
  @Test(arguments: ["::", "ff02::1", "::1", "::ffff:10.0.0.1"]) func rfc4443_2_4_e_6_neverToThoseSources(
    source: String
  ) throws {
    let result = try makeErrors().push(.ethernet().ipv6(from: source).udp(), input: "tooBig")
    #expect(result.drops == ["neverToThatSource": 1])
  }

  /// The pointer says where the byte stands that names the unknown protocol.
  @Test func rfc4443_3_4_pointerToTheNextHeader() throws {
    let packets: [Frame] = [
      .ethernet().ipv6(nextHeader: 200).payload(count: 20),
      .ethernet().ipv6().ipv6Extension(0).ipv6Extension(60, nextHeader: 200).payload(count: 20),
    ]
    let sent = try makeErrors().push(packets, input: "protocolUnreachable")["errors"]
    #expect(sent.map { [$0.word(44), $0.word(46)] } == [[0, 6], [0, 48]])
  }

  /// The pointer to a wrong field is the packet's annotation: 8 bits in ICMP, 32 in ICMPv6.
  @Test func rfc792_pointerToABadField() throws {
    let packets: [Frame] = [.ethernet().ipv4().udp().annotated(17), .ethernet().ipv6().udp().annotated(17)]
    let sent = try makeErrors().push(packets, input: "badHeader")["errors"]
    #expect(sent[0].ip(20..<28) == [12, 0, sent[0].byte(22), sent[0].byte(23), 17, 0, 0, 0])
    #expect(sent[1].ip(44..<48) == [0, 0, 0, 17])
  }

  // MARK: The rest

  @Test func withoutAnAddressOfTheVersionThereIsNoError() throws {
    let four = try ElementUnderTest(ICMPError.self, settings: "source: 192.0.2.1")
    #expect(four.push(.ethernet().ipv6().udp(), input: "expired").drops == ["noSource": 1])
    let six = try ElementUnderTest(ICMPError.self, settings: "source: 2001:db8::9")
    #expect(six.push(.ethernet().ipv4().udp(), input: "expired").drops == ["noSource": 1])
  }

  @Test func identificationsDiffer() throws {
    let sent = try makeErrors().push(Array(repeating: .ethernet().ipv4().udp(), count: 10), input: "expired")["errors"]
    #expect(Set(sent.map { $0.word(4) }).count == 10)
  }

  @Test(arguments: [
    "", "{ source: [], rate: 1pps }", "{ source: 192.0.2.1, mtu: 67 }", "{ source: 192.0.2.1, burst: 0 }",
  ])
  func refuses(settings: String) throws {
    #expect(try !Verdicts("ICMPError", settings).errors.isEmpty)
  }

  @Test(arguments: ["{ \(both) }", "{ \(both), mtu: 1400, rate: 1Mpps, burst: 1000000, prefix_burst: 1000 }"])
  func survivesAnything(settings: String) throws {
    try expectRobust(ElementKind(ICMPError.self), settings: settings, seed: 4)
  }
}
