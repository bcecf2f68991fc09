import Dataplane
import Tables
import Wire

/// What is known of services and backends beside the packet path; `makeState` turns it into what packets need.
struct BalancerModel: Sendable {
  struct Backend: Sendable {
    var settings: BackendSettings
    let slot: Int
    let serial: UInt16
    var isHealthy = true
    /// When it last came up, for slow start; nil: long ago.
    var risen: Instant?
    /// What was wrong with it when it was asked last.
    var complaint = ""
  }

  struct Service: Sendable {
    var settings: ServiceSettings
    /// Whether it is configured no longer; its number stays its own.
    var isGone = false
    var backends: [Backend] = []
    var table: [UInt16] = []
    /// What the table was built of.
    var tableMembers: [String: UInt32]?
  }

  /// So many backends can there be, with all services.
  static let slotLimit = 4096

  private(set) var services: [Service]
  /// The serial number of the last backend of each slot.
  private var serials: [UInt16] = []
  private var freeSlots: [Int] = []

  init(_ settings: [ServiceSettings]) {
    services = settings.map { Service(settings: $0) }
    for (index, service) in settings.enumerated() {
      for backend in service.backends { _ = add(backend, to: index, now: nil) }
    }
  }

  // MARK: Changes

  /// The indices of a backend by names; without the service's when only one service has such a backend.
  func find(_ service: String?, _ backend: String) -> (service: Int, backend: Int)? {
    var found: (Int, Int)?
    for (index, candidate) in services.enumerated() where service == nil || candidate.settings.name == service {
      guard let position = candidate.backends.firstIndex(where: { $0.settings.name == backend }) else { continue }
      if found != nil { return nil }
      found = (index, position)
    }
    return found
  }

  /// Adds a backend; false when there is no slot left.
  mutating func add(_ settings: BackendSettings, to service: Int, now: Instant?) -> Bool {
    let slot: Int
    if serials.count < Self.slotLimit {
      // A slot is used again as late as can be, so that what is counted for it stays.
      slot = serials.count
      serials.append(0)
    } else if !freeSlots.isEmpty {
      slot = freeSlots.removeFirst()
    } else {
      return false
    }
    serials[slot] &+= 1
    services[service].backends.append(
      Backend(settings: settings, slot: slot, serial: serials[slot], risen: now))
    return true
  }

  mutating func remove(_ place: (service: Int, backend: Int)) {
    freeSlots.append(services[place.service].backends.remove(at: place.backend).slot)
  }

  mutating func set(_ place: (service: Int, backend: Int), state: BackendState, now: Instant) {
    let old = services[place.service].backends[place.backend].settings.state
    services[place.service].backends[place.backend].settings.state = state
    if old != .up && state == .up { services[place.service].backends[place.backend].risen = now }
  }

  mutating func set(_ place: (service: Int, backend: Int), weight: UInt32) {
    services[place.service].backends[place.backend].settings.weight = weight
  }

  mutating func set(_ place: (service: Int, backend: Int), isHealthy: Bool, _ complaint: String, now: Instant) {
    let was = services[place.service].backends[place.backend].isHealthy
    services[place.service].backends[place.backend].isHealthy = isHealthy
    services[place.service].backends[place.backend].complaint = complaint
    if isHealthy && !was { services[place.service].backends[place.backend].risen = now }
  }

  mutating func set(slot: Int, serial: UInt16, isHealthy: Bool, _ complaint: String, now: Instant) {
    for (index, service) in services.enumerated() {
      for (position, backend) in service.backends.enumerated() where backend.slot == slot && backend.serial == serial {
        set((index, position), isHealthy: isHealthy, complaint, now: now)
      }
    }
  }

  /// Takes over another configuration. Backends that are in both keep their connections and their health.
  mutating func take(_ settings: [ServiceSettings], now: Instant) {
    for index in services.indices where !settings.contains(where: { $0.name == services[index].settings.name }) {
      services[index].isGone = true
      for position in services[index].backends.indices.reversed() { remove((index, position)) }
    }
    for new in settings {
      guard let index = services.firstIndex(where: { $0.settings.name == new.name }) else {
        services.append(Service(settings: new))
        for backend in new.backends { _ = add(backend, to: services.count - 1, now: nil) }
        continue
      }
      services[index].settings = new
      services[index].isGone = false
      services[index].tableMembers = nil
      if new.health == nil {
        for position in services[index].backends.indices { services[index].backends[position].isHealthy = true }
      }
      for position in services[index].backends.indices.reversed() {
        let old = services[index].backends[position].settings
        if let same = new.backends.first(where: { $0.identity == old.identity }) {
          services[index].backends[position].settings = same
          if old.state != .up && same.state == .up { services[index].backends[position].risen = now }
        } else {
          remove((index, position))
        }
      }
      for backend in new.backends
      where !services[index].backends.contains(where: { $0.settings.identity == backend.identity }) {
        _ = add(backend, to: index, now: now)
      }
    }
  }

  /// What is to be asked of which backend.
  var targets: [BalancerHealth.Target] {
    services.flatMap { service in
      service.backends.compactMap { backend in
        guard let health = service.settings.health, backend.settings.state != .down else { return nil }
        return BalancerHealth.Target(
          slot: backend.slot, serial: backend.serial,
          request: health.request(of: backend.settings, servicePort: service.settings.ports[0].lowerBound),
          settings: health)
      }
    }
  }

  // MARK: Weights

  /// How many steps a weight rises in.
  private static let ramp: UInt64 = 100

  /// A backend's share now, in hundredths of a weight.
  func share(_ backend: Backend, of service: ServiceSettings, now: Instant) -> UInt32 {
    guard backend.settings.state == .up, backend.isHealthy else { return 0 }
    let whole = backend.settings.weight * UInt32(Self.ramp)
    guard service.slowStart > 0, let risen = backend.risen else { return whole }
    let elapsed = now.nanoseconds(since: risen)
    guard elapsed < service.slowStart else { return whole }
    let percent = max(10, Double(elapsed) / Double(service.slowStart) * Double(Self.ramp))
    return max(UInt32(Double(backend.settings.weight) * percent), backend.settings.weight == 0 ? 0 : 1)
  }

  /// Whether a weight is rising.
  func isRamping(now: Instant) -> Bool {
    services.contains { service in
      service.settings.slowStart > 0
        && service.backends.contains { backend in
          backend.isHealthy && backend.settings.state == .up
            && backend.risen.map { now.nanoseconds(since: $0) < service.settings.slowStart } == true
        }
    }
  }

  // MARK: State

  /// Builds the tables whose members have changed, and puts everything together.
  mutating func makeState(now: Instant) -> BalancerState {
    var entries: [UInt16] = []
    var records: [ServiceRecord] = []
    var sources: [IPv6Address] = []
    var backends = [BackendRecord](repeating: BackendRecord(), count: max(serials.count, 1))
    for slot in serials.indices { backends[slot].serial = serials[slot] }
    // The serial of a slot that is free belongs to nobody's connections.
    for slot in freeSlots { backends[slot].serial = serials[slot] &+ 1 }
    for index in services.indices {
      buildTable(index, now: now)
      let service = services[index]
      records.append(
        ServiceRecord(
          firstEntry: UInt32(entries.count), tableSize: UInt32(service.table.count),
          affinity: service.settings.affinity,
          rejects: service.settings.withoutBackend == .reject, mode: service.settings.mode,
          firstSource: UInt32(sources.count), sourceCount: UInt32(service.settings.sourceNAT.count)))
      entries += service.table
      sources += service.settings.sourceNAT.map(\.wide)
      for backend in service.backends { backends[backend.slot] = record(of: backend, index) }
    }
    return BalancerState(
      services: FlatArray(records), backends: FlatArray(backends), virtuals: FlatArray(virtuals),
      replies: FlatArray(replies), entries: FlatArray(entries), sources: FlatArray(sources),
      answering: FlatArray(answering))
  }

  private mutating func buildTable(_ index: Int, now: Instant) {
    let service = services[index]
    let members = service.backends.map {
      Maglev.Member(
        identity: $0.settings.identity, weight: share($0, of: service.settings, now: now), value: UInt16($0.slot))
    }
    let key = Dictionary(
      service.backends.indices.map { ("\(service.backends[$0].serial) \(members[$0].value)", members[$0].weight) },
      uniquingKeysWith: { $1 })
    if service.tableMembers == key { return }
    services[index].table = Maglev(members, size: service.settings.tableSize).entries
    services[index].tableMembers = key
  }

  private func record(of backend: Backend, _ index: Int) -> BackendRecord {
    let service = services[index].settings
    let settings = backend.settings
    let works = backend.isHealthy && settings.state != .down
    var record = BackendRecord(
      serial: backend.serial, service: UInt16(truncatingIfNeeded: index), keeps: works,
      takesNew: works && settings.state == .up,
      mode: service.mode, translatesSource: !service.sourceNAT.isEmpty, port: settings.port,
      address: settings.address.wide)
    switch service.mode {
    case .nat: break
    case .dsr:
      if let mac = settings.mac {
        record.mac = mac
        record.sourceMAC = service.mac ?? .zero
      } else {
        record.nextHop = UInt32(truncatingIfNeeded: settings.address.wide.low)
      }
    case .ipip, .gre:
      guard let source = service.tunnelSource, let kind = service.mode.tunnel,
        let ends = TunnelEnds(source: source, destination: settings.address)
      else { break }
      record.tunnel = TunnelHeader(
        ends: ends, kind: kind, dscp: service.tunnelDSCP, hopLimit: UInt8(service.tunnelHopLimit),
        mtu: service.tunnelMTU)
    }
    return record
  }

  private var answering: [IPv6Address] {
    services.filter { $0.settings.mode == .nat }.flatMap { $0.backends.map(\.settings.address.wide) }
      .sorted { ($0.high, $0.low) < ($1.high, $1.low) }
  }

  private var virtuals: [VirtualRecord] {
    services.enumerated().filter { !$0.element.isGone }.flatMap { index, service in
      service.settings.ports.map { ports in
        VirtualRecord(
          key: PlaceKey(
            address: service.settings.address.wide, number: service.settings.protocol.number, port: ports.lowerBound),
          lastPort: ports.upperBound, service: UInt16(truncatingIfNeeded: index))
      }
    }.sorted { $0.key < $1.key }
  }

  private var replies: [ReplyRecord] {
    var found: [ReplyRecord] = []
    for service in services where service.settings.mode == .nat && service.settings.sourceNAT.isEmpty {
      let ports = service.settings.ports
      for backend in service.backends where backend.settings.state != .down {
        let port = backend.settings.port
        // Which of several ports a client asked for is known of its connection only.
        if port != 0 && (ports.count > 1 || ports[0].count > 1) { continue }
        found.append(
          ReplyRecord(
            key: PlaceKey(
              address: backend.settings.address.wide, number: service.settings.protocol.number, port: port),
            slot: UInt16(backend.slot), virtualAddress: service.settings.address.wide,
            virtualPort: port == 0 ? 0 : ports[0].lowerBound))
      }
    }
    found.sort { $0.key < $1.key }
    // Where two services share a backend's port there is no telling.
    return found.indices.filter { index in
      (index == 0 || found[index - 1].key != found[index].key)
        && (index + 1 == found.count || found[index + 1].key != found[index].key)
    }.map { found[$0] }
  }
}
