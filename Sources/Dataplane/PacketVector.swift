public import CDPDK

/// A place for one packet; nil when it was taken.
public typealias PacketSlot = UnsafeMutablePointer<nfv_mbuf>?

/// Packets that wait at an input, oldest first. Grows when it must; how far is bounded by the packet pool.
@unsafe @usableFromInline
struct PacketVector {
  @usableFromInline var slots: UnsafeMutablePointer<PacketSlot>
  @usableFromInline var count = 0
  var capacity: Int
  /// What all packets are long together, as long as `isMeasured`: adding it up again costs a look at each.
  private var bytes: UInt64 = 0
  private var isMeasured = true

  init(capacity: Int) {
    unsafe slots = .allocate(capacity: capacity)
    unsafe self.capacity = capacity
  }

  func deallocate() { unsafe slots.deallocate() }

  mutating func reserve(_ more: Int) {
    if unsafe count + more > capacity { unsafe grow(to: count + more) }
  }

  private mutating func grow(to needed: Int) {
    let larger = max(needed, unsafe capacity * 2)
    let moved = UnsafeMutablePointer<PacketSlot>.allocate(capacity: larger)
    unsafe moved.update(from: slots, count: count)
    unsafe slots.deallocate()
    unsafe slots = moved
    unsafe capacity = larger
  }

  @inline(__always)
  mutating func append(_ slot: PacketSlot) {
    if unsafe count == capacity { unsafe grow(to: count + 1) }
    unsafe slots[count] = slot
    unsafe count &+= 1
    unsafe isMeasured = false
  }

  /// - Parameter bytes: What they are long together; nil when nobody knows.
  mutating func append(_ from: UnsafeMutablePointer<PacketSlot>, _ more: Int, bytes: UInt64? = nil) {
    unsafe reserve(more)
    unsafe (slots + count).update(from: from, count: more)
    unsafe noteAppended(more, bytes: bytes)
  }

  /// Counts packets that were put behind the others, into room that was reserved.
  mutating func noteAppended(_ more: Int, bytes: UInt64?) {
    unsafe count &+= more
    if let bytes, unsafe isMeasured { unsafe self.bytes &+= bytes } else { unsafe isMeasured = false }
  }

  /// What all packets are long together.
  mutating func measure() -> UInt64 {
    if unsafe !isMeasured {
      unsafe bytes = nfv_total_length(slots, UInt32(count))
      unsafe isMeasured = true
    }
    return unsafe bytes
  }

  /// What all packets are long together, when that is known.
  var bytesIfMeasured: UInt64? { unsafe isMeasured ? bytes : nil }

  /// Forgets the packets, which belong to somebody else now.
  mutating func clear() {
    unsafe count = 0
    unsafe bytes = 0
    unsafe isMeasured = true
  }

  /// Forgets what the packets are long: they may have been changed.
  mutating func forgetLengths() { unsafe isMeasured = false }

  /// Takes the oldest packets out; they belong to the caller.
  mutating func removeFirst(_ taken: Int) {
    guard taken > 0 else { return }
    if unsafe taken == count { return unsafe clear() }
    unsafe isMeasured = false
    unsafe count -= taken
    unsafe slots.update(from: slots + taken, count: count)
  }

  /// Frees all packets.
  mutating func free() {
    if unsafe count > 0 {
      unsafe nfv_free(slots, UInt32(count))
      unsafe clear()
    }
  }

  /// Puts packets into their order of arrival, those of the same origin as they stand. Replay's results are the same
  /// for every batch size because of this.
  mutating func restoreOrder() {
    var index = 1
    while unsafe index < count {
      if unsafe Self.precedes(slots[index], slots[index - 1]) {
        unsafe sort()
        return
      }
      index += 1
    }
  }

  /// Whether one packet arrived before another.
  static func precedes(_ left: PacketSlot, _ right: PacketSlot) -> Bool {
    guard let left = unsafe left, let right = unsafe right else { return false }
    return unsafe Int32(bitPattern: left.pointee.sequence &- right.pointee.sequence) < 0
  }

  /// Binary insertion: what is merged consists of a few ordered runs.
  private mutating func sort() {
    for index in unsafe 1..<count {
      let moving = unsafe slots[index]
      guard unsafe Self.precedes(moving, slots[index - 1]) else { continue }
      var low = 0
      var high = index
      while low < high {
        let middle = (low + high) / 2
        if unsafe Self.precedes(moving, slots[middle]) { high = middle } else { low = middle + 1 }
      }
      unsafe (slots + low + 1).update(from: slots + low, count: index - low)
      unsafe slots[low] = moving
    }
  }
}
