/// A VLAN's number, the low 12 bits of a tag (IEEE 802.1Q).
@frozen
public struct VLANIdentifier: RawRepresentable, Hashable, Sendable, Comparable, LosslessStringConvertible {
  /// The number, 0 to 4095.
  public let rawValue: UInt16

  /// Makes an identifier, or nothing when `rawValue` exceeds 4095.
  @inlinable
  public init?(rawValue: UInt16) {
    guard rawValue <= 0xFFF else { return nil }
    self.rawValue = rawValue
  }

  /// The identifier in a tag's control information, whose other bits are ignored.
  @inlinable
  public init(tagControl: UInt16) { rawValue = tagControl & 0xFFF }

  /// Reads a decimal number from 0 to 4095.
  public init?(_ text: some StringProtocol) {
    guard let number = ASCII.decimal(text.utf8, as: UInt16.self) else { return nil }
    self.init(rawValue: number)
  }

  /// 0: the tag carries a priority and no VLAN.
  @inlinable
  public static var priorityOnly: VLANIdentifier { VLANIdentifier(tagControl: 0) }

  /// Whether a network may use the number: 0 means no VLAN, and 4095 is reserved.
  @inlinable
  public var isAssignable: Bool { rawValue >= 1 && rawValue <= 4094 }

  /// The number in decimal.
  public var description: String { String(rawValue) }

  /// Numeric order.
  @inlinable
  public static func < (left: VLANIdentifier, right: VLANIdentifier) -> Bool { left.rawValue < right.rawValue }
}

/// Transport ports from one to another, both included.
@frozen
public struct PortRange: Hashable, Sendable, Comparable, LosslessStringConvertible {
  /// The first port.
  public let lowerBound: UInt16
  /// The last port.
  public let upperBound: UInt16

  /// Makes a range.
  @inlinable
  public init(_ range: ClosedRange<UInt16>) {
    lowerBound = range.lowerBound
    upperBound = range.upperBound
  }

  /// Makes a range of one port.
  @inlinable
  public init(_ port: UInt16) { self.init(port...port) }

  /// Reads "80" or "1024-65535".
  public init?(_ text: some StringProtocol) {
    let parts = text.split(separator: "-", maxSplits: 1, omittingEmptySubsequences: false)
    let ports = parts.compactMap { ASCII.decimal($0.utf8, as: UInt16.self) }
    guard ports.count == parts.count, let first = ports.first, let last = ports.last, first <= last else { return nil }
    self.init(first...last)
  }

  /// Every port, 0 included.
  @inlinable
  public static var all: PortRange { PortRange(0...UInt16.max) }

  /// How many ports there are, 1 to 65536.
  @inlinable
  public var count: Int { Int(upperBound) - Int(lowerBound) + 1 }

  /// Whether `port` is in the range.
  @inlinable
  public func contains(_ port: UInt16) -> Bool { port >= lowerBound && port <= upperBound }

  /// Whether the two ranges have a port in common.
  @inlinable
  public func overlaps(_ other: PortRange) -> Bool { lowerBound <= other.upperBound && other.lowerBound <= upperBound }

  /// "80" or "1024-65535".
  public var description: String { count == 1 ? String(lowerBound) : "\(lowerBound)-\(upperBound)" }

  /// Order of first ports, then shorter before longer.
  @inlinable
  public static func < (left: PortRange, right: PortRange) -> Bool {
    (left.lowerBound, left.upperBound) < (right.lowerBound, right.upperBound)
  }
}

/// The control bits of a TCP header (RFC 9293 section 3.1).
@frozen
public struct TCPFlags: OptionSet, Hashable, Sendable, LosslessStringConvertible {
  /// The bits as the header's fourteenth octet has them.
  public let rawValue: UInt8

  /// Makes a set of the header's fourteenth octet.
  @inlinable
  public init(rawValue: UInt8) { self.rawValue = rawValue }

  /// Reads names with commas, pluses or bars between them ("syn", "syn,ack", "SYN+ACK"), or "none".
  public init?(_ text: some StringProtocol) {
    var flags: TCPFlags = []
    let text = text.lowercased()
    if text != "none" {
      let separators: Set<Character> = [",", "+", "|"]
      for part in text.split(omittingEmptySubsequences: false, whereSeparator: { separators.contains($0) }) {
        guard let flag = Self.names.first(where: { $0.name == part })?.flag else { return nil }
        flags.insert(flag)
      }
    }
    self = flags
  }

  /// No more data from the sender.
  @inlinable public static var fin: TCPFlags { TCPFlags(rawValue: 0x01) }
  /// Synchronise sequence numbers.
  @inlinable public static var syn: TCPFlags { TCPFlags(rawValue: 0x02) }
  /// Reset the connection.
  @inlinable public static var rst: TCPFlags { TCPFlags(rawValue: 0x04) }
  /// Push.
  @inlinable public static var psh: TCPFlags { TCPFlags(rawValue: 0x08) }
  /// The acknowledgement field counts.
  @inlinable public static var ack: TCPFlags { TCPFlags(rawValue: 0x10) }
  /// The urgent pointer counts.
  @inlinable public static var urg: TCPFlags { TCPFlags(rawValue: 0x20) }
  /// ECN echo (RFC 3168).
  @inlinable public static var ece: TCPFlags { TCPFlags(rawValue: 0x40) }
  /// Congestion window reduced (RFC 3168).
  @inlinable public static var cwr: TCPFlags { TCPFlags(rawValue: 0x80) }

  /// The names that configuration files may use, from the lowest bit up.
  public static var names: [(name: String, flag: TCPFlags)] {
    [
      ("fin", .fin), ("syn", .syn), ("rst", .rst), ("psh", .psh), ("ack", .ack), ("urg", .urg), ("ece", .ece),
      ("cwr", .cwr),
    ]
  }

  /// "syn,ack", or "none" for the empty set.
  public var description: String {
    isEmpty ? "none" : Self.names.filter { contains($0.flag) }.map(\.name).joined(separator: ",")
  }
}

/// A differentiated services code point: the upper six bits of IPv4's and IPv6's traffic class octet (RFC 2474).
@frozen
public struct DSCP: RawRepresentable, Hashable, Sendable, Comparable, LosslessStringConvertible {
  /// The code point, 0 to 63.
  public let rawValue: UInt8

  /// Makes a code point, or nothing when `rawValue` exceeds 63.
  @inlinable
  public init?(rawValue: UInt8) {
    guard rawValue <= 63 else { return nil }
    self.rawValue = rawValue
  }

  /// The code point in a traffic class octet, whose two ECN bits are ignored.
  @inlinable
  public init(trafficClass: UInt8) { rawValue = trafficClass >> 2 }

  /// Reads a name as `description` prints it, in any case, "default" or "be" for 0, or a number ("46", "0x2e").
  public init?(_ text: some StringProtocol) {
    let name = text.lowercased()
    if let known = Self.names.first(where: { $0.name == name }) {
      self = known.codePoint
    } else if let number = ASCII.integer(name, as: UInt8.self) {
      self.init(rawValue: number)
    } else {
      return nil
    }
  }

  /// Best effort, 0.
  @inlinable
  public static var `default`: DSCP { DSCP(trafficClass: 0) }

  /// Expedited forwarding, 46 (RFC 3246).
  @inlinable
  public static var ef: DSCP { DSCP(trafficClass: 46 << 2) }

  /// The names that configuration files may use: class selectors (RFC 2474), assured forwarding (RFC 2597), expedited
  /// forwarding (RFC 3246), voice admit (RFC 5865) and lower effort (RFC 8622).
  public static var names: [(name: String, codePoint: DSCP)] {
    var names = (UInt8(0)...7).map { (name: "cs\($0)", codePoint: DSCP(trafficClass: $0 << 5)) }
    for group in UInt8(1)...4 {
      for drop in UInt8(1)...3 {
        names.append((name: "af\(group)\(drop)", codePoint: DSCP(trafficClass: group << 5 | drop << 3)))
      }
    }
    names.append((name: "ef", codePoint: .ef))
    names.append((name: "va", codePoint: DSCP(trafficClass: 44 << 2)))
    names.append((name: "le", codePoint: DSCP(trafficClass: 1 << 2)))
    names.append((name: "default", codePoint: .default))
    names.append((name: "be", codePoint: .default))
    return names
  }

  /// The name, or the number in decimal.
  public var description: String { Self.names.first { $0.codePoint == self }?.name ?? String(rawValue) }

  /// Numeric order.
  @inlinable
  public static func < (left: DSCP, right: DSCP) -> Bool { left.rawValue < right.rawValue }
}
