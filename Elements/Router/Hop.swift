import Tables
import Wire

/// What a route leads to, as packets need it: half a cache line.
struct Hop: BitwiseCopyable, Sendable {
  enum Kind: UInt8, BitwiseCopyable, Sendable {
    /// To a neighbour.
    case gateway
    /// To the destination itself, which is on the link.
    case connected
    /// One of several, by the packet's flow: a bucket of `RouteSet.buckets`.
    case several
    /// To the router itself.
    case local
    /// To all stations of a connected network.
    case broadcast
    /// Dropped without a word.
    case blackhole
    /// Dropped, and the sender told that the destination is unreachable.
    case unreachable
    /// Dropped, and the sender told that it is prohibited.
    case prohibited
  }

  let kind: Kind
  /// The interface that packets leave by.
  let interface: UInt8
  /// Longest packet in bytes.
  let mtu: UInt16
  /// Where the buckets begin; there are `bucketCount`.
  let firstBucket: UInt32
  /// A gateway's.
  let neighbour: NeighbourKey

  private init(
    _ kind: Kind, interface: Int = 0, mtu: Int = 0, firstBucket: Int = 0,
    neighbour: NeighbourKey = NeighbourKey(interface: 0, IPv4Address.unspecified)
  ) {
    self.kind = kind
    self.interface = UInt8(truncatingIfNeeded: interface)
    self.mtu = UInt16(clamping: mtu)
    self.firstBucket = UInt32(truncatingIfNeeded: firstBucket)
    self.neighbour = neighbour
  }

  /// How many buckets flows are spread over: a hop's share is exact to one in so many.
  static let bucketCount = 64

  static func gateway(_ address: IPAddress, _ interface: RouterInterface) -> Hop {
    Hop(
      .gateway, interface: interface.number, mtu: interface.mtu,
      neighbour: NeighbourKey(interface: UInt32(interface.number), address))
  }
  static func connected(_ interface: RouterInterface) -> Hop {
    Hop(.connected, interface: interface.number, mtu: interface.mtu)
  }
  static func several(firstBucket: Int) -> Hop { Hop(.several, firstBucket: firstBucket) }
  static func broadcast(_ interface: RouterInterface) -> Hop { Hop(.broadcast, interface: interface.number) }
  static let local = Hop(.local)
  static let blackhole = Hop(.blackhole)
  static let unreachable = Hop(.unreachable)
  static let prohibited = Hop(.prohibited)
}

/// A table of routes with what they lead to; replaced as a whole.
struct RouteSet: ~Copyable, Sendable {
  /// Leads to places in `hops`.
  let table: RoutingTable
  let hops: FlatArray<Hop>
  /// Places in `hops`, `Hop.bucketCount` for each hop that stands for several.
  let buckets: FlatArray<UInt32>

  /// The hop at a place for a flow.
  @inline(__always)
  func hop(_ place: UInt32, flowHash: @autoclosure () -> UInt32) -> (place: UInt32, hop: Hop) {
    let hop = hops[Int(place)]
    guard hop.kind == .several else { return (place, hop) }
    let bucket = Int(hop.firstBucket) + Int(flowHash() >> 8) % Hop.bucketCount
    let chosen = buckets[bucket]
    return (chosen, hops[Int(chosen)])
  }
}
