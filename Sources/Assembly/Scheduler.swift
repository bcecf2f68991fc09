public import Dataplane

/// Lays a graph out on workers: which queues each receives from, which elements it runs and in which order.
public struct Scheduler {
  /// What one worker does, before any port is open.
  public struct Assignment: Sendable {
    /// The worker's number, and how many there are.
    public let worker: Int, workers: Int
    /// Nodes of the graph in order of execution.
    public let nodes: [Int]
    /// Queue of each receiving node that is this worker's.
    public let receiveQueues: [Int: [Int]]
    /// Queue of each transmitting node that this worker uses.
    public let transmitQueues: [Int: Int]
  }

  /// Two workers would need the same transmit queue.
  public struct Conflict: Error, Sendable {
    /// Name of the port.
    public let port: String
    /// Queues it would need.
    public let needed: Int
  }

  /// Deals receive queues out to workers, and gives each worker what its packets can reach.
  /// - Parameter queues: How many queues each port has, by its place in the pipeline.
  public static func assign(_ graph: Graph, workers: Int, queues: [Int]) throws(Conflict) -> [Assignment] {
    let order = graph.topologicalOrder
    var received = [[Int: [Int]]](repeating: [:], count: workers)
    var receiving = 0
    for node in graph.nodes.indices {
      guard case .receive(let port) = graph.nodes[node].role else { continue }
      for queue in 0..<queues[port] {
        // Ports with one queue are spread; a port with as many queues as workers gives each worker one.
        let worker = (queues[port] == 1 ? receiving : queue) % workers
        received[worker][node, default: []].append(queue)
      }
      receiving += 1
    }
    let reach = received.map { graph.reachable(from: Array($0.keys)) }
    var transmitted = [[Int: Int]](repeating: [:], count: workers)
    for node in graph.nodes.indices {
      guard case .transmit(let port) = graph.nodes[node].role else { continue }
      let users = (0..<workers).filter { reach[$0].contains(node) }
      guard users.count <= queues[port] else {
        throw Conflict(port: graph.nodes[node].name, needed: users.count)
      }
      for (queue, worker) in users.enumerated() { transmitted[worker][node] = queue }
    }
    return (0..<workers).map { worker in
      Assignment(
        worker: worker, workers: workers, nodes: order.filter { reach[worker].contains($0) },
        receiveQueues: received[worker],
        transmitQueues: transmitted[worker])
    }
  }

  /// A worker's plan, and which node of the graph each of its nodes stands for.
  public struct Placed: Sendable {
    /// What the worker executes.
    public let plan: Plan
    /// Place in `Graph.nodes` of each node of the plan.
    public let graphNodes: [Int]
  }

  /// Builds the plan that a worker executes.
  /// - Parameters:
  ///   - ports: The open ports, by their place in the pipeline.
  ///   - seed: What the worker's random numbers begin from.
  ///   - instance: Gives this worker's instance of the element at a place in the pipeline.
  public static func plan(
    _ graph: Graph, _ assignment: Assignment, ports: [any Port], pool: PacketPool, batchSize: Int,
    seed: UInt64 = 0, instance: (Int) -> ElementInstance
  ) -> Placed {
    let receives = assignment.receiveQueues.values.map(\.count).reduce(0, +)
    let plan = Plan(
      worker: assignment.worker, of: assignment.workers, pool: pool, batchSize: batchSize,
      nodes: assignment.nodes.count + receives, seed: seed)
    var placed: [Int: [PlanNode]] = [:]
    var graphNodes: [Int] = []
    for index in assignment.nodes {
      let node = graph.nodes[index]
      switch node.role {
      case .receive(let port):
        placed[index] = (assignment.receiveQueues[index] ?? []).map { queue in
          plan.addReceive(name(node.name, queue, of: ports[port]), ports[port].queues[queue])
        }
      case .transmit(let port):
        let queue = assignment.transmitQueues[index] ?? 0
        placed[index] = [plan.addTransmit(name(node.name, queue, of: ports[port]), ports[port].queues[queue])]
      case .element(let element):
        placed[index] = [plan.addElement(node.name, instance(element), inputs: node.inputs.count)]
      case .drop:
        placed[index] = [plan.addDiscard(node.name)]
      }
      graphNodes += Array(repeating: index, count: placed[index]?.count ?? 0)
    }
    for edge in graph.edges {
      guard let sources = placed[edge.from], let target = placed[edge.to]?.first else { continue }
      for source in sources { plan.connect(source, output: edge.output, to: target, input: edge.input) }
    }
    plan.hasCycle = !graph.loops.isEmpty
    return Placed(plan: plan, graphNodes: graphNodes)
  }

  private static func name(_ port: String, _ queue: Int, of opened: any Port) -> String {
    opened.queues.count == 1 ? port : "\(port):\(queue)"
  }
}
