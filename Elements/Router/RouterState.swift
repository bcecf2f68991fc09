import Dataplane
import Tables
import Wire

/// The routes of a router's VRFs, which a reload replaces; each VRF's at once.
final class RouterRoutes: Replaceable, Sendable {
  /// By the VRF's number.
  let sets: [Snapshot<RouteSet>]

  init(_ sets: [Snapshot<RouteSet>]) { self.sets = sets }

  func replace(with other: RouterRoutes, readers: ReaderDomain) {
    for (set, new) in zip(sets, other.sets) { set.replace(with: new, readers: readers) }
  }
}

/// What a router's parts share, on all workers.
final class RouterState: Sendable {
  let interfaces: [RouterInterface]
  /// The VRFs' names by their numbers; the first is the one of interfaces that name none.
  let vrfs: [String]
  let neighbours: NeighbourTable
  /// Each interface's.
  let addresses: [InterfaceAddresses]
  let routes: RouterRoutes

  init(
    interfaces: [RouterInterface], vrfs: [String], neighbours: NeighbourTable, addresses: [InterfaceAddresses],
    routes: RouterRoutes
  ) {
    self.interfaces = interfaces
    self.vrfs = vrfs
    self.neighbours = neighbours
    self.addresses = addresses
    self.routes = routes
  }

  /// The routes of an interface's VRF.
  func routes(of interface: Int) -> Snapshot<RouteSet> { routes.sets[interfaces[interface].vrf] }

  /// The interfaces of an interface's VRF.
  func peers(of interface: Int) -> [RouterInterface] {
    interfaces.filter { $0.vrf == interfaces[interface].vrf }
  }
}

/// What packets carry from part to part in their annotation: the interface they came in by, and the place of their hop
/// among those of that interface's VRF.
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
  private let state: RouterState
  private let interface: UInt32
  private let routes: Snapshot<RouteSet>
  /// The VRF of each interface.
  private let vrfs: FlatArray<UInt8>
  private let vrf: UInt8

  init(state: RouterState, interface: Int) {
    self.state = state
    self.interface = UInt32(interface)
    routes = state.routes(of: interface)
    vrfs = FlatArray(state.interfaces.map { UInt8(truncatingIfNeeded: $0.vrf) })
    vrf = vrfs[interface]
  }

  func nextHop(of packet: borrowing Packet) -> NextHop {
    let note = RouteNote(packet.annotation)
    let origin = Int(note.interface)
    // Routes may have been replaced while the packet waited.
    let hop = origin < vrfs.count && vrfs[origin] == vrf ? Self.hop(note, routes) : leaked(note)
    if let hop, hop.kind == .gateway, UInt32(hop.interface) == interface { return .neighbour(hop.neighbour) }
    if let ip = packet.ipv4 { return .neighbour(NeighbourKey(interface: interface, ip.destination)) }
    if let ip = packet.ipv6 { return .neighbour(NeighbourKey(interface: interface, ip.destination)) }
    return .notIP
  }

  @inline(__always)
  private static func hop(_ note: RouteNote, _ routes: Snapshot<RouteSet>) -> Hop? {
    let place = Int(note.hop)
    return routes.read { place < $0.hops.count ? $0.hops[place] : nil }
  }

  /// The hop of a packet from another VRF.
  @inline(never)
  private func leaked(_ note: RouteNote) -> Hop? {
    Int(note.interface) < state.interfaces.count ? Self.hop(note, state.routes(of: Int(note.interface))) : nil
  }
}
