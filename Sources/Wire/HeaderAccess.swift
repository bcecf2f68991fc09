/// Whether a header view may write: `ReadOnly` or `ReadWrite`.
public protocol HeaderAccess: Sendable {}
/// A view that only reads; several may be held at once.
@frozen public enum ReadOnly: HeaderAccess {}
/// A view that also writes. The packet made its bytes its own before it handed the view out.
@frozen public enum ReadWrite: HeaderAccess {}

/// The bytes a header view stands on, which are known to be there: whoever makes one has checked the length, and
/// nothing behind it checks again.
///
/// Values are read and written in network byte order and given in the host's.
@safe @frozen
public struct HeaderBytes: ~Escapable {
  @usableFromInline let base: UnsafeMutableRawPointer

  /// - Parameter base: As many readable (for `ReadWrite` views, writable) bytes as the header has.
  @unsafe @inlinable @_lifetime(immortal)
  public init(unchecked base: UnsafeMutableRawPointer) { unsafe self.base = base }

  @inlinable
  func byte(_ offset: Int) -> UInt8 { unsafe base.load(fromByteOffset: offset, as: UInt8.self) }

  @inlinable
  func word16(_ offset: Int) -> UInt16 {
    unsafe UInt16(bigEndian: base.loadUnaligned(fromByteOffset: offset, as: UInt16.self))
  }

  @inlinable
  func word32(_ offset: Int) -> UInt32 {
    unsafe UInt32(bigEndian: base.loadUnaligned(fromByteOffset: offset, as: UInt32.self))
  }

  @inlinable
  func word64(_ offset: Int) -> UInt64 {
    unsafe UInt64(bigEndian: base.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
  }

  /// In the machine's byte order.
  @inlinable
  func native32(_ offset: Int) -> UInt32 { unsafe base.loadUnaligned(fromByteOffset: offset, as: UInt32.self) }

  /// In the machine's byte order.
  @inlinable
  func native64(_ offset: Int) -> UInt64 { unsafe base.loadUnaligned(fromByteOffset: offset, as: UInt64.self) }

  @inlinable
  func mac(_ offset: Int) -> MACAddress {
    MACAddress(rawValue: UInt64(word16(offset)) << 32 | UInt64(word32(offset + 2)))
  }

  @inlinable
  func ipv6(_ offset: Int) -> IPv6Address { IPv6Address(high: word64(offset), low: word64(offset + 8)) }

  @inlinable
  func set(_ offset: Int, byte: UInt8) { unsafe base.storeBytes(of: byte, toByteOffset: offset, as: UInt8.self) }

  @inlinable
  func set(_ offset: Int, word16: UInt16) {
    unsafe base.storeBytes(of: word16.bigEndian, toByteOffset: offset, as: UInt16.self)
  }

  @inlinable
  func set(_ offset: Int, word32: UInt32) {
    unsafe base.storeBytes(of: word32.bigEndian, toByteOffset: offset, as: UInt32.self)
  }

  @inlinable
  func set(_ offset: Int, word64: UInt64) {
    unsafe base.storeBytes(of: word64.bigEndian, toByteOffset: offset, as: UInt64.self)
  }

  /// In the machine's byte order.
  @inlinable
  func set(_ offset: Int, native32: UInt32) {
    unsafe base.storeBytes(of: native32, toByteOffset: offset, as: UInt32.self)
  }

  /// In the machine's byte order.
  @inlinable
  func set(_ offset: Int, native64: UInt64) {
    unsafe base.storeBytes(of: native64, toByteOffset: offset, as: UInt64.self)
  }

  /// Exchanges the first six bytes and the six behind them; there are two more at least. Two loads and two stores, with
  /// a constant for a mask, are the fewest instructions.
  @inlinable
  func swapSixes() {
    let six: UInt64 = 0x0000_FFFF_FFFF_FFFF
    let first = UInt64(littleEndian: native64(0))
    let second = UInt64(littleEndian: native64(6))
    unsafe base.storeBytes(of: second.littleEndian, as: UInt64.self)
    let rest = first & six | second & ~six
    unsafe base.storeBytes(of: rest.littleEndian, toByteOffset: 6, as: UInt64.self)
  }

  @inlinable
  func set(_ offset: Int, mac: MACAddress) {
    set(offset, word16: UInt16(truncatingIfNeeded: mac.rawValue >> 32))
    set(offset + 2, word32: UInt32(truncatingIfNeeded: mac.rawValue))
  }

  @inlinable
  func set(_ offset: Int, ipv6 address: IPv6Address) {
    unsafe base.storeBytes(of: address.high.bigEndian, toByteOffset: offset, as: UInt64.self)
    unsafe base.storeBytes(of: address.low.bigEndian, toByteOffset: offset + 8, as: UInt64.self)
  }

  /// One's complement sum of the first `count` bytes.
  @inlinable
  func sum(_ count: Int) -> UInt32 { unsafe Checksum.sum(UnsafeRawBufferPointer(start: base, count: count)) }
}
