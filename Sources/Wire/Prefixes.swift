/// Why a text is not an address prefix.
public enum PrefixError: Error, Hashable, Sendable {
  /// What stands before the slash is not an address of the version wanted.
  case notAnAddress
  /// What stands after the slash is not a number from 0 to the address's width.
  case lengthOutOfRange
  /// The address has bits set behind the length; the prefix that contains it is given.
  case hostBitsSet(containedIn: IPPrefix)
}

/// An IPv4 address prefix such as 10.0.0.0/8. The bits behind its length are zero.
@frozen
public struct IPv4Prefix: Hashable, Sendable, Comparable, LosslessStringConvertible {
  /// The first address of the prefix.
  public let address: IPv4Address
  /// The number of bits that count, 0 to 32.
  public let length: UInt8

  /// Makes a prefix, or nothing when `length` exceeds 32 or `address` has bits set behind it.
  @inlinable
  public init?(_ address: IPv4Address, length: Int) {
    guard (0...32).contains(length), address.rawValue & ~Self.maskBits(length) == 0 else { return nil }
    self.init(masking: address, length: length)
  }

  /// The prefix of `length` bits that `address` is in. A length outside 0 to 32 counts as the nearer end.
  @inlinable
  public init(masking address: IPv4Address, length: Int) {
    let length = min(max(length, 0), 32)
    self.address = IPv4Address(rawValue: address.rawValue & Self.maskBits(length))
    self.length = UInt8(truncatingIfNeeded: length)
  }

  /// The prefix that has one address.
  @inlinable
  public init(host address: IPv4Address) { self.init(masking: address, length: 32) }

  /// Reads "10.0.0.0/8", or an address alone as the prefix of just that one.
  public init(parsing text: some StringProtocol) throws(PrefixError) {
    try self.init(parsing: Array(text.utf8)[...])
  }

  /// Reads the same from UTF-8, without making a string of it.
  public init(parsing text: ArraySlice<UInt8>) throws(PrefixError) {
    let (head, length) = try splitPrefix(text, width: 32)
    guard let address = IPv4Address(utf8: head) else { throw .notAnAddress }
    self.init(masking: address, length: length)
    guard self.address == address else { throw .hostBitsSet(containedIn: .v4(self)) }
  }

  /// Reads what `init(parsing:)` reads.
  public init?(_ text: some StringProtocol) {
    guard let prefix = try? Self(parsing: text) else { return nil }
    self = prefix
  }

  /// 0.0.0.0/0.
  @inlinable
  public static var all: IPv4Prefix { IPv4Prefix(masking: .unspecified, length: 0) }

  @inlinable
  static func maskBits(_ length: Int) -> UInt32 { length == 0 ? 0 : .max << UInt32(truncatingIfNeeded: 32 - length) }

  /// The mask, e.g. 255.0.0.0 for a length of 8.
  @inlinable
  public var mask: IPv4Address { IPv4Address(rawValue: Self.maskBits(Int(length))) }

  /// The last address of the prefix, which on a link is its broadcast address.
  @inlinable
  public var lastAddress: IPv4Address { IPv4Address(rawValue: address.rawValue | ~mask.rawValue) }

  /// Whether `address` is in the prefix.
  @inlinable
  public func contains(_ address: IPv4Address) -> Bool {
    (address.rawValue ^ self.address.rawValue) & mask.rawValue == 0
  }

  /// Whether every address of `other` is in this prefix.
  @inlinable
  public func contains(_ other: IPv4Prefix) -> Bool { other.length >= length && contains(other.address) }

  /// "10.0.0.0/8".
  public var description: String { "\(address)/\(length)" }

  /// Order of first addresses, then shorter before longer.
  @inlinable
  public static func < (left: IPv4Prefix, right: IPv4Prefix) -> Bool {
    (left.address, left.length) < (right.address, right.length)
  }
}

/// An IPv6 address prefix such as 2001:db8::/32. The bits behind its length are zero.
@frozen
public struct IPv6Prefix: Hashable, Sendable, Comparable, LosslessStringConvertible {
  /// The first address of the prefix.
  public let address: IPv6Address
  /// The number of bits that count, 0 to 128.
  public let length: UInt8

  /// Makes a prefix, or nothing when `length` exceeds 128 or `address` has bits set behind it.
  @inlinable
  public init?(_ address: IPv6Address, length: Int) {
    guard (0...128).contains(length) else { return nil }
    self.init(masking: address, length: length)
    guard self.address == address else { return nil }
  }

  /// The prefix of `length` bits that `address` is in. A length outside 0 to 128 counts as the nearer end.
  @inlinable
  public init(masking address: IPv6Address, length: Int) {
    let length = min(max(length, 0), 128)
    let mask = Self.maskBits(length)
    self.address = IPv6Address(high: address.high & mask.high, low: address.low & mask.low)
    self.length = UInt8(truncatingIfNeeded: length)
  }

  /// The prefix that has one address.
  @inlinable
  public init(host address: IPv6Address) { self.init(masking: address, length: 128) }

  /// Reads "2001:db8::/32", or an address alone as the prefix of just that one.
  public init(parsing text: some StringProtocol) throws(PrefixError) {
    try self.init(parsing: Array(text.utf8)[...])
  }

  /// Reads the same from UTF-8, without making a string of it.
  public init(parsing text: ArraySlice<UInt8>) throws(PrefixError) {
    let (head, length) = try splitPrefix(text, width: 128)
    guard let address = IPv6Address(utf8: Array(head)) else { throw .notAnAddress }
    self.init(masking: address, length: length)
    guard self.address == address else { throw .hostBitsSet(containedIn: .v6(self)) }
  }

  /// Reads what `init(parsing:)` reads.
  public init?(_ text: some StringProtocol) {
    guard let prefix = try? Self(parsing: text) else { return nil }
    self = prefix
  }

  /// ::/0.
  @inlinable
  public static var all: IPv6Prefix { IPv6Prefix(masking: .unspecified, length: 0) }

  @inlinable
  static func maskBits(_ length: Int) -> IPv6Address {
    // Swift's `<<` on fixed widths gives 0 when shifting by 64, which is what an empty half wants.
    IPv6Address(high: .max << UInt64(max(0, 64 - length)), low: .max << UInt64(min(64, 128 - length)))
  }

  /// The mask, e.g. ffff:ffff:: for a length of 32.
  @inlinable
  public var mask: IPv6Address { Self.maskBits(Int(length)) }

  /// The last address of the prefix.
  @inlinable
  public var lastAddress: IPv6Address {
    IPv6Address(high: address.high | ~mask.high, low: address.low | ~mask.low)
  }

  /// Whether `address` is in the prefix.
  @inlinable
  public func contains(_ address: IPv6Address) -> Bool {
    let mask = mask
    return (address.high ^ self.address.high) & mask.high | (address.low ^ self.address.low) & mask.low == 0
  }

  /// Whether every address of `other` is in this prefix.
  @inlinable
  public func contains(_ other: IPv6Prefix) -> Bool { other.length >= length && contains(other.address) }

  /// "2001:db8::/32".
  public var description: String { "\(address)/\(length)" }

  /// Order of first addresses, then shorter before longer.
  @inlinable
  public static func < (left: IPv6Prefix, right: IPv6Prefix) -> Bool {
    (left.address, left.length) < (right.address, right.length)
  }
}

/// An address prefix of either version of IP.
@frozen
public enum IPPrefix: Hashable, Sendable, Comparable, LosslessStringConvertible {
  /// An IPv4 prefix.
  case v4(IPv4Prefix)
  /// An IPv6 prefix.
  case v6(IPv6Prefix)

  /// Reads a prefix, or an address alone as the prefix of just that one.
  public init(parsing text: some StringProtocol) throws(PrefixError) {
    try self.init(parsing: Array(text.utf8)[...])
  }

  /// Reads the same from UTF-8, without making a string of it.
  public init(parsing text: ArraySlice<UInt8>) throws(PrefixError) {
    if text.contains(0x3A) {
      self = .v6(try IPv6Prefix(parsing: text))
    } else {
      self = .v4(try IPv4Prefix(parsing: text))
    }
  }

  /// Reads what `init(parsing:)` reads.
  public init?(_ text: some StringProtocol) {
    guard let prefix = try? Self(parsing: text) else { return nil }
    self = prefix
  }

  /// The number of bits that count.
  @inlinable
  public var length: Int {
    switch self {
    case .v4(let prefix): Int(prefix.length)
    case .v6(let prefix): Int(prefix.length)
    }
  }

  /// The first address of the prefix.
  @inlinable
  public var address: IPAddress {
    switch self {
    case .v4(let prefix): .v4(prefix.address)
    case .v6(let prefix): .v6(prefix.address)
    }
  }

  /// Whether `address` is of the prefix's version and in it.
  @inlinable
  public func contains(_ address: IPAddress) -> Bool {
    switch (self, address) {
    case (.v4(let prefix), .v4(let address)): prefix.contains(address)
    case (.v6(let prefix), .v6(let address)): prefix.contains(address)
    default: false
    }
  }

  /// The prefix as its version prints it.
  public var description: String {
    switch self {
    case .v4(let prefix): prefix.description
    case .v6(let prefix): prefix.description
    }
  }
}

private func splitPrefix(
  _ text: ArraySlice<UInt8>, width: UInt8
) throws(PrefixError) -> (address: ArraySlice<UInt8>, length: Int) {
  guard let slash = text.lastIndex(of: 0x2F) else { return (text, Int(width)) }
  guard let length = ASCII.decimal(text[(slash + 1)...], as: UInt8.self), length <= width else {
    throw .lengthOutOfRange
  }
  return (text[..<slash], Int(length))
}
