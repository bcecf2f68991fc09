import Configuration
import Dataplane

/// What the lines of the graph join, before subgraphs are dissolved.
struct Wiring {
  /// Something that an arrow starts from or leads to.
  enum End: Hashable {
    case receive(port: Int)
    case transmit(port: Int)
    case output(element: Int, Int)
    case input(element: Int, Int)
    /// A subgraph's own input or output: what leads here goes on where the one edge that leaves leads.
    case alias(Int)
    case drop
  }

  struct Edge {
    var from: End
    var to: End
    var range: SourceRange?
  }

  struct Element {
    var name: String
    var kind: ElementKind
    var outputs: [OutputDescription]
    var range: SourceRange?
  }

  struct Port {
    var name: String
    var summary: String
    var receives: Bool
    var range: SourceRange?
  }

  struct Alias {
    var name: String
    var range: SourceRange?
  }

  var ports: [Port] = []
  var elements: [Element] = []
  var aliases: [Alias] = []
  var edges: [Edge] = []

  mutating func addPort(_ name: String, _ index: Int, _ summary: String, _ receives: Bool, _ range: SourceRange?) {
    ports.append(Port(name: name, summary: summary, receives: receives, range: range))
  }

  mutating func addAlias(_ name: String, _ range: SourceRange?) -> Int {
    aliases.append(Alias(name: name, range: range))
    return aliases.count - 1
  }

  /// Ends of subgraphs that packets would get stuck at.
  func danglingAliases() -> [Diagnostic] {
    var found: [Diagnostic] = []
    for (index, alias) in aliases.enumerated() {
      let out = edges.filter { $0.from == .alias(index) }
      let entered = edges.contains { $0.to == .alias(index) }
      if out.isEmpty, entered {
        found.append(
          Diagnostic(
            .error, alias.range, "'\(alias.name)' leads nowhere",
            remedy: "connect it, or write '- \(alias.name) -> drop'"))
      }
      if !entered, !out.isEmpty {
        found.append(
          Diagnostic(.error, alias.range, "nothing leads to '\(alias.name)'", remedy: "connect it in 'graph'"))
      }
      for extra in out.dropFirst() {
        found.append(
          Diagnostic(
            .error, extra.range, "'\(alias.name)' is connected twice",
            remedy: "an end leads to one place; use Tee to send copies to several"))
      }
    }
    return found
  }

  /// Where packets that come to `end` really go.
  private func resolved(_ end: End) -> End? {
    var end = end
    for _ in 0...aliases.count {
      guard case .alias = end else { return end }
      guard let next = edges.first(where: { $0.from == end })?.to else { return nil }
      end = next
    }
    return nil
  }

  /// The graph, subgraphs dissolved.
  func graph(ports declared: [Pipeline.PortDeclaration], elements: [Pipeline.ElementDeclaration]) -> Graph {
    var graph = Graph()
    var places: [End: Int] = [:]
    let used = Set(edges.flatMap { [$0.from, resolved($0.to) ?? .drop] })
    for (index, port) in ports.enumerated() where used.contains(.receive(port: index)) {
      places[.receive(port: index)] = graph.nodes.count
      graph.nodes.append(
        .init(
          name: port.name, role: .receive(index), type: port.summary, inputs: [],
          outputs: [OutputDescription("received", delivers: .frame)], boundsLoops: true, position: port.range))
    }
    var firstElement = graph.nodes.count
    for element in self.elements {
      graph.nodes.append(
        .init(
          name: element.name, role: .element(graph.nodes.count - firstElement), type: element.kind.name,
          inputs: element.kind.inputs, outputs: element.outputs, boundsLoops: element.kind.boundsLoops,
          position: element.range))
    }
    let elementBase = firstElement
    firstElement = graph.nodes.count
    for (index, port) in ports.enumerated() where used.contains(.transmit(port: index)) {
      places[.transmit(port: index)] = graph.nodes.count
      graph.nodes.append(
        .init(
          name: port.name, role: .transmit(index), type: port.summary, inputs: [InputDescription("sent")], outputs: [],
          boundsLoops: true, position: port.range))
    }
    if used.contains(.drop) {
      places[.drop] = graph.nodes.count
      graph.nodes.append(
        .init(
          name: "drop", role: .drop, type: "drop", inputs: [InputDescription("dropped")], outputs: [],
          boundsLoops: true,
          position: nil))
    }
    func place(_ end: End) -> (node: Int, end: Int)? {
      switch end {
      case .output(let element, let output): (elementBase + element, output)
      case .input(let element, let input): (elementBase + element, input)
      default: places[end].map { ($0, 0) }
      }
    }
    for edge in edges {
      if case .alias = edge.from { continue }
      guard let from = place(edge.from), let end = resolved(edge.to), let to = place(end) else { continue }
      graph.edges.append(.init(from: from.node, output: from.end, to: to.node, input: to.end, position: edge.range))
    }
    return graph
  }
}
