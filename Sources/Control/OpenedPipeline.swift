import Assembly
import Configuration
import Dataplane

/// A pipeline with its ports open and its plans built, ready to be run.
final class OpenedPipeline {
  let ports: [any Port]
  let workers: [Scheduler.Placed]
  let readers: ReaderDomain?
  let pool: PacketPool

  /// - Throws: What the host lacks, or which queue two workers would share.
  init(_ pipeline: Pipeline, batchSize: Int?) throws(RunError) {
    do throws(EnvironmentError) {
      pool = try PacketPool(
        name: "packets", packets: pipeline.runtime.packets, dataRoom: pipeline.runtime.dataRoom)
      var opened: [any Port] = []
      for (index, port) in pipeline.ports.enumerated() {
        let number = Pipeline.portNumber(index)
        opened.append(try port.specification.open(number: number, queues: pipeline.queues(of: index), pool: pool))
        pipeline.portOpened(index, number: opened[index].number)
      }
      ports = opened
    } catch {
      throw .environment(error)
    }
    readers = ReaderDomain(workers: pipeline.workerCount)
    do throws(ConfigurationError) {
      let assignments = try pipeline.assignments()
      var placed: [Scheduler.Placed] = []
      for assignment in assignments {
        let instances = try pipeline.instances(for: assignment)
        placed.append(
          Scheduler.plan(
            pipeline.graph, assignment, ports: ports, pool: pool, batchSize: batchSize ?? pipeline.runtime.batchSize,
            seed: pipeline.isReplay ? 0 : pipeline.secret, instance: { instances[$0]! }))
      }
      workers = placed
    } catch {
      throw .configuration(error)
    }
    if workers.count > 1, pipeline.elements.contains(where: \.kind.handsOver),
      !Handover.join(workers.map(\.plan), nodes: workers.map(\.graphNodes))
    {
      throw .environment(
        EnvironmentError("no memory for rings between \(workers.count) workers", remedy: "use fewer workers"))
    }
  }

  /// What was counted so far.
  /// - Parameter isRunning: Whether workers may be running, whose elements are theirs then.
  func report(of pipeline: Pipeline, isRunning: Bool) -> Report {
    let graph = pipeline.graph
    var sums = [NodeCounters](repeating: NodeCounters(), count: graph.nodes.count)
    var own = [[ElementCounter]](repeating: [], count: graph.nodes.count)
    for worker in workers {
      let plan = worker.plan
      let besides =
        isRunning ? plan.runningElementCounters() : plan.names.indices.map { plan.elementCounters(of: $0) }
      let counters = plan.counters()
      for (position, node) in worker.graphNodes.enumerated() {
        sums[node] += counters[position]
        if position < besides.count { own[node] = Self.added(own[node], besides[position]) }
      }
    }
    var report = Report()
    report.ports = zip(pipeline.ports, ports).map { specification, port in
      Report.PortLine(name: specification.name, kind: specification.summary, counters: port.counters)
    }
    for node in graph.topologicalOrder {
      switch graph.nodes[node].role {
      case .receive(let port): report.ports[port].received = sums[node]
      case .transmit(let port): report.ports[port].transmitted = sums[node]
      case .drop: report.discarded += sums[node].packetsIn
      case .element(let element):
        let kind = pipeline.elements[element].kind
        report.elements.append(
          Report.ElementLine(
            name: graph.nodes[node].name, type: graph.nodes[node].type, outputs: graph.nodes[node].outputs.map(\.name),
            counters: sums[node],
            drops: sums[node].drops.sorted { $0.key < $1.key }.map { (kind.name(of: $0.key), $0.value) },
            elementCounters: own[node]))
      }
    }
    report.abandoned = pool.abandoned
    return report
  }

  private static func added(_ left: [ElementCounter], _ right: [ElementCounter]) -> [ElementCounter] {
    guard !left.isEmpty else { return right }
    return zip(left, right).map { ElementCounter($0.name, $0.value &+ $1.value) }
  }

  /// What each worker executes, in order.
  func description(of pipeline: Pipeline) -> String {
    workers.map { worker in
      let plan = worker.plan
      var lines = ["worker \(plan.worker), batches of up to \(plan.batchSize)"]
      for (position, name) in plan.names.enumerated() {
        let node = pipeline.graph.nodes[worker.graphNodes[position]]
        let verb =
          switch node.role {
          case .receive: "receive   "
          case .element: "run       "
          case .transmit: "transmit  "
          case .drop: "free      "
          }
        var line = "  \(position)  \(verb)\(name)"
        if case .element = node.role { line += "  \(node.type)" }
        let targets = (0..<plan.outputCount(of: position)).compactMap { output -> String? in
          guard let target = plan.target(of: position, output: output) else { return nil }
          let label = node.outputs.count > 1 ? "\(node.outputs[output].name) " : ""
          return "\(label)-> \(target.node)"
        }
        if !targets.isEmpty { line += "   " + targets.joined(separator: ", ") }
        lines.append(line)
      }
      return lines.joined(separator: "\n")
    }.joined(separator: "\n")
  }
}
