/// The text of a file that is being read, with its lines at hand for diagnostics.
final class SourceText {
  let name: String
  /// UTF-8 without byte order mark.
  let bytes: [UInt8]
  private let lineStarts: [Int]
  private var lastLine: (number: Int, text: String)?

  init(bytes: [UInt8], name: String) throws(ConfigurationError) {
    self.name = name
    guard !bytes.starts(with: [0xFE, 0xFF]), !bytes.starts(with: [0xFF, 0xFE]) else {
      throw ConfigurationError(nil, "\(name): this is UTF-16", remedy: "save the file as UTF-8")
    }
    self.bytes = bytes.starts(with: [0xEF, 0xBB, 0xBF]) ? Array(bytes.dropFirst(3)) : bytes
    lineStarts = Self.lineStarts(self.bytes)
  }

  /// Lines end where libyaml ends them, or its numbers would mean other lines: at CR, LF, CR LF, NEL, LS and PS.
  private static func lineStarts(_ bytes: [UInt8]) -> [Int] {
    var starts = [0]
    var index = 0
    while index < bytes.count {
      let rest = bytes[index...]
      switch bytes[index] {
      case 0x0A: index += 1
      case 0x0D: index += rest.dropFirst().first == 0x0A ? 2 : 1
      case 0xC2 where rest.starts(with: [0xC2, 0x85]): index += 2
      case 0xE2 where rest.starts(with: [0xE2, 0x80, 0xA8]) || rest.starts(with: [0xE2, 0x80, 0xA9]): index += 3
      default:
        index += 1
        continue
      }
      starts.append(index)
    }
    return starts
  }

  /// A line's text without its end; lines count from 0 here as they do in libyaml.
  private func line(_ number: Int) -> String {
    if let lastLine, lastLine.number == number { return lastLine.text }
    guard number >= 0, number < lineStarts.count else { return "" }
    let end = number + 1 < lineStarts.count ? lineStarts[number + 1] : bytes.count
    var scalars = String(decoding: bytes[lineStarts[number]..<end], as: UTF8.self).unicodeScalars
    while let last = scalars.last, ["\n", "\r", "\u{85}", "\u{2028}", "\u{2029}"].contains(last) {
      scalars.removeLast()
    }
    let text = String(scalars)
    lastLine = (number, text)
    return text
  }

  /// A stretch of `length` scalars at a place that counts from 0.
  func range(line number: Int, column: Int, length: Int) -> SourceRange {
    SourceRange(
      start: SourcePosition(file: name, line: number + 1, column: column + 1), length: length, text: line(number))
  }

  var outOfMemory: ConfigurationError { ConfigurationError(nil, "\(name): out of memory", remedy: "shorten the file") }

  /// The scalar at an offset in bytes.
  func range(offset: Int) -> SourceRange {
    let offset = min(max(offset, 0), bytes.count)
    let number = (lineStarts.lastIndex { $0 <= offset }) ?? 0
    let before = String(decoding: bytes[lineStarts[number]..<offset], as: UTF8.self)
    return range(line: number, column: before.unicodeScalars.count, length: 1)
  }

  /// Refuses what libyaml takes quadratic time for: brackets too deep within one another, and too many anchors.
  func check() throws(ConfigurationError) {
    var depth = 0
    var anchors = 0
    for (offset, byte) in bytes.enumerated() {
      switch byte {
      case UInt8(ascii: "["), UInt8(ascii: "{"):
        depth += 1
        guard depth <= 1000 else {
          throw ConfigurationError(
            range(offset: offset), "lists are nested too deeply", remedy: "nest at most 64 levels")
        }
      case UInt8(ascii: "]"), UInt8(ascii: "}"): depth = max(0, depth - 1)
      case UInt8(ascii: "&") where offset == 0 || Self.precedesAnchor(bytes[offset - 1]):
        anchors += 1
        guard anchors <= YAMLDocument.maximumAnchors else {
          throw ConfigurationError(range(offset: offset), "there are too many anchors", remedy: "use at most 1000")
        }
      default: break
      }
    }
  }

  private static func precedesAnchor(_ byte: UInt8) -> Bool {
    byte <= 0x20 || byte == UInt8(ascii: "[") || byte == UInt8(ascii: "{") || byte == UInt8(ascii: ",")
      || byte >= 0x80
  }
}
