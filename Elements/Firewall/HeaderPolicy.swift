import Configuration
import Dataplane
import Wire

/// An IPv4 option: a name or its number, copied flag and class included (RFC 791, 3.1).
struct IPOption: TextSetting, Hashable {
  let number: UInt8

  private static let names: [(name: String, number: UInt8)] = [
    ("record-route", 7), ("quick-start", 25), ("timestamp", 68), ("security", 130), ("lsrr", 131),
    ("extended-security", 133), ("cipso", 134), ("stream-id", 136), ("ssrr", 137), ("router-alert", 148),
  ]

  static var schema: ValueSchema {
    ValueSchema("IPv4 option", example: "router-alert", jsonSchema: #""type": ["string", "integer"]"#)
  }
  static var placeholder: IPOption { IPOption(number: 148) }
  var settingText: String { Self.names.first { $0.number == number }?.name ?? "\(number)" }

  init(number: UInt8) { self.number = number }

  init?(settingText text: String) {
    if let known = Self.names.first(where: { $0.name == text }) {
      number = known.number
    } else if let given = UInt8(text) {
      number = given
    } else {
      return nil
    }
  }
}

/// Which IPv4 options and IPv6 extension headers may pass (RFC 7126; RFC 9288).
struct HeaderPolicy: Sendable {
  /// A bit for each IPv4 option that passes.
  private let options: InlineArray<4, UInt64>
  /// A bit for each IPv6 extension header that passes.
  private let extensions: InlineArray<4, UInt64>
  /// A bit for each type of routing header that passes.
  private let routing: InlineArray<4, UInt64>

  init(_ settings: inout Settings) throws(ConfigurationError) {
    let options: [IPOption] = try settings.take(
      "ip_options", default: [130, 133, 134].map(IPOption.init),
      "IPv4 options that pass; packets with others are dropped (RFC 7126)")
    // Hop-by-hop options, routing, fragment, AH, destination options, mobility, HIP and Shim6.
    let extensions: [IPProtocol] = try settings.take(
      "extension_headers", default: [0, 43, 44, 51, 60, 135, 139, 140].map(IPProtocol.init),
      "IPv6 extension headers that pass; packets with others are dropped (RFC 9288, 3.4)")
    let routing: [UInt8] = try settings.take(
      "drop_routing_types", default: [0, 1, 3, 253, 254],
      "types of IPv6 routing headers that are dropped (RFC 9288, 3.4.2; RFC 5095)")
    // The end of options, and none.
    self.options = Self.set(options.map(\.number) + [0, 1])
    self.extensions = Self.set(extensions.map(\.rawValue))
    self.routing = Self.set((UInt8.min...UInt8.max).filter { !routing.contains($0) })
  }

  private static func set(_ numbers: [UInt8]) -> InlineArray<4, UInt64> {
    var bits = InlineArray<4, UInt64>(repeating: 0)
    for number in numbers { bits[Int(number >> 6)] |= 1 << UInt64(number & 63) }
    return bits
  }

  private static func has(_ set: InlineArray<4, UInt64>, _ number: UInt8) -> Bool {
    set[Int(number >> 6)] & 1 << UInt64(number & 63) != 0
  }

  /// Whether all options of an IPv4 packet pass, and are well formed.
  @inline(never)
  func allowsOptions(_ packet: borrowing Packet) -> Bool {
    guard let start = packet.networkHeaderOffset, let length = packet.ipv4?.headerLength else { return false }
    var offset = start + 20
    let end = start + length
    while offset < end, let option = packet.byte(at: offset), option != 0 {
      guard Self.has(options, option) else { return false }
      if option == 1 {
        offset += 1
        continue
      }
      guard offset + 1 < end, let size = packet.byte(at: offset + 1), size >= 2, offset + Int(size) <= end else {
        return false
      }
      offset += Int(size)
    }
    return true
  }

  /// Whether all extension headers of an IPv6 packet pass.
  @inline(never)
  func allowsExtensions(_ packet: borrowing Packet) -> Bool {
    guard let start = packet.networkHeaderOffset, var next = packet.ipv6?.nextHeader.rawValue else { return false }
    var offset = start + 40
    var isFirst = true
    while IPProtocol(rawValue: next).isIPv6Extension {
      guard Self.has(extensions, next), let following = packet.byte(at: offset),
        let length = packet.byte(at: offset + 1), next != 0 || isFirst
      else { return false }
      if next == 43 {
        guard let type = packet.byte(at: offset + 2), Self.has(routing, type) else { return false }
      }
      isFirst = false
      if next == 44 {
        // Behind a fragment header that is not the first fragment's there are no more headers.
        guard let high = packet.byte(at: offset + 2), let low = packet.byte(at: offset + 3) else { return false }
        if high != 0 || low & 0xF8 != 0 { return true }
        offset += 8
      } else {
        offset += next == 51 ? (Int(length) + 2) * 4 : (Int(length) + 1) * 8
      }
      next = following
    }
    // Headers for experiments (RFC 3692; RFC 9288, 3.4.9) look like a protocol that nobody knows.
    return next < 253 || Self.has(extensions, next)
  }
}
