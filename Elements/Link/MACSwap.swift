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

  @inline(__always)
  public mutating func process(_ packet: inout Packet) -> Verdict<SoleOutput> {
    if let ethernet = packet.mutableEthernet {
      ethernet.swapAddresses()
      return .forward(.output)
    }
    return .drop(packet.ethernet == nil ? .malformed : .noBuffer)
  }
}
