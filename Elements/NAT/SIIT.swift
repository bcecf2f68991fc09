public import Configuration
public import Dataplane
import Tables
import Wire

/// Translates between IPv4 and IPv6, one address for one address, without state (RFC 7915).
///
///     siit: { SIIT: { prefix: 2001:db8:64::/96, mappings: { 192.0.2.10: 2001:db8::10 } } }
///     - lan6 -> siit.ipv6
///     - siit.ipv4 -> wan4
///     - wan4 -> siit.ipv4
///     - siit.ipv6 -> lan6
///
/// Addresses that 'mappings' has are exchanged for what stands there (RFC 7757); others are embedded in 'prefix', or taken
/// out of it (RFC 6052). MAC addresses stay: an element behind it sets those of the next hop.
public struct SIIT: Element {
  /// Where packets enter.
  public enum Input: UInt8, InputPort {
    case ipv6, ipv4

    public var needs: HeaderState { .ip }
    public var about: String { self == .ipv6 ? "IPv6 packets, to become IPv4" : "IPv4 packets, to become IPv6" }
  }

  /// Where packets leave.
  public enum Output: UInt8, OutputPort {
    /// What has become IPv6.
    case ipv6
    /// What has become IPv4.
    case ipv4
    /// Packets whose TTL or hop limit has run out, as they came.
    case expired
    /// Packets that do not fit the link behind, as they came, the MTU in their annotation.
    case tooBig
    /// IPv6 packets with a routing header that is not used up, as they came.
    case badHeader

    public var delivers: HeaderState? { .ip }
    public var about: String {
      switch self {
      case .ipv6: "packets that have become IPv6"
      case .ipv4: "packets that have become IPv4"
      case .expired: "packets whose TTL or hop limit has run out, for ICMPError"
      case .tooBig: "packets that do not fit the link behind; the annotation is the MTU, for ICMPError"
      case .badHeader: "IPv6 packets with segments left to go; the annotation says where, for ICMPError"
      }
    }
  }

  /// Why packets are dropped.
  public enum Drop: UInt8, ElementDropReason {
    /// An ICMP message that the other version has no counterpart of.
    case untranslatableICMP
    /// A fragment of an ICMP message.
    case fragmentedICMP
    /// A fragment of a UDP datagram without checksum.
    case noChecksum
    /// Extension headers behind an IPv6 fragment header.
    case extensionInFragment
    /// An IPv4 source route that is not used up.
    case sourceRoute
    /// An IPv6 address that stands for no IPv4 address.
    case noMapping
    /// An address that is not global, in the well-known prefix.
    case notGlobal
    /// An IPv4 packet at the IPv6 input, or the other way round.
    case otherVersion
  }

  public static let about = ElementDescription(
    "Translates between IPv4 and IPv6 without state.",
    example: """
      elements:
        check6: CheckIP
        check4: CheckIP
        siit: { SIIT: { prefix: 2001:db8:64::/96, mappings: { 192.0.2.10: 2001:db8::10 } } }
        errors6: { ICMPError: { source: [192.0.2.1, 2001:db8::1] } }
      graph:
        - lan -> check6 -> siit.ipv6
        - wan -> check4 -> siit.ipv4
        - siit.ipv4 -> wan
        - siit.ipv6 -> lan
        - siit.expired -> errors6[expired] -> lan
        - siit.tooBig -> errors6.tooBig
        - siit.badHeader -> errors6.badHeader
        - check6.other -> drop
        - check4.other -> drop
      """)

  private let common: TranslationSettings
  private var translator: IPTranslator
  private let mappings: ExplicitMappings

  public init(_ settings: inout Settings) throws(ConfigurationError) {
    common = try TranslationSettings(&settings)
    translator = common.translator
    mappings = try ExplicitMappings(&settings)
  }

  public mutating func start(_ context: inout Context) {
    translator.start(identification: UInt16(truncatingIfNeeded: context.random.next()))
  }

  public mutating func process(_ batch: inout PacketBatch<Self>, _ context: inout Context) {
    switch batch.input {
    case .ipv6: batch.forEach { packet in toIPv4(&packet) }
    case .ipv4: batch.forEach { packet, emitter in toIPv6(&packet, &emitter, &context) }
    }
  }

  // MARK: Addresses

  private enum Mapped<Address> {
    case address(Address)
    case drop(Drop)
  }

  private func map(_ address: IPv6Address) -> Mapped<IPv4Address> {
    if let found = mappings.v4(address) { return .address(found) }
    guard let found = common.prefix.extract(address) else { return .drop(.noMapping) }
    return common.forbids(found) ? .drop(.notGlobal) : .address(found)
  }

  private func map(_ address: IPv4Address) -> Mapped<IPv6Address> {
    if let found = mappings.v6(address) { return .address(found) }
    return common.forbids(address) ? .drop(.notGlobal) : .address(common.prefix.embed(address))
  }

  /// What the packet within an error gets; addresses that have no mapping there keep the error from going on.
  private func embeddedEnds(_ packet: borrowing Packet) -> IPv4Ends? {
    guard let embedded = packet.embedded, embedded.isIPv6,
      case .address(let source) = map(embedded.ipv6Source),
      case .address(let destination) = map(embedded.ipv6Destination)
    else { return nil }
    return IPv4Ends(source: source, destination: destination)
  }

  private func embeddedEnds(_ packet: borrowing Packet) -> IPv6Ends? {
    guard let embedded = packet.embedded, !embedded.isIPv6,
      case .address(let source) = map(embedded.ipv4Source),
      case .address(let destination) = map(embedded.ipv4Destination)
    else { return nil }
    return IPv6Ends(source: source, destination: destination)
  }

  // MARK: Packets

  private mutating func toIPv4(_ packet: inout Packet) -> Verdict<Output> {
    guard packet.isIPv6, let network = packet.networkHeaderOffset, let header = TranslatedIPv6(packet, at: network)
    else { return .drop(packet.isIPv4 ? Drop.otherVersion.reason : .malformed) }
    if common.lowersTTL, header.hopLimit <= 1 { return .forward(.expired) }
    if let place = header.segmentsLeftAt {
      packet.annotation = UInt32(truncatingIfNeeded: place)
      return .forward(.badHeader)
    }
    let ends: IPv4Ends
    switch (map(header.source), map(header.destination)) {
    case (.drop(let reason), _), (_, .drop(let reason)): return .drop(reason)
    case (.address(let source), .address(let destination)): ends = IPv4Ends(source: source, destination: destination)
    }
    if header.fragment == nil, IPTranslator.lengthInIPv4(header) > max(common.mtu4, 1260) {
      packet.annotation = UInt32(common.mtu4 + 20)
      return .forward(.tooBig)
    }
    let embedded: IPv4Ends? = packet.icmpKind == .error ? embeddedEnds(packet) : nil
    if let fault = translator.toIPv4(&packet, header, ends, embedded: embedded) { return Self.drop(fault) }
    if common.lowersTTL { packet.mutableIPv4?.decrementTimeToLive() }
    return .forward(.ipv4)
  }

  private mutating func toIPv6(
    _ packet: inout Packet, _ emitter: inout Emitter<Self>, _ context: inout Context
  ) -> Verdict<Output> {
    guard packet.isIPv4, let network = packet.networkHeaderOffset, let header = TranslatedIPv4(packet, at: network)
    else { return .drop(packet.isIPv6 ? Drop.otherVersion.reason : .malformed) }
    if common.lowersTTL, header.timeToLive <= 1 { return .forward(.expired) }
    let ends: IPv6Ends
    switch (map(header.source), map(header.destination)) {
    case (.drop(let reason), _), (_, .drop(let reason)): return .drop(reason)
    case (.address(let source), .address(let destination)): ends = IPv6Ends(source: source, destination: destination)
    }
    let length = IPTranslator.lengthInIPv6(header)
    if header.dontFragment, length > common.mtu6 {
      packet.annotation = UInt32(common.mtu6 - 20)
      return .forward(.tooBig)
    }
    let isCut = !header.dontFragment && length > common.lowestMTU6
    let embedded: IPv6Ends? = packet.icmpKind == .error ? embeddedEnds(packet) : nil
    if let fault = translator.toIPv6(&packet, header, ends, embedded: embedded, addsFragmentHeader: isCut) {
      return Self.drop(fault)
    }
    if common.lowersTTL { packet.mutableIPv6?.decrementHopLimit() }
    guard isCut else { return .forward(.ipv6) }
    let isDone = IPv6Fragments.cut(&packet, limit: common.lowestMTU6, &context) { piece, isWhole in
      if isWhole { emitter.emitBehind(piece, to: .ipv6) } else { emitter.drop(piece, .noBuffer) }
    }
    return isDone ? .forward(.ipv6) : .drop(.noBuffer)
  }

  private static func drop(_ fault: TranslationFault) -> Verdict<Output> {
    switch fault {
    case .malformed: .drop(.malformed)
    case .noBuffer: .drop(.noBuffer)
    case .untranslatableICMP: .drop(Drop.untranslatableICMP)
    case .fragmentedICMP: .drop(Drop.fragmentedICMP)
    case .noChecksum: .drop(Drop.noChecksum)
    case .extensionInFragment: .drop(Drop.extensionInFragment)
    case .sourceRoute: .drop(Drop.sourceRoute)
    }
  }
}

/// Addresses that are exchanged one for one (RFC 7757): few, looked through in order.
private struct ExplicitMappings {
  private let v4s: FlatArray<IPv4Address>
  private let v6s: FlatArray<IPv6Address>

  init(_ settings: inout Settings) throws(ConfigurationError) {
    var pairs: [(v4: IPv4Address, v6: IPv6Address)] = []
    let entries = try settings.takeMap(
      "mappings", of: IPv6Address.self, "IPv4 addresses, and the IPv6 addresses of the hosts they stand for")
    for entry in entries {
      do throws(ConfigurationError) {
        let v4 = try entry.nameValue(as: IPv4Address.self, context: settings.context)
        if pairs.contains(where: { $0.v4 == v4 }) {
          settings.reject(entry.nameNode.range, "\(v4) has a mapping already", remedy: "leave one of them")
        } else if pairs.contains(where: { $0.v6 == entry.value }) {
          settings.reject(entry.valueNode.range, "\(entry.value) has a mapping already", remedy: "leave one of them")
        } else {
          pairs.append((v4, entry.value))
        }
      } catch {
        settings.reject(error)
      }
    }
    v4s = FlatArray(pairs.map(\.v4))
    v6s = FlatArray(pairs.map(\.v6))
  }

  func v4(_ address: IPv6Address) -> IPv4Address? {
    for index in 0..<v6s.count where v6s[index] == address { return v4s[index] }
    return nil
  }

  func v6(_ address: IPv4Address) -> IPv6Address? {
    for index in 0..<v4s.count where v4s[index] == address { return v6s[index] }
    return nil
  }
}
