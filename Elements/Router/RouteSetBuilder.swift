import Tables
import Wire

/// Puts a `RouteSet` together; routes that lead to the same share a hop.
struct RouteSetBuilder {
  private let interfaces: [RouterInterface]
  private var routes: [RoutingTable.Route] = []
  /// Routes to connected networks and own addresses, of which no other takes the place.
  private var ownRoutes: [RoutingTable.Route] = []
  private var hops: [Hop] = []
  private var buckets: [UInt32] = []
  private var places: [RouteTarget: UInt32] = [:]

  /// Routes to the interfaces' own addresses and networks.
  init(_ interfaces: [RouterInterface]) {
    self.interfaces = interfaces
    let local = add(.local)
    for interface in interfaces {
      let connected = place(of: .connected(interface: interface.number))
      let broadcast = add(.broadcast(interface))
      for address in interface.addresses {
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
          if host.isLinkLocal { continue }
          ownRoutes.append(.init(address.prefix, connected))
          ownRoutes.append(.init(.v6(IPv6Prefix(masking: host, length: 128)), local))
          // The subnet-router anycast address (RFC 4291, 2.6.1).
          if prefix.length < 127 {
            ownRoutes.append(.init(.v6(IPv6Prefix(masking: prefix.address, length: 128)), local))
          }
        default: break
        }
      }
    }
    // Groups are the router's own business; it forwards none.
    ownRoutes.append(.init(.v4(IPv4Prefix(masking: IPv4Address(224, 0, 0, 0), length: 4)), local))
    ownRoutes.append(.init(.v4(IPv4Prefix(masking: IPv4Address(rawValue: .max), length: 32)), local))
    ownRoutes.append(.init(.v6(IPv6Prefix(masking: IPv6Address(high: 0xFF << 56, low: 0), length: 8)), local))
  }

  /// Adds a route. Of several to the same prefix the last counts.
  mutating func add(_ prefix: IPPrefix, _ target: RouteTarget) { routes.append(.init(prefix, place(of: target))) }

  private mutating func add(_ hop: Hop) -> UInt32 {
    hops.append(hop)
    return UInt32(hops.count - 1)
  }

  private mutating func place(of target: RouteTarget) -> UInt32 {
    if let place = places[target] { return place }
    let place: UInt32
    switch target {
    case .blackhole: place = add(.blackhole)
    case .unreachable: place = add(.unreachable)
    case .prohibited: place = add(.prohibited)
    case .connected(let interface): place = add(.connected(interfaces[interface]))
    case .gateways(let gateways) where gateways.count == 1:
      place = add(.gateway(gateways[0].address, interfaces[gateways[0].interface]))
    case .gateways(let gateways):
      let members = gateways.map { gateway -> UInt32 in
        self.place(of: .gateways([.init(address: gateway.address, interface: gateway.interface, weight: 1)]))
      }
      place = add(.several(firstBucket: buckets.count))
      for bucket in 0..<Hop.bucketCount { buckets.append(members[Self.choose(gateways, bucket)]) }
    }
    places[target] = place
    return place
  }

  /// The gateway whose draw is best: when one goes, only its own buckets change hands (RFC 2992 calls it disruption).
  private static func choose(_ gateways: [RouteTarget.Gateway], _ bucket: Int) -> Int {
    var best = 0
    var bestDraw = -1.0
    for (index, gateway) in gateways.enumerated() {
      let key = NeighbourKey(interface: UInt32(gateway.interface), gateway.address)
      let hash = key.mixed(seed: UInt64(bucket) &* 0x9E37_79B9_7F4A_7C15)
      // The weight-th power's root: the greatest of `weight` draws.
      let uniform = (Double(hash >> 11) + 1) / Double(1 << 53)
      let draw = greatest(of: gateway.weight, uniform)
      if draw > bestDraw { (best, bestDraw) = (index, draw) }
    }
    return best
  }

  /// What `uniform` says the greatest of `count` numbers drawn from 0 to 1 is: its `count`th root, by bisection.
  private static func greatest(of count: Int, _ uniform: Double) -> Double {
    var low = 0.0
    var high = 1.0
    for _ in 0..<60 {
      let middle = (low + high) / 2
      var power = 1.0
      for _ in 0..<count { power *= middle }
      if power < uniform { low = middle } else { high = middle }
    }
    return low
  }

  /// How many routes the table has unless two are to the same prefix.
  var expectedCount: Int { routes.count + Set(ownRoutes.map(\.prefix)).count }

  /// Routes to a prefix that has one, a hundred at most.
  func conflicts() -> [RoutePlaces.Conflict] {
    RoutePlaces.conflicts(in: routes, own: Set(ownRoutes.map(\.prefix)))
  }

  consuming func build() throws(TableMemoryError) -> RouteSet {
    RouteSet(table: try RoutingTable(routes + ownRoutes), hops: FlatArray(hops), buckets: FlatArray(buckets))
  }
}
