import CNetlink
import Glibc
import Wire

extension KernelLink {
  /// Reads the payload of RTM_NEWLINK or RTM_DELLINK; nil when it says nothing of an interface as a whole.
  init?(_ message: RawSpan) {
    // A bridge tells of its ports in messages of the same type and a family of their own.
    guard let family = message.field(0, as: UInt8.self), family == 0, let index = message.field(4, as: Int32.self),
      let flags = message.field(8, as: UInt32.self)
    else { return nil }
    let isUp = flags & UInt32(CNETLINK_IFF_UP) != 0
    self.init(
      index: Int(index), name: "", mac: nil, mtu: 0, isUp: isUp,
      hasCarrier: isUp && flags & UInt32(CNETLINK_IFF_LOWER_UP) != 0, master: nil, vrfTable: nil)
    let isSound = message.forEachAttribute(from: 16) { type, payload in
      switch type {
      case Int(IFLA_ADDRESS): mac = payload.mac
      case Int(IFLA_IFNAME): name = payload.text
      case Int(IFLA_MTU): mtu = Int(payload.field(0, as: UInt32.self) ?? 0)
      case Int(IFLA_MASTER): master = payload.field(0, as: UInt32.self).map { Int($0) }
      case Int(IFLA_LINKINFO): vrfTable = Self.vrfTable(payload)
      default: break
      }
    }
    guard isSound, index > 0 else { return nil }
  }

  private static func vrfTable(_ information: RawSpan) -> Int? {
    var isVRF = false
    var table: Int?
    _ = information.forEachAttribute(from: 0) { type, payload in
      if type == Int(IFLA_INFO_KIND) { isVRF = payload.text == "vrf" }
      if type == Int(IFLA_INFO_DATA) {
        _ = payload.forEachAttribute(from: 0) { type, payload in
          if type == Int(IFLA_VRF_TABLE) { table = payload.field(0, as: UInt32.self).map { Int($0) } }
        }
      }
    }
    return isVRF ? table : nil
  }
}

extension KernelAddress {
  /// Reads the payload of RTM_NEWADDR or RTM_DELADDR.
  init?(_ message: RawSpan) {
    guard let length = message.field(1, as: UInt8.self), var flags = message.field(2, as: UInt8.self).map(UInt32.init),
      let index = message.field(4, as: UInt32.self)
    else { return nil }
    var local: IPAddress?
    var other: IPAddress?
    let isSound = message.forEachAttribute(from: 8) { type, payload in
      switch type {
      case Int(IFA_LOCAL): local = payload.address()
      case Int(IFA_ADDRESS): other = payload.address()
      case Int(IFA_FLAGS): flags = payload.field(0, as: UInt32.self) ?? flags
      default: break
      }
    }
    guard isSound, let address = local ?? other, Int(length) <= address.width else { return nil }
    let isTentative = flags & UInt32(IFA_F_TENTATIVE | IFA_F_DADFAILED) != 0 && flags & UInt32(IFA_F_OPTIMISTIC) == 0
    self.init(
      link: Int(index), address: address, prefixLength: Int(length), peer: other == address ? nil : other,
      isTentative: isTentative)
  }
}

extension IPAddress {
  var width: Int {
    switch self {
    case .v4: 32
    case .v6: 128
    }
  }
}

/// What a neighbour is known by.
struct NeighbourID: Hashable {
  let link: Int
  let address: IPAddress
}

extension KernelNeighbour {
  var id: NeighbourID { NeighbourID(link: link, address: address) }

  /// Reads the payload of RTM_NEWNEIGH or RTM_DELNEIGH; nil for entries of bridges and for those answered for others.
  /// The state is `failed` where the message has none.
  init?(_ message: RawSpan) {
    guard let family = message.field(0, as: UInt8.self), let index = message.field(4, as: Int32.self),
      let bits = message.field(8, as: UInt16.self), let flags = message.field(10, as: UInt8.self),
      Int32(family) == AF_INET || Int32(family) == AF_INET6, Int32(flags) & NTF_PROXY == 0
    else { return nil }
    var address: IPAddress?
    var mac: MACAddress?
    let isSound = message.forEachAttribute(from: 12) { type, payload in
      if type == Int(NDA_DST) { address = payload.address() }
      if type == Int(NDA_LLADDR) { mac = payload.mac }
    }
    guard isSound, let address else { return nil }
    let states: [(Int32, State)] = [
      (NUD_PERMANENT, .permanent), (NUD_NOARP, .noARP), (NUD_REACHABLE, .reachable), (NUD_STALE, .stale),
      (NUD_DELAY, .delay), (NUD_PROBE, .probe), (NUD_INCOMPLETE, .incomplete),
    ]
    let state = states.first { Int32(bits) & $0.0 != 0 }?.1 ?? .failed
    self.init(
      link: Int(index), address: address, mac: state == .failed || state == .incomplete ? nil : mac, state: state,
      isRouter: Int32(flags) & NTF_ROUTER != 0)
  }
}

/// A nexthop object (`ip nexthop`), which routes refer to by number.
struct Nexthop: Equatable {
  enum Kind: Equatable {
    case hop(KernelHop)
    case blackhole
    /// The numbers of other objects, and their weights.
    case group([Member])
    /// What cannot be told in the model.
    case other
  }

  struct Member: Equatable {
    let id: UInt32
    let weight: Int
  }

  let id: UInt32
  /// Nil when it cannot be used now.
  let kind: Kind?

  /// Reads the payload of RTM_NEWNEXTHOP or RTM_DELNEXTHOP.
  init?(_ message: RawSpan) {
    guard let flags = message.field(4, as: UInt32.self) else { return nil }
    var id: UInt32?
    var link: UInt32 = 0
    var gateway: IPAddress?
    var isBlackhole = false
    var isOther = false
    var members: [Member]?
    let isSound = message.forEachAttribute(from: 8) { type, payload in
      switch type {
      case Int(NHA_ID): id = payload.field(0)
      case Int(NHA_OIF): link = payload.field(0) ?? 0
      case Int(NHA_GATEWAY): gateway = payload.address()
      case Int(NHA_BLACKHOLE): isBlackhole = true
      case Int(NHA_ENCAP), Int(NHA_FDB): isOther = true
      case Int(NHA_GROUP): members = Self.members(payload)
      default: break
      }
    }
    guard isSound, let id else { return nil }
    self.id = id
    if isOther {
      kind = .other
    } else if isBlackhole {
      kind = .blackhole
    } else if let members {
      kind = .group(members)
    } else if flags & UInt32(RTNH_F_DEAD) != 0 {
      kind = nil
    } else {
      kind = .hop(KernelHop(gateway: gateway, link: Int(link), weight: 1))
    }
  }

  private static func members(_ payload: RawSpan) -> [Member] {
    stride(from: 0, to: payload.byteCount, by: 8).compactMap { offset in
      // The weight less one; Linux 6.12 made the byte that follows, once reserved and 0, its upper half.
      guard let id = payload.field(offset, as: UInt32.self), let low = payload.field(offset + 4, as: UInt8.self),
        let high = payload.field(offset + 5, as: UInt8.self)
      else { return nil }
      return Member(id: id, weight: (Int(high) << 8 | Int(low)) + 1)
    }
  }
}

/// A route as a message tells it, without its hops.
struct RouteMessage {
  var prefix: IPPrefix
  var kind: KernelRoute.Kind
  var table: UInt32
  var metric: UInt32
  /// The number of the nexthop object that it refers to, and 0 for none.
  var nexthop: UInt32

  /// Reads the payload of RTM_NEWROUTE or RTM_DELROUTE, and leaves those hops that can be used in `hops`. Nil for what is
  /// no route for all packets to a prefix: routes for a type of service or a source, and cached ones.
  init?(_ message: RawSpan, hops: inout [KernelHop]) {
    hops.removeAll(keepingCapacity: true)
    guard let family = message.field(0, as: UInt8.self), let length = message.field(1, as: UInt8.self),
      let sourceLength = message.field(2, as: UInt8.self), let service = message.field(3, as: UInt8.self),
      let shortTable = message.field(4, as: UInt8.self), let type = message.field(7, as: UInt8.self),
      let flags = message.field(8, as: UInt32.self), sourceLength == 0, service == 0,
      flags & UInt32(RTM_F_CLONED) == 0
    else { return nil }
    var destination: IPAddress?
    switch Int32(family) {
    case AF_INET: destination = .v4(.unspecified)
    case AF_INET6: destination = .v6(.unspecified)
    default: return nil
    }
    var table = UInt32(shortTable)
    var metric: UInt32 = 0
    var nexthop: UInt32 = 0
    var one = KernelHop(gateway: nil, link: 0, weight: 1)
    var hasMany = false
    var isOther = false
    let isSound = message.forEachAttribute(from: 12) { type, payload in
      switch type {
      case RouteAttribute.destination: destination = payload.address()
      case RouteAttribute.table: table = payload.field(0) ?? table
      case RouteAttribute.priority: metric = payload.field(0) ?? 0
      case RouteAttribute.link: one.link = Int(payload.field(0, as: UInt32.self) ?? 0)
      case RouteAttribute.gateway: one.gateway = payload.address()
      case RouteAttribute.via: one.gateway = payload.address(2)
      case RouteAttribute.nexthop: nexthop = payload.field(0) ?? 0
      case RouteAttribute.encapsulation: isOther = true
      case RouteAttribute.multipath:
        hasMany = true
        if !Self.readHops(payload, into: &hops) { isOther = true }
      default: break
      }
    }
    guard isSound, let destination, Int(length) <= destination.width else { return nil }
    switch (destination, Int32(family)) {
    case (.v4(let address), AF_INET): prefix = .v4(IPv4Prefix(masking: address, length: Int(length)))
    case (.v6(let address), AF_INET6): prefix = .v6(IPv6Prefix(masking: address, length: Int(length)))
    default: return nil
    }
    switch Int(type) {
    case Int(RTN_UNICAST): kind = .unicast
    case Int(RTN_LOCAL), Int(RTN_ANYCAST): kind = .local
    case Int(RTN_BROADCAST): kind = .broadcast
    case Int(RTN_MULTICAST): kind = .multicast
    case Int(RTN_BLACKHOLE): kind = .blackhole
    case Int(RTN_UNREACHABLE): kind = .unreachable
    case Int(RTN_PROHIBIT): kind = .prohibit
    default: kind = .other
    }
    if isOther && nexthop == 0 { kind = .other }
    self.table = table
    self.metric = metric
    self.nexthop = nexthop
    if !kind.hasHops || nexthop != 0 {
      hops.removeAll(keepingCapacity: true)
    } else if !hasMany && flags & UInt32(RTNH_F_DEAD) == 0 {
      hops.append(one)
    }
  }

  /// Reads the hops of a multipath route. Whether all of them can be told.
  private static func readHops(_ payload: RawSpan, into hops: inout [KernelHop]) -> Bool {
    var offset = 0
    while payload.byteCount - offset >= 8 {
      guard let length = payload.field(offset, as: UInt16.self), let flags = payload.field(offset + 2, as: UInt8.self),
        let weight = payload.field(offset + 3, as: UInt8.self), let link = payload.field(offset + 4, as: UInt32.self),
        length >= 8, Int(length) <= payload.byteCount - offset
      else { return false }
      var hop = KernelHop(gateway: nil, link: Int(link), weight: Int(weight) + 1)
      var isOther = false
      let attributes = payload.extracting(offset + 8..<offset + Int(length))
      let isSound = attributes.forEachAttribute(from: 0) { type, payload in
        switch type {
        case RouteAttribute.gateway: hop.gateway = payload.address()
        case RouteAttribute.via: hop.gateway = payload.address(2)
        case RouteAttribute.encapsulation: isOther = true
        default: break
        }
      }
      guard isSound, !isOther else { return false }
      if Int32(flags) & RTNH_F_DEAD == 0 { hops.append(hop) }
      offset += (Int(length) + 3) & ~3
    }
    return true
  }
}

extension KernelRoute.Kind {
  var hasHops: Bool {
    switch self {
    case .unicast, .local, .broadcast, .multicast: true
    case .blackhole, .unreachable, .prohibit, .other: false
    }
  }
}

/// Constants, so that a switch over them compares numbers.
private enum RouteAttribute {
  static var destination: Int { Int(RTA_DST.rawValue) }
  static var link: Int { Int(RTA_OIF.rawValue) }
  static var gateway: Int { Int(RTA_GATEWAY.rawValue) }
  static var priority: Int { Int(RTA_PRIORITY.rawValue) }
  static var multipath: Int { Int(RTA_MULTIPATH.rawValue) }
  static var table: Int { Int(RTA_TABLE.rawValue) }
  static var via: Int { Int(RTA_VIA.rawValue) }
  static var encapsulation: Int { Int(RTA_ENCAP.rawValue) }
  static var nexthop: Int { Int(RTA_NH_ID.rawValue) }
}
