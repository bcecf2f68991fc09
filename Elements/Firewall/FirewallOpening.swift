import Dataplane
import Tables
import Wire

// Packets that belong to no session yet, and those that never will.

extension FirewallCore {
  /// Judges a packet of which no session is known.
  /// - Parameters:
  ///   - key: Of the session that it would open.
  ///   - result: What the rules say.
  @inline(never)
  mutating func open<Key: FirewallKey>(
    _ packet: inout Packet, _ key: Key, _ direction: FirewallZones.Direction, _ sessions: inout Sessions<Key>,
    _ policy: borrowing FirewallTable, result: UInt32
  ) -> Judgement {
    guard case .between(let from, let to) = direction else {
      return .drop(direction == .spoofed ? Firewall.Drop.spoofedSource : Firewall.Drop.unknownZone)
    }
    guard !key.hasBadSource else { return .drop(Firewall.Drop.spoofedSource) }
    guard hasAllowedHeaders(packet) else { return .drop(Firewall.Drop.headerNotAllowed) }
    var segment: TCPSegment?
    var asked: SYNCookies.Options?
    switch key.protocol {
    case .tcp:
      guard let read = packet.tcpSegment else { return .drop(.malformed) }
      guard read.hasSoundFlags else { return .drop(Firewall.Drop.invalidFlags) }
      guard packet.isFragment || packet.isTCPChecksumValid else { return .drop(Firewall.Drop.badChecksum) }
      if read.flags.isDisjoint(with: [.syn, .rst]) {
        asked = checkCookie(read, key)
        if asked == nil, !settings.pickup { return .drop(Firewall.Drop.noSession) }
      } else if read.flags.contains(.rst) || read.flags.contains(.ack) {
        return .drop(Firewall.Drop.noSession)
      }
      segment = read
    case .icmp, .icmpv6:
      // An answer that nobody asked for; fragments without a header cannot be told from one.
      guard packet.icmpKind == .query else { return .drop(Firewall.Drop.noSession) }
    default: break
    }
    let decision = policy.decision(result)
    policy.count(decision, worker)
    let isAccepted =
      decision.action == FirewallAction.accept.code || policy.isDefault(decision) && isEssential(packet)
    if decision.isLogged { note(packet, decision, from: from, to: to, policy) }
    guard isAccepted else { return refuse(&packet, decision, policy, from: from) }
    guard isWithinRate(key.limited) else { return .drop(.rateExceeded) }
    var session = FirewallSession(
      tcp: FirewallSession.noTCP, from: from, to: to, generation: generation, rule: decision.rule,
      opened: now.nanoseconds, ingress: UInt16(truncatingIfNeeded: packet.ingressPort))
    var timeout = lifetime(key.protocol, isReplied: false)
    if let segment {
      if let asked { return acceptCookie(&packet, segment, asked, key, session, &sessions) }
      if segment.flags.contains(.syn) {
        if isProxying, !packet.isFragment { return answerByCookie(&packet, segment, key, from: from) }
        session.tcp = TCPTracker(opening: segment)
        session.marks |= FirewallSession.Mark.halfOpen
      } else {
        session.tcp = TCPTracker(pickingUp: segment)
        count(.pickedUp)
      }
      timeout = settings.timeouts.tcp(session.tcp)
    }
    if let problem = enter(key, session, until: now.nanoseconds &+ timeout, &sessions) { return .drop(problem) }
    return .forward(output(to: to))
  }

  /// Judges a packet that may open a session in the place of one that is over.
  @inline(never)
  mutating func reopen<Key: FirewallKey>(
    _ packet: inout Packet, _ key: Key, _ direction: FirewallZones.Direction, _ sessions: inout Sessions<Key>,
    _ policy: borrowing FirewallTable
  ) -> Judgement {
    var result = LookupBurst<RuleKey>.none
    if case .between(let from, let to) = direction {
      result = ask(packet, from: from, to: to, policy, turnedFor: nil, isICMP: false)
    }
    return open(&packet, key, direction, &sessions, policy, result: result)
  }

  private mutating func refuse(
    _ packet: inout Packet, _ decision: FirewallTable.Decision, _ policy: borrowing FirewallTable, from: UInt8
  ) -> Judgement {
    if decision.action == FirewallAction.reject.code { return reject(&packet, from: from) }
    return .drop(policy.isDefault(decision) ? Firewall.Drop.deniedByDefault : Firewall.Drop.deniedByRule)
  }

  /// Judges an ICMP message that is neither query nor answer nor error: rules alone decide.
  @inline(never)
  mutating func passAlone<Key: FirewallKey>(
    _ packet: inout Packet, _ key: Key, _ direction: FirewallZones.Direction, _ policy: borrowing FirewallTable,
    result: UInt32
  ) -> Judgement {
    guard case .between(let from, let to) = direction else {
      return .drop(direction == .spoofed ? Firewall.Drop.spoofedSource : Firewall.Drop.unknownZone)
    }
    guard !key.hasBadSource else { return .drop(Firewall.Drop.spoofedSource) }
    guard hasAllowedHeaders(packet) else { return .drop(Firewall.Drop.headerNotAllowed) }
    let decision = policy.decision(result)
    policy.count(decision, worker)
    if decision.isLogged { note(packet, decision, from: from, to: to, policy) }
    if decision.action == FirewallAction.accept.code || policy.isDefault(decision) && isEssential(packet) {
      return .forward(output(to: to))
    }
    return refuse(&packet, decision, policy, from: from)
  }

  /// Whether this is ICMPv6 that must not be dropped (RFC 4890, 4.3.1 and 4.4.1): echo, and what a link's nodes say to one
  /// another, which must come from the link. Errors pass with their session.
  func isEssential(_ packet: borrowing Packet) -> Bool {
    guard settings.essentialICMPv6, packet.isIPv6, let icmp = packet.icmp, let ip = packet.ipv6 else { return false }
    switch icmp.type {
    case 128, 129: return true
    // Router and neighbour discovery, its inverse, and secure discovery: never forwarded by a router (RFC 4861, 7.1.1).
    case 133, 134, 135, 136, 141, 142, 148, 149: return ip.hopLimit == 255 && icmp.code == 0
    // Multicast listener and multicast router discovery (RFC 2710, 3; RFC 3810, 5; RFC 4286, 3).
    case 130, 131, 132, 143, 151, 152, 153:
      return ip.hopLimit == 1 && (ip.source.isLinkLocal || ip.source.isUnspecified)
    default: return false
    }
  }

  // MARK: Errors

  /// Judges an ICMP error: it passes with the session of the packet that it is about.
  @inline(never)
  mutating func relate<Key: FirewallKey>(
    _ packet: inout Packet, receiver: Key.Address, _ sessions: inout Sessions<Key>
  ) -> Judgement {
    guard let embedded = packet.embedded, var key = Key(embedded: embedded, zone: 0), key.source == receiver else {
      return .drop(Firewall.Drop.unrelatedError)
    }
    if let type = embedded.transportOffset.flatMap({ packet.byte(at: $0) }),
      key.protocol == .icmp || key.protocol == .icmpv6
    {
      key = key.asked(type)
    } else {
      key = key.eitherWay
    }
    guard let match = sessions.find(key, now: now.nanoseconds) else { return .drop(Firewall.Drop.unrelatedError) }
    let session = sessions[match.flow]
    // It is about a packet that was on its way to one zone, and so comes from there.
    let (from, to) = match.isReply ? (session.from, session.to) : (session.to, session.from)
    if zones.count > 0 {
      let here = zones.zone(ofPort: packet.ingressPort)
      if here != from, here != FirewallZones.none, settings.antiSpoofing { return .drop(Firewall.Drop.wrongZone) }
    }
    guard hasAllowedHeaders(packet) else { return .drop(Firewall.Drop.headerNotAllowed) }
    if key.protocol == .tcp {
      guard let sequence = embedded.sequenceNumber,
        session.marks & FirewallSession.Mark.proxying == 0,
        session.tcp.mayQuote(sequence, reply: match.isReply)
      else { return .drop(Firewall.Drop.unrelatedError) }
      if session.has(FirewallSession.Mark.proxied), match.isReply {
        // The server knows its segment by the number that it gave.
        guard let place = embedded.transportOffset, packet.addToEmbedded(0 &- session.shift, at: place + 4) else {
          return .drop(.noBuffer)
        }
      }
    }
    return .forward(output(to: to))
  }
}

extension Packet {
  /// Adds to a number of 32 bits within an ICMP error's contents, and patches the ICMP checksum.
  fileprivate mutating func addToEmbedded(_ shift: UInt32, at offset: Int) -> Bool {
    guard let icmp = transportHeaderOffset, let checksum = self.icmp?.checksum else { return false }
    var old: UInt32 = 0
    for index in 0..<4 { old = old << 8 | UInt32(byte(at: offset + index) ?? 0) }
    let new = old &+ shift
    // The number stands at an even distance from the message's start, as all headers are of even length.
    let patched = Checksum.updated(checksum, replacing: old, with: new)
    var bytes = mutableBytes
    guard bytes.byteCount >= offset + 4 else { return false }
    bytes.storeBytes(of: new.bigEndian, toByteOffset: offset, as: UInt32.self)
    bytes.storeBytes(of: patched.bigEndian, toByteOffset: icmp + 2, as: UInt16.self)
    return true
  }
}
