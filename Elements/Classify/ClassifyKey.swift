import Configuration
import Dataplane
import Wire

/// Which fragments a rule is about.
enum FragmentKind: UInt8, BitwiseCopyable, TextSetting {
  /// Fragments, the first and all others.
  case any
  /// Whole packets.
  case none
  /// First fragments.
  case first
  /// Fragments that have no transport header.
  case later

  static var schema: ValueSchema {
    ValueSchema("yes | no | first | later", example: "yes", jsonSchema: #""type": ["boolean", "string"]"#)
  }
  static var placeholder: FragmentKind { .any }

  init?(settingText text: String) {
    if let wanted = Bool(settingText: text) {
      self = wanted ? .any : .none
    } else if text == "first" {
      self = .first
    } else if text == "later" {
      self = .later
    } else {
      return nil
    }
  }

  func matches(_ isFragment: Bool, later: Bool) -> Bool {
    switch self {
    case .any: isFragment
    case .none: !isFragment
    case .first: isFragment && !later
    case .later: later
    }
  }
}

/// Lengths from one number of bytes to another.
struct LengthRange: TextSetting {
  let least: UInt32
  let most: UInt32

  static var schema: ValueSchema {
    ValueSchema("length or range of lengths", example: "64-128", jsonSchema: #""type": ["string", "integer"]"#)
  }
  static var placeholder: LengthRange { LengthRange(least: 0, most: .max) }

  private init(least: UInt32, most: UInt32) {
    self.least = least
    self.most = most
  }

  init?(settingText text: String) {
    guard let range = PortRange(text) else { return nil }
    self.init(least: UInt32(range.lowerBound), most: UInt32(range.upperBound))
  }
}

/// What rules look at, read from a packet once.
struct ClassifyKey {
  var length: UInt32
  var mark: UInt32
  var etherType: UInt16 = 0
  var vlan: UInt16?
  var version: UInt8 = 0
  var transport: UInt8 = 0
  var dscp: UInt8 = 0
  var isFragment = false, isLaterFragment = false
  var ports: (source: UInt16, destination: UInt16)?
  var flags: UInt8?
  var icmp: (type: UInt8, code: UInt8)?
  var source: (high: UInt64, low: UInt64) = (0, 0)
  var destination: (high: UInt64, low: UInt64) = (0, 0)

  init(_ packet: borrowing Packet) {
    length = UInt32(truncatingIfNeeded: packet.length)
    mark = packet.mark
    etherType = packet.etherType?.rawValue ?? 0
    vlan = packet.vlanTag?.identifier
    if let ip = packet.ipv4 {
      version = 4
      dscp = ip.dscp
      source.high = UInt64(ip.source.rawValue) << 32
      destination.high = UInt64(ip.destination.rawValue) << 32
    } else if let ip = packet.ipv6 {
      version = 6
      dscp = ip.dscp
      let (from, to) = (ip.source, ip.destination)
      source = (from.high, from.low)
      destination = (to.high, to.low)
    } else {
      return
    }
    transport = packet.transportProtocol?.rawValue ?? 0
    isFragment = packet.isFragment
    isLaterFragment = packet.isLaterFragment
    ports = packet.transportPorts
    flags = packet.tcp?.flags.rawValue
    if let header = packet.icmp { icmp = (header.type, header.code) }
  }

  func matches(_ rule: ClassifyRule) -> Bool {
    let fields = rule.fields
    if fields.contains(.etherType), etherType != rule.etherType { return false }
    if fields.contains(.vlan), vlan != rule.vlan { return false }
    if fields.contains(.length), length < rule.leastLength || length > rule.mostLength { return false }
    if fields.contains(.mark), mark & rule.markMask != rule.mark { return false }
    // A field of IP is never that of a frame without it.
    if version == 0 { return fields.isDisjoint(with: .ofIP) && !fields.contains(.version) }
    if fields.contains(.version), version != rule.version { return false }
    if fields.contains(.transport), transport != rule.transport { return false }
    if fields.contains(.fragment), !rule.fragment.matches(isFragment, later: isLaterFragment) { return false }
    if fields.contains(.dscp), dscp != rule.dscp { return false }
    if fields.contains(.icmpType), icmp?.type != rule.icmpType { return false }
    if fields.contains(.icmpCode), icmp?.code != rule.icmpCode { return false }
    if fields.contains(.source), !rule.source.contains(source.high, source.low) { return false }
    if fields.contains(.destination), !rule.destination.contains(destination.high, destination.low) { return false }
    if !fields.isDisjoint(with: [.sourcePort, .destinationPort]) {
      guard let ports else { return false }
      if fields.contains(.sourcePort), !(rule.sourceLow...rule.sourceHigh).contains(ports.source) { return false }
      if fields.contains(.destinationPort), !(rule.destinationLow...rule.destinationHigh).contains(ports.destination) {
        return false
      }
    }
    if fields.contains(.flags) {
      guard let flags, flags & rule.flagsMask == rule.flags else { return false }
    }
    return true
  }
}
