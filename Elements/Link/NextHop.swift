import Dataplane
import Tables
import Wire

/// Where on a link a packet goes.
enum NextHop {
  /// To a neighbour, whose hardware address has to be found out.
  case neighbour(NeighbourKey)
  /// To a hardware address that needs no finding out: a group's, or all stations'.
  case link(MACAddress)
  /// Nowhere: no neighbour leads there.
  case none
  /// To the interface itself.
  case own
  /// It carries no IP.
  case notIP
}

/// Chooses the next hop of packets that leave by an interface. It need not be copyable, and had better not be when it holds
/// references, so that packet loops count none.
protocol NextHopChoice: ~Copyable, Sendable {
  /// The next hop of this packet.
  func nextHop(of packet: borrowing Packet) -> NextHop
}

/// Chooses by the destination alone: the destination itself when it is on the link, or else a gateway.
struct LinkNextHop: NextHopChoice, ~Copyable {
  private struct IPv4Link: BitwiseCopyable, Sendable {
    let address: IPv4Address
    let prefix: IPv4Prefix
  }

  private struct IPv6Link: BitwiseCopyable, Sendable {
    let address: IPv6Address
    let prefix: IPv6Prefix
  }

  private let interface: UInt32
  private let links4: FlatArray<IPv4Link>
  private let links6: FlatArray<IPv6Link>
  private let gateway4: NeighbourKey?
  private let gateway6: NeighbourKey?
  /// Whether packets say in their annotation where they go, and not by their destination.
  private let usesAnnotation: Bool

  init(
    interface: UInt32, _ addresses: [InterfaceAddress], gateway4: IPv4Address?, gateway6: IPv6Address?,
    usesAnnotation: Bool = false
  ) {
    self.interface = interface
    self.usesAnnotation = usesAnnotation
    links4 = FlatArray(
      addresses.compactMap {
        if case (.v4(let address), .v4(let prefix)) = ($0.address, $0.prefix) {
          IPv4Link(address: address, prefix: prefix)
        } else {
          nil
        }
      })
    links6 = FlatArray(
      addresses.compactMap {
        if case (.v6(let address), .v6(let prefix)) = ($0.address, $0.prefix) {
          IPv6Link(address: address, prefix: prefix)
        } else {
          nil
        }
      })
    self.gateway4 = gateway4.map { NeighbourKey(interface: interface, $0) }
    self.gateway6 = gateway6.map { NeighbourKey(interface: interface, $0) }
  }

  @inline(__always)
  func nextHop(of packet: borrowing Packet) -> NextHop {
    if usesAnnotation, packet.annotation != 0 { return annotatedHop(of: packet) }
    if let destination = packet.ipv4?.destination { return nextHop(to: destination) }
    if let destination = packet.ipv6?.destination { return nextHop(to: destination) }
    return .notIP
  }

  /// The next hop of which the annotation has the last 32 bits; those before are the interface's own.
  private func annotatedHop(of packet: borrowing Packet) -> NextHop {
    if packet.isIPv4 { return nextHop(to: IPv4Address(rawValue: packet.annotation)) }
    guard packet.isIPv6 else { return .notIP }
    guard links6.count > 0 else { return .none }
    let own = links6[0].address
    return nextHop(to: IPv6Address(high: own.high, low: own.low & ~0xFFFF_FFFF | UInt64(packet.annotation)))
  }

  @inline(__always)
  private func nextHop(to destination: IPv4Address) -> NextHop {
    // RFC 1112, 6.4
    if destination.isMulticast { return .link(MACAddress(multicast: destination)) }
    if destination.isLimitedBroadcast { return .link(.broadcast) }
    for index in 0..<links4.count {
      let link = links4[index]
      guard link.prefix.contains(destination) else { continue }
      if destination == link.address { return .own }
      if destination == link.prefix.lastAddress && link.prefix.length < 31 { return .link(.broadcast) }
      return .neighbour(NeighbourKey(interface: interface, destination))
    }
    return gateway4.map { .neighbour($0) } ?? .none
  }

  @inline(__always)
  private func nextHop(to destination: IPv6Address) -> NextHop {
    // RFC 2464, 7
    if destination.isMulticast { return .link(MACAddress(multicast: destination)) }
    for index in 0..<links6.count {
      let link = links6[index]
      guard link.prefix.contains(destination) else { continue }
      return destination == link.address ? .own : .neighbour(NeighbourKey(interface: interface, destination))
    }
    // Link-local addresses are on the link whatever the prefix (RFC 4861, 5.1).
    if destination.isLinkLocal { return .neighbour(NeighbourKey(interface: interface, destination)) }
    return gateway6.map { .neighbour($0) } ?? .none
  }
}
