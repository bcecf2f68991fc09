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
    static let dscp = Fields(rawValue: 1 << 10)
    static let icmpType = Fields(rawValue: 1 << 11)
    static let icmpCode = Fields(rawValue: 1 << 12)
    static let length = Fields(rawValue: 1 << 13)
    static let mark = Fields(rawValue: 1 << 14)

    /// Fields that only IP packets have.
    static let ofIP: Fields = [
      .transport, .source, .destination, .sourcePort, .destinationPort, .flags, .fragment, .dscp, .icmpType, .icmpCode,
    ]
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
  var fragment = FragmentKind.any
  var dscp: UInt8 = 0
  var icmpType: UInt8 = 0, icmpCode: UInt8 = 0
  var leastLength: UInt32 = 0, mostLength: UInt32 = 0
  var mark: UInt32 = 0, markMask: UInt32 = 0
  var source = Prefix(), destination = Prefix()
  var sourceLow: UInt16 = 0, sourceHigh: UInt16 = 0
  var destinationLow: UInt16 = 0, destinationHigh: UInt16 = 0
  var output: UInt16 = 0

  /// What is known of packets that match.
  var delivers: HeaderState? {
    if fields.contains(.version) { return version == 4 ? .ipv4 : .ipv6 }
    return fields.isDisjoint(with: .ofIP) ? nil : .ip
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
    if let wanted: FragmentKind = try settings.takeIfPresent(
      "fragment", "whether it is one fragment of several, and which")
    {
      fields.insert(.fragment)
      fragment = wanted
    }
    if let point: DSCP = try settings.takeIfPresent("dscp", "differentiated services code point") {
      fields.insert(.dscp)
      dscp = point.rawValue
    }
    if let type: UInt8 = try settings.takeIfPresent("icmp_type", "type of an ICMP or ICMPv6 message") {
      fields.insert(.icmpType)
      icmpType = type
    }
    if let code: UInt8 = try settings.takeIfPresent("icmp_code", "code of an ICMP or ICMPv6 message") {
      fields.insert(.icmpCode)
      icmpCode = code
    }
    if let range: LengthRange = try settings.takeIfPresent("length", "length of the frame in bytes") {
      fields.insert(.length)
      (leastLength, mostLength) = (range.least, range.most)
    }
    if let wanted: UInt32 = try settings.takeIfPresent("mark", "the packet's mark") {
      fields.insert(.mark)
      mark = wanted
    }
    markMask = try settings.take("mark_mask", default: UInt32.max, "bits of the mark that are looked at")
    if mark & ~markMask != 0 {
      settings.reject(
        settings.range(of: "mark"), "bits that 'mark_mask' leaves out can never match", remedy: "add them to it")
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
    guard fields.isSubset(of: other.fields) else { return false }
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
      && same(.flags, \.flagsMask) && same(.dscp, \.dscp) && same(.icmpType, \.icmpType)
      && same(.icmpCode, \.icmpCode) && same(.mark, \.mark) && same(.mark, \.markMask)
      && (!fields.contains(.length)
        || other.fields.contains(.length) && leastLength <= other.leastLength && mostLength >= other.mostLength)
      && within(.source, \.source) && within(.destination, \.destination)
      && within(.sourcePort, \.sourceLow, \.sourceHigh)
      && within(.destinationPort, \.destinationLow, \.destinationHigh)
  }
}
