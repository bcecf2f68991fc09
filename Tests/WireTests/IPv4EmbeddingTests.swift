import Testing
import Wire

@Suite struct IPv4EmbeddingTests {
  private func embedding(_ prefix: String) throws -> IPv4EmbeddingPrefix {
    let prefix = try #require(IPv6Prefix(prefix))
    return try #require(IPv4EmbeddingPrefix(prefix))
  }

  /// 192.0.2.33 in prefixes of all six lengths reads as in the table of text representations.
  @Test(arguments: [
    ("2001:db8::/32", "2001:db8:c000:221::"), ("2001:db8:100::/40", "2001:db8:1c0:2:21::"),
    ("2001:db8:122::/48", "2001:db8:122:c000:2:2100::"), ("2001:db8:122:300::/56", "2001:db8:122:3c0:0:221::"),
    ("2001:db8:122:344::/64", "2001:db8:122:344:c0:2:2100::"),
    ("2001:db8:122:344::/96", "2001:db8:122:344::192.0.2.33"), ("64:ff9b::/96", "64:ff9b::192.0.2.33"),
  ]) func rfc6052_2_4_textRepresentation(prefix: String, expected: String) throws {
    let embedding = try embedding(prefix)
    let address = try #require(IPv6Address(expected))
    #expect(embedding.embed(IPv4Address(192, 0, 2, 33)) == address)
    #expect(embedding.extract(address) == IPv4Address(192, 0, 2, 33))
  }

  /// The IPv4 address comes out again, whichever it is.
  @Test(arguments: [
    "2001:db8::/32", "2001:db8:100::/40", "2001:db8:122::/48", "2001:db8:122:300::/56",
    "2001:db8:122:344::/64", "2001:db8:122:344::/96",
  ]) func rfc6052_2_3_algorithm(prefix: String) throws {
    let embedding = try embedding(prefix)
    for bit in 0..<32 {
      let address = IPv4Address(rawValue: 1 << UInt32(bit))
      let embedded = embedding.embed(address)
      #expect(embedding.prefix.contains(embedded))
      #expect(embedding.extract(embedded) == address)
      #expect(embedded.low >> 56 == 0)
    }
    #expect(embedding.extract(embedding.embed(.limitedBroadcast)) == .limitedBroadcast)
  }

  /// Bits 64 to 71 are zero in the prefix and in every address.
  @Test func rfc6052_2_2_zeroOctet() throws {
    let prefix = try #require(IPv6Prefix("2001:db8:1:2:100::/96"))
    #expect(IPv4EmbeddingPrefix(prefix) == nil)
    let embedding = try embedding("2001:db8:122::/48")
    let address = try #require(IPv6Address("2001:db8:122:c000:102:2100::"))
    #expect(embedding.extract(address) == nil)
  }

  /// A suffix that is not zero is passed over.
  @Test func rfc6052_2_2_suffixIsIgnored() throws {
    let embedding = try embedding("2001:db8:122::/48")
    let address = try #require(IPv6Address("2001:db8:122:c000:2:2100:dead:beef"))
    #expect(embedding.extract(address) == IPv4Address(192, 0, 2, 33))
  }

  /// Prefixes are 32, 40, 48, 56, 64 or 96 bits long.
  @Test func rfc6052_2_2_lengths() throws {
    for length in 0...128 {
      let prefix = IPv6Prefix(masking: try #require(IPv6Address("2001:db8::")), length: length)
      #expect((IPv4EmbeddingPrefix(prefix) != nil) == [32, 40, 48, 56, 64, 96].contains(length))
    }
  }

  @Test func addressesOutsideThePrefix() throws {
    let address = try #require(IPv6Address("64:ff9c::1.2.3.4"))
    #expect(IPv4EmbeddingPrefix.wellKnown.extract(address) == nil)
  }

  /// The well-known prefix is not for addresses that are not global.
  @Test func rfc6052_3_1_nonGlobalAddresses() throws {
    #expect(IPv4EmbeddingPrefix.wellKnown.isWellKnown)
    let other = try embedding("2001:db8::/96")
    #expect(!other.isWellKnown)
    let local = [
      "0.1.2.3", "10.0.0.1", "100.64.0.1", "100.127.255.255", "127.0.0.1", "169.254.1.1", "172.16.0.1",
      "172.31.255.255",
      "192.0.0.1", "192.0.2.1", "192.88.99.1", "192.168.1.1", "198.18.0.1", "198.19.255.255", "198.51.100.1",
      "203.0.113.1", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255",
    ]
    #expect(local.compactMap { IPv4Address($0) }.filter(\.isGlobal) == [])
    let global = [
      "1.1.1.1", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "172.15.255.255", "172.32.0.0",
      "192.0.1.0", "192.0.3.0", "198.17.255.255", "198.20.0.0", "203.0.114.0", "223.255.255.255",
    ]
    #expect(global.compactMap { IPv4Address($0) }.filter { !$0.isGlobal } == [])
    #expect((local + global).allSatisfy { IPv4Address($0) != nil })
  }
}
