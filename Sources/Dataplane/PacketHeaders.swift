public import CDPDK
public import Wire

extension Packet {
  @unsafe @inlinable @_lifetime(immortal)
  func headerBytes(at offset: Int) -> HeaderBytes { unsafe HeaderBytes(unchecked: start + offset) }

  @inlinable
  var networkOffset: Int { unsafe Int(mbuf.pointee.network_offset) }

  @inlinable
  var transportOffset: Int { unsafe Int(mbuf.pointee.transport_offset) }

  // MARK: Facts

  /// Whether this is a structurally sound IPv4 packet.
  @inlinable public var isIPv4: Bool { facts & Facts.ipv4 != 0 }
  /// Whether this is a structurally sound IPv6 packet.
  @inlinable public var isIPv6: Bool { facts & Facts.ipv6 != 0 }
  /// Whether this is an ARP packet for IPv4 over Ethernet.
  @inlinable public var isARP: Bool { facts & Facts.arp != 0 }
  /// Whether this is one IP fragment of several.
  @inlinable public var isFragment: Bool { facts & Facts.fragment != 0 }
  /// Whether this is an IP fragment that is not the first, and so has no transport header.
  @inlinable public var isLaterFragment: Bool { facts & Facts.laterFragment != 0 }

  /// The protocol that IP carries, behind any IPv6 extension headers; nil when this is not IP.
  @inlinable
  public var transportProtocol: IPProtocol? {
    facts & (Facts.ipv4 | Facts.ipv6) != 0 ? unsafe IPProtocol(rawValue: mbuf.pointee.protocol) : nil
  }

  /// Source and destination port of TCP, UDP, UDP-Lite, SCTP and DCCP; nil otherwise and in later fragments.
  @inlinable
  public var transportPorts: (source: UInt16, destination: UInt16)? {
    guard facts & Facts.transport != 0, hasPorts else { return nil }
    let ports = unsafe UInt32(bigEndian: (start + transportOffset).loadUnaligned(as: UInt32.self))
    return (UInt16(truncatingIfNeeded: ports >> 16), UInt16(truncatingIfNeeded: ports))
  }

  @inlinable
  var hasPorts: Bool {
    switch unsafe mbuf.pointee.protocol {
    case 6, 17, 33, 132, 136: true
    default: false
    }
  }

  /// EtherType behind any VLAN tags; nil when the frame is too short to have one.
  @inlinable
  public var etherType: EtherType? {
    _ = facts
    let offset = networkOffset - 2
    guard offset >= 12, offset + 2 <= contiguousLength else { return nil }
    return unsafe EtherType(rawValue: UInt16(bigEndian: (start + offset).loadUnaligned(as: UInt16.self)))
  }

  /// How many VLAN tags the frame has.
  @inlinable
  public var vlanTagCount: Int {
    _ = facts
    return networkOffset >= 18 && networkOffset <= contiguousLength ? (networkOffset - 14) / 4 : 0
  }

  /// Length in bytes that the IP header declares, header included; nil when this is not IP. What the frame has beyond
  /// it is padding.
  @inlinable
  public var networkLength: Int? {
    facts & (Facts.ipv4 | Facts.ipv6) != 0 ? unsafe Int(mbuf.pointee.network_length) : nil
  }

  /// Where the network header starts in the frame in bytes; nil when neither IP nor ARP was found.
  @inlinable
  public var networkHeaderOffset: Int? { facts & (Facts.ipv4 | Facts.ipv6 | Facts.arp) != 0 ? networkOffset : nil }

  /// Where the transport header starts in the frame in bytes; nil without one.
  @inlinable
  public var transportHeaderOffset: Int? { facts & Facts.transport != 0 ? transportOffset : nil }

  // MARK: Views

  /// Parsing brings headers into one piece, so a segment that is too short is looked at again afterwards.
  @inlinable @inline(__always)
  var hasEthernet: Bool {
    contiguousLength >= EthernetHeader<ReadOnly>.length
      || segmentCount > 1 && facts != 0 && contiguousLength >= EthernetHeader<ReadOnly>.length
  }

  /// The Ethernet header; nil for frames shorter than one.
  @inlinable @inline(__always)
  public var ethernet: EthernetHeader<ReadOnly>? {
    @_lifetime(borrow self)
    get {
      guard hasEthernet else { return nil }
      let header = unsafe EthernetHeader<ReadOnly>(unchecked: headerBytes(at: 0))
      return unsafe _overrideLifetime(header, borrowing: self)
    }
  }

  /// The Ethernet header, to write.
  @inlinable @inline(__always)
  public var mutableEthernet: EthernetHeader<ReadWrite>? {
    @_lifetime(&self)
    mutating get {
      guard hasEthernet, makeWritable() else { return nil }
      let header = unsafe EthernetHeader<ReadWrite>(unchecked: headerBytes(at: 0))
      return unsafe _overrideLifetime(header, mutating: &self)
    }
  }

  /// The outermost VLAN tag; nil for untagged frames.
  @inlinable
  public var vlanTag: VLANTagHeader<ReadOnly>? {
    @_lifetime(borrow self)
    get {
      guard vlanTagCount > 0 else { return nil }
      let header = unsafe VLANTagHeader<ReadOnly>(unchecked: headerBytes(at: 12))
      return unsafe _overrideLifetime(header, borrowing: self)
    }
  }

  /// Control information of the outermost VLAN tag if its protocol identifier is `type`; nil without such a tag, or when
  /// it is cut short. For elements that need not know what is behind it: of frames in one piece nothing else is parsed.
  @inlinable @inline(__always)
  public func tagControl(_ type: EtherType) -> UInt16? {
    let end = EthernetHeader<ReadOnly>.length + VLANTagHeader<ReadOnly>.length
    guard contiguousLength >= end || segmentCount > 1 && facts != 0 && contiguousLength >= end else { return nil }
    let header = unsafe VLANTagHeader<ReadOnly>(unchecked: headerBytes(at: 12))
    return header.protocolIdentifier == type ? header.control : nil
  }

  /// Puts a VLAN tag in front of any that the frame has. False, with the packet unchanged, when there is no room or the
  /// frame is too short.
  public mutating func pushTag(_ type: EtherType, control: UInt16) -> Bool {
    guard insert(VLANTagHeader<ReadOnly>.length, at: 12) else { return false }
    let header = unsafe VLANTagHeader<ReadWrite>(unchecked: headerBytes(at: 12))
    header.set(type, control: control)
    return true
  }

  /// Takes the outermost VLAN tag away. False, with the packet unchanged, when that takes a buffer and none is left.
  public mutating func popTag() -> Bool { remove(VLANTagHeader<ReadOnly>.length, at: 12) }

  /// Sets the control information of the outermost VLAN tag, whose protocol identifier is `type`. False when there is no
  /// such tag, or writing to it takes a buffer and none is left.
  public mutating func setTagControl(_ type: EtherType, _ control: UInt16) -> Bool {
    guard tagControl(type) != nil, makeWritable() else { return false }
    let header = unsafe VLANTagHeader<ReadWrite>(unchecked: headerBytes(at: 12))
    header.setControl(control)
    return true
  }

  /// The outermost VLAN tag, to write.
  @inlinable
  public var mutableVLANTag: VLANTagHeader<ReadWrite>? {
    @_lifetime(&self)
    mutating get {
      guard vlanTagCount > 0, makeWritable() else { return nil }
      let header = unsafe VLANTagHeader<ReadWrite>(unchecked: headerBytes(at: 12))
      return unsafe _overrideLifetime(header, mutating: &self)
    }
  }

  /// The ARP packet; nil when this is none.
  @inlinable
  public var arp: ARPHeader<ReadOnly>? {
    @_lifetime(borrow self)
    get {
      guard facts & Facts.arp != 0 else { return nil }
      let header = unsafe ARPHeader<ReadOnly>(unchecked: headerBytes(at: networkOffset))
      return unsafe _overrideLifetime(header, borrowing: self)
    }
  }

  /// The ARP packet, to write.
  @inlinable
  public var mutableARP: ARPHeader<ReadWrite>? {
    @_lifetime(&self)
    mutating get {
      guard facts & Facts.arp != 0, makeWritable() else { return nil }
      let header = unsafe ARPHeader<ReadWrite>(unchecked: headerBytes(at: networkOffset))
      return unsafe _overrideLifetime(header, mutating: &self)
    }
  }

  /// The IPv4 header; nil when this is no structurally sound IPv4 packet.
  @inlinable @inline(__always)
  public var ipv4: IPv4Header<ReadOnly>? {
    @_lifetime(borrow self)
    get {
      guard factsInLine & Facts.ipv4 != 0 else { return nil }
      let header = unsafe IPv4Header<ReadOnly>(unchecked: headerBytes(at: networkOffset))
      return unsafe _overrideLifetime(header, borrowing: self)
    }
  }

  /// The IPv4 header, to write.
  @inlinable @inline(__always)
  public var mutableIPv4: IPv4Header<ReadWrite>? {
    @_lifetime(&self)
    mutating get {
      guard facts & Facts.ipv4 != 0, makeWritable() else { return nil }
      let header = unsafe IPv4Header<ReadWrite>(unchecked: headerBytes(at: networkOffset))
      return unsafe _overrideLifetime(header, mutating: &self)
    }
  }

  /// The IPv6 header; nil when this is no structurally sound IPv6 packet.
  @inlinable @inline(__always)
  public var ipv6: IPv6Header<ReadOnly>? {
    @_lifetime(borrow self)
    get {
      guard facts & Facts.ipv6 != 0 else { return nil }
      let header = unsafe IPv6Header<ReadOnly>(unchecked: headerBytes(at: networkOffset))
      return unsafe _overrideLifetime(header, borrowing: self)
    }
  }

  /// The IPv6 header, to write.
  @inlinable @inline(__always)
  public var mutableIPv6: IPv6Header<ReadWrite>? {
    @_lifetime(&self)
    mutating get {
      guard facts & Facts.ipv6 != 0, makeWritable() else { return nil }
      let header = unsafe IPv6Header<ReadWrite>(unchecked: headerBytes(at: networkOffset))
      return unsafe _overrideLifetime(header, mutating: &self)
    }
  }

  @inlinable
  func hasTransport(_ number: UInt8) -> Bool {
    unsafe facts & Facts.transport != 0 && mbuf.pointee.protocol == number
  }

  /// The TCP header; nil without one, options and all, in one piece.
  @inlinable
  public var tcp: TCPHeader<ReadOnly>? {
    @_lifetime(borrow self)
    get {
      guard hasTransport(6) else { return nil }
      let header = unsafe TCPHeader<ReadOnly>(unchecked: headerBytes(at: transportOffset))
      return unsafe _overrideLifetime(header, borrowing: self)
    }
  }

  /// The TCP header, to write.
  @inlinable
  public var mutableTCP: TCPHeader<ReadWrite>? {
    @_lifetime(&self)
    mutating get {
      guard hasTransport(6), makeWritable() else { return nil }
      let header = unsafe TCPHeader<ReadWrite>(unchecked: headerBytes(at: transportOffset))
      return unsafe _overrideLifetime(header, mutating: &self)
    }
  }

  /// The UDP header; nil without one.
  @inlinable
  public var udp: UDPHeader<ReadOnly>? {
    @_lifetime(borrow self)
    get {
      guard hasTransport(17) else { return nil }
      let header = unsafe UDPHeader<ReadOnly>(unchecked: headerBytes(at: transportOffset))
      return unsafe _overrideLifetime(header, borrowing: self)
    }
  }

  /// The UDP header, to write.
  @inlinable
  public var mutableUDP: UDPHeader<ReadWrite>? {
    @_lifetime(&self)
    mutating get {
      guard hasTransport(17), makeWritable() else { return nil }
      let header = unsafe UDPHeader<ReadWrite>(unchecked: headerBytes(at: transportOffset))
      return unsafe _overrideLifetime(header, mutating: &self)
    }
  }

  /// The ICMP header of an IPv4 packet or the ICMPv6 header of an IPv6 packet; nil without one.
  @inlinable
  public var icmp: ICMPHeader<ReadOnly>? {
    @_lifetime(borrow self)
    get {
      guard isIPv4 && hasTransport(1) || isIPv6 && hasTransport(58) else { return nil }
      let header = unsafe ICMPHeader<ReadOnly>(unchecked: headerBytes(at: transportOffset))
      return unsafe _overrideLifetime(header, borrowing: self)
    }
  }

  /// The ICMP or ICMPv6 header, to write.
  @inlinable
  public var mutableICMP: ICMPHeader<ReadWrite>? {
    @_lifetime(&self)
    mutating get {
      guard isIPv4 && hasTransport(1) || isIPv6 && hasTransport(58), makeWritable() else { return nil }
      let header = unsafe ICMPHeader<ReadWrite>(unchecked: headerBytes(at: transportOffset))
      return unsafe _overrideLifetime(header, mutating: &self)
    }
  }
}
