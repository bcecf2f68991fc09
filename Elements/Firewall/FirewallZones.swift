import Configuration
import Dataplane
import Tables
import Wire

/// A zone's name where a rule says it, to be checked once all zones are known.
struct ZoneName: SettingValue {
  let name: String
  let range: SourceRange?

  static var schema: ValueSchema { ValueSchema("zone", example: "lan") }
  static var placeholder: ZoneName { ZoneName(name: "lan", range: nil) }

  private init(name: String, range: SourceRange?) {
    self.name = name
    self.range = range
  }

  init(setting node: YAMLNode, context: SettingContext) throws(ConfigurationError) {
    guard let text = node.scalar, !text.isEmpty else {
      throw node.error("\(node.typeName) is not a zone", "write its name")
    }
    self.init(name: text, range: node.range)
  }
}

/// Zones as the settings give them.
struct ZoneSettings {
  struct Zone {
    var name: String
    var ports: [PortReference]
    var networks: [IPPrefix]
    var range: SourceRange?
    /// Whether neither was given.
    var isBare: Bool
  }

  private(set) var zones: [Zone] = []

  /// More zones than anybody names; numbers fit eight bits.
  private static let limit = 64

  init(_ settings: inout Settings) throws(ConfigurationError) {
    zones = try settings.takeNamed("zones", "a zone's name: its ports and networks", required: false) {
      (name: String, settings: inout Settings) throws(ConfigurationError) in
      let ports: [PortReference] =
        try settings.takeIfPresent("ports", "ports that packets from the zone come in by") ?? []
      let networks: [IPPrefix] =
        try settings.takeIfPresent("networks", "where the zone's addresses are; everywhere else when left out") ?? []
      return Zone(
        name: name, ports: ports, networks: networks, range: settings.range,
        isBare: !settings.has("ports") && !settings.has("networks"))
    }
    check(&settings)
  }

  private func check(_ settings: inout Settings) {
    if zones.count > Self.limit {
      settings.reject(settings.range(of: "zones"), "more than \(Self.limit) zones", remedy: "join some")
    }
    if settings.entryCount(of: "zones") == 1 {
      settings.reject(
        settings.range(of: "zones"), "one zone has nobody to be protected from",
        remedy: "add the zone on the other side")
    }
    var owners: [String: String] = [:]
    var places: [IPPrefix: String] = [:]
    for zone in zones {
      for port in zone.ports {
        if let other = owners[port.name], other != zone.name {
          settings.reject(
            zone.range, "port '\(port.name)' is in zones '\(other)' and '\(zone.name)'",
            remedy: "leave it in one of them")
        }
        owners[port.name] = zone.name
      }
      for network in zone.networks {
        if let other = places[network], other != zone.name {
          settings.reject(
            zone.range, "\(network) is in zones '\(other)' and '\(zone.name)'", remedy: "leave it in one of them")
        }
        places[network] = zone.name
      }
    }
    let open = zones.filter(\.networks.isEmpty)
    if open.count > 1, zones.count > 2 {
      settings.reject(
        open[1].range,
        "zones '\(open[0].name)' and '\(open[1].name)' both lack 'networks': where a packet goes cannot be told",
        remedy: "give networks to all zones but one")
    }
    for zone in zones where zone.isBare && open.count > 1 {
      settings.reject(zone.range, "zone '\(zone.name)' is nowhere", remedy: "give its 'ports' or its 'networks'")
    }
  }

  /// The numbers of zones that a rule means; nil when it does not say.
  func numbers(_ wanted: OneOf<ZoneName>?, _ settings: inout Settings) -> Set<Int>? {
    guard let wanted else { return nil }
    func number(_ zone: ZoneName) -> Int? {
      if let number = zones.firstIndex(where: { $0.name == zone.name }) { return number }
      let names = zones.map(\.name)
      settings.reject(
        zone.range, "there is no zone '\(zone.name)'",
        remedy: names.isEmpty
          ? "add it to 'zones'"
          : didYouMean(zone.name, among: names).map { "did you mean '\($0)'?" }
            ?? "zones are \(names.joined(separator: ", "))")
      return nil
    }
    let included = wanted.wanted.compactMap(number)
    let excluded = wanted.excluded.compactMap(number)
    // What was just refused says more than that nothing is left.
    if included.count < wanted.wanted.count || excluded.count < wanted.excluded.count { return nil }
    let start = wanted.wanted.isEmpty ? Set(zones.indices) : Set(included)
    return start.subtracting(excluded)
  }
}

/// Tells from and to which zone a packet goes.
///
/// It comes from the zone of its ingress port, or, with ports that are in no zone, from the one whose networks hold its
/// source. It goes to the zone whose networks hold its destination, or to the one that has none. Two zones without
/// networks are the two sides of a wire.
struct FirewallZones: Sendable {
  /// No zone.
  static var none: UInt8 { 0xFF }

  private struct Network4: BitwiseCopyable, Sendable {
    var address: UInt32
    var mask: UInt32
    var zone: UInt8
  }

  private struct Network6: BitwiseCopyable, Sendable {
    var high: UInt64
    var low: UInt64
    var highMask: UInt64
    var lowMask: UInt64
    var zone: UInt8
  }

  let count: Int
  let names: [String]
  /// By number of the port.
  private let ports: FlatArray<UInt8>
  /// A bit for each zone that has ports.
  private let bound: UInt64
  /// Longest first.
  private let networks4: FlatArray<Network4>
  private let networks6: FlatArray<Network6>
  /// The zone of addresses that are in no network; `none` when every zone has networks.
  private let rest: UInt8
  /// Whether addresses do not matter: neither zone has networks.
  private let isWire: Bool

  init(_ settings: ZoneSettings) {
    let zones = settings.zones
    count = zones.count
    names = zones.map(\.name)
    var byPort = [UInt8](
      repeating: Self.none, count: (zones.flatMap(\.ports).map(\.number).max() ?? -1) + 1)
    var four: [(length: Int, Network4)] = []
    var six: [(length: Int, Network6)] = []
    for (number, zone) in zones.enumerated() {
      for port in zone.ports { byPort[port.number] = UInt8(number) }
      for network in zone.networks {
        switch network {
        case .v4(let prefix):
          four.append(
            (
              Int(prefix.length),
              Network4(address: prefix.address.rawValue, mask: prefix.mask.rawValue, zone: UInt8(number))
            ))
        case .v6(let prefix):
          six.append(
            (
              Int(prefix.length),
              Network6(
                high: prefix.address.high, low: prefix.address.low, highMask: prefix.mask.high,
                lowMask: prefix.mask.low, zone: UInt8(number))
            ))
        }
      }
    }
    ports = FlatArray(byPort)
    bound = zones.indices.reduce(0) { zones[$1].ports.isEmpty ? $0 : $0 | 1 << UInt64($1 & 63) }
    networks4 = FlatArray(four.sorted { $0.length > $1.length }.map(\.1))
    networks6 = FlatArray(six.sorted { $0.length > $1.length }.map(\.1))
    let open = zones.indices.filter { zones[$0].networks.isEmpty }
    isWire = zones.count == 2 && open.count == 2
    rest = open.count == 1 ? UInt8(open[0]) : Self.none
  }

  /// The zone of a port; `none` for a port that is in none.
  @inline(__always)
  func zone(ofPort port: Int) -> UInt8 { port < ports.count ? ports[port] : Self.none }

  /// The zone that an address is in by its network.
  func zone(of address: IPv4Address) -> UInt8 {
    for index in 0..<networks4.count {
      let network = networks4[index]
      if (address.rawValue ^ network.address) & network.mask == 0 { return network.zone }
    }
    return rest
  }

  /// The zone that an address is in by its network.
  func zone(of address: IPv6Address) -> UInt8 {
    for index in 0..<networks6.count {
      let network = networks6[index]
      if (address.high ^ network.high) & network.highMask | (address.low ^ network.low) & network.lowMask == 0 {
        return network.zone
      }
    }
    return rest
  }

  /// From where and to where a packet goes; nil when that cannot be told, or its source is not where it comes from.
  /// - Parameters:
  ///   - ofSource: The zone of the source's network.
  ///   - ofDestination: The zone of the destination's network.
  ///   - isLocal: Whether the destination is for the link alone: with two zones, the other's.
  func direction(
    port: Int, ofSource: UInt8, ofDestination: UInt8, isLocal: Bool, _ antiSpoofing: Bool, isUnbound: Bool
  ) -> Direction {
    guard count > 0 else { return .between(Self.none, Self.none) }
    var from = zone(ofPort: port)
    if from == Self.none {
      guard !isWire else { return .unknown }
      from = ofSource
      guard from != Self.none, bound >> UInt64(from) & 1 == 0 else { return .unknown }
    } else if antiSpoofing, !isWire, !isUnbound, ofSource != from {
      return .spoofed
    }
    if isWire || isLocal && count == 2 { return .between(from, 1 &- from) }
    return ofDestination == Self.none ? .unknown : .between(from, ofDestination)
  }

  enum Direction: Equatable {
    case between(UInt8, UInt8)
    case spoofed
    case unknown
  }
}
