import Configuration
import Dataplane
import Elements
import TestKit
import Testing

@Suite struct VLANTagTests {
  @Test func addsACustomersTag() throws {
    let tag = try ElementUnderTest(VLANTag.self, settings: "100")
    let result = tag.push([.ethernet().ipv4().udp(), .ethernet().arp(), .ethernet()])
    #expect(
      result["output"].are([.ethernet().vlan(100).ipv4().udp(), .ethernet().vlan(100).arp(), .ethernet().vlan(100)]))
  }

  @Test func addsAProvidersTagOutside() throws {
    let tag = try ElementUnderTest(
      VLANTag.self, settings: "{ id: 4094, priority: 7, drop_eligible: yes, type: 802.1ad }")
    let result = tag.push([
      .ethernet().vlan(5, priority: 1).ipv6().tcp(), Frame.ethernet().vlan(5).arp().split(at: 3, 13),
    ])
    let outer = Frame.ethernet().vlan(4094, priority: 7, dropEligible: true, protocolIdentifier: 0x88A8)
    #expect(result["output"].are([outer.vlan(5, priority: 1).ipv6().tcp(), outer.vlan(5).arp()]))
  }

  @Test func whatIsKnownOfHeadersStaysRight() throws {
    // The element behind looks for the header where the tag moved it.
    let frames = [Frame.ethernet().ipv4().udp(), .ethernet().vlan(5).ipv6().tcp()]
    try withTestPool { pool in
      for frame in frames {
        var packet = pool.packet(frame)
        let before = packet.networkHeaderOffset
        var settings = Settings.probe()
        var tag = try VLANTag(&settings)
        _ = tag.process(&packet)
        #expect(packet.networkHeaderOffset == before.map { $0 + 4 })
        #expect(packet.isIPv4 == (frame == frames[0]))
        pool.free(packet)
      }
    }
  }

  @Test func dropsWhatHasNoEthernetHeader() throws {
    let tag = try ElementUnderTest(VLANTag.self, settings: "1")
    #expect(tag.push([Frame(Array(repeating: 0, count: 13)), Frame()]).drops == ["malformed": 2])
  }

  @Test(arguments: ["4095", "-1", "{ id: 1, priority: 8 }", "{ id: 1, type: 802.1x }", "{}"])
  func refuses(settings: String) throws {
    #expect(try Verdicts("VLANTag", settings).errors.count == 1)
  }
}

@Suite struct VLANUntagTests {
  @Test func takesTheOuterTagAway() throws {
    let untag = try ElementUnderTest(VLANUntag.self)
    let result = untag.push([
      Frame.ethernet().vlan(7).ipv4().udp(),
      .ethernet().vlan(7, protocolIdentifier: 0x88A8).vlan(8).arp().split(at: 14),
      .ethernet().ipv4().udp(), .ethernet(type: 0x8100).payload([0]), Frame([1]),
    ])
    #expect(result["untagged"].are([.ethernet().ipv4().udp(), .ethernet().vlan(8).arp()]))
    #expect(result["other"].are([.ethernet().ipv4().udp(), .ethernet(type: 0x8100).payload([0]), Frame([1])]))
  }

  @Test func takesOneTagOnlyWhenTold() throws {
    let untag = try ElementUnderTest(VLANUntag.self, settings: "7")
    let result = untag.push([.ethernet().vlan(7, priority: 3).ipv6().udp(), .ethernet().vlan(8).vlan(7).ipv6().udp()])
    #expect(result["untagged"].are([.ethernet().ipv6().udp()]))
    #expect(result["other"].are([.ethernet().vlan(8).vlan(7).ipv6().udp()]))
  }
}
