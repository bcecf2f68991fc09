import Assembly
import Configuration
import Dataplane
import Elements
import Foundation
import Synchronization
import TestKit
import Testing

@testable import Control

/// Tests of whole runs within the process. A pool's name is the program's own, so there is one run at a time.
@Suite(.serialized) enum Runs {}

extension Runs {
  @Suite struct RunnerTests {
    init() throws { try TestEnvironment.start() }

    private func pipeline(_ traffic: String, graph: String, elements: String = "") throws -> Pipeline {
      try Pipeline.load(
        text: """
          nfv: 1
          runtime: { packets: 2048, memory: 64 }
          ports: { lan: { traffic: { \(traffic) } }, wan: null }
          elements: { \(elements) }
          graph: [\(graph)]
          """, name: "p.yaml", elements: catalogue)
    }

    private func outcome(_ pipeline: Pipeline, seconds: Double? = nil, batch: Int? = nil) throws -> Runner.Outcome {
      var options = Runner.Options()
      options.duration = seconds.map { UInt64($0 * 1e9) }
      options.batchSize = batch
      return try Runner(pipeline, options: options, stop: StopFlag()).run()
    }

    @Test(arguments: [1, 32, 256]) func playsTrafficToItsEnd(batch: Int) throws {
      let loaded = try pipeline(
        "count: 1001, rate: 7kpps, flows: 10", graph: "lan -> in -> wan, in.other -> drop", elements: "in: CheckIP")
      let outcome = try outcome(loaded, batch: batch)
      #expect(outcome.problems == [])
      let report = outcome.report
      #expect(report.isBalanced && report.balance.received == 1001 && report.balance.transmitted == 1001)
      #expect(report.elements.map(\.counters.packetsOut) == [[1001, 0]])
      #expect(report.ports[0].received?.bytesIn == 60_060 && report.ports[1].transmitted?.bytesIn == 60_060)
      #expect(report.nanoseconds == 0 && !report.showsCycles)
      #expect(outcome.plan.contains("batches of up to \(batch)") && outcome.plan.contains("in  CheckIP"))
    }

    /// One second of 1,000 packets a second, passed by a token bucket of a tenth of that, in virtual time.
    @Test func virtualTimeIsTheTraffics() throws {
      let loaded = try pipeline(
        "count: 1000, rate: 1kpps", graph: "lan -> limit -> wan",
        elements: "limit: { RateLimit: { rate: 100pps, burst: 1 } }")
      let report = try outcome(loaded).report
      #expect(report.balance.transmitted == 100 && report.balance.dropped == 900 && report.isBalanced)
    }

    /// By the clock, with two workers that share the rate.
    @Test(arguments: [1, 2]) func liveTrafficKeepsItsRate(workers: Int) throws {
      var loaded = try pipeline("rate: 20kpps, flows: 64", graph: "lan -> wan")
      loaded.runtime.workers = workers
      let report = try outcome(loaded, seconds: 0.5).report
      let expected = Double(report.nanoseconds) / 1e9 * 20_000
      // Threads start late, and poll late on a machine with other work; they never run ahead.
      #expect(Double(report.balance.received) < expected + 2 && Double(report.balance.received) > expected / 2)
      #expect(report.isBalanced && report.showsCycles)
    }

    /// What elements count themselves is the workers' own: they leave it for who asks while packets flow, and at the end.
    @Test func elementsCountersAreSeenWhileWorkersRun() throws {
      var loaded = try pipeline(
        "rate: 20kpps, flows: 64", graph: "lan -> all -> wan", elements: "all: Counter")
      loaded.runtime.workers = 2
      let seen = Mutex<[(counted: UInt64, received: UInt64)]>([])
      var options = Runner.Options()
      options.duration = 1_300_000_000
      options.status = { report in
        let counted = report.elements[0].elementCounters.first { $0.name == "packets" }?.value ?? 0
        seen.withLock { $0.append((counted, report.balance.received)) }
      }
      let report = try Runner(loaded, options: options, stop: StopFlag()).run().report
      let reports = seen.withLock { $0 }
      #expect(!reports.isEmpty && reports.allSatisfy { $0.counted > 1000 && $0.counted <= $0.received })
      #expect(report.elements[0].elementCounters.first?.value == report.balance.received)
    }

    @Test func costIsThatOfTheRun() throws {
      let loaded = try pipeline(
        "flows: 64", graph: "lan -> in -> wan, in.other -> drop", elements: "in: CheckIP")
      let report = try outcome(loaded, seconds: 0.2).report
      let cost = Cost(report)
      let json = try #require(try parsed(cost.json.text) as? [String: Any])
      let packets = try #require(json["packets"] as? Int)
      let megapackets = try #require(json["mpps"] as? Double)
      #expect(packets == Int(report.balance.received) && packets > 1000)
      let source = try #require((json["ports"] as? [[String: Any]])?.first?["received"] as? [String: Any])
      #expect(source["packets"] as? Int == packets && source["batch"] as? Double ?? 0 > 32)
      #expect(source["cyclesPerPacket"] as? Double ?? 0 > 0, "what receiving costs is measured, too")
      let seconds = try #require(json["seconds"] as? Double)
      let duration = Double(report.nanoseconds) / 1e9
      #expect(abs(seconds - duration) < 0.0051, "rounded to hundredths, \(seconds) for \(duration)")
      let exact = Double(packets) / duration / 1e6
      #expect(abs(megapackets - exact) < 0.0051, "rounded to hundredths, \(megapackets) for \(exact)")
      let whole = try #require(json["cyclesPerPacket"] as? Double)
      let element = try #require((json["elements"] as? [[String: Any]])?.first)
      #expect(element["name"] as? String == "in" && element["type"] as? String == "CheckIP")
      #expect(element["packets"] as? Int == packets)
      let part = try #require(element["cyclesPerPacket"] as? Double)
      // One pass in sixteen is timed, so a pause of the thread can count sixteenfold.
      #expect(part > 0 && part < whole * 20, "\(part) of \(whole)")
      let fill = try #require(element["batch"] as? Double)
      #expect(fill > 32 && fill <= 64, "flat out, batches are full: \(fill)")
      let lines = cost.text.split(separator: "\n")
      #expect(lines.last == Substring(report.summary))
      #expect(lines.contains { $0.contains("Mpps") && $0.contains("cycles a packet in all") })
    }

    /// Shares are of all cycles, weighed by packets; drops stand by reason, in the table and for programs.
    @Test func costIsSharedOut() throws {
      func counters(_ packets: UInt64, cycles: UInt64, drops: [UInt8: UInt64] = [:]) -> NodeCounters {
        var counters = NodeCounters()
        counters.packetsIn = packets
        counters.runs = packets / 50
        counters.ticks = cycles * 100
        counters.timedPackets = 100
        counters.drops = drops
        return counters
      }
      var report = Report()
      report.ports = [
        .init(name: "lan", kind: "playback a.pcap", received: counters(1000, cycles: 40)),
        .init(name: "wan", kind: "null", transmitted: counters(600, cycles: 10, drops: [0: 7])),
      ]
      report.elements = [
        .init(
          name: "in", type: "CheckIP", outputs: ["ip", "other"],
          counters: counters(1000, cycles: 20, drops: [1: 150, 2: 50]),
          drops: [("malformed", 150), ("badChecksum", 50)], elementCounters: [])
      ]
      report.discarded = 200
      // One hundred cycles a packet in all.
      report.nanoseconds = UInt64(1000 * 100 * 1e9 / Double(PacketEnvironment.ticksPerSecond))
      let json = try #require(try parsed(Cost(report).json.text) as? [String: Any])
      let ports = try #require(json["ports"] as? [[String: Any]])
      let received = try #require(ports[0]["received"] as? [String: Double])
      #expect(received == ["packets": 1000, "cyclesPerPacket": 40, "share": 0.4, "batch": 50])
      #expect(ports[0]["sent"] == nil && ports[1]["received"] == nil)
      let sent = try #require(ports[1]["sent"] as? [String: Double])
      #expect(sent == ["packets": 600, "cyclesPerPacket": 10, "share": 0.06, "batch": 50, "dropped": 7])
      let element = try #require((json["elements"] as? [[String: Any]])?.first)
      #expect(element["share"] as? Double == 0.2)
      #expect(element["drops"] as? [String: Int] == ["malformed": 150, "badChecksum": 50])
      #expect(json["discarded"] as? Int == 200)
      let lines = Cost(report).text.split(separator: "\n").map { $0.split(separator: " ").joined(separator: " ") }
      #expect(lines.contains("lan (playback a.pcap) 1,000 40.0 40 % 50.0"))
      #expect(lines.contains("in CheckIP 1,000 20.0 20 % 50.0 150 malformed") && lines.contains("50 badChecksum"))
      #expect(lines.contains("wan sent 600 10.0 6 % 50.0 7 portBusy"))
      #expect(lines.contains("drop 200 200 discarded"))
    }

    @Test func nothingReceivedCostsNothing() throws {
      let cost = Cost(Report())
      #expect(cost.text.contains("0.0 Mpps, 0.0 cycles a packet in all"))
      let json = try #require(try parsed(cost.json.text) as? [String: Any])
      #expect(json["packets"] as? Int == 0 && json["mpps"] as? Double == 0)
    }
  }
}
