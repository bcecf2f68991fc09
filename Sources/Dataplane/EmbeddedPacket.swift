import CDPDK
public import Wire

/// The packet that an ICMP or ICMPv6 error is about, as far as the error has it embedded (RFC 792, RFC 4443 section 3).
///
/// What errors embed was cut off anywhere by whoever sent them, and may have been made up: lengths that it claims are not
/// believed, only bytes that are there. Values say what stands there: the source is the sender of the packet that met the
/// error, which is where the error goes.
@frozen
public struct EmbeddedPacket: Sendable {
  /// Whether this is an IPv6 packet; of the same version as the error's.
  public let isIPv6: Bool
  /// The protocol of the transport header, or of what later fragments have a piece of.
  public let protocolNumber: IPProtocol
  /// Whether this is one fragment of several.
  public let isFragment: Bool
  /// Whether this is a fragment that is not the first, and so has no ports.
  public let isLaterFragment: Bool
  /// Whether the IPv4 header's checksum is right; true for IPv6.
  public let isHeaderChecksumValid: Bool
  /// Whether it is an ICMP error itself, which none may be sent about (RFC 1122 section 3.2.2, RFC 4443 section 2.4).
  public let isError: Bool
  /// Whether `sourcePort` and `destinationPort` mean something: of TCP, UDP, UDP-Lite, SCTP and DCCP, and of ICMP queries
  /// and replies, which have their identifier for both.
  public let hasPorts: Bool
  /// Source port, or ICMP identifier, in the host's byte order; 0 without one.
  public let sourcePort: UInt16
  /// Destination port, or ICMP identifier, in the host's byte order; 0 without one.
  public let destinationPort: UInt16
  /// TCP's sequence number; nil for other protocols, and in later fragments.
  public let sequenceNumber: UInt32?
  /// Type of service or traffic class.
  public let trafficClass: UInt8
  /// Length in bytes that the IP header claims, header included; never checked, and larger than what is embedded as a rule.
  public let claimedLength: Int
  /// Where its IP header begins in the frame in bytes.
  public let networkOffset: Int
  /// Where its transport header begins in the frame in bytes; nil in later fragments.
  public let transportOffset: Int?
  /// Where in the frame the message ends that it is embedded in, as far as it is at hand.
  public let end: Int
  @usableFromInline let source: IPv6Address
  @usableFromInline let destination: IPv6Address

  /// Source address of an IPv4 packet.
  @inlinable public var ipv4Source: IPv4Address { IPv4Address(rawValue: UInt32(truncatingIfNeeded: source.low)) }
  /// Destination address of an IPv4 packet.
  @inlinable
  public var ipv4Destination: IPv4Address { IPv4Address(rawValue: UInt32(truncatingIfNeeded: destination.low)) }
  /// Source address of an IPv6 packet.
  @inlinable public var ipv6Source: IPv6Address { source }
  /// Destination address of an IPv6 packet.
  @inlinable public var ipv6Destination: IPv6Address { destination }
}

extension Packet {
  /// The packet that this ICMP or ICMPv6 error is about.
  ///
  /// Nil when this is no error, and when less is embedded than names the packet's session: the IP header with its options,
  /// or all extension headers, and, but for later fragments and protocols without ports, 8 bytes of the transport header
  /// (RFC 792; RFC 1812 section 4.3.2.3).
  public var embedded: EmbeddedPacket? {
    guard icmpKind == .error, !isLaterFragment else { return nil }
    let inner = transportOffset + 8
    let end = unsafe min(contiguousLength, networkOffset + Int(mbuf.pointee.network_length))
    return isIPv6 ? unsafe embeddedIPv6(at: inner, end: end) : unsafe embeddedIPv4(at: inner, end: end)
  }

  /// Gives the packet embedded in this ICMP error another source: the address, the embedded IPv4 header's checksum, the
  /// port or ICMP identifier and the embedded transport checksum where they are there, and this ICMP message's checksum,
  /// all patched (RFC 1624; RFC 5508 section 4.2). SCTP's checksum, which nobody verifies here, is left alone. The outer
  /// addresses are `translateSource`'s and `translateDestination`'s.
  /// - Parameters:
  ///   - address: The new source address of the embedded packet.
  ///   - port: The new port or identifier in the host's byte order; nil leaves it.
  /// - Returns: False, with the packet unchanged, when there is no embedded IPv4 packet, or when the bytes are shared and
  ///   no buffer is left.
  public mutating func translateEmbeddedSource(_ address: IPv4Address, port: UInt16? = nil) -> Bool {
    unsafe translateEmbedded(address, addressAt: 12, port, portAt: 0)
  }

  /// Gives the packet embedded in this ICMP error another destination; see `translateEmbeddedSource`.
  public mutating func translateEmbeddedDestination(_ address: IPv4Address, port: UInt16? = nil) -> Bool {
    unsafe translateEmbedded(address, addressAt: 16, port, portAt: 2)
  }

  /// Gives the packet embedded in this ICMPv6 error another source, as for IPv4.
  public mutating func translateEmbeddedSource(_ address: IPv6Address, port: UInt16? = nil) -> Bool {
    unsafe translateEmbedded(address, addressAt: 8, port, portAt: 0)
  }

  /// Gives the packet embedded in this ICMPv6 error another destination, as for IPv4.
  public mutating func translateEmbeddedDestination(_ address: IPv6Address, port: UInt16? = nil) -> Bool {
    unsafe translateEmbedded(address, addressAt: 24, port, portAt: 2)
  }

  // MARK: Reading

  @unsafe
  private borrowing func embeddedIPv4(at inner: Int, end: Int) -> EmbeddedPacket? {
    guard inner + 20 <= end, unsafe load8(inner) >> 4 == 4 else { return nil }
    let headerLength = unsafe Int(load8(inner) & 15) * 4
    guard headerLength >= 20, inner + headerLength <= end else { return nil }
    let fragment = unsafe load16(inner + 6)
    let sum = unsafe Checksum.sum(UnsafeRawBufferPointer(start: start + inner, count: headerLength))
    return unsafe embedded(
      isIPv6: false, at: inner, transport: inner + headerLength, end: end, number: load8(inner + 9),
      isFragment: fragment & 0x3FFF != 0, isLater: fragment & 0x1FFF != 0, isSumValid: Checksum.isValid(sum))
  }

  @unsafe
  private borrowing func embeddedIPv6(at inner: Int, end: Int) -> EmbeddedPacket? {
    guard inner + 40 <= end, unsafe load8(inner) >> 4 == 6 else { return nil }
    var next = unsafe load8(inner + 6)
    var offset = inner + 40
    var isFragment = false
    var isLater = false
    var headers = 0
    while IPProtocol(rawValue: next).isIPv6Extension, !isLater {
      guard headers < Self.maximumExtensionHeaders, offset + 8 <= end else { return nil }
      let length = unsafe Int(load8(offset + 1))
      let size = next == 44 ? 8 : next == 51 ? (length + 2) * 4 : (length + 1) * 8
      guard offset + size <= end else { return nil }
      if next == 44 {
        let field = unsafe load16(offset + 2)
        isFragment = isFragment || field & 0xFFF9 != 0
        isLater = field & 0xFFF8 != 0
      }
      next = unsafe load8(offset)
      offset += size
      headers += 1
    }
    return unsafe embedded(
      isIPv6: true, at: inner, transport: offset, end: end, number: next, isFragment: isFragment, isLater: isLater,
      isSumValid: true)
  }

  @unsafe
  private borrowing func embedded(
    isIPv6: Bool, at inner: Int, transport: Int, end: Int, number: UInt8, isFragment: Bool, isLater: Bool,
    isSumValid: Bool
  ) -> EmbeddedPacket? {
    var hasPorts = false
    var isError = false
    var ports: (source: UInt16, destination: UInt16) = (0, 0)
    if !isLater, Self.hasChecksumOrPorts(number, isIPv6: isIPv6) {
      guard transport + 8 <= end else { return nil }
      if number == (isIPv6 ? 58 : 1) {
        let kind = unsafe isIPv6 ? ICMPKind(icmpv6: load8(transport)) : ICMPKind(icmp: load8(transport))
        isError = kind == .error
        hasPorts = kind.hasIdentifier
        if hasPorts { ports = unsafe (load16(transport + 4), load16(transport + 4)) }
      } else {
        hasPorts = true
        ports = unsafe (load16(transport), load16(transport + 2))
      }
    }
    let source = unsafe isIPv6 ? loadIPv6(inner + 8) : IPv6Address(high: 0, low: UInt64(load32(inner + 12)))
    let destination = unsafe isIPv6 ? loadIPv6(inner + 24) : IPv6Address(high: 0, low: UInt64(load32(inner + 16)))
    return unsafe EmbeddedPacket(
      isIPv6: isIPv6, protocolNumber: IPProtocol(rawValue: number), isFragment: isFragment, isLaterFragment: isLater,
      isHeaderChecksumValid: isSumValid, isError: isError, hasPorts: hasPorts, sourcePort: ports.source,
      destinationPort: ports.destination, sequenceNumber: number == 6 && !isLater ? load32(transport + 4) : nil,
      trafficClass: UInt8(truncatingIfNeeded: isIPv6 ? load16(inner) >> 4 : load16(inner)),
      claimedLength: isIPv6 ? Int(load16(inner + 4)) + 40 : Int(load16(inner + 2)), networkOffset: inner,
      transportOffset: isLater ? nil : transport, end: end, source: source, destination: destination)
  }

  private static func hasChecksumOrPorts(_ number: UInt8, isIPv6: Bool) -> Bool {
    switch number {
    case 6, 17, 33, 132, 136: true
    default: number == (isIPv6 ? 58 : 1)
    }
  }

  // MARK: Writing

  @unsafe
  private mutating func translateEmbedded(
    _ address: IPv4Address, addressAt: Int, _ port: UInt16?, portAt: Int
  ) -> Bool {
    guard makeWritable(), let embedded, !embedded.isIPv6 else { return false }
    var change = ChecksumChange()
    // What changes under the error's own checksum.
    var outer = ChecksumChange()
    let place = embedded.networkOffset + addressAt
    unsafe change.replace(load32(place), with: address.rawValue)
    unsafe store32(address.rawValue, at: place)
    outer = change
    let sumPlace = embedded.networkOffset + 10
    unsafe replace16(change.applied(to: load16(sumPlace)), at: sumPlace, &outer)
    unsafe translateEmbeddedTransport(embedded, &change, &outer, port, portAt)
    return true
  }

  @unsafe
  private mutating func translateEmbedded(
    _ address: IPv6Address, addressAt: Int, _ port: UInt16?, portAt: Int
  ) -> Bool {
    guard makeWritable(), let embedded, embedded.isIPv6 else { return false }
    var change = ChecksumChange()
    let place = embedded.networkOffset + addressAt
    unsafe change.replace(loadIPv6(place), with: address)
    unsafe storeIPv6(address, at: place)
    var outer = change
    unsafe translateEmbeddedTransport(embedded, &change, &outer, port, portAt)
    return true
  }

  @unsafe
  private mutating func replace16(_ value: UInt16, at offset: Int, _ change: inout ChecksumChange) {
    unsafe change.replace(load16(offset), with: value)
    unsafe store16(value, at: offset)
  }

  /// - Parameter change: What changed in the embedded pseudo-header.
  @unsafe
  private mutating func translateEmbeddedTransport(
    _ embedded: EmbeddedPacket, _ change: inout ChecksumChange, _ outer: inout ChecksumChange, _ port: UInt16?,
    _ portAt: Int
  ) {
    if let transport = embedded.transportOffset {
      let number = embedded.protocolNumber.rawValue
      let isICMP = number == (embedded.isIPv6 ? 58 : 1)
      if isICMP, !embedded.isIPv6 { change = ChecksumChange() }
      let before = change
      if let port, embedded.hasPorts {
        let place = transport + (isICMP ? 4 : portAt)
        unsafe change.replace(load16(place), with: port)
        unsafe replace16(port, at: place, &outer)
      }
      let sum: Int? =
        switch number {
        case 6: 16
        case 17, 33, 136: 6
        default: isICMP ? 2 : nil
        }
      if let sum, transport + sum + 2 <= embedded.end, !isICMP || embedded.isIPv6 || change != before {
        let place = transport + sum
        let old = unsafe load16(place)
        let new =
          switch number {
          case 17: change.appliedUDP(to: old)
          case 136: Checksum.udp(change.applied(to: old))
          default: change.applied(to: old)
          }
        unsafe replace16(new, at: place, &outer)
      }
    }
    let place = transportOffset + 2
    unsafe store16(outer.applied(to: load16(place)), at: place)
  }
}
