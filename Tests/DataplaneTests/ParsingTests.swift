import Dataplane
import TestKit
import Testing
import Wire

/// What a packet says about its headers, to be compared.
struct Facts: Equatable {
  var isIPv4 = false
  var isIPv6 = false
  var isARP = false
  var isFragment = false
  var isLaterFragment = false
  var vlanTags = 0
  var etherType: UInt16?
  var networkOffset: Int?
  var networkLength: Int?
  var transportProtocol: UInt8?
  var transportOffset: Int?
  var ports: [UInt16]?
  var views: [String] = []
  var flowHash: UInt32 = 0

  init() {}

  init(_ packet: borrowing Packet) {
    isIPv4 = packet.isIPv4
    isIPv6 = packet.isIPv6
    isARP = packet.isARP
    isFragment = packet.isFragment
    isLaterFragment = packet.isLaterFragment
    vlanTags = packet.vlanTagCount
    etherType = packet.etherType?.rawValue
    networkOffset = packet.networkHeaderOffset
    networkLength = packet.networkLength
    transportProtocol = packet.transportProtocol?.rawValue
    transportOffset = packet.transportHeaderOffset
    ports = packet.transportPorts.map { [$0.source, $0.destination] }
    if let header = packet.ethernet {
      views.append("ethernet \(header.source) \(header.destination) \(header.etherType)")
    }
    if let header = packet.vlanTag { views.append("vlan \(header.identifier) \(header.priority)") }
    if let header = packet.arp { views.append("arp \(header.operation) \(header.senderIP) \(header.targetIP)") }
    if let header = packet.ipv4 {
      views.append("ipv4 \(header.source) \(header.destination) \(header.headerLength) \(header.isChecksumValid)")
    }
    if let header = packet.ipv6 { views.append("ipv6 \(header.source) \(header.destination) \(header.payloadLength)") }
    if let header = packet.tcp { views.append("tcp \(header.sourcePort) \(header.headerLength) \(header.flags)") }
    if let header = packet.udp { views.append("udp \(header.destinationPort) \(header.datagramLength)") }
    if let header = packet.icmp { views.append("icmp \(header.type) \(header.identifier)") }
    flowHash = packet.flowHash
  }
}

private func facts(_ frame: Frame, headroom: Int = 128) throws -> Facts {
  try withTestPool { pool in
    let packet = pool.packet(frame, headroom: headroom)
    let facts = Facts(packet)
    pool.free(packet)
    return facts
  }
}

@Suite struct ParsingTests {
  @Test(arguments: 0...8) func looksBehindVLANTags(tags: Int) throws {
    var frame = Frame.ethernet()
    for tag in 0..<tags { frame = frame.vlan(UInt16(tag + 1), protocolIdentifier: [0x88A8, 0x9100, 0x8100][tag % 3]) }
    let found = try facts(frame.ipv4().udp(from: 7, to: 9))
    #expect(found.vlanTags == tags)
    #expect(found.etherType == 0x0800)
    #expect(found.networkOffset == 14 + 4 * tags)
    #expect(found.ports == [7, 9])
  }

  @Test func stopsBehindEightVLANTags() throws {
    var frame = Frame.ethernet()
    for tag in 0..<9 { frame = frame.vlan(UInt16(tag)) }
    let found = try facts(frame.ipv4().udp())
    #expect(!found.isIPv4)
    #expect(found.networkOffset == nil)
  }

  @Test(arguments: Array(stride(from: 0, through: 40, by: 4))) func skipsIPv4Options(length: Int) throws {
    let found = try facts(Frame.ethernet().ipv4(options: Array(repeating: 1, count: length)).tcp(from: 5, to: 6))
    #expect(found.isIPv4)
    #expect(found.networkOffset == 14)
    #expect(found.networkLength == 20 + length + 20)
    #expect(found.transportOffset == 34 + length)
    #expect(found.ports == [5, 6])
  }

  @Test func refusesIPv4ThatContradictsItself() throws {
    let sound = Frame.ethernet().ipv4().udp().bytes
    func with(_ offset: Int, _ value: UInt8) -> Frame {
      var bytes = sound
      bytes[offset] = value
      return Frame(bytes)
    }
    #expect(try facts(with(14, 0x45)).isIPv4)
    #expect(try !facts(with(14, 0x65)).isIPv4, "version 6")
    #expect(try !facts(with(14, 0x44)).isIPv4, "header length 16")
    #expect(try !facts(with(14, 0x4F)).isIPv4, "header longer than the datagram")
    #expect(try !facts(with(17, 19)).isIPv4, "total length below the header's")
    #expect(try !facts(with(17, 29)).isIPv4, "total length beyond the frame")
  }

  @Test func paddingIsNoPartOfTheDatagram() throws {
    // A TCP header that only the padding would complete is none.
    let found = try facts(Frame.ethernet().ipv4(protocolNumber: 6).payload(count: 10).padded(to: 80, with: 0x55))
    #expect(found.isIPv4)
    #expect(found.transportProtocol == 6)
    #expect(found.transportOffset == nil)
    #expect(found.networkLength == 30)
  }

  @Test func tellsIPv4FragmentsApart() throws {
    let first = try facts(Frame.ethernet().ipv4(moreFragments: true).udp(from: 1, to: 2).payload(count: 16))
    #expect(first.isFragment && !first.isLaterFragment && first.ports == [1, 2])
    let later = try facts(
      Frame.ethernet().ipv4(moreFragments: true, fragmentOffset: 24, protocolNumber: 17).payload(count: 16))
    #expect(later.isFragment && later.isLaterFragment && later.ports == nil && later.transportOffset == nil)
    let last = try facts(Frame.ethernet().ipv4(fragmentOffset: 48, protocolNumber: 17).payload(count: 16))
    #expect(last.isFragment && last.isLaterFragment && last.transportProtocol == 17)
    let whole = try facts(Frame.ethernet().ipv4(dontFragment: true).udp())
    #expect(!whole.isFragment)
  }

  @Test func followsIPv6ExtensionHeaders() throws {
    let frame = Frame.ethernet().ipv6().ipv6Extension(0).ipv6Extension(60, content: Array(repeating: 0, count: 22))
      .ipv6Extension(43).authenticationHeader().ipv6Extension(60).tcp(from: 8, to: 9)
    let found = try facts(frame)
    #expect(found.isIPv6)
    #expect(found.transportProtocol == 6)
    #expect(found.transportOffset == 14 + 40 + 8 + 24 + 8 + 24 + 8)
    #expect(found.ports == [8, 9])
    #expect(!found.isFragment)
  }

  @Test func limitsTheIPv6Chain() throws {
    func chain(_ count: Int) -> Frame {
      (0..<count).reduce(Frame.ethernet().ipv6()) { frame, _ in frame.ipv6Extension(60) }.udp()
    }
    #expect(try facts(chain(8)).ports != nil)
    #expect(try !facts(chain(9)).isIPv6)
  }

  @Test func refusesAnIPv6ChainThatIsCutShort() throws {
    // The last extension header claims 2,048 bytes.
    var bytes = Frame.ethernet().ipv6().ipv6Extension(0).udp().payload(count: 100).bytes
    bytes[55] = 255
    #expect(try !facts(Frame(bytes)).isIPv6)
  }

  /// A first fragment that does not hold the whole chain of headers is refused.
  @Test func rfc7112_5_aFirstFragmentHoldsTheWholeChain() throws {
    let cut = Frame.ethernet().ipv6().ipv6Fragment(moreFragments: true, nextHeader: 60).payload([
      17, 3, 0, 0, 0, 0, 0, 0,
    ])
    #expect(try !facts(cut).isIPv6)
  }

  @Test func tellsIPv6FragmentsApart() throws {
    let first = try facts(
      Frame.ethernet().ipv6().ipv6Fragment(moreFragments: true).udp(from: 1, to: 2).payload(count: 8))
    #expect(first.isFragment && !first.isLaterFragment && first.ports == [1, 2])
    let later = try facts(Frame.ethernet().ipv6().ipv6Fragment(offset: 16, nextHeader: 17).payload(count: 16))
    #expect(later.isIPv6 && later.isFragment && later.isLaterFragment && later.transportOffset == nil)
    #expect(later.transportProtocol == 17)
    // What a later fragment carries is data, even if the next header is an extension's.
    let data = try facts(Frame.ethernet().ipv6().ipv6Fragment(offset: 16, nextHeader: 60).payload(count: 3))
    #expect(data.isIPv6 && data.isLaterFragment && data.transportProtocol == 60)
    let atomic = try facts(Frame.ethernet().ipv6().ipv6Fragment().udp(from: 1, to: 2))
    #expect(atomic.isIPv6 && !atomic.isFragment && atomic.ports == [1, 2])
  }

  @Test func findsARP() throws {
    let found = try facts(Frame.ethernet().vlan(2).arp())
    #expect(found.isARP && found.networkOffset == 18 && found.networkLength == nil)
    var bytes = Frame.ethernet().arp().bytes
    bytes[18] = 8  // hardware addresses of eight bytes
    #expect(try !facts(Frame(bytes)).isARP)
  }

  @Test func readsPortsOfWhatHasPorts() throws {
    for number: UInt8 in [6, 17, 33, 132, 136] {
      let header = [0, 7, 0, 9] + [UInt8](repeating: 0, count: 8) + [0x50] + [UInt8](repeating: 0, count: 7)
      #expect(try facts(Frame.ethernet().ipv4(protocolNumber: number).payload(header)).ports == [7, 9])
    }
    #expect(try facts(Frame.ethernet().ipv4().icmp()).ports == nil)
    #expect(try facts(Frame.ethernet().ipv4(protocolNumber: 47).payload(count: 20)).ports == nil)
  }

  @Test func icmpBelongsToItsVersion() throws {
    #expect(try facts(Frame.ethernet().ipv4().icmp()).views.contains { $0.hasPrefix("icmp") })
    #expect(try facts(Frame.ethernet().ipv6().icmpv6()).views.contains { $0.hasPrefix("icmp") })
    #expect(
      try !facts(Frame.ethernet().ipv4(protocolNumber: 58).payload(count: 20)).views.contains { $0.hasPrefix("icmp") })
    #expect(try !facts(Frame.ethernet().ipv6(nextHeader: 1).payload(count: 20)).views.contains { $0.hasPrefix("icmp") })
  }

  static let shapes = [
    Frame.ethernet().vlan(5, protocolIdentifier: 0x88A8).vlan(7).ipv4(options: [1, 1, 1, 0]).tcp(options: [
      2, 4, 5, 0xB4,
    ])
    .payload(count: 9),
    Frame.ethernet().ipv4().udp().payload(count: 3), Frame.ethernet().ipv4().icmp(), Frame.ethernet().arp(),
    Frame.ethernet().ipv6().ipv6Extension(0).ipv6Extension(43).ipv6Fragment().udp().payload(count: 20),
    Frame.ethernet().ipv6().authenticationHeader().icmpv6(),
    Frame.ethernet().ipv4(fragmentOffset: 16, protocolNumber: 17).payload(count: 24),
  ]

  /// Nothing that is found depends on bytes that are not the packet's: at every length the buffer around the packet is
  /// filled with two patterns.
  @Test(arguments: shapes) func neverLooksBeyondTheEnd(_ shape: Frame) throws {
    let bytes = shape.bytes
    // Also with the length fields cut to the frame, so that more than "too short" is tried.
    for length in 0...bytes.count {
      try expectIndependence(of: Array(bytes.prefix(length)))
      if let fitted = Self.fitted(bytes, to: length) { try expectIndependence(of: fitted) }
    }
  }

  @Test func neverLooksBeyondTheEndOfRandomBytes() throws {
    var generator = FrameGenerator(seed: 11)
    for damage in FrameGenerator.Damage.allCases {
      for _ in 0..<500 { try expectIndependence(of: generator.next(damage).bytes) }
    }
  }

  private static func fitted(_ bytes: [UInt8], to length: Int) -> [UInt8]? {
    var cut = Array(bytes.prefix(length))
    let network = bytes[12] == 0x88 ? 22 : 14
    guard length >= network + 40 else { return nil }
    switch bytes[network] >> 4 {
    case 4: (cut[network + 2], cut[network + 3]) = (UInt8((length - network) >> 8), UInt8((length - network) & 255))
    case 6: (cut[network + 4], cut[network + 5]) = (0, UInt8(length - network - 40))
    default: return nil
    }
    return cut
  }

  private func expectIndependence(of bytes: [UInt8], sourceLocation: SourceLocation = #_sourceLocation) throws {
    var seen: [Facts] = []
    for pattern: UInt8 in [0x00, 0x45, 0xFF] {
      try withTestPool(packets: 8) { pool in
        // At the very end of the buffer what lies beyond is not even the pool's data room.
        for headroom in [128, 2176 - bytes.count] {
          var packet = pool.packet(Frame(bytes), headroom: headroom)
          packet.fillSurroundings(with: pattern)
          seen.append(Facts(packet))
          pool.free(packet)
        }
      }
    }
    #expect(seen.allSatisfy { $0 == seen[0] }, "\(Frame(bytes))", sourceLocation: sourceLocation)
  }

  /// A packet in segments is found to be what it is in one piece, wherever it is split.
  @Test(arguments: shapes) func splitHeadersAreFoundWhole(_ shape: Frame) throws {
    let whole = try facts(shape)
    for offset in 1..<shape.length {
      #expect(try facts(shape.split(at: offset)) == whole, "split at \(offset)")
      #expect(try facts(shape.split(at: offset, offset + 1, offset + 5)) == whole, "split at \(offset) and on")
    }
    #expect(try facts(shape.split(at: Array(1..<shape.length))) == whole, "a segment a byte")
  }

  @Test(arguments: shapes) func splittingLeavesTheBytesAlone(_ shape: Frame) throws {
    try withTestPool { pool in
      for offset in 1..<shape.length {
        let packet = pool.packet(shape.split(at: offset))
        _ = packet.isIPv4
        #expect(packet.copyBytes() == shape.bytes)
        #expect(packet.segmentLengths.reduce(0, +) == shape.length)
        pool.free(packet)
      }
    }
  }
}

@Suite struct FlowHashTests {
  @Test func isTheSameInBothDirections() throws {
    let pairs = [
      (
        Frame.ethernet().ipv4(from: "10.0.0.1", to: "10.0.0.2").tcp(from: 1, to: 2),
        Frame.ethernet().vlan(9).ipv4(from: "10.0.0.2", to: "10.0.0.1").tcp(from: 2, to: 1)
      ),
      (
        Frame.ethernet().ipv6(from: "2001:db8::1", to: "2001:db8::2").udp(from: 9, to: 7),
        Frame.ethernet().ipv6(from: "2001:db8::2", to: "2001:db8::1").ipv6Extension(60).udp(from: 7, to: 9)
      ),
      (
        Frame.ethernet(from: "02:00:00:00:00:01", to: "02:00:00:00:00:02").arp(),
        Frame.ethernet(from: "02:00:00:00:00:02", to: "02:00:00:00:00:01").arp(operation: 2)
      ),
      // Ports that go with the addresses crosswise are another flow's; the hash may be the same, and is here.
      (Frame.ethernet().ipv4().icmp(), Frame.ethernet().ipv4(from: "10.0.0.2", to: "10.0.0.1").icmp(type: 0)),
    ]
    for (there, back) in pairs { #expect(try facts(there).flowHash == facts(back).flowHash) }
  }

  @Test func isTheSameForAllFragments() throws {
    for whole in [Frame.ethernet().ipv4().udp().payload(count: 100), Frame.ethernet().ipv6().udp().payload(count: 100)]
    {
      let hashes = try whole.fragments(of: 24).map { try facts($0).flowHash }
      #expect(hashes.count > 2)
      #expect(Set(hashes).count == 1)
    }
  }

  @Test func spreadsFlows() throws {
    var low: Set<UInt32> = []
    var full: Set<UInt32> = []
    try withTestPool { pool in
      for port in UInt16(1)...1000 {
        let packet = pool.packet(Frame.ethernet().ipv4().udp(from: port, to: 53))
        full.insert(packet.flowHash)
        low.insert(packet.flowHash & 1023)
        pool.free(packet)
      }
    }
    #expect(full.count > 995)
    // A thousand balls into 1,024 bins leave some 380 empty.
    #expect(low.count > 580)
  }
}
