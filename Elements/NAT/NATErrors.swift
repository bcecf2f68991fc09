import Dataplane
import Tables
import Wire

// ICMP errors (RFC 5508 section 4): they go where the packet that they are about came from, and change no state.
extension NAT {
  /// What an error is found to be about.
  private struct End {
    let address: IPv4Address
    /// Nil: the port stays.
    let port: UInt16?
  }

  /// Whether an error's checksum, and that of the IP header that it has embedded, are right (RFC 5508 REQ-3). What the
  /// embedded transport header says of checksums is nobody's business here. A fragment's cannot be told.
  private func isSound(_ packet: borrowing Packet, _ embedded: EmbeddedPacket) -> Bool {
    guard embedded.isHeaderChecksumValid, !embedded.isError, !embedded.isLaterFragment else { return false }
    guard !packet.isFragment else { return true }
    guard let network = packet.networkHeaderOffset, let length = packet.networkLength,
      let transport = packet.transportHeaderOffset
    else { return false }
    return Checksum.isValid(packet.sum(in: transport..<network + length))
  }

  // MARK: From the outside

  mutating func translateInboundError(_ packet: inout Packet, _ now: UInt64) -> Outcome {
    guard let destination = packet.ipv4?.destination else { return .drop(.malformed) }
    guard ends.isOutside(destination) else { return .forward(.inside) }
    return translateInboundError(&packet, now, to: .inside)
  }

  private mutating func translateInboundError(_ packet: inout Packet, _ now: UInt64, to output: Output) -> Outcome {
    guard let embedded = packet.embedded, isSound(packet, embedded),
      let key = IPv4FlowKey(embedded: embedded, zone: Self.outsideZone)?.reply
    else { return .drop(Drop.badError.reason) }
    guard ends.isOutside(key.destination) else { return .drop(Drop.noMapping.reason) }
    let owner = owner(of: key)
    guard owner == worker else { return .handOver(owner) }
    guard let inside = inside(of: key, now) else {
      return settings.unmapped == .pass ? .forward(output) : .drop(Drop.noMapping.reason)
    }
    guard packet.translateEmbeddedSource(inside.address, port: inside.port),
      packet.translateDestination(inside.address)
    else { return .drop(.noBuffer) }
    return .forward(output)
  }

  private func inside(of key: IPv4FlowKey, _ now: UInt64) -> End? {
    if let match = sessions.find(key, now: now), match.isReply {
      let inside = sessions.key(of: match.flow)
      return End(address: inside.source, port: sessions[match.flow].hasPort ? inside.sourcePort : nil)
    }
    if let own = ends.insideOfOwn.find(key.destination.rawValue) {
      return End(address: IPv4Address(rawValue: own), port: nil)
    }
    let kind = Self.kind(of: key.protocol)
    guard kind != .other, let number = ends.shared.find(key.destination.rawValue) else { return nil }
    let slot = PortSlot(address: Int(number), space: Self.space(of: kind), port: key.destinationPort)
    guard let mapping = mappings[slot], mapping.isStatic || lets(key, in: now) else { return nil }
    return End(address: IPv4Address(rawValue: mapping.insideAddress), port: mapping.insidePort)
  }

  // MARK: From the inside

  mutating func translateOutboundError(_ packet: inout Packet, _ now: UInt64) -> Outcome {
    guard let source = packet.ipv4?.source, let destination = packet.ipv4?.destination else {
      return .drop(.malformed)
    }
    // Translated by another worker already, and to be turned back by this one.
    if ends.isOutside(source), ends.isOutside(destination) {
      return translateInboundError(&packet, now, to: .hairpin)
    }
    guard let embedded = packet.embedded, isSound(packet, embedded),
      let key = IPv4FlowKey(embedded: embedded, zone: Self.insideZone)?.reply
    else { return ends.isOutside(source) ? .forward(.outside) : .drop(Drop.badError.reason) }
    // About a packet to this host itself, or to a host that is not translated.
    guard !ends.isOutside(key.source), ends.isInside(key.source) else {
      return ends.isOutside(source) || !ends.isInside(source) ? .forward(.outside) : .drop(Drop.noMapping.reason)
    }
    let owner = outboundOwner(of: key)
    guard owner == worker else { return .handOver(owner) }
    guard let outside = outside(of: key, now) else { return .drop(Drop.noMapping.reason) }
    // Whoever sends it, the outside is to see the mapping's address (RFC 5508 REQ-5).
    guard packet.translateEmbeddedDestination(outside.address, port: outside.port),
      packet.translateSource(outside.address)
    else { return .drop(.noBuffer) }
    guard ends.isOutside(destination) else { return .forward(.outside) }
    return translateInboundError(&packet, now, to: .hairpin)
  }

  private func outside(of key: IPv4FlowKey, _ now: UInt64) -> End? {
    if let match = sessions.find(key, now: now), !match.isReply, let outside = sessions.secondKey(of: match.flow) {
      return End(
        address: outside.destination, port: sessions[match.flow].hasPort ? outside.destinationPort : nil)
    }
    let kind = Self.kind(of: key.protocol)
    if kind != .other,
      let slot = mappings.find(address: key.source.rawValue, port: key.sourcePort, space: Self.space(of: kind))
    {
      return End(address: ends.outside(slot.address), port: slot.port)
    }
    return ends.ownOfInside.find(key.source.rawValue).map { End(address: IPv4Address(rawValue: $0), port: nil) }
  }
}
