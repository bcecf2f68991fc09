import Configuration
import TestKit
import Testing

@testable import Dataplane

private func sourcePort(of packet: borrowing Packet) -> Int { Int(packet.udp?.sourcePort ?? 0) }

/// Sends packets to the worker that their UDP source port names, by both ways there are.
private struct Sorter: Element {
  static let handsOver = true
  enum Input: UInt8, InputPort { case left, right }
  enum Output: UInt8, OutputPort { case left, right }

  init(_ settings: inout Settings) throws(ConfigurationError) {}

  func process(_ batch: inout PacketBatch<Self>, _ context: inout Context) {
    let (input, worker) = (batch.input, context.worker)
    batch.takeEach { packet, emitter in
      let port = sourcePort(of: packet)
      if port == worker || port == 99 {
        emitter.emit(packet, to: input == .left ? .left : .right)
      } else {
        emitter.handOver(packet, to: port)
      }
    }
  }
}

/// The same as a verdict.
private struct Judge: PacketElement {
  static let handsOver = true
  init(_ settings: inout Settings) throws(ConfigurationError) {}
  private var worker = 0
  mutating func start(_ context: inout Context) { worker = context.worker }
  func process(_ packet: inout Packet) -> Verdict<SoleOutput> {
    let port = sourcePort(of: packet)
    return port == worker ? .forward(.output) : .handOver(to: port)
  }
}

struct HandoverTests {
  private let pool: PacketPool

  init() throws {
    try TestEnvironment.start()
    pool = try PacketPool(name: "handover\(TestEnvironment.uniqueNumber())", packets: 16_384)
  }

  private struct Bench {
    let plan: Plan
    let node: PlanNode
    let sources: [MemorySource]
    let sinks: [MemorySink]
    var stepper: PlanStepper { PlanStepper(plan) }
  }

  private func bench<E: Element & SendableMetatype>(_ type: E.Type, worker: Int, of workers: Int) throws -> Bench {
    var settings = Settings(nil, range: nil)
    let instance = try ElementKind(type).makeInstance(&settings)
    let inputs = E.inputDescriptions.count
    let plan = Plan(worker: worker, of: workers, pool: pool, batchSize: 32, nodes: 8)
    let sources = (0..<inputs).map { _ in MemorySource(pool: pool) }
    let receivers = sources.map { plan.addReceive("in", $0) }
    let node = plan.addElement("sorter", instance, inputs: inputs)
    let sinks = instance.outputs.map { _ in MemorySink() }
    for (input, receiver) in receivers.enumerated() { plan.connect(receiver, output: 0, to: node, input: input) }
    for (output, sink) in sinks.enumerated() {
      plan.connect(node, output: output, to: plan.addTransmit("out", sink), input: 0)
    }
    return Bench(plan: plan, node: node, sources: sources, sinks: sinks)
  }

  private func frames(_ ports: [UInt16]) -> [Frame] {
    ports.enumerated().map { Frame.ethernet().ipv4().udp(from: $1, to: UInt16($0 + 1)) }
  }

  private func counters(_ bench: Bench) -> NodeCounters { bench.plan.counters(of: bench.node) }

  @Test func packetsGoToTheSameInputOfTheOtherWorkers() throws {
    let benches = try (0..<3).map { try bench(Sorter.self, worker: $0, of: 3) }
    let nodes = benches.map { bench in bench.plan.names.indices.map { $0 * 5 } }
    #expect(Handover.join(benches.map(\.plan), nodes: nodes))
    let steppers = benches.map(\.stepper)
    let left = frames([0, 1, 2, 1, 0, 2, 2])
    let right = frames([2, 1])
    benches[0].sources[0].append(left, at: Instant(nanoseconds: 0))
    benches[0].sources[1].append(right, at: Instant(nanoseconds: 0))
    for _ in 0..<2 { for stepper in steppers { stepper.step() } }
    for (worker, bench) in benches.enumerated() {
      let expected = left.filter { $0.bytes[35] == UInt8(worker) }.map(\.bytes)
      #expect(bench.sinks[0].take().map(\.bytes) == expected)
      #expect(bench.sinks[1].take().map(\.bytes) == right.filter { $0.bytes[35] == UInt8(worker) }.map(\.bytes))
      #expect(counters(bench).imbalance(of: "sorter") == [])
    }
    #expect(counters(benches[0]).handedOver == 7 && counters(benches[1]).packetsIn == 3)
    #expect(pool.available == pool.capacity)
  }

  @Test func aVerdictHandsOver() throws {
    let benches = try (0..<2).map { try bench(Judge.self, worker: $0, of: 2) }
    #expect(Handover.join(benches.map(\.plan), nodes: benches.map { Array($0.plan.names.indices) }))
    let steppers = benches.map(\.stepper)
    let mixed = frames([0, 1, 1, 0])
    benches[1].sources[0].append(mixed, at: Instant(nanoseconds: 0))
    for stepper in steppers.reversed() { stepper.step() }
    #expect(benches[0].sinks[0].take().map(\.bytes) == [mixed[0].bytes, mixed[3].bytes])
    #expect(benches[1].sinks[0].take().map(\.bytes) == [mixed[1].bytes, mixed[2].bytes])
  }

  /// What does not fit, and what nobody takes any more, is dropped by name where it is counted.
  @Test func nothingIsLostUncounted() throws {
    let benches = try (0..<2).map { try bench(Judge.self, worker: $0, of: 2) }
    #expect(Handover.join(benches.map(\.plan), nodes: benches.map { Array($0.plan.names.indices) }))
    let steppers = benches.map(\.stepper)
    for _ in 0..<50 {
      benches[0].sources[0].append(frames(Array(repeating: 1, count: 100)), at: Instant(nanoseconds: 0))
      steppers[0].step()
    }
    let room = Int(Handover.room) - 1
    let busy = DropReason.workerBusy.code
    #expect(counters(benches[0]).drops == [busy: UInt64(5000 - room)])
    #expect(counters(benches[0]).imbalance(of: "judge") == [])
    benches[0].plan.handover?.drain(benches.map(\.plan))
    #expect(counters(benches[1]).drops == [busy: UInt64(room)])
    #expect(counters(benches[1]).imbalance(of: "judge") == [] && pool.available == pool.capacity)
  }

  /// A worker that there is not, or that is the own, is no way out.
  @Test func wrongWorkersAreRefused() throws {
    let lone = try bench(Judge.self, worker: 0, of: 1)
    let stepper = lone.stepper
    lone.sources[0].append(frames([7, 0]), at: Instant(nanoseconds: 0))
    stepper.step()
    #expect(lone.sinks[0].take().count == 1)
    #expect(counters(lone).drops == [DropReason.workerBusy.code: 1])
    #expect(counters(lone).imbalance(of: "judge") == [] && pool.available == pool.capacity)
  }
}
