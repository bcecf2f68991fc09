/// What a meter says of a packet.
@frozen
public enum MeterColour: UInt8, CaseIterable, Sendable {
  /// Within what was promised.
  case green
  /// Beyond it, but within what is tolerated.
  case yellow
  /// Beyond that.
  case red
}

/// A rate and how much of it can come at once.
public struct MeterProfile: Hashable, Sendable {
  /// Units a second.
  public let rate: UInt64
  /// Units that fit into the bucket.
  public let burst: UInt64

  /// A rate with a burst.
  public init(rate: UInt64, burst: UInt64) {
    self.rate = rate
    self.burst = burst
  }
}

/// The whole units that a rate has brought, exactly: what is left of one is carried on. It does not drift, however small
/// the steps, and does not overflow, however long the pauses.
struct TokenFlow: Sendable {
  let rate: UInt64
  private var fraction: UInt64 = 0
  private var last: UInt64?

  init(rate: UInt64) { self.rate = rate }

  /// What has come since the last call; as much as can be counted after very long.
  /// - Parameter now: Nanoseconds on a clock that does not go back; if it does, nothing comes.
  mutating func take(now: UInt64) -> UInt64 {
    guard let last else {
      self.last = now
      return 0
    }
    guard now > last else { return 0 }
    self.last = now
    let product = (now &- last).multipliedFullWidth(by: rate)
    let (low, carry) = product.low.addingReportingOverflow(fraction)
    let high = product.high &+ (carry ? 1 : 0)
    guard high < 1_000_000_000 else {
      fraction = 0
      return .max
    }
    let (whole, rest) =
      high == 0
      ? low.quotientAndRemainder(dividingBy: 1_000_000_000) : UInt64(1_000_000_000).dividingFullWidth((high, low))
    fraction = rest
    return whole
  }
}

/// Colours packets by two token buckets, colour-blind or colour-aware, in exact integer arithmetic.
public struct ThreeColourMeter: Sendable {
  /// How the buckets are filled, and what is asked of them.
  public enum Method: Hashable, Sendable {
    /// A single rate that fills the committed bucket, and what flows over the excess one (RFC 2697).
    case singleRate(committed: MeterProfile, excessBurst: UInt64)
    /// Two rates; a packet within the committed one counts against the peak, too (RFC 2698).
    case twoRate(committed: MeterProfile, peak: MeterProfile)
    /// Two rates that are independent: the excess comes on top of what is committed (RFC 4115).
    case additive(committed: MeterProfile, excess: MeterProfile)
  }

  /// How it works.
  public let method: Method
  private let committedBurst: UInt64
  /// Of the other bucket: the excess's, or the peak's.
  private let otherBurst: UInt64
  private var committedFlow: TokenFlow
  private var otherFlow: TokenFlow?
  private var committed: UInt64
  private var other: UInt64

  /// A meter whose buckets are full.
  public init(_ method: Method) {
    self.method = method
    switch method {
    case .singleRate(let profile, let excessBurst):
      committedFlow = TokenFlow(rate: profile.rate)
      committedBurst = profile.burst
      otherBurst = excessBurst
    case .twoRate(let profile, let second), .additive(let profile, let second):
      committedFlow = TokenFlow(rate: profile.rate)
      otherFlow = TokenFlow(rate: second.rate)
      committedBurst = profile.burst
      otherBurst = second.burst
    }
    committed = committedBurst
    other = otherBurst
  }

  /// The colour of a packet, which takes its units from the buckets that say so.
  /// - Parameters:
  ///   - units: The packet's size, in the units of the rates.
  ///   - arriving: The colour that it came with; green where packets have none (colour-blind).
  ///   - now: Nanoseconds on a clock that does not go back.
  public mutating func colour(_ units: UInt64, arriving: MeterColour = .green, now: UInt64) -> MeterColour {
    refill(now)
    switch method {
    case .singleRate:
      if arriving == .green, committed >= units {
        committed -= units
        return .green
      }
      if arriving != .red, other >= units {
        other -= units
        return .yellow
      }
      return .red
    case .twoRate:
      if arriving == .red || other < units { return .red }
      other -= units
      if arriving == .yellow || committed < units { return .yellow }
      committed -= units
      return .green
    case .additive:
      // To the letter: something has to be left.
      if arriving == .green, committed > units {
        committed -= units
        return .green
      }
      if arriving != .red, other > units {
        other -= units
        return .yellow
      }
      return .red
    }
  }

  private mutating func refill(_ now: UInt64) {
    let gained = committedFlow.take(now: now)
    let room = committedBurst - committed
    committed += min(gained, room)
    // A single rate's second bucket gets what the first has no room for.
    let rest = otherFlow == nil ? gained - min(gained, room) : otherFlow?.take(now: now) ?? 0
    other += min(rest, otherBurst - other)
  }
}
