/// A mutable array of a fixed size, of zeros at first, whose memory is taken page by page as it is written to.
///
/// For tables that are indexed by something sparse, such as all ports of many addresses.
@safe
struct LazyArray<Element: BitwiseCopyable & Sendable>: ~Copyable, @unchecked Sendable {
  private let memory: Reservation
  private let base: UnsafeMutablePointer<Element>
  /// How many elements there are.
  let count: Int

  /// - Parameter count: How many elements; all bits of each are 0, which must be a valid value.
  init(zeros count: Int) throws(TableMemoryError) {
    self.count = count
    let bytes = max(count, 1) * MemoryLayout<Element>.stride
    memory = try Reservation(
      byteCount: (bytes + Reservation.step - 1) / Reservation.step * Reservation.step, usable: true)
    unsafe base = memory.base.bindMemory(to: Element.self, capacity: count)
  }

  /// The element at `index`, which must be below `count`.
  subscript(index: Int) -> Element {
    unsafeAddress {
      precondition(UInt(bitPattern: index) < UInt(bitPattern: count), "index out of range")
      return unsafe UnsafePointer(base + index)
    }
    nonmutating unsafeMutableAddress {
      precondition(UInt(bitPattern: index) < UInt(bitPattern: count), "index out of range")
      return unsafe base + index
    }
  }
}
