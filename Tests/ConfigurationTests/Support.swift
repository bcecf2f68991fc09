import Configuration
import Testing

/// What one run reports about a text, one line a diagnostic: `line:column: message; remedy`.
func mistakes(_ body: () throws -> Void) -> [String] {
  do {
    try body()
    return []
  } catch let error as ConfigurationError {
    return error.diagnostics.map { diagnostic in
      let place = diagnostic.range.map { "\($0.start.line):\($0.start.column): " } ?? ""
      return place + diagnostic.message + "; " + diagnostic.remedy
    }
  } catch {
    return ["\(error)"]
  }
}

/// A node of YAML text.
func yaml(_ text: String) throws -> YAMLNode { try YAMLDocument.load(text: text, name: "test.yaml") }

/// What one run reports about settings: the mapping stands at line 1 of the text.
func mistakes(in text: String, _ body: (inout Settings) throws(ConfigurationError) -> Void) -> [String] {
  mistakes {
    let node = try yaml(text)
    var settings = Settings(node, range: node.range, context: SettingContext(folder: "/etc/nfv"))
    try body(&settings)
    try settings.finish()
  }
}

/// A value as one setting has it.
func value<T: SettingValue>(_ text: String, as type: T.Type = T.self) throws -> T {
  let node = try yaml("v: \(text)")
  var settings = Settings(node, range: node.range, context: SettingContext(folder: "/etc/nfv"))
  let value: T = try settings.take("v")
  try settings.finish()
  return value
}

/// What is said about a value that is wrong.
func complaint<T: SettingValue>(_ text: String, as type: T.Type) -> [String] {
  mistakes { _ = try value(text, as: type) }
}
