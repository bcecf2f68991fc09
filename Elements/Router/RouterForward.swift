import Dataplane
import Tables
import Wire

/// Finds each packet's route and does what forwarding asks for: TTL, MTU, and the addresses of the next link (RFC 1812,
/// 5.2.1 and 5.3; RFC 8200). One interface's packets, or those that the router itself sends there; a part of `Router`.
struct RouterForward: RouterPart, ~Copyable {
  typealias Output = NumberedOutput

  /// What packets leave by that do not go to an interface.
  enum Exit: Int, CaseIterable {
    case local, expired, tooBig, noRoute, unreachable, prohibited, beyondScope, badOption

    /// The input of `ICMPError` that tells the sender; nil for what is no error.
    var error: ICMPError.Input? {
      switch self {
      case .local: nil
      case .expired: .expired
      case .tooBig: .tooBig
      case .noRoute: .noRoute
      case .unreachable: .hostUnreachable
      case .prohibited: .prohibited
      case .beyondScope: .beyondScope
      case .badOption: .badHeader
      }
    }
  }

  /// What happens to packets on their way to an interface: each has an output for every interface.
  enum Way: Int, CaseIterable {
    /// The frame is ready.
    case ready
    /// The next hop's hardware address has to be found out.
    case resolve
    /// It has to be cut into fragments.
    case fragment
  }

  /// Why packets are dropped.
  enum Drop: UInt8, ElementDropReason {
    /// The route is a blackhole.
    case blackhole
    /// The frame was for another station.
    case otherStation
    /// The frame was a broadcast, but the packet is not (RFC 1812, 5.3.4).
    case linkBroadcast
    /// To all stations of a network other than the one that it came from (RFC 2644).
    case directedBroadcast
    /// To a group of more than this link: the router belongs to none, and forwards to none.
    case group
    /// A link-local destination on another link (RFC 4291, 2.5.6).
    case linkLocalDestination
    /// Nobody sends from the unspecified address beyond a link (RFC 4291, 2.5.2; RFC 1812, 5.3.7).
    case unspecifiedSource
    /// The source is an address of the router, or stands for all stations of a connected network (RFC 1812, 5.3.7).
    case ownSource
    /// It says by which routers it goes (RFC 7126, 4.3 and 4.4).
    case sourceRoute
    /// No route leads to the source, or not by the interface that it came in by (RFC 3704).
    case reversePath
    /// The router has nothing to send to itself.
    case toItself
  }

  static let needs = HeaderState.ip
  static let boundsLoops = true

  private let interface: RouterInterface
  private let interfaceCount: Int
  /// Whether packets are the router's own: they have no TTL to lose and came from no link.
  private let isOrigin: Bool
  private let routes: Snapshot<RouteSet>
  private let neighbours: NeighbourReader
  private let macs: FlatArray<MACAddress>
  private let linkLocal: FlatArray<IPv6Address>
  private let ownSources: AddressFilter
  private var destinations = DestinationLookup()
  /// Where the neighbours of gateways were last found, by the place of the hop.
  private var lastPlaces = InlineArray<256, UInt32>(repeating: 0)

  init(_ state: RouterState, interface: Int, isOrigin: Bool) {
    self.interface = state.interfaces[interface]
    interfaceCount = state.interfaces.count
    self.isOrigin = isOrigin
    routes = state.routes(of: interface)
    neighbours = NeighbourReader(state.neighbours.reader)
    macs = FlatArray(state.interfaces.map(\.mac))
    linkLocal = FlatArray(state.interfaces[interface].linkLocal)
    ownSources = AddressFilter(state.peers(of: interface).flatMap(\.addresses))
  }

  var outputs: [OutputDescription] {
    let ways = Way.allCases.flatMap { way in (0..<interfaceCount).map { OutputDescription("\(way)-\($0)") } }
    return ways + Exit.allCases.map { OutputDescription("\($0)") }
  }

  @inline(__always)
  private func output(_ way: Way, _ interface: UInt8) -> Verdict<Output> {
    .forward(NumberedOutput(way.rawValue * interfaceCount + Int(interface)))
  }

  private func output(_ exit: Exit) -> Verdict<Output> {
    .forward(NumberedOutput(Way.allCases.count * interfaceCount + exit.rawValue))
  }

  mutating func process(_ batch: inout PacketBatch<Self>, _ context: inout Context) {
    routes.read { routes in
      destinations.find(&batch, in: routes.table)
      batch.forEach { index, packet in
        let place = destinations[index]
        if let verdict = forward4(&packet, place, routes) { return verdict }
        return decide(&packet, place, routes)
      }
    }
  }

  /// What nearly all packets are: IPv4 to a neighbour that is known. Nil, with the packet untouched, for all others.
  @inline(__always)
  private mutating func forward4(
    _ packet: inout Packet, _ place: UInt32, _ routes: borrowing RouteSet
  ) -> Verdict<Output>? {
    guard place != RoutingTable.none, !isOrigin, interface.reversePath == .off else { return nil }
    let (place, hop) = routes.hop(place, flowHash: packet.flowHash)
    guard hop.kind == .gateway || hop.kind == .connected, packet.ethernet?.destination == interface.mac else {
      return nil
    }
    guard let length = packet.networkLength, length <= hop.mtu else { return nil }
    let station: MACAddress
    if let ip = packet.mutableIPv4 {
      let source = ip.source
      guard ip.timeToLive > 1, !ip.hasOptions, !source.isUnspecified, !ownSources.mayHave(source) else { return nil }
      let reading =
        hop.kind == .gateway
        ? neighbours.lookup(hop.neighbour, near: &lastPlaces[Int(place) & 255])
        : neighbours.lookup(NeighbourKey(interface: UInt32(hop.interface), ip.destination))
      guard reading.isFresh else { return nil }
      station = reading.mac
      ip.decrementTimeToLive()
    } else {
      return nil
    }
    packet.mutableEthernet?.setAddresses(destination: station, source: macs[Int(hop.interface)])
    return output(.ready, hop.interface)
  }

  /// Everything, one thing after the other.
  @inline(never)
  private func decide(_ packet: inout Packet, _ place: UInt32, _ routes: borrowing RouteSet) -> Verdict<Output> {
    let isIPv4 = packet.isIPv4
    guard isIPv4 || packet.isIPv6 else { return .drop(.malformed) }
    if !isOrigin, let fault = refuse(packet, place, routes) { return fault }
    if !isOrigin, let fault = judgeOptions(&packet) { return fault }
    if let verdict = linkLocalOnly(&packet) { return verdict }
    guard place != RoutingTable.none else { return output(.noRoute) }
    let (chosen, hop) = routes.hop(place, flowHash: Self.pathHash(packet))
    packet.annotation = RouteNote(interface: UInt8(truncatingIfNeeded: interface.number), hop: chosen).annotation
    switch hop.kind {
    case .local:
      if isOrigin { return .drop(Drop.toItself) }
      return Self.isToFarGroup(packet) ? .drop(Drop.group) : output(.local)
    case .broadcast:
      if isOrigin || Int(hop.interface) != interface.number { return .drop(Drop.directedBroadcast) }
      return output(.local)
    case .blackhole: return .drop(Drop.blackhole)
    case .unreachable: return output(.unreachable)
    case .prohibited: return output(.prohibited)
    case .gateway, .connected, .several: break
    }
    return send(&packet, hop)
  }

  /// What is wrong with a packet that came from a link.
  private func refuse(
    _ packet: borrowing Packet, _ place: UInt32, _ routes: borrowing RouteSet
  ) -> Verdict<Output>? {
    guard let station = packet.ethernet?.destination else { return .drop(.malformed) }
    var toGroup = packet.ipv6?.isMulticast ?? false
    var toAll = false
    if let destination = packet.ipv4?.destination {
      toGroup = destination.isMulticast || destination.isLimitedBroadcast
      toAll = place != RoutingTable.none && routes.hops[Int(place)].kind == .broadcast
    }
    if station.isMulticast {
      if !toGroup && !toAll { return .drop(Drop.linkBroadcast) }
    } else if station != interface.mac {
      return .drop(Drop.otherStation)
    }
    if toGroup { return nil }
    if let source = packet.ipv4?.source {
      if source.isUnspecified { return .drop(Drop.unspecifiedSource) }
      guard interface.reversePath != .off || ownSources.mayHave(source) else { return nil }
      return judge(source: routes.table.lookup(source), routes)
    }
    if let source = packet.ipv6?.source {
      if source.isUnspecified { return .drop(Drop.unspecifiedSource) }
      if source.isLinkLocal { return nil }
      guard interface.reversePath != .off || ownSources.mayHave(source) else { return nil }
      return judge(source: routes.table.lookup(source), routes)
    }
    return nil
  }

  /// What is wrong with a source that the table has at this place.
  private func judge(source place: UInt32?, _ routes: borrowing RouteSet) -> Verdict<Output>? {
    if let place {
      let kind = routes.hops[Int(place)].kind
      if kind == .local || kind == .broadcast { return .drop(Drop.ownSource) }
    }
    return passes(place, routes) ? nil : .drop(Drop.reversePath)
  }

  private func judgeOptions(_ packet: inout Packet) -> Verdict<Output>? {
    guard packet.ipv4?.hasOptions == true else { return nil }
    switch IPv4Options.judge(packet) {
    case .sound: return nil
    case .sourceRoute: return .drop(Drop.sourceRoute)
    case .bad(let offset):
      packet.annotation = UInt32(truncatingIfNeeded: offset)
      return output(.badOption)
    }
  }

  private func passes(_ place: UInt32?, _ routes: borrowing RouteSet) -> Bool {
    if interface.reversePath == .off { return true }
    guard let place else { return false }
    let hop = routes.hops[Int(place)]
    switch hop.kind {
    case .gateway, .connected: return interface.reversePath == .loose || Int(hop.interface) == interface.number
    case .several:
      if interface.reversePath == .loose { return true }
      let first = Int(hop.firstBucket)
      for bucket in first..<first + Hop.bucketCount
      where Int(routes.hops[Int(routes.buckets[bucket])].interface) == interface.number { return true }
      return false
    default: return false
    }
  }

  /// IPv6 packets to an address that means something on one link only (RFC 4291, 2.5.6); nil for all others.
  private func linkLocalOnly(_ packet: inout Packet) -> Verdict<Output>? {
    guard let destination = packet.ipv6?.destination else { return nil }
    if destination.isLinkLocal {
      if isOrigin {
        packet.annotation = RouteNote(interface: UInt8(truncatingIfNeeded: interface.number), hop: 0xFF_FFFF).annotation
        return output(.resolve, UInt8(truncatingIfNeeded: interface.number))
      }
      return linkLocal.contains(destination) ? output(.local) : .drop(Drop.linkLocalDestination)
    }
    return nil
  }

  private static func isToFarGroup(_ packet: borrowing Packet) -> Bool {
    if let destination = packet.ipv4?.destination {
      // 224.0.0.0/24 stays on its link (RFC 5771, 4).
      return destination.isMulticast && destination.rawValue >> 8 != 0xE0_0000
    }
    guard let destination = packet.ipv6?.destination else { return false }
    return destination.isMulticast && !destination.isLinkLocalMulticast
  }

  /// Chooses among several next hops: by flow, and for IPv6 by the flow label, too (RFC 6438, 3).
  static func pathHash(_ packet: borrowing Packet) -> UInt32 {
    packet.flowHash ^ (packet.ipv6?.flowLabel ?? 0) &* 0x9E37_79B1
  }

  /// Sends a packet to a hop, which is a gateway or connected.
  private func send(_ packet: inout Packet, _ hop: Hop) -> Verdict<Output> {
    if !isOrigin, (packet.ipv4?.timeToLive ?? packet.ipv6?.hopLimit ?? 0) <= 1 { return output(.expired) }
    if !isOrigin, packet.ipv6?.source.isLinkLocal == true, Int(hop.interface) != interface.number {
      return output(.beyondScope)
    }
    if let length = packet.networkLength, length > hop.mtu {
      // Replies have DF from the request, which says nothing of the way back.
      if isOrigin { packet.mutableIPv4?.setDontFragment(false) }
      guard packet.ipv4?.dontFragment == false || isOrigin && packet.isIPv6 else {
        packet.annotation = UInt32(hop.mtu)
        return output(.tooBig)
      }
      return lowered(&packet) ? output(.fragment, hop.interface) : .drop(.noBuffer)
    }
    guard lowered(&packet) else { return .drop(.noBuffer) }
    let reading = neighbours.lookup(Self.neighbour(packet, hop))
    guard reading.isFresh else { return output(.resolve, hop.interface) }
    packet.mutableEthernet?.setAddresses(destination: reading.mac, source: macs[Int(hop.interface)])
    return output(.ready, hop.interface)
  }

  private static func neighbour(_ packet: borrowing Packet, _ hop: Hop) -> NeighbourKey {
    if hop.kind == .gateway { return hop.neighbour }
    let interface = UInt32(hop.interface)
    if let ip = packet.ipv4 { return NeighbourKey(interface: interface, ip.destination) }
    return NeighbourKey(interface: interface, packet.ipv6?.destination ?? .unspecified)
  }

  /// Takes a hop off a packet's life, but for the router's own. False when that takes a buffer and none is left.
  private func lowered(_ packet: inout Packet) -> Bool {
    guard packet.makeWritable() else { return false }
    if isOrigin { return true }
    packet.mutableIPv4?.decrementTimeToLive()
    packet.mutableIPv6?.decrementHopLimit()
    return true
  }
}
