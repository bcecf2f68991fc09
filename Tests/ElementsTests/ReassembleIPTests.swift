import Dataplane
import Elements
import TestKit
import Testing

private let second: UInt64 = 1_000_000_000
private let v4 = Frame.ethernet().vlan(3).ipv4(ttl: 9, dscp: 10, identification: 77).udp()
private let v6 = Frame.ethernet().ipv6(hopLimit: 9, flowLabel: 5).ipv6Extension(60).udp()

private func makeReassembly(_ settings: String = "", packets: Int = 1024) throws -> ElementUnderTest {
  try ElementUnderTest(ReassembleIP.self, settings: settings, packets: packets)
}

private func fragment(
  _ range: Range<Int>, of count: Int, identification: UInt16 = 1, protocolNumber: UInt8 = 17, ecn: UInt8 = 0
) -> Frame {
  Frame.ethernet().ipv4(
    ecn: ecn, identification: identification, moreFragments: range.upperBound < count,
    fragmentOffset: range.lowerBound, protocolNumber: protocolNumber
  ).payload(range.map { UInt8(truncatingIfNeeded: $0) })
}

private func fragment6(_ range: Range<Int>, of count: Int, identification: UInt32 = 1, next: UInt8 = 200) -> Frame {
  Frame.ethernet().ipv6().ipv6Fragment(
    offset: range.lowerBound, moreFragments: range.upperBound < count, identification: identification, nextHeader: next
  ).payload(range.map { UInt8(truncatingIfNeeded: $0) })
}

@Suite struct ReassembleIPTests {
  // MARK: Whole packets

  /// Fragments that come in any order make the packet that was sent.
  @Test(arguments: 0..<8) func rfc791_3_2_reassembly(seed: Int) throws {
    var generator = FrameGenerator(seed: UInt64(seed))
    let element = try makeReassembly()
    let wholes = [v4.payload(count: 4000), v6.payload(count: 3000), v4.payload(count: 24)]
    var fragments: [Frame] = []
    for (index, whole) in wholes.enumerated() {
      fragments += whole.fragments(of: [1480, 1400, 8][index], identification: UInt16(77 + index))
    }
    for index in fragments.indices { fragments.swapAt(index, index + generator.number(below: fragments.count - index)) }
    let result = element.push(fragments)
    let expected = [
      wholes[0],
      // The fragment header stood in front of the first extension header, and is gone.
      wholes[1],
      Frame.ethernet().vlan(3).ipv4(ttl: 9, dscp: 10, identification: 79).udp().payload(count: 24),
    ]
    #expect(Set(result["whole"].map(\.bytes)) == Set(expected.map(\.bytes)), "\(result)")
    #expect(result["whole"].flatMap(\.problems) == [])
    #expect(result.drops == ["reassembled": fragments.count - 3])
    #expect(result.held == 0)
  }

  /// The fragment header is taken away behind the extension headers that every fragment has.
  @Test func rfc8200_4_5_unfragmentablePart() throws {
    let head = Frame.ethernet().ipv6().ipv6Extension(0).ipv6Extension(43)
    let bytes = Frame.ethernet().ipv6().icmpv6().payload(count: 30).bytes.dropFirst(54)
    let fragments = [
      head.ipv6Fragment(moreFragments: true, nextHeader: 58).payload(Array(bytes.prefix(16))),
      // What later fragments say of headers does not matter.
      Frame.ethernet().ipv6(hopLimit: 3).ipv6Fragment(offset: 16, nextHeader: 17).payload(Array(bytes.dropFirst(16))),
    ]
    let sent = try makeReassembly().push(fragments)["whole"]
    #expect(sent.are([head.icmpv6().payload(count: 30)]), "\(sent)")
  }

  /// What is no fragment passes as it came, in the order it came, among fragments and alone.
  @Test func whatIsNoFragmentPasses() throws {
    let element = try makeReassembly()
    let frames: [Frame] = [.ethernet().ipv4().udp(), .ethernet().ipv6().tcp().padded(to: 100)]
    #expect(element.push(frames)["whole"].are(frames))
    let pieces = v4.payload(count: 100).fragments(of: 64, identification: 77)
    let mixed = element.push([frames[0], pieces[0], frames[1], pieces[1], frames[0], .ethernet().arp()])
    #expect(mixed["whole"].are([frames[0], frames[1], v4.payload(count: 100), frames[0]]))
    #expect(mixed.drops == ["reassembled": 1, "malformed": 1])
    #expect(element.push(.ethernet().arp()).drops == ["malformed": 1])
  }

  /// Atomic fragments are whole, whatever else there is with their identification.
  @Test func rfc6946_4_atomicFragmentsAreWhole() throws {
    let element = try makeReassembly()
    let atomic = Frame.ethernet().ipv6().ipv6Fragment(identification: 1).udp()
    let result = element.push([fragment6(0..<8, of: 100), atomic, fragment6(8..<16, of: 100)])
    #expect(result["whole"].are([atomic]))
    #expect(result.held == 2)
  }

  /// Packets up to 65,535 bytes become whole, from fragments in any number of segments.
  @Test func rfc791_3_1_longestPacket() throws {
    let element = try makeReassembly()
    let whole = Frame.ethernet().ipv4(identification: 7).udp().payload(count: 65_507)
    let fragments = whole.fragments(of: 1480, identification: 7).map { $0.split(at: 15, 100, 700) }
    #expect(element.push(Array(fragments.reversed()))["whole"].are([whole]))
    let six = Frame.ethernet().ipv6().udp().payload(count: 65_487)
    #expect(element.push(six.fragments(of: 1448))["whole"].are([six]))
  }

  @Test func paddingIsNoContents() throws {
    let whole = v4.payload(count: 20)
    let fragments = whole.fragments(of: 16, identification: 77).map { $0.padded() }
    #expect(try makeReassembly().push(fragments)["whole"].are([whole]))
  }

  /// Options are those of the first fragment.
  @Test func rfc791_3_2_optionsOfTheFirstFragment() throws {
    let options: [UInt8] = [7, 7, 4, 0, 0, 0, 0, 0]
    let first = Frame.ethernet().ipv4(identification: 1, moreFragments: true, options: options, protocolNumber: 200)
      .payload([1, 2, 3, 4, 5, 6, 7, 8])
    let sent = try makeReassembly().push([fragment(8..<16, of: 16, protocolNumber: 200), first])["whole"]
    let whole = Frame.ethernet().ipv4(identification: 1, options: options, protocolNumber: 200)
      .payload([1, 2, 3, 4, 5, 6, 7, 8] + (8..<16).map { UInt8($0) })
    #expect(sent.are([whole]))
  }

  /// Fragments belong together by source, destination, protocol and identification.
  @Test func rfc791_3_2_whatBelongsTogether() throws {
    let element = try makeReassembly()
    func half(_ frame: Frame, _ isFirst: Bool) -> Frame { frame.payload(Array(repeating: isFirst ? 1 : 2, count: 8)) }
    let seconds: [Frame] = [
      .ethernet().ipv4(from: "10.0.0.9", identification: 1, fragmentOffset: 8, protocolNumber: 200),
      .ethernet().ipv4(to: "10.0.0.9", identification: 1, fragmentOffset: 8, protocolNumber: 200),
      .ethernet().ipv4(identification: 2, fragmentOffset: 8, protocolNumber: 200),
      .ethernet().ipv4(identification: 1, fragmentOffset: 8, protocolNumber: 201),
    ]
    let first = Frame.ethernet().ipv4(identification: 1, moreFragments: true, protocolNumber: 200)
    let result = element.push([half(first, true)] + seconds.map { half($0, false) })
    #expect(result["whole"].isEmpty)
    #expect(result.held == 5)
    let match = Frame.ethernet().ipv4(identification: 1, fragmentOffset: 8, protocolNumber: 200)
    #expect(element.push(half(match, false))["whole"].count == 1)
  }

  /// IPv6 fragments belong together by addresses and identification alone.
  @Test func rfc8200_4_5_whatBelongsTogether() throws {
    let result = try makeReassembly().push([fragment6(0..<8, of: 16, next: 200), fragment6(8..<16, of: 16, next: 201)])
    #expect(result["whole"].count == 1)
    #expect(result["whole"].first?.bytes[20] == 200)
  }

  @Test func whatTheDataPlaneKnowsOfTheFirstFragmentStays() throws {
    let fragments = v4.payload(count: 100).marked(9).from(port: 4).fragments(of: 64, identification: 77)
    let sent = try makeReassembly().push([fragments[1].marked(1), fragments[0]])["whole"]
    #expect(sent.map(\.mark) == [9])
    #expect(sent.map(\.ingressPort) == [4])
  }

  // MARK: Time

  /// Fragments wait for the others for so long after the first of them came, and then make room; when the one at offset
  /// zero is there it leaves for the ICMP error.
  @Test(arguments: [("", 30), ("timeout: 90s", 90)]) func rfc1122_3_3_2_timeout(settings: String, seconds: Int) throws {
    let element = try makeReassembly(settings)
    let first = fragment(0..<8, of: 100)
    #expect(element.push(fragment(8..<16, of: 100)).held == 1)
    #expect(element.push(first, at: Instant(nanoseconds: 5 * second)).held == 2)
    #expect(element.advance(to: Instant(nanoseconds: UInt64(seconds) * second - 1)).held == 2)
    let result = element.advance(to: Instant(nanoseconds: UInt64(seconds) * second))
    #expect(result["expired"].are([first]))
    #expect(result.drops == ["timedOut": 1])
    #expect(result.held == 0)
    #expect(element.nextWake == .never)
  }

  /// IPv6 waits 60 seconds.
  @Test func rfc8200_4_5_timeout() throws {
    let element = try makeReassembly()
    #expect(element.push([fragment6(0..<8, of: 100), fragment6(24..<32, of: 100)]).held == 2)
    #expect(element.advance(to: Instant(nanoseconds: 60 * second - 1)).held == 2)
    let result = element.advance(to: Instant(nanoseconds: 60 * second))
    #expect(result["expired"].are([fragment6(0..<8, of: 100)]))
    #expect(result.drops == ["timedOut": 1])
  }

  /// Without the fragment at offset zero there is nothing to send an error about.
  @Test func rfc1122_3_3_2_noErrorWithoutTheFirstFragment() throws {
    let element = try makeReassembly()
    #expect(element.push([fragment(8..<16, of: 100), fragment6(8..<16, of: 100)]).held == 2)
    let result = element.advance(by: 100 * second)
    #expect(result["expired"].isEmpty)
    #expect(result.drops == ["timedOut": 2])
  }

  // MARK: Attacks

  /// Overlapping fragments end the packet, and so do those that come after, until its time is over.
  @Test(arguments: [false, true]) func rfc5722_4_overlapsEndThePacket(isIPv6: Bool) throws {
    func piece(_ range: Range<Int>) -> Frame {
      isIPv6 ? fragment6(range, of: 48) : fragment(range, of: 48, protocolNumber: 200)
    }
    let element = try makeReassembly()
    let result = element.push([piece(0..<16), piece(32..<48), piece(8..<24), piece(16..<32)])
    #expect(result.drops == ["overlap": 4])
    #expect(result.held == 0)
    #expect(element.push(piece(0..<16), at: Instant(nanoseconds: 29 * second)).drops == ["overlap": 1])
    let after = element.push([piece(0..<16), piece(16..<48)], at: Instant(nanoseconds: 61 * second))
    #expect(after["whole"].count == 1)
  }

  /// Duplicates do no harm.
  @Test func rfc8200_4_5_duplicates() throws {
    let fragments = v6.payload(count: 100).fragments(of: 48)
    let result = try makeReassembly().push([fragments[0], fragments[0], fragments[2], fragments[2], fragments[1]])
    #expect(result["whole"].are([v6.payload(count: 100)]))
    #expect(result.drops == ["duplicate": 2, "reassembled": 2])
  }

  /// A first fragment holds at least 16 bytes of TCP, and none begins within them.
  @Test func rfc1858_3_tinyFragments() throws {
    let result = try makeReassembly().push([
      fragment(0..<8, of: 100, protocolNumber: 6), fragment6(8..<16, of: 100, next: 6),
      fragment(0..<16, of: 100, identification: 2, protocolNumber: 6), fragment(0..<8, of: 100, identification: 3),
    ])
    #expect(result.drops == ["tinyFragment": 2])
    #expect(result.held == 2)
  }

  /// A fragment at offset 8 of TCP is dropped.
  @Test func rfc3128_2_fragmentsAtOffsetEight() throws {
    let result = try makeReassembly().push([
      fragment(8..<64, of: 100, protocolNumber: 6), fragment(8..<64, of: 100, protocolNumber: 17),
    ])
    #expect(result.drops == ["tinyFragment": 1])
    #expect(result.held == 1)
  }

  /// The first fragment of an IPv6 packet holds all its headers.
  @Test func rfc7112_5_firstFragmentHasAllHeaders() throws {
    let cutTCP = Frame.ethernet().ipv6().tcp().payload(count: 20).fragments(of: 16)[0]
    let cutChain = Frame.ethernet().ipv6().ipv6Fragment(moreFragments: true, nextHeader: 60).payload([
      6, 3, 0, 0, 0, 0, 0, 0,
    ])
    let result = try makeReassembly().push([cutTCP, cutChain])
    #expect(result.drops == ["tinyFragment": 1, "malformed": 1])
  }

  /// An IPv6 fragment other than the last that is no multiple of 8 long is answered with a pointer to the payload length.
  @Test func rfc8200_4_5_lengthNotAMultipleOfEight() throws {
    let frame = Frame.ethernet().ipv6().ipv6Fragment(moreFragments: true, nextHeader: 200).payload(count: 12)
    let result = try makeReassembly().push([frame, fragment(0..<12, of: 100)])
    #expect(result["invalid"].are([frame]))
    #expect(result["invalid"].map(\.annotation) == [4])
    #expect(result.drops == ["malformed": 1])
  }

  /// A fragment that would make the packet longer than 65,535 bytes is answered with a pointer to its offset.
  @Test func rfc8200_4_5_tooLong() throws {
    let frame = Frame.ethernet().ipv6().ipv6Extension(0).ipv6Fragment(offset: 65_520, nextHeader: 200).payload(
      count: 24)
    let four = Frame.ethernet().ipv4(fragmentOffset: 65_528, protocolNumber: 17).payload(count: 200)
    let result = try makeReassembly().push([frame, four])
    #expect(result["invalid"].are([frame]))
    #expect(result["invalid"].map(\.annotation) == [50])
    #expect(result.drops == ["malformed": 1])
  }

  /// Headers of the first fragment that are longer than the others' do not make it too long either.
  @Test func headersCountTowardsTheLongestPacket() throws {
    let element = try makeReassembly()
    let whole = Frame.ethernet().ipv4(identification: 7).udp().payload(count: 65_507)
    var fragments = whole.fragments(of: 1480, identification: 7)
    let first = Frame.ethernet().ipv4(
      identification: 7, moreFragments: true, options: [1, 1, 1, 1], protocolNumber: 17
    ).payload(Array(fragments[0].bytes.dropFirst(34)))
    fragments[0] = first
    #expect(element.push(fragments).drops == ["tooLong": 45])
  }

  @Test func emptyFragmentsAreRefused() throws {
    let empty: [Frame] = [
      .ethernet().ipv4(moreFragments: true, protocolNumber: 17),
      .ethernet().ipv4(fragmentOffset: 8, protocolNumber: 17),
      .ethernet().ipv6().ipv6Fragment(offset: 8, nextHeader: 17),
    ]
    #expect(try makeReassembly().push(empty).drops == ["malformed": 3])
  }

  /// A packet is marked when one of its fragments met congestion, and dropped when another one knows no such marks.
  @Test func rfc3168_5_3_congestionMarks() throws {
    func push(_ marks: [UInt8]) throws -> StepResult {
      try makeReassembly().push(
        marks.enumerated().map {
          fragment($0 * 8..<$0 * 8 + 8, of: marks.count * 8, protocolNumber: 200, ecn: $1)
        })
    }
    #expect(try push([2, 3, 2])["whole"].map { $0.bytes[15] & 3 } == [3])
    #expect(try push([3, 3])["whole"].map { $0.bytes[15] & 3 } == [3])
    #expect(try push([1, 1])["whole"].map { $0.bytes[15] & 3 } == [1])
    #expect(try push([0, 0])["whole"].map { $0.bytes[15] & 3 } == [0])
    #expect(try push([0, 3]).drops == ["badCongestionMark": 2])
    #expect(try push([2, 3])["whole"].flatMap(\.problems) == [])
  }

  // MARK: Limits

  @Test func theOldestPacketGoesWhenALimitIsReached() throws {
    func firsts(_ count: Int) -> [Frame] { (0..<count).map { fragment(0..<64, of: 100, identification: UInt16($0)) } }
    for settings in ["packets: 3", "fragments: 3", "{ packets: 3, fragments: 3 }"] {
      let element = try makeReassembly(settings)
      let result = element.push(firsts(10))
      #expect(result.drops == ["evicted": 7])
      #expect(result.held == 3)
      #expect(element.push(fragment(64..<100, of: 100, identification: 9))["whole"].count == 1)
      #expect(element.push(fragment(64..<100, of: 100, identification: 0))["whole"].isEmpty)
    }
    let bytes = try makeReassembly("bytes: 128KiB")
    let long = (0..<12).map {
      Frame.ethernet().ipv4(identification: $0, moreFragments: true, protocolNumber: 17).payload(count: 16_000)
        .inBuffers
    }
    let result = bytes.push(long)
    #expect(result.drops == ["evicted": 4])
    #expect(result.held == 8)
    #expect(bytes.counters["mostHeld"] == 8)
  }

  @Test func aPacketHasOnlySoManyFragments() throws {
    let element = try makeReassembly("fragments_per_packet: 4")
    let pieces = (0..<8).map { fragment($0 * 8..<$0 * 8 + 8, of: 64, protocolNumber: 200) }
    #expect(element.push(pieces).drops == ["tooManyFragments": 8])
    #expect(element.push(pieces.prefix(3).map { $0 }, at: Instant(nanoseconds: 31 * second)).held == 3)
  }

  @Test func nothingIsLostWhenNoBufferIsLeft() throws {
    let element = try makeReassembly(packets: 20)
    let whole = Frame.ethernet().ipv4(identification: 7).udp().payload(count: 20_000)
    let fragments = whole.fragments(of: 1480, identification: 7)
    for piece in fragments.prefix(6) { _ = element.push(piece) }
    #expect(element.held == 6)
    #expect(element.advance(by: 40 * second).held == 0)
  }

  @Test(arguments: ["packets: 0", "fragments_per_packet: 1", "bytes: 1KiB", "timeout: 0s", "timeout_ipv6: 601s"])
  func refuses(settings: String) throws { #expect(try Verdicts("ReassembleIP", settings).errors.count == 1) }

  @Test(arguments: ["", "{ packets: 4, fragments: 6 }", "fragments_per_packet: 2"]) func survivesAnything(
    settings: String
  ) throws {
    try expectRobust(ElementKind(ReassembleIP.self), settings: settings)
    // Fragments of few packets in pieces of random size.
    try expectRobust(ElementKind(ReassembleIP.self), settings: settings, seed: 2, count: 3000) { generator in
      let whole = generator.chance(2) ? v4.payload(count: 200) : v6.payload(count: 200)
      let size = 8 * (1 + generator.number(below: 16))
      let pieces = whole.fragments(of: size, identification: UInt16(generator.number(below: 6)))
      let piece = pieces[generator.number(below: pieces.count)]
      return generator.chance(3) ? piece.split(at: 1 + generator.number(below: piece.length)) : piece
    }
  }

  /// What was fragmented becomes what it was.
  @Test func undoesFragmentIP() throws {
    let fragment = try ElementUnderTest(FragmentIP.self, settings: "300", packets: 4096)
    let reassemble = try makeReassembly(packets: 4096)
    for count in [0, 1, 272, 273, 1000, 9000, 65_000] {
      let whole = Frame.ethernet().ipv4(options: [0x94, 4, 0, 0, 7, 7, 4, 0, 0, 0, 0]).tcp().payload(count: count)
      let fragments = fragment.push(whole.inBuffers)["fragments"].map { Frame($0.bytes) }
      let settings = count > 30_000 ? "fragments_per_packet: 1000" : ""
      let element = settings.isEmpty ? reassemble : try makeReassembly(settings, packets: 4096)
      #expect(element.push(Array(fragments.reversed()))["whole"].are([whole]))
    }
  }
}
