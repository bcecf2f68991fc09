public import Configuration
public import Dataplane
import Wire

/// Sets the MAC addresses of every frame.
///
///     hop: { EtherRewrite: { source: 02:00:00:00:00:01, destination: 02:00:00:00:00:02 } }
///     - route.wan -> hop -> wan
public struct EtherRewrite: Element {
  public static let about = ElementDescription(
    "Sets the source and destination MAC address.",
    example: """
      elements:
        hop: { EtherRewrite: { source: 02:00:00:00:00:01, destination: 02:00:00:00:00:02 } }
      graph:
        - lan -> hop -> wan
      """)

  private let source: MACAddress?
  private let destination: MACAddress?

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
    self.source = source
    self.destination = destination
  }

  public mutating func process(_ batch: inout PacketBatch<Self>, _ context: inout Context) {
    // What is written is settled once for all of them.
    switch (source, destination) {
    case (let source?, let destination?):
      let addresses = EthernetAddresses(destination: destination, source: source)
      batch.forEach { packet in
        guard let ethernet = packet.mutableEthernet else { return Self.refuse(packet) }
        ethernet.setAddresses(addresses)
        return .forward(.output)
      }
    case (let source?, nil):
      batch.forEach { packet in
        guard let ethernet = packet.mutableEthernet else { return Self.refuse(packet) }
        ethernet.setSource(source)
        return .forward(.output)
      }
    case (nil, let destination):
      batch.forEach { packet in
        guard let ethernet = packet.mutableEthernet else { return Self.refuse(packet) }
        if let destination { ethernet.setDestination(destination) }
        return .forward(.output)
      }
    }
  }

  private static func refuse(_ packet: borrowing Packet) -> Verdict<Output> {
    .drop(packet.ethernet == nil ? .malformed : .noBuffer)
  }
}
