import Dataplane
import Tables
import Wire

/// Where a session of TCP stands (RFC 6146, 3.5.2); sessions of other protocols are `stateless`.
enum NAT64TCPState: UInt8 {
  case stateless
  /// A SYN came from IPv4.
  case v4Init
  /// A SYN came from IPv6.
  case v6Init
  case established
  case v4FinReceived, v6FinReceived, bothFinReceived
  /// A RST came, or nothing for long.
  case transitory

  /// What a packet is to a session.
  enum Event {
    case v6Syn, v4Syn, v6Fin, v4Fin, reset, other
  }

  /// How long a session is to live from now on.
  enum Lifetime {
    case established, transitory, unchanged
  }

  /// The state after a packet (RFC 6146, 3.5.2.2).
  func after(_ event: Event) -> (state: NAT64TCPState, lifetime: Lifetime) {
    switch (self, event) {
    case (.stateless, _): (self, .unchanged)
    case (.v4Init, .v6Syn), (.v6Init, .v4Syn): (.established, .established)
    case (.v6Init, .v6Syn): (self, .transitory)
    case (.v4Init, _), (.v6Init, _): (self, .unchanged)
    case (.established, .v4Fin): (.v4FinReceived, .unchanged)
    case (.established, .v6Fin): (.v6FinReceived, .unchanged)
    case (.established, .reset): (.transitory, .transitory)
    case (.established, _): (self, .established)
    case (.v4FinReceived, .v6Fin), (.v6FinReceived, .v4Fin): (.bothFinReceived, .transitory)
    case (.v4FinReceived, _), (.v6FinReceived, _): (self, .established)
    case (.bothFinReceived, _): (self, .unchanged)
    case (.transitory, .reset): (self, .unchanged)
    case (.transitory, _): (.established, .established)
    }
  }
}

/// An inside endpoint's outside port.
struct NAT64Binding: BitwiseCopyable {
  let slot: PortSlot
  /// How many sessions use it; without one it goes.
  var sessions: UInt32
}

/// A session between an inside endpoint and an IPv4 one.
struct NAT64Session: BitwiseCopyable {
  /// What it uses; nil for one that waits for the inside's SYN (RFC 6146, 3.5.2.2).
  var binding: FlowID?
  var state: NAT64TCPState
  /// Where the SYN from outside is kept that it waits with.
  var stored: UInt32?
}

/// How long sessions live without a packet, in nanoseconds (RFC 6146, 4).
struct NAT64Lifetimes {
  let udp, tcpEstablished, tcpTransitory, incomingSYN, icmp: UInt64
}

/// Bindings and sessions of one worker.
///
/// Both are in tables with two keys: what packets from inside have, and what packets from outside have, whose addresses
/// are IPv4-mapped and whose zone is 1.
struct NAT64State: ~Copyable {
  var sessions: FlowTable<IPv6FlowKey, NAT64Session>
  private(set) var bindings: FlowTable<IPv6FlowKey, NAT64Binding>
  /// How many sessions a binding has with an outside address; without address-dependent filtering it is empty.
  private var permissions: FlowTable<IPv6FlowKey, UInt32>
  var pool: PortPool
  let addresses: FlatArray<IPv4Address>
  private let numbers: AddressIndex
  let lifetimes: NAT64Lifetimes
  /// Whether packets of unknown sessions pass only if the binding has one with their address (address-dependent).
  let filtersAddresses: Bool
  /// Sessions that no port was left for.
  private(set) var exhausted: UInt64 = 0
  /// Sessions that there was no room for.
  private(set) var refused: UInt64 = 0

  /// Nothing when the system has not the memory.
  init?(
    capacity: Int, addresses: FlatArray<IPv4Address>, layout: PortPool.Layout, lifetimes: NAT64Lifetimes,
    filtersAddresses: Bool, seed: FlowSeed, now: UInt64
  ) {
    guard
      let sessions = FlowTable<IPv6FlowKey, NAT64Session>(capacity: capacity, keysPerFlow: 2, seed: seed, now: now),
      let bindings = FlowTable<IPv6FlowKey, NAT64Binding>(capacity: capacity, keysPerFlow: 2, seed: seed, now: now),
      let permissions = FlowTable<IPv6FlowKey, UInt32>(
        capacity: filtersAddresses ? capacity : 1, seed: seed, now: now),
      let pool = try? PortPool(layout)
    else { return nil }
    self.pool = pool
    self.sessions = sessions
    self.bindings = bindings
    self.permissions = permissions
    self.addresses = addresses
    numbers = AddressIndex((0..<addresses.count).map { (addresses[$0].rawValue, UInt32($0)) })
    self.lifetimes = lifetimes
    self.filtersAddresses = filtersAddresses
  }

  // MARK: Keys

  /// The key of packets from outside. ICMP queries, of protocol ICMPv6 here, have their identifier for both ports.
  static func outsideKey(
    _ remote: IPv4Address, _ remotePort: UInt16, to own: IPv4Address, _ ownPort: UInt16, _ number: IPProtocol
  ) -> IPv6FlowKey {
    IPv6FlowKey(
      source: IPv6Address(mapped: remote), destination: IPv6Address(mapped: own), sourcePort: remotePort,
      destinationPort: ownPort, protocol: number, zone: 1)
  }

  private static func bindingKey(inside: IPv6Address, _ port: UInt16, _ number: IPProtocol) -> IPv6FlowKey {
    IPv6FlowKey(
      source: inside, destination: .unspecified, sourcePort: port, destinationPort: 0, protocol: number)
  }

  private static func bindingKey(outside: IPv4Address, _ port: UInt16, _ number: IPProtocol) -> IPv6FlowKey {
    IPv6FlowKey(
      source: IPv6Address(mapped: outside), destination: .unspecified, sourcePort: port, destinationPort: 0,
      protocol: number, zone: 1)
  }

  private func permissionKey(_ slot: PortSlot, _ remote: IPv4Address) -> IPv6FlowKey {
    IPv6FlowKey(
      source: IPv6Address(mapped: remote), destination: .unspecified, sourcePort: slot.port,
      destinationPort: UInt16(truncatingIfNeeded: slot.rawValue >> 16), protocol: .noNextHeader, zone: 2)
  }

  private static func space(_ number: IPProtocol) -> Int {
    switch number {
    case .tcp: 0
    case .udp: 1
    default: 2
    }
  }

  /// Whether an address is one of the pool's.
  func isOutside(_ address: IPv4Address) -> Bool { numbers.find(address.rawValue) != nil }

  func address(_ slot: PortSlot) -> IPv4Address { addresses[slot.address] }

  // MARK: Bindings

  /// The binding of an inside endpoint, made if there is none; nil when no port is left. An inside address always gets the
  /// same outside address (RFC 4787, REQ-2).
  mutating func bind(
    _ inside: IPv6Address, _ port: UInt16, _ number: IPProtocol, now: UInt64, random: inout RandomNumbers
  ) -> FlowID? {
    let key = Self.bindingKey(inside: inside, port, number)
    if let found = bindings.find(key, now: now) { return found.flow }
    let address = Int(truncatingIfNeeded: bindings.seed.hash(inside.high, inside.low) % UInt64(addresses.count))
    guard let slot = pool.take(address: address, space: Self.space(number), like: port, random: random.next()) else {
      exhausted &+= 1
      return nil
    }
    let second = Self.bindingKey(outside: self.address(slot), slot.port, number)
    let value = NAT64Binding(slot: slot, sessions: 0)
    guard case .inserted(let flow) = bindings.insert(key, second: second, value, until: .max) else {
      pool.giveBack(slot, now: now)
      refused &+= 1
      return nil
    }
    return flow
  }

  /// The binding of an outside port; nil without one.
  func binding(outside address: IPv4Address, _ port: UInt16, _ number: IPProtocol) -> FlowID? {
    bindings.find(Self.bindingKey(outside: address, port, number), now: 0)?.flow
  }

  func slot(_ binding: FlowID) -> PortSlot { bindings[binding].slot }

  func slot(ofSession session: FlowID) -> PortSlot? { sessions[session].binding.map { bindings[$0].slot } }

  /// The inside endpoint of a binding.
  func inside(_ binding: FlowID) -> (address: IPv6Address, port: UInt16) {
    let key = bindings.key(of: binding)
    return (key.source, key.sourcePort)
  }

  /// Lets a binding go that no session has come to use.
  mutating func releaseIfUnused(_ binding: FlowID, now: UInt64) {
    guard bindings.contains(binding), bindings[binding].sessions == 0 else { return }
    pool.giveBack(bindings[binding].slot, now: now)
    bindings.remove(binding)
  }

  // MARK: Sessions

  /// Whether a packet from this address may begin a session of the binding.
  func permits(_ remote: IPv4Address, _ binding: FlowID) -> Bool {
    !filtersAddresses || permissions.find(permissionKey(bindings[binding].slot, remote), now: 0) != nil
  }

  /// Enters a session of a binding; nil when there is no room.
  mutating func insert(
    _ inside: IPv6FlowKey, _ outside: IPv6FlowKey, _ remote: IPv4Address, _ session: NAT64Session,
    until deadline: UInt64,
    now: UInt64
  ) -> FlowID? {
    var outcome = sessions.insert(inside, second: outside, session, until: deadline)
    // A session whose time is over, and which expiry has not come to yet, makes room.
    if case .exists(let match) = outcome, sessions.deadline(of: match.flow) <= now,
      let flow = sessions.flow(match.flow)
    {
      sessions.remove(match.flow)
      detach(flow, now: now, keeping: session.binding)
      outcome = sessions.insert(inside, second: outside, session, until: deadline)
    }
    guard case .inserted(let flow) = outcome, let binding = session.binding else {
      refused &+= 1
      return nil
    }
    bindings[binding].sessions &+= 1
    if filtersAddresses {
      let key = permissionKey(bindings[binding].slot, remote)
      if let found = permissions.find(key, now: 0) {
        permissions[found.flow] &+= 1
      } else {
        _ = permissions.insert(key, 1, until: .max)
      }
    }
    return flow
  }

  /// What is to be done when a session has left the table: its binding loses a user, and goes with the last.
  mutating func detach(_ flow: FlowTable<IPv6FlowKey, NAT64Session>.Flow, now: UInt64, keeping kept: FlowID? = nil) {
    guard let outside = flow.secondKey, let binding = flow.value.binding, bindings.contains(binding) else { return }
    if filtersAddresses {
      let remote = IPv4Address(rawValue: UInt32(truncatingIfNeeded: outside.source.low))
      if let found = permissions.find(permissionKey(bindings[binding].slot, remote), now: 0) {
        permissions[found.flow] &-= 1
        if permissions[found.flow] == 0 { permissions.remove(found.flow) }
      }
    }
    bindings[binding].sessions &-= 1
    if binding != kept { releaseIfUnused(binding, now: now) }
  }

  /// Notes a packet of a session: how long it lives from now on, and for TCP where it stands.
  mutating func note(_ session: FlowID, _ number: IPProtocol, _ event: NAT64TCPState.Event, now: UInt64) {
    switch number {
    case .udp: sessions.refresh(session, until: now &+ lifetimes.udp)
    case .tcp:
      let next = sessions[session].state.after(event)
      sessions[session].state = next.state
      switch next.lifetime {
      case .established: sessions.refresh(session, until: now &+ lifetimes.tcpEstablished)
      case .transitory: sessions.refresh(session, until: now &+ lifetimes.tcpTransitory)
      case .unchanged: break
      }
    default: sessions.refresh(session, until: now &+ lifetimes.icmp)
    }
  }

  /// How long a session lives that a first packet begins.
  func firstLifetime(_ number: IPProtocol) -> UInt64 {
    switch number {
    case .udp: lifetimes.udp
    case .tcp: lifetimes.tcpTransitory
    default: lifetimes.icmp
    }
  }
}
