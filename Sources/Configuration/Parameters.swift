/// Values for `${name}` in a pipeline: the file's defaults under `--set name=value`.
public struct Parameters: Sendable {
  /// A value with the parameters that it mentions put in.
  private struct Resolved {
    var node: YAMLNode
    var size: Int
  }

  /// Text longer than this after substitution is refused, in bytes.
  public static let maximumText = 1 << 16

  private var values: [String: YAMLNode] = [:]
  private var finals: Set<String> = []
  private var resolved: [String: Resolved] = [:]
  /// Parameters whose values are being resolved, to find circles.
  private var active: [String] = []
  /// Nodes put in so far: short values that mention each other twice grow without bound.
  private var inserted = 0
  private var mistakes: [Diagnostic] = []
  /// Parameters whose mistakes this substitution has noted.
  private var failed: Set<String> = []
  /// Names that were used so far.
  public private(set) var used: Set<String> = []

  /// No parameters.
  public init() {}

  /// The names there are.
  public var names: [String] { values.keys.sorted() }

  /// Gives a parameter a value, replacing what it had.
  /// - Parameter isFinal: Whether the value went through a substitution already, as a subgraph's arguments did: then a
  ///   `$` in it is just that.
  public mutating func set(_ name: String, _ value: YAMLNode, isFinal: Bool = false) {
    values[name] = value
    if isFinal { finals.insert(name) } else { finals.remove(name) }
    resolved = [:]
  }

  /// Puts values in place of `${name}` everywhere below a node. A scalar that is nothing but `${name}`, in quotes or not,
  /// becomes the value, whatever that is; within text a scalar's text is put in. `$$` stands for `$`.
  /// - Throws: Every mistake below the node.
  public mutating func substitute(_ node: YAMLNode) throws(ConfigurationError) -> YAMLNode {
    mistakes = []
    failed = []
    let result = expand(node)
    if !mistakes.isEmpty { throw ConfigurationError(mistakes) }
    return result
  }

  private mutating func mistake(_ range: SourceRange, _ message: String, _ remedy: String) {
    mistakes.append(Diagnostic(.error, range, message, remedy: remedy))
  }

  private mutating func expand(_ node: YAMLNode) -> YAMLNode {
    var result = node
    switch node.kind {
    case .scalar(let text, let isPlain):
      guard text.utf8.contains(UInt8(ascii: "$")) else { return node }
      if let name = soleReference(text) {
        guard let value = value(of: name, node, offset: 0) else { return node }
        inserted += value.size
        guard inserted <= YAMLDocument.maximumNodes else {
          mistake(node.range, "parameters expand to more than a million values", "let them mention each other less")
          return node
        }
        result = value.node
        // Mistakes in the value are shown where it is used.
        result.range = node.range
      } else {
        result.kind = .scalar(expand(text, node), isPlain: isPlain)
      }
    case .sequence(let members):
      result.kind = .sequence(members.map { expand($0) })
    case .mapping(let members):
      result.kind = .mapping(members.map { ($0.key, expand($0.value)) })
    }
    return result
  }

  private func soleReference(_ text: String) -> String? {
    guard text.hasPrefix("${"), text.hasSuffix("}") else { return nil }
    let name = text.dropFirst(2).dropLast()
    return name.contains(where: { $0 == "}" || $0 == "$" }) ? nil : String(name)
  }

  private mutating func value(of name: String, _ node: YAMLNode, offset: Int) -> Resolved? {
    used.insert(name)
    if let known = resolved[name] { return known }
    guard !failed.contains(name) else { return nil }
    let place = node.part(offset: offset, length: name.unicodeScalars.count + 3)
    guard let raw = values[name] else {
      let meant = didYouMean(name, among: names).map { "did you mean '\($0)'?" }
      mistake(place, "there is no parameter '\(name)'", meant ?? "give it a default under 'parameters:'")
      return nil
    }
    guard !active.contains(name) else {
      let circle = (active.drop { $0 != name } + [name]).joined(separator: " -> ")
      mistake(place, "parameter '\(name)' is part of a circle: \(circle)", "give one of them a value of its own")
      return nil
    }
    guard active.count < YAMLDocument.maximumDepth else {
      mistake(place, "parameters mention each other too deeply", "let fewer stand between '\(name)' and its value")
      return nil
    }
    let before = mistakes.count
    active.append(name)
    let node = finals.contains(name) ? raw : expand(raw)
    active.removeLast()
    guard mistakes.count == before else {
      failed.insert(name)
      return nil
    }
    let value = Resolved(node: node, size: node.count)
    resolved[name] = value
    return value
  }

  private mutating func expand(_ text: String, _ node: YAMLNode) -> String {
    var out = ""
    var rest = Substring(text)
    while let dollar = rest.firstIndex(of: "$") {
      out += rest[..<dollar]
      let offset = text.unicodeScalars.distance(from: text.startIndex, to: dollar)
      rest = rest[rest.index(after: dollar)...]
      if rest.first == "$" {
        out += "$"
        rest = rest.dropFirst()
      } else if rest.first == "{", let close = rest.firstIndex(of: "}") {
        let name = String(rest[rest.index(after: rest.startIndex)..<close])
        rest = rest[rest.index(after: close)...]
        guard let value = value(of: name, node, offset: offset)?.node else { continue }
        guard let inserted = value.scalar else {
          mistake(
            node.part(offset: offset, length: name.unicodeScalars.count + 3),
            "'${\(name)}' is \(value.typeName), which does not fit into text", "let it stand alone")
          continue
        }
        out += inserted
        guard out.utf8.count <= Self.maximumText else {
          mistake(node.range, "this is longer than 64 KiB once parameters are put in", "shorten their values")
          return text
        }
      } else {
        mistake(
          node.part(offset: offset, length: 1), "a '$' that begins no '${name}'", "write '$$' for the sign itself")
      }
    }
    return out + rest
  }
}
