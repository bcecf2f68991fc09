import Configuration
import Tables
import Wire

/// Puts the `RouteSet` of a VRF together.
struct RouteSetBuilder {
  private let interfaces: [RouterInterface]
  private let vrf: Int
  private(set) var places: HopPlaces
  private var routes: [RoutingTable.Route] = []
  /// Routes to connected networks and own addresses, of which no other takes the place.
  private var ownRoutes: [RoutingTable.Route] = []
  /// What is to be resolved by other routes, its place and where it is written first.
  private var unresolved: [(target: RouteTarget, place: UInt32, range: SourceRange)] = []
  private var unresolvedPlaces: Set<UInt32> = []

  /// Routes to the own addresses and networks of a VRF's interfaces.
  /// - Parameter interfaces: All of the router's.
  init(_ interfaces: [RouterInterface], vrf: Int) {
    self.interfaces = interfaces
    self.vrf = vrf
    places = HopPlaces(interfaces)
    let local = places.add(.local, .local)
    for interface in interfaces where interface.vrf == vrf {
      let connected = places.add(.connected(interface), .connected(interface: interface.number))
      let broadcast = places.add(.broadcast(interface))
      for address in interface.addresses { addOwn(address, local: local, connected: connected, broadcast: broadcast) }
    }
    // Groups are the router's own business; it forwards none.
    ownRoutes.append(.init(.v4(IPv4Prefix(masking: IPv4Address(224, 0, 0, 0), length: 4)), local))
    ownRoutes.append(.init(.v4(IPv4Prefix(masking: IPv4Address(rawValue: .max), length: 32)), local))
    ownRoutes.append(.init(.v6(IPv6Prefix(masking: IPv6Address(high: 0xFF << 56, low: 0), length: 8)), local))
  }

  private mutating func addOwn(_ address: InterfaceAddress, local: UInt32, connected: UInt32, broadcast: UInt32) {
    switch (address.address, address.prefix) {
    case (.v4(let host), .v4(let prefix)):
      ownRoutes.append(.init(address.prefix, connected))
      ownRoutes.append(.init(.v4(IPv4Prefix(masking: host, length: 32)), local))
      // RFC 3021; the network's own address once was a broadcast address, too (RFC 1812, 5.3.5.1).
      if prefix.length < 31 {
        ownRoutes.append(.init(.v4(IPv4Prefix(masking: prefix.lastAddress, length: 32)), broadcast))
        ownRoutes.append(.init(.v4(IPv4Prefix(masking: prefix.address, length: 32)), broadcast))
      }
    case (.v6(let host), .v6(let prefix)):
      // Link-local addresses mean something on their link only and stand in no table.
      if host.isLinkLocal { return }
      ownRoutes.append(.init(address.prefix, connected))
      ownRoutes.append(.init(.v6(IPv6Prefix(masking: host, length: 128)), local))
      // The subnet-router anycast address (RFC 4291, 2.6.1).
      if prefix.length < 127 {
        ownRoutes.append(.init(.v6(IPv6Prefix(masking: prefix.address, length: 128)), local))
      }
    default: break
    }
  }

  /// Adds a route as it is written.
  mutating func add(
    _ prefix: IPPrefix, _ text: Substring, at range: @autoclosure () -> SourceRange
  ) throws(ConfigurationError) {
    do throws(RouteTarget.Flaw) {
      let target = try RouteTarget(text, interfaces, vrf: vrf)
      guard let place = places.take(target) else {
        throw RouteTarget.Flaw(
          message: "more than \(RoutingTable.valueLimit) next hops", remedy: "let routes share them")
      }
      if !target.isResolved, unresolvedPlaces.insert(place).inserted {
        unresolved.append((target, place, range()))
      }
      routes.append(.init(prefix, place))
    } catch {
      throw ConfigurationError(range(), error.message, remedy: error.remedy)
    }
  }

  /// Adds a route that a diagnostic never names.
  mutating func add(_ prefix: IPPrefix, _ target: RouteTarget) {
    if let place = places.take(target) { routes.append(.init(prefix, place)) }
  }

  /// How many routes the table has unless two are to the same prefix.
  var expectedCount: Int { routes.count + ownPrefixes.count }

  /// The prefixes of connected networks and own addresses.
  var ownPrefixes: Set<IPPrefix> { Set(ownRoutes.map(\.prefix)) }

  /// Routes to a prefix that has one, a hundred at most.
  func conflicts() -> [RoutePlaces.Conflict] { RoutePlaces.conflicts(in: routes, own: ownPrefixes) }

  /// Makes the set, and resolves next hops that are reached by other routes.
  /// - Parameters:
  ///   - isFollowing: Whether hops will come while workers read the set.
  ///   - reject: Is told of next hops that nothing leads to.
  mutating func build(
    isFollowing: Bool = false, reject: (ConfigurationError) -> Void
  ) throws(TableMemoryError) -> RouteSet {
    let table: RoutingTable
    if unresolved.isEmpty {
      table = try RoutingTable(routes + ownRoutes)
    } else {
      // A default route leads to everything, misspelt addresses too: it resolves nothing.
      table = try RoutingTable(routes.filter { $0.prefix.length > 0 } + ownRoutes)
      resolve(table, reject)
      try table.apply(routes.lazy.filter { $0.prefix.length == 0 }.map { .add($0) }) {}
    }
    let arrays = places.arrays(withRoom: isFollowing)
    return RouteSet(table: table, hops: arrays.hops, buckets: arrays.buckets)
  }

  // MARK: Next hops behind others

  private mutating func resolve(_ table: borrowing RoutingTable, _ reject: (ConfigurationError) -> Void) {
    var found: [(place: UInt32, target: RouteTarget)] = []
    for (target, place, range) in unresolved {
      do throws(RouteTarget.Flaw) {
        found.append((place, try resolve(target, table, behind: [place])))
      } catch {
        reject(ConfigurationError(range, error.message, remedy: error.remedy))
      }
    }
    for (place, target) in found { places.resolve(place, as: target) }
  }

  /// What a target leads to once each next hop is looked up among the routes.
  private func resolve(
    _ target: RouteTarget, _ table: borrowing RoutingTable, behind places: [UInt32]
  ) throws(RouteTarget.Flaw) -> RouteTarget {
    guard case .gateways(let gateways) = target, !target.isResolved else { return target }
    if gateways.count == 1 { return try resolve(gateways[0], table, behind: places) }
    var members: [RouteTarget.Gateway] = []
    for gateway in gateways {
      guard gateway.interface == nil else {
        members.append(
          .init(address: gateway.address, interface: gateway.interface, weight: gateway.weight * Self.share))
        continue
      }
      switch try resolve(gateway, table, behind: places) {
      case .connected(let interface):
        members.append(.init(address: gateway.address, interface: interface, weight: gateway.weight * Self.share))
      case .gateways(let inner):
        let whole = inner.reduce(0) { $0 + $1.weight }
        for way in inner {
          let weight = max(gateway.weight * Self.share * way.weight / whole, 1)
          members.append(.init(address: way.address, interface: way.interface, weight: weight))
        }
      case .local, .blackhole, .unreachable, .prohibited: break
      }
    }
    guard members.count <= RouteTarget.gatewayLimit else {
      throw RouteTarget.Flaw(
        message: "\(members.count) next hops, those that lead to them counted",
        remedy: "give at most \(RouteTarget.gatewayLimit)")
    }
    return members.isEmpty ? .unreachable : .gateways(members)
  }

  /// Into how many parts a next hop's weight can be divided among the ways to it.
  private static var share: Int { 64 }

  private func resolve(
    _ gateway: RouteTarget.Gateway, _ table: borrowing RoutingTable, behind above: [UInt32]
  ) throws(RouteTarget.Flaw) -> RouteTarget {
    guard let address = gateway.address else { return .unreachable }
    let found: UInt32? =
      switch address {
      case .v4(let address): table.lookup(address)
      case .v6(let address): table.lookup(address)
      }
    guard let place = found, let via = places.target(at: place) else {
      throw RouteTarget.Flaw(
        message: "next hop \(address) is on no connected network",
        remedy: "give a neighbour's address, name its interface: '\(address)@interface', or add a route to it")
    }
    guard !above.contains(place) else {
      throw RouteTarget.Flaw(
        message: "next hop \(address) is reached by no other route than its own",
        remedy: "give a neighbour's address, or add a route to \(address)")
    }
    switch try resolve(via, table, behind: above + [place]) {
    case .connected(let interface):
      return .gateways([.init(address: address, interface: interface, weight: gateway.weight)])
    case .local:
      throw RouteTarget.Flaw(
        message: "\(address) is an address of the router itself", remedy: "give a neighbour's address")
    case let way: return way
    }
  }
}
