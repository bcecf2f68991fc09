/// An IPv6 address.
@frozen
public struct IPv6Address: Hashable, Sendable, Comparable, LosslessStringConvertible {
  /// The first eight octets on the wire as a number in the host's byte order.
  public let high: UInt64
  /// The last eight octets on the wire as a number in the host's byte order.
  public let low: UInt64

  /// Makes an address of its two halves, in the host's byte order.
  @inlinable
  public init(high: UInt64, low: UInt64) {
    self.high = high
    self.low = low
  }

  /// The link-local address that an interface forms of its MAC address (RFC 4291 appendix A, modified EUI-64).
  @inlinable
  public init(linkLocal mac: MACAddress) {
    high = 0xFE80_0000_0000_0000
    let vendor = (mac.rawValue >> 24) ^ 0x02_0000
    low = vendor << 40 | 0xFF_FE00_0000 | mac.rawValue & 0xFF_FFFF
  }

  /// The address ::ffff:a.b.c.d that stands for an IPv4 address (RFC 4291 section 2.5.5.2).
  @inlinable
  public init(mapped address: IPv4Address) {
    high = 0
    low = 0xFFFF_0000_0000 | UInt64(address.rawValue)
  }

  /// Reads every form of RFC 4291 section 2.2, the one with an IPv4 address at the end included. Zones are refused.
  public init?(_ text: some StringProtocol) {
    self.init(utf8: Array(text.utf8))
  }

  init?(utf8 bytes: [UInt8]) {
    guard bytes.count >= 2, bytes.count <= 45 else { return nil }
    var groups: [UInt16] = []
    var gap: Int?
    var index = 0
    if bytes[0] == 0x3A {
      guard bytes[1] == 0x3A else { return nil }
      gap = 0
      index = 2
    }
    while index < bytes.count {
      let end = bytes[index...].firstIndex(of: 0x3A) ?? bytes.count
      let part = bytes[index..<end]
      if part.contains(0x2E) {
        guard end == bytes.count, let address = IPv4Address(utf8: part) else { return nil }
        groups.append(UInt16(truncatingIfNeeded: address.rawValue >> 16))
        groups.append(UInt16(truncatingIfNeeded: address.rawValue))
        break
      }
      guard let group = ASCII.hexadecimal(part, digits: 1...4, as: UInt16.self) else { return nil }
      groups.append(group)
      guard end < bytes.count else { break }
      index = end + 1
      guard index < bytes.count else { return nil }
      if bytes[index] == 0x3A {
        guard gap == nil else { return nil }
        gap = groups.count
        index += 1
      }
    }
    if let gap {
      guard groups.count < 8 else { return nil }
      groups.insert(contentsOf: repeatElement(0, count: 8 - groups.count), at: gap)
    }
    guard groups.count == 8 else { return nil }
    high = groups[..<4].reduce(0) { $0 << 16 | UInt64($1) }
    low = groups[4...].reduce(0) { $0 << 16 | UInt64($1) }
  }

  /// ::, the unspecified address.
  @inlinable
  public static var unspecified: IPv6Address { IPv6Address(high: 0, low: 0) }

  /// ::1, the loopback address.
  @inlinable
  public static var loopback: IPv6Address { IPv6Address(high: 0, low: 1) }

  /// ff02::1, every node on the link.
  @inlinable
  public static var allNodes: IPv6Address { IPv6Address(high: 0xFF02_0000_0000_0000, low: 1) }

  /// ff02::2, every router on the link.
  @inlinable
  public static var allRouters: IPv6Address { IPv6Address(high: 0xFF02_0000_0000_0000, low: 2) }

  /// Whether this is in ff00::/8.
  @inlinable
  public var isMulticast: Bool { high >> 56 == 0xFF }

  /// Whether this is in fe80::/10.
  @inlinable
  public var isLinkLocal: Bool { high >> 54 == 0xFE80 >> 6 }

  /// Whether this is a multicast address of link-local or interface-local scope (RFC 4291 section 2.7).
  @inlinable
  public var isLinkLocalMulticast: Bool { isMulticast && (high >> 48 & 0xF) <= 2 }

  /// Whether this is in fc00::/7 (RFC 4193).
  @inlinable
  public var isUniqueLocal: Bool { high >> 57 == 0xFC >> 1 }

  /// Whether this is ::.
  @inlinable
  public var isUnspecified: Bool { high | low == 0 }

  /// Whether this is ::1.
  @inlinable
  public var isLoopback: Bool { high == 0 && low == 1 }

  /// Whether this is in ::ffff:0:0/96 (RFC 4291 section 2.5.5.2).
  @inlinable
  public var isIPv4Mapped: Bool { high == 0 && low >> 32 == 0xFFFF }

  /// The multicast address that neighbour solicitations for this address go to (RFC 4291 section 2.7.1).
  @inlinable
  public var solicitedNode: IPv6Address {
    IPv6Address(high: 0xFF02_0000_0000_0000, low: 0x1_FF00_0000 | low & 0xFF_FFFF)
  }

  /// The octets, in the order they have on the wire.
  public var octets: [UInt8] {
    (0..<16).map { UInt8(truncatingIfNeeded: ($0 < 8 ? high : low) >> UInt64(56 - 8 * ($0 & 7))) }
  }

  /// The recommended text of RFC 5952, e.g. "2001:db8::1" and "::ffff:192.0.2.1".
  public var description: String {
    if isIPv4Mapped { return "::ffff:" + IPv4Address(rawValue: UInt32(truncatingIfNeeded: low)).description }
    let groups = (0..<8).map { UInt16(truncatingIfNeeded: ($0 < 4 ? high : low) >> UInt64(48 - 16 * ($0 & 3))) }
    var best = 0..<0
    var start = 0
    while start < 8 {
      var end = start
      while end < 8 && groups[end] == 0 { end += 1 }
      if end - start > best.count { best = start..<end }
      start = max(end, start + 1)
    }
    func text(_ range: Range<Int>) -> String {
      groups[range].map { String($0, radix: 16) }.joined(separator: ":")
    }
    // One group of zeros alone is written out (RFC 5952 section 4.2.2).
    guard best.count > 1 else { return text(0..<8) }
    return text(0..<best.lowerBound) + "::" + text(best.upperBound..<8)
  }

  /// Numeric order.
  @inlinable
  public static func < (left: IPv6Address, right: IPv6Address) -> Bool {
    (left.high, left.low) < (right.high, right.low)
  }
}
