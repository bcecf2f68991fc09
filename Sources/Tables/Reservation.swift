import Glibc

/// There is no memory for a table, or no address space for it to grow into.
public struct TableMemoryError: Error, Hashable, Sendable, CustomStringConvertible {
  /// What was asked for in vain, in bytes.
  public let byteCount: Int

  init(byteCount: Int) { self.byteCount = byteCount }

  /// What is missing.
  public var description: String { "there is no memory for a table: \(byteCount >> 20) MiB more were refused" }

  /// What mends it.
  public var remedy: String {
    Reservation.addressSpaceLimit == nil
      ? "free memory, or let the system promise more with: sudo sysctl vm.overcommit_memory=1"
      : "lift the limit on address space with: ulimit -v unlimited"
  }
}

/// A stretch of address space that stays where it is, and becomes memory page by page.
///
/// What nobody wrote to costs no memory, so a table may be as large as its index can count.
@safe
struct Reservation: ~Copyable {
  /// What `grow` makes usable at once, and the size of a huge page.
  static var step: Int { 1 << 21 }

  /// The first byte, at a multiple of `step`.
  let base: UnsafeMutableRawPointer
  let byteCount: Int
  private let mapping: UnsafeMutableRawPointer

  /// Address space for `byteCount` bytes, a multiple of `step`; fails when there is none.
  /// - Parameter usable: Whether all of it may be read (as zeros) and written already; else `grow` it first.
  init(byteCount: Int, usable: Bool) throws(TableMemoryError) {
    let protection = usable ? PROT_READ | PROT_WRITE : PROT_NONE
    let flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE
    guard let mapping = unsafe mmap(nil, byteCount + Self.step, protection, flags, -1, 0),
      Int(bitPattern: mapping) != -1
    else { throw TableMemoryError(byteCount: byteCount) }
    unsafe self.mapping = mapping
    unsafe base = mapping.alignedUp(toMultipleOf: Self.step)
    self.byteCount = byteCount
  }

  /// As much address space as there is, up to `byteCount` bytes. Where the process has a limit, a table leaves most of it
  /// to others.
  static func make(upTo byteCount: Int) throws(TableMemoryError) -> Reservation {
    let share = addressSpaceLimit.map { $0 / 16 } ?? byteCount
    var size = max(min(byteCount, share) / step * step, least)
    while true {
      do throws(TableMemoryError) {
        return try Reservation(byteCount: size, usable: false)
      } catch {
        guard size > least else { throw error }
        size = max(size / 2 / step * step, least)
      }
    }
  }

  private static var least: Int { 4 * step }

  /// How much address space the process may have, in bytes; nil: as much as there is.
  static var addressSpaceLimit: Int? {
    var limit = rlimit()
    guard unsafe getrlimit(__rlimit_resource_t(RLIMIT_AS.rawValue), &limit) == 0, limit.rlim_cur <= rlim_t(Int.max)
    else { return nil }
    return Int(limit.rlim_cur)
  }

  deinit { unsafe munmap(mapping, byteCount + Self.step) }

  /// Makes the `step` bytes from `offset`, a multiple of it, usable; fails at the end, or when memory is out.
  func grow(at offset: Int) throws(TableMemoryError) {
    guard offset + Self.step <= byteCount,
      unsafe mprotect(base + offset, Self.step, PROT_READ | PROT_WRITE) == 0
    else { throw TableMemoryError(byteCount: Self.step) }
  }

  /// Lets the kernel use huge pages from now on, which spares misses of the translation buffer.
  func preferHugePages() { _ = unsafe madvise(base, byteCount, MADV_HUGEPAGE) }
}
