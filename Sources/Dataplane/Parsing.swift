public import CDPDK
import Wire

/// What parsing found out, as bits of `nfv_mbuf.parsed` (see cdpdk.h).
@usableFromInline
enum Facts {
  @inlinable static var parsed: UInt8 { 1 << 0 }
  @inlinable static var ipv4: UInt8 { 1 << 1 }
  @inlinable static var ipv6: UInt8 { 1 << 2 }
  @inlinable static var fragment: UInt8 { 1 << 3 }
  @inlinable static var laterFragment: UInt8 { 1 << 4 }
  @inlinable static var transport: UInt8 { 1 << 5 }
  @inlinable static var arp: UInt8 { 1 << 6 }
  @inlinable static var hashed: UInt8 { 1 << 7 }
}

extension Packet {
  /// What is known of the headers; the first call parses.
  @inlinable @inline(__always)
  var facts: UInt8 {
    let known = unsafe mbuf.pointee.parsed
    return known != 0 ? known : parse()
  }

  /// The same for elements that are likely to be the first to look: the usual packet is parsed in line, so that what
  /// follows need not wait for what was written down.
  @inlinable @inline(__always)
  var factsInLine: UInt8 {
    let known = unsafe mbuf.pointee.parsed
    if known != 0 { return known }
    return unsafe Self.parseUsual(mbuf) ?? parseAny()
  }

  /// How many VLAN tags are looked behind.
  static let maximumVLANTags = 8
  /// How many IPv6 extension headers are looked behind; RFC 8200 has no limit, real packets have two or three.
  static let maximumExtensionHeaders = 8
  /// How many bytes are brought into the first segment before headers are looked for in a segmented packet.
  static let headerReach: UInt32 = 256

  /// Looks at the frame from the start and writes down what it finds. Reads within the first segment only.
  @usableFromInline
  borrowing func parse() -> UInt8 { unsafe Self.parseUsual(mbuf) ?? parseAny() }

  /// What nearly all packets are: UDP, or TCP without header options out of the ordinary, in an IPv4 packet that has no
  /// options and is no fragment, in an untagged frame. Nil, with nothing written down, for all others.
  @unsafe @inlinable @inline(__always)
  static func parseUsual(_ mbuf: UnsafeMutablePointer<nfv_mbuf>) -> UInt8? {
    let end = unsafe Int(mbuf.pointee.data_length)
    guard end >= 14 + 20 + 8 else { return nil }
    let start = unsafe nfv_mbuf_data(mbuf)
    // EtherType, version with header length, and type of service, as they stand in memory.
    let type = unsafe UInt32(bigEndian: start.loadUnaligned(fromByteOffset: 12, as: UInt32.self))
    let total = unsafe Int(UInt16(bigEndian: start.loadUnaligned(fromByteOffset: 16, as: UInt16.self)))
    let fragment = unsafe UInt16(bigEndian: start.loadUnaligned(fromByteOffset: 20, as: UInt16.self))
    let number = unsafe start.load(fromByteOffset: 23, as: UInt8.self)
    guard type >> 8 == 0x08_0045, fragment & 0x3FFF == 0 else { return nil }
    if number == 17 {
      guard total >= 28 else { return nil }
    } else {
      guard number == 6, total >= 40, end >= 14 + 20 + 20 else { return nil }
      let length = unsafe Int(start.load(fromByteOffset: 46, as: UInt8.self) >> 4) * 4
      guard length >= 20, 20 + length <= total, 34 + length <= end else { return nil }
    }
    guard unsafe 14 + total <= Int(mbuf.pointee.packet_length) else { return nil }
    let found = Facts.parsed | Facts.ipv4 | Facts.transport
    unsafe nfv_mbuf_note(mbuf, number, found, 14, 34, UInt16(truncatingIfNeeded: total))
    return found
  }

  @usableFromInline @inline(never)
  borrowing func parseAny() -> UInt8 {
    if unsafe mbuf.pointee.segment_count > 1 && UInt32(mbuf.pointee.data_length) < Self.headerReach {
      _ = unsafe nfv_pull_up(mbuf, Self.headerReach)
    }
    unsafe mbuf.pointee.protocol = 0
    unsafe mbuf.pointee.network_offset = 0
    unsafe mbuf.pointee.parsed = Facts.parsed
    let end = contiguousLength
    guard end >= 14 else { return Facts.parsed }
    var network = 14
    var type = unsafe word16(12)
    var tags = 0
    while type == 0x8100 || type == 0x88A8 || type == 0x9100 {
      guard network + 4 <= end, tags < Self.maximumVLANTags else { return Facts.parsed }
      type = unsafe word16(network + 2)
      network += 4
      tags += 1
    }
    unsafe mbuf.pointee.network_offset = UInt16(network)
    let found: UInt8 =
      switch type {
      case 0x0800: unsafe parseIPv4(at: network, end: end)
      case 0x86DD: unsafe parseIPv6(at: network, end: end)
      case 0x0806: unsafe parseARP(at: network, end: end)
      default: 0
      }
    unsafe mbuf.pointee.parsed = found | Facts.parsed
    return found | Facts.parsed
  }

  @unsafe
  private borrowing func byte(_ offset: Int) -> UInt8 { unsafe start.load(fromByteOffset: offset, as: UInt8.self) }

  @unsafe
  private borrowing func word16(_ offset: Int) -> UInt16 {
    unsafe UInt16(bigEndian: start.loadUnaligned(fromByteOffset: offset, as: UInt16.self))
  }

  @unsafe
  private borrowing func parseARP(at network: Int, end: Int) -> UInt8 {
    guard end - network >= 28 else { return 0 }
    let header = unsafe ARPHeader<ReadOnly>(unchecked: headerBytes(at: network))
    return header.isEthernetIPv4 ? Facts.arp : 0
  }

  @unsafe
  private borrowing func parseIPv4(at network: Int, end: Int) -> UInt8 {
    guard end - network >= 20 else { return 0 }
    let header = unsafe IPv4Header<ReadOnly>(unchecked: headerBytes(at: network))
    let headerLength = header.headerLength
    let total = Int(header.totalLength)
    guard header.version == 4, headerLength >= 20, network + headerLength <= end, total >= headerLength,
      network + total <= length
    else { return 0 }
    var found = Facts.ipv4
    let fragment = unsafe word16(network + 6)
    if fragment & 0x3FFF != 0 {
      found |= fragment & 0x1FFF != 0 ? Facts.fragment | Facts.laterFragment : Facts.fragment
    }
    unsafe mbuf.pointee.network_length = UInt16(total)
    unsafe note(
      protocol: header.protocolNumber.rawValue, at: network + headerLength, end: min(end, network + total), &found)
    return found
  }

  /// RFC 8200, section 4; a fragment must hold the whole header chain (RFC 7112, section 5).
  @unsafe
  private borrowing func parseIPv6(at network: Int, end: Int) -> UInt8 {
    guard end - network >= 40, unsafe byte(network) >> 4 == 6 else { return 0 }
    let total = unsafe Int(word16(network + 4)) + 40
    guard total <= Int(UInt16.max), network + total <= length else { return 0 }
    let limit = min(end, network + total)
    var found = Facts.ipv6
    var next = unsafe byte(network + 6)
    var offset = network + 40
    var headers = 0
    walk: while true {
      let size: Int
      switch next {
      case 0, 43, 60, 135, 139, 140:  // hop-by-hop, routing, destination options, mobility, HIP, shim6
        guard offset + 8 <= limit else { return 0 }
        size = unsafe (Int(byte(offset + 1)) + 1) * 8
      case 51:  // authentication header, counted in 32-bit words (RFC 4302, 2.2)
        guard offset + 8 <= limit else { return 0 }
        size = unsafe (Int(byte(offset + 1)) + 2) * 4
      case 44:
        guard offset + 8 <= limit else { return 0 }
        let field = unsafe word16(offset + 2)
        // An atomic fragment (RFC 6946) is a whole packet that happens to carry the header.
        if field & 0xFFF9 != 0 { found |= Facts.fragment }
        if field & 0xFFF8 != 0 { found |= Facts.laterFragment }
        size = 8
      default:
        break walk
      }
      headers += 1
      guard headers <= Self.maximumExtensionHeaders, offset + size <= limit else { return 0 }
      next = unsafe byte(offset)
      offset += size
      if found & Facts.laterFragment != 0 { break }
    }
    unsafe mbuf.pointee.network_length = UInt16(total)
    unsafe note(protocol: next, at: offset, end: limit, &found)
    return found
  }

  @unsafe
  private borrowing func note(protocol number: UInt8, at offset: Int, end: Int, _ found: inout UInt8) {
    unsafe mbuf.pointee.protocol = number
    unsafe mbuf.pointee.transport_offset = UInt16(offset)
    guard found & Facts.laterFragment == 0 else { return }
    let room = end - offset
    let whole: Bool =
      switch number {
      case 6: unsafe room >= 20 && tcpHeaderFits(at: offset, room: room)
      case 17, 136, 1, 58: room >= 8
      case 33, 132: room >= 12
      default: false
      }
    if whole { found |= Facts.transport }
  }

  @unsafe
  private borrowing func tcpHeaderFits(at offset: Int, room: Int) -> Bool {
    let length = unsafe Int(byte(offset + 12) >> 4) * 4
    return length >= 20 && length <= room
  }
}

extension Packet {
  /// A hash of addresses, protocol and ports that is the same in both directions of a flow. Fragments hash by addresses
  /// and protocol alone, so that all of a datagram go the same way; frames other than IP by their MAC addresses.
  @inlinable
  public var flowHash: UInt32 {
    facts & Facts.hashed != 0 ? unsafe mbuf.pointee.flow_hash : computeFlowHash()
  }

  @usableFromInline
  borrowing func computeFlowHash() -> UInt32 {
    let known = facts
    var mixed: UInt64
    if known & Facts.ipv4 != 0 {
      let header = unsafe IPv4Header<ReadOnly>(unchecked: headerBytes(at: networkOffset))
      mixed = Self.mix(UInt64(header.source.rawValue), UInt64(header.destination.rawValue))
    } else if known & Facts.ipv6 != 0 {
      let header = unsafe IPv6Header<ReadOnly>(unchecked: headerBytes(at: networkOffset))
      let source = header.source
      let destination = header.destination
      mixed = Self.mix(
        Self.scramble(source.high ^ source.low &* 31), Self.scramble(destination.high ^ destination.low &* 31))
    } else if contiguousLength >= 14 {
      let header = unsafe EthernetHeader<ReadOnly>(unchecked: headerBytes(at: 0))
      mixed = Self.mix(header.source.rawValue, header.destination.rawValue)
    } else {
      mixed = 0
    }
    if known & (Facts.ipv4 | Facts.ipv6) != 0 {
      let number = unsafe UInt64(mbuf.pointee.protocol)
      var ports: UInt64 = 0
      if known & Facts.fragment == 0, let pair = transportPorts {
        let low = min(pair.source, pair.destination)
        let high = max(pair.source, pair.destination)
        ports = UInt64(high) << 16 | UInt64(low)
      }
      mixed = Self.scramble(mixed ^ ports << 8 ^ number)
    }
    let hash = UInt32(truncatingIfNeeded: mixed >> 32)
    unsafe mbuf.pointee.flow_hash = hash
    unsafe mbuf.pointee.parsed |= Facts.hashed
    return hash
  }

  private static func mix(_ a: UInt64, _ b: UInt64) -> UInt64 {
    scramble(scramble(min(a, b)) &+ max(a, b))
  }

  /// The finaliser of MurmurHash3: every input bit reaches every output bit.
  private static func scramble(_ value: UInt64) -> UInt64 {
    var value = value
    value = (value ^ value >> 33) &* 0xFF51_AFD7_ED55_8CCD
    value = (value ^ value >> 33) &* 0xC4CE_B9FE_1A85_EC53
    return value ^ value >> 33
  }
}
