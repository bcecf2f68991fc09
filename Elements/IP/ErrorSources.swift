import Dataplane
import Tables
import Wire

/// Which addresses ICMP errors come from, and what of a packet's addresses speaks against an error about it.
struct ErrorSources {
  private let own4: FlatArray<IPv4Address>
  private let own6: FlatArray<IPv6Address>
  /// By the packet's ingress port; the unspecified address where a port has none of this version.
  private let ports4: FlatArray<IPv4Address>
  private let ports6: FlatArray<IPv6Address>
  /// The same for receivers on the link only.
  private let linkLocals6: FlatArray<IPv6Address>
  /// Broadcast addresses of this host's networks.
  private let broadcasts: FlatArray<IPv4Address>

  /// - Parameters:
  ///   - own: This host's addresses. The first of each IP version is what errors come from.
  ///   - networks: The networks that this host is on.
  ///   - ports: Addresses that errors come from instead, by the packet's ingress port.
  init(own: [IPAddress], networks: [IPv4Prefix] = [], ports: [[IPAddress]] = []) {
    own4 = FlatArray(own.v4)
    own6 = FlatArray(own.v6)
    ports4 = FlatArray(ports.map { $0.v4.first ?? .unspecified })
    ports6 = FlatArray(ports.map { $0.v6.first { !$0.isLinkLocal } ?? .unspecified })
    linkLocals6 = FlatArray(ports.map { $0.v6.first { $0.isLinkLocal } ?? .unspecified })
    // A network of two has no broadcast address (RFC 3021); the first address of others once was one (RFC 1122, 3.3.6).
    broadcasts = FlatArray(networks.filter { $0.length < 31 }.flatMap { [$0.address, $0.lastAddress] })
  }

  /// The address an error comes from; nil when there is none.
  /// - Parameters:
  ///   - destination: The packet's.
  ///   - isOwn: Whether that is known to be an address of this host.
  ///   - port: The packet's ingress port.
  func v4(about destination: IPv4Address, isOwn: Bool, port: Int) -> IPv4Address? {
    if isOwn || own4.contains(destination) { return destination }
    if port < ports4.count, !ports4[port].isUnspecified { return ports4[port] }
    return own4.count > 0 ? own4[0] : nil
  }

  /// The address an error comes from (RFC 4443, 2.2): of several the first that has the receiver's scope (RFC 6724, 5,
  /// rule 2). Nil when there is none.
  /// - Parameter receiver: Whom the error is for.
  func v6(about destination: IPv6Address, to receiver: IPv6Address, isOwn: Bool, port: Int) -> IPv6Address? {
    if isOwn || own6.contains(destination) { return destination }
    let isLinkLocal = receiver.isLinkLocal
    if port < ports6.count {
      let address = isLinkLocal ? linkLocals6[port] : ports6[port]
      if !address.isUnspecified { return address }
    }
    for index in 0..<own6.count where own6[index].isLinkLocal == isLinkLocal { return own6[index] }
    return own6.count > 0 ? own6[0] : nil
  }

  func isMulticastOrBroadcast(_ address: IPv4Address) -> Bool {
    address.isMulticast || address.isLimitedBroadcast || broadcasts.contains(address)
  }

  /// Whether an address stands for one host (RFC 1122, 3.2.2; RFC 1812, 5.3.7).
  func isOneHost(_ address: IPv4Address) -> Bool {
    !address.isThisNetwork && !address.isLoopback && !address.isReserved && !isMulticastOrBroadcast(address)
  }

  /// Whether an address stands for one node (RFC 4443, 2.4(e.6)).
  func isOneHost(_ address: IPv6Address) -> Bool {
    !address.isUnspecified && !address.isLoopback && !address.isMulticast && !address.isIPv4Mapped
  }
}

/// What an ICMP error takes from the IPv4 packet that it is about.
struct Original4 {
  let source: IPv4Address
  let destination: IPv4Address
  let trafficClass: UInt8
  /// Whether the packet is an ICMP error, or may be one.
  let isICMPError: Bool

  /// Nil when this is no IPv4 packet or its header is damaged.
  init?(_ packet: borrowing Packet) {
    guard let ip = packet.ipv4, ip.isChecksumValid else { return nil }
    source = ip.source
    destination = ip.destination
    trafficClass = ip.trafficClass
    isICMPError = ip.protocolNumber == .icmp && !Self.isQuery(packet.icmp?.type)
  }

  /// Types that are known to be no errors (RFC 792, 950, 1256, 8335). An unknown one may be an error.
  private static func isQuery(_ type: UInt8?) -> Bool {
    switch type {
    case 0, 8, 9, 10, 13, 14, 15, 16, 17, 18, 42, 43: true
    default: false
    }
  }
}

/// What an ICMPv6 error takes from the IPv6 packet that it is about.
struct Original6 {
  let source: IPv6Address
  let destination: IPv6Address
  /// Whether the packet is an ICMPv6 error or a redirect, or may be one.
  let isICMPError: Bool

  /// Nil when this is no IPv6 packet.
  init?(_ packet: borrowing Packet) {
    guard let ip = packet.ipv6 else { return nil }
    source = ip.source
    destination = ip.destination
    // Types below 128 are errors, known or not (RFC 4443, 2.1); 137 is a redirect. A fragment does not say.
    let type = packet.icmp?.type
    isICMPError = packet.transportProtocol == .icmpv6 && (type.map { $0 < 128 || $0 == 137 } ?? true)
  }
}

extension Packet {
  /// Whether the frame went to a group or to all, or claims to come from one; true for what is no frame.
  var isLinkMulticast: Bool {
    guard let ethernet else { return true }
    return ethernet.destination.isMulticast || ethernet.source.isMulticast
  }
}
