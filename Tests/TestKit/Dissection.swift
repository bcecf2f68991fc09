import Wire

/// What a frame says, read by a second implementation that shares nothing with the library's: its layers in words, and
/// what is wrong with its lengths and checksums.
public struct Dissection: CustomStringConvertible {
  /// The layers, outermost first, such as `vlan 7`, `ipv4 10.0.0.1 > 10.0.0.2 ttl 63`, `udp 1024 > 53`.
  public private(set) var layers: [String] = []
  /// Wrong lengths and checksums, in words.
  public private(set) var problems: [String] = []

  private let bytes: [UInt8]

  /// Reads an Ethernet frame.
  public init(_ bytes: [UInt8]) {
    self.bytes = bytes
    readEthernet()
  }

  /// The layers in one line.
  public var description: String { layers.joined(separator: ", ") }

  private func word(_ offset: Int) -> Int { Int(bytes[offset]) << 8 | Int(bytes[offset + 1]) }

  private mutating func readEthernet() {
    guard bytes.count >= 14 else {
      problems.append("shorter than an Ethernet header")
      return
    }
    layers.append("\(hexadecimal(bytes[6..<12])) > \(hexadecimal(bytes[0..<6]))")
    var offset = 12
    while [0x8100, 0x88A8, 0x9100].contains(word(offset)), bytes.count >= offset + 6 {
      let name = word(offset) == 0x8100 ? "vlan" : "svlan"
      layers.append("\(name) \(word(offset + 2) & 0xFFF)")
      offset += 4
    }
    switch word(offset) {
    case 0x0800: readIPv4(offset + 2)
    case 0x86DD: readIPv6(offset + 2)
    case 0x0806: layers.append("arp")
    default: layers.append("type 0x\(String(word(offset), radix: 16))")
    }
  }

  private mutating func readIPv4(_ start: Int) {
    guard bytes.count >= start + 20, bytes[start] >> 4 == 4 else {
      problems.append("no whole IPv4 header")
      return
    }
    let header = Int(bytes[start] & 15) * 4
    let end = start + word(start + 2)
    guard header >= 20, start + header <= end, end <= bytes.count else {
      problems.append("IPv4 lengths do not fit the frame")
      return
    }
    let source = start + 12
    layers.append(
      "ipv4 \(ipv4(source)) > \(ipv4(source + 4)) ttl \(bytes[start + 8])"
        + (bytes[start + 1] == 0 ? "" : " tos \(bytes[start + 1])"))
    if internetChecksum(Array(bytes[start..<start + header])) != 0 { problems.append("IPv4 header checksum is wrong") }
    let fragment = word(start + 6)
    if fragment & 0x3FFF != 0 {
      layers.append("fragment at \((fragment & 0x1FFF) * 8)\(fragment & 0x2000 != 0 ? ", more" : "")")
    }
    readTransport(
      bytes[start + 9], start + header, end, source: source..<source + 4, destination: source + 4..<source + 8,
      isWhole: fragment & 0x3FFF == 0, isFirst: fragment & 0x1FFF == 0)
  }

  private mutating func readIPv6(_ start: Int) {
    guard bytes.count >= start + 40, bytes[start] >> 4 == 6 else {
      problems.append("no whole IPv6 header")
      return
    }
    let end = start + 40 + word(start + 4)
    guard end <= bytes.count else {
      problems.append("IPv6 payload length does not fit the frame")
      return
    }
    let source = start + 8
    layers.append("ipv6 \(ipv6(source)) > \(ipv6(source + 16)) hops \(bytes[start + 7])")
    var next = bytes[start + 6]
    var offset = start + 40
    var isWhole = true
    var isFirst = true
    while [0, 43, 44, 51, 60, 135, 139, 140].contains(next), isFirst {
      guard offset + 8 <= end else {
        problems.append("an IPv6 extension header is cut short")
        return
      }
      layers.append("extension \(next)")
      let size = next == 44 ? 8 : next == 51 ? (Int(bytes[offset + 1]) + 2) * 4 : (Int(bytes[offset + 1]) + 1) * 8
      if next == 44 {
        isWhole = isWhole && word(offset + 2) & 0xFFF9 == 0
        isFirst = word(offset + 2) & 0xFFF8 == 0
      }
      next = bytes[offset]
      offset += size
    }
    guard offset <= end else {
      problems.append("an IPv6 extension header is cut short")
      return
    }
    readTransport(
      next, offset, end, source: source..<source + 16, destination: source + 16..<source + 32, isWhole: isWhole,
      isFirst: isFirst)
  }

  private mutating func readTransport(
    _ number: UInt8, _ start: Int, _ end: Int, source: Range<Int>, destination: Range<Int>, isWhole: Bool, isFirst: Bool
  ) {
    guard isFirst else { return }
    let minimum = [6: 20, 17: 8, 1: 8, 58: 8][number] ?? 0
    guard end - start >= minimum else {
      problems.append("the transport header is cut short")
      return
    }
    let name: String
    switch number {
    case 6:
      name = "TCP"
      layers.append("tcp \(word(start)) > \(word(start + 2)) flags 0x\(String(bytes[start + 13], radix: 16))")
    case 17:
      name = "UDP"
      layers.append("udp \(word(start)) > \(word(start + 2))")
      if isWhole && word(start + 4) != end - start { problems.append("UDP length does not fit the datagram") }
      if word(start + 6) == 0 {
        if source.count == 16 { problems.append("UDP over IPv6 has no checksum") }
        return
      }
    case 1:
      name = "ICMP"
      layers.append("icmp \(bytes[start])/\(bytes[start + 1])")
    case 58:
      name = "ICMPv6"
      layers.append("icmpv6 \(bytes[start])/\(bytes[start + 1])")
    default:
      layers.append("protocol \(number)")
      return
    }
    guard isWhole else { return }
    let pseudo =
      number == 1 ? [] : pseudoHeader(source: bytes[source], destination: bytes[destination], number, end - start)
    if internetChecksum(pseudo + bytes[start..<end]) != 0 { problems.append("\(name) checksum is wrong") }
  }

  private func ipv4(_ offset: Int) -> String { bytes[offset..<offset + 4].map(String.init).joined(separator: ".") }

  private func ipv6(_ offset: Int) -> String {
    func half(_ start: Int) -> UInt64 { bytes[start..<start + 8].reduce(0) { $0 << 8 | UInt64($1) } }
    return IPv6Address(high: half(offset), low: half(offset + 8)).description
  }
}
