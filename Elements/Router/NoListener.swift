import Dataplane
import Tables
import Wire

/// Sorts packets to an address of the router that none of its protocols takes, by what the sender is told
/// (RFC 1122, 3.2.2.1; RFC 4443, 3.1 and 3.4), and resets TCP (RFC 9293, 3.10.7.1); a part of `Router`.
struct NoListener: RouterPart, ~Copyable {
  enum Output: UInt8, OutputPort {
    case portUnreachable, protocolUnreachable
    /// TCP segments, turned into resets.
    case reset

    var delivers: HeaderState? { .ip }
  }

  enum Drop: UInt8, ElementDropReason {
    /// What asks for no answer: ICMP, resets, and packets to groups.
    case notAsked
    /// UDP or TCP with a wrong checksum, or UDP over IPv6 with none (RFC 1122, 4.1.3.4; RFC 8200, 8.1).
    case badChecksum
    /// More resets than the limit on ICMP errors allows.
    case rateLimited
  }

  static let needs = HeaderState.ip
  /// There is no reset about a reset.
  static let boundsLoops = true

  private let own4: FlatArray<IPv4Address>
  private let own6: FlatArray<IPv6Address>
  private var limit: TokenBucket

  /// - Parameters:
  ///   - addresses: The router's own.
  ///   - limits: How many resets there are, counted apart from errors.
  init(addresses: [IPAddress], limits: ICMPError.Limits) {
    own4 = FlatArray(addresses.v4)
    own6 = FlatArray(addresses.v6)
    limit = TokenBucket(rate: limits.rate.packetsPerSecond, burst: UInt64(limits.burst))
  }

  mutating func process(_ batch: inout PacketBatch<Self>, _ context: inout Context) {
    let now = context.now.nanoseconds
    batch.forEach { packet in judge(&packet, now) }
  }

  private mutating func judge(_ packet: inout Packet, _ now: UInt64) -> Verdict<Output> {
    if packet.ipv4?.isMulticast ?? packet.ipv6?.isMulticast ?? true { return .drop(Drop.notAsked) }
    switch packet.transportProtocol {
    // UDP, and UDP-Lite (RFC 3828).
    case .udp: return judgeUDP(packet)
    case IPProtocol(rawValue: 136): return .forward(.portUnreachable)
    case .tcp: return judgeTCP(&packet, now)
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

  // MARK: TCP

  private mutating func judgeTCP(_ packet: inout Packet, _ now: UInt64) -> Verdict<Output> {
    guard let network = packet.networkHeaderOffset, let total = packet.networkLength,
      let start = packet.transportHeaderOffset, let header = packet.tcp?.headerLength,
      start + header <= network + total, let segment = packet.tcpSegment
    else { return .drop(.malformed) }
    if segment.flags.contains(.rst) { return .drop(Drop.notAsked) }
    if !packet.isTCPChecksumValid { return .drop(Drop.badChecksum) }
    // To all on the link, for example (RFC 1122, 4.2.3.10).
    if !isToOwn(packet) { return .drop(Drop.notAsked) }
    if !limit.take(1, now: now) { return .drop(Drop.rateLimited) }
    var reset = TCPFields(resetOf: segment)
    // It has the segment's code point; none is ECN-capable (RFC 3168, 6.1.1).
    reset.trafficClass = (packet.ipv4?.trafficClass ?? packet.ipv6?.trafficClass ?? 0) & 0xFC
    return packet.makeTCP(reset, turned: true) ? .forward(.reset) : .drop(.noBuffer)
  }

  private func isToOwn(_ packet: borrowing Packet) -> Bool {
    if let destination = packet.ipv4?.destination { return own4.contains(destination) }
    if let destination = packet.ipv6?.destination { return own6.contains(destination) }
    return false
  }
}
