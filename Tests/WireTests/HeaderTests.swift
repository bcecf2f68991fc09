import Testing
import Wire

/// Runs `body` on a copy of `bytes`, and gives what it left there. What stands in front of and behind them must stay.
private func edited(
  _ bytes: [UInt8], sourceLocation: SourceLocation = #_sourceLocation, _ body: (HeaderBytes) -> Void
) -> [UInt8] {
  let guardBytes: [UInt8] = [0xA5, 0x5A, 0xC3]
  var buffer = guardBytes + bytes + guardBytes
  let count = bytes.count
  unsafe buffer.withUnsafeMutableBytes { unsafe body(HeaderBytes(unchecked: $0.baseAddress! + 3)) }
  #expect(
    Array(buffer.prefix(3)) == guardBytes && Array(buffer.suffix(3)) == guardBytes, "bytes beside the header changed",
    sourceLocation: sourceLocation)
  return Array(buffer[3..<(3 + count)])
}

/// Bytes from hexadecimal digits.
private func hex(_ text: String) -> [UInt8] {
  let digits = text.compactMap(\.hexDigitValue)
  return stride(from: 0, to: digits.count - 1, by: 2).map { UInt8(digits[$0] << 4 | digits[$0 + 1]) }
}

private func sum(_ bytes: [UInt8]) -> UInt32 { unsafe Checksum.sum(bytes.span.bytes) }

/// The bytes but for those in `ranges`: what a setter must leave alone.
private func without(_ bytes: [UInt8], _ ranges: Range<Int>...) -> [UInt8] {
  bytes.enumerated().filter { index, _ in !ranges.contains { $0.contains(index) } }.map(\.element)
}

@Suite struct LinkHeaderTests {
  @Test func ethernetReadsItsFields() {
    let bytes = hex("02 00 00 00 00 01  02 00 00 00 00 02  08 00")
    _ = edited(bytes) { base in
      let header = unsafe EthernetHeader<ReadOnly>(unchecked: base)
      #expect(header.destination == MACAddress("02:00:00:00:00:01"))
      #expect(header.source == MACAddress("02:00:00:00:00:02"))
      #expect(header.etherType == .ipv4)
    }
  }

  @Test func ethernetWritesItsFields() {
    let bytes = hex("02 00 00 00 00 01  02 00 00 00 00 02  08 00")
    let swapped = edited(bytes) { base in
      unsafe EthernetHeader<ReadWrite>(unchecked: base).swapAddresses()
    }
    #expect(swapped == hex("02 00 00 00 00 02  02 00 00 00 00 01  08 00"))
    let written = edited(bytes) { base in
      let header = unsafe EthernetHeader<ReadWrite>(unchecked: base)
      header.setSource(MACAddress(rawValue: 0xA1B2_C3D4_E5F6))
      header.setDestination(MACAddress(rawValue: 0x0102_0304_0506))
      header.setEtherType(.qinq)
    }
    #expect(written == hex("01 02 03 04 05 06  A1 B2 C3 D4 E5 F6  88 A8"))
  }

  /// IEEE 802.1Q, 9.6: priority, drop eligibility, identifier.
  @Test func aTagReadsAndWritesItsParts() {
    let bytes = hex("81 00 B0 64")
    _ = edited(bytes) { base in
      let tag = unsafe VLANTagHeader<ReadOnly>(unchecked: base)
      #expect(tag.protocolIdentifier == .vlan && tag.control == 0xB064)
      #expect(tag.priority == 5 && tag.isDropEligible && tag.identifier == 100)
    }
    func changed(_ body: (VLANTagHeader<ReadWrite>) -> Void) -> [UInt8] {
      edited(bytes) { base in unsafe body(VLANTagHeader<ReadWrite>(unchecked: base)) }
    }
    #expect(changed { $0.setIdentifier(0xFFFF) } == hex("81 00 BF FF"))
    #expect(changed { $0.setIdentifier(0) } == hex("81 00 B0 00"))
    #expect(changed { $0.setPriority(2) } == hex("81 00 50 64"))
    #expect(changed { $0.setPriority(0xFF) } == hex("81 00 F0 64"))
    #expect(changed { $0.setControl(0x1234) } == hex("81 00 12 34"))
  }

  /// The fields of an ARP packet are read and written in their places.
  @Test func rfc826_fields() {
    let bytes = hex("0001 0800 06 04 0002  A1B2C3D4E5F6 0A000001  010203040506 0A000002")
    _ = edited(bytes) { base in
      let arp = unsafe ARPHeader<ReadOnly>(unchecked: base)
      #expect(arp.operation == 2 && arp.isEthernetIPv4)
      #expect(arp.senderMAC == MACAddress(rawValue: 0xA1B2_C3D4_E5F6) && arp.senderIP == IPv4Address(10, 0, 0, 1))
      #expect(arp.targetMAC == MACAddress(rawValue: 0x0102_0304_0506) && arp.targetIP == IPv4Address(10, 0, 0, 2))
    }
    let written = edited([UInt8](repeating: 0xEE, count: 28)) { base in
      unsafe ARPHeader<ReadWrite>(unchecked: base).set(
        operation: 2, senderMAC: MACAddress(rawValue: 0xA1B2_C3D4_E5F6), senderIP: IPv4Address(10, 0, 0, 1),
        targetMAC: MACAddress(rawValue: 0x0102_0304_0506), targetIP: IPv4Address(10, 0, 0, 2))
    }
    #expect(written == bytes)
    // Each of the four fixed fields counts.
    for offset in 0..<6 {
      var other = bytes
      other[offset] ^= 1
      _ = edited(other) { base in
        let arp = unsafe ARPHeader<ReadOnly>(unchecked: base)
        #expect(arp.isEthernetIPv4 == false)
      }
    }
  }
}

@Suite struct IPv4HeaderTests {
  /// A header whose every field differs from its neighbours; the checksum is right.
  private static let example = hex("45 B9 0073 1234 4000 40 11 ____ C0A80001 C0A800C7".replacingUnderscores)

  private static func withChecksum(_ header: [UInt8]) -> [UInt8] {
    var header = header
    header[10] = 0
    header[11] = 0
    let checksum = Checksum.complement(sum(header))
    header[10] = UInt8(checksum >> 8)
    header[11] = UInt8(checksum & 0xFF)
    return header
  }

  private func read(_ bytes: [UInt8], _ body: (IPv4Header<ReadOnly>) -> Void) {
    _ = edited(bytes) { base in unsafe body(IPv4Header<ReadOnly>(unchecked: base)) }
  }

  private func write(_ bytes: [UInt8], _ body: (IPv4Header<ReadWrite>) -> Void) -> [UInt8] {
    edited(bytes) { base in unsafe body(IPv4Header<ReadWrite>(unchecked: base)) }
  }

  /// The fields of an IPv4 header are read and written in their places.
  @Test func rfc791_3_1_fields() {
    read(Self.withChecksum(Self.example)) { ip in
      #expect(ip.version == 4 && ip.headerLength == 20 && !ip.hasOptions)
      #expect(ip.trafficClass == 0xB9 && ip.dscp == 46 && ip.ecn == 1)
      #expect(ip.totalLength == 0x73 && ip.identification == 0x1234)
      #expect(ip.dontFragment && !ip.moreFragments && ip.fragmentOffset == 0 && !ip.isFragment)
      #expect(ip.timeToLive == 64 && ip.protocolNumber == .udp)
      #expect(ip.source == IPv4Address(192, 168, 0, 1) && ip.destination == IPv4Address(192, 168, 0, 199))
      #expect(ip.isChecksumValid && !ip.isMulticast)
    }
  }

  @Test(
    arguments: [
      (0x0000, false, false, 0, false), (0x4000, true, false, 0, false), (0x2000, false, true, 0, true),
      (0x0001, false, false, 8, true), (0x1FFF, false, false, 65528, true), (0x3FFF, false, true, 65528, true),
      // The reserved bit makes no fragment.
      (0x8000, false, false, 0, false),
    ] as [(UInt16, Bool, Bool, Int, Bool)])
  func readsFragments(word: UInt16, dontFragment: Bool, more: Bool, offset: Int, isFragment: Bool) {
    var bytes = Self.example
    bytes[6] = UInt8(word >> 8)
    bytes[7] = UInt8(word & 0xFF)
    read(bytes) { ip in
      #expect(ip.dontFragment == dontFragment && ip.moreFragments == more)
      #expect(ip.fragmentOffset == offset && ip.isFragment == isFragment)
    }
  }

  /// Without options the checksum is verified in a way of its own; it must agree with the plain one, however often the
  /// sum overflows.
  @Test func verifiesAsThePlainSumDoes() {
    var random = SystemRandomNumberGenerator()
    let corners: [UInt8] = [0x00, 0x01, 0x7F, 0x80, 0xFE, 0xFF]
    var valid = 0
    for round in 0..<4000 {
      var bytes = (0..<60).map { _ -> UInt8 in
        round % 2 == 0 ? UInt8.random(in: 0...255, using: &random) : corners.randomElement(using: &random)!
      }
      let words = round % 3 == 0 ? 5 + round % 11 : 5
      bytes[0] = 0x40 | UInt8(words)
      var header = Array(bytes.prefix(words * 4))
      if round % 4 < 2 { header = Self.withChecksum(header) }
      let expected = Checksum.isValid(sum(header))
      if expected { valid += 1 }
      read(header) { ip in #expect(ip.isChecksumValid == expected) }
      // One bit more or less is always noticed.
      header[Int.random(in: 1..<header.count)] ^= 1 << UInt8.random(in: 0..<8)
      if expected { read(header) { ip in #expect(ip.isChecksumValid == false) } }
    }
    #expect(valid >= 2000)
  }

  @Test func everySetterKeepsTheChecksumRight() {
    var random = SystemRandomNumberGenerator()
    for _ in 0..<500 {
      var bytes = (0..<20).map { _ in UInt8.random(in: 0...255, using: &random) }
      bytes[0] = 0x45
      bytes = Self.withChecksum(bytes)
      let word = UInt32.random(in: 0...UInt32.max, using: &random)
      let byte = UInt8(truncatingIfNeeded: word)
      let address = IPv4Address(rawValue: word)

      let ttl = write(bytes) { $0.setTimeToLive(byte) }
      #expect(ttl[8] == byte && without(ttl, 8..<9, 10..<12) == without(bytes, 8..<9, 10..<12))
      let less = write(bytes) { $0.decrementTimeToLive() }
      #expect(
        less[8] == (bytes[8] == 0 ? 0 : bytes[8] - 1) && without(less, 8..<9, 10..<12) == without(bytes, 8..<9, 10..<12)
      )
      let traffic = write(bytes) { $0.setTrafficClass(byte) }
      #expect(traffic[1] == byte && without(traffic, 1..<2, 10..<12) == without(bytes, 1..<2, 10..<12))
      let whole = write(bytes) { $0.setDontFragment(byte & 1 == 1) }
      #expect(
        whole[6] == bytes[6] & 0xBF | (byte & 1) << 6
          && without(whole, 6..<7, 10..<12) == without(bytes, 6..<7, 10..<12))
      let dscp = write(bytes) { $0.setDSCP(byte) }
      #expect(dscp[1] == byte << 2 | bytes[1] & 3)
      let source = write(bytes) { $0.setSource(address) }
      #expect(source[12..<16].elementsEqual(address.octets) && without(source, 10..<16) == without(bytes, 10..<16))
      let destination = write(bytes) { $0.setDestination(address) }
      #expect(destination[16..<20].elementsEqual(address.octets))
      #expect(without(destination, 10..<12, 16..<20) == without(bytes, 10..<12, 16..<20))

      for changed in [ttl, less, traffic, whole, dscp, source, destination] {
        #expect(changed == Self.withChecksum(changed))
      }
    }
  }

  /// An incremental update gives what computing anew gives, never 0xFFFF, as RFC 1141's way would.
  @Test func rfc1624_3_updatesWhereTheChecksumComesToZero() {
    for target in [0x0000, 0x0001, 0xFFFE] as [UInt16] {
      // The identification is chosen so that the checksum becomes `target` once the time-to-live is lower by one.
      var after = Self.withChecksum(hex("45 00 0028 0000 0000 3F 06 0000 0A000001 0A000002"))
      let have = UInt16(after[10]) << 8 | UInt16(after[11])
      let identification = Checksum.complement(UInt32(~have) + UInt32(target))
      after[4] = UInt8(identification >> 8)
      after[5] = UInt8(identification & 0xFF)
      after = Self.withChecksum(after)
      #expect(UInt16(after[10]) << 8 | UInt16(after[11]) == target)
      var before = after
      before[8] = 64
      #expect(write(Self.withChecksum(before)) { $0.decrementTimeToLive() } == after)
    }
  }

  @Test func leavesATimeToLiveOfZeroAlone() {
    var bytes = Self.example
    bytes[8] = 0
    bytes = Self.withChecksum(bytes)
    #expect(write(bytes) { $0.decrementTimeToLive() } == bytes)
  }

  @Test func writesAWholeHeader() {
    let written = write([UInt8](repeating: 0xEE, count: 20)) { ip in
      ip.set(
        trafficClass: 0xB9, totalLength: 0x73, identification: 0x1234, dontFragment: true, timeToLive: 64,
        protocolNumber: .udp, source: IPv4Address(192, 168, 0, 1), destination: IPv4Address(192, 168, 0, 199))
    }
    #expect(written == Self.withChecksum(Self.example))
  }
}

@Suite struct IPv6HeaderTests {
  private static let example = hex(
    "6 B9 ABCDE 0102 11 40 20010DB8000000000000000000000001 FF020000000000000000000000000002")

  private func write(_ bytes: [UInt8], _ body: (IPv6Header<ReadWrite>) -> Void) -> [UInt8] {
    edited(bytes) { base in unsafe body(IPv6Header<ReadWrite>(unchecked: base)) }
  }

  /// The fields of an IPv6 header are read and written in their places.
  @Test func rfc8200_3_fields() {
    _ = edited(Self.example) { base in
      let ip = unsafe IPv6Header<ReadOnly>(unchecked: base)
      #expect(ip.version == 6 && ip.trafficClass == 0xB9 && ip.dscp == 46 && ip.ecn == 1 && ip.flowLabel == 0xABCDE)
      #expect(ip.payloadLength == 0x0102 && ip.nextHeader == .udp && ip.hopLimit == 64)
      #expect(ip.source == IPv6Address("2001:db8::1") && ip.destination == IPv6Address("ff02::2") && ip.isMulticast)
    }
  }

  @Test func writesItsFields() throws {
    let bytes = Self.example
    let address = try #require(IPv6Address("fe80::1234:5678:9abc:def0"))
    let traffic = write(bytes) { $0.setTrafficClass(0x5A) }
    #expect(Array(traffic.prefix(4)) == hex("65 AA BC DE") && traffic.dropFirst(4) == bytes.dropFirst(4))
    #expect(Array(write(bytes) { $0.setDSCP(0x3F) }.prefix(4)) == hex("6F DA BC DE"))
    #expect(Array(write(bytes) { $0.setDSCP(0) }.prefix(4)) == hex("60 1A BC DE"))
    #expect(write(bytes) { $0.setHopLimit(1) }[7] == 1 && write(bytes) { $0.decrementHopLimit() }[7] == 63)
    var zero = bytes
    zero[7] = 0
    #expect(write(zero) { $0.decrementHopLimit() } == zero)
    let source = write(bytes) { $0.setSource(address) }
    #expect(source[8..<24].elementsEqual(address.octets) && without(source, 8..<24) == without(bytes, 8..<24))
    let destination = write(bytes) { $0.setDestination(address) }
    #expect(destination[24..<40].elementsEqual(address.octets))
    #expect(without(destination, 24..<40) == without(bytes, 24..<40))
  }

  @Test func writesAWholeHeader() throws {
    let source = try #require(IPv6Address("2001:db8::1"))
    let destination = try #require(IPv6Address("ff02::2"))
    let written = write([UInt8](repeating: 0xEE, count: 40)) { ip in
      // Bits of the flow label above its 20 are left out.
      ip.set(
        trafficClass: 0xB9, flowLabel: 0xFFFA_BCDE, payloadLength: 0x0102, nextHeader: .udp, hopLimit: 64,
        source: source, destination: destination)
    }
    #expect(written == Self.example)
  }
}

@Suite struct TransportHeaderTests {
  /// The fields of a UDP header are read and written in their places.
  @Test func rfc768_fields() {
    let bytes = hex("0FA0 0035 0026 1234")
    _ = edited(bytes) { base in
      let udp = unsafe UDPHeader<ReadOnly>(unchecked: base)
      #expect(udp.sourcePort == 4000 && udp.destinationPort == 53)
      #expect(udp.datagramLength == 38 && udp.checksum == 0x1234)
    }
    let written = edited([UInt8](repeating: 0xEE, count: 8)) { base in
      unsafe UDPHeader<ReadWrite>(unchecked: base).set(
        sourcePort: 4000, destinationPort: 53, datagramLength: 38, checksum: 0x1234)
    }
    #expect(written == bytes)
  }

  /// A checksum field of 0 says that there is none, and stays; a computed 0 is sent as all ones.
  @Test func rfc768_aComputedZeroIsSentAsAllOnes() {
    for _ in 0..<2000 {
      let other = UInt32.random(in: 0...0xFFFF)
      let old = UInt16.random(in: 0...0xFFFF)
      let new = [0, 1, 0xFFFF, UInt16.random(in: 0...0xFFFF)].randomElement()!
      func checksum(_ port: UInt16) -> UInt16 { Checksum.udp(Checksum.complement(other + UInt32(port))) }
      guard other > 0 else { continue }
      let bytes = hex("0000 0000 0008 0000")
      func header(_ offset: Int, _ port: UInt16, _ checksum: UInt16) -> [UInt8] {
        var header = bytes
        header[offset] = UInt8(port >> 8)
        header[offset + 1] = UInt8(port & 0xFF)
        header[6] = UInt8(checksum >> 8)
        header[7] = UInt8(checksum & 0xFF)
        return header
      }
      let source = edited(header(0, old, checksum(old))) { base in
        unsafe UDPHeader<ReadWrite>(unchecked: base).setSourcePort(new)
      }
      let destination = edited(header(2, old, checksum(old))) { base in
        unsafe UDPHeader<ReadWrite>(unchecked: base).setDestinationPort(new)
      }
      #expect(source == header(0, new, checksum(new)) && destination == header(2, new, checksum(new)))
      let none = edited(header(0, old, 0)) { base in
        unsafe UDPHeader<ReadWrite>(unchecked: base).setSourcePort(new)
      }
      #expect(none == header(0, new, 0))
    }
  }

  /// The fields of a TCP header are read and written in their places.
  @Test func rfc9293_3_1_fields() {
    let bytes = hex("0FA0 0050 01020304 A1A2A3A4 5 0 12 FFFE 0000 0000")
    _ = edited(bytes) { base in
      let tcp = unsafe TCPHeader<ReadOnly>(unchecked: base)
      #expect(tcp.sourcePort == 4000 && tcp.destinationPort == 80)
      #expect(tcp.sequenceNumber == 0x0102_0304 && tcp.acknowledgmentNumber == 0xA1A2_A3A4)
      #expect(tcp.headerLength == 20 && tcp.flags == [.syn, .ack] && tcp.window == 0xFFFE && tcp.checksum == 0)
    }
    let written = edited([UInt8](repeating: 0xEE, count: 20)) { base in
      unsafe TCPHeader<ReadWrite>(unchecked: base).set(
        sourcePort: 4000, destinationPort: 80, sequenceNumber: 0x0102_0304, acknowledgmentNumber: 0xA1A2_A3A4,
        flags: [.syn, .ack], window: 0xFFFE)
    }
    #expect(written == bytes)
    var long = bytes
    long[12] = 0xF5
    _ = edited(long) { base in
      let tcp = unsafe TCPHeader<ReadOnly>(unchecked: base)
      #expect(tcp.headerLength == 60)
    }
  }

  @Test func tcpPortsKeepTheChecksumRight() {
    for _ in 0..<2000 {
      var bytes = (0..<20).map { _ in UInt8.random(in: 0...255) }
      func fix(_ bytes: inout [UInt8]) {
        bytes[16] = 0
        bytes[17] = 0
        let checksum = Checksum.complement(sum(bytes))
        bytes[16] = UInt8(checksum >> 8)
        bytes[17] = UInt8(checksum & 0xFF)
      }
      fix(&bytes)
      let port = [0, 0xFFFF, UInt16.random(in: 0...0xFFFF)].randomElement()!
      let changed = edited(bytes) { base in
        let tcp = unsafe TCPHeader<ReadWrite>(unchecked: base)
        tcp.setSourcePort(port)
        tcp.setDestinationPort(~port)
      }
      var expected = bytes
      (expected[0], expected[1]) = (UInt8(port >> 8), UInt8(port & 0xFF))
      (expected[2], expected[3]) = (~expected[0], ~expected[1])
      fix(&expected)
      #expect(changed == expected)
    }
  }

  /// The fields of an ICMP message are read and written in their places.
  @Test func rfc792_fields() {
    var bytes = hex("08 00 0000 1234 0007")
    let checksum = Checksum.complement(sum(bytes))
    (bytes[2], bytes[3]) = (UInt8(checksum >> 8), UInt8(checksum & 0xFF))
    _ = edited(bytes) { base in
      let icmp = unsafe ICMPHeader<ReadOnly>(unchecked: base)
      #expect(icmp.type == 8 && icmp.code == 0 && icmp.checksum == checksum)
      #expect(icmp.identifier == 0x1234 && icmp.sequenceNumber == 7)
    }
    for (type, identifier) in [(0, 0), (0, 0xFFFF), (129, 0x1234), (255, 1)] as [(UInt8, UInt16)] {
      let changed = edited(bytes) { base in
        let icmp = unsafe ICMPHeader<ReadWrite>(unchecked: base)
        icmp.setType(type)
        icmp.setIdentifier(identifier)
      }
      #expect(changed[0] == type && changed[4] == UInt8(identifier >> 8) && changed[5] == UInt8(identifier & 0xFF))
      #expect(Checksum.isValid(sum(changed)) && without(changed, 0..<1, 2..<6) == without(bytes, 0..<1, 2..<6))
    }
  }
}

extension String {
  /// Placeholders for bytes that are filled in later.
  fileprivate var replacingUnderscores: String { String(map { $0 == "_" ? "0" : $0 }) }
}
