import Configuration

/// Finds rules that never match because of earlier ones.
enum RuleRelations {
  /// A rule as it was written.
  struct Written {
    var terms: [RuleTerm]
    /// What becomes of packets that match, as the user named it.
    var outcome: String
    var range: SourceRange?
  }

  /// Pairs of boxes that are compared at most; the rules of the largest sets are not compared with all before them.
  private static let budget = 50_000_000
  /// Pieces that a box is taken apart into at most.
  private static let pieceLimit = 64

  /// Warns of each rule that has the conditions of an earlier one, is covered by one, or by several together.
  static func warn(of rules: [Written], _ settings: inout Settings) {
    var left = budget
    for (index, rule) in rules.enumerated() where !rule.terms.isEmpty {
      guard left > 0 else { return }
      guard let takers = takers(of: rule.terms, rules, index, &left) else { continue }
      let notes = takers.prefix(4).map { Diagnostic.Note(rules[$0].range, "the earlier rule") }
      if takers.count > 1 {
        settings.warn(
          rule.range, "this rule never matches: earlier ones together take all its packets",
          remedy: "move it up or remove it", notes: notes)
      } else if let earlier = takers.first.map({ rules[$0] }), isSame(earlier.terms, rule.terms) {
        settings.warn(
          rule.range,
          earlier.outcome == rule.outcome
            ? "this rule repeats an earlier one" : "this rule never matches: an earlier one has the same conditions",
          remedy: "remove one of them", notes: notes)
      } else {
        settings.warn(
          rule.range, "this rule never matches: an earlier one takes all its packets",
          remedy: "move it up or remove it", notes: notes)
      }
    }
  }

  private static func isSame(_ left: [RuleTerm], _ right: [RuleTerm]) -> Bool {
    left.count == right.count && zip(left, right).allSatisfy { $0 == $1 }
  }

  /// The earlier rules that take all of these boxes' packets, one if one does; nil when some are left.
  private static func takers(
    of terms: [RuleTerm], _ rules: [Written], _ end: Int, _ left: inout Int
  ) -> [Int]? {
    var takers: Set<Int> = []
    for term in terms {
      var pieces = [term]
      for earlier in 0..<end where !pieces.isEmpty {
        for box in rules[earlier].terms {
          left -= 1
          guard term.meets(box) else { continue }
          if box.covers(term) {
            pieces = []
          } else if pieces.contains(where: { $0.meets(box) }) {
            pieces = pieces.flatMap { $0.subtracting(box) }
            if pieces.count > pieceLimit { return nil }
          } else {
            continue
          }
          takers.insert(earlier)
          if pieces.isEmpty { break }
        }
      }
      if !pieces.isEmpty { return nil }
    }
    // One rule that takes all by itself says more than several that do so together.
    if let sole = (0..<end).first(where: { rule in
      terms.allSatisfy { term in rules[rule].terms.contains { $0.covers(term) } }
    }) {
      return [sole]
    }
    return takers.sorted()
  }
}
