import Glibc

/// Zeroed memory that is taken once, on huge pages where the kernel has them, and given back with its last user.
@safe @usableFromInline
final class FlowMemory: @unchecked Sendable {
  @usableFromInline let base: UnsafeMutableRawPointer
  private let mapping: UnsafeMutableRawPointer
  private let mappedBytes: Int

  /// Nothing when the system does not have that much.
  @usableFromInline
  init?(byteCount: Int) {
    let hugePage = 2 << 20
    let alignment = byteCount < hugePage ? 64 : hugePage
    let (padded, overflow) = byteCount.addingReportingOverflow(alignment)
    guard !overflow,
      let mapping = unsafe mmap(nil, padded, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
      unsafe mapping != MAP_FAILED
    else { return nil }
    unsafe self.mapping = mapping
    mappedBytes = padded
    unsafe base = mapping.alignedUp(toMultipleOf: alignment)
    // A hint; whether it was taken shows in speed alone.
    if byteCount >= hugePage { _ = unsafe madvise(base, byteCount, MADV_HUGEPAGE) }
    // Touched now, so that no packet waits for the kernel to clear a page.
    for offset in stride(from: 0, to: byteCount, by: 4096) {
      unsafe base.storeBytes(of: 0, toByteOffset: offset, as: UInt8.self)
    }
  }

  deinit { unsafe munmap(mapping, mappedBytes) }
}
