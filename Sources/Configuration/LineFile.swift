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
      let line = Line(String(decoding: raw, as: UTF8.self), number, of: file.path)
      guard !line.words.isEmpty else { continue }
      do throws(ConfigurationError) {
        try body(line)
      } catch {
        mistakes += error.diagnostics
        if mistakes.count >= 100 { break }
      }
    }
    if !mistakes.isEmpty { throw ConfigurationError(mistakes) }
  }
}

extension LineFile.Line {
  // Route tables have a million lines: words are looked for in UTF-8, without finding characters first.
  fileprivate init(_ text: String, _ number: Int, of file: String) {
    let bytes = text.utf8
    let isASCII = bytes.allSatisfy { $0 < 0x80 }
    let start = SourcePosition(file: file, line: number, column: 1)
    range = SourceRange(start: start, length: isASCII ? bytes.count : text.unicodeScalars.count, text: text)
    words = []
    var index = bytes.startIndex
    while index < bytes.endIndex, bytes[index] != UInt8(ascii: "#") {
      let end = bytes[index...].firstIndex { $0 == 0x20 || $0 == 0x09 || $0 == 0x0D || $0 == UInt8(ascii: "#") }
      let word = text[index..<(end ?? bytes.endIndex)]
      if !word.isEmpty {
        let scalars = text.unicodeScalars
        let offset =
          isASCII
          ? bytes.distance(from: bytes.startIndex, to: index) : scalars.distance(from: scalars.startIndex, to: index)
        words.append((word, range.part(offset: offset, length: word.unicodeScalars.count)))
      }
      index = end ?? bytes.endIndex
      if index < bytes.endIndex, bytes[index] != UInt8(ascii: "#") { index = bytes.index(after: index) }
    }
  }
}
