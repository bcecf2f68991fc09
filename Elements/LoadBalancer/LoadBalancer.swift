public import Configuration
public import Dataplane
import Tables
import Wire

/// Spreads connections to virtual addresses over backends: the connection table first, a Maglev table for what is new.
///
///     lb: { LoadBalancer: { services: { web: { address: 203.0.113.80, ports: 80, backends: {...} } } } }
///     - check -> lb
///     - lb.backends -> route
///     - lb.clients -> route
///     - lb.other -> route
///     - lb.local -> ping
///
/// All packets come in by one input, those of clients and, in mode nat, those of backends; it tells them apart by their
/// connections. Time-to-live is lowered by who routes. In mode dsr packets to backends leave with the last 32 bits of the
/// backend's address as annotation, for Neighbours with `next_hop: annotation`, or, with a `mac`, as finished frames. In the
/// tunnels' modes FragmentIP in front keeps packets short enough for the tunnel, or behind it cuts what is too long for the link.
///
/// Every worker has connections of its own; packets that come in at another worker are handed to the one that the client's
/// address says, or, with source NAT, the port.
public struct LoadBalancer: Element, ~Copyable {
  /// Where packets leave.
  public enum Output: UInt8, OutputPort {
    /// Packets to backends.
    case backends
    /// Packets from backends to clients, from the virtual address.
    case clients
    /// Packets that have nothing to do with a service.
    case other
    /// Packets to a virtual address that no service takes.
    case local
    /// Packets that are too long for a tunnel and must not be fragmented.
    case tooBig
    /// Packets that no backend can take, of services that reject them.
    case unreachable

    public var delivers: HeaderState? { .ip }
    public var about: String {
      switch self {
      case .backends: "packets to backends, to be routed; in mode dsr, to the next hop that the annotation says"
      case .clients: "packets from backends to clients, from the virtual address, to be routed"
      case .other: "packets that have nothing to do with a service, as they came"
      case .local: "packets to a virtual address that no service takes, as they came; pings, for ICMPEcho"
      case .tooBig:
        "packets that do not fit a tunnel and must not be fragmented; the annotation is the MTU, for ICMPError"
      case .unreachable: "packets that no backend can take, as they came, where 'without_backend' is reject"
      }
    }
  }

  /// Why packets are dropped.
  public enum Drop: UInt8, ElementDropReason {
    /// No backend of the service can take new connections.
    case noBackend
    /// No backend, or no port for source NAT, was found that does not have the connection's ends already.
    case collision
    /// With source NAT: there is no room to remember the connection.
    case tableFull
    /// A fragment cuts the transport header, or another of its packet does.
    case tinyFragment
    /// A fragment with the same bytes of the packet was there.
    case duplicateFragment
    /// A fragment overlaps with another one.
    case overlappingFragment
    /// The packet is in too many pieces, or too many of them wait for the first.
    case tooManyFragments
    /// The packet's fragments had to go for a newer one's.
    case evictedFragment
    /// The first fragment did not come in time.
    case firstFragmentLost
    /// The first fragment did not pass.
    case firstFragmentRefused
  }

  public static let about = ElementDescription(
    "Spreads connections to virtual addresses over backends: Maglev hashing, connection table, NAT, DSR, tunnels.",
    example: """
      elements:
        check: CheckIP
        ttl: DecTTL
        lb:
          LoadBalancer:
            services:
              web:
                address: 203.0.113.80
                ports: 80
                backends:
                  a: { address: 192.0.2.1, port: 8080 }
                  b: { address: 192.0.2.2, port: 8080, weight: 2 }
              dns:
                address: 203.0.113.53
                protocol: udp
                ports: 53
                mode: ipip
                tunnel: { source: 203.0.113.1 }
                backends: { c: { address: 198.51.100.3 } }
        ping: { ICMPEcho: { addresses: [203.0.113.80, 203.0.113.53] } }
      graph:
        - lan -> check -> ttl -> lb -> wan
        - check.other -> drop
        - ttl.expired -> drop
        - lb.clients -> lan
        - lb.other -> wan
        - lb.local -> ping -> lan
        - ping.other -> drop
        - lb.tooBig -> drop
        - lb.unreachable -> drop
      """)
  public static let needs = HeaderState.ip
  public static let handsOver = true

  /// Shared by all workers.
  let control: BalancerControl
  /// Shared by all workers; replaced by `control`.
  let state: Snapshot<BalancerState>
  var tables: ConnectionTables
  var desk: BalancerDesk
  var fragments: FragmentFollower<BalancedPath, Drop>
  private var hasFragments = false
  /// Which packets of a batch have keys, and where in the bursts those stand.
  private let places = LookupBurst<UInt32>()

  /// Kinds of packets in `places`.
  private enum Kind {
    static let four: UInt8 = 1
    static let six: UInt8 = 2
    static let fourError: UInt8 = 3
    static let sixError: UInt8 = 4
    static let malformed: UInt8 = 5
  }

  public init(_ settings: inout Settings) throws(ConfigurationError) {
    let services = try BalancerControl.read(&settings)
    let capacity = try settings.take(
      "connections", default: 262_144, in: 2...FlowTable<IPv4FlowKey, Connection>.capacityLimit,
      "connections that each worker remembers, of each IP version; what is above goes by the hash alone")
    let seed: UInt64 = try settings.take(
      "seed", default: 0, "what the hash that chooses backends is keyed with; the same on all balancers of a cluster")
    var timeouts = try settings.takeNested("timeouts", "how long connections are remembered without packets") {
      (nested: inout Settings) throws(ConfigurationError) in try ConnectionTimeouts(&nested)
    }
    if timeouts == nil {
      var none = Settings(nil, range: nil)
      timeouts = try ConnectionTimeouts(&none)
    }
    let fragments = try FragmentFollower<BalancedPath, Drop>(&settings)
    let control = try settings.shared("control", replacing: ["services"]) { BalancerControl(services) }
    let capacities = (
      four: services.contains { $0.address.isIPv4 } ? capacity : 1,
      six: services.contains { $0.address.isIPv6 } ? capacity : 1
    )
    guard let timeouts,
      let tables = ConnectionTables(
        capacities.four, capacities.six, seed: FlowSeed(settings.context.secret, 0))
    else {
      throw settings.fail(
        "connections", "there is no memory for \(capacity) connections", remedy: "give a smaller number")
    }
    self.control = control
    state = control.state
    self.tables = tables
    self.fragments = fragments
    desk = BalancerDesk(timeouts: timeouts, seed: FlowSeed(seed, 0))
    control.register(desk.counts)
  }

  public mutating func start(_ context: inout Context) {
    fragments.start(&context)
    desk.worker = context.worker
    desk.workers = context.workers
    desk.random = RandomNumbers(seed: context.random.next())
    desk.identification = UInt16(truncatingIfNeeded: context.random.next())
  }

  // MARK: Packets

  public mutating func process(_ batch: inout PacketBatch<Self>, _ context: inout Context) {
    desk.now = context.now.nanoseconds
    readKeys(&batch)
    if hasFragments { return processFragments(&batch, &context) }
    tables.four.lookUp(desk)
    tables.six.lookUp(desk)
    state.read { state in
      batch.forEach { index, packet in
        switch places.kind(index) {
        case Kind.four: tables.four.judge(&packet, at: Int(places.key(index)), state, &desk).verdict
        case Kind.six: tables.six.judge(&packet, at: Int(places.key(index)), state, &desk).verdict
        case Kind.fourError: tables.four.judgeError(&packet, state, &desk).verdict
        case Kind.sixError: tables.six.judgeError(&packet, state, &desk).verdict
        case Kind.malformed: .drop(.malformed)
        default: Self.passOn(&packet)
        }
      }
    }
    schedule(&context)
  }

  /// Has a packet go on that no service has to do with; Neighbours goes by its destination.
  @inline(__always)
  static func passOn(_ packet: inout Packet) -> Verdict<Output> {
    packet.annotation = 0
    return .forward(.other)
  }

  private mutating func readKeys(_ batch: inout PacketBatch<Self>) {
    tables.four.begin()
    tables.six.begin()
    places.begin(batch.count)
    hasFragments = false
    batch.survey { index, packet in
      if packet.isFragment { hasFragments = true }
      switch IPv4FlowKey.read(packet, zone: 0) {
      case .session(let key): places.set(index, tables.four.append(key), kind: Kind.four)
      case .icmpError: places.set(index, 0, kind: Kind.fourError)
      case .laterFragment: break
      case .malformed: places.set(index, 0, kind: Kind.malformed)
      case .otherICMP: break
      case .otherVersion:
        switch IPv6FlowKey.read(packet, zone: 0) {
        case .session(let key): places.set(index, tables.six.append(key), kind: Kind.six)
        case .icmpError: places.set(index, 0, kind: Kind.sixError)
        case .laterFragment: break
        case .malformed, .otherVersion: places.set(index, 0, kind: Kind.malformed)
        case .otherICMP: break
        }
      }
    }
  }

  // MARK: Time

  /// Asks to be woken when connections may end, if new ones were entered.
  mutating func schedule(_ context: inout Context) {
    guard tables.four.hasNews || tables.six.hasNews else { return }
    tables.four.hasNews = false
    tables.six.hasNews = false
    if let next = tables.four.table.nextEvent { context.wake(at: Instant(nanoseconds: next)) }
    if let next = tables.six.table.nextEvent { context.wake(at: Instant(nanoseconds: next)) }
  }

  public mutating func wake(_ batch: inout PacketBatch<Self>, _ context: inout Context) {
    desk.now = context.now.nanoseconds
    expireFragments(&batch, &context)
    if let next = tables.four.expire(desk) { context.wake(at: Instant(nanoseconds: next)) }
    if let next = tables.six.expire(desk) { context.wake(at: Instant(nanoseconds: next)) }
  }

  // MARK: Reports

  public var held: Int { fragments.held }
  public var counters: [ElementCounter] { control.counters(of: desk.counts) + [fragments.mostHeld] }
}

/// One worker's connections of both versions of IP.
struct ConnectionTables: ~Copyable {
  var four: Connections<IPv4FlowKey>
  var six: Connections<IPv6FlowKey>

  /// Nil when the system has not the memory.
  init?(_ capacity4: Int, _ capacity6: Int, seed: FlowSeed) {
    guard let four = Connections<IPv4FlowKey>(capacity: capacity4, seed: seed),
      let six = Connections<IPv6FlowKey>(capacity: capacity6, seed: seed)
    else { return nil }
    self.four = four
    self.six = six
  }
}
