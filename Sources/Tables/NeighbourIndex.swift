public import Synchronization
import Wire

/// The lock-free side of a `NeighbourTable`: any worker looks neighbours up while another changes them.
///
/// An open-addressing index of fixed size, a cache line a neighbour, at most half full. A neighbour's word is replaced by
/// a single store. Its key is written under a version that a reader compares before and after; a reader that meets a
/// change reads `unknown`, and asks the table.
///
/// It cannot be copied but by name, so that packet loops count no references, which other workers would feel.
@safe @frozen
public struct NeighbourReader: ~Copyable, Sendable {
  @usableFromInline let storage: FlatStorage
  @usableFromInline nonisolated(unsafe) let cells: UnsafeMutablePointer<Atomic<UInt64>>
  @usableFromInline let mask: UInt64
  @usableFromInline let seed: UInt64

  @inlinable static var cellsPerSlot: UInt64 { 8 }
  /// Even while the key stands still.
  @inlinable static var version: UInt64 { 0 }
  @inlinable static var high: UInt64 { 1 }
  @inlinable static var low: UInt64 { 2 }
  @inlinable static var scope: UInt64 { 3 }
  @inlinable static var word: UInt64 { 4 }
  /// The table's own number for the neighbour; readers do not look at it.
  @inlinable static var entry: UInt64 { 5 }
  /// The scope of a slot that has no neighbour; no interface has such a number.
  @inlinable static var empty: UInt64 { .max }

  init(capacity: Int, seed: UInt64) {
    var slots: UInt64 = 16
    while slots < UInt64(capacity) * 2 { slots *= 2 }
    mask = slots - 1
    self.seed = seed
    let count = Int(slots * Self.cellsPerSlot)
    storage = FlatStorage(byteCount: count * 8, alignment: 64)
    unsafe cells = storage.base.bindMemory(to: Atomic<UInt64>.self, capacity: count)
    for index in 0..<count {
      let isScope = UInt64(index) % Self.cellsPerSlot == Self.scope
      unsafe (cells + index).initialize(to: Atomic(isScope ? Self.empty : 0))
    }
  }

  /// Another reader of the same neighbours, for an owner of its own.
  public init(_ other: borrowing NeighbourReader) {
    storage = other.storage
    unsafe cells = other.cells
    mask = other.mask
    seed = other.seed
  }

  /// Looks a neighbour up without a lock.
  @inlinable @inline(__always)
  public func lookup(_ key: NeighbourKey) -> NeighbourReading {
    var slot = key.mixed(seed: seed) & mask
    var left = mask
    while true {
      let cell = unsafe cells + Int(truncatingIfNeeded: slot &* Self.cellsPerSlot)
      let before = unsafe cell[Int(Self.version)].load(ordering: .acquiring)
      let scope = unsafe cell[Int(Self.scope)].load(ordering: .acquiring)
      if scope == Self.empty { return .unknown }
      if scope == key.scope, unsafe cell[Int(Self.low)].load(ordering: .acquiring) == key.low,
        unsafe cell[Int(Self.high)].load(ordering: .acquiring) == key.high
      {
        let word = unsafe cell[Int(Self.word)].load(ordering: .acquiring)
        let after = unsafe cell[Int(Self.version)].load(ordering: .relaxed)
        return before == after && before & 1 == 0 ? NeighbourReading(word: word) : .unknown
      }
      if left == 0 { return .unknown }
      left &-= 1
      slot = (slot &+ 1) & mask
    }
  }
}

/// Changing the index; for the table, which lets one thread at a time do it.
extension NeighbourReader {
  private func load(_ slot: Int, _ field: UInt64) -> UInt64 {
    unsafe cells[slot * Int(Self.cellsPerSlot) + Int(field)].load(ordering: .relaxed)
  }

  private func store(_ slot: Int, _ field: UInt64, _ value: UInt64) {
    unsafe cells[slot * Int(Self.cellsPerSlot) + Int(field)].store(value, ordering: .releasing)
  }

  private func key(at slot: Int) -> NeighbourKey {
    NeighbourKey(high: load(slot, Self.high), low: load(slot, Self.low), scope: load(slot, Self.scope))
  }

  private func home(_ key: NeighbourKey) -> Int { Int(truncatingIfNeeded: key.mixed(seed: seed) & mask) }

  private func isEmpty(_ slot: Int) -> Bool { load(slot, Self.scope) == Self.empty }

  private func next(_ slot: Int) -> Int { (slot + 1) & Int(mask) }

  /// The slot of a neighbour and the table's number for it.
  func find(_ key: NeighbourKey) -> (slot: Int, entry: Int)? {
    var slot = home(key)
    while !isEmpty(slot) {
      if self.key(at: slot) == key { return (slot, Int(load(slot, Self.entry))) }
      slot = next(slot)
    }
    return nil
  }

  /// Adds a neighbour that is not there yet; the table sees to it that half of the slots stay empty.
  func insert(_ key: NeighbourKey, entry: Int, _ reading: NeighbourReading) {
    var slot = home(key)
    while !isEmpty(slot) { slot = next(slot) }
    write(slot, high: key.high, low: key.low, scope: key.scope, word: reading.word, entry: UInt64(entry))
  }

  /// Replaces what is read of a neighbour.
  func update(_ key: NeighbourKey, _ reading: NeighbourReading) {
    if let slot = find(key)?.slot { store(slot, Self.word, reading.word) }
  }

  /// Takes a neighbour out, and moves back those that stand behind it for want of its slot.
  func remove(_ key: NeighbourKey) {
    guard var hole = find(key)?.slot else { return }
    var slot = next(hole)
    while !isEmpty(slot) {
      let home = home(self.key(at: slot))
      // Whether the hole lies on the way from where the neighbour belongs to where it stands.
      if (slot - home) & Int(mask) >= (slot - hole) & Int(mask) {
        write(
          hole, high: load(slot, Self.high), low: load(slot, Self.low), scope: load(slot, Self.scope),
          word: load(slot, Self.word), entry: load(slot, Self.entry))
        hole = slot
      }
      slot = next(slot)
    }
    write(hole, high: 0, low: 0, scope: Self.empty, word: 0, entry: 0)
  }

  private func write(_ slot: Int, high: UInt64, low: UInt64, scope: UInt64, word: UInt64, entry: UInt64) {
    let version = load(slot, Self.version)
    store(slot, Self.version, version | 1)
    // Every store below is releasing: who sees one of them sees the odd version when it looks again.
    store(slot, Self.high, high)
    store(slot, Self.low, low)
    store(slot, Self.word, word)
    store(slot, Self.entry, entry)
    store(slot, Self.scope, scope)
    store(slot, Self.version, version &+ 2)
  }
}
