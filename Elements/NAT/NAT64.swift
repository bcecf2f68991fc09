public import Configuration
public import Dataplane
import Tables
import Wire

/// Lets IPv6 hosts reach IPv4 ones (RFC 6146): many inside addresses share few outside ones by their ports.
///
///     nat64: { NAT64: { prefix: 64:ff9b::/96, pool: [192.0.2.1] } }
///     - lan6 -> nat64.inside
///     - nat64.outside -> wan4
///     - wan4 -> nat64.outside
///     - nat64.inside -> lan6
///
/// TCP, UDP and pings are translated, and ICMP errors about them, as RFC 7915 says; mapping and filtering do not depend on
/// the outside endpoint unless `filtering` says so. Fragments follow their first. MAC addresses stay: an element behind it
/// sets those of the next hop. With several workers an inside address belongs to one of them, and so does an outside port;
/// later fragments do not say which, so that `ReassembleIP` is needed before it then.
public struct NAT64: Element, ~Copyable {
  /// Where packets enter.
  public enum Input: UInt8, InputPort {
    case inside, outside

    public var needs: HeaderState { .ip }
    public var about: String {
      self == .inside ? "IPv6 packets to addresses of the prefix" : "IPv4 packets to addresses of the pool"
    }
  }

  /// Where packets leave.
  public enum Output: UInt8, OutputPort {
    /// To IPv6 hosts.
    case inside
    /// To IPv4 hosts.
    case outside
    /// Packets whose TTL or hop limit has run out, as they came.
    case expired
    /// Packets that do not fit the link behind, as they came, the MTU in their annotation.
    case tooBig
    /// Packets from inside for which no port or no room is left, as they came.
    case unreachable
    /// Packets from outside that the filter refuses, as they came.
    case prohibited
    /// SYNs from outside that the inside did not meet in time, as they came.
    case unanswered
    /// IPv6 packets with a routing header that is not used up, as they came.
    case badHeader

    public var delivers: HeaderState? { .ip }
    public var about: String {
      switch self {
      case .inside: "to IPv6 hosts"
      case .outside: "to IPv4 hosts"
      case .expired: "packets whose TTL or hop limit has run out, for ICMPError"
      case .tooBig: "packets that do not fit the link behind; the annotation is the MTU, for ICMPError"
      case .unreachable: "packets from inside for which no port or room is left, for ICMPError's hostUnreachable"
      case .prohibited: "packets from outside that the filter refuses, for ICMPError"
      case .unanswered: "SYNs from outside that the inside did not meet in time, for ICMPError's portUnreachable"
      case .badHeader: "IPv6 packets with segments left to go; the annotation says where, for ICMPError"
      }
    }
  }

  /// Why packets are dropped.
  public enum Drop: UInt8, FragmentDropReason {
    /// An ICMP message that the other version has no counterpart of.
    case untranslatableICMP
    /// A fragment of an ICMP message.
    case fragmentedICMP
    /// A fragment of a UDP datagram without checksum.
    case noChecksum
    /// Extension headers behind an IPv6 fragment header.
    case extensionInFragment
    /// An IPv4 source route that is not used up.
    case sourceRoute
    /// From inside to an address outside the prefix, or from outside to one that is not of the pool.
    case notTranslated
    /// An address that is not global, in the well-known prefix.
    case notGlobal
    /// From inside with a source in the prefix (RFC 6146, 3.5).
    case badSource
    /// An IPv4 packet from inside, or an IPv6 packet from outside.
    case otherVersion
    /// From outside to a port that stands for nobody.
    case noBinding
    /// A TCP segment other than SYN, or an ICMP error, of no session.
    case noSession
    /// A SYN from outside, when as many as may be kept are waiting.
    case tooManySYNs
    /// A SYN from outside that the inside has met with one of its own.
    case metSYN
    case tinyFragment, duplicateFragment, overlappingFragment, tooManyFragments, evictedFragment, firstFragmentLost
    case firstFragmentRefused
  }

  public static let about = ElementDescription(
    "Lets IPv6 hosts reach IPv4 hosts by shared addresses, with state (NAT64).",
    example: """
      elements:
        check6: CheckIP
        check4: CheckIP
        nat64: { NAT64: { prefix: 64:ff9b::/96, pool: [192.0.2.1] } }
        errors6: { ICMPError: { source: [2001:db8::1] } }
        errors4: { ICMPError: { source: [192.0.2.2] } }
      graph:
        - lan -> check6 -> nat64.inside
        - wan -> check4 -> nat64.outside
        - nat64.inside -> lan
        - nat64.outside -> wan
        - nat64.unreachable -> errors6[hostUnreachable] -> lan
        - nat64.badHeader -> errors6.badHeader
        - nat64.prohibited -> errors4[prohibited] -> wan
        - nat64.unanswered -> errors4.portUnreachable
        - nat64.expired -> drop
        - nat64.tooBig -> drop
        - check6.other -> drop
        - check4.other -> drop
      """)
  public static let handsOver = true

  let common: TranslationSettings
  let limits: NAT64Limits
  var translator: IPTranslator
  var state: NAT64State
  var fragments: FragmentFollower<NAT64Path, Drop>
  /// SYNs from outside that wait for the inside's.
  var syns: PacketStore
  /// SYNs that were waited for, and have no use any more.
  var met: PacketQueue
  /// Fragments behind the one at hand.
  private var pieces: PacketQueue
  private(set) var workers = 1
  private var worker = 0

  public init(_ settings: inout Settings) throws(ConfigurationError) {
    let common = try TranslationSettings(&settings)
    let limits = try NAT64Limits(&settings)
    let fragments = try FragmentFollower<NAT64Path, Drop>(&settings)
    guard let state = limits.makeState(capacity: 1, worker: 0, of: 1, seed: FlowSeed(0, 0), now: 0) else {
      throw settings.fail("sessions", "there is no memory", remedy: "give a lower number")
    }
    self.common = common
    self.limits = limits
    self.fragments = fragments
    self.state = state
    translator = common.translator
    syns = PacketStore(capacity: limits.heldSYNs)
    met = PacketQueue(capacity: 4)
    pieces = PacketQueue(capacity: 64)
  }

  public var held: Int { syns.count + fragments.held }

  public static let operations = NAT64Operations.all

  public var counters: [ElementCounter] {
    [
      ElementCounter("bindings", UInt64(state.bindings.count)),
      ElementCounter("sessions", UInt64(state.sessions.count)),
      ElementCounter("portsExhausted", state.exhausted), ElementCounter("sessionsRefused", state.refused),
      fragments.mostHeld,
    ]
  }

  public mutating func start(_ context: inout Context) {
    translator.start(identification: UInt16(truncatingIfNeeded: context.random.next()))
    fragments.start(&context)
    (worker, workers) = (context.worker, max(context.workers, 1))
    let seed = FlowSeed(using: &context.random)
    // What cannot be had now is not had: packets find no room.
    if let state = limits.makeState(
      capacity: limits.sessions, worker: worker, of: workers, seed: seed, now: context.now.nanoseconds)
    {
      self.state = state
    }
  }

  // MARK: Batches

  /// What becomes of a packet.
  enum Step {
    case forward(Output)
    case drop(DropReason)
    case handOver(Int)
    /// A SYN from outside to be kept for this long, with the key of its session.
    case keep(IPv6FlowKey)

    static func drop(_ own: Drop) -> Step { .drop(own.reason) }
  }

  public mutating func process(_ batch: inout PacketBatch<Self>, _ context: inout Context) {
    let isFromInside = batch.input == .inside
    batch.takeEach { packet, emitter in
      var packet = packet
      switch fragments.judge(packet, now: context.now) {
      case .whole:
        let step = isFromInside ? fromInside(&packet, &context).step : fromOutside(&packet, &context).step
        finish(packet, step, &emitter, &context)
      case .first(let ticket):
        let found = isFromInside ? fromInside(&packet, &context) : fromOutside(&packet, &context)
        if let path = found.path {
          fragments.settle(ticket, as: path, now: context.now)
        } else {
          fragments.refuse(ticket, now: context.now)
        }
        finish(packet, found.step, &emitter, &context)
      case .follows(let path):
        let step = follow(&packet, path)
        finish(packet, step, &emitter, &context)
      case .wait(let ticket): fragments.hold(packet, ticket)
      case .drop(let reason): emitter.drop(packet, reason)
      }
      while let released = fragments.popReleased() { release(released, &emitter, &context) }
      while let syn = met.popFirst() { emitter.drop(syn, Drop.metSYN) }
    }
    scheduleWake(&context)
  }

  private mutating func release(
    _ released: consuming FragmentFollower<NAT64Path, Drop>.Released, _ emitter: inout Emitter<Self>,
    _ context: inout Context
  ) {
    let fate = released.fate
    var packet = released.packet
    switch fate {
    case .follows(let path):
      let step = follow(&packet, path)
      finish(packet, step, &emitter, &context)
    case .drop(let reason): emitter.drop(packet, reason)
    }
  }

  private mutating func finish(
    _ packet: consuming Packet, _ step: Step, _ emitter: inout Emitter<Self>, _ context: inout Context
  ) {
    switch step {
    case .forward(.inside):
      var packet = packet
      guard cut(&packet, &context) else {
        while let piece = pieces.popFirst() { emitter.drop(piece, .noBuffer) }
        emitter.drop(packet, .noBuffer)
        return
      }
      emitter.emit(packet, to: .inside)
      while let piece = pieces.popFirst() { emitter.emit(piece, to: .inside) }
    case .forward(let output): emitter.emit(packet, to: output)
    case .drop(let reason): emitter.drop(packet, reason)
    case .handOver(let worker): emitter.handOver(packet, to: worker)
    case .keep(let key): keep(packet, key, &emitter, context.now.nanoseconds)
    }
  }

  /// Cuts what has got a fragment header to IPv6's least MTU. False when no buffer was left.
  private mutating func cut(_ packet: inout Packet, _ context: inout Context) -> Bool {
    guard let length = packet.networkLength, length > common.lowestMTU6, let network = packet.networkHeaderOffset,
      packet.byte(at: network + 6) == IPProtocol.ipv6Fragment.rawValue
    else { return true }
    return IPv6Fragments.cut(&packet, limit: common.lowestMTU6, &context) { piece, _ in pieces.append(piece) }
  }

  private mutating func keep(
    _ packet: consuming Packet, _ key: IPv6FlowKey, _ emitter: inout Emitter<Self>, _ now: UInt64
  ) {
    guard !syns.isFull else {
      emitter.drop(packet, Drop.tooManySYNs)
      return
    }
    let none = NAT64Session(binding: nil, state: .v4Init, stored: nil)
    guard case .inserted(let flow) = state.sessions.insert(key, none, until: now &+ limits.lifetimes.incomingSYN) else {
      emitter.drop(packet, Drop.tooManySYNs)
      return
    }
    state.sessions[flow].stored = syns.insert(packet)
  }

  // MARK: Time

  public mutating func wake(_ batch: inout PacketBatch<Self>, _ context: inout Context) {
    let now = context.now.nanoseconds
    var budget = 1024
    while let flow = state.sessions.nextExpired(now: now, budget: &budget) {
      if let place = flow.value.stored {
        if let packet = syns.remove(at: place) { batch.emit(packet, to: .unanswered) }
      } else if flow.value.state == .established, revive(flow, now) {
        if let probe = makeProbe(flow.key, &context) { batch.emit(probe, to: .inside) }
      } else {
        state.detach(flow, now: now)
      }
    }
    var ports = 1024
    while state.pool.reclaim(now: now, budget: &ports) != nil {}
    fragments.expire(now: context.now)
    while let released = fragments.popReleased() {
      var reason = Drop.firstFragmentLost.reason
      if case .drop(let found) = released.fate { reason = found }
      batch.drop(released.packet, reason)
    }
    scheduleWake(&context)
  }

  private func scheduleWake(_ context: inout Context) {
    // What is due, but was not reached for lack of time, is next after a round of packets.
    let soon = context.now.nanoseconds &+ 1_000_000
    if let next = state.sessions.nextEvent { context.wake(at: Instant(nanoseconds: max(next, soon))) }
    if let next = state.pool.nextEvent(now: context.now.nanoseconds) {
      context.wake(at: Instant(nanoseconds: max(next, soon)))
    }
    if let next = fragments.nextExpiry { context.wake(at: next) }
  }

  /// Gives a connection that was silent a little longer, for the answer to a probe (RFC 6146, 3.5.2.2).
  private mutating func revive(_ flow: FlowTable<IPv6FlowKey, NAT64Session>.Flow, _ now: UInt64) -> Bool {
    var session = flow.value
    session.state = .transitory
    let deadline = now &+ limits.lifetimes.tcpTransitory
    guard case .inserted = state.sessions.insert(flow.key, second: flow.secondKey, session, until: deadline) else {
      return false
    }
    return true
  }

  /// A segment without data that makes the inside endpoint of a connection answer (RFC 6146, 3.5.2.2).
  private func makeProbe(_ key: IPv6FlowKey, _ context: inout Context) -> Packet? {
    guard var probe = context.allocate() else { return nil }
    // 0x86DD is the EtherType.
    let isMade = probe.replaceBytes(with: [UInt8](repeating: 0, count: 12) + [0x86, 0xDD] + Self.probeBody)
    guard isMade else { return probe }
    probe.ipv6HeaderToWrite(at: 14)?.set(
      payloadLength: 20, nextHeader: .tcp, source: key.destination, destination: key.source)
    if let tcp = probe.mutableTCP {
      tcp.set(
        sourcePort: key.destinationPort, destinationPort: key.sourcePort, sequenceNumber: 0, acknowledgmentNumber: 0,
        flags: .ack, window: 0)
    }
    let pseudo = Checksum.pseudoHeader(source: key.destination, destination: key.source, protocol: .tcp, length: 20)
    let checksum = Checksum.complement(pseudo &+ probe.sum(in: 54..<74))
    probe.mutableTCP?.setChecksum(checksum)
    return probe
  }

  /// An IPv6 header that says TCP, and a TCP header of 20 bytes.
  private static let probeBody: [UInt8] =
    [0x60, 0, 0, 0, 0, 20, 6, 64] + [UInt8](repeating: 0, count: 32 + 12) + [0x50] + [UInt8](repeating: 0, count: 7)

  // MARK: Operations

  public mutating func perform(
    _ request: OperationRequest, _ answer: inout OperationAnswer, _ context: inout Context
  ) {
    NAT64Operations.perform(request, state, &answer, context.now.nanoseconds)
  }

  // MARK: Workers

  /// The worker that an inside address belongs to, if that is another.
  @inline(__always)
  func otherWorker(of inside: IPv6Address) -> Int? {
    guard workers > 1 else { return nil }
    // Not the secret hash, which each worker has its own of.
    let owner = Int(truncatingIfNeeded: FlowSeed(0, 0).hash(inside.high, inside.low) % UInt64(workers))
    return owner == worker ? nil : owner
  }

  /// The worker that an outside port belongs to, if that is another.
  @inline(__always)
  func otherWorker(of port: UInt16) -> Int? {
    guard workers > 1 else { return nil }
    let owner = state.pool.layout.slice(of: port)
    return owner == worker ? nil : owner
  }
}
