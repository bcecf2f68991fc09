import Configuration
import Dataplane
import Wire

/// One rule of `Classify`: what a packet must be like. Plain bits, so that rules lie side by side in memory.
struct ClassifyRule: BitwiseCopyable, Sendable {
  /// Which of the fields below must match.
  struct Fields: OptionSet, BitwiseCopyable, Sendable {
    let rawValue: UInt16

    static let etherType = Fields(rawValue: 1 << 0)
    static let vlan = Fields(rawValue: 1 << 1)
    static let version = Fields(rawValue: 1 << 2)
    static let transport = Fields(rawValue: 1 << 3)
    static let source = Fields(rawValue: 1 << 4)
    static let destination = Fields(rawValue: 1 << 5)
    static let sourcePort = Fields(rawValue: 1 << 6)
    static let destinationPort = Fields(rawValue: 1 << 7)
    static let flags = Fields(rawValue: 1 << 8)
    static let fragment = Fields(rawValue: 1 << 9)
  }

  /// An address and its mask; IPv4 stands in the highest 32 bits.
  struct Prefix: BitwiseCopyable, Sendable, Equatable {
    var high: UInt64 = 0, low: UInt64 = 0
    var highMask: UInt64 = 0, lowMask: UInt64 = 0

    init() {}

    init(_ prefix: IPPrefix) {
      switch prefix {
      case .v4(let prefix):
        high = UInt64(prefix.address.rawValue) << 32
        highMask = UInt64(prefix.mask.rawValue) << 32
      case .v6(let prefix):
        (high, low) = (prefix.address.high, prefix.address.low)
        (highMask, lowMask) = (prefix.mask.high, prefix.mask.low)
      }
    }

    func contains(_ high: UInt64, _ low: UInt64) -> Bool { high & highMask == self.high && low & lowMask == self.low }
  }

  var fields: Fields = []
  var etherType: UInt16 = 0
  var vlan: UInt16 = 0
  var version: UInt8 = 0
  var transport: UInt8 = 0
  var flags: UInt8 = 0, flagsMask: UInt8 = 0
  var fragment = false
  var source = Prefix(), destination = Prefix()
  var sourceLow: UInt16 = 0, sourceHigh: UInt16 = 0
  var destinationLow: UInt16 = 0, destinationHigh: UInt16 = 0
  var output: UInt16 = 0

  /// What is known of packets that match.
  var delivers: HeaderState? {
    if fields.contains(.version) { return version == 4 ? .ipv4 : .ipv6 }
    if !fields.isDisjoint(with: [.transport, .source, .destination, .sourcePort, .destinationPort, .flags, .fragment]) {
      return .ip
    }
    return nil
  }

  /// Reads a rule; its output is filled in by the caller.
  init(_ settings: inout Settings) throws(ConfigurationError) {
    if let type: EtherType = try settings.takeIfPresent("ethertype", "EtherType behind any VLAN tags") {
      fields.insert(.etherType)
      etherType = type.rawValue
    }
    if let tag: VLANIdentifier = try settings.takeIfPresent("vlan", "identifier of the outermost VLAN tag") {
      fields.insert(.vlan)
      vlan = tag.rawValue
    }
    if let number: Int = try settings.takeIfPresent("version", "IP version, 4 or 6") {
      requireVersion(number, &settings)
    }
    if let number: IPProtocol = try settings.takeIfPresent("protocol", "IP protocol, behind extension headers") {
      fields.insert(.transport)
      transport = number.rawValue
    }
    if let prefix: IPPrefix = try settings.takeIfPresent("source", "source prefix") {
      fields.insert(.source)
      source = Prefix(prefix)
      requireVersion(of: prefix, &settings, "source")
    }
    if let prefix: IPPrefix = try settings.takeIfPresent("destination", "destination prefix") {
      fields.insert(.destination)
      destination = Prefix(prefix)
      requireVersion(of: prefix, &settings, "destination")
    }
    if let ports: PortRange = try settings.takeIfPresent("source_port", "source ports") {
      fields.insert(.sourcePort)
      (sourceLow, sourceHigh) = (ports.lowerBound, ports.upperBound)
    }
    if let ports: PortRange = try settings.takeIfPresent("destination_port", "destination ports") {
      fields.insert(.destinationPort)
      (destinationLow, destinationHigh) = (ports.lowerBound, ports.upperBound)
    }
    let set: TCPFlags? = try settings.takeIfPresent("flags", "TCP flags that are set")
    let mask: TCPFlags? = try settings.takeIfPresent(
      "flags_mask", "TCP flags that are looked at; those of 'flags' alone")
    if let looked = mask ?? set {
      fields.insert(.flags)
      flagsMask = looked.rawValue
      flags = (set ?? []).rawValue
      if flags & ~flagsMask != 0 {
        settings.reject(
          settings.range(of: "flags"), "flags that 'flags_mask' leaves out can never match", remedy: "add them to it")
      }
    }
    if let wanted: Bool = try settings.takeIfPresent("fragment", "whether it is one fragment of several") {
      fields.insert(.fragment)
      fragment = wanted
    }
  }

  private mutating func requireVersion(_ number: Int, _ settings: inout Settings) {
    guard number == 4 || number == 6 else {
      settings.reject(settings.range(of: "version"), "\(number) is no IP version", remedy: "give 4 or 6")
      return
    }
    fields.insert(.version)
    version = UInt8(number)
  }

  private mutating func requireVersion(of prefix: IPPrefix, _ settings: inout Settings, _ key: String) {
    let number: UInt8 = if case .v4 = prefix { 4 } else { 6 }
    if fields.contains(.version), version != number {
      settings.reject(
        settings.range(of: key), "'\(key)' is IPv\(number), the rule is about IPv\(version): it can never match",
        remedy: "use one version in a rule")
      return
    }
    fields.insert(.version)
    version = number
  }

  /// Whether everything that `other` matches is matched by this rule too, as far as plain comparison of fields shows.
  func covers(_ other: ClassifyRule) -> Bool {
    func same<T: Equatable>(_ field: Fields, _ get: (ClassifyRule) -> T) -> Bool {
      !fields.contains(field) || other.fields.contains(field) && get(self) == get(other)
    }
    func within(_ field: Fields, _ get: (ClassifyRule) -> Prefix) -> Bool {
      guard fields.contains(field) else { return true }
      let (wide, narrow) = (get(self), get(other))
      return other.fields.contains(field) && wide.highMask & narrow.highMask == wide.highMask
        && wide.lowMask & narrow.lowMask == wide.lowMask && wide.contains(narrow.high, narrow.low)
    }
    func within(_ field: Fields, _ low: (ClassifyRule) -> UInt16, _ high: (ClassifyRule) -> UInt16) -> Bool {
      !fields.contains(field) || other.fields.contains(field) && low(self) <= low(other) && high(self) >= high(other)
    }
    return same(.etherType, \.etherType) && same(.vlan, \.vlan) && same(.version, \.version)
      && same(.transport, \.transport) && same(.fragment, \.fragment) && same(.flags, \.flags)
      && same(.flags, \.flagsMask) && within(.source, \.source) && within(.destination, \.destination)
      && within(.sourcePort, \.sourceLow, \.sourceHigh)
      && within(.destinationPort, \.destinationLow, \.destinationHigh)
  }
}

/// What rules look at, read from a packet once.
struct ClassifyKey {
  var etherType: UInt16 = 0
  var vlan: UInt16?
  var version: UInt8 = 0
  var transport: UInt8 = 0
  var isFragment = false
  var ports: (source: UInt16, destination: UInt16)?
  var flags: UInt8?
  var source: (high: UInt64, low: UInt64) = (0, 0)
  var destination: (high: UInt64, low: UInt64) = (0, 0)

  init(_ packet: borrowing Packet) {
    etherType = packet.etherType?.rawValue ?? 0
    vlan = packet.vlanTag?.identifier
    if let ip = packet.ipv4 {
      version = 4
      source.high = UInt64(ip.source.rawValue) << 32
      destination.high = UInt64(ip.destination.rawValue) << 32
    } else if let ip = packet.ipv6 {
      version = 6
      let (from, to) = (ip.source, ip.destination)
      source = (from.high, from.low)
      destination = (to.high, to.low)
    } else {
      return
    }
    transport = packet.transportProtocol?.rawValue ?? 0
    isFragment = packet.isFragment
    ports = packet.transportPorts
    flags = packet.tcp?.flags.rawValue
  }

  func matches(_ rule: ClassifyRule) -> Bool {
    let fields = rule.fields
    if fields.contains(.etherType), etherType != rule.etherType { return false }
    if fields.contains(.vlan), vlan != rule.vlan { return false }
    // A field of IP is never that of a frame without it.
    if rule.delivers != nil, version == 0 { return false }
    if fields.contains(.version), version != rule.version { return false }
    if fields.contains(.transport), transport != rule.transport { return false }
    if fields.contains(.fragment), isFragment != rule.fragment { return false }
    if fields.contains(.source), !rule.source.contains(source.high, source.low) { return false }
    if fields.contains(.destination), !rule.destination.contains(destination.high, destination.low) { return false }
    if !fields.isDisjoint(with: [.sourcePort, .destinationPort]) {
      guard let ports else { return false }
      if fields.contains(.sourcePort), !(rule.sourceLow...rule.sourceHigh).contains(ports.source) { return false }
      if fields.contains(.destinationPort), !(rule.destinationLow...rule.destinationHigh).contains(ports.destination) {
        return false
      }
    }
    if fields.contains(.flags) {
      guard let flags, flags & rule.flagsMask == rule.flags else { return false }
    }
    return true
  }
}
