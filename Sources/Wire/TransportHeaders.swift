/// UDP (RFC 768): 8 bytes.
///
///      0               2               4               6               8
///     +---------------+---------------+---------------+---------------+
///     |  source port  |   dest port   |    length     |   checksum    |
///     +---------------+---------------+---------------+---------------+
@frozen
public struct UDPHeader<Access: HeaderAccess>: ~Escapable {
  @usableFromInline let bytes: HeaderBytes

  /// The header's length in bytes.
  @inlinable public static var length: Int { 8 }

  /// - Parameter bytes: Stands on at least `length` bytes.
  @unsafe @inlinable @_lifetime(copy bytes)
  public init(unchecked bytes: HeaderBytes) { self.bytes = bytes }

  /// Source port.
  @inlinable public var sourcePort: UInt16 { bytes.word16(0) }
  /// Destination port.
  @inlinable public var destinationPort: UInt16 { bytes.word16(2) }
  /// Length of header and data in bytes.
  @inlinable public var datagramLength: UInt16 { bytes.word16(4) }
  /// Checksum; 0 says that none was computed.
  @inlinable public var checksum: UInt16 { bytes.word16(6) }
}

extension UDPHeader where Access == ReadWrite {
  /// Sets the source port and patches the checksum.
  @inlinable
  public func setSourcePort(_ port: UInt16) {
    setChecksum(Checksum.updatedUDP(checksum, replacing: sourcePort, with: port))
    bytes.set(0, word16: port)
  }

  /// Sets the destination port and patches the checksum.
  @inlinable
  public func setDestinationPort(_ port: UInt16) {
    setChecksum(Checksum.updatedUDP(checksum, replacing: destinationPort, with: port))
    bytes.set(2, word16: port)
  }

  /// Sets the checksum field as it is given.
  @inlinable public func setChecksum(_ value: UInt16) { bytes.set(6, word16: value) }

  /// Writes all fields.
  @inlinable
  public func set(sourcePort: UInt16, destinationPort: UInt16, datagramLength: UInt16, checksum: UInt16 = 0) {
    bytes.set(0, word16: sourcePort)
    bytes.set(2, word16: destinationPort)
    bytes.set(4, word16: datagramLength)
    bytes.set(6, word16: checksum)
  }
}

/// TCP (RFC 9293, 3.1): 20 bytes and up to 40 of options.
///
///      0               2               4                               8
///     +---------------+---------------+-------------------------------+
///     |  source port  |   dest port   |        sequence number        |
///     +---------------+---+---+-------+---------------+---------------+
///     |    acknowledgment     |off|flg|    window     |   checksum    | ...
///     +-----------------------+---+---+---------------+---------------+
@frozen
public struct TCPHeader<Access: HeaderAccess>: ~Escapable {
  @usableFromInline let bytes: HeaderBytes

  /// The length without options in bytes.
  @inlinable public static var minimumLength: Int { 20 }

  /// - Parameter bytes: Stands on as many bytes as the header's own data offset says, and that says at least 20.
  @unsafe @inlinable @_lifetime(copy bytes)
  public init(unchecked bytes: HeaderBytes) { self.bytes = bytes }

  /// Source port.
  @inlinable public var sourcePort: UInt16 { bytes.word16(0) }
  /// Destination port.
  @inlinable public var destinationPort: UInt16 { bytes.word16(2) }
  /// Sequence number of the first data octet.
  @inlinable public var sequenceNumber: UInt32 { bytes.word32(4) }
  /// The next sequence number that the sender expects.
  @inlinable public var acknowledgmentNumber: UInt32 { bytes.word32(8) }
  /// Length with options in bytes.
  @inlinable public var headerLength: Int { Int(bytes.byte(12) >> 4) * 4 }
  /// CWR to FIN.
  @inlinable public var flags: TCPFlags { TCPFlags(rawValue: bytes.byte(13)) }
  /// Receive window, not scaled.
  @inlinable public var window: UInt16 { bytes.word16(14) }
  /// Checksum over pseudo-header, header and data.
  @inlinable public var checksum: UInt16 { bytes.word16(16) }
}

extension TCPHeader where Access == ReadWrite {
  /// Sets the source port and patches the checksum.
  @inlinable
  public func setSourcePort(_ port: UInt16) {
    setChecksum(Checksum.updated(checksum, replacing: sourcePort, with: port))
    bytes.set(0, word16: port)
  }

  /// Sets the destination port and patches the checksum.
  @inlinable
  public func setDestinationPort(_ port: UInt16) {
    setChecksum(Checksum.updated(checksum, replacing: destinationPort, with: port))
    bytes.set(2, word16: port)
  }

  /// Sets the sequence number and patches the checksum.
  @inlinable
  public func setSequenceNumber(_ number: UInt32) {
    setChecksum(Checksum.updated(checksum, replacing: sequenceNumber, with: number))
    bytes.set(4, word32: number)
  }

  /// Sets the acknowledgement number and patches the checksum.
  @inlinable
  public func setAcknowledgmentNumber(_ number: UInt32) {
    setChecksum(Checksum.updated(checksum, replacing: acknowledgmentNumber, with: number))
    bytes.set(8, word32: number)
  }

  /// Sets the window field and patches the checksum.
  @inlinable
  public func setWindow(_ window: UInt16) {
    setChecksum(Checksum.updated(checksum, replacing: self.window, with: window))
    bytes.set(14, word16: window)
  }

  /// Sets the checksum field as it is given.
  @inlinable public func setChecksum(_ value: UInt16) { bytes.set(16, word16: value) }

  /// Writes a header of 20 bytes.
  @inlinable
  public func set(
    sourcePort: UInt16, destinationPort: UInt16, sequenceNumber: UInt32, acknowledgmentNumber: UInt32,
    flags: TCPFlags, window: UInt16, checksum: UInt16 = 0
  ) {
    bytes.set(0, word16: sourcePort)
    bytes.set(2, word16: destinationPort)
    bytes.set(4, word32: sequenceNumber)
    bytes.set(8, word32: acknowledgmentNumber)
    bytes.set(12, byte: 0x50)
    bytes.set(13, byte: flags.rawValue)
    bytes.set(14, word16: window)
    bytes.set(16, word16: checksum)
    bytes.set(18, word16: 0)
  }
}

/// ICMP (RFC 792) and ICMPv6 (RFC 4443): 8 bytes, the last four of which depend on the type.
///
///      0       1       2               4               6               8
///     +-------+-------+---------------+---------------+---------------+
///     | type  | code  |   checksum    |  identifier   |   sequence    |
///     +-------+-------+---------------+---------------+---------------+
@frozen
public struct ICMPHeader<Access: HeaderAccess>: ~Escapable {
  @usableFromInline let bytes: HeaderBytes

  /// The header's length in bytes.
  @inlinable public static var length: Int { 8 }

  /// - Parameter bytes: Stands on at least `length` bytes.
  @unsafe @inlinable @_lifetime(copy bytes)
  public init(unchecked bytes: HeaderBytes) { self.bytes = bytes }

  /// Message type.
  @inlinable public var type: UInt8 { bytes.byte(0) }
  /// Code within the type.
  @inlinable public var code: UInt8 { bytes.byte(1) }
  /// Checksum over the message (ICMPv6: and a pseudo-header).
  @inlinable public var checksum: UInt16 { bytes.word16(2) }
  /// Identifier of an echo message.
  @inlinable public var identifier: UInt16 { bytes.word16(4) }
  /// Sequence number of an echo message.
  @inlinable public var sequenceNumber: UInt16 { bytes.word16(6) }
}

extension ICMPHeader where Access == ReadWrite {
  /// Sets the type and patches the checksum.
  @inlinable
  public func setType(_ type: UInt8) {
    let old = bytes.word16(0)
    bytes.set(0, byte: type)
    setChecksum(Checksum.updated(checksum, replacing: old, with: bytes.word16(0)))
  }

  /// Sets the identifier and patches the checksum.
  @inlinable
  public func setIdentifier(_ identifier: UInt16) {
    setChecksum(Checksum.updated(checksum, replacing: self.identifier, with: identifier))
    bytes.set(4, word16: identifier)
  }

  /// Sets the checksum field as it is given.
  @inlinable public func setChecksum(_ value: UInt16) { bytes.set(2, word16: value) }

  /// Writes all 8 bytes, the checksum as 0.
  /// - Parameter rest: The last four bytes in the host's byte order: an MTU, a pointer, identifier and sequence number.
  @inlinable
  public func set(type: UInt8, code: UInt8, rest: UInt32) {
    bytes.set(0, word32: UInt32(type) << 24 | UInt32(code) << 16)
    bytes.set(4, word32: rest)
  }
}
