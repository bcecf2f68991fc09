extension Graph {
  /// The graph as an indented tree: each node where it is reached first, and by name wherever it is reached again.
  public var drawing: String {
    var lines: [String] = []
    var drawn: Set<Int> = []
    let starts = topologicalOrder.filter { if case .receive = nodes[$0].role { true } else { false } }
    for start in starts {
      drawn.insert(start)
      lines.append("\(nodes[start].name)  (\(nodes[start].type))")
      drawOutputs(of: start, indent: "", &drawn, &lines)
    }
    return lines.joined(separator: "\n")
  }

  private func drawOutputs(of node: Int, indent: String, _ drawn: inout Set<Int>, _ lines: inout [String]) {
    let out = edges(from: node)
    for (position, edge) in out.enumerated() {
      let isLast = position == out.count - 1
      let target = nodes[edge.to]
      let label = nodes[node].outputs.count > 1 ? " \(nodes[node].outputs[edge.output].name)" : ""
      let input = target.inputs.count > 1 ? "[\(target.inputs[edge.input].name)]" : ""
      let again = !drawn.insert(edge.to).inserted
      var text = target.name + input
      if case .element = target.role, !again { text += "  \(target.type)" }
      if case .transmit = target.role { text += "  (\(target.type))" }
      if again, !edges(from: edge.to).isEmpty { text += "  ..." }
      lines.append(indent + (isLast ? "`-" : "|-") + label + " -> " + text)
      if !again { drawOutputs(of: edge.to, indent: indent + (isLast ? "   " : "|  "), &drawn, &lines) }
    }
  }

  /// The graph in Graphviz's language.
  public var dot: String {
    func quoted(_ text: String) -> String {
      "\""
        + text.map { character in
          switch character {
          case "\"", "\\": "\\\(character)"
          case "\n": "\\n"
          default: String(character)
          }
        }.joined() + "\""
    }
    var lines = ["digraph pipeline {", "  rankdir=LR;", "  node [shape=box, fontname=\"sans-serif\"];"]
    for (index, node) in nodes.enumerated() {
      let shape =
        switch node.role {
        case .receive, .transmit: ", shape=cds"
        case .drop: ", shape=point"
        case .element: ""
        }
      lines.append("  n\(index) [label=\(quoted(node.name + "\n" + node.type))\(shape)];")
    }
    for edge in edges {
      let label = nodes[edge.from].outputs.count > 1 ? nodes[edge.from].outputs[edge.output].name : ""
      let text = label.isEmpty ? "\(edge.state)" : "\(label)\n\(edge.state)"
      lines.append("  n\(edge.from) -> n\(edge.to) [label=\(quoted(text)), fontsize=10];")
    }
    return (lines + ["}"]).joined(separator: "\n")
  }
}
