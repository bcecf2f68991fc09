public import CDPDK
public import Wire

// Changing a packet's ends: addresses, ports and ICMP identifiers, with every checksum that covers them.

extension Packet {
  /// Gives the packet another source, and patches the IPv4 header's checksum and the transport's (RFC 1624).
  ///
  /// The port goes into TCP, UDP, UDP-Lite, SCTP and DCCP, and for the identifier into ICMP queries and replies. Other
  /// protocols, other ICMP messages, and fragments behind the first get the address alone: what later fragments carry is
  /// covered by the first one's checksum. A UDP checksum of 0 stays 0, and one that was wrong stays wrong. Checksums of
  /// other protocols that cover addresses, as OSPFv3's does, are left alone. The flow hash is computed anew when it is
  /// asked for next.
  /// - Parameters:
  ///   - address: The new source address.
  ///   - port: The new source port or identifier in the host's byte order; nil leaves it.
  /// - Returns: False, with the packet unchanged, when this is no IPv4 packet, when its transport protocol is one of
  ///   those but the header is cut short, when a port is given for a fragment of SCTP, whose checksum takes the length of
  ///   the whole (RFC 9260 section 6.8), or when the packet's bytes are shared and no buffer is left.
  @inlinable
  public mutating func translateSource(_ address: IPv4Address, port: UInt16? = nil) -> Bool {
    unsafe translate(address, addressAt: 12, port, portAt: 0)
  }

  /// Gives the packet another destination; see `translateSource`.
  @inlinable
  public mutating func translateDestination(_ address: IPv4Address, port: UInt16? = nil) -> Bool {
    unsafe translate(address, addressAt: 16, port, portAt: 2)
  }

  /// Gives the packet another source, as `translateSource` of an IPv4 address does. ICMPv6's checksum covers addresses.
  /// - Returns: False, with the packet unchanged, when this is no IPv6 packet, otherwise as for IPv4.
  @inlinable
  public mutating func translateSource(_ address: IPv6Address, port: UInt16? = nil) -> Bool {
    unsafe translate(address, addressAt: 8, port, portAt: 0)
  }

  /// Gives the packet another destination; see `translateSource`.
  @inlinable
  public mutating func translateDestination(_ address: IPv6Address, port: UInt16? = nil) -> Bool {
    unsafe translate(address, addressAt: 24, port, portAt: 2)
  }

  /// Has `flowHash` be computed anew; for whoever changes addresses or ports by a header view.
  @inlinable
  public mutating func forgetFlowHash() { unsafe mbuf.pointee.parsed &= ~Facts.hashed }

  /// The kind of ICMP or ICMPv6 message; nil when this is none, or its header is cut short.
  @inlinable
  public var icmpKind: ICMPKind? {
    guard facts & Facts.transport != 0 else { return nil }
    switch unsafe mbuf.pointee.protocol {
    case 1 where isIPv4: return unsafe ICMPKind(icmp: load8(transportOffset))
    case 58 where isIPv6: return unsafe ICMPKind(icmpv6: load8(transportOffset))
    default: return nil
    }
  }

  /// Whether the transport protocol is one whose header is known, but that is not there whole: in a first fragment that is
  /// too small (RFC 1858), or a packet that ends early. False in later fragments, which have none.
  @inlinable
  public var isTransportCutShort: Bool {
    let known = facts
    guard known & (Facts.transport | Facts.laterFragment) == 0, known & (Facts.ipv4 | Facts.ipv6) != 0 else {
      return false
    }
    return unsafe hasPorts || mbuf.pointee.protocol == (known & Facts.ipv4 != 0 ? 1 : 58)
  }

  // MARK: In general

  @inlinable @inline(__always)
  func canTranslate(_ port: UInt16?, icmp: UInt8) -> Bool {
    let known = unsafe mbuf.pointee.parsed
    let number = unsafe mbuf.pointee.protocol
    if known & Facts.laterFragment != 0 { return true }
    if known & Facts.transport == 0 { return !hasPorts && number != icmp }
    return number != 132 || port == nil || known & Facts.fragment == 0
  }

  @unsafe @inlinable @inline(__always)
  mutating func translate(_ address: IPv4Address, addressAt: Int, _ port: UInt16?, portAt: Int) -> Bool {
    guard makeWritable(), facts & Facts.ipv4 != 0, canTranslate(port, icmp: 1) else { return false }
    forgetFlowHash()
    let network = networkOffset
    var change = ChecksumChange()
    unsafe change.replace(load32(network + addressAt), with: address.rawValue)
    unsafe store32(address.rawValue, at: network + addressAt)
    unsafe store16(change.applied(to: load16(network + 10)), at: network + 10)
    unsafe translateTransport(change, port, portAt: portAt, icmp: 1)
    return true
  }

  @unsafe @inlinable @inline(__always)
  mutating func translate(_ address: IPv6Address, addressAt: Int, _ port: UInt16?, portAt: Int) -> Bool {
    guard makeWritable(), facts & Facts.ipv6 != 0, canTranslate(port, icmp: 58) else { return false }
    forgetFlowHash()
    let place = networkOffset + addressAt
    var change = ChecksumChange()
    unsafe change.replace(loadIPv6(place), with: address)
    unsafe storeIPv6(address, at: place)
    unsafe translateTransport(change, port, portAt: portAt, icmp: 58)
    return true
  }

  @unsafe @inlinable @inline(__always)
  mutating func translateTransport(_ change: ChecksumChange, _ port: UInt16?, portAt: Int, icmp: UInt8) {
    guard unsafe mbuf.pointee.parsed & Facts.transport != 0 else { return }
    let transport = transportOffset
    var change = change
    switch unsafe mbuf.pointee.protocol {
    case 6:
      unsafe replacePort(port, at: transport + portAt, &change)
      unsafe store16(change.applied(to: load16(transport + 16)), at: transport + 16)
    case 17:
      unsafe replacePort(port, at: transport + portAt, &change)
      unsafe store16(change.appliedUDP(to: load16(transport + 6)), at: transport + 6)
    default:
      unsafe translateRareTransport(change, port, portAt: portAt, icmp: icmp)
    }
  }

  @unsafe @usableFromInline @inline(never)
  mutating func translateRareTransport(_ change: ChecksumChange, _ port: UInt16?, portAt: Int, icmp: UInt8) {
    let transport = transportOffset
    var change = change
    switch unsafe mbuf.pointee.protocol {
    case 33:
      unsafe replacePort(port, at: transport + portAt, &change)
      unsafe store16(change.applied(to: load16(transport + 6)), at: transport + 6)
    case 132:
      guard let port else { return }
      // The checksum covers no addresses, and stands lowest byte first (RFC 9260, appendix A).
      let old = unsafe load32(transport)
      unsafe store16(port, at: transport + portAt)
      let length = unsafe networkOffset + Int(mbuf.pointee.network_length) - transport
      let crc = unsafe CRC32c.change((old ^ load32(transport)).byteSwapped, followedBy: length - 4)
      unsafe store32(load32(transport + 8) ^ crc.byteSwapped, at: transport + 8)
    case 136:
      // Never none (RFC 3828, 3.1).
      unsafe replacePort(port, at: transport + portAt, &change)
      unsafe store16(Checksum.udp(change.applied(to: load16(transport + 6))), at: transport + 6)
    case icmp:
      let isIPv6 = icmp == 58
      // ICMP's checksum has no pseudo-header.
      if !isIPv6 { change = ChecksumChange() }
      let type = unsafe load8(transport)
      let kind = isIPv6 ? ICMPKind(icmpv6: type) : ICMPKind(icmp: type)
      if kind.hasIdentifier { unsafe replacePort(port, at: transport + 4, &change) }
      if change != ChecksumChange() { unsafe store16(change.applied(to: load16(transport + 2)), at: transport + 2) }
    default: break
    }
  }

  @unsafe @inlinable @inline(__always)
  mutating func replacePort(_ port: UInt16?, at offset: Int, _ change: inout ChecksumChange) {
    guard let port else { return }
    unsafe change.replace(load16(offset), with: port)
    unsafe store16(port, at: offset)
  }

  // MARK: Words at offsets that were checked

  @unsafe @inlinable
  func load8(_ offset: Int) -> UInt8 { unsafe start.load(fromByteOffset: offset, as: UInt8.self) }

  @unsafe @inlinable
  func load16(_ offset: Int) -> UInt16 {
    unsafe UInt16(bigEndian: start.loadUnaligned(fromByteOffset: offset, as: UInt16.self))
  }

  @unsafe @inlinable
  func load32(_ offset: Int) -> UInt32 {
    unsafe UInt32(bigEndian: start.loadUnaligned(fromByteOffset: offset, as: UInt32.self))
  }

  @unsafe @inlinable
  func loadIPv6(_ offset: Int) -> IPv6Address {
    unsafe IPv6Address(
      high: UInt64(bigEndian: start.loadUnaligned(fromByteOffset: offset, as: UInt64.self)),
      low: UInt64(bigEndian: start.loadUnaligned(fromByteOffset: offset + 8, as: UInt64.self)))
  }

  @unsafe @inlinable
  mutating func store16(_ value: UInt16, at offset: Int) {
    unsafe start.storeBytes(of: value.bigEndian, toByteOffset: offset, as: UInt16.self)
  }

  @unsafe @inlinable
  mutating func store32(_ value: UInt32, at offset: Int) {
    unsafe start.storeBytes(of: value.bigEndian, toByteOffset: offset, as: UInt32.self)
  }

  @unsafe @inlinable
  mutating func storeIPv6(_ address: IPv6Address, at offset: Int) {
    unsafe start.storeBytes(of: address.high.bigEndian, toByteOffset: offset, as: UInt64.self)
    unsafe start.storeBytes(of: address.low.bigEndian, toByteOffset: offset + 8, as: UInt64.self)
  }
}
