import Configuration
import Dataplane
import Elements
import TestKit
import Testing

/// Translation between the versions of IP, at its stateless element.
@Suite struct SIITTests {
  static let host4 = "192.0.2.10"
  static let host6 = "2001:db8::10"
  static let server4 = "198.51.100.1"
  static let server6 = "2001:db8:64::c633:6401"

  private func siit(_ more: String = "") throws -> ElementUnderTest {
    try ElementUnderTest(
      SIIT.self, settings: "{ prefix: 2001:db8:64::/96, mappings: { 192.0.2.10: 2001:db8::10 }\(more) }")
  }

  private func from6(hops: UInt8 = 64, trafficClass: UInt8 = 0, label: UInt32 = 0) -> Frame {
    Frame.ethernet().ipv6(
      from: Self.host6, to: Self.server6, hopLimit: hops, trafficClass: trafficClass, flowLabel: label)
  }

  private func from4(ttl: UInt8 = 64, dontFragment: Bool = true, options: [UInt8] = []) -> Frame {
    Frame.ethernet().ipv4(
      from: Self.server4, to: Self.host4, ttl: ttl, dontFragment: dontFragment, options: options)
  }

  private func to4(ttl: UInt8 = 63, dontFragment: Bool = false, identification: UInt16 = 0) -> Frame {
    Frame.ethernet().ipv4(
      from: Self.host4, to: Self.server4, ttl: ttl, identification: identification, dontFragment: dontFragment)
  }

  private func to6(hops: UInt8 = 63) -> Frame {
    Frame.ethernet().ipv6(from: Self.server6, to: Self.host6, hopLimit: hops)
  }

  /// Bytes of an IPv4 packet with identification and header checksum set to zero, which the translator chooses.
  private func anyIdentification(_ packet: SentPacket, at offset: Int = 14) -> [UInt8] {
    var bytes = packet.bytes
    for index in [4, 5, 10, 11] { bytes[offset + index] = 0 }
    return bytes
  }

  private func expect(
    _ packets: [SentPacket], _ frames: [Frame], sourceLocation: SourceLocation = #_sourceLocation
  ) {
    #expect(packets.map(\.problems) == packets.map { _ in [] }, sourceLocation: sourceLocation)
    #expect(
      packets.map { anyIdentification($0) }
        == frames.map { frame in
          var bytes = frame.bytes
          for index in [4, 5, 10, 11] { bytes[14 + index] = 0 }
          return bytes
        }, sourceLocation: sourceLocation)
  }

  // MARK: IPv6 to IPv4

  /// TCP, UDP and echo become IPv4 with their checksums right, the hop limit lowered, DF clear up to 1,260 bytes.
  @Test func rfc7915_5_1_headers() throws {
    let result = try siit().push(
      [
        from6().tcp().payload("hello"), from6(hops: 2).udp().payload("hello!"), from6().icmpv6().payload("ping"),
        from6(label: 0xABCDE).icmpv6(type: 129).payload("pong"),
      ], input: "ipv6")
    expect(
      result["ipv4"],
      [
        to4().tcp().payload("hello"), to4(ttl: 1).udp().payload("hello!"), to4().icmp().payload("ping"),
        to4().icmp(type: 0).payload("pong"),
      ])
  }

  /// DF is set when the IPv4 packet is longer than 1,260 bytes, and clear otherwise.
  @Test func rfc7915_5_1_dontFragment() throws {
    let result = try siit().push(
      [from6().udp().payload(count: 1232), from6().udp().payload(count: 1233)], input: "ipv6")
    expect(
      result["ipv4"], [to4().udp().payload(count: 1232), to4(dontFragment: true).udp().payload(count: 1233)])
  }

  /// Hop-by-hop options, destination options and used-up routing headers are left out.
  @Test func rfc7915_5_1_extensionHeaders() throws {
    let result = try siit().push(
      from6().ipv6Extension(0).ipv6Extension(43, content: [0, 0, 0, 0, 0, 0]).ipv6Extension(60).tcp().payload("x"),
      input: "ipv6")
    expect(result["ipv4"], [to4().tcp().payload("x")])
  }

  /// A routing header with segments left is answered with Parameter Problem that points to their count.
  @Test func rfc7915_5_1_segmentsLeft() throws {
    let frame = from6().ipv6Extension(0).ipv6Extension(43, content: [0, 1, 0, 0, 0, 0]).tcp()
    let result = try siit().push(frame, input: "ipv6")
    #expect(result["badHeader"].map(\.bytes) == [frame.bytes])
    #expect(result["badHeader"].map(\.annotation) == [51])
  }

  /// The fragment header becomes identification, more-fragments flag and offset, with DF clear.
  @Test func rfc7915_5_1_1_fragments() throws {
    let whole = from6().udp().payload(count: 1000)
    let result = try siit().push(whole.fragments(of: 496, identification: 0x1234).reversed(), input: "ipv6")
    let expected = to4().udp().payload(count: 1000).fragments(of: 496, identification: 0x1234)
    #expect(result["ipv4"].map(\.bytes) == expected.reversed().map(\.bytes))
  }

  /// An atomic fragment gives its identification to a packet that may be fragmented.
  @Test func rfc7915_5_1_1_atomicFragments() throws {
    let result = try siit().push(
      from6().ipv6Fragment(identification: 0xABCD_1234).udp().payload(count: 1300), input: "ipv6")
    #expect(result["ipv4"].map(\.bytes) == [to4(identification: 0x1234).udp().payload(count: 1300).bytes])
  }

  /// Extension headers behind the fragment header are dropped.
  @Test func rfc7915_5_1_1_extensionsInFragments() throws {
    let result = try siit().push(
      [from6().ipv6Fragment(moreFragments: true).ipv6Extension(60).udp().payload(count: 8)], input: "ipv6")
    #expect(result.drops == ["extensionInFragment": 1])
  }

  /// Traffic class and type of service are taken over, or set to zero when told.
  @Test func rfc7915_5_1_trafficClass() throws {
    let frame = from6(trafficClass: 0xBA).udp()
    let kept = try siit().push(frame, input: "ipv6")["ipv4"]
    #expect(kept.map { $0.bytes[15] } == [0xBA])
    let cleared = try siit(", copy_traffic_class: no").push(frame, input: "ipv6")["ipv4"]
    #expect(cleared.map { $0.bytes[15] } == [0])
    let back = try siit().push(
      Frame.ethernet().ipv4(from: Self.server4, to: Self.host4, dscp: 46, ecn: 2).udp(), input: "ipv4")["ipv6"]
    #expect(
      back.map(\.bytes) == [
        Frame.ethernet().ipv6(from: Self.server6, to: Self.host6, hopLimit: 63, trafficClass: 0xBA).udp().bytes
      ])
  }

  /// The translator is a hop: what arrives with one hop left goes no further.
  @Test func rfc7915_4_1_timeToLive() throws {
    let siit = try siit()
    let frames = [from6(hops: 1).udp(), from6(hops: 0).udp()]
    #expect(siit.push(frames, input: "ipv6")["expired"].map(\.bytes) == frames.map(\.bytes))
    let back = [from4(ttl: 1).udp(), from4(ttl: 0).udp()]
    #expect(siit.push(back, input: "ipv4")["expired"].map(\.bytes) == back.map(\.bytes))
    let noHop = try self.siit(", lower_ttl: no")
    expect(noHop.push(from6(hops: 1).udp(), input: "ipv6")["ipv4"], [to4(ttl: 1).udp()])
    #expect(noHop.push(from4(ttl: 1).udp(), input: "ipv4")["ipv6"].map(\.bytes) == [to6(hops: 1).udp().bytes])
  }

  /// What does not fit the IPv4 link and must not be fragmented is answered with its MTU and 20.
  @Test func rfc7915_5_1_tooBig() throws {
    let siit = try siit(", mtu_ipv4: 1400, mtu_ipv6: 2000")
    let large = from6().udp().payload(count: 1373)
    let result = siit.push([large, from6().udp().payload(count: 1372)], input: "ipv6")
    #expect(result["tooBig"].map(\.bytes) == [large.bytes])
    #expect(result["tooBig"].map(\.annotation) == [1420])
    #expect(result["ipv4"].count == 1)
  }

  // MARK: IPv4 to IPv6

  /// TCP, UDP and echo become IPv6 with their checksums right, and no fragment header.
  @Test func rfc7915_4_1_headers() throws {
    let result = try siit().push(
      [
        from4().tcp().payload("hello"), from4(dontFragment: false).udp().payload("hello!"), from4().icmp().payload("x"),
        from4().icmp(type: 0).payload("y"), from4().tcp().padded(to: 60),
      ], input: "ipv4")
    #expect(
      result["ipv6"].map(\.bytes)
        == [
          to6().tcp().payload("hello"), to6().udp().payload("hello!"), to6().icmpv6().payload("x"),
          to6().icmpv6(type: 129).payload("y"), to6().tcp(),
        ].map(\.bytes))
  }

  @Test func vlanTagsStay() throws {
    let result = try siit().push(
      Frame.ethernet().vlan(7).ipv4(from: Self.server4, to: Self.host4).udp(), input: "ipv4")
    #expect(
      result["ipv6"].map(\.bytes) == [
        Frame.ethernet().vlan(7).ipv6(from: Self.server6, to: Self.host6, hopLimit: 63).udp().bytes
      ])
  }

  /// Options are ignored, but for a source route that is not used up, with which the packet is dropped.
  @Test func rfc7915_4_1_options() throws {
    let siit = try siit()
    let ignored: [[UInt8]] = [
      [148, 4, 0, 0], [7, 7, 4, 0, 0, 0, 0], [1, 1, 1, 0], [131, 7, 8, 192, 0, 2, 1], Array(repeating: 1, count: 40),
    ]
    let result = siit.push(ignored.map { from4(options: $0).udp().payload("x") }, input: "ipv4")
    #expect(result["ipv6"].map(\.bytes) == ignored.map { _ in to6().udp().payload("x").bytes })
    let refused: [[UInt8]] = [[131, 7, 4, 192, 0, 2, 1], [1, 137, 7, 4, 192, 0, 2, 1], [68, 1, 0, 0]]
    #expect(siit.push(refused.map { from4(options: $0).udp() }, input: "ipv4").drops == ["sourceRoute": 3])
  }

  /// Fragments get a fragment header with the identification in its lower 16 bits.
  @Test func rfc7915_4_1_fragments() throws {
    let whole = from4(dontFragment: false).udp().payload(count: 1000)
    let result = try siit().push(whole.fragments(of: 496, identification: 0x1234), input: "ipv4")
    let expected = to6().udp().payload(count: 1000).fragments(of: 496, identification: 0x1234)
    #expect(result["ipv6"].map(\.bytes) == expected.map(\.bytes))
    #expect(expected.count == 3)
  }

  /// A packet that may be fragmented is cut when it becomes longer than 1,280 bytes, and only then.
  @Test func rfc7915_4_cutting() throws {
    let siit = try siit()
    let fits = siit.push(from4(dontFragment: false).udp().payload(count: 1232), input: "ipv4")
    #expect(fits["ipv6"].map(\.bytes) == [to6().udp().payload(count: 1232).bytes])
    let large = Frame.ethernet().ipv4(from: Self.server4, to: Self.host4, identification: 77).udp()
      .payload(count: 3000)
    let cut = siit.push(large.inBuffers, input: "ipv4")
    let expected = to6().udp().payload(count: 3000).fragments(of: 1232, identification: 77)
    #expect(cut["ipv6"].map(\.bytes) == expected.map(\.bytes))
    // A fragment is cut further: 1,480 bytes become 1,232 and 248.
    let pieces = large.fragments(of: 1480, identification: 5)
    let again = siit.push(pieces.map(\.inBuffers), input: "ipv4")
    #expect(again["ipv6"].count == 5)
    #expect(again["ipv6"].allSatisfy { $0.bytes.count <= 1294 && $0.problems == [] })
    let raised = try self.siit(", lowest_ipv6_mtu: 1500")
    #expect(raised.push(from4(dontFragment: false).udp().payload(count: 1452), input: "ipv4")["ipv6"].count == 1)
  }

  /// With DF set, what does not fit the IPv6 link is answered with its MTU less 20.
  @Test func rfc7915_4_tooBig() throws {
    let siit = try siit(", mtu_ipv6: 1400")
    let large = from4().udp().payload(count: 1353)
    let result = siit.push([large, from4().udp().payload(count: 1352)], input: "ipv4")
    #expect(result["tooBig"].map(\.bytes) == [large.bytes])
    #expect(result["tooBig"].map(\.annotation) == [1380])
    #expect(result["ipv6"].map(\.bytes) == [to6().udp().payload(count: 1352).bytes])
  }

  /// A UDP datagram without checksum gets one; a fragment of one is dropped.
  @Test func rfc7915_4_5_noChecksum() throws {
    let siit = try siit()
    for count in [0, 1, 2, 33, 700] {
      let result = siit.push(from4().udp(checksum: .value(0)).payload(count: count), input: "ipv4")
      #expect(result["ipv6"].map(\.bytes) == [to6().udp().payload(count: count).bytes])
    }
    let first = from4(dontFragment: false).udp(checksum: .value(0)).payload(count: 600).fragments(of: 304)[0]
    #expect(siit.push(first, input: "ipv4").drops == ["noChecksum": 1])
  }

  /// A UDP checksum that is computed to zero is sent as 0xFFFF, and a wrong one stays wrong.
  @Test func rfc7915_4_5_checksums() throws {
    let siit = try siit()
    for port in UInt16(0)..<600 {
      let result = siit.push(from4().udp(from: port &* 109, to: 1).payload([0, 0]), input: "ipv4")
      #expect(result["ipv6"].map(\.problems) == [[]])
    }
    let wrong = siit.push(from4().tcp(checksum: .wrong).payload("x"), input: "ipv4")
    #expect(wrong["ipv6"].map(\.bytes) == [to6().tcp(checksum: .wrong).payload("x").bytes])
  }

  // MARK: ICMP

  /// Messages of one link, obsolete and unknown ones are dropped.
  @Test func rfc7915_4_2_messagesThatAreDropped() throws {
    let siit = try siit()
    let types: [UInt8] = [4, 5, 6, 9, 10, 13, 14, 15, 16, 17, 18, 30, 42, 255]
    #expect(siit.push(types.map { from4().icmp(type: $0) }, input: "ipv4").drops == ["untranslatableICMP": 14])
    let types6: [UInt8] = [0, 5, 100, 127, 130, 131, 132, 133, 134, 135, 136, 137, 143, 200]
    #expect(siit.push(types6.map { from6().icmpv6(type: $0) }, input: "ipv6").drops == ["untranslatableICMP": 14])
  }

  /// Fragments of ICMP messages are not translated.
  @Test func rfc7915_1_2_fragmentedICMP() throws {
    let siit = try siit()
    let four = from4(dontFragment: false).icmp().payload(count: 100).fragments(of: 56)
    #expect(siit.push(four, input: "ipv4").drops == ["fragmentedICMP": 2])
    let six = from6().icmpv6().payload(count: 100).fragments(of: 56)
    #expect(siit.push(six, input: "ipv6").drops == ["fragmentedICMP": 2])
  }

  /// An ICMPv6 error about a packet that was translated on its way to the host.
  private func error6(_ type: UInt8, _ code: UInt8, _ rest: UInt32 = 0, about frame: Frame? = nil) -> Frame {
    from6().icmpv6(
      type: type, code: code, identifier: UInt16(rest >> 16), sequence: UInt16(truncatingIfNeeded: rest)
    ).carrying(frame ?? to6(hops: 60).udp().payload("lost"))
  }

  private func error4(_ type: UInt8, _ code: UInt8, _ rest: UInt32 = 0, about frame: Frame? = nil) -> Frame {
    from4().icmp(type: type, code: code, identifier: UInt16(rest >> 16), sequence: UInt16(truncatingIfNeeded: rest))
      .carrying(frame ?? to4(ttl: 60).udp().payload("lost"))
  }

  private func message(_ packet: SentPacket, at offset: Int) -> [UInt32] {
    let bytes = packet.bytes[offset..<offset + 8]
    let rest = bytes.suffix(4).reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
    return [UInt32(packet.bytes[offset]), UInt32(packet.bytes[offset + 1]), rest]
  }

  /// Types, codes and pointers of ICMPv6 errors become those of ICMP.
  @Test(
    arguments: [
      ([1, 0, 0], [3, 1, 0]), ([1, 1, 0], [3, 10, 0]), ([1, 2, 0], [3, 1, 0]), ([1, 3, 0], [3, 1, 0]),
      ([1, 4, 0], [3, 3, 0]), ([2, 0, 1400], [3, 4, 1380]), ([2, 0, 9000], [3, 4, 1480]), ([3, 0, 0], [11, 0, 0]),
      ([3, 1, 0], [11, 1, 0]), ([4, 0, 0], [12, 0, 0]), ([4, 0, 1], [12, 0, 1 << 24]), ([4, 0, 4], [12, 0, 2 << 24]),
      ([4, 0, 5], [12, 0, 2 << 24]), ([4, 0, 6], [12, 0, 9 << 24]), ([4, 0, 7], [12, 0, 8 << 24]),
      ([4, 0, 8], [12, 0, 12 << 24]), ([4, 0, 23], [12, 0, 12 << 24]), ([4, 0, 24], [12, 0, 16 << 24]),
      ([4, 0, 39], [12, 0, 16 << 24]), ([4, 1, 6], [3, 2, 0]),
    ] as [([UInt32], [UInt32])]) func rfc7915_5_2_errors(from: [UInt32], to: [UInt32]) throws
  {
    let result = try siit().push(error6(UInt8(from[0]), UInt8(from[1]), from[2]), input: "ipv6")
    #expect(result["ipv4"].map { message($0, at: 34) } == [to])
    #expect(result["ipv4"].map(\.problems) == [[]])
  }

  /// ICMPv6 errors without a counterpart are dropped.
  @Test func rfc7915_5_2_errorsThatAreDropped() throws {
    let frames = [
      error6(1, 5), error6(1, 6), error6(3, 2), error6(4, 2), error6(4, 3), error6(4, 0, 2), error6(4, 0, 3),
      error6(4, 0, 40),
    ]
    #expect(try siit().push(frames, input: "ipv6").drops == ["untranslatableICMP": 8])
  }

  /// Types, codes and pointers of ICMP errors become those of ICMPv6.
  @Test(
    arguments: [
      ([3, 0, 0], [1, 0, 0]), ([3, 1, 0], [1, 0, 0]), ([3, 2, 0], [4, 1, 6]), ([3, 3, 0], [1, 4, 0]),
      ([3, 4, 1380], [2, 0, 1400]), ([3, 4, 576], [2, 0, 1280]), ([3, 4, 9000], [2, 0, 1500]), ([3, 5, 0], [1, 0, 0]),
      ([3, 6, 0], [1, 0, 0]), ([3, 7, 0], [1, 0, 0]), ([3, 8, 0], [1, 0, 0]), ([3, 9, 0], [1, 1, 0]),
      ([3, 10, 0], [1, 1, 0]), ([3, 11, 0], [1, 0, 0]), ([3, 12, 0], [1, 0, 0]), ([3, 13, 0], [1, 1, 0]),
      ([3, 15, 0], [1, 1, 0]), ([11, 0, 0], [3, 0, 0]), ([11, 1, 0], [3, 1, 0]), ([12, 0, 0], [4, 0, 0]),
      ([12, 0, 1 << 24], [4, 0, 1]), ([12, 0, 2 << 24], [4, 0, 4]), ([12, 2, 3 << 24], [4, 0, 4]),
      ([12, 0, 8 << 24], [4, 0, 7]), ([12, 0, 9 << 24], [4, 0, 6]), ([12, 0, 12 << 24], [4, 0, 8]),
      ([12, 0, 15 << 24], [4, 0, 8]), ([12, 0, 16 << 24], [4, 0, 24]), ([12, 0, 19 << 24], [4, 0, 24]),
    ] as [([UInt32], [UInt32])]) func rfc7915_4_2_errors(from: [UInt32], to: [UInt32]) throws
  {
    let result = try siit().push(error4(UInt8(from[0]), UInt8(from[1]), from[2]), input: "ipv4")
    #expect(result["ipv6"].map { message($0, at: 54) } == [to])
    #expect(result["ipv6"].map(\.problems) == [[]])
  }

  /// ICMP errors without a counterpart are dropped.
  @Test func rfc7915_4_2_errorsThatAreDropped() throws {
    let frames = [
      error4(3, 14), error4(3, 16), error4(11, 2), error4(12, 1), error4(12, 3), error4(12, 0, 5 << 24),
      error4(12, 0, 10 << 24), error4(12, 0, 20 << 24),
    ]
    #expect(try siit().push(frames, input: "ipv4").drops == ["untranslatableICMP": 8])
  }

  /// A router that says no MTU gets a likely one: the greatest plateau below the packet's length, but 1,280 at least.
  @Test(arguments: [(1500, 1500), (1501, 1500), (1492, 1280), (600, 1280), (1493, 1500)])
  func rfc7915_4_2_plateaus(length: Int, mtu: UInt32) throws {
    let siit = try siit(", mtu_ipv4: 65535, mtu_ipv6: 65535")
    let lost = Frame.ethernet().ipv4(from: Self.host4, to: Self.server4, totalLength: length).udp().payload("x")
    let result = siit.push(error4(3, 4, 0, about: lost), input: "ipv4")
    // 1,492 and the 20 bytes by which the packet grows.
    #expect(result["ipv6"].map { message($0, at: 54)[2] } == [mtu == 1500 ? 1512 : mtu])
  }

  /// The packet within an error is translated, checksums and all; its time-to-live stays.
  @Test func rfc7915_4_3_embeddedPackets() throws {
    let siit = try siit()
    let cases: [(four: Frame, six: Frame)] = [
      (
        to4(ttl: 60, identification: 9).tcp().payload(count: 40),
        Frame.ethernet().ipv6(from: Self.host6, to: Self.server6, hopLimit: 60).tcp().payload(count: 40)
      ),
      (
        to4(ttl: 60).udp().payload("lost"),
        Frame.ethernet().ipv6(from: Self.host6, to: Self.server6, hopLimit: 60).udp().payload("lost")
      ),
      (
        to4(ttl: 60).icmp().payload("lost"),
        Frame.ethernet().ipv6(from: Self.host6, to: Self.server6, hopLimit: 60).icmpv6().payload("lost")
      ),
    ]
    for (four, six) in cases {
      let result = siit.push(error4(11, 0, about: four), input: "ipv4")
      #expect(result["ipv6"].map(\.bytes) == [to6().icmpv6(type: 3, identifier: 0, sequence: 0).carrying(six).bytes])
    }
    let fragment = to4(ttl: 60).udp().payload(count: 100).fragments(of: 64, identification: 7)[1]
    let fragment6 = Frame.ethernet().ipv6(from: Self.host6, to: Self.server6, hopLimit: 60).udp().payload(count: 100)
      .fragments(of: 64, identification: 7)[1]
    let result = siit.push(error4(11, 1, about: fragment), input: "ipv4")
    #expect(
      result["ipv6"].map(\.bytes) == [
        to6().icmpv6(type: 3, code: 1, identifier: 0, sequence: 0).carrying(fragment6).bytes
      ])
  }

  /// The same in the other direction; a longer packet gets its DF set as it would on its way.
  @Test func rfc7915_5_3_embeddedPackets() throws {
    let siit = try siit()
    func four(_ dontFragment: Bool = false) -> Frame {
      Frame.ethernet().ipv4(from: Self.server4, to: Self.host4, ttl: 60, dontFragment: dontFragment)
    }
    let cases: [(six: Frame, four: Frame)] = [
      (to6(hops: 60).tcp().payload(count: 40), four().tcp().payload(count: 40)),
      (to6(hops: 60).udp().payload("lost"), four().udp().payload("lost")),
      (to6(hops: 60).icmpv6().payload("lost"), four().icmp().payload("lost")),
      (to6(hops: 60).ipv6Extension(60).udp().payload("lost"), four().udp().payload("lost")),
    ]
    for (six, four) in cases {
      let result = siit.push(error6(3, 0, about: six), input: "ipv6")
      #expect(result["ipv4"].map(\.problems) == [[]])
      let expected = to4().icmp(type: 11, identifier: 0, sequence: 0).carrying(four).bytes
      // Identification and checksums in both headers, and the message's checksum, differ by what the translator chose.
      #expect(result["ipv4"].map { Array($0.bytes[(14 + 20 + 8 + 12)...]) } == [Array(expected[54...])])
      #expect(result["ipv4"].map { Array($0.bytes[42..<46]) } == [Array(expected[42..<46])])
    }
  }

  @Test func embeddedPacketsThatAreCutShort() throws {
    let siit = try siit()
    let lost = Array(to4(ttl: 60).tcp().payload(count: 40).bytes[14..<42])
    let result = siit.push(from4().icmp(type: 11, identifier: 0, sequence: 0).payload(lost), input: "ipv4")
    let six = Array(
      Frame.ethernet().ipv6(from: Self.host6, to: Self.server6, hopLimit: 60).tcp().payload(count: 40).bytes[14..<62])
    #expect(
      result["ipv6"].map(\.bytes) == [to6().icmpv6(type: 3, identifier: 0, sequence: 0).payload(six).bytes])
    for length in 0..<28 {
      let short = siit.push(from4().icmp(type: 11).payload(Array(lost[..<length])), input: "ipv4")
      #expect(short["ipv6"].isEmpty && short.drops.values.reduce(0, +) == 1)
    }
  }

  /// What RFC 4884 puts behind the packet in an error is taken away with its length, since the packet grows into it.
  @Test func rfc7915_4_2_extensions() throws {
    let lost = Array(to4(ttl: 60).udp().payload(count: 100).bytes[14...])
    let message = from4().icmp(type: 11, identifier: UInt16(lost.count / 4), sequence: 0)
      .payload(lost + [0x20, 0, 0, 0, 0, 8, 1, 1, 1, 2, 3, 4])
    let six = Array(
      Frame.ethernet().ipv6(from: Self.host6, to: Self.server6, hopLimit: 60).udp().payload(count: 100).bytes[14...])
    let result = try siit().push(message, input: "ipv4")
    #expect(
      result["ipv6"].map(\.bytes) == [to6().icmpv6(type: 3, identifier: 0, sequence: 0).payload(six).bytes])
  }

  /// No ICMPv6 error is longer than 1,280 bytes.
  @Test func rfc4443_2_4_errorsAreNoLongerThanTheLeastMTU() throws {
    let result = try siit().push(error4(11, 0, about: to4().udp().payload(count: 1400)), input: "ipv4")
    #expect(result["ipv6"].map { $0.bytes.count } == [14 + 1280])
    #expect(result["ipv6"].map(\.problems) == [[]])
  }

  // MARK: Addresses

  /// Addresses that are not global have no place in the well-known prefix: packets with one are dropped.
  @Test func rfc6052_3_1_wellKnownPrefix() throws {
    let siit = try ElementUnderTest(SIIT.self, settings: "mappings: { 192.0.2.10: 2001:db8::10 }")
    let local = Frame.ethernet().ipv6(from: Self.host6, to: "64:ff9b::a00:1").udp()
    let global = Frame.ethernet().ipv6(from: Self.host6, to: "64:ff9b::808:808").udp()
    let result = siit.push([local, global], input: "ipv6")
    #expect(result.drops == ["notGlobal": 1])
    #expect(result["ipv4"].count == 1)
    let back = siit.push(Frame.ethernet().ipv4(from: "10.0.0.1", to: Self.host4).udp(), input: "ipv4")
    #expect(back.drops == ["notGlobal": 1])
  }

  @Test func addressesWithoutMapping() throws {
    let siit = try siit()
    #expect(
      siit.push(Frame.ethernet().ipv6(from: "2001:db8::11", to: Self.server6).udp(), input: "ipv6").drops
        == ["noMapping": 1])
    #expect(siit.push(from4().udp(), input: "ipv6").drops == ["otherVersion": 1])
    #expect(siit.push(from6().udp(), input: "ipv4").drops == ["otherVersion": 1])
    #expect(siit.push(Frame.ethernet().arp(), input: "ipv4").drops == ["malformed": 1])
  }

  private func mistakes(_ settings: String) -> [String] {
    do {
      _ = try ElementUnderTest(SIIT.self, settings: settings)
      return []
    } catch let error as ConfigurationError {
      return error.diagnostics.map { "\($0.range?.start.column ?? 0) \($0.message)" }
    } catch { return ["\(error)"] }
  }

  @Test func mistakesHaveTheirPlace() {
    #expect(
      mistakes("{ prefix: 2001:db8::/80 }") == ["11 2001:db8::/80 has a length that RFC 6052 does not know"])
    #expect(
      mistakes("{ prefix: \"2001:db8:0:0:100::/96\" }") == ["11 bits 64 to 71 of 2001:db8:0:0:100::/96 are not zero"])
    #expect(mistakes("{ prefix: \"fe80::/96\" }") == ["11 fe80::/96 is link-local"])
    #expect(mistakes("{ mtu_ipv6: 1400, lowest_ipv6_mtu: 1500 }") == ["36 1500 is more than 'mtu_ipv6'"])
    #expect(
      mistakes("{ mappings: { 192.0.2.1: \"2001:db8::1\", 192.0.2.2: \"2001:db8::1\" } }")
        == ["52 2001:db8::1 has a mapping already"])
    #expect(mistakes("{ mappings: { 192.0.2.300: \"2001:db8::1\" } }").count == 1)
  }

  @Test func survivesAnything() throws {
    try expectRobust(ElementKind(SIIT.self), settings: "prefix: 2001:db8::/96")
    try expectRobust(
      ElementKind(SIIT.self), settings: "{ prefix: 2001:db8::/32, mappings: { 10.0.0.1: \"2001:db8::1\" } }", seed: 7)
  }
}
