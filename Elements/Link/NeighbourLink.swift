import Dataplane
import Tables
import Wire

/// One worker's side of one interface's neighbours: finds their hardware addresses, answers for the interface's own, and
/// has packets wait meanwhile. What is known is in a `NeighbourTable` that all workers, and all interfaces of a node,
/// share. `Neighbours` is this with a next hop chosen by destination.
struct NeighbourLink<Choice: NextHopChoice & ~Copyable>: ~Copyable {
  /// What is counted by this worker.
  enum Count: Int, CaseIterable {
    case requests, replies, announcements, noRoute
  }

  let interface: UInt32
  let mac: MACAddress
  let isRouter: Bool
  let isPromiscuous: Bool
  let choice: Choice
  /// Shared by all workers.
  let table: NeighbourTable
  /// Shared by all workers.
  let addresses: InterfaceAddresses
  let reader: NeighbourReader
  var pending: PendingPackets
  let counts = Tally(Count.allCases.count)
  /// Whether this worker reports what all share.
  private(set) var reportsShared = false

  /// How often a worker with waiting packets looks whether another worker has learned something, in nanoseconds.
  static var pollInterval: UInt64 { 10_000_000 }

  /// - Parameters:
  ///   - interface: The interface's number in `table`.
  ///   - pending: How many packets can wait.
  ///   - depth: How many of them for one neighbour.
  init(
    interface: UInt32, mac: MACAddress, isRouter: Bool, isPromiscuous: Bool, choice: consuming Choice,
    table: NeighbourTable,
    addresses: InterfaceAddresses, pending: Int, depth: Int
  ) {
    self.interface = interface
    self.mac = mac
    self.isRouter = isRouter
    self.isPromiscuous = isPromiscuous
    self.choice = choice
    self.table = table
    self.addresses = addresses
    reader = NeighbourReader(table.reader)
    self.pending = PendingPackets(capacity: pending, depth: depth)
  }

  mutating func start(_ context: inout Context) {
    var random = RandomNumbers(seed: mac.rawValue)
    reportsShared = addresses.start(now: context.now.nanoseconds, random: random.next())
    schedule(&context)
  }

  /// Asks to be woken when something may be to be done.
  @inline(never)
  func schedule(_ context: inout Context) {
    if let next = table.nextEvent(interface: interface) { context.wake(at: Instant(nanoseconds: next)) }
    if let next = addresses.nextEvent { context.wake(at: Instant(nanoseconds: next)) }
    if pending.count > 0 { context.wake(at: context.now.advanced(by: Self.pollInterval)) }
  }

  func count(_ what: Count) { counts.add(1, to: what.rawValue) }

  /// Points a frame from this interface to a station. False when that takes a buffer and none is left.
  @inline(__always)
  func direct(_ packet: inout Packet, to station: MACAddress) -> Bool {
    guard let ethernet = packet.mutableEthernet else { return false }
    ethernet.setAddresses(destination: station, source: mac)
    return true
  }
}

/// Where a `NeighbourLink`'s packets leave the element that it is part of.
struct NeighbourOutputs<Output: OutputEnd> {
  let frames: Output
  let received: Output
  let unreachable: Output
}

// MARK: - Sending

extension NeighbourLink where Choice: ~Copyable {
  /// Sends a batch of IP packets to their next hops.
  @inline(__always)
  mutating func send<E: Element & ~Copyable>(
    _ batch: inout PacketBatch<E>, _ context: inout Context, _ outputs: NeighbourOutputs<E.Output>
  ) {
    var needsTime = false
    batch.forEach { packet in
      let station: MACAddress
      switch choice.nextHop(of: packet) {
      case .link(let address): station = address
      case .neighbour(let key):
        let reading = reader.lookup(key)
        if reading.hasFailed { return .forward(outputs.unreachable) }
        guard reading.isFresh, !pending.mayHold(key) else { return nil }
        station = reading.mac
      case .none:
        count(.noRoute)
        return .forward(outputs.unreachable)
      case .own: return .drop(Neighbours.Drop.ownAddress)
      case .notIP: return .drop(.malformed)
      }
      return direct(&packet, to: station) ? .forward(outputs.frames) : .drop(.noBuffer)
    } otherwise: { packet, emitter in
      resolve(packet, &emitter, &context, outputs)
      needsTime = true
    }
    if needsTime { schedule(&context) }
  }

  /// Sends a packet whose neighbour the table has to be asked about, or has it wait.
  @inline(never)
  private mutating func resolve<E: Element & ~Copyable>(
    _ packet: consuming Packet, _ emitter: inout Emitter<E>, _ context: inout Context,
    _ outputs: NeighbourOutputs<E.Output>
  ) {
    guard case .neighbour(let key) = choice.nextHop(of: packet) else {
      emitter.drop(packet, .malformed)
      return
    }
    switch table.use(key, now: context.now.nanoseconds) {
    case .send(let station):
      release(key, to: station, &emitter, outputs)
      if direct(&packet, to: station) {
        emitter.emit(packet, to: outputs.frames)
      } else {
        emitter.drop(packet, .noBuffer)
      }
    case .wait(let asks):
      if asks, let request = request(key, probing: nil, &context) { emitter.emit(request, to: outputs.frames) }
      while let oldest = pending.popExcess(key, before: packet) {
        emitter.drop(oldest, Neighbours.Drop.pendingOverflow)
      }
      if pending.isFull { emitter.drop(packet, .queueFull) } else { pending.append(packet, for: key) }
    case .failed: emitter.emit(packet, to: outputs.unreachable)
    case .refused: emitter.drop(packet, Neighbours.Drop.tableFull)
    }
  }

  /// Sends what waits for a neighbour.
  mutating func release<E: Element & ~Copyable>(
    _ key: NeighbourKey, to station: MACAddress, _ emitter: inout Emitter<E>, _ outputs: NeighbourOutputs<E.Output>
  ) {
    while var waiting = pending.popFirst(key) {
      if direct(&waiting, to: station) {
        emitter.emit(waiting, to: outputs.frames)
      } else {
        emitter.drop(waiting, .noBuffer)
      }
    }
  }

  /// A request for a neighbour; nil when there is no address to ask from yet, or no buffer.
  func request(_ key: NeighbourKey, probing station: MACAddress?, _ context: inout Context) -> Packet? {
    guard let source = addresses.source(toward: key.address) else { return nil }
    let frame: NeighbourFrame
    switch (key.address, source) {
    case (.v4(let target), .v4(let source)):
      frame = NeighbourFrame(
        arp: 1, to: station ?? .broadcast, senderMAC: mac, senderIP: source, targetMAC: .zero, targetIP: target)
    case (.v6(let target), .v6(let source)):
      frame = NeighbourFrame(soliciting: target, from: source, mac: mac, neighbour: station)
    default: return nil
    }
    guard let packet = context.packet(frame) else { return nil }
    count(.requests)
    return packet
  }
}

// MARK: - Time

extension NeighbourLink where Choice: ~Copyable {
  /// Does what is due, and looks after waiting packets.
  mutating func wake<E: Element & ~Copyable>(
    _ batch: inout PacketBatch<E>, _ context: inout Context, _ outputs: NeighbourOutputs<E.Output>
  ) {
    while let action = addresses.nextAction(now: context.now.nanoseconds) {
      if let packet = message(action, &context) { batch.emit(packet, to: outputs.frames) }
    }
    while let action = table.nextAction(interface: interface, now: context.now.nanoseconds) {
      let packet: Packet?
      switch action.kind {
      case .requestFromAll: packet = request(action.key, probing: nil, &context)
      case .probe(let station): packet = request(action.key, probing: station, &context)
      // Every worker sees to its own packets.
      case .giveUp: packet = nil
      }
      if let packet { batch.emit(packet, to: outputs.frames) }
    }
    var place = 0
    while place < pending.neighbours {
      let key = pending.neighbour(place)
      if reader.lookup(key).isIncomplete { place += 1 } else { settle(key, place: &place, &batch, &context, outputs) }
    }
    schedule(&context)
  }

  /// Sends or gives up what waits for a neighbour that is no longer being asked for.
  private mutating func settle<E: Element & ~Copyable>(
    _ key: NeighbourKey, place: inout Int, _ batch: inout PacketBatch<E>, _ context: inout Context,
    _ outputs: NeighbourOutputs<E.Output>
  ) {
    switch table.use(key, now: context.now.nanoseconds) {
    case .send(let station):
      while var packet = pending.popFirst(key) {
        if direct(&packet, to: station) {
          batch.emit(packet, to: outputs.frames)
        } else {
          batch.drop(packet, .noBuffer)
        }
      }
    case .failed:
      while let packet = pending.popFirst(key) { batch.emit(packet, to: outputs.unreachable) }
    case .refused:
      while let packet = pending.popFirst(key) { batch.drop(packet, Neighbours.Drop.tableFull.reason) }
    case .wait(let asks):
      // It had given way to another neighbour.
      if asks, let packet = request(key, probing: nil, &context) { batch.emit(packet, to: outputs.frames) }
      place += 1
    }
  }

  /// The message that finds out about, or announces, an own address.
  func message(_ action: InterfaceAddresses.Action, _ context: inout Context) -> Packet? {
    let frame: NeighbourFrame
    switch action {
    case .probe(.v6(let address)): frame = NeighbourFrame(soliciting: address, from: .unspecified, mac: mac)
    case .announce(.v6(let address)):
      frame = NeighbourFrame(advertising: address, mac: mac, isRouter: isRouter, to: nil, link: .broadcast)
    case .probe(.v4(let address)):
      frame = NeighbourFrame(
        arp: 1, to: .broadcast, senderMAC: mac, senderIP: .unspecified, targetMAC: .zero, targetIP: address)
    case .announce(.v4(let address)):
      // RFC 5227, 2.3: a request, in which sender and target are the same.
      frame = NeighbourFrame(
        arp: 1, to: .broadcast, senderMAC: mac, senderIP: address, targetMAC: .zero, targetIP: address)
    }
    guard let packet = context.packet(frame) else { return nil }
    count(.announcements)
    return packet
  }
}

extension Context {
  /// A packet of this frame; nil when no buffer is left.
  mutating func packet(_ frame: NeighbourFrame) -> Packet? {
    guard var packet = allocate() else { return nil }
    _ = frame.withBytes { packet.replaceBytes(with: $0) }
    return packet
  }
}
