/// What changes under an Internet checksum, collected so that every checksum that covers the same words is patched with
/// it once (RFC 1624 equation 3). All words must stand at even offsets from where the checksum begins.
///
///     var change = ChecksumChange()
///     change.replace(header.source, with: address)
///     header.setChecksum(change.applied(to: header.checksum))
@frozen
public struct ChecksumChange: Hashable, Sendable {
  @usableFromInline var sum: UInt64

  /// Nothing changes.
  @inlinable
  public init() { sum = 0 }

  /// Takes a 16-bit word out and puts another in its place.
  @inlinable
  public mutating func replace(_ old: UInt16, with new: UInt16) { sum &+= UInt64(~old) &+ UInt64(new) }

  /// Takes a 32-bit word out and puts another in its place.
  @inlinable
  public mutating func replace(_ old: UInt32, with new: UInt32) { sum &+= UInt64(~old) &+ UInt64(new) }

  /// Takes an IPv4 address out, of a header or a pseudo-header, and puts another in its place.
  @inlinable
  public mutating func replace(_ old: IPv4Address, with new: IPv4Address) {
    replace(old.rawValue, with: new.rawValue)
  }

  /// Takes an IPv6 address out of the pseudo-header and puts another in its place.
  @inlinable
  public mutating func replace(_ old: IPv6Address, with new: IPv6Address) {
    remove(old)
    sum &+= UInt64(Checksum.sum(new))
  }

  /// Takes an IPv4 address out of the pseudo-header and puts an IPv6 address in its place, as translators do between the
  /// versions (RFC 7915).
  @inlinable
  public mutating func replace(_ old: IPv4Address, with new: IPv6Address) {
    sum &+= UInt64(~old.rawValue) &+ UInt64(Checksum.sum(new))
  }

  /// Takes an IPv6 address out of the pseudo-header and puts an IPv4 address in its place.
  @inlinable
  public mutating func replace(_ old: IPv6Address, with new: IPv4Address) {
    remove(old)
    sum &+= UInt64(new.rawValue)
  }

  @inlinable
  mutating func remove(_ old: IPv6Address) {
    sum &+= UInt64(Checksum.sum(IPv6Address(high: ~old.high, low: ~old.low)))
  }

  /// The sum, which 32-bit words were added to as they are, in 16 bits: 2^16 is 1 to a one's complement sum.
  @inlinable
  var folded: UInt32 {
    let once = (sum & 0xFFFF_FFFF) &+ sum >> 32
    return UInt32(truncatingIfNeeded: (once & 0xFFFF) &+ (once >> 16 & 0xFFFF) &+ once >> 32)
  }

  /// A checksum after the change.
  @inlinable
  public func applied(to checksum: UInt16) -> UInt16 { ~Checksum.fold(UInt32(~checksum) &+ folded) }

  /// A UDP checksum after the change. "None" stays "none", and no change computes it.
  @inlinable
  public func appliedUDP(to checksum: UInt16) -> UInt16 { checksum == 0 ? 0 : Checksum.udp(applied(to: checksum)) }
}
