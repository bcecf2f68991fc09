import Wire

/// An ICMP or ICMPv6 error's first eight bytes without the checksum.
struct ICMPErrorFields: Equatable {
  var type: UInt8
  var code: UInt8
  /// The last four bytes in the host's byte order.
  var rest: UInt32
}

/// How ICMP and ICMPv6 messages correspond (RFC 7915, 4.2 and 5.2), and what the MTUs in them become.
struct ICMPTranslation {
  /// The longest packet that the next link takes, in bytes, on the IPv4 and the IPv6 side.
  let mtu4, mtu6: Int

  /// The ICMPv6 type of an ICMP echo message; nil for others, which have meaning on one link alone or none.
  static func echoToIPv6(_ type: UInt8) -> UInt8? {
    switch type {
    case 8: 128
    case 0: 129
    default: nil
    }
  }

  /// The ICMP type of an ICMPv6 echo message; nil for others.
  static func echoToIPv4(_ type: UInt8) -> UInt8? {
    switch type {
    case 128: 8
    case 129: 0
    default: nil
    }
  }

  // MARK: To IPv6

  /// The ICMPv6 error for an ICMP error; nil when it is to be dropped.
  /// - Parameter embeddedLength: The total length of the packet that the error is about, in bytes.
  func errorToIPv6(_ error: ICMPErrorFields, embeddedLength: Int) -> ICMPErrorFields? {
    switch (error.type, error.code) {
    case (3, 0), (3, 1), (3, 5), (3, 6), (3, 7), (3, 8), (3, 11), (3, 12):
      return ICMPErrorFields(type: 1, code: 0, rest: 0)
    case (3, 2): return ICMPErrorFields(type: 4, code: 1, rest: 6)
    case (3, 3): return ICMPErrorFields(type: 1, code: 4, rest: 0)
    case (3, 4):
      var told = Int(error.rest & 0xFFFF)
      if told == 0 { told = Self.plateau(below: embeddedLength) }
      let mtu = max(1280, min(told + 20, mtu6, mtu4 + 20))
      return ICMPErrorFields(type: 2, code: 0, rest: UInt32(mtu))
    case (3, 9), (3, 10), (3, 13), (3, 15): return ICMPErrorFields(type: 1, code: 1, rest: 0)
    case (11, let code) where code <= 1: return ICMPErrorFields(type: 3, code: code, rest: 0)
    case (12, 0), (12, 2):
      guard let pointer = Self.pointerToIPv6(error.rest >> 24) else { return nil }
      return ICMPErrorFields(type: 4, code: 0, rest: pointer)
    default: return nil
    }
  }

  /// The greatest plateau (RFC 1191, 7) that is below the length of the packet that did not fit.
  static func plateau(below length: Int) -> Int {
    for plateau in [65_535, 32_000, 17_914, 8166, 4352, 2002, 1492] where plateau < length { return plateau }
    // The next ones are below IPv6's least MTU, 1280, which this makes.
    return 1260
  }

  /// Figure 3.
  private static func pointerToIPv6(_ pointer: UInt32) -> UInt32? {
    switch pointer {
    case 0, 1: pointer
    case 2, 3: 4
    case 8: 7
    case 9: 6
    case 12...15: 8
    case 16...19: 24
    default: nil
    }
  }

  // MARK: To IPv4

  /// The ICMP error for an ICMPv6 error; nil when it is to be dropped.
  func errorToIPv4(_ error: ICMPErrorFields) -> ICMPErrorFields? {
    switch (error.type, error.code) {
    case (1, 0), (1, 2), (1, 3): return ICMPErrorFields(type: 3, code: 1, rest: 0)
    case (1, 1): return ICMPErrorFields(type: 3, code: 10, rest: 0)
    case (1, 4): return ICMPErrorFields(type: 3, code: 3, rest: 0)
    case (2, _):
      let mtu = max(min(Int(clamping: error.rest) - 20, mtu4, mtu6 - 20), 68)
      return ICMPErrorFields(type: 3, code: 4, rest: UInt32(clamping: min(mtu, 65_535)))
    case (3, let code) where code <= 1: return ICMPErrorFields(type: 11, code: code, rest: 0)
    case (4, 0):
      guard let pointer = Self.pointerToIPv4(error.rest) else { return nil }
      return ICMPErrorFields(type: 12, code: 0, rest: pointer << 24)
    case (4, 1): return ICMPErrorFields(type: 3, code: 2, rest: 0)
    default: return nil
    }
  }

  /// Figure 6.
  private static func pointerToIPv4(_ pointer: UInt32) -> UInt32? {
    switch pointer {
    case 0, 1: pointer
    case 4, 5: 2
    case 6: 9
    case 7: 8
    case 8...23: 12
    case 24...39: 16
    default: nil
    }
  }
}
