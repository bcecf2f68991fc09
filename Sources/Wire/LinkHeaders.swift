/// Ethernet II (IEEE 802.3): 14 bytes.
///
///      0                   6                  12          14
///     +-------------------+-------------------+-----------+
///     |    destination    |      source       | EtherType |
///     +-------------------+-------------------+-----------+
@frozen
public struct EthernetHeader<Access: HeaderAccess>: ~Escapable {
  @usableFromInline let bytes: HeaderBytes

  /// The header's length in bytes.
  @inlinable public static var length: Int { 14 }

  /// - Parameter bytes: Stands on at least `length` bytes.
  @unsafe @inlinable @_lifetime(copy bytes)
  public init(unchecked bytes: HeaderBytes) { self.bytes = bytes }

  /// Destination address.
  @inlinable public var destination: MACAddress { bytes.mac(0) }
  /// Source address.
  @inlinable public var source: MACAddress { bytes.mac(6) }
  /// EtherType, or a VLAN tag's protocol identifier, or a length when below 0x600.
  @inlinable public var etherType: EtherType { EtherType(rawValue: bytes.word16(12)) }
}

extension EthernetHeader where Access == ReadWrite {
  /// Sets the destination address.
  @inlinable public func setDestination(_ address: MACAddress) { bytes.set(0, mac: address) }
  /// Sets the source address.
  @inlinable public func setSource(_ address: MACAddress) { bytes.set(6, mac: address) }
  /// Sets the EtherType.
  @inlinable public func setEtherType(_ type: EtherType) { bytes.set(12, word16: type.rawValue) }

  /// Exchanges source and destination.
  @inlinable
  public func swapAddresses() {
    bytes.swapSixes()
  }

  /// Sets both addresses.
  @inlinable
  public func setAddresses(destination: MACAddress, source: MACAddress) {
    bytes.set(0, word64: destination.rawValue << 16 | source.rawValue >> 32)
    bytes.set(8, word32: UInt32(truncatingIfNeeded: source.rawValue))
  }

  /// Sets both addresses.
  @inlinable
  public func setAddresses(_ addresses: EthernetAddresses) {
    bytes.set(0, native64: addresses.first)
    bytes.set(8, native32: addresses.last)
  }
}

/// Destination and source address as they stand at the start of a frame, to be written to many.
@frozen
public struct EthernetAddresses: Hashable, Sendable {
  @usableFromInline let first: UInt64
  @usableFromInline let last: UInt32

  /// Puts two addresses beside each other.
  public init(destination: MACAddress, source: MACAddress) {
    first = (destination.rawValue << 16 | source.rawValue >> 32).bigEndian
    last = UInt32(truncatingIfNeeded: source.rawValue).bigEndian
  }
}

/// A VLAN tag (IEEE 802.1Q, 9.6) as it stands in the frame, its protocol identifier first: 4 bytes.
///
///      0                   2                   4
///     +-------------------+---+-+-------------+
///     |       TPID        |PCP|D|     VID     |
///     +-------------------+---+-+-------------+
@frozen
public struct VLANTagHeader<Access: HeaderAccess>: ~Escapable {
  @usableFromInline let bytes: HeaderBytes

  /// The tag's length in bytes.
  @inlinable public static var length: Int { 4 }

  /// - Parameter bytes: Stands on at least `length` bytes.
  @unsafe @inlinable @_lifetime(copy bytes)
  public init(unchecked bytes: HeaderBytes) { self.bytes = bytes }

  /// Tag protocol identifier: 0x8100 for a customer's tag, 0x88A8 for a provider's.
  @inlinable public var protocolIdentifier: EtherType { EtherType(rawValue: bytes.word16(0)) }
  /// Tag control information: priority, drop eligibility and identifier.
  @inlinable public var control: UInt16 { bytes.word16(2) }
  /// VLAN identifier, 0 for a priority tag.
  @inlinable public var identifier: UInt16 { control & 0x0FFF }
  /// Priority code point, 0 to 7.
  @inlinable public var priority: UInt8 { UInt8(truncatingIfNeeded: control >> 13) }
  /// Drop eligible indicator.
  @inlinable public var isDropEligible: Bool { control & 0x1000 != 0 }
}

extension VLANTagHeader where Access == ReadWrite {
  /// Writes the whole tag.
  @inlinable
  public func set(_ protocolIdentifier: EtherType, control: UInt16) {
    bytes.set(0, word32: UInt32(protocolIdentifier.rawValue) << 16 | UInt32(control))
  }

  /// Sets the tag control information: priority, drop eligibility and identifier.
  @inlinable public func setControl(_ control: UInt16) { bytes.set(2, word16: control) }

  /// Sets the VLAN identifier (the low 12 bits of `identifier`), leaving the priority.
  @inlinable
  public func setIdentifier(_ identifier: UInt16) {
    bytes.set(2, word16: control & 0xF000 | identifier & 0x0FFF)
  }

  /// Sets the priority code point (the low 3 bits of `priority`).
  @inlinable
  public func setPriority(_ priority: UInt8) { bytes.set(2, word16: control & 0x1FFF | UInt16(priority) << 13) }
}

/// ARP for IPv4 over Ethernet (RFC 826): 28 bytes.
///
///      0      2      4    5    6      8                14         18               24         28
///     +------+------+----+----+------+----------------+----------+----------------+----------+
///     | hard | prot | hl | pl |  op  | sender MAC     | sender IP| target MAC     | target IP|
///     +------+------+----+----+------+----------------+----------+----------------+----------+
@frozen
public struct ARPHeader<Access: HeaderAccess>: ~Escapable {
  @usableFromInline let bytes: HeaderBytes

  /// The packet's length in bytes.
  @inlinable public static var length: Int { 28 }

  /// - Parameter bytes: Stands on at least `length` bytes.
  @unsafe @inlinable @_lifetime(copy bytes)
  public init(unchecked bytes: HeaderBytes) { self.bytes = bytes }

  /// 1 for a request, 2 for a reply.
  @inlinable public var operation: UInt16 { bytes.word16(6) }
  /// Who sends, by hardware address.
  @inlinable public var senderMAC: MACAddress { bytes.mac(8) }
  /// Who sends, by protocol address.
  @inlinable public var senderIP: IPv4Address { IPv4Address(rawValue: bytes.word32(14)) }
  /// Who is meant, by hardware address; not known in a request.
  @inlinable public var targetMAC: MACAddress { bytes.mac(18) }
  /// Who is meant, by protocol address.
  @inlinable public var targetIP: IPv4Address { IPv4Address(rawValue: bytes.word32(24)) }
  /// Whether the fixed fields say Ethernet and IPv4.
  @inlinable
  public var isEthernetIPv4: Bool { bytes.word32(0) == 0x0001_0800 && bytes.word16(4) == 0x0604 }
}

extension ARPHeader where Access == ReadWrite {
  /// Writes all fields.
  @inlinable
  public func set(
    operation: UInt16, senderMAC: MACAddress, senderIP: IPv4Address, targetMAC: MACAddress, targetIP: IPv4Address
  ) {
    bytes.set(0, word32: 0x0001_0800)
    bytes.set(4, word16: 0x0604)
    bytes.set(6, word16: operation)
    bytes.set(8, mac: senderMAC)
    bytes.set(14, word32: senderIP.rawValue)
    bytes.set(18, mac: targetMAC)
    bytes.set(24, word32: targetIP.rawValue)
  }
}
