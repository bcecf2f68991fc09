import Dataplane
import Foundation
import Testing

@testable import Control

@Suite struct ReportTests {
  private func counters(
    in packets: UInt64, bytes: UInt64 = 0, out: [UInt64] = [], drops: [UInt8: UInt64] = [:], created: UInt64 = 0,
    held: UInt64 = 0
  ) -> NodeCounters {
    var counters = NodeCounters()
    counters.packetsIn = packets
    counters.bytesIn = bytes
    counters.packetsOut = out
    counters.drops = drops
    counters.created = created
    counters.held = held
    return counters
  }

  /// 1,234,567 packets come in, 5 are made; what becomes of them is told below.
  private var report: Report {
    var report = Report()
    report.ports = [
      .init(name: "lan", kind: "pcap a.pcap", received: counters(in: 1_234_567, bytes: 98_765_432)),
      .init(
        name: "wan", kind: "pcap -> b.pcap", transmitted: counters(in: 1_234_500, bytes: 2_000, drops: [0: 100]),
        counters: [ElementCounter("lost", 3), ElementCounter("nothing", 0)]),
    ]
    report.elements = [
      .init(
        name: "sort", type: "Classify", outputs: ["ipv4", "other"],
        counters: counters(in: 1_234_567, bytes: 1, out: [1_234_540, 7], drops: [1: 15, 2: 5]),
        drops: [("malformed", 15), ("own", 5)],
        elementCounters: [ElementCounter("seen", 1000), ElementCounter("no", 0)]),
      .init(
        name: "queue", type: "Queue", outputs: ["output"],
        counters: counters(in: 1_234_540, out: [1_234_500], created: 5, held: 45), drops: [], elementCounters: []),
    ]
    report.discarded = 7
    report.nanoseconds = 1_500_000_000
    return report
  }

  @Test func balancesTheBooks() {
    let balance = report.balance
    #expect(balance.received == 1_234_567 && balance.created == 5 && balance.held == 45)
    // 100 by the busy port, 20 by the element, 7 by the graph.
    #expect(balance.transmitted == 1_234_400 && balance.dropped == 127)
    #expect(report.isBalanced)
    #expect(report.summary == "1,234,567 in + 5 made = 1,234,400 out + 127 dropped + 45 held")
  }

  @Test func saysWhenTheBooksDoNotBalance() throws {
    var report = report
    report.abandoned = 1
    #expect(!report.isBalanced && report.balance.dropped == 128)
    #expect(report.summary == "1,234,567 in + 5 made != 1,234,400 out + 128 dropped + 45 held")
    let packets = try #require((try parsed(report.json.text) as? [String: Any])?["packets"] as? [String: Any])
    #expect(packets["balanced"] as? Bool == false && packets["abandoned"] as? Int == 1)
  }

  @Test func emptyBooksBalance() {
    #expect(Report().isBalanced && Report().summary == "0 in = 0 out + 0 dropped")
    #expect(!Report().text.isEmpty)
  }

  @Test func isATableForPeople() {
    #expect(
      report.text == """
                                                in                 out       dropped
        ----------------------------------------------------------------------------
        lan  (pcap a.pcap)     1,234,567 (98.8 MB)
        wan  (pcap -> b.pcap)                       1,234,400 (2.0 kB)  100 portBusy
            lost 3
        ----------------------------------------------------------------------------
        sort  Classify                   1,234,567      ipv4 1,234,540  15 malformed
                                                               other 7         5 own
            seen 1,000
        queue  Queue                     1,234,540           1,234,500       45 held
        drop                                     7                       7 discarded
        1,234,567 in + 5 made = 1,234,400 out + 127 dropped + 45 held

        """)
  }

  @Test func isJSONForPrograms() throws {
    let read = try #require(try parsed(report.json.text) as? [String: Any])
    #expect(read["seconds"] as? Double == 1.5 && read["discarded"] as? Int == 7)
    let ports = try #require(read["ports"] as? [[String: Any]])
    #expect(ports.map { $0["name"] as? String } == ["lan", "wan"])
    #expect((ports[0]["received"] as? [String: Int]) == ["packets": 1_234_567, "bytes": 98_765_432, "dropped": 0])
    #expect((ports[1]["transmitted"] as? [String: Int]) == ["packets": 1_234_400, "bytes": 2000, "dropped": 100])
    #expect((ports[1]["counters"] as? [String: Int]) == ["lost": 3, "nothing": 0])
    let elements = try #require(read["elements"] as? [[String: Any]])
    #expect((elements[0]["out"] as? [String: Int]) == ["ipv4": 1_234_540, "other": 7])
    #expect((elements[0]["drops"] as? [String: Int]) == ["malformed": 15, "own": 5])
    #expect(elements[1]["held"] as? Int == 45 && elements[1]["created"] as? Int == 5)
    #expect(report.json.text == report.json.text)
  }

  @Test(arguments: [
    (0, "0"), (7, "7"), (999, "999"), (1000, "1,000"), (999_999, "999,999"), (1_000_000, "1,000,000"),
    (UInt64.max, "18,446,744,073,709,551,615"),
  ])
  func groupsThousands(value: UInt64, text: String) { #expect(Report.grouped(value) == text) }

  @Test(arguments: [
    (0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (1550, "1.6 kB"), (999_949, "999.9 kB"), (999_960, "1.0 MB"),
    (1_000_000, "1.0 MB"), (98_765_432, "98.8 MB"), (5_000_000_000, "5.0 GB"), (UInt64.max, "18.4 EB"),
  ])
  func scalesSizes(value: UInt64, text: String) { #expect(Report.bytes(value) == text) }

  @Test func cyclesAreThoseOfTimedRuns() {
    var counters = NodeCounters()
    #expect(counters.cyclesPerPacket == nil)
    counters.ticks = 500
    counters.timedPackets = 10
    counters.packetsIn = 1000
    #expect(counters.cyclesPerPacket == 50)
  }
}
