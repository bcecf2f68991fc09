import Configuration
public import Dataplane
import Wire

/// Where packets leave that were to be put into a tunnel.
public enum TunnelOutput: UInt8, OutputPort {
  /// Packets with their outer header, to be routed.
  case tunnel
  /// Packets that are too long for the tunnel and must not be fragmented, as they came.
  case tooBig

  public var delivers: HeaderState? { .ip }
  public var about: String {
    self == .tunnel
      ? "packets with their outer header, to be routed"
      : "too long, and not to be fragmented; the annotation is the MTU, for ICMPError"
  }
}

/// Where packets leave at a tunnel's end.
public enum TunnelEndOutput: UInt8, OutputPort {
  /// What was inside.
  case inner
  /// Packets that are not for this end, as they came.
  case other

  public var delivers: HeaderState? { .ip }
  public var about: String { self == .inner ? "what was inside" : "packets that are not for this end, as they came" }
}

/// One worker's side of a tunnel's entry, as `IPIPEncap` and `GREEncap` are.
struct TunnelEntry {
  private let header: TunnelHeader
  private var identification: UInt16 = 0

  init(_ kind: TunnelKind, _ settings: inout Settings) throws(ConfigurationError) {
    let source: IPAddress = try settings.take("source", "this end's address")
    let destination: IPAddress = try settings.take("destination", "the other end's address")
    let ends = TunnelEnds(source: source, destination: destination)
    if ends == nil || destination.isMulticast || source.isMulticast {
      settings.reject(
        settings.range(of: "destination"), "\(source) and \(destination) are not the ends of one tunnel",
        remedy: "give two unicast addresses of one IP version")
    }
    header = TunnelHeader(
      ends: ends ?? .v4(source: .unspecified, destination: .unspecified), kind: kind,
      dscp: try settings.take("dscp", default: .copy, "DSCP of the outer header (RFC 2983)"),
      hopLimit: UInt8(try settings.take("ttl", default: 64, in: 1...255, "TTL or hop limit of the outer header")),
      mtu: try settings.take(
        "mtu", default: 1500, in: 1280...65_535, "longest packet to the other end, outer header included"))
    // IPv6 inside needs 1,280 bytes (RFC 8200, 5), and an outer IPv6 header is not fragmented.
    if header.ends.isIPv6, header.mtu < 1280 + header.length {
      settings.reject(
        settings.range(of: "mtu"), "an MTU of \(header.mtu) leaves less than 1280 bytes inside",
        remedy: "give at least \(1280 + header.length)")
    }
  }

  mutating func start(_ context: inout Context) { identification = UInt16(truncatingIfNeeded: context.random.next()) }

  @inline(__always)
  mutating func process(_ packet: inout Packet) -> Verdict<TunnelOutput> {
    identification &+= 1
    switch header.encapsulate(&packet, identification: identification, entropy: header.entropy(of: packet)) {
    case .done: return .forward(.tunnel)
    case .tooBig: return .forward(.tooBig)
    case .tooLong: return .drop(.tooLong)
    case .noBuffer: return .drop(.noBuffer)
    case .malformed: return .drop(.malformed)
    }
  }
}

extension TunnelHeader {
  /// What a flow's packets have in common, where the outer header has a place for it.
  func entropy(of packet: borrowing Packet) -> UInt32 { ends.isIPv6 ? packet.flowHash : 0 }
}
