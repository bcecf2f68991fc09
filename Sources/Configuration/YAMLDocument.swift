import CLibYAML

/// Loads YAML files through libyaml's document API, which keeps the places that diagnostics need.
///
/// Anchors and aliases are followed; merge keys (`<<`), tags, several documents in a file and keys that are no scalars
/// are refused, as are files that would expand to more than `maximumNodes` nodes.
public enum YAMLDocument {
  /// Larger files are refused; data belongs into files of their own.
  public static let maximumBytes = 16 << 20
  /// Nodes after aliases were followed.
  public static let maximumNodes = 1_000_000
  /// Lists and mappings within one another.
  public static let maximumDepth = 64

  /// Loads a file.
  public static func load(path: String) throws(ConfigurationError) -> YAMLNode {
    try load(bytes: try readFile(path), name: path)
  }

  /// Loads text.
  public static func load(text: String, name: String) throws(ConfigurationError) -> YAMLNode {
    try load(bytes: Array(text.utf8), name: name)
  }

  /// Loads bytes.
  /// - Parameter name: The file's name for diagnostics.
  public static func load(bytes: [UInt8], name: String) throws(ConfigurationError) -> YAMLNode {
    let source = Source(bytes: bytes, name: name)
    try source.checkDepth()
    var parser = unsafe yaml_parser_t()
    guard unsafe yaml_parser_initialize(&parser) == 1 else { throw source.outOfMemory }
    defer { unsafe yaml_parser_delete(&parser) }
    let result = unsafe bytes.withUnsafeBufferPointer { buffer -> Result<YAMLNode, ConfigurationError> in
      unsafe yaml_parser_set_input_string(&parser, buffer.baseAddress, buffer.count)
      do throws(ConfigurationError) {
        return .success(unsafe try source.parse(&parser))
      } catch {
        return .failure(error)
      }
    }
    return try result.get()
  }

  private static func readFile(_ path: String) throws(ConfigurationError) -> [UInt8] {
    do throws(FileError) {
      return try readBytes(of: path, limit: maximumBytes)
    } catch {
      throw ConfigurationError(
        nil, "\(path): \(error.reason)",
        remedy: "name a YAML file that can be read; keep routes and rules in files of their own")
    }
  }
}

/// The text of a file while it is parsed.
@safe
private final class Source {
  let name: String
  let lines: [String]
  let isEmpty: Bool
  let bytes: [UInt8]
  var budget = YAMLDocument.maximumNodes

  init(bytes: [UInt8], name: String) {
    self.name = name
    self.bytes = bytes
    isEmpty = bytes.allSatisfy { $0 == 32 || $0 == 10 || $0 == 13 || $0 == 9 }
    lines = bytes.split(separator: 10, omittingEmptySubsequences: false).map { line in
      String(decoding: line.last == 13 ? line.dropLast() : line, as: UTF8.self)
    }
  }

  var outOfMemory: ConfigurationError { ConfigurationError(nil, "\(name): out of memory", remedy: "shorten the file") }

  /// libyaml looks for the end of nested flow lists by recursion in its composer; refuse what goes too deep beforehand.
  func checkDepth() throws(ConfigurationError) {
    var depth = 0
    for (offset, byte) in bytes.enumerated() {
      switch byte {
      case UInt8(ascii: "["), UInt8(ascii: "{"):
        depth += 1
        if depth > 1024 {
          let line = bytes[..<offset].count { $0 == 10 }
          throw ConfigurationError(
            range(line: line, column: 0, length: 1), "lists are nested too deeply", remedy: "nest at most 64 levels")
        }
      case UInt8(ascii: "]"), UInt8(ascii: "}"): depth = max(0, depth - 1)
      default: break
      }
    }
  }

  func range(line: Int, column: Int, length: Int) -> SourceRange {
    SourceRange(
      start: SourcePosition(file: name, line: line + 1, column: column + 1), length: length,
      text: line < lines.count ? lines[line] : "")
  }

  @unsafe
  func parse(_ parser: inout yaml_parser_t) throws(ConfigurationError) -> YAMLNode {
    var document = unsafe yaml_document_t()
    guard unsafe yaml_parser_load(&parser, &document) == 1 else { throw unsafe syntaxError(parser) }
    defer { unsafe yaml_document_delete(&document) }
    guard let root = unsafe yaml_document_get_root_node(&document) else {
      throw ConfigurationError(
        range(line: 0, column: 0, length: 1), "the file is empty", remedy: "start with 'nfv: 1', 'ports:' and 'graph:'")
    }
    var stack: [Int32] = []
    let node = unsafe try convert(root, 1, &document, &stack)
    var second = unsafe yaml_document_t()
    guard unsafe yaml_parser_load(&parser, &second) == 1 else { throw unsafe syntaxError(parser) }
    defer { unsafe yaml_document_delete(&second) }
    if let extra = unsafe yaml_document_get_root_node(&second) {
      throw ConfigurationError(
        unsafe range(of: extra), "a second document begins here", remedy: "keep one document ('---') a file")
    }
    return node
  }

  @unsafe
  private func syntaxError(_ parser: yaml_parser_t) -> ConfigurationError {
    let problem = unsafe parser.problem.map { unsafe String(cString: $0) } ?? "unreadable"
    var line = unsafe Int(parser.problem_mark.line)
    var column = unsafe Int(parser.problem_mark.column)
    if unsafe parser.error == YAML_READER_ERROR {
      let offset = unsafe min(Int(parser.problem_offset), bytes.count)
      line = bytes[..<offset].count { $0 == 10 }
      let lineStart = bytes[..<offset].lastIndex(of: 10).map { $0 + 1 } ?? 0
      column = String(decoding: bytes[lineStart..<offset], as: UTF8.self).count
    }
    var message = "this is not YAML: \(problem)"
    if let context = unsafe parser.context { message += unsafe " (\(String(cString: context)))" }
    return ConfigurationError(
      range(line: line, column: column, length: 1), message, remedy: "check indentation, quotes and colons")
  }

  @unsafe
  private func range(of node: UnsafeMutablePointer<yaml_node_t>) -> SourceRange {
    let start = unsafe node.pointee.start_mark
    let end = unsafe node.pointee.end_mark
    let length = start.line == end.line ? Int(end.column) - Int(start.column) : Int.max / 2
    return range(line: Int(start.line), column: Int(start.column), length: length)
  }

  @unsafe
  private func convert(
    _ node: UnsafeMutablePointer<yaml_node_t>, _ index: Int32, _ document: inout yaml_document_t, _ stack: inout [Int32]
  ) throws(ConfigurationError) -> YAMLNode {
    let place = unsafe range(of: node)
    budget -= 1
    guard budget > 0 else {
      throw ConfigurationError(place, "the file expands to more than a million nodes", remedy: "use fewer aliases")
    }
    guard stack.count < YAMLDocument.maximumDepth else {
      throw ConfigurationError(place, "nested too deeply", remedy: "nest at most 64 levels")
    }
    guard !stack.contains(index) else {
      throw ConfigurationError(place, "an alias stands within what it stands for", remedy: "remove the alias")
    }
    unsafe try checkTag(node, place)
    stack.append(index)
    defer { stack.removeLast() }
    switch unsafe node.pointee.type {
    case YAML_SCALAR_NODE:
      let scalar = unsafe node.pointee.data.scalar
      let text = unsafe String(decoding: UnsafeBufferPointer(start: scalar.value, count: scalar.length), as: UTF8.self)
      guard !text.utf8.contains(0) else {
        throw ConfigurationError(place, "a NUL character in text", remedy: "remove it")
      }
      return unsafe YAMLNode(.scalar(text, isPlain: scalar.style == YAML_PLAIN_SCALAR_STYLE), place)
    case YAML_SEQUENCE_NODE:
      var members: [YAMLNode] = []
      let items = unsafe node.pointee.data.sequence.items
      var item = unsafe items.start
      while let current = unsafe item, unsafe current < items.top {
        if let member = unsafe yaml_document_get_node(&document, current.pointee) {
          members.append(unsafe try convert(member, current.pointee, &document, &stack))
        }
        unsafe item = current + 1
      }
      return YAMLNode(.sequence(members), place)
    default:
      return YAMLNode(.mapping(unsafe try members(of: node, &document, &stack)), place)
    }
  }

  @unsafe
  private func members(
    of node: UnsafeMutablePointer<yaml_node_t>, _ document: inout yaml_document_t, _ stack: inout [Int32]
  ) throws(ConfigurationError) -> [(key: YAMLNode, value: YAMLNode)] {
    var members: [(key: YAMLNode, value: YAMLNode)] = []
    var seen: [String: SourceRange] = [:]
    let pairs = unsafe node.pointee.data.mapping.pairs
    var pair = unsafe pairs.start
    while let current = unsafe pair, unsafe current < pairs.top {
      unsafe pair = current + 1
      guard let keyNode = unsafe yaml_document_get_node(&document, current.pointee.key),
        let valueNode = unsafe yaml_document_get_node(&document, current.pointee.value)
      else { continue }
      let key = unsafe try convert(keyNode, current.pointee.key, &document, &stack)
      guard let name = key.scalar else { throw key.error("a key must be a word", "write 'key: value'") }
      guard name != "<<" else { throw key.error("merge keys are not supported", "use an alias for the whole value") }
      if let first = seen[name] {
        throw ConfigurationError(
          key.range, "'\(name)' is given twice", remedy: "keep one of them", notes: [.init(first, "first given here")])
      }
      seen[name] = key.range
      members.append((key, unsafe try convert(valueNode, current.pointee.value, &document, &stack)))
    }
    return members
  }

  @unsafe
  private func checkTag(_ node: UnsafeMutablePointer<yaml_node_t>, _ place: SourceRange) throws(ConfigurationError) {
    guard let tag = unsafe node.pointee.tag else { return }
    let name = unsafe String(cString: UnsafeRawPointer(tag).assumingMemoryBound(to: CChar.self))
    let known = ["str", "seq", "map", "int", "float", "bool", "null"].map { "tag:yaml.org,2002:\($0)" }
    guard known.contains(name) else {
      throw ConfigurationError(place, "tags such as '\(name)' have no meaning here", remedy: "remove the tag")
    }
  }
}
