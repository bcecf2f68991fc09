import Configuration
import Dataplane

/// Reads a pipeline's file: names first, then settings, then the graph; mistakes are collected all the way.
struct PipelineLoader {
  let path: String
  let elementKinds: [ElementKind]
  let portKinds: [PortKind]
  let rebinding: [PortBinding]?
  var context: SettingContext
  var replacing: Pipeline.PortReplacement?
  var running: Pipeline?
  var diagnostics: [Diagnostic] = []
  var ports: [Pipeline.PortDeclaration] = []
  var elements: [Pipeline.ElementDeclaration] = []
  var composites: [Pipeline.Composite] = []
  var wiring = Wiring()
  /// Ports whose declaration is wrong.
  var brokenPorts: [String] = []
  /// Elements and uses of subgraphs so far.
  var size = 0

  init(path: String, elements: [ElementKind], ports: [PortKind], rebinding: [PortBinding]?) {
    self.path = path
    elementKinds = elements
    portKinds = ports
    self.rebinding = rebinding
    context = SettingContext(folder: Self.folder(of: path))
  }

  private static func folder(of path: String) -> String {
    guard let slash = path.lastIndex(of: "/") else { return "" }
    return slash == path.startIndex ? "/" : String(path[..<slash])
  }

  static let topLevelKeys = ["nfv", "parameters", "runtime", "ports", "subgraphs", "elements", "graph", "hint"]

  mutating func error(_ range: SourceRange?, _ message: String, _ remedy: String, notes: [Diagnostic.Note] = []) {
    diagnostics.append(Diagnostic(.error, range, message, remedy: remedy, notes: notes))
  }

  // MARK: The file

  mutating func load(_ root: YAMLNode, overrides: [String]) throws(ConfigurationError) -> Pipeline {
    guard let top = root.mapping else {
      throw root.error("\(root.typeName) is no pipeline", "start with 'nfv: 1', 'ports:' and 'graph:'")
    }
    for (key, _) in top where !Self.topLevelKeys.contains(key.scalar ?? "") {
      error(
        key.range, "there is no part '\(key.scalar ?? "")'", remedy(for: key.scalar ?? "", among: Self.topLevelKeys))
    }
    checkVersion(root)
    var parameters = readParameters(root["parameters"], overrides: overrides)
    let runtimeNode = substituted(root["runtime"], &parameters)
    let runtime = readRuntime(runtimeNode)
    let portsNode = substituted(root["ports"], &parameters)
    readPorts(portsNode, root)
    if let running {
      context.secret = running.secret
    } else if !ports.allSatisfy(\.specification.isVirtual) {
      context.secret = .random(in: .min ... .max)
    }
    let subgraphs = readSubgraphs(root["subgraphs"])
    var scope = Scope(prefix: "", parameters: parameters)
    readElements(root["elements"], &scope, subgraphs)
    readGraph(root["graph"], &scope, root)
    reportUnused(overrides, in: root)
    let hint = root["hint"].flatMap { substituted($0, &parameters)?.scalar }

    // Checks of the whole graph say little when half of it could not be read.
    try throwErrors()
    diagnostics += wiring.danglingAliases()
    try throwErrors()
    var checks = Checks(wiring.graph(ports: ports, elements: elements))
    checks.run()
    diagnostics += checks.diagnostics
    checkPorts(checks.graph, runtime)
    try throwErrors()
    return Pipeline(
      path: path, ports: ports, elements: elements, graph: checks.graph, composites: composites, runtime: runtime,
      hint: hint, warnings: diagnostics, secret: context.secret, surroundings: [portsNode, runtimeNode],
      directory: context.ports)
  }

  /// A mistake within a subgraph is found at each use of it, and said once.
  private mutating func throwErrors() throws(ConfigurationError) {
    var said: Set<Diagnostic> = []
    diagnostics.removeAll { !said.insert($0).inserted }
    if diagnostics.contains(where: { $0.severity == .error }) { throw ConfigurationError(diagnostics) }
  }

  private mutating func checkVersion(_ root: YAMLNode) {
    guard let version = root["nfv"] else {
      error(root.range, "'nfv' is missing", "begin the file with 'nfv: 1'")
      return
    }
    if version.scalar != "1" {
      error(version.range, "\(version.typeName) is no version this nfvrun reads", "write 'nfv: 1'")
    }
  }

  mutating func substituted(_ node: YAMLNode?, _ parameters: inout Parameters) -> YAMLNode? {
    guard let node else { return nil }
    do throws(ConfigurationError) {
      return try parameters.substitute(node)
    } catch {
      diagnostics += error.diagnostics
      return nil
    }
  }

  // MARK: Parameters

  private mutating func readParameters(_ node: YAMLNode?, overrides: [String]) -> Parameters {
    var parameters = Parameters()
    for (key, value) in mapping(node, "parameters") { parameters.set(key.scalar ?? "", value) }
    let declared = parameters.names
    for text in overrides {
      guard let equals = text.firstIndex(of: "="), equals != text.startIndex else {
        error(nil, "--set takes name=value, not '\(text)'", "write --set name=value")
        continue
      }
      let name = String(text[..<equals])
      let value = String(text[text.index(after: equals)...])
      guard declared.contains(name) else {
        error(nil, "--set: the pipeline has no parameter '\(name)'", remedy(for: name, among: declared))
        continue
      }
      do throws(ConfigurationError) {
        let parsed = value.isEmpty ? nil : try YAMLDocument.load(text: value, name: "--set \(name)")
        let range = SourceRange(
          start: SourcePosition(file: "--set \(name)", line: 1, column: 1), length: value.count, text: value)
        parameters.set(name, parsed ?? YAMLNode(.scalar("", isPlain: false), range))
      } catch {
        diagnostics += error.diagnostics
      }
    }
    return parameters
  }

  private mutating func reportUnused(_ overrides: [String], in root: YAMLNode) {
    for text in overrides {
      guard let equals = text.firstIndex(of: "="), let declared = root["parameters"]?[String(text[..<equals])] else {
        continue
      }
      let name = String(text[..<equals])
      if !mentions("${\(name)}", in: root) {
        error(declared.range, "--set \(name): nothing in the pipeline uses '${\(name)}'", "remove the option")
      }
    }
  }

  private func mentions(_ reference: String, in node: YAMLNode) -> Bool {
    switch node.kind {
    case .scalar(let text, _): range(of: reference, in: Substring(text)) != nil
    case .sequence(let members): members.contains { mentions(reference, in: $0) }
    case .mapping(let members): members.contains { mentions(reference, in: $0.value) }
    }
  }

  // MARK: Parts

  mutating func mapping(_ node: YAMLNode?, _ name: String) -> [(key: YAMLNode, value: YAMLNode)] {
    guard let node, !node.isNull else { return [] }
    guard let members = node.mapping else {
      error(node.range, "'\(name)' is \(node.typeName)", "write a mapping of names")
      return []
    }
    return members
  }

  private mutating func readRuntime(_ node: YAMLNode?) -> Runtime {
    guard let node, !node.isNull else { return Runtime() }
    var settings = Settings(node, range: node.range, context: context)
    do throws(ConfigurationError) {
      let runtime = try Runtime(&settings)
      try settings.finish()
      return runtime
    } catch {
      diagnostics += error.diagnostics
      return Runtime()
    }
  }

  // MARK: Ports

  private mutating func readPorts(_ node: YAMLNode?, _ root: YAMLNode) {
    let members = mapping(node, "ports")
    if members.isEmpty, diagnostics.isEmpty {
      error(root["ports"]?.range ?? root.range, "there are no ports", "name at least one under 'ports:'")
    }
    for (key, value) in members {
      let name = key.scalar ?? ""
      guard checkName(key, "a port") else { continue }
      context.ports.set(name, number: Pipeline.portNumber(context.ports.names.count))
      guard var specification = rebound(name) ?? readPort(key, value) else {
        brokenPorts.append(name)
        continue
      }
      if let replacing { specification = replacing(name, specification) }
      wiring.addPort(name, ports.count, specification.summary, specification.receives, key.range)
      ports.append(.init(name: name, specification: specification, range: key.range))
    }
    for binding in rebinding ?? [] where !members.contains(where: { $0.key.scalar == binding.port }) {
      error(
        nil, "the pipeline has no port '\(binding.port)'",
        remedy(for: binding.port, among: members.compactMap(\.key.scalar)))
    }
  }

  private func rebound(_ name: String) -> (any PortSpecification)? {
    guard let rebinding else { return nil }
    let binding = rebinding.first { $0.port == name }
    return PortKind.capture(input: binding?.input, output: binding?.output)
  }

  private mutating func readPort(_ key: YAMLNode, _ value: YAMLNode) -> (any PortSpecification)? {
    let names = portKinds.map(\.name)
    let kindNode: YAMLNode
    var rest: YAMLNode?
    // In YAML the word null is a value of its own, and the port's kind here.
    if let word = value.scalar, !value.isNull || word == "null" {
      kindNode = YAMLNode(.scalar(word, isPlain: true), value.range)
    } else if let first = value.mapping?.first(where: { names.contains($0.key.scalar ?? "") }) {
      kindNode = first.key
      rest = portSettings(first.value, value, kind: first.key)
    } else {
      let given = value.mapping?.first?.key
      error(
        (given ?? key).range, "port '\(key.scalar ?? "")' has no known kind",
        given.map { remedy(for: $0.scalar ?? "", among: names) } ?? "write '\(key.scalar ?? ""): { af_packet: eth0 }'")
      return nil
    }
    guard let kind = portKinds.first(where: { $0.name == kindNode.scalar }) else {
      error(
        kindNode.range, "there is no kind of port '\(kindNode.scalar ?? "")'",
        remedy(for: kindNode.scalar ?? "", among: names))
      return nil
    }
    var settings = Settings(rest, range: kindNode.range, context: context)
    do throws(ConfigurationError) {
      let specification = try kind.read(&settings)
      try settings.finish()
      diagnostics += settings.warnings
      return specification
    } catch {
      diagnostics += error.diagnostics
      return nil
    }
  }

  /// `{ dpdk: "0000:03:00.0", queues: 4 }` is the same as `{ dpdk: { device: "0000:03:00.0", queues: 4 } }`: settings
  /// beside the kind join those below it, and a single value below it stands for the setting that may stand alone.
  private func portSettings(_ value: YAMLNode, _ whole: YAMLNode, kind: YAMLNode) -> YAMLNode {
    let beside = (whole.mapping ?? []).filter { $0.key.scalar != kind.scalar }
    if beside.isEmpty { return value }
    var members = value.mapping ?? []
    if value.mapping == nil, !value.isNull {
      var probe = Settings.probe()
      _ = try? portKinds.first { $0.name == kind.scalar }?.read(&probe)
      let key = probe.records.first(where: \.isShorthand)?.key ?? PortKind.mainSetting
      members.append((YAMLNode(.scalar(key, isPlain: true), kind.range), value))
    }
    return YAMLNode(.mapping(members + beside), whole.range)
  }

  mutating func checkName(_ key: YAMLNode, _ what: String) -> Bool {
    let name = key.scalar ?? ""
    guard isName(name), name != "drop" else {
      error(
        key.range, name == "drop" ? "'drop' is where packets are freed" : "'\(name)' cannot name \(what)",
        "choose a name of letters, digits, '_' and '-'")
      return false
    }
    return true
  }

  private mutating func checkPorts(_ graph: Graph, _ runtime: Runtime) {
    let pipeline = Pipeline(
      path: path, ports: ports, elements: elements, graph: graph, composites: composites, runtime: runtime, hint: nil,
      warnings: [], secret: context.secret, surroundings: [], directory: context.ports)
    for port in ports {
      if let queues = port.specification.queues, queues > 1, !port.specification.allowsSeveralQueues {
        error(port.range, "port '\(port.name)' cannot have \(queues) queues", "remove 'queues'")
      }
    }
    var owners: [String: Pipeline.PortDeclaration] = [:]
    for port in ports {
      for resource in port.specification.resources {
        if resource != "file /dev/null", let first = owners.updateValue(port, forKey: resource) {
          error(
            port.range, "ports '\(first.name)' and '\(port.name)' both use \(resource)", "give each port its own",
            notes: [.init(first.range, "the other port")])
        }
      }
    }
    for port in ports {
      guard let input = (port.specification as? CaptureSpecification)?.options.input,
        let writer = owners["file \(input)"], input != "/dev/null"
      else { continue }
      error(
        writer.range, "port '\(writer.name)' would write over file \(input), which port '\(port.name)' plays",
        "write to another file", notes: [.init(port.range, "played here")])
    }
    let used = Set(
      graph.edges.flatMap { [$0.from, $0.to] }.compactMap { node -> Int? in
        switch graph.nodes[node].role {
        case .receive(let port), .transmit(let port): port
        default: nil
        }
      })
    for (index, port) in ports.enumerated() where !used.contains(index) {
      diagnostics.append(
        Diagnostic(.warning, port.range, "port '\(port.name)' is not used in the graph", remedy: "connect or remove it")
      )
    }
    do throws(ConfigurationError) {
      _ = try pipeline.assignments()
    } catch {
      diagnostics += error.diagnostics
    }
  }
}
