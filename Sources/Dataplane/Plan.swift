import CDPDK

/// A node of a plan: an element, a port's queue to receive from, one to transmit to, or the graph's `drop`.
public struct PlanNode: Hashable, Sendable {
  let index: Int
}

/// What one core executes: nodes in the order they are run in, and where each output leads. A scheduler builds it, a
/// `Worker` runs it.
@safe
public final class Plan {
  enum Role {
    case receive(any PortQueue)
    case element(ElementInstance)
    case transmit(any PortQueue)
    case discard
  }

  /// How a node is run; kept apart from `Role` so that the loop switches over a byte and touches no reference count.
  enum Step: UInt8 { case receive, element, transmit, discard }

  @unsafe
  struct Node {
    let step: Step
    let element: UnsafeMutablePointer<any Element & ~Copyable>?
    let firstInput: Int
    let inputCount: Int
    let outputs: UnsafeMutablePointer<UnsafeMutablePointer<PacketVector>>
    /// The nodes that the outputs lead to.
    let targets: UnsafeMutablePointer<Int>
    let outputCount: Int
    let counters: CounterWords
    /// Where all outputs lead, when that is one input.
    var soleTarget: UnsafeMutablePointer<PacketVector>?
    /// Whether an output leads to an input of the node itself.
    var feedsItself = false
    var wake = Instant.never
  }

  /// The worker's number, from 0 on.
  public let worker: Int
  /// How many workers run the graph.
  public let workers: Int
  /// What random numbers begin from, together with the worker's number.
  let seed: UInt64
  /// Packets are received and processed in batches of at most this many.
  public let batchSize: Int
  let pool: PacketPool
  /// Where operations for the elements of this plan are left.
  public let mailbox = Mailbox()
  /// Where the worker leaves what elements count besides.
  let board = CounterBoard()
  var roles: [Role] = []
  /// Names for reports, in order of execution.
  public private(set) var names: [String] = []
  private(set) var nodes: UnsafeMutablePointer<Node>
  private(set) var nodeCount = 0
  private(set) var vectors: UnsafeMutablePointer<UnsafeMutablePointer<PacketVector>>
  private(set) var vectorCount = 0
  private let capacity: Int
  /// How packets come to other workers; nil when none is handed over.
  public private(set) var handover: Handover?
  /// The node that stands here for a node of the graph; -1 where none does.
  private(set) var placeOfNode: [Int] = []
  /// The node of the graph that each node stands for.
  private(set) var numberOfNode: [Int] = []
  /// Set when packets can come by a node twice; replay then goes packet by packet.
  public var hasCycle = false

  /// An empty plan.
  /// - Parameters:
  ///   - nodes: How many nodes will be added at most.
  ///   - batchSize: 1 to 256.
  public init(worker: Int, of workers: Int = 1, pool: PacketPool, batchSize: Int, nodes capacity: Int, seed: UInt64 = 0)
  {
    self.worker = worker
    self.workers = workers
    self.seed = seed
    self.pool = pool
    self.batchSize = min(max(batchSize, 1), 256)
    self.capacity = capacity
    unsafe self.nodes = .allocate(capacity: capacity)
    unsafe vectors = .allocate(capacity: capacity * Self.inputLimit)
  }

  /// No element has more inputs than this.
  static let inputLimit = 16

  deinit {
    for index in 0..<nodeCount {
      unsafe nodes[index].outputs.deallocate()
      unsafe nodes[index].targets.deallocate()
      unsafe nodes[index].counters.deallocate()
    }
    for index in 0..<vectorCount {
      unsafe vectors[index].pointee.free()
      unsafe vectors[index].pointee.deallocate()
      unsafe vectors[index].deallocate()
    }
    unsafe nodes.deallocate()
    unsafe vectors.deallocate()
  }

  /// Adds a queue to receive from. It has output 0.
  public func addReceive(_ name: String, _ queue: any PortQueue) -> PlanNode {
    unsafe add(name, .receive(queue), .receive, nil, inputs: 0, outputs: 1)
  }

  /// Adds an element.
  public func addElement(_ name: String, _ instance: ElementInstance, inputs: Int) -> PlanNode {
    unsafe add(
      name, .element(instance), .element, instance.element, inputs: min(inputs, Self.inputLimit),
      outputs: instance.outputs.count)
  }

  /// Adds a queue to transmit to. It has input 0.
  public func addTransmit(_ name: String, _ queue: any PortQueue) -> PlanNode {
    unsafe add(name, .transmit(queue), .transmit, nil, inputs: 1, outputs: 0)
  }

  /// Adds the place where packets are freed. It has input 0.
  public func addDiscard(_ name: String = "drop") -> PlanNode {
    unsafe add(name, .discard, .discard, nil, inputs: 1, outputs: 0)
  }

  @unsafe
  private func add(
    _ name: String, _ role: Role, _ step: Step, _ element: UnsafeMutablePointer<any Element & ~Copyable>?,
    inputs: Int, outputs: Int
  ) -> PlanNode {
    precondition(nodeCount < capacity, "a plan was given more nodes than it was made for")
    for offset in 0..<inputs {
      let vector = UnsafeMutablePointer<PacketVector>.allocate(capacity: 1)
      unsafe vector.initialize(to: PacketVector(capacity: 512))
      unsafe self.vectors[vectorCount + offset] = vector
    }
    let vectors = UnsafeMutablePointer<UnsafeMutablePointer<PacketVector>>.allocate(capacity: max(outputs, 1))
    let targets = UnsafeMutablePointer<Int>.allocate(capacity: max(outputs, 1))
    unsafe targets.initialize(repeating: 0, count: max(outputs, 1))
    let node = unsafe Node(
      step: step, element: element, firstInput: vectorCount,
      inputCount: inputs, outputs: vectors, targets: targets, outputCount: outputs,
      counters: CounterWords(outputs: outputs))
    unsafe (nodes + nodeCount).initialize(to: node)
    vectorCount += inputs
    nodeCount += 1
    roles.append(role)
    names.append(name)
    connected.append(Array(repeating: nil, count: outputs))
    return PlanNode(index: nodeCount - 1)
  }

  func join(_ handover: Handover, _ numbers: [Int]) {
    self.handover = handover
    numberOfNode = numbers
    placeOfNode = Array(repeating: -1, count: (numbers.max() ?? -1) + 1)
    for (place, number) in numbers.enumerated() { placeOfNode[number] = place }
  }

  /// Where a packet goes that was handed over: the node and its input; nil when there is no such node here.
  @inline(__always)
  func destination(_ mark: UInt32) -> (node: Int, input: Int)? {
    let number = Int(mark >> 8)
    guard number < placeOfNode.count, placeOfNode[number] >= 0 else { return nil }
    return (placeOfNode[number], Int(mark & 0xFF))
  }

  /// Counts a packet that was handed over and that nobody will take.
  func countLost(at mark: UInt32) {
    guard let (node, _) = destination(mark) else { return }
    unsafe nodes[node].counters.add(CounterWords.packetsIn, 1)
    unsafe nodes[node].counters.add(CounterWords.drops + Int(DropReason.workerBusy.code), 1)
  }

  private var connected: [[(node: Int, input: Int)?]] = []

  /// Leads an output to an input. Every output must be led somewhere before the plan is run.
  public func connect(_ from: PlanNode, output: Int, to target: PlanNode, input: Int) {
    let vector = unsafe vectors[nodes[target.index].firstInput + input]
    unsafe nodes[from.index].outputs[output] = vector
    unsafe nodes[from.index].targets[output] = target.index
    connected[from.index][output] = (target.index, input)
    let outputs = unsafe connected[from.index].indices.lazy.map { unsafe self.nodes[from.index].outputs[$0] }
    let isSole = unsafe !connected[from.index].contains { $0 == nil } && outputs.allSatisfy { unsafe $0 == vector }
    unsafe nodes[from.index].soleTarget = isSole ? vector : nil
    if target == from { unsafe nodes[from.index].feedsItself = true }
  }

  /// Where an output leads: the target's place in `names`, and its input.
  public func target(of node: Int, output: Int) -> (node: Int, input: Int)? { connected[node][output] }

  /// How many outputs the node at this place of `names` has.
  public func outputCount(of node: Int) -> Int { connected[node].count }

  /// The places of nodes that receive.
  var receiveNodes: [Int] {
    roles.indices.filter { index in
      if case .receive = roles[index] { true } else { false }
    }
  }

  func queue(at index: Int) -> any PortQueue {
    switch roles[index] {
    case .receive(let queue), .transmit(let queue): return queue
    case .element, .discard: preconditionFailure("not a port's node")
    }
  }

  /// What was counted at each node so far, in the order of `names`.
  public func counters() -> [NodeCounters] {
    (0..<nodeCount).map { unsafe nodes[$0].counters.read() }
  }

  /// What was counted at one node so far.
  public func counters(of node: PlanNode) -> NodeCounters { unsafe nodes[node.index].counters.read() }

  /// Counts that an element reports besides; to be read when the worker is not running.
  public func elementCounters(of node: PlanNode) -> [ElementCounter] { elementCounters(of: node.index) }

  /// Counts that an element reports besides; to be read when the worker is not running.
  public func elementCounters(of node: Int) -> [ElementCounter] {
    guard case .element(let instance) = roles[node] else { return [] }
    return unsafe instance.element.pointee.counters
  }

  /// Counts that elements report besides, by the place of their node, from a worker that is running; short of nodes when
  /// it has not answered yet. Waits some milliseconds for it.
  public func runningElementCounters() -> [[ElementCounter]] { board.ask(mailbox, milliseconds: 50) }
}

// The worker's side of the plan is confined to its thread; counters are read with relaxed loads from anywhere.
extension Plan: @unchecked Sendable {}
