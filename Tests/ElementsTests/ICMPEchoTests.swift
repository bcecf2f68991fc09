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

  /// All data of a request are in the reply, whatever the number of buffers.
  @Test(arguments: [0, 1, 548, 1472, 8000, 65_507]) func rfc1122_3_2_2_6_allDataAreReturned(count: Int) throws {
    let echo = try ElementUnderTest(ICMPEcho.self)
    let request = Frame.ethernet().ipv4(ttl: 64).icmp(identifier: 5).payload(count: count)
    let reply = Frame.ethernet(from: "02:00:00:00:00:02", to: "02:00:00:00:00:01").ipv4(
      from: "10.0.0.2", to: "10.0.0.1"
    )
    .icmp(type: 0, identifier: 5).payload(count: count)
    for frame in [request.inBuffers, request.split(at: request.inBuffers.splits + [13, 20, 35, 41])] {
      let result = echo.push(frame)
      #expect(result["reply"].are([reply]))
      #expect(result["reply"].flatMap(\.problems) == [])
    }
  }

  /// All data of an ICMPv6 request are in the reply.
  @Test func rfc4443_4_2_allDataAreReturned() throws {
    let echo = try ElementUnderTest(ICMPEcho.self)
    let request = Frame.ethernet().ipv6().icmpv6(identifier: 5).payload(count: 9000)
    let reply = Frame.ethernet(from: "02:00:00:00:00:02", to: "02:00:00:00:00:01")
      .ipv6(from: "2001:db8::2", to: "2001:db8::1").icmpv6(type: 129, identifier: 5).payload(count: 9000)
    #expect(echo.push(request.inBuffers)["reply"].are([reply]))
  }

  /// A request that came in fragments is answered when it is whole again.
  @Test func rfc1812_4_3_3_6_reassembledRequests() throws {
    let whole = try ElementUnderTest(ReassembleIP.self)
    let echo = try ElementUnderTest(ICMPEcho.self)
    let request = Frame.ethernet().ipv4(identification: 9).icmp().payload(count: 4000)
    let made = whole.push(Array(request.fragments(of: 1480, identification: 9).reversed()))["whole"]
    let reply = Frame.ethernet(from: "02:00:00:00:00:02", to: "02:00:00:00:00:01")
      .ipv4(from: "10.0.0.2", to: "10.0.0.1", identification: 9).icmp(type: 0).payload(count: 4000)
    #expect(echo.push(made.map { Frame($0.bytes).inBuffers })["reply"].are([reply]))
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
    .ethernet().ipv4(from: "0.0.0.7").icmp(),
    .ethernet().ipv4(from: "127.0.0.1").icmp(),
    .ethernet().ipv4(from: "250.0.0.1").icmp(),
    .ethernet().ipv4(options: [131, 7, 8, 10, 0, 0, 9]).icmp(),
    .ethernet().ipv4(options: [1, 7, 7, 4, 0, 0, 0, 0, 137, 7, 8, 10, 0, 0, 9]).icmp(),
    .ethernet().ipv4(options: [7, 1, 4, 0]).icmp(),
    .ethernet().ipv6(from: "::1").icmpv6(),
    .ethernet().ipv6(from: "::").icmpv6(),
    .ethernet().ipv6(from: "ff02::1").icmpv6(),
    .ethernet(to: "ff:ff:ff:ff:ff:ff").ipv4().icmp(),
    .ethernet(to: "33:33:00:00:00:01").ipv6().icmpv6(),
    .ethernet(from: "03:00:00:00:00:01").ipv4().icmp(),
    Frame(Array(Frame.ethernet().ipv4(totalLength: 24).icmp().bytes)),
  ]

  @Test func otherOptionsAreReturned() throws {
    let echo = try ElementUnderTest(ICMPEcho.self)
    let options: [UInt8] = [0x94, 4, 0, 0, 1, 7, 7, 4, 0, 0, 0, 0]
    let reply = Frame.ethernet(from: "02:00:00:00:00:02", to: "02:00:00:00:00:01")
      .ipv4(from: "10.0.0.2", to: "10.0.0.1", options: options).icmp(type: 0)
    #expect(echo.push(.ethernet().ipv4(options: options).icmp())["reply"].are([reply]))
  }

  @Test(arguments: unanswered.indices) func passesByWhatItMustNotAnswer(index: Int) throws {
    let frame = Self.unanswered[index]
    let echo = try ElementUnderTest(ICMPEcho.self, settings: "addresses: [10.0.0.2, 2001:db8::2]")
    #expect(echo.push(frame)["other"].are([frame]), "\(frame)")
    let open = try ElementUnderTest(ICMPEcho.self)
    if index > 1 { #expect(open.push(frame)["other"].are([frame]), "\(frame)") }
  }
}
