import Configuration
import Dataplane

extension PipelineLoader {
  /// What a name means where it stands: in the file's own graph, or within one use of a subgraph.
  struct Scope {
    enum Entry {
      case port(Int)
      case element(Int)
      /// A use of a subgraph: its ends by name, in the order they are declared.
      case subgraph(inputs: [(name: String, alias: Int)], outputs: [(name: String, alias: Int)])
      /// An end of the subgraph that this scope is the inside of.
      case innerInput(Int)
      case innerOutput(Int)
      /// Something whose declaration is wrong; what is said about it would only repeat that.
      case broken
    }

    var prefix: String
    var parameters: Parameters
    var entries: [String: Entry] = [:]
    /// The subgraphs that this scope is the inside of, from the outermost in.
    var subgraphs: [String] = []
  }

  /// A subgraph as the file declares it.
  struct Subgraph {
    var name: String
    var node: YAMLNode
    var inputs: [(name: String, range: SourceRange)]
    var outputs: [(name: String, range: SourceRange)]
  }

  static let subgraphKeys = ["parameters", "inputs", "outputs", "elements", "graph"]
  /// How deep subgraphs may use one another.
  static let subgraphDepth = 16
  /// How many elements and uses of subgraphs a pipeline may have: few lines of subgraphs that use one another ask for
  /// more than any memory holds.
  static let sizeLimit = 10_000

  // MARK: Subgraphs

  mutating func readSubgraphs(_ node: YAMLNode?) -> [Subgraph] {
    var subgraphs: [Subgraph] = []
    for (key, value) in mapping(node, "subgraphs") {
      guard checkName(key, "a subgraph") else { continue }
      let name = key.scalar ?? ""
      if elementKinds.contains(where: { $0.name == name }) {
        error(key.range, "'\(name)' is an element of the library", "choose another name for the subgraph")
        continue
      }
      for (inner, _) in mapping(value, name) where !Self.subgraphKeys.contains(inner.scalar ?? "") {
        error(
          inner.range, "a subgraph has no part '\(inner.scalar ?? "")'",
          remedy(for: inner.scalar ?? "", among: Self.subgraphKeys))
      }
      subgraphs.append(
        Subgraph(name: name, node: value, inputs: readEnds(value["inputs"]), outputs: readEnds(value["outputs"])))
    }
    return subgraphs
  }

  private mutating func readEnds(_ node: YAMLNode?) -> [(name: String, range: SourceRange)] {
    guard let node, !node.isNull else { return [] }
    var ends: [(name: String, range: SourceRange)] = []
    for member in node.sequence ?? [node] {
      guard checkName(member, "a subgraph's end") else { continue }
      ends.append((member.scalar ?? "", member.range))
    }
    return ends
  }

  private mutating func use(
    _ subgraph: Subgraph, as name: String, _ key: YAMLNode, _ arguments: YAMLNode?, _ scope: Scope,
    _ subgraphs: [Subgraph]
  ) -> Scope.Entry {
    guard !scope.subgraphs.contains(subgraph.name) else {
      error(key.range, "subgraph '\(subgraph.name)' uses itself", "break the circle")
      return .broken
    }
    guard scope.subgraphs.count < Self.subgraphDepth else {
      error(
        key.range, "subgraphs stand within one another too deeply", "nest at most \(Self.subgraphDepth) of them")
      return .broken
    }
    guard grow(at: key.range) else { return .broken }
    let full = scope.prefix + name
    var inner = Scope(
      prefix: full + "/", parameters: Parameters(), subgraphs: scope.subgraphs + [subgraph.name])
    for (parameter, value) in mapping(subgraph.node["parameters"], "parameters") {
      inner.parameters.set(parameter.scalar ?? "", value)
    }
    let declared = inner.parameters.names
    for (parameter, value) in mapping(arguments, "'\(name)'") {
      guard declared.contains(parameter.scalar ?? "") else {
        error(
          parameter.range, "subgraph '\(subgraph.name)' has no parameter '\(parameter.scalar ?? "")'",
          remedy(for: parameter.scalar ?? "", among: declared))
        continue
      }
      inner.parameters.set(parameter.scalar ?? "", value, isFinal: true)
    }
    var inputs: [(name: String, alias: Int)] = []
    var outputs: [(name: String, alias: Int)] = []
    for (end, range) in subgraph.inputs {
      let alias = wiring.addAlias("\(full).\(end)", range)
      inputs.append((end, alias))
      inner.entries[end] = .innerInput(alias)
    }
    for (end, range) in subgraph.outputs {
      let alias = wiring.addAlias("\(full).\(end)", range)
      outputs.append((end, alias))
      inner.entries[end] = .innerOutput(alias)
    }
    readElements(subgraph.node["elements"], &inner, subgraphs)
    readGraph(subgraph.node["graph"], &inner, subgraph.node)
    return .subgraph(inputs: inputs, outputs: outputs)
  }

  /// Counts an element or a use of a subgraph in; says so once when there are too many.
  private mutating func grow(at range: SourceRange) -> Bool {
    size += 1
    if size == Self.sizeLimit + 1 {
      error(range, "the pipeline has more than \(Self.sizeLimit) elements", "use fewer subgraphs within one another")
    }
    return size <= Self.sizeLimit
  }

  // MARK: Elements

  mutating func readElements(_ node: YAMLNode?, _ scope: inout Scope, _ subgraphs: [Subgraph]) {
    if scope.prefix.isEmpty {
      for (index, port) in wiring.ports.enumerated() { scope.entries[port.name] = .port(index) }
      for name in brokenPorts { scope.entries[name] = .broken }
    }
    let references = ReferenceCollector()
    let outer = context
    context = SettingContext(folder: outer.folder, references: references, ports: outer.ports)
    defer { context = outer }
    for (key, raw) in mapping(node, "elements") {
      let name = key.scalar ?? ""
      guard checkName(key, "an element") else { continue }
      guard scope.entries[name] == nil else {
        error(key.range, "'\(name)' is taken", "choose another name; ports, elements and ends share them")
        continue
      }
      guard let value = substituted(raw, &scope.parameters) else {
        scope.entries[name] = .broken
        continue
      }
      scope.entries[name] = readElement(key, value, scope, subgraphs)
    }
    for reference in references.references where !reference.name.isEmpty && scope.entries[reference.name] == nil {
      error(
        reference.range, "nothing here is called '\(reference.name)'",
        remedy(for: reference.name, among: scope.entries.keys.sorted()))
    }
  }

  private mutating func readElement(
    _ key: YAMLNode, _ value: YAMLNode, _ scope: Scope, _ subgraphs: [Subgraph]
  ) -> Scope.Entry {
    let name = key.scalar ?? ""
    let typeNode: YAMLNode
    let settings: YAMLNode?
    if let type = value.scalar, !value.isNull {
      typeNode = YAMLNode(.scalar(type, isPlain: true), value.range)
      settings = nil
    } else if let members = value.mapping, members.count == 1 {
      typeNode = members[0].key
      settings = members[0].value
    } else {
      error(
        value.range, "element '\(name)' is \(value.typeName)",
        "write '\(name): Type' or '\(name): { Type: { settings } }'")
      return .broken
    }
    let type = typeNode.scalar ?? ""
    if let subgraph = subgraphs.first(where: { $0.name == type }) {
      return use(subgraph, as: name, key, settings, scope, subgraphs)
    }
    guard let kind = elementKinds.first(where: { $0.name == type }) else {
      let known = elementKinds.map(\.name) + subgraphs.map(\.name)
      let meant = didYouMean(type, among: known).map { "did you mean '\($0)'?" }
      error(typeNode.range, "there is no element '\(type)'", meant ?? "'nfvrun elements' lists them")
      return .broken
    }
    return addElement(scope.prefix + name, kind, settings, key.range, scope) ?? .broken
  }

  private mutating func addElement(
    _ name: String, _ kind: ElementKind, _ node: YAMLNode?, _ range: SourceRange, _ scope: Scope
  ) -> Scope.Entry? {
    guard grow(at: range) else { return nil }
    let store = SharedStore()
    var context = context
    context.runningOutputs = running?.graph.nodes.first { $0.name == name }?.outputs.map(\.name) ?? []
    var settings = Settings(node, range: range, context: context, store: store)
    do throws(ConfigurationError) {
      let made = try kind.make(&settings)
      try settings.finish()
      diagnostics += settings.warnings
      let instance: ElementInstance
      switch made {
      case .instance(let element): instance = element
      case .composition(let composition):
        composites.append(
          .init(
            name: name, kind: kind, settings: node, range: range, store: store, tasks: composition.tasks))
        return compose(composition, as: name, range, scope)
      }
      wiring.elements.append(.init(name: name, kind: kind, outputs: instance.outputs, range: range))
      elements.append(
        .init(name: name, kind: kind, settings: node, range: range, context: context, store: store))
      return .element(elements.count - 1)
    } catch {
      diagnostics += error.diagnostics
      return nil
    }
  }

  /// Puts the parts of an element that is made of others into the wiring; to its surroundings it is like a subgraph.
  private mutating func compose(
    _ composition: Composition, as name: String, _ range: SourceRange, _ scope: Scope
  ) -> Scope.Entry {
    var inner = Scope(prefix: name + "/", parameters: Parameters(), subgraphs: scope.subgraphs)
    for part in composition.parts {
      inner.entries[part.name] = addElement(inner.prefix + part.name, part.kind, nil, range, inner) ?? .broken
    }
    var inputs: [(name: String, alias: Int)] = []
    var outputs: [(name: String, alias: Int)] = []
    for end in composition.inputs {
      inputs.append((end.name, wiring.addAlias("\(name).\(end.name)", range)))
      inner.entries[end.inner] = .innerInput(inputs[inputs.count - 1].alias)
    }
    for end in composition.outputs {
      outputs.append((end.name, wiring.addAlias("\(name).\(end.name)", range)))
      inner.entries[end.inner] = .innerOutput(outputs[outputs.count - 1].alias)
    }
    for line in composition.graph {
      do throws(ArrowError) {
        connect(try parseArrows(line), YAMLNode(.scalar(line, isPlain: true), range), &inner)
      } catch {
        self.error(
          range, "'\(name)' is put together wrongly: \(error.message)", "report this as a mistake of its author")
      }
    }
    return .subgraph(inputs: inputs, outputs: outputs)
  }

  // MARK: Graph

  mutating func readGraph(_ node: YAMLNode?, _ scope: inout Scope, _ parent: YAMLNode) {
    guard let node, !node.isNull else {
      error(parent.range, "'graph' is missing", "list the connections: '- from -> to'")
      return
    }
    guard let lines = node.sequence else {
      error(node.range, "'graph' is \(node.typeName)", "list the connections: '- from -> to'")
      return
    }
    for line in lines {
      guard let substituted = substituted(line, &scope.parameters) else { continue }
      guard let text = substituted.scalar else {
        error(line.range, "a connection is \(line.typeName)", "write '- from -> to'")
        continue
      }
      do throws(ArrowError) {
        connect(try parseArrows(text), substituted, &scope)
      } catch {
        diagnostics.append(
          Diagnostic(.error, line.part(offset: error.offset, length: 1), error.message, remedy: error.remedy))
      }
    }
  }

  private mutating func connect(_ stops: [Stop], _ line: YAMLNode, _ scope: inout Scope) {
    let entries = stops.map { entry(of: $0, line, &scope) }
    for index in 1..<stops.count {
      let from = source(entries[index - 1], stops[index - 1], line, isFirst: index == 1)
      let to = target(entries[index], stops[index], line, isLast: index == stops.count - 1)
      guard let from, let to else { continue }
      wiring.edges.append(
        .init(
          from: from, to: to, range: line.part(offset: stops[index - 1].offset, length: stops[index - 1].name.count)))
    }
  }

  /// The entry of a name; the type of an element that needs no settings stands for an element of its own.
  private mutating func entry(of stop: Stop, _ line: YAMLNode, _ scope: inout Scope) -> Scope.Entry? {
    let name = String(stop.name)
    if name == "drop" { return nil }
    if let entry = scope.entries[name] { return entry }
    let range = line.part(offset: stop.offset, length: name.count)
    if let kind = elementKinds.first(where: { $0.name == name }) {
      var full = "\(scope.prefix)\(name)@\(range.start.line)"
      if wiring.elements.contains(where: { $0.name == full }) { full += ":\(range.start.column)" }
      return addElement(full, kind, nil, range, scope) ?? .broken
    }
    let known = scope.entries.keys.sorted() + elementKinds.map(\.name) + ["drop"]
    error(
      range, "nothing here is called '\(name)'",
      didYouMean(name, among: known).map { "did you mean '\($0)'?" } ?? "declare it under 'elements:' or 'ports:'")
    return .broken
  }

  private mutating func source(_ entry: Scope.Entry?, _ stop: Stop, _ line: YAMLNode, isFirst: Bool) -> Wiring.End? {
    let range = line.part(offset: stop.offset, length: stop.name.count)
    switch entry {
    case nil:
      error(range, "no packet leaves 'drop'", "end the line there")
      return nil
    case .broken: return nil
    case .port(let port):
      guard isFirst else {
        error(range, "a port in the middle of a line", "end the line at '\(stop.name)', and begin another with it")
        return nil
      }
      return noEnds(stop, line) ? .receive(port: port) : nil
    case .element(let element):
      let names = wiring.elements[element].outputs.map(\.name)
      return end(stop.output, "output", of: stop, names, line).map { .output(element: element, $0) }
    case .subgraph(_, let outputs):
      return end(stop.output, "output", of: stop, outputs.map(\.name), line).map { .alias(outputs[$0].alias) }
    case .innerInput(let alias): return noEnds(stop, line) ? .alias(alias) : nil
    case .innerOutput:
      error(range, "'\(stop.name)' is where packets leave the subgraph", "end the line there")
      return nil
    }
  }

  private mutating func target(_ entry: Scope.Entry?, _ stop: Stop, _ line: YAMLNode, isLast: Bool) -> Wiring.End? {
    let range = line.part(offset: stop.offset, length: stop.name.count)
    switch entry {
    case nil: return .drop
    case .broken: return nil
    case .port(let port): return !isLast || noEnds(stop, line) ? .transmit(port: port) : nil
    case .element(let element):
      let names = wiring.elements[element].kind.inputs.map(\.name)
      return end(stop.input, "input", of: stop, names, line).map { .input(element: element, $0) }
    case .subgraph(let inputs, _):
      return end(stop.input, "input", of: stop, inputs.map(\.name), line).map { .alias(inputs[$0].alias) }
    case .innerOutput(let alias): return noEnds(stop, line) ? .alias(alias) : nil
    case .innerInput:
      error(range, "'\(stop.name)' is where packets enter the subgraph", "begin a line with it")
      return nil
    }
  }

  private mutating func noEnds(_ stop: Stop, _ line: YAMLNode) -> Bool {
    guard stop.input == nil, stop.output == nil else {
      error(
        line.part(offset: stop.offset, length: stop.name.count), "'\(stop.name)' has no ends of its own",
        "write '\(stop.name)' alone")
      return false
    }
    return true
  }

  private mutating func end(
    _ word: Substring?, _ what: String, of stop: Stop, _ names: [String], _ line: YAMLNode
  ) -> Int? {
    guard let word else {
      guard names.isEmpty else { return 0 }
      error(
        line.part(offset: stop.offset, length: stop.name.count), "'\(stop.name)' has no \(what)",
        "leave it out of the line")
      return nil
    }
    if let index = names.firstIndex(of: String(word)) { return index }
    error(
      line.part(offset: stop.offset, length: stop.name.count + 1 + word.count),
      "'\(stop.name)' has no \(what) '\(word)'",
      remedy(for: word, among: names))
    return nil
  }
}
