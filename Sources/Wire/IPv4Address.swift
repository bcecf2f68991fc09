/// An IPv4 address.
@frozen
public struct IPv4Address: RawRepresentable, Hashable, Sendable, Comparable, LosslessStringConvertible {
  /// The address as a number in the host's byte order: 10.0.0.1 is 0x0A000001.
  public let rawValue: UInt32

  /// Makes an address of a number in the host's byte order.
  @inlinable
  public init(rawValue: UInt32) {
    self.rawValue = rawValue
  }

  /// Makes an address of its octets: `IPv4Address(10, 0, 0, 1)`.
  @inlinable
  public init(_ a: UInt8, _ b: UInt8, _ c: UInt8, _ d: UInt8) {
    rawValue = UInt32(a) << 24 | UInt32(b) << 16 | UInt32(c) << 8 | UInt32(d)
  }

  /// Reads four decimal numbers with dots between them. Leading zeros are refused: some programs read them as octal.
  public init?(_ text: some StringProtocol) {
    self.init(utf8: text.utf8)
  }

  // Route tables have a million of these: one pass, and no parts.
  init?(utf8 text: some Collection<UInt8>) {
    var value: UInt32 = 0
    var octet: UInt32 = 0
    var digits = 0
    var dots = 0
    for byte in text {
      if byte == 0x2E {
        guard digits > 0, dots < 3 else { return nil }
        value = value << 8 | octet
        octet = 0
        digits = 0
        dots += 1
      } else {
        guard let digit = ASCII.decimalDigit(byte), digits == 0 || octet > 0 else { return nil }
        octet = octet * 10 + UInt32(digit)
        guard octet <= 255 else { return nil }
        digits += 1
      }
    }
    guard digits > 0, dots == 3 else { return nil }
    rawValue = value << 8 | octet
  }

  /// 0.0.0.0.
  @inlinable
  public static var unspecified: IPv4Address { IPv4Address(rawValue: 0) }

  /// 255.255.255.255.
  @inlinable
  public static var limitedBroadcast: IPv4Address { IPv4Address(rawValue: .max) }

  /// Whether this is in 224.0.0.0/4 (RFC 5771).
  @inlinable
  public var isMulticast: Bool { rawValue >> 28 == 0xE }

  /// Whether this is in 127.0.0.0/8 (RFC 1122 section 3.2.1.3).
  @inlinable
  public var isLoopback: Bool { rawValue >> 24 == 127 }

  /// Whether this is 0.0.0.0.
  @inlinable
  public var isUnspecified: Bool { rawValue == 0 }

  /// Whether this is in 0.0.0.0/8, "this network", which only a source that knows no better may use (RFC 1122).
  @inlinable
  public var isThisNetwork: Bool { rawValue >> 24 == 0 }

  /// Whether this is 255.255.255.255.
  @inlinable
  public var isLimitedBroadcast: Bool { rawValue == .max }

  /// Whether this is in 169.254.0.0/16 (RFC 3927).
  @inlinable
  public var isLinkLocal: Bool { rawValue >> 16 == 0xA9FE }

  /// Whether this is in 240.0.0.0/4, reserved, the limited broadcast address included (RFC 1112 section 4).
  @inlinable
  public var isReserved: Bool { rawValue >> 28 == 0xF }

  /// Whether this is in 10.0.0.0/8, 172.16.0.0/12 or 192.168.0.0/16 (RFC 1918).
  @inlinable
  public var isPrivate: Bool { rawValue >> 24 == 10 || rawValue >> 20 == 0xAC1 || rawValue >> 16 == 0xC0A8 }

  /// The octets, in the order they have on the wire.
  public var octets: [UInt8] {
    (0..<4).map { UInt8(truncatingIfNeeded: rawValue >> UInt32(24 - 8 * $0)) }
  }

  /// "10.0.0.1".
  public var description: String { octets.map { String($0) }.joined(separator: ".") }

  /// Numeric order.
  @inlinable
  public static func < (left: IPv4Address, right: IPv4Address) -> Bool { left.rawValue < right.rawValue }
}
