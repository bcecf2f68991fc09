import CDPDK

/// Where a worker looks up all packets of a batch at once: a key for each, what kind of key it is, and what was found.
///
/// Its places are made once and used for every batch. Results are numbers, and the lowest that was noted counts; so
/// several tables can be asked in turn.
@safe @frozen
public struct LookupBurst<Key: BitwiseCopyable & Sendable>: Sendable {
  @usableFromInline let storage: LookupStorage
  @usableFromInline nonisolated(unsafe) let keys: UnsafeMutablePointer<Key>
  @usableFromInline nonisolated(unsafe) let kinds: UnsafeMutablePointer<UInt8>
  @usableFromInline nonisolated(unsafe) let results: UnsafeMutablePointer<UInt32>

  /// The result where nothing was found.
  @inlinable public static var none: UInt32 { .max }
  /// No batch has more packets than this.
  @inlinable public static var limit: Int { 256 }

  /// Places for a batch.
  @inlinable
  public init() {
    let keyBytes = Self.limit * MemoryLayout<Key>.stride
    storage = LookupStorage(byteCount: keyBytes + Self.limit * 5)
    unsafe keys = storage.base.bindMemory(to: Key.self, capacity: Self.limit)
    unsafe results = (storage.base + keyBytes).bindMemory(to: UInt32.self, capacity: Self.limit)
    unsafe kinds = (storage.base + keyBytes + Self.limit * 4).bindMemory(to: UInt8.self, capacity: Self.limit)
  }

  /// Begins a batch: nothing is looked up yet, nothing found.
  @inlinable
  public func begin(_ count: Int) {
    precondition(UInt(bitPattern: count) <= UInt(bitPattern: Self.limit), "a batch is too large")
    for index in 0..<count {
      unsafe kinds[index] = 0
      unsafe results[index] = Self.none
    }
  }

  /// Notes what is looked up for the packet at `index`.
  /// - Parameter kind: One bit; tables say which kinds they are about.
  @inlinable
  public func set(_ index: Int, _ key: Key, kind: UInt8) {
    Self.check(index)
    unsafe keys[index] = key
    unsafe kinds[index] = kind
  }

  /// What is looked up for the packet at `index`.
  @inlinable
  public func key(_ index: Int) -> Key {
    Self.check(index)
    return unsafe keys[index]
  }

  /// What kind of key the packet at `index` has; 0 when it has none.
  @inlinable
  public func kind(_ index: Int) -> UInt8 {
    Self.check(index)
    return unsafe kinds[index]
  }

  /// Notes that something was found; only the lowest number is kept.
  @inlinable
  public func note(_ index: Int, _ result: UInt32) {
    Self.check(index)
    if unsafe result < results[index] { unsafe results[index] = result }
  }

  /// What was found for the packet at `index`, or `none`.
  @inlinable
  public func result(_ index: Int) -> UInt32 {
    Self.check(index)
    return unsafe results[index]
  }

  @inlinable
  static func check(_ index: Int) {
    precondition(UInt(bitPattern: index) < UInt(bitPattern: limit), "beyond the largest batch")
  }
}

/// Memory of a burst, which is freed with its last user.
@safe @usableFromInline
final class LookupStorage: @unchecked Sendable {
  @usableFromInline let base: UnsafeMutableRawPointer

  @usableFromInline
  init(byteCount: Int) {
    unsafe base = .allocate(byteCount: byteCount, alignment: 64)
    unsafe base.initializeMemory(as: UInt8.self, repeating: 0, count: byteCount)
  }

  deinit { unsafe base.deallocate() }
}
