/// A keyed hash that nobody without the key can foresee: SipHash-2-4 (Aumasson and Bernstein).
@frozen
public struct SipHash: Sendable {
  private let k0: UInt64
  private let k1: UInt64

  /// A hash of this key.
  public init(key: (UInt64, UInt64)) { (k0, k1) = key }

  /// The hash of words, whose bytes count from the lowest on.
  public func hash<let count: Int>(_ words: InlineArray<count, UInt64>) -> UInt64 {
    var v0 = k0 ^ 0x736F_6D65_7073_6575
    var v1 = k1 ^ 0x646F_7261_6E64_6F6D
    var v2 = k0 ^ 0x6C79_6765_6E65_7261
    var v3 = k1 ^ 0x7465_6462_7974_6573
    func rotate(_ value: UInt64, _ count: UInt64) -> UInt64 { value << count | value >> (64 - count) }
    func round() {
      v0 = v0 &+ v1
      v2 = v2 &+ v3
      v1 = rotate(v1, 13) ^ v0
      v3 = rotate(v3, 16) ^ v2
      v0 = rotate(v0, 32)
      v2 = v2 &+ v1
      v0 = v0 &+ v3
      v1 = rotate(v1, 17) ^ v2
      v3 = rotate(v3, 21) ^ v0
      v2 = rotate(v2, 32)
    }
    for index in words.indices {
      v3 ^= words[index]
      round()
      round()
      v0 ^= words[index]
    }
    let last = UInt64(count * 8 & 0xFF) << 56
    v3 ^= last
    round()
    round()
    v0 ^= last
    v2 ^= 0xFF
    round()
    round()
    round()
    round()
    return v0 ^ v1 ^ v2 ^ v3
  }
}

/// Initial sequence numbers that remember what a SYN said, so that its answer needs no state (RFC 4987, 3.6).
///
/// A cookie has 24 bits of a keyed hash of the connection, the client's sequence number and the time, and 8 that say which
/// of a few segment sizes and window scales were asked for, whether selective acknowledgements were, and which of two
/// periods it is of. It is good for one to two periods of 64 seconds.
public struct SYNCookies: Sendable {
  /// What a SYN asked for, as far as a cookie remembers it.
  public struct Options: Hashable, Sendable, BitwiseCopyable {
    /// The largest segment that the client takes, in bytes.
    public var segmentSize: UInt16
    /// The scale of the client's windows; nil without the option.
    public var windowScale: UInt8?
    /// Whether the client knows selective acknowledgements (RFC 2018).
    public var selective: Bool

    /// Options of a SYN; a segment size of 536 is what one without the option means (RFC 9293, 3.7.1).
    public init(segmentSize: UInt16 = 536, windowScale: UInt8? = nil, selective: Bool = false) {
      self.segmentSize = segmentSize
      self.windowScale = windowScale
      self.selective = selective
    }
  }

  /// Addresses and ports of a connection, in the client's direction, as words.
  public typealias Connection = InlineArray<5, UInt64>

  /// How long a cookie is of the current period, in nanoseconds.
  public static var period: UInt64 { 64_000_000_000 }

  private let hash: SipHash

  /// Cookies of a secret.
  public init(secret: (UInt64, UInt64)) { hash = SipHash(key: secret) }

  /// The segment sizes that a cookie can tell, in bytes; smaller ones count as the smallest.
  private static func segmentSize(_ index: UInt32) -> UInt16 {
    switch index {
    case 0: 216
    case 1: 536
    case 2: 1220
    case 3: 1360
    case 4: 1400
    case 5: 1440
    case 6: 1460
    default: 8940
    }
  }

  /// The window scales that a cookie can tell; nil for none.
  private static func windowScale(_ index: UInt32) -> UInt8? {
    switch index {
    case 0: nil
    case 1: 0
    case 2: 2
    case 3: 4
    case 4: 6
    case 5: 7
    case 6: 8
    default: 10
    }
  }

  /// The cookie for a SYN.
  /// - Parameters:
  ///   - sequence: The SYN's.
  ///   - now: Nanoseconds.
  public func make(_ connection: Connection, sequence: UInt32, _ options: Options, now: UInt64) -> UInt32 {
    var size: UInt32 = 7
    while size > 0, Self.segmentSize(size) > options.segmentSize { size -= 1 }
    var scale: UInt32 = 0
    if let wanted = options.windowScale {
      scale = 7
      while scale > 1, Self.windowScale(scale) ?? 0 > wanted { scale -= 1 }
    }
    let period = now / Self.period
    let told = size | scale << 3 | (options.selective ? 0x40 : 0) | UInt32(period & 1) << 7
    return cookie(connection, sequence, period, told)
  }

  /// What the SYN asked for that was answered with a cookie; nil when the number is none, or too old.
  /// - Parameters:
  ///   - cookie: The number that was acknowledged, less one.
  ///   - sequence: The SYN's: that of the acknowledgement, less one.
  public func check(_ cookie: UInt32, _ connection: Connection, sequence: UInt32, now: UInt64) -> Options? {
    let current = now / Self.period
    return options(cookie, connection, sequence, current)
      ?? (current > 0 ? options(cookie, connection, sequence, current - 1) : nil)
  }

  private func options(
    _ cookie: UInt32, _ connection: Connection, _ sequence: UInt32, _ period: UInt64
  ) -> Options? {
    let told = cookie & 0xFF ^ mask(connection, sequence, period)
    guard told >> 7 == UInt32(period & 1), self.cookie(connection, sequence, period, told) == cookie else { return nil }
    return Options(
      segmentSize: Self.segmentSize(told & 7), windowScale: Self.windowScale(told >> 3 & 7),
      selective: told & 0x40 != 0)
  }

  /// The eight bits are hidden by bits of a hash that does not depend on them, and the other 24 depend on them.
  private func cookie(_ connection: Connection, _ sequence: UInt32, _ period: UInt64, _ told: UInt32) -> UInt32 {
    let proof = proof(connection, UInt64(sequence) << 32 | UInt64(told), period << 1 | 1)
    return UInt32(truncatingIfNeeded: proof >> 40) << 8 | told ^ mask(connection, sequence, period)
  }

  private func mask(_ connection: Connection, _ sequence: UInt32, _ period: UInt64) -> UInt32 {
    UInt32(truncatingIfNeeded: proof(connection, UInt64(sequence) << 32, period << 1)) & 0xFF
  }

  private func proof(_ connection: Connection, _ rest: UInt64, _ time: UInt64) -> UInt64 {
    let words: InlineArray<7, UInt64> = [
      connection[0], connection[1], connection[2], connection[3], connection[4], rest, time,
    ]
    return hash.hash(words)
  }
}
