import Configuration
import Dataplane
import Elements
import TestKit
import Testing

@Suite struct NPTv6Tests {
  static let settings = "{ inside: fd01:203:405::/48, outside: 2001:db8:1::/48 }"
  static let host = "fd01:203:405:1::1234"
  static let hostOutside = "2001:db8:1:d550::1234"
  static let server = "2001:db8:ffff::1"

  private func npt() throws -> ElementUnderTest { try ElementUnderTest(NPTv6.self, settings: Self.settings) }

  /// From the inside the source is translated, from the outside the destination, and no transport checksum changes.
  @Test func rfc6296_3_2_bothDirections() throws {
    let npt = try npt()
    let out = npt.push(
      [
        Frame.ethernet().vlan(5).ipv6(from: Self.host, to: Self.server).tcp().payload("hello"),
        Frame.ethernet().ipv6(from: Self.host, to: Self.server).udp().payload("hello"),
        Frame.ethernet().ipv6(from: Self.host, to: Self.server).icmpv6().payload("hello"),
        Frame.ethernet().ipv6(from: Self.host, to: Self.server).ipv6Extension(60).udp(),
      ], input: "inside")
    #expect(
      out["outside"].map(\.bytes) == [
        Frame.ethernet().vlan(5).ipv6(from: Self.hostOutside, to: Self.server).tcp().payload("hello").bytes,
        Frame.ethernet().ipv6(from: Self.hostOutside, to: Self.server).udp().payload("hello").bytes,
        Frame.ethernet().ipv6(from: Self.hostOutside, to: Self.server).icmpv6().payload("hello").bytes,
        Frame.ethernet().ipv6(from: Self.hostOutside, to: Self.server).ipv6Extension(60).udp().bytes,
      ])
    let back = npt.push(Frame.ethernet().ipv6(from: Self.server, to: Self.hostOutside).udp(), input: "outside")
    #expect(back["inside"].map(\.bytes) == [Frame.ethernet().ipv6(from: Self.server, to: Self.host).udp().bytes])
  }

  @Test func fragmentsNeedNoState() throws {
    let whole = Frame.ethernet().ipv6(from: Self.host, to: Self.server).udp().payload(count: 600)
    let expected = Frame.ethernet().ipv6(from: Self.hostOutside, to: Self.server).udp().payload(count: 600)
    let result = try npt().push(whole.fragments(of: 256).reversed(), input: "inside")
    #expect(result["outside"].map(\.bytes) == expected.fragments(of: 256).reversed().map(\.bytes))
  }

  /// What has no mapping goes no further and can be answered with Destination Unreachable.
  @Test func rfc6296_3_2_unmapped() throws {
    let npt = try npt()
    let out = [
      Frame.ethernet().ipv6(from: "fd01:203:405:ffff::1", to: Self.server).udp(),
      Frame.ethernet().ipv6(from: "fd01:203:406:1::1", to: Self.server).udp(),
      Frame.ethernet().ipv6(from: Self.host, to: "2001:db8:1:ffff::1").udp(),
    ]
    #expect(npt.push(out, input: "inside")["unmapped"].map(\.bytes) == out.map(\.bytes))
    let back = [
      Frame.ethernet().ipv6(from: Self.server, to: "2001:db8:1:ffff::1").udp(),
      Frame.ethernet().ipv6(from: Self.server, to: "2001:db8:2::1").udp(),
    ]
    #expect(npt.push(back, input: "outside")["unmapped"].map(\.bytes) == back.map(\.bytes))
  }

  /// A packet with a zero interface identifier is not translated behind a prefix of over 48 bits, and can be answered
  /// with Parameter Problem.
  @Test func rfc6296_3_7_zeroIdentifierIsAnswered() throws {
    let npt = try ElementUnderTest(
      NPTv6.self, settings: "{ inside: fd01:203:405:600::/56, outside: 2001:db8:1:200::/56 }")
    let source = npt.push(Frame.ethernet().ipv6(from: "fd01:203:405:612::", to: Self.server).udp(), input: "inside")
    #expect(source["badHeader"].map(\.annotation) == [8])
    let destination = npt.push(
      Frame.ethernet().ipv6(from: Self.server, to: "2001:db8:1:212::").udp(), input: "outside")
    #expect(destination["badHeader"].map(\.annotation) == [24])
  }

  /// A packet from the inside to an outside address of the inside is translated out and in again.
  @Test func rfc6296_4_3_hairpinning() throws {
    let result = try npt().push(
      Frame.ethernet().ipv6(from: Self.host, to: "2001:db8:1:d551::5").tcp(), input: "inside")
    #expect(
      result["inside"].map(\.bytes) == [
        Frame.ethernet().ipv6(from: Self.hostOutside, to: "fd01:203:405:2::5").tcp().bytes
      ])
  }

  /// The packet within an ICMPv6 error is translated the other way round.
  @Test func rfc6296_4_icmpErrors() throws {
    let npt = try npt()
    let sent = Frame.ethernet().ipv6(from: Self.hostOutside, to: Self.server).udp().payload(count: 100)
    let back = npt.push(
      Frame.ethernet().ipv6(from: "2001:db8:9::1", to: Self.hostOutside).icmpv6(type: 3).carrying(sent),
      input: "outside")
    let original = Frame.ethernet().ipv6(from: Self.host, to: Self.server).udp().payload(count: 100)
    #expect(
      back["inside"].map(\.bytes) == [
        Frame.ethernet().ipv6(from: "2001:db8:9::1", to: Self.host).icmpv6(type: 3).carrying(original).bytes
      ])
    #expect(back["inside"].map(\.problems) == [[]])
    let received = Frame.ethernet().ipv6(from: Self.server, to: Self.host).udp().payload(count: 100)
    let out = npt.push(
      Frame.ethernet().ipv6(from: "fd01:203:405:9::1", to: Self.server).icmpv6(type: 1, code: 4).carrying(received),
      input: "inside")
    let asOutside = Frame.ethernet().ipv6(from: Self.server, to: Self.hostOutside).udp().payload(count: 100)
    #expect(
      out["outside"].map(\.bytes) == [
        Frame.ethernet().ipv6(from: "2001:db8:1:d558::1", to: Self.server).icmpv6(type: 1, code: 4).carrying(asOutside)
          .bytes
      ])
  }

  /// The error about a hairpinned packet shows the sender what it sent.
  @Test func rfc6296_4_3_errorsAboutHairpinnedPackets() throws {
    let npt = try npt()
    let delivered = Frame.ethernet().ipv6(from: Self.hostOutside, to: "fd01:203:405:2::5").udp()
    let result = npt.push(
      Frame.ethernet().ipv6(from: "fd01:203:405:2::5", to: Self.hostOutside).icmpv6(type: 1, code: 4)
        .carrying(delivered), input: "inside")
    let sent = Frame.ethernet().ipv6(from: Self.host, to: "2001:db8:1:d551::5").udp()
    #expect(
      result["inside"].map(\.bytes) == [
        Frame.ethernet().ipv6(from: "2001:db8:1:d551::5", to: Self.host).icmpv6(type: 1, code: 4).carrying(sent).bytes
      ])
  }

  @Test func embeddedPacketsThatAreCutShortStay() throws {
    let sent = Frame.ethernet().ipv6(from: Self.hostOutside, to: Self.server).udp()
    let piece = Array(sent.bytes[14..<53])
    let result = try npt().push(
      Frame.ethernet().ipv6(from: Self.server, to: Self.hostOutside).icmpv6(type: 3).payload(piece), input: "outside")
    #expect(
      result["inside"].map(\.bytes) == [
        Frame.ethernet().ipv6(from: Self.server, to: Self.host).icmpv6(type: 3).payload(piece).bytes
      ])
  }

  @Test func dropsOtherProtocols() throws {
    let npt = try npt()
    #expect(npt.push(Frame.ethernet().ipv4().udp(), input: "inside").drops == ["notIPv6": 1])
    #expect(npt.push(Frame.ethernet().arp(), input: "outside").drops == ["malformed": 1])
  }

  private func mistakes(_ settings: String) -> [String] {
    do {
      _ = try ElementUnderTest(NPTv6.self, settings: settings)
      return []
    } catch let error as ConfigurationError {
      return error.diagnostics.map { "\($0.range?.start.column ?? 0) \($0.message)" }
    } catch { return ["\(error)"] }
  }

  @Test func mistakesHaveTheirPlace() {
    #expect(
      mistakes("{ inside: \"fd00:0:0:0:8000::/65\", outside: \"2001:db8::/48\" }")
        == ["11 fd00::8000:0:0:0/65 is longer than 64 bits"])
    #expect(mistakes("{ inside: \"fd00::/48\", outside: \"::/0\" }").first == "33 ::/0 is every address")
    #expect(
      mistakes("{ inside: \"2001:db8:1::/48\", outside: \"2001:db8::/32\" }")
        == ["39 2001:db8::/32 overlaps with 2001:db8:1::/48"])
    #expect(
      mistakes("{ inside: \"fe80::/64\", outside: \"2001:db8::/48\" }") == ["11 fe80::/64 is link-local"])
    #expect(
      mistakes("{ inside: \"fd00::/48\", outside: \"ff02::/48\" }") == ["33 ff02::/48 is multicast"])
    #expect(mistakes("{ inside: \"fd00::/48\", outside: \"2001:db8:1:100::/56\" }") == [])
  }

  @Test func survivesAnything() throws {
    try expectRobust(ElementKind(NPTv6.self), settings: Self.settings)
    try expectRobust(
      ElementKind(NPTv6.self), settings: "{ inside: 2001:db8::/56, outside: 2001:db8:1:200::/56 }", seed: 2)
  }
}
