public import CDPDK

/// The workers that read snapshots, so that a writer can wait until none of them uses an old one (quiescent-state
/// based reclamation, `rte_rcu_qsbr`).
@safe
public final class ReaderDomain: @unchecked Sendable {
  private let domain: OpaquePointer

  /// A domain for up to `workers` readers; nil when memory is short.
  public init?(workers: Int) {
    guard let domain = unsafe nfv_rcu_create(UInt32(max(workers, 1))) else { return nil }
    unsafe self.domain = domain
  }

  deinit { unsafe nfv_rcu_destroy(domain) }

  func online(_ worker: Int) { unsafe nfv_rcu_online(domain, UInt32(worker)) }
  func offline(_ worker: Int) { unsafe nfv_rcu_offline(domain, UInt32(worker)) }
  func quiescent(_ worker: Int) { unsafe nfv_rcu_quiescent(domain, UInt32(worker)) }

  /// Waits until no worker uses what was replaced before the call. Not to be called by a worker.
  public func synchronize() { unsafe nfv_rcu_synchronize(domain) }
}

/// A read-mostly value that all workers share. Readers see a whole value, the old or the new one, without a lock or a
/// counted reference; a writer replaces it.
@safe
public final class Snapshot<Value: ~Copyable & Sendable>: Replaceable, @unchecked Sendable {
  @usableFromInline let word: UnsafeMutablePointer<UnsafeMutableRawPointer?>

  /// A snapshot of `value`.
  public init(_ value: consuming Value) {
    unsafe word = .allocate(capacity: 1)
    unsafe word.initialize(to: Self.box(value))
  }

  deinit {
    unsafe Self.destroy(nfv_load_pointer(word))
    unsafe word.deallocate()
  }

  /// Reads the value. On a worker it stays whole until the worker's next round.
  @inlinable
  public func read<Result: ~Copyable>(_ body: (borrowing Value) -> Result) -> Result {
    let value = unsafe nfv_load_pointer(word).unsafelyUnwrapped.assumingMemoryBound(to: Value.self)
    return unsafe body(value.pointee)
  }

  /// Replaces the value and frees the old one as soon as no worker uses it. Waits for that; to be called from one
  /// control thread at a time.
  public func replace(with value: consuming Value, in domain: ReaderDomain) {
    let old = unsafe nfv_exchange_pointer(word, Self.box(value))
    domain.synchronize()
    unsafe Self.destroy(old)
  }

  /// Takes over the value of `other`, which is left without one and must not be read any more.
  public func replace(with other: Snapshot, readers: ReaderDomain) {
    let old = unsafe nfv_exchange_pointer(word, nfv_exchange_pointer(other.word, nil))
    readers.synchronize()
    unsafe Self.destroy(old)
  }

  private static func box(_ value: consuming Value) -> UnsafeMutableRawPointer {
    let box = UnsafeMutablePointer<Value>.allocate(capacity: 1)
    unsafe box.initialize(to: value)
    return UnsafeMutableRawPointer(box)
  }

  private static func destroy(_ pointer: UnsafeMutableRawPointer?) {
    guard let box = unsafe pointer?.assumingMemoryBound(to: Value.self) else { return }
    unsafe box.deinitialize(count: 1)
    unsafe box.deallocate()
  }
}
