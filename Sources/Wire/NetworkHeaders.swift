/// IPv4 (RFC 791, 3.1): 20 bytes and up to 40 of options.
///
///      0       1       2               4               6               8
///     +---+---+-------+---------------+---------------+---+-----------+
///     | 4 |IHL|DS |ECN| total length  |identification |flg|  offset   |
///     +---+---+-------+---------------+---------------+---+-----------+
///     |  TTL  |protoc.|   checksum    |            source             |
///     +-------+-------+---------------+-------------------------------+
///     |          destination          |  options ...                  |
///     +-------------------------------+-------------------------------+
@frozen
public struct IPv4Header<Access: HeaderAccess>: ~Escapable {
  @usableFromInline let bytes: HeaderBytes

  /// The length without options in bytes.
  @inlinable public static var minimumLength: Int { 20 }

  /// - Parameter bytes: Stands on as many bytes as the header's own length field says, and that says at least 20.
  @unsafe @inlinable @_lifetime(copy bytes)
  public init(unchecked bytes: HeaderBytes) { self.bytes = bytes }

  /// Version; 4.
  @inlinable public var version: UInt8 { bytes.byte(0) >> 4 }
  /// Length with options in bytes.
  @inlinable public var headerLength: Int { Int(bytes.byte(0) & 0x0F) * 4 }
  /// Whether there are options.
  @inlinable public var hasOptions: Bool { bytes.byte(0) & 0x0F > 5 }
  /// Differentiated services code point and ECN (RFC 2474, RFC 3168).
  @inlinable public var trafficClass: UInt8 { bytes.byte(1) }
  /// Differentiated services code point.
  @inlinable public var dscp: UInt8 { trafficClass >> 2 }
  /// Explicit congestion notification: 0 not capable, 1 and 2 capable, 3 congestion experienced.
  @inlinable public var ecn: UInt8 { trafficClass & 3 }
  /// Length of the header and what it carries in bytes.
  @inlinable public var totalLength: UInt16 { bytes.word16(2) }
  /// Identification of the datagram that fragments belong to.
  @inlinable public var identification: UInt16 { bytes.word16(4) }
  /// Whether fragmenting is forbidden.
  @inlinable public var dontFragment: Bool { bytes.byte(6) & 0x40 != 0 }
  /// Whether more fragments follow.
  @inlinable public var moreFragments: Bool { bytes.byte(6) & 0x20 != 0 }
  /// Where this fragment's data stands in the datagram in bytes.
  @inlinable public var fragmentOffset: Int { Int(bytes.word16(6) & 0x1FFF) * 8 }
  /// Whether this is one fragment of several.
  @inlinable public var isFragment: Bool { bytes.word16(6) & 0x3FFF != 0 }
  /// Hops the packet may still take.
  @inlinable public var timeToLive: UInt8 { bytes.byte(8) }
  /// Protocol of what the header carries.
  @inlinable public var protocolNumber: IPProtocol { IPProtocol(rawValue: bytes.byte(9)) }
  /// Checksum over the header.
  @inlinable public var checksum: UInt16 { bytes.word16(10) }
  /// Source address.
  @inlinable public var source: IPv4Address { IPv4Address(rawValue: bytes.word32(12)) }
  /// Destination address.
  @inlinable public var destination: IPv4Address { IPv4Address(rawValue: bytes.word32(16)) }
  /// Whether the destination is a multicast group.
  @inlinable public var isMulticast: Bool { destination.isMulticast }
  /// Whether the checksum is right.
  @inlinable @inline(__always)
  public var isChecksumValid: Bool {
    guard !hasOptions else { return Checksum.isValid(bytes.sum(headerLength)) }
    return Checksum.isValidOver20(bytes)
  }
}

extension IPv4Header where Access == ReadWrite {
  /// Lowers the time-to-live by one and patches the checksum (RFC 1624). Leaves a time-to-live of 0 alone.
  @inlinable
  public func decrementTimeToLive() {
    // Time-to-live, protocol and checksum in one word, as they stand in memory: the time-to-live is the lowest byte, and
    // the checksum, its bytes exchanged, the upper half. It goes up by what the time-to-live goes down by, with the carry
    // that one's complement takes around; 0xFFFF becomes 0, as by equation 3.
    let word = UInt32(littleEndian: bytes.native32(8))
    guard word & 0xFF != 0 else { return }
    let patched = word &+ 0xFFFF &+ (word >= 0xFFFE_0000 ? 0x1_0000 : 0)
    bytes.set(8, native32: patched.littleEndian)
  }

  /// Sets the code point (the low 6 bits of `dscp`), leaving ECN, and patches the checksum.
  @inlinable
  public func setDSCP(_ dscp: UInt8) { setTrafficClass(dscp << 2 | ecn) }

  /// Sets the code point and ECN, and patches the checksum.
  @inlinable
  public func setTrafficClass(_ value: UInt8) {
    let old = bytes.word16(0)
    let new = old & 0xFF00 | UInt16(value)
    bytes.set(1, byte: value)
    bytes.set(10, word16: Checksum.updated(checksum, replacing: old, with: new))
  }

  /// Sets the source address and patches this header's checksum; a transport checksum is the caller's.
  @inlinable
  public func setSource(_ address: IPv4Address) {
    bytes.set(10, word16: Checksum.updated(checksum, replacing: source.rawValue, with: address.rawValue))
    bytes.set(12, word32: address.rawValue)
  }

  /// Sets the destination address and patches this header's checksum; a transport checksum is the caller's.
  @inlinable
  public func setDestination(_ address: IPv4Address) {
    bytes.set(10, word16: Checksum.updated(checksum, replacing: destination.rawValue, with: address.rawValue))
    bytes.set(16, word32: address.rawValue)
  }

  /// Sets the time-to-live and patches the checksum.
  @inlinable
  public func setTimeToLive(_ value: UInt8) {
    let old = bytes.word16(8)
    bytes.set(8, byte: value)
    bytes.set(10, word16: Checksum.updated(checksum, replacing: old, with: bytes.word16(8)))
  }

  /// Sets whether the packet must not be fragmented (DF) and patches the checksum.
  @inlinable
  public func setDontFragment(_ value: Bool) {
    let old = bytes.word16(6)
    let new = old & 0xBFFF | (value ? 0x4000 : 0)
    bytes.set(6, word16: new)
    bytes.set(10, word16: Checksum.updated(checksum, replacing: old, with: new))
  }

  /// Sets the fields in which fragments of a datagram differ, leaving DF, and computes the checksum anew.
  /// - Parameters:
  ///   - totalLength: Of the header and what it carries, in bytes.
  ///   - fragmentOffset: In bytes, a multiple of 8 below 65,536.
  @inlinable
  public func setFragment(totalLength: UInt16, fragmentOffset: Int, moreFragments: Bool) {
    bytes.set(2, word16: totalLength)
    let flags = bytes.word16(6) & 0xC000 | (moreFragments ? 0x2000 : 0)
    bytes.set(6, word16: flags | UInt16(truncatingIfNeeded: fragmentOffset >> 3) & 0x1FFF)
    bytes.set(10, word16: 0)
    bytes.set(10, word16: Checksum.complement(bytes.sum(headerLength)))
  }

  /// Writes a header of 20 bytes and its checksum.
  @inlinable
  public func set(
    trafficClass: UInt8 = 0, totalLength: UInt16, identification: UInt16 = 0, dontFragment: Bool = false,
    timeToLive: UInt8 = 64, protocolNumber: IPProtocol, source: IPv4Address, destination: IPv4Address
  ) {
    bytes.set(0, byte: 0x45)
    bytes.set(1, byte: trafficClass)
    bytes.set(2, word16: totalLength)
    bytes.set(4, word16: identification)
    bytes.set(6, word16: dontFragment ? 0x4000 : 0)
    bytes.set(8, byte: timeToLive)
    bytes.set(9, byte: protocolNumber.rawValue)
    bytes.set(10, word16: 0)
    bytes.set(12, word32: source.rawValue)
    bytes.set(16, word32: destination.rawValue)
    bytes.set(10, word16: Checksum.complement(bytes.sum(Self.minimumLength)))
  }
}

/// IPv6 (RFC 8200, 3): 40 bytes, extension headers apart.
///
///      0       1               4               6       7       8
///     +---+-------+-----------+---------------+-------+-------+
///     | 6 | class | flow label|payload length | next  | hops  |
///     +---+-------+-----------+---------------+-------+-------+
///     |                        source                         |
///     |                     (16 bytes)                        |
///     +-------------------------------------------------------+
///     |                     destination                       |
///     |                     (16 bytes)                        |
///     +-------------------------------------------------------+
@frozen
public struct IPv6Header<Access: HeaderAccess>: ~Escapable {
  @usableFromInline let bytes: HeaderBytes

  /// The header's length in bytes.
  @inlinable public static var length: Int { 40 }

  /// - Parameter bytes: Stands on at least `length` bytes.
  @unsafe @inlinable @_lifetime(copy bytes)
  public init(unchecked bytes: HeaderBytes) { self.bytes = bytes }

  /// Version; 6.
  @inlinable public var version: UInt8 { bytes.byte(0) >> 4 }
  /// Traffic class: code point and ECN.
  @inlinable public var trafficClass: UInt8 { UInt8(truncatingIfNeeded: bytes.word16(0) >> 4) }
  /// Differentiated services code point.
  @inlinable public var dscp: UInt8 { trafficClass >> 2 }
  /// Explicit congestion notification: 0 not capable, 1 and 2 capable, 3 congestion experienced.
  @inlinable public var ecn: UInt8 { trafficClass & 3 }
  /// Flow label, 20 bits (RFC 6437).
  @inlinable public var flowLabel: UInt32 { bytes.word32(0) & 0xF_FFFF }
  /// Length of what follows this header in bytes, extension headers included.
  @inlinable public var payloadLength: UInt16 { bytes.word16(4) }
  /// Protocol number of the header that follows this one.
  @inlinable public var nextHeader: IPProtocol { IPProtocol(rawValue: bytes.byte(6)) }
  /// Hops the packet may still take.
  @inlinable public var hopLimit: UInt8 { bytes.byte(7) }
  /// Source address.
  @inlinable public var source: IPv6Address { bytes.ipv6(8) }
  /// Destination address.
  @inlinable public var destination: IPv6Address { bytes.ipv6(24) }
  /// Whether the destination is a multicast group.
  @inlinable public var isMulticast: Bool { bytes.byte(24) == 0xFF }
}

extension IPv6Header where Access == ReadWrite {
  /// Lowers the hop limit by one. Leaves a hop limit of 0 alone.
  @inlinable
  public func decrementHopLimit() {
    let limit = hopLimit
    if limit > 0 { bytes.set(7, byte: limit &- 1) }
  }

  /// Sets the hop limit.
  @inlinable public func setHopLimit(_ value: UInt8) { bytes.set(7, byte: value) }

  /// Sets the code point (the low 6 bits of `dscp`), leaving ECN.
  @inlinable
  public func setDSCP(_ dscp: UInt8) { setTrafficClass(dscp << 2 | ecn) }

  /// Sets the code point and ECN.
  @inlinable
  public func setTrafficClass(_ value: UInt8) {
    bytes.set(0, word16: bytes.word16(0) & 0xF00F | UInt16(value) << 4)
  }

  /// Sets the length of what follows this header, in bytes.
  @inlinable public func setPayloadLength(_ length: UInt16) { bytes.set(4, word16: length) }

  /// Sets the source address; a transport checksum is the caller's.
  @inlinable public func setSource(_ address: IPv6Address) { bytes.set(8, ipv6: address) }
  /// Sets the destination address; a transport checksum is the caller's.
  @inlinable public func setDestination(_ address: IPv6Address) { bytes.set(24, ipv6: address) }

  /// Writes all 40 bytes.
  @inlinable
  public func set(
    trafficClass: UInt8 = 0, flowLabel: UInt32 = 0, payloadLength: UInt16, nextHeader: IPProtocol,
    hopLimit: UInt8 = 64, source: IPv6Address, destination: IPv6Address
  ) {
    bytes.set(0, word32: 0x6000_0000 | UInt32(trafficClass) << 20 | flowLabel & 0xF_FFFF)
    bytes.set(4, word16: payloadLength)
    bytes.set(6, byte: nextHeader.rawValue)
    bytes.set(7, byte: hopLimit)
    bytes.set(8, ipv6: source)
    bytes.set(24, ipv6: destination)
  }
}
