import CDPDK

/// The world as an element may see it: the time, the worker, randomness and packet buffers. All of it is an argument,
/// so that a run can be repeated.
@safe
public struct Context: ~Copyable {
  /// The worker's clock. It stands still while a batch is processed.
  public internal(set) var now = Instant(nanoseconds: 0)
  /// The worker's number, from 0 on.
  public let worker: Int
  /// How many workers run the graph.
  public let workers: Int
  /// Pseudo-random numbers: others for each worker and, live, for each run; in a replay always the same.
  public var random: RandomNumbers
  /// Packets made here since the start of the run of the element at hand.
  @usableFromInline var created = 0
  /// Earliest wake-up that the element at hand asked for.
  var requestedWake = Instant.never
  @usableFromInline let pool: OpaquePointer

  @unsafe
  init(worker: Int, of workers: Int, seed: UInt64, pool: OpaquePointer) {
    self.worker = worker
    self.workers = workers
    unsafe self.pool = pool
    random = RandomNumbers(seed: seed &+ UInt64(worker) &+ 1)
  }

  /// Has the element's `wake` called at the first opportunity that is not before `instant`. The earliest request since
  /// the last call counts.
  public mutating func wake(at instant: Instant) { requestedWake = min(requestedWake, instant) }

  /// A new, empty packet; nil when the pool has none left.
  public mutating func allocate() -> Packet? {
    var slot: PacketSlot = nil
    guard unsafe nfv_alloc(pool, &slot, 1), let mbuf = unsafe slot else { return nil }
    created += 1
    return unsafe Packet(owning: mbuf)
  }

  /// A second packet with the same bytes. They are shared until one of the two is written to. Nil when the pool has no
  /// buffer left.
  public mutating func clone(_ packet: borrowing Packet) -> Packet? {
    guard let clone = unsafe packet.clone(from: pool) else { return nil }
    created += 1
    return clone
  }
}

/// A small, fast generator (splitmix64); not for secrets.
public struct RandomNumbers: RandomNumberGenerator, Sendable {
  private var state: UInt64

  /// The same seed gives the same numbers.
  public init(seed: UInt64) { state = seed }

  /// The next number.
  public mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var mixed = state
    mixed = (mixed ^ mixed >> 30) &* 0xBF58_476D_1CE4_E5B9
    mixed = (mixed ^ mixed >> 27) &* 0x94D0_49BB_1331_11EB
    return mixed ^ mixed >> 31
  }
}
