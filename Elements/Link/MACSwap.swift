public import Configuration
public import Dataplane
import Wire

/// Exchanges source and destination MAC address, so that a frame goes back to its sender.
///
///     - lan -> MACSwap -> lan
public struct MACSwap: PacketElement {
  public static let about = ElementDescription(
    "Exchanges source and destination MAC address.",
    example: """
      graph:
        - lan -> MACSwap -> lan
      """)

  public init(_ settings: inout Settings) throws(ConfigurationError) {}

  public mutating func process(_ packet: inout Packet) -> Verdict<SoleOutput> {
    guard packet.ethernet != nil else { return .drop(.malformed) }
    guard let ethernet = packet.mutableEthernet else { return .drop(.noBuffer) }
    ethernet.swapAddresses()
    return .forward(.output)
  }
}
