import Testing
import Wire

@Suite struct ChecksumChangeTests {
  private func bytes<T: FixedWidthInteger>(_ value: T) -> [UInt8] {
    (0..<T.bitWidth / 8).reversed().map { UInt8(truncatingIfNeeded: value >> T($0 * 8)) }
  }

  /// A change of words, addresses and of the address's version gives the checksum of what came of it.
  @Test func appliesEveryKindOfChange() {
    var numbers = SystemRandomNumberGenerator()
    for _ in 0..<5000 {
      func number<T: FixedWidthInteger>() -> T {
        [0, .max, .random(in: .min...(.max), using: &numbers), .random(in: .min...(.max), using: &numbers)]
          .randomElement(using: &numbers)!
      }
      let rest: [UInt8] = bytes(number() as UInt64) + [1]
      let (old16, new16, old32, new32): (UInt16, UInt16, UInt32, UInt32) = (number(), number(), number(), number())
      let oldSix = IPv6Address(high: number(), low: number())
      let newSix = IPv6Address(high: number(), low: number())
      let (oldFour, newFour) = (IPv4Address(rawValue: number()), IPv4Address(rawValue: number()))
      func six(_ address: IPv6Address) -> [UInt8] { bytes(address.high) + bytes(address.low) }
      func checksum(_ bytes: [UInt8]) -> UInt16 { ~ChecksumTests.reference(bytes) }
      let before = rest.dropLast() + bytes(old16) + bytes(old32) + six(oldSix) + bytes(oldFour.rawValue) + [1]
      var change = ChecksumChange()
      change.replace(old16, with: new16)
      change.replace(old32, with: new32)
      var same = change
      same.replace(oldSix, with: newSix)
      same.replace(oldFour, with: newFour)
      #expect(
        same.applied(to: checksum(before))
          == checksum(rest.dropLast() + bytes(new16) + bytes(new32) + six(newSix) + bytes(newFour.rawValue) + [1]))
      var other = change
      other.replace(oldSix, with: newFour)
      other.replace(oldFour, with: newSix)
      #expect(
        other.applied(to: checksum(before))
          == checksum(rest.dropLast() + bytes(new16) + bytes(new32) + six(newSix) + bytes(newFour.rawValue) + [1]))
    }
  }

  @Test func noUDPChecksumStaysNone() {
    var change = ChecksumChange()
    change.replace(1 as UInt16, with: 2)
    #expect(change.appliedUDP(to: 0) == 0)
    #expect(change.appliedUDP(to: 1) == 0xFFFF)
    #expect(change.appliedUDP(to: 0xFFFF) == 0xFFFE)
  }
}
