import Assembly
import Configuration
import Dataplane
import Elements
import Foundation
import TestKit
import Testing

@testable import Control

/// Whole runs within the process. A pool's name is the program's own, so there is one run at a time.
@Suite(.serialized) struct RunnerTests {
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

  @Test func costIsThatOfTheRun() throws {
    let loaded = try pipeline(
      "flows: 64", graph: "lan -> in -> wan, in.other -> drop", elements: "in: CheckIP")
    let report = try outcome(loaded, seconds: 0.2).report
    let cost = Cost(report)
    let json = try #require(try parsed(cost.json.text) as? [String: Any])
    let packets = try #require(json["packets"] as? Int)
    let megapackets = try #require(json["mpps"] as? Double)
    #expect(packets == Int(report.balance.received) && packets > 1000)
    let exact = Double(packets) / Double(report.nanoseconds) * 1e3
    #expect(abs(megapackets - exact) <= 0.0051 + exact / 1000, "rounded to hundredths, \(megapackets) for \(exact)")
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

  @Test func nothingReceivedCostsNothing() throws {
    let cost = Cost(Report())
    #expect(cost.text.contains("0.0 Mpps, 0.0 cycles a packet in all"))
    let json = try #require(try parsed(cost.json.text) as? [String: Any])
    #expect(json["packets"] as? Int == 0 && json["mpps"] as? Double == 0)
  }
}
