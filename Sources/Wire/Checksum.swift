/// The Internet checksum (RFC 1071) and its incremental update (RFC 1624).
///
/// A *sum* here is a one's complement sum of 16-bit big-endian words, as a number in the host's byte order that need not
/// be folded yet. A *checksum* is the complement of a folded sum, as it stands in a header, in the host's byte order.
@frozen
public enum Checksum {
  /// The sum of `bytes`, at most 0xFFFF, an odd last byte counting as the upper half of a word.
  @inlinable
  public static func sum(_ bytes: RawSpan) -> UInt32 {
    unsafe bytes.withUnsafeBytes { unsafe sum($0) }
  }

  /// The sum of `bytes`, at most 0xFFFF, an odd last byte counting as the upper half of a word.
  @inlinable
  public static func sum(_ bytes: UnsafeRawBufferPointer) -> UInt32 {
    guard let base = bytes.baseAddress else { return 0 }
    let count = bytes.count
    // One's complement sums do not depend on byte order (RFC 1071 section 2B): words are added as the machine has them,
    // wider than 16 bits, and the order is put right once at the end. 64 bits hold 2^32 carries, more than any packet.
    var total: UInt64 = 0
    var offset = 0
    while offset &+ 4 <= count {
      total &+= UInt64(unsafe base.loadUnaligned(fromByteOffset: offset, as: UInt32.self))
      offset &+= 4
    }
    if offset &+ 2 <= count {
      total &+= UInt64(unsafe base.loadUnaligned(fromByteOffset: offset, as: UInt16.self))
      offset &+= 2
    }
    if offset < count {
      total &+= UInt64(UInt16(littleEndian: UInt16(unsafe base.load(fromByteOffset: offset, as: UInt8.self))))
    }
    total = total & 0xFFFF_FFFF &+ total >> 32
    total = total & 0xFFFF_FFFF &+ total >> 32
    return UInt32(UInt16(bigEndian: fold(UInt32(truncatingIfNeeded: total))))
  }

  /// Whether the first 20 bytes, a checksum among them, say that nothing was damaged.
  @inlinable @inline(__always)
  static func isValidOver20(_ bytes: HeaderBytes) -> Bool {
    // Neither byte order nor the width of the words added matters to the sum (RFC 1071, 2B and 2C). A number plus
    // itself with its halves exchanged has the sum of the halves, carry included, in its upper half.
    let (two, carry) = bytes.native64(0).addingReportingOverflow(bytes.native64(8))
    let (three, carryAgain) = two.addingReportingOverflow(UInt64(bytes.native32(16)) &+ (carry ? 1 : 0))
    let whole = three &+ (carryAgain ? 1 : 0)
    let half = UInt32(truncatingIfNeeded: (whole &+ (whole << 32 | whole >> 32)) >> 32)
    return (half &+ (half << 16 | half >> 16)) >> 16 == 0xFFFF
  }

  /// Adds the carries of a sum in, until it fits 16 bits.
  @inlinable
  public static func fold(_ sum: UInt32) -> UInt16 {
    let once = sum & 0xFFFF &+ sum >> 16
    return UInt16(truncatingIfNeeded: once & 0xFFFF &+ once >> 16)
  }

  /// The checksum that belongs to a sum taken with the checksum field zero.
  @inlinable
  public static func complement(_ sum: UInt32) -> UInt16 { ~fold(sum) }

  /// Whether a sum taken over everything, the checksum field included, says that nothing was damaged.
  @inlinable
  public static func isValid(_ sum: UInt32) -> Bool { fold(sum) == 0xFFFF }

  /// The checksum after one 16-bit word under it changed (RFC 1624 equation 3).
  ///
  /// Unlike RFC 1141's, it never turns a sum of minus zero into plus zero: over data that are not all zero it equals the
  /// checksum computed anew. A header's `checksum` of 0xFFFF, which no sender computes, is as good as 0 to verify.
  @inlinable
  public static func updated(_ checksum: UInt16, replacing old: UInt16, with new: UInt16) -> UInt16 {
    ~fold(UInt32(~checksum) &+ UInt32(~old) &+ UInt32(new))
  }

  /// The checksum after a 32-bit word under it changed, which must stand at an even offset.
  @inlinable
  public static func updated(_ checksum: UInt16, replacing old: UInt32, with new: UInt32) -> UInt16 {
    let removed = (~old >> 16) &+ (~old & 0xFFFF)
    let added = (new >> 16) &+ (new & 0xFFFF)
    return ~fold(UInt32(~checksum) &+ removed &+ added)
  }

  /// The checksum after an IPv4 address under it, or in its pseudo-header, changed.
  @inlinable
  public static func updated(
    _ checksum: UInt16, replacing old: IPv4Address, with new: IPv4Address
  ) -> UInt16 {
    updated(checksum, replacing: old.rawValue, with: new.rawValue)
  }

  /// The checksum after an IPv6 address under it, or in its pseudo-header, changed.
  @inlinable
  public static func updated(
    _ checksum: UInt16, replacing old: IPv6Address, with new: IPv6Address
  ) -> UInt16 {
    let removed = sum(IPv6Address(high: ~old.high, low: ~old.low))
    return ~fold(UInt32(~checksum) &+ removed &+ sum(new))
  }

  /// What a UDP sender puts into the header for a computed checksum: 0 would mean "none", so it sends 0xFFFF, which
  /// verifies the same (RFC 768, RFC 8200 section 8.1).
  @inlinable
  public static func udp(_ computed: UInt16) -> UInt16 { computed == 0 ? 0xFFFF : computed }

  /// The UDP checksum after a 16-bit word under it changed. "None" stays "none", and no update computes it.
  @inlinable
  public static func updatedUDP(_ checksum: UInt16, replacing old: UInt16, with new: UInt16) -> UInt16 {
    checksum == 0 ? 0 : udp(updated(checksum, replacing: old, with: new))
  }

  /// The UDP checksum after a 32-bit word under it changed. "None" stays "none", and no update computes it.
  @inlinable
  public static func updatedUDP(_ checksum: UInt16, replacing old: UInt32, with new: UInt32) -> UInt16 {
    checksum == 0 ? 0 : udp(updated(checksum, replacing: old, with: new))
  }

  /// The UDP checksum after an IPv4 address of its pseudo-header changed. "None" stays "none".
  @inlinable
  public static func updatedUDP(
    _ checksum: UInt16, replacing old: IPv4Address, with new: IPv4Address
  ) -> UInt16 {
    updatedUDP(checksum, replacing: old.rawValue, with: new.rawValue)
  }

  /// The UDP checksum after an IPv6 address of its pseudo-header changed. "None" stays "none".
  @inlinable
  public static func updatedUDP(
    _ checksum: UInt16, replacing old: IPv6Address, with new: IPv6Address
  ) -> UInt16 {
    checksum == 0 ? 0 : udp(updated(checksum, replacing: old, with: new))
  }

  /// The sum of the pseudo-header of TCP, UDP and others over IPv4 (RFC 9293 section 3.1); `length` is the transport
  /// header's and payload's in bytes.
  @inlinable
  public static func pseudoHeader(
    source: IPv4Address, destination: IPv4Address, protocol: IPProtocol, length: UInt16
  ) -> UInt32 {
    sum(source) &+ sum(destination) &+ UInt32(`protocol`.rawValue) &+ UInt32(length)
  }

  /// The sum of the pseudo-header over IPv6 (RFC 8200 section 8.1); `length` is the upper layer's header's and payload's
  /// in bytes, and `protocol` the upper layer's, not an extension header's.
  @inlinable
  public static func pseudoHeader(
    source: IPv6Address, destination: IPv6Address, protocol: IPProtocol, length: UInt32
  ) -> UInt32 {
    sum(source) &+ sum(destination) &+ UInt32(`protocol`.rawValue) &+ (length >> 16) &+ (length & 0xFFFF)
  }

  @inlinable
  static func sum(_ address: IPv4Address) -> UInt32 { (address.rawValue >> 16) &+ (address.rawValue & 0xFFFF) }

  @inlinable
  static func sum(_ address: IPv6Address) -> UInt32 {
    func halves(_ word: UInt64) -> UInt32 {
      let pairs = (word & 0xFFFF_FFFF) &+ word >> 32
      return UInt32(truncatingIfNeeded: (pairs & 0xFFFF) &+ (pairs >> 16 & 0xFFFF) &+ pairs >> 32)
    }
    return halves(address.high) &+ halves(address.low)
  }

  /// A sum over data that come in pieces of any length, such as the segments of one packet.
  @frozen
  public struct Accumulator: Sendable {
    @usableFromInline var total: UInt32
    @usableFromInline var isOdd = false

    /// Begins with a sum already taken, such as a pseudo-header's.
    @inlinable
    public init(_ sum: UInt32 = 0) { total = UInt32(fold(sum)) }

    /// Adds the next bytes.
    @inlinable
    public mutating func add(_ bytes: RawSpan) {
      unsafe bytes.withUnsafeBytes { unsafe add($0) }
    }

    /// Adds the next bytes.
    @inlinable
    public mutating func add(_ bytes: UnsafeRawBufferPointer) {
      let piece = UInt16(truncatingIfNeeded: unsafe Checksum.sum(bytes))
      // Behind an odd number of bytes every byte stands in the other half of its word.
      total = UInt32(fold(total &+ UInt32(isOdd ? piece.byteSwapped : piece)))
      isOdd = isOdd != (bytes.count & 1 == 1)
    }

    /// The sum so far, at most 0xFFFF.
    @inlinable
    public var sum: UInt32 { total }
  }
}
