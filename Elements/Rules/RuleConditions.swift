import Configuration
import Dataplane
import Wire

/// What one rule asks of packets, read from settings. A field of a header that a packet does not have never matches,
/// excluded values included: `destination_port: not 80` is about packets with ports.
struct RuleConditions {
  /// Boxes that together are all packets that match. Empty when a mistake was found.
  private(set) var terms: [RuleTerm] = [RuleTerm()]
  /// What the user wrote, in the order it was read: a setting's name and the boxes it stands for.
  private var given: [(key: String, alternatives: [RuleTerm])] = []

  /// A rule whose lists and exclusions multiply to more boxes is refused.
  static let termLimit = 16_384

  /// What is known of packets that match.
  var delivers: HeaderState? {
    let kinds = terms.reduce(into: PacketKind()) { $0.formUnion($1.kinds) }
    if kinds.isEmpty { return nil }
    if kinds.isSubset(of: .ipv4) { return .ipv4 }
    if kinds.isSubset(of: .ipv6) { return .ipv6 }
    return kinds.isSubset(of: .ip) ? .ip : nil
  }

  /// Reads the conditions of a rule.
  /// - Parameter filters: Filter expressions of the rule set; new ones are added.
  init(_ settings: inout Settings, filters: inout [String]) throws(ConfigurationError) {
    try readLink(&settings)
    try readNetwork(&settings)
    try readTransport(&settings)
    try readRest(&settings)
    let expressions: [FilterExpression]? = try settings.takeIfPresent(
      "filter", "an expression in tcpdump's language, or several one of which must match")
    if let expressions {
      var alternatives: [RuleTerm] = []
      for expression in expressions {
        guard let index = filters.firstIndex(of: expression.text) ?? Self.add(expression.text, to: &filters) else {
          settings.reject(
            settings.range(of: "filter"), "there are more than \(PacketFilters.limit) different filters",
            remedy: "join some with 'or'")
          break
        }
        alternatives.append(RuleTerm().with(.filters, 1 << UInt64(index), mask: 1 << UInt64(index)))
      }
      add("filter", alternatives, &settings)
    }
  }

  private static func add(_ text: String, to filters: inout [String]) -> Int? {
    guard filters.count < PacketFilters.limit else { return nil }
    filters.append(text)
    return filters.count - 1
  }

  // MARK: Fields

  private mutating func readLink(_ settings: inout Settings) throws(ConfigurationError) {
    let types: OneOf<EtherType>? = try settings.takeIfPresent("ethertype", "EtherType behind any VLAN tags")
    if let types {
      let ranges = Self.numbers(types, in: 0...0xFFFF) { UInt32($0.rawValue)...UInt32($0.rawValue) }
      // IP packets have the EtherType of their version: there is nothing to compare.
      var alternatives = ranges.map { RuleTerm(.other).with(.etherType, $0) }
      if ranges.contains(where: { $0.contains(0x0800) }) { alternatives.append(RuleTerm(.ipv4)) }
      if ranges.contains(where: { $0.contains(0x86DD) }) { alternatives.append(RuleTerm(.ipv6)) }
      add("ethertype", alternatives, &settings)
    }
    let tags: OneOf<VLANMatch>? = try settings.takeIfPresent("vlan", "identifier of the outermost VLAN tag")
    if let tags {
      add("vlan", .vlan, Self.numbers(tags, in: VLANMatch.tagged) { $0.range }, .all, &settings)
    }
  }

  private mutating func readNetwork(_ settings: inout Settings) throws(ConfigurationError) {
    let versions: OneOf<Int>? = try settings.takeIfPresent("version", "IP version, 4 or 6")
    if let versions {
      for number in versions.wanted + versions.excluded where number != 4 && number != 6 {
        settings.reject(settings.range(of: "version"), "\(number) is no IP version", remedy: "give 4 or 6")
      }
      let wanted = versions.wanted.isEmpty ? [4, 6] : versions.wanted
      let kinds = Set(wanted).subtracting(versions.excluded).map { $0 == 4 ? PacketKind.ipv4 : .ipv6 }
      add("version", kinds.map { RuleTerm($0) }, &settings)
    }
    let protocols: OneOf<IPProtocol>? = try settings.takeIfPresent("protocol", "IP protocol, behind extension headers")
    if let protocols {
      let ranges = Self.numbers(protocols, in: 0...255) { UInt32($0.rawValue)...UInt32($0.rawValue) }
      add("protocol", .transport, ranges, .ip, &settings)
    }
    for (key, high, low) in [
      ("source", BitField.sourceHigh, BitField.sourceLow), ("destination", .destinationHigh, .destinationLow),
    ] {
      let prefixes: OneOf<IPPrefix>? = try settings.takeIfPresent(key, "\(key) prefix")
      if let prefixes {
        add(key, AddressBlock.blocks(prefixes).map { $0.term(high, low) }, &settings)
      }
    }
    let points: OneOf<DSCP>? = try settings.takeIfPresent("dscp", "differentiated services code point")
    if let points {
      let ranges = Self.numbers(points, in: 0...63) { UInt32($0.rawValue)...UInt32($0.rawValue) }
      add("dscp", .dscp, ranges, .ip, &settings)
    }
    let congestion: OneOf<ECNMatch>? = try settings.takeIfPresent("ecn", "explicit congestion notification (RFC 3168)")
    if let congestion {
      add("ecn", .ecn, Self.numbers(congestion, in: 0...3) { $0.value...$0.value }, .ip, &settings)
    }
    let fragments: OneOf<FragmentKind>? = try settings.takeIfPresent(
      "fragment", "whether it is one fragment of several, and which")
    if let fragments {
      let wanted =
        fragments.wanted.isEmpty ? [0, 1, 2] : fragments.wanted.reduce(into: Set()) { $0.formUnion($1.states) }
      let states = fragments.excluded.reduce(into: wanted) { $0.subtract($1.states) }
      add("fragment", Self.fragments(states), &settings)
    }
    if let wanted: Bool = try settings.takeIfPresent("options", "whether it has IPv4 options or IPv6 extension headers")
    {
      let bit = UInt64(KeyFacts.options)
      add("options", [RuleTerm(.ip).with(.facts, wanted ? bit : 0, mask: bit)], &settings)
    }
  }

  /// - Parameter states: 0 for whole packets, 1 for first fragments, 2 for later ones.
  private static func fragments(_ states: Set<Int>) -> [RuleTerm] {
    let (fragment, later) = (UInt64(KeyFacts.fragment), UInt64(KeyFacts.laterFragment))
    let term = RuleTerm(.ip)
    if states == [1, 2] { return [term.with(.facts, fragment, mask: fragment)] }
    return states.sorted().map { state in
      switch state {
      case 0: term.with(.facts, 0, mask: fragment)
      case 1: term.with(.facts, fragment, mask: fragment | later)
      default: term.with(.facts, fragment | later, mask: fragment | later)
      }
    }
  }

  private mutating func readTransport(_ settings: inout Settings) throws(ConfigurationError) {
    for (key, field, help) in [
      ("source_port", RangeField.first, "source ports"), ("destination_port", .second, "destination ports"),
    ] {
      let ports: OneOf<PortRange>? = try settings.takeIfPresent(key, help)
      if let ports {
        let ranges = Self.numbers(ports, in: 0...0xFFFF) { UInt32($0.lowerBound)...UInt32($0.upperBound) }
        add(key, field, ranges, .ports, &settings)
      }
    }
    try readFlags(&settings)
    for (key, field, help) in [
      ("icmp_type", RangeField.first, "type of an ICMP or ICMPv6 message"),
      ("icmp_code", .second, "code of an ICMP or ICMPv6 message"),
    ] {
      let numbers: OneOf<NumberRange<ICMPNumber>>? = try settings.takeIfPresent(key, help)
      if let numbers {
        let ranges = Self.numbers(numbers, in: 0...255) { $0.range }
        add(
          key,
          ranges.flatMap { range in
            [
              RuleTerm(.icmpIPv4).with(.transport, 1...1).with(field, range),
              RuleTerm(.icmpIPv6).with(.transport, 58...58).with(field, range),
            ]
          }, &settings)
      }
    }
  }

  private mutating func readFlags(_ settings: inout Settings) throws(ConfigurationError) {
    let flags: OneOf<MaskedFlags>? = try settings.takeIfPresent(
      "flags", "TCP flags that are set; 'none' says that no flag is")
    let mask: TCPFlags? = try settings.takeIfPresent(
      "flags_mask", "TCP flags that are looked at; those of 'flags' alone")
    guard flags != nil || mask != nil else { return }
    func bits(_ one: MaskedFlags) -> RuleTerm.Bits {
      let looked = one.mask ?? mask ?? (one.flags.isEmpty ? TCPFlags(rawValue: 0xFF) : one.flags)
      if !one.flags.isSubset(of: looked) {
        settings.reject(
          settings.range(of: "flags"), "flags that 'flags_mask' leaves out can never match", remedy: "add them to it")
      }
      return RuleTerm.Bits(value: UInt64(one.flags.rawValue & looked.rawValue), mask: UInt64(looked.rawValue))
    }
    let wanted = flags.map { $0.wanted.map(bits) } ?? [.init(value: 0, mask: UInt64(mask?.rawValue ?? 0))]
    let excluded = flags?.excluded.map(bits) ?? []
    add("flags", .flags, wanted, excluded, RuleTerm(.ports).with(.transport, 6...6), &settings)
  }

  private mutating func readRest(_ settings: inout Settings) throws(ConfigurationError) {
    let lengths: OneOf<NumberRange<FrameLength>>? = try settings.takeIfPresent("length", "length of the frame in bytes")
    if let lengths {
      add("length", .length, Self.numbers(lengths, in: 0...UInt32.max) { $0.range }, .all, &settings)
    }
    let ports: OneOf<PortReference>? = try settings.takeIfPresent("ingress", "port that the packet came in by")
    if let ports {
      let ranges = Self.numbers(ports, in: 0...0xFFFF) { UInt32($0.number)...UInt32($0.number) }
      add("ingress", .ingress, ranges, .all, &settings)
    }
    let marks: OneOf<MaskedMark>? = try settings.takeIfPresent("mark", "the packet's mark")
    let mask = try settings.take("mark_mask", default: UInt32.max, "bits of the mark that are looked at")
    guard let marks else { return }
    func bits(_ one: MaskedMark) -> RuleTerm.Bits {
      let looked = one.mask ?? mask
      if one.value & ~looked != 0 {
        settings.reject(
          settings.range(of: "mark"), "bits that 'mark_mask' leaves out can never match", remedy: "add them to it")
      }
      return RuleTerm.Bits(value: UInt64(one.value & looked), mask: UInt64(looked))
    }
    add("mark", .mark, marks.wanted.map(bits), marks.excluded.map(bits), RuleTerm(), &settings)
  }

  // MARK: Sets

  /// The numbers that a list stands for, as ranges that have nothing in common.
  private static func numbers<Value>(
    _ list: OneOf<Value>, in all: ClosedRange<UInt32>, _ range: (Value) -> ClosedRange<UInt32>
  ) -> [ClosedRange<UInt32>] {
    var ranges: [ClosedRange<UInt32>] = []
    let wanted = list.wanted.isEmpty ? [all] : list.wanted.map(range)
    for one in wanted.sorted(by: { $0.lowerBound < $1.lowerBound }) {
      if let last = ranges.last, last.upperBound == .max || one.lowerBound <= last.upperBound + 1 {
        ranges[ranges.count - 1] = last.lowerBound...max(last.upperBound, one.upperBound)
      } else {
        ranges.append(one)
      }
    }
    for hole in list.excluded.map(range) {
      ranges = ranges.flatMap { one -> [ClosedRange<UInt32>] in
        guard one.overlaps(hole) else { return [one] }
        var rest: [ClosedRange<UInt32>] = []
        if one.lowerBound < hole.lowerBound { rest.append(one.lowerBound...hole.lowerBound - 1) }
        if one.upperBound > hole.upperBound { rest.append(hole.upperBound + 1...one.upperBound) }
        return rest
      }
    }
    return ranges
  }

  private mutating func add(
    _ key: String, _ field: RangeField, _ ranges: [ClosedRange<UInt32>], _ kinds: PacketKind,
    _ settings: inout Settings
  ) { add(key, ranges.map { RuleTerm(kinds).with(field, $0) }, &settings) }

  private mutating func add(
    _ key: String, _ field: BitField, _ wanted: [RuleTerm.Bits], _ excluded: [RuleTerm.Bits], _ base: RuleTerm,
    _ settings: inout Settings
  ) {
    var left = wanted.isEmpty ? [base] : wanted.map { base.with(field, $0.value, mask: $0.mask) }
    for hole in excluded {
      left = left.flatMap { $0.subtracting(base.with(field, hole.value, mask: hole.mask)) }
    }
    add(key, left, &settings)
  }

  // MARK: Joining

  /// Narrows the rule by a setting: one of the boxes must hold the packet.
  mutating func add(_ key: String, _ alternatives: [RuleTerm], _ settings: inout Settings) {
    guard !terms.isEmpty else { return }
    let place = settings.range(of: key)
    let possible = alternatives.compactMap(\.possible)
    guard !possible.isEmpty else {
      terms = []
      settings.reject(place, "'\(key)' leaves nothing: the rule can never match", remedy: "widen it or remove the rule")
      return
    }
    guard let product = RuleProduct.of(terms, possible, limit: Self.termLimit) else {
      terms = []
      settings.reject(
        place, "the lists of this rule multiply to more than \(Self.termLimit) combinations",
        remedy: "split the rule, or shorten its lists")
      return
    }
    terms = product.compactMap(\.possible)
    if terms.isEmpty {
      let other = given.first { earlier in
        RuleProduct.of(earlier.alternatives, possible, limit: .max)?.allSatisfy { $0.possible == nil } ?? false
      }
      settings.reject(
        ConfigurationError(
          place,
          "'\(key)' contradicts \(other.map { "'\($0.key)'" } ?? "the rest of the rule"): the rule can never match",
          remedy: "correct one of them or remove the rule",
          notes: other.map { [.init(settings.range(of: $0.key), "'\($0.key)'")] } ?? []))
    }
    given.append((key, possible))
  }
}

extension RuleTerm {
  /// The box without kinds of packets that it can never hold; nil when none is left.
  var possible: RuleTerm? {
    var copy = self
    func has(_ number: UInt32) -> Bool { self[.transport].low <= number && number <= self[.transport].high }
    if ![6, 17, 33, 132, 136].contains(where: has) { copy.kinds.subtract(.ports) }
    if !has(1) { copy.kinds.subtract(.icmpIPv4) }
    if !has(58) { copy.kinds.subtract(.icmpIPv6) }
    let facts = self[.facts]
    if facts.value & UInt64(KeyFacts.laterFragment) != 0 { copy.kinds.formIntersection([.plainIPv4, .plainIPv6]) }
    // A fragment that is not the first is a fragment.
    if facts.value & 2 != 0, facts.mask & 1 != 0, facts.value & 1 == 0 { return nil }
    let longest = self[.length].high
    if longest < 14 { copy.kinds.subtract(.other) }
    if longest < 34 { copy.kinds.subtract(.ipv4) }
    if longest < 54 { copy.kinds.subtract(.ipv6) }
    return copy.kinds.isEmpty ? nil : copy
  }
}

/// A block of addresses, aligned to the highest bit; IPv4 stands in the highest 32.
struct AddressBlock: Equatable {
  var isIPv4: Bool
  var high: UInt64
  var low: UInt64
  var length: Int

  init(_ prefix: IPPrefix) {
    length = prefix.length
    switch prefix {
    case .v4(let prefix): (isIPv4, high, low) = (true, UInt64(prefix.address.rawValue) << 32, 0)
    case .v6(let prefix): (isIPv4, high, low) = (false, prefix.address.high, prefix.address.low)
    }
  }

  private init(isIPv4: Bool) { (self.isIPv4, high, low, length) = (isIPv4, 0, 0, 0) }

  private var highMask: UInt64 { .max << UInt64(max(0, 64 - length)) }
  private var lowMask: UInt64 { .max << UInt64(min(64, 128 - length)) }

  func contains(_ other: AddressBlock) -> Bool {
    isIPv4 == other.isIPv4 && length <= other.length && (high ^ other.high) & highMask == 0
      && (low ^ other.low) & lowMask == 0
  }

  /// What is left without `hole`: a block for each bit that the hole is longer.
  func subtracting(_ hole: AddressBlock) -> [AddressBlock] {
    if hole.contains(self) { return [] }
    guard contains(hole) else { return [self] }
    return (length..<hole.length).map { depth in
      var sibling = hole
      sibling.length = depth + 1
      if depth < 64 {
        sibling.high ^= 1 << UInt64(63 - depth)
      } else {
        sibling.low ^= 1 << UInt64(127 - depth)
      }
      sibling.high &= sibling.highMask
      sibling.low &= sibling.lowMask
      return sibling
    }
  }

  /// The blocks that a list of prefixes stands for. Exclusions alone leave the rest of their own version of IP.
  static func blocks(_ list: OneOf<IPPrefix>) -> [AddressBlock] {
    let holes = list.excluded.map { AddressBlock($0) }
    var blocks = list.wanted.map { AddressBlock($0) }
    if blocks.isEmpty {
      if holes.contains(where: \.isIPv4) { blocks.append(AddressBlock(isIPv4: true)) }
      if holes.contains(where: { !$0.isIPv4 }) { blocks.append(AddressBlock(isIPv4: false)) }
    }
    for hole in holes { blocks = blocks.flatMap { $0.subtracting(hole) } }
    return blocks
  }

  func term(_ high: BitField, _ low: BitField) -> RuleTerm {
    RuleTerm(isIPv4 ? .ipv4 : .ipv6).with(high, self.high, mask: highMask).with(low, self.low, mask: lowMask)
  }
}
