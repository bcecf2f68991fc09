import Tables
import Testing

@Suite struct TokenBucketTests {
  /// `#expect` cannot call what mutates.
  func expect(_ wanted: Bool, _ got: Bool, _ location: SourceLocation = #_sourceLocation) {
    #expect(got == wanted, sourceLocation: location)
  }

  @Test func startsFullAndRefillsAtItsRate() {
    var bucket = TokenBucket(rate: 1000, burst: 10)
    for _ in 0..<10 { expect(true, bucket.take(1, now: 0)) }
    expect(false, bucket.take(1, now: 999_999))
    expect(true, bucket.take(1, now: 1_000_000))
    expect(false, bucket.take(1, now: 1_000_001))
  }

  @Test func losesNothingToSmallSteps() {
    var bucket = TokenBucket(rate: 3, burst: 1_000_000)
    expect(true, bucket.take(1_000_000, now: 0))
    // 7 ns steps over a minute bring exactly 180 units.
    var now: UInt64 = 0
    while now < 60_000_000_000 {
      now = min(now + 7_000_003, 60_000_000_000)
      bucket.refill(now: now)
    }
    expect(true, bucket.take(180, now: now))
    expect(false, bucket.take(1, now: now))
  }

  @Test func survivesTheLongestPauseAndTheHighestRate() {
    var bucket = TokenBucket(rate: .max, burst: .max)
    expect(true, bucket.take(.max, now: 0))
    expect(true, bucket.take(.max, now: .max))
  }

  @Test func aClockThatGoesBackBringsNothing() {
    var bucket = TokenBucket(rate: 1_000_000_000, burst: 5)
    expect(true, bucket.take(5, now: 1000))
    expect(false, bucket.take(1, now: 10))
    expect(true, bucket.take(1, now: 1001))
  }
}
