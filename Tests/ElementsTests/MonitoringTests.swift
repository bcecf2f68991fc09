import Dataplane
import Elements
import Foundation
import TestKit
import Testing

/// A file of its own, removed afterwards.
private func withFile<T>(_ body: (String) throws -> T) throws -> T {
  let path = FileManager.default.temporaryDirectory.appendingPathComponent("monitor-\(UUID().uuidString)").path
  defer { try? FileManager.default.removeItem(atPath: path) }
  return try body(path)
}

private let frames = [
  Frame.ethernet().ipv4().udp().payload("query"), .ethernet().vlan(5).ipv6().tcp(flags: "SA"), .ethernet().arp(),
]

@Suite struct CounterTests {
  @Test func countsPacketsAndBytes() throws {
    let counter = try ElementUnderTest(Counter.self, batchSize: 2)
    #expect(counter.push(frames)["output"].are(frames))
    #expect(counter.push(Frame())["output"].count == 1)
    let bytes = frames.reduce(0) { $0 + $1.length }
    #expect(counter.counters == ["packets": 4, "bytes": UInt64(bytes)])
  }
}

@Suite struct CaptureTests {
  /// Reads a pcap file with nanoseconds in this machine's byte order.
  func read(_ path: String) throws -> (snap: Int, packets: [(time: UInt64, length: Int, bytes: [UInt8])]) {
    let bytes = [UInt8](try Data(contentsOf: URL(fileURLWithPath: path)))
    func word(_ offset: Int) -> Int { (0..<4).reduce(0) { $0 | Int(bytes[offset + $1]) << ($1 * 8) } }
    #expect(word(0) == 0xA1B2_3C4D)
    #expect(word(20) == 1)
    var packets: [(UInt64, Int, [UInt8])] = []
    var offset = 24
    while offset < bytes.count {
      let kept = word(offset + 8)
      let time = UInt64(word(offset)) * 1_000_000_000 + UInt64(word(offset + 4))
      packets.append((time, word(offset + 12), Array(bytes[offset + 16..<offset + 16 + kept])))
      offset += 16 + kept
    }
    return (word(16), packets)
  }

  @Test func writesWhatPasses() throws {
    try withFile { path in
      let start = Instant(nanoseconds: 1_700_000_000_123_456_789)
      let capture = try ElementUnderTest(Capture.self, settings: path, at: start)
      let split = frames + [Frame.ethernet().payload(count: 500).split(at: 20, 300)]
      #expect(capture.push(split)["output"].are(split))
      #expect(capture.finish() == [])
      let found = try read(path)
      #expect(found.packets.map(\.bytes) == split.map(\.bytes))
      #expect(found.packets.allSatisfy { $0.time == start.nanoseconds && $0.length == $0.bytes.count })
      #expect(capture.counters == ["captured": 4, "beyondLimit": 0])
    }
  }

  @Test func keepsToItsLimits() throws {
    try withFile { path in
      let capture = try ElementUnderTest(Capture.self, settings: "{ file: \(path), snap: 20, limit: 2 }")
      #expect(capture.push(frames)["output"].are(frames))
      #expect(capture.finish() == [])
      let found = try read(path)
      #expect(found.snap == 20)
      #expect(found.packets.map(\.bytes) == frames.prefix(2).map { Array($0.bytes.prefix(20)) })
      #expect(found.packets.map(\.length) == frames.prefix(2).map(\.length))
      #expect(capture.counters == ["captured": 2, "beyondLimit": 1])
    }
  }

  @Test func reportsWhatCannotBeWritten() throws {
    let missing = try ElementUnderTest(Capture.self, settings: "/nowhere/at/all.pcap")
    #expect(missing.push(frames)["output"].are(frames))
    #expect(missing.finish().count == 1)
    let full = try ElementUnderTest(Capture.self, settings: "/dev/full")
    #expect(full.push(frames)["output"].are(frames))
    #expect(full.finish().count == 1)
  }
}

@Suite struct PrintTests {
  func lines(_ settings: String, _ frames: [Frame]) throws -> [String] {
    try withFile { path in
      let print = try ElementUnderTest(
        Print.self, settings: "{ file: \(path)\(settings) }", at: Instant(nanoseconds: 7_000_000_012))
      #expect(print.push(frames)["output"].are(frames))
      #expect(print.finish() == [])
      return try String(contentsOfFile: path, encoding: .utf8).split(separator: "\n").map(String.init)
    }
  }

  @Test func saysWhatPasses() throws {
    let found = try lines(
      "",
      frames + [
        .ethernet().ipv4(ttl: 3).icmp(type: 3, code: 1), .ethernet().ipv4(fragmentOffset: 8).payload("x"),
        .ethernet().ipv6().ipv6Fragment(moreFragments: true).payload("x"), Frame([1]),
        .ethernet().arp(operation: 2), .ethernet(type: 0x88CC).payload("x"),
      ])
    #expect(
      found == [
        "7.000000012 IP 10.0.0.1.1024 > 10.0.0.2.53 udp ttl 64, length 47",
        "7.000000012 vlan 5, IP6 2001:db8::1.1024 > 2001:db8::2.80 tcp [syn,ack] hlim 64, length 78",
        "7.000000012 ARP who-has 10.0.0.2 tell 10.0.0.1, length 42",
        "7.000000012 IP 10.0.0.1 > 10.0.0.2 icmp type 3 code 1 ttl 3, length 42",
        "7.000000012 IP 10.0.0.1 > 10.0.0.2 253 later fragment ttl 64, length 35",
        "7.000000012 IP6 2001:db8::1 > 2001:db8::2 253 first fragment hlim 64, length 63",
        "7.000000012 truncated frame, length 1",
        "7.000000012 ARP 10.0.0.1 is-at 02:00:00:00:00:01, length 42",
        "7.000000012 02:00:00:00:00:01 > 02:00:00:00:00:02 lldp, length 15",
      ])
  }

  @Test func keepsToItsLimitAndLabel() throws {
    let found = try lines(", limit: 2, label: up", frames)
    #expect(found.count == 2)
    #expect(found.allSatisfy { $0.hasPrefix("up: 7.") })
  }

  @Test func reportsWhatCannotBeWritten() throws {
    let print = try ElementUnderTest(Print.self, settings: "{ file: /dev/full }")
    #expect(print.push(frames)["output"].are(frames))
    #expect(print.finish().count == 1)
  }
}
