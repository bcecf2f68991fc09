import Dataplane
import TestKit
import Testing

@Suite struct SwitchTests {
  private func send(_ frame: Frame, _ port: String, _ sw: PipelineUnderTest) -> PipelineResult {
    sw.push([frame], at: port)
  }

  // MARK: Learning (IEEE 802.1Q, 8.6 to 8.8)

  @Test func framesToNobodyKnownGoEverywhereElse() throws {
    let sw = try TestSwitch.plain(4)
    let frame = Frame.station(1, to: 2).ipv4().udp().payload("x")
    let result = send(frame, "p2", sw)
    #expect(result.ports == ["p1", "p3", "p4"])
    #expect(result.all.allSatisfy { $0.bytes == frame.bytes })
  }

  @Test func framesToAKnownStationGoThereAlone() throws {
    let sw = try TestSwitch.plain(3)
    _ = send(Frame.station(1, to: 9).filled, "p1", sw)
    #expect(send(Frame.station(2, to: 1).filled, "p2", sw).ports == ["p1"])
    #expect(send(Frame.station(1, to: 2).filled, "p1", sw).ports == ["p2"])
  }

  @Test func learningHoldsWithinABatch() throws {
    let sw = try TestSwitch.plain(3)
    let result = sw.push([Frame.station(1, to: 9).filled, Frame.station(5, to: 1).filled], at: "p1")
    #expect(result["p2"].count == 1 && result["p3"].count == 1)
    #expect(result.drops == ["samePort": 1])
  }

  @Test func neverBackToWhereItCameFrom() throws {
    let sw = try TestSwitch.plain(2)
    _ = send(Frame.station(1, to: 9).filled, "p1", sw)
    let result = send(Frame.station(2, to: 1).filled, "p1", sw)
    #expect(result.all.isEmpty)
    #expect(result.drops == ["samePort": 1])
  }

  @Test func aStationThatMovesIsFollowed() throws {
    let sw = try TestSwitch.plain(3)
    _ = send(Frame.station(1, to: 9).filled, "p1", sw)
    _ = send(Frame.station(1, to: 9).filled, "p3", sw)
    #expect(send(Frame.station(2, to: 1).filled, "p2", sw).ports == ["p3"])
  }

  @Test func groupsAndNobodyAreNotLearned() throws {
    let sw = try TestSwitch.plain(2)
    for source in ["01:00:5e:00:00:05", TestSwitch.everybody, "00:00:00:00:00:00"] {
      let result = send(Frame.ethernet(from: source, to: TestSwitch.mac(9)).filled, "p1", sw)
      #expect(result.all.isEmpty)
      #expect(result.drops == ["invalidSource": 1])
    }
    #expect(send(Frame.ethernet(from: TestSwitch.mac(1), to: "01:00:5e:00:00:05").filled, "p2", sw).ports == ["p1"])
  }

  @Test func stationsAreForgottenAfter300Seconds() throws {
    let sw = try TestSwitch.plain(3)
    _ = send(Frame.station(1, to: 9).filled, "p1", sw)
    _ = sw.advance(milliseconds: 299_900)
    #expect(send(Frame.station(2, to: 1).filled, "p2", sw).ports == ["p1"])
    _ = sw.advance(milliseconds: 3_200)
    #expect(send(Frame.station(2, to: 1).filled, "p2", sw).ports == ["p1", "p3"])
  }

  @Test func theAgeingTimeCanBeSet() throws {
    let sw = try TestSwitch.plain(3, more: ["ageing: 20s"])
    _ = send(Frame.station(1, to: 9).filled, "p1", sw)
    _ = sw.advance(milliseconds: 19_900)
    #expect(send(Frame.station(2, to: 1).filled, "p2", sw).ports == ["p1"])
    _ = sw.advance(milliseconds: 400)
    #expect(send(Frame.station(2, to: 1).filled, "p2", sw).ports == ["p1", "p3"])
  }

  @Test func aPortNeedNotLearn() throws {
    let sw = try TestSwitch.make(["p1: { learning: no }", "p2: {}", "p3: {}"])
    _ = send(Frame.station(1, to: 9).filled, "p1", sw)
    #expect(send(Frame.station(2, to: 1).filled, "p2", sw).ports == ["p1", "p3"])
  }

  @Test func aPortNeedNotTakeWhatIsForUnknownStations() throws {
    let sw = try TestSwitch.make(["p1: {}", "p2: {}", "p3: { unknown_unicast: no }"])
    #expect(send(Frame.station(1, to: 9).filled, "p1", sw).ports == ["p2"])
    #expect(send(Frame.broadcast(from: 1).filled, "p1", sw).ports == ["p2", "p3"])
  }

  @Test func staticStationsAreKnownAndStay() throws {
    let sw = try TestSwitch.make(
      ["p1: {}", "p2: {}", "p3: {}"], more: ["static: { mac: \(TestSwitch.mac(7)), port: p3 }"])
    #expect(send(Frame.station(1, to: 7).filled, "p1", sw).ports == ["p3"])
    // Whoever says to be it is forwarded, and changes nothing.
    #expect(send(Frame.station(7, to: 1).filled, "p2", sw).ports == ["p1"])
    _ = sw.advance(milliseconds: 1_000_000)
    #expect(send(Frame.station(1, to: 7).filled, "p1", sw).ports == ["p3"])
  }

  @Test(arguments: [false, true])
  func aPortHasALimitOfStations(drops: Bool) throws {
    let sw = try TestSwitch.make(
      ["p1: { limit: 2\(drops ? ", at_limit: drop" : "") }", "p2: {}", "p3: {}"])
    for station in 1...2 { #expect(send(Frame.station(station, to: 9).filled, "p1", sw).ports == ["p2", "p3"]) }
    let third = send(Frame.station(3, to: 9).filled, "p1", sw)
    #expect(third.ports == (drops ? [] : ["p2", "p3"]))
    #expect(third.drops == (drops ? ["addressLimit": 1] : [:]))
    #expect(send(Frame.station(5, to: 3).filled, "p2", sw).ports == ["p1", "p3"])
    #expect(send(Frame.station(5, to: 2).filled, "p2", sw).ports == ["p1"])
    // Those that are known go on.
    #expect(send(Frame.station(2, to: 5).filled, "p1", sw).ports == ["p2"])
  }

  @Test(arguments: [false, true])
  func whoGoesToAndFroMayBeHeld(drops: Bool) throws {
    let sw = try TestSwitch.plain(3, more: ["moves: { limit: 3, within: 10s\(drops ? ", action: drop" : "") }"])
    let ports = ["p1", "p2", "p1", "p2", "p1", "p2"]
    let results = ports.map { send(Frame.station(1, to: 9).filled, $0, sw) }
    #expect(results[..<4].allSatisfy { $0.drops.isEmpty })
    #expect(results[4].drops == (drops ? ["flapping": 1] : [:]))
    #expect(results[5].drops == [:])
    #expect(send(Frame.station(2, to: 1).filled, "p3", sw).ports == ["p2"])
    _ = sw.advance(milliseconds: 10_000)
    #expect(send(Frame.station(1, to: 9).filled, "p1", sw).drops == [:])
    #expect(send(Frame.station(2, to: 1).filled, "p3", sw).ports == ["p1"])
  }

  @Test func aFullTableFloods() throws {
    let sw = try TestSwitch.plain(3, more: ["addresses: 2"])
    for station in 1...3 { _ = send(Frame.station(station, to: 9).filled, "p1", sw) }
    #expect(send(Frame.station(9, to: 2).filled, "p2", sw).ports == ["p1"])
    #expect(send(Frame.station(9, to: 3).filled, "p2", sw).ports == ["p1", "p3"])
  }

  // MARK: What is not forwarded

  /// Frames to 01-80-C2-00-00-00 to 01-80-C2-00-00-0F are never forwarded (IEEE 802.1Q, table 8-1).
  @Test func reservedAddressesAreNotForwarded() throws {
    let sw = try TestSwitch.plain(2)
    for last in 0...15 {
      let address = "01:80:c2:00:00:0\(String(last, radix: 16))"
      let result = send(Frame.ethernet(from: TestSwitch.mac(1), to: address).filled, "p1", sw)
      #expect(result.all.isEmpty)
      #expect(result.drops == ["reservedAddress": 1])
    }
    for address in ["01:80:c2:00:00:10", "01:80:c2:00:01:00", "01:80:c3:00:00:00"] {
      #expect(send(Frame.ethernet(from: TestSwitch.mac(1), to: address).filled, "p1", sw).ports == ["p2"])
    }
  }

  /// The learning process learns from all frames that are let in, those that are not forwarded among them.
  @Test func sourcesOfReservedFramesAreLearned() throws {
    let sw = try TestSwitch.plain(3)
    _ = send(Frame.ethernet(from: TestSwitch.mac(1), to: "01:80:c2:00:00:0e").filled, "p1", sw)
    #expect(send(Frame.station(2, to: 1).filled, "p2", sw).ports == ["p1"])
    // Pause frames are the link's own.
    _ = send(Frame.ethernet(from: TestSwitch.mac(1), to: "01:80:c2:00:00:01").filled, "p3", sw)
    #expect(send(Frame.station(2, to: 1).filled, "p2", sw).ports == ["p1"])
  }

  @Test func framesCutShortAreDropped() throws {
    let sw = try TestSwitch.plain(2)
    let frame = Frame(Array(repeating: 2, count: 13))
    #expect(send(frame, "p1", sw).drops == ["malformed": 1])
    let tagged = try TestSwitch.make(["p1: {}", "p2: {}"], more: ["vlans: 802.1Q"])
    let cut = Frame(Array(Frame.station(1, to: 2).vlan(1).bytes.prefix(17)))
    #expect(send(cut, "p1", tagged).drops == ["malformed": 1])
  }

  @Test func portsOfAGroupDoNotSendToEachOther() throws {
    let sw = try TestSwitch.make([
      "p1: { split_horizon: core }", "p2: { split_horizon: core }", "p3: { split_horizon: other }", "p4: {}",
    ])
    #expect(send(Frame.broadcast(from: 1).filled, "p1", sw).ports == ["p3", "p4"])
    let known = send(Frame.station(2, to: 1).filled, "p2", sw)
    #expect(known.all.isEmpty)
    #expect(known.drops == ["splitHorizon": 1])
    #expect(send(Frame.station(4, to: 1).filled, "p4", sw).ports == ["p1"])
    let alone = try TestSwitch.make(["p1: { split_horizon: x }", "p2: { split_horizon: x }"])
    #expect(send(Frame.broadcast(from: 1).filled, "p1", alone).drops == ["noPort": 1])
  }

  @Test func stormsAreHeldBack() throws {
    let sw = try TestSwitch.make([
      "p1: { storm: { broadcast: 500pps, multicast: 300pps, unknown: 200pps } }", "p2: {}",
    ])
    let burst = { (frame: Frame) in Array(repeating: frame.filled, count: 10) }
    #expect(sw.push(burst(.broadcast(from: 1)), at: "p1").drops == ["broadcastStorm": 5])
    let group = Frame.ethernet(from: TestSwitch.mac(1), to: "33:33:00:00:00:01")
    #expect(sw.push(burst(group), at: "p1").drops == ["multicastStorm": 7])
    #expect(sw.push(burst(.station(1, to: 9)), at: "p1").drops == ["unknownStorm": 8])
    // Each has a limit of its own, of its own port, and known stations have none.
    #expect(sw.push(burst(.broadcast(from: 2)), at: "p2").drops == [:])
    #expect(sw.push(burst(.station(1, to: 2)), at: "p1").drops == [:])
    _ = sw.advance(milliseconds: 2)
    #expect(sw.push(burst(.broadcast(from: 1)), at: "p1")["p2"].count == 1)
  }

  // MARK: VLANs (IEEE 802.1Q)

  private let access = [
    "p1: { pvid: 10 }", "p2: { pvid: 10 }", "p3: { pvid: 20 }", "t: { tagged: [10, 20-29], accept: tagged }",
  ]

  @Test func vlansAreSeparate() throws {
    let sw = try TestSwitch.make(access, more: ["vlans: 802.1Q"])
    let frame = Frame.broadcast(from: 1).ipv4().udp()
    let result = send(frame, "p1", sw)
    #expect(result.ports == ["p2", "t"])
    #expect(result["p2"].map(\.bytes) == [frame.bytes])
    #expect(result["t"].map(\.bytes) == [Frame.broadcast(from: 1).vlan(10).ipv4().udp().bytes])
    let other = send(Frame.broadcast(from: 1).filled, "p3", sw)
    #expect(other.ports == ["t"])
    // The same address in two VLANs is two stations.
    #expect(send(Frame.station(2, to: 1).vlan(10).ipv4().udp(), "t", sw).ports == ["p1"])
    #expect(send(Frame.station(2, to: 1).vlan(20).ipv4().udp(), "t", sw).ports == ["p3"])
  }

  @Test func tagsAreTakenAwayWhereAPortWantsNone() throws {
    let sw = try TestSwitch.make(access, more: ["vlans: 802.1Q"])
    _ = send(Frame.broadcast(from: 1).filled, "p1", sw)
    let result = send(Frame.station(2, to: 1).vlan(10, priority: 5).ipv4().udp(), "t", sw)
    #expect(result["p1"].map(\.bytes) == [Frame.station(2, to: 1).ipv4().udp().bytes])
    #expect(result.ports == ["p1"])
  }

  @Test func tagsKeepTheirPriority() throws {
    let sw = try TestSwitch.make(["t: { tagged: 10 }", "u: { tagged: 10 }"], more: ["vlans: 802.1Q"])
    let frame = Frame.broadcast(from: 1).vlan(10, priority: 5, dropEligible: true).ipv4().udp()
    #expect(send(frame, "t", sw)["u"].map(\.bytes) == [frame.bytes])
  }

  @Test func priorityTaggedFramesAreInThePVID() throws {
    let sw = try TestSwitch.make(access, more: ["vlans: 802.1Q"])
    let frame = Frame.broadcast(from: 1).vlan(0, priority: 6)
    let result = send(frame.ipv4().udp(), "p1", sw)
    #expect(result["p2"].map(\.bytes) == [Frame.broadcast(from: 1).ipv4().udp().bytes])
    #expect(result["t"].map(\.bytes) == [Frame.broadcast(from: 1).vlan(10, priority: 6).ipv4().udp().bytes])
  }

  @Test func framesWithoutATagGetThePortsPriority() throws {
    let sw = try TestSwitch.make(["p1: { pvid: 10, priority: 3 }", "t: { tagged: 10 }"], more: ["vlans: 802.1Q"])
    let result = send(Frame.broadcast(from: 1).ipv4().udp(), "p1", sw)
    #expect(result["t"].map(\.bytes) == [Frame.broadcast(from: 1).vlan(10, priority: 3).ipv4().udp().bytes])
  }

  @Test func portsTakeOnlyTheFramesTheyShould() throws {
    let sw = try TestSwitch.make(
      [
        "a: { pvid: 10, tagged: 20, accept: tagged }", "b: { pvid: 10, tagged: 20, accept: untagged }",
        "c: { pvid: 10, tagged: 20 }", "d: { tagged: 20 }",
      ], more: ["vlans: 802.1Q"])
    let frames = [
      "none": Frame.broadcast(from: 1), "zero": .broadcast(from: 1).vlan(0), "20": .broadcast(from: 1).vlan(20),
    ]
    let expected = ["a": ["20"], "b": ["none", "zero"], "c": ["20", "none", "zero"], "d": ["20"]]
    for (port, taken) in expected {
      for (name, frame) in frames {
        let result = send(frame.ipv4().udp(), port, sw)
        #expect(result.drops == (taken.contains(name) ? [:] : ["frameType": 1]), "\(name) at \(port)")
      }
    }
  }

  @Test func ingressFilteringCanBeLeftOut() throws {
    let sw = try TestSwitch.make(
      ["p1: { pvid: 10, ingress_filter: no }", "p2: { pvid: 20 }", "p3: { pvid: 30 }"], more: ["vlans: 802.1Q"])
    let frame = Frame.broadcast(from: 1).vlan(20)
    #expect(send(frame.ipv4().udp(), "p1", sw).ports == ["p2"])
    #expect(send(frame.ipv4().udp(), "p3", sw).drops == ["notMember": 1])
    // Nor is a VLAN that the switch has not.
    #expect(send(Frame.broadcast(from: 1).vlan(99).ipv4().udp(), "p1", sw).drops == ["notMember": 1])
    #expect(send(Frame.broadcast(from: 1).vlan(4095).ipv4().udp(), "p1", sw).drops == ["notMember": 1])
    // The station was learned behind a port that its VLAN's frames do not leave by.
    #expect(send(Frame.station(2, to: 1).ipv4().udp(), "p2", sw).drops == ["notMemberThere": 1])
  }

  @Test func withoutVLANsTagsAreNobodysBusiness() throws {
    let sw = try TestSwitch.plain(2)
    for frame in [Frame.broadcast(from: 1).vlan(10), .broadcast(from: 1).vlan(7, protocolIdentifier: 0x88A8).vlan(8)] {
      #expect(send(frame.ipv4().udp(), "p1", sw)["p2"].map(\.bytes) == [frame.ipv4().udp().bytes])
    }
    // And addresses are known in all.
    #expect(send(Frame.station(2, to: 1).vlan(55).ipv4().udp(), "p2", sw).ports == ["p1"])
  }

  @Test func providersBridgesLookAtServiceTags() throws {
    let sw = try TestSwitch.make(
      ["c1: { pvid: 100 }", "c2: { pvid: 200 }", "t: { tagged: [100, 200] }"], more: ["vlans: 802.1ad"])
    let frame = Frame.broadcast(from: 1).vlan(10, priority: 4)
    let result = send(frame.ipv4().udp(), "c1", sw)
    let tagged = Frame.broadcast(from: 1).vlan(100, protocolIdentifier: 0x88A8).vlan(10, priority: 4)
    #expect(result["t"].map(\.bytes) == [tagged.ipv4().udp().bytes])
    #expect(result.ports == ["t"])
    let back = Frame.station(2, to: 1).vlan(100, protocolIdentifier: 0x88A8).vlan(10)
    let returned = send(back.ipv4().udp(), "t", sw)
    #expect(returned["c1"].map(\.bytes) == [Frame.station(2, to: 1).vlan(10).ipv4().udp().bytes])
    #expect(returned.ports == ["c1"])
  }

  @Test func customersBridgesTakeServiceTagsForPayload() throws {
    let sw = try TestSwitch.make(["p1: { pvid: 10 }", "t: { tagged: 10 }"], more: ["vlans: 802.1Q"])
    let frame = Frame.broadcast(from: 1).vlan(100, protocolIdentifier: 0x88A8)
    let result = send(frame.ipv4().udp(), "p1", sw)
    let tagged = Frame.broadcast(from: 1).vlan(10).vlan(100, protocolIdentifier: 0x88A8)
    #expect(result["t"].map(\.bytes) == [tagged.ipv4().udp().bytes])
  }

  @Test func framesOfSeveralBuffers() throws {
    let sw = try TestSwitch.make(access, more: ["vlans: 802.1Q"])
    let frame = Frame.broadcast(from: 1).ipv4().udp().payload(count: 300).split(at: 5, 13, 15, 100)
    let result = send(frame, "p1", sw)
    #expect(result["p2"].map(\.bytes) == [frame.bytes])
    let tagged = Frame.broadcast(from: 1).vlan(10).ipv4().udp().payload(count: 300)
    #expect(result["t"].map(\.bytes) == [tagged.bytes])
    let back = send(tagged.split(at: 12, 15, 16, 40), "t", sw)
    #expect(back["p1"].map(\.bytes) == [frame.bytes] && back["p2"].map(\.bytes) == [frame.bytes])
  }

  @Test func sixtyFourPorts() throws {
    let sw = try TestSwitch.plain(64)
    #expect(send(Frame.broadcast(from: 1).filled, "p64", sw).all.count == 63)
    #expect(send(Frame.station(2, to: 1).filled, "p1", sw).ports == ["p64"])
  }

  @Test func copiesThatFindNoBufferAreMissedAndNothingElse() throws {
    let sw = try PipelineUnderTest(TestSwitch.text((1...8).map { "p\($0): {}" }), packets: 64)
    let frames = (0..<20).map { Frame.broadcast(from: $0 + 1).filled }
    let result = sw.push(frames, at: "p1")
    #expect(result.all.count <= 64)
    #expect(result["p8"].count == 20)
  }
}
