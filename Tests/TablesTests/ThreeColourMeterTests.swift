import Testing

@testable import Tables

private let second: UInt64 = 1_000_000_000

/// The three meters on a clock of the test's own, in bytes.
@Suite struct ThreeColourMeterTests {
  private func srTCM(rate: UInt64 = 100, cbs: UInt64 = 1000, ebs: UInt64 = 500) -> ThreeColourMeter {
    ThreeColourMeter(.singleRate(committed: MeterProfile(rate: rate, burst: cbs), excessBurst: ebs))
  }

  private func trTCM(
    cir: UInt64 = 100, cbs: UInt64 = 1000, pir: UInt64 = 200, pbs: UInt64 = 1500
  ) -> ThreeColourMeter {
    ThreeColourMeter(
      .twoRate(committed: MeterProfile(rate: cir, burst: cbs), peak: MeterProfile(rate: pir, burst: pbs)))
  }

  private func additive(
    cir: UInt64 = 100, cbs: UInt64 = 1000, eir: UInt64 = 50, ebs: UInt64 = 500
  ) -> ThreeColourMeter {
    ThreeColourMeter(
      .additive(committed: MeterProfile(rate: cir, burst: cbs), excess: MeterProfile(rate: eir, burst: ebs)))
  }

  // MARK: RFC 2697

  /// Both buckets are full in the beginning, and colour-blind a packet is green while the committed bucket has its bytes,
  /// yellow while the excess bucket has, and red otherwise.
  @Test func rfc2697_3_colourBlind() {
    var meter = srTCM()
    #expect((0..<4).map { _ in meter.colour(400, now: 0) } == [.green, .green, .yellow, .red])
    // What is left of each is still there: 200 and 100.
    #expect(meter.colour(200, now: 0) == .green)
    #expect(meter.colour(100, now: 0) == .yellow)
    #expect(meter.colour(1, now: 0) == .red)
  }

  /// Tokens go to the committed bucket, to the excess bucket when that is full, and to none when both are.
  @Test func rfc2697_3_tokensFlowOver() {
    var meter = srTCM()
    #expect(meter.colour(1000, now: 0) == .green)
    #expect(meter.colour(500, now: 0) == .yellow)
    // 1,200 tokens later: 1,000 and 200.
    #expect(meter.colour(201, arriving: .yellow, now: 12 * second) == .red)
    #expect(meter.colour(200, arriving: .yellow, now: 12 * second) == .yellow)
    #expect(meter.colour(1000, now: 12 * second) == .green)
    #expect(meter.colour(1, now: 12 * second) == .red)
    // After very long both are full and no more.
    #expect(meter.colour(500, arriving: .yellow, now: 1000 * second) == .yellow)
    #expect(meter.colour(1, arriving: .yellow, now: 1000 * second) == .red)
    #expect(meter.colour(1001, now: 1000 * second) == .red)
  }

  /// Colour-aware only green packets can be green, and red ones stay red and take nothing.
  @Test func rfc2697_3_colourAware() {
    var meter = srTCM()
    #expect(meter.colour(100, arriving: .red, now: 0) == .red)
    #expect(meter.colour(300, arriving: .yellow, now: 0) == .yellow)
    #expect(meter.colour(300, arriving: .yellow, now: 0) == .red)
    #expect(meter.colour(1000, arriving: .green, now: 0) == .green)
    #expect(meter.colour(200, arriving: .green, now: 0) == .yellow)
    #expect(meter.colour(1, arriving: .green, now: 0) == .red)
  }

  // MARK: RFC 2698

  /// Colour-blind a packet is red when the peak bucket has too little for it, yellow when only the committed one has, and
  /// green otherwise, when it takes from both.
  @Test func rfc2698_3_colourBlind() {
    var meter = trTCM()
    #expect((0..<4).map { _ in meter.colour(400, now: 0) } == [.green, .green, .yellow, .red])
    // Of the committed bucket 200 are left, of the peak's 300.
    #expect(meter.colour(200, now: 0) == .green)
    #expect(meter.colour(100, now: 0) == .yellow)
    #expect(meter.colour(1, now: 0) == .red)
  }

  /// Each bucket is filled at its own rate.
  @Test func rfc2698_3_twoRates() {
    var meter = trTCM()
    #expect(meter.colour(1000, now: 0) == .green)
    #expect(meter.colour(500, now: 0) == .yellow)
    #expect(meter.colour(101, now: second) == .yellow)
    #expect(meter.colour(99, now: second) == .green)
    #expect(meter.colour(1, now: second) == .red)
  }

  /// Colour-aware a red packet is red, and a yellow one is yellow at best and takes from the peak bucket alone.
  @Test func rfc2698_3_colourAware() {
    var meter = trTCM()
    #expect(meter.colour(1, arriving: .red, now: 0) == .red)
    #expect(meter.colour(500, arriving: .yellow, now: 0) == .yellow)
    #expect(meter.colour(1000, arriving: .green, now: 0) == .green)
    #expect(meter.colour(1, arriving: .yellow, now: 0) == .red)
    #expect(meter.colour(1, arriving: .green, now: 0) == .red)
  }

  // MARK: RFC 4115

  /// A green packet is green while the committed bucket has more than its bytes, yellow while the excess one has, and red
  /// otherwise.
  @Test func rfc4115_3_greenPackets() {
    var meter = additive()
    // To the letter of "Tc(t) - B > 0": not all of a bucket can be taken.
    #expect(meter.colour(1000, now: 0) == .red)
    #expect(meter.colour(999, now: 0) == .green)
    #expect(meter.colour(499, now: 0) == .yellow)
    #expect(meter.colour(1, now: 0) == .red)
  }

  /// The excess comes on top of what is committed: neither rate takes from the other's bucket.
  @Test func rfc4115_3_ratesAreIndependent() {
    var meter = additive()
    #expect(meter.colour(999, now: 0) == .green)
    #expect(meter.colour(499, now: 0) == .yellow)
    #expect(meter.colour(100, now: second) == .green)
    #expect(meter.colour(50, now: second) == .yellow)
    #expect(meter.colour(1, now: second) == .red)
    // A full committed bucket gives nothing to the excess one.
    #expect(meter.colour(499, arriving: .yellow, now: 11 * second) == .yellow)
    #expect(meter.colour(499, arriving: .yellow, now: 20 * second) == .red)
  }

  /// A yellow packet is yellow while the excess bucket has more than its bytes, and red otherwise; a red one stays red.
  @Test func rfc4115_3_yellowAndRedPackets() {
    var meter = additive()
    #expect(meter.colour(499, arriving: .yellow, now: 0) == .yellow)
    #expect(meter.colour(1, arriving: .yellow, now: 0) == .red)
    #expect(meter.colour(1, arriving: .red, now: 0) == .red)
    #expect(meter.colour(999, arriving: .green, now: 0) == .green)
  }

  // MARK: Exactness

  /// Against buckets that get their tokens one by one, as the RFCs have it.
  @Test(arguments: 0..<30 as Range<UInt64>)
  func tokensOneByOne(seed: UInt64) {
    var random = seed &* 0x9E37_79B9_7F4A_7C15 &+ 12345
    func next(_ limit: UInt64) -> UInt64 {
      random = random &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return (random >> 33) % limit
    }
    let first = MeterProfile(rate: next(300) + 1, burst: next(500) + 1)
    let other = MeterProfile(rate: first.rate + next(300), burst: next(500) + 1)
    let methods: [ThreeColourMeter.Method] = [
      .singleRate(committed: first, excessBurst: other.burst), .twoRate(committed: first, peak: other),
      .additive(committed: first, excess: other),
    ]
    let method = methods[Int(seed % 3)]
    var meter = ThreeColourMeter(method)
    var committed = first.burst
    var excess = other.burst
    let start = next(1 << 30)
    var now = start
    _ = meter.colour(0, arriving: .red, now: now)
    for _ in 0..<2000 {
      let before = now - start
      now += next(next(10) == 0 ? 3 * second : 20_000_000)
      let after = now - start
      func arrived(_ rate: UInt64) -> UInt64 { after * rate / second - before * rate / second }
      for _ in 0..<arrived(first.rate) {
        if committed < first.burst {
          committed += 1
        } else if case .singleRate = method, excess < other.burst {
          excess += 1
        }
      }
      if case .singleRate = method {} else { excess = min(excess + arrived(other.rate), other.burst) }
      let units = next(120)
      let arriving = MeterColour(rawValue: UInt8(next(3)))!
      let expected: MeterColour
      switch method {
      case .singleRate:
        expected =
          arriving == .green && committed >= units ? .green : arriving != .red && excess >= units ? .yellow : .red
        if expected == .green { committed -= units }
        if expected == .yellow { excess -= units }
      case .twoRate:
        expected =
          arriving == .red || excess < units ? .red : arriving == .yellow || committed < units ? .yellow : .green
        if expected != .red { excess -= units }
        if expected == .green { committed -= units }
      case .additive:
        expected =
          arriving == .green && committed > units ? .green : arriving != .red && excess > units ? .yellow : .red
        if expected == .green { committed -= units }
        if expected == .yellow { excess -= units }
      }
      #expect(meter.colour(units, arriving: arriving, now: now) == expected)
    }
  }

  @Test func neitherDriftNorOverflow() {
    // 400 Gb/s in steps of a nanosecond and after centuries.
    var meter = srTCM(rate: 400_000_000_000, cbs: .max, ebs: 0)
    #expect(meter.colour(.max, now: 0) == .green)
    for now in 1...1000 as ClosedRange<UInt64> { #expect(meter.colour(400, now: now) == .green) }
    #expect(meter.colour(1, now: 1000) == .red)
    #expect(meter.colour(.max, now: .max) == .green)
    var slow = srTCM(rate: 3, cbs: 10, ebs: 0)
    #expect(slow.colour(10, now: 0) == .green)
    // A third of a second is a token, to the nanosecond.
    for step in 1...300 as ClosedRange<UInt64> {
      let due = (step * second + 2) / 3
      #expect(slow.colour(1, now: due - 1) == .red)
      #expect(slow.colour(1, now: due) == .green)
    }
    // A clock that goes back brings nothing and takes nothing.
    #expect(slow.colour(1, now: 0) == .red)
  }
}
