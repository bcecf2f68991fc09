import Dataplane
import Elements
import TestKit
import Testing

/// A NAT with packets around it, which are told by their ends.
final class NATBench {
  /// One end of a packet, such as 10.0.0.5:4000.
  struct End: Hashable, ExpressibleByStringLiteral, CustomStringConvertible {
    var address: String
    var port: UInt16

    init(_ address: String, _ port: UInt16) {
      self.address = address
      self.port = port
    }

    init(stringLiteral text: String) {
      let parts = text.split(separator: ":")
      address = String(parts[0])
      port = parts.count > 1 ? UInt16(parts[1]) ?? 0 : 0
    }

    var description: String { "\(address):\(port)" }
  }

  /// A packet in short: its ends and where it left.
  struct Seen: Hashable, CustomStringConvertible {
    var source: End
    var destination: End
    var output: String

    var description: String { "\(source) > \(destination) by \(output)" }
  }

  static let second: UInt64 = 1_000_000_000

  let nat: ElementUnderTest
  var now: UInt64 = 1_000 * second

  init(_ settings: String = "outside: 203.0.113.1", packets: Int = 1024) throws {
    nat = try ElementUnderTest(
      NAT.self, settings: settings, packets: packets, at: Instant(nanoseconds: 1_000 * Self.second))
  }

  // MARK: Packets

  static func udp(_ source: End, _ destination: End, count: Int = 12) -> Frame {
    Frame.ethernet().ipv4(from: source.address, to: destination.address).udp(from: source.port, to: destination.port)
      .payload(count: count)
  }

  static func tcp(_ source: End, _ destination: End, _ flags: String, options: [UInt8] = []) -> Frame {
    Frame.ethernet().ipv4(from: source.address, to: destination.address)
      .tcp(from: source.port, to: destination.port, flags: flags, options: options).payload(count: 4)
  }

  /// An echo request, or with type 0 a reply; ends' ports do not count.
  static func echo(_ source: End, _ destination: End, type: UInt8 = 8, identifier: UInt16) -> Frame {
    Frame.ethernet().ipv4(from: source.address, to: destination.address)
      .icmp(type: type, identifier: identifier).payload(count: 20)
  }

  /// An ICMP error about a packet, of which it embeds so many bytes behind the Ethernet header.
  static func error(
    from router: String, to destination: String, about frame: Frame, type: UInt8 = 3, code: UInt8 = 1,
    embedding count: Int = 28
  ) -> Frame {
    Frame.ethernet().ipv4(from: router, to: destination)
      .icmp(type: type, code: code, identifier: 0, sequence: 0)
      .payload(Array(frame.bytes.dropFirst(14).prefix(count)))
  }

  // MARK: Steps

  /// Sends a packet in and tells what came out.
  func send(
    _ frame: Frame, _ input: String, sourceLocation: SourceLocation = #_sourceLocation
  ) -> [Seen] {
    let result = nat.push(frame, input: input, at: Instant(nanoseconds: now), sourceLocation: sourceLocation)
    return seen(result, sourceLocation)
  }

  /// From the inside.
  func out(_ frame: Frame, sourceLocation: SourceLocation = #_sourceLocation) -> [Seen] {
    send(frame, "inside", sourceLocation: sourceLocation)
  }

  /// From the outside.
  func back(_ frame: Frame, sourceLocation: SourceLocation = #_sourceLocation) -> [Seen] {
    send(frame, "outside", sourceLocation: sourceLocation)
  }

  /// The outside end that a UDP packet from the inside got; nil when it did not leave to the outside.
  func outside(of inside: End, to remote: End = "198.51.100.7:53") -> End? {
    let seen = out(Self.udp(inside, remote))
    return seen.count == 1 && seen[0].output == "outside" ? seen[0].source : nil
  }

  /// Lets so many seconds pass.
  func wait(_ seconds: Double, sourceLocation: SourceLocation = #_sourceLocation) -> [Seen] {
    now += UInt64(seconds * Double(Self.second))
    return seen(nat.advance(to: Instant(nanoseconds: now), sourceLocation: sourceLocation), sourceLocation)
  }

  private func seen(_ result: StepResult, _ sourceLocation: SourceLocation) -> [Seen] {
    result.outputs.flatMap { output in
      output.packets.map { packet in
        if !packet.problems.isEmpty {
          Issue.record("\(packet) has problems: \(packet.problems)", sourceLocation: sourceLocation)
        }
        return Self.seen(packet.bytes, output.name)
      }
    }
  }

  private static func seen(_ bytes: [UInt8], _ output: String) -> Seen {
    func address(_ offset: Int) -> String { bytes[offset..<offset + 4].map(String.init).joined(separator: ".") }
    func word(_ offset: Int) -> UInt16 { UInt16(bytes[offset]) << 8 | UInt16(bytes[offset + 1]) }
    let hasPorts = bytes[23] == 6 || bytes[23] == 17
    let isFirst = word(20) & 0x1FFF == 0
    let isQuery = bytes[23] == 1 && (bytes[34] == 0 || bytes[34] == 8)
    return Seen(
      source: End(address(26), isFirst ? hasPorts ? word(34) : isQuery ? word(38) : 0 : 0),
      destination: End(address(30), isFirst ? hasPorts ? word(36) : isQuery ? word(38) : 0 : 0), output: output)
  }

  /// Opens a TCP connection, as far as the NAT can tell.
  func open(_ inside: End, _ remote: End, sourceLocation: SourceLocation = #_sourceLocation) -> End? {
    let first = out(Self.tcp(inside, remote, "S"), sourceLocation: sourceLocation)
    guard first.count == 1, first[0].output == "outside" else { return nil }
    let outside = first[0].source
    #expect(
      back(Self.tcp(remote, outside, "SA")) == [Seen(source: remote, destination: inside, output: "inside")],
      sourceLocation: sourceLocation)
    #expect(
      out(Self.tcp(inside, remote, "A")) == [Seen(source: outside, destination: remote, output: "outside")],
      sourceLocation: sourceLocation)
    return outside
  }
}
