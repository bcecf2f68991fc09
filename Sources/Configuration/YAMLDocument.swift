import CLibYAML

/// Loads YAML files through libyaml's document API, which keeps the places that diagnostics need.
///
/// Anchors and aliases are followed; merge keys (`<<`), tags, several documents in a file and keys that are no scalars
/// are refused, as are files that would expand to more than `maximumNodes` nodes. A value behind an alias has its place
/// at the anchor. One run reports every mistake but for those of the syntax, of which libyaml finds the first.
public enum YAMLDocument {
  /// Larger files are refused; data belongs into files of their own.
  public static let maximumBytes = 16 << 20
  /// Nodes after aliases were followed.
  public static let maximumNodes = 1_000_000
  /// Lists and mappings within one another.
  public static let maximumDepth = 64
  /// Anchors in a file; libyaml searches them one by one.
  public static let maximumAnchors = 1000

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
    let source = try SourceText(bytes: bytes, name: name)
    try source.check()
    var parser = unsafe yaml_parser_t()
    guard unsafe yaml_parser_initialize(&parser) == 1 else { throw source.outOfMemory }
    defer { unsafe yaml_parser_delete(&parser) }
    unsafe yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING)
    let result = unsafe source.bytes.withUnsafeBufferPointer { buffer -> Result<YAMLNode, ConfigurationError> in
      unsafe yaml_parser_set_input_string(&parser, buffer.baseAddress, buffer.count)
      do throws(ConfigurationError) {
        return .success(unsafe try YAMLReader(source).read(&parser))
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
