public import Configuration
public import Dataplane
import Tables
import Wire

/// Lets through what RFC 1812 (section 5.2.2) and RFC 8200 allow a router to forward, and drops by name what they do not.
/// Bytes behind the packet, such as Ethernet's padding, are left where they are.
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
    /// The frame ends within the IP header.
    case truncated
    /// The version is not that of the EtherType.
    case badVersion
    /// The IPv4 header's length is below 20 bytes, or beyond the frame.
    case badHeaderLength
    /// The packet's length is below its header's, or beyond the frame.
    case badLength
    /// The IPv6 extension headers are cut short, or too many.
    case badExtensions
    /// The IPv4 header checksum is wrong.
    case badChecksum
    /// The source is multicast, broadcast, loopback or reserved (RFC 1812, 5.3.7; RFC 6890), or in 'martians'.
    case badSource
    /// The destination is loopback, unspecified or reserved.
    case badDestination
  }

  public static let about = ElementDescription(
    "Validates IP headers: version, lengths, checksum, and addresses that no router may forward.",
    example: """
      elements:
        check: { CheckIP: { martians: [192.0.2.0/24, 2001:db8::/32] } }
      graph:
        - lan -> check -> wan
        - check.other -> drop
      """)

  private let checksum: Bool
  private let addresses: Bool
  private let martians4: FlatArray<IPv4Prefix>
  private let martians6: FlatArray<IPv6Prefix>

  public init(_ settings: inout Settings) throws(ConfigurationError) {
    checksum = try settings.take("checksum", default: true, "verify the IPv4 header checksum")
    addresses = try settings.take(
      "addresses", default: true, "refuse addresses that never stand on a link between hosts")
    let martians: [IPPrefix] = try settings.takeIfPresent("martians", "source prefixes to refuse besides") ?? []
    martians4 = FlatArray(martians.compactMap { if case .v4(let prefix) = $0 { prefix } else { nil } })
    martians6 = FlatArray(martians.compactMap { if case .v6(let prefix) = $0 { prefix } else { nil } })
  }

  @inline(__always)
  public mutating func process(_ packet: inout Packet) -> Verdict<Output> {
    if let ip = packet.ipv4 {
      if checksum && !ip.isChecksumValid { return .drop(Drop.badChecksum) }
      if addresses {
        if !Self.maySend(ip.source) { return .drop(Drop.badSource) }
        if !Self.mayReceive(ip.destination) { return .drop(Drop.badDestination) }
      }
      let source = ip.source
      for index in 0..<martians4.count where martians4[index].contains(source) { return .drop(Drop.badSource) }
      return .forward(.ip)
    }
    if let ip = packet.ipv6 {
      let source = ip.source
      if addresses {
        if source.isMulticast || source.isLoopback || source.isIPv4Mapped { return .drop(Drop.badSource) }
        let destination = ip.destination
        if destination.isLoopback || destination.isUnspecified || destination.isIPv4Mapped {
          return .drop(Drop.badDestination)
        }
      }
      for index in 0..<martians6.count where martians6[index].contains(source) { return .drop(Drop.badSource) }
      return .forward(.ip)
    }
    return Self.judge(packet.networkFault)
  }

  private static func judge(_ fault: NetworkFault?) -> Verdict<Output> {
    switch fault {
    case nil: .forward(.other)
    case .truncated: .drop(Drop.truncated)
    case .version: .drop(Drop.badVersion)
    case .headerLength: .drop(Drop.badHeaderLength)
    case .totalLength: .drop(Drop.badLength)
    case .extensionHeaders: .drop(Drop.badExtensions)
    }
  }

  /// 0.0.0.0 is allowed as a source, for hosts that ask for an address (RFC 1122, 3.2.1.3).
  private static func maySend(_ address: IPv4Address) -> Bool {
    let first = address.rawValue >> 24
    if isUsual(first) && first < 224 { return true }
    return first < 224 && first != 127 && (first != 0 || address.rawValue == 0)
  }

  private static func mayReceive(_ address: IPv4Address) -> Bool {
    let first = address.rawValue >> 24
    if isUsual(first) && first < 240 { return true }
    return first != 127 && first != 0 && (first < 240 || address.rawValue == .max)
  }

  /// Neither 0 nor 127, by one comparison; 128 and 255 are looked at more closely with them.
  @inline(__always)
  private static func isUsual(_ first: UInt32) -> Bool { (first &+ 1) & 0x7F > 1 }
}
