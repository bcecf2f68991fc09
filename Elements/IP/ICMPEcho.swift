public import Configuration
public import Dataplane
import Tables
import Wire

/// Answers ICMP and ICMPv6 echo requests in place (RFC 792; RFC 1122, 3.2.2.6; RFC 4443, 4.2). Fragments are not
/// answered: `ReassembleIP` before it makes them whole. Nor are requests to groups, and ones with a source route, whose
/// reply would have to take it back (RFC 7126, 4.3).
///
///     ping: { ICMPEcho: { addresses: [192.0.2.1, 2001:db8::1] } }
///     - check.ip -> ping -> lan
///     - ping.other -> route
public struct ICMPEcho: PacketElement {
  /// Where packets leave.
  public enum Output: UInt8, OutputPort {
    /// The requests, turned into replies; to be sent back where they came from.
    case reply
    /// Everything else, as it came.
    case other

    public var about: String {
      self == .reply ? "replies, to be sent back where the requests came from" : "everything that is not answered"
    }
  }

  public static let about = ElementDescription(
    "Answers pings, IPv4 and IPv6.",
    example: """
      elements:
        check: CheckIP
        ping: { ICMPEcho: { addresses: [192.0.2.1, 2001:db8::1] } }
      graph:
        - lan -> check -> ping -> lan
        - check.other -> drop
        - ping.other -> wan
      """)
  public static let needs = HeaderState.ip

  private let v4: FlatArray<IPv4Address>
  private let v6: FlatArray<IPv6Address>
  private let answersAll: Bool
  private let timeToLive: UInt8

  public init(_ settings: inout Settings) throws(ConfigurationError) {
    let addresses: [IPAddress] =
      try settings.takeIfPresent("addresses", "addresses to answer for; all when left out") ?? []
    let timeToLive = try settings.take("ttl", default: 64, in: 1...255, "TTL or hop limit of replies") as UInt8
    self.init(addresses: addresses, timeToLive: timeToLive)
  }

  /// Makes an instance for elements made of others.
  init(addresses: [IPAddress], timeToLive: UInt8 = 64) {
    self.timeToLive = timeToLive
    v4 = FlatArray(addresses.v4)
    v6 = FlatArray(addresses.v6)
    answersAll = addresses.isEmpty
  }

  public mutating func process(_ packet: inout Packet) -> Verdict<Output> {
    guard isAnswered(packet) else { return .forward(.other) }
    guard packet.makeWritable() else { return .drop(.noBuffer) }
    if let reply = packet.mutableIPv4 {
      let (source, destination) = (reply.source, reply.destination)
      reply.setSource(destination)
      reply.setDestination(source)
      reply.setTimeToLive(timeToLive)
    } else if let reply = packet.mutableIPv6 {
      let (source, destination) = (reply.source, reply.destination)
      reply.setSource(destination)
      reply.setDestination(source)
      reply.setHopLimit(timeToLive)
    }
    // Exchanging the addresses leaves the sum over ICMPv6's pseudo-header as it was.
    let type: UInt8 = packet.isIPv4 ? 0 : 129
    packet.mutableICMP?.setType(type)
    packet.mutableEthernet?.swapAddresses()
    return .forward(.reply)
  }

  private func isAnswered(_ packet: borrowing Packet) -> Bool {
    guard !packet.isFragment, let icmp = packet.icmp, icmp.code == 0 else { return false }
    // A reply to a group's frame would come from a group (RFC 1122, 3.3.6).
    guard let ethernet = packet.ethernet, !ethernet.destination.isMulticast, !ethernet.source.isMulticast else {
      return false
    }
    if let ip = packet.ipv4 {
      let source = ip.source
      return icmp.type == 8 && answers(ip.destination) && Self.isHost(source) && !source.isThisNetwork
        && !source.isLoopback && !source.isReserved && !(ip.hasOptions && Self.hasSourceRoute(packet))
    }
    guard let ip = packet.ipv6 else { return false }
    let source = ip.source
    return icmp.type == 128 && answers(ip.destination) && !source.isMulticast && !source.isUnspecified
      && !source.isLoopback
  }

  /// Whether an IPv4 packet has a source route, or options that cannot be told apart (RFC 791, 3.1).
  private static func hasSourceRoute(_ packet: borrowing Packet) -> Bool {
    guard let network = packet.networkHeaderOffset, let end = packet.transportHeaderOffset else { return false }
    var offset = network + 20
    while offset < end, let type = packet.byte(at: offset), type != 0 {
      if type == 131 || type == 137 { return true }
      guard type != 1 else {
        offset += 1
        continue
      }
      guard let length = packet.byte(at: offset + 1), length >= 2 else { return true }
      offset += Int(length)
    }
    return false
  }

  private func answers(_ address: IPv4Address) -> Bool {
    guard Self.isHost(address) else { return false }
    return answersAll || v4.contains(address)
  }

  private func answers(_ address: IPv6Address) -> Bool {
    guard !address.isMulticast else { return false }
    return answersAll || v6.contains(address)
  }

  private static func isHost(_ address: IPv4Address) -> Bool {
    !address.isMulticast && !address.isLimitedBroadcast && !address.isUnspecified
  }
}
