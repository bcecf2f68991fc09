import Configuration
import Wire

/// Reads route files: `prefix output` on each line.
enum RouteFile {
  /// Calls `add` for every route with its line; mistakes, those that it throws included, are collected.
  static func read(
    _ file: FileSetting, _ add: (IPPrefix, String, LineFile.Line) throws(ConfigurationError) -> Void
  ) throws(ConfigurationError) {
    try LineFile.read(file) { (line: LineFile.Line) throws(ConfigurationError) in
      let words = line.bareWords
      guard words.count == 2 else {
        throw ConfigurationError(
          line.range, "a route has two words, not \(words.count)", remedy: "write 'prefix output'")
      }
      let prefix: IPPrefix
      do throws(PrefixError) {
        prefix = try IPPrefix(parsing: words[0])
      } catch {
        let (text, range) = line.words[0]
        throw ConfigurationError(
          range, "'\(text)' is no IP prefix: \(flaw(error))", remedy: "write one such as 192.0.2.0/24")
      }
      try add(prefix, String(decoding: words[1], as: UTF8.self), line)
    }
  }

  private static func flaw(_ error: PrefixError) -> String {
    switch error {
    case .notAnAddress: "there is no address before a '/'"
    case .lengthOutOfRange: "the length is not a number up to that of the address"
    case .hostBitsSet(let prefix): "it has bits behind its length; \(prefix) has it in"
    }
  }
}
