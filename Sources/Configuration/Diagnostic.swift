/// A place in a file: line and column count from 1, columns in Unicode scalars.
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
  /// How many scalars it has; at least 1.
  public var length: Int
  /// The whole line that it starts in.
  public var text: String

  /// A stretch of `length` scalars from `start`.
  public init(start: SourcePosition, length: Int, text: String) {
    self.start = start
    self.length = max(length, 1)
    self.text = text
  }

  /// The stretch of `length` scalars that starts `offset` scalars further on.
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
    var lines = [Self.place(range) + marked + ": " + printable(remedy.isEmpty ? message : "\(message); \(remedy)")]
    if let range { lines += excerpt(of: range, colour: colour) }
    for note in notes {
      lines.append(Self.place(note.range) + "note: " + printable(note.message))
      if let range = note.range { lines += excerpt(of: range, colour: colour) }
    }
    return lines.joined(separator: "\n")
  }

  private static func place(_ range: SourceRange?) -> String { range.map { printable("\($0.start): ") } ?? "" }
}

/// What is wrong with a configuration: one mistake or many, found in one go.
public struct ConfigurationError: Error, Hashable, Sendable {
  /// At least one, in the order of the file.
  public var diagnostics: [Diagnostic]

  /// Mistakes, put into the order of the file; those without a place come first, and the same is said once.
  public init(_ diagnostics: [Diagnostic]) {
    var seen: Set<Diagnostic> = []
    let distinct = diagnostics.filter { seen.insert($0).inserted }
    self.diagnostics = distinct.enumerated().sorted { left, right in
      switch (left.element.range?.start, right.element.range?.start) {
      case (let a?, let b?): a == b ? left.offset < right.offset : a < b
      case (nil, nil): left.offset < right.offset
      case (nil, _): true
      case (_, nil): false
      }
    }.map(\.element)
  }

  /// One mistake.
  public init(_ range: SourceRange?, _ message: String, remedy: String, notes: [Diagnostic.Note] = []) {
    diagnostics = [Diagnostic(.error, range, message, remedy: remedy, notes: notes)]
  }
}
