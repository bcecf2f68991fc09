import Assembly
import Configuration
import Testing

@Suite struct SchedulerTests {
  /// Two ports that both receive and transmit, and one that only transmits.
  private func graph() throws -> Graph {
    try load(
      """
      nfv: 1
      ports: { a: { af_packet: eth0 }, b: { af_packet: eth1 }, log: { dpdk: net_null0 } }
      elements: { two: { Tee: 2 }, count: Counter }
      graph: [a -> two -> b, two.1 -> log, b -> count -> a]
      """
    ).graph
  }

  private func nodes(_ graph: Graph, _ name: String, transmit: Bool) -> Int? {
    graph.nodes.indices.first { index in
      guard graph.nodes[index].name == name else { return false }
      return if case .transmit = graph.nodes[index].role { transmit } else { !transmit }
    }
  }

  @Test func oneWorkerDoesEverything() throws {
    let graph = try graph()
    let assignments = try Scheduler.assign(graph, workers: 1, queues: [1, 1, 1])
    #expect(assignments.count == 1)
    #expect(assignments[0].nodes == graph.topologicalOrder)
    #expect(assignments[0].receiveQueues.values.allSatisfy { $0 == [0] } && assignments[0].receiveQueues.count == 2)
    #expect(assignments[0].transmitQueues.values.allSatisfy { $0 == 0 } && assignments[0].transmitQueues.count == 3)
  }

  @Test func portsWithOneQueueAreSpread() throws {
    let graph = try graph()
    let assignments = try Scheduler.assign(graph, workers: 2, queues: [1, 1, 1])
    let (a, b) = (try #require(nodes(graph, "a", transmit: false)), try #require(nodes(graph, "b", transmit: false)))
    #expect(assignments[0].receiveQueues == [a: [0]] && assignments[1].receiveQueues == [b: [0]])
    // Each runs only what its packets can reach, and each of the ports is one worker's to transmit to.
    #expect(assignments[0].nodes.map { graph.nodes[$0].name } == ["a", "two", "b", "log"])
    #expect(assignments[1].nodes.map { graph.nodes[$0].name } == ["b", "count", "a"])
  }

  @Test func aWorkerWithoutPacketsHasNothingToDo() throws {
    let assignments = try Scheduler.assign(try graph(), workers: 3, queues: [1, 1, 1])
    #expect(assignments[2].nodes.isEmpty && assignments[2].receiveQueues.isEmpty)
    #expect(assignments[2].transmitQueues.isEmpty)
  }

  /// For every number of workers and queues: each receive queue has one worker, no transmit queue has two.
  @Test(arguments: 1...4, 1...8) func queuesHaveOneOwner(workers: Int, queues: Int) throws {
    let graph = try graph()
    let counts = [queues, queues, queues]
    let assignments: [Scheduler.Assignment]
    do throws(Scheduler.Conflict) {
      assignments = try Scheduler.assign(graph, workers: workers, queues: counts)
    } catch {
      // Fewer transmit queues than workers that send.
      #expect(queues < workers && error.needed > queues)
      return
    }
    #expect(assignments.map(\.worker) == Array(0..<workers))
    for node in graph.nodes.indices {
      switch graph.nodes[node].role {
      case .receive:
        let owned = assignments.flatMap { $0.receiveQueues[node] ?? [] }
        #expect(owned.sorted() == Array(0..<queues))
      case .transmit:
        let used = assignments.compactMap { $0.transmitQueues[node] }
        #expect(Set(used).count == used.count && used.allSatisfy { (0..<queues).contains($0) })
      default: break
      }
    }
    for assignment in assignments {
      #expect(assignment.nodes == graph.topologicalOrder.filter(assignment.nodes.contains))
      #expect(Set(assignment.nodes) == graph.reachable(from: Array(assignment.receiveQueues.keys)))
    }
    if queues >= workers {
      #expect(assignments.allSatisfy { !$0.receiveQueues.isEmpty } || queues == 1)
    }
  }

  // MARK: In pipelines

  private func text(workers: Int, lan: String, wan: String) -> String {
    """
    nfv: 1
    runtime: { workers: \(workers) }
    ports: { lan: { \(lan) }, wan: { \(wan) } }
    elements: { count: Counter }
    graph: [lan -> count -> wan]
    """
  }

  @Test func givesPortsAQueueAWorker() throws {
    let loaded = try load(text(workers: 3, lan: "af_packet: eth0", wan: "af_packet: eth1"))
    #expect(loaded.workerCount == 3 && loaded.queues(of: 0) == 3 && loaded.queues(of: 1) == 3)
    #expect(try loaded.assignments().count == 3)
  }

  @Test func refusesMoreSendersThanQueues() {
    #expect(
      mistakes(text(workers: 4, lan: "af_packet: eth0", wan: "af_packet: eth1, queues: 2")) == [
        "3:36: 4 workers send to port 'wan', which has too few queues; "
          + "set 'queues: 4' on the port, or use fewer workers"
      ])
    #expect(mistakes(text(workers: 4, lan: "af_packet: eth0, queues: 2", wan: "af_packet: eth1, queues: 2")).isEmpty)
  }

  @Test func aReplayHasOneWorkerAndOneQueue() throws {
    let replay = try load(text(workers: 4, lan: "pcap: a.pcap", wan: "pcap: { out: b.pcap }"))
    #expect(replay.isReplay && replay.workerCount == 1 && replay.queues(of: 0) == 1)
    let live = try load(text(workers: 2, lan: "pcap: a.pcap", wan: "af_packet: eth1"))
    #expect(!live.isReplay && live.workerCount == 2)
    let flatOut = try load(text(workers: 2, lan: "traffic: {}", wan: "'null': {}"))
    #expect(!flatOut.isReplay)
    let timed = try load(text(workers: 2, lan: "traffic: { rate: 1kpps, count: 5 }", wan: "'null': {}"))
    #expect(timed.isReplay)
  }

  static let runtimes: [(settings: String, expected: [String])] = [
    ("workers: 0", ["0 workers; give 1 to 64"]),
    ("workers: 65", ["65 workers; give 1 to 64"]),
    ("workers: 2, cores: [1]", ["2 workers but 1 cores; name one core a worker"]),
    ("cores: [1, 1]", ["cores must differ and be 0 to 1023; list each CPU once"]),
    ("cores: [1024]", ["cores must differ and be 0 to 1023; list each CPU once"]),
    ("batch: 0", ["'batch' is 0, which is out of range; give 1 to 256"]),
    ("batch: 257", ["'batch' is 257, which is out of range; give 1 to 256"]),
    ("poll: bsy", ["'bsy' is none of adaptive, busy; did you mean 'busy'?"]),
    ("wrkers: 2", ["there is no setting 'wrkers'; did you mean 'workers'?"]),
    ("cores: [2, 3]", []),
    ("workers: 2, cores: [2, 3], batch: 256, poll: busy, hugepages: never, eal: ['--iova-mode=va']", []),
  ]

  @Test(arguments: runtimes.indices) func readsTheRuntime(index: Int) {
    let (settings, expected) = Self.runtimes[index]
    let found = mistakes(
      "nfv: 1\nruntime: { \(settings) }\nports: { lan: { af_packet: eth0 } }\ngraph: [lan -> drop]\n")
    #expect(found.map { String($0.drop { $0 != " " }.dropFirst()) } == expected)
  }

  @Test func coresCountWorkers() throws {
    let loaded = try load(
      "nfv: 1\nruntime: { cores: [4, 5, 6] }\nports: { lan: { af_packet: eth0 } }\ngraph: [lan -> drop]\n")
    #expect(loaded.workerCount == 3 && loaded.runtime.cores == [4, 5, 6])
  }

  // MARK: Captures in place of ports

  @Test func bindsCapturesByName() throws {
    let live = text(workers: 2, lan: "af_packet: eth0", wan: "dpdk: '0000:03:00.0'")
    let replay = try load(live, rebinding: [PortBinding(port: "lan", input: "in.pcap", output: "out.pcap")])
    #expect(replay.isReplay && replay.ports.map(\.summary) == ["pcap in.pcap -> out.pcap", "pcap"])
    #expect(
      mistakes(live, rebinding: [PortBinding(port: "wna", input: "x")]) == [
        "error: the pipeline has no port 'wna'; did you mean 'wan'?"
      ])
  }

  @Test func readsBindings() throws {
    let bindings = try PortBinding.parse(inputs: ["lan=a=b.pcap", "wan=w"], outputs: ["lan=x"])
    #expect(
      bindings == [
        PortBinding(port: "lan", input: "a=b.pcap", output: "x"), PortBinding(port: "wan", input: "w"),
      ])
    for (inputs, outputs, expected) in [
      (["lan"], [], "--in takes port=capture, not 'lan'"), (["=x"], [], "--in takes port=capture, not '=x'"),
      ([], ["lan="], "--out takes port=capture, not 'lan='"), ([], [""], "--out takes port=capture, not ''"),
      (["a=1", "a=2"], [], "--in names port 'a' twice"), ([], ["a=1", "a=2"], "--out names port 'a' twice"),
    ] as [([String], [String], String)] {
      let error = try #require(throws: PortBinding.Malformed.self) {
        _ = try PortBinding.parse(inputs: inputs, outputs: outputs)
      }
      #expect(error.description == expected)
    }
  }
}
