/// A 48-bit IEEE 802 MAC address.
@frozen
public struct MACAddress: RawRepresentable, Hashable, Sendable, Comparable, LosslessStringConvertible {
  /// The address as a number: the first octet on the wire is bits 40 to 47, and bits 48 to 63 are zero.
  public let rawValue: UInt64

  /// Makes an address of the low 48 bits of `rawValue`; the others are ignored.
  @inlinable
  public init(rawValue: UInt64) {
    self.rawValue = rawValue & 0xFFFF_FFFF_FFFF
  }

  /// Makes an address of its octets, in the order they have on the wire.
  @inlinable
  public init(_ a: UInt8, _ b: UInt8, _ c: UInt8, _ d: UInt8, _ e: UInt8, _ f: UInt8) {
    let high = UInt64(a) << 40 | UInt64(b) << 32 | UInt64(c) << 24
    rawValue = high | UInt64(d) << 16 | UInt64(e) << 8 | UInt64(f)
  }

  /// The address that a multicast IPv4 packet is sent to (RFC 1112 section 6.4).
  @inlinable
  public init(multicast group: IPv4Address) {
    rawValue = 0x0100_5E00_0000 | UInt64(group.rawValue & 0x7F_FFFF)
  }

  /// The address that a multicast IPv6 packet is sent to (RFC 2464 section 7).
  @inlinable
  public init(multicast group: IPv6Address) {
    rawValue = 0x3333_0000_0000 | group.low & 0xFFFF_FFFF
  }

  /// Reads "02:00:5e:10:00:01", "02-00-5E-10-00-01" or "0200.5e10.0001"; nothing else.
  public init?(_ text: some StringProtocol) {
    let bytes = Array(text.utf8)
    let (width, separator): (Int, UInt8)
    switch bytes.count {
    case 17: (width, separator) = (2, bytes[2])
    case 14: (width, separator) = (4, bytes[4])
    default: return nil
    }
    guard width == 2 ? (separator == 0x3A || separator == 0x2D) : separator == 0x2E else { return nil }
    var value: UInt64 = 0
    for (index, byte) in bytes.enumerated() {
      if index % (width + 1) == width {
        guard byte == separator else { return nil }
      } else {
        guard let digit = ASCII.hexadecimalDigit(byte) else { return nil }
        value = value << 4 | UInt64(digit)
      }
    }
    rawValue = value
  }

  /// ff:ff:ff:ff:ff:ff.
  @inlinable
  public static var broadcast: MACAddress { MACAddress(rawValue: 0xFFFF_FFFF_FFFF) }

  /// 00:00:00:00:00:00, which no interface has.
  @inlinable
  public static var zero: MACAddress { MACAddress(rawValue: 0) }

  /// Whether the group bit is set, which broadcast has too.
  @inlinable
  public var isMulticast: Bool { rawValue & 0x0100_0000_0000 != 0 }

  /// Whether this is ff:ff:ff:ff:ff:ff.
  @inlinable
  public var isBroadcast: Bool { rawValue == 0xFFFF_FFFF_FFFF }

  /// Whether this is 00:00:00:00:00:00.
  @inlinable
  public var isZero: Bool { rawValue == 0 }

  /// Whether the address was made up by an administrator or a program rather than a vendor.
  @inlinable
  public var isLocallyAdministered: Bool { rawValue & 0x0200_0000_0000 != 0 }

  /// The octets, in the order they have on the wire.
  public var octets: [UInt8] {
    (0..<6).map { UInt8(truncatingIfNeeded: rawValue >> UInt64(40 - 8 * $0)) }
  }

  /// "02:00:5e:10:00:01".
  public var description: String {
    octets.map { ASCII.hexadecimal($0, width: 2) }.joined(separator: ":")
  }

  /// Numeric order.
  @inlinable
  public static func < (left: MACAddress, right: MACAddress) -> Bool { left.rawValue < right.rawValue }
}
