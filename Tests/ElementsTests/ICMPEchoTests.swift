import Dataplane
import Elements
import TestKit
import Testing

@Suite struct ICMPEchoTests {
  @Test(arguments: ["", "addresses: [10.0.0.2]"]) func answersIPv4(settings: String) throws {
    let echo = try ElementUnderTest(ICMPEcho.self, settings: settings)
    let request = Frame.ethernet(from: "02:00:00:00:00:0a", to: "02:00:00:00:00:0b").vlan(9)
      .ipv4(from: "10.0.0.1", to: "10.0.0.2", ttl: 3, identification: 77).icmp(identifier: 5, sequence: 6)
    let reply = Frame.ethernet(from: "02:00:00:00:00:0b", to: "02:00:00:00:00:0a").vlan(9)
      .ipv4(from: "10.0.0.2", to: "10.0.0.1", ttl: 64, identification: 77).icmp(type: 0, identifier: 5, sequence: 6)
    let result = echo.push(request.payload(count: 57))
    #expect(result["reply"].are([reply.payload(count: 57)]), "\(result)")
    #expect(result["reply"].flatMap(\.problems) == [])
  }

  @Test(arguments: ["", "{ addresses: 2001:db8::2, ttl: 255 }"]) func answersIPv6(settings: String) throws {
    let echo = try ElementUnderTest(ICMPEcho.self, settings: settings)
    let result = echo.push(Frame.ethernet().ipv6(hopLimit: 1).ipv6Extension(60).icmpv6(identifier: 9).payload("data"))
    let reply = Frame.ethernet(from: "02:00:00:00:00:02", to: "02:00:00:00:00:01")
      .ipv6(from: "2001:db8::2", to: "2001:db8::1", hopLimit: settings.isEmpty ? 64 : 255).ipv6Extension(60)
      .icmpv6(type: 129, identifier: 9).payload("data")
    #expect(result["reply"].are([reply]), "\(result)")
    #expect(result["reply"].flatMap(\.problems) == [])
  }

  @Test func aWrongChecksumStaysWrong() throws {
    let echo = try ElementUnderTest(ICMPEcho.self)
    let result = echo.push(.ethernet().ipv4().icmp(checksum: .wrong))
    #expect(result["reply"].flatMap(\.problems) == ["ICMP checksum is wrong"])
  }

  static let unanswered: [Frame] = [
    .ethernet().ipv4(to: "10.0.0.3").icmp(),
    .ethernet().ipv6(to: "2001:db8::3").icmpv6(),
    .ethernet().ipv4().icmp(type: 0),
    .ethernet().ipv4().icmp(type: 8, code: 1),
    .ethernet().ipv4().icmp(type: 3, code: 1),
    .ethernet().ipv6().icmpv6(type: 135),
    .ethernet().ipv4().icmpv6(type: 128),
    .ethernet().ipv6().icmp(type: 8),
    .ethernet().ipv4().udp(from: 0x0800),
    .ethernet().ipv4(moreFragments: true).icmp(),
    .ethernet().ipv4(fragmentOffset: 8).icmp(),
    .ethernet().ipv4(to: "224.0.0.1").icmp(),
    .ethernet().ipv4(to: "255.255.255.255").icmp(),
    .ethernet().ipv6(to: "ff02::1").icmpv6(),
    .ethernet().ipv4(from: "224.0.0.1").icmp(),
    .ethernet().ipv4(from: "0.0.0.0").icmp(),
    .ethernet().ipv4(from: "255.255.255.255").icmp(),
    .ethernet().ipv6(from: "::").icmpv6(),
    .ethernet().ipv6(from: "ff02::1").icmpv6(),
    .ethernet(to: "ff:ff:ff:ff:ff:ff").ipv4().icmp(),
    .ethernet(to: "33:33:00:00:00:01").ipv6().icmpv6(),
    .ethernet(from: "03:00:00:00:00:01").ipv4().icmp(),
    Frame(Array(Frame.ethernet().ipv4(totalLength: 24).icmp().bytes)),
  ]

  @Test(arguments: unanswered.indices) func passesByWhatItMustNotAnswer(index: Int) throws {
    let frame = Self.unanswered[index]
    let echo = try ElementUnderTest(ICMPEcho.self, settings: "addresses: [10.0.0.2, 2001:db8::2]")
    #expect(echo.push(frame)["other"].are([frame]), "\(frame)")
    let open = try ElementUnderTest(ICMPEcho.self)
    if index > 1 { #expect(open.push(frame)["other"].are([frame]), "\(frame)") }
  }
}
