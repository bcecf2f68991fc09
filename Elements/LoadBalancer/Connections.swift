import Dataplane
import Tables
import Wire

/// What becomes of a packet. Unlike `Verdict`, it can be looked at.
enum BalancerVerdict {
  case forward(LoadBalancer.Output)
  case dropped(DropReason)
  /// It belongs to another worker.
  case handOver(Int)

  static func drop(_ reason: DropReason) -> BalancerVerdict { .dropped(reason) }
  static func drop(_ own: LoadBalancer.Drop) -> BalancerVerdict { .dropped(own.reason) }

  @inline(__always)
  var verdict: Verdict<LoadBalancer.Output> {
    switch self {
    case .forward(let output): .forward(output)
    case .dropped(let reason): .drop(reason)
    case .handOver(let worker): .handOver(to: worker)
    }
  }
}

/// What a worker needs to balance packets of either version of IP.
struct BalancerDesk {
  let counts = BalancerCounts()
  let timeouts: ConnectionTimeouts
  /// The same on every balancer, so that all choose alike.
  let seed: FlowSeed
  /// For ports of source NAT.
  var random = RandomNumbers(seed: 0)
  /// Of outer IPv4 headers.
  var identification: UInt16 = 0
  var now: UInt64 = 0
  var worker = 0
  var workers = 1
  /// The slot of the backend that the last packet was sent to without translation.
  var directSlot: UInt16?
  /// What all packets of that one's connection have in common, for the outer header.
  var entropy: UInt32 = 0
}

extension BalancerDesk {
  /// Says where a packet goes that is not translated.
  @inline(__always)
  mutating func note<Key: BalancedKey>(_ slot: Int, _ key: Key) {
    directSlot = UInt16(truncatingIfNeeded: slot)
    // The same for all of a connection's packets, and on every balancer.
    entropy = UInt32(truncatingIfNeeded: key.hash(seed) >> 20)
  }

  /// Sends a packet that is not translated to its backend; `entropy` is to be that of its connection.
  mutating func direct(_ packet: inout Packet, _ backend: BackendRecord) -> BalancerVerdict {
    guard let tunnel = backend.tunnel else {
      packet.annotation = backend.nextHop
      if !backend.mac.isZero, let ethernet = packet.mutableEthernet {
        ethernet.setDestination(backend.mac)
        if !backend.sourceMAC.isZero { ethernet.setSource(backend.sourceMAC) }
      }
      return .forward(.backends)
    }
    identification &+= 1
    switch tunnel.encapsulate(&packet, identification: identification, entropy: entropy) {
    case .done:
      packet.annotation = 0
      return .forward(.backends)
    case .tooBig: return .forward(.tooBig)
    case .tooLong: return .drop(.tooLong)
    case .noBuffer: return .drop(.noBuffer)
    case .malformed: return .drop(.malformed)
    }
  }
}

/// One worker's connections of one version of IP.
struct Connections<Key: BalancedKey>: ~Copyable {
  private(set) var table: FlowTable<Key, Connection>
  private(set) var burst: FlowBurst<Key>
  /// How many only opened.
  private var openingCount = 0
  private let openingLimit: Int
  /// Whether something was entered since the last look at the time.
  var hasNews = false

  /// Nil when the system has not the memory.
  init?(capacity: Int, seed: FlowSeed) {
    guard let table = FlowTable<Key, Connection>(capacity: capacity, keysPerFlow: 2, seed: seed) else { return nil }
    burst = table.makeBurst(capacity: PacketBatch<LoadBalancer>.maximumCount)
    openingLimit = max(capacity / 2, 1)
    self.table = table
  }

  // MARK: Bursts

  mutating func begin() { burst.removeAll() }

  /// Notes a packet's key. Returns its position in the burst.
  @inline(__always)
  mutating func append(_ key: Key) -> UInt32 {
    burst.append(key)
    return UInt32(truncatingIfNeeded: burst.count &- 1)
  }

  mutating func lookUp(_ desk: borrowing BalancerDesk) {
    if burst.count > 0 { table.lookUp(&burst, now: desk.now) }
  }

  // MARK: Packets

  /// Judges a packet whose key stands at a position of the burst.
  @inline(__always)
  mutating func judge(
    _ packet: inout Packet, at position: Int, _ state: borrowing BalancerState, _ desk: inout BalancerDesk
  ) -> BalancerVerdict {
    if let match = table.match(burst, position), let verdict = follow(&packet, match, state, &desk) { return verdict }
    return begin(&packet, burst.key(position), state, &desk)
  }

  /// Judges a packet of a connection that is known; nil when its backend is gone, or it is over and begins anew.
  @inline(__always)
  private mutating func follow(
    _ packet: inout Packet, _ match: FlowMatch, _ state: borrowing BalancerState, _ desk: inout BalancerDesk
  ) -> BalancerVerdict? {
    let slot = Int(table[match.flow].backend)
    let backend = state.backends[slot]
    guard backend.serial == table[match.flow].serial, backend.keeps else { return nil }
    var phase = table[match.flow].phase
    if let flags = packet.tcp?.flags {
      if phase == .closing && !match.isReply && flags.isDisjoint(with: .ack) && flags.contains(.syn) { return nil }
      let next = table[match.flow].next(flags)
      if next != phase {
        if phase == .opening { openingCount &-= 1 }
        table[match.flow].phase = next
        phase = next
      }
    }
    table[match.flow].count()
    table.refresh(match.flow, until: desk.now &+ desk.timeouts.of(phase))
    let bytes = UInt64(truncatingIfNeeded: packet.length)
    if match.isReply {
      desk.counts.add(1, .replyPackets, slot)
      desk.counts.add(bytes, .replyBytes, slot)
      let key = table.key(of: match.flow)
      guard Key.translateSource(of: &packet, key.destination, port: key.destinationPort) else {
        return .drop(.malformed)
      }
      if backend.translatesSource {
        guard Key.translateDestination(of: &packet, key.source, port: key.sourcePort) else { return .drop(.malformed) }
      }
      packet.annotation = 0
      return .forward(.clients)
    }
    desk.counts.add(1, .packets, slot)
    desk.counts.add(bytes, .bytes, slot)
    guard backend.mode == .nat else {
      desk.note(slot, table.key(of: match.flow))
      return desk.direct(&packet, backend)
    }
    guard let answer = table.secondKey(of: match.flow) else { return .drop(.malformed) }
    guard Key.translateDestination(of: &packet, answer.source, port: answer.sourcePort) else {
      return .drop(.malformed)
    }
    if backend.translatesSource {
      guard Key.translateSource(of: &packet, answer.destination, port: answer.destinationPort) else {
        return .drop(.malformed)
      }
    }
    packet.annotation = 0
    return .forward(.backends)
  }

  // MARK: New connections

  /// Judges a packet of which the burst knew no connection that goes on.
  @inline(never)
  mutating func begin(
    _ packet: inout Packet, _ key: Key, _ state: borrowing BalancerState, _ desk: inout BalancerDesk
  ) -> BalancerVerdict {
    if desk.workers > 1 {
      let owner = state.owner(Key.wide(key.source), Key.wide(key.destination), key.destinationPort, desk)
      if owner != desk.worker { return .handOver(owner) }
    }
    // A packet of the same burst may have opened it.
    if let match = table.find(key, now: desk.now) {
      if let verdict = follow(&packet, match, state, &desk) { return verdict }
      let backend = state.backends[Int(table[match.flow].backend)]
      if backend.serial != table[match.flow].serial || !backend.keeps { desk.counts.count(.moved) }
      end(match.flow, desk)
    }
    guard let service = state.service(Key.wide(key.destination), key.protocol, key.destinationPort),
      key.protocol != Key.icmp
    else { return pass(&packet, key, state, desk) }
    guard let slot = choose(key, service, state, desk) else {
      return state.services[service].rejects ? .forward(.unreachable) : .drop(LoadBalancer.Drop.noBackend)
    }
    return open(&packet, key, service, slot, state, &desk)
  }

  /// Judges a packet to no service.
  private func pass(
    _ packet: inout Packet, _ key: Key, _ state: borrowing BalancerState, _ desk: borrowing BalancerDesk
  ) -> BalancerVerdict {
    if let reply = state.reply(Key.wide(key.source), key.protocol, key.sourcePort),
      reply.virtualPort != 0
        || state.service(reply.virtualAddress, key.protocol, key.sourcePort)
          == Int(state.backends[Int(reply.slot)].service)
    {
      let port = reply.virtualPort == 0 ? key.sourcePort : reply.virtualPort
      guard Key.translateSource(of: &packet, Key.narrow(reply.virtualAddress), port: port) else {
        return .drop(.malformed)
      }
      desk.counts.add(1, .replyPackets, Int(reply.slot))
      desk.counts.add(UInt64(packet.length), .replyBytes, Int(reply.slot))
      packet.annotation = 0
      return .forward(.clients)
    }
    packet.annotation = 0
    return .forward(state.isVirtual(Key.wide(key.destination)) ? .local : .other)
  }

  /// The key under which it is remembered where a client's connections go. No packet has it: their zone is 0.
  private func affinityKey(_ key: Key, _ service: Int) -> Key {
    Key(
      source: key.source, destination: key.destination, sourcePort: 0, destinationPort: 0, protocol: key.protocol,
      zone: UInt16(truncatingIfNeeded: service &+ 1))
  }

  /// The slot of the backend that a new connection goes to; nil when none can take it.
  func choose(
    _ key: Key, _ service: Int, _ state: borrowing BalancerState, _ desk: borrowing BalancerDesk
  ) -> Int? {
    let record = state.services[service]
    guard record.affinity == 0 else {
      if let match = table.find(affinityKey(key, service), now: desk.now) {
        let connection = table[match.flow]
        let backend = state.backends[Int(connection.backend)]
        if backend.serial == connection.serial && backend.takesNew { return Int(connection.backend) }
      }
      // Without an entry, too, a client's connections go together.
      let client = Key(
        source: key.source, destination: key.destination, sourcePort: 0, destinationPort: 0, protocol: key.protocol,
        zone: 0)
      return slot(client.hash(desk.seed), record, state)
    }
    return slot(key.hash(desk.seed), record, state)
  }

  private func slot(_ hash: UInt64, _ record: ServiceRecord, _ state: borrowing BalancerState) -> Int? {
    let place = Int(record.firstEntry) &+ Maglev.place(of: hash, size: record.tableSize)
    let slot = state.entries[place]
    return slot == Maglev.none ? nil : Int(slot)
  }

  private mutating func open(
    _ packet: inout Packet, _ key: Key, _ service: Int, _ chosen: Int, _ state: borrowing BalancerState,
    _ desk: inout BalancerDesk
  ) -> BalancerVerdict {
    var slot = chosen
    let flags = packet.tcp?.flags
    let phase: Connection.Phase = flags.map { $0.contains(.syn) ? .opening : .established } ?? .datagrams
    let isKept = flags?.contains(.rst) != true && (phase != .opening || openingCount < openingLimit)
    // Another service may send a connection of the same client's port to the same backend: the two could not be told
    // apart by its answers.
    for attempt in 0..<Self.attempts where isKept {
      let backend = state.backends[slot]
      let connection = Connection(
        backend: UInt16(truncatingIfNeeded: slot), serial: backend.serial, service: UInt16(truncatingIfNeeded: service),
        phase: phase)
      let answer = answerKey(key, backend, state.services[service], attempt, state, &desk)
      switch table.insert(key, second: answer, connection, until: desk.now &+ desk.timeouts.of(phase)) {
      case .inserted(let flow):
        hasNews = true
        if phase == .opening { openingCount &+= 1 }
        desk.counts.begin(slot, serial: backend.serial)
        desk.counts.add(1, .connections, slot)
        desk.counts.add(1, .opened, slot)
        if state.services[service].affinity != 0 { remember(key, service, connection, state, desk) }
        return follow(&packet, FlowMatch(flow, isReply: false), state, &desk) ?? .drop(LoadBalancer.Drop.noBackend)
      case .exists(let match):
        if table.deadline(of: match.flow) <= desk.now {
          end(match.flow, desk)
        } else {
          desk.counts.count(.collisions)
          if !backend.translatesSource {
            let hash = key.hash(FlowSeed(UInt64(attempt) &+ 1, 1))
            if let other = self.slot(hash, state.services[service], state) { slot = other }
          }
        }
        continue
      case .full, .crowded: return hash(&packet, key, slot, state, &desk)
      }
    }
    if isKept { return .drop(LoadBalancer.Drop.collision) }
    return hash(&packet, key, slot, state, &desk)
  }

  /// How often a backend, or a port for source NAT, is tried.
  private static var attempts: Int { 16 }

  /// What packets have that a backend answers with; nil when those do not come by.
  private func answerKey(
    _ key: Key, _ backend: BackendRecord, _ service: ServiceRecord, _ attempt: Int, _ state: borrowing BalancerState,
    _ desk: inout BalancerDesk
  ) -> Key? {
    guard backend.mode == .nat else { return nil }
    let port = backend.port == 0 || key.destinationPort == 0 ? key.destinationPort : backend.port
    var client = key.source
    var clientPort = key.sourcePort
    if service.sourceCount > 0 {
      let random = desk.random.next()
      let index = random.multipliedFullWidth(by: UInt64(service.sourceCount)).high
      client = Key.narrow(state.sources[Int(service.firstSource) &+ Int(index)])
      // The client's own port where it is free, any other of the dynamic ones where it is not; the port tells the worker.
      if clientPort != 0 && (attempt > 0 || Int(clientPort) % desk.workers != desk.worker) {
        let port = 1024 &+ Int(random % 64_000)
        clientPort = UInt16(truncatingIfNeeded: port &- port % desk.workers &+ desk.workers &+ desk.worker)
      }
    }
    return Key(
      source: Key.narrow(backend.address), destination: client, sourcePort: port, destinationPort: clientPort,
      protocol: key.protocol, zone: 0)
  }

  private mutating func remember(
    _ key: Key, _ service: Int, _ connection: Connection, _ state: borrowing BalancerState,
    _ desk: borrowing BalancerDesk
  ) {
    var entry = connection
    entry.phase = .affinity
    let deadline = desk.now &+ state.services[service].affinity
    guard case .exists(let match) = table.insert(affinityKey(key, service), entry, until: deadline) else { return }
    table[match.flow] = entry
    table.refresh(match.flow, until: deadline)
  }

  /// Sends a packet where the hash says, and remembers nothing.
  private func hash(
    _ packet: inout Packet, _ key: Key, _ slot: Int, _ state: borrowing BalancerState, _ desk: inout BalancerDesk
  ) -> BalancerVerdict {
    let backend = state.backends[slot]
    // An answer would not find back.
    if backend.translatesSource { return .drop(LoadBalancer.Drop.tableFull) }
    desk.counts.count(.hashedOnly)
    desk.counts.begin(slot, serial: backend.serial)
    desk.counts.add(1, .packets, slot)
    desk.counts.add(UInt64(packet.length), .bytes, slot)
    guard backend.mode == .nat else {
      desk.note(slot, key)
      return desk.direct(&packet, backend)
    }
    let port = backend.port == 0 || key.destinationPort == 0 ? key.destinationPort : backend.port
    guard Key.translateDestination(of: &packet, Key.narrow(backend.address), port: port) else {
      return .drop(.malformed)
    }
    packet.annotation = 0
    return .forward(.backends)
  }

  // MARK: The end

  private mutating func end(_ flow: FlowID, _ desk: borrowing BalancerDesk) {
    settle(table[flow], desk)
    table.remove(flow)
  }

  private mutating func settle(_ connection: Connection, _ desk: borrowing BalancerDesk) {
    if connection.phase == .affinity { return }
    if connection.phase == .opening { openingCount &-= 1 }
    desk.counts.add(0 &- 1, .connections, Int(connection.backend))
  }

  /// Removes connections whose time is over. Returns when to be called next, in nanoseconds; nil without connections.
  mutating func expire(_ desk: borrowing BalancerDesk) -> UInt64? {
    hasNews = false
    var budget = 4096
    while let flow = table.nextExpired(now: desk.now, budget: &budget) { settle(flow.value, desk) }
    return budget > 0 ? table.nextEvent : desk.now
  }
}
