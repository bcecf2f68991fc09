import Configuration
import Dataplane
import Synchronization
import Tables
import Wire

/// What all workers of a load balancer share: services and backends as they are now, how to change them, and their health.
///
/// Changes and checks are the control thread's; packets see what comes of them by `state`.
final class BalancerControl: ControlTask, Replaceable, @unchecked Sendable {
  private struct Shared: Sendable {
    var model: BalancerModel
    /// Each worker's.
    var counts: [BalancerCounts] = []
    var readers: ReaderDomain?
    /// The control thread's clock when it ran last.
    var now = Instant(nanoseconds: 0)
    /// Whether there are other backends to ask than before.
    var hasOtherTargets = true
    /// Whether packets are to be shown what has changed.
    var isStale = false
    /// When weights are to rise next.
    var nextRamp = Instant.never
  }

  private let shared: Mutex<Shared>
  /// The control thread's.
  private let health = BalancerHealth()
  /// What packets need to know; replaced whole.
  let state: Snapshot<BalancerState>

  init(_ services: [ServiceSettings]) {
    var model = BalancerModel(services)
    state = Snapshot(model.makeState(now: Instant(nanoseconds: 0)))
    shared = Mutex(Shared(model: model))
  }

  /// Reads the services, and notes what is wrong between them.
  static func read(_ settings: inout Settings) throws(ConfigurationError) -> [ServiceSettings] {
    var services: [ServiceSettings] = []
    _ = try settings.takeNamed("services", "a virtual service's name: its settings") {
      (name: String, nested: inout Settings) throws(ConfigurationError) in
      let service = try ServiceSettings(name: name, &nested)
      if services.contains(where: { $0.name == name }) {
        nested.reject(nil, "there are two services '\(name)'", remedy: "rename one")
      }
      for other in services {
        if let shared = service.clash(with: other) {
          nested.reject(
            nested.range(of: nested.has("ports") ? "ports" : "address"),
            "\(shared) belongs to service '\(other.name)' already", remedy: "give another address, or other ports")
        }
      }
      services.append(service)
    }
    if services.isEmpty {
      settings.reject(
        settings.range(of: "services"), "there are no services", remedy: "write under it 'name: { ... }'")
    }
    if services.map(\.backends.count).reduce(0, +) > BalancerModel.slotLimit {
      settings.reject(
        settings.range(of: "services"), "there are more than \(BalancerModel.slotLimit) backends",
        remedy: "use several load balancers")
    }
    for service in services {
      for backend in service.backends {
        guard let claimed = services.first(where: { $0.mode == .nat && $0.address == backend.address }) else {
          continue
        }
        settings.reject(
          backend.range ?? settings.range(of: "services"),
          "backend '\(backend.name)' of '\(service.name)' is the virtual address of '\(claimed.name)'",
          remedy: "give the backend's own address")
      }
    }
    return services
  }

  // MARK: Workers

  func register(_ counts: BalancerCounts) { shared.withLock { $0.counts.append(counts) } }

  /// Names of backends as they are now.
  var names: BalancerNames { BalancerNames(shared.withLock { $0.model.services }) }

  /// What a worker reports.
  func counters(of counts: BalancerCounts) -> [ElementCounter] {
    let services = shared.withLock { $0.model.services }
    var counters = BalancerCounts.Whole.allCases.map { ElementCounter("\($0)", counts.whole[$0.rawValue]) }
    for service in services where !service.isGone {
      let kinds = BalancerCounts.Backend.allCases.filter { $0 != .serial }
      for kind in kinds {
        let sum = service.backends.map { counts.serves($0) ? counts[$0.slot, kind] : 0 }.reduce(0, &+)
        counters.append(ElementCounter("\(service.settings.name).\(kind)", sum))
      }
      for backend in service.backends {
        for kind in kinds {
          counters.append(
            ElementCounter(
              "\(service.settings.name).\(backend.settings.name).\(kind)",
              counts.serves(backend) ? counts[backend.slot, kind] : 0))
        }
      }
    }
    return counters
  }
}

// MARK: - Beside the packet path

extension BalancerControl {
  func begin(_ readers: ReaderDomain?) { shared.withLock { $0.readers = readers } }

  var descriptors: [ControlDescriptor] { health.descriptors }

  func run(_ now: Instant) -> Instant {
    let targets: [BalancerHealth.Target]? = shared.withLock { shared in
      shared.now = now
      defer { shared.hasOtherTargets = false }
      return shared.hasOtherTargets ? shared.model.targets : nil
    }
    if let targets { health.follow(targets, now: now) }
    let findings = health.run(now)
    let nextRamp: Instant = shared.withLock { shared in
      for finding in findings {
        shared.model.set(
          slot: finding.slot, serial: finding.serial, isHealthy: finding.isHealthy, finding.complaint, now: now)
        shared.isStale = true
      }
      if shared.nextRamp <= now || shared.isStale {
        shared.isStale = true
        shared.nextRamp = shared.model.isRamping(now: now) ? now.advanced(by: Self.rampStep) : .never
      }
      return shared.nextRamp
    }
    publish()
    return min(health.next, nextRamp)
  }

  /// Nanoseconds between two steps of weights that rise.
  private static let rampStep: UInt64 = 500_000_000

  /// Shows packets what has changed.
  private func publish() {
    let readers: ReaderDomain? = shared.withLock { shared in shared.isStale ? shared.readers : nil }
    guard let readers else { return }
    let new = shared.withLock { shared in
      shared.isStale = false
      return shared.model.makeState(now: shared.now)
    }
    state.replace(with: new, in: readers)
  }

  /// Takes over the services of another configuration.
  func replace(with other: BalancerControl, readers: ReaderDomain) {
    let settings = other.shared.withLock { $0.model.services.map(\.settings) }
    shared.withLock { shared in
      shared.readers = readers
      shared.model.take(settings, now: shared.now)
      shared.hasOtherTargets = true
      shared.isStale = true
    }
    publish()
  }

  /// Has run called again soon, and packets shown what has changed.
  private func change<Result: Sendable>(_ body: (inout BalancerModel, Instant) -> Result) -> Result {
    let result = shared.withLock { shared in
      let result = body(&shared.model, shared.now)
      shared.isStale = true
      shared.hasOtherTargets = true
      shared.nextRamp = shared.now
      return result
    }
    publish()
    return result
  }
}

// MARK: - Operations

extension BalancerControl {
  private static let which = [
    OperationParameter("service", "the service; may be left out when the backend's name tells"),
    OperationParameter("backend", "the backend"),
  ]

  var operations: [OperationDescription] {
    [
      OperationDescription(
        "backends", "Lists backends: state, weight, connections, packets.",
        parameters: [OperationParameter("service", "only this one's")]),
      OperationDescription(
        "drain", "Gives a backend no new connections; those that it has go on.", parameters: Self.which),
      OperationDescription("enable", "Gives a backend connections again.", parameters: Self.which),
      OperationDescription(
        "disable", "Gives a backend nothing any more; its connections go to others.", parameters: Self.which),
      OperationDescription(
        "weight", "Changes a backend's weight.", parameters: Self.which + [OperationParameter("weight", "0 to 65535")]),
      OperationDescription(
        "add", "Adds a backend.",
        parameters: [
          OperationParameter("service", "the service"), OperationParameter("backend", "its name"),
          OperationParameter("address", "its address"), OperationParameter("port", "its port"),
          OperationParameter("weight", "its weight, 1 when left out"),
          OperationParameter("mac", "mode dsr: its hardware address"),
        ]),
      OperationDescription("remove", "Removes a backend; its connections go to others.", parameters: Self.which),
    ]
  }

  func perform(_ request: OperationRequest, _ answer: inout OperationAnswer) {
    do throws(ConfigurationError) {
      switch request.name {
      case "backends": try list(request, &answer)
      case "add": try add(request, &answer)
      case "drain", "enable", "disable", "remove", "weight": try alter(request, &answer)
      default: answer.fail("there is no operation '\(request.name)'")
      }
    } catch {
      answer.fail(error)
    }
  }

  private func alter(_ request: OperationRequest, _ answer: inout OperationAnswer) throws(ConfigurationError) {
    let service: String? = try request.value("service")
    guard let backend: String = try request.value("backend") else {
      return answer.fail("'backend' is missing; write backend=NAME")
    }
    let weight: UInt16? = try request.value("weight")
    if request.name == "weight" && weight == nil { return answer.fail("'weight' is missing; write weight=NUMBER") }
    let failure: String? = change { model, now in
      guard let place = model.find(service, backend) else {
        let count = model.services.count { $0.backends.contains { $0.settings.name == backend } }
        return service == nil && count > 1
          ? "\(count) services have a backend '\(backend)'; add service=NAME" : "there is no backend '\(backend)'"
      }
      switch request.name {
      case "drain": model.set(place, state: .drain, now: now)
      case "enable": model.set(place, state: .up, now: now)
      case "disable": model.set(place, state: .down, now: now)
      case "remove": model.remove(place)
      default: model.set(place, weight: UInt32(weight ?? 0))
      }
      return nil
    }
    if let failure { answer.fail(failure) }
  }

  private func add(_ request: OperationRequest, _ answer: inout OperationAnswer) throws(ConfigurationError) {
    guard let name: String = try request.value("service"), let backend: String = try request.value("backend"),
      let address: IPAddress = try request.value("address")
    else { return answer.fail("a backend has a service, a name and an address; write service=, backend= and address=") }
    let port: UInt16 = try request.value("port") ?? 0
    let weight: UInt16 = try request.value("weight") ?? 1
    let settings = BackendSettings(
      name: backend, address: address, port: port, weight: UInt32(weight), mac: try request.value("mac"))
    guard isName(backend) else {
      return answer.fail("'\(backend)' cannot be a name; choose one of letters, digits, '_' and '-'")
    }
    let failure: String? = change { model, now in
      guard let index = model.services.firstIndex(where: { $0.settings.name == name && !$0.isGone }) else {
        return "there is no service '\(name)'"
      }
      let service = model.services[index]
      if let flaw = settings.flaws(in: service.settings).first { return "\(flaw.message); \(flaw.remedy)" }
      if let twin = service.backends.first(where: {
        $0.settings.name == backend || $0.settings.identity == settings.identity
      }) {
        return "backend '\(twin.settings.name)' is there already"
      }
      if (service.backends.count + 1) * Maglev.entriesPerBackend >= service.settings.tableSize {
        return "the table of '\(name)' is too small for another backend; restart with a larger 'table'"
      }
      if service.settings.mode == .dsr,
        service.backends.contains(where: { ($0.settings.mac == nil) != (settings.mac == nil) })
      {
        return "backends of '\(name)' have a mac all or none"
      }
      return model.add(settings, to: index, now: now) ? nil : "there are \(BalancerModel.slotLimit) backends already"
    }
    if let failure { answer.fail(failure) }
  }

  private func list(_ request: OperationRequest, _ answer: inout OperationAnswer) throws(ConfigurationError) {
    let name: String? = try request.value("service")
    let (model, counts, now) = shared.withLock { ($0.model, $0.counts, $0.now) }
    for service in model.services where name == nil || service.settings.name == name {
      for backend in service.backends {
        func sum(_ what: BalancerCounts.Backend) -> String {
          "\(counts.map { $0.serves(backend) ? $0[backend.slot, what] : 0 }.reduce(0, &+))"
        }
        let settings = backend.settings
        answer.row([
          "service": service.settings.name, "backend": settings.name, "address": "\(settings.address)",
          "port": settings.port == 0 ? "" : "\(settings.port)", "state": settings.state.rawValue,
          "health": service.settings.health == nil ? "unchecked" : backend.isHealthy ? "healthy" : "unhealthy",
          "weight": "\(settings.weight)",
          "share": "\(Double(model.share(backend, of: service.settings, now: now)) / 100)",
          "connections": sum(.connections), "opened": sum(.opened), "packets": sum(.packets), "bytes": sum(.bytes),
          "reply_packets": sum(.replyPackets), "reply_bytes": sum(.replyBytes), "complaint": backend.complaint,
        ])
      }
    }
  }
}
