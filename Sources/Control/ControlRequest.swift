import Configuration
import Dataplane

/// What goes over the control socket: a line of JSON that asks, more of them for rows, and lines of JSON that answer.
///
///     {"element": "fw", "operation": "sessions", "arguments": {"protocol": "tcp"}}
///
/// Without an element, the operation is one of the run's own. Each row of the answer is `{"row": {...}}`; the last line is
/// `{"end": true}`, or `{"error": "..."}` when something went wrong.
public struct ControlRequest: Sendable {
  /// The element; nil for the run itself.
  public var element: String?
  /// The operation.
  public var operation: String
  /// What it is given.
  public var arguments: [String: String]

  /// A request.
  public init(element: String?, operation: String, arguments: [String: String] = [:]) {
    self.element = element
    self.operation = operation
    self.arguments = arguments
  }

  /// As it is sent, without the line feed.
  public var line: String {
    var members = ["\"operation\": \(quoted(operation))"]
    if let element { members.insert("\"element\": \(quoted(element))", at: 0) }
    if !arguments.isEmpty { members.append("\"arguments\": \(Self.object(arguments.sorted { $0.key < $1.key }))") }
    return "{" + members.joined(separator: ", ") + "}"
  }

  /// Reads a request; nil when it is none.
  init?(line: [UInt8]) {
    guard let node = try? YAMLDocument.load(bytes: line, name: "request"), let members = node.mapping,
      let operation = node["operation"]?.scalar,
      members.allSatisfy({ ["element", "operation", "arguments"].contains($0.key.scalar) })
    else { return nil }
    var arguments: [String: String] = [:]
    if let given = node["arguments"] {
      guard let values = Self.row(given) else { return nil }
      arguments = values
    }
    if let element = node["element"], element.scalar == nil { return nil }
    self.init(element: node["element"]?.scalar, operation: operation, arguments: arguments)
  }

  /// Names and values from a line of JSON; nil when it is no object of plain values.
  public static func row(line: [UInt8]) -> [String: String]? {
    (try? YAMLDocument.load(bytes: line, name: "row")).flatMap(row)
  }

  private static func row(_ node: YAMLNode) -> [String: String]? {
    guard let members = node.mapping else { return nil }
    var row: [String: String] = [:]
    for (key, value) in members {
      guard let key = key.scalar, let value = value.scalar else { return nil }
      row[key] = value
    }
    return row
  }

  /// An object of JSON.
  static func object(_ fields: some Sequence<(key: String, value: String)>) -> String {
    "{" + fields.map { "\(quoted($0.key)): \(quoted($0.value))" }.joined(separator: ", ") + "}"
  }

  static func row(_ fields: [(name: String, value: String)]) -> String {
    "{\"row\": " + object(fields.lazy.map { (key: $0.name, value: $0.value) }) + "}\n"
  }

  static let end = "{\"end\": true}\n"

  static func failure(_ message: String) -> String { "{\"error\": \(quoted(message))}\n" }
}
