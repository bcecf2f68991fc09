import Assembly
import Dataplane
import Elements
import TestKit
import Testing

/// A whole pipeline in virtual time, its ports in memory. After each step an issue is recorded unless every packet is
/// accounted for at every node, and no buffer is in use that no element holds.
final class PipelineUnderTest {
  let pipeline: Pipeline
  private let pool: PacketPool
  private let plan: Plan
  private let graphNodes: [Int]
  private let ports: [String: MemoryPort]
  private let stepper: PlanStepper
  private var before: [String: Int] = [:]
  /// Whether lengths and checksums of what is sent have to be right.
  var expectsSoundPackets = true

  /// - Parameter text: A pipeline of which the ports' kinds do not matter, such as `{ pcap: x.pcap }`.
  init(_ text: String, batchSize: Int = 32, packets: Int = 2048) throws {
    try TestEnvironment.start()
    pipeline = try Pipeline.load(text: text, name: "p.yaml", elements: catalogue)
    let pool = try PacketPool(name: "pipeline\(TestEnvironment.uniqueNumber())", packets: packets)
    self.pool = pool
    let assignment = try pipeline.assignments()[0]
    let opened = pipeline.ports.indices.map { MemoryPort(number: $0, pool: pool) }
    ports = Dictionary(uniqueKeysWithValues: zip(pipeline.ports.map(\.name), opened))
    let instances = try pipeline.instances(for: assignment)
    let placed = Scheduler.plan(
      pipeline.graph, assignment, ports: opened, pool: pool, batchSize: batchSize, instance: { instances[$0]! })
    plan = placed.plan
    graphNodes = placed.graphNodes
    stepper = PlanStepper(plan)
  }

  /// Has frames arrive at a port at once, and runs until nothing is pending.
  func push(_ frames: [Frame], at port: String, sourceLocation: SourceLocation = #_sourceLocation) -> PipelineResult {
    ports[port]?.queue.source.append(frames, at: stepper.now)
    stepper.step()
    return conclude(sourceLocation)
  }

  /// Moves the clock forward, waking elements on the way.
  func advance(milliseconds: UInt64, sourceLocation: SourceLocation = #_sourceLocation) -> PipelineResult {
    stepper.advance(to: stepper.now.advanced(by: milliseconds * 1_000_000))
    return conclude(sourceLocation)
  }

  /// How many packets the elements hold.
  var held: Int { stepper.held }

  private func conclude(_ sourceLocation: SourceLocation) -> PipelineResult {
    // Counting what is held is part of the books.
    let held = stepper.held
    for problem in plan.imbalances { Issue.record("\(problem)", sourceLocation: sourceLocation) }
    let used = pool.capacity - pool.available
    if held == 0 && used != 0 {
      Issue.record("\(used) packet buffers are in use though nothing is held", sourceLocation: sourceLocation)
    }
    var drops: [String: Int] = [:]
    for (position, counters) in plan.counters().enumerated() {
      guard case .element(let element) = pipeline.graph.nodes[graphNodes[position]].role else { continue }
      for (code, count) in counters.drops {
        drops[pipeline.elements[element].kind.name(of: code), default: 0] += Int(count)
      }
    }
    defer { before = drops }
    let sent = ports.mapValues { $0.queue.sink.take() }
    for packet in sent.values.joined() where expectsSoundPackets && !packet.problems.isEmpty {
      Issue.record("\(packet): \(packet.problems)", sourceLocation: sourceLocation)
    }
    let news = drops.map { ($0.key, $0.value - before[$0.key, default: 0]) }.filter { $0.1 > 0 }
    return PipelineResult(sent: sent, drops: Dictionary(uniqueKeysWithValues: news), held: held)
  }
}

/// What one step of a `PipelineUnderTest` brought about.
struct PipelineResult: CustomStringConvertible {
  let sent: [String: [SentPacket]]
  /// Packets that elements dropped, by the reason's name.
  let drops: [String: Int]
  let held: Int

  /// What left by a port.
  subscript(port: String) -> [SentPacket] { sent[port] ?? [] }

  /// What left by any port.
  var all: [SentPacket] { sent.sorted { $0.key < $1.key }.flatMap(\.value) }

  var description: String {
    let lines = sent.flatMap { port in port.value.map { "\(port.key): \($0)" } }
    return (lines + ["drops \(drops), held \(held)"]).joined(separator: "\n")
  }
}

private final class MemoryPort: Port {
  let number: Int
  let queue: MemoryQueue
  var queues: [any PortQueue] { [queue] }

  init(number: Int, pool: PacketPool) {
    self.number = number
    queue = MemoryQueue(pool)
  }
}

/// Both directions of a port in memory.
@safe
private final class MemoryQueue: PortQueue {
  let source: MemorySource
  let sink = MemorySink()

  init(_ pool: PacketPool) { source = MemorySource(pool: pool) }

  var isTimed: Bool { true }
  var nextArrival: Instant? { source.nextArrival }
  var hasEnded: Bool { source.hasEnded }

  @unsafe
  func receive(_ slots: UnsafeMutablePointer<PacketSlot>, limit: Int, now: Instant, bytes: inout UInt64) -> Int {
    unsafe source.receive(slots, limit: limit, now: now, bytes: &bytes)
  }

  @unsafe
  func transmit(_ slots: UnsafeMutablePointer<PacketSlot>, count: Int, now: Instant) -> Int {
    unsafe sink.transmit(slots, count: count, now: now)
  }
}
