import Dataplane
import Elements
import TestKit
import Testing

private let packet = Frame.ethernet().vlan(3).ipv4(ttl: 9, dscp: 10, identification: 77).udp()

/// Puts fragments together the plain way: total length of the header, and what is where.
private func contents(_ sent: [SentPacket], network: Int = 14) -> [UInt8]? {
  var bytes: [UInt8] = []
  for (index, fragment) in sent.enumerated() {
    let header = Int(fragment.bytes[network] & 15) * 4
    let field = Int(fragment.bytes[network + 6]) << 8 | Int(fragment.bytes[network + 7])
    guard (field & 0x1FFF) * 8 == bytes.count, (field & 0x2000 != 0) == (index < sent.count - 1) else { return nil }
    bytes += fragment.bytes[(network + header)...]
  }
  return bytes
}

@Suite struct FragmentIPTests {
  /// A packet that fits is left alone, padding and all.
  @Test func rfc791_2_3_whatFitsIsLeftAlone() throws {
    let element = try ElementUnderTest(FragmentIP.self, settings: "100")
    let frames = [
      packet.payload(count: 72), packet.payload(count: 1).padded(), .ethernet().ipv6().udp().payload(count: 52),
    ]
    #expect(element.push(frames)["fragments"].are(frames))
  }

  /// A packet is cut into pieces of a multiple of 8 bytes that fit, with offset, MF, length and checksum of each, and all
  /// else as it was.
  @Test(arguments: [576, 68, 92, 1500]) func rfc791_3_2_fragmentation(mtu: Int) throws {
    let element = try ElementUnderTest(FragmentIP.self, settings: "\(mtu)")
    let whole = packet.payload(count: 3000).marked(5).from(port: 2)
    let sent = element.push(whole.inBuffers)["fragments"]
    #expect(sent.are(whole.fragments(of: (mtu - 20) / 8 * 8, identification: 77)), "\(sent)")
    #expect(sent.allSatisfy { $0.bytes.count <= 18 + mtu && $0.problems.isEmpty })
    #expect(sent.allSatisfy { $0.mark == 5 && $0.ingressPort == 2 })
  }

  /// There are as few fragments as can be, and they leave in order.
  @Test func rfc1812_4_2_2_7_fewestFragmentsInOrder() throws {
    let element = try ElementUnderTest(FragmentIP.self, settings: "1500")
    let packets = (0..<3).map { Frame.ethernet().ipv4(identification: UInt16($0)).udp().payload(count: 4000) }
    let sent = element.push(packets.map(\.inBuffers))["fragments"]
    #expect(sent.are(packets.enumerated().flatMap { $1.fragments(of: 1480, identification: UInt16($0)) }))
  }

  /// Options that are not to be copied are in the first fragment only; the others are in all.
  @Test func rfc791_3_1_optionsAreCopiedByTheirFlag() throws {
    let element = try ElementUnderTest(FragmentIP.self, settings: "100")
    let options: [UInt8] = [7, 7, 4, 0, 0, 0, 0, 0x94, 4, 0, 0, 1]  // record route, router alert
    let bytes = Frame.ethernet().ipv4(options: options).udp().payload(count: 200)
    let sent = element.push(bytes)["fragments"]
    #expect(sent.map { Array($0.bytes[34..<46]) }.first == options)
    #expect(sent.dropFirst().allSatisfy { Array($0.bytes[34..<46]) == Array(repeating: 1, count: 7) + options[7...] })
    #expect(sent.allSatisfy { $0.problems.isEmpty && $0.bytes.count <= 114 })
    #expect(contents(sent) == Array(bytes.bytes[46...]))
  }

  /// Without options to copy, later fragments have a header of 20 bytes.
  @Test func rfc791_3_2_headerLengthOfLaterFragments() throws {
    let element = try ElementUnderTest(FragmentIP.self, settings: "100")
    let bytes = Frame.ethernet().ipv4(options: [7, 7, 4, 0, 0, 0, 0]).udp().payload(count: 200)
    let sent = element.push(bytes)["fragments"]
    #expect(sent.map { $0.bytes[14] } == [0x47, 0x45, 0x45])
    #expect(contents(sent) == Array(bytes.bytes[42...]))
    #expect(sent.allSatisfy { $0.problems.isEmpty })
  }

  /// A fragment is cut further: offsets go on from its own, and MF stays set in the last piece if it was.
  @Test func rfc791_3_2_fragmentsOfFragments() throws {
    let whole = packet.payload(count: 3000)
    let fragments = whole.fragments(of: 1400, identification: 77)
    let element = try ElementUnderTest(FragmentIP.self, settings: "300")
    let sent = element.push(fragments)["fragments"]
    #expect(sent.count == 11)
    #expect(contents(sent, network: 18) == Array(whole.bytes[38...]))
    #expect(sent.allSatisfy { $0.problems.isEmpty })
  }

  /// A packet that forbids fragmenting is not fragmented; what has to be said of it goes with it.
  @Test func rfc1191_3_dontFragment() throws {
    let element = try ElementUnderTest(FragmentIP.self, settings: "576")
    let frame = Frame.ethernet().ipv4(dontFragment: true).udp().payload(count: 549)
    let result = element.push([frame, .ethernet().ipv4(dontFragment: true).udp().payload(count: 548)])
    #expect(result["tooBig"].are([frame]))
    #expect(result["tooBig"].map(\.annotation) == [576])
    #expect(result["fragments"].count == 1)
  }

  /// Routers do not fragment IPv6.
  @Test func rfc8200_5_routersDoNotFragment() throws {
    let element = try ElementUnderTest(FragmentIP.self, settings: "1280")
    let frame = Frame.ethernet().ipv6().udp().payload(count: 1233)
    let result = element.push(frame)
    #expect(result["tooBig"].are([frame]))
    #expect(result["tooBig"].map(\.annotation) == [1280])
  }

  @Test func theAnnotationIsTheMTUWhenNoneIsSet() throws {
    let element = try ElementUnderTest(FragmentIP.self)
    let whole = packet.payload(count: 1000)
    #expect(element.push(whole)["fragments"].count == 1)
    #expect(element.push(whole.annotated(576))["fragments"].count == 2)
    #expect(element.push(whole.annotated(5))["fragments"].count == 21)
  }

  @Test func segmentsDoNotMatter() throws {
    let element = try ElementUnderTest(FragmentIP.self, settings: "600", packets: 4096)
    let whole = packet.payload(count: 9000)
    let cuts = Array(stride(from: 2000, to: 9000, by: 2000))
    for splits in [cuts, [1] + cuts, [18, 38, 39] + cuts, [600, 1200, 5000] + cuts, [9000, 9040] + cuts] {
      #expect(element.push(whole.split(at: splits))["fragments"].are(whole.fragments(of: 576, identification: 77)))
    }
  }

  @Test func paddingIsNoContents() throws {
    let element = try ElementUnderTest(FragmentIP.self, settings: "68")
    let whole = packet.payload(count: 60)
    #expect(element.push(whole.padded(to: 200))["fragments"].are(whole.fragments(of: 48, identification: 77)))
  }

  @Test(arguments: [[UInt8(0x82), 1, 0, 0], [0x82, 9, 0, 0], [0x82]]) func badOptionsAreNotCopied(options: [UInt8])
    throws
  {
    let element = try ElementUnderTest(FragmentIP.self, settings: "68")
    let fill = Array(repeating: UInt8(1), count: 4 - options.count)
    let frame = Frame.ethernet().ipv4(options: fill + options).udp().payload(count: 100)
    #expect(element.push(frame).drops == ["malformed": 1])
  }

  /// Offsets do not wrap: a fragment that reaches beyond the longest datagram is not cut.
  @Test func offsetsDoNotWrap() throws {
    let element = try ElementUnderTest(FragmentIP.self, settings: "68")
    let frame = Frame.ethernet().ipv4(fragmentOffset: 65_528, protocolNumber: 17).payload(count: 200)
    #expect(element.push(frame).drops == ["malformed": 1])
  }

  @Test func isNamedWhenNoBufferIsLeft() throws {
    let element = try ElementUnderTest(FragmentIP.self, settings: "68", packets: 8)
    let result = element.push(packet.payload(count: 1000))
    #expect(result.drops["noBuffer"] ?? 0 >= 1)
  }

  @Test(arguments: ["67", "65536", "{ mtu: small }"]) func refuses(settings: String) throws {
    #expect(try Verdicts("FragmentIP", settings).errors.count == 1)
  }

  @Test(arguments: ["", "68", "{ mtu: 200 }"]) func survivesAnything(settings: String) throws {
    try expectRobust(ElementKind(FragmentIP.self), settings: settings, packets: 32_768) {
      $0.next().annotated(UInt32($0.number(below: 400)))
    }
  }
}
