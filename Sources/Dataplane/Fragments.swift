import CDPDK
public import Wire

/// Where one fragment of a datagram stands in it (RFC 791, 3.2; RFC 8200, 4.5).
public struct FragmentPart: Sendable {
  /// What fragments of one datagram have in common besides their addresses; 16 bits in IPv4.
  public let identification: UInt32
  /// Where its contents begin in the datagram's, in bytes; a multiple of 8.
  public let start: Int
  /// Whether there are fragments behind it.
  public let moreFragments: Bool
  /// Where its contents stand in the frame, in bytes; across segments.
  public let contents: Range<Int>
  /// The protocol of the contents: for IPv6 that of the header behind the fragment header.
  public let protocolNumber: IPProtocol
  /// Where in the frame the byte stands that names the fragment header, in IPv6; where IPv4 names its protocol.
  public let protocolField: Int

  /// Where its contents end in the datagram's, in bytes.
  public var end: Int { start + contents.count }
}

extension Packet {
  /// What the IP headers say of this fragment; nil for packets that are none, IPv6's atomic fragments (RFC 6946) among
  /// them.
  public var fragmentPart: FragmentPart? {
    guard isFragment, let total = networkLength else { return nil }
    let network = networkOffset
    if let ip = ipv4 {
      return FragmentPart(
        identification: UInt32(ip.identification), start: ip.fragmentOffset, moreFragments: ip.moreFragments,
        contents: network + ip.headerLength..<network + total, protocolNumber: ip.protocolNumber,
        protocolField: network + 9)
    }
    var chain = ExtensionChain(at: network)
    while let header = chain.next(self) {
      guard header.number == 44, let high = byte(at: header.offset + 2), let low = byte(at: header.offset + 3),
        let next = byte(at: header.offset)
      else { continue }
      let field = Int(high) << 8 | Int(low)
      guard field & 0xFFF9 != 0 else { continue }
      var identification: UInt32 = 0
      for index in 4..<8 { identification = identification << 8 | UInt32(byte(at: header.offset + index) ?? 0) }
      guard header.offset + 8 <= network + total else { return nil }
      return FragmentPart(
        identification: identification, start: field & 0xFFF8, moreFragments: field & 1 != 0,
        contents: header.offset + 8..<network + total, protocolNumber: IPProtocol(rawValue: next),
        protocolField: header.namedAt)
    }
    return nil
  }

  /// Where in the frame the byte stands that names the transport protocol: IPv4's protocol field, or the next-header
  /// field of the last IPv6 header. Nil when this is not IP.
  public var protocolField: Int? {
    if isIPv4 { return networkOffset + 9 }
    guard isIPv6 else { return nil }
    var chain = ExtensionChain(at: networkOffset)
    while chain.next(self) != nil {}
    return chain.namedAt
  }
}

/// The extension headers of an IPv6 packet that parsing has followed.
private struct ExtensionChain {
  /// Where the byte stands that names the header at hand.
  private(set) var namedAt: Int
  private var offset: Int
  private var count = 0
  private var isOver = false

  init(at network: Int) {
    namedAt = network + 6
    offset = network + 40
  }

  mutating func next(_ packet: borrowing Packet) -> (number: UInt8, offset: Int, namedAt: Int)? {
    guard !isOver, count < Packet.maximumExtensionHeaders, let number = packet.byte(at: namedAt),
      IPProtocol(rawValue: number).isIPv6Extension, let length = packet.byte(at: offset + 1)
    else { return nil }
    let found = (number, offset, namedAt)
    if number == 44 {
      // Behind a fragment header that is not the first fragment's there are no more headers.
      isOver = (packet.byte(at: offset + 2) ?? 0) != 0 || (packet.byte(at: offset + 3) ?? 0) & 0xF8 != 0
    }
    namedAt = offset
    offset += number == 44 ? 8 : number == 51 ? (Int(length) + 2) * 4 : (Int(length) + 1) * 8
    count += 1
    return found
  }
}
