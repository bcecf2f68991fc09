import Dataplane
import Wire

// What translation between the versions of IP (RFC 7915) takes from headers: the packet's own and those of packets within
// ICMP errors, whose bytes are believed only as far as they are there.

/// Where a fragment stands in its datagram, in the terms of both versions.
struct FragmentFields {
  var identification: UInt32
  /// In bytes, a multiple of 8.
  var start: Int
  var moreFragments: Bool
}

/// An IPv4 header to be translated.
struct TranslatedIPv4 {
  /// With options, in bytes.
  let length: Int
  let trafficClass: UInt8
  /// What the header says that it carries, in bytes.
  let payloadLength: Int
  let timeToLive: UInt8
  let protocolNumber: IPProtocol
  let identification: UInt16
  let dontFragment: Bool
  /// Nil when the packet is whole.
  let fragment: FragmentFields?
  let source: IPv4Address
  let destination: IPv4Address

  /// Reads a header; nil when it is not there whole or contradicts itself.
  init?(_ packet: borrowing Packet, at offset: Int) {
    guard let ip = packet.ipv4Header(at: offset), Int(ip.totalLength) >= ip.headerLength else { return nil }
    length = ip.headerLength
    trafficClass = ip.trafficClass
    payloadLength = Int(ip.totalLength) - ip.headerLength
    timeToLive = ip.timeToLive
    protocolNumber = ip.protocolNumber
    identification = ip.identification
    dontFragment = ip.dontFragment
    fragment =
      ip.isFragment
      ? FragmentFields(
        identification: UInt32(ip.identification), start: ip.fragmentOffset, moreFragments: ip.moreFragments) : nil
    source = ip.source
    destination = ip.destination
  }

  /// Whether there is a source route with hops left, or options that cannot be told apart (RFC 791, 3.1).
  func hasSourceRoute(_ packet: borrowing Packet, at offset: Int) -> Bool {
    var option = offset + 20
    let end = offset + length
    while option < end, let type = packet.byte(at: option), type != 0 {
      guard type != 1 else {
        option += 1
        continue
      }
      guard let size = packet.byte(at: option + 1), size >= 2, option + Int(size) <= end else { return true }
      if type == 131 || type == 137 {
        // The pointer is greater than the length when the route has been used up.
        guard let pointer = packet.byte(at: option + 2), pointer > size else { return true }
      }
      option += Int(size)
    }
    return false
  }
}

/// An IPv6 header with the extension headers that have no meaning in IPv4, to be translated.
struct TranslatedIPv6 {
  /// With extension headers, in bytes.
  let length: Int
  let trafficClass: UInt8
  /// What the header says that it carries behind the extension headers, in bytes.
  let payloadLength: Int
  let hopLimit: UInt8
  /// The first header that is none of hop-by-hop, routing, destination options and fragment.
  let protocolNumber: IPProtocol
  /// Nil without a fragment header; atomic fragments have one, too (RFC 6946).
  let fragment: FragmentFields?
  /// Where from the header's beginning the count of segments left stands, if it is not zero.
  let segmentsLeftAt: Int?
  /// Whether an extension header follows the fragment header.
  let hasExtensionInFragments: Bool
  let source: IPv6Address
  let destination: IPv6Address

  /// Reads a header; nil when it is not there whole or contradicts itself.
  init?(_ packet: borrowing Packet, at offset: Int) {
    guard let ip = packet.ipv6Header(at: offset) else { return nil }
    let payload = Int(ip.payloadLength)
    trafficClass = ip.trafficClass
    hopLimit = ip.hopLimit
    source = ip.source
    destination = ip.destination
    var next = ip.nextHeader
    var end = offset + 40
    var fragment: FragmentFields?
    var segmentsLeftAt: Int?
    var hasExtension = false
    var headers = 0
    while !hasExtension, Self.isSkipped(next) {
      guard headers < 8, let head = packet.word32(at: end), let rest = packet.word32(at: end + 4) else { return nil }
      var size = 8
      let following = IPProtocol(rawValue: UInt8(truncatingIfNeeded: head >> 24))
      if next == .ipv6Fragment {
        fragment = FragmentFields(identification: rest, start: Int(head & 0xFFF8), moreFragments: head & 1 != 0)
        hasExtension = following.isIPv6Extension
      } else {
        size = (Int(head >> 16 & 0xFF) + 1) * 8
        if next == .ipv6Routing, head & 0xFF != 0, segmentsLeftAt == nil { segmentsLeftAt = end + 3 - offset }
      }
      next = following
      end += size
      headers += 1
    }
    length = end - offset
    payloadLength = payload + 40 - length
    guard payloadLength >= 0, packet.byte(at: end - 1) != nil else { return nil }
    protocolNumber = next
    self.fragment = fragment
    self.segmentsLeftAt = segmentsLeftAt
    hasExtensionInFragments = hasExtension
  }

  private static func isSkipped(_ number: IPProtocol) -> Bool {
    switch number {
    case .hopByHop, .ipv6Routing, .ipv6Fragment, .destinationOptions: true
    default: false
    }
  }
}

/// What a translated IPv4 packet is sent from and to; ports, and the identifier of ICMP queries, where they change.
struct IPv4Ends {
  var source: IPv4Address
  var destination: IPv4Address
  var sourcePort: UInt16?
  var destinationPort: UInt16?
}

/// What a translated IPv6 packet is sent from and to; ports, and the identifier of ICMP queries, where they change.
struct IPv6Ends {
  var source: IPv6Address
  var destination: IPv6Address
  var sourcePort: UInt16?
  var destinationPort: UInt16?
}

/// Why a packet cannot be translated.
enum TranslationFault: UInt8 {
  /// A header is cut short, or contradicts itself.
  case malformed
  /// No buffer is left.
  case noBuffer
  /// Neither version's counterpart of this ICMP message exists (RFC 7915, 4.2 and 5.2).
  case untranslatableICMP
  /// A fragment of an ICMP message, whose checksum takes the whole (RFC 7915, 1.2).
  case fragmentedICMP
  /// An IPv4 fragment of a UDP datagram without checksum (RFC 7915, 4.5).
  case noChecksum
  /// Extension headers behind a fragment header (RFC 7915, 5.1.1).
  case extensionInFragment
  /// A source route with hops left (RFC 7915, 4.1).
  case sourceRoute
}
