import TestKit
import Testing

@testable import Sieve

@Test func framesLongerThanAllowedAreDropped() throws {
  let element = try ElementUnderTest(Sieve.self, settings: "longest: 100")
  let short = Frame.ethernet().ipv4().udp().payload(count: 10)
  let long = Frame.ethernet().ipv4().udp().payload(count: 100)
  let result = element.push([short, long])
  #expect(result["output"].map(\.bytes) == [short.bytes])
  #expect(result["output"].first?.mark == UInt32(short.length))
  #expect(result.drops == ["longerThanAllowed": 1])
}
