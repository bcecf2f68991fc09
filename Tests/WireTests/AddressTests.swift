import Testing
import Wire

@Suite struct MACAddressTests {
  @Test(arguments: ["02:00:5e:10:00:fF", "02-00-5E-10-00-FF", "0200.5e10.00ff"])
  func readsTheThreeCommonForms(text: String) {
    #expect(MACAddress(text) == MACAddress(0x02, 0x00, 0x5E, 0x10, 0x00, 0xFF))
  }

  @Test(arguments: [
    "", "02:00:5e:10:00", "02:00:5e:10:00:ff:01", "02:00-5e:10:00:ff", "2:0:5e:10:0:ff", "02:00:5e:10:00:fg",
    "02005e1000ff", "0200:5e10:00ff", "0200.5e10-00ff", " 02:00:5e:10:00:f", "02:00:5e:10:00:é",
  ])
  func refusesEverythingElse(text: String) {
    #expect(MACAddress(text) == nil)
  }

  @Test func printsWhatItReads() {
    var numbers = SystemRandomNumberGenerator()
    for _ in 0..<1000 {
      let address = MACAddress(rawValue: numbers.next())
      #expect(address.rawValue >> 48 == 0)
      #expect(MACAddress(address.description) == address)
    }
    #expect(MACAddress(rawValue: 0x02_0000_0000_0A).description == "02:00:00:00:00:0a")
    #expect(MACAddress(1, 2, 3, 4, 5, 6).octets == [1, 2, 3, 4, 5, 6])
  }

  @Test func knowsItsKinds() throws {
    #expect(MACAddress.broadcast.isBroadcast && MACAddress.broadcast.isMulticast && !MACAddress.broadcast.isZero)
    #expect(MACAddress.zero.isZero && !MACAddress.zero.isMulticast && !MACAddress.zero.isLocallyAdministered)
    let group = try #require(MACAddress("01:00:5e:00:00:01"))
    #expect(group.isMulticast && !group.isBroadcast && !group.isLocallyAdministered)
    #expect(try #require(MACAddress("02:00:00:00:00:01")).isLocallyAdministered)
  }

  /// An IPv4 group has its lower 23 bits in the lower bits of 01-00-5E-00-00-00.
  @Test func rfc1112_6_4_groupsHaveEthernetAddresses() {
    #expect(MACAddress(multicast: IPv4Address(224, 128, 1, 2)).description == "01:00:5e:00:01:02")
  }

  /// An IPv6 group has its lower 32 bits behind 33-33.
  @Test func rfc2464_7_groupsHaveEthernetAddresses() throws {
    #expect(MACAddress(multicast: try #require(IPv6Address("ff02::1:ff28:9c5a"))).description == "33:33:ff:28:9c:5a")
  }

  @Test func ordersNumerically() {
    #expect(MACAddress(0, 0, 0, 0, 1, 0) > MACAddress(0, 0, 0, 0, 0, 255))
  }
}

@Suite struct IPv4AddressTests {
  @Test func readsAndPrints() {
    #expect(IPv4Address("10.0.0.1") == IPv4Address(10, 0, 0, 1))
    #expect(IPv4Address("10.0.0.1")?.rawValue == 0x0A00_0001)
    #expect(IPv4Address("255.255.255.255") == .limitedBroadcast)
    #expect(IPv4Address("0.0.0.0") == .unspecified)
    #expect(IPv4Address(1, 20, 255, 0).description == "1.20.255.0")
    #expect(IPv4Address(1, 20, 255, 0).octets == [1, 20, 255, 0])
  }

  @Test(arguments: [
    "", "1", "1.2.3", "1.2.3.4.5", "1.2.3.", ".1.2.3", "1..2.3", "1.2.3.256", "1.2.3.04", "01.2.3.4", "1.2.3.-4",
    "1.2.3.+4", "1.2.3.4 ", " 1.2.3.4", "0x1.2.3.4", "1.2.3.4/8", "1.2.3.99999999999999999999", "１.2.3.4",
  ])
  func refuses(text: String) {
    #expect(IPv4Address(text) == nil)
  }

  @Test func knowsItsKinds() {
    #expect(IPv4Address(224, 0, 0, 0).isMulticast && IPv4Address(239, 255, 255, 255).isMulticast)
    #expect(!IPv4Address(223, 255, 255, 255).isMulticast && !IPv4Address(240, 0, 0, 0).isMulticast)
    #expect(IPv4Address(127, 0, 0, 1).isLoopback && !IPv4Address(128, 0, 0, 1).isLoopback)
    #expect(IPv4Address(0, 0, 0, 0).isUnspecified && !IPv4Address(0, 0, 0, 1).isUnspecified)
    #expect(IPv4Address(0, 0, 0, 1).isThisNetwork && !IPv4Address(1, 0, 0, 0).isThisNetwork)
    #expect(IPv4Address(169, 254, 7, 7).isLinkLocal && !IPv4Address(169, 253, 7, 7).isLinkLocal)
    #expect(IPv4Address(240, 0, 0, 1).isReserved && IPv4Address.limitedBroadcast.isReserved)
    #expect(!IPv4Address.limitedBroadcast.isMulticast && IPv4Address.limitedBroadcast.isLimitedBroadcast)
    for text in ["10.255.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1"] {
      #expect(IPv4Address(text)?.isPrivate == true, "\(text)")
    }
    for text in ["11.0.0.1", "172.15.0.1", "172.32.0.0", "192.169.1.1"] {
      #expect(IPv4Address(text)?.isPrivate == false, "\(text)")
    }
  }
}

@Suite struct IPv6AddressTests {
  // Text, from RFC 4291 section 2.2 and RFC 5952 sections 1, 2, 4 and 5, and its form.
  static let forms: [(String, String)] = [
    ("2001:DB8:0:0:8:800:200C:417A", "2001:db8::8:800:200c:417a"),
    ("FF01:0:0:0:0:0:0:101", "ff01::101"),
    ("0:0:0:0:0:0:0:1", "::1"),
    ("0:0:0:0:0:0:0:0", "::"),
    ("::", "::"),
    ("1::", "1::"),
    ("2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"),
    ("2001:0db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"),
    ("2001:db8::1:0:0:1", "2001:db8::1:0:0:1"),
    ("2001:db8::0:1:0:0:1", "2001:db8::1:0:0:1"),
    ("2001:db8:aaaa:bbbb:cccc:dddd:eeee:0001", "2001:db8:aaaa:bbbb:cccc:dddd:eeee:1"),
    ("2001:db8:aaaa:bbbb:cccc:dddd:0:1", "2001:db8:aaaa:bbbb:cccc:dddd:0:1"),
    ("2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"),
    ("2001:db8::1:1:1:1:1", "2001:db8:0:1:1:1:1:1"),
    ("2001:0:0:1:0:0:0:1", "2001:0:0:1::1"),
    ("2001:DB8::1", "2001:db8::1"),
    ("::13.1.68.3", "::d01:4403"),
    ("::FFFF:129.144.52.38", "::ffff:129.144.52.38"),
    ("::ffff:c000:0201", "::ffff:192.0.2.1"),
    ("64:ff9b::192.0.2.33", "64:ff9b::c000:221"),
    ("1:2:3:4:5:6:1.2.3.4", "1:2:3:4:5:6:102:304"),
    ("1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"),
    ("::2:3:4:5:6:7:8", "0:2:3:4:5:6:7:8"),
    ("0:0:1:0:0:1:0:0", "::1:0:0:1:0:0"),
  ]

  /// Whatever form an address is read in, it is printed in the recommended one.
  @Test(arguments: forms)
  func rfc5952_4_recommendedForm(text: String, expected: String) {
    #expect(IPv6Address(text)?.description == expected)
  }

  @Test(arguments: [
    "", ":", ":::", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "1::2::3", "12345::", "::g", "1:", ":1", "::1:",
    "1:2:3:4:5:6:7:",
    "::1.2.3", "::1.2.3.4:5", "1.2.3.4", "1.2.3.4::", "1:2:3:4:5:6:7:1.2.3.4", "fe80::1%eth0", "::1/64", " ::1", "::1 ",
    "1:2:3:4::5:6:7:8", "::00001", "2001:db8:::1", "[::1]", "::ffff:1.2.3.256",
  ])
  func refuses(text: String) {
    #expect(IPv6Address(text) == nil)
  }

  @Test func printsWhatItReads() {
    var numbers = SystemRandomNumberGenerator()
    for _ in 0..<5000 {
      // Groups of zeros are what the printing is about: every second group is one.
      var halves: [UInt64] = [numbers.next(), numbers.next()]
      let zeros = UInt8.random(in: 0...255)
      for group in 0..<8 where zeros >> UInt8(group) & 1 == 1 {
        halves[group / 4] &= ~(0xFFFF << UInt64(48 - 16 * (group % 4)))
      }
      let address = IPv6Address(high: halves[0], low: halves[1])
      #expect(IPv6Address(address.description) == address)
      #expect(
        address.octets.reduce(UInt128(0)) { $0 << 8 | UInt128($1) } == UInt128(halves[0]) << 64 | UInt128(halves[1]))
    }
  }

  @Test func knowsItsKinds() throws {
    func address(_ text: String) throws -> IPv6Address { try #require(IPv6Address(text)) }
    #expect(try address("ff02::1") == .allNodes && IPv6Address.allNodes.isMulticast)
    #expect(try address("ff02::2") == .allRouters && IPv6Address.allRouters.isLinkLocalMulticast)
    #expect(try !address("ff05::2").isLinkLocalMulticast && address("ff05::2").isMulticast)
    #expect(try address("fe80::1").isLinkLocal && address("febf::1").isLinkLocal && !address("fec0::1").isLinkLocal)
    #expect(
      try address("fc00::1").isUniqueLocal && address("fdff::1").isUniqueLocal && !address("fe00::").isUniqueLocal)
    #expect(try address("::1").isLoopback && !address("::2").isLoopback && !address("1::1").isLoopback)
    #expect(try address("::").isUnspecified && !address("::1").isUnspecified && !address("1::").isUnspecified)
    #expect(try address("::ffff:1.2.3.4").isIPv4Mapped && !address("::fffe:1.2.3.4").isIPv4Mapped)
    #expect(IPv6Address(mapped: IPv4Address(1, 2, 3, 4)).description == "::ffff:1.2.3.4")
  }

  /// The solicited-node group of an address has its lower 24 bits.
  @Test func rfc4291_2_7_1_solicitedNode() throws {
    let address = try #require(IPv6Address("4037::01:800:200e:8c6c"))
    #expect(address.solicitedNode.description == "ff02::1:ff0e:8c6c")
  }

  /// An interface identifier is the hardware address with FFFE in its middle and the universal bit turned over.
  @Test func rfc4291_A_interfaceIdentifiers() throws {
    let mac = try #require(MACAddress("34:56:78:9a:bc:de"))
    #expect(IPv6Address(linkLocal: mac).description == "fe80::3656:78ff:fe9a:bcde")
  }

  @Test func ordersNumerically() throws {
    #expect(IPv6Address(high: 1, low: 0) > IPv6Address(high: 0, low: .max))
    #expect(IPv6Address(high: 1, low: 1) > IPv6Address(high: 1, low: 0))
  }
}

@Suite struct IPAddressTests {
  @Test func readsEitherVersion() {
    #expect(IPAddress("192.0.2.1") == .v4(IPv4Address(192, 0, 2, 1)))
    #expect(IPAddress("::1") == .v6(.loopback))
    #expect(IPAddress("192.0.2") == nil && IPAddress("::1::") == nil)
    #expect(IPAddress.v6(.loopback).description == "::1")
    #expect(IPAddress.v4(IPv4Address(224, 0, 0, 1)).isMulticast && !IPAddress.v6(.loopback).isMulticast)
    #expect(IPAddress.v4(.limitedBroadcast) < .v6(.unspecified))
  }
}
