public import Configuration
public import Dataplane
import Wire

/// Exchanges IPv6 prefixes between an inside and an outside, one address for one address, without state (RFC 6296).
///
///     npt: { NPTv6: { inside: fd01:203:405::/48, outside: 2001:db8:1::/48 } }
///     - lan -> npt.inside
///     - npt.outside -> wan
///     - wan -> npt.outside
///     - npt.inside -> lan
///
/// No checksum changes. Packets within ICMPv6 errors are translated, too. A packet from the inside to an outside address
/// of the inside comes back (hairpinning). Addresses in payloads and in authentication headers are left alone.
public struct NPTv6: Element {
  /// Where packets enter.
  public enum Input: UInt8, InputPort {
    case inside, outside

    public var needs: HeaderState { .ip }
    public var about: String { self == .inside ? "IPv6 packets from the inside" : "IPv6 packets from the outside" }
  }

  /// Where packets leave.
  public enum Output: UInt8, OutputPort {
    /// To the inside.
    case inside
    /// To the outside.
    case outside
    /// Packets that have an address without a mapping, as they came.
    case unmapped
    /// Packets that have an address with a zero interface identifier, as they came.
    case badHeader

    public var delivers: HeaderState? { .ip }
    public var about: String {
      switch self {
      case .inside: "to the inside, destinations translated"
      case .outside: "to the outside, sources translated"
      case .unmapped: "packets that have an address without a mapping, for ICMPError's noRoute"
      case .badHeader: "packets to or from interface identifier zero; the annotation says where, for ICMPError"
      }
    }
  }

  /// Why packets are dropped.
  public enum Drop: UInt8, ElementDropReason {
    /// Not IPv6.
    case notIPv6
  }

  public static let about = ElementDescription(
    "Exchanges IPv6 prefixes between inside and outside, without state and without touching checksums.",
    example: """
      elements:
        check_lan: CheckIP
        check_wan: CheckIP
        npt: { NPTv6: { inside: fd01:203:405::/48, outside: 2001:db8:1::/48 } }
        errors: { ICMPError: { source: [2001:db8:2::1] } }
      graph:
        - lan -> check_lan -> npt.inside
        - wan -> check_wan -> npt.outside
        - npt.inside -> lan
        - npt.outside -> wan
        - npt.unmapped -> errors[noRoute] -> lan
        - npt.badHeader -> errors.badHeader
        - check_lan.other -> drop
        - check_wan.other -> drop
      """)

  private let translation: PrefixTranslation

  public init(_ settings: inout Settings) throws(ConfigurationError) {
    let inside: IPv6Prefix = try settings.take("inside", "prefix of addresses inside, at most 64 bits long")
    let outside: IPv6Prefix = try settings.take("outside", "prefix that stands for it outside, at most 64 bits long")
    for (key, prefix) in [("inside", inside), ("outside", outside)] { Self.check(prefix, key, &settings) }
    if inside.contains(outside) || outside.contains(inside) {
      settings.reject(
        settings.range(of: "outside"), "\(outside) overlaps with \(inside)", remedy: "give prefixes that share nothing")
    } else if inside.length != outside.length {
      let length = max(inside.length, outside.length)
      settings.warn(
        settings.range(of: inside.length < length ? "inside" : "outside"),
        "the prefixes differ in length: of \(inside.length < length ? inside : outside) only the first /\(length) is "
          + "translated", remedy: "give prefixes of one length to translate all addresses")
    }
    translation =
      PrefixTranslation(inside: inside, outside: outside)
      ?? PrefixTranslation(inside: IPv6Prefix(masking: .unspecified, length: 48), outside: .all)!
  }

  private static func check(_ prefix: IPv6Prefix, _ key: String, _ settings: inout Settings) {
    let range = settings.range(of: key)
    if prefix.length > 64 {
      settings.reject(
        range, "\(prefix) is longer than 64 bits", remedy: "give a prefix of up to 64 bits, such as a /48")
    } else if prefix.length == 0 {
      settings.reject(range, "\(prefix) is every address", remedy: "give the prefix of one site, such as a /48")
    } else if prefix.address.isMulticast || prefix.address.isLinkLocal {
      settings.reject(
        range, "\(prefix) is \(prefix.address.isMulticast ? "multicast" : "link-local")",
        remedy: "give a unicast prefix of global or local (fc00::/7) addresses")
    }
  }

  public mutating func process(_ batch: inout PacketBatch<Self>, _ context: inout Context) {
    let translation = translation
    switch batch.input {
    case .inside: batch.forEach { packet in Self.leave(&packet, translation) }
    case .outside: batch.forEach { packet in Self.enter(&packet, translation) }
    }
  }

  /// Bytes of an IPv6 header at which the addresses begin.
  private static var sourceOffset: UInt32 { 8 }
  private static var destinationOffset: UInt32 { 24 }

  @inline(__always)
  private static func leave(_ packet: inout Packet, _ translation: PrefixTranslation) -> Verdict<Output> {
    guard let source = packet.ipv6?.source, let destination = packet.ipv6?.destination else {
      return .drop(packet.isIPv4 ? Drop.notIPv6.reason : .malformed)
    }
    let newSource: IPv6Address
    switch translation.outward(source) {
    case .address(let address): newSource = address
    case let other: return refuse(&packet, other, at: sourceOffset)
    }
    var newDestination: IPv6Address?
    switch translation.inward(destination) {
    case .address(let address): newDestination = address
    case .elsewhere: break
    case let other: return refuse(&packet, other, at: destinationOffset)
    }
    guard packet.makeWritable() else { return .drop(.noBuffer) }
    if let ip = packet.mutableIPv6 {
      ip.setSource(newSource)
      if let newDestination { ip.setDestination(newDestination) }
    }
    guard translateEmbedded(&packet, translation, isLeaving: true, isEntering: newDestination != nil) else {
      return .drop(.noBuffer)
    }
    return .forward(newDestination == nil ? .outside : .inside)
  }

  @inline(__always)
  private static func enter(_ packet: inout Packet, _ translation: PrefixTranslation) -> Verdict<Output> {
    guard let destination = packet.ipv6?.destination else {
      return .drop(packet.isIPv4 ? Drop.notIPv6.reason : .malformed)
    }
    let newDestination: IPv6Address
    switch translation.inward(destination) {
    case .address(let address): newDestination = address
    case let other: return refuse(&packet, other, at: destinationOffset)
    }
    guard packet.makeWritable() else { return .drop(.noBuffer) }
    if let ip = packet.mutableIPv6 { ip.setDestination(newDestination) }
    guard translateEmbedded(&packet, translation, isLeaving: false, isEntering: true) else { return .drop(.noBuffer) }
    return .forward(.inside)
  }

  private static func refuse(
    _ packet: inout Packet, _ mapping: PrefixTranslation.Mapping, at offset: UInt32
  ) -> Verdict<Output> {
    guard mapping == .zeroIdentifier else { return .forward(.unmapped) }
    packet.annotation = offset
    return .forward(.badHeader)
  }

  // MARK: ICMPv6 errors

  /// Translates the packet within an ICMPv6 error as it would have gone the other way. The error's checksum stays right,
  /// since the sum of a translated address is what it was. False when no buffer is left.
  private static func translateEmbedded(
    _ packet: inout Packet, _ translation: PrefixTranslation, isLeaving: Bool, isEntering: Bool
  ) -> Bool {
    // RFC 4443, 2.1: types below 128 are errors.
    guard let type = packet.icmp?.type, type < 128, let icmp = packet.transportHeaderOffset else { return true }
    let embedded = icmp + 8
    guard let version = packet.byte(at: embedded), version >> 4 == 6, packet.byte(at: embedded + 39) != nil else {
      return true
    }
    guard let ip = packet.ipv6HeaderToWrite(at: embedded) else { return false }
    if isLeaving, case .address(let address) = translation.outward(ip.destination) { ip.setDestination(address) }
    if isEntering, case .address(let address) = translation.inward(ip.source) { ip.setSource(address) }
    return true
  }
}
