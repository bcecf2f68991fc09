import Dataplane
import Tables
import Wire

/// What was done to a first fragment, for the others of its packet.
struct BalancedPath: BitwiseCopyable, Sendable {
  /// By its number.
  var output: UInt8
  /// The slot of the backend that it was sent to without translation.
  var directSlot: UInt16?
  var entropy: UInt32
  /// What its addresses were turned into.
  var source: IPv6Address
  var destination: IPv6Address
}

extension LoadBalancer.Drop: FragmentDropReason {}

// Fragments of packets to and from services go where their first goes.

extension LoadBalancer {
  /// Judges a batch that has fragments among its packets.
  @inline(never)
  mutating func processFragments(_ batch: inout PacketBatch<Self>, _ context: inout Context) {
    let now = context.now
    state.read { state in
      batch.takeEach { packet, emitter in
        var packet = packet
        guard packet.isFragment, Self.isOurs(packet, state) else {
          let verdict = judge(&packet, state)
          return Self.carryOut(verdict, packet, &emitter)
        }
        if desk.workers > 1 {
          let owner = Self.owner(packet, state, desk)
          if owner != desk.worker { return emitter.handOver(packet, to: owner) }
        }
        switch fragments.judge(packet, now: now) {
        case .whole:
          let verdict = judge(&packet, state)
          Self.carryOut(verdict, packet, &emitter)
        case .first(let ticket):
          desk.directSlot = nil
          let verdict = judge(&packet, state)
          if case .forward(let output) = verdict, output != .tooBig {
            let ends = Self.ends(packet)
            let path = BalancedPath(
              output: output.rawValue, directSlot: desk.directSlot, entropy: desk.entropy, source: ends.source,
              destination: ends.destination)
            fragments.settle(ticket, as: path, now: now)
          } else {
            fragments.refuse(ticket, now: now)
          }
          Self.carryOut(verdict, packet, &emitter)
        case .follows(let path):
          let verdict = follow(&packet, path, state)
          Self.carryOut(verdict, packet, &emitter)
        case .wait(let ticket): fragments.hold(packet, ticket)
        case .drop(let reason): emitter.drop(packet, reason)
        }
        while let released = fragments.popReleased() {
          switch released.fate {
          case .drop(let reason): emitter.drop(released.packet, reason)
          case .follows(let path):
            var packet = released.packet
            let verdict = follow(&packet, path, state)
            Self.carryOut(verdict, packet, &emitter, behind: true)
          }
        }
      }
    }
    if let next = fragments.nextExpiry { context.wake(at: next) }
    schedule(&context)
  }

  /// Lets fragments go that waited for their first in vain.
  mutating func expireFragments(_ batch: inout PacketBatch<Self>, _ context: inout Context) {
    fragments.expire(now: context.now)
    while let released = fragments.popReleased() {
      switch released.fate {
      case .drop(let reason): batch.drop(released.packet, reason)
      case .follows(let path):
        var packet = released.packet
        let verdict = state.read { state in follow(&packet, path, state) }
        switch verdict {
        case .forward(let output): batch.emit(packet, to: output)
        case .dropped(let reason): batch.drop(packet, reason)
        case .handOver: batch.drop(packet, Drop.firstFragmentLost.reason)
        }
      }
    }
    if let next = fragments.nextExpiry { context.wake(at: next) }
  }

  private static func carryOut(
    _ verdict: BalancerVerdict, _ packet: consuming Packet, _ emitter: inout Emitter<Self>, behind: Bool = false
  ) {
    switch verdict {
    case .forward(let output):
      if behind { emitter.emitBehind(packet, to: output) } else { emitter.emit(packet, to: output) }
    case .dropped(let reason): emitter.drop(packet, reason)
    case .handOver(let worker): emitter.handOver(packet, to: worker)
    }
  }

  /// Judges one packet by itself.
  private mutating func judge(_ packet: inout Packet, _ state: borrowing BalancerState) -> BalancerVerdict {
    switch IPv4FlowKey.read(packet, zone: 0) {
    case .session(let key): return tables.four.begin(&packet, key, state, &desk)
    case .icmpError: return tables.four.judgeError(&packet, state, &desk)
    case .malformed: return .drop(.malformed)
    case .laterFragment, .otherICMP: return .forward(.other)
    case .otherVersion: break
    }
    switch IPv6FlowKey.read(packet, zone: 0) {
    case .session(let key): return tables.six.begin(&packet, key, state, &desk)
    case .icmpError: return tables.six.judgeError(&packet, state, &desk)
    case .malformed, .otherVersion: return .drop(.malformed)
    case .laterFragment, .otherICMP: return .forward(.other)
    }
  }

  /// Does to a fragment what was done to its first.
  private mutating func follow(
    _ packet: inout Packet, _ path: BalancedPath, _ state: borrowing BalancerState
  ) -> BalancerVerdict {
    if let slot = path.directSlot {
      desk.entropy = path.entropy
      return desk.direct(&packet, state.backends[Int(slot)])
    }
    let ends = Self.ends(packet)
    var isRight = true
    if packet.isIPv4 {
      if ends.source != path.source {
        isRight = packet.translateSource(IPv4FlowKey.narrow(path.source))
      }
      if ends.destination != path.destination {
        isRight = packet.translateDestination(IPv4FlowKey.narrow(path.destination)) && isRight
      }
    } else {
      if ends.source != path.source { isRight = packet.translateSource(path.source) }
      if ends.destination != path.destination {
        isRight = packet.translateDestination(path.destination) && isRight
      }
    }
    packet.annotation = 0
    return isRight ? .forward(LoadBalancer.Output(rawValue: path.output) ?? .other) : .drop(.malformed)
  }

  private static func ends(_ packet: borrowing Packet) -> (source: IPv6Address, destination: IPv6Address) {
    if let ip = packet.ipv4 { return (IPv6Address(mapped: ip.source), IPv6Address(mapped: ip.destination)) }
    if let ip = packet.ipv6 { return (ip.source, ip.destination) }
    return (IPv6Address(high: 0, low: 0), IPv6Address(high: 0, low: 0))
  }

  /// Whether a service may have to do with a packet between these ends.
  private static func isOurs(_ packet: borrowing Packet, _ state: borrowing BalancerState) -> Bool {
    let ends = ends(packet)
    return state.isVirtual(ends.destination) || state.isAnswering(ends.source) || state.isSource(ends.destination)
  }

  /// The worker that a packet belongs to, as far as its addresses tell.
  private static func owner(
    _ packet: borrowing Packet, _ state: borrowing BalancerState, _ desk: borrowing BalancerDesk
  ) -> Int {
    let ends = ends(packet)
    // The worker of translated sources is known by ports alone, which later fragments have not.
    if state.isSource(ends.destination) { return desk.worker }
    return state.owner(ends.source, ends.destination, 0, desk)
  }
}
