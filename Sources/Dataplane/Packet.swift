public import CDPDK
import Wire

/// One packet: a DPDK packet buffer that has exactly one owner.
///
/// A batch owns its packets and lends each to an element as `inout`; using a packet after giving it away, or keeping
/// one that was lent, does not compile. A packet that is let go without a verdict is freed and counted as abandoned.
///
/// Header views (`ipv4`, `tcp`, ...) are there when the packet has such a header, whole and in one piece; what the
/// first look found out travels with the packet. They live no longer than the access to the packet. The `mutable` ones
/// first make sure that no other packet shares the bytes.
@safe @frozen
public struct Packet: ~Copyable {
  @usableFromInline var mbuf: UnsafeMutablePointer<nfv_mbuf>

  @unsafe @inlinable
  init(owning mbuf: UnsafeMutablePointer<nfv_mbuf>) { unsafe self.mbuf = mbuf }

  @inlinable
  deinit { unsafe nfv_abandon(mbuf) }

  /// Ends this owner's life without freeing the buffer.
  @inlinable
  consuming func release() -> UnsafeMutablePointer<nfv_mbuf> {
    let mbuf = unsafe mbuf
    discard self
    return unsafe mbuf
  }

  // MARK: What the data plane knows

  /// Length of the frame in bytes, all segments together.
  @inlinable
  public var length: Int { unsafe Int(mbuf.pointee.packet_length) }

  /// Length of the first segment in bytes; headers are looked for there.
  @inlinable
  var contiguousLength: Int { unsafe Int(mbuf.pointee.data_length) }

  /// How many buffers the packet is spread over.
  @inlinable
  public var segmentCount: Int { unsafe Int(mbuf.pointee.segment_count) }

  /// Number of the port that the packet came in by.
  @inlinable
  public var ingressPort: Int { unsafe Int(mbuf.pointee.port) }

  /// The user's mark: 0 until an element sets it; it leaves with the packet's copies.
  @inlinable
  public var mark: UInt32 {
    get { unsafe mbuf.pointee.mark }
    set { unsafe mbuf.pointee.mark = newValue }
  }

  @inlinable
  var start: UnsafeMutableRawPointer { unsafe nfv_mbuf_data(mbuf) }

  /// The bytes of the first segment.
  @inlinable
  public var bytes: RawSpan {
    @_lifetime(borrow self)
    get {
      let span = unsafe RawSpan(_unsafeStart: start, byteCount: contiguousLength)
      return unsafe _overrideLifetime(span, borrowing: self)
    }
  }

  /// The bytes of the first segment, to write; empty when they are shared and no buffer is left for a copy. The next
  /// look at a header parses the frame anew.
  @inlinable
  public var mutableBytes: MutableRawSpan {
    @_lifetime(&self)
    mutating get {
      let count = makeWritable() ? contiguousLength : 0
      forgetHeaders()
      let span = unsafe MutableRawSpan(_unsafeStart: start, byteCount: count)
      return unsafe _overrideLifetime(span, mutating: &self)
    }
  }

  /// All bytes, across segments. For reports and tests; it allocates.
  public func copyBytes() -> [UInt8] { copyBytes(in: 0..<length) }

  /// The bytes in `range` that there are, across segments. For reports and tests; it allocates.
  public func copyBytes(in range: Range<Int>) -> [UInt8] {
    let range = range.clamped(to: 0..<length)
    return unsafe [UInt8](unsafeUninitializedCapacity: range.count) { buffer, count in
      guard let base = buffer.baseAddress else { return }
      if unsafe nfv_read(mbuf, UInt32(range.lowerBound), UInt32(range.count), base) { count = range.count }
    }
  }

  // MARK: Owning the bytes

  /// Makes sure that no other packet shares the first segment's bytes. False when that takes a buffer and none is left.
  @inlinable
  public mutating func makeWritable() -> Bool {
    let shared: UInt64 = 1 << 61 | 1 << 62
    if unsafe mbuf.pointee.reference_count == 1 && mbuf.pointee.offload_flags & shared == 0 { return true }
    guard let copy = unsafe Self.copyShared(mbuf) else { return false }
    unsafe mbuf = copy
    return true
  }

  /// What holds the packet afterwards; nil, with the packet unharmed, when no buffer is left. It is given and returned
  /// by value so that a packet need not stand in memory where it is lent.
  @unsafe @usableFromInline
  static func copyShared(_ old: UnsafeMutablePointer<nfv_mbuf>) -> UnsafeMutablePointer<nfv_mbuf>? {
    var mbuf: UnsafeMutablePointer<nfv_mbuf>? = unsafe old
    let before = unsafe old.pointee.data_length
    guard unsafe nfv_make_writable(&mbuf, min(UInt32(before), headerReach), OpaquePointer(old.pointee.pool)),
      let new = unsafe mbuf
    else { return nil }
    // A fresh buffer may hold less than one whose headroom was used up: headers may have moved to the next.
    if unsafe new.pointee.data_length < before { unsafe new.pointee.parsed = 0 }
    return unsafe new
  }

  /// A second packet that shares this one's bytes; nil when the pool has no buffer left.
  borrowing func clone(from pool: OpaquePointer) -> Packet? {
    // Headers are brought into one piece as long as the bytes are this packet's own.
    if segmentCount > 1 { _ = facts }
    guard let copy = unsafe nfv_clone(mbuf, pool) else { return nil }
    return unsafe Packet(owning: copy)
  }

  // MARK: Changing the shape

  /// Makes room for `count` bytes at `offset`, moving what stands before it towards the headroom; the new bytes are
  /// undefined, and the next look at a header parses the frame anew. False, with the packet unchanged, when there is no
  /// room.
  public mutating func insert(_ count: Int, at offset: Int) -> Bool {
    guard offset >= 0, count >= 0, count <= Int(UInt16.max), reaches(offset) else { return false }
    guard unsafe count <= Int(mbuf.pointee.data_offset), length + count <= Int(UInt16.max) else { return false }
    let old = unsafe start
    unsafe mbuf.pointee.data_offset -= UInt16(count)
    unsafe mbuf.pointee.data_length += UInt16(count)
    unsafe mbuf.pointee.packet_length += UInt32(count)
    nfv_length_changed()
    unsafe start.copyMemory(from: old, byteCount: offset)
    forgetHeaders()
    return true
  }

  /// Takes away `count` bytes at `offset`. False, with the packet unchanged, when the first segment is shorter.
  public mutating func remove(_ count: Int, at offset: Int) -> Bool {
    guard offset >= 0, count >= 0, offset <= length, count <= length - offset, reaches(offset + count) else {
      return false
    }
    let old = unsafe start
    unsafe mbuf.pointee.data_offset += UInt16(count)
    unsafe mbuf.pointee.data_length -= UInt16(count)
    unsafe mbuf.pointee.packet_length -= UInt32(count)
    nfv_length_changed()
    unsafe start.copyMemory(from: old, byteCount: offset)
    followRemoval(of: count, at: offset)
    return true
  }

  /// Makes the first segment writable; false when that fails or the segment is shorter than `count` even with what
  /// parsing brings into it.
  private mutating func reaches(_ count: Int) -> Bool {
    guard count <= length, makeWritable() else { return false }
    if count > contiguousLength { _ = parse() }
    return count <= contiguousLength
  }

  /// Cuts the packet down to its first `length` bytes; a longer `length` changes nothing.
  public mutating func truncate(to length: Int) {
    guard length >= 0, length < self.length else { return }
    unsafe nfv_truncate(mbuf, UInt32(length))
    forgetHeaders()
  }

  /// Replaces the whole contents. False, with the packet empty, when no buffers are left or `contents` is longer than
  /// 65,535 bytes.
  public mutating func replaceBytes(with contents: RawSpan) -> Bool {
    forgetHeaders()
    unsafe nfv_truncate(mbuf, 0)
    guard contents.byteCount <= Int(UInt16.max), makeWritable() else { return false }
    return unsafe contents.withUnsafeBytes { bytes in
      unsafe bytes.isEmpty || nfv_write(mbuf, bytes.baseAddress, UInt32(bytes.count), OpaquePointer(mbuf.pointee.pool))
    }
  }

  /// Replaces the whole contents, as `replaceBytes(with:)` of a span does.
  public mutating func replaceBytes(with contents: [UInt8]) -> Bool { unsafe replaceBytes(with: contents.span.bytes) }

  /// Has the next look at a header parse the frame anew; for elements that change by a header view what follows it.
  @inlinable
  public mutating func forgetHeaders() { unsafe mbuf.pointee.parsed = 0 }

  /// Headers behind VLAN tags that were taken away whole are where they were, only earlier.
  private mutating func followRemoval(of count: Int, at offset: Int) {
    let network = unsafe Int(mbuf.pointee.network_offset)
    guard unsafe mbuf.pointee.parsed & (Facts.ipv4 | Facts.ipv6 | Facts.arp) != 0, offset >= 12, offset % 4 == 0,
      count % 4 == 0, offset + count <= network - 2
    else {
      forgetHeaders()
      return
    }
    unsafe mbuf.pointee.network_offset = UInt16(network - count)
    unsafe mbuf.pointee.transport_offset &-= UInt16(count)
  }
}
