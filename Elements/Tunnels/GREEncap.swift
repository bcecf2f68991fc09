public import Configuration
public import Dataplane

/// Puts IPv4 and IPv6 packets into a tunnel: GRE (RFC 2784).
///
///     tunnel: { GREEncap: { source: 192.0.2.1, destination: 198.51.100.1 } }
///     - ttl -> tunnel -> route
///     - tunnel.tooBig -> errors.tooBig
///
/// Whoever forwards has lowered the inner time-to-live. What is too long for the tunnel and may be fragmented is left to
/// FragmentIP, behind it where the outer header is IPv4, in front where it is IPv6.
public struct GREEncap: PacketElement {
  public typealias Output = TunnelOutput

  public static let about = ElementDescription(
    "Puts packets into a tunnel: GRE (RFC 2784).",
    example: """
      elements:
        check: CheckIP
        ttl: DecTTL
        tunnel: { GREEncap: { source: 192.0.2.1, destination: 198.51.100.1 } }
        errors: { ICMPError: { source: 192.0.2.1 } }
      graph:
        - lan -> check -> ttl -> tunnel -> wan
        - check.other -> drop
        - ttl.expired -> drop
        - tunnel.tooBig -> errors[tooBig] -> lan
      """)
  public static let needs = HeaderState.ip

  private var entry: TunnelEntry

  public init(_ settings: inout Settings) throws(ConfigurationError) { entry = try TunnelEntry(.gre, &settings) }

  public mutating func start(_ context: inout Context) { entry.start(&context) }

  public mutating func process(_ packet: inout Packet) -> Verdict<TunnelOutput> { entry.process(&packet) }
}
