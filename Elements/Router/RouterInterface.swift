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

/// Who answers for a router's own addresses.
enum RouterHost: String, CaseIterable, SettingChoice, Sendable {
  /// The router: pings, errors and resets.
  case router
  /// The kernel, which sees the same packets: the router is silent.
  case kernel
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
  /// The number of its VRF.
  let vrf: Int
  /// What the kernel calls it, where its routes are followed.
  let kernelName: String
  /// Whether hosts on its link are told of a better first hop.
  let redirects: Bool

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

  /// What two interfaces of a router must not have in common: the setting, what is wrong, and what to do.
  struct Clash {
    var key: String
    var message: String
    var remedy: String
  }

  /// Why this interface cannot be one of the same router; nil when it can.
  func clash(with other: RouterInterface) -> Clash? {
    if mac == other.mac {
      return Clash(
        key: "mac", message: "\(mac) is the address of '\(other.name)', too", remedy: "give each interface its own")
    }
    // What is in another VRF is another network.
    guard vrf == other.vrf else { return nil }
    for address in addresses where !address.isLinkLocal {
      for there in other.addresses where !there.isLinkLocal {
        if address.address == there.address {
          return Clash(
            key: "addresses", message: "\(address.address) is an address of '\(other.name)', too",
            remedy: "give each interface its own")
        }
        if address.overlaps(there) {
          return Clash(
            key: "addresses", message: "\(address.prefix) overlaps with \(there.prefix) of '\(other.name)'",
            remedy: "a network is on one link only; correct the addresses or their prefix lengths")
        }
      }
    }
    return nil
  }

  func has(_ address: IPAddress) -> Bool { addresses.contains { $0.address == address } }
}

extension InterfaceAddress {
  var isLinkLocal: Bool { if case .v6(let address) = address { address.isLinkLocal } else { false } }

  /// Whether there are addresses that are on the links of both.
  func overlaps(_ other: InterfaceAddress) -> Bool {
    prefix.contains(other.address) || other.prefix.contains(address)
  }
}
