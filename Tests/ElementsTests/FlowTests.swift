import Dataplane
import Elements
import TestKit
import Testing

@Suite struct DiscardTests {
  @Test func dropsEverything() throws {
    let discard = try ElementUnderTest(Discard.self)
    #expect(discard.push([.ethernet().ipv4().udp(), Frame()]).drops == ["discarded": 2])
  }
}

@Suite struct MarkTests {
  @Test(arguments: [("7", UInt32(7)), ("{ value: 0x10, mask: 0xF0 }", 0x15), ("{ value: 0, mask: 1 }", 4)])
  func setsTheMark(settings: String, mark: UInt32) throws {
    let element = try ElementUnderTest(Mark.self, settings: settings)
    let frame = Frame.ethernet().ipv4().udp()
    let result = element.push(frame.marked(5))
    #expect(result["output"].map(\.mark) == [mark])
    #expect(result["output"].are([frame]))
  }

  @Test func refusesBitsOutsideTheMask() throws {
    #expect(try Verdicts("Mark", "{ value: 3, mask: 1 }").messages == ["1:10 'value' has bits that 'mask' leaves out"])
    #expect(try Verdicts("Mark", "4294967296").errors.count == 1)
  }
}

@Suite struct RoundRobinTests {
  @Test func dealsInTurnAcrossBatches() throws {
    let deal = try ElementUnderTest(RoundRobin.self, settings: "3", batchSize: 2)
    let frames = (0..<7).map { Frame.ethernet().payload([UInt8($0)]) }
    let first = deal.push(Array(frames[..<4]))
    let second = deal.push(Array(frames[4...]))
    #expect(first["0"].are([frames[0], frames[3]]))
    #expect(first["1"].are([frames[1]]))
    #expect(first["2"].are([frames[2]]))
    #expect(second["1"].are([frames[4]]))
    #expect(second["2"].are([frames[5]]))
    #expect(second["0"].are([frames[6]]))
  }

  @Test(arguments: ["1", "65"]) func refuses(settings: String) throws {
    #expect(try Verdicts("RoundRobin", settings).errors.count == 1)
  }
}

@Suite struct TeeTests {
  @Test func copiesToEveryOutput() throws {
    let tee = try ElementUnderTest(Tee.self, settings: "3")
    let frames = [Frame.ethernet().ipv4().udp().marked(9).from(port: 4), Frame.ethernet().arp().split(at: 20), Frame()]
    let result = tee.push(frames)
    #expect(result.created == 6)
    for output in ["0", "1", "2"] {
      #expect(result[output].are(frames))
      #expect(result[output].map(\.mark) == [9, 0, 0])
      #expect(result[output].map(\.ingressPort) == [4, 0, 0])
    }
  }

  @Test func missingCopiesAreCountedAndThePacketGoesOn() throws {
    let tee = try ElementUnderTest(Tee.self, settings: "4", packets: 16)
    let frames = (0..<8).map { Frame.ethernet().payload([UInt8($0)]) }
    let result = tee.push(frames)
    #expect(result["0"].are(frames))
    #expect(result.created < 24)
    #expect(tee.counters == ["notCopied": UInt64(24 - result.created)])
  }
}

@Suite struct HashSplitTests {
  @Test func aFlowTakesOneOutputInBothDirections() throws {
    let split = try ElementUnderTest(HashSplit.self, settings: "4")
    var used: Set<String> = []
    for port in UInt16(1000)..<1064 {
      let result = split.push([
        .ethernet().ipv4(from: "10.0.0.1", to: "10.0.0.2").udp(from: port, to: 53),
        .ethernet().ipv4(from: "10.0.0.2", to: "10.0.0.1").udp(from: 53, to: port).payload("answer"),
        .ethernet().vlan(3).ipv4(from: "10.0.0.1", to: "10.0.0.2", ttl: 3).udp(from: port, to: 53),
      ])
      let outputs = result.outputs.filter { !$0.packets.isEmpty }.map(\.name)
      #expect(outputs.count == 1)
      used.formUnion(outputs)
    }
    #expect(used == ["0", "1", "2", "3"])
  }

  @Test func allFragmentsOfADatagramTakeOneOutput() throws {
    let split = try ElementUnderTest(HashSplit.self, settings: "8")
    for port in UInt16(1)...32 {
      for frame in [Frame.ethernet().ipv4(), .ethernet().ipv6()] {
        let result = split.push(frame.udp(from: port, to: 53).payload(count: 200).fragments(of: 64))
        #expect(result.outputs.filter { !$0.packets.isEmpty }.count == 1)
      }
    }
  }

  @Test func weightsAreKept() throws {
    let split = try ElementUnderTest(HashSplit.self, settings: "weights: [3, 0, 1]", packets: 4096)
    let frames = (0..<3000).map { Frame.ethernet().ipv4(from: "10.\($0 / 250).1.\($0 % 250)").udp(from: UInt16($0)) }
    let counts = split.push(frames).outputs.map(\.packets.count)
    #expect(counts[1] == 0)
    #expect((2100...2400).contains(counts[0]), "\(counts)")
  }

  @Test(arguments: [
    "1", "65", "{ outputs: 3, weights: [1, 1] }", "weights: [0, 0]", "weights: [1]", "weights: [-1, 2]",
  ])
  func refuses(settings: String) throws {
    #expect(try Verdicts("HashSplit", settings).errors.count == 1)
  }
}
