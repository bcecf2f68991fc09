import Configuration
import Wire

/// Reads route files: `prefix output` on each line.
enum RouteFile {
  /// Calls `add` for every route; mistakes that it throws are collected.
  static func read(
    _ file: FileSetting, _ add: (IPPrefix, String, SourceRange) throws(ConfigurationError) -> Void
  ) throws(ConfigurationError) {
    try LineFile.read(file) { (line: LineFile.Line) throws(ConfigurationError) in
      guard line.words.count == 2 else {
        throw ConfigurationError(
          line.range, "a route has two words, not \(line.words.count)", remedy: "write 'prefix output'")
      }
      let (text, range) = line.words[0]
      let prefix: IPPrefix
      do throws(PrefixError) {
        prefix = try IPPrefix(parsing: text)
      } catch {
        throw ConfigurationError(range, "'\(text)' is no IP prefix: \(error)", remedy: "write one such as 192.0.2.0/24")
      }
      try add(prefix, String(line.words[1].text), range)
    }
  }
}
