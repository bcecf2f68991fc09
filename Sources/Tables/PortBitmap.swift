/// Which of the ports of one address are free: a bit for each, and above them, for even and for odd ports, a bit for each
/// 64 ports of which some are free. Finding a port looks at 36 words at most, however few are free.
struct PortBitmap {
  /// Ports of this kind are looked for.
  enum Parity {
    case even, odd, any

    init(of port: UInt16) { self = port & 1 == 0 ? .even : .odd }

    var mask: UInt64 {
      switch self {
      case .even: 0x5555_5555_5555_5555
      case .odd: 0xAAAA_AAAA_AAAA_AAAA
      case .any: .max
      }
    }
  }

  private static let evenSummary = 1024
  private static let oddSummary = 1040
  /// How many words a bitmap takes.
  static let wordCount = 1056

  /// Where in an array the words begin.
  let base: Int

  func isFree(_ port: UInt16, _ words: borrowing LazyArray<UInt64>) -> Bool {
    words[base + Int(port >> 6)] >> UInt64(port & 63) & 1 != 0
  }

  func setFree(_ port: UInt16, _ isFree: Bool, _ words: borrowing LazyArray<UInt64>) {
    let bit: UInt64 = 1 << UInt64(port & 63)
    let word = words[base + Int(port >> 6)]
    setFree(from: port & ~63, isFree ? word | bit : word & ~bit, words)
  }

  /// Says of 64 ports at once which are free.
  func setFree(from first: UInt16, _ word: UInt64, _ words: borrowing LazyArray<UInt64>) {
    let index = Int(first >> 6)
    words[base + index] = word
    summarise(word & Parity.even.mask != 0, index, Self.evenSummary, words)
    summarise(word & Parity.odd.mask != 0, index, Self.oddSummary, words)
  }

  private func summarise(_ some: Bool, _ index: Int, _ summary: Int, _ words: borrowing LazyArray<UInt64>) {
    let bit: UInt64 = 1 << UInt64(index & 63)
    if some {
      words[base + summary + index >> 6] |= bit
    } else {
      words[base + summary + index >> 6] &= ~bit
    }
  }

  /// A free port, looked for from `start` on upwards and round to it again.
  /// - Parameters:
  ///   - start: A port in `range`.
  ///   - range: Begins and ends with whole 64 ports.
  func find(
    from start: UInt16, in range: ClosedRange<UInt16>, _ parity: Parity, _ words: borrowing LazyArray<UInt64>
  ) -> UInt16? {
    let first = Int(start >> 6)
    let above = words[base + first] & parity.mask & (UInt64.max << UInt64(start & 63))
    if above != 0 { return UInt16(first << 6 | above.trailingZeroBitCount) }
    let low = Int(range.lowerBound >> 6)
    let high = Int(range.upperBound >> 6)
    guard
      let index = word(from: first + 1, through: high, parity, words) ?? word(from: low, through: first, parity, words)
    else { return nil }
    return UInt16(index << 6 | (words[base + index] & parity.mask).trailingZeroBitCount)
  }

  /// The first of these words that has a free port.
  private func word(
    from low: Int, through high: Int, _ parity: Parity, _ words: borrowing LazyArray<UInt64>
  ) -> Int? {
    guard low <= high else { return nil }
    for group in low >> 6...high >> 6 {
      var bits: UInt64 = 0
      if parity != .odd { bits |= words[base + Self.evenSummary + group] }
      if parity != .even { bits |= words[base + Self.oddSummary + group] }
      if group == low >> 6 { bits &= .max << UInt64(low & 63) }
      if group == high >> 6 { bits &= .max >> UInt64(63 - high & 63) }
      if bits != 0 { return group << 6 | bits.trailingZeroBitCount }
    }
    return nil
  }
}
