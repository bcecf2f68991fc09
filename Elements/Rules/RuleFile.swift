import Configuration

/// Rules in a file of their own: a YAML list of what would stand under `rules`.
///
/// It is the same text as in the pipeline, so rules are moved there by cutting and pasting, lists and names are written
/// the same way, and mistakes are found the same way. A rule still takes one line: `- { to: web, protocol: tcp }`.
enum RuleFile {
  /// Reads each rule by `body`.
  static func read<T>(
    _ file: FileSetting, in settings: Settings, _ body: (inout Settings) throws(ConfigurationError) -> T
  ) throws(ConfigurationError) -> (rules: [T], warnings: [Diagnostic]) {
    let root: YAMLNode
    do throws(ConfigurationError) {
      root = try YAMLDocument.load(path: file.path)
    } catch {
      // A file that cannot be read has no place of its own.
      throw ConfigurationError(
        error.diagnostics.map { diagnostic in
          var diagnostic = diagnostic
          diagnostic.range = diagnostic.range ?? file.range
          return diagnostic
        })
    }
    guard let members = root.sequence else {
      throw root.isNull
        ? ConfigurationError(file.range, "\(file.path) has no rules", remedy: "write '- { to: output, ... }' lines")
        : root.error("\(root.typeName) is no list of rules", "write '- { to: output, ... }' lines")
    }
    var rules: [T] = []
    var mistakes: [Diagnostic] = []
    var warnings: [Diagnostic] = []
    for member in members {
      do throws(ConfigurationError) {
        guard member.mapping != nil else {
          throw member.error("\(member.typeName) is not a mapping", "write 'key: value'")
        }
        var nested = Settings(member, range: member.range, context: settings.context)
        rules.append(try body(&nested))
        try nested.finish()
        warnings += nested.warnings
      } catch {
        mistakes += error.diagnostics
        if mistakes.count >= 100 { break }
      }
    }
    guard mistakes.isEmpty else { throw ConfigurationError(mistakes) }
    return (rules, warnings)
  }
}
