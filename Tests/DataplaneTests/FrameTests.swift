import TestKit
import Testing

/// The kit's own frames against bytes that were worked out by hand or taken from RFCs.
@Suite struct FrameTests {
  @Test func ipv4HeaderChecksumIsRight() {
    // The example that Wikipedia's "IPv4 header checksum" and many textbooks use.
    let frame = Frame.ethernet().ipv4(
      from: "192.168.0.1", to: "192.168.0.199", ttl: 64, dontFragment: true, protocolNumber: 17, totalLength: 0x73)
    #expect(Array(frame.bytes[14...]) == Frame.bytes(hex: "4500 0073 0000 4000 4011 b861 c0a8 0001 c0a8 00c7"))
  }

  @Test func layersNest() {
    let frame = Frame.ethernet().vlan(5, protocolIdentifier: 0x88A8).vlan(7, priority: 3).ipv4().udp(from: 1, to: 2)
      .payload([0xAA])
    #expect(frame.bytes[12..<22] == [0x88, 0xA8, 0, 5, 0x81, 0, 0x60, 7, 8, 0])
    #expect(frame.bytes.count == 14 + 8 + 20 + 8 + 1)
    #expect(frame.bytes[22 + 2..<22 + 4] == [0, 29])
    #expect(frame.bytes[42 + 4..<42 + 6] == [0, 9])
    #expect(Dissection(frame.bytes).problems == [])
  }

  @Test(arguments: [
    Frame.ethernet().ipv4().udp().payload(count: 11),
    Frame.ethernet().ipv4(options: [1, 1, 1]).tcp(options: [1, 2, 3]),
    Frame.ethernet().ipv6().ipv6Extension(0).ipv6Extension(43).ipv6Fragment().tcp().payload(count: 3),
    Frame.ethernet().ipv6().authenticationHeader().icmpv6().payload(count: 8), Frame.ethernet().ipv4().icmp().padded(),
  ])
  func builtFramesAreSound(_ frame: Frame) { #expect(Dissection(frame.bytes).problems == []) }

  @Test func wrongChecksumsAreSeen() {
    #expect(
      Dissection(Frame.ethernet().ipv4(checksum: .wrong).udp().bytes).problems == ["IPv4 header checksum is wrong"])
    #expect(Dissection(Frame.ethernet().ipv4().udp(checksum: .wrong).bytes).problems == ["UDP checksum is wrong"])
    #expect(Dissection(Frame.ethernet().ipv6().tcp(checksum: .value(1)).bytes).problems == ["TCP checksum is wrong"])
    #expect(
      Dissection(Frame.ethernet().ipv6().udp(checksum: .value(0)).bytes).problems == ["UDP over IPv6 has no checksum"])
    #expect(Dissection(Frame.ethernet().ipv4(totalLength: 900).udp().bytes).problems.count == 1)
  }

  @Test func fragmentsCarryTheDatagram() {
    for whole in [
      Frame.ethernet().vlan(3).ipv4().udp().payload(count: 100), Frame.ethernet().ipv6().udp().payload(count: 100),
    ] {
      let fragments = whole.fragments(of: 48)
      #expect(fragments.count == 3)
      let isIPv4 = Dissection(whole.bytes).description.contains("ipv4")
      let header = isIPv4 ? 18 + 20 : 14 + 48
      #expect(fragments.flatMap { $0.bytes.dropFirst(header) } == Array(whole.bytes.suffix(108)))
      #expect(fragments.allSatisfy { Dissection($0.bytes).problems == [] })
    }
  }

  @Test func splitsMakeSegments() throws {
    let frame = Frame.ethernet().ipv4().udp().payload(count: 40).split(at: 10, 20).marked(7).from(port: 3)
    try withTestPool { pool in
      let packet = pool.packet(frame)
      #expect(packet.segmentCount == 3)
      #expect(packet.copyBytes() == frame.bytes)
      #expect(packet.mark == 7)
      #expect(packet.ingressPort == 3)
      pool.free(packet)
    }
  }
}
