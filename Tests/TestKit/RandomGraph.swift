public import Configuration
public import Dataplane

/// A graph of elements from a catalogue, put together at random: sources, up to eight elements of different kinds whose
/// outputs lead to later ones, sinks, and the graph's `drop`.
///
///     var random = FrameGenerator(seed: 1)
///     let graph = RandomGraph(of: catalogue) { random.number(below: $0) }
///     let one = try graph.run(arrivals, batchSize: 1, pool: pool)
///     let other = try graph.run(arrivals, batchSize: 32, pool: pool)
///     #expect(one.problems + other.problems == [] && one.difference(from: other) == nil)
///
/// Elements see packets that a checked graph would keep from them, as in `expectRobust`.
public struct RandomGraph: Sendable, CustomStringConvertible {
  /// Frames that arrive together at one of the sources.
  public struct Arrival: Sendable {
    /// Which source, modulo their number.
    public var source: Int
    /// What arrives.
    public var frames: [Frame]
    /// When.
    public var time: Instant

    /// An arrival.
    public init(source: Int, frames: [Frame], time: Instant) {
      self.source = source
      self.frames = frames
      self.time = time
    }
  }

  private struct Step {
    var kind: ElementKind
    var settings: String
    var outputs: [String]
    /// Where each output leads: an element and its input, or a sink; behind the last sink stands `drop`.
    var targets: [Target] = []
  }

  private enum Target {
    case element(Int, input: Int)
    case end(Int)
  }

  private var steps: [Step] = []
  private let sourceCount: Int
  private let sinkCount: Int

  /// Puts a graph together.
  /// - Parameters:
  ///   - kinds: The catalogue.
  ///   - choose: Gives a number from 0 up to and not including its argument.
  public init(of kinds: [ElementKind], choose: (Int) -> Int) {
    sourceCount = 1 + choose(2)
    sinkCount = 1 + choose(3)
    var left = kinds
    // No kind twice: copies of copies would be more than there are buffers.
    for _ in 0..<(1 + choose(8)) where !left.isEmpty {
      let kind = left.remove(at: choose(left.count))
      // Settings that do not go together are refused; then there are others.
      for _ in 0..<4 {
        let settings = RandomSettings.make(for: kind, choose: choose)
        guard let instance = try? Self.instance(kind, settings) else { continue }
        steps.append(Step(kind: kind, settings: settings, outputs: instance.outputs.map(\.name)))
        break
      }
    }
    for index in steps.indices {
      steps[index].targets = steps[index].outputs.map { _ in
        let later = steps.count - index - 1
        guard later > 0, choose(4) != 0 else { return .end(choose(sinkCount + 1)) }
        let next = index + 1 + choose(later)
        return .element(next, input: choose(steps[next].kind.inputs.count))
      }
    }
  }

  private static func instance(_ kind: ElementKind, _ text: String) throws(ConfigurationError) -> ElementInstance {
    let root = text.isEmpty ? nil : try YAMLDocument.load(text: text, name: "settings.yaml")
    var settings = Settings(root, range: root?.range, context: SettingContext(folder: "/nonexistent"))
    let instance = try kind.makeInstance(&settings)
    try settings.finish()
    return instance
  }

  /// Its elements and where they lead, to see a failure by.
  public var description: String {
    func name(_ target: Target) -> String {
      switch target {
      case .element(let index, let input):
        let kind = steps[index].kind
        return kind.inputs.count == 1 ? "\(kind.name)" : "\(kind.name)[\(kind.inputs[input].name)]"
      case .end(let index): return index == sinkCount ? "drop" : "sink\(index)"
      }
    }
    let lines = steps.map { step in
      let outputs = zip(step.outputs, step.targets).map { "\($0) -> \(name($1))" }.joined(separator: ", ")
      return "\(step.kind.name): \(step.settings.isEmpty ? "{}" : step.settings)   \(outputs)"
    }
    return (["\(sourceCount) sources"] + lines).joined(separator: "\n")
  }

  /// What came of a run.
  public struct Outcome {
    /// Why a packet or a buffer is not accounted for, and what elements reported as gone wrong; empty when all is well.
    public let problems: [String]
    /// How many packets the sinks got.
    public var sent: Int { sinks.reduce(0) { $0 + $1.count } }
    /// Whether a packet was dropped for want of a buffer: then what is left depends on when.
    public let wasShort: Bool
    private let sinks: [[SentPacket]]
    private let counters: [(name: String, values: [UInt64])]

    fileprivate init(
      problems: [String], wasShort: Bool, sinks: [[SentPacket]], counters: [(name: String, values: [UInt64])]
    ) {
      self.problems = problems
      self.wasShort = wasShort
      self.sinks = sinks
      self.counters = counters
    }

    /// The first thing that is not the same; nil when all is.
    public func difference(from other: Outcome) -> String? {
      for (sink, (left, right)) in zip(sinks, other.sinks).enumerated() where left != right {
        guard let index = zip(left, right).enumerated().first(where: { $1.0 != $1.1 })?.offset else {
          return "\(left.count) against \(right.count) packets at sink\(sink)"
        }
        return "packet \(index) at sink\(sink): \(left[index]) against \(right[index])"
      }
      for (left, right) in zip(counters, other.counters) where left.values != right.values {
        return "counters of \(left.name): \(left.values) against \(right.values)"
      }
      return nil
    }
  }

  /// Replays arrivals through new instances of the elements.
  /// - Parameters:
  ///   - arrivals: In order of their times.
  ///   - batchSize: 1 to 256.
  ///   - pool: Where packets are made.
  /// - Returns: What came of it. Each packet is checked to be in exactly one place, and each buffer to be back.
  public func run(_ arrivals: [Arrival], batchSize: Int, pool: PacketPool) throws(ConfigurationError) -> Outcome {
    let before = pool.available
    let abandoned = pool.abandoned
    let plan = Plan(worker: 0, pool: pool, batchSize: batchSize, nodes: sourceCount + steps.count + sinkCount + 1)
    let sources = (0..<sourceCount).map { _ in MemorySource(pool: pool) }
    let receivers = sources.enumerated().map { plan.addReceive("source\($0)", $1) }
    var nodes: [PlanNode] = []
    for step in steps {
      nodes.append(
        plan.addElement(
          step.kind.name, try Self.instance(step.kind, step.settings), inputs: step.kind.inputs.count))
    }
    let sinks = (0..<sinkCount).map { _ in MemorySink() }
    let ends = sinks.enumerated().map { plan.addTransmit("sink\($0)", $1) } + [plan.addDiscard()]
    for receiver in receivers { plan.connect(receiver, output: 0, to: nodes.first ?? ends[0], input: 0) }
    for (node, step) in zip(nodes, steps) {
      for (output, target) in step.targets.enumerated() {
        switch target {
        case .element(let index, let input): plan.connect(node, output: output, to: nodes[index], input: input)
        case .end(let index): plan.connect(node, output: output, to: ends[index], input: 0)
        }
      }
    }
    for arrival in arrivals { sources[arrival.source % sourceCount].append(arrival.frames, at: arrival.time) }
    var problems = Worker(plan: plan).replay(until: StopFlag()) + plan.imbalances
    let counters = plan.counters()
    // Over the whole plan: what came in or was made was sent, dropped or is held.
    let arrived = counters.prefix(sourceCount).reduce(0) { $0 + $1.packetsIn } + counters.reduce(0) { $0 + $1.created }
    let held = counters.reduce(0) { $0 + $1.held }
    let left = counters.reduce(held) { $0 + $1.dropped } + sinks.reduce(0) { $0 + UInt64($1.sent.count) }
    if arrived != left { problems.append("\(arrived) packets came in or were made, \(left) left or are held") }
    let used = before - pool.available
    if held == 0 && used != 0 { problems.append("\(used) packet buffers were not given back") }
    if pool.abandoned != abandoned { problems.append("\(pool.abandoned - abandoned) packets died without a verdict") }
    let wasShort =
      sources.contains { $0.missed > 0 }
      || counters.contains { $0.drops.keys.contains(DropReason.noBuffer.code) }
    return Outcome(
      problems: problems, wasShort: wasShort, sinks: sinks.map(\.sent),
      counters: zip(plan.names, counters).enumerated().map { index, named in
        let (name, counted) = named
        let drops = counted.drops.sorted { $0.key < $1.key }.flatMap { [UInt64($0.key), $0.value] }
        return (
          name,
          [counted.packetsIn, counted.bytesIn, counted.created, counted.held] + counted.packetsOut + drops
            + plan.elementCounters(of: index).map(\.value)
        )
      })
  }
}
