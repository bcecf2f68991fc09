import Configuration
import Tables
import Wire

/// What a router's interface does about packets whose source is not where it should come from (RFC 3704).
enum ReversePath: String, CaseIterable, SettingChoice, Sendable {
  /// Nothing.
  case off
  /// They are dropped when no route leads to the source.
  case loose
  /// They are dropped when no route leads to the source by the interface that they came in by.
  case strict
}

/// An interface of a router, as its settings describe it.
struct RouterInterface: Sendable {
  let name: String
  /// From 0 on; below `limit`.
  let number: Int
  let mac: MACAddress
  let addresses: [InterfaceAddress]
  /// Longest IP packet in bytes.
  let mtu: Int
  let reversePath: ReversePath

  /// A router has at most so many: packets that wait carry the number in eight bits.
  static let limit = 64

  /// Its IPv4 networks.
  var networks: [IPv4Prefix] {
    addresses.compactMap { if case .v4(let prefix) = $0.prefix { prefix } else { nil } }
  }

  var linkLocal: [IPv6Address] {
    addresses.compactMap { if case .v6(let address) = $0.address, address.isLinkLocal { address } else { nil } }
  }

  /// Whether a neighbour with this address can be on its link.
  func reaches(_ address: IPAddress) -> Bool {
    if case .v6(let address) = address, address.isLinkLocal { return true }
    return addresses.contains { $0.prefix.contains(address) }
  }

  func has(_ address: IPAddress) -> Bool { addresses.contains { $0.address == address } }
}
