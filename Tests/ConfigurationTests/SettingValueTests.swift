import Configuration
import Testing
import Wire

enum Colour: String, SettingChoice { case red, green, darkBlue = "dark-blue" }

@Suite struct SettingValueTests {
  @Test func readsEveryType() throws {
    #expect(try value("yes") == true && value("Off") == false && value("true") == true)
    #expect(try value("-5", as: Int.self) == -5 && value("0x1F", as: UInt8.self) == 31)
    #expect(try value("65_536", as: UInt32.self) == 65536 && value("-0x80", as: Int8.self) == -128)
    #expect(try value("18446744073709551615", as: UInt64.self) == .max)
    #expect(try value("0.25", as: Double.self) == 0.25 && value("5", as: Double.self) == 5)
    #expect(try value("some text", as: String.self) == "some text" && value("''", as: String.self) == "")
    #expect(try value("dark-blue", as: Colour.self) == .darkBlue)
    #expect(try value("[1, 2]", as: [Int].self) == [1, 2] && value("3", as: [Int].self) == [3])
    #expect(try value("[]", as: [Int].self) == [])
    #expect(try value("routes.txt", as: FileSetting.self).path == "/etc/nfv/routes.txt")
    #expect(try value("/routes.txt", as: FileSetting.self).path == "/routes.txt")
    #expect(try value("nat", as: ElementReference.self).name == "nat")
  }

  @Test func readsWireTypes() throws {
    #expect(try value("02:00:00:00:00:01", as: MACAddress.self).rawValue == 0x0200_0000_0001)
    #expect(try value("10.0.0.1", as: IPv4Address.self) == IPv4Address(10, 0, 0, 1))
    #expect(try value("::1", as: IPv6Address.self) == .loopback && value("'::1'", as: IPAddress.self) == .v6(.loopback))
    #expect(
      try value("10.0.0.0/8", as: IPv4Prefix.self).length == 8 && value("fe80::/10", as: IPv6Prefix.self).length == 10)
    #expect(try value("10.0.0.0/8", as: IPPrefix.self).length == 8)
    #expect(try value("udp", as: IPProtocol.self) == .udp && value("0x0800", as: EtherType.self) == .ipv4)
    #expect(try value("100", as: VLANIdentifier.self).rawValue == 100)
    #expect(
      try value("80", as: PortRange.self) == PortRange(80) && value("syn+ack", as: TCPFlags.self) == [.syn, .ack])
    #expect(try value("ef", as: DSCP.self) == .ef && value("300s", as: Duration.self) == .seconds(300))
    #expect(
      try value("64KiB", as: DataSize.self).bytes == 65536
        && value("1Mpps", as: PacketRate.self).packetsPerSecond == 1_000_000)
    #expect(try value("10Gbps", as: DataRate.self).bitsPerSecond == 10_000_000_000)
  }

  @Test func complainsByName() {
    #expect(complaint("maybe", as: Bool.self) == ["1:4: 'maybe' is not yes or no; write it like yes"])
    #expect(complaint("256", as: UInt8.self) == ["1:4: '256' is not a number from 0 to 255; write it like 8"])
    #expect(complaint("x", as: Int.self) == ["1:4: 'x' is not a whole number; write it like 8"])
    #expect(complaint("[1]", as: Int.self) == ["1:4: a list is not a whole number; write it like 8"])
    #expect(complaint("{a: 1}", as: String.self) == ["1:4: a mapping is not text; write it like some text"])
    #expect(complaint("", as: String.self) == ["1:3: nothing is not text; write it like some text"])
    #expect(complaint("inf", as: Double.self) == ["1:4: 'inf' is not a number; write it like 0.5"])
    #expect(
      complaint("gren", as: Colour.self) == ["1:4: 'gren' is none of red, green, dark-blue; did you mean 'green'?"])
    #expect(complaint("pink", as: Colour.self) == ["1:4: 'pink' is none of red, green, dark-blue; write it like red"])
    #expect(complaint("''", as: FileSetting.self) == ["1:4: '' is not a file; write it like routes.txt"])
    #expect(complaint("[a]", as: ElementReference.self) == ["1:4: a list is not an element; write it like nat"])
    #expect(
      complaint("10.0.0", as: IPv4Address.self) == ["1:4: '10.0.0' is not an IPv4 address; write it like 192.0.2.1"])
    #expect(complaint("2x", as: Duration.self) == ["1:4: '2x' is not a duration; write it like 300s"])
    #expect(complaint("100", as: DataRate.self) == ["1:4: '100' is not a data rate; write it like 10Gbps"])
    #expect(complaint("foo", as: EtherType.self) == ["1:4: 'foo' is not an EtherType; write it like ipv4"])
  }

  @Test func complainsAboutEveryMemberOfAList() {
    #expect(
      complaint("[1, x, 2, 300]", as: [UInt8].self) == [
        "1:8: 'x' is not a number from 0 to 255; write it like 8",
        "1:14: '300' is not a number from 0 to 255; write it like 8",
      ])
  }

  @Test func saysWhichPartOfAPrefixIsWrong() {
    #expect(
      complaint("10.1.0.0/8", as: IPPrefix.self) == [
        "1:4: '10.1.0.0/8' has bits set behind its length; write 10.0.0.0/8, or the address alone for just that one"
      ])
    #expect(
      complaint("10.0.0.0/33", as: IPv4Prefix.self) == [
        "1:4: '10.0.0.0/33' has no valid length; write 0 to 32 behind the '/'"
      ])
    #expect(
      complaint("::/129", as: IPv6Prefix.self) == ["1:4: '::/129' has no valid length; write 0 to 128 behind the '/'"])
    #expect(complaint("eth0", as: IPPrefix.self) == ["1:4: 'eth0' is not an IP prefix; write it like 192.0.2.0/24"])
    #expect(complaint("[1]", as: IPv4Prefix.self) == ["1:4: a list is not an IPv4 prefix; write it like 192.0.2.0/24"])
  }

  @Test(arguments: [
    "+5", "010", "0x", "0x-5", "0x+5", "_1", "1_", "5.0", "1e3", "--5", "-", "0b1", "５", "9223372036854775808",
  ])
  func refusesNumerals(text: String) {
    #expect(complaint("'\(text)'", as: Int.self).count == 1)
  }

  /// What a type prints of itself, reads back as the same; its example and its stand-in are values.
  @Test func printsWhatItReads() throws {
    func check<T: SettingValue & Equatable>(_ type: T.Type) throws {
      let example = try value(T.schema.example, as: T.self)
      #expect(try value(example.settingText) == example, "\(type)")
      #expect(try value(T.placeholder.settingText) == T.placeholder, "\(type)")
    }
    try check(Bool.self)
    try check(Int.self)
    try check(Int8.self)
    try check(UInt16.self)
    try check(UInt64.self)
    try check(Double.self)
    try check(String.self)
    try check(Colour.self)
    try check([Int].self)
    try check(MACAddress.self)
    try check(IPv4Address.self)
    try check(IPv6Address.self)
    try check(IPAddress.self)
    try check(IPv4Prefix.self)
    try check(IPv6Prefix.self)
    try check(IPPrefix.self)
    try check(IPProtocol.self)
    try check(EtherType.self)
    try check(VLANIdentifier.self)
    try check(PortRange.self)
    try check(TCPFlags.self)
    try check(DSCP.self)
    try check(DataSize.self)
    try check(DataRate.self)
    try check(PacketRate.self)
    try check(Duration.self)
    #expect(Duration.seconds(300).settingText == "5m" && [true, false].settingText == "[yes, no]")
    #expect(Colour.darkBlue.settingText == "dark-blue" && 2.0.settingText == "2" && 0.5.settingText == "0.5")
  }
}
