/// The order of packets in FQ-CoDel (RFC 8290): a queue for each flow, those of flows that have just begun first, all others
/// in turn by bytes (deficit round robin), and CoDel in each. It knows no packets, but the numbers that the caller has for
/// them. With one flow it is CoDel (RFC 8289).
///
/// Its memory is taken once. Whoever gives a packet sees to the limits: `longest` says whose packets are to go.
@safe
public struct FlowQueues: ~Copyable {
  private struct Item {
    var next: UInt32
    var length: UInt32
    var since: UInt64
  }

  private struct Flow {
    var first = FlowQueues.none
    var last = FlowQueues.none
    var bytes: UInt64 = 0
    var count = 0
    var credit = 0
    var list = List.none
    /// The next flow of the list.
    var following = FlowQueues.none
    var codel = ControlledDelay()
  }

  private enum List {
    case none, new, old
  }

  /// Flows in the order that they have their turn.
  private struct Turns {
    var first = FlowQueues.none
    var last = FlowQueues.none
  }

  private static var none: UInt32 { .max }

  private let items: UnsafeMutablePointer<Item>
  private let flows: UnsafeMutablePointer<Flow>
  private var new = Turns()
  private var old = Turns()
  private let quantum: Int
  private let parameters: ControlledDelay.Parameters
  /// How many packets there can be; they are numbered below this.
  public let capacity: Int
  /// How many flows there are.
  public let flowCount: Int
  /// How many packets there are.
  public private(set) var count = 0
  /// How many bytes they have.
  public private(set) var bytes: UInt64 = 0
  /// How often a flow began.
  public private(set) var begun: UInt64 = 0

  /// Empty queues.
  /// - Parameters:
  ///   - capacity: How many packets there can be.
  ///   - flows: How many queues there are.
  ///   - quantum: Bytes that a flow sends in a turn.
  public init(capacity: Int, flows: Int, quantum: Int, _ parameters: ControlledDelay.Parameters) {
    self.capacity = max(capacity, 1)
    flowCount = max(flows, 1)
    self.quantum = max(quantum, 1)
    self.parameters = parameters
    unsafe items = .allocate(capacity: self.capacity)
    unsafe items.initialize(repeating: Item(next: Self.none, length: 0, since: 0), count: self.capacity)
    unsafe self.flows = .allocate(capacity: flowCount)
    unsafe self.flows.initialize(repeating: Flow(), count: flowCount)
  }

  deinit {
    unsafe items.deallocate()
    unsafe flows.deallocate()
  }

  /// Puts a packet at the end of its flow's queue.
  /// - Parameters:
  ///   - packet: Its number, below `capacity`; none that is in a queue.
  ///   - flow: Any number that says which flow it is of.
  public mutating func append(_ packet: UInt32, flow: UInt32, length: Int, now: UInt64) {
    precondition(Int(packet) < capacity, "there is no such packet")
    let flow = Int(flow) % flowCount
    unsafe items[Int(packet)] = Item(next: Self.none, length: UInt32(clamping: length), since: now)
    if unsafe flows[flow].last == Self.none {
      unsafe flows[flow].first = packet
    } else {
      unsafe items[Int(flows[flow].last)].next = packet
    }
    unsafe flows[flow].last = packet
    unsafe flows[flow].bytes += UInt64(clamping: length)
    unsafe flows[flow].count += 1
    count += 1
    bytes += UInt64(clamping: length)
    if unsafe flows[flow].list == .none {
      unsafe flows[flow].credit = quantum
      begun &+= 1
      put(flow, .new)
    }
  }

  /// The flow with the most bytes, and how many packets it has; nil without packets. It looks at all flows, so many packets
  /// are to be taken at a time (RFC 8290, 5.2).
  public var longest: (flow: UInt32, count: Int)? {
    guard count > 0 else { return nil }
    var found = 0
    for flow in 1..<flowCount where unsafe flows[flow].bytes > flows[found].bytes { found = flow }
    return unsafe (UInt32(found), flows[found].count)
  }

  /// Takes the packet at the front of a flow's queue.
  public mutating func removeFirst(flow: UInt32) -> UInt32? { take(Int(flow) % flowCount)?.packet }

  /// The packet that is sent next; nil when there is none.
  /// - Parameter refuse: Drops a packet, and returns true; or marks it, and returns false: it is to be sent.
  public mutating func next(now: UInt64, refuse: (UInt32) -> Bool) -> UInt32? {
    while true {
      let isNew = new.first != Self.none
      let head = isNew ? new.first : old.first
      guard head != Self.none else { return nil }
      let flow = Int(head)
      if unsafe flows[flow].credit <= 0 {
        unsafe flows[flow].credit += quantum
        leave(isNew)
        put(flow, .old)
        continue
      }
      if let packet = nextOf(flow, now, refuse) {
        unsafe flows[flow].credit -= Int(items[Int(packet)].length)
        return packet
      }
      // A flow that was new has its turn among the others before it can be new again.
      leave(isNew)
      if isNew { put(flow, .old) }
    }
  }

  private mutating func nextOf(_ flow: Int, _ now: UInt64, _ refuse: (UInt32) -> Bool) -> UInt32? {
    var codel = unsafe flows[flow].codel
    defer { unsafe flows[flow].codel = codel }
    var packet = Self.none
    let isThere = codel.next(now: now, parameters) {
      guard let taken = take(flow) else { return nil }
      packet = taken.packet
      return ControlledDelay.Taken(waited: now > taken.since ? now - taken.since : 0, backlog: unsafe flows[flow].bytes)
    } refuse: {
      refuse(packet)
    }
    return isThere ? packet : nil
  }

  private mutating func take(_ flow: Int) -> (packet: UInt32, since: UInt64)? {
    let packet = unsafe flows[flow].first
    guard packet != Self.none else { return nil }
    let item = unsafe items[Int(packet)]
    unsafe flows[flow].first = item.next
    if item.next == Self.none { unsafe flows[flow].last = Self.none }
    unsafe flows[flow].bytes -= UInt64(item.length)
    unsafe flows[flow].count -= 1
    count -= 1
    bytes -= UInt64(item.length)
    return (packet, item.since)
  }

  // MARK: Turns

  private mutating func put(_ flow: Int, _ list: List) {
    unsafe flows[flow].list = list
    unsafe flows[flow].following = Self.none
    var turns = list == .new ? new : old
    if turns.last == Self.none {
      turns.first = UInt32(flow)
    } else {
      unsafe flows[Int(turns.last)].following = UInt32(flow)
    }
    turns.last = UInt32(flow)
    if list == .new { new = turns } else { old = turns }
  }

  /// Takes the first flow off a list.
  private mutating func leave(_ isNew: Bool) {
    var turns = isNew ? new : old
    let flow = Int(turns.first)
    turns.first = unsafe flows[flow].following
    if turns.first == Self.none { turns.last = Self.none }
    unsafe flows[flow].list = .none
    if isNew { new = turns } else { old = turns }
  }
}
