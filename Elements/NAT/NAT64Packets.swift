import Dataplane
import Tables
import Wire

/// Where the fragments of a packet go, once its first is known.
struct NAT64Path: BitwiseCopyable {
  /// From inside: what the packet is sent from and to in IPv4.
  var source4 = IPv4Address.unspecified, destination4 = IPv4Address.unspecified
  /// From outside, and for a packet that comes back in: what it is sent from and to in IPv6.
  var source6 = IPv6Address.unspecified, destination6 = IPv6Address.unspecified

  var leaves: Bool { !source4.isUnspecified }
  var enters: Bool { !destination6.isUnspecified }
}

// What becomes of each packet (RFC 6146, 3.4 to 3.6).

extension NAT64 {
  /// What becomes of a packet, and where its other fragments go; nil: nowhere.
  typealias Outcome = (step: Step, path: NAT64Path?)

  private static func step(_ fault: TranslationFault) -> Step {
    switch fault {
    case .malformed: .drop(.malformed)
    case .noBuffer: .drop(.noBuffer)
    case .untranslatableICMP: .drop(Drop.untranslatableICMP)
    case .fragmentedICMP: .drop(Drop.fragmentedICMP)
    case .noChecksum: .drop(Drop.noChecksum)
    case .extensionInFragment: .drop(Drop.extensionInFragment)
    case .sourceRoute: .drop(Drop.sourceRoute)
    }
  }

  private static func event(_ packet: borrowing Packet, fromInside: Bool) -> NAT64TCPState.Event {
    guard let flags = packet.tcp?.flags else { return .other }
    if flags.contains(.rst) { return .reset }
    if flags.contains(.fin) { return fromInside ? .v6Fin : .v4Fin }
    if flags.contains(.syn) { return fromInside ? .v6Syn : .v4Syn }
    return .other
  }

  // MARK: From inside

  mutating func fromInside(_ packet: inout Packet, _ context: inout Context) -> Outcome {
    guard packet.isIPv6, let network = packet.networkHeaderOffset, let header = TranslatedIPv6(packet, at: network)
    else {
      guard let source = packet.ipv4?.source, let destination = packet.ipv4?.destination else {
        return (.drop(.malformed), nil)
      }
      // One that comes back in may have been handed over by another worker.
      guard workers > 1, state.isOutside(source), state.isOutside(destination) else {
        return (.drop(Drop.otherVersion), nil)
      }
      return fromOutside(&packet, &context, isHairpin: true)
    }
    if common.prefix.extract(header.source) != nil || header.source.isMulticast || header.source.isUnspecified {
      return (.drop(Drop.badSource), nil)
    }
    guard let remote = common.prefix.extract(header.destination) else { return (.drop(Drop.notTranslated), nil) }
    if common.forbids(remote) { return (.drop(Drop.notGlobal), nil) }
    if common.lowersTTL, header.hopLimit <= 1 { return (.forward(.expired), nil) }
    if let place = header.segmentsLeftAt {
      packet.annotation = UInt32(truncatingIfNeeded: place)
      return (.forward(.badHeader), nil)
    }
    if header.fragment == nil, IPTranslator.lengthInIPv4(header) > max(common.mtu4, 1260) {
      packet.annotation = UInt32(common.mtu4 + 20)
      return (.forward(.tooBig), nil)
    }
    switch IPv6FlowKey.read(packet, zone: 0) {
    case .session(let key):
      if let other = otherWorker(of: header.source) { return (.handOver(other), nil) }
      // What stands behind the IPv4 address makes no other session of it (RFC 6052, 2.2).
      let canonical = IPv6FlowKey(
        source: key.source, destination: common.prefix.embed(remote), sourcePort: key.sourcePort,
        destinationPort: key.destinationPort, protocol: key.protocol)
      return leave(&packet, header, canonical, remote, &context)
    case .icmpError: return errorFromInside(&packet, header, remote, &context)
    case .otherICMP: return (.drop(Drop.untranslatableICMP), nil)
    case .laterFragment, .malformed, .otherVersion: return (.drop(.malformed), nil)
    }
  }

  private mutating func leave(
    _ packet: inout Packet, _ header: TranslatedIPv6, _ key: IPv6FlowKey, _ remote: IPv4Address,
    _ context: inout Context
  ) -> Outcome {
    let now = context.now.nanoseconds
    switch key.protocol {
    case .tcp, .udp: break
    case .icmpv6:
      if packet.isFragment { return (.drop(Drop.fragmentedICMP), nil) }
      guard let type = packet.icmp?.type, ICMPTranslation.echoToIPv4(type) != nil else {
        return (.drop(Drop.untranslatableICMP), nil)
      }
    default: return (.drop(.unsupported), nil)
    }
    if header.hasExtensionInFragments { return (.drop(Drop.extensionInFragment), nil) }
    let event = Self.event(packet, fromInside: true)
    let slot: PortSlot
    if let match = state.sessions.find(key, now: now), let used = state.slot(ofSession: match.flow) {
      state.note(match.flow, key.protocol, event, now: now)
      slot = used
    } else {
      if key.protocol == .tcp, event != .v6Syn { return (.drop(Drop.noSession), nil) }
      guard let made = begin(key, remote, &context) else { return (.forward(.unreachable), nil) }
      slot = made
    }
    let source = state.address(slot)
    let ends = IPv4Ends(source: source, destination: remote, sourcePort: slot.port)
    return send(&packet, header, ends, embedded: nil, &context)
  }

  /// Begins a session from inside; nil when there is no port or no room.
  private mutating func begin(_ key: IPv6FlowKey, _ remote: IPv4Address, _ context: inout Context) -> PortSlot? {
    let now = context.now.nanoseconds
    guard
      let binding = state.bind(key.source, key.sourcePort, key.protocol, now: now, random: &context.random)
    else { return nil }
    let slot = state.slot(binding)
    let remotePort = key.protocol == .icmpv6 ? slot.port : key.destinationPort
    let outside = NAT64State.outsideKey(remote, remotePort, to: state.address(slot), slot.port, key.protocol)
    var session = NAT64Session(binding: binding, state: key.protocol == .tcp ? .v6Init : .stateless, stored: nil)
    var lifetime = state.firstLifetime(key.protocol)
    // Both ends have sent a SYN (RFC 6146, 3.5.2.2; RFC 5382, REQ-2).
    if takeWaiting(outside, now) {
      session.state = .established
      lifetime = limits.lifetimes.tcpEstablished
    }
    guard state.insert(key, outside, remote, session, until: now &+ lifetime, now: now) != nil else {
      state.releaseIfUnused(binding, now: now)
      return nil
    }
    return slot
  }

  /// Takes out a SYN from outside that waits for this session. Returns whether its time was not over.
  private mutating func takeWaiting(_ outside: IPv6FlowKey, _ now: UInt64) -> Bool {
    guard let waiting = state.sessions.find(outside, now: 0), let place = state.sessions[waiting.flow].stored else {
      return false
    }
    let isInTime = state.sessions.deadline(of: waiting.flow) > now
    if let syn = syns.remove(at: place) { met.append(syn) }
    state.sessions.remove(waiting.flow)
    return isInTime
  }

  private mutating func errorFromInside(
    _ packet: inout Packet, _ header: TranslatedIPv6, _ remote: IPv4Address, _ context: inout Context
  ) -> Outcome {
    guard let embedded = packet.embedded, let about = IPv6FlowKey(embedded: embedded, zone: 0) else {
      return (.drop(packet.isFragment ? Drop.fragmentedICMP.reason : Drop.noSession.reason), nil)
    }
    let key = about.reply
    if let other = otherWorker(of: key.source) { return (.handOver(other), nil) }
    guard let match = state.sessions.find(key, now: context.now.nanoseconds),
      let slot = state.slot(ofSession: match.flow), let sender = common.prefix.extract(about.source)
    else { return (.drop(Drop.noSession), nil) }
    let own = state.address(slot)
    return send(
      &packet, header, IPv4Ends(source: own, destination: remote),
      embedded: IPv4Ends(source: sender, destination: own, destinationPort: slot.port), &context)
  }

  /// Translates a packet to IPv4, and back to IPv6 if it is for one of the pool's addresses.
  private mutating func send(
    _ packet: inout Packet, _ header: TranslatedIPv6, _ ends: IPv4Ends, embedded: IPv4Ends?, _ context: inout Context
  ) -> Outcome {
    if let fault = translator.toIPv4(&packet, header, ends, embedded: embedded) { return (Self.step(fault), nil) }
    if common.lowersTTL { packet.mutableIPv4?.decrementTimeToLive() }
    var path = NAT64Path(source4: ends.source, destination4: ends.destination)
    guard state.isOutside(ends.destination) else { return (.forward(.outside), path) }
    let back = fromOutside(&packet, &context, isHairpin: true)
    guard let entered = back.path else { return back }
    (path.source6, path.destination6) = (entered.source6, entered.destination6)
    return (back.step, path)
  }

  // MARK: From outside

  mutating func fromOutside(_ packet: inout Packet, _ context: inout Context, isHairpin: Bool = false) -> Outcome {
    guard packet.isIPv4, let network = packet.networkHeaderOffset, let header = TranslatedIPv4(packet, at: network)
    else { return (packet.isIPv6 ? .drop(Drop.otherVersion) : .drop(.malformed), nil) }
    guard state.isOutside(header.destination) else { return (.drop(Drop.notTranslated), nil) }
    if common.forbids(header.source) { return (.drop(Drop.notGlobal), nil) }
    if common.lowersTTL, !isHairpin, header.timeToLive <= 1 { return (.forward(.expired), nil) }
    if header.length > 20, header.hasSourceRoute(packet, at: network) { return (.drop(Drop.sourceRoute), nil) }
    let length = IPTranslator.lengthInIPv6(header)
    if header.dontFragment, length > common.mtu6 {
      packet.annotation = UInt32(common.mtu6 - 20)
      return (.forward(.tooBig), nil)
    }
    switch IPv4FlowKey.read(packet, zone: 0) {
    case .session(let key):
      if let other = otherWorker(of: key.destinationPort) { return (.handOver(other), nil) }
      return enter(&packet, header, key, isHairpin, &context)
    case .icmpError: return errorFromOutside(&packet, header, isHairpin, &context)
    case .otherICMP: return (.drop(Drop.untranslatableICMP), nil)
    case .laterFragment, .malformed, .otherVersion: return (.drop(.malformed), nil)
    }
  }

  private mutating func enter(
    _ packet: inout Packet, _ header: TranslatedIPv4, _ key: IPv4FlowKey, _ isHairpin: Bool, _ context: inout Context
  ) -> Outcome {
    let now = context.now.nanoseconds
    let number: IPProtocol
    switch key.protocol {
    case .tcp, .udp: number = key.protocol
    case .icmp:
      number = .icmpv6
      if packet.isFragment { return (.drop(Drop.fragmentedICMP), nil) }
      guard let type = packet.icmp?.type, ICMPTranslation.echoToIPv6(type) != nil else {
        return (.drop(Drop.untranslatableICMP), nil)
      }
    default: return (.drop(.unsupported), nil)
    }
    if packet.isFragment, packet.udp?.checksum == 0 { return (.drop(Drop.noChecksum), nil) }
    let event = Self.event(packet, fromInside: false)
    let outside = NAT64State.outsideKey(
      key.source, key.sourcePort, to: key.destination, key.destinationPort, number)
    let inside: (address: IPv6Address, port: UInt16)
    if let match = state.sessions.find(outside, now: now) {
      // One that waits already: this is the SYN again.
      guard state.sessions[match.flow].stored == nil else { return (.drop(Drop.noSession), nil) }
      state.note(match.flow, number, event, now: now)
      let first = state.sessions.key(of: match.flow)
      inside = (first.source, first.sourcePort)
    } else {
      let isSYN = number == .tcp && event == .v4Syn
      if number == .tcp, !isSYN { return (.drop(Drop.noSession), nil) }
      guard let binding = state.binding(outside: key.destination, key.destinationPort, number) else {
        return (isSYN && !isHairpin ? .keep(outside) : .drop(Drop.noBinding), nil)
      }
      guard state.permits(key.source, binding) else {
        return (isSYN && !isHairpin ? .keep(outside) : isHairpin ? .drop(Drop.noBinding) : .forward(.prohibited), nil)
      }
      inside = state.inside(binding)
      let insideKey = IPv6FlowKey(
        source: inside.address, destination: common.prefix.embed(key.source), sourcePort: inside.port,
        destinationPort: number == .icmpv6 ? inside.port : key.sourcePort, protocol: number)
      let session = NAT64Session(binding: binding, state: isSYN ? .v4Init : .stateless, stored: nil)
      let deadline = now &+ state.firstLifetime(number)
      _ = takeWaiting(outside, now)
      guard state.insert(insideKey, outside, key.source, session, until: deadline, now: now) != nil else {
        return (.drop(.queueFull), nil)
      }
    }
    let ends = IPv6Ends(
      source: common.prefix.embed(key.source), destination: inside.address, destinationPort: inside.port)
    return deliver(&packet, header, ends, embedded: nil, isHairpin)
  }

  private mutating func errorFromOutside(
    _ packet: inout Packet, _ header: TranslatedIPv4, _ isHairpin: Bool, _ context: inout Context
  ) -> Outcome {
    guard let embedded = packet.embedded, let about = IPv4FlowKey(embedded: embedded, zone: 0) else {
      return (.drop(packet.isFragment ? Drop.fragmentedICMP.reason : Drop.noSession.reason), nil)
    }
    if let other = otherWorker(of: about.sourcePort) { return (.handOver(other), nil) }
    let number = about.protocol == .icmp ? IPProtocol.icmpv6 : about.protocol
    let key = NAT64State.outsideKey(
      about.destination, about.destinationPort, to: about.source, about.sourcePort, number)
    guard let match = state.sessions.find(key, now: context.now.nanoseconds),
      state.sessions[match.flow].stored == nil
    else { return (.drop(Drop.noSession), nil) }
    let inside = state.sessions.key(of: match.flow)
    return deliver(
      &packet, header, IPv6Ends(source: common.prefix.embed(header.source), destination: inside.source),
      embedded: IPv6Ends(
        source: inside.source, destination: inside.destination, sourcePort: inside.sourcePort), isHairpin)
  }

  private func deliver(
    _ packet: inout Packet, _ header: TranslatedIPv4, _ ends: IPv6Ends, embedded: IPv6Ends?, _ isHairpin: Bool
  ) -> Outcome {
    if let fault = translate(&packet, header, ends, embedded: embedded, lowersTTL: common.lowersTTL && !isHairpin) {
      return (Self.step(fault), nil)
    }
    return (.forward(.inside), NAT64Path(source6: ends.source, destination6: ends.destination))
  }

  private func translate(
    _ packet: inout Packet, _ header: TranslatedIPv4, _ ends: IPv6Ends, embedded: IPv6Ends?, lowersTTL: Bool
  ) -> TranslationFault? {
    let length = IPTranslator.lengthInIPv6(header)
    let isCut = !header.dontFragment && length > common.lowestMTU6
    if let fault = translator.toIPv6(&packet, header, ends, embedded: embedded, addsFragmentHeader: isCut) {
      return fault
    }
    if lowersTTL { packet.mutableIPv6?.decrementHopLimit() }
    return nil
  }

  // MARK: Later fragments

  /// Has a later fragment go where its first went.
  mutating func follow(_ packet: inout Packet, _ path: NAT64Path) -> Step {
    guard let network = packet.networkHeaderOffset else { return .drop(.malformed) }
    if path.leaves {
      guard let header = TranslatedIPv6(packet, at: network) else { return .drop(.malformed) }
      if common.lowersTTL, header.hopLimit <= 1 { return .forward(.expired) }
      let ends = IPv4Ends(source: path.source4, destination: path.destination4)
      if let fault = translator.toIPv4(&packet, header, ends) { return Self.step(fault) }
      if common.lowersTTL { packet.mutableIPv4?.decrementTimeToLive() }
      if !path.enters { return .forward(.outside) }
    }
    guard let header = TranslatedIPv4(packet, at: network) else { return .drop(.malformed) }
    if common.lowersTTL, !path.leaves, header.timeToLive <= 1 { return .forward(.expired) }
    let ends = IPv6Ends(source: path.source6, destination: path.destination6)
    let fault = translate(&packet, header, ends, embedded: nil, lowersTTL: common.lowersTTL && !path.leaves)
    return fault.map(Self.step) ?? .forward(.inside)
  }
}
