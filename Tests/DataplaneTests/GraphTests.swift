import Configuration
import Dataplane
import TestKit
import Testing

/// A random graph of test elements: sources, elements that lead to later ones, sinks, and the graph's `drop`.
private struct RandomGraph {
  let plan: Plan
  let sources: [MemorySource]
  let sinks: [MemorySink]

  init(seed: UInt64, pool: PacketPool, batchSize: Int) {
    var random = FrameGenerator(seed: seed)
    let elementCount = 2 + random.number(below: 8)
    let sourceCount = 1 + random.number(below: 2)
    let sinkCount = 1 + random.number(below: 3)
    let plan = Plan(worker: 0, pool: pool, batchSize: batchSize, nodes: elementCount + sourceCount + sinkCount + 1)
    sources = (0..<sourceCount).map { _ in MemorySource(pool: pool) }
    let receivers = sources.enumerated().map { plan.addReceive("source\($0)", $1) }
    var elements: [(node: PlanNode, inputs: Int, outputs: Int)] = []
    for index in 0..<elementCount {
      let instance: ElementInstance
      var inputs = 1
      switch random.number(below: 8) {
      case 0: instance = ElementInstance(Pass())
      case 1: instance = ElementInstance(DropSome(every: 2 + random.number(below: 5)))
      case 2: instance = ElementInstance(Copy())
      case 3: instance = ElementInstance(Split(ways: 1 + random.number(below: 4)))
      case 4:
        instance = ElementInstance(Number())
        inputs = 2
      case 5: instance = ElementInstance(Reshape())
      case 6: instance = ElementInstance(Exchange())
      default: instance = ElementInstance(Hold(nanoseconds: UInt64(1 + random.number(below: 5)) * 1_000_000))
      }
      let outputs = instance.outputs.count
      elements.append((plan.addElement("element\(index)", instance, inputs: inputs), inputs, outputs))
    }
    sinks = (0..<sinkCount).map { _ in MemorySink() }
    let ends = sinks.enumerated().map { plan.addTransmit("sink\($0)", $1) } + [plan.addDiscard()]
    for receiver in receivers { plan.connect(receiver, output: 0, to: elements[0].node, input: 0) }
    for (index, element) in elements.enumerated() {
      for output in 0..<element.outputs {
        let later = elements[(index + 1)...]
        if !later.isEmpty && !random.chance(4) {
          let target = later[later.startIndex + random.number(below: later.count)]
          plan.connect(element.node, output: output, to: target.node, input: random.number(below: target.inputs))
        } else {
          plan.connect(element.node, output: output, to: ends[random.number(below: ends.count)], input: 0)
        }
      }
    }
    self.plan = plan
  }
}

@Suite struct GraphTests {
  @Test(arguments: UInt64(1)...24) func randomGraphsDoNotDependOnTheBatchSize(seed: UInt64) throws {
    struct Transcript: Equatable {
      var sent: [[SentPacket]]
      var counters: [[UInt64]]
    }
    var transcripts: [Transcript] = []
    var random = FrameGenerator(seed: seed)
    var time = Instant(nanoseconds: 1_000_000_000)
    // To one of two sources, at one time.
    var arrivals: [(source: Int, frames: [Frame], time: Instant)] = []
    for index in 0..<30 {
      arrivals.append((index % 2, random.frames(random.number(below: 60)), time))
      time = time.advanced(by: UInt64(random.number(below: 4)) * 700_000)
    }
    for batchSize in [1, 7, 32, 256] {
      try withTestPool(packets: 8192) { pool in
        let graph = RandomGraph(seed: seed, pool: pool.pool, batchSize: batchSize)
        for arrival in arrivals {
          graph.sources[arrival.source % graph.sources.count].append(arrival.frames, at: arrival.time)
        }
        #expect(Worker(plan: graph.plan).replay(until: StopFlag()) == [])
        #expect(graph.plan.imbalances == [])
        let counters = graph.plan.counters()
        #expect(counters.allSatisfy { $0.held == 0 })
        // Lengths are carried from node to node; at the ends they are those of the packets.
        for (sink, counter) in zip(graph.sinks, counters[(counters.count - 1 - graph.sinks.count)...]) {
          #expect(counter.bytesIn == sink.sent.reduce(0) { $0 + UInt64($1.bytes.count) })
        }
        // Over the whole plan: what came in or was made was sent or dropped.
        let sources = graph.sources.count
        let arrived = counters[..<sources].reduce(0) { $0 + $1.packetsIn } + counters.reduce(0) { $0 + $1.created }
        let left = graph.sinks.reduce(0) { $0 + UInt64($1.sent.count) } + counters.reduce(0) { $0 + $1.dropped }
        #expect(arrived == left)
        transcripts.append(
          Transcript(
            sent: graph.sinks.map(\.sent),
            counters: counters.map { [$0.packetsIn, $0.bytesIn, $0.created, $0.dropped] + $0.packetsOut }))
      }
    }
    for (index, transcript) in transcripts.enumerated().dropFirst() {
      let sinks = zip(transcript.sent, transcripts[0].sent)
      #expect(sinks.allSatisfy { $0.map(\.bytes) == $1.map(\.bytes) }, "bytes, run \(index)")
      #expect(sinks.allSatisfy { $0.map(\.mark) == $1.map(\.mark) }, "marks, run \(index)")
      #expect(sinks.allSatisfy { $0.map(\.time) == $1.map(\.time) }, "times, run \(index)")
      #expect(transcript.counters == transcripts[0].counters, "run \(index)")
    }
  }

  /// Outputs that all lead to one input are counted each for itself, few of them or many.
  @Test(arguments: [5, 32, 33, 70]) func outputsOfOneTargetAreCountedApart(ways: Int) throws {
    var random = FrameGenerator(seed: 7)
    let frames = (0..<501).map { _ in
      Frame.ethernet().ipv4().udp(from: UInt16(truncatingIfNeeded: random.number(below: 65536)), to: 53)
    }
    var counts: [[UInt64]] = []
    for batchSize in [1, 63, 256] {
      try withTestPool { pool in
        let plan = Plan(worker: 0, pool: pool.pool, batchSize: batchSize, nodes: 4)
        let source = MemorySource(pool: pool.pool)
        let receiver = plan.addReceive("source", source)
        let split = plan.addElement("split", ElementInstance(Split(ways: ways)), inputs: 1)
        let sink = plan.addTransmit("sink", MemorySink())
        plan.connect(receiver, output: 0, to: split, input: 0)
        for way in 0..<ways { plan.connect(split, output: way, to: sink, input: 0) }
        source.append(frames, at: Instant(nanoseconds: 5))
        #expect(Worker(plan: plan).replay(until: StopFlag()) == [])
        counts.append(plan.counters(of: split).packetsOut)
      }
    }
    #expect(counts[0].count == ways && counts[0].reduce(0, +) == 501)
    #expect(counts.allSatisfy { $0 == counts[0] })
  }

  @Test func aLoopIsBounded() throws {
    for batchSize in [1, 32] {
      try withTestPool { pool in
        let plan = Plan(worker: 0, pool: pool.pool, batchSize: batchSize, nodes: 4)
        let source = MemorySource(pool: pool.pool)
        let receiver = plan.addReceive("source", source)
        let around = plan.addElement("around", ElementInstance(Pass()), inputs: 1)
        plan.connect(receiver, output: 0, to: around, input: 0)
        plan.connect(around, output: 0, to: around, input: 0)
        plan.hasCycle = true
        source.append(Array(repeating: Frame.ethernet().ipv4().udp(), count: 40), at: Instant(nanoseconds: 5))
        #expect(Worker(plan: plan).replay(until: StopFlag()) == [])
        let counted = plan.counters(of: around)
        #expect(counted.drops.map { ElementKind(Pass.self).name(of: $0.key) } == ["looped"])
        #expect(counted.dropped == 40)
        #expect(plan.imbalances == [])
      }
    }
  }

  /// Packets that leave the loop in time are not hurt by it.
  @Test func leavingALoopInTimeIsFine() throws {
    try withTestPool { pool in
      let plan = Plan(worker: 0, pool: pool.pool, batchSize: 32, nodes: 4)
      let source = MemorySource(pool: pool.pool)
      let sink = MemorySink()
      let receiver = plan.addReceive("source", source)
      let element = plan.addElement("rounds", ElementInstance(Rounds(limit: 20)), inputs: 1)
      let out = plan.addTransmit("sink", sink)
      plan.connect(receiver, output: 0, to: element, input: 0)
      plan.connect(element, output: 0, to: element, input: 0)
      plan.connect(element, output: 1, to: out, input: 0)
      plan.hasCycle = true
      source.append(
        (0..<40).map { Frame.ethernet().ipv4(identification: UInt16($0)).udp() }, at: Instant(nanoseconds: 5))
      #expect(Worker(plan: plan).replay(until: StopFlag()) == [])
      #expect(sink.sent.map(\.mark) == Array(repeating: 20, count: 40))
      #expect(sink.sent.map { $0.bytes[19] } == (0..<40).map { UInt8($0) })
      #expect(plan.imbalances == [])
    }
  }

  @Test func aFullPortDropsTheRest() throws {
    try withTestPool { pool in
      let plan = Plan(worker: 0, pool: pool.pool, batchSize: 32, nodes: 4)
      let source = MemorySource(pool: pool.pool)
      let sink = MemorySink(room: 10)
      let receiver = plan.addReceive("source", source)
      let out = plan.addTransmit("sink", sink)
      plan.connect(receiver, output: 0, to: out, input: 0)
      source.append(Array(repeating: Frame.ethernet().ipv4().udp(), count: 40), at: Instant(nanoseconds: 5))
      #expect(Worker(plan: plan).replay(until: StopFlag()) == [])
      #expect(sink.sent.count == 10)
      #expect(plan.counters(of: out).drops.map { ElementKind(Pass.self).name(of: $0.key) } == ["portBusy"])
      #expect(plan.counters(of: out).dropped == 30)
      #expect(plan.counters(of: out).packetsIn == 40)
    }
  }

  @Test func replayGoesOnWhenThePoolRanOut() throws {
    // Everything is held for a second, which is longer than the capture waits.
    try withTestPool(packets: 32) { pool in
      let plan = Plan(worker: 0, pool: pool.pool, batchSize: 32, nodes: 4)
      let source = ThriftySource(pool: pool.pool, count: 200)
      let sink = MemorySink()
      let receiver = plan.addReceive("source", source)
      let hold = plan.addElement("hold", ElementInstance(Hold(nanoseconds: 1_000_000_000, limit: 1000)), inputs: 1)
      let out = plan.addTransmit("sink", sink)
      plan.connect(receiver, output: 0, to: hold, input: 0)
      for output in 0...1 { plan.connect(hold, output: output, to: out, input: 0) }
      #expect(Worker(plan: plan).replay(until: StopFlag()) == [])
      #expect(sink.sent.count == 200)
    }
  }
}

/// Sends packets round until they have made their rounds.
private struct Rounds: PacketElement, ~Copyable {
  enum Output: UInt8, OutputPort { case again, done }
  private let limit: UInt32

  init(limit: UInt32) { self.limit = limit }
  init(_ settings: inout Settings) throws(ConfigurationError) { limit = 1 }

  mutating func process(_ packet: inout Packet) -> Verdict<Output> {
    if packet.mark == limit { return .forward(.done) }
    packet.mark += 1
    return .forward(.again)
  }
}

/// A timed source that waits for buffers, as a capture does.
@safe
private final class ThriftySource: PortQueue {
  private let pool: PacketPool
  private var left: Int

  init(pool: PacketPool, count: Int) {
    self.pool = pool
    left = count
  }

  var isTimed: Bool { true }
  var nextArrival: Instant? { left > 0 ? Instant(nanoseconds: 1000) : nil }
  var hasEnded: Bool { left == 0 }

  @unsafe
  func receive(_ slots: UnsafeMutablePointer<PacketSlot>, limit: Int, now: Instant, bytes: inout UInt64) -> Int {
    var count = 0
    while count < limit, left > 0, let packet = pool.packet(Frame.ethernet().ipv4().udp()) {
      bytes += UInt64(packet.length)
      unsafe slots[count] = packet.intoSlot()
      count += 1
      left -= 1
    }
    return count
  }

  @unsafe
  func transmit(_ slots: UnsafeMutablePointer<PacketSlot>, count: Int, now: Instant) -> Int { 0 }
}
