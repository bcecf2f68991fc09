/// An IPv6 prefix whose addresses stand for IPv4 addresses (RFC 6052).
///
/// The IPv4 address stands behind the prefix, but for bits 64 to 71, which are zero (section 2.2).
@frozen
public struct IPv4EmbeddingPrefix: Sendable, Hashable, CustomStringConvertible {
  /// The prefix: 32, 40, 48, 56, 64 or 96 bits long.
  public let prefix: IPv6Prefix

  /// Lengths that a prefix can have.
  public static let lengths = [32, 40, 48, 56, 64, 96]

  /// Nothing when the length is none of the six, or bits 64 to 71 are not zero.
  public init?(_ prefix: IPv6Prefix) {
    guard Self.lengths.contains(Int(prefix.length)), prefix.address.low >> 56 == 0 else { return nil }
    self.prefix = prefix
  }

  @inlinable
  init(unchecked prefix: IPv6Prefix) { self.prefix = prefix }

  /// 64:ff9b::/96, the well-known prefix (section 2.1).
  @inlinable
  public static var wellKnown: IPv4EmbeddingPrefix {
    IPv4EmbeddingPrefix(
      unchecked: IPv6Prefix(masking: IPv6Address(high: 0x64_FF9B_0000_0000, low: 0), length: 96))
  }

  /// Whether this is the well-known prefix, which must not stand for addresses that are not global (section 3.1).
  @inlinable
  public var isWellKnown: Bool { self == .wellKnown }

  /// The IPv6 address that stands for an IPv4 address (section 2.3).
  @inlinable
  public func embed(_ address: IPv4Address) -> IPv6Address {
    let (high, low) = (prefix.address.high, prefix.address.low)
    let word = UInt64(address.rawValue)
    // Bits that stand before bit 64, and the rest, which begins behind bit 71.
    switch prefix.length {
    case 32: return IPv6Address(high: high | word, low: 0)
    case 40: return IPv6Address(high: high | word >> 8, low: (word & 0xFF) << 48)
    case 48: return IPv6Address(high: high | word >> 16, low: (word & 0xFFFF) << 40)
    case 56: return IPv6Address(high: high | word >> 24, low: (word & 0xFF_FFFF) << 32)
    case 64: return IPv6Address(high: high, low: word << 24)
    default: return IPv6Address(high: high, low: low | word)
    }
  }

  /// The IPv4 address that an IPv6 address stands for; nil when it is not in the prefix, or bits 64 to 71 are not zero.
  /// What stands behind the IPv4 address does not count (section 2.2).
  @inlinable
  public func extract(_ address: IPv6Address) -> IPv4Address? {
    guard prefix.contains(address), address.low >> 56 == 0 else { return nil }
    let (high, low) = (address.high, address.low)
    let word: UInt64 =
      switch prefix.length {
      case 32: high
      case 40: high << 8 | low >> 48
      case 48: high << 16 | low >> 40
      case 56: high << 24 | low >> 32
      case 64: low >> 24
      default: low
      }
    return IPv4Address(rawValue: UInt32(truncatingIfNeeded: word))
  }

  /// "64:ff9b::/96".
  public var description: String { prefix.description }
}

extension IPv4Address {
  /// Whether the address means the same all over the Internet: false for those of RFC 1918, RFC 6598 and section 3 of
  /// RFC 5735, and for groups.
  @inlinable
  public var isGlobal: Bool {
    if isPrivate || isThisNetwork || isLoopback || isLinkLocal || isMulticast || isReserved { return false }
    switch rawValue >> 8 {
    case 0xC0_0000, 0xC0_0002, 0xC0_5863, 0xC6_3364, 0xCB_0071: return false
    default: return rawValue >> 17 != 0xC612 >> 1 && rawValue >> 22 != 0x6440 >> 6
    }
  }
}
