import Testing
import Wire

@Suite struct ChecksumTests {
  private func sum(_ bytes: [UInt8]) -> UInt32 { unsafe Checksum.sum(bytes.span.bytes) }

  /// The definition, word by word, as RFC 1071 section 1 has it.
  static func reference(_ bytes: [UInt8]) -> UInt16 {
    var sum: UInt64 = 0
    for index in stride(from: 0, to: bytes.count, by: 2) {
      sum += UInt64(bytes[index]) << 8 | (index + 1 < bytes.count ? UInt64(bytes[index + 1]) : 0)
    }
    while sum > 0xFFFF { sum = (sum & 0xFFFF) + (sum >> 16) }
    return UInt16(sum)
  }

  /// The numerical example has the sum and the checksum that it is given there.
  @Test func rfc1071_3_numericalExample() {
    let bytes: [UInt8] = [0x00, 0x01, 0xF2, 0x03, 0xF4, 0xF5, 0xF6, 0xF7]
    #expect(sum(bytes) == 0xDDF2)
    #expect(Checksum.complement(0xDDF2) == 0x220D)
  }

  @Test func verifiesARealHeader() {
    var header: [UInt8] = [
      0x45, 0x00, 0x00, 0x73, 0x00, 0x00, 0x40, 0x00, 0x40, 0x11, 0xB8, 0x61, 0xC0, 0xA8, 0x00, 0x01, 0xC0, 0xA8, 0x00,
      0xC7,
    ]
    #expect(Checksum.isValid(sum(header)))
    header[10] = 0
    header[11] = 0
    #expect(Checksum.complement(sum(header)) == 0xB861)
    header[3] ^= 1
    #expect(!Checksum.isValid(sum(header) + 0xB861))
  }

  @Test func sumsEveryLength() {
    var numbers = SystemRandomNumberGenerator()
    for count in 0...300 {
      let bytes = (0..<count).map { _ in UInt8.random(in: 0...255, using: &numbers) }
      #expect(sum(bytes) == UInt32(Self.reference(bytes)))
    }
    let ones = [UInt8](repeating: 0xFF, count: 65535)
    #expect(sum(ones) == UInt32(Self.reference(ones)))
    #expect(sum([UInt8](repeating: 0, count: 64)) == 0)
  }

  @Test func foldsEverySum() {
    #expect(Checksum.fold(0) == 0 && Checksum.fold(0xFFFF) == 0xFFFF && Checksum.fold(0x1_0000) == 1)
    #expect(Checksum.fold(0x1_FFFF) == 1 && Checksum.fold(.max) == 0xFFFF && Checksum.fold(0xFFFE_0001) == 0xFFFF)
  }

  @Test func sumsPiecesOfAnyLength() {
    var numbers = SystemRandomNumberGenerator()
    for _ in 0..<500 {
      let bytes = (0..<Int.random(in: 0...200)).map { _ in UInt8.random(in: 0...255, using: &numbers) }
      var accumulator = Checksum.Accumulator()
      var rest = bytes[...]
      while !rest.isEmpty {
        let piece = Array(rest.prefix(Int.random(in: 0...17)))
        rest = rest.dropFirst(piece.count)
        unsafe accumulator.add(piece.span.bytes)
      }
      #expect(accumulator.sum == UInt32(Self.reference(bytes)))
    }
    var begun = Checksum.Accumulator(0x1_2345)
    let word: [UInt8] = [0x10, 0x00]
    unsafe begun.add(word.span.bytes)
    #expect(begun.sum == 0x3346)
  }

  @Test func sumsPseudoHeaders() throws {
    let source = IPv4Address(192, 0, 2, 1)
    let destination = IPv4Address(255, 254, 253, 252)
    let bytes = source.octets + destination.octets + [0, 17, 0xFF, 0xFE]
    let sum = Checksum.pseudoHeader(source: source, destination: destination, protocol: .udp, length: 0xFFFE)
    #expect(Checksum.fold(sum) == Self.reference(bytes))

    let from = try #require(IPv6Address("2001:db8:ffff:ffff:ffff:ffff:ffff:fffe"))
    let to = try #require(IPv6Address("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"))
    let bytes6 = from.octets + to.octets + [0x00, 0x01, 0xFF, 0xFE, 0, 0, 0, 58]
    let sum6 = Checksum.pseudoHeader(source: from, destination: to, protocol: .icmpv6, length: 0x1_FFFE)
    #expect(Checksum.fold(sum6) == Self.reference(bytes6))
  }

  @Test func sendsNoZeroForUDP() {
    #expect(Checksum.udp(0) == 0xFFFF && Checksum.udp(0xFFFF) == 0xFFFF && Checksum.udp(1) == 1)
  }
}

@Suite struct ChecksumUpdateTests {
  static let corners: [UInt16] = [
    0, 1, 2, 0x00FF, 0x0100, 0x5555, 0x7FFF, 0x8000, 0xAAAA, 0xFF00, 0xFFFD, 0xFFFE, 0xFFFF,
  ]

  private func checksum(_ words: [UInt16]) -> UInt16 {
    ~ChecksumTests.reference(words.flatMap { [UInt8($0 >> 8), UInt8($0 & 0xFF)] })
  }

  /// The incremental update of the example gives 0x0000, as computing anew does.
  @Test func rfc1624_4_example() {
    // The checksum 0xDD2F, the word 0x5555 becomes 0x3285; RFC 1141's way gives 0xFFFF.
    #expect(Checksum.updated(0xDD2F, replacing: 0x5555, with: 0x3285 as UInt16) == 0x0000)
  }

  /// Every old word with corners as the new one and as the word beside it, against computing anew.
  @Test func equalsComputingAnew() {
    var wrong = 0
    for other in [1, 0xFFFE, 0xFFFF] as [UInt16] {
      for old in UInt16.min...UInt16.max {
        let before = checksum([other, old])
        for new in [0, 1, 0x8000, 0xFFFE, 0xFFFF] as [UInt16] {
          if Checksum.updated(before, replacing: old, with: new) != checksum([other, new]) { wrong += 1 }
        }
      }
    }
    #expect(wrong == 0)
  }

  @Test func equalsComputingAnewForLongWords() {
    var numbers = SystemRandomNumberGenerator()
    for _ in 0..<20_000 {
      func word() -> UInt16 {
        Bool.random(using: &numbers) ? Self.corners.randomElement(using: &numbers)! : numbers.next()
      }
      let old = [word(), word()]
      let new = [word(), word()]
      let other = max(word(), 1)
      func long(_ words: [UInt16]) -> UInt32 { UInt32(words[0]) << 16 | UInt32(words[1]) }
      let updated = Checksum.updated(checksum([other] + old), replacing: long(old), with: long(new))
      #expect(updated == checksum([other] + new))
      let address = Checksum.updated(
        checksum([other] + old), replacing: IPv4Address(rawValue: long(old)), with: IPv4Address(rawValue: long(new)))
      #expect(address == updated)
    }
  }

  @Test func equalsComputingAnewForIPv6() {
    var numbers = SystemRandomNumberGenerator()
    func words(_ address: IPv6Address) -> [UInt16] {
      (0..<8).map { UInt16(truncatingIfNeeded: ($0 < 4 ? address.high : address.low) >> UInt64(48 - 16 * ($0 & 3))) }
    }
    func half() -> UInt64 { [numbers.next(), 0, .max, 0xFFFF_0000_0000_FFFF].randomElement()! }
    for _ in 0..<5000 {
      let old = IPv6Address(high: half(), low: half())
      let new = IPv6Address(high: half(), low: half())
      let other = UInt16.random(in: 1...0xFFFF)
      #expect(
        Checksum.updated(checksum([other] + words(old)), replacing: old, with: new) == checksum([other] + words(new)))
    }
  }

  /// A minus zero in a header, which no sender computes, still leads to a checksum that verifies.
  @Test func keepsVerifyingFromMinusZero() {
    for old in Self.corners {
      for new in Self.corners {
        let other = ~old
        #expect(Checksum.isValid(UInt32(old) + UInt32(other) + 0xFFFF))
        let updated = Checksum.updated(0xFFFF, replacing: old, with: new)
        #expect(Checksum.fold(UInt32(new) + UInt32(other) + UInt32(updated)) % 0xFFFF == 0)
      }
    }
  }

  @Test func leavesUDPWithoutChecksumAlone() {
    #expect(Checksum.updatedUDP(0, replacing: 1 as UInt16, with: 2) == 0)
    #expect(Checksum.updatedUDP(0, replacing: 1 as UInt32, with: 2) == 0)
    #expect(Checksum.updatedUDP(0, replacing: IPv4Address.unspecified, with: .limitedBroadcast) == 0)
    #expect(Checksum.updatedUDP(0, replacing: IPv6Address.unspecified, with: .loopback) == 0)
  }

  @Test func neverTurnsAUDPChecksumIntoNone() {
    var zeros = 0
    for checksum in UInt16(1)...0xFFFF {
      // Replacing 0xFFFF - checksum by what makes the sum minus zero is the case that matters: it computes 0.
      let updated = Checksum.updatedUDP(checksum, replacing: 0 as UInt16, with: checksum)
      if updated == 0 { zeros += 1 }
    }
    #expect(zeros == 0)
    #expect(Checksum.updated(0x1234, replacing: 0 as UInt16, with: 0x1234) == 0)
    #expect(Checksum.updatedUDP(0x1234, replacing: 0 as UInt16, with: 0x1234) == 0xFFFF)
    #expect(Checksum.updatedUDP(0x1234, replacing: 0 as UInt32, with: 0x1234) == 0xFFFF)
  }
}
