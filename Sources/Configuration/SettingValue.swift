/// What a setting's value looks like, for the reference and for editors.
public struct ValueSchema: Sendable {
  /// The name for people: `prefix`, `duration`, `list of port range`.
  public var name: String
  /// A value that is valid.
  public var example: String
  /// Members of a JSON Schema object, as JSON text: `"type": "string"`.
  public var jsonSchema: String

  /// Describes a kind of value.
  public init(_ name: String, example: String, jsonSchema: String = #""type": "string""#) {
    self.name = name
    self.example = example
    self.jsonSchema = jsonSchema
  }

  /// The name as it stands behind "is not": with an article where it takes one.
  var phrase: String {
    if ["text", "yes or no", "TCP flags"].contains(name) || name.contains("|") { return name }
    let takesAn =
      name.hasPrefix("IP") || name.hasPrefix("HTTP") || name.first.map { "aeiouAEIOU".contains($0) } ?? false
    return (takesAn ? "an " : "a ") + name
  }
}

/// A type that settings can have.
public protocol SettingValue {
  /// What it looks like.
  static var schema: ValueSchema { get }
  /// Stands in for a value that is missing or wrong, until the mistake is reported.
  static var placeholder: Self { get }
  /// The value as a configuration would have it.
  var settingText: String { get }
  /// Reads a value; the error says what is expected.
  init(setting node: YAMLNode, context: SettingContext) throws(ConfigurationError)
}

/// Where a setting is read.
public struct SettingContext: Sendable {
  /// Folder of the pipeline's file, that file names are relative to.
  public var folder: String
  /// Collects the elements that settings refer to, for the graph to look up.
  public var references: ReferenceCollector?
  /// The ports that settings may refer to.
  public var ports: PortDirectory
  /// Names of the outputs, in order, that the element has which is to take over these settings while it runs; empty when
  /// there is none. Elements that number their outputs as they read begin with these.
  public var runningOutputs: [String] = []

  /// What tables' hashes and cookies are keyed with, so that strangers cannot foresee them. In a replay it is always the
  /// same, and so are the results.
  public var secret: UInt64 = 0x9E37_79B9_7F4A_7C15

  /// A context for files in `folder`.
  public init(folder: String, references: ReferenceCollector? = nil, ports: PortDirectory = PortDirectory()) {
    self.folder = folder
    self.references = references
    self.ports = ports
  }
}

extension SettingValue {
  /// What the type prints, which for Wire's types is what they read.
  public var settingText: String { "\(self)" }

  /// The error for a node that is no such value.
  static func mismatch(_ node: YAMLNode) -> ConfigurationError {
    node.error("\(node.typeName) is not \(schema.phrase)", "write it like \(schema.example)")
  }
}

/// A value that is written as one word and read by a failable initialiser.
public protocol TextSetting: SettingValue {
  /// Reads the word.
  init?(settingText text: String)
}

extension TextSetting {
  public init(setting node: YAMLNode, context: SettingContext) throws(ConfigurationError) {
    guard let text = node.scalar, let value = Self(settingText: text) else { throw Self.mismatch(node) }
    self = value
  }
}

extension TextSetting where Self: LosslessStringConvertible {
  public init?(settingText text: String) { self.init(text) }
}

extension String: SettingValue {
  public static var schema: ValueSchema {
    ValueSchema("text", example: "some text", jsonSchema: #""type": ["string", "number", "boolean"]"#)
  }
  public static var placeholder: String { "" }
  public var settingText: String { isEmpty ? "''" : self }
  public init(setting node: YAMLNode, context: SettingContext) throws(ConfigurationError) {
    guard let text = node.scalar, !node.isNull else { throw Self.mismatch(node) }
    self = text
  }
}

extension Bool: TextSetting {
  public static var schema: ValueSchema {
    ValueSchema(
      "yes or no", example: "yes", jsonSchema: #""enum": [true, false, "yes", "no", "on", "off"]"#)
  }
  public static var placeholder: Bool { false }
  public var settingText: String { self ? "yes" : "no" }
  public init?(settingText text: String) {
    switch text.lowercased() {
    case "true", "yes", "on": self = true
    case "false", "no", "off": self = false
    default: return nil
    }
  }
}

extension SettingValue where Self: FixedWidthInteger {
  public static var schema: ValueSchema {
    ValueSchema(
      "number from \(Self.min) to \(Self.max)", example: "8",
      jsonSchema: integerSchema(#", "minimum": \#(Self.min), "maximum": \#(Self.max)"#))
  }
  public static var placeholder: Self { 1 }
  public init(setting node: YAMLNode, context: SettingContext) throws(ConfigurationError) {
    guard let text = node.scalar, let value = Self(numeral: text) else { throw Self.mismatch(node) }
    self = value
  }

  /// Decimal, or hexadecimal behind "0x", with `_` between digits. "010" is refused: YAML 1.1 takes it for 8.
  private init?(numeral text: String) {
    let isNegative = text.hasPrefix("-")
    let isHexadecimal = text.dropFirst(isNegative ? 1 : 0).hasPrefix("0x")
    let digits = text.utf8.dropFirst((isNegative ? 1 : 0) + (isHexadecimal ? 2 : 0))
    let underscore = UInt8(ascii: "_")
    guard let first = digits.first, first != underscore, digits.last != underscore, digits.count <= 80,
      first != UInt8(ascii: "0") || digits.count == 1 || isHexadecimal
    else { return nil }
    let numeral = String(decoding: digits.filter { $0 != underscore }, as: UTF8.self)
    guard numeral.utf8.allSatisfy({ $0 != UInt8(ascii: "+") && $0 != UInt8(ascii: "-") }) else { return nil }
    self.init((isNegative ? "-" : "") + numeral, radix: isHexadecimal ? 16 : 10)
  }
}

private func integerSchema(_ limits: String = "") -> String {
  #""anyOf": [{"type": "integer"\#(limits)}, {"type": "string", "pattern": "^-?(0x[0-9A-Fa-f_]+|[0-9_]+)$"}]"#
}

extension Int: SettingValue {
  public static var schema: ValueSchema { ValueSchema("whole number", example: "8", jsonSchema: integerSchema()) }
}
extension Int8: SettingValue {}
extension Int16: SettingValue {}
extension Int32: SettingValue {}
extension Int64: SettingValue {}
extension UInt: SettingValue {}
extension UInt8: SettingValue {}
extension UInt16: SettingValue {}
extension UInt32: SettingValue {}
extension UInt64: SettingValue {}

extension Double: TextSetting {
  public static var schema: ValueSchema { ValueSchema("number", example: "0.5", jsonSchema: #""type": "number""#) }
  public static var placeholder: Double { 1 }
  public var settingText: String { self == rounded() && magnitude < 1e15 ? String(Int(self)) : "\(self)" }
  public init?(settingText text: String) {
    guard let value = Double(text), value.isFinite else { return nil }
    self = value
  }
}

extension Array: SettingValue where Element: SettingValue {
  public static var schema: ValueSchema {
    let one = Element.schema
    return ValueSchema(
      "list of \(one.name)", example: "[\(one.example)]",
      jsonSchema: #""anyOf": [{\#(one.jsonSchema)}, {"type": "array", "items": {\#(one.jsonSchema)}}]"#)
  }
  public static var placeholder: [Element] { [] }
  public var settingText: String { "[" + map(\.settingText).joined(separator: ", ") + "]" }
  public init(setting node: YAMLNode, context: SettingContext) throws(ConfigurationError) {
    // One value stands for a list of one.
    guard let members = node.sequence else {
      guard !node.isNull else { throw Self.mismatch(node) }
      self = [try Element(setting: node, context: context)]
      return
    }
    var values: [Element] = []
    var mistakes: [Diagnostic] = []
    for member in members {
      do throws(ConfigurationError) {
        values.append(try Element(setting: member, context: context))
      } catch {
        mistakes += error.diagnostics
      }
    }
    guard mistakes.isEmpty else { throw ConfigurationError(mistakes) }
    self = values
  }
}

/// An enumeration whose raw values are the words of the configuration.
public protocol SettingChoice: SettingValue, RawRepresentable<String>, CaseIterable {}

extension SettingChoice {
  public static var schema: ValueSchema {
    let words = allCases.map(\.rawValue)
    return ValueSchema(
      words.joined(separator: " | "), example: words[0],
      jsonSchema: #""enum": [\#(words.map { quoted($0) }.joined(separator: ", "))]"#)
  }
  public static var placeholder: Self { allCases[allCases.startIndex] }
  public var settingText: String { rawValue }
  public init(setting node: YAMLNode, context: SettingContext) throws(ConfigurationError) {
    let words = Self.allCases.map(\.rawValue)
    guard let text = node.scalar else { throw Self.mismatch(node) }
    guard let value = Self(rawValue: text) else {
      let meant = didYouMean(text, among: words).map { "did you mean '\($0)'?" }
      throw node.error(
        "\(node.typeName) is none of \(words.joined(separator: ", "))", meant ?? "write it like \(words[0])")
    }
    self = value
  }
}

/// A file named in a pipeline; relative names start from the pipeline's folder.
public struct FileSetting: SettingValue, Hashable, Sendable {
  /// The path to open.
  public let path: String
  /// Where it is named.
  public let range: SourceRange?

  /// A file by its path.
  public init(path: String, range: SourceRange? = nil) {
    self.path = path
    self.range = range
  }

  public static var schema: ValueSchema { ValueSchema("file", example: "routes.txt") }
  public var settingText: String { path }
  public static var placeholder: FileSetting { FileSetting(path: "/dev/null") }
  public init(setting node: YAMLNode, context: SettingContext) throws(ConfigurationError) {
    guard let text = node.scalar, !text.isEmpty else { throw Self.mismatch(node) }
    path = text.hasPrefix("/") || context.folder.isEmpty ? text : "\(context.folder)/\(text)"
    range = node.range
  }
}

/// The elements that settings refer to. Filled while a file is read, by one thread.
public final class ReferenceCollector: @unchecked Sendable {
  /// Every reference, in the order they were read.
  public internal(set) var references: [ElementReference] = []

  /// None yet.
  public init() {}
}

/// The name of another element of the graph; that there is one is checked when the graph is put together.
public struct ElementReference: SettingValue, Hashable, Sendable {
  /// The name.
  public let name: String
  /// Where it is written.
  public let range: SourceRange?

  public static var schema: ValueSchema { ValueSchema("element", example: "nat") }
  public var settingText: String { name }
  public static var placeholder: ElementReference { ElementReference(name: "", range: nil) }

  init(name: String, range: SourceRange?) {
    self.name = name
    self.range = range
  }

  public init(setting node: YAMLNode, context: SettingContext) throws(ConfigurationError) {
    guard let text = node.scalar, !text.isEmpty else { throw Self.mismatch(node) }
    self.init(name: text, range: node.range)
    context.references?.references.append(self)
  }
}

/// The pipeline's ports by name, and the numbers that their packets carry. Filled by one thread, while a file is read and
/// again when ports are opened.
public final class PortDirectory: @unchecked Sendable {
  private var entries: [(name: String, number: Int)] = []

  /// A directory of these ports.
  public init(_ entries: [(name: String, number: Int)] = []) { self.entries = entries }

  /// Adds a port, or gives one its number.
  public func set(_ name: String, number: Int) {
    entries.removeAll { $0.name == name }
    entries.append((name, number))
  }

  /// Names of all ports.
  public var names: [String] { entries.map(\.name) }

  /// The number that packets from this port carry.
  public func number(of name: String) -> Int? { entries.first { $0.name == name }?.number }
}

/// The name of a port of the pipeline.
public struct PortReference: SettingValue, Hashable, Sendable {
  /// The name.
  public let name: String
  /// The number that packets from the port carry.
  public let number: Int

  public static var schema: ValueSchema { ValueSchema("port's name", example: "lan") }
  public var settingText: String { name }
  public static var placeholder: PortReference { PortReference(name: "", number: 0) }

  private init(name: String, number: Int) {
    self.name = name
    self.number = number
  }

  public init(setting node: YAMLNode, context: SettingContext) throws(ConfigurationError) {
    guard let text = node.scalar, !text.isEmpty else { throw Self.mismatch(node) }
    guard let number = context.ports.number(of: text) else {
      throw node.error("there is no port '\(text)'", remedy(for: text, among: context.ports.names))
    }
    self.init(name: text, number: number)
  }
}
