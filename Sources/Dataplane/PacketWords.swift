import CDPDK
public import Wire

// Looking at what stands anywhere in a packet, such as in what an ICMP error has embedded, and writing single words.

extension Packet {
  /// Whether the first segment has bytes `offset` to `offset + count`.
  @inlinable @inline(__always)
  func has(_ count: Int, at offset: Int) -> Bool {
    offset >= 0 && offset <= contiguousLength && count <= contiguousLength - offset
  }

  /// The 16-bit word at `offset`, in the host's byte order; nil beyond the first segment.
  @inlinable
  public func word16(at offset: Int) -> UInt16? {
    guard has(2, at: offset) else { return nil }
    return unsafe UInt16(bigEndian: start.loadUnaligned(fromByteOffset: offset, as: UInt16.self))
  }

  /// The 32-bit word at `offset`, in the host's byte order; nil beyond the first segment.
  @inlinable
  public func word32(at offset: Int) -> UInt32? {
    guard has(4, at: offset) else { return nil }
    return unsafe UInt32(bigEndian: start.loadUnaligned(fromByteOffset: offset, as: UInt32.self))
  }

  /// The IPv4 header that stands at `offset`, options and all; nil when there is none, or not whole in the first segment.
  /// Nothing else of it has been looked at.
  /// - Parameter offset: In the frame, in bytes.
  @inlinable @_lifetime(borrow self)
  public func ipv4Header(at offset: Int) -> IPv4Header<ReadOnly>? {
    guard has(20, at: offset), unsafe start.load(fromByteOffset: offset, as: UInt8.self) >> 4 == 4 else { return nil }
    let header = unsafe IPv4Header<ReadOnly>(unchecked: headerBytes(at: offset))
    guard header.headerLength >= 20, has(header.headerLength, at: offset) else { return nil }
    return unsafe _overrideLifetime(header, borrowing: self)
  }

  /// The IPv6 header that stands at `offset`; nil when there is none, or not whole in the first segment. Nothing else of
  /// it has been looked at.
  /// - Parameter offset: In the frame, in bytes.
  @inlinable @_lifetime(borrow self)
  public func ipv6Header(at offset: Int) -> IPv6Header<ReadOnly>? {
    guard has(40, at: offset), unsafe start.load(fromByteOffset: offset, as: UInt8.self) >> 4 == 6 else { return nil }
    let header = unsafe IPv6Header<ReadOnly>(unchecked: headerBytes(at: offset))
    return unsafe _overrideLifetime(header, borrowing: self)
  }

  /// Writes a 16-bit word at `offset`, given in the host's byte order; what stands there is parsed anew afterwards. False
  /// when the first segment ends before, or no buffer is left for bytes of its own.
  @inlinable
  public mutating func setWord16(_ value: UInt16, at offset: Int) -> Bool {
    guard makeWritable(), has(2, at: offset) else { return false }
    forgetHeaders()
    unsafe start.storeBytes(of: value.bigEndian, toByteOffset: offset, as: UInt16.self)
    return true
  }

  /// Writes a 32-bit word at `offset`, as `setWord16` does.
  @inlinable
  public mutating func setWord32(_ value: UInt32, at offset: Int) -> Bool {
    guard makeWritable(), has(4, at: offset) else { return false }
    forgetHeaders()
    unsafe start.storeBytes(of: value.bigEndian, toByteOffset: offset, as: UInt32.self)
    return true
  }
}
