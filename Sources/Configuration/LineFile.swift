/// Reads files that have one entry a line: words between blanks, `#` begins a comment.
public enum LineFile {
  /// A line that has words. Route tables have a million: strings are made of what is asked for only.
  public struct Line: Sendable {
    let file: String
    /// The number of the line, from 1 on.
    public let number: Int
    let bytes: ArraySlice<UInt8>
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
    var start = 0
    while start < bytes.count {
      let end = bytes[start...].firstIndex(of: 10) ?? bytes.count
      number += 1
      let line = Line(file: file.path, number: number, bytes: bytes[start..<end])
      start = end + 1
      guard line.hasWords else { continue }
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
  /// Where the line starts.
  public var range: SourceRange {
    let text = String(decoding: bytes, as: UTF8.self)
    let start = SourcePosition(file: file, line: number, column: 1)
    return SourceRange(start: start, length: text.unicodeScalars.count, text: text)
  }

  /// The words with their places.
  public var words: [(text: Substring, range: SourceRange)] {
    let range = range
    let utf8 = range.text.utf8
    return Self.words(of: utf8).map { word in
      let text = range.text[word.startIndex..<word.endIndex]
      let offset = range.text[..<word.startIndex].unicodeScalars.count
      return (text, range.part(offset: offset, length: text.unicodeScalars.count))
    }
  }

  /// The words in UTF-8, as they stand in the file.
  public var bareWords: [ArraySlice<UInt8>] { Self.words(of: bytes) }

  fileprivate var hasWords: Bool {
    guard let first = bytes.first(where: { !Self.isBlank($0) }) else { return false }
    return first != UInt8(ascii: "#")
  }

  private static func isBlank(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0x09 || byte == 0x0D }

  private static func words<Text: Collection<UInt8>>(of text: Text) -> [Text.SubSequence] {
    var words: [Text.SubSequence] = []
    var index = text.startIndex
    while index < text.endIndex, text[index] != UInt8(ascii: "#") {
      let end = text[index...].firstIndex { isBlank($0) || $0 == UInt8(ascii: "#") } ?? text.endIndex
      if end > index { words.append(text[index..<end]) }
      index = end
      if index < text.endIndex, isBlank(text[index]) { index = text.index(after: index) }
    }
    return words
  }
}
