import Testing
import Wire

@Suite struct IPv4PrefixTests {
  @Test func readsAndPrints() throws {
    let prefix = try IPv4Prefix(parsing: "10.64.0.0/10")
    #expect(prefix.address == IPv4Address(10, 64, 0, 0) && prefix.length == 10)
    #expect(prefix.description == "10.64.0.0/10")
    #expect(prefix.mask.description == "255.192.0.0")
    #expect(prefix.lastAddress.description == "10.127.255.255")
    #expect(IPv4Prefix("192.0.2.7") == IPv4Prefix(host: IPv4Address(192, 0, 2, 7)))
    #expect(IPv4Prefix("0.0.0.0/0") == .all)
  }

  @Test func saysWhatIsWrong() throws {
    #expect(throws: PrefixError.hostBitsSet(containedIn: .v4(try #require(IPv4Prefix("10.0.0.0/8"))))) {
      try IPv4Prefix(parsing: "10.1.0.0/8")
    }
    for text in ["10.0.0.0/33", "10.0.0.0/", "10.0.0.0/-1", "10.0.0.0/08", "10.0.0.0/8/8x", "10.0.0.0/ 8"] {
      #expect(throws: PrefixError.lengthOutOfRange, "\(text)") { try IPv4Prefix(parsing: text) }
    }
    for text in ["", "/8", "10.0.0/8", "10.0.0.0/8/8", "::/8", "a/8"] {
      #expect(throws: PrefixError.notAnAddress, "\(text)") { try IPv4Prefix(parsing: text) }
    }
  }

  @Test(arguments: 0...32)
  func containsByItsLength(length: Int) {
    let address = IPv4Address(rawValue: 0xA5A5_A5A5)
    let prefix = IPv4Prefix(masking: address, length: length)
    #expect(prefix.contains(address) && prefix.contains(prefix.address) && prefix.contains(prefix.lastAddress))
    #expect(IPv4Prefix(prefix.address, length: length) == prefix)
    #expect(IPv4Prefix(prefix.description) == prefix)
    #expect(prefix.mask.rawValue.nonzeroBitCount == length)
    if length > 0 {
      #expect(!prefix.contains(IPv4Address(rawValue: address.rawValue ^ 1 << UInt32(32 - length))))
      #expect(IPv4Prefix(masking: address, length: length - 1).contains(prefix))
      #expect(!prefix.contains(IPv4Prefix(masking: address, length: length - 1)))
    }
    if length < 32 { #expect(IPv4Prefix(IPv4Address(rawValue: .max), length: length) == nil) }
  }

  @Test func refusesLengths() {
    #expect(IPv4Prefix(.unspecified, length: 33) == nil && IPv4Prefix(.unspecified, length: -1) == nil)
    #expect(IPv4Prefix(masking: .limitedBroadcast, length: -5) == .all)
    #expect(IPv4Prefix(masking: .limitedBroadcast, length: 99).length == 32)
  }
}

@Suite struct IPv6PrefixTests {
  @Test func readsAndPrints() throws {
    let prefix = try IPv6Prefix(parsing: "2001:DB8::/33")
    #expect(prefix.description == "2001:db8::/33")
    #expect(prefix.mask.description == "ffff:ffff:8000::")
    #expect(prefix.lastAddress.description == "2001:db8:7fff:ffff:ffff:ffff:ffff:ffff")
    #expect(IPv6Prefix("::1") == IPv6Prefix(host: .loopback))
    #expect(IPv6Prefix("::/0") == .all)
  }

  @Test func saysWhatIsWrong() throws {
    #expect(throws: PrefixError.hostBitsSet(containedIn: .v6(try #require(IPv6Prefix("2001:db8::/32"))))) {
      try IPv6Prefix(parsing: "2001:db8::1/32")
    }
    #expect(throws: PrefixError.lengthOutOfRange) { try IPv6Prefix(parsing: "::/129") }
    #expect(throws: PrefixError.notAnAddress) { try IPv6Prefix(parsing: "10.0.0.0/8") }
  }

  @Test(arguments: 0...128)
  func containsByItsLength(length: Int) {
    let address = IPv6Address(high: 0xA5A5_A5A5_5A5A_5A5A, low: 0x5A5A_A5A5_A5A5_5A5B)
    let prefix = IPv6Prefix(masking: address, length: length)
    #expect(prefix.contains(address) && prefix.contains(prefix.address) && prefix.contains(prefix.lastAddress))
    #expect(IPv6Prefix(prefix.address, length: length) == prefix)
    #expect(IPv6Prefix(prefix.description) == prefix)
    #expect(prefix.mask.high.nonzeroBitCount + prefix.mask.low.nonzeroBitCount == length)
    if length > 0 {
      let bit = 128 - length
      let other =
        bit < 64
        ? IPv6Address(high: address.high, low: address.low ^ 1 << UInt64(bit))
        : IPv6Address(high: address.high ^ 1 << UInt64(bit - 64), low: address.low)
      #expect(!prefix.contains(other))
      #expect(IPv6Prefix(masking: address, length: length - 1).contains(prefix))
      #expect(!prefix.contains(IPv6Prefix(masking: address, length: length - 1)))
    }
    if length < 128 { #expect(IPv6Prefix(IPv6Address(high: .max, low: .max), length: length) == nil) }
  }
}

@Suite struct IPPrefixTests {
  @Test func readsEitherVersion() throws {
    #expect(IPPrefix("10.0.0.0/8") == .v4(IPv4Prefix(masking: IPv4Address(10, 0, 0, 0), length: 8)))
    #expect(IPPrefix("fe80::/10")?.length == 10)
    #expect(IPPrefix("fe80::/10")?.description == "fe80::/10")
    #expect(IPPrefix("fe80::1")?.address == IPAddress("fe80::1"))
    #expect(throws: PrefixError.lengthOutOfRange) { try IPPrefix(parsing: "10.0.0.0/64") }
    #expect(throws: PrefixError.notAnAddress) { try IPPrefix(parsing: "eth0") }
  }

  @Test func containsItsVersionOnly() throws {
    let all = IPPrefix.v4(.all)
    #expect(all.contains(.v4(IPv4Address(1, 2, 3, 4))) && !all.contains(.v6(.loopback)))
    #expect(IPPrefix.v6(.all).contains(.v6(.loopback)) && !IPPrefix.v6(.all).contains(.v4(.unspecified)))
  }

  @Test func ordersShorterFirst() throws {
    let texts = ["10.0.0.0/8", "10.0.0.0/16", "10.1.0.0/16", "::/0", "2001:db8::/32", "2001:db8::/48"]
    let prefixes = try texts.map { try IPPrefix(parsing: $0) }
    #expect(prefixes.shuffled().sorted() == prefixes)
  }
}
