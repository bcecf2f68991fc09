public import Configuration
public import Dataplane
import Wire

/// Lets through what RFC 1812 (section 5.2.2) and RFC 8200 allow a router to forward, and drops by name what they do not.
///
///     check: CheckIP
///     - lan -> check
///     - check.other -> drop
public struct CheckIP: PacketElement {
  /// Where packets leave.
  public enum Output: UInt8, OutputPort {
    /// Valid IPv4 and IPv6 packets.
    case ip
    /// Frames that carry neither.
    case other

    public var delivers: HeaderState? { self == .ip ? .ip : nil }
    public var about: String { self == .ip ? "valid IPv4 and IPv6 packets" : "frames that carry neither, such as ARP" }
  }

  /// Why packets are dropped.
  public enum Drop: UInt8, ElementDropReason {
    /// The version is not that of the EtherType, or the header's own length or the packet's does not fit the frame.
    case badHeader
    /// The IPv4 header checksum is wrong.
    case badChecksum
    /// The source is multicast, broadcast, loopback or reserved (RFC 1812, 5.3.7; RFC 6890).
    case badSource
    /// The destination is loopback or unspecified.
    case badDestination
  }

  public static let about = ElementDescription(
    "Validates IP headers: version, lengths, checksum, and addresses that no router may forward.",
    example: """
      elements:
        check: CheckIP
      graph:
        - lan -> check -> wan
        - check.other -> drop
      """)

  private let checksum: Bool
  private let addresses: Bool

  public init(_ settings: inout Settings) throws(ConfigurationError) {
    checksum = try settings.take("checksum", default: true, "verify the IPv4 header checksum")
    addresses = try settings.take(
      "addresses", default: true, "refuse addresses that never stand on a link between hosts")
  }

  public mutating func process(_ packet: inout Packet) -> Verdict<Output> {
    if let ip = packet.ipv4 {
      if checksum && !ip.isChecksumValid { return .drop(Drop.badChecksum) }
      if addresses {
        if !Self.maySend(ip.source) { return .drop(Drop.badSource) }
        if !Self.mayReceive(ip.destination) { return .drop(Drop.badDestination) }
      }
      return .forward(.ip)
    }
    if let ip = packet.ipv6 {
      if addresses {
        let source = ip.source
        if source.isMulticast || source.isLoopback { return .drop(Drop.badSource) }
        let destination = ip.destination
        if destination.isLoopback || destination.isUnspecified { return .drop(Drop.badDestination) }
      }
      return .forward(.ip)
    }
    let type = packet.etherType
    return type == .ipv4 || type == .ipv6 ? .drop(Drop.badHeader) : .forward(.other)
  }

  /// 0.0.0.0 is allowed as a source, for hosts that ask for an address (RFC 1122, 3.2.1.3).
  private static func maySend(_ address: IPv4Address) -> Bool {
    let first = address.rawValue >> 24
    return first < 224 && first != 127 && (first != 0 || address.rawValue == 0)
  }

  private static func mayReceive(_ address: IPv4Address) -> Bool {
    let first = address.rawValue >> 24
    return first != 127 && first != 0 && (first < 240 || address.rawValue == .max)
  }
}
