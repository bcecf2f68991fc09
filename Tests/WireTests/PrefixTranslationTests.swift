import Testing
import Wire

@Suite struct PrefixTranslationTests {
  private func address(_ text: String) throws -> IPv6Address { try #require(IPv6Address(text)) }

  private func translation(_ inside: String, _ outside: String) throws -> PrefixTranslation {
    let (inside, outside) = (try #require(IPv6Prefix(inside)), try #require(IPv6Prefix(outside)))
    return try #require(PrefixTranslation(inside: inside, outside: outside))
  }

  /// The sum of an address's words, taken one by one, with the two zeros of one's complement as one.
  private func sum(_ address: IPv6Address) -> Int {
    let octets = address.octets
    return stride(from: 0, to: 16, by: 2).reduce(0) { $0 + Int(octets[$1]) << 8 + Int(octets[$1 + 1]) } % 0xFFFF
  }

  /// The example of a /48: fd01:203:405:1::1234 is 2001:db8:1:d550::1234 outside, and the other way round.
  @Test func rfc6296_3_6_exampleOf48Bits() throws {
    let npt = try translation("fd01:203:405::/48", "2001:db8:1::/48")
    let (inside, outside) = (try address("fd01:203:405:1::1234"), try address("2001:db8:1:d550::1234"))
    #expect(npt.outward(inside) == .address(outside))
    #expect(npt.inward(outside) == .address(inside))
  }

  /// With prefixes of up to 48 bits the word changed is bits 48 to 63, and the interface identifier stays.
  @Test func rfc6296_3_4_subnetWordForShortPrefixes() throws {
    for (inside, outside) in [("fd00::/8", "2400::/8"), ("fd01:203::/32", "2001:db8::/32"), ("fd01::/16", "3fff::/20")]
    {
      let npt = try translation(inside, outside)
      let before = try address("fd01:203:123:4567:89ab:cdef:ffff:1")
      guard case .address(let after) = npt.outward(IPv6Address(high: npt.inside.address.high | 0x42, low: before.low))
      else {
        Issue.record("no mapping")
        continue
      }
      #expect(after.low == before.low)
      #expect(npt.outside.contains(after))
      #expect(npt.inward(after) == .address(IPv6Address(high: npt.inside.address.high | 0x42, low: before.low)))
    }
  }

  /// With longer prefixes it is the first word of the interface identifier that is not 0xFFFF.
  @Test func rfc6296_3_5_firstUsableWordOfTheIdentifier() throws {
    let npt = try translation("fd01:203:405:600::/56", "2001:db8:1:200::/56")
    // 0xfd01 + 0x203 + 0x405 + 0x600 - (0x2001 + 0xdb8 + 1 + 0x200), with the carry taken around.
    let cases = [
      ("fd01:203:405:612:0:1:2:3", "2001:db8:1:212:d94f:1:2:3"),
      ("fd01:203:405:612:ffff:1:2:3", "2001:db8:1:212:ffff:d950:2:3"),
      ("fd01:203:405:612:ffff:ffff:2:3", "2001:db8:1:212:ffff:ffff:d951:3"),
      ("fd01:203:405:612:ffff:ffff:ffff:3", "2001:db8:1:212:ffff:ffff:ffff:d952"),
    ]
    for (inside, outside) in cases {
      let (inside, outside) = (try address(inside), try address(outside))
      #expect(npt.outward(inside) == .address(outside))
      #expect(npt.inward(outside) == .address(inside))
    }
    #expect(npt.outward(try address("fd01:203:405:612:ffff:ffff:ffff:ffff")) == .unmappable)
  }

  /// An address whose interface identifier is zero has no mapping when a prefix is longer than 48 bits.
  @Test func rfc6296_3_7_zeroIdentifier() throws {
    let long = try translation("fd01:203:405:600::/56", "2001:db8:1:200::/56")
    #expect(long.outward(try address("fd01:203:405:612::")) == .zeroIdentifier)
    #expect(long.inward(try address("2001:db8:1:212::")) == .zeroIdentifier)
    let short = try translation("fd01:203:405::/48", "2001:db8:1::/48")
    #expect(short.outward(try address("fd01:203:405:1::")) == .address(try address("2001:db8:1:d550::")))
  }

  /// Of prefixes that differ in length the shorter is as long as the other, zeros behind it.
  @Test func rfc6296_3_1_lengthsThatDiffer() throws {
    let npt = try translation("fd01:203:405::/48", "2001:db8:1:200::/56")
    #expect(npt.inside == IPv6Prefix("fd01:203:405::/56"))
    #expect(npt.outward(try address("fd01:203:405:100::1")) == .elsewhere)
    guard case .address(let outside) = npt.outward(try address("fd01:203:405:12::1")) else {
      Issue.record("no mapping")
      return
    }
    #expect(npt.outside.contains(outside))
    #expect(npt.inward(outside) == .address(try address("fd01:203:405:12::1")))
  }

  /// Subnet 0xFFFF has no mapping, in either direction, and a result of 0xFFFF becomes zero.
  @Test func rfc6296_3_2_allOnes() throws {
    let npt = try translation("fd01:203:405::/48", "2001:db8:1::/48")
    #expect(npt.outward(try address("fd01:203:405:ffff::1")) == .unmappable)
    #expect(npt.inward(try address("2001:db8:1:ffff::1")) == .unmappable)
    // 0x2ab0 and the adjustment, 0xd54f, are 0xffff together.
    #expect(npt.outward(try address("fd01:203:405:2ab0::1")) == .address(try address("2001:db8:1::1")))
    #expect(npt.inward(try address("2001:db8:1::1")) == .address(try address("fd01:203:405:2ab0::1")))
  }

  /// The mapping leaves the sum of an address as it was and is reversible.
  @Test(arguments: [("fd01:203:405::/48", "2001:db8:1::/48"), ("fd01:203:405:600::/56", "2001:db8::/32")])
  func rfc6296_2_6_checksumNeutral(inside: String, outside: String) throws {
    let npt = try translation(inside, outside)
    var random = SystemRandomNumberGenerator()
    var mapped = 0
    for _ in 0..<2000 {
      let low: UInt64 = random.next() | (Bool.random(using: &random) ? 0xFFFF << 48 : 0)
      let high = npt.inside.address.high | UInt64.random(in: 0...0xFFFF, using: &random) & ~npt.inside.mask.high
      let before = IPv6Address(high: high, low: low)
      guard case .address(let after) = npt.outward(before) else { continue }
      mapped += 1
      #expect(sum(before) == sum(after))
      #expect(npt.outside.contains(after))
      #expect(npt.inward(after) == .address(before))
    }
    #expect(mapped > 1900)
  }

  @Test func prefixesThatAreTooLong() throws {
    let long = try #require(IPv6Prefix("fd01:203:405:600:8000::/65"))
    let short = try #require(IPv6Prefix("2001:db8::/48"))
    #expect(PrefixTranslation(inside: long, outside: short) == nil)
    #expect(PrefixTranslation(inside: short, outside: long) == nil)
  }
}
