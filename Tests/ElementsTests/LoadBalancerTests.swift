import Assembly
import Configuration
import Dataplane
import Elements
import TestKit
import Testing

/// A load balancer without a network around it, and what the tests have in common.
enum Balancing {
  static let mode4 = "web: { address: 203.0.113.80, ports: 80, %, backends: { a: { address: 192.0.2.1 } } }"

  /// A service on port 80 of 203.0.113.80 and, with the same backends, on 2001:db8:80::1.
  static func web(_ count: Int, port: Int? = 8080, _ more: String = "") -> String {
    let ends = port.map { ", port: \($0)" } ?? ""
    let four = (1...count).map { "b\($0): { address: 192.0.2.\($0)\(ends) }" }.joined(separator: ", ")
    let six = (1...count).map { "b\($0): { address: \"2001:db8:b::\($0)\"\(ends) }" }.joined(separator: ", ")
    return """
      services:
        web: { address: 203.0.113.80, ports: 80, \(more)\(more.isEmpty ? "" : ", ")backends: { \(four) } }
        web6: { address: "2001:db8:80::1", ports: 80, \(more)\(more.isEmpty ? "" : ", ")backends: { \(six) } }
      """
  }

  static func syn(_ client: String = "198.51.100.7", _ port: UInt16 = 40_000, flags: String = "S") -> Frame {
    Frame.ethernet().ipv4(from: client, to: "203.0.113.80").tcp(from: port, to: 80, flags: flags)
  }

  static func syn6(_ client: String = "2001:db8:c::7", _ port: UInt16 = 40_000, flags: String = "S") -> Frame {
    Frame.ethernet().ipv6(from: client, to: "2001:db8:80::1").tcp(from: port, to: 80, flags: flags)
  }

  /// The destination address of an IPv4 packet in an untagged frame.
  static func destination(_ packet: SentPacket) -> String {
    packet.bytes[30..<34].map { "\($0)" }.joined(separator: ".")
  }
}

@Suite struct LoadBalancerTests {
  // MARK: NAT

  @Test func natTranslatesBothDirections() throws {
    let element = try ElementUnderTest(LoadBalancer.self, settings: Balancing.web(1))
    let there = element.push(Balancing.syn())
    #expect(
      there["backends"].are([
        Frame.ethernet().ipv4(from: "198.51.100.7", to: "192.0.2.1").tcp(from: 40_000, to: 8080)
      ]))
    let back = element.push(
      Frame.ethernet().ipv4(from: "192.0.2.1", to: "198.51.100.7").tcp(from: 8080, to: 40_000, flags: "SA"))
    #expect(
      back["clients"].are([
        Frame.ethernet().ipv4(from: "203.0.113.80", to: "198.51.100.7").tcp(from: 80, to: 40_000, flags: "SA")
      ]))
    #expect(element.counters["web.b1.packets"] == 1)
    #expect(element.counters["web.b1.replyPackets"] == 1)
    #expect(element.counters["web.connections"] == 1)
    #expect(element.counters["web.bytes"] == UInt64(Balancing.syn().length))
  }

  @Test func natTranslatesIPv6() throws {
    let element = try ElementUnderTest(LoadBalancer.self, settings: Balancing.web(1))
    #expect(
      element.push(Balancing.syn6())["backends"].are([
        Frame.ethernet().ipv6(from: "2001:db8:c::7", to: "2001:db8:b::1").tcp(from: 40_000, to: 8080)
      ]))
    let answer = Frame.ethernet().ipv6(from: "2001:db8:b::1", to: "2001:db8:c::7").tcp(from: 8080, to: 40_000)
    #expect(
      element.push(answer)["clients"].are([
        Frame.ethernet().ipv6(from: "2001:db8:80::1", to: "2001:db8:c::7").tcp(from: 80, to: 40_000)
      ]))
  }

  @Test func sourceNATGivesConnectionsAddressesOfItsOwn() throws {
    let element = try ElementUnderTest(
      LoadBalancer.self,
      settings: Balancing.web(1, "source_nat: 192.0.2.254").split(separator: "\n").prefix(2)
        .joined(separator: "\n"))
    // Two clients with the same port come from two ports of the one address.
    let sent = element.push([Balancing.syn("198.51.100.7"), Balancing.syn("198.51.100.8")])["backends"]
    #expect(sent.allSatisfy { $0.problems.isEmpty && $0.bytes[26..<30] == [192, 0, 2, 254] })
    let ports = sent.map { UInt16($0.bytes[34]) << 8 | UInt16($0.bytes[35]) }
    #expect(Set(ports).count == 2 && ports[0] == 40_000)
    for (client, port) in zip(["198.51.100.7", "198.51.100.8"], ports) {
      let answer = Frame.ethernet().ipv4(from: "192.0.2.1", to: "192.0.2.254").tcp(from: 8080, to: port, flags: "SA")
      #expect(
        element.push(answer)["clients"].are([
          Frame.ethernet().ipv4(from: "203.0.113.80", to: client).tcp(from: 80, to: 40_000, flags: "SA")
        ]))
    }
  }

  @Test func aUDPChecksumOfNoneStaysNone() throws {
    let element = try ElementUnderTest(
      LoadBalancer.self,
      settings: """
        services:
          dns: { address: 203.0.113.53, protocol: udp, ports: 53, backends: { a: { address: 192.0.2.1, port: 5353 } } }
        """)
    let query = Frame.ethernet().ipv4(from: "198.51.100.7", to: "203.0.113.53")
      .udp(from: 4000, to: 53, checksum: .value(0)).payload(count: 20)
    #expect(
      element.push(query)["backends"].are([
        Frame.ethernet().ipv4(from: "198.51.100.7", to: "192.0.2.1").udp(from: 4000, to: 5353, checksum: .value(0))
          .payload(count: 20)
      ]))
  }

  @Test func aBackendWithoutAPortIsAskedAtTheClientsPort() throws {
    let element = try ElementUnderTest(
      LoadBalancer.self,
      settings: """
        services:
          all: { address: 203.0.113.80, protocol: any, backends: { a: { address: 192.0.2.1 } } }
        """)
    let ends = Frame.ethernet().ipv4(from: "198.51.100.7", to: "203.0.113.80")
    let onward = Frame.ethernet().ipv4(from: "198.51.100.7", to: "192.0.2.1")
    #expect(
      element.push([ends.tcp(from: 1, to: 443), ends.udp(from: 2, to: 9)])["backends"].are([
        onward.tcp(from: 1, to: 443), onward.udp(from: 2, to: 9),
      ]))
    // Protocols without ports, too, but not pings.
    let esp = Frame.ethernet().ipv4(from: "198.51.100.7", to: "203.0.113.80", protocolNumber: 50).payload(count: 24)
    #expect(Balancing.destination(element.push(esp)["backends"][0]) == "192.0.2.1")
    #expect(element.push(ends.icmp())["local"].are([ends.icmp()]))
  }

  // MARK: DSR

  @Test func dsrLeavesThePacketAlone() throws {
    let element = try ElementUnderTest(LoadBalancer.self, settings: Balancing.web(1, port: nil, "mode: dsr"))
    let sent = element.push(Balancing.syn())["backends"]
    #expect(sent.are([Balancing.syn()]))
    #expect(sent[0].annotation == 0xC000_0201)
    #expect(element.push(Balancing.syn6())["backends"][0].annotation == 1)
  }

  @Test func dsrFinishesTheFrameWhereTheBackendsMACIsKnown() throws {
    let element = try ElementUnderTest(
      LoadBalancer.self,
      settings: """
        services:
          web:
            address: 203.0.113.80
            mode: dsr
            mac: 02:00:00:00:00:fe
            backends: { a: { address: 192.0.2.1, mac: 02:00:00:00:00:aa } }
        """)
    let sent = element.push(Balancing.syn())["backends"]
    #expect(
      sent.are([
        Frame.ethernet(from: "02:00:00:00:00:fe", to: "02:00:00:00:00:aa").ipv4(
          from: "198.51.100.7", to: "203.0.113.80"
        )
        .tcp(from: 40_000, to: 80)
      ]))
    #expect(sent[0].annotation == 0)
  }

  // MARK: Choice

  @Test func connectionsSpreadAndEachStays() throws {
    let element = try ElementUnderTest(LoadBalancer.self, settings: Balancing.web(4), packets: 4096)
    let clients = (0..<1000).map { (client: "198.51.\($0 / 250).\($0 % 250 + 1)", port: UInt16(20_000 + $0)) }
    let first = element.push(clients.map { Balancing.syn($0.client, $0.port) })["backends"].map(Balancing.destination)
    for backend in 1...4 {
      let share = first.count { $0 == "192.0.2.\(backend)" }
      #expect(share > 180 && share < 320, "\(backend): \(share)")
    }
    let again = element.push(clients.map { Balancing.syn($0.client, $0.port, flags: "A") })["backends"]
    #expect(again.map(Balancing.destination) == first)
    #expect(element.counters["web.connections"] == 1000)
  }

  @Test func anotherBalancerChoosesAlike() throws {
    let clients = (0..<200).map { Balancing.syn("198.51.100.\($0 + 1)", UInt16(20_000 + $0)) }
    let first = try ElementUnderTest(LoadBalancer.self, settings: Balancing.web(5))
    let names = (1...5).map { "z\($0): { address: 192.0.2.\(6 - $0), port: 8080 }" }.joined(separator: ", ")
    let second = try ElementUnderTest(
      LoadBalancer.self,
      settings: "services: { other: { address: 203.0.113.80, ports: 80, backends: { \(names) } } }")
    #expect(
      first.push(clients)["backends"].map(Balancing.destination)
        == second.push(clients.reversed())["backends"].map(Balancing.destination).reversed())
  }

  @Test func affinityKeepsAClientWithItsBackendUntilItsTimeIsOver() throws {
    let element = try ElementUnderTest(LoadBalancer.self, settings: Balancing.web(7, "affinity: 10s"))
    let sent = element.push((0..<50).map { Balancing.syn("198.51.100.7", UInt16(30_000 + $0)) })["backends"]
    #expect(Set(sent.map(Balancing.destination)).count == 1)
    #expect(element.counters["web.connections"] == 50)
  }

  // MARK: Limits

  @Test func aFloodOfSYNsEvictsNoConnection() throws {
    let element = try ElementUnderTest(
      LoadBalancer.self, settings: Balancing.web(3) + "\nconnections: 64", packets: 4096)
    let clients = (0..<20).map { (client: "198.51.100.\($0 + 1)", port: UInt16(20_000 + $0)) }
    let before = element.push(clients.map { Balancing.syn($0.client, $0.port) })["backends"].map(Balancing.destination)
    _ = element.push(clients.map { Balancing.syn($0.client, $0.port, flags: "A") })
    let flood = (0..<500).map { Balancing.syn("100.64.\($0 / 250).\($0 % 250 + 1)", UInt16(1000 + $0)) }
    let result = element.push(flood)
    #expect(result["backends"].count == 500 && result.drops.isEmpty)
    // Half the table is for connections that only opened.
    #expect(element.counters["web.connections"] == 20 + 32)
    #expect(element.counters["hashedOnly"] == 500 - 32)
    let after = element.push(clients.map { Balancing.syn($0.client, $0.port, flags: "A") })["backends"]
    #expect(after.map(Balancing.destination) == before)
    // New connections still get in, as soon as they are more than a SYN.
    _ = element.push(Balancing.syn("198.51.100.99", 1, flags: "A"))
    #expect(element.counters["web.connections"] == 53)
  }

  @Test func withAFullTableAnswersStillFindBack() throws {
    let element = try ElementUnderTest(LoadBalancer.self, settings: Balancing.web(3) + "\nconnections: 2")
    let frames = (0..<20).map { Balancing.syn("198.51.100.\($0 + 1)", 20_000, flags: "A") }
    let sent = element.push(frames)["backends"]
    #expect(sent.count == 20 && element.counters["web.connections"] == 2)
    // The hash gives each packet of a connection the same backend.
    #expect(element.push(frames)["backends"].map(Balancing.destination) == sent.map(Balancing.destination))
    for (index, packet) in sent.enumerated() {
      let answer = Frame.ethernet().ipv4(from: Balancing.destination(packet), to: "198.51.100.\(index + 1)")
        .tcp(from: 8080, to: 20_000, flags: "A")
      #expect(
        element.push(answer)["clients"].are([
          Frame.ethernet().ipv4(from: "203.0.113.80", to: "198.51.100.\(index + 1)").tcp(
            from: 80, to: 20_000, flags: "A")
        ]))
    }
  }

  @Test func connectionsEnd() throws {
    let element = try ElementUnderTest(
      LoadBalancer.self,
      settings: Balancing.web(2) + "\ntimeouts: { opening: 5s, established: 60s, closing: 10s }")
    _ = element.push([Balancing.syn("198.51.100.1"), Balancing.syn("198.51.100.2"), Balancing.syn("198.51.100.3")])
    _ = element.push([
      Balancing.syn("198.51.100.2", flags: "A"), Balancing.syn("198.51.100.3", flags: "A"),
      Balancing.syn("198.51.100.3", flags: "FA"),
    ])
    #expect(element.counters["web.connections"] == 3)
    _ = element.advance(by: 6_000_000_000)
    #expect(element.counters["web.connections"] == 2)
    _ = element.advance(by: 6_000_000_000)
    #expect(element.counters["web.connections"] == 1)
    _ = element.advance(by: 60_000_000_000)
    #expect(element.counters["web.connections"] == 0)
    #expect(element.counters["web.opened"] == 3)
  }

  // MARK: What is no service's

  @Test func packetsToNoServiceGoTheirWay() throws {
    let element = try ElementUnderTest(LoadBalancer.self, settings: Balancing.web(2))
    let ssh = Frame.ethernet().ipv4(from: "198.51.100.7", to: "203.0.113.80").tcp(from: 1, to: 22)
    let ping = Frame.ethernet().ipv4(from: "198.51.100.7", to: "203.0.113.80").icmp()
    let through = Frame.ethernet().ipv4(from: "198.51.100.7", to: "198.51.100.9").tcp(from: 1, to: 80)
    let back = Frame.ethernet().ipv4(from: "192.0.2.1", to: "198.51.100.7").tcp(from: 22, to: 1)
    let result = element.push([ssh, ping, through, back])
    #expect(result["local"].are([ssh, ping]))
    #expect(result["other"].are([through, back]))
  }

  @Test func withoutABackendPacketsAreCountedOrRejected() throws {
    let down = "backends: { a: { address: 192.0.2.1, state: down } }"
    let dropping = try ElementUnderTest(
      LoadBalancer.self, settings: "services: { web: { address: 203.0.113.80, \(down) } }")
    #expect(dropping.push(Balancing.syn()).drops == ["noBackend": 1])
    let rejecting = try ElementUnderTest(
      LoadBalancer.self, settings: "services: { web: { address: 203.0.113.80, without_backend: reject, \(down) } }")
    #expect(rejecting.push(Balancing.syn())["unreachable"].are([Balancing.syn()]))
  }

  @Test func aBackendThatBothServicesUseIsNotAskedTwiceFromTheSamePort() throws {
    let element = try ElementUnderTest(
      LoadBalancer.self,
      settings: """
        services:
          one: { address: 203.0.113.80, ports: 80, backends: { a: { address: 192.0.2.1, port: 8080 } } }
          two: { address: 203.0.113.81, ports: 80, backends: { a: { address: 192.0.2.1, port: 8080 } } }
        """)
    #expect(element.push(Balancing.syn())["backends"].count == 1)
    let second = Frame.ethernet().ipv4(from: "198.51.100.7", to: "203.0.113.81").tcp(from: 40_000, to: 80)
    #expect(element.push(second).drops == ["collision": 1])
    let third = Frame.ethernet().ipv4(from: "198.51.100.7", to: "203.0.113.81").tcp(from: 40_001, to: 80)
    #expect(element.push(third)["backends"].count == 1)
  }

  // MARK: ICMP errors

  /// An error from a router about a packet of which it has the first bytes.
  private func error(
    type: UInt8 = 3, code: UInt8 = 4, from router: String = "198.51.100.254", to destination: String, about: Frame
  ) -> Frame {
    Frame.ethernet().ipv4(from: router, to: destination).icmp(type: type, code: code, identifier: 0, sequence: 1400)
      .carrying(about)
  }

  @Test func errorsAboutAnswersReachTheBackendThatGaveThem() throws {
    let element = try ElementUnderTest(LoadBalancer.self, settings: Balancing.web(5))
    for port in UInt16(40_000)..<40_010 {
      let backend = Balancing.destination(element.push(Balancing.syn("198.51.100.7", port))["backends"][0])
      let seen = Frame.ethernet().ipv4(from: "203.0.113.80", to: "198.51.100.7").tcp(from: 80, to: port, flags: "A")
        .payload(count: 40)
      let sent = Frame.ethernet().ipv4(from: backend, to: "198.51.100.7").tcp(from: 8080, to: port, flags: "A")
        .payload(count: 40)
      #expect(
        element.push(error(to: "203.0.113.80", about: seen))["backends"].are([error(to: backend, about: sent)]))
    }
  }

  @Test func errorsOfBackendsReachTheClientFromTheVirtualAddress() throws {
    let element = try ElementUnderTest(LoadBalancer.self, settings: Balancing.web(1))
    _ = element.push(Balancing.syn())
    let sent = Frame.ethernet().ipv4(from: "198.51.100.7", to: "192.0.2.1").tcp(from: 40_000, to: 8080)
    let own = error(type: 3, code: 3, from: "192.0.2.1", to: "198.51.100.7", about: sent)
    let routers = error(type: 11, code: 0, from: "192.0.2.200", to: "198.51.100.7", about: sent)
    #expect(
      element.push([own, routers])["clients"].are([
        error(type: 3, code: 3, from: "203.0.113.80", to: "198.51.100.7", about: Balancing.syn()),
        error(type: 11, code: 0, from: "192.0.2.200", to: "198.51.100.7", about: Balancing.syn()),
      ]))
  }

  @Test func errorsAboutUnknownConnectionsGoByTheHash() throws {
    let known = try ElementUnderTest(LoadBalancer.self, settings: Balancing.web(5, port: nil, "mode: dsr"))
    let fresh = try ElementUnderTest(LoadBalancer.self, settings: Balancing.web(5, port: nil, "mode: dsr"))
    for port in UInt16(40_000)..<40_020 {
      let hop = known.push(Balancing.syn("198.51.100.7", port))["backends"][0].annotation
      let seen = Frame.ethernet().ipv4(from: "203.0.113.80", to: "198.51.100.7").tcp(from: 80, to: port, flags: "A")
      let message = error(to: "203.0.113.80", about: seen)
      #expect(fresh.push(message)["backends"].first?.annotation == hop)
      #expect(known.push(message)["backends"].first?.annotation == hop)
    }
    #expect(fresh.counters["web.connections"] == 0)
  }

  @Test func aPacketTooBigAboutAnIPv6AnswerReachesTheBackend() throws {
    let element = try ElementUnderTest(LoadBalancer.self, settings: Balancing.web(1))
    _ = element.push(Balancing.syn6())
    func tooBig(_ destination: String, _ about: Frame) -> Frame {
      Frame.ethernet().ipv6(from: "2001:db8:ff::1", to: destination).icmpv6(type: 2, identifier: 0, sequence: 1280)
        .carrying(about)
    }
    let seen = Frame.ethernet().ipv6(from: "2001:db8:80::1", to: "2001:db8:c::7").tcp(from: 80, to: 40_000)
      .payload(count: 30)
    let sent = Frame.ethernet().ipv6(from: "2001:db8:b::1", to: "2001:db8:c::7").tcp(from: 8080, to: 40_000)
      .payload(count: 30)
    #expect(
      element.push(tooBig("2001:db8:80::1", seen))["backends"].are([tooBig("2001:db8:b::1", sent)]))
  }

  // MARK: Fragments

  /// Fragments of a packet to a service, and what they are on their way to the backend.
  private static func pieces(_ id: UInt16) -> (sent: [Frame], translated: (String) -> [Frame]) {
    func whole(_ destination: String, _ port: UInt16) -> Frame {
      Frame.ethernet().ipv4(from: "198.51.100.7", to: destination).udp(from: 4000 + id, to: port).payload(count: 100)
    }
    return (
      whole("203.0.113.53", 53).fragments(of: 48, identification: id),
      { whole($0, 5353).fragments(of: 48, identification: id) }
    )
  }

  private static let dns = """
    services:
      dns:
        address: 203.0.113.53
        protocol: udp
        ports: 53
        backends:
          a: { address: 192.0.2.1, port: 5353 }
          b: { address: 192.0.2.2, port: 5353 }
          c: { address: 192.0.2.3, port: 5353 }
    """

  @Test func fragmentsFollowTheirFirst() throws {
    let element = try ElementUnderTest(LoadBalancer.self, settings: Self.dns)
    var backends: Set<String> = []
    for id in UInt16(1)...20 {
      let (sent, translated) = Self.pieces(id)
      let result = element.push(sent)["backends"]
      let backend = Balancing.destination(result[0])
      backends.insert(backend)
      #expect(result.are(translated(backend)))
    }
    #expect(backends.count == 3)
  }

  @Test func fragmentsThatComeBeforeTheirFirstWaitForIt() throws {
    let element = try ElementUnderTest(LoadBalancer.self, settings: Self.dns)
    let (sent, translated) = Self.pieces(9)
    let early = element.push([sent[2], sent[1]])
    #expect(early.sent.isEmpty && early.held == 2)
    let result = element.push(sent[0])
    let expected = translated(Balancing.destination(result["backends"][0]))
    #expect(Set(result["backends"].map(\.bytes)) == Set(expected.map(\.bytes)) && result.held == 0)
    // Without a first they go in the end.
    #expect(element.push(Self.pieces(10).sent[1]).held == 1)
    #expect(element.advance(by: 5_000_000_000).drops == ["firstFragmentLost": 1])
  }

  @Test func fragmentsGoThroughTheTunnelOfTheirFirst() throws {
    let element = try ElementUnderTest(
      LoadBalancer.self,
      settings: """
        services:
          dns:
            address: 203.0.113.53
            protocol: udp
            ports: 53
            mode: ipip
            tunnel: { source: 192.0.2.254 }
            backends: { a: { address: 192.0.2.1 }, b: { address: 192.0.2.2 } }
        """)
    for id in UInt16(1)...8 {
      let sent = Self.pieces(id).sent
      let result = element.push(sent)["backends"]
      #expect(result.count == sent.count && Set(result.map(Balancing.destination)).count == 1)
      #expect(result.map { Array($0.bytes[34...]) } == sent.map { Array($0.bytes[14...]) })
    }
  }

  @Test func fragmentsOfOthersPassAtOnce() throws {
    let element = try ElementUnderTest(LoadBalancer.self, settings: Self.dns)
    let other = Frame.ethernet().ipv4(from: "198.51.100.7", to: "198.51.100.8").udp().payload(count: 100)
      .fragments(of: 48)
    #expect(element.push([other[1], other[2]])["other"].are([other[1], other[2]]))
  }
}
