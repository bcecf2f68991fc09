import Testing
import Wire

@Suite struct ProtocolNumberTests {
  @Test func readsEtherTypes() {
    #expect(
      EtherType("ipv4") == .ipv4 && EtherType("IPv6")?.rawValue == 0x86DD && EtherType("0x88b5")?.rawValue == 0x88B5)
    #expect(EtherType("2048") == .ipv4)
    for text in ["", "ip", "0x", "0x10000", "65536", "-1", "0x-1", "+5", "08"] {
      #expect(EtherType(text) == nil, "\(text)")
    }
    #expect(EtherType(rawValue: 0x88B5).description == "0x88b5" && EtherType.arp.description == "arp")
    #expect(EtherType(rawValue: 0x05FF).isLength && !EtherType(rawValue: 0x0600).isLength)
    #expect(EtherType.vlan.isVLANTag && EtherType.qinq.isVLANTag && !EtherType.ipv4.isVLANTag)
    for known in EtherType.names { #expect(EtherType(known.type.description) == known.type) }
  }

  @Test func readsProtocols() {
    #expect(IPProtocol("TCP") == .tcp && IPProtocol("17") == .udp && IPProtocol("0x3a") == .icmpv6)
    #expect(IPProtocol("ipv6-icmp") == .icmpv6 && IPProtocol.icmpv6.description == "icmpv6")
    for text in ["", "tcpp", "256", "-6", "0x100"] { #expect(IPProtocol(text) == nil, "\(text)") }
    #expect(IPProtocol(rawValue: 253).description == "253")
    for number in UInt8.min...UInt8.max {
      #expect(IPProtocol(IPProtocol(rawValue: number).description)?.rawValue == number)
    }
    let extensions = (UInt8.min...UInt8.max).filter { IPProtocol(rawValue: $0).isIPv6Extension }
    #expect(extensions == [0, 43, 44, 51, 60, 135, 139, 140])
  }
}

@Suite struct SmallValueTests {
  @Test func readsVLANIdentifiers() {
    #expect(VLANIdentifier("0") == .priorityOnly && VLANIdentifier("4095")?.rawValue == 4095)
    for text in ["", "4096", "-1", "01", "0x1", "a"] { #expect(VLANIdentifier(text) == nil, "\(text)") }
    #expect(VLANIdentifier(rawValue: 4096) == nil)
    #expect(VLANIdentifier(tagControl: 0xF123).rawValue == 0x123)
    #expect((0...4095).filter { VLANIdentifier(tagControl: $0).isAssignable }.count == 4094)
  }

  @Test func readsPortRanges() {
    #expect(PortRange("80") == PortRange(80) && PortRange("1024-65535") == PortRange(1024...65535))
    #expect(PortRange("80-80")?.description == "80" && PortRange.all.description == "0-65535")
    for text in ["", "-", "80-", "-80", "81-80", "1-2-3", "65536", "0-65536", "80 - 90", "http"] {
      #expect(PortRange(text) == nil, "\(text)")
    }
    #expect(PortRange.all.count == 65536 && PortRange(7).count == 1)
    let range = PortRange(10...20)
    #expect(!range.contains(9) && range.contains(10) && range.contains(20) && !range.contains(21))
    #expect(range.overlaps(PortRange(20...30)) && range.overlaps(PortRange(5...10)) && range.overlaps(PortRange(15)))
    #expect(!range.overlaps(PortRange(21...30)) && !range.overlaps(PortRange(9)))
  }

  @Test func readsTCPFlags() {
    #expect(
      TCPFlags("syn,ack") == [.syn, .ack] && TCPFlags("SYN+ACK") == [.syn, .ack] && TCPFlags("fin|psh") == [.fin, .psh])
    #expect(TCPFlags("none") == [])
    for text in ["", "syn,", ",syn", "syn ack", "sin"] { #expect(TCPFlags(text) == nil, "\(text)") }
    for bits in UInt8.min...UInt8.max {
      #expect(TCPFlags(TCPFlags(rawValue: bits).description)?.rawValue == bits)
    }
  }

  /// Flags have their bits in the header's fourteenth octet, FIN lowest and CWR highest.
  @Test func rfc9293_3_1_flags() {
    #expect(TCPFlags(rawValue: 0b1100_0010).description == "syn,ece,cwr")
  }

  @Test func readsCodePoints() {
    #expect(DSCP("ef")?.rawValue == 46 && DSCP("AF41")?.rawValue == 34 && DSCP("cs6")?.rawValue == 48)
    #expect(DSCP("af11")?.rawValue == 10 && DSCP("af23")?.rawValue == 22 && DSCP("le")?.rawValue == 1)
    #expect(DSCP("va")?.rawValue == 44 && DSCP("be") == .default && DSCP("0x2e") == .ef)
    for text in ["", "64", "af44", "af14", "cs8", "-1"] { #expect(DSCP(text) == nil, "\(text)") }
    for value in UInt8(0)...63 { #expect(DSCP(rawValue: value).flatMap { DSCP($0.description) }?.rawValue == value) }
    #expect(DSCP(rawValue: 64) == nil && DSCP(trafficClass: 0xB9) == .ef)
  }
}
