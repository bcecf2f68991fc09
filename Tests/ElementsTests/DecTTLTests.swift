import Dataplane
import Elements
import TestKit
import Testing

@Suite struct DecTTLTests {
  @Test func lowersIPv4AndKeepsTheChecksum() throws {
    let ttl = try ElementUnderTest(DecTTL.self)
    let result = ttl.push(Frame.ethernet().vlan(5).ipv4(ttl: 64).udp().payload("hello"))
    #expect(result["forwarded"].map(\.bytes) == [Frame.ethernet().vlan(5).ipv4(ttl: 63).udp().payload("hello").bytes])
    #expect(result["forwarded"][0].problems == [])
    #expect(result.drops == [:])
  }

  @Test func lowersIPv6() throws {
    let ttl = try ElementUnderTest(DecTTL.self)
    let result = ttl.push(Frame.ethernet().ipv6(hopLimit: 2).tcp())
    #expect(result["forwarded"].map(\.bytes) == [Frame.ethernet().ipv6(hopLimit: 1).tcp().bytes])
  }

  @Test(arguments: [UInt8(0), 1]) func turnsAwayTheExpiredUntouched(ttl: UInt8) throws {
    let element = try ElementUnderTest(DecTTL.self)
    let frames = [Frame.ethernet().ipv4(ttl: ttl).udp(), Frame.ethernet().ipv6(hopLimit: ttl).udp()]
    let result = element.push(frames)
    #expect(result["expired"].map(\.bytes) == frames.map(\.bytes))
    #expect(result["forwarded"].isEmpty)
  }

  @Test func leavesMulticastAloneWhenTold() throws {
    let ttl = try ElementUnderTest(DecTTL.self, settings: "multicast: no")
    let frames = [
      Frame.ethernet().ipv4(to: "224.0.0.1", ttl: 1).udp(), Frame.ethernet().ipv6(to: "ff02::1", hopLimit: 1).udp(),
    ]
    #expect(ttl.push(frames)["forwarded"].map(\.bytes) == frames.map(\.bytes))
  }

  @Test func dropsWhatIsNoIP() throws {
    let ttl = try ElementUnderTest(DecTTL.self)
    #expect(ttl.push(Frame.ethernet().arp()).drops == ["malformed": 1])
  }

  @Test(arguments: ["", "multicast: no"]) func survivesAnything(settings: String) throws {
    try expectRobust(ElementKind(DecTTL.self), settings: settings)
  }
}
