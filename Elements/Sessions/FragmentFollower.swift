import Configuration
import Dataplane
import Tables
import Wire

/// Why a fragment does not pass, beside the packet's being malformed.
protocol FragmentDropReason: ElementDropReason {
  /// It cuts the transport header (RFC 1858, RFC 3128, RFC 7112), or another of its packet does.
  static var tinyFragment: Self { get }
  /// One with the same bytes of the packet was there.
  static var duplicateFragment: Self { get }
  /// It overlaps with another fragment, or one of its packet did (RFC 5722).
  static var overlappingFragment: Self { get }
  /// The packet is in too many pieces, or too many of them wait for the first.
  static var tooManyFragments: Self { get }
  /// Its packet had to go for a newer one when a limit was reached.
  static var evictedFragment: Self { get }
  /// The first fragment did not come in time.
  static var firstFragmentLost: Self { get }
  /// The first fragment did not pass.
  static var firstFragmentRefused: Self { get }
}

/// Has fragments go where their first goes, without putting packets together (RFC 6146 section 3.4): those that come
/// before their first are held until it comes. Each fragment is judged in the order it comes:
///
///     switch fragments.judge(packet, now: now) {
///     case .whole: emit(packet)
///     case .first(let ticket): fragments.settle(ticket, as: translation, now: now), or refuse(ticket, now: now)
///     case .follows(let translation): ...
///     case .wait(let ticket): fragments.hold(packet, ticket)
///     case .drop(let reason): emitter.drop(packet, reason)
///     }
///     while let released = fragments.popReleased() { switch released.fate { ... released.packet ... } }
///
/// Released packets are to be taken after each packet, and after `expire` in `wake`. `Value` is what the element knows of a
/// packet once it has seen its ports.
struct FragmentFollower<Value: BitwiseCopyable & Sendable, Drop: FragmentDropReason>: ~Copyable {
  /// A fragment that something is still to be said of.
  struct Ticket {
    fileprivate let key: ReassemblyTable.Key
  }

  /// What is to be done with a packet.
  enum Step {
    /// It is no fragment.
    case whole
    /// It is the first and has ports: `settle` or `refuse` is to be called.
    case first(Ticket)
    /// It goes where its first fragment went.
    case follows(Value)
    /// It is to be given to `hold`.
    case wait(Ticket)
    case drop(DropReason)
  }

  /// What became of a fragment that was held.
  enum Fate {
    case follows(Value)
    case drop(DropReason)
  }

  /// A fragment that was held.
  struct Released: ~Copyable {
    var packet: Packet
    let fate: Fate

    /// The packet alone, for other modules, where it cannot be taken out.
    consuming func take() -> Packet { packet }
  }

  private var tracker: FragmentTracker<Value>
  private var store: PacketStore
  private var most = 0

  /// - Parameters:
  ///   - packets: How many packets' fragments are known at once.
  ///   - held: How many fragments are held at once.
  ///   - heldOfOne: How many fragments are held of one packet.
  ///   - lifetime: Nanoseconds that a packet's fragments are known from its first on: more than a path takes to deliver
  ///     them, and no more than 60 s (RFC 791, 8200).
  ///   - patience: Nanoseconds that fragments are held.
  init(
    packets: Int = 4096, held: Int = 512, heldOfOne: Int = 64, lifetime: UInt64 = 30_000_000_000,
    patience: UInt64 = 2_000_000_000
  ) {
    tracker = FragmentTracker(
      datagrams: packets, held: held, heldOfOne: heldOfOne, lifetime: lifetime, patience: patience)
    store = PacketStore(capacity: held + 1)
  }

  /// Takes its limits from an element's settings.
  init(_ settings: inout Settings) throws(ConfigurationError) {
    let packets = try settings.take(
      "fragmented_packets", default: 4096, in: 1...1_000_000, "packets whose fragments are known at once")
    let held = try settings.take(
      "held_fragments", default: 512, in: 1...1_000_000, "fragments held at once until their packet's first comes")
    let lifetime = try settings.take(
      "fragment_timeout", default: .seconds(30), in: .seconds(1)...Duration.seconds(60),
      "how long fragments follow their packet's first")
    self.init(
      packets: packets, held: held, heldOfOne: min(held, 64),
      lifetime: UInt64(clamping: lifetime.components.seconds) &* 1_000_000_000)
  }

  /// How many packets are held.
  var held: Int { store.count }
  /// How many were held at once at most, for the element's counters.
  var mostHeld: ElementCounter { ElementCounter("mostFragmentsHeld", UInt64(most)) }

  /// Makes the order of the table unforeseeable; for the element's `start`.
  mutating func start(_ context: inout Context) { tracker.seed = context.random.next() }

  /// Says what is to be done with a packet. What waits elsewhere, in another zone, is nothing to it.
  @inline(__always)
  mutating func judge(_ packet: borrowing Packet, zone: UInt16 = 0, now: Instant) -> Step {
    packet.isFragment ? judgeFragment(packet, zone, now.nanoseconds) : .whole
  }

  @inline(never)
  private mutating func judgeFragment(_ packet: borrowing Packet, _ zone: UInt16, _ now: UInt64) -> Step {
    guard let part = packet.fragmentPart, let network = packet.networkHeaderOffset, !part.contents.isEmpty,
      let key = ReassemblyTable.Key(packet, part, zone: zone)
    else { return .drop(.malformed) }
    let headers = part.contents.lowerBound - network - (packet.isIPv6 ? 8 : 0)
    guard !part.moreFragments || part.contents.count % 8 == 0, headers + part.end <= Int(UInt16.max) else {
      return .drop(.malformed)
    }
    let outcome = tracker.admit(part.start..<part.end, isLast: !part.moreFragments, of: key, now: now)
    if case .stopped(let cause) = outcome { return .drop(Self.reason(cause)) }
    // Behind a first fragment with 8 bytes of TCP, another could write over its flags (RFC 3128).
    if packet.isTransportCutShort || part.protocolNumber == .tcp && part.start != 0 && part.start < 16 {
      tracker.refuse(key, now: now)
      return .drop(Drop.tinyFragment.reason)
    }
    switch outcome {
    case .first: return .first(Ticket(key: key))
    case .follows(let value): return .follows(value)
    case .early, .stopped: return .wait(Ticket(key: key))
    }
  }

  /// Keeps a packet until the first fragment comes.
  mutating func hold(_ packet: consuming Packet, _ ticket: Ticket) {
    tracker.hold(store.insert(packet), of: ticket.key)
    most = max(most, store.count)
  }

  /// Says what a first fragment was found to be: the others follow it.
  mutating func settle(_ ticket: Ticket, as value: Value, now: Instant) {
    tracker.settle(ticket.key, as: value, now: now.nanoseconds)
  }

  /// Says that a first fragment does not pass: nor will the others.
  mutating func refuse(_ ticket: Ticket, now: Instant) { tracker.refuse(ticket.key, now: now.nanoseconds) }

  /// Takes a packet that is held no longer; nil when there is none.
  mutating func popReleased() -> Released? {
    guard let number = tracker.popReleased(), let packet = store.remove(at: number) else { return nil }
    switch tracker.fate(of: number) {
    case .follows(let value): return Released(packet: packet, fate: .follows(value))
    case .stopped(let cause): return Released(packet: packet, fate: .drop(Self.reason(cause)))
    }
  }

  /// Lets packets go whose first fragment has not come; for the element's `wake`.
  mutating func expire(now: Instant) { tracker.expire(now: now.nanoseconds) }

  /// When to call `expire`; nil: not now.
  var nextExpiry: Instant? { tracker.nextExpiry.map { Instant(nanoseconds: $0) } }

  private static func reason(_ cause: FragmentTracker<Value>.Cause) -> DropReason {
    switch cause {
    case .refused: Drop.firstFragmentRefused.reason
    case .duplicate: Drop.duplicateFragment.reason
    case .overlap: Drop.overlappingFragment.reason
    case .tooMany: Drop.tooManyFragments.reason
    case .evicted: Drop.evictedFragment.reason
    case .timedOut: Drop.firstFragmentLost.reason
    }
  }
}
