/// Values for `${name}` in a pipeline: the file's defaults under `--set name=value`.
public struct Parameters: Sendable {
  private var values: [String: YAMLNode] = [:]
  /// Names that were used so far.
  public private(set) var used: Set<String> = []

  /// No parameters.
  public init() {}

  /// The names there are.
  public var names: [String] { values.keys.sorted() }

  /// Gives a parameter a value, replacing what it had.
  public mutating func set(_ name: String, _ value: YAMLNode) { values[name] = value }

  /// Puts values in place of `${name}` everywhere below a node. A scalar that is nothing but `${name}` becomes the
  /// value, whatever that is; within text a scalar's text is put in. `$$` stands for `$`.
  public mutating func substitute(_ node: YAMLNode) throws(ConfigurationError) -> YAMLNode {
    try substitute(node, depth: 0)
  }

  private mutating func substitute(_ node: YAMLNode, depth: Int) throws(ConfigurationError) -> YAMLNode {
    guard depth < YAMLDocument.maximumDepth else {
      throw node.error("parameters refer to each other in a circle", "give one of them a value of its own")
    }
    var result = node
    switch node.kind {
    case .scalar(let text, let isPlain):
      guard text.utf8.contains(UInt8(ascii: "$")) else { return node }
      if let name = soleReference(text) {
        result = try substitute(try value(of: name, node, offset: 0), depth: depth + 1)
        // Mistakes in the value are shown where it is used.
        result.range = node.range
        return result
      }
      result.kind = .scalar(try expand(text, node, depth), isPlain: isPlain)
    case .sequence(let members):
      var replaced: [YAMLNode] = []
      for member in members { replaced.append(try substitute(member, depth: depth + 1)) }
      result.kind = .sequence(replaced)
    case .mapping(let members):
      var replaced: [(key: YAMLNode, value: YAMLNode)] = []
      for (key, value) in members { replaced.append((key, try substitute(value, depth: depth + 1))) }
      result.kind = .mapping(replaced)
    }
    return result
  }

  private func soleReference(_ text: String) -> String? {
    guard text.hasPrefix("${"), text.hasSuffix("}") else { return nil }
    let name = text.dropFirst(2).dropLast()
    return name.contains(where: { $0 == "}" || $0 == "$" }) ? nil : String(name)
  }

  private mutating func value(of name: String, _ node: YAMLNode, offset: Int) throws(ConfigurationError) -> YAMLNode {
    used.insert(name)
    if let value = values[name] { return value }
    throw ConfigurationError(
      node.part(offset: offset, length: name.count + 3), "there is no parameter '\(name)'",
      remedy: didYouMean(name, among: names).map { "did you mean '\($0)'?" } ?? "give it a default under 'parameters:'")
  }

  private mutating func expand(_ text: String, _ node: YAMLNode, _ depth: Int) throws(ConfigurationError) -> String {
    var out = ""
    var rest = Substring(text)
    while let dollar = rest.firstIndex(of: "$") {
      out += rest[..<dollar]
      let offset = text.distance(from: text.startIndex, to: dollar)
      rest = rest[rest.index(after: dollar)...]
      if rest.first == "$" {
        out += "$"
        rest = rest.dropFirst()
      } else if rest.first == "{", let close = rest.firstIndex(of: "}") {
        let name = String(rest[rest.index(after: rest.startIndex)..<close])
        let value = try substitute(try value(of: name, node, offset: offset), depth: depth + 1)
        guard let inserted = value.scalar else {
          throw ConfigurationError(
            node.part(offset: offset, length: name.count + 3),
            "'${\(name)}' is \(value.typeName), which does not fit into text",
            remedy: "let it stand alone")
        }
        out += inserted
        rest = rest[rest.index(after: close)...]
      } else {
        throw ConfigurationError(
          node.part(offset: offset, length: 1), "a '$' that begins no '${name}'",
          remedy: "write '$$' for the sign itself")
      }
    }
    return out + rest
  }
}
