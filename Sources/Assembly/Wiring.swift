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

  /// Edges that leave each alias.
  private var exits: [Int: [Edge]] {
    var exits: [Int: [Edge]] = [:]
    for edge in edges { if case .alias(let index) = edge.from { exits[index, default: []].append(edge) } }
    return exits
  }

  /// Ends of subgraphs that packets would get stuck at.
  func danglingAliases() -> [Diagnostic] {
    var found: [Diagnostic] = []
    let exits = exits
    let entered = Set(edges.map(\.to))
    for (index, alias) in aliases.enumerated() {
      let out = exits[index] ?? []
      let isEntered = entered.contains(.alias(index))
      if out.isEmpty, isEntered {
        found.append(
          Diagnostic(
            .error, alias.range, "'\(alias.name)' leads nowhere",
            remedy: "connect it, or write '- \(alias.name) -> drop'"))
      }
      if !isEntered, !out.isEmpty {
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
    return found.isEmpty ? circles(exits) : found
  }

  /// Ends of subgraphs that lead to nothing but each other.
  private func circles(_ exits: [Int: [Edge]]) -> [Diagnostic] {
    var found: [Diagnostic] = []
    var seen: Set<Int> = []
    for start in aliases.indices {
      var path: [Int] = []
      var next: Int? = start
      while let index = next, seen.insert(index).inserted {
        path.append(index)
        next = if case .alias(let target)? = exits[index]?.first?.to { target } else { nil }
      }
      guard let next, let first = path.firstIndex(of: next) else { continue }
      let names = path[first...].map { aliases[$0].name }.joined(separator: ", ")
      found.append(
        Diagnostic(
          .error, exits[next]?.first?.range ?? aliases[next].range,
          "\(names) lead to nothing but each other", remedy: "lead one of them to an element, a port or drop"))
    }
    return found
  }

  /// Where packets that come to `end` really go.
  private func resolved(_ end: End, _ exits: [Int: [Edge]]) -> End? {
    var end = end
    for _ in 0...aliases.count {
      guard case .alias(let index) = end else { return end }
      guard let next = exits[index]?.first?.to else { return nil }
      end = next
    }
    return nil
  }

  /// The graph, subgraphs dissolved.
  func graph(ports declared: [Pipeline.PortDeclaration], elements: [Pipeline.ElementDeclaration]) -> Graph {
    var graph = Graph()
    var places: [End: Int] = [:]
    let exits = exits
    let used = Set(edges.flatMap { [$0.from, resolved($0.to, exits) ?? .drop] })
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
      guard let from = place(edge.from), let end = resolved(edge.to, exits), let to = place(end) else { continue }
      graph.edges.append(.init(from: from.node, output: from.end, to: to.node, input: to.end, position: edge.range))
    }
    return graph
  }
}
