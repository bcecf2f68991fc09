public import Configuration
public import Dataplane

/// Takes packets out of a tunnel: IP in IP (RFC 2003, RFC 2473, RFC 4213). The ECN fields of both headers are combined (RFC 6040).
///
///     end: { IPIPDecap: { addresses: 198.51.100.1, sources: 192.0.2.0/24 } }
///     - check -> end -> route
///     - end.other -> route
///
/// Outer packets in fragments are put together by ReassembleIP in front. The inner time-to-live is lowered by who routes.
public struct IPIPDecap: PacketElement {
  public typealias Output = TunnelEndOutput
  public typealias Drop = TunnelDrop

  public static let about = ElementDescription(
    "Takes packets out of a tunnel: IP in IP (RFC 2003, RFC 2473, RFC 4213).",
    example: """
      elements:
        check: CheckIP
        end: { IPIPDecap: { addresses: 198.51.100.1, sources: 192.0.2.0/24 } }
      graph:
        - wan -> check -> end -> lan
        - check.other -> drop
        - end.other -> drop
      """)
  public static let needs = HeaderState.ip

  private let end: TunnelEnd

  public init(_ settings: inout Settings) throws(ConfigurationError) { end = try TunnelEnd(.ipip, &settings) }

  public mutating func process(_ packet: inout Packet) -> Verdict<TunnelEndOutput> {
    switch end.decapsulate(&packet) {
    case .done: .forward(.inner)
    case .other: .forward(.other)
    case .drop(let reason): .drop(reason)
    }
  }
}
