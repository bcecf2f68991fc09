import Dataplane
import Tables
import Wire

/// A session's key, of either version of IP, with what the firewall asks of addresses.
protocol FirewallKey: SessionKey, CustomStringConvertible where Address: CustomStringConvertible {
  /// Addresses and ports in the key's direction, for cookies.
  var connection: SYNCookies.Connection { get }
  /// The source as what limits count by: IPv4's is mapped into IPv6.
  var limited: IPv6Address { get }
  /// Whether the destination is for the link alone, or for a group.
  var isLocal: Bool { get }
  /// Whether the source belongs to no network: it is unspecified, or of the link alone.
  var isUnbound: Bool { get }
  /// Whether the source can stand for no host of another (RFC 1122, 3.2.1.3; RFC 4291, 2.5 and 2.7).
  var hasBadSource: Bool { get }
  /// The zones of source and destination by their networks.
  func zones(_ zones: FirewallZones) -> (source: UInt8, destination: UInt8)
  /// The source, whatever its version.
  var sourceAddress: IPAddress { get }
  /// The destination, whatever its version.
  var destinationAddress: IPAddress { get }
  /// Reads an address.
  static func address(_ text: String) -> Address?
}

extension FirewallKey {
  /// The key under which a packet's session is found. Those of ICMP queries tell who asked, and what: otherwise answers to
  /// one would be taken for answers to the other.
  @inline(__always)
  static func session(_ key: Self, _ packet: borrowing Packet) -> Self {
    let number = key.protocol.rawValue
    guard number == 1 || number == 58, let type = packet.icmp?.type else { return key.eitherWay }
    return key.asked(type)
  }

  func asked(_ type: UInt8) -> Self {
    let isReply = (`protocol` == .icmpv6 ? ICMPKind(icmpv6: type) : ICMPKind(icmp: type)) == .reply
    let isAskedByFirst = eitherWay.isReversed == isReply
    // Types of queries and their replies differ by one or two; what is left tells the pairs apart.
    let pair: UInt16 =
      switch type {
      case 13, 14: 1
      case 15, 16: 2
      case 17, 18: 3
      case 42, 43, 160, 161: 4
      default: 0
      }
    return Self(
      source: source, destination: destination, sourcePort: sourcePort, destinationPort: destinationPort,
      protocol: `protocol`, zone: 0x8000 | pair << 1 | (isAskedByFirst ? 1 : 0)
    ).eitherWay
  }
}

extension IPv4FlowKey: FirewallKey {
  var sourceAddress: IPAddress { .v4(source) }
  var destinationAddress: IPAddress { .v4(destination) }
  static func address(_ text: String) -> IPv4Address? { IPv4Address(text) }
  var connection: SYNCookies.Connection {
    [
      UInt64(source.rawValue) << 32 | UInt64(destination.rawValue),
      UInt64(sourcePort) << 16 | UInt64(destinationPort), 4, 0, 0,
    ]
  }
  var limited: IPv6Address { IPv6Address(high: 0, low: 0xFFFF << 32 | UInt64(source.rawValue)) }
  var isLocal: Bool { destination.isMulticast || destination.isLimitedBroadcast || destination.isLinkLocal }
  var isUnbound: Bool { source.isUnspecified && destination.isLimitedBroadcast }
  var hasBadSource: Bool { source.isMulticast || source.isLoopback || source.isLimitedBroadcast }
  func zones(_ zones: FirewallZones) -> (source: UInt8, destination: UInt8) {
    (zones.zone(of: source), zones.zone(of: destination))
  }
}

extension IPv6FlowKey: FirewallKey {
  var sourceAddress: IPAddress { .v6(source) }
  var destinationAddress: IPAddress { .v6(destination) }
  static func address(_ text: String) -> IPv6Address? { IPv6Address(text) }
  var connection: SYNCookies.Connection {
    [
      source.high, source.low, destination.high, destination.low,
      UInt64(sourcePort) << 16 | UInt64(destinationPort) | 6 << 32,
    ]
  }
  var limited: IPv6Address { source }
  var isLocal: Bool { destination.isMulticast || destination.isLinkLocal }
  var isUnbound: Bool { source.isUnspecified || source.isLinkLocal }
  var hasBadSource: Bool { source.isMulticast || source.isLoopback }
  func zones(_ zones: FirewallZones) -> (source: UInt8, destination: UInt8) {
    (zones.zone(of: source), zones.zone(of: destination))
  }
}
