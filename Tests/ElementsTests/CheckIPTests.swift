import Dataplane
import Elements
import TestKit
import Testing

@Suite struct CheckIPTests {
  /// IPv4 or IPv6 bytes behind a good Ethernet header.
  static func frame(_ change: (inout [UInt8]) -> Void, v6: Bool = false) -> Frame {
    var bytes = (v6 ? Frame.ethernet().ipv6().udp() : Frame.ethernet().ipv4().udp()).payload(count: 20).bytes
    change(&bytes)
    return Frame(bytes)
  }

  @Test func letsValidPacketsPassUntouched() throws {
    let check = try ElementUnderTest(CheckIP.self)
    let frames = [
      Frame.ethernet().ipv4().udp(), .ethernet().vlan(1).vlan(2).ipv4(options: [1, 1, 1, 0]).tcp(),
      .ethernet().ipv6().ipv6Extension(0).tcp(), .ethernet().ipv4(ttl: 0).udp(),
      Frame.ethernet().ipv4(to: "224.0.0.5").payload("ospf").padded(), .ethernet().ipv6(to: "ff02::1").udp(),
      .ethernet().ipv4(from: "0.0.0.0", to: "255.255.255.255").udp(from: 68, to: 67),
      .ethernet().ipv6(from: "::", to: "ff02::1:ff00:1").icmpv6(type: 135), .ethernet().ipv4(fragmentOffset: 800),
      Frame.ethernet().ipv4().udp().payload(count: 800).split(at: 3, 20, 400),
    ]
    let result = check.push(frames)
    #expect(result["ip"].are(frames), "\(result)")
  }

  @Test func passesByWhatIsNoIP() throws {
    let check = try ElementUnderTest(CheckIP.self)
    let frames = [Frame.ethernet().arp(), .ethernet().payload("x"), Frame([1, 2, 3]), Frame()]
    #expect(check.push(frames)["other"].are(frames))
  }

  /// Frames that are refused, with the reason's name.
  static let broken: [(reason: String, frame: Frame)] = [
    ("truncated", Frame(Array(frame({ _ in }).bytes.prefix(14 + 19)))),
    ("truncated", Frame(Array(frame({ _ in }).bytes.prefix(14)))),
    ("truncated", Frame(Array(frame({ _ in }, v6: true).bytes.prefix(14 + 39)))),
    ("badVersion", frame { $0[14] = 0x65 }),
    ("badVersion", frame({ $0[14] = 0x45 }, v6: true)),
    ("badHeaderLength", frame { $0[14] = 0x44 }),
    ("badHeaderLength", Frame(Array(frame { $0[14] = 0x4F }.bytes.prefix(14 + 59)))),
    ("badLength", .ethernet().ipv4(totalLength: 19).udp()),
    ("badLength", .ethernet().ipv4(totalLength: 29).udp()),
    ("badLength", .ethernet().ipv6(payloadLength: 9).udp()),
    ("badExtensions", .ethernet().ipv6(nextHeader: 0).payload([17, 9, 0, 0, 0, 0, 0, 0])),
    ("badExtensions", .ethernet().ipv6(nextHeader: 44).payload([17, 0, 0, 0])),
    ("badExtensions", (0..<9).reduce(Frame.ethernet().ipv6()) { frame, _ in frame.ipv6Extension(60) }.udp()),
    ("badChecksum", .ethernet().ipv4(checksum: .wrong).udp()),
    ("badChecksum", .ethernet().ipv4(checksum: .value(0)).udp()),
    ("badChecksum", .ethernet().ipv4(options: [1, 1, 1, 1], checksum: .wrong).udp()),
    ("badSource", .ethernet().ipv4(from: "127.0.0.1").udp()),
    ("badSource", .ethernet().ipv4(from: "224.0.0.1").udp()),
    ("badSource", .ethernet().ipv4(from: "240.0.0.1").udp()),
    ("badSource", .ethernet().ipv4(from: "255.255.255.255").udp()),
    ("badSource", .ethernet().ipv4(from: "0.0.0.1").udp()),
    ("badSource", .ethernet().ipv6(from: "::1").udp()),
    ("badSource", .ethernet().ipv6(from: "ff02::1").udp()),
    ("badSource", .ethernet().ipv6(from: "::ffff:10.0.0.1").udp()),
    ("badDestination", .ethernet().ipv4(to: "127.1.2.3").udp()),
    ("badDestination", .ethernet().ipv4(to: "0.0.0.0").udp()),
    ("badDestination", .ethernet().ipv4(to: "250.0.0.1").udp()),
    ("badDestination", .ethernet().ipv6(to: "::1").udp()),
    ("badDestination", .ethernet().ipv6(to: "::").udp()),
    ("badDestination", .ethernet().ipv6(to: "::ffff:10.0.0.1").udp()),
  ]

  private func expectDropped(_ isIPv6: Bool, _ reasons: Set<String>, sourceLocation: SourceLocation = #_sourceLocation)
    throws
  {
    let check = try ElementUnderTest(CheckIP.self)
    var count = 0
    for (reason, frame) in Self.broken where Self.isIPv6(frame) == isIPv6 && reasons.contains(reason) {
      #expect(check.push(frame).drops == [reason: 1], "\(frame)", sourceLocation: sourceLocation)
      count += 1
    }
    #expect(count >= reasons.count, sourceLocation: sourceLocation)
  }

  private static func isIPv6(_ frame: Frame) -> Bool { Array(frame.bytes[12..<14]) == [0x86, 0xDD] }

  /// A header that is cut short, of another version, with lengths that contradict each other or the frame, or with a wrong
  /// checksum is discarded silently.
  @Test func rfc1812_5_2_2_headerValidation() throws {
    try expectDropped(false, ["truncated", "badVersion", "badHeaderLength", "badLength", "badChecksum"])
  }

  /// Packets from addresses that no host can have, and to ones that never stand on a link, are discarded.
  @Test func rfc1812_5_3_7_martianAddresses() throws { try expectDropped(false, ["badSource", "badDestination"]) }

  /// A header that is cut short, of another version or longer than the frame is refused.
  @Test func rfc8200_3_headerValidation() throws { try expectDropped(true, ["truncated", "badVersion", "badLength"]) }

  /// A chain of extension headers that leads out of the packet, or on and on, is refused.
  @Test func rfc8200_4_extensionHeaders() throws { try expectDropped(true, ["badExtensions"]) }

  /// The loopback and unspecified addresses, groups as sources and IPv4-mapped addresses are refused on a link.
  @Test func rfc4291_2_5_addressesThatStandOnNoLink() throws {
    try expectDropped(true, ["badSource", "badDestination"])
  }

  @Test func everyReasonIsGiven() {
    #expect(Set(Self.broken.map(\.reason)) == Set(CheckIP.Drop.allCases.map { "\($0)" }))
  }

  @Test func checksCanBeTurnedOff() throws {
    let check = try ElementUnderTest(CheckIP.self, settings: "{ checksum: no, addresses: no }")
    let frames = Self.broken.filter {
      $0.reason == "badChecksum" || $0.reason.hasSuffix("Source") || $0.reason.hasSuffix("Destination")
    }
    .map(\.frame)
    #expect(check.push(frames)["ip"].are(frames))
  }

  @Test func martiansOfTheUsersChoiceAreRefused() throws {
    let check = try ElementUnderTest(
      CheckIP.self, settings: "{ addresses: no, martians: [10.0.0.0/31, 2001:db8::/127] }")
    let result = check.push([
      .ethernet().ipv4(from: "10.0.0.1").udp(), .ethernet().ipv4(from: "10.0.0.2").udp(),
      .ethernet().ipv6(from: "2001:db8::1").udp(), .ethernet().ipv6(from: "2001:db8::2").udp(),
    ])
    #expect(result["ip"].count == 2)
    #expect(result.drops == ["badSource": 2])
  }
}
