/// IPv6 prefix translation (RFC 6296): one prefix is exchanged for another, and a 16-bit word of the address takes up the
/// difference, so that no checksum over the address changes.
///
/// The word is the subnet's, bits 48 to 63, for prefixes of up to 48 bits (section 3.4), and the first of the interface
/// identifier's that is not 0xFFFF for longer ones (section 3.5). Of two prefixes the shorter is taken to be as long as
/// the other, zeros behind it (section 3.1).
@frozen
public struct PrefixTranslation: Sendable, Hashable {
  /// The inside prefix, as long as the longer one.
  public let inside: IPv6Prefix
  /// The outside prefix, as long as the longer one.
  public let outside: IPv6Prefix
  /// What is added to the word on the way out, as a folded sum.
  @usableFromInline let adjustment: UInt16

  /// What an address becomes.
  @frozen
  public enum Mapping: Sendable, Hashable {
    /// This address.
    case address(IPv6Address)
    /// Nothing: it is not in the prefix.
    case elsewhere
    /// Nothing: the word that would be changed is 0xFFFF, in which one's complement has no second number to return to
    /// (appendix B).
    case unmappable
    /// Nothing: its interface identifier is zero, and a prefix is longer than 48 bits (section 3.7).
    case zeroIdentifier
  }

  /// Nothing when a prefix is longer than 64 bits: the identifier behind it has no word to spare.
  public init?(inside: IPv6Prefix, outside: IPv6Prefix) {
    let length = Int(max(inside.length, outside.length))
    guard length <= 64 else { return nil }
    self.inside = IPv6Prefix(masking: inside.address, length: length)
    self.outside = IPv6Prefix(masking: outside.address, length: length)
    let added = UInt32(Checksum.fold(Checksum.sum(inside.address)))
    let removed = UInt32(~Checksum.fold(Checksum.sum(outside.address)))
    adjustment = Checksum.fold(added &+ removed)
  }

  /// The outside address of an inside one (section 3.2).
  @inlinable
  public func outward(_ address: IPv6Address) -> Mapping { map(address, from: inside, to: outside, adding: adjustment) }

  /// The inside address of an outside one (section 3.3).
  @inlinable
  public func inward(_ address: IPv6Address) -> Mapping { map(address, from: outside, to: inside, adding: ~adjustment) }

  @inlinable
  func map(_ address: IPv6Address, from: IPv6Prefix, to: IPv6Prefix, adding adjustment: UInt16) -> Mapping {
    guard from.contains(address) else { return .elsewhere }
    let mask = from.mask.high
    let high = to.address.high | address.high & ~mask
    if from.length <= 48 {
      let word = UInt16(truncatingIfNeeded: high)
      guard word != 0xFFFF else { return .unmappable }
      let sum = Self.add(word, adjustment)
      return .address(IPv6Address(high: high & ~0xFFFF | UInt64(sum), low: address.low))
    }
    guard address.low != 0 else { return .zeroIdentifier }
    var shift: UInt64 = 48
    while true {
      let word = UInt16(truncatingIfNeeded: address.low >> shift)
      if word != 0xFFFF {
        let low = address.low & ~(0xFFFF << shift) | UInt64(Self.add(word, adjustment)) << shift
        return .address(IPv6Address(high: high, low: low))
      }
      guard shift > 0 else { return .unmappable }
      shift &-= 16
    }
  }

  /// Of one's complement's two zeros the positive one (section 3.2).
  @inlinable
  static func add(_ word: UInt16, _ adjustment: UInt16) -> UInt16 {
    let sum = Checksum.fold(UInt32(word) &+ UInt32(adjustment))
    return sum == 0xFFFF ? 0 : sum
  }
}
