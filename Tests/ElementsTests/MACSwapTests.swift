import Dataplane
import Elements
import TestKit
import Testing

@Suite struct MACSwapTests {
  @Test func exchangesTheAddresses() throws {
    let swap = try ElementUnderTest(MACSwap.self)
    let there = Frame.ethernet(from: "02:00:00:00:00:0a", to: "02:00:00:00:00:0b").vlan(2).ipv6().tcp().split(at: 8)
    let back = Frame.ethernet(from: "02:00:00:00:00:0b", to: "02:00:00:00:00:0a").vlan(2).ipv6().tcp()
    #expect(swap.push(there)["output"].are([back]))
  }

  @Test func dropsWhatHasNoEthernetHeader() throws {
    let swap = try ElementUnderTest(MACSwap.self)
    #expect(swap.push(Frame(Array(repeating: 0, count: 13))).drops == ["malformed": 1])
  }
}
