import Dataplane
import TestKit
import Testing

/// What tests of `Router` have in common: three interfaces, with a host that is known on two of their links.
///
///     lan  192.0.2.1/24     2001:db8:1::1/64   02:..:01   host 192.0.2.10     2001:db8:1::a    02:..:0a
///     wan  198.51.100.1/24  2001:db8:2::1/64   02:..:02   next 198.51.100.254 2001:db8:2::fe   02:..:fe
///     dmz  203.0.113.1/25   2001:db8:3::1/64   02:..:03   nobody that is known
enum TestRouter {
  static let routes = """
    0.0.0.0/0: 198.51.100.254
    10.0.0.0/8: 203.0.113.9
    10.1.0.0/16: 198.51.100.254
    10.2.0.0/16: blackhole
    10.3.0.0/16: unreachable
    10.4.0.0/16: prohibit
    "2001:db8:ffff::/48": "2001:db8:2::fe"
    "2001:db8:ffff:1::/64": "fe80::9@dmz"
    "2001:db8:ffff:2::/64": blackhole
    "2001:db8:ffff:3::/64": unreachable
    "2001:db8:ffff:4::/64": prohibit
    """

  static func text(
    lan: String = "", wan: String = "", dmz: String = "", more: String = "", routes: String = routes
  ) -> String {
    let lines = routes.split(separator: "\n").map { "        \($0)\n" }.joined()
    func behind(_ text: String) -> String { text.isEmpty ? "" : ", \(text)" }
    return """
      nfv: 1
      ports: { lan: { pcap: lan.pcap }, wan: { pcap: wan.pcap }, dmz: { pcap: dmz.pcap } }
      elements:
        rt:
          Router:
            interfaces:
              lan:
                {
                  mac: 02:00:00:00:00:01, addresses: [192.0.2.1/24, 192.0.2.2/24, "2001:db8:1::1/64"], dad: 0,
                  static: { 192.0.2.10: 02:00:00:00:00:0a, "2001:db8:1::a": 02:00:00:00:00:0a,
                    "fe80::a": 02:00:00:00:00:0a }\(behind(lan))
                }
              wan:
                {
                  mac: 02:00:00:00:00:02, addresses: [198.51.100.1/24, "2001:db8:2::1/64"], dad: 0,
                  static: { 198.51.100.254: 02:00:00:00:00:fe, "2001:db8:2::fe": 02:00:00:00:00:fe }\(behind(wan))
                }
              dmz: { mac: 02:00:00:00:00:03, addresses: [203.0.113.1/25, "2001:db8:3::1/64"], dad: 0\(behind(dmz)) }
      \(more.isEmpty ? "" : "      \(more)\n")      routes:
      \(lines.isEmpty ? "        {}\n" : lines)graph: [lan -> rt.lan, rt.lan -> lan, wan -> rt.wan, rt.wan -> wan, dmz -> rt.dmz, rt.dmz -> dmz]
      """
  }

  /// A router that has announced its addresses.
  static func make(
    lan: String = "", wan: String = "", dmz: String = "", more: String = "", routes: String = routes,
    batchSize: Int = 32
  ) throws -> PipelineUnderTest {
    let router = try PipelineUnderTest(
      text(lan: lan, wan: wan, dmz: dmz, more: more, routes: routes), batchSize: batchSize)
    _ = router.advance(milliseconds: 20_000)
    return router
  }
}

extension Frame {
  /// From the host on lan to the router.
  static let fromLAN = Frame.ethernet(from: "02:00:00:00:00:0a", to: "02:00:00:00:00:01")
  /// From the next hop on wan to the router.
  static let fromWAN = Frame.ethernet(from: "02:00:00:00:00:fe", to: "02:00:00:00:00:02")
  /// From a station on dmz to the router.
  static let fromDMZ = Frame.ethernet(from: "02:00:00:00:00:09", to: "02:00:00:00:00:03")
  static let toLAN = Frame.ethernet(from: "02:00:00:00:00:01", to: "02:00:00:00:00:0a")
  static let toWAN = Frame.ethernet(from: "02:00:00:00:00:02", to: "02:00:00:00:00:fe")
  static let toDMZ = Frame.ethernet(from: "02:00:00:00:00:03", to: "02:00:00:00:00:09")

  /// An IPv4 packet of the host on lan.
  func host4(_ destination: String, ttl: UInt8 = 64) -> Frame { ipv4(from: "192.0.2.10", to: destination, ttl: ttl) }
  /// An IPv6 packet of the host on lan.
  func host6(_ destination: String, hops: UInt8 = 64) -> Frame {
    ipv6(from: "2001:db8:1::a", to: destination, hopLimit: hops)
  }
}

extension SentPacket {
  /// Its layers in words, but for the link's.
  var layers: String { Dissection(bytes).layers.dropFirst().joined(separator: ", ") }
  var link: String { Dissection(bytes).layers.first ?? "" }

  /// A byte behind the Ethernet header.
  func ipByte(_ offset: Int) -> UInt8 { bytes[14 + offset] }
  /// Two bytes behind the Ethernet header.
  func ipWord(_ offset: Int) -> Int { Int(ipByte(offset)) << 8 | Int(ipByte(offset + 1)) }
}

extension [SentPacket] {
  var layers: [String] { map(\.layers) }
}
