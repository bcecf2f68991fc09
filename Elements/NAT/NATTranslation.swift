import Dataplane
import Tables
import Wire

// Packets with a session, packets without one, and what is made for them.
extension NAT {
  // MARK: With a session

  /// Translates a packet of a session in the direction that it goes.
  @inline(__always)
  mutating func translate(
    _ packet: inout Packet, _ flow: FlowID, isOutbound: Bool, _ now: UInt64
  ) -> Outcome {
    var session = sessions[flow]
    var lifetime: UInt64?
    switch session.kind {
    case .udp: if isOutbound || inboundRefresh { lifetime = timeouts.udp }
    case .tcp:
      guard let flags = packet.tcp?.flags else { return .drop(.malformed) }
      session.note(flags, fromInside: isOutbound)
      sessions[flow] = session
      lifetime = session.isEstablished ? timeouts.tcp : timeouts.transitory
      if segmentSize != 0, flags.contains(.syn), !packet.clampMaximumSegmentSize(to: segmentSize) {
        return .drop(.noBuffer)
      }
    case .icmp: if isOutbound || inboundRefresh { lifetime = timeouts.icmp }
    case .other: if isOutbound || inboundRefresh { lifetime = timeouts.other }
    }
    if let lifetime { sessions.refresh(flow, until: now &+ lifetime) }
    if isOutbound {
      guard let outside = sessions.secondKey(of: flow) else { return .drop(Drop.noMapping.reason) }
      guard packet.translateSource(outside.destination, port: session.hasPort ? outside.destinationPort : nil) else {
        return .drop(.noBuffer)
      }
      return session.isHairpin ? turnBack(&packet, now) : .forward(.outside)
    }
    let inside = sessions.key(of: flow)
    guard packet.translateDestination(inside.source, port: session.hasPort ? inside.sourcePort : nil) else {
      return .drop(.noBuffer)
    }
    return .forward(.inside)
  }

  // MARK: Without one

  /// Judges a packet for which the burst has no session.
  @inline(never)
  mutating func judge(
    _ packet: inout Packet, isOutbound: Bool, _ now: UInt64, _ random: inout RandomNumbers
  ) -> Outcome {
    switch IPv4FlowKey.read(packet, zone: isOutbound ? Self.insideZone : Self.outsideZone) {
    case .session(let key):
      return isOutbound ? judgeOutbound(&packet, key, now, &random) : judgeInbound(&packet, key, now)
    case .icmpError:
      return isOutbound ? translateOutboundError(&packet, now) : translateInboundError(&packet, now)
    case .otherICMP, .laterFragment: return judgeOther(packet, isOutbound: isOutbound)
    case .otherVersion: return .forward(isOutbound ? .outside : .inside)
    case .malformed: return .drop(.malformed)
    }
  }

  /// ICMP messages that belong to no session.
  private func judgeOther(_ packet: borrowing Packet, isOutbound: Bool) -> Outcome {
    guard let source = packet.ipv4?.source, let destination = packet.ipv4?.destination else {
      return .drop(.malformed)
    }
    let isTranslated = isOutbound ? ends.isInside(source) && !ends.isOutside(source) : ends.isOutside(destination)
    if isTranslated, settings.others != .pass { return .drop(.unsupported) }
    return .forward(isOutbound ? .outside : .inside)
  }

  private mutating func judgeOutbound(
    _ packet: inout Packet, _ key: IPv4FlowKey, _ now: UInt64, _ random: inout RandomNumbers
  ) -> Outcome {
    if ends.isOutside(key.source) {
      // From this host itself; or translated by another worker already, and to be turned back by this one.
      return ends.isOutside(key.destination) ? turnBack(&packet, now) : .forward(.outside)
    }
    guard ends.isInside(key.source) else { return .forward(.outside) }
    let owner = outboundOwner(of: key)
    guard owner == worker else { return .handOver(owner) }
    if let match = sessions.find(key, now: now), !match.isReply {
      return translate(&packet, match.flow, isOutbound: true, now)
    }
    if Self.kind(of: key.protocol) == .other, settings.others != .address {
      return settings.others == .pass ? .forward(.outside) : .drop(.unsupported)
    }
    switch makeSession(for: packet, key, now, &random) {
    case .made(let flow): return translate(&packet, flow, isOutbound: true, now)
    case .refused(let reason):
      tally.add(1, to: Count.exhausted.rawValue)
      if logs { complain(reason, key, now) }
      return settings.exhausted == .refuse ? .forward(.exhausted) : .drop(reason.reason)
    case .dropped(let reason): return .drop(reason.reason)
    }
  }

  private mutating func judgeInbound(_ packet: inout Packet, _ key: IPv4FlowKey, _ now: UInt64) -> Outcome {
    guard ends.isOutside(key.destination) else { return .forward(.inside) }
    let owner = owner(of: key)
    guard owner == worker else { return .handOver(owner) }
    return translateInbound(&packet, key, now, to: .inside)
  }

  /// A packet between inside hosts whose source was translated: translates the destination, as if it had come from the
  /// outside (RFC 4787 section 6).
  mutating func turnBack(_ packet: inout Packet, _ now: UInt64) -> Outcome {
    guard case .session(let key) = IPv4FlowKey.read(packet, zone: Self.outsideZone) else { return .drop(.malformed) }
    let owner = owner(of: key)
    guard owner == worker else { return .handOver(owner) }
    return translateInbound(&packet, key, now, to: .hairpin)
  }

  private mutating func translateInbound(
    _ packet: inout Packet, _ key: IPv4FlowKey, _ now: UInt64, to output: Output
  ) -> Outcome {
    if let match = sessions.find(key, now: now), match.isReply {
      let outcome = translate(&packet, match.flow, isOutbound: false, now)
      if case .forward(.inside) = outcome { return .forward(output) }
      return outcome
    }
    if let own = ends.insideOfOwn.find(key.destination.rawValue) {
      return packet.translateDestination(IPv4Address(rawValue: own)) ? .forward(output) : .drop(.noBuffer)
    }
    let kind = Self.kind(of: key.protocol)
    guard let number = ends.shared.find(key.destination.rawValue) else { return .drop(Drop.noMapping.reason) }
    guard kind != .other else {
      return settings.others == .pass ? .forward(output) : .drop(Drop.noMapping.reason)
    }
    let slot = PortSlot(address: Int(number), space: Self.space(of: kind), port: key.destinationPort)
    guard let mapping = mappings[slot] else { return refuse(packet, key, kind, output) }
    guard mapping.isStatic || lets(key, in: now) else {
      return kind == .tcp ? refuse(packet, key, kind, output) : .drop(Drop.filtered.reason)
    }
    if segmentSize != 0, kind == .tcp, !packet.clampMaximumSegmentSize(to: segmentSize) { return .drop(.noBuffer) }
    // No session: only what inside hosts send makes any.
    let inside = IPv4Address(rawValue: mapping.insideAddress)
    return packet.translateDestination(inside, port: mapping.insidePort) ? .forward(output) : .drop(.noBuffer)
  }

  /// Whether a mapping lets packets of a remote end in with which it has no session.
  func lets(_ key: IPv4FlowKey, in now: UInt64) -> Bool {
    switch filtering {
    case .endpointIndependent: true
    case .addressDependent: permissions.find(Self.permission(key), now: now) != nil
    case .addressAndPortDependent: false
    }
  }

  /// - Parameter key: The outside's key of a session.
  static func permission(_ key: IPv4FlowKey) -> IPv4FlowKey {
    IPv4FlowKey(
      source: key.source, destination: key.destination, sourcePort: 0, destinationPort: key.destinationPort,
      protocol: key.protocol, zone: permissionZone)
  }

  private mutating func refuse(
    _ packet: borrowing Packet, _ key: IPv4FlowKey, _ kind: NATSession.Kind, _ output: Output
  ) -> Outcome {
    if kind == .icmp, packet.icmpKind == .query { return .forward(output) }
    if settings.unmapped == .pass { return .forward(output) }
    guard kind == .tcp, let flags = packet.tcp?.flags else {
      return settings.unmapped == .refuse && kind == .udp ? .forward(.refused) : .drop(Drop.noMapping.reason)
    }
    guard flags.contains(.syn), !flags.contains(.ack) else { return .drop(Drop.noMapping.reason) }
    guard settings.unmapped == .refuse else { return .drop(Drop.unsolicited.reason) }
    holdKey = key
    return .hold
  }

  /// Keeps an unsolicited SYN, since an inside host may be about to send one of its own (RFC 5382 REQ-4).
  mutating func hold(_ packet: consuming Packet, _ now: UInt64, _ emitter: inout Emitter<NAT>) {
    guard let key = holdKey, !heldPackets.isFull, !heldSYNs.isFull,
      heldSYNs.find(key, now: 0) == nil
    else {
      emitter.drop(packet, Drop.unsolicited)
      return
    }
    let place = heldPackets.insert(packet)
    let held = HeldSYN(place: place, isOvertaken: false)
    guard case .inserted = heldSYNs.insert(key, held, until: now &+ Self.holdTime) else {
      if let packet = heldPackets.remove(at: place) { emitter.drop(packet, Drop.unsolicited) }
      return
    }
  }

  private static let holdTime: UInt64 = 6_000_000_000

  // MARK: Making sessions

  enum Made {
    case made(FlowID)
    /// Something has run out.
    case refused(Drop)
    /// It is not to have one.
    case dropped(Drop)
  }

  private mutating func makeSession(
    for packet: borrowing Packet, _ key: IPv4FlowKey, _ now: UInt64, _ random: inout RandomNumbers
  ) -> Made {
    let kind = Self.kind(of: key.protocol)
    let known = mappings.find(address: key.source.rawValue, port: key.sourcePort, space: Self.space(of: kind))
    if kind == .tcp {
      guard let flags = packet.tcp?.flags else { return .dropped(.noMapping) }
      if flags.contains(.rst), known == nil { return .dropped(.noMapping) }
      if !flags.contains(.syn), known == nil, !settings.picksUp { return .dropped(.notOpened) }
    } else if kind == .icmp, packet.icmpKind == .reply, known == nil,
      ends.ownOfInside.find(key.source.rawValue) == nil
    {
      return .dropped(.noMapping)
    }
    if sessions.isFull { return .refused(.noSession) }
    if kind != .other, known == nil, ends.ownOfInside.find(key.source.rawValue) == nil {
      switch makeMapping(key, kind, now, &random) {
      case .slot(let slot): return enter(key, kind, slot, now)
      case .refused(let reason): return .refused(reason)
      }
    }
    return enter(key, kind, kind == .other ? nil : known, now)
  }

  private enum MadeMapping {
    case slot(PortSlot)
    case refused(Drop)
  }

  private mutating func makeMapping(
    _ key: IPv4FlowKey, _ kind: NATSession.Kind, _ now: UInt64, _ random: inout RandomNumbers
  ) -> MadeMapping {
    let address = key.source.rawValue
    guard
      let subscriber = subscribers.find(address)
        ?? subscribers.insert(address, outside: pool.address(random: random.next()))
    else { return .refused(.subscriberLimit) }
    if settings.mappingLimit > 0, Int(subscribers[subscriber].mappings) >= settings.mappingLimit {
      return .refused(.subscriberLimit)
    }
    guard let slot = takePort(subscriber, key, Self.space(of: kind), now, &random) else {
      subscribers.removeIfIdle(subscriber)
      return .refused(.noPort)
    }
    return enterMapping(slot, address, key.sourcePort, subscriber, now) ? .slot(slot) : .refused(.noSession)
  }

  /// Enters a mapping at a port that was taken for it; gives the port back when there is no room.
  mutating func enterMapping(
    _ slot: PortSlot, _ address: UInt32, _ port: UInt16, _ subscriber: Int, _ now: UInt64
  ) -> Bool {
    guard mappings.insert(slot, address: address, port: port, subscriber: subscriber) else {
      pool.giveBack(slot, now: now)
      subscribers.removeIfIdle(subscriber)
      return false
    }
    subscribers[subscriber].mappings += 1
    tally.add(1, to: Count.mappingsMade.rawValue)
    if logs { note(.mappingMade, slot, address: address, port: port, now) }
    return true
  }

  private mutating func takePort(
    _ subscriber: Int, _ key: IPv4FlowKey, _ space: Int, _ now: UInt64, _ random: inout RandomNumbers
  ) -> PortSlot? {
    let outside = Int(subscribers[subscriber].outside)
    let preserves = settings.preservesPorts
    if settings.blockSize != nil {
      if settings.isDeterministic, subscribers[subscriber].blocks == 0 {
        guard let block = settings.block(of: key.source), pool.assign(block, to: subscriber) else { return nil }
        subscribers[subscriber].blocks += 1
      }
      let taken = pool.take(
        subscriber: subscriber, address: outside, space: space, like: key.sourcePort, preserves: preserves,
        blocks: settings.blockLimit, random: random.next())
      if let block = taken?.newBlock {
        subscribers[subscriber].blocks += 1
        if logs { note(.blockGiven, block, address: key.source.rawValue, now) }
      }
      return taken?.slot
    }
    let drawn = random.next()
    if let slot = pool.take(
      address: outside, space: space, like: key.sourcePort, preserves: preserves, random: drawn)
    {
      return slot
    }
    guard !settings.isPaired else { return nil }
    let other = pool.address(random: random.next())
    return pool.take(address: other, space: space, like: key.sourcePort, preserves: preserves, random: drawn)
  }

  /// Enters a session, which is a use of its mapping.
  mutating func enter(
    _ key: IPv4FlowKey, _ kind: NATSession.Kind, _ slot: PortSlot?, _ now: UInt64, state: String? = nil,
    until deadline: UInt64? = nil
  ) -> Made {
    let outside: IPv4Address
    var subscriber = 0
    if let slot {
      outside = ends.outside(slot.address)
      subscriber = Int(mappings[slot]?.subscriber ?? 0)
    } else if let own = ends.ownOfInside.find(key.source.rawValue) {
      outside = IPv4Address(rawValue: own)
    } else {
      guard
        let found = subscribers.find(key.source.rawValue)
          ?? subscribers.insert(key.source.rawValue, outside: Int(key.source.rawValue) % max(settings.pool.count, 1))
      else { return .refused(.subscriberLimit) }
      subscriber = found
      outside = ends.outside(Int(subscribers[found].outside))
    }
    if subscriber != 0, settings.sessionLimit > 0, Int(subscribers[subscriber].sessions) >= settings.sessionLimit {
      release(slot, subscriber, now)
      return .refused(.subscriberLimit)
    }
    let second = IPv4FlowKey(
      source: key.destination, destination: outside, sourcePort: key.destinationPort,
      destinationPort: slot?.port ?? key.sourcePort, protocol: key.protocol, zone: Self.outsideZone)
    // An ICMP query's identifier stands for both ports.
    let reply = kind == .icmp ? second.withSourcePort(second.destinationPort) : second
    var session = NATSession(
      kind, slot: slot, subscriber: subscriber, isHairpin: ends.isOutside(key.destination))
    if let state { session.restore(state) }
    let expiry = deadline ?? now &+ timeouts.transitory
    for _ in 0..<2 {
      switch sessions.insert(key, second: reply, session, until: expiry) {
      case .inserted(let flow):
        count(flow, session, reply, now)
        return .made(flow)
      case .exists(let match):
        // Its time may be over without its having been taken out.
        guard sessions.deadline(of: match.flow) <= now, let old = sessions.flow(match.flow) else {
          release(slot, subscriber, now)
          return .refused(.noPort)
        }
        sessions.remove(match.flow)
        // The mapping and the subscriber are kept for the session that follows.
        if let slot { mappings.use(slot) }
        if subscriber != 0 { subscribers[subscriber].sessions += 1 }
        end(old, now)
        if subscriber != 0 { subscribers[subscriber].sessions -= 1 }
        if let slot { mappings.forgetUse(slot) }
      case .full, .crowded:
        release(slot, subscriber, now)
        return .refused(.noSession)
      }
    }
    release(slot, subscriber, now)
    return .refused(.noSession)
  }

  private mutating func count(_ flow: FlowID, _ session: NATSession, _ outside: IPv4FlowKey, _ now: UInt64) {
    if let slot = session.slot { mappings.use(slot) }
    if session.subscriber != 0 { subscribers[Int(session.subscriber)].sessions += 1 }
    tally.add(1, to: Count.sessionsMade.rawValue)
    if filtering == .addressDependent {
      let key = Self.permission(outside)
      switch permissions.insert(key, 1, until: .max) {
      case .exists(let match): permissions[match.flow] += 1
      case .inserted, .full, .crowded: break
      }
    }
    if session.kind == .tcp, heldSYNs.count > 0, let match = heldSYNs.find(outside, now: now) {
      heldSYNs[match.flow].isOvertaken = true
    }
  }

  /// Gives back what was made for a session that could not be entered: its mapping and its subscriber.
  private mutating func release(_ slot: PortSlot?, _ subscriber: Int, _ now: UInt64) {
    if let slot, let mapping = mappings[slot], mapping.uses == 0, !mapping.isStatic, let removed = mappings.remove(slot)
    {
      free(slot, removed, now)
    } else if subscriber != 0 {
      subscribers.removeIfIdle(subscriber)
    }
  }

  private mutating func free(_ slot: PortSlot, _ mapping: MappingTable.Mapping, _ now: UInt64) {
    pool.giveBack(slot, now: now)
    if logs { note(.mappingEnded, slot, address: mapping.insideAddress, port: mapping.insidePort, now) }
    let subscriber = Int(mapping.subscriber)
    guard subscriber != 0 else { return }
    subscribers[subscriber].mappings -= 1
    subscribers.removeIfIdle(subscriber)
  }

  // MARK: Ending sessions

  /// Takes out sessions whose time is over, and ends the rest of ports.
  mutating func age(_ now: UInt64) {
    var budget = 256
    while let flow = sessions.nextExpired(now: now, budget: &budget) { end(flow, now) }
    budget = 256
    while let released = pool.reclaim(now: now, budget: &budget) {
      guard subscribers[released.subscriber].blocks > 0 else { continue }
      if logs { note(.blockBack, released.block, address: subscribers[released.subscriber].address, now) }
      subscribers[released.subscriber].blocks -= 1
      subscribers.removeIfIdle(released.subscriber)
    }
  }

  /// What follows from a session's having been taken out.
  mutating func end(_ flow: FlowTable<IPv4FlowKey, NATSession>.Flow, _ now: UInt64) {
    if filtering == .addressDependent, let outside = flow.secondKey,
      let match = permissions.find(Self.permission(outside), now: 0)
    {
      permissions[match.flow] -= 1
      if permissions[match.flow] == 0 { permissions.remove(match.flow) }
    }
    let subscriber = Int(flow.value.subscriber)
    if subscriber != 0 { subscribers[subscriber].sessions -= 1 }
    if let slot = flow.value.slot, let mapping = mappings.endUse(slot) {
      free(slot, mapping, now)
    } else if subscriber != 0 {
      subscribers.removeIfIdle(subscriber)
    }
  }

  // MARK: Whose

  /// The worker that an inside address belongs to.
  func owner(of inside: IPv4Address) -> Int {
    guard workers > 1 else { return worker }
    // The block that follows from the address belongs to one slice of the ports.
    if settings.isDeterministic, let block = settings.block(of: inside) {
      return pool.layout.slice(of: pool.layout.ports(of: block).ports.lowerBound)
    }
    return Int(truncatingIfNeeded: ownerSeed.hash(UInt64(inside.rawValue), 0) >> 32) % workers
  }

  /// The worker that a packet from the inside belongs to: by the inside host, but without ports by the remote one, which is
  /// all that tells packets from the outside apart.
  func outboundOwner(of key: IPv4FlowKey) -> Int {
    let isByRemote = Self.kind(of: key.protocol) == .other && ends.ownOfInside.find(key.source.rawValue) == nil
    return owner(of: isByRemote ? key.destination : key.source)
  }

  /// The worker that a packet from the outside belongs to: by its port, but for static entries by the inside host.
  func owner(of key: IPv4FlowKey) -> Int {
    guard workers > 1 else { return worker }
    if let own = ends.insideOfOwn.find(key.destination.rawValue) { return owner(of: IPv4Address(rawValue: own)) }
    let kind = Self.kind(of: key.protocol)
    guard kind != .other else { return owner(of: key.source) }
    guard let number = ends.shared.find(key.destination.rawValue) else { return worker }
    let slot = PortSlot(address: Int(number), space: Self.space(of: kind), port: key.destinationPort)
    if let inside = ends.forward(slot) { return owner(of: inside) }
    return pool.layout.slice(of: key.destinationPort)
  }

  @inline(__always)
  static func kind(of number: IPProtocol) -> NATSession.Kind {
    switch number.rawValue {
    case 6: .tcp
    case 17: .udp
    case 1: .icmp
    default: .other
    }
  }

  static func space(of kind: NATSession.Kind) -> Int {
    switch kind {
    case .tcp: NATSettings.tcp
    case .udp: NATSettings.udp
    case .icmp, .other: NATSettings.icmp
    }
  }
}

extension IPv4FlowKey {
  fileprivate func withSourcePort(_ port: UInt16) -> IPv4FlowKey {
    IPv4FlowKey(
      source: source, destination: destination, sourcePort: port, destinationPort: destinationPort,
      protocol: `protocol`, zone: zone)
  }
}
