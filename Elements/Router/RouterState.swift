import Dataplane
import Tables
import Wire

/// What a router's parts share, on all workers.
final class RouterState: Sendable {
  let interfaces: [RouterInterface]
  let neighbours: NeighbourTable
  /// Each interface's.
  let addresses: [InterfaceAddresses]
  let routes: Snapshot<RouteSet>

  init(
    interfaces: [RouterInterface], neighbours: NeighbourTable, addresses: [InterfaceAddresses],
    routes: consuming RouteSet
  ) {
    self.interfaces = interfaces
    self.neighbours = neighbours
    self.addresses = addresses
    self.routes = Snapshot(routes)
  }
}

/// What packets carry from part to part in their annotation: the interface they came in by, and the place of their hop.
struct RouteNote {
  var interface: UInt8
  var hop: UInt32

  init(interface: UInt8, hop: UInt32) {
    self.interface = interface
    self.hop = hop
  }

  init(_ annotation: UInt32) {
    interface = UInt8(truncatingIfNeeded: annotation >> 24)
    hop = annotation & 0xFF_FFFF
  }

  var annotation: UInt32 { UInt32(interface) << 24 | hop & 0xFF_FFFF }
}

/// Chooses the next hop that the route said.
struct RoutedNextHop: NextHopChoice, ~Copyable {
  let state: RouterState
  let interface: UInt32

  func nextHop(of packet: borrowing Packet) -> NextHop {
    let place = Int(RouteNote(packet.annotation).hop)
    // Routes may have been replaced while the packet waited.
    let hop = state.routes.read { place < $0.hops.count ? $0.hops[place] : nil }
    if let hop, hop.kind == .gateway, UInt32(hop.interface) == interface { return .neighbour(hop.neighbour) }
    if let ip = packet.ipv4 { return .neighbour(NeighbourKey(interface: interface, ip.destination)) }
    if let ip = packet.ipv6 { return .neighbour(NeighbourKey(interface: interface, ip.destination)) }
    return .notIP
  }
}
