import Configuration
import Dataplane
import Tables

/// A rule of `Classify` as it was written.
struct ClassifyRule {
  var conditions: RuleConditions
  var output: Int
  var range: SourceRange?
}

/// Reads rules one by one and numbers the outputs and filters that they name.
struct ClassifyReader {
  private(set) var names: [String] = []
  private var numbers: [String: Int] = [:]
  private(set) var filters: [String] = []

  /// - Parameter running: Outputs that there are already.
  init(running: [String]) {
    for name in running { _ = number(name) }
  }

  mutating func number(_ name: String) -> Int {
    if let number = numbers[name] { return number }
    numbers[name] = names.count
    names.append(name)
    return names.count - 1
  }

  mutating func read(_ settings: inout Settings) throws(ConfigurationError) -> ClassifyRule {
    let output: String = try settings.take("to", "output for packets that match")
    let conditions = try RuleConditions(&settings, filters: &filters)
    return ClassifyRule(conditions: conditions, output: number(output), range: settings.range)
  }
}

/// A rule set with the outputs that its rules lead to and the counters of its rules: what is replaced as a whole.
struct ClassifyTable: ~Copyable, Sendable {
  let rules: RuleSet
  /// By rule; the last is where packets go that match none.
  private let targets: FlatArray<UInt16>
  /// Each worker's counters in turn, a row that begins on a cache line of its own.
  private let matched: Tally
  private let row: Int

  /// No pipeline has more workers.
  private static let workerLimit = 64

  init(_ rules: [ClassifyRule], filters: [String], otherwise: Int) {
    self.rules = RuleSet(rules.map(\.conditions.terms), filters: filters)
    targets = FlatArray((rules.map(\.output) + [otherwise]).map { UInt16(truncatingIfNeeded: $0) })
    row = (rules.count + 8) / 8 * 8
    matched = Tally(row * Self.workerLimit)
  }

  /// Counts what was found for a packet, and says where it goes.
  @inline(__always)
  func count(_ result: UInt32, _ worker: Int) -> NumberedOutput {
    let index = min(Int(result), targets.count &- 1)
    matched.add(1, to: worker &* row &+ index)
    return NumberedOutput(Int(targets[index]))
  }

  func counters(of worker: Int, names: [OutputDescription]) -> [ElementCounter] {
    let last = targets.count - 1
    return (0...last).map { index in
      ElementCounter(
        index < last ? "\(index + 1):\(names[Int(targets[index])].name)" : "else", matched[worker * row + index])
    }
  }
}
