import Dataplane
import TestKit
import Testing
import Wire

/// A packet of a session in values, from which its frame is built anew after each change: what incremental patches are
/// compared with.
struct SessionFrame {
  var isIPv6 = false
  var source = "10.1.2.3"
  var destination = "192.0.2.7"
  var number: UInt8 = 17
  var sourcePort: UInt16 = 4000
  var destinationPort: UInt16 = 53
  /// Of ICMP; 8 and 128 are echo requests.
  var type: UInt8 = 8
  var options = 0
  var vlans = 0
  var payload: [UInt8] = []
  var noChecksum = false
  /// By how much the transport checksum is wrong.
  var damage: UInt16 = 0

  static func random(_ random: inout RandomNumbers) -> SessionFrame {
    var frame = SessionFrame()
    frame.isIPv6 = Bool.random(using: &random)
    frame.source = address(frame.isIPv6, &random)
    frame.destination = address(frame.isIPv6, &random)
    frame.number = [6, 17, 33, 132, 136, frame.isIPv6 ? 58 : 1, 47].randomElement(using: &random)!
    frame.sourcePort = .random(in: 0...(.max), using: &random)
    frame.destinationPort = frame.isICMP ? frame.sourcePort : .random(in: 0...(.max), using: &random)
    frame.type =
      (frame.isIPv6 ? [128, 129, 135, 160, 161] : [8, 0, 13, 14, 15, 16, 17, 18, 9, 42, 43])
      .randomElement(using: &random)!
    frame.options = [0, 0, 0, 1, 2].randomElement(using: &random)!
    frame.vlans = [0, 0, 1, 2].randomElement(using: &random)!
    frame.payload = (0..<Int.random(in: 0...200, using: &random)).map { _ in .random(in: 0...255, using: &random) }
    frame.noChecksum = Int.random(in: 0..<8, using: &random) == 0
    frame.damage = Int.random(in: 0..<8, using: &random) == 0 ? 0x0100 : 0
    return frame
  }

  static func address(_ isIPv6: Bool, _ random: inout RandomNumbers) -> String {
    guard isIPv6 else { return IPv4Address(rawValue: .random(in: 0...(.max), using: &random)).description }
    // One in four has words of zeros and ones.
    let special: [UInt64] = [0, .max, 0xFFFF_0000_FFFF_0000]
    func half(_ random: inout RandomNumbers) -> UInt64 {
      Bool.random(using: &random) && Bool.random(using: &random)
        ? special.randomElement(using: &random)! : .random(in: 0...(.max), using: &random)
    }
    return IPv6Address(high: half(&random), low: half(&random)).description
  }

  var isICMP: Bool { number == (isIPv6 ? 58 : 1) }
  var hasIdentifier: Bool {
    isICMP && (isIPv6 ? [128, 129, 160, 161] : [8, 0, 13, 14, 15, 16, 17, 18, 42, 43]).contains(type)
  }
  var hasPorts: Bool { [6, 17, 33, 132, 136].contains(number) || hasIdentifier }

  private var addresses: [UInt8] {
    if isIPv6 {
      return [IPv6Address(source)!, IPv6Address(destination)!].flatMap { Self.bytes($0.high) + Self.bytes($0.low) }
    }
    return [IPv4Address(source)!, IPv4Address(destination)!].flatMap(\.octets)
  }

  private func pseudo(_ length: Int) -> [UInt8] {
    isIPv6
      ? addresses + Self.bytes(UInt32(length)) + [0, 0, 0, number]
      : addresses + [0, number] + Self.bytes(UInt16(length))
  }

  /// The transport header and the payload.
  var transport: [UInt8] {
    let ports = Self.bytes(sourcePort) + Self.bytes(destinationPort)
    var bytes: [UInt8]
    var place: Int
    switch number {
    case 6:
      bytes = ports + [1, 2, 3, 4, 5, 6, 7, 8, 0x60, 0x10, 0x20, 0, 0, 0, 0, 0, 1, 1, 1, 1]
      place = 16
    case 17:
      bytes = ports + Self.bytes(UInt16(8 + payload.count)) + [0, 0]
      place = 6
    case 136:
      // Covers the header alone.
      bytes = ports + [0, 8, 0, 0]
      place = 6
    case 33:
      bytes = ports + [3, 0, 0, 0, 1, 0, 0, 1]
      place = 6
    case 132:
      bytes = ports + [0xAA, 0xBB, 0xCC, 0xDD, 0, 0, 0, 0] + payload
      let crc = Self.crc32c(bytes) ^ UInt32(damage)
      for index in 0..<4 { bytes[8 + index] = UInt8(truncatingIfNeeded: crc >> UInt32(8 * index)) }
      return bytes
    case 1, 58:
      bytes = [type, 0, 0, 0] + (hasIdentifier ? Self.bytes(sourcePort) : [9, 9]) + [0, 7]
      place = 2
    default: return [0, 0, 8, 0] + payload
    }
    let covered = number == 136 ? bytes : bytes + payload
    bytes += payload
    if number == 17, noChecksum { return bytes }
    let whole = number == 1 ? covered : pseudo(number == 136 ? bytes.count : covered.count) + covered
    // Added as checksums add up, since that difference is what patches keep.
    var sum = Self.internetChecksum(whole)
    if damage != 0 { sum = ~Self.internetChecksum(Self.bytes(sum) + Self.bytes(damage)) }
    if sum == 0xFFFF { sum = 0 }
    if sum == 0, number == 17 || number == 136 { sum = 0xFFFF }
    bytes[place] = UInt8(sum >> 8)
    bytes[place + 1] = UInt8(sum & 0xFF)
    return bytes
  }

  var frame: Frame {
    var frame = Frame.ethernet()
    for tag in 0..<vlans { frame = frame.vlan(UInt16(tag + 1)) }
    if isIPv6 {
      let kinds: [UInt8] = [0, 60]
      frame = frame.ipv6(from: source, to: destination, nextHeader: options == 0 ? number : kinds[0])
      for index in 0..<options {
        frame = frame.ipv6Extension(kinds[index], nextHeader: index + 1 < options ? kinds[index + 1] : number)
      }
    } else {
      frame = frame.ipv4(
        from: source, to: destination, options: Array(repeating: 1, count: 4 * options), protocolNumber: number)
    }
    return frame.payload(transport)
  }

  static func bytes<T: FixedWidthInteger>(_ value: T) -> [UInt8] {
    (0..<T.bitWidth / 8).reversed().map { UInt8(truncatingIfNeeded: value >> T($0 * 8)) }
  }

  static func internetChecksum(_ bytes: [UInt8]) -> UInt16 {
    var sum = 0
    for (index, byte) in bytes.enumerated() { sum += index % 2 == 0 ? Int(byte) << 8 : Int(byte) }
    while sum > 0xFFFF { sum = sum & 0xFFFF + sum >> 16 }
    return ~UInt16(sum)
  }

  /// RFC 9260, appendix A, bit by bit.
  static func crc32c(_ bytes: [UInt8]) -> UInt32 {
    var crc = UInt32.max
    for byte in bytes {
      crc ^= UInt32(byte)
      for _ in 0..<8 { crc = crc & 1 != 0 ? crc >> 1 ^ 0x82F6_3B78 : crc >> 1 }
    }
    return ~crc
  }
}

extension Packet {
  mutating func translate(source address: String, port: UInt16?) -> Bool {
    if let address = IPv4Address(address) { return translateSource(address, port: port) }
    return translateSource(IPv6Address(address)!, port: port)
  }

  mutating func translate(destination address: String, port: UInt16?) -> Bool {
    if let address = IPv4Address(address) { return translateDestination(address, port: port) }
    return translateDestination(IPv6Address(address)!, port: port)
  }

  mutating func translateEmbedded(source address: String, port: UInt16?) -> Bool {
    if let address = IPv4Address(address) { return translateEmbeddedSource(address, port: port) }
    return translateEmbeddedSource(IPv6Address(address)!, port: port)
  }

  mutating func translateEmbedded(destination address: String, port: UInt16?) -> Bool {
    if let address = IPv4Address(address) { return translateEmbeddedDestination(address, port: port) }
    return translateEmbeddedDestination(IPv6Address(address)!, port: port)
  }
}

/// Expects what a packet was changed by to have been done; `#expect` itself takes no changes of what cannot be copied.
func confirm(_ isTrue: Bool, sourceLocation: SourceLocation = #_sourceLocation) {
  #expect(isTrue, sourceLocation: sourceLocation)
}
