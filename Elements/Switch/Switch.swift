public import Configuration
public import Dataplane
import Tables
import Wire

/// A learning bridge (IEEE 802.1D and 802.1Q) with an input and an output for each of its ports.
///
///     sw: { Switch: { vlans: 802.1Q, ports: { p1: { pvid: 10 }, p2: { tagged: [10, 20-29] } } } }
///     - eth1 -> sw.p1
///     - sw.p1 -> eth1
///
/// It learns where stations are from the frames that they send, sends what is for a known station by its port alone, and
/// floods the rest. It is made of a `SwitchPort` for each port, which judges frames that come in by it, and tags them as the
/// port that they leave by asks. All workers share what was learned.
public struct Switch: CompositeElement {
  public static let about = ElementDescription(
    "Forwards Ethernet frames between ports: learning, VLANs, QinQ, storm control, split horizon.",
    example: """
      elements:
        sw:
          Switch:
            vlans: 802.1Q
            ports:
              lan: { pvid: 10, limit: 5, storm: { broadcast: 100pps } }
              wan: { pvid: 20 }
              trunk: { tagged: [10, 20-29], accept: tagged }
      graph:
        - lan -> sw.lan
        - wan -> sw.wan
        - trunk -> sw.trunk
        - sw.lan -> lan
        - sw.wan -> wan
        - sw.trunk -> trunk
      """)

  private let state: SwitchState

  /// A set of ports is 64 bits.
  private static let portLimit = 64

  public init(_ settings: inout Settings) throws(ConfigurationError) {
    let tag: SwitchTag = try settings.take(
      "vlans", default: .off, "which tags name VLANs; off: frames pass whatever their tags")
    var ports: [SwitchPortSettings] = []
    _ = try settings.takeNamed("ports", "a port's name: its settings") {
      (name: String, nested: inout Settings) throws(ConfigurationError) in
      let port = try SwitchPortSettings(name, &nested, tag: tag)
      guard ports.count < Self.portLimit else {
        nested.reject(nil, "more than \(Self.portLimit) ports", remedy: "use a second switch")
        return
      }
      ports.append(port)
    }
    let capacity = try settings.take(
      "addresses", default: 16_384, in: 1...4_000_000, "stations that are remembered at most")
    let ageing: Duration = try settings.take(
      "ageing", default: .seconds(300), in: .seconds(10)...(.seconds(1_000_000)),
      "when stations that are not heard of are forgotten")
    let moves = try settings.takeNested("moves", "when a station that changes its port to and fro is told of") {
      (nested: inout Settings) throws(ConfigurationError) in try StationMoveSettings(&nested)
    }
    var none = Settings(nil, range: nil)
    let moveSettings = if let moves { moves } else { try StationMoveSettings(&none) }
    let stations = try Self.readStations(&settings, ports, tag)
    if ports.isEmpty {
      settings.reject(settings.range(of: "ports"), "there are no ports", remedy: "write under it 'name: { ... }'")
    } else if ports.count == 1 {
      settings.warn(
        settings.range(of: "ports"), "a switch with one port sends nothing", remedy: "add another under 'ports'")
    }
    guard
      let table = MACTable(
        capacity: capacity, limits: ports.map(\.limit), ageing: ageing.wholeNanoseconds, moves: moveSettings.limit,
        seed: settings.context.secret)
    else {
      throw settings.fail("addresses", "there is no memory for \(capacity) addresses", remedy: "give fewer")
    }
    for (station, port) in stations where !table.setStatic(station, port: port) {
      settings.reject(
        settings.range(of: "static"), "there is no room for \(stations.count) static addresses",
        remedy: "raise 'addresses'")
      break
    }
    state = SwitchState(ports: ports, tag: tag, table: table, blocksFlapping: moveSettings.blocks)
  }

  private static func readStations(
    _ settings: inout Settings, _ ports: [SwitchPortSettings], _ tag: SwitchTag
  ) throws(ConfigurationError) -> [(StationKey, Int)] {
    var stations: [(key: StationKey, port: Int)] = []
    _ = try settings.takeEach("static", "stations that are where they are") {
      (nested: inout Settings) throws(ConfigurationError) in
      let mac: MACAddress = try nested.take("mac", "the station's address")
      let name: String = try nested.take("port", "the port that it is behind")
      let vlan: VLANIdentifier? = try nested.takeIfPresent(
        "vlan", "the VLAN that it is in; the port's PVID when left out")
      if mac.isMulticast || mac.isZero {
        nested.reject(
          nested.range(of: "mac"), "\(mac) is no station's address", remedy: "give one with an even first byte, not 0")
      }
      guard let port = ports.firstIndex(where: { $0.name == name }) else {
        nested.reject(
          nested.range(of: "port"), "there is no port '\(name)'",
          remedy: "name one of \(ports.map(\.name).joined(separator: ", "))")
        return
      }
      var number: UInt16 = 0
      if tag == .off {
        if vlan != nil {
          nested.reject(
            nested.range(of: "vlan"), "the switch has no VLANs", remedy: "remove it, or write 'vlans: 802.1Q'")
        }
      } else if let chosen = vlan?.rawValue ?? ports[port].vlans.pvid {
        number = chosen
        if !ports[port].vlans.has(chosen) {
          nested.reject(
            nested.range(of: vlan == nil ? "port" : "vlan"), "port '\(name)' is no member of VLAN \(chosen)",
            remedy: "name it under the port's 'tagged' or 'untagged'")
        }
      } else {
        nested.reject(nested.range(of: "port"), "port '\(name)' has no PVID", remedy: "give the station's 'vlan'")
      }
      let key = StationKey(mac, vlan: number)
      if stations.contains(where: { $0.key == key }) {
        nested.reject(nested.range(of: "mac"), "\(mac) is given twice", remedy: "a station is behind one port only")
      }
      stations.append((key, port))
    }
    return stations
  }

  public var composition: Composition {
    var whole = Composition()
    let state = state
    whole.tasks = [SwitchControl(state)]
    let outputs = state.ports.map { whole.output($0.name) }
    for (number, port) in state.ports.enumerated() {
      let input = whole.input(port.name)
      let part = whole.add("port-\(port.name)", SwitchPort.self) { SwitchPort(state, number: number) }
      whole.connect("\(input) -> \(part)")
      for (other, output) in outputs.enumerated() { whole.connect("\(part).\(state.ports[other].name) -> \(output)") }
    }
    return whole
  }
}

/// When a station that changes its port is thought to be on a loop.
private struct StationMoveSettings {
  enum Action: String, SettingChoice {
    /// It is counted as flapping.
    case count
    /// It is held where it is, and its frames from elsewhere are dropped.
    case drop
  }

  let limit: StationMoveLimit
  let blocks: Bool

  init(_ settings: inout Settings) throws(ConfigurationError) {
    let moves = try settings.take("limit", default: 5, in: 1...1_000_000, "changes that are nothing special")
    let within: Duration = try settings.take(
      "within", default: .seconds(10), in: .seconds(1)...(.seconds(86_400)), "the time in which they are counted")
    blocks =
      try settings.take(
        "action", default: Action.count,
        "what happens beyond: it is counted as flapping, or its frames from elsewhere are dropped as well") == .drop
    limit = StationMoveLimit(moves: moves, within: within.wholeNanoseconds, holds: blocks)
  }
}
