import Configuration
import Elements
import TestKit
import Testing

@testable import Dataplane

/// Two workers, either of which may receive any packet.
@Suite struct NATWorkersTests {
  private final class Worker {
    let plan: Plan
    let stepper: PlanStepper
    let node: PlanNode
    let sources: [MemorySource]
    let sinks: [(name: String, sink: MemorySink)]

    init(_ number: Int, _ settings: String, _ pool: PacketPool) throws {
      let kind = ElementKind(NAT.self)
      let root = try YAMLDocument.load(text: settings, name: "settings.yaml")
      var settings = Settings(root, range: root.range)
      let instance = try kind.makeInstance(&settings)
      try settings.finish()
      plan = Plan(worker: number, of: 2, pool: pool, batchSize: 32, nodes: 8)
      sources = kind.inputs.map { _ in MemorySource(pool: pool) }
      let receivers = sources.map { [plan] in plan.addReceive("in", $0) }
      node = plan.addElement("nat", instance, inputs: kind.inputs.count)
      sinks = instance.outputs.map { ($0.name, MemorySink()) }
      for (input, receiver) in receivers.enumerated() { plan.connect(receiver, output: 0, to: node, input: input) }
      for (output, end) in sinks.enumerated() {
        plan.connect(node, output: output, to: plan.addTransmit(end.name, end.sink), input: 0)
      }
      stepper = PlanStepper(plan, at: Instant(nanoseconds: 1_000_000_000_000))
    }
  }

  private final class Pair {
    let pool: PacketPool
    let workers: [Worker]
    private var dice: UInt64 = 99

    init(_ settings: String) throws {
      try TestEnvironment.start()
      let pool = try PacketPool(name: "pair\(TestEnvironment.uniqueNumber())", packets: 1024)
      self.pool = pool
      workers = try (0..<2).map { try Worker($0, settings, pool) }
      #expect(Handover.join(workers.map(\.plan), nodes: workers.map { Array($0.plan.names.indices) }))
    }

    func draw(_ limit: UInt64) -> UInt64 {
      dice = dice &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return (dice >> 33) % limit
    }

    /// Sends a packet in by one of the workers; what came out of either, with its output.
    func send(_ frame: Frame, outside: Bool) -> [(bytes: [UInt8], output: String)] {
      workers[Int(draw(2))].sources[outside ? 1 : 0].append([frame], at: Instant(nanoseconds: 0))
      for _ in 0..<3 { for worker in workers { worker.stepper.step() } }
      return workers.flatMap { worker in
        worker.sinks.flatMap { end in end.sink.take().map { ($0.bytes, end.name) } }
      }
    }

    func counter(_ name: String) -> [UInt64] {
      workers.map { worker in
        worker.plan.elementCounters(of: worker.node).first { $0.name == name }?.value ?? 0
      }
    }
  }

  private func end(_ bytes: [UInt8], _ address: Int, _ port: Int) -> NATBench.End {
    NATBench.End(
      bytes[address..<address + 4].map(String.init).joined(separator: "."),
      UInt16(bytes[port]) << 8 | UInt16(bytes[port + 1]))
  }

  @Test func packetsGoToTheWorkerOfTheirMapping() throws {
    let pair = try Pair(
      "{ outside: 203.0.113.0/31, static: { inside: 10.0.0.1, outside: 203.0.113.0, port: 80, inside_port: 8080 } }")
    let remote: NATBench.End = "198.51.100.7:53"
    var mapped: [NATBench.End: NATBench.End] = [:]
    var owners: [NATBench.End: NATBench.End] = [:]
    for _ in 0..<3000 {
      let inside = NATBench.End("10.0.0.\(pair.draw(60) + 2)", UInt16(3000 + pair.draw(8)))
      let sent = pair.send(NATBench.udp(inside, remote), outside: false)
      guard sent.count == 1, sent[0].output == "outside" else {
        Issue.record("\(inside) was not translated: \(sent.map(\.output))")
        return
      }
      let outside = end(sent[0].bytes, 26, 34)
      #expect(mapped[inside] == nil || mapped[inside] == outside)
      #expect(owners[outside] == nil || owners[outside] == inside)
      mapped[inside] = outside
      owners[outside] = inside
      let back = pair.send(NATBench.udp(remote, outside), outside: true)
      #expect(back.map(\.output) == ["inside"])
      #expect(back.map { end($0.bytes, 30, 36) } == [inside])
    }
    let counts = pair.counter("mappings")
    #expect(counts.reduce(0, +) == UInt64(mapped.count) + 4)
    #expect(counts.allSatisfy { $0 > 100 })
    // Between inside hosts of different workers, and to a forwarded port.
    for (inside, outside) in mapped.sorted(by: { "\($0)" < "\($1)" }).prefix(40) {
      let turned = pair.send(NATBench.udp("10.0.0.200:7", outside), outside: false)
      #expect(turned.map(\.output) == ["hairpin"])
      #expect(turned.map { end($0.bytes, 30, 36) } == [inside])
      let error = NATBench.error(from: "192.0.2.1", to: outside.address, about: NATBench.udp(outside, remote))
      let told = pair.send(error, outside: true)
      #expect(told.map { end($0.bytes, 30, 54).address } == [inside.address])
      let forwarded = pair.send(NATBench.udp(remote, "203.0.113.0:80"), outside: true)
      #expect(forwarded.map { end($0.bytes, 30, 36) } == ["10.0.0.1:8080"])
    }
    for worker in pair.workers {
      #expect(worker.plan.counters(of: worker.node).imbalance(of: "nat") == [])
    }
    #expect(pair.pool.available == pair.pool.capacity)
  }

  /// Blocks that follow from the inside address belong to the worker that has the address's packets.
  @Test func deterministicBlocksBelongToTheirWorkers() throws {
    let pair = try Pair(
      "{ outside: 203.0.113.1, inside: 10.0.0.0/26, blocks: { size: 512, deterministic: yes } }")
    let remote: NATBench.End = "198.51.100.7:53"
    for last in 1...40 {
      let inside = NATBench.End("10.0.0.\(last)", 3000)
      let sent = pair.send(NATBench.udp(inside, remote), outside: false)
      #expect(sent.map(\.output) == ["outside"], "10.0.0.\(last)")
      guard let first = sent.first else { continue }
      let back = pair.send(NATBench.udp(remote, end(first.bytes, 26, 34)), outside: true)
      #expect(back.map { end($0.bytes, 30, 36) } == [inside])
    }
    #expect(pair.counter("mappings").allSatisfy { $0 > 0 })
  }
}
