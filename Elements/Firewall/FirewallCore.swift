import Dataplane
import Tables
import Wire

/// What a worker's firewall has besides its session tables: decides about packets of a session, and about those that
/// would open one.
struct FirewallCore: ~Copyable {
  typealias Sessions<Key: FirewallKey> = FlowTable<Key, FirewallSession>
  typealias Judgement = Verdict<NumberedOutput>

  let settings: FirewallConfiguration
  let zones: FirewallZones
  /// How many there are of what `Count` names.
  let counts = Tally(Count.allCases.count)
  var now = Instant(nanoseconds: 0)
  var worker = 0
  /// Which rules sessions must have been let in by, as this worker counts them.
  var generation: UInt8 = 0
  /// Of the rules that `generation` stands for.
  private var fingerprint: UInt64?
  /// Connections that are neither established nor over.
  var halfOpen = 0
  /// Whether SYNs are answered by cookies.
  private(set) var isProxying = false
  /// When one was last.
  var lastCookie: UInt64?
  /// Sessions that the firewall has made the handshake of; while there are any, packets may be made.
  var proxied = 0
  /// Something to be sent besides the packet at hand, and where to.
  var extra: Packet?
  /// Nil when it came to nothing.
  var extraOutput: NumberedOutput?
  var cookies = SYNCookies(secret: (0, 0))
  var log: FirewallLog
  private var errors: ICMPError
  private var resets: TokenBucket
  private let single = LookupBurst<RuleKey>()
  private var rates: TokenBucketTable
  /// How many sessions each source has, when that is limited.
  private var sources: FlowTable<IPv6FlowKey, UInt32>?
  /// When the tables are to be looked at next, in nanoseconds.
  var scheduled = UInt64.max
  /// Whether the packet at hand was made the answer to itself.
  var isAnswer = false
  /// Whether a session was entered since the batch was looked up.
  var hasEntered = false

  enum Count: Int, CaseIterable {
    case opened, expired, refusedByNewRules, unbelieved, pickedUp, cookiesSent, cookiesAccepted, logged, notLogged
  }

  init(_ settings: FirewallConfiguration) {
    self.settings = settings
    zones = settings.zones
    log = FirewallLog(path: settings.logPath, rate: settings.logRate.packetsPerSecond)
    errors = ICMPError(
      ErrorSources(own: settings.sources), settings.rejectLimits, isHidden: settings.sources.isEmpty)
    resets = TokenBucket(
      rate: settings.rejectLimits.rate.packetsPerSecond, burst: UInt64(settings.rejectLimits.burst))
    let rate = settings.ratePerSource?.packetsPerSecond ?? 1
    rates = TokenBucketTable(
      count: settings.ratePerSource == nil ? 1 : 4096, rate: rate, burst: UInt64(settings.burstPerSource))
    isProxying = settings.proxy == .always
  }

  mutating func start(_ context: inout Context, seed: FlowSeed) {
    worker = context.worker
    cookies = SYNCookies(secret: (context.random.next(), context.random.next()))
    errors.start(&context)
    rates.seed = context.random.next()
    log.start(context.worker)
    if settings.perSource > 0 {
      sources = FlowTable(capacity: settings.sessions * 2, seed: seed)
    }
  }

  /// Takes note of rules that were replaced.
  mutating func follow(_ policy: borrowing FirewallTable) {
    guard fingerprint != policy.fingerprint else { return }
    if fingerprint != nil { generation &+= 1 }
    fingerprint = policy.fingerprint
  }

  mutating func count(_ what: Count) { counts.add(1, to: what.rawValue) }

  // MARK: Outputs

  /// Where packets to a zone leave.
  @inline(__always)
  func output(to zone: UInt8) -> NumberedOutput { NumberedOutput(zones.count == 0 ? 0 : Int(zone)) }

  /// Where answers to packets from a zone leave.
  func output(backTo zone: UInt8) -> NumberedOutput { NumberedOutput(zones.count == 0 ? 1 : Int(zone)) }

  // MARK: Packets of a session

  /// Judges a packet whose session was found.
  /// - Returns: Nil when the session is over and the packet may open another.
  @inline(__always)
  mutating func follow<Key: FirewallKey>(
    _ packet: inout Packet, _ match: FlowMatch, _ key: Key, _ sessions: inout Sessions<Key>,
    _ policy: borrowing FirewallTable, _ context: inout Context
  ) -> Judgement? {
    let (flow, isReply) = (match.flow, match.isReply)
    if zones.count > 0 {
      let here = zones.zone(ofPort: packet.ingressPort)
      let expected = isReply ? sessions[flow].to : sessions[flow].from
      if here != expected, here != FirewallZones.none, settings.antiSpoofing { return .drop(Firewall.Drop.wrongZone) }
    }
    if sessions[flow].generation != generation,
      let verdict = reevaluate(packet, match, key, &sessions, policy)
    {
      return verdict
    }
    if !hasAllowedHeaders(packet) { return .drop(Firewall.Drop.headerNotAllowed) }
    let timeout: UInt64
    if key.protocol == .tcp {
      guard let segment = packet.tcpSegment else { return .drop(.malformed) }
      // What changes the state must not be made up so badly that the receiver ignores it.
      if segment.flagBits & 0x07 != 0, !packet.isFragment, !packet.isTCPChecksumValid {
        return .drop(Firewall.Drop.badChecksum)
      }
      if sessions[flow].marks & (FirewallSession.Mark.proxied | FirewallSession.Mark.proxying) != 0 {
        return followProxied(&packet, segment, match, key, &sessions, &context)
      }
      let judgement = sessions[flow].tcp.judge(segment, reply: isReply)
      if judgement != .accepted {
        return refuse(judgement, match, key, &sessions)
      }
      if sessions[flow].has(FirewallSession.Mark.halfOpen), !sessions[flow].tcp.state.isOpening {
        settle(&sessions[flow])
      }
      timeout = settings.timeouts.tcp(sessions[flow].tcp)
    } else {
      if isReply { sessions[flow].marks |= FirewallSession.Mark.replied }
      timeout = lifetime(key.protocol, isReplied: sessions[flow].has(FirewallSession.Mark.replied))
    }
    let deadline = now.nanoseconds &+ timeout
    sessions.refresh(flow, until: deadline)
    schedule(deadline)
    return .forward(output(to: isReply ? sessions[flow].from : sessions[flow].to))
  }

  @inline(__always)
  func lifetime(_ number: IPProtocol, isReplied: Bool) -> UInt64 {
    switch number {
    case .udp, .udplite: isReplied ? settings.timeouts.udpReplied : settings.timeouts.udp
    case .icmp, .icmpv6: settings.timeouts.icmp
    default: settings.timeouts.other
    }
  }

  /// Whether options and extension headers, where there are some, may pass.
  @inline(__always)
  func hasAllowedHeaders(_ packet: borrowing Packet) -> Bool {
    if let ip = packet.ipv4 { return !ip.hasOptions || settings.headers.allowsOptions(packet) }
    guard let ip = packet.ipv6 else { return false }
    let next = ip.nextHeader
    return !(next.isIPv6Extension || next.rawValue >= 253) || settings.headers.allowsExtensions(packet)
  }

  /// What becomes of a segment that its connection's tracker does not take.
  mutating func refuse<Key: FirewallKey>(
    _ judgement: TCPJudgement, _ match: FlowMatch, _ key: Key, _ sessions: inout Sessions<Key>
  ) -> Judgement? {
    switch judgement {
    case .accepted, .unbelieved:
      count(.unbelieved)
      let session = sessions[match.flow]
      return .forward(output(to: match.isReply ? session.from : session.to))
    case .opensAnother:
      end(match.flow, &sessions)
      return nil
    case .invalidFlags: return .drop(Firewall.Drop.invalidFlags)
    case .outOfWindow: return .drop(Firewall.Drop.outOfWindow)
    case .badAcknowledgment: return .drop(Firewall.Drop.badAcknowledgment)
    case .badHandshake: return .drop(Firewall.Drop.badHandshake)
    case .badReset: return .drop(Firewall.Drop.badReset)
    }
  }

  /// Asks rules that were replaced whether they would let a session in.
  /// - Returns: Nil when they would.
  @inline(never)
  private mutating func reevaluate<Key: FirewallKey>(
    _ packet: borrowing Packet, _ match: FlowMatch, _ key: Key, _ sessions: inout Sessions<Key>,
    _ policy: borrowing FirewallTable
  ) -> Judgement? {
    let session = sessions[match.flow]
    if settings.policyChange == .reevaluate {
      // A filter looks at the bytes of the packet that opened the session: the next of its direction will do.
      if match.isReply && policy.hasFilters { return nil }
      let isICMP = key.protocol == .icmp || key.protocol == .icmpv6
      let result = ask(
        packet, from: session.from, to: session.to, policy, turnedFor: match.isReply ? session.ingress : nil,
        isICMP: isICMP)
      let decision = policy.decision(result)
      guard decision.action == FirewallAction.accept.code || isEssential(packet) && policy.isDefault(decision) else {
        end(match.flow, &sessions)
        count(.refusedByNewRules)
        return .drop(Firewall.Drop.refusedByNewRules)
      }
      sessions[match.flow].rule = decision.rule
    }
    sessions[match.flow].generation = generation
    return nil
  }

  /// What the rules say of one packet, as if it opened its session.
  /// - Returns: The rule's number.
  func ask(
    _ packet: borrowing Packet, from: UInt8, to: UInt8, _ policy: borrowing FirewallTable, turnedFor ingress: UInt16?,
    isICMP: Bool
  ) -> UInt32 {
    single.begin(1)
    policy.rules.read(packet, 0, into: single)
    var ruleKey = single.key(0)
    ruleKey.setZones(from: from, to: to)
    ruleKey.setOpening()
    if let ingress { ruleKey.turn(ingress: ingress, isICMP: isICMP) }
    single.set(0, ruleKey, kind: single.kind(0))
    policy.rules.match(single, 1)
    return single.result(0)
  }

  // MARK: Sessions

  /// Enters a session.
  /// - Returns: Why not; nil when it is in.
  mutating func enter<Key: FirewallKey>(
    _ key: Key, _ session: FirewallSession, until deadline: UInt64, _ sessions: inout Sessions<Key>
  ) -> Firewall.Drop? {
    var session = session
    if settings.perSource > 0 {
      guard takePlace(of: key.limited) else { return .tooManyConnections }
      session.marks |= FirewallSession.Mark.counted
    }
    for _ in 0..<2 {
      switch sessions.insert(key, session, until: deadline) {
      case .inserted:
        if session.has(FirewallSession.Mark.halfOpen) { halfOpen += 1 }
        if session.has(FirewallSession.Mark.proxying) { proxied += 1 }
        noteFlood()
        count(.opened)
        hasEntered = true
        schedule(deadline)
        return nil
      case .exists(let match): end(match.flow, &sessions)  // Its time is over.
      case .full: _ = expire(&sessions, limit: 64)
      case .crowded: break
      }
    }
    if settings.perSource > 0 { giveBackPlace(of: key.limited) }
    return .sessionTableFull
  }

  /// Removes a session.
  mutating func end<Key: FirewallKey>(_ flow: FlowID, _ sessions: inout Sessions<Key>) {
    guard sessions.contains(flow) else { return }
    forget(sessions[flow], source: sessions.key(of: flow).limited)
    sessions.remove(flow)
  }

  private mutating func forget(_ session: FirewallSession, source: IPv6Address) {
    if session.has(FirewallSession.Mark.halfOpen) {
      halfOpen -= 1
      noteFlood()
    }
    if session.marks & (FirewallSession.Mark.proxied | FirewallSession.Mark.proxying) != 0 { proxied -= 1 }
    if session.has(FirewallSession.Mark.counted) { giveBackPlace(of: source) }
  }

  /// The connection is no longer half open.
  mutating func settle(_ session: inout FirewallSession) {
    session.marks &= ~FirewallSession.Mark.halfOpen
    halfOpen -= 1
    noteFlood()
  }

  private mutating func noteFlood() {
    guard settings.proxy == .automatic else { return }
    if halfOpen > settings.halfOpen {
      isProxying = true
    } else if halfOpen <= settings.halfOpen / 2 {
      isProxying = false
    }
  }

  /// Removes sessions whose time is over.
  /// - Parameter limit: How many may be looked at.
  /// - Returns: Whether there are none left.
  mutating func expire<Key: FirewallKey>(_ sessions: inout Sessions<Key>, limit: Int) -> Bool {
    var budget = limit
    while let flow = sessions.nextExpired(now: now.nanoseconds, budget: &budget) {
      forget(flow.value, source: flow.key.limited)
      count(.expired)
    }
    return budget > 0
  }

  /// Has the tables looked at when a session's time may be over.
  @inline(__always)
  mutating func schedule(_ deadline: UInt64) { if deadline < scheduled { scheduled = deadline } }

  // MARK: Limits

  private func limitKey(_ source: IPv6Address) -> IPv6FlowKey {
    IPv6FlowKey(
      source: source, destination: IPv6Address(high: 0, low: 0), sourcePort: 0, destinationPort: 0,
      protocol: .hopByHop)
  }

  private mutating func takePlace(of source: IPv6Address) -> Bool {
    let key = limitKey(source)
    if let match = sources?.find(key, now: 0) {
      guard let open = sources?[match.flow], Int(open) < settings.perSource else { return false }
      sources?[match.flow] += 1
      return true
    }
    if case .inserted = sources?.insert(key, 1, until: .max) { return true }
    return false
  }

  private mutating func giveBackPlace(of source: IPv6Address) {
    guard let match = sources?.find(limitKey(source), now: 0), let open = sources?[match.flow] else { return }
    if open > 1 { sources?[match.flow] = open - 1 } else { sources?.remove(match.flow) }
  }

  /// Whether a source may open another session now.
  mutating func isWithinRate(_ source: IPv6Address) -> Bool {
    guard settings.ratePerSource != nil else { return true }
    return rates.take(1, of: source.high ^ source.low &* 0x9E37_79B9_7F4A_7C15, now: now.nanoseconds)
  }

  // MARK: Refusing

  /// Drops a packet and tells its sender.
  /// - Parameter from: The zone it came from.
  mutating func reject(_ packet: inout Packet, from: UInt8) -> Judgement {
    isAnswer = true
    if packet.transportProtocol == .tcp, let segment = packet.tcpSegment {
      guard !segment.flags.contains(.rst), !packet.isFragment, !packet.isLinkMulticast,
        resets.take(1, now: now.nanoseconds)
      else { return .drop(Firewall.Drop.rejectedSilently) }
      return packet.makeTCP(TCPFields(resetOf: segment), turned: true)
        ? .forward(output(backTo: from)) : .drop(.noBuffer)
    }
    return errors.answer(&packet, .prohibited, now.nanoseconds).outputIndex != nil
      ? .forward(output(backTo: from)) : .drop(Firewall.Drop.rejectedSilently)
  }

  /// Notes in the log what became of a packet.
  mutating func note(
    _ packet: borrowing Packet, _ decision: FirewallTable.Decision, from: UInt8, to: UInt8,
    _ policy: borrowing FirewallTable
  ) {
    let action = FirewallAction.allCases[min(Int(decision.action), 2)].rawValue
    let between = zones.count > 0 ? ", \(zones.names[Int(from)]) > \(zones.names[Int(to)])" : ""
    let isWritten = log.write(packet, action, rule: policy.label(decision.rule), zones: between, at: now)
    count(isWritten ? .logged : .notLogged)
  }
}
