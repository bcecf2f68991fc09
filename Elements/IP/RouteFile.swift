import Configuration
import Wire

/// Reads route files: `prefix output` on each line.
enum RouteFile {
  static func read(_ file: FileSetting) throws(ConfigurationError) -> [(prefix: IPPrefix, output: String)] {
    var routes: [(prefix: IPPrefix, output: String)] = []
    try LineFile.read(file) { (line: LineFile.Line) throws(ConfigurationError) in
      guard line.words.count == 2 else {
        throw ConfigurationError(
          line.range, "a route has two words, not \(line.words.count)", remedy: "write 'prefix output'")
      }
      let (text, range) = line.words[0]
      guard let prefix = IPPrefix(text) else {
        throw ConfigurationError(range, "'\(text)' is no IP prefix", remedy: "write one such as 192.0.2.0/24")
      }
      routes.append((prefix, String(line.words[1].text)))
    }
    return routes
  }
}
