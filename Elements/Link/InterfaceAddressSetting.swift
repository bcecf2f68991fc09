import Configuration
import Tables
import Wire

/// An interface's address with the length of its prefix, as `ip address` writes it.
struct InterfaceAddressSetting: TextSetting {
  let value: InterfaceAddress

  static var schema: ValueSchema { ValueSchema("address with prefix length", example: "192.0.2.1/24") }
  static var placeholder: InterfaceAddressSetting {
    InterfaceAddressSetting(value: InterfaceAddress(.v4(IPv4Address(192, 0, 2, 1)), prefixLength: 24))
  }

  private init(value: InterfaceAddress) { self.value = value }

  init?(settingText text: String) {
    guard let slash = text.lastIndex(of: "/"), let address = IPAddress(text[..<slash]) else { return nil }
    let width = if case .v4 = address { 32 } else { 128 }
    let digits = text[text.index(after: slash)...]
    guard digits.utf8.allSatisfy({ (0x30...0x39).contains($0) }), digits.count == 1 || digits.first != "0",
      let length = Int(digits), (1...width).contains(length)
    else { return nil }
    value = InterfaceAddress(address, prefixLength: length)
  }
}

extension InterfaceAddress {
  /// Why no interface can have this address; nil when one can.
  var flaw: String? {
    switch (address, prefix) {
    case (.v4(let address), .v4(let prefix)):
      if address.isMulticast || address.isReserved || address.isThisNetwork || address.isLoopback {
        return "\(address) is not the address of one station"
      }
      // A link of two has no broadcast address (RFC 3021).
      guard prefix.length < 31 else { return nil }
      if address == prefix.lastAddress { return "\(address) is the broadcast address of \(prefix)" }
      return address == prefix.address ? "\(address) is the address of the network \(prefix) itself" : nil
    case (.v6(let address), _):
      let isNone = address.isMulticast || address.isUnspecified || address.isLoopback || address.isIPv4Mapped
      return isNone ? "\(address) is not the address of one station" : nil
    default: return nil
    }
  }
}
