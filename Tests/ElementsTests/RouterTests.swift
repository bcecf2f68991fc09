import Dataplane
import TestKit
import Testing

@Suite struct RouterForwardingTests {
  /// A packet that is forwarded has its TTL lowered by one, its header checksum updated, and the addresses of the next
  /// link; everything else stays as it was.
  @Test(arguments: [1, 32]) func rfc1812_5_3_1_forwardsWithTheTTLLowered(batchSize: Int) throws {
    let router = try TestRouter.make(batchSize: batchSize)
    let frames = [2, 64, 255].map { ttl in Frame.fromLAN.host4("10.1.2.3", ttl: ttl).udp().payload("data") }
    let sent = router.push(frames, at: "lan")["wan"]
    #expect(
      sent.are([1, 63, 254].map { ttl in Frame.toWAN.host4("10.1.2.3", ttl: ttl).udp().payload("data") }), "\(sent)")
  }

  /// The hop limit is lowered by one by each node that forwards the packet.
  @Test func rfc8200_3_forwardsWithTheHopLimitLowered() throws {
    let router = try TestRouter.make()
    let frames: [Frame] = [2, 64, 255].map { Frame.fromLAN.host6("2001:db8:ffff::5", hops: $0).tcp().payload("data") }
    let sent = router.push(frames, at: "lan")["wan"]
    #expect(
      sent.are([1, 63, 254].map { Frame.toWAN.host6("2001:db8:ffff::5", hops: $0).tcp().payload("data") }), "\(sent)")
  }

  /// Extension headers other than hop-by-hop options are not processed on the way.
  @Test func rfc8200_4_extensionHeadersPassUnchanged() throws {
    let router = try TestRouter.make()
    func packet(_ link: Frame, _ hops: UInt8) -> Frame {
      link.host6("2001:db8:ffff::5", hops: hops).ipv6Extension(60, content: [0xFE, 4, 1, 2, 3, 4])
        .ipv6Extension(43, content: [0, 1, 0, 0, 0, 0]).udp()
    }
    #expect(router.push([packet(.fromLAN, 64)], at: "lan")["wan"].are([packet(.toWAN, 63)]))
  }

  /// The most specific route is taken: of all that match, that with the longest prefix.
  @Test func rfc1812_5_2_4_3_longestMatch() throws {
    let router = try TestRouter.make(
      routes: """
        0.0.0.0/0: 198.51.100.254
        10.0.0.0/8: 192.0.2.10
        10.1.0.0/16: 198.51.100.254
        10.1.2.3/32: 192.0.2.10
        "::/0": "2001:db8:2::fe"
        "2001:db8:ffff::/48": "2001:db8:1::a"
        "2001:db8:ffff:1::/64": "2001:db8:2::fe"
        """)
    func port(_ destination: String) -> String {
      let frame = Frame.fromWAN
      let isIPv6 = destination.contains(":")
      let packet =
        isIPv6
        ? frame.ipv6(from: "2001:db8:2::fe", to: destination) : frame.ipv4(from: "198.51.100.254", to: destination)
      let sent = router.push([packet.udp()], at: "wan").sent.filter { !$0.value.isEmpty }
      return sent.keys.sorted().joined(separator: " ")
    }
    #expect(port("10.1.2.3") == "lan")
    #expect(port("10.1.2.4") == "wan")
    #expect(port("10.2.0.0") == "lan")
    #expect(port("11.0.0.0") == "wan")
    #expect(port("2001:db8:ffff:1::1") == "wan")
    #expect(port("2001:db8:ffff:2::1") == "lan")
    #expect(port("2001:db9::1") == "wan")
  }

  /// A destination on a connected network is sent to directly.
  @Test func rfc1812_5_2_4_2_connectedNetworks() throws {
    let router = try TestRouter.make()
    let four = router.push([.fromWAN.ipv4(from: "10.1.0.9", to: "192.0.2.10").udp()], at: "wan")
    #expect(four["lan"].are([.toLAN.ipv4(from: "10.1.0.9", to: "192.0.2.10", ttl: 63).udp()]))
    let six = router.push([.fromWAN.ipv6(from: "2001:db8:ffff::9", to: "2001:db8:1::a").udp()], at: "wan")
    #expect(six["lan"].are([.toLAN.ipv6(from: "2001:db8:ffff::9", to: "2001:db8:1::a", hopLimit: 63).udp()]))
  }

  /// A packet whose TTL is not above one is not forwarded, and its sender told.
  @Test(arguments: [0, 1] as [UInt8]) func rfc1812_5_3_1_timeExceeded(ttl: UInt8) throws {
    let router = try TestRouter.make()
    let result = router.push(
      [.fromLAN.host4("10.1.2.3", ttl: ttl).udp(), .fromLAN.host6("2001:db8:ffff::5", hops: ttl).udp()], at: "lan")
    #expect(
      result["lan"].layers == [
        "ipv4 192.0.2.1 > 192.0.2.10 ttl 255 tos 192, icmp 11/0",
        "ipv6 2001:db8:1::1 > 2001:db8:1::a hops 255, icmpv6 3/0",
      ])
    #expect(result["lan"].map(\.link).allSatisfy { $0 == "020000000001 > 02000000000a" })
    #expect(result["wan"].isEmpty)
  }

  /// The error quotes the packet as it was received.
  @Test func rfc1812_4_3_2_3_quotesThePacketAsItCame() throws {
    let router = try TestRouter.make()
    let packet = Frame.fromLAN.host4("10.1.2.3", ttl: 1).udp().payload(count: 200)
    let sent = router.push([packet], at: "lan")["lan"]
    #expect(sent.map { Array($0.bytes.dropFirst(14 + 28)) } == [Array(packet.bytes.dropFirst(14))])
  }

  /// A packet without a route: network unreachable; no route to destination.
  @Test func rfc1812_5_2_7_1_noRoute() throws {
    let router = try TestRouter.make(routes: "10.0.0.0/8: 198.51.100.254")
    let result = router.push([.fromLAN.host4("11.0.0.1").udp(), .fromLAN.host6("2001:db8:9::5").udp()], at: "lan")
    #expect(
      result["lan"].layers == [
        "ipv4 192.0.2.1 > 192.0.2.10 ttl 255 tos 192, icmp 3/0",
        "ipv6 2001:db8:1::1 > 2001:db8:1::a hops 255, icmpv6 1/0",
      ])
  }

  /// Blackhole routes drop in silence; unreachable and prohibit routes have the sender told.
  @Test func routesThatLeadNowhere() throws {
    let router = try TestRouter.make()
    func push(_ four: String, _ six: String) -> PipelineResult {
      router.push([.fromLAN.host4(four).udp(), .fromLAN.host6(six).udp()], at: "lan")
    }
    let hole = push("10.2.0.1", "2001:db8:ffff:2::1")
    #expect(hole.all.isEmpty && hole.drops == ["blackhole": 2])
    #expect(
      push("10.3.0.1", "2001:db8:ffff:3::1")["lan"].layers == [
        "ipv4 192.0.2.1 > 192.0.2.10 ttl 255 tos 192, icmp 3/1",
        "ipv6 2001:db8:1::1 > 2001:db8:1::a hops 255, icmpv6 1/3",
      ])
    #expect(
      push("10.4.0.1", "2001:db8:ffff:4::1")["lan"].layers == [
        "ipv4 192.0.2.1 > 192.0.2.10 ttl 255 tos 192, icmp 3/13",
        "ipv6 2001:db8:1::1 > 2001:db8:1::a hops 255, icmpv6 1/1",
      ])
  }

  /// Padding behind a short packet does not count as part of it.
  @Test func paddingDoesNotCount() throws {
    let router = try TestRouter.make(wan: "mtu: 68")
    let sent = router.push([.fromLAN.host4("10.1.2.3").udp().payload(count: 2).padded(to: 120)], at: "lan")["wan"]
    #expect(sent.layers == ["ipv4 192.0.2.10 > 10.1.2.3 ttl 63, udp 1024 > 53"])
  }
}

@Suite struct RouterValidationTests {
  /// Packets with a wrong version, header length, length or checksum are dropped in silence.
  @Test func rfc1812_5_2_2_headerValidation() throws {
    let router = try TestRouter.make()
    let good = Frame.fromLAN.host4("10.1.2.3").udp().payload(count: 40)
    let checksum = Frame.fromLAN.ipv4(from: "192.0.2.10", to: "10.1.2.3", checksum: .wrong).udp()
    let long = Frame.fromLAN.ipv4(from: "192.0.2.10", to: "10.1.2.3", totalLength: 900).udp()
    var version = good.bytes
    version[14] = 0x55
    var header = good.bytes
    header[14] = 0x44
    let result = router.push([checksum, long, Frame(version), Frame(header)], at: "lan")
    #expect(result.all.isEmpty)
    #expect(result.drops == ["badChecksum": 1, "badLength": 1, "badVersion": 1, "badHeaderLength": 1])
  }

  /// Packets from or to addresses that never stand on a link between hosts are not forwarded.
  @Test func rfc1812_5_3_7_martians() throws {
    let router = try TestRouter.make()
    let sources = ["127.0.0.1", "224.0.0.5", "255.255.255.255", "240.0.0.1", "0.1.2.3", "0.0.0.0"]
    let from = sources.map { Frame.fromLAN.ipv4(from: $0, to: "10.1.2.3").udp() }
    let to = ["127.0.0.1", "240.0.0.1", "0.0.0.1"].map { Frame.fromLAN.host4($0).udp() }
    let result = router.push(from + to, at: "lan")
    #expect(result.all.isEmpty)
    #expect(result.drops.values.reduce(0, +) == sources.count + 3)
  }

  /// Nobody else sends from the router's own addresses.
  @Test func rfc1812_5_3_7_ownAddressesAsSource() throws {
    let router = try TestRouter.make()
    let four = ["192.0.2.1", "198.51.100.1", "203.0.113.1"].flatMap { source in
      ["10.1.2.3", "192.0.2.1"].map { Frame.fromLAN.ipv4(from: source, to: $0).udp() }
    }
    let six = ["2001:db8:1::1", "2001:db8:2::1"].flatMap { source in
      ["2001:db8:ffff::1", "2001:db8:1::1"].map { Frame.fromLAN.ipv6(from: source, to: $0).udp() }
    }
    let result = router.push(four + six, at: "lan")
    #expect(result.all.isEmpty, "\(result)")
    #expect(result.drops == ["ownSource": four.count + six.count])
  }

  /// A packet with the unspecified address as its source is never forwarded.
  @Test func rfc4291_2_5_2_unspecifiedSource() throws {
    let router = try TestRouter.make()
    let result = router.push([.fromLAN.ipv6(from: "::", to: "2001:db8:ffff::5").udp()], at: "lan")
    #expect(result.all.isEmpty && result.drops == ["unspecifiedSource": 1])
  }

  /// Packets from or to the loopback address are never forwarded.
  @Test func rfc4291_2_5_3_loopback() throws {
    let router = try TestRouter.make()
    let result = router.push(
      [.fromLAN.ipv6(from: "::1", to: "2001:db8:ffff::5").udp(), .fromLAN.host6("::1").udp()], at: "lan")
    #expect(result.all.isEmpty && result.drops == ["badSource": 1, "badDestination": 1])
  }

  /// Packets with a link-local destination stay on their link.
  @Test func rfc4291_2_5_6_linkLocalDestination() throws {
    let router = try TestRouter.make()
    let result = router.push([.fromLAN.host6("fe80::77").udp(), .fromLAN.host6("fe80::ff:fe00:2").udp()], at: "lan")
    #expect(result.all.isEmpty && result.drops == ["linkLocalDestination": 2])
  }

  /// Packets with a link-local source are not forwarded to other links; their sender is told: beyond scope of source.
  @Test func rfc4443_3_1_beyondTheScopeOfTheSource() throws {
    let router = try TestRouter.make()
    let result = router.push([.fromLAN.ipv6(from: "fe80::a", to: "2001:db8:ffff::5").udp()], at: "lan")
    #expect(result["wan"].isEmpty)
    #expect(result["lan"].layers == ["ipv6 fe80::ff:fe00:1 > fe80::a hops 255, icmpv6 1/2"])
  }

  /// Groups are not forwarded.
  @Test func rfc1812_5_2_1_groupsAreNotForwarded() throws {
    let router = try TestRouter.make()
    let four = Frame.ethernet(from: "02:00:00:00:00:0a", to: "01:00:5e:01:02:03").host4("239.1.2.3").udp()
    let six = Frame.ethernet(from: "02:00:00:00:00:0a", to: "33:33:00:00:00:09").host6("ff0e::9").udp()
    let all = Frame.ethernet(from: "02:00:00:00:00:0a", to: "ff:ff:ff:ff:ff:ff").host4("255.255.255.255").udp()
    let result = router.push([four, six, all], at: "lan")
    #expect(result.all.isEmpty, "\(result)")
    #expect(result.drops.values.reduce(0, +) == 3)
  }

  /// A packet in a link-layer broadcast is dropped unless its destination is a broadcast or multicast address.
  @Test func rfc1812_5_3_4_unicastInALinkBroadcast() throws {
    let router = try TestRouter.make()
    let groups = ["ff:ff:ff:ff:ff:ff", "01:00:5e:00:00:01"].map { Frame.ethernet(from: "02:00:00:00:00:0a", to: $0) }
    let result = router.push(
      groups.flatMap {
        [$0.host4("10.1.2.3").udp(), $0.host4("192.0.2.1").icmp(), $0.host6("2001:db8:1::1").icmpv6()]
      },
      at: "lan")
    #expect(result.all.isEmpty)
    #expect(result.drops == ["linkBroadcast": 6])
  }

  /// Frames to other stations are not the router's business.
  @Test func framesToOtherStations() throws {
    let router = try TestRouter.make()
    let other = Frame.ethernet(from: "02:00:00:00:00:0a", to: "02:00:00:00:00:77")
    let result = router.push(
      [other.host4("10.1.2.3").udp(), other.host6("2001:db8:ffff::5").udp(), other.host4("192.0.2.1").icmp()], at: "lan"
    )
    #expect(result.all.isEmpty && result.drops == ["otherStation": 3])
  }

  /// Packets to all stations of another network are not forwarded.
  @Test func rfc2644_2_directedBroadcasts() throws {
    let router = try TestRouter.make()
    let result = router.push(
      ["198.51.100.255", "198.51.100.0", "203.0.113.127", "203.0.113.0"].map { Frame.fromLAN.host4($0).udp() },
      at: "lan")
    #expect(result.all.isEmpty && result.drops == ["directedBroadcast": 4])
    // Of a longer prefix than the address looks like: this is a host's (the network is a /25).
    #expect(router.push([.fromLAN.host4("203.0.113.255").udp()], at: "lan")["wan"].count == 1)
  }

  /// A broadcast on the network that it came from is for the router, which says nothing about it.
  @Test func rfc1812_4_3_2_7_neverAboutBroadcasts() throws {
    let router = try TestRouter.make()
    let link = Frame.ethernet(from: "02:00:00:00:00:0a", to: "ff:ff:ff:ff:ff:ff")
    let frames = ["192.0.2.255", "255.255.255.255", "192.0.2.0"].flatMap {
      [link.host4($0).udp(), link.host4($0).icmp(), link.host4($0, ttl: 1).payload(count: 8)]
    }
    let result = router.push(frames, at: "lan")
    #expect(result.all.isEmpty, "\(result)")
    #expect(result.drops.values.reduce(0, +) == frames.count)
  }
}

@Suite struct RouterReversePathTests {
  private let sources = ["192.0.2.77", "198.51.100.77", "10.1.0.1", "10.2.0.1", "172.16.0.1"]

  private func passed(_ setting: String, routes: String = TestRouter.routes) throws -> [String] {
    let router = try TestRouter.make(lan: setting.isEmpty ? "" : "reverse_path: \(setting)", routes: routes)
    return sources.filter { source in
      !router.push([.fromLAN.ipv4(from: source, to: "10.1.2.3").udp()], at: "lan")["wan"].isEmpty
    }
  }

  private let noDefault = "10.1.0.0/16: 198.51.100.254\n10.2.0.0/16: blackhole"

  @Test func sourcesAreNotLookedUpUnlessAskedFor() throws {
    #expect(try passed("") == sources)
    #expect(try passed("", routes: noDefault) == sources)
  }

  /// Strict: the route to the source has to lead out of the interface that the packet came in by.
  @Test func rfc3704_2_2_strict() throws { #expect(try passed("strict") == ["192.0.2.77"]) }

  /// Feasible: a source that one of several equal routes leads to by this interface passes.
  @Test func rfc3704_2_3_feasiblePath() throws {
    let routes = "10.1.2.0/24: 198.51.100.254\n172.16.0.0/12: 192.0.2.10,198.51.100.254"
    #expect(try passed("strict", routes: routes) == ["192.0.2.77", "172.16.0.1"])
  }

  /// Loose: there has to be a route to the source.
  @Test func rfc3704_2_4_loose() throws {
    #expect(try passed("loose", routes: noDefault) == ["192.0.2.77", "198.51.100.77", "10.1.0.1"])
    #expect(try passed("loose") == ["192.0.2.77", "198.51.100.77", "10.1.0.1", "172.16.0.1"])
  }

  @Test func holdsForIPv6Too() throws {
    let router = try TestRouter.make(lan: "reverse_path: strict")
    func passes(_ source: String) -> Bool {
      !router.push([.fromLAN.ipv6(from: source, to: "2001:db8:ffff::5").udp()], at: "lan")["wan"].isEmpty
    }
    #expect(passes("2001:db8:1::77"))
    #expect(!passes("2001:db8:2::77") && !passes("2001:db8:ffff::9") && !passes("2001:db9::1"))
  }

  /// Neighbour Discovery and pings from link-local addresses pass whatever the setting.
  @Test func linkLocalSourcesPass() throws {
    let router = try TestRouter.make(lan: "reverse_path: strict")
    let sent = router.push([.fromLAN.ipv6(from: "fe80::a", to: "fe80::ff:fe00:1").icmpv6()], at: "lan")["lan"]
    #expect(sent.layers == ["ipv6 fe80::ff:fe00:1 > fe80::a hops 64, icmpv6 129/0"])
  }
}

@Suite struct RouterLocalTests {
  /// The router answers pings to every address of every interface, from that address.
  @Test(arguments: ["192.0.2.1", "192.0.2.2", "198.51.100.1", "203.0.113.1"])
  func rfc1812_4_3_3_6_echoToAnyOwnAddress(address: String) throws {
    let router = try TestRouter.make()
    let result = router.push([.fromLAN.host4(address).icmp().payload("ping")], at: "lan")
    let reply = Frame.toLAN.ipv4(from: address, to: "192.0.2.10").icmp(type: 0).payload("ping")
    #expect(result["lan"].are([reply]), "\(result)")
  }

  /// Every node answers echo requests.
  @Test(arguments: ["2001:db8:1::1", "2001:db8:2::1", "2001:db8:3::1"])
  func rfc4443_4_2_echoToAnyOwnAddress(address: String) throws {
    let router = try TestRouter.make()
    let result = router.push([.fromLAN.host6(address).icmpv6().payload("ping")], at: "lan")
    let reply = Frame.toLAN.ipv6(from: address, to: "2001:db8:1::a").icmpv6(type: 129).payload("ping")
    #expect(result["lan"].are([reply]), "\(result)")
  }

  @Test func linkLocalPings() throws {
    let router = try TestRouter.make()
    let result = router.push([.fromLAN.ipv6(from: "fe80::a", to: "fe80::ff:fe00:1").icmpv6()], at: "lan")
    #expect(result["lan"].are([.toLAN.ipv6(from: "fe80::ff:fe00:1", to: "fe80::a").icmpv6(type: 129)]), "\(result)")
  }

  /// Replies are routed: a ping from behind the next hop is answered through it.
  @Test func repliesAreRouted() throws {
    let router = try TestRouter.make()
    let result = router.push([.fromLAN.ipv4(from: "10.1.0.9", to: "192.0.2.1").icmp()], at: "lan")
    #expect(result["wan"].are([.toWAN.ipv4(from: "192.0.2.1", to: "10.1.0.9").icmp(type: 0)]), "\(result)")
  }

  /// A router reassembles datagrams to itself; what it sends that is longer than the link takes leaves in fragments.
  @Test func rfc1812_4_2_2_7_largePings() throws {
    let router = try TestRouter.make()
    let ping = Frame.fromLAN.host4("192.0.2.1").icmp().payload(count: 3000)
    let result = router.push(ping.fragments(of: 1480).shuffled(), at: "lan")
    #expect(
      result["lan"].layers.sorted() == [
        "ipv4 192.0.2.1 > 192.0.2.10 ttl 64, fragment at 0, more, icmp 0/0",
        "ipv4 192.0.2.1 > 192.0.2.10 ttl 64, fragment at 1480, more",
        "ipv4 192.0.2.1 > 192.0.2.10 ttl 64, fragment at 2960",
      ], "\(result)")
    #expect(result["lan"].allSatisfy { $0.bytes.count <= 1514 })
    let contents = result["lan"].sorted { $0.ipWord(6) & 0x1FFF < $1.ipWord(6) & 0x1FFF }.flatMap {
      $0.bytes.dropFirst(34)
    }
    #expect(contents == Array(Frame.toLAN.host4("192.0.2.1").icmp(type: 0).payload(count: 3000).bytes.dropFirst(34)))
  }

  /// A source that needs to send a packet longer than the path's MTU divides it into fragments.
  @Test func rfc8200_4_5_largePings() throws {
    let router = try TestRouter.make()
    let ping = Frame.fromLAN.host6("2001:db8:1::1").icmpv6().payload(count: 3000)
    let result = router.push(ping.fragments(of: 1448), at: "lan")
    let first = "ipv6 2001:db8:1::1 > 2001:db8:1::a hops 64, extension 44"
    #expect(result["lan"].layers == ["\(first), icmpv6 129/0", first, first], "\(result)")
    #expect(result["lan"].allSatisfy { $0.bytes.count <= 1514 })
    let contents = result["lan"].flatMap { $0.bytes.dropFirst(14 + 48) }
    let whole = Frame.toLAN.ipv6(from: "2001:db8:1::1", to: "2001:db8:1::a").icmpv6(type: 129).payload(count: 3000)
    #expect(contents == Array(whole.bytes.dropFirst(14 + 40)))
    #expect(result["lan"].map { $0.ipWord(42) } == [0 | 1, 1448 | 1, 2896])
    #expect(Set(result["lan"].map { [$0.ipWord(44), $0.ipWord(46)] }).count == 1)
  }

  /// A reply that is longer than its way takes is cut whatever the request said about fragments.
  @Test func repliesAreCutWhateverTheRequestSays() throws {
    let router = try TestRouter.make(wan: "mtu: 600")
    let ping = Frame.fromLAN.ipv4(from: "10.1.0.9", to: "192.0.2.1", dontFragment: true).icmp().payload(count: 1000)
    let result = router.push([ping], at: "lan")
    #expect(
      result["wan"].layers == [
        "ipv4 192.0.2.1 > 10.1.0.9 ttl 64, fragment at 0, more, icmp 0/0",
        "ipv4 192.0.2.1 > 10.1.0.9 ttl 64, fragment at 576",
      ], "\(result)")
  }

  /// Fragments that do not become whole in time: the sender is told when the first of them had come.
  @Test func rfc792_reassemblyTimeExceeded() throws {
    let router = try TestRouter.make()
    let four = Frame.fromLAN.host4("192.0.2.1").icmp().payload(count: 3000).fragments(of: 1480)
    let six = Frame.fromLAN.host6("2001:db8:1::1").icmpv6().payload(count: 3000).fragments(of: 1448)
    #expect(router.push([four[0], six[0]], at: "lan").held == 2)
    let result = router.advance(milliseconds: 100_000)
    #expect(
      result["lan"].layers == [
        "ipv4 192.0.2.1 > 192.0.2.10 ttl 255 tos 192, icmp 11/1",
        "ipv6 2001:db8:1::1 > 2001:db8:1::a hops 255, icmpv6 3/1",
      ], "\(result)")
    #expect(result.held == 0)
    let later = router.push([four[1], six[2]], at: "lan")
    #expect(later.held == 2)
    let silence = router.advance(milliseconds: 100_000)
    #expect(silence.all.isEmpty && silence.held == 0 && silence.drops == ["timedOut": 2])
  }

  /// Nobody listens at any port: port unreachable, from the address that was sent to.
  @Test func rfc1122_3_2_2_1_portUnreachable() throws {
    let router = try TestRouter.make()
    let result = router.push(
      [.fromLAN.host4("198.51.100.1").udp(), .fromLAN.host6("2001:db8:2::1").udp()], at: "lan")
    #expect(
      result["lan"].layers == [
        "ipv4 198.51.100.1 > 192.0.2.10 ttl 255 tos 192, icmp 3/3",
        "ipv6 2001:db8:2::1 > 2001:db8:1::a hops 255, icmpv6 1/4",
      ], "\(result)")
  }

  /// A UDP datagram with a wrong checksum is discarded in silence.
  @Test func rfc1122_4_1_3_4_wrongUDPChecksums() throws {
    let router = try TestRouter.make()
    let result = router.push(
      [
        .fromLAN.host4("192.0.2.1").udp(checksum: .wrong), .fromLAN.host6("2001:db8:1::1").udp(checksum: .wrong),
        .fromLAN.host6("2001:db8:1::1").udp(checksum: .value(0)),
        .fromLAN.host4("192.0.2.1").udp(length: 900),
      ], at: "lan")
    #expect(result.all.isEmpty, "\(result)")
    #expect(result.drops == ["badChecksum": 3, "malformed": 1])
    // IPv4's zero stands for none.
    #expect(router.push([.fromLAN.host4("192.0.2.1").udp(checksum: .value(0))], at: "lan")["lan"].count == 1)
  }

  /// An unknown protocol: protocol unreachable, or parameter problem with a pointer to the next-header field.
  @Test func rfc4443_3_4_unknownProtocols() throws {
    let router = try TestRouter.make()
    let result = router.push(
      [
        .fromLAN.host4("192.0.2.1").payload(count: 8), .fromLAN.host6("2001:db8:1::1").payload(count: 8),
        .fromLAN.host6("2001:db8:1::1").ipv6Extension(60).payload(count: 8),
      ], at: "lan")
    #expect(
      result["lan"].layers == [
        "ipv4 192.0.2.1 > 192.0.2.10 ttl 255 tos 192, icmp 3/2",
        "ipv6 2001:db8:1::1 > 2001:db8:1::a hops 255, icmpv6 4/1",
        "ipv6 2001:db8:1::1 > 2001:db8:1::a hops 255, icmpv6 4/1",
      ], "\(result)")
    #expect(result["lan"].suffix(2).map { $0.ipWord(46) } == [6, 40])
  }

  /// An unknown option whose highest bits are 10 has the sender told, and one with 01 is discarded in silence.
  @Test func rfc8200_4_2_unknownOptions() throws {
    let router = try TestRouter.make()
    func push(_ extensions: UInt8, _ type: UInt8, to destination: String = "2001:db8:1::1") -> PipelineResult {
      router.push(
        [.fromLAN.host6(destination).ipv6Extension(extensions, content: [1, 0, type, 2, 0, 0]).icmpv6()], at: "lan")
    }
    for header in [0, 60] as [UInt8] {
      #expect(push(header, 0x3E)["lan"].count == 1)
      let silent = push(header, 0x7E)
      #expect(silent.all.isEmpty && silent.drops == ["unknownOption": 1], "\(silent)")
      for type in [0xBE, 0xFE] as [UInt8] {
        let told = push(header, type)
        #expect(told["lan"].layers == ["ipv6 2001:db8:1::1 > 2001:db8:1::a hops 255, icmpv6 4/2"], "\(told)")
        #expect(told["lan"].map { $0.ipWord(46) } == [44])
      }
    }
  }

  /// A routing header of an unknown type, the deprecated type 0 among them, with segments left: parameter problem, with a
  /// pointer to the type.
  @Test func rfc5095_3_routingHeaders() throws {
    let router = try TestRouter.make()
    func push(_ type: UInt8, _ left: UInt8) -> PipelineResult {
      router.push(
        [.fromLAN.host6("2001:db8:1::1").ipv6Extension(43, content: [type, left, 0, 0, 0, 0]).icmpv6()], at: "lan")
    }
    #expect(push(0, 0)["lan"].layers.allSatisfy { $0.contains("icmpv6 129/0") })
    for type in [0, 77] as [UInt8] {
      let told = push(type, 1)
      #expect(told["lan"].layers == ["ipv6 2001:db8:1::1 > 2001:db8:1::a hops 255, icmpv6 4/0"], "\(told)")
      #expect(told["lan"].map { $0.ipWord(46) } == [42])
    }
  }

  /// There is no error about an error.
  @Test func rfc1812_4_3_2_7_neverForIcmpErrors() throws {
    let router = try TestRouter.make()
    let about = Frame.ethernet().ipv4().udp()
    let about6 = Frame.ethernet().ipv6().udp()
    let frames: [Frame] = [
      .fromLAN.host4("10.1.2.3", ttl: 1).icmp(type: 3, code: 1).carrying(about),
      .fromLAN.host4("10.3.0.1").icmp(type: 11).carrying(about),
      .fromLAN.host4("192.0.2.1").icmp(type: 3, code: 3).carrying(about),
      .fromLAN.host6("2001:db8:ffff::1", hops: 1).icmpv6(type: 1).carrying(about6),
      .fromLAN.host6("2001:db8:ffff:3::1").icmpv6(type: 3).carrying(about6),
      .fromLAN.host6("2001:db8:1::1").icmpv6(type: 1, code: 4).carrying(about6),
    ]
    let result = router.push(frames, at: "lan")
    #expect(result.all.isEmpty)
    #expect(result.drops == ["neverForICMPError": 4, "notAsked": 2])
  }
}

@Suite struct RouterErrorsTests {
  /// Errors beyond the rate are counted and not sent; those to other networks still are.
  @Test func rfc1812_4_3_2_8_rateLimit() throws {
    let router = try TestRouter.make(more: "errors: { prefix_burst: 3, prefix_rate: 1pps }")
    let storm = (0..<10).map { _ in Frame.fromLAN.host4("10.3.0.1").udp() }
    let result = router.push(storm, at: "lan")
    #expect(result["lan"].count == 3 && result.drops == ["rateLimited": 7])
    let other = router.push([.fromWAN.ipv4(from: "10.1.9.9", to: "10.3.0.1").udp()], at: "wan")
    #expect(other["wan"].count == 1)
  }

  /// An error comes from an address of the interface that it leaves by, and follows the route to the source.
  @Test func rfc1812_4_3_2_4_sourceOfErrors() throws {
    let router = try TestRouter.make()
    let result = router.push([.fromWAN.ipv4(from: "10.1.9.9", to: "10.3.0.1").udp()], at: "wan")
    #expect(result["wan"].layers == ["ipv4 198.51.100.1 > 10.1.9.9 ttl 255 tos 192, icmp 3/1"])
  }

  /// Errors to other links never come from a link-local address, even if the interface has no other.
  @Test func rfc4291_2_5_6_errorsFromGlobalAddresses() throws {
    let text = """
      nfv: 1
      ports: { lan: { pcap: lan.pcap }, wan: { pcap: wan.pcap } }
      elements:
        rt:
          Router:
            interfaces:
              lan: { mac: 02:00:00:00:00:01, addresses: 192.0.2.1/24, dad: 0, static: { "fe80::a": 02:00:00:00:00:0a } }
              wan: { mac: 02:00:00:00:00:02, addresses: ["2001:db8:2::1/64"], dad: 0 }
            routes: { "2001:db8:1::/64": "fe80::a@lan" }
      graph: [lan -> rt.lan, rt.lan -> lan, wan -> rt.wan, rt.wan -> wan]
      """
    let router = try PipelineUnderTest(text)
    _ = router.advance(milliseconds: 20_000)
    let far = router.push([.fromLAN.host6("2001:db8:2::9", hops: 1).udp()], at: "lan")
    #expect(far["lan"].layers == ["ipv6 2001:db8:2::1 > 2001:db8:1::a hops 255, icmpv6 3/0"], "\(far)")
    let near = router.push([.fromLAN.ipv6(from: "fe80::a", to: "2001:db8:2::9").udp()], at: "lan")
    #expect(near["lan"].layers == ["ipv6 fe80::ff:fe00:1 > fe80::a hops 255, icmpv6 1/2"], "\(near)")
  }
}

@Suite struct RouterMTUTests {
  /// A packet that is too long and must not be fragmented: the sender is told, with the MTU of the next link.
  @Test func rfc1191_4_fragmentationNeeded() throws {
    let router = try TestRouter.make(wan: "mtu: 1400")
    let packet = Frame.fromLAN.ipv4(from: "192.0.2.10", to: "10.1.2.3", dontFragment: true).udp()
    #expect(router.push([packet.payload(count: 1372)], at: "lan")["wan"].count == 1)
    let result = router.push([packet.payload(count: 1373)], at: "lan")
    #expect(result["lan"].layers == ["ipv4 192.0.2.1 > 192.0.2.10 ttl 255 tos 192, icmp 3/4"])
    #expect(result["lan"].map { $0.ipWord(26) } == [1400])
    #expect(result["wan"].isEmpty)
  }

  /// A packet longer than the next link's MTU: Packet Too Big, with that MTU.
  @Test func rfc4443_3_2_packetTooBig() throws {
    let router = try TestRouter.make(wan: "mtu: 1400")
    let packet = Frame.fromLAN.host6("2001:db8:ffff::5").udp()
    #expect(router.push([packet.payload(count: 1352)], at: "lan")["wan"].count == 1)
    let result = router.push([packet.payload(count: 1353)], at: "lan")
    #expect(result["lan"].layers == ["ipv6 2001:db8:1::1 > 2001:db8:1::a hops 255, icmpv6 2/0"])
    #expect(result["lan"].map { $0.ipWord(46) } == [1400])
    #expect(result["lan"].allSatisfy { $0.bytes.count <= 14 + 1280 })
    #expect(result["wan"].isEmpty)
  }

  /// Packets that may be fragmented are, with the TTL lowered once.
  @Test func rfc791_3_2_fragments() throws {
    let router = try TestRouter.make(wan: "mtu: 600")
    let packet = Frame.fromLAN.ipv4(from: "192.0.2.10", to: "10.1.2.3", identification: 77).udp().payload(count: 1400)
    let result = router.push([packet], at: "lan")
    let whole = Frame.toWAN.ipv4(from: "192.0.2.10", to: "10.1.2.3", ttl: 63, identification: 77).udp()
      .payload(count: 1400)
    #expect(result["wan"].are(whole.fragments(of: 576, identification: 77)), "\(result)")
    #expect(result["lan"].isEmpty)
  }

  /// Fragments to a neighbour that has to be asked for wait together.
  @Test func fragmentsWaitForTheirNeighbour() throws {
    let router = try TestRouter.make(dmz: "mtu: 600")
    let packet = Frame.fromLAN.ipv4(from: "192.0.2.10", to: "203.0.113.9", identification: 77).udp()
      .payload(count: 1100)
    let first = router.push([packet], at: "lan")
    #expect(first["dmz"].layers == ["arp"] && first.held == 2)
    let reply = Frame.fromDMZ.arp(
      operation: 2, senderMAC: "02:00:00:00:00:09", senderIP: "203.0.113.9", targetMAC: "02:00:00:00:00:03",
      targetIP: "203.0.113.1")
    let second = router.push([reply], at: "dmz")
    let whole = Frame.toDMZ.ipv4(from: "192.0.2.10", to: "203.0.113.9", ttl: 63, identification: 77).udp()
      .payload(count: 1100)
    #expect(second["dmz"].are(whole.fragments(of: 576, identification: 77)), "\(second)")
    #expect(second.held == 0)
  }

  /// The time to live is judged before the length.
  @Test func rfc1812_5_3_1_timeToLiveFirst() throws {
    let router = try TestRouter.make(wan: "mtu: 600")
    let result = router.push([.fromLAN.host4("10.1.2.3", ttl: 1).udp().payload(count: 1000)], at: "lan")
    #expect(result["lan"].layers == ["ipv4 192.0.2.1 > 192.0.2.10 ttl 255 tos 192, icmp 11/0"])
  }
}

@Suite struct RouterNeighboursTests {
  private let answer4 = Frame.fromDMZ.arp(
    operation: 2, senderMAC: "02:00:00:00:00:09", senderIP: "203.0.113.9", targetMAC: "02:00:00:00:00:03",
    targetIP: "203.0.113.1")

  /// Packets wait while their next hop is asked for, and leave in order when it answers.
  @Test func rfc1122_2_3_2_2_waitForTheNextHop() throws {
    let router = try TestRouter.make()
    let frames = (0..<3).map { Frame.fromLAN.host4("10.9.9.9").udp(from: UInt16(1000 + $0)) }
    let first = router.push(frames, at: "lan")
    let request = Frame.ethernet(from: "02:00:00:00:00:03", to: "ff:ff:ff:ff:ff:ff").arp(
      senderMAC: "02:00:00:00:00:03", senderIP: "203.0.113.1", targetIP: "203.0.113.9")
    #expect(first["dmz"].are([request]) && first.held == 3, "\(first)")
    let second = router.push([answer4], at: "dmz")
    #expect(
      second["dmz"].are((0..<3).map { Frame.toDMZ.host4("10.9.9.9", ttl: 63).udp(from: UInt16(1000 + $0)) }),
      "\(second)")
    #expect(second.held == 0)
    let third = router.push([frames[0]], at: "lan")
    #expect(third["dmz"].are([.toDMZ.host4("10.9.9.9", ttl: 63).udp(from: 1000)]) && third.held == 0)
  }

  /// The same by Neighbour Discovery, for a next hop with a link-local address.
  @Test func rfc4861_7_2_2_waitForTheNextHop() throws {
    let router = try TestRouter.make()
    let first = router.push([.fromLAN.host6("2001:db8:ffff:1::5").udp()], at: "lan")
    #expect(first.held == 1 && first["dmz"].layers.allSatisfy { $0.hasSuffix("icmpv6 135/0") }, "\(first)")
    #expect(first["dmz"].map(\.link) == ["020000000003 > 3333ff000009"])
    let target: [UInt8] = [0xFE, 0x80] + Array(repeating: 0, count: 13) + [9]
    let answer = Frame.fromDMZ.ipv6(from: "fe80::9", to: "fe80::ff:fe00:3", hopLimit: 255)
      .icmpv6(type: 136, identifier: 0x6000, sequence: 0).payload(target + [2, 1, 2, 0, 0, 0, 0, 9])
    let second = router.push([answer], at: "dmz")
    #expect(second["dmz"].are([.toDMZ.host6("2001:db8:ffff:1::5", hops: 63).udp()]), "\(second)")
    #expect(second.held == 0)
  }

  /// The router answers for its addresses on the link that they are on, and for none of others.
  @Test func rfc826_answersOnTheRightLink() throws {
    let router = try TestRouter.make()
    func ask(_ target: String) -> [String] {
      let link = Frame.ethernet(from: "02:00:00:00:00:0a", to: "ff:ff:ff:ff:ff:ff")
      return router.push(
        [link.arp(senderMAC: "02:00:00:00:00:0a", senderIP: "192.0.2.10", targetIP: target)], at: "lan")[
          "lan"
        ].layers
    }
    #expect(ask("192.0.2.1") == ["arp"] && ask("192.0.2.2") == ["arp"])
    #expect(ask("198.51.100.1").isEmpty && ask("192.0.2.77").isEmpty)
  }

  /// A next hop that does not answer: the sender is told that the host is unreachable, by the interface that the packet
  /// came in by.
  @Test func rfc1812_4_3_3_1_hostUnreachable() throws {
    let router = try TestRouter.make()
    let waiting = router.push([.fromLAN.host4("10.9.9.9").udp(), .fromLAN.host6("2001:db8:3::77").udp()], at: "lan")
    #expect(waiting.held == 2)
    let result = router.advance(milliseconds: 10_000)
    #expect(result.held == 0)
    #expect(
      Set(result["lan"].layers) == [
        "ipv4 192.0.2.1 > 192.0.2.10 ttl 255 tos 192, icmp 3/1",
        "ipv6 2001:db8:1::1 > 2001:db8:1::a hops 255, icmpv6 1/3",
      ], "\(result)")
    #expect(result["wan"].isEmpty)
    let wan = router.push([.fromWAN.ipv4(from: "10.1.9.9", to: "203.0.113.77").udp()], at: "wan")
    #expect(wan.held == 1)
    #expect(
      router.advance(milliseconds: 10_000)["wan"].layers
        == ["ipv4 198.51.100.1 > 10.1.9.9 ttl 255 tos 192, icmp 3/1"])
  }

  /// Whoever has the router ask for addresses that nobody has takes no memory without end.
  @Test func rfc6583_4_boundedUnresolvedNeighbours() throws {
    let router = try TestRouter.make(more: "neighbours: { unresolved: 16, held: 40 }")
    let scan = (1...120).map { Frame.fromLAN.host4("203.0.113.\($0)").udp() }
    let result = router.push(scan, at: "lan")
    #expect(result.held <= 40)
    #expect(result.held + result.drops.values.reduce(0, +) == 119, "\(result)")
    #expect(router.push([.fromLAN.host4("10.1.2.3").udp()], at: "lan")["wan"].count == 1)
    #expect(router.advance(milliseconds: 60_000).held == 0)
  }
}

@Suite struct RouterPathsTests {
  /// Which next hop each flow takes, by the last byte of its hardware address.
  private func chosen(_ target: String, flows: Int = 1200) throws -> [Int: UInt8] {
    let text = """
      nfv: 1
      ports: { lan: { pcap: lan.pcap }, wan: { pcap: wan.pcap } }
      elements:
        rt:
          Router:
            interfaces:
              lan: { mac: 02:00:00:00:00:01, addresses: [192.0.2.1/24, "2001:db8:1::1/64"], dad: 0 }
              wan:
                mac: 02:00:00:00:00:02
                addresses: [198.51.100.1/24, "2001:db8:2::1/64"]
                static: { 198.51.100.11: 02:00:00:00:00:11, 198.51.100.12: 02:00:00:00:00:12,
                  198.51.100.13: 02:00:00:00:00:13, "2001:db8:2::11": 02:00:00:00:00:11,
                  "2001:db8:2::12": 02:00:00:00:00:12 }
            routes: { 10.0.0.0/8: "\(target)", "2001:db8:ffff::/48": "2001:db8:2::11,2001:db8:2::12" }
      graph: [lan -> rt.lan, rt.lan -> lan, wan -> rt.wan, rt.wan -> wan]
      """
    let router = try PipelineUnderTest(text)
    _ = router.advance(milliseconds: 20_000)
    var chosen: [Int: UInt8] = [:]
    for round in 0..<2 {
      for flow in 0..<flows {
        let packet = Frame.fromLAN.host4("10.1.\(flow / 200).\(flow % 200)").udp(from: UInt16(flow), to: 53)
        let sent = router.push([packet], at: "lan")["wan"]
        let hop = try #require(sent.first).bytes[5]
        if round == 1 { #expect(chosen[flow] == hop, "a flow changed its path") }
        chosen[flow] = hop
      }
    }
    return chosen
  }

  private func share(_ chosen: [Int: UInt8], _ hop: UInt8) -> Double {
    Double(chosen.values.count { $0 == hop }) / Double(chosen.count)
  }

  /// Flows spread over next hops of the same weight, and each stays with its own.
  @Test func rfc2992_flowsStickAndSpread() throws {
    let chosen = try chosen("198.51.100.11,198.51.100.12")
    #expect((0.4...0.6).contains(share(chosen, 0x11)) && (0.4...0.6).contains(share(chosen, 0x12)))
  }

  @Test func weightsCount() throws {
    let chosen = try chosen("198.51.100.11*3,198.51.100.12")
    #expect((0.65...0.85).contains(share(chosen, 0x11)), "\(share(chosen, 0x11))")
  }

  /// When a next hop goes, only the flows that it had move.
  @Test func rfc2992_disruption() throws {
    let before = try chosen("198.51.100.11,198.51.100.12,198.51.100.13", flows: 400)
    let after = try chosen("198.51.100.11,198.51.100.13", flows: 400)
    for (flow, hop) in before where hop != 0x12 { #expect(after[flow] == hop, "flow \(flow) moved") }
    #expect(before.values.contains(0x12) && !after.values.contains(0x12))
  }

  /// The flow label tells flows apart where ports cannot be seen.
  @Test func rfc6438_3_flowLabels() throws {
    let text = TestRouter.text(routes: "\"2001:db8:ffff::/48\": \"2001:db8:2::fe,2001:db8:1::a\"")
    let router = try PipelineUnderTest(text)
    _ = router.advance(milliseconds: 20_000)
    let frames = (0..<200).map { label in
      Frame.fromLAN.ipv6(
        from: "2001:db8:1::a", to: "2001:db8:ffff::5", flowLabel: UInt32(label * 977), nextHeader: 50
      ).payload(count: 16)
    }
    let result = router.push(frames, at: "lan")
    #expect(result["wan"].count > 50 && result["lan"].count > 50, "\(result["wan"].count)")
    #expect(result["wan"].count + result["lan"].count == 200)
  }
}

@Suite struct RouterRobustnessTests {
  /// Whatever comes in by any interface, every packet is accounted for, and in the end nothing is held.
  @Test(arguments: UInt64(1)...4) func anything(seed: UInt64) throws {
    let router = try TestRouter.make(lan: "reverse_path: loose", wan: "mtu: 600", batchSize: seed % 2 == 0 ? 32 : 7)
    router.expectsSoundPackets = false
    var generator = FrameGenerator(seed: seed)
    let stations = ["fromLAN": Frame.fromLAN, "fromWAN": .fromWAN, "fromDMZ": .fromDMZ]
    for round in 0..<60 {
      let (name, link) = stations.sorted { $0.key < $1.key }[round % 3]
      let frames = (0..<20).map { _ in
        let frame = generator.next()
        // Most are for the router.
        guard !generator.chance(4), frame.bytes.count > 12 else { return frame }
        return Frame(Array(link.bytes.prefix(12)) + frame.bytes.dropFirst(12)).inBuffers
      }
      _ = router.push(frames, at: name.replacing("from", with: "").lowercased())
      _ = router.advance(milliseconds: UInt64(generator.number(below: 3000)))
    }
    #expect(router.advance(milliseconds: 200_000).held == 0)
  }
}
