public import Dataplane
public import Testing

/// Plays generated frames, sound and damaged, through an element, and records an issue unless
///
/// - every packet is accounted for and every buffer given back, and
/// - outputs (bytes, marks, order, times), drops by reason, held packets and the element's counters are the same for
///   every batch size.
///
/// Frames come in bursts at one instant with pauses of a microsecond up to a minute in between, in turn to all inputs,
/// whatever those need: an element survives what it was promised not to see. Nothing is said about what the element
/// makes of them; that is for tests of its own.
///
///     @Test func survivesAnything() throws { try expectRobust(ElementKind(DecTTL.self)) }
///
/// - Parameters:
///   - settings: What would stand under the element's name, as YAML.
///   - seed: Another seed, other frames.
///   - count: How many frames.
///   - packets: Buffers in the pool; so many packets can be held.
///   - frames: Makes the frames; nil: all that `FrameGenerator.next()` makes.
public func expectRobust(
  _ kind: ElementKind, settings: String = "", seed: UInt64 = 1, count: Int = 1000, packets: Int = 4096,
  batchSizes: [Int] = [1, 7, 32, 256], folder: String = "", frames: ((inout FrameGenerator) -> Frame)? = nil,
  sourceLocation: SourceLocation = #_sourceLocation
) throws {
  let arrivals = arrivals(seed: seed, count: count, inputs: kind.inputs.count, frames)
  var first: (batchSize: Int, run: ReplayRun)?
  for batchSize in batchSizes {
    let run = try ReplayRun(
      kind, settings: settings, batchSize: batchSize, folder: folder, packets: packets,
      arrivals: arrivals)
    for problem in run.problems {
      Issue.record("\(problem) (batches of \(batchSize), seed \(seed))", sourceLocation: sourceLocation)
    }
    guard let first else {
      first = (batchSize, run)
      continue
    }
    if let difference = first.run.difference(from: run) {
      Issue.record(
        "\(kind.name) depends on the batch size: with \(first.batchSize) against \(batchSize), seed \(seed): \(difference)",
        sourceLocation: sourceLocation)
    }
  }
}

private struct Arrival {
  var input: Int
  var frames: [Frame]
  var time: Instant
}

private func arrivals(
  seed: UInt64, count: Int, inputs: Int, _ make: ((inout FrameGenerator) -> Frame)?
) -> [Arrival] {
  var generator = FrameGenerator(seed: seed)
  var arrivals: [Arrival] = []
  var time = Instant(nanoseconds: 1_700_000_000_000_000_000)
  var left = count
  while left > 0 {
    let burst = min(left, 1 + generator.number(below: generator.chance(4) ? 300 : 12))
    let frames = (0..<burst).map { _ in make.map { $0(&generator) } ?? generator.next() }
    arrivals.append(Arrival(input: arrivals.count % max(1, inputs), frames: frames, time: time))
    let pauses: [UInt64] = [0, 1_000, 1_000, 1_000_000, 1_000_000, 1_000_000_000, 60_000_000_000]
    time = time.advanced(by: pauses[generator.number(below: pauses.count)])
    left -= burst
  }
  return arrivals
}

private struct ReplayRun {
  var problems: [String] = []
  let outputs: [(name: String, packets: [SentPacket])]
  let drops: [String: UInt64]
  let counters: [ElementCounter]
  let held: UInt64

  init(
    _ kind: ElementKind, settings: String, batchSize: Int, folder: String, packets: Int, arrivals: [Arrival]
  ) throws {
    try TestEnvironment.start()
    let pool = try PacketPool(name: "replay\(TestEnvironment.uniqueNumber())", packets: packets)
    let bench = try Bench(kind, settings: settings, batchSize: batchSize, folder: folder, pool: pool)
    for arrival in arrivals { bench.sources[arrival.input].append(arrival.frames, at: arrival.time) }
    problems += Worker(plan: bench.plan).replay(until: StopFlag())
    problems += bench.plan.imbalances
    if bench.sources.contains(where: { $0.missed > 0 }) { problems.append("the pool ran out; give it more packets") }
    let counted = bench.plan.counters(of: bench.node)
    held = counted.held
    let used = pool.capacity - pool.available
    if held == 0 && used != 0 { problems.append("\(used) packet buffers were not given back") }
    outputs = bench.sinks.map { ($0.name, $0.sink.sent) }
    drops = Dictionary(uniqueKeysWithValues: counted.drops.map { (kind.name(of: $0.key), $0.value) })
    counters = bench.plan.elementCounters(of: bench.node)
  }

  func difference(from other: ReplayRun) -> String? {
    for (left, right) in zip(outputs, other.outputs) where left.packets != right.packets {
      let index = zip(left.packets, right.packets).enumerated().first { $1.0 != $1.1 }?.offset
      guard let index else {
        return "\(left.packets.count) against \(right.packets.count) packets at '\(left.name)'"
      }
      return "packet \(index) at '\(left.name)': \(left.packets[index]) against \(right.packets[index])"
    }
    if drops != other.drops { return "drops \(drops) against \(other.drops)" }
    if held != other.held { return "\(held) against \(other.held) packets held" }
    if counters != other.counters { return "counters \(counters) against \(other.counters)" }
    return nil
  }
}

extension Plan {
  /// Why the books of a plan's nodes do not balance; empty when they do: in + created = out + dropped + held at every
  /// node, where a transmit node's packets are out when its port took them.
  public var imbalances: [String] {
    zip(names, counters()).enumerated().flatMap { index, node in
      // Packets leave the plan at a transmit node, which therefore has no output to count at.
      outputCount(of: index) == 0 ? [] : node.1.imbalance(of: node.0)
    }
  }
}
