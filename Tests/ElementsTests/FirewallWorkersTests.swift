import Configuration
import Dataplane
import Elements
import TestKit
import Testing

/// One worker's firewall among two.
private final class Worker {
  let plan: Plan
  let pool: PacketPool
  let passed = MemorySink()
  private let source: MemorySource
  private(set) var stepper: PlanStepper!

  init(_ number: Int, _ store: SharedStore) throws {
    try TestEnvironment.start()
    pool = try PacketPool(name: "firewall\(TestEnvironment.uniqueNumber())", packets: 256)
    let text = "rules: [{ action: accept, source: 10.0.0.0/8 }]"
    var settings = Settings(try YAMLDocument.load(text: text, name: "settings.yaml"), range: nil, store: store)
    let instance = try ElementKind(Firewall.self).makeInstance(&settings)
    plan = Plan(worker: number, of: 2, pool: pool, batchSize: 32, nodes: 4)
    source = MemorySource(pool: pool)
    let receiver = plan.addReceive("in", source)
    let node = plan.addElement("fw", instance, inputs: 1)
    plan.connect(receiver, output: 0, to: node, input: 0)
    plan.connect(node, output: 0, to: plan.addTransmit("passed", passed), input: 0)
    plan.connect(node, output: 1, to: plan.addTransmit("replies", MemorySink()), input: 0)
  }

  func begin() { stepper = PlanStepper(plan) }

  func arrive(_ frame: Frame) {
    source.append([frame], at: stepper.now)
    stepper.step()
  }
}

@Suite struct FirewallWorkersTests {
  /// Whichever worker the packets of a session come to, one of them has it.
  @Test func bothDirectionsMeet() throws {
    let store = SharedStore()
    let workers = try (0..<2).map { try Worker($0, store) }
    #expect(Handover.join(workers.map(\.plan), nodes: [[0, 1, 2, 3], [0, 1, 2, 3]]))
    for worker in workers { worker.begin() }
    func send(_ frame: Frame, to worker: Int) -> Int {
      workers[worker].arrive(frame)
      for worker in workers { worker.stepper.step() }
      for worker in workers { worker.stepper.step() }
      return workers.reduce(0) { $0 + $1.passed.take().count }
    }
    for host in 1..<20 {
      let there = Frame.ethernet().ipv4(from: "10.0.0.\(host)", to: "192.0.2.9")
      let back = Frame.ethernet().ipv4(from: "192.0.2.9", to: "10.0.0.\(host)")
      #expect(send(back.udp(from: 53, to: 3000), to: host % 2) == 0)
      #expect(send(there.udp(from: 3000, to: 53), to: host % 2) == 1)
      #expect(send(back.udp(from: 53, to: 3000), to: 0) == 1)
      #expect(send(back.udp(from: 53, to: 3000), to: 1) == 1)
      let quoted = Array(there.udp(from: 3000, to: 53).bytes.dropFirst(14))
      let error = Frame.ethernet().ipv4(from: "203.0.113.1", to: "10.0.0.\(host)").icmp(type: 3, code: 3).payload(
        quoted)
      #expect(send(error, to: 0) == 1)
      #expect(send(error, to: 1) == 1)
    }
  }
}
