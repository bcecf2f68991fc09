import Glibc

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

  /// Address space for `byteCount` bytes, a multiple of `step`.
  /// - Parameter usable: Whether all of it may be read (as zeros) and written already; else `grow` it first.
  init(byteCount: Int, usable: Bool) {
    let protection = usable ? PROT_READ | PROT_WRITE : PROT_NONE
    let flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE
    guard let mapping = unsafe mmap(nil, byteCount + Self.step, protection, flags, -1, 0),
      Int(bitPattern: mapping) != -1
    else {
      fatalError("no address space for a table of \(byteCount >> 20) MiB")
    }
    unsafe self.mapping = mapping
    unsafe base = mapping.alignedUp(toMultipleOf: Self.step)
    self.byteCount = byteCount
  }

  deinit { unsafe munmap(mapping, byteCount + Self.step) }

  /// Makes the `step` bytes from `offset`, a multiple of it, usable.
  func grow(at offset: Int) {
    precondition(offset < byteCount, "a table has outgrown its \(byteCount >> 20) MiB")
    let status = unsafe mprotect(base + offset, Self.step, PROT_READ | PROT_WRITE)
    precondition(status == 0, "no memory for a table")
  }

  /// Lets the kernel use huge pages from now on, which spares misses of the translation buffer.
  func preferHugePages() { _ = unsafe madvise(base, byteCount, MADV_HUGEPAGE) }
}
