extension Graph {
  /// The graph as an SVG picture: packets flow from left to right, a column for each step.
  public var svg: String { Picture(self).text }
}

/// A layered drawing: a node stands one column to the right of the last of those that lead to it.
private struct Picture {
  private static let boxWidth = 150, boxHeight = 44, columnGap = 90, rowGap = 26, margin = 20

  private let graph: Graph
  private var column: [Int]
  private var row: [Int]

  init(_ graph: Graph) {
    self.graph = graph
    column = Array(repeating: 0, count: graph.nodes.count)
    row = column
    let order = graph.topologicalOrder
    let place = Dictionary(uniqueKeysWithValues: order.enumerated().map { ($1, $0) })
    for node in order {
      for edge in graph.edges(from: node) where place[edge.to]! > place[node]! {
        column[edge.to] = max(column[edge.to], column[node] + 1)
      }
    }
    var used: [Int: Int] = [:]
    for node in order {
      row[node] = used[column[node], default: 0]
      used[column[node]] = row[node] + 1
    }
  }

  private func left(_ node: Int) -> Int { Self.margin + column[node] * (Self.boxWidth + Self.columnGap) }
  private func top(_ node: Int) -> Int { Self.margin + row[node] * (Self.boxHeight + Self.rowGap) }

  var text: String {
    let width = (column.max() ?? 0) * (Self.boxWidth + Self.columnGap) + Self.boxWidth + 2 * Self.margin
    let height = (row.max() ?? 0) * (Self.boxHeight + Self.rowGap) + Self.boxHeight + 2 * Self.margin
    var lines = [
      #"<svg xmlns="http://www.w3.org/2000/svg" width="\#(width)" height="\#(height)" font-family="sans-serif" font-size="12">"#,
      #"  <defs><marker id="arrow" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" markerHeight="7" orient="auto">"#
        + #"<path d="M0 0 L8 4 L0 8 z" fill="dimgray"/></marker></defs>"#,
      #"  <rect width="100%" height="100%" fill="white"/>"#,
    ]
    for edge in graph.edges { lines += draw(edge) }
    for node in graph.nodes.indices { lines += draw(node) }
    return (lines + ["</svg>"]).joined(separator: "\n")
  }

  private func draw(_ node: Int) -> [String] {
    let (x, y) = (left(node), top(node))
    let fill =
      switch graph.nodes[node].role {
      case .receive, .transmit: "#dbeafe"
      case .drop: "#fee2e2"
      case .element: "#f3f4f6"
      }
    let middle = x + Self.boxWidth / 2
    var lines = [
      #"  <rect x="\#(x)" y="\#(y)" width="\#(Self.boxWidth)" height="\#(Self.boxHeight)" rx="5" fill="\#(fill)" stroke="dimgray"/>"#,
      #"  <text x="\#(middle)" y="\#(y + 18)" text-anchor="middle" font-weight="bold">\#(Self.escaped(graph.nodes[node].name))</text>"#,
    ]
    if graph.nodes[node].type != graph.nodes[node].name {
      let type = graph.nodes[node].type
      let short = type.count > 24 ? "\(type.prefix(23))…" : type
      lines.append(
        #"  <text x="\#(middle)" y="\#(y + 34)" text-anchor="middle" fill="dimgray">\#(Self.escaped(short))</text>"#)
    }
    return lines
  }

  private func draw(_ edge: Graph.Edge) -> [String] {
    let (x1, y1) = (left(edge.from) + Self.boxWidth, top(edge.from) + Self.boxHeight / 2)
    let (x2, y2) = (left(edge.to), top(edge.to) + Self.boxHeight / 2)
    let bend = max((x2 - x1) / 2, Self.columnGap)
    var lines = [
      #"  <path d="M\#(x1) \#(y1) C\#(x1 + bend) \#(y1) \#(x2 - bend) \#(y2) \#(x2) \#(y2)" fill="none" stroke="dimgray" marker-end="url(#arrow)"/>"#
    ]
    if graph.nodes[edge.from].outputs.count > 1 {
      let name = graph.nodes[edge.from].outputs[edge.output].name
      // Labels of one node's outputs would lie upon each other at its middle.
      let offset = edge.output * 13 - (graph.nodes[edge.from].outputs.count - 1) * 6
      lines.append(#"  <text x="\#(x1 + 4)" y="\#(y1 + offset - 3)" fill="royalblue">\#(Self.escaped(name))</text>"#)
    }
    return lines
  }

  private static func escaped(_ text: String) -> String {
    text.map { character in
      switch character {
      case "<": "&lt;"
      case ">": "&gt;"
      case "&": "&amp;"
      case "\"": "&quot;"
      default: String(character)
      }
    }.joined()
  }
}
