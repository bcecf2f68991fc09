public import Configuration
public import Dataplane
import Wire

/// Which protocol identifier a VLAN tag has.
enum TagType: String, SettingChoice {
  case customer = "802.1Q"
  case provider = "802.1ad"

  var etherType: EtherType { self == .customer ? .vlan : .qinq }
}

/// Puts a VLAN tag in front of any that a frame has (IEEE 802.1Q, 9.6).
///
///     tag: { VLANTag: 100 }
///     - lan -> tag -> trunk
public struct VLANTag: PacketElement {
  public static let about = ElementDescription(
    "Adds an outer VLAN tag, 802.1Q or 802.1ad.",
    example: """
      elements:
        tag: { VLANTag: { id: 100, priority: 3, type: 802.1ad } }
      graph:
        - lan -> tag -> trunk
      """)

  private let control: UInt16
  private let type: EtherType

  public init(_ settings: inout Settings) throws(ConfigurationError) {
    let id: Int = try settings.take("id", in: 0...4094, "VLAN identifier; 0 carries a priority only", shorthand: true)
    let priority = try settings.take("priority", default: 0, in: 0...7, "priority code point")
    let dropEligible = try settings.take("drop_eligible", default: false, "drop eligible indicator")
    type = try settings.take("type", default: TagType.customer, "802.1ad is the provider's outer tag").etherType
    control = UInt16(priority) << 13 | (dropEligible ? 0x1000 : 0) | UInt16(id)
  }

  public mutating func process(_ packet: inout Packet) -> Verdict<SoleOutput> {
    guard packet.ethernet != nil else { return .drop(.malformed) }
    return packet.pushTag(type, control: control) ? .forward(.output) : .drop(.noBuffer)
  }
}
