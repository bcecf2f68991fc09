import Dataplane
import Elements
import TestKit
import Testing

private let second: UInt64 = 1_000_000_000

private func frames(_ range: Range<Int>, length: Int = 125) -> [Frame] {
  range.map { Frame.ethernet().payload([UInt8(truncatingIfNeeded: $0)]).padded(to: length) }
}

@Suite struct QueueTests {
  @Test func withoutARateItReleasesAtTheSameInstant() throws {
    let queue = try ElementUnderTest(Queue.self)
    let result = queue.push(frames(0..<50))
    #expect(result["output"].are(frames(0..<50)))
    #expect(result["output"].allSatisfy { $0.time == queue.now })
    #expect(queue.held == 0)
  }

  @Test func releasesOneByOneAtTheRate() throws {
    let queue = try ElementUnderTest(Queue.self, settings: "{ rate: 4pps }")
    let first = queue.push(frames(0..<4))
    #expect(first["output"].are(frames(0..<1)))
    #expect(first.held == 3)
    let rest = queue.advance(by: second)
    #expect(rest["output"].are(frames(1..<4)))
    #expect(rest["output"].map(\.time.nanoseconds) == [second / 4, second / 2, second / 4 * 3])
  }

  @Test func timeWithoutPacketsEarnsNoCredit() throws {
    let queue = try ElementUnderTest(Queue.self, settings: "{ rate: 1kbps }")
    _ = queue.push(frames(0..<1))
    let later = queue.push(frames(1..<4), at: Instant(nanoseconds: 100 * second))
    #expect(later["output"].are(frames(1..<2)))
    #expect(queue.advance(by: 2 * second)["output"].map(\.time.nanoseconds) == [101 * second, 102 * second])
  }

  @Test func aPacketJustBehindAnotherWaitsItsTurn() throws {
    let queue = try ElementUnderTest(Queue.self, settings: "{ rate: 1kbps }")
    _ = queue.push(frames(0..<1))
    #expect(queue.held == 0)
    let soon = queue.push(frames(1..<2), at: Instant(nanoseconds: second / 2))
    #expect(soon.held == 1)
    #expect(queue.advance(to: Instant(nanoseconds: second))["output"].map(\.time.nanoseconds) == [second])
  }

  @Test func theRateIsExactInTheLongRun() throws {
    // 3 packets a second do not divide a second into whole nanoseconds.
    let queue = try ElementUnderTest(Queue.self, settings: "{ rate: 3pps }")
    _ = queue.push(frames(0..<301))
    let times = queue.advance(to: Instant(nanoseconds: 100 * second))["output"].map(\.time.nanoseconds)
    #expect(times.count == 300)
    #expect(times.last == 100 * second)
    #expect(times.first == 333_333_333)
  }

  @Test func whatDoesNotFitIsDropped() throws {
    let queue = try ElementUnderTest(Queue.self, settings: "{ capacity: 3, rate: 1pps }")
    let result = queue.push(frames(0..<5))
    #expect(result.drops == ["queueFull": 2])
    #expect(result["output"].are(frames(0..<1)))
    #expect(queue.advance(by: 10 * second)["output"].are(frames(1..<3)))
    #expect(queue.counters == ["mostHeld": 3])
  }

  @Test func orTheOldestGivesWay() throws {
    let queue = try ElementUnderTest(Queue.self, settings: "{ capacity: 3, rate: 1pps, drop: oldest }")
    let result = queue.push(frames(0..<5))
    #expect(result.drops == ["queueFull": 2])
    #expect(result["output"].are(frames(2..<3)))
    #expect(queue.advance(by: 10 * second)["output"].are(frames(3..<5)))
  }

  @Test func bytesAreLimitedToo() throws {
    let newest = try ElementUnderTest(Queue.self, settings: "{ bytes: 300B, rate: 1pps }")
    #expect(newest.push(frames(0..<3, length: 100) + frames(3..<4, length: 60)).drops == ["queueFull": 1])
    #expect(newest.held == 2)
    let oldest = try ElementUnderTest(Queue.self, settings: "{ bytes: 300B, rate: 1pps, drop: oldest }")
    let result = oldest.push(frames(0..<3, length: 100) + frames(3..<4, length: 201))
    #expect(result.drops == ["queueFull": 3])
    #expect(result["output"].are(frames(3..<4, length: 201)))
    // A packet longer than the queue does not push others out.
    let long = try ElementUnderTest(Queue.self, settings: "{ bytes: 300B, rate: 1pps, drop: oldest }")
    #expect(long.push(frames(0..<2, length: 100) + frames(2..<3, length: 301)).drops == ["queueFull": 1])
    #expect(long.held == 1)
  }

  @Test(arguments: ["0", "1000001", "{ rate: 0pps }", "{ drop: random }"]) func refuses(settings: String) throws {
    #expect(try Verdicts("Queue", settings).errors.count == 1)
  }
}
