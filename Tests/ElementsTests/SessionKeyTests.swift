import Dataplane
import Tables
import TestKit
import Testing
import Wire

@testable import Elements

@Suite struct SessionKeyTests {
  private func read(_ frame: Frame, zone: UInt16 = 0) throws -> String {
    try withTestPool { pool in
      let packet = pool.packet(frame)
      let four = describe(IPv4FlowKey.read(packet, zone: zone))
      let six = describe(IPv6FlowKey.read(packet, zone: zone))
      pool.free(packet)
      #expect(four == "other version" || six == "other version")
      return four == "other version" ? six : four
    }
  }

  private func describe<Key: SessionKey & CustomStringConvertible>(_ packet: SessionPacket<Key>) -> String {
    switch packet {
    case .session(let key): key.description
    case .icmpError: "error"
    case .laterFragment: "later fragment"
    case .otherICMP: "other icmp"
    case .malformed: "malformed"
    case .otherVersion: "other version"
    }
  }

  @Test func readsPortsOfEveryProtocolThatHasThem() throws {
    let ports: [UInt8] = [0x0F, 0xA0, 0x00, 0x35]
    for (number, name) in [(6, "tcp"), (17, "udp"), (33, "dccp"), (132, "sctp"), (136, "udplite")] as [(UInt8, String)]
    {
      let rest: [UInt8] = [0, 0, 0, 0, 0, 0, 0, 0, 0x50, 0x02] + Array(repeating: 0, count: 10)
      #expect(
        try read(.ethernet().ipv4(protocolNumber: number).payload(ports + rest))
          == "\(name) 10.0.0.1:4000 > 10.0.0.2:53")
      #expect(
        try read(.ethernet().ipv6(nextHeader: number).payload(ports + rest), zone: 3)
          == "\(name) [2001:db8::1]:4000 > [2001:db8::2]:53 zone 3")
    }
  }

  @Test func queriesHaveTheirIdentifierForBothPorts() throws {
    for type: UInt8 in [0, 8, 13, 14, 15, 16, 17, 18, 42, 43] {
      #expect(try read(.ethernet().ipv4().icmp(type: type, identifier: 7)) == "icmp 10.0.0.1:7 > 10.0.0.2:7")
    }
    for type: UInt8 in [128, 129, 160, 161] {
      #expect(
        try read(.ethernet().ipv6().icmpv6(type: type, identifier: 7))
          == "icmpv6 [2001:db8::1]:7 > [2001:db8::2]:7")
    }
  }

  @Test func tellsOtherICMPFromErrors() throws {
    for type: UInt8 in [3, 4, 5, 11, 12] { #expect(try read(.ethernet().ipv4().icmp(type: type)) == "error") }
    for type: UInt8 in [9, 10, 30, 255] { #expect(try read(.ethernet().ipv4().icmp(type: type)) == "other icmp") }
    for type: UInt8 in [1, 2, 3, 4] { #expect(try read(.ethernet().ipv6().icmpv6(type: type)) == "error") }
    for type: UInt8 in [0, 100, 130, 135, 136, 137] {
      #expect(try read(.ethernet().ipv6().icmpv6(type: type)) == "other icmp")
    }
  }

  @Test func otherProtocolsHavePortsZero() throws {
    #expect(try read(.ethernet().ipv4(protocolNumber: 47).payload([])) == "gre 10.0.0.1:0 > 10.0.0.2:0")
    // The other version's ICMP is none.
    #expect(try read(.ethernet().ipv4(protocolNumber: 58).payload(count: 8)) == "icmpv6 10.0.0.1:0 > 10.0.0.2:0")
  }

  @Test(arguments: [false, true]) func onlyFirstFragmentsHaveAKey(isIPv6: Bool) throws {
    let network = isIPv6 ? Frame.ethernet().ipv6() : Frame.ethernet().ipv4()
    let found = try network.udp(from: 1, to: 2).payload(count: 60).fragments(of: 24).map { try read($0) }
    #expect(found.first == (isIPv6 ? "udp [2001:db8::1]:1 > [2001:db8::2]:2" : "udp 10.0.0.1:1 > 10.0.0.2:2"))
    #expect(Set(found.dropFirst()) == ["later fragment"])
  }

  /// A first fragment too small for its transport header is no session's (RFC 1858, 3).
  @Test func rfc1858_3_tinyFragmentsAreMalformed() throws {
    #expect(
      try read(.ethernet().ipv4(moreFragments: true, protocolNumber: 6).payload(count: 16)) == "malformed")
    #expect(try read(.ethernet().ipv4(protocolNumber: 17).payload(count: 7)) == "malformed")
    #expect(try read(.ethernet().ipv4(protocolNumber: 1).payload(count: 7)) == "malformed")
    #expect(try read(.ethernet().ipv6(nextHeader: 58).payload(count: 7)) == "malformed")
  }

  @Test func embeddedPacketsNameTheirSession() throws {
    try withTestPool { pool in
      let inside = Frame.ethernet().ipv4(from: "10.0.0.5", to: "10.0.0.6").tcp(from: 7, to: 8)
      let packet = pool.packet(
        .ethernet().ipv4().icmp(type: 3, code: 1).payload(Array(inside.bytes.dropFirst(14).prefix(28))))
      let found = packet.embedded
      let embedded = try #require(found)
      #expect(IPv4FlowKey(embedded: embedded)?.description == "tcp 10.0.0.5:7 > 10.0.0.6:8")
      #expect(IPv6FlowKey(embedded: embedded) == nil)
      pool.free(packet)
      let error = pool.packet(.ethernet().ipv6().icmpv6(type: 1).carrying(.ethernet().ipv6().icmpv6(type: 1)))
      let errorInside = error.embedded
      #expect(errorInside?.isIPv6 == true && errorInside.flatMap { IPv6FlowKey(embedded: $0) } == nil)
      pool.free(error)
      let other = pool.packet(.ethernet().ipv6().icmpv6(type: 1).carrying(.ethernet().ipv6().icmpv6(type: 135)))
      let otherInside = other.embedded
      #expect(otherInside?.isIPv6 == true && otherInside.flatMap { IPv6FlowKey(embedded: $0) } == nil)
      pool.free(other)
    }
  }
}
