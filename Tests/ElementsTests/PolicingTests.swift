import Dataplane
import Elements
import TestKit
import Testing

private let second: UInt64 = 1_000_000_000

/// So many frames of this length.
private func frames(_ count: Int, length: Int = 100) -> [Frame] {
  (0..<count).map { Frame.ethernet().payload([UInt8(truncatingIfNeeded: $0)]).padded(to: length) }
}

@Suite struct RateLimitTests {
  @Test func packetsAboveTheRateAreDropped() throws {
    let limit = try ElementUnderTest(RateLimit.self, settings: "{ rate: 10pps, burst: 4 }")
    #expect(limit.push(frames(6))["output"].are(Array(frames(6)[..<4])))
    #expect(limit.totals.drops.values.reduce(0, +) == 2)
    let later = limit.push(frames(3), at: Instant(nanoseconds: second / 10))
    #expect(later["output"].count == 1)
    #expect(later.drops == ["rateExceeded": 2])
    #expect(limit.push(frames(9), at: Instant(nanoseconds: 100 * second))["output"].count == 4)
  }

  @Test func bitsAreExact() throws {
    // 12 bits a second are a byte and a half.
    let limit = try ElementUnderTest(RateLimit.self, settings: "{ rate: 12bps, burst: 1518B }")
    #expect(limit.push(frames(1, length: 1518))["output"].count == 1)
    #expect(limit.push(frames(1, length: 60), at: Instant(nanoseconds: 40 * second - 1))["output"].count == 0)
    #expect(limit.push(frames(2, length: 60), at: Instant(nanoseconds: 40 * second))["output"].count == 1)
  }

  @Test func overheadCounts() throws {
    let limit = try ElementUnderTest(RateLimit.self, settings: "{ rate: 8kbps, burst: 1542B, overhead: 24 }")
    #expect(limit.push(frames(2, length: 1518))["output"].count == 1)
    #expect(limit.push(frames(1, length: 76), at: Instant(nanoseconds: second / 10))["output"].count == 1)
  }

  @Test func aDefaultBurstTakesAFrame() throws {
    let limit = try ElementUnderTest(RateLimit.self, settings: "1bps")
    #expect(limit.push(frames(1, length: 1518))["output"].count == 1)
    let packets = try ElementUnderTest(RateLimit.self, settings: "1pps")
    #expect(packets.push(frames(2))["output"].count == 1)
  }

  @Test(arguments: [
    ("0pps", "1:1 a rate of nothing"), ("rate: 0bps", "1:7 a rate of nothing"),
    ("{ rate: 1Mbps, burst: 0B }", "1:23 a burst of nothing"), ("{}", "1:1 'rate' is missing"),
  ])
  func refuses(settings: String, message: String) throws {
    #expect(try Verdicts("RateLimit", settings).messages == [message])
    #expect(try Verdicts("Meter", settings).messages == [message])
  }

  @Test func warnsOfABurstBelowAFrame() throws {
    #expect(try Verdicts("RateLimit", "{ rate: 1Mbps, burst: 1000B }").warnings.count == 1)
    #expect(try Verdicts("RateLimit", "{ rate: 1Mbps, burst: 1518B }").warnings == [])
    #expect(try Verdicts("RateLimit", "{ rate: 1kpps, burst: 1 }").warnings == [])
  }
}

@Suite struct MeterTests {
  @Test func tellsPacketsWithinTheRateFromOthers() throws {
    let meter = try ElementUnderTest(Meter.self, settings: "{ rate: 2pps, burst: 2 }")
    let sent = frames(5)
    let result = meter.push(sent)
    #expect(result["conforming"].are(Array(sent[..<2])))
    #expect(result["exceeding"].are(Array(sent[2...])))
    #expect(meter.push(sent, at: Instant(nanoseconds: second / 2))["conforming"].count == 1)
  }
}

@Suite struct SampleTests {
  @Test func picksRegularlyAcrossBatches() throws {
    let sample = try ElementUnderTest(Sample.self, settings: "3", batchSize: 2)
    let sent = frames(10)
    let result = sample.push(sent)
    #expect(result["sampled"].are([sent[2], sent[5], sent[8]]))
    #expect(result["rest"].count == 7)
    #expect(sample.push(sent)["sampled"].are([sent[1], sent[4], sent[7]]))
  }

  @Test func oneInOneIsEverything() throws {
    for settings in ["1", "{ one_in: 1, random: yes }"] {
      #expect(try ElementUnderTest(Sample.self, settings: settings).push(frames(5))["sampled"].count == 5)
    }
  }

  @Test func picksByChanceAndRepeatably() throws {
    func picked(_ settings: String) throws -> [SentPacket] {
      let sample = try ElementUnderTest(Sample.self, settings: settings, packets: 8191)
      return (0..<20).flatMap { _ in sample.push(frames(200))["sampled"] }
    }
    let first = try picked("{ one_in: 4, random: yes }")
    #expect((850...1150).contains(first.count), "\(first.count) of 4000")
    #expect(try picked("{ one_in: 4, random: yes }") == first)
    let seeded = try picked("{ one_in: 4, random: yes, seed: 7 }")
    #expect(seeded != first)
    #expect(try picked("{ one_in: 4, random: yes, seed: 7 }") == seeded)
  }

  @Test(arguments: ["0", "{}", "x"]) func refuses(settings: String) throws {
    #expect(try Verdicts("Sample", settings).errors.count == 1)
  }
}
