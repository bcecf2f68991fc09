import Dataplane
import Tables
import Wire

/// Finds each packet's route and does what forwarding asks for: TTL, MTU, and the addresses of the next link (RFC 1812,
/// 5.2.1 and 5.3; RFC 8200). One interface's packets, or those that the router itself sends there; a part of `Router`.
struct RouterForward: RouterPart, ~Copyable {
  typealias Output = NumberedOutput

  /// What packets leave by that do not go to an interface.
  enum Exit: Int, CaseIterable {
    case local, expired, tooBig, noRoute, unreachable, prohibited, beyondScope, sourceRefused

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
      case .sourceRefused: .sourceRefused
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
    /// A link-local destination on another link (RFC 4291, 2.5.6).
    case linkLocalDestination
    /// Nobody sends from the unspecified address beyond a link (RFC 4291, 2.5.2; RFC 1812, 5.3.7).
    case unspecifiedSource
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
  private var v4 = InlineArray<256, IPv4Address>(repeating: .unspecified)
  private var v6 = InlineArray<256, IPv6Address>(repeating: .unspecified)
  private var v6Found = InlineArray<256, UInt32>(repeating: 0)
  private var places = InlineArray<256, UInt8>(repeating: 0)
  private var found = InlineArray<256, UInt32>(repeating: 0)

  init(_ state: RouterState, interface: Int, isOrigin: Bool) {
    self.interface = state.interfaces[interface]
    interfaceCount = state.interfaces.count
    self.isOrigin = isOrigin
    routes = state.routes
    neighbours = NeighbourReader(state.neighbours.reader)
    macs = FlatArray(state.interfaces.map(\.mac))
    linkLocal = FlatArray(state.interfaces[interface].linkLocal)
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

  // Look-ups are made for all packets together; see LookupRoute.
  mutating func process(_ batch: inout PacketBatch<Self>, _ context: inout Context) {
    var others = 0
    batch.survey { index, packet in
      if let ip = packet.ipv4 {
        v4[index] = ip.destination
      } else {
        v4[index] = .unspecified
        places[others] = UInt8(truncatingIfNeeded: index)
        v6[others] = packet.ipv6?.destination ?? .unspecified
        others += 1
      }
    }
    let count = batch.count
    routes.read { routes in
      Self.find(v4, count, &found) { routes.table.lookup($0, into: &$1) }
      if others > 0 {
        Self.find(v6, others, &v6Found) { routes.table.lookup($0, into: &$1) }
        for other in 0..<others { found[Int(places[other])] = v6Found[other] }
      }
      batch.forEach { index, packet in
        let place = found[index]
        if let verdict = forward4(&packet, place, routes) { return verdict }
        return decide(&packet, place, routes)
      }
    }
  }

  @inline(__always)
  private static func find<Address>(
    _ addresses: borrowing InlineArray<256, Address>, _ count: Int, _ found: inout InlineArray<256, UInt32>,
    _ lookup: (Span<Address>, inout MutableSpan<UInt32>) -> Void
  ) {
    var values = found.mutableSpan
    lookup(addresses.span.extracting(first: count), &values)
  }

  /// What nearly all packets are: IPv4 to a neighbour that is known. Nil, with the packet untouched, for all others.
  @inline(__always)
  private func forward4(_ packet: inout Packet, _ place: UInt32, _ routes: borrowing RouteSet) -> Verdict<Output>? {
    guard place != RoutingTable.none, !isOrigin, interface.reversePath == .off else { return nil }
    let hop = routes.hop(place, flowHash: packet.flowHash).hop
    guard hop.kind == .gateway || hop.kind == .connected, packet.ethernet?.destination == interface.mac else {
      return nil
    }
    guard let length = packet.networkLength, length <= hop.mtu else { return nil }
    let station: MACAddress
    if let ip = packet.mutableIPv4 {
      guard ip.timeToLive > 1, !ip.source.isUnspecified else { return nil }
      let key =
        hop.kind == .gateway
        ? hop.neighbour : NeighbourKey(interface: UInt32(hop.interface), ip.destination)
      let reading = neighbours.lookup(key)
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
    if !isOrigin, let fault = refuse(packet, routes) { return fault }
    if let verdict = linkLocalOnly(&packet, routes) { return verdict }
    guard place != RoutingTable.none else { return output(.noRoute) }
    let (chosen, hop) = routes.hop(place, flowHash: packet.flowHash)
    packet.annotation = RouteNote(interface: UInt8(truncatingIfNeeded: interface.number), hop: chosen).annotation
    switch hop.kind {
    case .local: return isOrigin ? .drop(Drop.toItself) : output(.local)
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

  /// What is wrong with a packet that came from a link, whatever its route.
  private func refuse(_ packet: borrowing Packet, _ routes: borrowing RouteSet) -> Verdict<Output>? {
    guard let station = packet.ethernet?.destination else { return .drop(.malformed) }
    var toGroup = packet.ipv6?.isMulticast ?? false
    var toAll = false
    if let destination = packet.ipv4?.destination {
      toGroup = destination.isMulticast || destination.isLimitedBroadcast
      if let place = routes.table.lookup(destination) { toAll = routes.hops[Int(place)].kind == .broadcast }
    }
    if station.isMulticast {
      if !toGroup && !toAll { return .drop(Drop.linkBroadcast) }
    } else if station != interface.mac {
      return .drop(Drop.otherStation)
    }
    if toGroup { return nil }
    if let source = packet.ipv4?.source {
      if source.isUnspecified { return .drop(Drop.unspecifiedSource) }
      return passes(routes.table.lookup(source), routes) ? nil : .drop(Drop.reversePath)
    }
    if let source = packet.ipv6?.source {
      if source.isUnspecified { return .drop(Drop.unspecifiedSource) }
      return source.isLinkLocal || passes(routes.table.lookup(source), routes) ? nil : .drop(Drop.reversePath)
    }
    return nil
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

  /// IPv6 packets with an address that means something on one link only (RFC 4291, 2.5.6); nil for all others.
  private func linkLocalOnly(_ packet: inout Packet, _ routes: borrowing RouteSet) -> Verdict<Output>? {
    guard let source = packet.ipv6?.source, let destination = packet.ipv6?.destination else { return nil }
    if destination.isLinkLocal {
      if isOrigin {
        packet.annotation = RouteNote(interface: UInt8(truncatingIfNeeded: interface.number), hop: 0xFF_FFFF).annotation
        return output(.resolve, UInt8(truncatingIfNeeded: interface.number))
      }
      for index in 0..<linkLocal.count where linkLocal[index] == destination { return output(.local) }
      return .drop(Drop.linkLocalDestination)
    }
    guard source.isLinkLocal, !isOrigin, !destination.isMulticast else { return nil }
    guard let place = routes.table.lookup(destination), routes.hops[Int(place)].kind == .local else {
      return output(.beyondScope)
    }
    return nil
  }

  /// Sends a packet to a hop, which is a gateway or connected.
  private func send(_ packet: inout Packet, _ hop: Hop) -> Verdict<Output> {
    if !isOrigin, (packet.ipv4?.timeToLive ?? packet.ipv6?.hopLimit ?? 0) <= 1 { return output(.expired) }
    if let length = packet.networkLength, length > hop.mtu {
      guard packet.ipv4?.dontFragment == false else {
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
