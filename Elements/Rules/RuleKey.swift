import Dataplane
import Wire

/// What kind of packet a key was read from: which headers there are for rules to look at. One bit each.
struct PacketKind: OptionSet, Hashable, Sendable, BitwiseCopyable {
  let rawValue: UInt8

  /// Frames that are not sound IP.
  static let other = PacketKind(rawValue: 1 << 0)
  /// IPv4 without a transport header that rules look at, or with none: later fragments, other protocols.
  static let plainIPv4 = PacketKind(rawValue: 1 << 1)
  /// IPv4 with a transport header that has ports.
  static let portsIPv4 = PacketKind(rawValue: 1 << 2)
  /// IPv4 with an ICMP header.
  static let icmpIPv4 = PacketKind(rawValue: 1 << 3)
  /// IPv6 without a transport header that rules look at, or with none.
  static let plainIPv6 = PacketKind(rawValue: 1 << 4)
  /// IPv6 with a transport header that has ports.
  static let portsIPv6 = PacketKind(rawValue: 1 << 5)
  /// IPv6 with an ICMPv6 header.
  static let icmpIPv6 = PacketKind(rawValue: 1 << 6)
  /// Frames that are too short for an EtherType.
  static let runt = PacketKind(rawValue: 1 << 7)

  static let ipv4: PacketKind = [.plainIPv4, .portsIPv4, .icmpIPv4]
  static let ipv6: PacketKind = [.plainIPv6, .portsIPv6, .icmpIPv6]
  static let ip = ipv4.union(ipv6)
  static let ports: PacketKind = [.portsIPv4, .portsIPv6]
  static let all = PacketKind(rawValue: 0xFF)

  /// Each kind by itself.
  static let each = (0..<8).map { PacketKind(rawValue: 1 << UInt8($0)) }
}

/// A field that rules compare with a range of numbers, and where it stands in the key.
enum RangeField: Int, CaseIterable {
  case transport, dscp
  /// The source port, or an ICMP message's type.
  case first
  /// The destination port, or an ICMP message's code.
  case second
  case etherType
  /// 0 without a tag; else 0x1000 and the outermost tag's identifier.
  case vlan
  case ingress, ecn, length

  var place: KeyPlace {
    switch self {
    case .transport: KeyPlace(word: 0, shift: 56, width: 8)
    case .dscp: KeyPlace(word: 0, shift: 48, width: 8)
    case .first: KeyPlace(word: 0, shift: 16, width: 16)
    case .second: KeyPlace(word: 0, shift: 0, width: 16)
    case .etherType: KeyPlace(word: 1, shift: 48, width: 16)
    case .vlan: KeyPlace(word: 1, shift: 32, width: 16)
    case .ingress: KeyPlace(word: 1, shift: 16, width: 16)
    case .ecn: KeyPlace(word: 1, shift: 8, width: 8)
    case .length: KeyPlace(word: 2, shift: 0, width: 32)
    }
  }
}

/// A field that rules compare under a mask, and where it stands in the key.
enum BitField: Int, CaseIterable {
  case facts, flags, mark, filters, sourceHigh, sourceLow, destinationHigh, destinationLow
  /// Whoever asks puts them into the key: the zone a packet comes from in the lowest 8 bits, and where it goes above.
  case zones

  var place: KeyPlace {
    switch self {
    case .facts: KeyPlace(word: 0, shift: 40, width: 8)
    case .flags: KeyPlace(word: 0, shift: 32, width: 8)
    case .mark: KeyPlace(word: 2, shift: 32, width: 32)
    case .filters: KeyPlace(word: 3, shift: 32, width: 32)
    case .zones: KeyPlace(word: 3, shift: 0, width: 32)
    case .sourceHigh: KeyPlace(word: 4, shift: 0, width: 64)
    case .sourceLow: KeyPlace(word: 5, shift: 0, width: 64)
    case .destinationHigh: KeyPlace(word: 6, shift: 0, width: 64)
    case .destinationLow: KeyPlace(word: 7, shift: 0, width: 64)
    }
  }
}

/// Where a field stands: in which of the key's words, and where in its bits.
struct KeyPlace {
  var word: Int
  var shift: Int
  var width: Int

  /// From the start of the key in bytes.
  var offset: Int { word * 8 + (64 - shift - width) / 8 }
  /// The field's bits, at its end.
  var mask: UInt64 { width == 64 ? .max : 1 << UInt64(width) - 1 }
}

/// Bits of `BitField.facts`.
enum KeyFacts {
  static let fragment: UInt8 = 1
  static let laterFragment: UInt8 = 2
  static let options: UInt8 = 4
}

/// What rules look at, read from a packet once: 64 bytes in network byte order, as lists walk them.
///
///      0       1       2       3       4               6               8
///     +-------+-------+-------+-------+---------------+---------------+
///     |protoc.| dscp  | facts | flags |  sport, type  |  dport, code  |
///     +-------+-------+-------+-------+---------------+-------+-------+
///     |   EtherType   |     VLAN      |    ingress    |  ecn  |   0   |
///     +---------------+---------------+---------------+-------+-------+
///     |             mark              |            length             |
///     +-------------------------------+-------------------------------+
///     |            filters            |             zones             |
///     +-------------------------------+-------------------------------+
///     |  source (16 bytes; IPv4 in the first 4)                       |
///     |  destination (16 bytes; IPv4 in the first 4)                  |
///     +---------------------------------------------------------------+
struct RuleKey: BitwiseCopyable, Sendable {
  var word0: UInt64 = 0, word1: UInt64 = 0, word2: UInt64 = 0, word3: UInt64 = 0
  var word4: UInt64 = 0, word5: UInt64 = 0, word6: UInt64 = 0, word7: UInt64 = 0

  /// A word as it lies in memory.
  @inline(__always)
  func word(_ index: UInt8) -> UInt64 {
    switch index {
    case 0: word0
    case 1: word1
    case 2: word2
    case 3: word3
    case 4: word4
    case 5: word5
    case 6: word6
    default: word7
    }
  }

  /// Reads a packet.
  /// - Parameter filters: The filters that it passes, a bit each.
  @inline(__always)
  static func read(_ packet: borrowing Packet, filters: UInt32) -> (key: RuleKey, kind: PacketKind) {
    var key = RuleKey()
    var kind: PacketKind
    var link = UInt64(UInt16(truncatingIfNeeded: packet.ingressPort)) << 16
    var head: UInt64 = 0
    if let ip = packet.ipv4 {
      kind = .plainIPv4
      link |= 0x0800 << 48 | UInt64(ip.ecn) << 8
      head = UInt64(ip.dscp) << 48 | (ip.hasOptions ? UInt64(KeyFacts.options) << 40 : 0)
      key.word4 = (UInt64(ip.source.rawValue) << 32).bigEndian
      key.word6 = (UInt64(ip.destination.rawValue) << 32).bigEndian
    } else if let ip = packet.ipv6 {
      kind = .plainIPv6
      link |= 0x86DD << 48 | UInt64(ip.ecn) << 8
      head = UInt64(ip.dscp) << 48 | (ip.nextHeader.isIPv6Extension ? UInt64(KeyFacts.options) << 40 : 0)
      let (source, destination) = (ip.source, ip.destination)
      (key.word4, key.word5) = (source.high.bigEndian, source.low.bigEndian)
      (key.word6, key.word7) = (destination.high.bigEndian, destination.low.bigEndian)
    } else if let type = packet.etherType {
      kind = .other
      link |= UInt64(type.rawValue) << 48
    } else {
      kind = .runt
    }
    if kind != .other, kind != .runt {
      head |= UInt64(packet.transportProtocol?.rawValue ?? 0) << 56
      if packet.isFragment { head |= UInt64(KeyFacts.fragment) << 40 }
      if packet.isLaterFragment { head |= UInt64(KeyFacts.laterFragment) << 40 }
      if let ports = packet.transportPorts {
        kind = kind == .plainIPv4 ? .portsIPv4 : .portsIPv6
        head |= UInt64(ports.source) << 16 | UInt64(ports.destination)
        if let tcp = packet.tcp { head |= UInt64(tcp.flags.rawValue) << 32 }
      } else if let icmp = packet.icmp {
        kind = kind == .plainIPv4 ? .icmpIPv4 : .icmpIPv6
        head |= UInt64(icmp.type) << 16 | UInt64(icmp.code)
      }
    }
    if let tag = packet.vlanTag { link |= UInt64(0x1000 | tag.identifier) << 32 }
    key.word0 = head.bigEndian
    key.word1 = link.bigEndian
    key.word2 = (UInt64(packet.mark) << 32 | UInt64(UInt32(truncatingIfNeeded: packet.length))).bigEndian
    key.word3 = (UInt64(filters) << 32).bigEndian
    return (key, kind)
  }
}

// For elements that decide about sessions rather than packets.
extension RuleKey {
  /// Notes the zones that a packet comes from and goes to.
  mutating func setZones(from: UInt8, to: UInt8) {
    word3 |= (UInt64(from) | UInt64(to) << 8).bigEndian
  }

  /// Sets the flags of a TCP packet's key to those of the one that opens a connection.
  mutating func setOpening() {
    let head = UInt64(bigEndian: word0)
    guard head >> 56 == 6 else { return }
    word0 = (head & ~(0xFF << 32) | UInt64(TCPFlags.syn.rawValue) << 32).bigEndian
  }

  /// Makes the key of an answer that of the packet it answers.
  /// - Parameter ingress: The port that one came in by.
  mutating func turn(ingress: UInt16, isICMP: Bool) {
    (word4, word5, word6, word7) = (word6, word7, word4, word5)
    let head = UInt64(bigEndian: word0)
    if isICMP {
      let type = head >> 16 & 0xFF
      let query: UInt64 = type == 0 ? 8 : type - 1
      word0 = (head & ~(0xFFFF << 16) | query << 16).bigEndian
    } else {
      word0 = (head & ~0xFFFF_FFFF | (head & 0xFFFF) << 16 | head >> 16 & 0xFFFF).bigEndian
    }
    word1 = (UInt64(bigEndian: word1) & ~(0xFFFF << 16) | UInt64(ingress) << 16).bigEndian
  }
}
