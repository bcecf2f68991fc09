import Dataplane
import Wire

extension NAT.Drop: FragmentDropReason {}

// Fragments (RFC 4787 REQ-14): later ones go where their first goes, whichever comes first.
extension NAT {
  mutating func follow(
    _ packet: consuming Packet, isOutbound: Bool, _ now: Instant, _ random: inout RandomNumbers,
    _ emitter: inout Emitter<NAT>
  ) {
    var packet = packet
    switch fragments.judge(packet, zone: isOutbound ? Self.insideZone : Self.outsideZone, now: now) {
    case .whole: emitter.drop(packet, .malformed)
    case .first(let ticket):
      switch judge(&packet, isOutbound: isOutbound, now.nanoseconds, &random) {
      case .forward(let output):
        let path = NATPath(
          source: packet.ipv4?.source ?? .unspecified, destination: packet.ipv4?.destination ?? .unspecified,
          output: output)
        fragments.settle(ticket, as: path, now: now)
        emitter.emit(packet, to: output)
      case .drop(let reason):
        fragments.refuse(ticket, now: now)
        emitter.drop(packet, reason)
      case .handOver:
        fragments.refuse(ticket, now: now)
        emitter.drop(packet, Drop.otherWorker)
      case .hold:
        fragments.refuse(ticket, now: now)
        emitter.drop(packet, Drop.unsolicited)
      }
    case .follows(let path): send(packet, path, &emitter)
    case .wait(let ticket): fragments.hold(packet, ticket)
    case .drop(let reason): emitter.drop(packet, reason)
    }
    while let released = fragments.popReleased() {
      switch released.fate {
      case .follows(let path): send(released.packet, path, &emitter)
      case .drop(let reason): emitter.drop(released.packet, reason)
      }
    }
  }

  private func send(_ packet: consuming Packet, _ path: NATPath, _ emitter: inout Emitter<NAT>) {
    var packet = packet
    if apply(path, to: &packet) { emitter.emit(packet, to: path.output) } else { emitter.drop(packet, .noBuffer) }
  }

  /// Gives a later fragment the addresses that its first got; false when no buffer is left.
  func apply(_ path: NATPath, to packet: inout Packet) -> Bool {
    packet.translateSource(path.source) && packet.translateDestination(path.destination)
  }
}
