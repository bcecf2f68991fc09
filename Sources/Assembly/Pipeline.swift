public import Configuration
public import Dataplane

/// A pipeline that was read and checked, ready to be opened and run.
public struct Pipeline {
  /// A port of the file.
  public struct PortDeclaration: Sendable {
    /// The name in the graph.
    public let name: String
    /// What it is.
    public let specification: any PortSpecification
    /// Where it is declared.
    public let range: SourceRange?

    /// What it is, for reports.
    public var summary: String { specification.summary }
  }

  /// An element of the file, or of one of its subgraphs.
  public struct ElementDeclaration {
    /// The name in the graph.
    public let name: String
    /// Its type.
    public let kind: ElementKind
    /// Its settings, parameters put in.
    let settings: YAMLNode?
    let range: SourceRange?
    let context: SettingContext
    /// What its instances share.
    let store: SharedStore
    /// What is done for it beside the packet path.
    public var tasks: [any ControlTask] { store.objects.compactMap { $0.object as? any ControlTask } }

    /// Makes an instance for another worker.
    func make() throws(ConfigurationError) -> ElementInstance {
      var settings = Settings(settings, range: range, context: context, store: store)
      return try kind.makeInstance(&settings)
    }
  }

  /// An element that is made of others.
  public struct Composite {
    /// The name in the graph; its parts are `name/part`.
    public let name: String
    /// Its type.
    public let kind: ElementKind
    /// Its settings, parameters put in.
    let settings: YAMLNode?
    let range: SourceRange?
    let store: SharedStore
    private let others: [any ControlTask]

    init(
      name: String, kind: ElementKind, settings: YAMLNode?, range: SourceRange?, store: SharedStore,
      tasks: [any ControlTask]
    ) {
      self.name = name
      self.kind = kind
      self.settings = settings
      self.range = range
      self.store = store
      others = tasks
    }

    /// What is done for it beside the packet path.
    public var tasks: [any ControlTask] { store.objects.compactMap { $0.object as? any ControlTask } + others }
  }

  /// The file, as the user named it.
  public let path: String
  /// Its ports in the order of the file.
  public let ports: [PortDeclaration]
  /// Its elements, those of subgraphs included.
  public let elements: [ElementDeclaration]
  /// What is wired.
  public let graph: Graph
  /// Elements that are made of others, and what is done for them beside the packet path.
  public let composites: [Composite]
  /// How it is run.
  public var runtime: Runtime
  /// What the file wants said at the end of a run.
  public let hint: String?
  /// What looks wrong but is allowed.
  public let warnings: [Diagnostic]
  /// What strangers cannot foresee: what elements key hashes with, and workers' random numbers begin from. In a replay it is
  /// always the same.
  public let secret: UInt64
  /// `ports` and `runtime` of the file, parameters put in.
  let surroundings: [YAMLNode?]
  /// The ports that elements refer to.
  let directory: PortDirectory

  /// Reads and checks a pipeline.
  /// - Parameters:
  ///   - elements: The catalogue, the user's own elements included.
  ///   - parameters: `name=value` in place of defaults of the file.
  ///   - rebinding: Captures in place of ports.
  ///   - replacing: Gives a port other than the one that the file describes.
  ///   - running: What runs already and is to take over settings of this one.
  /// - Throws: Every mistake there is.
  public static func load(
    path: String, elements: [ElementKind], ports: [PortKind] = PortKind.all, parameters: [String] = [],
    rebinding: [PortBinding]? = nil, replacing: PortReplacement? = nil, running: Pipeline? = nil
  ) throws(ConfigurationError) -> Pipeline {
    try load(
      try YAMLDocument.load(path: path), path: path, elements: elements, ports: ports, parameters: parameters,
      rebinding: rebinding, replacing: replacing, running: running)
  }

  /// Reads and checks a pipeline given as text.
  public static func load(
    text: String, name: String, elements: [ElementKind], ports: [PortKind] = PortKind.all, parameters: [String] = [],
    rebinding: [PortBinding]? = nil
  ) throws(ConfigurationError) -> Pipeline {
    try load(
      try YAMLDocument.load(text: text, name: name), path: name, elements: elements, ports: ports,
      parameters: parameters, rebinding: rebinding, replacing: nil, running: nil)
  }

  /// Gives a port other than the one that the file describes.
  public typealias PortReplacement = (_ name: String, _ described: any PortSpecification) -> any PortSpecification

  private static func load(
    _ root: YAMLNode, path: String, elements: [ElementKind], ports: [PortKind], parameters: [String],
    rebinding: [PortBinding]?, replacing: PortReplacement?, running: Pipeline?
  ) throws(ConfigurationError) -> Pipeline {
    var loader = PipelineLoader(path: path, elements: elements, ports: ports, rebinding: rebinding)
    loader.replacing = replacing
    loader.running = running
    return try loader.load(root, overrides: parameters)
  }

  /// Whether no port leads out of the process and all packets that come in carry their own time, so that a run is a
  /// replay: in virtual time, as fast as it goes.
  public var isReplay: Bool {
    let receiving = graph.nodes.compactMap { node -> (any PortSpecification)? in
      if case .receive(let port) = node.role { ports[port].specification } else { nil }
    }
    return receiving.contains(where: \.isTimed) && receiving.allSatisfy { $0.isTimed || !$0.receives }
      && ports.allSatisfy(\.specification.isVirtual)
  }

  /// How many workers there are; a replay has one.
  public var workerCount: Int { isReplay ? 1 : runtime.workers }

  /// The number that a port is opened under, by its place in the file. Those below are DPDK's own, for its devices.
  public static func portNumber(_ index: Int) -> Int { 64 + index }

  /// Says which number the packets of a port that was opened carry, before instances are made that ask for it.
  public func portOpened(_ index: Int, number: Int) { directory.set(ports[index].name, number: number) }

  /// How many queues a port is opened with.
  public func queues(of port: Int) -> Int {
    let specification = ports[port].specification
    return isReplay ? 1 : specification.queues ?? (specification.allowsSeveralQueues ? workerCount : 1)
  }

  /// The arguments that EAL is started with.
  /// - Parameter extra: More of them, behind the pipeline's own.
  public func environmentArguments(extra: [String]) -> [String] {
    let pci = ports.contains { $0.specification.needsPCI }
    let hugePages =
      switch runtime.hugePages {
      case .always: true
      case .never: false
      case .auto: pci && PacketEnvironment.hasFreeHugePages
      }
    return PacketEnvironment.arguments(
      megabytes: runtime.megabytes, hugePages: hugePages, pci: pci, extra: runtime.eal + extra)
  }

  /// What each worker does.
  /// - Throws: When two workers would need the same queue.
  public func assignments() throws(ConfigurationError) -> [Scheduler.Assignment] {
    do throws(Scheduler.Conflict) {
      return try Scheduler.assign(graph, workers: workerCount, queues: ports.indices.map(queues(of:)))
    } catch {
      let port = ports.first { $0.name == error.port }
      throw ConfigurationError(
        port?.range, "\(error.needed) workers send to port '\(error.port)', which has too few queues",
        remedy: "set 'queues: \(error.needed)' on the port, or use fewer workers")
    }
  }

  /// A worker's own instances of the elements it runs, by their place in `elements`.
  public func instances(for assignment: Scheduler.Assignment) throws(ConfigurationError) -> [Int: ElementInstance] {
    var instances: [Int: ElementInstance] = [:]
    for node in assignment.nodes {
      guard case .element(let element) = graph.nodes[node].role else { continue }
      instances[element] = try elements[element].make()
    }
    return instances
  }
}

/// A capture in place of a port.
public struct PortBinding: Hashable, Sendable {
  /// The port.
  public var port: String
  /// The capture to play into it.
  public var input: String?
  /// The capture to write what it sends to.
  public var output: String?

  /// A binding.
  public init(port: String, input: String? = nil, output: String? = nil) {
    self.port = port
    self.input = input
    self.output = output
  }

  /// A binding that is not written `port=capture`, or stands there twice.
  public struct Malformed: Error, CustomStringConvertible {
    public let description: String
  }

  /// Reads what `--in` and `--out` say.
  public static func parse(inputs: [String], outputs: [String]) throws(Malformed) -> [PortBinding] {
    var bindings: [PortBinding] = []
    func place(of port: String) -> Int {
      if let index = bindings.firstIndex(where: { $0.port == port }) { return index }
      bindings.append(PortBinding(port: port))
      return bindings.count - 1
    }
    for text in inputs {
      let (port, path) = try split(text, option: "--in")
      let index = place(of: port)
      guard bindings[index].input == nil else { throw Malformed(description: "--in names port '\(port)' twice") }
      bindings[index].input = path
    }
    for text in outputs {
      let (port, path) = try split(text, option: "--out")
      let index = place(of: port)
      guard bindings[index].output == nil else { throw Malformed(description: "--out names port '\(port)' twice") }
      bindings[index].output = path
    }
    return bindings
  }

  private static func split(_ text: String, option: String) throws(Malformed) -> (port: String, path: String) {
    guard let equals = text.firstIndex(of: "="), equals != text.startIndex, text.index(after: equals) != text.endIndex
    else {
      throw Malformed(description: "\(option) takes port=capture, not '\(text)'")
    }
    return (String(text[..<equals]), String(text[text.index(after: equals)...]))
  }
}
