import Configuration
import Dataplane

/// Checks a graph as a whole, after every name in it was resolved.
struct Checks {
  var graph: Graph
  var diagnostics: [Diagnostic] = []

  init(_ graph: Graph) { self.graph = graph }

  private mutating func error(_ position: SourceRange?, _ message: String, _ remedy: String) {
    diagnostics.append(Diagnostic(.error, position, message, remedy: remedy))
  }

  /// Runs all checks and fills in what is known on every edge.
  mutating func run() {
    checkOutputs()
    checkInputs()
    checkReachability()
    checkLoops()
    inferStates()
    checkStates()
  }

  private mutating func checkOutputs() {
    for (index, node) in graph.nodes.enumerated() {
      let used = Dictionary(grouping: graph.edges(from: index), by: \.output)
      for (output, description) in node.outputs.enumerated() {
        let name = node.outputs.count == 1 ? node.name : "\(node.name).\(description.name)"
        guard let edges = used[output] else {
          if case .receive = node.role { continue }
          error(node.position, "output '\(name)' leads nowhere", "connect it, or write '- \(name) -> drop'")
          continue
        }
        for edge in edges.dropFirst() {
          error(
            edge.position, "output '\(name)' is connected twice",
            "an output leads to one place; use Tee to send copies to several")
        }
      }
    }
  }

  private mutating func checkInputs() {
    for (index, node) in graph.nodes.enumerated() {
      guard case .element = node.role else { continue }
      let used = Set(graph.edges(to: index).map(\.input))
      if used.isEmpty, !node.inputs.isEmpty, node.inputs.allSatisfy(\.isOptional) {
        error(node.position, "nothing leads to '\(node.name)'", "connect it in 'graph', or remove the element")
        continue
      }
      for (input, description) in node.inputs.enumerated() where !used.contains(input) && !description.isOptional {
        let name = node.inputs.count == 1 ? node.name : "\(node.name)[\(description.name)]"
        error(node.position, "nothing leads to '\(name)'", "connect it in 'graph', or remove the element")
      }
    }
  }

  private mutating func checkReachability() {
    let starts = graph.nodes.indices.filter { if case .receive = graph.nodes[$0].role { true } else { false } }
    let reached = graph.reachable(from: starts)
    for (index, node) in graph.nodes.enumerated() where !reached.contains(index) {
      guard case .element = node.role, !graph.edges(to: index).isEmpty else { continue }
      error(
        node.position, "no packet can reach '\(node.name)'", "lead a port to it, directly or through other elements")
    }
  }

  private mutating func checkLoops() {
    for loop in graph.loops where !loop.contains(where: { graph.nodes[$0].boundsLoops }) {
      let first = graph.nodes[loop[0]]
      let names = loop.map { graph.nodes[$0].name }.joined(separator: ", ")
      error(
        first.position, "packets can go round without end through \(names)",
        "put an element into the loop that ends it (DecTTL) or holds packets back (Queue)")
    }
  }

  /// What is known at an input is what all edges that lead there deliver together; an output that adds nothing delivers
  /// what is known at its node's inputs. Starts from everything and takes away until nothing changes.
  private mutating func inferStates() {
    let everything = HeaderState(rawValue: .max)
    var known = [HeaderState](repeating: everything, count: graph.nodes.count)
    var changed = true
    while changed {
      changed = false
      for index in graph.edges.indices {
        let edge = graph.edges[index]
        let node = graph.nodes[edge.from]
        let state: HeaderState =
          if case .receive = node.role { .frame } else { node.outputs[edge.output].delivers ?? known[edge.from] }
        graph.edges[index].state = state
        let narrowed = known[edge.to].intersection(state)
        if narrowed != known[edge.to] {
          known[edge.to] = narrowed
          changed = true
        }
      }
    }
  }

  private mutating func checkStates() {
    for edge in graph.edges {
      let target = graph.nodes[edge.to]
      guard edge.input < target.inputs.count else { continue }
      let needs = target.inputs[edge.input].needs
      guard !edge.state.isSuperset(of: needs) else { continue }
      let source = graph.nodes[edge.from]
      let from = source.outputs.count == 1 ? source.name : "\(source.name).\(source.outputs[edge.output].name)"
      let to = target.inputs.count == 1 ? target.name : "\(target.name)[\(target.inputs[edge.input].name)]"
      error(
        edge.position, "'\(from)' delivers \(edge.state), but '\(to)' needs \(needs)", remedy(for: needs))
    }
  }

  private func remedy(for needs: HeaderState) -> String {
    switch needs {
    case .ip: "put CheckIP or Classify in between and use its ip, ipv4 or ipv6 output"
    case .arp: "put Classify in between and use its arp output"
    default: "put Classify in between and use its \(needs) output"
    }
  }
}
