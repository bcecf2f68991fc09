public import Configuration
public import Dataplane
import Tables
import Wire

/// A stateful firewall: packets pass when they belong to a session that a rule has let in, both ways; what belongs to none
/// is judged by the rules in the order written, and by default dropped (RFC 2979; RFC 6092).
///
///     fw: { Firewall: { zones: { lan: { ports: lan }, wan: { ports: wan } }, rules: [{ action: accept, from: lan }] } }
///     - lan -> fw
///     - wan -> fw
///     - fw.lan -> lan
///     - fw.wan -> wan
///
/// **Zones.** Where a packet comes from is told by the port it came in by, and where it goes by the networks that its
/// destination is in: nobody has looked up a route yet, and the firewall does not repeat that. So a zone has ports,
/// networks, or both; one zone may lack networks and then has all other addresses. Two zones that both lack them are the two
/// ends of a wire. Every zone is an output: packets to the zone leave there, and so do answers to packets from it (resets,
/// ICMP errors, SYN cookies). All packets enter by the one input, wherever they come from, since a session's two directions
/// must meet. Before a router all outputs lead to it. With a translator, the firewall stands on the inside and sees inside
/// addresses both ways: `lan -> fw`, `fw.wan -> nat.inside`, and back `nat.inside -> fw`, `fw.lan -> lan`; packets keep the
/// port that they came in by. Without zones there are the outputs `passed` and `replies`.
///
/// **Cost.** A packet of a session costs one look-up, for a whole batch at once. Rules are consulted for packets without one.
/// A session takes 128 bytes and 24 in the index; all memory is taken at the start. Every worker has
/// the sessions of some pairs of addresses, and hands other packets to the worker that has theirs; limits of a source count
/// at each worker.
///
/// Expects sound IP packets. Fragments behind the first go where that went, and wait for it a while.
public struct Firewall: Element, ~Copyable {
  public typealias Output = NumberedOutput

  /// Why packets are dropped.
  public enum Drop: UInt8, ElementDropReason {
    /// A rule says so.
    case deniedByRule
    /// No rule says otherwise.
    case deniedByDefault
    /// A rule says that the sender is told, but it cannot be, or not so often.
    case rejectedSilently
    /// Its session was let in by rules that were replaced, and the new ones would not.
    case refusedByNewRules
    /// It is of a session that is not known, and cannot open one.
    case noSession
    /// An ICMP error about no packet of a session.
    case unrelatedError
    /// There is no room for another session.
    case sessionTableFull
    /// Its source has as many sessions as it may.
    case tooManyConnections
    /// Its source is not in the networks of the zone it comes from (RFC 3704), or stands for no host.
    case spoofedSource
    /// It comes from another zone than its session's packets do.
    case wrongZone
    /// It comes from no zone, or goes to none.
    case unknownZone
    /// An IPv4 option or IPv6 extension header that may not pass (RFC 7126, RFC 9288).
    case headerNotAllowed
    /// TCP flags that make no sense together.
    case invalidFlags
    /// TCP: what its receiver's window has no room for.
    case outOfWindow
    /// TCP: it acknowledges what was not sent.
    case badAcknowledgment
    /// TCP: it does not fit how far the handshake has come.
    case badHandshake
    /// TCP: a reset that is not its peer's.
    case badReset
    /// TCP: a checksum that its receiver would refuse.
    case badChecksum
    /// It cuts the transport header, or another of its packet does (RFC 1858, RFC 3128, RFC 7112).
    case tinyFragment
    /// One with the same bytes of the packet was there.
    case duplicateFragment
    /// It overlaps with another fragment, or one of its packet did (RFC 5722).
    case overlappingFragment
    /// The packet is in too many pieces, or too many of them wait for the first.
    case tooManyFragments
    /// Its packet had to go for a newer one when a limit was reached.
    case evictedFragment
    /// The first fragment did not come in time.
    case firstFragmentLost
    /// The first fragment did not pass.
    case firstFragmentRefused
  }

  public static let about = ElementDescription(
    "Lets sessions through that rules allow between zones, and drops everything else.",
    example: """
      elements:
        check: CheckIP
        fw:
          Firewall:
            zones:
              inside: { ports: lan, networks: [10.0.0.0/8, "2001:db8:1::/48"] }
              outside: { ports: wan }
            rules:
              - { name: web, action: accept, from: inside, to: outside, protocol: tcp, destination_port: [80, 443] }
              - { name: dns, action: accept, from: inside, protocol: [udp, tcp], destination_port: 53 }
              - { name: ping, action: accept, from: inside, protocol: [icmp, icmpv6] }
              - { name: ident, action: reject, from: outside, protocol: tcp, destination_port: 113, log: yes }
            connections_per_source: 1000
            reject: { source: [192.0.2.1, "2001:db8::1"] }
      graph:
        - lan -> check -> fw
        - wan -> check
        - check.other -> drop
        - fw.inside -> lan
        - fw.outside -> wan
      """)
  public static let needs = HeaderState.ip
  public static let handsOver = true

  public let outputs: [OutputDescription]
  let policy: Snapshot<FirewallTable>
  var core: FirewallCore
  var v4: FlowTable<IPv4FlowKey, FirewallSession>
  var v6: FlowTable<IPv6FlowKey, FirewallSession>
  private var burst4: FlowBurst<IPv4FlowKey>
  private var burst6: FlowBurst<IPv6FlowKey>
  private var fragments: FragmentFollower<FirewallPath, Drop>
  /// Whether the batch has any.
  private var hasFragments = false
  private let rules = LookupBurst<RuleKey>()
  /// For each packet of the batch what it is: `Place`.
  private var places = InlineArray<256, UInt16>(repeating: 0)
  /// For each packet without a session from and to which zone it goes.
  private var directions = InlineArray<256, UInt16>(repeating: 0)

  public init(_ settings: inout Settings) throws(ConfigurationError) {
    let zones = try ZoneSettings(&settings)
    let read = try FirewallRules(&settings, zones)
    let configuration = try FirewallConfiguration(&settings, zones)
    let fragments = try FragmentFollower<FirewallPath, Drop>(&settings)
    self.init(configuration, try read.shared(&settings), fragments)
  }

  private init(
    _ configuration: FirewallConfiguration, _ policy: Snapshot<FirewallTable>,
    _ fragments: consuming FragmentFollower<FirewallPath, Drop>
  ) {
    self.fragments = fragments
    let names = configuration.zones.names
    outputs =
      names.isEmpty
      ? [
        OutputDescription("passed", delivers: .ip, about: "packets that may pass"),
        OutputDescription("replies", delivers: .ip, about: "answers to packets that may not, to be routed back"),
      ]
      : names.map {
        OutputDescription($0, delivers: .ip, about: "packets to zone \($0), and answers to packets from it")
      }
    self.policy = policy
    core = FirewallCore(configuration)
    let seed = FlowSeed(0, 0)
    // The tables themselves are made at the start: a pipeline that is only checked does not need them.
    v4 = Self.makeTable(1, seed, now: 0)
    v6 = Self.makeTable(1, seed, now: 0)
    burst4 = v4.makeBurst()
    burst6 = v6.makeBurst()
  }

  private static func makeTable<Key: FirewallKey>(
    _ capacity: Int, _ seed: FlowSeed, now: UInt64
  ) -> FlowTable<Key, FirewallSession> {
    var capacity = capacity
    while true {
      if let table = FlowTable<Key, FirewallSession>(capacity: capacity, seed: seed, now: now, hotBytes: 32) {
        return table
      }
      // Better a smaller table than none.
      precondition(capacity > 1, "there is no memory for a single session")
      capacity /= 2
    }
  }

  public var held: Int { fragments.held }

  public var counters: [ElementCounter] {
    [
      ElementCounter("sessions", UInt64(v4.count + v6.count)), ElementCounter("halfOpen", UInt64(core.halfOpen)),
    ] + FirewallCore.Count.allCases.map { ElementCounter("\($0)", core.counts[$0.rawValue]) }
      + [fragments.mostHeld] + policy.read { $0.counters(of: core.worker) }
  }

  public mutating func start(_ context: inout Context) {
    let seed = FlowSeed(using: &context.random)
    let now = context.now.nanoseconds
    v4 = Self.makeTable(core.settings.sessions, seed, now: now)
    v6 = Self.makeTable(core.settings.sessions, seed, now: now)
    burst4 = v4.makeBurst()
    burst6 = v6.makeBurst()
    core.start(&context, seed: seed)
    fragments.start(&context)
  }

  public mutating func finish() -> [String] { core.log.finish() }

  // MARK: Time

  public mutating func wake(_ batch: inout PacketBatch<Self>, _ context: inout Context) {
    core.now = context.now
    core.scheduled = .max
    let isDone = core.expire(&v4, limit: Self.expiredAtOnce)
    let isDone6 = core.expire(&v6, limit: Self.expiredAtOnce)
    fragments.expire(now: context.now)
    while let released = fragments.popReleased() { Self.release(released, &batch) }
    if isDone && isDone6 {
      core.scheduled = min(v4.nextEvent ?? .max, v6.nextEvent ?? .max)
    } else {
      core.scheduled = context.now.nanoseconds
    }
    if let expiry = fragments.nextExpiry { core.schedule(expiry.nanoseconds) }
    if core.scheduled != .max { context.wake(at: Instant(nanoseconds: core.scheduled)) }
  }

  /// Sessions that are looked at before packets are again.
  private static var expiredAtOnce: Int { 1024 }

  // MARK: Packets

  /// What `places` says: a position in the burst of IPv4, one in that of IPv6, or one of these.
  private enum Place {
    static var v6: UInt16 { 0x100 }
    static var session: UInt16 { 0x200 }
    static var icmpError: UInt16 { 0x200 }
    static var alone: UInt16 { 0x201 }
    static var laterFragment: UInt16 { 0x202 }
    /// With the number of the worker that has the packet's session.
    static var elsewhere: UInt16 { 0x300 }
    static var unfit: UInt16 { 0x203 }
  }

  public mutating func process(_ batch: inout PacketBatch<Self>, _ context: inout Context) {
    core.now = context.now
    core.hasEntered = false
    let scheduled = core.scheduled
    policy.read { policy in
      core.follow(policy)
      if lookUp(&batch, context) { askRules(&batch, policy) }
      judge(&batch, policy, &context)
    }
    core.log.flush()
    if hasFragments, let expiry = fragments.nextExpiry { core.schedule(expiry.nanoseconds) }
    if core.scheduled < scheduled { context.wake(at: Instant(nanoseconds: core.scheduled)) }
  }

  /// Looks up the sessions of all packets.
  /// - Returns: Whether some have none.
  @inline(__always)
  private mutating func lookUp(_ batch: inout PacketBatch<Self>, _ context: borrowing Context) -> Bool {
    let (worker, workers) = (context.worker, context.workers)
    burst4.removeAll()
    burst6.removeAll()
    var others = false
    hasFragments = false
    batch.survey { index, packet in
      let place: UInt16
      if packet.isFragment { hasFragments = true }
      if workers > 1 {
        let owner = packet.ownerByAddresses(of: workers)
        if owner != worker {
          places[index & 0xFF] = Place.elsewhere | UInt16(truncatingIfNeeded: owner & 0xFF)
          return
        }
      }
      switch IPv4FlowKey.read(packet, zone: 0) {
      case .session(let key):
        place = UInt16(truncatingIfNeeded: burst4.count)
        burst4.append(IPv4FlowKey.session(key, packet))
      case .otherVersion:
        switch IPv6FlowKey.read(packet, zone: 0) {
        case .session(let key):
          place = Place.v6 | UInt16(truncatingIfNeeded: burst6.count)
          burst6.append(IPv6FlowKey.session(key, packet))
        case .icmpError: place = Place.icmpError
        case .otherICMP: place = Place.alone
        case .laterFragment: place = Place.laterFragment
        case .malformed, .otherVersion: place = Place.unfit
        }
      case .icmpError: place = packet.isObsoleteError ? Place.alone : Place.icmpError
      case .otherICMP: place = Place.alone
      case .laterFragment: place = Place.laterFragment
      case .malformed: place = Place.unfit
      }
      places[index & 0xFF] = place
      others = others || place == Place.alone
    }
    v4.lookUp(&burst4, now: core.now.nanoseconds)
    v6.lookUp(&burst6, now: core.now.nanoseconds)
    for position in 0..<burst4.count where v4.match(burst4, position) == nil { others = true }
    for position in 0..<burst6.count where v6.match(burst6, position) == nil { others = true }
    return others
  }

  /// Asks the rules about all packets without a session.
  @inline(never)
  private mutating func askRules(_ batch: inout PacketBatch<Self>, _ policy: borrowing FirewallTable) {
    let count = batch.count
    rules.begin(count)
    batch.survey { index, packet in
      let place = places[index & 0xFF]
      let position = Int(place & 0xFF)
      let direction: FirewallZones.Direction
      if place >= Place.session {
        guard place == Place.alone else { return }
        direction =
          packet.isIPv4
          ? direct(packet, IPv4FlowKey(alone: packet)) : direct(packet, IPv6FlowKey(alone: packet))
      } else if place & Place.v6 == 0 {
        guard v4.match(burst4, position) == nil else { return }
        direction = direct(packet, burst4.key(position))
      } else {
        guard v6.match(burst6, position) == nil else { return }
        direction = direct(packet, burst6.key(position))
      }
      directions[index & 0xFF] = direction.code
      policy.rules.read(packet, index, into: rules)
      var key = rules.key(index)
      if case .between(let from, let to) = direction { key.setZones(from: from, to: to) }
      // An acknowledged cookie is as good as the SYN that it answers.
      key.setOpening()
      rules.set(index, key, kind: rules.kind(index))
    }
    policy.rules.match(rules, count)
  }

  private func direct<Key: FirewallKey>(_ packet: borrowing Packet, _ key: Key?) -> FirewallZones.Direction {
    guard let key else { return .unknown }
    let zones = key.zones(core.zones)
    return core.zones.direction(
      port: packet.ingressPort, ofSource: zones.source, ofDestination: zones.destination, isLocal: key.isLocal,
      core.settings.antiSpoofing, isUnbound: key.isUnbound)
  }

  @inline(__always)
  private mutating func judge(
    _ batch: inout PacketBatch<Self>, _ policy: borrowing FirewallTable, _ context: inout Context
  ) {
    if core.proxied == 0, !hasFragments {
      batch.forEach { index, packet in judge(index, &packet, policy, &context) }
      return
    }
    var index = 0
    batch.takeEach { packet, emitter in
      judge(index, packet, policy, &emitter, &context)
      index += 1
    }
  }

  /// Judges a packet that others may come of, or that may have to wait.
  private mutating func judge(
    _ index: Int, _ packet: consuming Packet, _ policy: borrowing FirewallTable, _ emitter: inout Emitter<Self>,
    _ context: inout Context
  ) {
    var packet = packet
    let place = places[index & 0xFF]
    if place >= Place.elsewhere {
      emitter.handOver(packet, to: Int(place & 0xFF))
      return
    }
    switch fragments.judge(packet, now: core.now) {
    case .whole:
      let verdict = judge(index, &packet, policy, &context)
      if let extra = core.extra.take() {
        if let output = core.extraOutput { emitter.emit(extra, to: output) } else { emitter.drop(extra, .noBuffer) }
      }
      emitter.carryOut(verdict, packet)
    case .first(let ticket):
      let from = UInt8(truncatingIfNeeded: core.zones.zone(ofPort: packet.ingressPort))
      core.isAnswer = false
      let verdict = judge(index, &packet, policy, &context)
      if let output = verdict.outputIndex, !core.isAnswer {
        fragments.settle(ticket, as: FirewallPath(output: output, from: from), now: core.now)
      } else {
        fragments.refuse(ticket, now: core.now)
      }
      emitter.carryOut(verdict, packet)
    case .follows(let path):
      let here = core.zones.zone(ofPort: packet.ingressPort)
      if here != path.from, core.settings.antiSpoofing {
        emitter.drop(packet, Drop.wrongZone)
      } else if core.hasAllowedHeaders(packet) {
        emitter.emit(packet, to: NumberedOutput(Int(path.output)))
      } else {
        emitter.drop(packet, Drop.headerNotAllowed)
      }
    case .wait(let ticket): fragments.hold(packet, ticket)
    case .drop(let reason): emitter.drop(packet, reason)
    }
    while let released = fragments.popReleased() {
      switch released.fate {
      case .follows(let path): emitter.emit(released.packet, to: NumberedOutput(Int(path.output)))
      case .drop(let reason): emitter.drop(released.packet, reason)
      }
    }
  }

  private static func release(
    _ released: consuming FragmentFollower<FirewallPath, Drop>.Released, _ batch: inout PacketBatch<Self>
  ) {
    switch released.fate {
    case .follows(let path): batch.emit(released.packet, to: NumberedOutput(Int(path.output)))
    case .drop(let reason): batch.drop(released.packet, reason)
    }
  }

  @inline(__always)
  private mutating func judge(
    _ index: Int, _ packet: inout Packet, _ policy: borrowing FirewallTable, _ context: inout Context
  ) -> Verdict<NumberedOutput> {
    let place = places[index & 0xFF]
    let position = Int(place & 0xFF)
    if place < Place.v6 {
      let key = burst4.key(position)
      if let match = v4.match(burst4, position) ?? (core.hasEntered ? v4.find(key, now: core.now.nanoseconds) : nil) {
        if let verdict = core.follow(&packet, match, key, &v4, policy, &context) { return verdict }
        return core.reopen(&packet, key, direct(packet, key), &v4, policy)
      }
      return core.open(
        &packet, key, FirewallZones.Direction(code: directions[index & 0xFF]), &v4, policy,
        result: rules.result(index))
    }
    if place < Place.session {
      let key = burst6.key(position)
      if let match = v6.match(burst6, position) ?? (core.hasEntered ? v6.find(key, now: core.now.nanoseconds) : nil) {
        if let verdict = core.follow(&packet, match, key, &v6, policy, &context) { return verdict }
        return core.reopen(&packet, key, direct(packet, key), &v6, policy)
      }
      return core.open(
        &packet, key, FirewallZones.Direction(code: directions[index & 0xFF]), &v6, policy,
        result: rules.result(index))
    }
    if place >= Place.elsewhere { return .handOver(to: Int(place & 0xFF)) }
    return judgeOther(index, &packet, place, policy)
  }

  @inline(never)
  private mutating func judgeOther(
    _ index: Int, _ packet: inout Packet, _ place: UInt16, _ policy: borrowing FirewallTable
  ) -> Verdict<NumberedOutput> {
    let direction = FirewallZones.Direction(code: directions[index & 0xFF])
    switch place {
    case Place.icmpError:
      if let receiver = packet.ipv4?.destination { return core.relate(&packet, receiver: receiver, &v4) }
      if let receiver = packet.ipv6?.destination { return core.relate(&packet, receiver: receiver, &v6) }
      return .drop(.malformed)
    case Place.alone:
      if let key = IPv4FlowKey(alone: packet) {
        return core.passAlone(&packet, key, direction, policy, result: rules.result(index))
      }
      if let key = IPv6FlowKey(alone: packet) {
        return core.passAlone(&packet, key, direction, policy, result: rules.result(index))
      }
      return .drop(.malformed)
    // Fragments without ports never come here.
    default: return .drop(.malformed)
    }
  }
}

/// Where a packet's first fragment went, and so do the others.
struct FirewallPath: BitwiseCopyable, Sendable {
  var output: UInt16
  /// The zone of the port that it came in by.
  var from: UInt8
}

extension Firewall.Drop: FragmentDropReason {}

extension Packet {
  /// Which of several workers has the sessions between these addresses, either way: all fragments of a packet, and ICMP
  /// errors about it, come to the same.
  fileprivate func ownerByAddresses(of workers: Int) -> Int {
    var pair: (UInt64, UInt64) = (0, 0)
    if icmpKind == .error, let embedded {
      pair =
        embedded.isIPv6
        ? (
          embedded.ipv6Source.high ^ embedded.ipv6Source.low,
          embedded.ipv6Destination.high ^ embedded.ipv6Destination.low
        )
        : (UInt64(embedded.ipv4Source.rawValue), UInt64(embedded.ipv4Destination.rawValue))
    } else if let ip = ipv4 {
      pair = (UInt64(ip.source.rawValue), UInt64(ip.destination.rawValue))
    } else if let ip = ipv6 {
      let (source, destination) = (ip.source, ip.destination)
      pair = (source.high ^ source.low, destination.high ^ destination.low)
    }
    var mixed = (pair.0 &+ pair.1) &* 0x9E37_79B9_7F4A_7C15 ^ (pair.0 ^ pair.1) &* 0xC2B2_AE3D_27D4_EB4F
    mixed = (mixed ^ mixed >> 32) &* 0xFF51_AFD7_ED55_8CCD
    return Int(truncatingIfNeeded: (mixed >> 33) % UInt64(workers))
  }

  /// Redirects and source quench, which no firewall lets through for a session's sake (RFC 6633, 6; RFC 1812, 5.2.7.2).
  fileprivate var isObsoleteError: Bool { icmp?.type == 4 || icmp?.type == 5 }
}

extension FirewallZones.Direction {
  /// Both zones, or what is no zone's number.
  var code: UInt16 {
    switch self {
    case .between(let from, let to): UInt16(from) | UInt16(to) << 8
    case .spoofed: 0xFDFD
    case .unknown: 0xFEFE
    }
  }

  init(code: UInt16) {
    switch code {
    case 0xFDFD: self = .spoofed
    case 0xFEFE: self = .unknown
    default: self = .between(UInt8(truncatingIfNeeded: code), UInt8(truncatingIfNeeded: code >> 8))
    }
  }
}

extension IPv4FlowKey {
  /// The addresses alone.
  fileprivate init?(alone packet: borrowing Packet) {
    guard let ip = packet.ipv4 else { return nil }
    self.init(
      source: ip.source, destination: ip.destination, sourcePort: 0, destinationPort: 0, protocol: ip.protocolNumber)
  }
}

extension IPv6FlowKey {
  /// The addresses alone.
  fileprivate init?(alone packet: borrowing Packet) {
    guard let ip = packet.ipv6 else { return nil }
    self.init(
      source: ip.source, destination: ip.destination, sourcePort: 0, destinationPort: 0, protocol: ip.nextHeader)
  }
}
