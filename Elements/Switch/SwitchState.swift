import Configuration
import Dataplane
import Tables
import Wire

/// What happens to frames of a source that is not learned because its port has enough.
enum LimitAction: String, CaseIterable, SettingChoice, Sendable {
  case forward, drop
}

/// A switch's port, as its settings describe it.
struct SwitchPortSettings: Sendable {
  let name: String
  let vlans: PortVLANs
  let learns: Bool
  /// Whether frames to stations that are not known leave here.
  let takesUnknown: Bool
  /// How many stations are learned.
  let limit: Int
  let limitAction: LimitAction
  /// Ports of the same group do not send to each other.
  let splitHorizon: String?
  /// The kernel's interface whose link the port follows.
  let link: String?
  let storm: StormLimits

  init(_ name: String, _ settings: inout Settings, tag: SwitchTag) throws(ConfigurationError) {
    self.name = name
    vlans = try PortVLANs(&settings, tag: tag)
    learns = try settings.take("learning", default: true, "remember who sends from here")
    takesUnknown = try settings.take("unknown_unicast", default: true, "send frames to stations that are not known")
    let limit = try settings.takeIfPresent(
      "limit", in: 0...1_000_000, "stations learned here at most; any number when left out")
    self.limit = limit ?? .max
    limitAction = try settings.take(
      "at_limit", default: .forward, "what becomes of frames from stations beyond the limit")
    splitHorizon = try settings.takeIfPresent(
      "split_horizon", "a group's name; its ports do not send to each other")
    link = try settings.takeIfPresent(
      "link", "a kernel interface: when its link goes down, the stations behind the port are forgotten")
    if let link, link.isEmpty || link.contains("/") || link.utf8.count > 15 || link == "." || link == ".." {
      settings.reject(
        settings.range(of: "link"), "'\(link)' is no interface's name", remedy: "write one that 'ip link' shows")
    }
    storm =
      try settings.takeNested("storm", "how much is flooded, on each worker") {
        (nested: inout Settings) throws(ConfigurationError) in try StormLimits(&nested)
      } ?? StormLimits()
  }
}

/// Rates above which frames that go to many are dropped as they come in.
struct StormLimits: Sendable {
  private(set) var broadcast: LimitRate?
  private(set) var multicast: LimitRate?
  private(set) var unknown: LimitRate?

  init() {}

  init(_ settings: inout Settings) throws(ConfigurationError) {
    broadcast = try settings.takeIfPresent("broadcast", "broadcasts a second, in packets or bits")
    multicast = try settings.takeIfPresent("multicast", "frames to groups a second, broadcasts not counted")
    unknown = try settings.takeIfPresent("unknown", "frames a second to stations that are not known")
    broadcast?.check(&settings, key: "broadcast")
    multicast?.check(&settings, key: "multicast")
    unknown?.check(&settings, key: "unknown")
  }
}

/// What a switch's ports share, on all workers.
final class SwitchState: Sendable {
  let ports: [SwitchPortSettings]
  let tag: SwitchTag
  let table: MACTable
  /// By number; of a switch without VLANs number 0 has all ports.
  let vlans: FlatArray<SwitchVLAN>
  let blocksFlapping: Bool

  init(ports: [SwitchPortSettings], tag: SwitchTag, table: MACTable, blocksFlapping: Bool) {
    self.ports = ports
    self.tag = tag
    self.table = table
    self.blocksFlapping = blocksFlapping
    var vlans = [SwitchVLAN](repeating: SwitchVLAN(), count: tag == .off ? 1 : 4096)
    if tag == .off {
      vlans[0].members = ports.count == 64 ? .max : 1 << UInt64(ports.count) - 1
    } else {
      for (number, port) in ports.enumerated() { port.vlans.enter(&vlans, port: number) }
    }
    self.vlans = FlatArray(vlans)
  }

  /// The ports that frames from a port may leave by, whatever their VLAN.
  func reach(from port: Int) -> UInt64 {
    var reach: UInt64 = 0
    for (number, other) in ports.enumerated() where number != port {
      if let group = ports[port].splitHorizon, group == other.splitHorizon { continue }
      reach |= 1 << UInt64(number)
    }
    return reach
  }

  /// The ports that take frames to stations that are not known.
  var unknownReach: UInt64 {
    ports.enumerated().reduce(0) { $1.element.takesUnknown ? $0 | 1 << UInt64($1.offset) : $0 }
  }
}
