import Dataplane
import TestKit
import Testing
import Wire

@testable import Elements

@Suite struct RouterVRFTests {
  /// Two customers with the same addresses behind one router, and a shared uplink.
  private static func make(_ routes: String = "{}", red: String = "{}", blue: String = "{}") throws -> PipelineUnderTest
  {
    let router = try PipelineUnderTest(
      """
      nfv: 1
      ports: { r1: { pcap: a }, r2: { pcap: b }, b1: { pcap: c }, b2: { pcap: d }, up: { pcap: e } }
      elements:
        rt:
          Router:
            interfaces:
              r1: { vrf: red, mac: 02:00:00:00:01:01, addresses: [192.0.2.1/24, "2001:db8:1::1/64"], dad: 0,
                    static: { 192.0.2.10: 02:00:00:00:01:0a, "2001:db8:1::a": 02:00:00:00:01:0a } }
              r2: { vrf: red, mac: 02:00:00:00:01:02, addresses: [198.51.100.1/24], dad: 0,
                    static: { 198.51.100.9: 02:00:00:00:01:09 } }
              b1: { vrf: blue, mac: 02:00:00:00:02:01, addresses: [192.0.2.1/24, "2001:db8:1::1/64"], dad: 0,
                    static: { 192.0.2.10: 02:00:00:00:02:0a, "2001:db8:1::a": 02:00:00:00:02:0a } }
              b2: { vrf: blue, mac: 02:00:00:00:02:02, addresses: [198.51.100.1/24], dad: 0,
                    static: { 198.51.100.9: 02:00:00:00:02:09 } }
              up: { mac: 02:00:00:00:03:01, addresses: [203.0.113.1/24], dad: 0,
                    static: { 203.0.113.254: 02:00:00:00:03:fe } }
            routes: \(routes)
            vrfs:
              red: { routes: \(red) }
              blue: { routes: \(blue) }
      graph:
        [r1 -> rt.r1, rt.r1 -> r1, r2 -> rt.r2, rt.r2 -> r2, b1 -> rt.b1, rt.b1 -> b1, b2 -> rt.b2, rt.b2 -> b2, up -> rt.up, rt.up -> up]
      """)
    _ = router.advance(milliseconds: 20_000)
    return router
  }

  /// From the host 192.0.2.10 of a customer, of which 1 is red and 2 is blue.
  private func host(_ customer: Int, to destination: String) -> Frame {
    .ethernet(from: "02:00:00:00:0\(customer):0a", to: "02:00:00:00:0\(customer):01").host4(destination).udp()
  }

  private func ports(_ result: PipelineResult) -> [String] {
    result.sent.filter { !$0.value.isEmpty }.keys.sorted()
  }

  /// The same destination leads to each VRF's own interface.
  @Test func overlappingNetworksKeepApart() throws {
    let router = try Self.make()
    #expect(ports(router.push([host(1, to: "198.51.100.9")], at: "r1")) == ["r2"])
    #expect(ports(router.push([host(2, to: "198.51.100.9")], at: "b1")) == ["b2"])
    let back = Frame.ethernet(from: "02:00:00:00:02:09", to: "02:00:00:00:02:02")
    let sent = router.push([back.ipv4(from: "198.51.100.9", to: "192.0.2.10").udp()], at: "b2")
    #expect(
      sent["b1"].are([
        .ethernet(from: "02:00:00:00:02:01", to: "02:00:00:00:02:0a")
          .ipv4(from: "198.51.100.9", to: "192.0.2.10", ttl: 63).udp()
      ]), "\(sent)")
  }

  /// Each VRF has routes of its own, and without one there is no way out.
  @Test func routesArePerVRF() throws {
    let router = try Self.make(red: "{ 10.0.0.0/8: 198.51.100.9 }", blue: "{ 10.0.0.0/8: blackhole }")
    #expect(ports(router.push([host(1, to: "10.1.1.1")], at: "r1")) == ["r2"])
    #expect(router.push([host(2, to: "10.1.1.1")], at: "b1").drops == ["blackhole": 1])
    let none = router.push([host(1, to: "203.0.113.254")], at: "r1")
    #expect(none["r1"].layers == ["ipv4 192.0.2.1 > 192.0.2.10 ttl 255 tos 192, icmp 3/0"], "\(none)")
  }

  /// What is an address of the router in one VRF is a destination like any other in the others.
  @Test func ownAddressesArePerVRF() throws {
    let router = try Self.make(red: "{ 203.0.113.0/24: 198.51.100.9 }")
    let ping = Frame.ethernet(from: "02:00:00:00:01:0a", to: "02:00:00:00:01:01").host4("203.0.113.1").icmp()
    #expect(ports(router.push([ping], at: "r1")) == ["r2"])
    let own = Frame.ethernet(from: "02:00:00:00:01:0a", to: "02:00:00:00:01:01").host4("192.0.2.1").icmp()
    #expect(router.push([own], at: "r1")["r1"].layers == ["ipv4 192.0.2.1 > 192.0.2.10 ttl 64, icmp 0/0"])
  }

  /// A route that names an interface of another VRF leaks into it, and no other does.
  @Test func leakingIsExplicit() throws {
    let router = try Self.make(
      "{ 192.0.2.0/24: r1 }", red: "{ 0.0.0.0/0: 203.0.113.254@up, 203.0.113.0/24: up }")
    let out = router.push([host(1, to: "8.8.8.8"), host(1, to: "203.0.113.254")], at: "r1")
    #expect(out["up"].map(\.link) == Array(repeating: "020000000301 > 0200000003fe", count: 2), "\(out)")
    let back = Frame.ethernet(from: "02:00:00:00:03:fe", to: "02:00:00:00:03:01")
      .ipv4(from: "8.8.8.8", to: "192.0.2.10").udp()
    #expect(ports(router.push([back], at: "up")) == ["r1"])
    #expect(router.push([host(2, to: "8.8.8.8")], at: "b1")["b1"].layers.count == 1)
  }

  /// A packet from another VRF waits for the neighbour that its own VRF's route names.
  @Test func leakedPacketsWaitForTheirNextHop() throws {
    let router = try Self.make("{ 10.9.0.0/16: 203.0.113.254 }", red: "{ 10.0.0.0/8: 203.0.113.77@up }")
    let result = router.push([host(1, to: "10.1.1.1")], at: "r1")
    let request = Frame.ethernet(from: "02:00:00:00:03:01", to: "ff:ff:ff:ff:ff:ff").arp(
      senderMAC: "02:00:00:00:03:01", senderIP: "203.0.113.1", targetIP: "203.0.113.77")
    #expect(result["up"].are([request]) && result.held == 1, "\(result)")
  }
}

@Suite struct RouterRecursionTests {
  private func way(_ routes: String, _ destination: String) throws -> PipelineResult {
    let router = try TestRouter.make(routes: routes)
    return router.push([.fromLAN.host4(destination).udp()], at: "lan")
  }

  /// A gateway that is on no connected network is reached through the route to it, over several steps.
  @Test func nextHopsAreReachedThroughOtherRoutes() throws {
    let routes = """
      10.0.0.0/8: 172.16.0.1
      172.16.0.0/16: 172.17.0.1
      172.17.0.0/24: 198.51.100.254
      """
    #expect(try way(routes, "10.1.2.3")["wan"].are([.toWAN.host4("10.1.2.3", ttl: 63).udp()]))
  }

  /// A gateway behind a network on the link is itself the neighbour.
  @Test func nextHopsOnALinkOfTheRoute() throws {
    let result = try way("10.0.0.0/8: 172.16.0.1\n172.16.0.0/16: dmz", "10.1.2.3")
    #expect(result["dmz"].layers == ["arp"] && result.held == 1, "\(result)")
    #expect(Array(result["dmz"][0].bytes[38..<42]) == [172, 16, 0, 1])
  }

  /// What leads to the gateway counts: a blackhole there is one for all that is behind it; of several ways each is taken.
  @Test func theRouteToTheGatewayCounts() throws {
    #expect(try way("10.0.0.0/8: 172.16.0.1\n172.16.0.0/16: blackhole", "10.1.2.3").drops == ["blackhole": 1])
    let router = try TestRouter.make(
      routes: "10.0.0.0/8: 172.16.0.1\n172.16.0.0/16: \"198.51.100.254,192.0.2.10\"")
    let frames = (0..<64).map { Frame.fromLAN.host4("10.1.2.\($0)").udp() }
    let result = router.push(frames, at: "lan")
    let back = result["lan"].filter { $0.layers.contains("udp") }
    #expect(result["wan"].count > 10 && back.count > 10 && result["wan"].count + back.count == 64)
  }

  /// IPv6 likewise, with a link-local gateway at the end.
  @Test func nextHopsOfIPv6() throws {
    let router = try TestRouter.make(
      routes: "\"2001:db8:ffff::/48\": \"2001:db8:9::1\"\n\"2001:db8:9::/64\": \"2001:db8:2::fe\"")
    let sent = router.push([.fromLAN.host6("2001:db8:ffff::5").udp()], at: "lan")["wan"]
    #expect(sent.are([.toWAN.host6("2001:db8:ffff::5", hops: 63).udp()]))
  }
}

@Suite struct RouterRedirectTests {
  private static let routes = """
    10.0.0.0/8: 192.0.2.20
    10.1.0.0/16: 198.51.100.254
    "2001:db8:ffff::/48": "fe80::20@lan"
    "2001:db8:eeee::/48": "2001:db8:1::20"
    """
  private func make(_ lan: String = "redirects: yes", more: String = "") throws -> PipelineUnderTest {
    let router = try TestRouter.make(lan: lan, more: more, routes: Self.routes)
    // The other router on the link says who it is.
    let arp = Frame.ethernet(from: "02:00:00:00:00:20", to: "ff:ff:ff:ff:ff:ff").arp(
      senderMAC: "02:00:00:00:00:20", senderIP: "192.0.2.20", targetIP: "192.0.2.1")
    _ = router.push([arp], at: "lan")
    return router
  }

  /// A packet that leaves by the interface that it came in by, to a next hop on the network that its sender is on, is
  /// forwarded, and the sender told of the next hop.
  @Test func rfc1812_5_2_7_2_redirects() throws {
    let router = try make()
    let packet = Frame.fromLAN.host4("10.2.3.4").udp().payload(count: 40)
    // The first packet asks the table of neighbours, and is passed on without a word.
    _ = router.push([packet], at: "lan")
    let sent = router.push([packet], at: "lan")["lan"]
    #expect(
      sent.layers == [
        "ipv4 192.0.2.10 > 10.2.3.4 ttl 63, udp 1024 > 53", "ipv4 192.0.2.1 > 192.0.2.10 ttl 255 tos 192, icmp 5/1",
      ], "\(sent)")
    let redirect = try #require(sent.last)
    #expect(Array(redirect.bytes[38..<42]) == [192, 0, 2, 20])
    #expect(Array(redirect.bytes[42...]) == Array(packet.bytes.dropFirst(14)), "it quotes the packet as it came")
    #expect(redirect.link == "020000000001 > 02000000000a")
    #expect(router.push([.fromLAN.host4("192.0.2.20").udp()], at: "lan")["lan"].map { $0.ipByte(20) }.last == 5)
    let long = router.push([Frame.fromLAN.host4("10.2.3.4").udp().payload(count: 1400)], at: "lan")["lan"]
    #expect(long.last?.bytes.count == 14 + 576 && long.last?.bytes[14 + 28 + 8] == 64)
  }

  /// No redirect unless the packet leaves by the interface that it came in by, its source is on the network that the next
  /// hop is on, and it is no ICMP error or later fragment.
  @Test func rfc1812_5_2_7_2_noRedirects() throws {
    let router = try make()
    let link = Frame.fromLAN
    let frames: [Frame] = [
      link.host4("10.1.2.3").udp(), link.ipv4(from: "10.9.9.9", to: "10.2.3.4").udp(),
      link.host4("10.2.3.4").icmp(type: 3, code: 1).carrying(Frame.ethernet().ipv4().udp()),
      link.ipv4(from: "192.0.2.10", to: "10.2.3.4", fragmentOffset: 64).payload(count: 8),
    ]
    let result = router.push(frames, at: "lan")
    #expect(result["wan"].count == 1)
    #expect(result["lan"].count == 3 && result["lan"].allSatisfy { !$0.layers.contains("icmp 5/") }, "\(result)")
  }

  /// A better first hop on the link of a neighbour: a redirect from the link-local address, with the target's hardware
  /// address and as much of the packet as fits.
  @Test func rfc4861_8_2_redirects() throws {
    let router = try make()
    let option: [UInt8] = [2, 1, 2, 0, 0, 0, 0, 0x20]
    _ = router.push([.fromLAN.host6("2001:db8:ffff::5").udp()], at: "lan")
    let target: [UInt8] = [0xFE, 0x80] + Array(repeating: 0, count: 13) + [0x20]
    let found = router.push([neighbourAdvertisement(target, option)], at: "lan")
    #expect(found["lan"].count == 1, "\(found)")
    let whole = Frame.fromLAN.host6("2001:db8:ffff::5").udp().payload(count: 42)
    let sent = router.push([whole], at: "lan")["lan"]
    #expect(
      sent.layers == [
        "ipv6 2001:db8:1::a > 2001:db8:ffff::5 hops 63, udp 1024 > 53",
        "ipv6 fe80::ff:fe00:1 > 2001:db8:1::a hops 255, icmpv6 137/0",
      ], "\(sent)")
    let redirect = try #require(sent.last).bytes
    #expect(Array(redirect[62..<78]) == target)
    #expect(Array(redirect[78..<94]) == Array(whole.bytes[38..<54]))
    #expect(Array(redirect[94..<102]) == option)
    #expect(Array(redirect[102..<110]) == [4, 12, 0, 0, 0, 0, 0, 0])
    #expect(Array(redirect[110...]) == Array(whole.bytes[14...].prefix(88)), "a multiple of eight bytes is quoted")
    let long = router.push([Frame.fromLAN.host6("2001:db8:ffff::5").udp().payload(count: 1400)], at: "lan")["lan"]
    #expect(long.last?.bytes.count == 14 + 1280)
  }

  private func neighbourAdvertisement(_ target: [UInt8], _ option: [UInt8]) -> Frame {
    Frame.ethernet(from: "02:00:00:00:00:20", to: "02:00:00:00:00:01")
      .ipv6(from: "fe80::20", to: "fe80::ff:fe00:1", hopLimit: 255)
      .icmpv6(type: 136, identifier: 0x6000, sequence: 0).payload(target + option)
  }

  /// A router is told of by its link-local address only; no redirect where it is not known.
  @Test func rfc4861_8_2_routersByTheirLinkLocalAddress() throws {
    let router = try TestRouter.make(routes: "\"2001:db8:eeee::/48\": \"2001:db8:1::b\"")
    let solicited = router.push([.fromLAN.host6("2001:db8:eeee::5").udp()], at: "lan")
    #expect(solicited.held == 1)
    let mac: [UInt8] = [2, 1, 2, 0, 0, 0, 0, 0x20]
    let target: [UInt8] = [0x20, 0x01, 0x0D, 0xB8, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x0B]
    let sent = router.push(
      [
        Frame.ethernet(from: "02:00:00:00:00:20", to: "02:00:00:00:00:01")
          .ipv6(from: "2001:db8:1::b", to: "2001:db8:1::1", hopLimit: 255).icmpv6(
            type: 136, identifier: 0x6000, sequence: 0
          )
          .payload(target + mac)
      ], at: "lan")
    #expect(sent["lan"].layers.count == 1)
    let again = router.push([.fromLAN.host6("2001:db8:eeee::5").udp()], at: "lan")
    #expect(again["lan"].layers == ["ipv6 2001:db8:1::a > 2001:db8:eeee::5 hops 63, udp 1024 > 53"], "\(again)")
  }

  /// Redirects can be turned off.
  @Test func rfc1812_5_2_7_2_canBeTurnedOff() throws {
    let router = try make("redirects: no")
    #expect(router.push([.fromLAN.host4("10.2.3.4").udp()], at: "lan")["lan"].count == 1)
  }

  /// Redirects are limited in rate; packets are forwarded all the same.
  @Test func rfc4861_8_2_limitedRate() throws {
    let router = try make(more: "errors: { prefix_burst: 3, prefix_rate: 1pps }")
    let sent = router.push((0..<20).map { .fromLAN.host4("10.2.3.\($0)").udp() }, at: "lan")["lan"]
    #expect(sent.count == 23 && sent.count { $0.layers.contains("icmp 5/1") } == 3)
  }
}

@Suite struct RouterResetTests {
  /// A segment to the router itself is answered by a reset: without ACK with sequence number 0 and all that it occupies
  /// acknowledged, with ACK from the number that it acknowledges.
  @Test func rfc9293_3_10_7_1_resets() throws {
    let router = try TestRouter.make()
    let link = Frame.fromLAN
    let result = router.push(
      [
        link.host4("192.0.2.1").tcp(from: 4000, to: 23, sequence: 0xFFFF_FFFE, flags: "S").payload(count: 10),
        link.host4("192.0.2.1").tcp(from: 4000, to: 23, sequence: 7, acknowledgment: 99, flags: "A"),
        link.host6("2001:db8:1::1").tcp(from: 4001, to: 179, sequence: 5, flags: "SF"),
        link.host4("198.51.100.1").tcp(from: 4002, to: 80, flags: "S", options: [2, 4, 5, 0xB4]),
      ], at: "lan")
    let four = Frame.toLAN.ipv4(from: "192.0.2.1", to: "192.0.2.10", dontFragment: true)
    let far = Frame.toLAN.ipv4(from: "198.51.100.1", to: "192.0.2.10", dontFragment: true)
    #expect(
      result["lan"].are([
        four.tcp(from: 23, to: 4000, sequence: 0, acknowledgment: 9, flags: "RA", window: 0),
        four.tcp(from: 23, to: 4000, sequence: 99, flags: "R", window: 0),
        .toLAN.ipv6(from: "2001:db8:1::1", to: "2001:db8:1::a").tcp(
          from: 179, to: 4001, sequence: 0, acknowledgment: 7, flags: "RA", window: 0),
        far.tcp(from: 80, to: 4002, sequence: 0, acknowledgment: 2, flags: "RA", window: 0),
      ]), "\(result)")
  }

  /// There is no reset about a reset, nor about a damaged segment or one to all on the link.
  @Test func rfc9293_3_10_7_1_noResets() throws {
    let router = try TestRouter.make()
    let result = router.push(
      [
        .fromLAN.host4("192.0.2.1").tcp(flags: "R"), .fromLAN.host4("192.0.2.1").tcp(flags: "RA"),
        .fromLAN.host4("192.0.2.1").tcp(checksum: .wrong), .fromLAN.host6("2001:db8:1::1").tcp(checksum: .wrong),
        .ethernet(from: "02:00:00:00:00:0a", to: "ff:ff:ff:ff:ff:ff").host4("192.0.2.255").tcp(),
      ], at: "lan")
    #expect(result.all.isEmpty && result.drops == ["notAsked": 3, "badChecksum": 2], "\(result)")
  }

  /// A segment in fragments is answered once it is whole; options and extension headers are none of the reset's.
  @Test func resetsOfUnusualSegments() throws {
    let router = try TestRouter.make()
    let whole = Frame.fromLAN.ipv4(from: "192.0.2.10", to: "192.0.2.1", options: [1, 1, 1, 0]).tcp(sequence: 1).payload(
      count: 99)
    let extended = Frame.fromLAN.host6("2001:db8:1::1").ipv6Extension(60, content: [1, 4, 0, 0, 0, 0]).tcp(sequence: 1)
    let result = router.push([whole, extended], at: "lan")
    #expect(result["lan"].map(\.bytes.count) == [54, 74], "\(result)")
    let fragments = Frame.fromLAN.host4("192.0.2.1").tcp(sequence: 1).payload(count: 999).fragments(of: 200)
    let sent = router.push(fragments, at: "lan")["lan"]
    #expect(sent.layers == ["ipv4 192.0.2.1 > 192.0.2.10 ttl 64, tcp 80 > 1024 flags 0x14"], "\(sent)")
    #expect(sent.first.map { $0.ipWord(28) << 16 | $0.ipWord(30) } == 1001)
  }

  /// Resets are limited in rate.
  @Test func resetsAreLimited() throws {
    let router = try TestRouter.make(more: "errors: { burst: 5, rate: 1pps }")
    let result = router.push((0..<20).map { .fromLAN.host4("192.0.2.1").tcp(from: UInt16(5000 + $0)) }, at: "lan")
    #expect(result["lan"].count == 5 && result.drops == ["rateLimited": 15], "\(result)")
  }
}

@Suite struct RouterErrorSourceTests {
  /// An error comes from an address of the interface that it leaves by, whatever interface the packet came in by.
  @Test func rfc1812_4_3_2_4_theInterfaceThatItLeavesBy() throws {
    let router = try TestRouter.make(routes: "10.0.0.0/8: 198.51.100.254\n\"2001:db8:ffff::/48\": \"2001:db8:2::fe\"")
    let result = router.push(
      [
        .fromLAN.ipv4(from: "10.1.9.9", to: "10.2.0.1", ttl: 1).udp(),
        .fromLAN.ipv6(from: "2001:db8:ffff::9", to: "2001:db8:ffff::5", hopLimit: 1).udp(),
      ], at: "lan")
    #expect(
      result["wan"].layers == [
        "ipv4 198.51.100.1 > 10.1.9.9 ttl 255 tos 192, icmp 11/0",
        "ipv6 2001:db8:2::1 > 2001:db8:ffff::9 hops 255, icmpv6 3/0",
      ], "\(result)")
    #expect(result["lan"].isEmpty)
  }
}

@Suite struct RouterOperationsTests {
  private func ask(
    _ router: PipelineUnderTest, _ operation: String, _ arguments: [String: String] = [:]
  ) throws -> [[String: String]] {
    let task = try #require(router.pipeline.composites.first?.tasks.first)
    var rows: [[String: String]] = []
    var request = OperationRequest(operation, arguments: arguments)
    while true {
      var answer = OperationAnswer()
      task.perform(request, &answer)
      rows += answer.rows.map { row in Dictionary(uniqueKeysWithValues: row.map { ($0.name, $0.value) }) }
      if let failure = answer.failure { return [["failure": failure]] }
      guard let position = answer.position else { return rows }
      request = OperationRequest(operation, arguments: arguments, position: position)
    }
  }

  @Test func routes() throws {
    let router = try TestRouter.make(
      routes:
        "10.0.0.0/8: \"198.51.100.254*3,203.0.113.9\"\n10.1.0.0/16: blackhole\n0.0.0.0/0: dmz\n\"2001:db8:ffff::/48\": \"fe80::9@dmz\""
    )
    let all = try ask(router, "routes")
    let ways = Dictionary(uniqueKeysWithValues: all.map { ($0["prefix"]!, $0["to"]!) })
    #expect(ways["10.1.0.0/16"] == "blackhole" && ways["0.0.0.0/0"] == "dmz" && ways["192.0.2.0/24"] == "lan")
    #expect(ways["192.0.2.1/32"] == "local" && ways["2001:db8:ffff::/48"] == "fe80::9@dmz")
    let several = try #require(ways["10.0.0.0/8"])
    #expect(several.hasPrefix("198.51.100.254@wan*") && several.contains(",203.0.113.9@dmz*"))
    #expect(
      Set(try ask(router, "routes", ["prefix": "10.0.0.0/8"]).map { $0["prefix"] }) == ["10.0.0.0/8", "10.1.0.0/16"])
    #expect(
      try ask(router, "routes", ["for": "10.1.2.3"]).map { $0["prefix"] } == ["10.1.0.0/16", "10.0.0.0/8", "0.0.0.0/0"])
    #expect(try ask(router, "routes", ["vrf": "red"])[0]["failure"] == "there is no VRF 'red'; there are default")
    #expect(try ask(router, "routes", ["prefix": "10.0.0.0/99"])[0]["failure"] != nil)
  }

  @Test func neighbours() throws {
    let router = try TestRouter.make()
    let arp = Frame.ethernet(from: "02:00:00:00:00:20", to: "ff:ff:ff:ff:ff:ff").arp(
      senderMAC: "02:00:00:00:00:20", senderIP: "192.0.2.20", targetIP: "192.0.2.1")
    _ = router.push([arp], at: "lan")
    let all = try ask(router, "neighbours")
    #expect(all.count == 6)
    #expect(all.contains(["interface": "lan", "address": "192.0.2.20", "mac": "02:00:00:00:00:20", "state": "stale"]))
    #expect(try ask(router, "neighbours", ["interface": "wan"]).count == 2)
    #expect(try ask(router, "neighbours", ["prefix": "192.0.2.0/24"]).count == 2)
    #expect(
      try ask(router, "neighbours", ["interface": "nix"])[0]["failure"]?.contains("there are lan, wan, dmz") == true)
    #expect(try ask(router, "flush", ["interface": "wan"]) == [["forgotten": "0"]])
    #expect(try ask(router, "flush", ["address": "192.0.2.20"]) == [["forgotten": "1"]])
    _ = router.push([arp], at: "lan")
    #expect(try ask(router, "flush") == [["forgotten": "1"]])
    #expect(try ask(router, "neighbours").count == 5)
  }
}

@Suite struct RouterKernelTests {
  private static let text = TestRouter.text(routes: "").replacing(
    "      routes:\n        {}\n", with: "      routes: kernel\n")

  /// Where the kernel's routes are followed, the kernel answers for the addresses, and until its routes are known nobody is
  /// told that there are none.
  @Test func theKernelAnswersForItsAddresses() throws {
    let router = try PipelineUnderTest(Self.text)
    _ = router.advance(milliseconds: 20_000)
    let own = router.push([.fromLAN.host4("192.0.2.1").icmp(), .fromLAN.host6("2001:db8:1::1").tcp()], at: "lan")
    #expect(own.all.isEmpty && own.drops == ["leftToKernel": 2], "\(own)")
    let far = router.push([.fromLAN.host4("10.1.2.3").udp(), .fromLAN.host6("2001:db8:ffff::5").udp()], at: "lan")
    #expect(far.all.isEmpty && far.drops == ["blackhole": 2], "\(far)")
    let near = router.push([.fromLAN.host4("198.51.100.254").udp()], at: "lan")
    #expect(near["wan"].count == 1)
    let expired = router.push([.fromLAN.host4("198.51.100.254", ttl: 1).udp()], at: "lan")
    #expect(expired["lan"].layers == ["ipv4 192.0.2.1 > 192.0.2.10 ttl 255 tos 192, icmp 11/0"])
  }

  /// The router answers where it is told to.
  @Test func theRouterAnswersWhenItIsTo() throws {
    let router = try PipelineUnderTest(
      Self.text.replacing("routes: kernel", with: "routes: kernel\n      host: router"))
    _ = router.advance(milliseconds: 20_000)
    let own = router.push([.fromLAN.host4("192.0.2.1").icmp()], at: "lan")
    #expect(own["lan"].layers == ["ipv4 192.0.2.1 > 192.0.2.10 ttl 64, icmp 0/0"])
  }

  /// Places are shared, and used again only once readers have been waited for.
  @Test func placesOfHops() throws {
    let interface = RouterInterface(
      name: "lan", number: 0, mac: .zero, addresses: [], mtu: 1500, reversePath: .off, vrf: 0, kernelName: "lan",
      redirects: false)
    var places = HopPlaces([interface])
    func gateway(_ last: UInt8, weight: Int = 1) -> RouteTarget.Gateway {
      .init(address: .v4(IPv4Address(192, 0, 2, last)), interface: 0, weight: weight)
    }
    func take(_ target: RouteTarget) throws -> UInt32 {
      let place = places.take(target)
      return try #require(place)
    }
    let first = try take(.gateways([gateway(1)]))
    let same = try take(.gateways([gateway(1)]))
    #expect(same == first)
    let several = try take(.gateways([gateway(1), gateway(2, weight: 3)]))
    #expect(places.hops[Int(several)].kind == .several)
    #expect(Set(places.buckets).count == 2 && places.buckets.contains(first))
    places.release(first)
    places.release(first)
    #expect(!places.hasRetired, "the set of several uses it")
    places.release(several)
    #expect(places.hasRetired)
    let fresh = try take(.gateways([gateway(9)]))
    #expect(![first, several].contains(fresh))
    places.recycle()
    let again = try take(.gateways([gateway(8)]))
    #expect(again != fresh && Int(again) < places.hops.count && places.hops.count == 4)
  }
}
