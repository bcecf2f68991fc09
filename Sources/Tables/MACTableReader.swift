public import CTables
public import Synchronization
public import Wire

/// Who a `MACTable` knows a station by: its address, and the VLAN that it is in (IEEE 802.1Q, 8.8).
@frozen
public struct StationKey: Hashable, Sendable {
  /// The VLAN in bits 0 to 11, the address in bits 12 to 59.
  @usableFromInline let bits: UInt64

  /// A station of a VLAN; of a bridge that knows no VLANs it is 0. Of `vlan` the low 12 bits count.
  @inlinable
  public init(_ mac: MACAddress, vlan: UInt16) { bits = mac.rawValue << 12 | UInt64(vlan & 0xFFF) }

  init(bits: UInt64) { self.bits = bits }

  /// Its address.
  public var mac: MACAddress { MACAddress(rawValue: bits >> 12) }
  /// Its VLAN; 0 without.
  public var vlan: UInt16 { UInt16(truncatingIfNeeded: bits & 0xFFF) }
}

/// What a `MACTable` says of a station.
@frozen
public struct MACTableReading: Sendable {
  /// The entry as it stands in the table; 0 when there is none.
  @usableFromInline let word: UInt64

  @inlinable
  init(word: UInt64) { self.word = word }

  /// Whether the station is known.
  @inlinable public var isKnown: Bool { word != 0 }
  /// The port that it is behind; meaningless when it is not known.
  @inlinable public var port: Int { Int(truncatingIfNeeded: (word & MACTableEntry.portMask) &- 1) }
  /// Whether it was configured rather than learned.
  @inlinable public var isStatic: Bool { word & MACTableEntry.ageMask == 0 }
}

/// An entry of a `MACTable`: 64 bits, so that it is read and replaced at once.
///
///     |  63 ... 16  |  15 ... 8  |     7     | 6 ... 0  |
///     | rest of key | last heard | in second | port + 1 |
///
/// Which bucket an entry stands in says the other bits of the key. The time is 0 in a static entry.
@usableFromInline
enum MACTableEntry {
  @inlinable static var portMask: UInt64 { 0x7F }
  @inlinable static var second: UInt64 { 0x80 }
  @inlinable static var ageMask: UInt64 { 0xFF00 }
  /// What has to be equal in the entry that is looked for.
  @inlinable static var keyMask: UInt64 { ~UInt64(0xFF7F) }
  /// Where the rest of the key begins.
  @inlinable static var keyShift: UInt64 { 16 }
  /// How long an entry holds, in ticks; of the 255 there are before the time comes round.
  @inlinable static var lifetime: UInt64 { 100 }
  /// An entry that seems this old is of a tick that is yet to come: another worker's clock moved on meanwhile. Long before
  /// it is as old in truth it has been removed.
  @inlinable static var future: UInt64 { 240 }

  /// How long ago an entry that was learned was last heard of, in ticks.
  @inlinable
  static func age(_ word: UInt64, tick: UInt64) -> UInt64 {
    let heard = (word & ageMask) >> 8
    let age = tick >= heard ? tick &- heard : tick &+ 255 &- heard
    return age < future ? age : 0
  }

  /// Whether an entry was last heard of too long ago.
  /// - Parameter tick: The time as entries have it, 1 to 255.
  @inlinable
  static func hasExpired(_ word: UInt64, tick: UInt64) -> Bool {
    word & ageMask != 0 && age(word, tick: tick) > lifetime
  }
}

/// The lock-free side of a `MACTable`: any worker looks stations up while another changes them.
///
/// Buckets of eight entries, one cache line each. A key of 60 bits is scrambled reversibly; a part of what comes out names
/// the bucket, the rest stands in the entry. An entry that found its bucket full is in a second, which its rest names;
/// with half of the places taken that is one in a hundred.
///
/// It cannot be copied but by name, so that packet loops count no references.
@safe @frozen
public struct MACTableReader: ~Copyable, Sendable {
  private let memory: FlowMemory
  /// The clock, and behind it the buckets.
  @usableFromInline nonisolated(unsafe) let cells: UnsafeMutablePointer<Atomic<UInt64>>
  @usableFromInline let mask: UInt64
  @usableFromInline let bucketBits: UInt64
  @usableFromInline let seed: UInt64

  @usableFromInline static var keyBits: UInt64 { 60 }
  @inlinable static var keyMask: UInt64 { 1 << 60 &- 1 }
  @inlinable static var places: Int { 8 }
  /// In the first cell: the time as entries have it.
  @inlinable static var tickCell: Int { 0 }
  /// In the second: when the clock is to be moved on, in nanoseconds.
  @inlinable static var dueCell: Int { 1 }
  // Odd numbers with no pattern to them, and what undoes multiplying by them.
  @inlinable static var firstFactor: UInt64 { 0x9E37_79B9_7F4A_7C15 }
  @inlinable static var secondFactor: UInt64 { 0xC4CE_B9FE_1A85_EC53 }
  private static let firstInverse = inverse(firstFactor)
  private static let secondInverse = inverse(secondFactor)

  /// - Parameter capacity: Half of the places are as many at least.
  init?(capacity: Int, seed: UInt64) {
    // An entry has no room for more than 48 bits of the key.
    var bits = Self.keyBits - 48
    while (1 << bits) * UInt64(Self.places) < UInt64(capacity) * 2 { bits += 1 }
    bucketBits = bits
    mask = 1 << bits - 1
    self.seed = seed & Self.keyMask
    let count = (Int(mask) + 2) * Self.places
    guard let memory = FlowMemory(byteCount: count * 8) else { return nil }
    self.memory = memory
    unsafe cells = memory.base.bindMemory(to: Atomic<UInt64>.self, capacity: count)
    for index in 0..<count { unsafe (cells + index).initialize(to: Atomic(0)) }
    unsafe cells[Self.tickCell].store(1, ordering: .relaxed)
  }

  /// Another reader of the same stations, for an owner of its own.
  public init(_ other: borrowing MACTableReader) {
    memory = other.memory
    unsafe cells = other.cells
    mask = other.mask
    bucketBits = other.bucketBits
    seed = other.seed
  }

  /// The time as entries have it; to be read once for a batch.
  @inlinable @inline(__always)
  public var tick: UInt64 { unsafe cells[Self.tickCell].load(ordering: .relaxed) }

  /// Whether `MACTable.advance` is to be called.
  /// - Parameter now: Nanoseconds.
  @inlinable @inline(__always)
  public func isDue(now: UInt64) -> Bool { unsafe now >= cells[Self.dueCell].load(ordering: .relaxed) }

  // MARK: Places

  /// The key, scrambled so that every bit has its part in the bucket.
  @inlinable @inline(__always)
  func scramble(_ key: StationKey) -> UInt64 {
    var mixed = ((key.bits ^ seed) &* Self.firstFactor) & Self.keyMask
    mixed ^= mixed >> 30
    mixed = (mixed &* Self.secondFactor) & Self.keyMask
    return mixed ^ mixed >> 30
  }

  /// Undoes `scramble`.
  func unscramble(_ mixed: UInt64) -> StationKey {
    var bits = mixed ^ mixed >> 30
    bits = (bits &* Self.secondInverse) & Self.keyMask
    bits ^= bits >> 30
    bits = (bits &* Self.firstInverse) & Self.keyMask
    return StationKey(bits: bits ^ seed)
  }

  /// What undoes multiplying by an odd number (Newton's iteration doubles the bits that are right).
  private static func inverse(_ factor: UInt64) -> UInt64 {
    var inverse = factor
    for _ in 0..<6 { inverse = inverse &* (2 &- factor &* inverse) }
    return inverse
  }

  @inlinable @inline(__always)
  func first(_ mixed: UInt64) -> UInt64 { mixed & mask }

  /// What an entry of the key has, all else being 0.
  @inlinable @inline(__always)
  func rest(_ mixed: UInt64) -> UInt64 { (mixed >> bucketBits) << MACTableEntry.keyShift }

  /// The other bucket of an entry that stands, or does not stand, in one.
  @inlinable
  func other(_ bucket: UInt64, _ rest: UInt64) -> UInt64 {
    (bucket ^ ((rest &* Self.firstFactor) >> 32 | 1)) & mask
  }

  @unsafe @inlinable @inline(__always)
  func line(_ bucket: UInt64) -> UnsafeMutablePointer<Atomic<UInt64>> {
    unsafe cells + Int(truncatingIfNeeded: (bucket & mask &+ 1) &* UInt64(Self.places))
  }

  @inlinable @inline(__always)
  func prefetch(_ mixed: UInt64) { unsafe nfv_prefetch(line(first(mixed))) }

  // MARK: Looking up

  /// The entry in a bucket; 0 when there is none. All eight are looked at: where it stands cannot be predicted.
  @inlinable @inline(__always)
  func search(_ bucket: UInt64, _ wanted: UInt64) -> UInt64 {
    let line = unsafe line(bucket)
    var found: UInt64 = 0
    for place in 0..<Self.places {
      let word = unsafe line[place].load(ordering: .relaxed)
      found |= (word ^ wanted) & MACTableEntry.keyMask == 0 ? word : 0
    }
    return found
  }

  @inlinable @inline(__always)
  func find(_ mixed: UInt64) -> UInt64 {
    let bucket = first(mixed)
    let rest = rest(mixed)
    let word = search(bucket, rest)
    return word != 0 ? word : search(other(bucket, rest), rest | MACTableEntry.second)
  }

  /// Looks a station up; one that was not heard of for too long is not known.
  @inlinable
  public func lookup(_ key: StationKey) -> MACTableReading { reading(find(scramble(key)), tick: tick) }

  @inlinable @inline(__always)
  func reading(_ word: UInt64, tick: UInt64) -> MACTableReading {
    MACTableReading(word: MACTableEntry.hasExpired(word, tick: tick) ? 0 : word)
  }

  /// Where a frame's destination is.
  /// - Parameters:
  ///   - position: That of the frame in the burst.
  ///   - tick: `tick` as it was read for the batch.
  @inlinable @inline(__always)
  public func destination(_ burst: borrowing StationBurst, _ position: Int, tick: UInt64) -> MACTableReading {
    reading(find(burst.destination(position)), tick: tick)
  }

  /// Whether a frame's source is known behind its port and was heard of a moment ago: there is nothing to learn.
  @inlinable @inline(__always)
  public func isFresh(_ burst: borrowing StationBurst, _ position: Int, port: Int, tick: UInt64) -> Bool {
    let word = find(burst.source(position))
    return word & (MACTableEntry.ageMask | MACTableEntry.portMask) == tick << 8 | UInt64(truncatingIfNeeded: port &+ 1)
  }
}

/// The stations that a batch of frames is from and to, scrambled, so that the waits for memory overlap.
@safe
public struct StationBurst: ~Copyable, @unchecked Sendable {
  @usableFromInline let sources: UnsafeMutablePointer<UInt64>
  @usableFromInline let destinations: UnsafeMutablePointer<UInt64>
  /// How many frames fit.
  public let capacity: Int

  /// A burst of frames from and to nobody.
  public init(capacity: Int) {
    self.capacity = max(capacity, 1)
    unsafe sources = .allocate(capacity: self.capacity)
    unsafe destinations = .allocate(capacity: self.capacity)
    unsafe sources.initialize(repeating: 0, count: self.capacity)
    unsafe destinations.initialize(repeating: 0, count: self.capacity)
  }

  deinit {
    unsafe sources.deallocate()
    unsafe destinations.deallocate()
  }

  /// Puts a frame at a position, and begins to bring what the table says of its stations near.
  @inlinable @inline(__always)
  public mutating func set(
    _ position: Int, source: StationKey, destination: StationKey, in table: borrowing MACTableReader
  ) {
    precondition(UInt(bitPattern: position) < UInt(bitPattern: capacity), "there is no such place in the burst")
    let from = table.scramble(source)
    let to = table.scramble(destination)
    unsafe sources[position] = from
    unsafe destinations[position] = to
    table.prefetch(from)
    table.prefetch(to)
  }

  @inlinable @inline(__always)
  func source(_ position: Int) -> UInt64 {
    precondition(UInt(bitPattern: position) < UInt(bitPattern: capacity), "there is no such place in the burst")
    return unsafe sources[position]
  }

  @inlinable @inline(__always)
  func destination(_ position: Int) -> UInt64 {
    precondition(UInt(bitPattern: position) < UInt(bitPattern: capacity), "there is no such place in the burst")
    return unsafe destinations[position]
  }
}
