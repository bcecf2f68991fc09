/// The word of `candidates` that was probably meant; nil when none is near.
///
/// Near is what a few slips of the keyboard turn into one another, or the only candidate that begins with the word.
public func didYouMean(_ word: some StringProtocol, among candidates: [String]) -> String? {
  let word = Array(word.lowercased().unicodeScalars.prefix(64))
  let limit = max(1, word.count / 3)
  var best: (candidate: String, distance: Int)?
  for candidate in candidates {
    let other = Array(candidate.lowercased().unicodeScalars.prefix(64))
    let distance = editDistance(word, other)
    // Two words without a letter in common are not near, however short they are.
    guard distance <= limit, distance == 0 || distance < min(word.count, other.count) else { continue }
    if distance < best?.distance ?? .max { best = (candidate, distance) }
  }
  if let best { return best.candidate }
  guard word.count >= 3 else { return nil }
  let longer = candidates.filter { $0.lowercased().unicodeScalars.starts(with: word) }
  return longer.count == 1 ? longer[0] : nil
}

/// The remedy for an unknown name: the one that was probably meant, or all there are.
public func remedy(for word: some StringProtocol, among candidates: [String]) -> String {
  if let meant = didYouMean(word, among: candidates) { return "did you mean '\(meant)'?" }
  guard !candidates.isEmpty else { return "there is none to choose from" }
  let shown = candidates.sorted().prefix(24).joined(separator: ", ")
  return "choose from \(shown)" + (candidates.count > 24 ? " and \(candidates.count - 24) more" : "")
}

/// Insertions, deletions, substitutions and exchanges of neighbours that lead from one word to the other
/// (optimal string alignment).
private func editDistance(_ a: [Unicode.Scalar], _ b: [Unicode.Scalar]) -> Int {
  guard !a.isEmpty, !b.isEmpty else { return max(a.count, b.count) }
  var before: [Int] = []
  var last = Array(0...b.count)
  for i in 1...a.count {
    var row = [i]
    for j in 1...b.count {
      var cost = min(last[j] + 1, row[j - 1] + 1, last[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1))
      if i > 1, j > 1, a[i - 1] == b[j - 2], a[i - 2] == b[j - 1] { cost = min(cost, before[j - 2] + 1) }
      row.append(cost)
    }
    before = last
    last = row
  }
  return last[b.count]
}
