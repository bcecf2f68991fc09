import Configuration
import Tables
import Wire

/// Protocols that a service takes.
enum ServiceProtocol: TextSetting, Equatable {
  case any
  case one(IPProtocol)

  static var schema: ValueSchema { ValueSchema("IP protocol or 'any'", example: "tcp") }
  static var placeholder: ServiceProtocol { .one(.tcp) }
  var settingText: String {
    switch self {
    case .any: "any"
    case .one(let number): number.description
    }
  }

  init?(settingText text: String) {
    if text == "any" {
      self = .any
    } else if let number = IPProtocol(text), number != .hopByHop {
      self = .one(number)
    } else {
      return nil
    }
  }

  /// The protocol's number, 0 for any.
  var number: UInt8 {
    switch self {
    case .any: 0
    case .one(let number): number.rawValue
    }
  }

  var hasPorts: Bool {
    switch self {
    case .any: true
    case .one(let number): [.tcp, .udp, .dccp, IPProtocol(rawValue: 132), .udplite].contains(number)
    }
  }
}

/// What an operator wants of a backend.
enum BackendState: String, SettingChoice, Sendable {
  /// It takes connections as long as it is healthy.
  case up
  /// It keeps its connections and gets no new ones.
  case drain
  /// It is given nothing, and its connections go to others.
  case down
}

/// What becomes of packets when no backend can take them.
enum WithoutBackend: String, SettingChoice, Sendable {
  case drop, reject
}

/// A backend as it is configured.
struct BackendSettings: Sendable {
  let name: String
  let address: IPAddress
  /// 0: as the packet has it.
  let port: UInt16
  var weight: UInt32
  let mac: MACAddress?
  var state: BackendState
  /// Where it is written.
  let range: SourceRange?

  /// What makes it the same backend on every balancer.
  var identity: String { "\(address) \(port)" }

  static let weights = 0...65_535

  init(name: String, _ settings: inout Settings, _ service: ServiceSettings) throws(ConfigurationError) {
    self.name = name
    range = settings.range
    address = try settings.take("address", "the backend's address")
    port = UInt16(try settings.takeIfPresent("port", in: 1...65_535, "the backend's port; the packet's own") ?? 0)
    weight = UInt32(try settings.take("weight", default: 1, in: Self.weights, "its share; 0 takes no new connections"))
    mac = try settings.takeIfPresent("mac", "mode dsr: its hardware address, for graphs without Neighbours behind")
    state = try settings.take("state", default: .up, "up, or drain: no new connections; down: none at all")
    for flaw in flaws(in: service) {
      settings.reject(settings.range(of: flaw.key), flaw.message, remedy: flaw.remedy)
    }
  }

  init(name: String, address: IPAddress, port: UInt16, weight: UInt32, mac: MACAddress?) {
    (self.name, self.address, self.port, self.weight, self.mac, state) = (name, address, port, weight, mac, .up)
    range = nil
  }

  struct Flaw {
    let key: String
    let message: String
    let remedy: String
  }

  /// What speaks against the backend in a service.
  func flaws(in service: ServiceSettings) -> [Flaw] {
    var flaws: [Flaw] = []
    let isUnspecified =
      switch address {
      case .v4(let address): address.isUnspecified || address.isLimitedBroadcast
      case .v6(let address): address.isUnspecified
      }
    if address.isMulticast || isUnspecified {
      flaws.append(
        Flaw(key: "address", message: "\(address) is not the address of one host", remedy: "give a unicast address"))
    }
    let versions = (address.isIPv6 ? "IPv6" : "IPv4", service.address.isIPv6 ? "IPv6" : "IPv4")
    switch service.mode {
    case .nat, .dsr:
      if address.isIPv6 != service.address.isIPv6 {
        flaws.append(
          Flaw(
            key: "address", message: "the backend has an \(versions.0) address and the service an \(versions.1) one",
            remedy: "give an \(versions.1) address, or use 'mode: ipip'"))
      }
      if address == service.address && service.mode == .nat {
        flaws.append(
          Flaw(
            key: "address", message: "\(address) is the virtual address itself", remedy: "give the backend's own"))
      }
    case .ipip, .gre:
      if let source = service.tunnelSource, source.isIPv6 != address.isIPv6 {
        flaws.append(
          Flaw(
            key: "address", message: "the tunnel's two ends, \(source) and \(address), are not of one IP version",
            remedy: "give an address of the version of 'tunnel: { source }'"))
      }
    }
    if port != 0 && (service.mode != .nat || !service.protocol.hasPorts) {
      flaws.append(
        Flaw(
          key: "port", message: "only mode nat translates ports, of protocols that have some",
          remedy: "remove 'port'"))
    }
    if mac != nil && service.mode != .dsr {
      flaws.append(
        Flaw(key: "mac", message: "hardware addresses are for mode dsr", remedy: "remove 'mac', or use 'mode: dsr'"))
    }
    if let mac, mac.isMulticast || mac.isZero {
      flaws.append(
        Flaw(key: "mac", message: "\(mac) is not the address of one station", remedy: "give a unicast address"))
    }
    return flaws
  }
}

extension IPAddress {
  var isIPv6: Bool { if case .v6 = self { true } else { false } }
  var isIPv4: Bool { !isIPv6 }
}

/// A virtual service as it is configured: what clients address, and who answers.
struct ServiceSettings: Sendable {
  let name: String
  let address: IPAddress
  let `protocol`: ServiceProtocol
  let ports: [PortRange]
  let mode: BalancingMode
  /// Addresses that connections come from at the backend; those of the clients when there are none.
  let sourceNAT: [IPAddress]
  let tunnelSource: IPAddress?
  let tunnelDSCP: TunnelDSCP
  let tunnelMTU: Int
  let tunnelHopLimit: Int
  /// In nanoseconds; 0 without.
  let affinity: UInt64
  /// In nanoseconds; 0 without.
  let slowStart: UInt64
  let withoutBackend: WithoutBackend
  /// Of its Maglev table.
  private(set) var tableSize: Int
  let health: HealthSettings?
  let mac: MACAddress?
  private(set) var backends: [BackendSettings] = []

  init(name: String, _ settings: inout Settings) throws(ConfigurationError) {
    self.name = name
    address = try settings.take("address", "the virtual address")
    `protocol` = try settings.take("protocol", default: .one(.tcp), "the protocol; any: all but ICMP")
    ports = try settings.takeIfPresent("ports", "ports or ranges of ports; all when left out") ?? [.all]
    mode = try settings.take("mode", default: .nat, "how packets get to backends")
    sourceNAT =
      try settings.takeIfPresent(
        "source_nat", "mode nat: addresses that connections come from at the backend; the client's when left out") ?? []
    let tunnel = try settings.takeNested("tunnel", "modes ipip and gre: the outer header") {
      (nested: inout Settings) throws(ConfigurationError) in
      (
        source: try nested.take("source", "this end's address") as IPAddress,
        mtu: try nested.take(
          "mtu", default: 1500, in: 68...65_535, "longest packet to backends, outer header included"),
        dscp: try nested.take("dscp", default: TunnelDSCP.copy, "DSCP of the outer header (RFC 2983)"),
        hopLimit: try nested.take("ttl", default: 64, in: 1...255, "TTL or hop limit of the outer header")
      )
    }
    tunnelSource = tunnel?.source
    tunnelMTU = tunnel?.mtu ?? 1500
    tunnelDSCP = tunnel?.dscp ?? .copy
    tunnelHopLimit = tunnel?.hopLimit ?? 64
    mac = try settings.takeIfPresent("mac", "mode dsr: source hardware address of frames to backends with a 'mac'")
    affinity =
      try settings.takeIfPresent(
        "affinity", in: Duration.milliseconds(1)...Duration.seconds(30 * 86_400),
        "how long a client that opened a connection goes to the same backend")?.wholeNanoseconds ?? 0
    slowStart =
      try settings.takeIfPresent(
        "slow_start", in: Duration.seconds(1)...Duration.seconds(3600),
        "how long the weight of a backend that comes up rises, from a tenth on")?.wholeNanoseconds ?? 0
    withoutBackend = try settings.take(
      "without_backend", default: .drop, "what becomes of packets when no backend can take them")
    let size: Int? = try settings.takeIfPresent(
      "table", in: 3...2_097_143,
      "entries of the Maglev table: a prime over 100 times the backends; chosen for twice those given when left out")
    health = try settings.takeNested("health", "checks; without them backends count as healthy") {
      (nested: inout Settings) throws(ConfigurationError) in try HealthSettings(&nested)
    }
    tableSize = size ?? 0
    let incomplete = self
    backends = try settings.takeNamed("backends", "a backend's name: its settings") {
      (name: String, nested: inout Settings) throws(ConfigurationError) in
      try BackendSettings(name: name, &nested, incomplete)
    }
    // Twice as many backends can be added while packets flow: another size would move nearly everything.
    if size == nil { tableSize = Maglev.size(forBackends: backends.count * 2) }
    check(&settings)
    checkBackends(&settings)
    // What was refused is still made, until all mistakes are told.
    if !Maglev.isPrime(tableSize) { tableSize = Maglev.sizes[0] }
  }

  private func check(_ settings: inout Settings) {
    if address.isMulticast {
      settings.reject(
        settings.range(of: "address"), "\(address) is a group, not a virtual address", remedy: "give a unicast address")
    }
    if !`protocol`.hasPorts && ports != [.all] {
      settings.reject(
        settings.range(of: "ports"), "protocol \(`protocol`.settingText) has no ports", remedy: "remove 'ports'")
    }
    if case .one(let number) = `protocol`, number == .icmp || number == .icmpv6 {
      settings.reject(
        settings.range(of: "protocol"), "pings are answered for virtual addresses, not balanced",
        remedy: "lead 'local' to ICMPEcho")
    }
    if mode.tunnel != nil && tunnelSource == nil {
      settings.reject(
        settings.range, "mode \(mode.rawValue) needs this end of the tunnel", remedy: "add 'tunnel: { source: ... }'")
    }
    if mode.tunnel == nil && tunnelSource != nil {
      settings.reject(
        settings.range(of: "tunnel"), "mode \(mode.rawValue) has no tunnel", remedy: "remove it, or use 'mode: ipip'")
    }
    if !sourceNAT.isEmpty && (mode != .nat || sourceNAT.contains { $0.isIPv6 != address.isIPv6 }) {
      settings.reject(
        settings.range(of: "source_nat"),
        "sources are translated in mode nat, to addresses of the service's IP version",
        remedy: "give such addresses, or remove 'source_nat'")
    }
    if mac != nil && mode != .dsr {
      settings.reject(settings.range(of: "mac"), "hardware addresses are for mode dsr", remedy: "remove 'mac'")
    }
    // Inside a tunnel IPv6 needs 1,280 bytes (RFC 8200, 5).
    let header = (tunnelSource?.isIPv6 == true ? 40 : 20) + (mode.tunnel?.headerLength ?? 0)
    if mode.tunnel != nil, address.isIPv6, tunnelMTU - header < 1280 {
      settings.reject(
        settings.range(of: "tunnel"), "the tunnel's MTU leaves less than the 1280 bytes that IPv6 needs",
        remedy: "give at least 'mtu: \(1280 + header)'")
    }
    if !Maglev.isPrime(tableSize) {
      settings.reject(
        settings.range(of: "table"), "\(tableSize) is no prime", remedy: "give one of \(Maglev.sizes[0...5])")
    } else if tableSize <= backends.count * Maglev.entriesPerBackend {
      settings.reject(
        settings.range(of: "table"), "a table of \(tableSize) is too small for \(backends.count) backends",
        remedy: "give \(Maglev.size(forBackends: backends.count))")
    }
  }

  private func checkBackends(_ settings: inout Settings) {
    if settings.entryCount(of: "backends") == 0 {
      settings.reject(
        settings.range(of: "backends"), "service '\(name)' has no backend",
        remedy: "write under 'backends' a line 'name: { address: ... }'")
    } else if !backends.isEmpty, backends.allSatisfy({ $0.weight == 0 }) {
      settings.reject(
        settings.range(of: "backends"), "every backend of service '\(name)' has weight 0",
        remedy: "give one a weight, or write 'state: drain' where that is meant")
    }
    for (index, backend) in backends.enumerated() {
      if let twin = backends[..<index].first(where: { $0.identity == backend.identity }) {
        settings.reject(
          settings.range(of: "backends"),
          "backends '\(twin.name)' and '\(backend.name)' are both \(backend.address)"
            + (backend.port == 0 ? "" : " port \(backend.port)"),
          remedy: "remove one, and give the other both weights")
      } else if backends[..<index].contains(where: { $0.name == backend.name }) {
        settings.reject(
          settings.range(of: "backends"), "there are two backends '\(backend.name)'", remedy: "rename one")
      }
    }
    if mode == .dsr, backends.contains(where: { $0.mac == nil }) && backends.contains(where: { $0.mac != nil }) {
      settings.reject(
        settings.range(of: "backends"), "some backends have a 'mac' and others have not",
        remedy: "give all of them one, or none and lead 'backends' to Neighbours with 'next_hop: annotation'")
    }
  }

  /// What the two services both claim, in words.
  func clash(with other: ServiceSettings) -> String? {
    guard address == other.address, `protocol` == other.protocol else { return nil }
    for range in ports {
      for second in other.ports where range.overlaps(second) {
        let shared = PortRange(max(range.lowerBound, second.lowerBound)...min(range.upperBound, second.upperBound))
        return "\(address)" + (shared == .all ? "" : " port \(shared)")
      }
    }
    return nil
  }
}
