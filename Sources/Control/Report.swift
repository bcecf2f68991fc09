public import Dataplane

/// What happened to the packets of a run, by port and element.
public struct Report: Sendable {
  /// What happened at one port.
  public struct PortLine: Sendable {
    /// Name and kind in the configuration.
    public var name: String, kind: String
    /// What came in.
    public var received: NodeCounters?
    /// What went out.
    public var transmitted: NodeCounters?
    /// What only the port knows.
    public var counters: [ElementCounter] = []
  }

  /// What happened at one element.
  public struct ElementLine: Sendable {
    /// Name and type in the configuration.
    public var name: String, type: String
    /// Names of the outputs.
    public var outputs: [String]
    /// The counts, all workers together.
    public var counters: NodeCounters
    /// Drops by the reason's name.
    public var drops: [(reason: String, packets: UInt64)]
    /// What only the element knows.
    public var elementCounters: [ElementCounter]
  }

  /// Ports in the order of the configuration.
  public var ports: [PortLine] = []
  /// Elements in the order of execution.
  public var elements: [ElementLine] = []
  /// Packets that the graph sent to `drop`.
  public var discarded: UInt64 = 0
  /// Packets that an element let go without a verdict.
  public var abandoned: UInt64 = 0
  /// How long the run took in nanoseconds; the capture's time in replay.
  public var nanoseconds: UInt64 = 0
  /// Whether cycles are shown; they are never twice the same.
  public var showsCycles = false

  /// Packets that came in, went out, were dropped and are still held, in and with what elements made: the books balance
  /// when `received + created == transmitted + dropped + held`.
  public var balance: (received: UInt64, created: UInt64, transmitted: UInt64, dropped: UInt64, held: UInt64) {
    var sum: (received: UInt64, created: UInt64, transmitted: UInt64, dropped: UInt64, held: UInt64) = (0, 0, 0, 0, 0)
    for port in ports {
      sum.received += port.received?.packetsIn ?? 0
      sum.transmitted += (port.transmitted?.packetsIn ?? 0) - (port.transmitted?.dropped ?? 0)
      sum.dropped += port.transmitted?.dropped ?? 0
    }
    for element in elements {
      sum.created += element.counters.created
      sum.dropped += element.counters.dropped
      sum.held += element.counters.held
    }
    sum.dropped += discarded + abandoned
    return sum
  }

  /// Whether every packet is accounted for.
  public var isBalanced: Bool {
    let sum = balance
    return sum.received + sum.created == sum.transmitted + sum.dropped + sum.held
  }

  // MARK: JSON

  /// The report for programs.
  public var json: JSON {
    let sum = balance
    return .object([
      ("seconds", .decimal(Double(nanoseconds) / 1e9)),
      (
        "packets",
        .object([
          ("received", .count(sum.received)), ("created", .count(sum.created)),
          ("transmitted", .count(sum.transmitted)),
          ("dropped", .count(sum.dropped)), ("held", .count(sum.held)), ("abandoned", .count(abandoned)),
          ("balanced", .bool(isBalanced)),
        ])
      ),
      ("ports", .array(ports.map(Self.json(of:)))),
      ("elements", .array(elements.map(json(of:)))),
      ("discarded", .count(discarded)),
    ])
  }

  private static func json(of port: PortLine) -> JSON {
    func traffic(_ counters: NodeCounters) -> JSON {
      .object([
        ("packets", .count(counters.packetsIn - counters.dropped)), ("bytes", .count(counters.bytesIn)),
        ("dropped", .count(counters.dropped)),
      ])
    }
    var members: [(String, JSON)] = [("name", .string(port.name)), ("kind", .string(port.kind))]
    if let received = port.received { members.append(("received", traffic(received))) }
    if let transmitted = port.transmitted { members.append(("transmitted", traffic(transmitted))) }
    if !port.counters.isEmpty { members.append(("counters", json(of: port.counters))) }
    return .object(members)
  }

  private static func json(of counters: [ElementCounter]) -> JSON {
    .object(counters.map { ($0.name, .count($0.value)) })
  }

  private func json(of element: ElementLine) -> JSON {
    let counters = element.counters
    var members: [(String, JSON)] = [
      ("name", .string(element.name)), ("type", .string(element.type)),
      ("in", .object([("packets", .count(counters.packetsIn)), ("bytes", .count(counters.bytesIn))])),
      ("out", .object(zip(element.outputs, counters.packetsOut).map { ($0, .count($1)) })),
      ("created", .count(counters.created)), ("held", .count(counters.held)),
      ("drops", .object(element.drops.map { ($0.reason, .count($0.packets)) })),
    ]
    if counters.handedOver > 0 { members.append(("handedOver", .count(counters.handedOver))) }
    if !element.elementCounters.isEmpty { members.append(("counters", Self.json(of: element.elementCounters))) }
    if showsCycles, let cycles = counters.cyclesPerPacket { members.append(("cyclesPerPacket", .decimal(cycles))) }
    return .object(members)
  }
}

extension NodeCounters {
  /// Time-stamp counter ticks a packet, from the runs that were timed; nil when none was.
  public var cyclesPerPacket: Double? { timedPackets == 0 ? nil : Double(ticks) / Double(timedPackets) }
}
