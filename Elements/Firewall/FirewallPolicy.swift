import Configuration
import Dataplane
import Tables

/// What becomes of a packet that opens a session.
enum FirewallAction: String, SettingChoice, Sendable {
  /// It passes, and so does all of its session.
  case accept
  /// It is dropped without a word.
  case drop
  /// It is dropped, and its sender is told: by a TCP reset, or by an ICMP error.
  case reject

  var code: UInt8 {
    switch self {
    case .accept: 0
    case .drop: 1
    case .reject: 2
    }
  }
}

/// A rule as it was written.
struct FirewallRule {
  var conditions: RuleConditions
  var action: FirewallAction
  var name: String?
  var isLogged: Bool
  var range: SourceRange?
}

/// Reads rules one by one.
struct FirewallRuleReader {
  let zones: ZoneSettings
  private(set) var filters: [String] = []

  init(_ zones: ZoneSettings) { self.zones = zones }

  mutating func read(_ settings: inout Settings) throws(ConfigurationError) -> FirewallRule {
    let action: FirewallAction = try settings.take("action", "what becomes of packets that match")
    let name: String? = try settings.takeIfPresent(
      "name", "what counters and log lines call it; its number when left out")
    let isLogged = try settings.take("log", default: false, "whether packets that match are logged")
    let from: OneOf<ZoneName>? = try settings.takeIfPresent("from", "zone that the packet comes from")
    let to: OneOf<ZoneName>? = try settings.takeIfPresent("to", "zone that the packet goes to")
    var conditions = try RuleConditions(&settings, filters: &filters)
    if let numbers = zones.numbers(from, &settings) {
      conditions.add("from", numbers.sorted().map { RuleTerm().with(.zones, UInt64($0), mask: 0xFF) }, &settings)
    }
    if let numbers = zones.numbers(to, &settings) {
      conditions.add("to", numbers.sorted().map { RuleTerm().with(.zones, UInt64($0) << 8, mask: 0xFF00) }, &settings)
    }
    return FirewallRule(
      conditions: conditions, action: action, name: name, isLogged: isLogged, range: settings.range)
  }
}

/// Rules, what they lead to, and how often each did: what is replaced as a whole.
struct FirewallTable: ~Copyable, Sendable {
  /// What was decided about a packet that opens a session.
  struct Decision {
    /// The rule's number; that of the last one plus one when none matched.
    var rule: UInt32
    var action: UInt8
    var isLogged: Bool
  }

  let rules: RuleSet
  /// Differs when the rules do.
  let fingerprint: UInt64
  /// By rule, the default last: the action, and above it whether it is logged.
  private let actions: FlatArray<UInt8>
  private let labels: [String]
  /// Each worker's counters in turn, a row that begins on a cache line of its own.
  private let matched: Tally
  private let row: Int
  /// Whether rules look at what no session remembers.
  let hasFilters: Bool

  /// No pipeline has more workers.
  private static let workerLimit = 64

  init(_ written: [FirewallRule], filters: [String], otherwise: FirewallAction, logsDefault: Bool) {
    rules = RuleSet(written.map(\.conditions.terms), filters: filters)
    hasFilters = !filters.isEmpty
    actions = FlatArray(
      written.map { $0.action.code | ($0.isLogged ? 0x80 : 0) } + [otherwise.code | (logsDefault ? 0x80 : 0)])
    labels = written.enumerated().map { index, rule in rule.name ?? "\(index + 1)" } + ["default"]
    row = (written.count + 8) / 8 * 8
    matched = Tally(row * Self.workerLimit)
    fingerprint = Self.fingerprint(written, filters, otherwise)
  }

  /// What was decided: by the first rule that matches, or by default.
  func decision(_ result: UInt32) -> Decision {
    let index = min(Int(result), actions.count &- 1)
    let action = actions[index]
    return Decision(rule: UInt32(truncatingIfNeeded: index), action: action & 0x7F, isLogged: action & 0x80 != 0)
  }

  /// Whether no rule matched.
  func isDefault(_ decision: Decision) -> Bool { Int(decision.rule) == actions.count - 1 }

  func count(_ decision: Decision, _ worker: Int) {
    matched.add(1, to: (worker % Self.workerLimit) &* row &+ Int(decision.rule))
  }

  /// What counters and log lines call a rule.
  func label(_ rule: UInt32) -> String { labels[min(Int(rule), labels.count - 1)] }

  func counters(of worker: Int) -> [ElementCounter] {
    labels.indices.map { ElementCounter("rule:\(labels[$0])", matched[worker % Self.workerLimit * row + $0]) }
  }

  /// Rules with what they lead to and how often they did.
  func rows(of worker: Int) -> [(name: String, action: String, packets: UInt64)] {
    labels.indices.map { index in
      let action = FirewallAction.allCases[min(Int(actions[index] & 0x7F), 2)].rawValue
      return (labels[index], action, matched[worker % Self.workerLimit * row + index])
    }
  }

  /// FNV-1a over all that rules ask and lead to.
  private static func fingerprint(
    _ written: [FirewallRule], _ filters: [String], _ otherwise: FirewallAction
  ) -> UInt64 {
    var hash: UInt64 = 0xCBF2_9CE4_8422_2325
    func add(_ value: UInt64) { hash = (hash ^ value) &* 0x0000_0100_0000_01B3 }
    for rule in written {
      add(UInt64(rule.action.code))
      for term in rule.conditions.terms {
        add(UInt64(term.kinds.rawValue))
        for index in term.ranges.indices {
          add(UInt64(term.ranges[index].low) << 32 | UInt64(term.ranges[index].high))
        }
        for index in term.bits.indices {
          add(term.bits[index].value)
          add(term.bits[index].mask)
        }
      }
    }
    for filter in filters { for byte in filter.utf8 { add(UInt64(byte)) } }
    add(UInt64(otherwise.code))
    return hash
  }
}

/// Rules as they are read for one instance of the element.
struct FirewallRules {
  private let written: [FirewallRule]
  private let filters: [String]
  private let otherwise: FirewallAction
  private let logsDefault: Bool

  init(_ settings: inout Settings, _ zones: ZoneSettings) throws(ConfigurationError) {
    var reader = FirewallRuleReader(zones)
    var rules = try settings.takeEach("rules", "in this order; the first that matches counts") {
      (settings: inout Settings) throws(ConfigurationError) in try reader.read(&settings)
    }
    let file: FileSetting? = try settings.takeIfPresent("file", "a YAML file that lists more rules, behind 'rules'")
    otherwise = try settings.take("default", default: .drop, "what becomes of packets that match no rule")
    logsDefault = try settings.take("log_default", default: false, "whether packets that match no rule are logged")
    if let file {
      do throws(ConfigurationError) {
        rules += try RuleFile.read(file, in: settings) { (settings: inout Settings) throws(ConfigurationError) in
          try reader.read(&settings)
        }.rules
      } catch {
        settings.reject(error)
      }
    }
    var names: [String: SourceRange?] = [:]
    for rule in rules {
      guard let name = rule.name else { continue }
      if let other = names[name] {
        settings.reject(
          ConfigurationError(
            rule.range, "two rules are called '\(name)'", remedy: "give one another name",
            notes: [.init(other, "the other one")]))
      }
      names[name] = rule.range
    }
    written = rules
    filters = reader.filters
  }

  /// The table that all workers share.
  func shared(_ settings: inout Settings) throws(ConfigurationError) -> Snapshot<FirewallTable> {
    // What lives in EAL's memory is made once it runs: a pipeline that is only checked is not compiled.
    let table = try settings.shared(
      PacketEnvironment.isRunning ? "rules" : "rules to be checked",
      replacing: ["rules", "file", "default", "log_default"]
    ) {
      Snapshot(FirewallTable(written, filters: filters, otherwise: otherwise, logsDefault: logsDefault))
    }
    var isFirst = false
    _ = try settings.shared("warned") {
      isFirst = true
      return Warned()
    }
    if isFirst {
      RuleRelations.warn(
        of: written.map {
          RuleRelations.Written(terms: $0.conditions.terms, outcome: $0.action.rawValue, range: $0.range)
        }, &settings)
    }
    return table
  }

  /// Says that warnings were given: once is enough, however many workers there are.
  private final class Warned {}
}
