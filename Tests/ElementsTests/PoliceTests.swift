import Dataplane
import Elements
import TestKit
import Testing

private let second: UInt64 = 1_000_000_000

@Suite struct PoliceTests {
  /// An IP packet of 100 bytes, in frames of 114.
  private func packet(tos: UInt8 = 0) -> Frame {
    Frame.ethernet().ipv4(dscp: tos >> 2, ecn: tos & 3).udp().payload(count: 72)
  }

  private func packet6(class trafficClass: UInt8 = 0) -> Frame {
    Frame.ethernet().ipv6(trafficClass: trafficClass).udp().payload(count: 52)
  }

  /// Room for 15 packets of each colour.
  private let srTCM = "cir: 8kbps, cbs: 1500B, ebs: 1500B"

  private func make(_ more: String = "") throws -> ElementUnderTest {
    try ElementUnderTest(Police.self, settings: "{ \(srTCM)\(more.isEmpty ? "" : ", ")\(more) }")
  }

  private func trafficClasses(_ result: StepResult) -> [UInt8] { result["output"].map { $0.bytes[15] } }

  @Test func redPacketsAreDropped() throws {
    let police = try make()
    let result = police.push(Array(repeating: packet(), count: 32))
    #expect(result["output"].count == 30)
    #expect(result.drops == ["red": 2])
    #expect(
      police.counters == [
        "green": 15, "greenBytes": 1500, "yellow": 15, "yellowBytes": 1500, "red": 2, "redBytes": 200,
      ])
    // 1,000 bytes a second.
    #expect(
      police.push(Array(repeating: packet(), count: 9), at: Instant(nanoseconds: second / 2))["output"].count == 5)
  }

  /// What is measured are bytes of IP packets with their IP header, and not the headers of links.
  @Test func rfc2697_2_bytesOfIPPackets() throws {
    for frame in [
      packet(), packet6(), packet().padded(to: 200), Frame.ethernet().vlan(7).ipv4().udp().payload(count: 72),
    ] {
      #expect(try make().push(Array(repeating: frame, count: 32))["output"].count == 30, "\(frame)")
    }
    let other = Frame.ethernet(type: 0x88B5).payload(count: 100)
    #expect(try make().push(Array(repeating: other, count: 32))["output"].count == 30)
  }

  @Test func overheadCounts() throws {
    // 1,500 bytes have 10 packets of 150.
    #expect(try make("overhead: 50").push(Array(repeating: packet(), count: 32))["output"].count == 20)
  }

  @Test func coloursCanBeMarked() throws {
    let police = try make("green: { mark: 1 }, yellow: { dscp: af12, mark: 2 }, red: { drop: no, dscp: 0, mark: 3 }")
    let result = police.push(Array(repeating: packet(tos: 10 << 2 | 1), count: 32))
    let ones = [UInt32](repeating: 1, count: 15)
    let twos = [UInt32](repeating: 2, count: 15)
    #expect(result["output"].map(\.mark) == ones + twos + [3, 3])
    let green = [UInt8](repeating: 41, count: 15)
    let yellow = [UInt8](repeating: 49, count: 15)
    #expect(trafficClasses(result) == green + yellow + [1, 1])
    // Lengths and checksums are right.
    #expect(result["output"].allSatisfy { $0.problems.isEmpty })
  }

  @Test func ipv6IsMarkedToo() throws {
    let police = try make("green: { dscp: ef }")
    let result = police.push(packet6(class: 3))
    #expect(result["output"].map { [$0.bytes[14], $0.bytes[15]] } == [[0x6B, 0xB0]])
    #expect(result["output"].allSatisfy { $0.problems.isEmpty })
  }

  /// A packet whose transport takes it, ECT(0) or ECT(1), is marked CE in place of being dropped; one whose transport does
  /// not is dropped, and one that is marked already stays so.
  @Test func rfc3168_5_congestionIsMarked() throws {
    let police = try make("yellow: { drop: yes, ecn: yes }")
    _ = police.push(Array(repeating: packet(), count: 15))
    let result = police.push([packet(tos: 0), packet(tos: 1), packet(tos: 2), packet(tos: 3), packet(tos: 46 << 2 | 2)])
    #expect(trafficClasses(result) == [3, 3, 3, 46 << 2 | 3])
    #expect(result.drops == ["yellow": 1])
    #expect(result["output"].allSatisfy { $0.problems.isEmpty })
    let lenient = try make("yellow: { ecn: yes }")
    _ = lenient.push(Array(repeating: packet(), count: 15))
    #expect(trafficClasses(lenient.push([packet(tos: 0), packet(tos: 2)])) == [0, 3])
  }

  /// A packet of assured forwarding keeps its class and gets the drop precedence of its colour.
  @Test func rfc2597_6_dropPrecedence() throws {
    let police = try make("recolour: yes, red: { drop: no }")
    // AF31, AF33; expedited forwarding and best effort are not of it.
    let frames = [packet(tos: 26 << 2), packet(tos: 30 << 2), packet(tos: 46 << 2), packet(tos: 0)]
    #expect(trafficClasses(police.push(frames)) == [26 << 2, 26 << 2, 46 << 2, 0])
    _ = police.push(Array(repeating: packet(), count: 11))
    #expect(trafficClasses(police.push(frames)) == [28 << 2, 28 << 2, 46 << 2, 0])
    _ = police.push(Array(repeating: packet(), count: 11))
    #expect(trafficClasses(police.push(frames)) == [30 << 2, 30 << 2, 46 << 2, 0])
  }

  /// Colour-aware the colour that packets come with is coded as drop precedence.
  @Test func rfc2697_4_colourFromDropPrecedence() throws {
    let police = try make("aware: dscp")
    #expect(police.push(packet(tos: 14 << 2)).drops == ["red": 1])
    _ = police.push([packet(tos: 12 << 2), packet(tos: 10 << 2), packet(tos: 0)])
    #expect(police.counters["yellow"] == 1 && police.counters["green"] == 2)
  }

  @Test func colourFromTheMark() throws {
    let police = try make("aware: mark")
    _ = police.push([0, 1, 2, 77].map { packet().marked($0) })
    #expect(police.counters["green"] == 1 && police.counters["yellow"] == 1 && police.counters["red"] == 2)
  }

  @Test func theOtherMethods() throws {
    let two = try ElementUnderTest(
      Police.self, settings: "{ method: trTCM, cir: 8kbps, cbs: 1500B, pir: 16kbps, pbs: 3000B }")
    _ = two.push(Array(repeating: packet(), count: 32))
    #expect(two.counters["green"] == 15 && two.counters["yellow"] == 15 && two.counters["red"] == 2)
    _ = two.push(Array(repeating: packet(), count: 32), at: Instant(nanoseconds: second))
    #expect(two.counters["green"] == 25 && two.counters["yellow"] == 25)
    let sum = try ElementUnderTest(
      Police.self, settings: "{ method: RFC4115, cir: 8kbps, cbs: 1501B, eir: 16kbps, ebs: 1501B }")
    _ = sum.push(Array(repeating: packet(), count: 32))
    #expect(sum.counters["green"] == 15 && sum.counters["yellow"] == 15 && sum.counters["red"] == 2)
    _ = sum.push(Array(repeating: packet(), count: 32), at: Instant(nanoseconds: second / 2))
    #expect(sum.counters["green"] == 20 && sum.counters["yellow"] == 25)
  }

  @Test(arguments: [
    ("{ cir: 1Mbps, cbs: 10kB }", "1:1 srTCM needs 'ebs'"),
    ("{ cir: 1Mbps, cbs: 0B, ebs: 0B }", "1:20 bursts of nothing"),
    ("{ cir: 1Mbps, cbs: 10kB, ebs: 0B, pir: 2Mbps }", "1:40 'pir' is not of srTCM"),
    ("{ method: trTCM, cir: 2Mbps, cbs: 9kB, pir: 1Mbps, pbs: 9kB }", "1:45 the peak rate is below the committed one"),
    ("{ method: trTCM, cir: 2Mbps, cbs: 0B, pir: 2Mbps, pbs: 9kB }", "1:35 a burst of nothing"),
    ("{ method: RFC4115, cir: 2Mbps, cbs: 9kB, ebs: 9kB }", "1:1 RFC4115 needs 'eir'"),
  ])
  func refuses(settings: String, message: String) throws {
    #expect(try Verdicts("Police", settings).messages == [message])
  }

  @Test func warns() throws {
    #expect(try Verdicts("Police", "{ cir: 1Mbps, cbs: 1000B, ebs: 1500B }").warnings.count == 1)
    #expect(try Verdicts("Police", "{ cir: 1Mbps, cbs: 9kB, ebs: 9kB, red: { mark: 3 } }").warnings.count == 1)
    #expect(try Verdicts("Police", "{ cir: 1Mbps, cbs: 9kB, ebs: 9kB, red: { mark: 3, ecn: yes } }").warnings == [])
  }
}
