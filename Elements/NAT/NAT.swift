public import Configuration
public import Dataplane
import Tables
import Wire

/// Lets inside hosts share outside IPv4 addresses (NAT44), as RFC 4787, 5382, 5508, 6888 and 7857 ask for: the same outside
/// port whatever an inside port talks to, hairpinning, ICMP errors with what they have embedded, fragments in any order.
///
///     nat: { NAT: { outside: 203.0.113.2, inside: 10.0.0.0/8 } }
///     - lan.rest -> nat.inside
///     - nat.outside -> wan
///     - wan -> nat.outside
///     - nat.inside -> lan
///
/// A bump in the wire: what is not IPv4, or is not from an inside host or to an outside address, passes as it came. Somebody
/// else answers ARP for outside addresses: a `Router` or `Neighbours` that has them as its own, or the next hop has a route.
///
/// Mappings are kept at their outside port, sessions in a table with the inside's key and the outside's, so that a packet of
/// either direction costs one look-up, done for a burst at a time. Packets from the outside make no state. On several workers
/// an inside address belongs to one, which hands out its own slice of the ports; others hand packets over to it.
public struct NAT: Element, ~Copyable {
  /// Where packets enter.
  public enum Input: UInt8, InputPort {
    /// Packets from inside hosts.
    case inside
    /// Packets from the outside.
    case outside

    public var about: String {
      self == .inside ? "packets on their way from the inside to the outside" : "packets from the outside"
    }
  }

  /// Where packets leave.
  public enum Output: UInt8, OutputPort, BitwiseCopyable {
    /// To the inside.
    case inside
    /// To the outside.
    case outside
    /// From an inside host to another by its outside address, both translated; to be routed to the inside.
    case hairpin
    /// From the outside to nobody, as they came.
    case refused
    /// From the inside without a port left, as they came.
    case exhausted

    public var delivers: HeaderState? {
      switch self {
      case .inside, .outside: nil
      case .hairpin, .refused, .exhausted: .ipv4
      }
    }

    public var about: String {
      switch self {
      case .inside: "from the outside: to the inside hosts that mappings name, and what passes untouched"
      case .outside: "from the inside: translated, and what passes untouched"
      case .hairpin:
        "from an inside host to another by its outside address, both translated; to be routed to the inside"
      case .refused: "from the outside to nobody, as they came, ready for ICMPError's [portUnreachable]"
      case .exhausted: "from the inside without a port left, as they came, with 'exhausted: refuse'"
      }
    }
  }

  /// Why packets are dropped.
  public enum Drop: UInt8, ElementDropReason {
    /// Nothing is mapped to the outside port, or an ICMP error or a late segment belongs to no session.
    case noMapping
    /// The mapping does not let packets of this remote end in.
    case filtered
    /// No outside port is left.
    case noPort
    /// No session is left.
    case noSession
    /// The inside host has as many mappings or sessions as it may.
    case subscriberLimit
    /// A TCP segment of a connection whose beginning was not seen, with 'pickup: no'.
    case notOpened
    /// An unsolicited SYN that an inside host's own SYN has overtaken (RFC 5382 REQ-4).
    case overtaken
    /// An unsolicited SYN, with too many of them held already, or with 'unmapped: drop'.
    case unsolicited
    /// An ICMP error whose checksum, or that of the packet it has embedded, is wrong, or that embeds too little.
    case badError
    /// A fragment of a packet that belongs to another worker.
    case otherWorker
    /// A fragment cuts the transport header (RFC 1858, RFC 3128).
    case tinyFragment
    /// A fragment whose bytes came before.
    case duplicateFragment
    /// A fragment overlaps with another (RFC 5722).
    case overlappingFragment
    /// A packet in too many pieces, or too many of them wait for the first.
    case tooManyFragments
    /// A fragment that had to go for another when a limit was reached.
    case evictedFragment
    /// The first fragment did not come in time.
    case firstFragmentLost
    /// The first fragment did not pass.
    case firstFragmentRefused
  }

  public static let about = ElementDescription(
    "Lets inside hosts share outside IPv4 addresses (NAT44, carrier-grade NAT).",
    example: """
      elements:
        nat:
          NAT:
            outside: [203.0.113.8/30, 203.0.113.20-203.0.113.25]
            inside: [10.0.0.0/8, 100.64.0.0/10]
            static:
              - { inside: 10.0.0.80, outside: 203.0.113.8, port: 443, inside_port: 8443, protocol: tcp }
              - { inside: 10.0.0.25, outside: 203.0.113.30 }
            blocks: { size: 512, limit: 4 }
            mss: 1360
      graph:
        - lan -> nat.inside
        - nat.outside -> wan
        - wan -> nat.outside
        - nat.inside -> lan
        - nat.hairpin -> lan
        - nat.refused -> drop
        - nat.exhausted -> drop
      """)
  public static let handsOver = true

  let settings: NATSettings
  let ends: NATEnds
  let filtering: NATFiltering
  let timeouts: NATSettings.Timeouts
  let segmentSize: UInt16
  let inboundRefresh: Bool
  var sessions: FlowTable<IPv4FlowKey, NATSession>
  var burst: FlowBurst<IPv4FlowKey>
  var mappings: MappingTable
  var subscribers: SubscriberTable
  var pool: PortPool
  /// Remote addresses that a mapping has sent to, with the number of its sessions there; for address-dependent filtering.
  var permissions: FlowTable<IPv4FlowKey, UInt32>
  var fragments: FragmentFollower<NATPath, Drop>
  /// Unsolicited SYNs by the session that they would begin.
  var heldSYNs: FlowTable<IPv4FlowKey, HeldSYN>
  var heldPackets: PacketStore
  var worker = 0
  var workers = 1
  /// The same for all workers, which is how they know one another's hosts.
  let ownerSeed = FlowSeed(0, 0)
  let tally = Tally(Count.allCases.count)
  /// The session that the unsolicited SYN would begin that was judged last.
  var holdKey: IPv4FlowKey?

  /// Where events are logged; nil: nowhere.
  let log: NATLog?
  var events: EventRing<NATEvent>?
  let logs: Bool
  /// Before this, no more is logged of ports and limits that were reached.
  var nextComplaint: UInt64 = 0

  /// What is counted.
  enum Count: Int, CaseIterable {
    case mappingsMade, sessionsMade, exhausted
  }

  public init(_ settings: inout Settings) throws(ConfigurationError) {
    let read = try NATSettings(&settings)
    let fragments = try FragmentFollower<NATPath, Drop>(&settings)
    let log = try Self.log(&settings)
    let seed = FlowSeed(0, 0)
    let sessions: FlowTable<IPv4FlowKey, NATSession> = try Self.table(read.sessions, keys: 2, seed, settings)
    let permissions: FlowTable<IPv4FlowKey, UInt32> = try Self.table(
      read.filtering == .addressDependent ? read.sessions : 1, keys: 1, seed, settings)
    let held: FlowTable<IPv4FlowKey, HeldSYN> = try Self.table(read.heldLimit, keys: 1, seed, settings)
    let tables = try Self.tables(read, read.layout(slice: 0, of: 1), seed, settings)
    self.log = log
    logs = log != nil
    self.settings = read
    ends = NATEnds(read)
    filtering = read.filtering
    timeouts = read.timeouts
    segmentSize = read.segmentSize
    inboundRefresh = read.inboundRefresh
    self.fragments = fragments
    burst = sessions.makeBurst()
    self.sessions = sessions
    self.permissions = permissions
    heldSYNs = held
    heldPackets = PacketStore(capacity: read.heldLimit)
    mappings = tables.mappings
    subscribers = tables.subscribers
    pool = tables.pool
  }

  private static func table<Value>(
    _ capacity: Int, keys: Int, _ seed: FlowSeed, _ settings: borrowing Settings
  ) throws(ConfigurationError) -> FlowTable<IPv4FlowKey, Value> {
    guard let table = FlowTable<IPv4FlowKey, Value>(capacity: capacity, keysPerFlow: keys, seed: seed) else {
      throw settings.fail("sessions", "there is no memory for \(capacity) sessions", remedy: "lower 'sessions'")
    }
    return table
  }

  private static func log(_ settings: inout Settings) throws(ConfigurationError) -> NATLog? {
    let file: FileSetting? = try settings.takeIfPresent(
      "log", "a file in which mappings are logged, or blocks of ports when there are such")
    let format = try settings.take("log_format", default: NATLogFormat.lines, "lines of text, or IPFIX (RFC 8158)")
    guard let file else { return nil }
    return try settings.shared("log") { () throws(ConfigurationError) in NATLog(file, format) }
  }

  private struct PortTables: ~Copyable {
    let mappings: MappingTable
    let subscribers: SubscriberTable
    let pool: PortPool

    init(_ settings: NATSettings, _ layout: PortPool.Layout, _ seed: FlowSeed) throws(TableMemoryError) {
      let mappings = try MappingTable(
        addresses: max(settings.addresses.count, 1), capacity: settings.sessions, seed: seed)
      let subscribers = try SubscriberTable(capacity: settings.subscribers + 1, seed: seed)
      let pool = try PortPool(layout)
      self.mappings = mappings
      self.subscribers = subscribers
      self.pool = pool
    }
  }

  private static func tables(
    _ read: NATSettings, _ layout: PortPool.Layout, _ seed: FlowSeed, _ settings: borrowing Settings
  ) throws(ConfigurationError) -> PortTables {
    do throws(TableMemoryError) {
      return try PortTables(read, layout, seed)
    } catch {
      throw settings.fail("outside", error.description, remedy: error.remedy)
    }
  }

  public var held: Int { fragments.held + heldPackets.count }

  public var counters: [ElementCounter] {
    [
      ElementCounter("mappings", UInt64(mappings.count)), ElementCounter("sessions", UInt64(sessions.count)),
      ElementCounter("subscribers", UInt64(subscribers.count)),
    ] + Count.allCases.map { ElementCounter("\($0)", tally[$0.rawValue]) }
      + [ElementCounter("eventsLost", UInt64(events?.lostCount ?? 0)), fragments.mostHeld]
  }

  public mutating func finish() -> [String] { log?.leave() ?? [] }

  public mutating func start(_ context: inout Context) {
    events = log?.makeRing(capacity: Self.eventRoom)
    worker = context.worker
    workers = context.workers
    fragments.start(&context)
    let seed = FlowSeed(using: &context.random)
    let now = context.now.nanoseconds
    // Made anew with a secret, and with the clock where it stands.
    if let fresh = FlowTable<IPv4FlowKey, NATSession>(
      capacity: settings.sessions, keysPerFlow: 2, seed: seed, now: now)
    {
      sessions = fresh
      burst = sessions.makeBurst()
    }
    if let fresh = FlowTable<IPv4FlowKey, UInt32>(capacity: permissions.capacity, seed: seed, now: now) {
      permissions = fresh
    }
    if let fresh = FlowTable<IPv4FlowKey, HeldSYN>(capacity: settings.heldLimit, seed: seed, now: now) {
      heldSYNs = fresh
    }
    // There was room for as much when the settings were read.
    if let fresh = try? PortTables(settings, settings.layout(slice: worker, of: workers), seed) {
      mappings = fresh.mappings
      subscribers = fresh.subscribers
      pool = fresh.pool
    }
    for entry in settings.statics {
      guard let space = entry.space, let number = ends.shared.find(entry.outside.rawValue) else { continue }
      let slot = PortSlot(address: Int(number), space: space, port: entry.outsidePort)
      pool.reserve(slot)
      _ = mappings.insert(slot, address: entry.inside.rawValue, port: entry.insidePort, subscriber: 0, isStatic: true)
    }
  }

  // MARK: Packets

  public mutating func process(_ batch: inout PacketBatch<Self>, _ context: inout Context) {
    let isOutbound = batch.input == .inside
    let now = context.now
    age(now.nanoseconds)
    let zone: UInt16 = isOutbound ? Self.insideZone : Self.outsideZone
    burst.removeAll()
    batch.survey { _, packet in
      if case .session(let key) = IPv4FlowKey.read(packet, zone: zone) {
        burst.append(key)
      } else {
        burst.append(Self.noKey)
      }
    }
    sessions.lookUp(&burst, now: now.nanoseconds)
    var position = -1
    batch.forEach(
      { packet in
        position &+= 1
        guard let match = sessions.match(burst, position), match.isReply != isOutbound, !packet.isFragment else {
          if packet.isFragment, packet.isIPv4 { return nil }
          return verdict(of: judge(&packet, isOutbound: isOutbound, now.nanoseconds, &context.random))
        }
        return verdict(of: translate(&packet, match.flow, isOutbound: isOutbound, now.nanoseconds))
      },
      otherwise: { packet, emitter in
        if packet.isFragment {
          follow(packet, isOutbound: isOutbound, now, &context.random, &emitter)
        } else {
          hold(packet, now.nanoseconds, &emitter)
        }
      })
    askForWake(&context)
  }

  public mutating func wake(_ batch: inout PacketBatch<Self>, _ context: inout Context) {
    let now = context.now.nanoseconds
    age(now)
    var budget = 256
    while let flow = heldSYNs.nextExpired(now: now, budget: &budget) {
      guard let packet = heldPackets.remove(at: flow.value.place) else { continue }
      if flow.value.isOvertaken {
        batch.drop(packet, Drop.overtaken.reason)
      } else {
        batch.emit(packet, to: .refused)
      }
    }
    fragments.expire(now: context.now)
    while let released = fragments.popReleased() {
      let fate = released.fate
      var packet = released.packet
      switch fate {
      case .drop(let reason): batch.drop(packet, reason)
      case .follows(let path):
        if apply(path, to: &packet) { batch.emit(packet, to: path.output) } else { batch.drop(packet, .noBuffer) }
      }
    }
    askForWake(&context)
  }

  /// Events of a worker that can wait to be written.
  private static let eventRoom = 65_536

  private func askForWake(_ context: inout Context) {
    if logs { attendToLog() }
    if let next = sessions.nextEvent { context.wake(at: Instant(nanoseconds: next)) }
    if let next = heldSYNs.nextEvent { context.wake(at: Instant(nanoseconds: next)) }
    if let next = pool.nextEvent(now: context.now.nanoseconds) { context.wake(at: Instant(nanoseconds: next)) }
    if let next = fragments.nextExpiry { context.wake(at: next) }
  }

  /// What is to become of a packet.
  enum Outcome {
    case forward(Output)
    case drop(DropReason)
    case handOver(Int)
    /// To be kept for a while: an unsolicited SYN.
    case hold
  }

  @inline(__always)
  private func verdict(of outcome: Outcome) -> Verdict<Output>? {
    switch outcome {
    case .forward(let output): .forward(output)
    case .drop(let reason): .drop(reason)
    case .handOver(let worker): .handOver(to: worker)
    case .hold: nil
    }
  }

  // MARK: Keys

  /// Keys of packets that are not translated yet, by the side that they came in from.
  static let insideZone: UInt16 = 0
  static let outsideZone: UInt16 = 1
  static let permissionZone: UInt16 = 2
  /// The key of what has none, which no session has.
  static let noKey = IPv4FlowKey(
    source: .unspecified, destination: .unspecified, sourcePort: 0, destinationPort: 0,
    protocol: IPProtocol(rawValue: 255), zone: .max)
}

/// What later fragments are to be translated to.
struct NATPath: BitwiseCopyable, Sendable {
  let source: IPv4Address
  let destination: IPv4Address
  let output: NAT.Output
}

/// An unsolicited SYN that is held.
struct HeldSYN: BitwiseCopyable, Sendable {
  let place: UInt32
  var isOvertaken: Bool
}
