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
      // Counting characters costs more than all else here.
      let length = raw.allSatisfy { $0 < 0x80 } ? raw.count : text.count
      let start = SourceRange(
        start: SourcePosition(file: file.path, line: number, column: 1), length: length, text: text)
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
    let bytes = text.utf8
    // In ASCII, which is usual, a byte is a character.
    let isASCII = start.length == bytes.count
    var words: [(text: Substring, range: SourceRange)] = []
    words.reserveCapacity(2)
    var first: String.Index?
    func end(at index: String.Index) {
      guard let from = first else { return }
      first = nil
      let before = text[..<from]
      let word = text[from..<index]
      words.append(
        (
          word,
          start.part(
            offset: isASCII ? before.utf8.count : before.count, length: isASCII ? word.utf8.count : word.count)
        ))
    }
    var index = bytes.startIndex
    scan: while index < bytes.endIndex {
      switch bytes[index] {
      case UInt8(ascii: "#"): break scan
      case UInt8(ascii: " "), UInt8(ascii: "\t"), UInt8(ascii: "\r"): end(at: index)
      default: first = first ?? index
      }
      bytes.formIndex(after: &index)
    }
    end(at: index)
    return words
  }
}
