public import Configuration
public import Dataplane
import Wire

/// Sets the MAC addresses of every frame.
///
///     hop: { EtherRewrite: { source: 02:00:00:00:00:01, destination: 02:00:00:00:00:02 } }
///     - route.wan -> hop -> wan
public struct EtherRewrite: PacketElement {
  public static let about = ElementDescription(
    "Sets the source and destination MAC address.",
    example: """
      elements:
        hop: { EtherRewrite: { source: 02:00:00:00:00:01, destination: 02:00:00:00:00:02 } }
      graph:
        - lan -> hop -> wan
      """)

  private let source: MACAddress
  private let destination: MACAddress
  private let setsSource: Bool
  private let setsDestination: Bool

  public init(_ settings: inout Settings) throws(ConfigurationError) {
    let source: MACAddress? = try settings.takeIfPresent("source", "new source address")
    let destination: MACAddress? = try settings.takeIfPresent("destination", "new destination address")
    if source == nil && destination == nil {
      settings.reject(nil, "neither 'source' nor 'destination' is given", remedy: "give the address to set")
    }
    if let source, source.isMulticast {
      settings.reject(
        settings.range(of: "source"), "\(source) is a group and cannot send", remedy: "give a unicast address")
    }
    self.source = source ?? .zero
    self.destination = destination ?? .zero
    setsSource = source != nil
    setsDestination = destination != nil
  }

  @inline(__always)
  public mutating func process(_ packet: inout Packet) -> Verdict<SoleOutput> {
    if let ethernet = packet.mutableEthernet {
      if setsDestination && setsSource {
        ethernet.setAddresses(destination: destination, source: source)
      } else if setsDestination {
        ethernet.setDestination(destination)
      } else {
        ethernet.setSource(source)
      }
      return .forward(.output)
    }
    return .drop(packet.ethernet == nil ? .malformed : .noBuffer)
  }
}
