import CDPDK

/// What is counted at one node of a plan. One worker writes; anyone reads while it runs, without disturbing it.
public struct NodeCounters: Sendable {
  /// Packets that came in.
  public var packetsIn: UInt64 = 0
  /// Bytes that came in.
  public var bytesIn: UInt64 = 0
  /// Packets that the node made: copies and new ones.
  public var created: UInt64 = 0
  /// Packets that left, by output.
  public var packetsOut: [UInt64] = []
  /// Packets dropped, by code of the reason; reasons that did not occur are left out.
  public var drops: [UInt8: UInt64] = [:]
  /// How often the node was run.
  public var runs: UInt64 = 0
  /// Time-stamp counter ticks of the runs that were timed.
  public var ticks: UInt64 = 0
  /// Packets of the runs that were timed.
  public var timedPackets: UInt64 = 0
  /// Packets that the element keeps for later.
  public var held: UInt64 = 0
  /// Packets that went to the same node of another worker, where they came in once more.
  public var handedOver: UInt64 = 0

  /// Nothing counted.
  public init() {}

  /// Adds packets that turned out to be dropped.
  public mutating func drop(_ packets: UInt64, _ reason: DropReason) { drops[reason.code, default: 0] += packets }

  /// All packets dropped here.
  public var dropped: UInt64 { drops.values.reduce(0, +) }

  /// Adds another worker's counts for the same node.
  public static func += (left: inout NodeCounters, right: NodeCounters) {
    left.packetsIn += right.packetsIn
    left.bytesIn += right.bytesIn
    left.created += right.created
    for (index, count) in right.packetsOut.enumerated() {
      if index < left.packetsOut.count { left.packetsOut[index] += count } else { left.packetsOut.append(count) }
    }
    left.drops.merge(right.drops, uniquingKeysWith: +)
    left.runs += right.runs
    left.ticks += right.ticks
    left.timedPackets += right.timedPackets
    left.held += right.held
    left.handedOver += right.handedOver
  }
}

/// The words behind `NodeCounters`: written with relaxed stores by the node's worker.
@unsafe
struct CounterWords {
  static let packetsIn = 0, bytesIn = 1, created = 2, runs = 3, ticks = 4, timedPackets = 5, held = 6
  static let handedOver = 7
  static let drops = 8
  static let outputs = drops + DropReason.limit

  let words: UnsafeMutablePointer<UInt64>
  let outputCount: Int

  init(outputs: Int) {
    unsafe outputCount = outputs
    unsafe words = .allocate(capacity: Self.outputs + outputs)
    unsafe words.initialize(repeating: 0, count: Self.outputs + outputs)
  }

  func deallocate() { unsafe words.deallocate() }

  func add(_ word: Int, _ amount: UInt64) {
    unsafe nfv_store_relaxed(words + word, words[word] &+ amount)
  }

  func set(_ word: Int, _ value: UInt64) { unsafe nfv_store_relaxed(words + word, value) }

  func read() -> NodeCounters {
    let words = unsafe self.words
    func load(_ word: Int) -> UInt64 { unsafe nfv_load_relaxed(words + word) }
    var counters = NodeCounters()
    counters.packetsIn = unsafe load(Self.packetsIn)
    counters.bytesIn = unsafe load(Self.bytesIn)
    counters.created = unsafe load(Self.created)
    counters.runs = unsafe load(Self.runs)
    counters.ticks = unsafe load(Self.ticks)
    counters.timedPackets = unsafe load(Self.timedPackets)
    counters.held = unsafe load(Self.held)
    counters.handedOver = unsafe load(Self.handedOver)
    counters.packetsOut = unsafe (0..<outputCount).map { unsafe load(Self.outputs + $0) }
    for reason in 0..<DropReason.limit {
      let count = unsafe load(Self.drops + reason)
      if count > 0 { counters.drops[UInt8(reason)] = count }
    }
    return counters
  }
}
