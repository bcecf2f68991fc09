import Dataplane
import Tables
import Wire

/// What a packet is to an element that follows sessions.
enum SessionPacket<Key: SessionKey> {
  /// A packet with this key, or the first fragment of one.
  case session(Key)
  /// An ICMP error: it belongs to the session of what it has embedded (`Packet.embedded`, `SessionKey.init(embedded:)`).
  case icmpError
  /// A fragment behind the first, which has no ports: it belongs where its first fragment belongs (`FragmentFollower`).
  case laterFragment
  /// An ICMP message that is neither query nor reply nor error, such as neighbour discovery.
  case otherICMP
  /// The transport header is known, but cut short (RFC 1858).
  case malformed
  /// Not of the key's version of IP.
  case otherVersion
}

/// The key of one version of IP, so that elements are written once for both.
///
///     switch IPv4FlowKey.read(packet, zone: 0) {
///     case .session(let key): burst.append(key.eitherWay)
///     ...
///     }
protocol SessionKey: FlowKey {
  /// The version's address.
  associatedtype Address: Hashable, Sendable, BitwiseCopyable

  /// The source address, as the packet was that the key was made of; so are the other parts.
  var source: Address { get }
  var destination: Address { get }
  /// The source port, or the identifier of an ICMP query, in the host's byte order; 0 without one.
  var sourcePort: UInt16 { get }
  var destinationPort: UInt16 { get }
  var `protocol`: IPProtocol { get }
  var zone: UInt16 { get }
  /// The key that both directions have in common.
  var eitherWay: Self { get }
  /// The key, for one direction, of packets that answer.
  var reply: Self { get }

  init(
    source: Address, destination: Address, sourcePort: UInt16, destinationPort: UInt16, protocol number: IPProtocol,
    zone: UInt16)

  /// What this packet is, and its key for the direction it goes. Protocols without ports have 0 for both.
  static func read(_ packet: borrowing Packet, zone: UInt16) -> SessionPacket<Self>

  /// The key of what an ICMP error has embedded, in the direction that the embedded packet went; nil when it is of the
  /// other version, a later fragment, an ICMP error itself, or an ICMP message without identifier.
  init?(embedded: EmbeddedPacket, zone: UInt16)

  /// Gives a packet another source with every checksum that covers it; see `Packet.translateSource`.
  static func translateSource(of packet: inout Packet, _ address: Address, port: UInt16?) -> Bool
  /// Gives a packet another destination.
  static func translateDestination(of packet: inout Packet, _ address: Address, port: UInt16?) -> Bool
  /// Gives what an ICMP error has embedded another source; see `Packet.translateEmbeddedSource`.
  static func translateEmbeddedSource(of packet: inout Packet, _ address: Address, port: UInt16?) -> Bool
  /// Gives what an ICMP error has embedded another destination.
  static func translateEmbeddedDestination(of packet: inout Packet, _ address: Address, port: UInt16?) -> Bool
}

extension Packet {
  /// Ports and protocol, or why there are none; nil: they are there.
  @inline(__always)
  fileprivate func sessionEnds<Key>(
    icmp: IPProtocol, of key: Key.Type
  ) -> (source: UInt16, destination: UInt16, other: SessionPacket<Key>?) {
    if let ports = transportPorts { return (ports.source, ports.destination, nil) }
    if isLaterFragment { return (0, 0, .laterFragment) }
    if isTransportCutShort { return (0, 0, .malformed) }
    guard transportProtocol == icmp, let message = self.icmp else { return (0, 0, nil) }
    let kind = icmp == .icmpv6 ? ICMPKind(icmpv6: message.type) : ICMPKind(icmp: message.type)
    switch kind {
    case .query, .reply: return (message.identifier, message.identifier, nil)
    case .error: return (0, 0, .icmpError)
    case .other: return (0, 0, .otherICMP)
    }
  }
}

extension EmbeddedPacket {
  fileprivate var namesSession: Bool {
    !isLaterFragment && !isError && (hasPorts || protocolNumber != (isIPv6 ? .icmpv6 : .icmp))
  }
}

extension IPv4FlowKey: SessionKey {
  typealias Address = IPv4Address

  @inline(__always)
  static func read(_ packet: borrowing Packet, zone: UInt16 = 0) -> SessionPacket<IPv4FlowKey> {
    guard let ip = packet.ipv4 else { return .otherVersion }
    let ends = packet.sessionEnds(icmp: .icmp, of: Self.self)
    if let other = ends.other { return other }
    return .session(
      IPv4FlowKey(
        source: ip.source, destination: ip.destination, sourcePort: ends.source, destinationPort: ends.destination,
        protocol: packet.transportProtocol ?? ip.protocolNumber, zone: zone))
  }

  init?(embedded: EmbeddedPacket, zone: UInt16 = 0) {
    guard !embedded.isIPv6, embedded.namesSession else { return nil }
    self.init(
      source: embedded.ipv4Source, destination: embedded.ipv4Destination, sourcePort: embedded.sourcePort,
      destinationPort: embedded.destinationPort, protocol: embedded.protocolNumber, zone: zone)
  }

  static func translateSource(of packet: inout Packet, _ address: IPv4Address, port: UInt16?) -> Bool {
    packet.translateSource(address, port: port)
  }
  static func translateDestination(of packet: inout Packet, _ address: IPv4Address, port: UInt16?) -> Bool {
    packet.translateDestination(address, port: port)
  }
  static func translateEmbeddedSource(of packet: inout Packet, _ address: IPv4Address, port: UInt16?) -> Bool {
    packet.translateEmbeddedSource(address, port: port)
  }
  static func translateEmbeddedDestination(of packet: inout Packet, _ address: IPv4Address, port: UInt16?) -> Bool {
    packet.translateEmbeddedDestination(address, port: port)
  }
}

extension IPv6FlowKey: SessionKey {
  typealias Address = IPv6Address

  @inline(__always)
  static func read(_ packet: borrowing Packet, zone: UInt16 = 0) -> SessionPacket<IPv6FlowKey> {
    guard let ip = packet.ipv6 else { return .otherVersion }
    let ends = packet.sessionEnds(icmp: .icmpv6, of: Self.self)
    if let other = ends.other { return other }
    return .session(
      IPv6FlowKey(
        source: ip.source, destination: ip.destination, sourcePort: ends.source, destinationPort: ends.destination,
        protocol: packet.transportProtocol ?? ip.nextHeader, zone: zone))
  }

  init?(embedded: EmbeddedPacket, zone: UInt16 = 0) {
    guard embedded.isIPv6, embedded.namesSession else { return nil }
    self.init(
      source: embedded.ipv6Source, destination: embedded.ipv6Destination, sourcePort: embedded.sourcePort,
      destinationPort: embedded.destinationPort, protocol: embedded.protocolNumber, zone: zone)
  }

  static func translateSource(of packet: inout Packet, _ address: IPv6Address, port: UInt16?) -> Bool {
    packet.translateSource(address, port: port)
  }
  static func translateDestination(of packet: inout Packet, _ address: IPv6Address, port: UInt16?) -> Bool {
    packet.translateDestination(address, port: port)
  }
  static func translateEmbeddedSource(of packet: inout Packet, _ address: IPv6Address, port: UInt16?) -> Bool {
    packet.translateEmbeddedSource(address, port: port)
  }
  static func translateEmbeddedDestination(of packet: inout Packet, _ address: IPv6Address, port: UInt16?) -> Bool {
    packet.translateEmbeddedDestination(address, port: port)
  }
}
