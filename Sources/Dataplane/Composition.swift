public import Configuration

/// What an element that is made of others consists of: parts, and how they are wired.
public struct Composition {
  /// One of the elements.
  public struct Part {
    /// Its name among the parts.
    public let name: String
    /// What it is; makes its instances without settings.
    public let kind: ElementKind
  }

  /// The ends that the whole has, and what they are called among the parts.
  public private(set) var inputs: [(name: String, inner: String)] = []
  /// The ends that the whole has, and what they are called among the parts.
  public private(set) var outputs: [(name: String, inner: String)] = []
  /// The parts.
  public private(set) var parts: [Part] = []
  /// What is done for it beside the packet path.
  public var tasks: [any ControlTask] = []
  /// Lines as the graph of a pipeline has them, over the names of parts and ends.
  public private(set) var graph: [String] = []

  /// Nothing yet.
  public init() {}

  /// Adds an input and returns its name for the lines.
  public mutating func input(_ name: String) -> String {
    inputs.append((name, "in-\(name)"))
    return "in-\(name)"
  }

  /// Adds an output and returns its name for the lines.
  public mutating func output(_ name: String) -> String {
    outputs.append((name, "out-\(name)"))
    return "out-\(name)"
  }

  /// Adds a part and returns its name.
  /// - Parameter make: Makes an instance for a worker.
  @inlinable
  public mutating func add<E: Element & ~Copyable & SendableMetatype>(
    _ name: String, _ type: E.Type, _ make: @escaping @Sendable () throws(ConfigurationError) -> E
  ) -> String {
    append(name, ElementKind(part: type) { () throws(ConfigurationError) in ElementInstance(try make()) })
    return name
  }

  @usableFromInline
  mutating func append(_ name: String, _ kind: ElementKind) { parts.append(Part(name: name, kind: kind)) }

  /// Adds a line.
  public mutating func connect(_ line: String) { graph.append(line) }
}

/// An element that is made of others, wired in the right order; Click calls it a compound element. Its ends can depend on
/// its settings.
public protocol CompositeElement {
  /// For the reference.
  static var about: ElementDescription { get }
  /// Reads the settings. Leftover settings are refused by the caller.
  init(_ settings: inout Settings) throws(ConfigurationError)
  /// The parts and how they are wired. What they share is made once and handed to all.
  var composition: Composition { get }
}
