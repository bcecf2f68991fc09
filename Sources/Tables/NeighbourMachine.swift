import Wire

/// The state machine of a `NeighbourTable`'s neighbours (RFC 4861, 7.3.2 and appendix C), for one thread at a time. What
/// it makes of each is published to the readers' index.
struct NeighbourMachine: ~Copyable {
  private struct Entry {
    var key: NeighbourKey
    var mac = MACAddress.zero
    var state = NeighbourState.incomplete
    var isRouter = false
    /// Requests made in this state.
    var attempts = 0
    var timer: TimerWheel.Timer?
    var isUsed = false

    var reading: NeighbourReading {
      switch state {
      case .incomplete: NeighbourReading(NeighbourReading.incomplete, .zero)
      case .failed: NeighbourReading(NeighbourReading.failed, .zero)
      case .stale: NeighbourReading(NeighbourReading.stale, mac)
      case .reachable, .delay, .probe, .permanent: NeighbourReading(NeighbourReading.usable, mac)
      }
    }
  }

  /// How finely neighbours are timed, in nanoseconds.
  private static let resolution: UInt64 = 10_000_000

  let index: NeighbourReader
  private let timers: NeighbourTimers
  private let unresolvedLimit: Int
  private var entries: [Entry]
  private var unused: [Int]
  private var wheel: TimerWheel
  /// Neighbours that something is to be done about, by interface.
  private var due: IndexLists
  /// Neighbours that failed, the first to fail first.
  private var failed: IndexLists
  private var seed: UInt64
  private(set) var statistics = NeighbourStatistics()

  init(
    index: consuming NeighbourReader, timers: NeighbourTimers, capacity: Int, unresolvedLimit: Int, interfaces: Int,
    seed: UInt64
  ) {
    self.index = index
    self.timers = timers
    self.unresolvedLimit = unresolvedLimit
    self.seed = seed
    entries = Array(repeating: Entry(key: NeighbourKey(interface: 0, .unspecified as IPv4Address)), count: capacity)
    unused = Array((0..<capacity).reversed())
    wheel = TimerWheel(capacity: capacity, resolution: Self.resolution)
    due = IndexLists(lists: interfaces, capacity: capacity)
    failed = IndexLists(lists: 1, capacity: capacity)
  }

  // MARK: Use

  mutating func use(_ key: NeighbourKey, now: UInt64) -> NeighbourUse {
    expire(now)
    guard let found = index.find(key)?.entry else {
      guard let entry = add(key, resolved: false) else { return .refused }
      entries[entry].attempts = 1
      enter(.incomplete, entry, timers.interval(after: 1), now)
      return .wait(asks: true)
    }
    switch entries[found].state {
    case .incomplete: return .wait(asks: false)
    case .failed: return .failed
    case .stale: enter(.delay, found, timers.delay, now)
    case .reachable, .delay, .probe, .permanent: break
    }
    return .send(entries[found].mac)
  }

  mutating func confirm(_ key: NeighbourKey, now: UInt64) {
    expire(now)
    guard let found = index.find(key)?.entry else { return }
    switch entries[found].state {
    case .reachable, .stale, .delay, .probe: enterReachable(found, now)
    case .incomplete, .failed, .permanent: break
    }
  }

  // MARK: Learning

  /// RFC 4861, 7.2.3; RFC 826.
  mutating func hear(_ key: NeighbourKey, mac: MACAddress, creates: Bool, now: UInt64) -> Bool {
    expire(now)
    guard let found = index.find(key)?.entry else {
      guard creates, let entry = add(key, resolved: true) else { return false }
      entries[entry].mac = mac
      enter(.stale, entry, timers.stale, now)
      return true
    }
    guard entries[found].state != .permanent else { return false }
    let isResolved = entries[found].state.hasAddress
    guard !isResolved || entries[found].mac != mac else { return false }
    if isResolved { statistics.moves += 1 }
    entries[found].mac = mac
    enter(.stale, found, timers.stale, now)
    return true
  }

  /// RFC 4861, 7.2.5.
  mutating func advertise(_ key: NeighbourKey, _ claim: NeighbourClaim, now: UInt64) -> Bool {
    expire(now)
    guard let found = index.find(key)?.entry, entries[found].state != .permanent else { return false }
    guard entries[found].state.hasAddress else {
      guard let mac = claim.mac else { return false }
      entries[found].mac = mac
      if let isRouter = claim.isRouter { entries[found].isRouter = isRouter }
      if claim.isSolicited { enterReachable(found, now) } else { enter(.stale, found, timers.stale, now) }
      return true
    }
    let differs = claim.mac.map { $0 != entries[found].mac } ?? false
    guard claim.overrides || !differs else {
      if entries[found].state == .reachable { enter(.stale, found, timers.stale, now) }
      return false
    }
    if differs, let mac = claim.mac {
      entries[found].mac = mac
      statistics.moves += 1
    }
    if let isRouter = claim.isRouter { entries[found].isRouter = isRouter }
    if claim.isSolicited {
      enterReachable(found, now)
    } else if differs {
      enter(.stale, found, timers.stale, now)
    }
    return true
  }

  mutating func setPermanent(_ key: NeighbourKey, mac: MACAddress) -> Bool {
    let found = index.find(key)?.entry
    guard let entry = found ?? add(key, resolved: true) else { return false }
    entries[entry].mac = mac
    enter(.permanent, entry, nil, 0)
    return true
  }

  // MARK: Removal

  mutating func remove(_ key: NeighbourKey) -> Bool {
    guard let found = index.find(key)?.entry else { return false }
    remove(found)
    return true
  }

  mutating func flush(_ interface: UInt32, permanent: Bool) {
    for entry in entries.indices where entries[entry].isUsed && entries[entry].key.interface == interface {
      if permanent || entries[entry].state != .permanent { remove(entry) }
    }
  }

  // MARK: Time

  /// What is to be done next on an interface.
  mutating func nextAction(_ interface: Int, now: UInt64) -> NeighbourAction? {
    expire(now)
    while let entry = due.first(of: interface) {
      due.remove(entry)
      let key = entries[entry].key
      switch entries[entry].state {
      case .incomplete: return NeighbourAction(kind: .requestFromAll, key: key)
      case .probe: return NeighbourAction(kind: .probe(entries[entry].mac), key: key)
      case .failed: return NeighbourAction(kind: .giveUp, key: key)
      case .reachable, .stale, .delay, .permanent: break
      }
    }
    return nil
  }

  /// When something may be to be done next, in nanoseconds.
  func nextEvent(_ interface: Int) -> UInt64? { due.first(of: interface) == nil ? wheel.nextEvent : 0 }

  func list(_ interface: UInt32?) -> [Neighbour] {
    entries.filter { $0.isUsed && (interface == nil || $0.key.interface == interface) }.map {
      Neighbour(key: $0.key, mac: $0.state.hasAddress ? $0.mac : nil, state: $0.state, isRouter: $0.isRouter)
    }.sorted { ($0.key.interface, $0.key.address) < ($1.key.interface, $1.key.address) }
  }

  private mutating func expire(_ now: UInt64) {
    while let payload = wheel.popExpired(now: now) {
      let entry = Int(payload)
      entries[entry].timer = nil
      switch entries[entry].state {
      case .incomplete: askAgain(entry, limit: timers.multicastRequests, now)
      case .reachable: enter(.stale, entry, timers.stale, now)
      case .delay:
        entries[entry].attempts = 0
        enter(.probe, entry, nil, now)
        askAgain(entry, limit: timers.unicastRequests, now)
      case .probe: askAgain(entry, limit: timers.unicastRequests, now)
      case .stale, .failed: remove(entry)
      case .permanent: break
      }
    }
  }

  private mutating func askAgain(_ entry: Int, limit: Int, _ now: UInt64) {
    let interface = Int(entries[entry].key.interface)
    guard entries[entry].attempts >= max(limit, 1) else {
      entries[entry].attempts += 1
      setTimer(entry, timers.interval(after: entries[entry].attempts), now)
      due.append(entry, to: interface)
      return
    }
    guard entries[entry].state == .incomplete else {
      // RFC 4861, appendix C: the next packet starts with address resolution.
      statistics.losses += 1
      remove(entry)
      return
    }
    statistics.failures += 1
    enter(.failed, entry, timers.holdDown, now)
    due.append(entry, to: interface)
  }

  private mutating func setTimer(_ entry: Int, _ delay: UInt64, _ now: UInt64) {
    let (sum, overflow) = now.addingReportingOverflow(delay)
    let deadline = overflow ? .max : sum
    if let timer = entries[entry].timer, wheel.move(timer, to: deadline) { return }
    // There is a timer for each entry.
    entries[entry].timer = wheel.set(UInt64(entry), at: deadline)
  }

  // MARK: Entries

  /// A new entry, or nothing when there is no room. Neighbours that have an address are never put out for it; one that
  /// failed is, the earliest first.
  private mutating func add(_ key: NeighbourKey, resolved: Bool) -> Int? {
    let isShort = unused.isEmpty || !resolved && statistics.unresolved >= unresolvedLimit
    if isShort, let oldest = failed.first(of: 0) { remove(oldest) }
    guard let entry = unused.last, resolved || statistics.unresolved < unresolvedLimit else {
      statistics.refusals += 1
      return nil
    }
    unused.removeLast()
    entries[entry] = Entry(key: key)
    entries[entry].isUsed = true
    statistics.count += 1
    // It is incomplete until it enters another state.
    statistics.unresolved += 1
    index.insert(key, entry: entry, entries[entry].reading)
    return entry
  }

  private mutating func remove(_ entry: Int) {
    if let timer = entries[entry].timer { _ = wheel.cancel(timer) }
    entries[entry].timer = nil
    due.remove(entry)
    failed.remove(entry)
    if !entries[entry].state.hasAddress { statistics.unresolved -= 1 }
    statistics.count -= 1
    index.remove(entries[entry].key)
    entries[entry].isUsed = false
    unused.append(entry)
  }

  private mutating func enter(_ state: NeighbourState, _ entry: Int, _ delay: UInt64?, _ now: UInt64) {
    let wasUnresolved = !entries[entry].state.hasAddress
    entries[entry].state = state
    if wasUnresolved != !state.hasAddress { statistics.unresolved += wasUnresolved ? -1 : 1 }
    if state == .failed { failed.append(entry, to: 0) } else { failed.remove(entry) }
    if let delay {
      setTimer(entry, delay, now)
    } else if let timer = entries[entry].timer {
      _ = wheel.cancel(timer)
      entries[entry].timer = nil
    }
    index.update(entries[entry].key, entries[entry].reading)
  }

  /// RFC 4861, 6.3.2: a time between half and one and a half of the configured one.
  private mutating func enterReachable(_ entry: Int, _ now: UInt64) {
    seed = seed &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
    let span = timers.reachable.multipliedFullWidth(by: seed).high
    let (delay, overflow) = (timers.reachable / 2).addingReportingOverflow(span)
    enter(.reachable, entry, overflow ? .max : delay, now)
  }
}

extension NeighbourState {
  /// Whether a neighbour in this state has a hardware address.
  @inlinable
  public var hasAddress: Bool { self != .incomplete && self != .failed }
}
