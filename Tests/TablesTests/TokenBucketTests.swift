import Tables
import Testing

@Suite struct TokenBucketTests {
  @Test func startsFullAndRefillsAtItsRate() {
    var bucket = TokenBucket(rate: 1000, burst: 10)
    for _ in 0..<10 { #expect(bucket.take(1, now: 0)) }
    #expect(!bucket.take(1, now: 999_999))
    #expect(bucket.take(1, now: 1_000_000))
    #expect(!bucket.take(1, now: 1_000_001))
  }

  @Test func losesNothingToSmallSteps() {
    var bucket = TokenBucket(rate: 3, burst: 1_000_000)
    #expect(bucket.take(1_000_000, now: 0))
    // 7 ns steps over a minute bring exactly 180 units.
    var now: UInt64 = 0
    while now < 60_000_000_000 {
      now = min(now + 7_000_003, 60_000_000_000)
      bucket.refill(now: now)
    }
    #expect(bucket.take(180, now: now))
    #expect(!bucket.take(1, now: now))
  }

  @Test func survivesTheLongestPauseAndTheHighestRate() {
    var bucket = TokenBucket(rate: .max, burst: .max)
    #expect(bucket.take(.max, now: 0))
    #expect(bucket.take(.max, now: .max))
  }

  @Test func aClockThatGoesBackBringsNothing() {
    var bucket = TokenBucket(rate: 1_000_000_000, burst: 5)
    #expect(bucket.take(5, now: 1000))
    #expect(!bucket.take(1, now: 10))
    #expect(bucket.take(1, now: 1001))
  }
}
