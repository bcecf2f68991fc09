import Elements
import TestKit
import Testing

/// Encapsulation as `LoadBalancer`, `IPIPEncap` and `GREEncap` share it, and the other end.
@Suite struct TunnelTests {
  private static let inner4 = Frame.ethernet().ipv4(from: "10.0.0.1", to: "10.0.0.2", ttl: 17, dscp: 10, ecn: 2)
    .udp().payload(count: 50)
  private static let inner6 = Frame.ethernet().ipv6(
    from: "2001:db8::1", to: "2001:db8::2", hopLimit: 17, trafficClass: 42
  )
  .udp().payload(count: 50)

  private func encapsulate(_ kind: String, _ version: Int, _ frame: Frame, _ more: String = "") throws -> StepResult {
    let ends =
      version == 4
      ? "source: 192.0.2.1, destination: 198.51.100.1" : "source: \"2001:db8:1::1\", destination: \"2001:db8:2::1\""
    let text = "{ \(ends)\(more.isEmpty ? "" : ", ")\(more) }"
    return kind == "gre"
      ? try ElementUnderTest(GREEncap.self, settings: text).push(frame)
      : try ElementUnderTest(IPIPEncap.self, settings: text).push(frame)
  }

  private func decapsulate(_ kind: String, _ frame: Frame) throws -> StepResult {
    let text = "{ addresses: [198.51.100.1, \"2001:db8:2::1\"], sources: [192.0.2.0/24, \"2001:db8:1::/64\"] }"
    return kind == "gre"
      ? try ElementUnderTest(GREDecap.self, settings: text).push(frame)
      : try ElementUnderTest(IPIPDecap.self, settings: text).push(frame)
  }

  private func outer4(dscp: UInt8 = 0, ecn: UInt8 = 0, number: UInt8 = 4, _ inside: Frame, from: String = "192.0.2.1")
    -> Frame
  {
    Frame.ethernet().ipv4(from: from, to: "198.51.100.1", dscp: dscp, ecn: ecn, protocolNumber: number)
      .carrying(inside)
  }

  private func outer6(trafficClass: UInt8 = 0, number: UInt8 = 41, _ inside: Frame) -> Frame {
    Frame.ethernet().ipv6(from: "2001:db8:1::1", to: "2001:db8:2::1", trafficClass: trafficClass, nextHeader: number)
      .carrying(inside)
  }

  private func gre(_ head: [UInt8], _ inside: Frame, from: String = "192.0.2.1") -> Frame {
    Frame.ethernet().ipv4(from: from, to: "198.51.100.1", protocolNumber: 47)
      .payload(head + Array(inside.bytes.dropFirst(14)))
  }

  /// The inner header, its time-to-live included, stays as it is but for what forwarding did to it before.
  @Test func rfc2003_3_1_innerHeaderIsNotChanged() throws {
    let sent = try encapsulate("ipip", 4, Self.inner4)["tunnel"][0]
    #expect(Array(sent.bytes[34...]) == Array(Self.inner4.bytes[14...]))
    #expect(sent.problems.isEmpty)
    #expect(sent.bytes[23] == 4 && sent.bytes[22] == 64)
    #expect(sent.description.hasPrefix("020000000001 > 020000000002, ipv4 192.0.2.1 > 198.51.100.1"))
  }

  /// The outer header forbids fragmenting where the inner one does.
  @Test(arguments: [true, false]) func rfc2003_3_1_dontFragmentIsCopied(dontFragment: Bool) throws {
    let frame = Frame.ethernet().ipv4(dontFragment: dontFragment).udp().payload(count: 20)
    let sent = try encapsulate("ipip", 4, frame)["tunnel"][0]
    #expect(sent.bytes[20] & 0x40 == (dontFragment ? 0x40 : 0))
  }

  /// A packet that must not be fragmented and does not fit is answered with the MTU of the tunnel.
  @Test func rfc2003_5_1_tooLongIsReportedWithTheTunnelsMTU() throws {
    let long = Frame.ethernet().ipv4(dontFragment: true).udp().payload(count: 1453)
    let result = try encapsulate("ipip", 4, long, "mtu: 1500")
    #expect(result["tooBig"].are([long]) && result["tooBig"][0].annotation == 1480)
    let fits = Frame.ethernet().ipv4(dontFragment: true).udp().payload(count: 1452)
    #expect(try encapsulate("ipip", 4, fits, "mtu: 1500")["tunnel"].count == 1)
    // Where fragmenting is allowed, routers may fragment the outer packet.
    let soft = Frame.ethernet().ipv4().udp().payload(count: 1453)
    let sent = try encapsulate("ipip", 4, soft, "mtu: 1500")["tunnel"][0]
    #expect(sent.bytes[20] & 0x40 == 0 && sent.bytes.count == 14 + 1501)
  }

  /// IPv4 and IPv6 in IPv6: the header names what is inside, the payload length covers all of it.
  @Test func rfc2473_5_packetsOfBothVersionsInIPv6() throws {
    for (frame, number) in [(Self.inner4, UInt8(4)), (Self.inner6, 41)] {
      let sent = try encapsulate("ipip", 6, frame)["tunnel"][0]
      #expect(sent.problems.isEmpty)
      #expect(sent.bytes[20] == number && sent.bytes[21] == 64)
      #expect(Int(sent.bytes[18]) << 8 | Int(sent.bytes[19]) == frame.length - 14)
      #expect(Array(sent.bytes[54...]) == Array(frame.bytes[14...]))
    }
  }

  /// A longer IPv6 packet than the tunnel takes is answered with Packet Too Big if it is longer than 1,280 bytes.
  @Test func rfc2473_7_1_tooLongIPv6IsReported() throws {
    let long = Frame.ethernet().ipv6().udp().payload(count: 1413)
    let result = try encapsulate("ipip", 6, long, "mtu: 1500")
    #expect(result["tooBig"].are([long]) && result["tooBig"][0].annotation == 1460)
    let soft = Frame.ethernet().ipv4().udp().payload(count: 1453)
    #expect(try encapsulate("ipip", 6, soft, "mtu: 1500").drops == ["tooLong": 1])
    let least = Frame.ethernet().ipv6().udp().payload(count: 1280 - 48)
    #expect(try encapsulate("ipip", 4, least, "mtu: 1280")["tunnel"].count == 1)
  }

  /// IPv6 in IPv4 over a tunnel of fixed MTU: DF is not set, so that the packet arrives whatever the path.
  @Test func rfc4213_3_2_1_dontFragmentIsNotSetForIPv6Inside() throws {
    let sent = try encapsulate("ipip", 4, Self.inner6)["tunnel"][0]
    #expect(sent.bytes[20] & 0x40 == 0 && sent.bytes[23] == 41)
  }

  /// The GRE header is four bytes: no flags, version 0 and the EtherType of what is inside.
  @Test func rfc2784_2_headerOfFourBytes() throws {
    for (frame, type) in [(Self.inner4, [UInt8(0x08), 0]), (Self.inner6, [0x86, 0xDD])] {
      let sent = try encapsulate("gre", 4, frame)["tunnel"][0]
      #expect(sent.bytes[23] == 47 && Array(sent.bytes[34..<38]) == [0, 0] + type)
      #expect(Array(sent.bytes[38...]) == Array(frame.bytes[14...]))
      #expect(sent.problems.isEmpty)
    }
    let sent = try encapsulate("gre", 6, Self.inner4)["tunnel"][0]
    #expect(sent.bytes[20] == 47 && Array(sent.bytes[54..<58]) == [0, 0, 8, 0])
  }

  /// A receiver discards packets with any of bits 1 to 5 set, and of a version other than 0; bits 6 to 12 it ignores.
  @Test func rfc2784_2_3_reservedBits() throws {
    for bit in 1...5 {
      let head: [UInt8] = [0x80 >> UInt8(bit), 0, 8, 0]
      #expect(try decapsulate("gre", gre(head, Self.inner4)).drops == ["unsupportedGRE": 1])
    }
    #expect(try decapsulate("gre", gre([0, 1, 8, 0], Self.inner4)).drops == ["unsupportedGRE": 1])
    #expect(try decapsulate("gre", gre([3, 0xF8, 8, 0], Self.inner4))["inner"].are([Self.inner4]))
  }

  /// A checksum that is present is verified over header and payload.
  @Test func rfc2784_2_2_checksum() throws {
    let body = Array(Self.inner4.bytes.dropFirst(14))
    func sum(_ bytes: [UInt8]) -> UInt16 {
      var total = 0
      for (index, byte) in bytes.enumerated() { total += index % 2 == 0 ? Int(byte) << 8 : Int(byte) }
      while total > 0xFFFF { total = total & 0xFFFF + total >> 16 }
      return ~UInt16(total)
    }
    let right = sum([0x80, 0, 8, 0, 0, 0, 0, 0] + body)
    let head: [UInt8] = [0x80, 0, 8, 0, UInt8(right >> 8), UInt8(right & 0xFF), 0, 0]
    #expect(try decapsulate("gre", gre(head, Self.inner4))["inner"].are([Self.inner4]))
    var wrong = head
    wrong[5] ^= 1
    #expect(try decapsulate("gre", gre(wrong, Self.inner4)).drops == ["wrongChecksum": 1])
  }

  /// The outer ECN field is the inner one's (normal mode).
  @Test(arguments: 0..<4) func rfc6040_4_1_encapsulation(ecn: Int) throws {
    let frame = Frame.ethernet().ipv4(dscp: 10, ecn: UInt8(ecn)).udp().payload(count: 20)
    #expect(try encapsulate("ipip", 4, frame)["tunnel"][0].bytes[15] & 3 == UInt8(ecn))
    #expect(try encapsulate("gre", 6, frame, "dscp: ef")["tunnel"][0].bytes[15] >> 4 & 3 == UInt8(ecn))
  }

  /// Decapsulation, figure 4: rows are the inner field, columns the outer one.
  @Test func rfc6040_4_2_decapsulation() throws {
    let notECT: UInt8 = 0, ect1: UInt8 = 1, ect0: UInt8 = 2, ce: UInt8 = 3, drop: UInt8 = 4
    let table: [UInt8: [UInt8: UInt8]] = [
      notECT: [notECT: notECT, ect0: notECT, ect1: notECT, ce: drop],
      ect0: [notECT: ect0, ect0: ect0, ect1: ect1, ce: ce],
      ect1: [notECT: ect1, ect0: ect1, ect1: ect1, ce: ce],
      ce: [notECT: ce, ect0: ce, ect1: ce, ce: ce],
    ]
    for (inner, row) in table {
      for (outer, expected) in row {
        let inside4 = Frame.ethernet().ipv4(dscp: 5, ecn: inner).udp().payload(count: 20)
        let inside6 = Frame.ethernet().ipv6(trafficClass: 5 << 2 | inner).udp().payload(count: 20)
        let results = [
          try decapsulate("ipip", outer4(dscp: 9, ecn: outer, inside4)),
          try decapsulate("ipip", outer6(trafficClass: 9 << 2 | outer, inside6)),
        ]
        let cases = [
          Frame.ethernet().ipv4(dscp: 5, ecn: expected & 3).udp().payload(count: 20),
          Frame.ethernet().ipv6(trafficClass: 5 << 2 | expected & 3).udp().payload(count: 20),
        ]
        for (result, frame) in zip(results, cases) {
          if expected == drop {
            #expect(result.drops == ["congested": 1], "\(inner) in \(outer)")
          } else {
            #expect(result["inner"].are([frame]), "\(inner) in \(outer)")
          }
        }
      }
    }
  }

  /// The outer code point is the inner one's, or one that is configured; the inner one is kept.
  @Test func rfc2983_uniformAndPipe() throws {
    #expect(try encapsulate("ipip", 4, Self.inner4)["tunnel"][0].bytes[15] >> 2 == 10)
    let pipe = try encapsulate("ipip", 4, Self.inner4, "dscp: ef")["tunnel"][0]
    #expect(pipe.bytes[15] >> 2 == 46 && pipe.bytes[35] >> 2 == 10)
  }

  /// A flow's packets have one flow label, and flows have different ones.
  @Test func rfc6438_3_flowLabel() throws {
    func label(_ port: UInt16) throws -> Int {
      let frame = Frame.ethernet().ipv4().udp(from: port, to: 53).payload(count: 10)
      let bytes = try encapsulate("ipip", 6, frame)["tunnel"][0].bytes
      return Int(bytes[15] & 15) << 16 | Int(bytes[16]) << 8 | Int(bytes[17])
    }
    let labels = try (UInt16(1000)..<1040).map { try label($0) }
    #expect(Set(labels).count > 35)
    #expect(try label(1000) == labels[0])
  }

  @Test func endsTakeOnlyWhatIsTheirs() throws {
    #expect(try decapsulate("ipip", outer4(Self.inner4))["inner"].are([Self.inner4]))
    #expect(try decapsulate("ipip", outer4(number: 41, Self.inner6))["inner"].are([Self.inner6]))
    #expect(try decapsulate("ipip", outer6(number: 4, Self.inner4))["inner"].are([Self.inner4]))
    #expect(try decapsulate("ipip", outer4(Self.inner4, from: "203.0.113.1")).drops == ["wrongSource": 1])
    #expect(try decapsulate("gre", outer4(Self.inner4))["other"].are([outer4(Self.inner4)]))
    let elsewhere = Frame.ethernet().ipv4(from: "192.0.2.1", to: "198.51.100.2", protocolNumber: 4).carrying(
      Self.inner4)
    #expect(try decapsulate("ipip", elsewhere)["other"].are([elsewhere]))
    // What is inside is not what the header says.
    #expect(try decapsulate("ipip", outer4(number: 41, Self.inner4)).drops == ["malformed": 1])
    let piece = outer4(Self.inner4).fragments(of: 40)[0]
    #expect(try decapsulate("ipip", piece).drops == ["fragment": 1])
  }

  /// Padding behind the outer packet is not taken for contents.
  @Test func paddingGoesAway() throws {
    let small = Frame.ethernet().ipv4().udp()
    let sent = try decapsulate("ipip", outer4(small).padded(to: 80))["inner"]
    #expect(sent.are([small]))
  }

  /// Linux puts a tunnel encapsulation limit in front of what is inside (RFC 2473, 4.1.1).
  @Test func rfc2473_4_1_1_anEncapsulationLimitIsPassedOver() throws {
    let frame = Frame.ethernet().ipv6(from: "2001:db8:1::1", to: "2001:db8:2::1")
      .ipv6Extension(60, content: [4, 1, 4, 1, 0, 0], nextHeader: 4).carrying(Self.inner4)
    #expect(try decapsulate("ipip", frame)["inner"].are([Self.inner4]))
  }

  @Test func whatGoesInComesOut() throws {
    for kind in ["ipip", "gre"] {
      for version in [4, 6] {
        for frame in [Self.inner4, Self.inner6, Frame.ethernet().vlan(7).ipv4().tcp().payload(count: 3)] {
          let sent = try encapsulate(kind, version, frame)["tunnel"][0]
          #expect(try decapsulate(kind, Frame(sent.bytes))["inner"].are([frame]), "\(kind) \(version)")
        }
      }
    }
  }
}
