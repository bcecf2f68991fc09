/// A token bucket in exact integer arithmetic on a clock of the caller's: `burst` units fit, and `rate` units a second
/// flow in (RFC 2697 describes its use). No error accumulates, however small the steps or long the pauses.
@frozen
public struct TokenBucket: Sendable {
  /// Units a second.
  public let rate: UInt64
  /// Units that fit.
  public let burst: UInt64
  @usableFromInline var tokens: UInt64
  /// Billionths of a unit that have flowed in besides `tokens`.
  @usableFromInline var fraction: UInt64 = 0
  @usableFromInline var last: UInt64?

  /// A full bucket.
  @inlinable
  public init(rate: UInt64, burst: UInt64) {
    self.rate = rate
    self.burst = burst
    tokens = burst
  }

  /// Takes `units` if that many are there.
  /// - Parameter now: Nanoseconds on a clock that does not go back; if it does, nothing flows in.
  @inlinable
  public mutating func take(_ units: UInt64, now: UInt64) -> Bool {
    refill(now: now)
    guard tokens >= units else { return false }
    tokens &-= units
    return true
  }

  /// Lets flow in what the time since the last call brings.
  @inlinable
  public mutating func refill(now: UInt64) {
    guard let last else {
      self.last = now
      return
    }
    guard now > last else { return }
    self.last = now
    let product = (now &- last).multipliedFullWidth(by: rate)
    let (low, carry) = product.low.addingReportingOverflow(fraction)
    let high = product.high &+ (carry ? 1 : 0)
    // A quotient beyond 64 bits fills any bucket.
    guard high < 1_000_000_000 else {
      tokens = burst
      fraction = 0
      return
    }
    // Dividing 64 bits by a constant is a multiplication; 128 bits take a call.
    let (gained, rest) =
      high == 0
      ? low.quotientAndRemainder(dividingBy: 1_000_000_000) : UInt64(1_000_000_000).dividingFullWidth((high, low))
    let (sum, overflow) = tokens.addingReportingOverflow(gained)
    if overflow || sum >= burst {
      tokens = burst
      fraction = 0
    } else {
      tokens = sum
      fraction = rest
    }
  }
}
