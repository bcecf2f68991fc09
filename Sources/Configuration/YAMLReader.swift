import CLibYAML

/// Turns libyaml's document into nodes, and its errors into diagnostics.
@safe
final class YAMLReader {
  /// A node with what its size means for the limits.
  private struct Expansion {
    var node: YAMLNode
    var size = 1
    var height = 1
  }

  private let source: SourceText
  private var mistakes: [Diagnostic] = []
  /// Nodes so far, those behind aliases counted at every use.
  private var total = 0
  /// libyaml's numbers of the nodes that are being converted, outermost first.
  private var path: [Int32] = []
  private var seen: Set<Int32> = []
  /// Nodes met again, which can only be behind aliases: converted once more at most, however often they are used.
  private var aliased: [Int32: Expansion] = [:]

  init(_ source: SourceText) { self.source = source }

  @unsafe
  func read(_ parser: inout yaml_parser_t) throws(ConfigurationError) -> YAMLNode {
    var document = unsafe yaml_document_t()
    guard unsafe yaml_parser_load(&parser, &document) == 1 else { throw unsafe syntaxError(parser) }
    defer { unsafe yaml_document_delete(&document) }
    guard unsafe yaml_document_get_root_node(&document) != nil else {
      throw ConfigurationError(
        source.range(line: 0, column: 0, length: 1), "the file is empty",
        remedy: "start with 'nfv: 1', 'ports:' and 'graph:'")
    }
    let root = unsafe try convert(1, &document)
    var second = unsafe yaml_document_t()
    guard unsafe yaml_parser_load(&parser, &second) == 1 else { throw unsafe syntaxError(parser) }
    defer { unsafe yaml_document_delete(&second) }
    if let extra = unsafe yaml_document_get_root_node(&second) {
      let place = unsafe range(of: extra)
      mistake(place, "a second document begins here", "keep one document ('---') a file")
    }
    guard mistakes.isEmpty, let root else { throw ConfigurationError(mistakes) }
    return root.node
  }

  private func mistake(_ range: SourceRange, _ message: String, _ remedy: String, notes: [Diagnostic.Note] = []) {
    mistakes.append(Diagnostic(.error, range, message, remedy: remedy, notes: notes))
  }

  @unsafe
  private func range(of node: UnsafeMutablePointer<yaml_node_t>) -> SourceRange {
    let start = unsafe node.pointee.start_mark
    let end = unsafe node.pointee.end_mark
    let isOnOneLine = start.line == end.line
    let length = isOnOneLine ? Int(end.column) - Int(start.column) : Int(Int32.max)
    return source.range(line: Int(start.line), column: Int(start.column), length: length)
  }

  /// Nothing when the node is wrong by itself, which was noted then; what is around it can still be looked at.
  @unsafe
  private func convert(_ index: Int32, _ document: inout yaml_document_t) throws(ConfigurationError) -> Expansion? {
    guard let node = unsafe yaml_document_get_node(&document, index) else { return nil }
    let place = unsafe range(of: node)
    guard !path.contains(index) else {
      mistake(place, "an alias stands within what it stands for", "remove the alias")
      return nil
    }
    let isAliased = !seen.insert(index).inserted
    if isAliased, let known = aliased[index] {
      try admit(known.size, known.height, place)
      return known
    }
    try admit(1, 1, place)
    path.append(index)
    defer { path.removeLast() }
    var result: Expansion?
    switch unsafe node.pointee.type {
    case YAML_SCALAR_NODE: result = unsafe scalar(node, place)
    case YAML_SEQUENCE_NODE: result = unsafe try sequence(node, place, &document)
    default: result = unsafe try mapping(node, place, &document)
    }
    if unsafe !isTagKnown(node, place) { return nil }
    if isAliased { aliased[index] = result }
    return result
  }

  private func admit(_ size: Int, _ height: Int, _ place: SourceRange) throws(ConfigurationError) {
    total += size
    guard total <= YAMLDocument.maximumNodes else {
      throw ConfigurationError(
        mistakes
          + ConfigurationError(
            place, "there are more than a million values",
            remedy: "use fewer aliases, and keep long lists in files of their own"
          ).diagnostics)
    }
    guard path.count + height <= YAMLDocument.maximumDepth else {
      throw ConfigurationError(
        mistakes
          + ConfigurationError(place, "lists are nested too deeply", remedy: "nest at most 64 levels").diagnostics)
    }
  }

  @unsafe
  private func scalar(_ node: UnsafeMutablePointer<yaml_node_t>, _ place: SourceRange) -> Expansion? {
    let scalar = unsafe node.pointee.data.scalar
    let text = unsafe String(decoding: UnsafeBufferPointer(start: scalar.value, count: scalar.length), as: UTF8.self)
    guard !text.utf8.contains(0) else {
      mistake(place, "a NUL character in text", "remove it")
      return nil
    }
    return unsafe Expansion(node: YAMLNode(.scalar(text, isPlain: scalar.style == YAML_PLAIN_SCALAR_STYLE), place))
  }

  @unsafe
  private func sequence(
    _ node: UnsafeMutablePointer<yaml_node_t>, _ place: SourceRange, _ document: inout yaml_document_t
  ) throws(ConfigurationError) -> Expansion {
    var members: [YAMLNode] = []
    var whole = Expansion(node: YAMLNode(.sequence([]), place))
    let items = unsafe node.pointee.data.sequence.items
    var item = unsafe items.start
    while let current = unsafe item, unsafe current < items.top {
      unsafe item = current + 1
      guard let member = unsafe try convert(current.pointee, &document) else { continue }
      members.append(member.node)
      whole.size += member.size
      whole.height = max(whole.height, member.height + 1)
    }
    whole.node.kind = .sequence(members)
    return whole
  }

  @unsafe
  private func mapping(
    _ node: UnsafeMutablePointer<yaml_node_t>, _ place: SourceRange, _ document: inout yaml_document_t
  ) throws(ConfigurationError) -> Expansion {
    var members: [(key: YAMLNode, value: YAMLNode)] = []
    var first: [String: SourceRange] = [:]
    var whole = Expansion(node: YAMLNode(.mapping([]), place))
    let pairs = unsafe node.pointee.data.mapping.pairs
    var pair = unsafe pairs.start
    while let current = unsafe pair, unsafe current < pairs.top {
      unsafe pair = current + 1
      let key = unsafe try convert(current.pointee.key, &document)
      let value = unsafe try convert(current.pointee.value, &document)
      guard let key, isKeyValid(key.node, &first), let value else { continue }
      members.append((key.node, value.node))
      whole.size += key.size + value.size
      whole.height = max(whole.height, value.height + 1)
    }
    whole.node.kind = .mapping(members)
    return whole
  }

  private func isKeyValid(_ key: YAMLNode, _ first: inout [String: SourceRange]) -> Bool {
    guard let name = key.scalar else {
      mistake(key.range, "a key must be a word", "write 'key: value'")
      return false
    }
    guard name != "<<" else {
      mistake(key.range, "merge keys are not supported", "use an alias for the whole value")
      return false
    }
    if let earlier = first[name] {
      mistake(key.range, "'\(name)' is given twice", "keep one of them", notes: [.init(earlier, "first given here")])
      return false
    }
    first[name] = key.range
    return true
  }

  @unsafe
  private func isTagKnown(_ node: UnsafeMutablePointer<yaml_node_t>, _ place: SourceRange) -> Bool {
    guard let tag = unsafe node.pointee.tag else { return true }
    let name = unsafe String(cString: UnsafeRawPointer(tag).assumingMemoryBound(to: CChar.self))
    let known = ["str", "seq", "map", "int", "float", "bool", "null"].map { "tag:yaml.org,2002:\($0)" }
    if known.contains(name) { return true }
    mistake(place, "tags such as '\(name)' have no meaning here", "remove the tag")
    return false
  }

  // MARK: Syntax

  @unsafe
  private func syntaxError(_ parser: yaml_parser_t) -> ConfigurationError {
    let problem = unsafe parser.problem.map { unsafe String(cString: $0) } ?? "unreadable"
    if unsafe parser.error == YAML_MEMORY_ERROR {
      return source.outOfMemory
    }
    if unsafe parser.error == YAML_READER_ERROR {
      return ConfigurationError(
        mistakes + [
          Diagnostic(
            .error, unsafe source.range(offset: Int(parser.problem_offset)), "this is not text: \(problem)",
            remedy: "save the file as UTF-8")
        ])
    }
    let mark = unsafe parser.problem_mark
    let place = source.range(line: Int(mark.line), column: Int(mark.column), length: 1)
    var notes: [Diagnostic.Note] = []
    if let context = unsafe parser.context {
      let start = unsafe parser.context_mark
      let isElsewhere = start.line != mark.line || start.column != mark.column
      notes.append(
        .init(
          isElsewhere ? source.range(line: Int(start.line), column: Int(start.column), length: 1) : nil,
          unsafe String(cString: context)))
    }
    return ConfigurationError(
      mistakes + [
        Diagnostic(
          .error, place, "this is not YAML: \(problem)", remedy: Self.remedy(problem, place), notes: notes)
      ])
  }

  private static func remedy(_ problem: String, _ place: SourceRange) -> String {
    let scalars = place.text.unicodeScalars
    let at = scalars.dropFirst(place.start.column - 1).first
    if problem.contains("undefined alias") { return "define it with '&name' further up" }
    if problem.contains("cannot start any token") {
      return at == "\t" ? "indent with spaces, not tabs" : "put the text in quotes"
    }
    // In flow style the brace of ${name} opens a mapping.
    let before = Array(scalars.prefix(place.start.column))
    if zip(before, before.dropFirst()).contains(where: { $0 == "$" && $1 == "{" }) {
      return "put '${name}' in quotes within { } and [ ]"
    }
    if problem.contains("mapping values are not allowed") {
      return "check the indentation, or put text that contains ': ' in quotes"
    }
    if problem == "second occurrence" { return "give each anchor a name of its own" }
    return "check indentation, quotes, brackets and colons"
  }
}
