import Dataplane
import Tables
import Wire

// ICMP errors go where the connection goes that they are about. They put off nothing and end nothing.

extension Connections {
  /// Judges an ICMP error by the packet that it has embedded.
  @inline(never)
  mutating func judgeError(
    _ packet: inout Packet, _ state: borrowing BalancerState, _ desk: inout BalancerDesk
  ) -> BalancerVerdict {
    guard let embedded = packet.embedded, let key = Key(embedded: embedded, zone: 0) else {
      return .forward(isVirtual(packet, state) ? .local : .other)
    }
    if desk.workers > 1 {
      let owner = state.owner(Key.wide(key.destination), Key.wide(key.source), key.sourcePort, desk)
      if owner != desk.worker { return .handOver(owner) }
    }
    // The connection's direction against the embedded packet's is the one in which the error travels.
    if let match = table.find(key.reply, now: desk.now) {
      let backend = state.backends[Int(table[match.flow].backend)]
      if backend.serial == table[match.flow].serial && backend.keeps {
        return match.isReply
          ? errorToClient(&packet, match.flow, backend) : errorToBackend(&packet, match.flow, backend, &desk)
      }
    }
    guard key.protocol != Key.icmp,
      let service = state.service(Key.wide(key.source), key.protocol, key.sourcePort)
    else { return .forward(isVirtual(packet, state) ? .local : .other) }
    guard let slot = choose(key.reply, service, state, desk) else { return .drop(LoadBalancer.Drop.noBackend) }
    let backend = state.backends[slot]
    if backend.translatesSource { return .drop(LoadBalancer.Drop.tableFull) }
    guard backend.mode == .nat else {
      desk.note(slot, key.reply)
      return desk.direct(&packet, backend)
    }
    let port = backend.port == 0 || key.sourcePort == 0 ? key.sourcePort : backend.port
    return errorToBackend(&packet, Key.narrow(backend.address), port, nil)
  }

  private func isVirtual(_ packet: borrowing Packet, _ state: borrowing BalancerState) -> Bool {
    if let ip = packet.ipv4 { return state.isVirtual(IPv6Address(mapped: ip.destination)) }
    guard let destination = packet.ipv6?.destination else { return false }
    return state.isVirtual(destination)
  }

  /// About something that the backend sent.
  private mutating func errorToBackend(
    _ packet: inout Packet, _ flow: FlowID, _ backend: BackendRecord, _ desk: inout BalancerDesk
  ) -> BalancerVerdict {
    guard backend.mode == .nat, let answer = table.secondKey(of: flow) else {
      desk.note(Int(table[flow].backend), table.key(of: flow))
      return desk.direct(&packet, backend)
    }
    return errorToBackend(
      &packet, answer.source, answer.sourcePort,
      backend.translatesSource ? (answer.destination, answer.destinationPort) : nil)
  }

  private func errorToBackend(
    _ packet: inout Packet, _ address: Key.Address, _ port: UInt16, _ client: (address: Key.Address, port: UInt16)?
  ) -> BalancerVerdict {
    guard Key.translateEmbeddedSource(of: &packet, address, port: port),
      Key.translateDestination(of: &packet, address, port: nil)
    else { return .drop(.malformed) }
    if let client {
      guard Key.translateEmbeddedDestination(of: &packet, client.address, port: client.port) else {
        return .drop(.malformed)
      }
    }
    packet.annotation = 0
    return .forward(.backends)
  }

  /// About something that the client sent.
  private func errorToClient(_ packet: inout Packet, _ flow: FlowID, _ backend: BackendRecord) -> BalancerVerdict {
    let key = table.key(of: flow)
    guard Key.translateEmbeddedDestination(of: &packet, key.destination, port: key.destinationPort) else {
      return .drop(.malformed)
    }
    // What the backend itself says, the virtual address says; a router on the way speaks for itself.
    if Self.source(of: packet) == backend.address {
      guard Key.translateSource(of: &packet, key.destination, port: nil) else { return .drop(.malformed) }
    }
    if backend.translatesSource {
      guard Key.translateEmbeddedSource(of: &packet, key.source, port: key.sourcePort),
        Key.translateDestination(of: &packet, key.source, port: nil)
      else { return .drop(.malformed) }
    }
    return .forward(.clients)
  }

  private static func source(of packet: borrowing Packet) -> IPv6Address? {
    if let ip = packet.ipv4 { return IPv6Address(mapped: ip.source) }
    return packet.ipv6?.source
  }
}
