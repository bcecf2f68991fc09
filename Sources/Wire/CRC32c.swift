/// SCTP's checksum (RFC 9260 appendix A), as far as it takes to change a packet without reading all of it.
///
/// CRCs are linear: what changes in the packet, followed by as many zeros as follow it there, has the CRC by which the
/// packet's changes. A packet that was damaged stays so.
@frozen
public enum CRC32c {
  /// The CRC of `word`, the first byte on the wire in the lowest 8 bits, followed by so many zero bytes, from an initial
  /// value of zero; what a CRC over a message is to be XORed with after `word` was XORed into the message.
  /// - Parameter zeros: How many bytes of the message stand behind the word, at least 0.
  public static func change(_ word: UInt32, followedBy zeros: Int) -> UInt32 {
    multiply(word, power(UInt64(clamping: zeros) &* 8 &+ 32))
  }

  /// Castagnoli's polynomial without its highest power, the coefficient of 1 in the highest bit, as in all values here.
  private static let polynomial: UInt32 = 0x82F6_3B78

  private static func timesX(_ value: UInt32) -> UInt32 { value >> 1 ^ (value & 1 != 0 ? polynomial : 0) }

  private static func multiply(_ a: UInt32, _ b: UInt32) -> UInt32 {
    var product: UInt32 = 0
    var shifted = b
    for bit in (0..<32).reversed() {
      if a >> UInt32(bit) & 1 != 0 { product ^= shifted }
      shifted = timesX(shifted)
    }
    return product
  }

  /// x to the power of `exponent`.
  private static func power(_ exponent: UInt64) -> UInt32 {
    var result: UInt32 = 1 << 31
    var square: UInt32 = 1 << 30
    var rest = exponent
    while rest != 0 {
      if rest & 1 != 0 { result = multiply(result, square) }
      square = multiply(square, square)
      rest >>= 1
    }
    return result
  }
}
