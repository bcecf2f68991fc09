import Dataplane
import Wire

/// Sorts packets to an address of the router that none of its protocols takes, by what the sender is told
/// (RFC 1122, 3.2.2.1; RFC 4443, 3.1 and 3.4); a part of `Router`.
struct NoListener: PacketElement, RouterPart {
  enum Output: UInt8, OutputPort {
    case portUnreachable, protocolUnreachable
  }

  enum Drop: UInt8, ElementDropReason {
    /// ICMP that asks for no answer, and packets to groups.
    case notAsked
    /// TCP, to which a reset would be the answer.
    case noListener
  }

  static let needs = HeaderState.ip

  init() {}

  mutating func process(_ packet: inout Packet) -> Verdict<Output> {
    if packet.ipv4?.isMulticast ?? packet.ipv6?.isMulticast ?? true { return .drop(Drop.notAsked) }
    switch packet.transportProtocol {
    // UDP, and UDP-Lite (RFC 3828).
    case .udp, IPProtocol(rawValue: 136): return .forward(.portUnreachable)
    case .tcp: return .drop(Drop.noListener)
    case .icmp, .icmpv6: return .drop(Drop.notAsked)
    case .noNextHeader where packet.isIPv6: return .drop(Drop.notAsked)
    default: return .forward(.protocolUnreachable)
    }
  }
}
