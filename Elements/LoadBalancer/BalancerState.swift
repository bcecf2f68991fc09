import Tables
import Wire

/// The key of one version of IP as the load balancer needs it: addresses of both versions stand in one kind of record, those
/// of IPv4 as mapped ones (RFC 4291, 2.5.5.2).
protocol BalancedKey: SessionKey {
  static func wide(_ address: Address) -> IPv6Address
  static func narrow(_ address: IPv6Address) -> Address
  static func any(_ address: Address) -> IPAddress
  /// This version's ICMP.
  static var icmp: IPProtocol { get }
}

extension IPv4FlowKey: BalancedKey {
  @inline(__always)
  static func wide(_ address: IPv4Address) -> IPv6Address { IPv6Address(mapped: address) }
  @inline(__always)
  static func narrow(_ address: IPv6Address) -> IPv4Address {
    IPv4Address(rawValue: UInt32(truncatingIfNeeded: address.low))
  }
  static func any(_ address: IPv4Address) -> IPAddress { .v4(address) }
  static var icmp: IPProtocol { .icmp }
}

extension IPv6FlowKey: BalancedKey {
  @inline(__always)
  static func wide(_ address: IPv6Address) -> IPv6Address { address }
  @inline(__always)
  static func narrow(_ address: IPv6Address) -> IPv6Address { address }
  static func any(_ address: IPv6Address) -> IPAddress { .v6(address) }
  static var icmp: IPProtocol { .icmpv6 }
}

extension IPAddress {
  /// An IPv4 address as a mapped one.
  var wide: IPv6Address {
    switch self {
    case .v4(let address): IPv6Address(mapped: address)
    case .v6(let address): address
    }
  }
}

/// A virtual service as packets meet it.
struct ServiceRecord: BitwiseCopyable, Sendable {
  /// Where its Maglev table begins among all.
  var firstEntry: UInt32
  /// Its Maglev table's size.
  var tableSize: UInt32
  /// In nanoseconds; 0 without.
  var affinity: UInt64
  /// Whether packets that no backend can take are sent back.
  var rejects: Bool
  var mode: BalancingMode
  /// Where its addresses for source NAT begin among all, and how many there are.
  var firstSource: UInt32
  var sourceCount: UInt32
}

/// A backend, or a slot for one, as packets meet it.
struct BackendRecord: BitwiseCopyable, Sendable {
  /// Tells the slot's backends apart.
  var serial: UInt16 = 0
  var service: UInt16 = 0
  /// Whether its connections stay with it.
  var keeps = false
  /// Whether it may get new connections.
  var takesNew = false
  var mode = BalancingMode.nat
  var translatesSource = false
  /// 0: as the packet has it.
  var port: UInt16 = 0
  /// The annotation of packets to it: the last 32 bits of the next hop's address in mode dsr, else 0.
  var nextHop: UInt32 = 0
  /// In mode dsr, zero when it is found out behind.
  var mac = MACAddress.zero
  /// The source of frames to `mac`; zero leaves it.
  var sourceMAC = MACAddress.zero
  var address = IPv6Address(high: 0, low: 0)
  /// In modes ipip and gre.
  var tunnel: TunnelHeader?
}

/// An address, protocol and first port, in the order in which tables are searched.
struct PlaceKey: BitwiseCopyable, Sendable, Comparable {
  var address: IPv6Address
  /// 0: any.
  var number: UInt8
  var port: UInt16

  static func < (left: PlaceKey, right: PlaceKey) -> Bool {
    (left.address.high, left.address.low, left.number, left.port)
      < (right.address.high, right.address.low, right.number, right.port)
  }
}

/// Ports of a virtual address that belong to a service.
struct VirtualRecord: BitwiseCopyable, Sendable {
  var key: PlaceKey
  var lastPort: UInt16
  var service: UInt16
}

/// Where a backend's answers come from, and what they are turned into without a connection that is known.
struct ReplyRecord: BitwiseCopyable, Sendable {
  /// Its port is 0 when ports are not translated.
  var key: PlaceKey
  var slot: UInt16
  var virtualAddress: IPv6Address
  /// 0: as the packet has it.
  var virtualPort: UInt16
}

/// All that packets need to know of services and backends. The control thread replaces it whole; a backend's slot and a
/// service's number mean the same from one to the next.
struct BalancerState: ~Copyable, Sendable {
  let services: FlatArray<ServiceRecord>
  /// By slot.
  let backends: FlatArray<BackendRecord>
  /// Sorted.
  let virtuals: FlatArray<VirtualRecord>
  /// Sorted; no key twice.
  let replies: FlatArray<ReplyRecord>
  /// The Maglev tables of all services.
  let entries: FlatArray<UInt16>
  /// Addresses for source NAT of all services.
  let sources: FlatArray<IPv6Address>
  /// Addresses of backends whose answers come by. Sorted.
  let answering: FlatArray<IPv6Address>

  /// The number of the service that takes packets to this address, protocol and port; nil when none does.
  func service(_ address: IPv6Address, _ number: IPProtocol, _ port: UInt16) -> Int? {
    service(PlaceKey(address: address, number: number.rawValue, port: port))
      ?? service(PlaceKey(address: address, number: 0, port: port))
  }

  private func service(_ key: PlaceKey) -> Int? {
    let index = lastVirtual(notAfter: key)
    guard index >= 0 else { return nil }
    let found = virtuals[index]
    guard found.key.address == key.address, found.key.number == key.number, found.lastPort >= key.port else {
      return nil
    }
    return Int(found.service)
  }

  /// Whether any service has this address.
  func isVirtual(_ address: IPv6Address) -> Bool {
    let index = lastVirtual(notAfter: PlaceKey(address: address, number: .max, port: .max))
    return index >= 0 && virtuals[index].key.address == address
  }

  /// The backend that a packet from this address, protocol and port is an answer of, as far as that can be known without
  /// its connection.
  func reply(_ address: IPv6Address, _ number: IPProtocol, _ port: UInt16) -> ReplyRecord? {
    let number = number.rawValue
    return reply(PlaceKey(address: address, number: number, port: port))
      ?? reply(PlaceKey(address: address, number: number, port: 0))
      ?? reply(PlaceKey(address: address, number: 0, port: port))
      ?? reply(PlaceKey(address: address, number: 0, port: 0))
  }

  /// Whether packets from here may be answers of a backend.
  func isAnswering(_ address: IPv6Address) -> Bool {
    var low = 0
    var high = answering.count
    while low < high {
      let middle = (low &+ high) / 2
      if (answering[middle].high, answering[middle].low) < (address.high, address.low) {
        low = middle &+ 1
      } else {
        high = middle
      }
    }
    return low < answering.count && answering[low] == address
  }

  /// Whether packets to here may be answers of a backend, to a connection whose source is translated.
  func isSource(_ address: IPv6Address) -> Bool { sources.contains(address) }

  /// The worker that has the connections of a packet's client; the own one's number for packets to no service.
  func owner(
    _ source: IPv6Address, _ destination: IPv6Address, _ port: UInt16, _ desk: borrowing BalancerDesk
  ) -> Int {
    if isSource(destination) { return Int(port) % desk.workers }
    let client: IPv6Address
    if isVirtual(destination) {
      client = source
    } else if isAnswering(source) {
      client = destination
    } else {
      return desk.worker
    }
    let hash = desk.seed.hash(client.high, client.low)
    return Int(truncatingIfNeeded: hash.multipliedFullWidth(by: UInt64(desk.workers)).high)
  }

  private func lastVirtual(notAfter key: PlaceKey) -> Int {
    var low = 0
    var high = virtuals.count
    while low < high {
      let middle = (low &+ high) / 2
      if virtuals[middle].key <= key { low = middle &+ 1 } else { high = middle }
    }
    return low &- 1
  }

  private func reply(_ key: PlaceKey) -> ReplyRecord? {
    var low = 0
    var high = replies.count
    while low < high {
      let middle = (low &+ high) / 2
      if replies[middle].key < key { low = middle &+ 1 } else { high = middle }
    }
    guard low < replies.count, replies[low].key == key else { return nil }
    return replies[low]
  }
}
