/// Reads files that have one entry a line: words between blanks, `#` begins a comment.
public enum LineFile {
  /// A line's words with their places.
  public struct Line: Sendable {
    /// The words.
    public var words: [(text: Substring, range: SourceRange)]
    /// Where the line starts.
    public var range: SourceRange
  }

  /// Calls `body` for every line that has words; mistakes that it throws are collected.
  /// - Throws: That the file cannot be read, or all mistakes, a hundred at most.
  public static func read(
    _ file: FileSetting, _ body: (Line) throws(ConfigurationError) -> Void
  ) throws(ConfigurationError) {
    let bytes: [UInt8]
    do throws(FileError) {
      bytes = try readBytes(of: file.path, limit: 1 << 30)
    } catch {
      throw ConfigurationError(
        file.range, "\(file.path): \(error.reason)", remedy: "check the path and its permissions")
    }
    var mistakes: [Diagnostic] = []
    var number = 0
    for raw in bytes.split(separator: 10, omittingEmptySubsequences: false) {
      number += 1
      if raw.isEmpty { continue }
      let text = String(decoding: raw, as: UTF8.self)
      let start = SourceRange(
        start: SourcePosition(file: file.path, line: number, column: 1), length: text.count, text: text)
      let words = split(text, start)
      guard !words.isEmpty else { continue }
      do throws(ConfigurationError) {
        try body(Line(words: words, range: start))
      } catch {
        mistakes += error.diagnostics
        if mistakes.count >= 100 { break }
      }
    }
    if !mistakes.isEmpty { throw ConfigurationError(mistakes) }
  }

  private static func split(_ text: String, _ start: SourceRange) -> [(text: Substring, range: SourceRange)] {
    let content = text.prefix { $0 != "#" }
    var words: [(text: Substring, range: SourceRange)] = []
    for word in content.split(whereSeparator: { $0 == " " || $0 == "\t" || $0 == "\r" }) {
      let offset = text.distance(from: text.startIndex, to: word.startIndex)
      words.append((word, start.part(offset: offset, length: word.count)))
    }
    return words
  }
}
