import Configuration
public import Dataplane
import Wire

/// A port of synthesised traffic as the configuration describes it.
public struct TrafficSpecification: PortSpecification {
  /// What the packets are like.
  public var profile: TrafficProfile
  /// Queues that flows are dealt out to.
  public var queues: Int?

  /// Traffic of this profile.
  public init(_ profile: TrafficProfile, queues: Int? = nil) {
    self.profile = profile
    self.queues = queues
  }

  public var summary: String {
    let lengths = profile.sizes.map { max($0, profile.headerLength) }
    let sizes = Set(lengths).count == 1 ? "\(lengths[0]) B" : "IMIX"
    return "traffic \(sizes), \(profile.flows) \(profile.flows == 1 ? "flow" : "flows")"
  }
  public var allowsSeveralQueues: Bool { true }
  /// What ends may be played in virtual time; what does not would never come to an end there.
  public var isTimed: Bool { profile.count != nil }
  public var isVirtual: Bool { true }

  /// Frame lengths without the frame check sequence, in the proportions 7 : 4 : 1.
  public static let imix = [60, 590, 60, 60, 590, 60, 1514, 60, 590, 60, 60, 590]

  private enum Transport: String, SettingChoice {
    case udp, tcp, icmp

    var number: UInt8 { self == .udp ? 17 : self == .tcp ? 6 : 1 }
  }

  static func read(_ settings: inout Settings) throws(ConfigurationError) -> any PortSpecification {
    var profile = TrafficProfile()
    let size: Int? = try settings.takeIfPresent(
      "size", "frame length in bytes without the FCS; the shortest there is when left out")
    if try settings.take("imix", default: false, "lengths 60, 590 and 1514 in the proportions 7 : 4 : 1") {
      profile.sizes = imix
    } else if let size {
      profile.sizes = [size]
    }
    profile.flows = try settings.take("flows", default: 1, in: 1...16_777_216, "flows, one packet each in turn")
    profile.transport = IPProtocol(
      rawValue: try settings.take("protocol", default: Transport.udp, "what IP carries").number)
    profile.version = try settings.take("version", default: 4, in: 4...6, "IP version, 4 or 6")
    if profile.version == 5 {
      settings.reject(settings.range(of: "version"), "5 is no IP version", remedy: "give 4 or 6")
      profile.version = 4
    }
    try readAddresses(&settings, &profile)
    profile.sourcePorts = try settings.take("source_port", default: profile.sourcePorts, "ports, or ICMP identifiers")
    profile.destinationPorts = try settings.take("destination_port", default: profile.destinationPorts, "ports")
    profile.sourceMAC = try settings.take("source_mac", default: profile.sourceMAC, "hardware address")
    profile.destinationMAC = try settings.take("destination_mac", default: profile.destinationMAC, "hardware address")
    profile.vlan = try settings.takeIfPresent("vlan", "identifier of an 802.1Q tag")
    profile.hasChecksum = try settings.take(
      "checksum", default: true, "compute UDP's checksum, which IPv4 may leave out")
    profile.count = try settings.takeIfPresent("count", "packets in all; without end when left out")
    profile.rate = try settings.takeIfPresent(
      "rate", as: RateSetting.self, "packets or bits a second; flat out when left out")?.rate
    if let size, !(max(profile.headerLength, 60)...9216).contains(size) {
      settings.reject(
        settings.range(of: "size"), "frames of \(size) bytes", remedy: "give \(max(profile.headerLength, 60)) to 9216")
      profile.sizes = [64]
    }
    return TrafficSpecification(profile, queues: try PortKind.takeQueues(&settings))
  }

  private static func readAddresses(_ settings: inout Settings, _ profile: inout TrafficProfile)
    throws(ConfigurationError)
  {
    if profile.version == 6 {
      let documentation = IPv6Address(high: 0x2001_0DB8_0000_0001, low: 0)
      profile.source = .v6(IPv6Prefix(masking: documentation, length: 96))
      profile.destination = .v6(IPv6Prefix(masking: IPv6Address(high: 0x2001_0DB8_0000_0002, low: 0), length: 96))
    }
    profile.source = try settings.take("source", default: profile.source, "prefix that sources are taken from")
    profile.destination = try settings.take(
      "destination", default: profile.destination, "prefix that destinations are taken from")
    for (key, prefix) in [("source", profile.source), ("destination", profile.destination)] {
      let version = if case .v4 = prefix { 4 } else { 6 }
      if version != profile.version {
        settings.reject(
          settings.range(of: key), "'\(key)' is IPv\(version), the traffic IPv\(profile.version)",
          remedy: "set 'version: \(version)'")
      }
    }
  }

  public func open(number: Int, queues: Int, pool: PacketPool) throws(EnvironmentError) -> any Port {
    try TrafficPort(profile, number: number, queues: queues, pool: pool)
  }
}

/// A rate in packets or bits a second.
struct RateSetting: TextSetting {
  let rate: TrafficProfile.Rate

  static var schema: ValueSchema { ValueSchema("packet rate or data rate", example: "1Mpps") }
  static var placeholder: RateSetting { RateSetting(rate: .packets(1)) }

  private init(rate: TrafficProfile.Rate) { self.rate = rate }

  init?(settingText text: String) {
    if let rate = PacketRate(text), rate.packetsPerSecond > 0 {
      self.rate = .packets(rate.packetsPerSecond)
    } else if let rate = DataRate(text), rate.bitsPerSecond > 0 {
      self.rate = .bits(rate.bitsPerSecond)
    } else {
      return nil
    }
  }
}
