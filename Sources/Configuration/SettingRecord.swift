/// A setting as the reference and the JSON Schema show it; recorded where an element takes it.
public struct SettingRecord: Sendable {
  /// How the value stands in the YAML.
  public enum Shape: Sendable {
    /// One value.
    case value
    /// A mapping with the nested settings.
    case nested
    /// A list of mappings with the nested settings.
    case list
    /// A mapping whose keys the user chooses.
    case map
    /// A mapping whose keys the user chooses, to mappings with the nested settings.
    case named
  }

  /// The key.
  public var key: String
  /// What a value looks like.
  public var schema: ValueSchema
  /// What it means.
  public var help: String
  /// Whether it must be given.
  public var isRequired: Bool
  /// What holds when it is not given.
  public var defaultText: String?
  /// The allowed range, for people.
  public var range: String?
  /// How the value stands in the YAML.
  public var shape = Shape.value
  /// A word that may stand in the place of a map.
  public var word: String?
  /// Whether the element can be given this value alone in place of a mapping.
  public var isShorthand = false
  /// The settings of each mapping of a nested, list or named shape.
  public var nested: [SettingRecord] = []

  /// Members of a JSON Schema object for the value, as JSON text.
  public var jsonSchema: String {
    var described = #""description": \#(quoted(help))"#
    if let defaultText { described += #", "x-default": \#(quoted(defaultText))"# }
    return switch shape {
    case .value where schema.jsonSchema == #""type": "string""#: "\(described), \(schema.jsonSchema)"
    case .value: #"\#(described), "anyOf": [{\#(schema.jsonSchema)}, {\#(Self.parameterSchema)}]"#
    case .map where word != nil:
      #"\#(described), "anyOf": [{"const": \#(quoted(word ?? ""))}, "#
        + #"{"type": "object", "additionalProperties": {\#(schema.jsonSchema)}}]"#
    case .map: #"\#(described), "type": "object", "additionalProperties": {\#(schema.jsonSchema)}"#
    case .nested: "\(described), \(Self.objectSchema(nested))"
    case .named: #"\#(described), "type": "object", "additionalProperties": {\#(Self.objectSchema(nested))}"#
    case .list:
      #"\#(described), "anyOf": [{\#(Self.objectSchema(nested))}, "#
        + #"{"type": "array", "items": {\#(Self.objectSchema(nested))}}]"#
    }
  }

  /// Any value can be a parameter.
  private static let parameterSchema = #""type": "string", "pattern": "\\$\\{""#

  /// Members of a JSON Schema object for a mapping with these settings.
  public static func objectSchema(_ records: [SettingRecord]) -> String {
    let properties = records.map { #"\#(quoted($0.key)): {\#($0.jsonSchema)}"# }.joined(separator: ", ")
    let required = records.filter(\.isRequired).map { quoted($0.key) }.joined(separator: ", ")
    return #""type": "object", "additionalProperties": false, "properties": {\#(properties)}"#
      + (required.isEmpty ? "" : #", "required": [\#(required)]"#)
  }
}

/// `text` as a string of JSON (RFC 8259, section 7), its quotes included.
public func quoted(_ text: String) -> String {
  var out = "\""
  for scalar in text.unicodeScalars {
    switch scalar {
    case "\"", "\\": out += "\\\(scalar)"
    case "\n": out += "\\n"
    case "\r": out += "\\r"
    case "\t": out += "\\t"
    case _ where scalar.value < 0x20:
      let digits = String(scalar.value, radix: 16)
      out += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
    default: out.unicodeScalars.append(scalar)
    }
  }
  return out + "\""
}
