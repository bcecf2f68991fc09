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
    /// UDP with a wrong checksum, or, over IPv6, with none (RFC 1122, 4.1.3.4; RFC 8200, 8.1).
    case badChecksum
  }

  static let needs = HeaderState.ip

  init() {}

  @inline(__always)
  mutating func process(_ packet: inout Packet) -> Verdict<Output> {
    if packet.ipv4?.isMulticast ?? packet.ipv6?.isMulticast ?? true { return .drop(Drop.notAsked) }
    switch packet.transportProtocol {
    // UDP, and UDP-Lite (RFC 3828).
    case .udp: return judgeUDP(packet)
    case IPProtocol(rawValue: 136): return .forward(.portUnreachable)
    case .tcp: return .drop(Drop.noListener)
    case .icmp, .icmpv6: return .drop(Drop.notAsked)
    case .noNextHeader where packet.isIPv6: return .drop(Drop.notAsked)
    default: return .forward(.protocolUnreachable)
    }
  }

  private func judgeUDP(_ packet: borrowing Packet) -> Verdict<Output> {
    guard let network = packet.networkHeaderOffset, let total = packet.networkLength,
      let start = packet.transportHeaderOffset, let udp = packet.udp
    else { return .drop(.malformed) }
    let (length, checksum) = (Int(udp.datagramLength), udp.checksum)
    guard length >= 8, length <= network + total - start else { return .drop(.malformed) }
    let pseudo: UInt32
    if let ip = packet.ipv4 {
      if checksum == 0 { return .forward(.portUnreachable) }
      pseudo = Checksum.pseudoHeader(
        source: ip.source, destination: ip.destination, protocol: .udp, length: UInt16(length))
    } else if let ip = packet.ipv6 {
      if checksum == 0 { return .drop(Drop.badChecksum) }
      pseudo = Checksum.pseudoHeader(
        source: ip.source, destination: ip.destination, protocol: .udp, length: UInt32(length))
    } else {
      return .drop(.malformed)
    }
    let isValid = Checksum.isValid(pseudo &+ packet.sum(in: start..<start + length))
    return isValid ? .forward(.portUnreachable) : .drop(Drop.badChecksum)
  }
}
