/// Memory that is freed when its last user is gone.
@safe
public final class FlatStorage: @unchecked Sendable {
  @usableFromInline let base: UnsafeMutableRawPointer

  @usableFromInline
  init(byteCount: Int, alignment: Int) {
    unsafe base = .allocate(byteCount: max(byteCount, 1), alignment: max(alignment, 64))
  }

  deinit { unsafe base.deallocate() }
}

/// An array for packet loops, of a fixed length: reading an element checks the bounds, and touches no reference count.
@safe @frozen
public struct FlatArray<Element: BitwiseCopyable & Sendable>: Sendable {
  @usableFromInline let storage: FlatStorage
  @usableFromInline nonisolated(unsafe) let base: UnsafeMutablePointer<Element>
  /// How many elements there are.
  public let count: Int

  /// A copy of a sequence's elements.
  @inlinable
  public init(_ elements: some Collection<Element>) {
    count = elements.count
    storage = FlatStorage(byteCount: count * MemoryLayout<Element>.stride, alignment: MemoryLayout<Element>.alignment)
    unsafe base = storage.base.bindMemory(to: Element.self, capacity: count)
    for (index, element) in elements.enumerated() { unsafe (base + index).initialize(to: element) }
  }

  /// The same element `count` times.
  @inlinable
  public init(repeating element: Element, count: Int) {
    self.count = count
    storage = FlatStorage(byteCount: count * MemoryLayout<Element>.stride, alignment: MemoryLayout<Element>.alignment)
    unsafe base = storage.base.bindMemory(to: Element.self, capacity: count)
    unsafe base.initialize(repeating: element, count: count)
  }

  /// The element at `index`, which must be below `count`.
  @inlinable
  public subscript(index: Int) -> Element {
    precondition(UInt(bitPattern: index) < UInt(bitPattern: count), "index out of range")
    return unsafe base[index]
  }

  /// Replaces the element at `index`, which must be below `count`. To be called by one thread, and only while no other
  /// reads the element: before anything leads to it, or once all readers have been waited for.
  public func set(_ index: Int, _ element: Element) {
    precondition(UInt(bitPattern: index) < UInt(bitPattern: count), "index out of range")
    unsafe base[index] = element
  }
}

extension FlatArray where Element: Equatable {
  /// Whether an element is among them; they are looked at one by one.
  @inlinable
  public func contains(_ element: Element) -> Bool {
    for index in 0..<count where self[index] == element { return true }
    return false
  }
}

/// Counters of one worker that others may read while it runs.
@safe @frozen
public struct Tally: Sendable {
  @usableFromInline let storage: FlatStorage
  @usableFromInline nonisolated(unsafe) let base: UnsafeMutablePointer<UInt64>
  /// How many counters there are.
  public let count: Int

  /// Counters that stand at 0.
  @inlinable
  public init(_ count: Int) {
    self.count = count
    storage = FlatStorage(byteCount: count * 8, alignment: 8)
    unsafe base = storage.base.bindMemory(to: UInt64.self, capacity: count)
    unsafe base.initialize(repeating: 0, count: count)
  }

  /// The counter at `index`, which must be below `count`.
  @inlinable
  public subscript(index: Int) -> UInt64 {
    precondition(UInt(bitPattern: index) < UInt(bitPattern: count), "index out of range")
    return unsafe base[index]
  }

  /// Adds to a counter; to be called by its one worker.
  @inlinable
  public func add(_ amount: UInt64, to index: Int) {
    precondition(UInt(bitPattern: index) < UInt(bitPattern: count), "index out of range")
    unsafe base[index] = base[index] &+ amount
  }
}
