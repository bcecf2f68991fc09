import Configuration
import Tables
import Wire

/// Whether a switch knows VLANs, and by which tag.
enum SwitchTag: String, CaseIterable, SettingChoice, Sendable {
  /// It knows none: frames pass as they are, tags and all.
  case off
  /// A customer's bridge (IEEE 802.1Q): it looks at tags of 0x8100.
  case customer = "802.1Q"
  /// A provider's bridge (IEEE 802.1ad, QinQ): it looks at service tags of 0x88A8. A customer's tag behind is payload.
  case provider = "802.1ad"

  var etherType: EtherType? {
    switch self {
    case .off: nil
    case .customer: .vlan
    case .provider: .qinq
    }
  }
}

/// Which frames a port takes (IEEE 802.1Q, 6.9).
enum FrameTypes: String, CaseIterable, SettingChoice, Sendable {
  case all
  /// Those with a tag that names a VLAN.
  case tagged
  /// Those without a tag, or with one that carries a priority only.
  case untagged
}

/// VLANs from one to another, both included: "10" or "20-29".
struct VLANRange: TextSetting, Hashable {
  let first: UInt16
  let last: UInt16

  static var schema: ValueSchema {
    ValueSchema("VLAN or range of VLANs", example: "20-29", jsonSchema: #""type": ["string", "integer"]"#)
  }
  static var placeholder: VLANRange { VLANRange(settingText: "1")! }

  init?(settingText text: String) {
    let parts = text.split(separator: "-", maxSplits: 1, omittingEmptySubsequences: false)
    let ends = parts.compactMap { VLANIdentifier($0) }.filter(\.isAssignable)
    guard ends.count == parts.count, let first = ends.first, let last = ends.last, first <= last else { return nil }
    self.first = first.rawValue
    self.last = last.rawValue
  }

  var settingText: String { first == last ? "\(first)" : "\(first)-\(last)" }
}

/// The ports of one VLAN, a bit for each.
struct SwitchVLAN: BitwiseCopyable, Sendable {
  var members: UInt64 = 0
  /// Members that send its frames without a tag.
  var untagged: UInt64 = 0
}

/// What a port has to do with VLANs.
struct PortVLANs: Sendable {
  /// The VLAN of frames that come in without naming one.
  var pvid: UInt16?
  /// The priority of frames that come in without one.
  var priority: UInt16 = 0
  var tagged: [VLANRange] = []
  var untagged: [VLANRange] = []
  var frameTypes = FrameTypes.all
  /// Whether frames of VLANs that the port is no member of are dropped as they come in.
  var filtersIngress = true

  private static let keys = ["pvid", "priority", "tagged", "untagged", "accept", "ingress_filter"]

  init(_ settings: inout Settings, tag: SwitchTag) throws(ConfigurationError) {
    let pvid: VLANIdentifier? = try settings.takeIfPresent(
      "pvid", "VLAN of frames that come in without one; 1 when neither this nor 'tagged' nor 'untagged' is given")
    priority = UInt16(
      try settings.take("priority", default: 0, in: 0...7, "priority of frames that come in without one"))
    let tagged: [VLANRange]? = try settings.takeIfPresent("tagged", "VLANs whose frames leave with a tag")
    let untagged: [VLANRange]? = try settings.takeIfPresent(
      "untagged", "VLANs whose frames leave without a tag; the PVID when left out")
    frameTypes = try settings.take(
      "accept", default: .all, "which frames come in: by whether they name a VLAN (IEEE 802.1Q, 6.9)")
    filtersIngress = try settings.take(
      "ingress_filter", default: true, "drop frames of VLANs that the port does not belong to as they come in")
    if tag == .off {
      for key in Self.keys where settings.has(key) {
        settings.reject(
          settings.range(of: key), "'\(key)' is of VLANs, and the switch has none",
          remedy: "write 'vlans: 802.1Q' (or 802.1ad) above 'ports'")
      }
      return
    }
    if let pvid, !pvid.isAssignable {
      settings.reject(settings.range(of: "pvid"), "\(pvid) is no VLAN's number", remedy: "give 1 to 4094")
    }
    self.pvid = pvid?.rawValue ?? (tagged == nil && untagged == nil ? 1 : nil)
    self.tagged = tagged ?? []
    self.untagged = untagged ?? self.pvid.flatMap { VLANRange(settingText: "\($0)") }.map { [$0] } ?? []
    check(&settings)
  }

  private func check(_ settings: inout Settings) {
    for range in tagged {
      if let other = untagged.first(where: { $0.first <= range.last && range.first <= $0.last }) {
        settings.reject(
          settings.range(of: settings.has("tagged") ? "tagged" : "untagged"),
          "VLAN \(max(range.first, other.first)) is to leave both with a tag and without",
          remedy: settings.has("untagged") ? "name it under one of them" : "take it out, or give another 'pvid'")
        break
      }
    }
    if let pvid, filtersIngress, !(tagged + untagged).contains(where: { $0.first <= pvid && pvid <= $0.last }) {
      settings.warn(
        settings.range(of: "pvid"), "the port is no member of VLAN \(pvid): frames without a tag are dropped",
        remedy: "name it under 'untagged', or write 'accept: tagged'")
    }
    if frameTypes != .tagged, pvid == nil, settings.has("accept"), settings.has("tagged") {
      settings.warn(
        settings.range(of: "accept"), "frames without a tag are in no VLAN and are dropped", remedy: "give a 'pvid'")
    }
  }

  /// Puts the port among the members of its VLANs.
  func enter(_ vlans: inout [SwitchVLAN], port: Int) {
    for range in tagged + untagged {
      for vlan in range.first...range.last { vlans[Int(vlan)].members |= 1 << UInt64(port) }
    }
    for range in untagged {
      for vlan in range.first...range.last { vlans[Int(vlan)].untagged |= 1 << UInt64(port) }
    }
  }

  func has(_ vlan: UInt16) -> Bool { (tagged + untagged).contains { $0.first <= vlan && vlan <= $0.last } }
}
