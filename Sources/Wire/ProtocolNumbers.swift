/// What follows an Ethernet header or a VLAN tag.
@frozen
public struct EtherType: RawRepresentable, Hashable, Sendable, Comparable, LosslessStringConvertible {
  /// The number, in the host's byte order. Below 0x0600 it is not a type but a length (IEEE 802.3 section 3.2.6).
  public let rawValue: UInt16

  /// Makes a type of its number, in the host's byte order.
  @inlinable
  public init(rawValue: UInt16) { self.rawValue = rawValue }

  /// Reads a name as `description` prints it, in any case, or a number ("2048", "0x0800").
  public init?(_ text: some StringProtocol) {
    let name = text.lowercased()
    if let known = Self.names.first(where: { $0.name == name }) {
      self = known.type
    } else if let number = ASCII.integer(name, as: UInt16.self) {
      rawValue = number
    } else {
      return nil
    }
  }

  /// 0x0800.
  @inlinable public static var ipv4: EtherType { EtherType(rawValue: 0x0800) }
  /// 0x0806.
  @inlinable public static var arp: EtherType { EtherType(rawValue: 0x0806) }
  /// 0x86DD.
  @inlinable public static var ipv6: EtherType { EtherType(rawValue: 0x86DD) }
  /// 0x8100, the tag of a customer's VLAN (IEEE 802.1Q).
  @inlinable public static var vlan: EtherType { EtherType(rawValue: 0x8100) }
  /// 0x88A8, the tag of a provider's VLAN (IEEE 802.1ad).
  @inlinable public static var qinq: EtherType { EtherType(rawValue: 0x88A8) }
  /// 0x8847.
  @inlinable public static var mpls: EtherType { EtherType(rawValue: 0x8847) }
  /// 0x8848.
  @inlinable public static var mplsMulticast: EtherType { EtherType(rawValue: 0x8848) }
  /// 0x8863.
  @inlinable public static var pppoeDiscovery: EtherType { EtherType(rawValue: 0x8863) }
  /// 0x8864.
  @inlinable public static var pppoeSession: EtherType { EtherType(rawValue: 0x8864) }
  /// 0x8809, LACP and others.
  @inlinable public static var slowProtocols: EtherType { EtherType(rawValue: 0x8809) }
  /// 0x888E, IEEE 802.1X.
  @inlinable public static var eapol: EtherType { EtherType(rawValue: 0x888E) }
  /// 0x88CC.
  @inlinable public static var lldp: EtherType { EtherType(rawValue: 0x88CC) }
  /// 0x88F7.
  @inlinable public static var ptp: EtherType { EtherType(rawValue: 0x88F7) }

  /// The names that configuration files may use.
  public static var names: [(name: String, type: EtherType)] {
    [
      ("ipv4", .ipv4), ("arp", .arp), ("ipv6", .ipv6), ("vlan", .vlan), ("qinq", .qinq), ("mpls", .mpls),
      ("mpls-multicast", .mplsMulticast), ("pppoe-discovery", .pppoeDiscovery), ("pppoe-session", .pppoeSession),
      ("slow-protocols", .slowProtocols), ("eapol", .eapol), ("lldp", .lldp), ("ptp", .ptp),
    ]
  }

  /// Whether the number is a length (IEEE 802.3 with LLC) rather than a type.
  @inlinable
  public var isLength: Bool { rawValue < 0x0600 }

  /// Whether a VLAN tag follows.
  @inlinable
  public var isVLANTag: Bool { self == .vlan || self == .qinq }

  /// The name, or the number as "0x88b5".
  public var description: String {
    Self.names.first { $0.type == self }?.name ?? "0x" + ASCII.hexadecimal(rawValue, width: 4)
  }

  /// Numeric order.
  @inlinable
  public static func < (left: EtherType, right: EtherType) -> Bool { left.rawValue < right.rawValue }
}

/// What follows an IP header: IPv4's protocol and IPv6's next header, which share IANA's numbers.
@frozen
public struct IPProtocol: RawRepresentable, Hashable, Sendable, Comparable, LosslessStringConvertible {
  /// IANA's number.
  public let rawValue: UInt8

  /// Makes a protocol of IANA's number.
  @inlinable
  public init(rawValue: UInt8) { self.rawValue = rawValue }

  /// Reads a name as `description` prints it, in any case, or a number ("6", "0x06").
  public init?(_ text: some StringProtocol) {
    let name = text.lowercased()
    if let known = Self.names.first(where: { $0.name == name }) {
      self = known.protocol
    } else if let number = ASCII.integer(name, as: UInt8.self) {
      rawValue = number
    } else {
      return nil
    }
  }

  /// 0, IPv6's hop-by-hop options (RFC 8200 section 4.3).
  @inlinable public static var hopByHop: IPProtocol { IPProtocol(rawValue: 0) }
  /// 1.
  @inlinable public static var icmp: IPProtocol { IPProtocol(rawValue: 1) }
  /// 2.
  @inlinable public static var igmp: IPProtocol { IPProtocol(rawValue: 2) }
  /// 4, IPv4 in IP.
  @inlinable public static var ipv4: IPProtocol { IPProtocol(rawValue: 4) }
  /// 6.
  @inlinable public static var tcp: IPProtocol { IPProtocol(rawValue: 6) }
  /// 17.
  @inlinable public static var udp: IPProtocol { IPProtocol(rawValue: 17) }
  /// 33.
  @inlinable public static var dccp: IPProtocol { IPProtocol(rawValue: 33) }
  /// 41, IPv6 in IP.
  @inlinable public static var ipv6: IPProtocol { IPProtocol(rawValue: 41) }
  /// 43, IPv6's routing header (RFC 8200 section 4.4).
  @inlinable public static var ipv6Routing: IPProtocol { IPProtocol(rawValue: 43) }
  /// 44, IPv6's fragment header (RFC 8200 section 4.5).
  @inlinable public static var ipv6Fragment: IPProtocol { IPProtocol(rawValue: 44) }
  /// 46.
  @inlinable public static var rsvp: IPProtocol { IPProtocol(rawValue: 46) }
  /// 47.
  @inlinable public static var gre: IPProtocol { IPProtocol(rawValue: 47) }
  /// 50, IPsec's encapsulating security payload.
  @inlinable public static var esp: IPProtocol { IPProtocol(rawValue: 50) }
  /// 51, IPsec's authentication header.
  @inlinable public static var ah: IPProtocol { IPProtocol(rawValue: 51) }
  /// 58.
  @inlinable public static var icmpv6: IPProtocol { IPProtocol(rawValue: 58) }
  /// 59, nothing follows (RFC 8200 section 4.7).
  @inlinable public static var noNextHeader: IPProtocol { IPProtocol(rawValue: 59) }
  /// 60, IPv6's destination options (RFC 8200 section 4.6).
  @inlinable public static var destinationOptions: IPProtocol { IPProtocol(rawValue: 60) }
  /// 88.
  @inlinable public static var eigrp: IPProtocol { IPProtocol(rawValue: 88) }
  /// 89.
  @inlinable public static var ospf: IPProtocol { IPProtocol(rawValue: 89) }
  /// 103.
  @inlinable public static var pim: IPProtocol { IPProtocol(rawValue: 103) }
  /// 108, IP payload compression.
  @inlinable public static var ipcomp: IPProtocol { IPProtocol(rawValue: 108) }
  /// 112.
  @inlinable public static var vrrp: IPProtocol { IPProtocol(rawValue: 112) }
  /// 115.
  @inlinable public static var l2tp: IPProtocol { IPProtocol(rawValue: 115) }
  /// 132.
  @inlinable public static var sctp: IPProtocol { IPProtocol(rawValue: 132) }
  /// 135, IPv6's mobility header (RFC 6275).
  @inlinable public static var mobility: IPProtocol { IPProtocol(rawValue: 135) }
  /// 136.
  @inlinable public static var udplite: IPProtocol { IPProtocol(rawValue: 136) }

  /// The names that configuration files may use, after IANA's keywords.
  public static var names: [(name: String, protocol: IPProtocol)] {
    [
      ("hopopt", .hopByHop), ("icmp", .icmp), ("igmp", .igmp), ("ipv4", .ipv4), ("tcp", .tcp), ("udp", .udp),
      ("dccp", .dccp), ("ipv6", .ipv6), ("ipv6-route", .ipv6Routing), ("ipv6-frag", .ipv6Fragment), ("rsvp", .rsvp),
      ("gre", .gre), ("esp", .esp), ("ah", .ah), ("icmpv6", .icmpv6), ("ipv6-icmp", .icmpv6),
      ("ipv6-nonxt", .noNextHeader), ("ipv6-opts", .destinationOptions), ("eigrp", .eigrp), ("ospf", .ospf),
      ("pim", .pim), ("ipcomp", .ipcomp), ("vrrp", .vrrp), ("l2tp", .l2tp), ("sctp", .sctp), ("mobility", .mobility),
      ("udplite", .udplite),
    ]
  }

  /// Whether this is an IPv6 extension header with a length of its own that another header follows (RFC 7045).
  @inlinable
  public var isIPv6Extension: Bool {
    switch rawValue {
    case 0, 43, 44, 51, 60, 135, 139, 140: true
    default: false
    }
  }

  /// The name, or the number in decimal.
  public var description: String { Self.names.first { $0.protocol == self }?.name ?? String(rawValue) }

  /// Numeric order.
  @inlinable
  public static func < (left: IPProtocol, right: IPProtocol) -> Bool { left.rawValue < right.rawValue }
}
