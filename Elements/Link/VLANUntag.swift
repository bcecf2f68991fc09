public import Configuration
public import Dataplane
import Wire

/// Takes the outermost VLAN tag away.
///
///     untag: { VLANUntag: 100 }
///     - trunk -> untag -> lan
///     - untag.other -> drop
public struct VLANUntag: PacketElement {
  /// Where packets leave.
  public enum Output: UInt8, OutputPort {
    /// Frames whose tag was taken away.
    case untagged
    /// Frames without a tag, or with another one.
    case other

    public var about: String {
      self == .untagged ? "frames whose tag was taken away" : "frames without the tag, as they came"
    }
  }

  public static let about = ElementDescription(
    "Removes the outermost VLAN tag.",
    example: """
      elements:
        untag: { VLANUntag: { id: 100 } }
      graph:
        - trunk -> untag -> lan
        - untag.other -> drop
      """)

  private let id: UInt16?

  public init(_ settings: inout Settings) throws(ConfigurationError) {
    let id: VLANIdentifier? = try settings.takeIfPresent(
      "id", "remove this tag only; any when left out", shorthand: true)
    self.id = id?.rawValue
  }

  public mutating func process(_ packet: inout Packet) -> Verdict<Output> {
    guard let tagged = packet.vlanTag?.identifier, tagged == id ?? tagged else { return .forward(.other) }
    return packet.popTag() ? .forward(.untagged) : .drop(.noBuffer)
  }
}
