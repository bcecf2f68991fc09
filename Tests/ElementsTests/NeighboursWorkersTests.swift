import Configuration
import Dataplane
import Elements
import TestKit
import Testing

private let ms: UInt64 = 1_000_000
private let second: UInt64 = 1_000_000_000
private let own = "02:00:00:00:00:01"
private let other = "02:00:00:00:00:0b"

/// One worker's instance of an element that several workers run, under a clock of the test's.
private final class Bench {
  let plan: Plan
  let node: PlanNode
  let stepper: PlanStepper
  let pool: PacketPool
  private let sources: [MemorySource]
  let frames = MemorySink()
  let unreachable = MemorySink()

  init(_ text: String, _ store: SharedStore) throws {
    try TestEnvironment.start()
    pool = try PacketPool(name: "worker\(TestEnvironment.uniqueNumber())", packets: 256)
    let kind = ElementKind(Neighbours.self)
    var settings = Settings(try YAMLDocument.load(text: text, name: "settings.yaml"), range: nil, store: store)
    let instance = try kind.makeInstance(&settings)
    let plan = Plan(worker: 0, pool: pool, batchSize: 32, nodes: 6)
    let sources = [MemorySource(pool: pool), MemorySource(pool: pool)]
    let receivers = sources.map { plan.addReceive("in", $0) }
    let node = plan.addElement("neighbours", instance, inputs: 2)
    for (input, receiver) in receivers.enumerated() { plan.connect(receiver, output: 0, to: node, input: input) }
    for (output, sink) in [frames, MemorySink(), unreachable].enumerated() {
      plan.connect(node, output: output, to: plan.addTransmit("out", sink), input: 0)
    }
    self.plan = plan
    self.node = node
    self.sources = sources
    stepper = PlanStepper(plan)
  }

  func send(_ frame: Frame) { arrive(frame, 0) }
  func receive(_ frame: Frame) { arrive(frame, 1) }

  private func arrive(_ frame: Frame, _ input: Int) {
    sources[input].append([frame], at: stepper.now)
    stepper.step()
  }
}

@Suite struct NeighboursWorkersTests {
  private let workers: [Bench]

  init() throws {
    let store = SharedStore()
    let settings = "{ mac: \(own), addresses: 10.0.0.1/24, dad: 0 }"
    workers = try (0..<2).map { _ in try Bench(settings, store) }
    advance(by: 5 * second)
    for worker in workers { _ = worker.frames.take() }
  }

  /// Moves all clocks forward, in steps as workers that run side by side do.
  private func advance(by nanoseconds: UInt64) {
    let end = workers[0].stepper.now.advanced(by: nanoseconds)
    while workers[0].stepper.now < end {
      let next = min(workers[0].stepper.now.advanced(by: 5 * ms), end)
      for worker in workers { worker.stepper.advance(to: next) }
    }
  }

  private func packet(_ number: UInt8, link: (String, String) = ("02:00:00:00:00:0c", "02:00:00:00:00:0c")) -> Frame {
    .ethernet(from: link.0, to: link.1).ipv4(from: "192.0.2.1", to: "10.0.0.11").udp().payload([number])
  }

  private let reply = Frame.ethernet(from: other, to: own).arp(
    operation: 2, senderMAC: other, senderIP: "10.0.0.11", targetMAC: own, targetIP: "10.0.0.1")
  private let request = Frame.ethernet(from: own, to: "ff:ff:ff:ff:ff:ff").arp(
    senderMAC: own, senderIP: "10.0.0.1", targetIP: "10.0.0.11")

  @Test func aNeighbourIsAskedForOnceForAll() {
    for worker in workers { worker.send(packet(1)) }
    advance(by: 500 * ms)
    #expect(workers.flatMap { $0.frames.take() }.are([request]))
    advance(by: second)
    #expect(workers.flatMap { $0.frames.take() }.are([request]))
  }

  @Test func aWorkerLearnsWhatAnotherHeard() {
    for worker in workers { worker.send(packet(1)) }
    workers[1].receive(reply)
    #expect(workers[1].frames.take().are([packet(1, link: (own, other))]))
    #expect(workers[0].stepper.held == 1)
    advance(by: 10 * ms)
    #expect(workers[0].stepper.held == 0)
    #expect(workers[0].frames.take().suffix(1).map(\.bytes) == [packet(1, link: (own, other)).bytes])
  }

  /// A packet does not overtake those that wait for the same neighbour.
  @Test func packetsKeepTheirOrder() {
    workers[0].send(packet(1))
    workers[1].receive(reply)
    workers[0].send(packet(2))
    #expect(workers[0].frames.take().are([request, packet(1, link: (own, other)), packet(2, link: (own, other))]))
  }

  @Test func everyWorkerGivesUpItsOwnPackets() {
    for worker in workers { worker.send(packet(1)) }
    advance(by: 3 * second + 50 * ms)
    for worker in workers { #expect(worker.unreachable.take().are([packet(1)])) }
    #expect(workers.allSatisfy { $0.stepper.held == 0 })
    #expect(workers.allSatisfy { $0.pool.available == $0.pool.capacity })
  }

  /// What all share is reported by one of them, so that a sum over workers is right.
  @Test func sharedCountsAreReportedOnce() {
    workers[1].send(packet(1))
    let reported = workers.map { worker in
      worker.plan.elementCounters(of: worker.node).filter { $0.name == "neighbours" }.map(\.value)
    }
    #expect(reported == [[1], []])
  }
}
