import Dataplane
import Tables

/// Rules made into what finds the first that matches, for many packets at once.
///
/// Packets are sorted by kind, and the rules that can match a kind are matched in the way that suits them: a few one
/// after the other, rules that look at the same bits by hashing those, all others as access lists, which walk tries for
/// many packets side by side (`rte_acl`). All ways give the same: the lowest number of a rule that matches.
///
/// Immutable, and read by any number of workers. Without a running EAL, as when a pipeline is only checked, rules are
/// matched one after the other.
struct RuleSet: ~Copyable, Sendable {
  /// How rules are matched.
  enum Method: Hashable, Sendable {
    /// One after the other.
    case linear
    /// Looked up by the bits that they look at.
    case hash
    /// As access lists.
    case lists
  }

  /// Up to so many boxes are matched one after the other.
  static let linearLimit = 4
  /// Hashing is for rules that together look at no more than so many different sets of bits.
  static let hashLimit = 2
  /// An access list has at least so many boxes.
  static let listLeast = 8
  /// Bytes that an access list may take before it takes more steps instead.
  static let listMemory = 48 << 20

  /// How many rules there are.
  let count: Int
  /// What finds the rules for each kind of packet.
  let methods: [PacketKind: Method]

  private let filters: PacketFilters
  private let lists: AccessLists
  private let linear: LinearRules
  private let exact: ExactRules

  /// - Parameters:
  ///   - rules: The boxes of each rule in turn; the first that matches counts.
  ///   - expressions: Filters that boxes refer to by the bits of `BitField.filters`; sound ones.
  ///   - method: Nil chooses what is best.
  init(_ rules: [[RuleTerm]], filters expressions: [String] = [], method: Method? = nil) {
    count = rules.count
    var filters = PacketFilters()
    // Expressions were checked when they were read; one that fails now can only match nothing.
    for expression in expressions { try? filters.add(expression) }
    self.filters = filters
    var groups: [[PlacedTerm]: PacketKind] = [:]
    for kind in PacketKind.each {
      let terms = Self.terms(of: rules, kind)
      if !terms.isEmpty { groups[terms, default: []].formUnion(kind) }
    }
    var lists = AccessLists()
    var linear = LinearRules.Builder()
    var exact = ExactRules.Builder()
    var methods: [PacketKind: Method] = [:]
    for (placed, kinds) in groups.sorted(by: { $0.value.rawValue < $1.value.rawValue }) {
      let terms = placed.map { Packed(rules[Int($0.rule)][Int($0.term)], rule: $0.rule) }
      var chosen = method ?? Self.method(for: terms)
      if chosen == .hash && !exact.add(terms, kinds) { chosen = .lists }
      switch chosen {
      case .hash: break
      case .linear: linear.add(terms, kinds)
      case .lists:
        let rest = RuleLists.add(terms, kinds, to: &lists, least: method == nil ? Self.listLeast : 1)
        if rest.count == terms.count { chosen = .linear }
        if !rest.isEmpty { linear.add(rest, kinds) }
      }
      methods[kinds] = chosen
    }
    self.methods = methods
    self.lists = lists
    self.linear = linear.build()
    self.exact = exact.build()
  }

  /// A box by its place.
  private struct PlacedTerm: Hashable {
    var rule: UInt32
    var term: UInt32
  }

  /// The boxes that can hold packets of a kind, up to the first that holds them all.
  private static func terms(of rules: [[RuleTerm]], _ kind: PacketKind) -> [PlacedTerm] {
    var terms: [PlacedTerm] = []
    for (rule, boxes) in rules.enumerated() {
      for (index, term) in boxes.enumerated() where term.kinds.contains(kind) {
        terms.append(PlacedTerm(rule: UInt32(rule), term: UInt32(index)))
        if term.isFree { return terms }
      }
    }
    return terms
  }

  private static func method(for terms: [Packed]) -> Method {
    if terms.count <= linearLimit { return .linear }
    return Set(terms.map(\.masks)).count <= hashLimit && terms.allSatisfy(\.isExact) ? .hash : .lists
  }

  // MARK: Matching

  /// Reads the key of a packet.
  @inline(__always)
  func read(_ packet: borrowing Packet, _ index: Int, into burst: borrowing LookupBurst<RuleKey>) {
    let bits = filters.isEmpty ? 0 : filters.matches(packet)
    let (key, kind) = RuleKey.read(packet, filters: bits)
    burst.set(index, key, kind: kind.rawValue)
  }

  /// Notes for each of the first `packets` keys the number of the first rule that matches; `none` stays where none does.
  @inline(__always)
  func match(_ burst: borrowing LookupBurst<RuleKey>, _ packets: Int) {
    if !lists.isEmpty { lists.classify(burst, packets) }
    if !exact.isEmpty { exact.match(burst, packets) }
    if !linear.isEmpty { linear.match(burst, packets) }
  }
}

extension RuleTerm {
  /// Whether the kind of packet is all that counts.
  var isFree: Bool {
    RangeField.allCases.allSatisfy { isFree($0) } && BitField.allCases.allSatisfy { self[$0].mask == 0 }
  }
}

/// A box of a rule as it is laid out in keys: ranges that are all numbers under a mask are masks.
struct Packed {
  let term: RuleTerm
  let rule: UInt32
  /// In the host's byte order; the words of a key are in the network's.
  private(set) var masks = [UInt64](repeating: 0, count: 8)
  private(set) var values = [UInt64](repeating: 0, count: 8)
  /// Ranges that no mask expresses.
  private(set) var ranges: [(place: KeyPlace, low: UInt32, high: UInt32)] = []

  var isExact: Bool { ranges.isEmpty }

  init(_ term: RuleTerm, rule: UInt32) {
    self.term = term
    self.rule = rule
    for field in BitField.allCases where term[field].mask != 0 {
      let place = field.place
      masks[place.word] |= term[field].mask << UInt64(place.shift)
      values[place.word] |= term[field].value << UInt64(place.shift)
    }
    for field in RangeField.allCases where !term.isFree(field) {
      let (place, low, high) = (field.place, term[field].low, term[field].high)
      let span = high - low
      if span & (span &+ 1) == 0 && low & span == 0 {
        masks[place.word] |= (place.mask & ~UInt64(span)) << UInt64(place.shift)
        values[place.word] |= UInt64(low) << UInt64(place.shift)
      } else {
        ranges.append((place, low, high))
      }
    }
  }
}
