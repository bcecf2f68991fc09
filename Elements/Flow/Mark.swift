public import Configuration
public import Dataplane

/// Sets the mark that travels with a packet and its copies.
///
///     mark: { Mark: 7 }
///     - lan -> mark -> wan
public struct Mark: PacketElement {
  public static let about = ElementDescription(
    "Sets a packet's mark, for elements further on.",
    example: """
      elements:
        mark: { Mark: 7 }
      graph:
        - lan -> mark -> wan
      """)

  private let value: UInt32
  private let mask: UInt32

  public init(_ settings: inout Settings) throws(ConfigurationError) {
    let value: UInt32 = try settings.take("value", "the mark", shorthand: true)
    let mask = try settings.take("mask", default: UInt32.max, "bits of the mark to set; others stay")
    if value & ~mask != 0 {
      settings.reject(
        settings.range(of: "value"), "'value' has bits that 'mask' leaves out", remedy: "add them to the mask")
    }
    self.value = value & mask
    self.mask = mask
  }

  public mutating func process(_ packet: inout Packet) -> Verdict<SoleOutput> {
    packet.mark = packet.mark & ~mask | value
    return .forward(.output)
  }
}
