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

  /// What a reset takes from the segment that it answers.
  private struct Segment {
    let network: Int
    /// Of which the reset takes the code point; none is ECN-capable (RFC 3168, 6.1.1).
    let trafficClass: UInt8
    let sourcePort, destinationPort: UInt16
    let sequenceNumber, acknowledgmentNumber: UInt32
    let flags: TCPFlags
    /// The sequence numbers that it occupies.
    let length: UInt32
    /// In the frame.
    let range: Range<Int>

    /// Nil when this is no whole segment.
    init?(_ packet: borrowing Packet) {
      guard let network = packet.networkHeaderOffset, let total = packet.networkLength,
        let start = packet.transportHeaderOffset, let tcp = packet.tcp, start + tcp.headerLength <= network + total
      else { return nil }
      self.network = network
      trafficClass = (packet.ipv4?.trafficClass ?? packet.ipv6?.trafficClass ?? 0) & 0xFC
      range = start..<network + total
      sourcePort = tcp.sourcePort
      destinationPort = tcp.destinationPort
      sequenceNumber = tcp.sequenceNumber
      acknowledgmentNumber = tcp.acknowledgmentNumber
      flags = tcp.flags
      length =
        UInt32(range.count - tcp.headerLength) + (flags.contains(.syn) ? 1 : 0) + (flags.contains(.fin) ? 1 : 0)
    }
  }

  private mutating func judgeTCP(_ packet: inout Packet, _ now: UInt64) -> Verdict<Output> {
    guard let segment = Segment(packet) else { return .drop(.malformed) }
    if segment.flags.contains(.rst) { return .drop(Drop.notAsked) }
    let sum = packet.sum(in: segment.range)
    if packet.isIPv4 {
      guard let source = packet.ipv4?.source, let destination = packet.ipv4?.destination else {
        return .drop(.malformed)
      }
      let pseudo = Checksum.pseudoHeader(
        source: source, destination: destination, protocol: .tcp, length: UInt16(segment.range.count))
      if let reason = refuse(isValid: Checksum.isValid(pseudo &+ sum), isOwn: isOwn(destination), now) {
        return .drop(reason)
      }
      return reset4(&packet, segment, from: destination, to: source)
    }
    guard let source = packet.ipv6?.source, let destination = packet.ipv6?.destination else {
      return .drop(.malformed)
    }
    let pseudo = Checksum.pseudoHeader(
      source: source, destination: destination, protocol: .tcp, length: UInt32(segment.range.count))
    if let reason = refuse(isValid: Checksum.isValid(pseudo &+ sum), isOwn: isOwn(destination), now) {
      return .drop(reason)
    }
    return reset6(&packet, segment, from: destination, to: source)
  }

  /// Why a segment is not answered; nil when it is.
  private mutating func refuse(isValid: Bool, isOwn: Bool, _ now: UInt64) -> Drop? {
    if !isValid { return .badChecksum }
    // To all on the link, for example (RFC 1122, 4.2.3.10).
    if !isOwn { return .notAsked }
    return limit.take(1, now: now) ? nil : .rateLimited
  }

  private func isOwn(_ address: IPv4Address) -> Bool {
    for index in 0..<own4.count where own4[index] == address { return true }
    return false
  }

  private func isOwn(_ address: IPv6Address) -> Bool {
    for index in 0..<own6.count where own6[index] == address { return true }
    return false
  }

  private func reset4(
    _ packet: inout Packet, _ segment: Segment, from source: IPv4Address, to destination: IPv4Address
  ) -> Verdict<Output> {
    packet.truncate(to: segment.network + 40)
    guard packet.makeWritable() else { return .drop(.noBuffer) }
    packet.ipv4HeaderToWrite(at: segment.network)?.set(
      trafficClass: segment.trafficClass, totalLength: 40, dontFragment: true, protocolNumber: .tcp, source: source,
      destination: destination)
    let pseudo = Checksum.pseudoHeader(source: source, destination: destination, protocol: .tcp, length: 20 as UInt16)
    return finish(&packet, segment.network + 20, segment, pseudo)
  }

  private func reset6(
    _ packet: inout Packet, _ segment: Segment, from source: IPv6Address, to destination: IPv6Address
  ) -> Verdict<Output> {
    packet.truncate(to: segment.network + 60)
    guard packet.makeWritable() else { return .drop(.noBuffer) }
    packet.ipv6HeaderToWrite(at: segment.network)?.set(
      trafficClass: segment.trafficClass, payloadLength: 20, nextHeader: .tcp, source: source, destination: destination)
    let pseudo = Checksum.pseudoHeader(source: source, destination: destination, protocol: .tcp, length: 20 as UInt32)
    return finish(&packet, segment.network + 40, segment, pseudo)
  }

  /// Writes the reset's TCP header, and the frame's addresses.
  private func finish(
    _ packet: inout Packet, _ offset: Int, _ segment: Segment, _ pseudo: UInt32
  ) -> Verdict<Output> {
    let isAcknowledging = segment.flags.contains(.ack)
    let flags: TCPFlags = isAcknowledging ? .rst : [.rst, .ack]
    let sequence = isAcknowledging ? segment.acknowledgmentNumber : 0
    let acknowledged = isAcknowledging ? 0 : segment.sequenceNumber &+ segment.length
    write(&packet, at: offset, segment, flags, sequence, acknowledged)
    let checksum = Checksum.complement(pseudo &+ packet.sum(in: offset..<offset + 20))
    packet.mutableTCP?.setChecksum(checksum)
    packet.mutableEthernet?.swapAddresses()
    return .forward(.reset)
  }

  private func write(
    _ packet: inout Packet, at offset: Int, _ segment: Segment, _ flags: TCPFlags, _ sequence: UInt32,
    _ acknowledged: UInt32
  ) {
    var bytes = packet.mutableBytes
    guard bytes.byteCount >= offset + 20 else { return }
    let ports = UInt32(segment.destinationPort) << 16 | UInt32(segment.sourcePort)
    bytes.storeBytes(of: ports.bigEndian, toByteOffset: offset, as: UInt32.self)
    bytes.storeBytes(of: sequence.bigEndian, toByteOffset: offset + 4, as: UInt32.self)
    bytes.storeBytes(of: acknowledged.bigEndian, toByteOffset: offset + 8, as: UInt32.self)
    bytes.storeBytes(of: (0x5000 | UInt16(flags.rawValue)).bigEndian, toByteOffset: offset + 12, as: UInt16.self)
    bytes.storeBytes(of: 0, toByteOffset: offset + 14, as: UInt16.self)
    bytes.storeBytes(of: 0, toByteOffset: offset + 16, as: UInt32.self)
  }
}
