import Dataplane
import Tables
import Wire

// What a `NeighbourLink` makes of frames from the wire.

extension NeighbourLink where Choice: ~Copyable {
  /// Takes ARP and Neighbour Discovery out of a batch of frames from the wire, and answers.
  @inline(__always)
  mutating func receive<E: Element & ~Copyable>(
    _ batch: inout PacketBatch<E>, _ context: inout Context, _ outputs: NeighbourOutputs<E.Output>
  ) {
    var needsTime = false
    batch.forEach { packet, emitter in
      guard let destination = packet.ethernet?.destination else { return .forward(outputs.received) }
      guard isPromiscuous || destination == mac || destination.isMulticast else {
        return .drop(Neighbours.Drop.otherStation)
      }
      guard Self.mayConcernNeighbours(packet) else { return .forward(outputs.received) }
      needsTime = true
      return judge(&packet, &emitter, &context, outputs)
    }
    if needsTime { schedule(&context) }
  }

  /// Whether this is ARP or ICMPv6. Frames with a VLAN tag belong to another interface.
  @inline(__always)
  private static func mayConcernNeighbours(_ packet: borrowing Packet) -> Bool {
    if packet.isIPv4 { return false }
    if packet.isIPv6 { return packet.transportProtocol == .icmpv6 && packet.vlanTagCount == 0 }
    return packet.etherType == .arp && packet.vlanTagCount == 0
  }

  @inline(never)
  private mutating func judge<E: Element & ~Copyable>(
    _ packet: inout Packet, _ emitter: inout Emitter<E>, _ context: inout Context,
    _ outputs: NeighbourOutputs<E.Output>
  ) -> Verdict<E.Output> {
    guard let source = packet.ethernet?.source, let destination = packet.ethernet?.destination else {
      return .forward(outputs.received)
    }
    let isFromHere = source == mac
    let isForHere = destination == mac || destination.isMulticast
    if packet.isIPv6 {
      guard let type = packet.icmp?.type, (133...137).contains(type) else { return .forward(outputs.received) }
      guard !isFromHere else { return .drop(Neighbours.Drop.ownFrame) }
      guard isForHere else { return .drop(Neighbours.Drop.otherStation) }
      // Router discovery and redirects are not for routers (RFC 4861, 6.2.6 and 8.2).
      guard type == 135 || type == 136 else { return .drop(Neighbours.Drop.ignored) }
      return judgeND(&packet, from: source, &emitter, &context, outputs)
    }
    guard !isFromHere else { return .drop(Neighbours.Drop.ownFrame) }
    guard isForHere else { return .drop(Neighbours.Drop.otherStation) }
    return judgeARP(&packet, isUnicast: destination == mac, &emitter, &context, outputs)
  }

  /// Turns a packet into its reply.
  private func reply<Output>(_ packet: inout Packet, _ frame: NeighbourFrame, _ output: Output) -> Verdict<Output> {
    guard frame.withBytes({ packet.replaceBytes(with: $0) }) else { return .drop(.noBuffer) }
    count(.replies)
    return .forward(output)
  }

  /// Sends what waits for a neighbour that something was heard of.
  private mutating func release<E: Element & ~Copyable>(
    _ key: NeighbourKey, _ emitter: inout Emitter<E>, _ now: UInt64, _ outputs: NeighbourOutputs<E.Output>
  ) {
    guard pending.mayHold(key), case .send(let station) = table.use(key, now: now) else { return }
    release(key, to: station, &emitter, outputs)
  }

  /// Defends an own address that another node uses.
  private func noteConflict<E: Element & ~Copyable>(
    _ address: IPAddress, _ emitter: inout Emitter<E>, _ context: inout Context, _ outputs: NeighbourOutputs<E.Output>
  ) -> Verdict<E.Output> {
    if addresses.noteConflict(address, now: context.now.nanoseconds), let packet = message(.announce(address), &context)
    {
      emitter.emit(packet, to: outputs.frames)
    }
    return .drop(Neighbours.Drop.conflict)
  }

  // MARK: ARP

  /// RFC 826 and RFC 5227.
  private mutating func judgeARP<E: Element & ~Copyable>(
    _ packet: inout Packet, isUnicast: Bool, _ emitter: inout Emitter<E>, _ context: inout Context,
    _ outputs: NeighbourOutputs<E.Output>
  ) -> Verdict<E.Output> {
    guard let operation = packet.arp?.operation, let senderMAC = packet.arp?.senderMAC,
      let sender = packet.arp?.senderIP, let target = packet.arp?.targetIP
    else { return .drop(.malformed) }
    guard operation == 1 || operation == 2 else { return .drop(.unsupported) }
    // RFC 1812, 3.3.2; a sender of 0.0.0.0 only asks.
    guard !senderMAC.isMulticast, !senderMAC.isZero, !sender.isMulticast, !sender.isReserved, !sender.isLoopback,
      !sender.isUnspecified || operation == 1
    else { return .drop(Neighbours.Drop.invalid) }
    guard senderMAC != mac else { return .drop(Neighbours.Drop.ownFrame) }
    if addresses.state(of: .v4(sender)) != nil { return noteConflict(.v4(sender), &emitter, &context, outputs) }
    if sender.isUnspecified, addresses.state(of: .v4(target)) == .tentative {
      return noteConflict(.v4(target), &emitter, &context, outputs)
    }
    let isAsked = operation == 1 && addresses.state(of: .v4(target)) == .preferred
    if !sender.isUnspecified {
      let key = NeighbourKey(interface: interface, sender)
      let now = context.now.nanoseconds
      if operation == 2, isUnicast, addresses.state(of: .v4(target)) != nil {
        table.advertise(key, NeighbourClaim(mac: senderMAC, isSolicited: true, overrides: true), now: now)
      } else {
        table.hear(key, mac: senderMAC, creates: isAsked && addresses.isOnLink(.v4(sender)), now: now)
      }
      release(key, &emitter, now, outputs)
    }
    guard isAsked else { return .drop(Neighbours.Drop.consumed) }
    let frame = NeighbourFrame(
      arp: 2, to: senderMAC, senderMAC: mac, senderIP: target, targetMAC: senderMAC, targetIP: sender)
    return reply(&packet, frame, outputs.frames)
  }

  // MARK: Neighbour Discovery

  private mutating func judgeND<E: Element & ~Copyable>(
    _ packet: inout Packet, from station: MACAddress, _ emitter: inout Emitter<E>, _ context: inout Context,
    _ outputs: NeighbourOutputs<E.Output>
  ) -> Verdict<E.Output> {
    guard let offset = packet.networkHeaderOffset, let length = packet.networkLength,
      offset + length <= packet.bytes.byteCount
    else { return .drop(.malformed) }
    let message: NeighbourDiscovery
    do {
      message = try NeighbourDiscovery(packet: packet.bytes.extracting(offset..<offset + length))
    } catch {
      return .drop(Neighbours.Drop.invalid)
    }
    guard !message.source.isMulticast, !station.isMulticast, !station.isZero else {
      return .drop(Neighbours.Drop.invalid)
    }
    return message.isAdvertisement
      ? judge(advertisement: message, &emitter, &context, outputs)
      : judge(solicitation: message, &packet, from: station, &emitter, &context, outputs)
  }

  /// RFC 4861, 7.2.5; RFC 4862, 5.4.4.
  private mutating func judge<E: Element & ~Copyable>(
    advertisement message: NeighbourDiscovery, _ emitter: inout Emitter<E>, _ context: inout Context,
    _ outputs: NeighbourOutputs<E.Output>
  ) -> Verdict<E.Output> {
    if addresses.state(of: .v6(message.target)) != nil {
      return noteConflict(.v6(message.target), &emitter, &context, outputs)
    }
    let key = NeighbourKey(interface: interface, message.target)
    let claim = NeighbourClaim(
      mac: message.mac, isSolicited: message.isSolicited, overrides: message.overrides, isRouter: message.isRouter)
    let now = context.now.nanoseconds
    table.advertise(key, claim, now: now)
    release(key, &emitter, now, outputs)
    return .drop(Neighbours.Drop.consumed)
  }

  /// RFC 4861, 7.2.3; RFC 4862, 5.4.3.
  private mutating func judge<E: Element & ~Copyable>(
    solicitation message: NeighbourDiscovery, _ packet: inout Packet, from station: MACAddress,
    _ emitter: inout Emitter<E>, _ context: inout Context, _ outputs: NeighbourOutputs<E.Output>
  ) -> Verdict<E.Output> {
    switch addresses.state(of: .v6(message.target)) {
    case nil, .duplicate: return .drop(Neighbours.Drop.consumed)
    case .tentative:
      guard message.source.isUnspecified else { return .drop(Neighbours.Drop.consumed) }
      return noteConflict(.v6(message.target), &emitter, &context, outputs)
    case .preferred: break
    }
    guard !message.source.isUnspecified else {
      let frame = NeighbourFrame(advertising: message.target, mac: mac, isRouter: isRouter, to: nil, link: .broadcast)
      return reply(&packet, frame, outputs.frames)
    }
    if addresses.state(of: .v6(message.source)) != nil {
      return noteConflict(.v6(message.source), &emitter, &context, outputs)
    }
    if let station = message.mac {
      let key = NeighbourKey(interface: interface, message.source)
      let now = context.now.nanoseconds
      table.hear(key, mac: station, creates: addresses.isOnLink(.v6(message.source)), now: now)
      release(key, &emitter, now, outputs)
    }
    let frame = NeighbourFrame(
      advertising: message.target, mac: mac, isRouter: isRouter, to: message.source, link: message.mac ?? station)
    return reply(&packet, frame, outputs.frames)
  }
}
