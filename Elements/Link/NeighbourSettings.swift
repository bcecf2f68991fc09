import Configuration
import Dataplane
import Tables
import Wire

/// How many neighbours are remembered, and for how long.
struct NeighbourLimits {
  /// Datagrams that wait for one neighbour.
  let pending: Int
  /// Packets that wait in all.
  let held: Int
  let capacity: Int
  let unresolved: Int
  private(set) var timers = NeighbourTimers()

  init(_ settings: inout Settings) throws(ConfigurationError) {
    capacity = try settings.take("neighbours", default: 4096, in: 1...1_000_000, "neighbours that are remembered")
    unresolved = try settings.take(
      "unresolved", default: 256, in: 1...65_536, "neighbours among them that have not answered (RFC 6583)")
    pending = try settings.take(
      "pending", default: 3, in: 1...64,
      "datagrams, whole or in fragments, that wait for one neighbour; the oldest goes when there are more")
    held = try settings.take("held", default: 768, in: 1...65_536, "packets that wait in all, for each worker")
    try Self.take(&timers, &settings)
  }

  private static func take(_ timers: inout NeighbourTimers, _ settings: inout Settings) throws(ConfigurationError) {
    func take(
      _ key: String, _ nanoseconds: inout UInt64, _ help: String, _ settings: inout Settings
    ) throws(ConfigurationError) {
      let duration = try settings.take(
        key, default: Duration.nanoseconds(Int64(nanoseconds)), in: .milliseconds(10)...(.seconds(1_000_000)), help)
      let (seconds, attoseconds) = duration.components
      nanoseconds = UInt64(seconds) * 1_000_000_000 + UInt64(attoseconds) / 1_000_000_000
    }
    try take("reachable", &timers.reachable, "how long a confirmation holds, on average", &settings)
    try take("retransmit", &timers.retransmit, "time between two requests", &settings)
    timers.backOff = try settings.take(
      "back_off", default: 1, in: 1...10, "how many times longer it is from request to request (RFC 7048)")
    try take("delay", &timers.delay, "time from the first use of a stale neighbour to the first probe", &settings)
    try take("stale", &timers.stale, "how long a stale neighbour that is not used is remembered", &settings)
    try take("hold_down", &timers.holdDown, "how long one that did not answer is not asked again", &settings)
    timers.multicastRequests = try settings.take(
      "multicast_requests", default: 3, in: 1...100, "requests to all before a neighbour is unreachable")
    timers.unicastRequests = try settings.take(
      "unicast_requests", default: 3, in: 1...100, "probes before a neighbour is looked for anew")
  }
}

/// One interface's addresses, and what is known of its link beforehand.
struct LinkSettings {
  let mac: MACAddress
  private(set) var addresses: [InterfaceAddress]
  let gateway4: IPv4Address?
  let gateway6: IPv6Address?
  let isRouter: Bool
  let isPromiscuous: Bool
  private(set) var permanent: [(address: IPAddress, mac: MACAddress)] = []
  private let probes: Int
  private let probes4: Int

  /// - Parameter gateways: Whether the interface has next hops of its own for destinations off the link.
  init(_ settings: inout Settings, gateways: Bool) throws(ConfigurationError) {
    mac = try settings.take("mac", "the interface's hardware address")
    let given: [InterfaceAddressSetting] = try settings.take(
      "addresses", "the interface's addresses with their prefix lengths")
    gateway4 =
      gateways
      ? try settings.takeIfPresent("gateway4", "next hop of IPv4 packets to destinations off the link") : nil
    gateway6 =
      gateways
      ? try settings.takeIfPresent("gateway6", "next hop of IPv6 packets to destinations off the link") : nil
    let stations = try settings.takeMap(
      "static", of: MACAddress.self, "address: hardware address, of neighbours that are not asked for")
    isRouter = try settings.take("router", default: true, "whether to say so in advertisements")
    isPromiscuous = try settings.take("promiscuous", default: false, "whether to pass on frames to other stations")
    probes = try settings.take(
      "dad", default: 1, in: 0...10, "how often to probe each IPv6 address before using it (RFC 4862)")
    probes4 = try settings.take(
      "acd", default: 0, in: 0...10, "how often to probe each IPv4 address before using it (RFC 5227 says 3)")

    addresses = given.map(\.value)
    if !given.isEmpty {
      let local = InterfaceAddress(.v6(IPv6Address(linkLocal: mac)), prefixLength: 64)
      if !addresses.contains(where: { $0.address == local.address }) { addresses.append(local) }
    }
    check(&settings)
    for entry in stations { add(entry, &settings) }
  }

  private func check(_ settings: inout Settings) {
    if mac.isMulticast || mac.isZero {
      settings.reject(
        settings.range(of: "mac"), "\(mac) is not the address of one station", remedy: "give a unicast address")
    }
    if addresses.isEmpty {
      settings.reject(
        settings.range(of: "addresses"), "there are no addresses", remedy: "give one, such as 192.0.2.1/24")
    }
    for address in addresses {
      if let flaw = address.flaw {
        settings.reject(settings.range(of: "addresses"), flaw, remedy: "give the interface's own address")
      }
    }
    let own = addresses.map(\.address)
    if Set(own).count < own.count {
      settings.reject(settings.range(of: "addresses"), "an address is given twice", remedy: "keep one of them")
    }
    if let gateway4 { check(.v4(gateway4), "gateway4", settings.range(of: "gateway4"), &settings) }
    if let gateway6 { check(.v6(gateway6), "gateway6", settings.range(of: "gateway6"), &settings) }
  }

  /// Whether an address can be a neighbour's; if not, says so.
  @discardableResult
  private func check(
    _ address: IPAddress, _ what: String, _ range: SourceRange?, _ settings: inout Settings
  ) -> Bool {
    if addresses.contains(where: { $0.address == address }) {
      settings.reject(range, "\(what) is the interface's own address \(address)", remedy: "give a neighbour's address")
      return false
    }
    let isLocal = if case .v6(let address) = address { address.isLinkLocal } else { false }
    guard isLocal || addresses.contains(where: { $0.prefix.contains(address) }) else {
      settings.reject(
        range, "\(what) \(address) is on no connected network",
        remedy: "give an address in \(addresses.map { $0.prefix.description }.joined(separator: ", "))")
      return false
    }
    return true
  }

  private mutating func add(_ entry: Settings.MapEntry<MACAddress>, _ settings: inout Settings) {
    do throws(ConfigurationError) {
      let address = try entry.nameValue(as: IPAddress.self, context: settings.context)
      guard check(address, "the neighbour", entry.nameNode.range, &settings) else { return }
      if entry.value.isMulticast || entry.value.isZero {
        settings.reject(
          entry.valueNode.range, "\(entry.value) is not the address of one station", remedy: "give a unicast address")
      }
      permanent.append((address, entry.value))
    } catch {
      settings.reject(error)
    }
  }

  /// - Parameter retransmit: Time between probes in nanoseconds.
  func makeAddresses(retransmit: UInt64) -> InterfaceAddresses {
    InterfaceAddresses(addresses, probes: probes, probes4: probes4, probeInterval: retransmit)
  }
}

extension NeighbourLink where Choice: ~Copyable {
  /// What this worker counted, and, on one of them, what all share.
  var counters: [ElementCounter] {
    let own = Count.allCases.map { ElementCounter("\($0)", counts[$0.rawValue]) }
    guard reportsShared else { return own }
    let known = table.statistics
    return own + [
      ElementCounter("neighbours", UInt64(known.count)), ElementCounter("unresolved", UInt64(known.unresolved)),
      ElementCounter("failures", known.failures), ElementCounter("losses", known.losses),
      ElementCounter("moves", known.moves), ElementCounter("refusals", known.refusals),
      ElementCounter("duplicateAddresses", UInt64(addresses.duplicates)),
      ElementCounter("conflicts", addresses.conflicts),
    ]
  }
}

extension NeighbourLimits {
  /// A table for interfaces with these links, numbered in order.
  func makeTable(for links: [LinkSettings]) -> NeighbourTable {
    let table = NeighbourTable(
      interfaces: max(links.count, 1), capacity: capacity, unresolved: unresolved, timers: timers,
      seed: links.first?.mac.rawValue ?? 0)
    for (number, link) in links.enumerated() {
      for entry in link.permanent {
        table.setPermanent(NeighbourKey(interface: UInt32(number), entry.address), mac: entry.mac)
      }
    }
    return table
  }
}
