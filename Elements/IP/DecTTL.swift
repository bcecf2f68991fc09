public import Configuration
public import Dataplane
import Wire

/// Lowers the time-to-live of IPv4 packets and the hop limit of IPv6 packets, and turns away those that have run out.
///
///     ttl: DecTTL
///     - in.ip -> ttl -> out
///     - ttl.expired -> errors
public struct DecTTL: PacketElement {
  /// Where packets leave.
  public enum Output: UInt8, OutputPort {
    /// Packets with life left, checksum already patched.
    case forwarded
    /// Packets that arrived with a TTL of 1 or 0, untouched, ready for an ICMP error.
    case expired
  }

  public static let about = ElementDescription(
    "Lowers the TTL or hop limit, and turns away packets whose life has run out.",
    example: """
      elements:
        check: CheckIP
        ttl: DecTTL
      graph:
        - lan -> check -> ttl -> wan
        - check.other -> drop
        - ttl.expired -> drop
      """)
  public static let needs = HeaderState.ip
  public static let boundsLoops = true

  private let multicast: Bool

  public init(_ settings: inout Settings) throws(ConfigurationError) {
    multicast = try settings.take("multicast", default: true, "whether multicast packets lose a hop too")
  }

  @inline(__always)
  public mutating func process(_ packet: inout Packet) -> Verdict<Output> {
    if let ip = packet.mutableIPv4 {
      if !multicast && ip.isMulticast { return .forward(.forwarded) }
      // RFC 1812, 5.3.1
      guard ip.timeToLive > 1 else { return .forward(.expired) }
      ip.decrementTimeToLive()
      return .forward(.forwarded)
    }
    guard let ip = packet.mutableIPv6 else { return .drop(packet.isIPv4 || packet.isIPv6 ? .noBuffer : .malformed) }
    if !multicast && ip.isMulticast { return .forward(.forwarded) }
    guard ip.hopLimit > 1 else { return .forward(.expired) }
    ip.decrementHopLimit()
    return .forward(.forwarded)
  }
}
