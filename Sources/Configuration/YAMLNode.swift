/// A node of a YAML document with its place in the file.
public struct YAMLNode: Sendable {
  /// What a node is.
  public indirect enum Kind: Sendable {
    /// Text; `isPlain` when it is not quoted.
    case scalar(String, isPlain: Bool)
    /// A list.
    case sequence([YAMLNode])
    /// Keys and values in the order of the file; keys are unique scalars.
    case mapping([(key: YAMLNode, value: YAMLNode)])
  }

  /// What it is.
  public var kind: Kind
  /// Where it is.
  public var range: SourceRange

  /// A node at a place.
  public init(_ kind: Kind, _ range: SourceRange) {
    self.kind = kind
    self.range = range
  }

  /// The text of a scalar.
  public var scalar: String? { if case .scalar(let text, _) = kind { text } else { nil } }
  /// Whether this is an empty or null scalar, as behind `key:`.
  public var isNull: Bool {
    if case .scalar(let text, true) = kind { text.isEmpty || text == "~" || text == "null" } else { false }
  }
  /// The members of a sequence.
  public var sequence: [YAMLNode]? { if case .sequence(let members) = kind { members } else { nil } }
  /// The members of a mapping.
  public var mapping: [(key: YAMLNode, value: YAMLNode)]? {
    if case .mapping(let members) = kind { members } else { nil }
  }

  /// The value at a key of a mapping.
  public subscript(key: String) -> YAMLNode? { mapping?.first { $0.key.scalar == key }?.value }

  /// How many nodes it consists of, itself included.
  public var count: Int {
    switch kind {
    case .scalar: 1
    case .sequence(let members): members.reduce(1) { $0 + $1.count }
    case .mapping(let members): members.reduce(1) { $0 + $1.key.count + $1.value.count }
    }
  }

  /// Whether another node says the same, wherever it stands; the order of a mapping's keys does not matter.
  public func says(_ other: YAMLNode) -> Bool {
    switch (kind, other.kind) {
    case (.scalar(let text, _), .scalar(let otherText, _)):
      return text == otherText && isNull == other.isNull
    case (.sequence(let members), .sequence(let others)):
      return members.count == others.count && zip(members, others).allSatisfy { $0.says($1) }
    case (.mapping(let members), .mapping(let others)):
      return members.count == others.count
        && members.allSatisfy { member in other[member.key.scalar ?? ""].map { member.value.says($0) } ?? false }
    default: return false
    }
  }

  /// What it is, for messages.
  public var typeName: String {
    switch kind {
    case .scalar(let text, _): isNull ? "nothing" : "'\(text.prefix(40))'"
    case .sequence: "a list"
    case .mapping: "a mapping"
    }
  }

  /// The stretch of `length` scalars at `offset` in a scalar's text; the whole node where the file does not have the
  /// text in one piece, as in a block or behind escapes.
  public func part(offset: Int, length: Int) -> SourceRange {
    guard case .scalar(let text, let isPlain) = kind else { return range }
    let quote = isPlain ? 0 : 1
    let rest = range.text.unicodeScalars.dropFirst(range.start.column - 1 + quote)
    guard rest.starts(with: text.unicodeScalars) else { return range }
    return range.part(offset: offset + quote, length: length)
  }

  /// A mistake at this node.
  public func error(_ message: String, _ remedy: String) -> ConfigurationError {
    ConfigurationError(range, message, remedy: remedy)
  }
}
