public import Configuration
public import Dataplane

/// What the user wired, checked: every name is known, every output leads somewhere, every edge delivers what is needed.
public struct Graph {
  /// What a node does.
  public enum Role {
    /// Packets come in by the port of this place in `Pipeline.ports`.
    case receive(Int)
    /// Packets leave by the port of this place in `Pipeline.ports`.
    case transmit(Int)
    /// Packets pass an element; its place in `Pipeline.elements`.
    case element(Int)
    /// Packets are freed.
    case drop
  }

  /// A port's end, an element or `drop`.
  public struct Node {
    /// The name in the graph; elements of a subgraph are `subgraph/element`.
    public var name: String
    /// What it does.
    public var role: Role
    /// The element's type, or the port's kind.
    public var type: String
    /// Where packets enter.
    public var inputs: [InputDescription]
    /// Where packets leave.
    public var outputs: [OutputDescription]
    /// Whether packets cannot pass by it without end.
    public var boundsLoops: Bool
    /// Where it is declared.
    public var position: SourceRange?
  }

  /// A way from an output to an input.
  public struct Edge {
    /// The node that packets come from, and its output.
    public var from: Int, output: Int
    /// The node that packets go to, and its input.
    public var to: Int, input: Int
    /// What is known of the packets.
    public var state: HeaderState = .frame
    /// Where it is written.
    public var position: SourceRange?
  }

  /// All nodes.
  public internal(set) var nodes: [Node] = []
  /// All edges.
  public internal(set) var edges: [Edge] = []

  /// Edges that leave a node, by output.
  public func edges(from node: Int) -> [Edge] { edges.filter { $0.from == node }.sorted { $0.output < $1.output } }
  /// Edges that lead to a node.
  public func edges(to node: Int) -> [Edge] { edges.filter { $0.to == node } }

  /// Nodes that packets can reach from `starts`, those included.
  public func reachable(from starts: [Int]) -> Set<Int> {
    var seen = Set(starts)
    var open = starts
    let targets = Dictionary(grouping: edges, by: \.from)
    while let node = open.popLast() {
      for edge in targets[node] ?? [] where seen.insert(edge.to).inserted { open.append(edge.to) }
    }
    return seen
  }

  /// Nodes in an order in which every node comes behind those that lead to it, but for edges that close a loop.
  public var topologicalOrder: [Int] {
    var order: [Int] = []
    var state = [UInt8](repeating: 0, count: nodes.count)
    let targets = Dictionary(grouping: edges, by: \.from)
    func visit(_ start: Int) {
      var stack: [(node: Int, next: Int)] = [(start, 0)]
      state[start] = 1
      while let top = stack.last {
        let out = targets[top.node] ?? []
        if top.next < out.count {
          stack[stack.count - 1].next += 1
          // Later outputs are visited first, so that the order runs along the first ones.
          let target = out[out.count - 1 - top.next].to
          if state[target] == 0 {
            state[target] = 1
            stack.append((target, 0))
          }
        } else {
          order.append(top.node)
          stack.removeLast()
        }
      }
    }
    let starts = nodes.indices.filter { if case .receive = nodes[$0].role { true } else { false } }
    for start in starts.reversed() where state[start] == 0 { visit(start) }
    for node in nodes.indices.reversed() where state[node] == 0 { visit(node) }
    return order.reversed()
  }

  /// Nodes that lie on loops, a set for each group of loops that hang together (Tarjan's strongly connected components).
  public var loops: [[Int]] {
    let targets = Dictionary(grouping: edges, by: \.from).mapValues { $0.map(\.to) }
    var index = [Int](repeating: -1, count: nodes.count)
    var low = [Int](repeating: 0, count: nodes.count)
    var onStack = [Bool](repeating: false, count: nodes.count)
    var stack: [Int] = []
    var found: [[Int]] = []
    var counter = 0
    for start in nodes.indices where index[start] < 0 {
      var work: [(node: Int, next: Int)] = [(start, 0)]
      while let (node, next) = work.last {
        if next == 0 {
          index[node] = counter
          low[node] = counter
          counter += 1
          stack.append(node)
          onStack[node] = true
        }
        let out = targets[node] ?? []
        if next < out.count {
          work[work.count - 1].next += 1
          let target = out[next]
          if index[target] < 0 {
            work.append((target, 0))
          } else if onStack[target] {
            low[node] = min(low[node], index[target])
          }
          continue
        }
        work.removeLast()
        if let parent = work.last?.node { low[parent] = min(low[parent], low[node]) }
        guard low[node] == index[node] else { continue }
        var component: [Int] = []
        while let member = stack.popLast() {
          onStack[member] = false
          component.append(member)
          if member == node { break }
        }
        if component.count > 1 || (targets[node] ?? []).contains(node) { found.append(component.sorted()) }
      }
    }
    return found
  }
}
