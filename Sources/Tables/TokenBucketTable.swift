/// Token buckets for any number of keys in fixed memory: one bucket serves all keys that fall into the same place. Which
/// do depends on a seed, so that nobody can aim at another's.
@safe
public struct TokenBucketTable: ~Copyable {
  private let buckets: UnsafeMutablePointer<TokenBucket>
  private let mask: UInt64
  /// Decides which keys share a bucket; to be set before the first use.
  public var seed: UInt64 = 0
  /// How many buckets there are.
  public let count: Int

  /// Full buckets.
  /// - Parameters:
  ///   - count: At least this many; rounded up to a power of two.
  ///   - rate: Units a second for each.
  ///   - burst: Units that fit into each.
  public init(count: Int, rate: UInt64, burst: UInt64) {
    var places = 1
    while places < count { places *= 2 }
    self.count = places
    mask = UInt64(places - 1)
    unsafe buckets = .allocate(capacity: places)
    unsafe buckets.initialize(repeating: TokenBucket(rate: rate, burst: burst), count: places)
  }

  deinit { unsafe buckets.deallocate() }

  /// Takes `units` from a key's bucket if that many are there.
  /// - Parameter now: Nanoseconds on a clock that does not go back.
  public mutating func take(_ units: UInt64, of key: UInt64, now: UInt64) -> Bool {
    let place = Int(truncatingIfNeeded: scramble(key ^ seed) & mask)
    return unsafe buckets[place].take(units, now: now)
  }
}

/// The finaliser of MurmurHash3: every input bit reaches every output bit.
@inline(__always)
func scramble(_ value: UInt64) -> UInt64 {
  var value = value
  value = (value ^ value >> 33) &* 0xFF51_AFD7_ED55_8CCD
  value = (value ^ value >> 33) &* 0xC4CE_B9FE_1A85_EC53
  return value ^ value >> 33
}
