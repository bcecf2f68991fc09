import Wire

/// Addresses for tests, from text.
enum Address {
  static func mac(_ text: String) -> [UInt8] {
    guard let address = MACAddress(text) else { preconditionFailure("'\(text)' is no MAC address") }
    return Array(address.rawValue.bytes.suffix(6))
  }

  static func ipv4(_ text: String) -> [UInt8] {
    guard let address = IPv4Address(text) else { preconditionFailure("'\(text)' is no IPv4 address") }
    return address.rawValue.bytes
  }

  static func ipv6(_ text: String) -> [UInt8] {
    guard let address = IPv6Address(text) else { preconditionFailure("'\(text)' is no IPv6 address") }
    return address.high.bytes + address.low.bytes
  }
}
