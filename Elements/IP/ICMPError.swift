public import Configuration
public import Dataplane
import Tables
import Wire

/// Turns packets that could not be forwarded or delivered into ICMP or ICMPv6 errors about them (RFC 792; RFC 1812, 4.3;
/// RFC 4443). Each reason has an input; those that are not needed are left out of the graph.
///
///     errors: { ICMPError: { source: [192.0.2.1, 2001:db8::1] } }
///     - ttl.expired -> errors.expired
///     - errors -> route
///
/// Expects packets as they were received, but for what forwarding does to them. An error keeps the packet's VLAN tags and
/// has its MAC addresses exchanged; it is to be routed like any other packet.
public struct ICMPError: Element, ~Copyable {
  /// Where packets enter: what is wrong with them.
  public enum Input: UInt8, InputPort {
    case expired, reassembly, noRoute, hostUnreachable, prohibited, portUnreachable, protocolUnreachable, tooBig
    case sourceRefused, beyondScope, badHeader, unknownOption

    public var needs: HeaderState { .ip }
    public var isOptional: Bool { true }

    public var about: String {
      switch self {
      case .expired: "the TTL or hop limit has run out"
      case .reassembly: "the time for reassembly is over; the first fragment"
      case .noRoute: "no route leads to the destination"
      case .hostUnreachable: "the destination or next hop does not answer"
      case .prohibited: "a policy forbids it"
      case .portUnreachable: "nobody listens at the port; packets to an address of this host"
      case .protocolUnreachable: "nobody speaks the protocol; packets to an address of this host"
      case .tooBig: "longer than the next link takes, and not to be fragmented"
      case .sourceRefused: "the source is not where it should come from"
      case .beyondScope: "the source address has no meaning on the next link (IPv6)"
      case .badHeader: "a header field is wrong; the annotation says at which byte of the packet"
      case .unknownOption: "an IPv6 option is unknown; the annotation says at which byte of the packet"
      }
    }
  }

  /// Where packets leave.
  public enum Output: UInt8, OutputPort {
    /// The errors, to be routed.
    case errors

    public var delivers: HeaderState? { .ip }
    public var about: String { "the errors, to be routed" }
  }

  /// Why there is no error about a packet.
  public enum Drop: UInt8, ElementDropReason {
    /// The packet is an ICMP error or a redirect, or may be one.
    case neverForICMPError
    /// The destination is a multicast or broadcast address.
    case neverForMulticast
    /// The frame was a multicast or broadcast.
    case neverForLinkMulticast
    /// A fragment other than the first (IPv4).
    case neverForLaterFragment
    /// The source address does not stand for one host.
    case neverToThatSource
    /// More errors than 'rate' or 'prefix_rate' allows.
    case rateLimited
    /// The settings give no source address of this IP version.
    case noSource
  }

  public static let about = ElementDescription(
    "Answers packets that could not be forwarded with ICMP and ICMPv6 errors, at a limited rate.",
    example: """
      elements:
        check: CheckIP
        ttl: DecTTL
        errors: { ICMPError: { source: [192.0.2.1, 2001:db8::1] } }
      graph:
        - lan -> check -> ttl -> wan
        - check.other -> drop
        - ttl.expired -> errors[expired] -> lan
      """)
  /// There is no error about an error.
  public static let boundsLoops = true

  private let sources: ErrorSources
  /// By which interface errors leave; nil: by the one that the packet came in by.
  private let ways: ErrorWays?
  private let mtu: UInt32?
  /// Whether errors come from where the packet was to go, as if from there.
  private let isHidden: Bool
  private let precedence: UInt8
  private var limit: TokenBucket
  private var prefixLimits: TokenBucketTable
  private var identification: UInt16 = 0

  public init(_ settings: inout Settings) throws(ConfigurationError) {
    let own: [IPAddress] = try settings.take(
      "source",
      "addresses of this host; errors come from the first of their IP version, but from the destination if "
        + "that is among them")
    let networks: [IPv4Prefix] =
      try settings.takeIfPresent("networks", "networks of this host, to know their broadcast addresses") ?? []
    if own.isEmpty {
      settings.reject(
        settings.range(of: "source"), "there is no address in 'source'", remedy: "give an address of this host")
    }
    let mtu: Int? = try settings.takeIfPresent(
      "mtu", in: 68...65_535, "the MTU that [tooBig] reports; what FragmentIP says when left out")
    self.init(ErrorSources(own: own, networks: networks), try Limits(&settings), mtu: mtu)
  }

  /// How many errors are sent, and with which precedence.
  struct Limits: Sendable {
    let precedence: Int
    let rate, prefixRate: PacketRate
    let burst, prefixBurst: Int

    init(_ settings: inout Settings) throws(ConfigurationError) {
      precedence = try settings.take("precedence", default: 6, in: 0...7, "IP precedence of errors (IPv4)")
      rate = try settings.take(
        "rate", default: PacketRate(packetsPerSecond: 1000), "errors a second, all together")
      burst = try settings.take("burst", default: 100, in: 1...1_000_000, "errors at once, all together")
      prefixRate = try settings.take(
        "prefix_rate", default: PacketRate(packetsPerSecond: 10),
        "errors a second to one /24 or IPv6 /64; [tooBig] is free of this limit")
      prefixBurst = try settings.take(
        "prefix_burst", default: 10, in: 1...1_000_000, "errors at once to one of these")
    }
  }

  /// Makes an instance that is given its addresses; for elements made of others.
  /// - Parameters:
  ///   - ways: Says by which interface errors leave, of whose addresses they then come.
  ///   - isHidden: Whether errors come from the packets' destinations, as if from there.
  init(
    _ sources: ErrorSources, _ limits: Limits, mtu: Int? = nil, ways: consuming ErrorWays? = nil, isHidden: Bool = false
  ) {
    self.sources = sources
    self.ways = ways
    self.isHidden = isHidden
    self.mtu = mtu.map(UInt32.init)
    precedence = UInt8(limits.precedence) << 5
    limit = TokenBucket(rate: limits.rate.packetsPerSecond, burst: UInt64(limits.burst))
    prefixLimits = TokenBucketTable(
      count: 1024, rate: limits.prefixRate.packetsPerSecond, burst: UInt64(limits.prefixBurst))
  }

  public mutating func start(_ context: inout Context) {
    prefixLimits.seed = context.random.next()
    identification = UInt16(truncatingIfNeeded: context.random.next())
  }

  public mutating func process(_ batch: inout PacketBatch<Self>, _ context: inout Context) {
    let reason = batch.input
    let now = context.now.nanoseconds
    batch.forEach { packet in answer(&packet, reason, now) }
  }

  /// Makes the packet the error about it, when there is one.
  /// - Parameter now: Nanoseconds.
  mutating func answer(_ packet: inout Packet, _ reason: Input, _ now: UInt64) -> Verdict<Output> {
    packet.isIPv4 ? answerIPv4(&packet, reason, now) : answerIPv6(&packet, reason, now)
  }

  // MARK: Limits

  private mutating func isWithinLimits(_ prefix: UInt64, _ reason: Input, _ now: UInt64) -> Bool {
    // Without these errors connections hang rather than fail (RFC 2923, 2.1).
    if reason != .tooBig, !prefixLimits.take(1, of: prefix, now: now) { return false }
    return limit.take(1, now: now)
  }

  // MARK: IPv4

  /// The longest error in bytes (RFC 1812, 4.3.2.3).
  private static var longest4: Int { 576 }
  private static var headers4: Int { 28 }

  private mutating func answerIPv4(_ packet: inout Packet, _ reason: Input, _ now: UInt64) -> Verdict<Output> {
    guard let offset = packet.networkHeaderOffset, let length = packet.networkLength, let original = Original4(packet)
    else { return .drop(.malformed) }
    if packet.isLaterFragment { return .drop(Drop.neverForLaterFragment) }
    if original.isICMPError { return .drop(Drop.neverForICMPError) }
    if packet.isLinkMulticast { return .drop(Drop.neverForLinkMulticast) }
    if sources.isMulticastOrBroadcast(original.destination) { return .drop(Drop.neverForMulticast) }
    if !sources.isOneHost(original.source) { return .drop(Drop.neverToThatSource) }
    guard let message = Self.message4(reason) else { return .drop(.unsupported) }
    let isDelivered = isHidden || reason == .portUnreachable || reason == .protocolUnreachable
    let port = ways?.interface(to: original.source) ?? packet.ingressPort
    guard let source = sources.v4(about: original.destination, isOwn: isDelivered, port: port) else {
      return .drop(Drop.noSource)
    }
    guard isWithinLimits(UInt64(original.source.rawValue >> 8), reason, now) else { return .drop(Drop.rateLimited) }
    let rest: UInt32 =
      switch reason {
      case .tooBig: min(max(mtu ?? packet.annotation, 68), 65_535)
      case .badHeader, .unknownOption: packet.annotation << 24
      default: 0
      }
    let quoted = min(length, Self.longest4 - Self.headers4)
    packet.truncate(to: offset + quoted)
    guard packet.insert(Self.headers4, at: offset) else { return .drop(.noBuffer) }
    packet.icmpHeaderToWrite(at: offset + 20)?.set(type: message.type, code: message.code, rest: rest)
    let checksum = Checksum.complement(packet.sum(in: offset + 20..<packet.length))
    packet.icmpHeaderToWrite(at: offset + 20)?.setChecksum(checksum)
    identification &+= 1
    // The two bits behind the type of service were that, too, before they were ECN's (RFC 3168).
    packet.ipv4HeaderToWrite(at: offset)?.set(
      trafficClass: precedence | original.trafficClass & 0x1C, totalLength: UInt16(Self.headers4 + quoted),
      identification: identification, timeToLive: 255, protocolNumber: .icmp, source: source,
      destination: original.source)
    packet.mutableEthernet?.swapAddresses()
    return .forward(.errors)
  }

  private static func message4(_ reason: Input) -> (type: UInt8, code: UInt8)? {
    switch reason {
    case .expired: (11, 0)
    case .reassembly: (11, 1)
    case .noRoute: (3, 0)
    case .hostUnreachable: (3, 1)
    case .protocolUnreachable: (3, 2)
    case .portUnreachable: (3, 3)
    case .tooBig: (3, 4)
    case .prohibited, .sourceRefused: (3, 13)
    case .badHeader, .unknownOption: (12, 0)
    case .beyondScope: nil
    }
  }

  // MARK: IPv6

  /// The longest error in bytes: the least MTU of a link (RFC 4443, 2.4).
  private static var longest6: Int { 1280 }
  private static var headers6: Int { 48 }

  private mutating func answerIPv6(_ packet: inout Packet, _ reason: Input, _ now: UInt64) -> Verdict<Output> {
    guard let offset = packet.networkHeaderOffset, let length = packet.networkLength, let original = Original6(packet)
    else { return .drop(.malformed) }
    if original.isICMPError { return .drop(Drop.neverForICMPError) }
    let mayBeMulticast = reason == .tooBig || reason == .unknownOption && Self.isAnsweredAlways(packet, at: offset)
    if !mayBeMulticast {
      if packet.isLinkMulticast { return .drop(Drop.neverForLinkMulticast) }
      if original.destination.isMulticast { return .drop(Drop.neverForMulticast) }
    }
    // An answer to a group's frame would come from a group.
    if packet.ethernet?.source.isMulticast != false { return .drop(Drop.neverForLinkMulticast) }
    if !sources.isOneHost(original.source) { return .drop(Drop.neverToThatSource) }
    let isDelivered = isHidden || reason == .portUnreachable || reason == .protocolUnreachable
    let port = ways?.interface(to: original.source) ?? packet.ingressPort
    guard
      let source = sources.v6(about: original.destination, to: original.source, isOwn: isDelivered, port: port)
    else { return .drop(Drop.noSource) }
    guard isWithinLimits(original.source.high, reason, now) else { return .drop(Drop.rateLimited) }
    let rest: UInt32 =
      switch reason {
      case .tooBig: min(max(mtu ?? packet.annotation, 1280), 65_535)
      case .badHeader, .unknownOption: packet.annotation
      case .protocolUnreachable: UInt32(truncatingIfNeeded: (packet.protocolField ?? offset) - offset)
      default: 0
      }
    let quoted = min(length, Self.longest6 - Self.headers6)
    packet.truncate(to: offset + quoted)
    guard packet.insert(Self.headers6, at: offset) else { return .drop(.noBuffer) }
    let message = Self.message6(reason)
    packet.icmpHeaderToWrite(at: offset + 40)?.set(type: message.type, code: message.code, rest: rest)
    let pseudo = Checksum.pseudoHeader(
      source: source, destination: original.source, protocol: .icmpv6, length: UInt32(quoted + 8))
    let checksum = Checksum.complement(pseudo &+ packet.sum(in: offset + 40..<packet.length))
    packet.icmpHeaderToWrite(at: offset + 40)?.setChecksum(checksum)
    packet.ipv6HeaderToWrite(at: offset)?.set(
      payloadLength: UInt16(quoted + 8), nextHeader: .icmpv6, hopLimit: 255, source: source,
      destination: original.source)
    if packet.isLinkMulticast {
      // A group is no place to send from; whoever routes the error sets the address.
      packet.mutableEthernet?.setDestination(MACAddress(rawValue: 0))
    }
    packet.mutableEthernet?.swapAddresses()
    return .forward(.errors)
  }

  private static func message6(_ reason: Input) -> (type: UInt8, code: UInt8) {
    switch reason {
    case .expired: (3, 0)
    case .reassembly: (3, 1)
    case .noRoute: (1, 0)
    case .prohibited: (1, 1)
    case .beyondScope: (1, 2)
    case .hostUnreachable: (1, 3)
    case .portUnreachable: (1, 4)
    case .sourceRefused: (1, 5)
    case .tooBig: (2, 0)
    case .badHeader: (4, 0)
    case .protocolUnreachable: (4, 1)
    case .unknownOption: (4, 2)
    }
  }

  /// Whether the unknown option's type, to which the annotation points, wants an answer to multicasts, too: its highest
  /// bits are 10 (RFC 8200, 4.2).
  private static func isAnsweredAlways(_ packet: borrowing Packet, at offset: Int) -> Bool {
    guard let type = packet.byte(at: offset + Int(packet.annotation)) else { return false }
    return type >> 6 == 2
  }
}
