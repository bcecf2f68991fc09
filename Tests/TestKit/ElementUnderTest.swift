import Configuration
public import Dataplane
public import Testing

/// One element with real packets around it, and neither a NIC nor a graph.
///
///     @Test func expiredPacketsLeaveByTheirOwnOutput() throws {
///       let ttl = try ElementUnderTest(DecTTL.self, settings: "multicast: false")
///       let result = ttl.push([Frame.ethernet().ipv4(ttl: 2).udp(), Frame.ethernet().ipv4(ttl: 1).udp()])
///       #expect(result["forwarded"].map(\.bytes) == [Frame.ethernet().ipv4(ttl: 1).udp().bytes])
///       #expect(result["expired"].count == 1)
///     }
///
/// The element is made from settings in YAML through its `ElementKind` and is run by a plan, as in production. Time is
/// virtual: it stands still but for `push(_:at:)` and `advance(to:)`, and elements are woken on the way. After each step
/// an issue is recorded unless every packet is accounted for: in + created = out + dropped + held, and no buffer is in
/// use that is not held.
public final class ElementUnderTest {
  /// What is tested.
  public let kind: ElementKind
  /// Where packets are made; its own.
  public let pool: PacketPool
  private let plan: Plan
  private let stepper: PlanStepper
  private let node: PlanNode
  private let sources: [String: MemorySource]
  private let inputNames: [String]
  private let sinks: [(name: String, sink: MemorySink)]
  private var before: NodeCounters

  /// Makes an element of this type.
  /// - Parameters:
  ///   - settings: What would stand under the element's name, as YAML.
  ///   - batchSize: 1 to 256.
  ///   - packets: Buffers in the test's pool.
  ///   - folder: What paths in the settings are relative to. Mistakes are reported in `settings.yaml`.
  ///   - ports: Ports that settings may name, with the numbers that their packets carry.
  ///   - start: The clock's first time.
  /// - Throws: `ConfigurationError` as the framework would report it, settings that nobody took included.
  public convenience init<E: Element & ~Copyable & SendableMetatype>(
    _ type: E.Type, settings: String = "", batchSize: Int = 32, packets: Int = 1024, folder: String = "",
    ports: [String: Int] = [:], at start: Instant = Instant(nanoseconds: 0)
  ) throws {
    try self.init(
      ElementKind(type), settings: settings, batchSize: batchSize, packets: packets, folder: folder, ports: ports,
      at: start)
  }

  /// Makes an element of this kind; for tests that go through a catalogue.
  public init(
    _ kind: ElementKind, settings: String = "", batchSize: Int = 32, packets: Int = 1024, folder: String = "",
    ports: [String: Int] = [:], at start: Instant = Instant(nanoseconds: 0)
  ) throws {
    try TestEnvironment.start()
    self.kind = kind
    pool = try PacketPool(name: "element\(TestEnvironment.uniqueNumber())", packets: packets)
    let bench = try Bench(kind, settings: settings, batchSize: batchSize, folder: folder, ports: ports, pool: pool)
    plan = bench.plan
    node = bench.node
    inputNames = kind.inputs.map(\.name)
    sources = Dictionary(uniqueKeysWithValues: zip(inputNames, bench.sources))
    sinks = bench.sinks
    stepper = PlanStepper(plan, at: start)
    before = plan.counters(of: node)
  }

  // MARK: Steps

  /// Has packets arrive at one instant and runs until nothing is pending.
  /// - Parameters:
  ///   - input: The input's name; nil: the first.
  ///   - instant: When; nil: now. The clock goes there first, waking the element on the way.
  public func push(
    _ frames: [Frame], input: String? = nil, at instant: Instant? = nil,
    sourceLocation: SourceLocation = #_sourceLocation
  ) -> StepResult {
    let name = input ?? inputNames[0]
    guard let source = sources[name] else {
      preconditionFailure("\(kind.name) has no input '\(name)'; its inputs are \(inputNames.joined(separator: ", "))")
    }
    if let instant { stepper.advance(to: instant) }
    source.append(frames, at: stepper.now)
    stepper.step()
    if source.missed > 0 {
      Issue.record("the pool has no buffers left; give the test more packets", sourceLocation: sourceLocation)
    }
    return conclude(sourceLocation)
  }

  /// Has one packet arrive.
  public func push(
    _ frame: Frame, input: String? = nil, at instant: Instant? = nil, sourceLocation: SourceLocation = #_sourceLocation
  ) -> StepResult {
    push([frame], input: input, at: instant, sourceLocation: sourceLocation)
  }

  /// Moves the clock forward, waking the element each time it asked for it.
  public func advance(to instant: Instant, sourceLocation: SourceLocation = #_sourceLocation) -> StepResult {
    stepper.advance(to: instant)
    return conclude(sourceLocation)
  }

  /// Moves the clock forward by so many nanoseconds.
  public func advance(by nanoseconds: UInt64, sourceLocation: SourceLocation = #_sourceLocation) -> StepResult {
    advance(to: now.advanced(by: nanoseconds), sourceLocation: sourceLocation)
  }

  /// Calls the element's `finish`. The element must not be used afterwards.
  /// - Returns: What the element reports as gone wrong.
  public func finish() -> [String] { stepper.finish() }

  /// Asks the element, as `nfvrun ctl` does, until it has answered all.
  /// - Returns: Rows by names, or why it could not be done.
  public func perform(
    _ operation: String, _ arguments: [String: String] = [:], rows: [[String: String]] = []
  ) -> (rows: [[String: String]], failure: String?) {
    var answered: [[String: String]] = []
    for start in stride(from: 0, to: max(rows.count, 1), by: OperationRequest.rowLimit) {
      let given = Array(rows[start..<min(start + OperationRequest.rowLimit, rows.count)])
      let answer = stepper.perform(OperationRequest(operation, arguments: arguments, rows: given), at: node)
      answered += answer.rows.map { Dictionary($0.map { ($0.name, $0.value) }, uniquingKeysWith: { $1 }) }
      if let failure = answer.failure { return (answered, failure) }
    }
    return (answered, nil)
  }

  // MARK: State

  /// The clock.
  public var now: Instant { stepper.now }
  /// When the element wants to be woken; `.never` when it does not.
  public var nextWake: Instant { stepper.nextWake }
  /// How many packets the element keeps.
  public var held: Int { stepper.held }
  /// The element's own counters by name.
  public var counters: [String: UInt64] {
    Dictionary(plan.elementCounters(of: node).map { ($0.name, $0.value) }, uniquingKeysWith: { $1 })
  }
  /// What the data plane counted at the element since the start.
  public var totals: NodeCounters { plan.counters(of: node) }
  /// Names of the outputs, in order.
  public var outputNames: [String] { sinks.map(\.name) }

  private func conclude(_ sourceLocation: SourceLocation) -> StepResult {
    let held = stepper.held
    let after = plan.counters(of: node)
    defer { before = after }
    for problem in after.imbalance(of: kind.name) { Issue.record("\(problem)", sourceLocation: sourceLocation) }
    let used = pool.capacity - pool.available
    if held == 0 && used != 0 {
      Issue.record(
        "\(used) packet buffers are in use though \(kind.name) holds no packet", sourceLocation: sourceLocation)
    }
    var result = StepResult(outputs: sinks.map { ($0.name, $0.sink.take()) }, held: held)
    for (code, count) in after.drops where count > before.drops[code, default: 0] {
      result.drops[kind.name(of: code)] = Int(count - before.drops[code, default: 0])
    }
    result.created = Int(after.created - before.created)
    return result
  }
}

/// What one step of an `ElementUnderTest` brought about.
public struct StepResult: CustomStringConvertible {
  /// What left, by output in the order of the element's outputs.
  public let outputs: [(name: String, packets: [SentPacket])]
  /// How many packets were dropped, by the reason's name.
  public internal(set) var drops: [String: Int] = [:]
  /// How many packets the element made.
  public internal(set) var created = 0
  /// How many packets the element keeps now.
  public let held: Int

  init(outputs: [(name: String, packets: [SentPacket])], held: Int) {
    self.outputs = outputs
    self.held = held
  }

  /// What left by an output.
  public subscript(output: String) -> [SentPacket] {
    guard let found = outputs.first(where: { $0.name == output }) else {
      preconditionFailure("no output '\(output)'; there are \(outputs.map(\.name).joined(separator: ", "))")
    }
    return found.packets
  }

  /// What left by all outputs together, output by output.
  public var sent: [SentPacket] { outputs.flatMap(\.packets) }

  /// Counts and packets in words, for a failed expectation.
  public var description: String {
    let lines = outputs.flatMap { output in output.packets.map { "\(output.name): \($0)" } }
    let dropped = drops.sorted { $0.key < $1.key }.map { "dropped \($0.value) \($0.key)" }
    return (lines + dropped + ["created \(created), held \(held)"]).joined(separator: "\n")
  }
}

/// A plan with one element, a source at each input and a sink at each output.
struct Bench {
  let plan: Plan
  let node: PlanNode
  let sources: [MemorySource]
  let sinks: [(name: String, sink: MemorySink)]

  init(
    _ kind: ElementKind, settings text: String, batchSize: Int, folder: String, ports: [String: Int] = [:],
    pool: PacketPool
  ) throws(ConfigurationError) {
    let name = "settings.yaml"
    let range = SourceRange(start: SourcePosition(file: name, line: 1, column: 1), length: 1, text: "")
    // An element of which a graph gives the name alone has no node to read.
    let root = text.isEmpty ? nil : try YAMLDocument.load(text: text, name: name)
    let directory = PortDirectory(ports.sorted { $0.key < $1.key }.map { ($0.key, $0.value) })
    let context = SettingContext(folder: folder, ports: directory)
    var settings = Settings(root, range: root?.range ?? range, context: context)
    let instance = try kind.makeInstance(&settings)
    try settings.finish()

    let outputs = instance.outputs
    let plan = Plan(worker: 0, pool: pool, batchSize: batchSize, nodes: kind.inputs.count + 1 + outputs.count)
    sources = kind.inputs.map { _ in MemorySource(pool: pool) }
    let receivers = zip(kind.inputs, sources).map { plan.addReceive($0.name, $1) }
    node = plan.addElement(kind.name, instance, inputs: kind.inputs.count)
    sinks = outputs.map { ($0.name, MemorySink()) }
    for (input, receiver) in receivers.enumerated() { plan.connect(receiver, output: 0, to: node, input: input) }
    for (output, end) in sinks.enumerated() {
      plan.connect(node, output: output, to: plan.addTransmit(end.name, end.sink), input: 0)
    }
    self.plan = plan
  }
}

extension NodeCounters {
  /// Why the books of a node do not balance; empty when they do.
  public func imbalance(of name: String) -> [String] {
    let arrived = packetsIn + created
    let left = packetsOut.reduce(0, +) + dropped + held + handedOver
    return arrived == left
      ? []
      : [
        "\(name) does not account for every packet: \(packetsIn) in + \(created) created, but "
          + "\(packetsOut.reduce(0, +)) out + \(dropped) dropped + \(held) held"
      ]
  }
}
