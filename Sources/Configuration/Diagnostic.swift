/// A place in a file: line and column count from 1, columns in characters.
public struct SourcePosition: Hashable, Sendable, Comparable, CustomStringConvertible {
  /// The file's path, as the user gave it.
  public var file: String
  /// Line, from 1 on.
  public var line: Int
  /// Column, from 1 on.
  public var column: Int

  /// A place in a file.
  public init(file: String, line: Int, column: Int) {
    self.file = file
    self.line = line
    self.column = column
  }

  public var description: String { "\(file):\(line):\(column)" }

  public static func < (left: SourcePosition, right: SourcePosition) -> Bool {
    (left.file, left.line, left.column) < (right.file, right.line, right.column)
  }
}

/// A stretch of a file's line, with the line's text for display.
public struct SourceRange: Hashable, Sendable {
  /// Where it starts.
  public var start: SourcePosition
  /// How many characters it has; at least 1.
  public var length: Int
  /// The whole line that it starts in.
  public var text: String

  /// A stretch of `length` characters from `start`.
  public init(start: SourcePosition, length: Int, text: String) {
    self.start = start
    self.length = max(length, 1)
    self.text = text
  }

  /// The stretch of `length` characters that starts `offset` characters further on.
  public func part(offset: Int, length: Int) -> SourceRange {
    var start = start
    start.column += offset
    return SourceRange(start: start, length: length, text: text)
  }
}

/// A mistake, or something that looks like one, in the user's words.
public struct Diagnostic: Hashable, Sendable {
  /// How bad it is.
  public enum Severity: String, Sendable {
    /// Nothing runs until it is mended.
    case error
    /// It runs, but probably not as meant.
    case warning
  }

  /// How bad it is.
  public var severity: Severity
  /// Where it is.
  public var range: SourceRange?
  /// What is wrong.
  public var message: String
  /// What to do.
  public var remedy: String
  /// Other places that have to do with it.
  public var notes: [Note] = []

  /// Another place that has to do with a mistake.
  public struct Note: Hashable, Sendable {
    /// Where it is.
    public var range: SourceRange?
    /// What is there.
    public var message: String

    /// A note on a place.
    public init(_ range: SourceRange?, _ message: String) {
      self.range = range
      self.message = message
    }
  }

  /// A mistake at a place.
  public init(
    _ severity: Severity, _ range: SourceRange?, _ message: String, remedy: String, notes: [Note] = []
  ) {
    self.severity = severity
    self.range = range
    self.message = message
    self.remedy = remedy
    self.notes = notes
  }

  /// `file:line:column: error: message; remedy`, the source line and a caret.
  /// - Parameter colour: Whether the reader is a terminal.
  public func rendered(colour: Bool = false) -> String {
    let word = severity.rawValue
    let marked = colour ? "\u{1B}[1;\(severity == .error ? 31 : 35)m\(word)\u{1B}[0m" : word
    let place = range.map { "\($0.start): " } ?? ""
    let text = remedy.isEmpty ? message : "\(message); \(remedy)"
    var lines = ["\(place)\(marked): \(text)"]
    if let range { lines += Self.excerpt(range, colour: colour) }
    for note in notes {
      lines.append("\(note.range.map { "\($0.start): " } ?? "")note: \(note.message)")
      if let range = note.range { lines += Self.excerpt(range, colour: colour) }
    }
    return lines.joined(separator: "\n")
  }

  private static func excerpt(_ range: SourceRange, colour: Bool) -> [String] {
    guard !range.text.isEmpty else { return [] }
    let before = range.text.prefix(range.start.column - 1).map { $0 == "\t" ? "\t" : " " }.joined()
    let room = max(range.text.count - (range.start.column - 1), 1)
    let caret = "^" + String(repeating: "~", count: min(range.length, room) - 1)
    // Control characters in a file must not reach the terminal.
    let line = String(range.text.map { $0.isASCII && $0.asciiValue! < 32 && $0 != "\t" ? "?" : $0 })
    return ["  " + line, "  " + before + (colour ? "\u{1B}[1;32m\(caret)\u{1B}[0m" : caret)]
  }
}

/// What is wrong with a configuration: one mistake or many, found in one go.
public struct ConfigurationError: Error, Hashable, Sendable {
  /// At least one, in the order of the file.
  public var diagnostics: [Diagnostic]

  /// Mistakes, put into the order of the file.
  public init(_ diagnostics: [Diagnostic]) {
    self.diagnostics = diagnostics.enumerated().sorted { left, right in
      guard let a = left.element.range?.start, let b = right.element.range?.start, a != b else {
        return left.offset < right.offset
      }
      return a < b
    }.map(\.element)
  }

  /// One mistake.
  public init(_ range: SourceRange?, _ message: String, remedy: String, notes: [Diagnostic.Note] = []) {
    diagnostics = [Diagnostic(.error, range, message, remedy: remedy, notes: notes)]
  }
}

/// The word of `candidates` that was probably meant; nil when none is near.
public func didYouMean(_ word: some StringProtocol, among candidates: [String]) -> String? {
  let word = word.lowercased()
  let limit = max(1, word.count / 3)
  var best: (candidate: String, distance: Int)?
  for candidate in candidates {
    let distance = editDistance(Array(word), Array(candidate.lowercased()))
    if distance <= limit, distance < best?.distance ?? .max { best = (candidate, distance) }
  }
  return best?.candidate
}

/// Insertions, deletions, substitutions and exchanges of neighbours that lead from one word to the other
/// (optimal string alignment).
private func editDistance(_ a: [Character], _ b: [Character]) -> Int {
  guard !a.isEmpty, !b.isEmpty else { return max(a.count, b.count) }
  guard abs(a.count - b.count) <= 8 else { return 9 }
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

/// The remedy for an unknown name: the one that was probably meant, or all there are.
public func remedy(for word: some StringProtocol, among candidates: [String]) -> String {
  if let meant = didYouMean(word, among: candidates) { return "did you mean '\(meant)'?" }
  return candidates.isEmpty
    ? "there is none to choose from" : "choose from \(candidates.sorted().joined(separator: ", "))"
}
