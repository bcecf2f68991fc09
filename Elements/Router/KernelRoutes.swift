import Dataplane
import Netlink
import Tables
import Wire

/// What of the kernel's is followed for a VRF of a router.
struct KernelFollowing: Sendable {
  let vrf: Int
  let table: KernelTables.Table
  let places: HopPlaces
  /// Prefixes of connected networks and own addresses, which the kernel has no say in.
  let own: Set<IPPrefix>
}

/// Keeps the routes of a VRF, and neighbours on its interfaces, as the kernel has them: the routes are changed one by one,
/// in place, while workers look destinations up.
struct KernelRoutes {
  private let tables: KernelTables
  private let state: RouterState
  private let following: KernelFollowing
  private let routes: Snapshot<RouteSet>
  private var places: HopPlaces
  /// The kernel's interfaces by their numbers.
  private var links: [Int: KernelLink] = [:]
  /// Addresses of the kernel's that are none of the router's, and on how many of its interfaces.
  private var locals: [IPPrefix: Int] = [:]
  private var permanent: Set<NeighbourKey> = []
  /// Of the prefixes that lead nowhere beforehand, those of which the kernel has said nothing.
  private var placeholders = Set(beforehand)
  /// How often there was no memory for a route, or no room for its next hops.
  private(set) var noRoom = 0

  /// So many changes are taken over before others have their turn.
  private static let slice = 4096

  init(_ state: RouterState, _ following: KernelFollowing) throws(NetlinkError) {
    self.state = state
    self.following = following
    routes = state.routes.sets[following.vrf]
    places = following.places
    tables = try KernelTables(table: following.table)
  }

  /// Readable when the kernel has something to say.
  var descriptor: Int32 { tables.descriptor }

  /// Where packets go until the kernel's routes are known: nowhere, and nobody is told that there is no route.
  static let beforehand: [IPPrefix] = [.v4(.all), .v6(.all)]

  /// Takes over what changed.
  /// - Parameter readers: What to wait for before memory that workers may read is used again.
  /// - Returns: Whether there is more.
  mutating func follow(_ readers: ReaderDomain?, now: UInt64) throws(NetlinkError) -> Bool {
    let changes = try tables.poll(milliseconds: 0, limit: Self.slice)
    var updates: [RoutingTable.Change] = []
    var released: [UInt32] = []
    for change in changes {
      switch change {
      case .link(let link): note(link)
      case .linkRemoved(let index):
        if let interface = interface(index) { state.neighbours.flush(interface: UInt32(interface)) }
        links[index] = nil
      case .address(let address): addLocal(host(address.address), &updates, &released)
      case .addressRemoved(let address): removeLocal(host(address.address), &updates)
      case .route(let route):
        guard isFollowed(route.prefix) else { continue }
        set(route.prefix, target(of: route), &updates, &released)
      case .routeRemoved(let prefix):
        if isFollowed(prefix) { remove(prefix, &updates, &released) }
      case .neighbour(let neighbour): learn(neighbour, now)
      case .neighbourRemoved(let link, let address): forget(link, address)
      }
    }
    if tables.isUpToDate {
      for prefix in placeholders { remove(prefix, &updates, &released) }
    }
    apply(updates, released, readers)
    return !tables.isUpToDate && changes.count > 0
  }

  // MARK: Routes

  private func isFollowed(_ prefix: IPPrefix) -> Bool { !following.own.contains(prefix) && locals[prefix] == nil }

  private func value(of prefix: IPPrefix) -> UInt32? { routes.read { $0.table.value(of: prefix) } }

  private mutating func set(
    _ prefix: IPPrefix, _ target: RouteTarget, _ updates: inout [RoutingTable.Change], _ released: inout [UInt32]
  ) {
    placeholders.remove(prefix)
    var place = places.take(target)
    if place == nil {
      noRoom += 1
      place = places.take(.unreachable)
    }
    guard let place else { return }
    if let old = value(of: prefix) { released.append(old) }
    updates.append(.add(.init(prefix, place)))
  }

  private mutating func remove(
    _ prefix: IPPrefix, _ updates: inout [RoutingTable.Change], _ released: inout [UInt32]
  ) {
    placeholders.remove(prefix)
    guard let old = value(of: prefix) else { return }
    released.append(old)
    updates.append(.remove(prefix))
  }

  private mutating func apply(
    _ updates: [RoutingTable.Change], _ released: [UInt32], _ readers: ReaderDomain?
  ) {
    guard !updates.isEmpty else { return }
    let isWhole = routes.read { set in
      places.write(into: set)
      do throws(TableMemoryError) {
        try set.table.apply(updates) { readers?.synchronize() }
        return true
      } catch {
        return false
      }
    }
    guard isWhole else {
      // Which of the hops are still in use is not known; their places are not used again.
      noRoom += 1
      return
    }
    for place in released { places.release(place) }
    guard places.hasRetired else { return }
    readers?.synchronize()
    places.recycle()
  }

  private mutating func target(of route: KernelRoute) -> RouteTarget {
    switch route.kind {
    case .unicast: break
    case .blackhole: return .blackhole
    case .prohibit: return .prohibited
    case .local, .broadcast, .multicast: return .local
    case .unreachable, .other: return .unreachable
    }
    var gateways: [RouteTarget.Gateway] = []
    for hop in route.hops.prefix(Hop.bucketCount) {
      guard let interface = interface(hop.link) else { continue }
      gateways.append(.init(address: hop.gateway, interface: interface, weight: hop.weight))
    }
    guard let first = gateways.first else { return .unreachable }
    if gateways.count > 1 { return .gateways(gateways) }
    guard let interface = first.interface, first.address == nil else {
      return .gateways([.init(address: first.address, interface: first.interface, weight: 1)])
    }
    return .connected(interface: interface)
  }

  // MARK: Addresses

  private func host(_ address: IPAddress) -> IPPrefix? {
    switch address {
    case .v4(let address): .v4(IPv4Prefix(host: address))
    case .v6(let address): address.isLinkLocal || address.isLoopback ? nil : .v6(IPv6Prefix(host: address))
    }
  }

  /// Packets to the kernel's other addresses, on its loopback interface for example, are for this host.
  private mutating func addLocal(
    _ prefix: IPPrefix?, _ updates: inout [RoutingTable.Change], _ released: inout [UInt32]
  ) {
    guard let prefix, !following.own.contains(prefix) else { return }
    locals[prefix, default: 0] += 1
    if locals[prefix] == 1 { set(prefix, .local, &updates, &released) }
  }

  private mutating func removeLocal(_ prefix: IPPrefix?, _ updates: inout [RoutingTable.Change]) {
    guard let prefix, let count = locals[prefix] else { return }
    locals[prefix] = count > 1 ? count - 1 : nil
    if count == 1 { updates.append(.remove(prefix)) }
  }

  // MARK: Interfaces and neighbours

  /// The router's number for an interface of the kernel's.
  private func interface(_ link: Int) -> Int? {
    guard let name = links[link]?.name else { return nil }
    return state.interfaces.firstIndex { $0.kernelName == name }
  }

  private mutating func note(_ link: KernelLink) {
    let wasUp = links[link.index]?.hasCarrier ?? false
    links[link.index] = link
    // Whoever comes with the link again need not be who went with it.
    if wasUp, !link.hasCarrier, let interface = interface(link.index) {
      state.neighbours.flush(interface: UInt32(interface))
    }
  }

  private func key(_ link: Int, _ address: IPAddress) -> NeighbourKey? {
    guard let interface = interface(link), state.interfaces[interface].vrf == following.vrf, !address.isMulticast
    else { return nil }
    return NeighbourKey(interface: UInt32(interface), address)
  }

  private mutating func learn(_ neighbour: KernelNeighbour, _ now: UInt64) {
    guard let key = key(neighbour.link, neighbour.address) else { return }
    guard let mac = neighbour.mac, !mac.isMulticast, !mac.isZero else { return }
    switch neighbour.state {
    case .permanent:
      if state.neighbours.setPermanent(key, mac: mac) { permanent.insert(key) }
    case .reachable, .stale, .delay, .probe: state.neighbours.hear(key, mac: mac, creates: true, now: now)
    case .incomplete, .failed, .noARP: break
    }
  }

  private mutating func forget(_ link: Int, _ address: IPAddress) {
    if let key = key(link, address), permanent.remove(key) != nil { state.neighbours.remove(key) }
  }
}
