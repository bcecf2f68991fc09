import Dataplane
import TestKit
import Testing

@testable import Elements

/// A firewall between two ports, and packets that play sessions through it.
struct FirewallBench {
  let element: ElementUnderTest
  let isIPv6: Bool

  static let second: UInt64 = 1_000_000_000
  static let ports = ["lan": 1, "wan": 2, "dmz": 3]
  static let zones = "zones: { lan: { ports: lan }, wan: { ports: wan } }"
  /// From the inside everything, from the outside ports 80 and 443.
  static let rules = """
    rules:
      - { name: out, action: accept, from: lan }
      - { name: web, action: accept, from: wan, protocol: tcp, destination_port: [80, 443] }
    """

  init(
    _ more: String = "", rules: String = rules, zones: String = zones, isIPv6: Bool = false, batchSize: Int = 32,
    packets: Int = 1024
  ) throws {
    element = try ElementUnderTest(
      Firewall.self, settings: [zones, rules, more].filter { !$0.isEmpty }.joined(separator: "\n"),
      batchSize: batchSize, packets: packets, ports: Self.ports, at: Instant(nanoseconds: 1_700_000_000 * Self.second))
    self.isIPv6 = isIPv6
  }

  var inside: String { isIPv6 ? "2001:db8:1::5" : "10.0.0.5" }
  var outside: String { isIPv6 ? "2001:db8:2::9" : "192.0.2.9" }

  /// A packet's frame up to IP, from the inside or the outside.
  func ip(fromLAN: Bool, from: String? = nil, to: String? = nil) -> Frame {
    let source = from ?? (fromLAN ? inside : outside)
    let destination = to ?? (fromLAN ? outside : inside)
    let frame = Frame.ethernet(
      from: fromLAN ? "02:00:00:00:00:01" : "02:00:00:00:00:02",
      to: fromLAN ? "02:00:00:00:00:02" : "02:00:00:00:00:01"
    ).from(port: fromLAN ? 1 : 2)
    return isIPv6 ? frame.ipv6(from: source, to: destination) : frame.ipv4(from: source, to: destination)
  }

  /// A TCP packet between port 4000 inside and port 80 outside.
  func tcp(
    lan fromLAN: Bool, _ flags: String, _ sequence: UInt32, _ acknowledgment: UInt32 = 0, window: UInt16 = 10_000,
    data: Int = 0, options: [UInt8] = [], client: UInt16 = 4000, server: UInt16 = 80
  ) -> Frame {
    let frame = ip(fromLAN: fromLAN).tcp(
      from: fromLAN ? client : server, to: fromLAN ? server : client, sequence: sequence,
      acknowledgment: acknowledgment, flags: flags, window: window, options: options)
    return data > 0 ? frame.payload(count: data) : frame
  }

  /// Pushes a packet, and says what became of it: the output it left by, or the drop's reason.
  @discardableResult
  func send(_ frame: Frame, at instant: Instant? = nil) -> String {
    let result = element.push(frame, at: instant)
    if let drop = result.drops.first { return drop.key }
    let outputs = result.outputs.filter { !$0.packets.isEmpty }.map(\.name)
    return outputs.joined(separator: "+")
  }

  /// Opens a connection from the inside: the client's next number is 1001, the server's 5001.
  func connect() {
    #expect(send(tcp(lan: true, "S", 1000)) == "wan")
    #expect(send(tcp(lan: false, "SA", 5000, 1001)) == "lan")
    #expect(send(tcp(lan: true, "A", 1001, 5001)) == "wan")
  }

  func wait(seconds: Double) {
    _ = element.advance(by: UInt64(seconds * Double(Self.second)))
  }

  func counter(_ name: String) -> UInt64 { element.counters[name] ?? .max }
}

/// A packet's fields.
extension SentPacket {
  private var network: Int { 14 }
  var isIPv6Packet: Bool { bytes[network] >> 4 == 6 }
  private var transport: Int { network + (isIPv6Packet ? 40 : Int(bytes[network] & 15) * 4) }
  func word32(_ offset: Int) -> UInt32 { (0..<4).reduce(0) { $0 << 8 | UInt32(bytes[offset + $1]) } }
  var tcpSequence: UInt32 { word32(transport + 4) }
  var tcpAcknowledgment: UInt32 { word32(transport + 8) }
  var tcpFlags: UInt8 { bytes[transport + 13] }
  var tcpWindow: UInt16 { UInt16(bytes[transport + 14]) << 8 | UInt16(bytes[transport + 15]) }
  var tcpOptions: [UInt8] { Array(bytes[(transport + 20)..<(transport + Int(bytes[transport + 12] >> 4) * 4)]) }
  var icmpType: [UInt8] { Array(bytes[transport..<transport + 2]) }
}
