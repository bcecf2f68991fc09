import Configuration
import Dataplane
import Wire

/// What stands between a tunnel's outer IP header and the packet inside.
enum TunnelKind: Sendable {
  /// Nothing: IP in IP (RFC 2003, RFC 2473, RFC 4213).
  case ipip
  /// Generic routing encapsulation, with neither checksum nor key (RFC 2784).
  case gre

  /// In bytes.
  var headerLength: Int { self == .gre ? 4 : 0 }
}

/// Which code point the outer header has (RFC 2983).
enum TunnelDSCP: Sendable, Equatable, TextSetting {
  /// The inner one's (the uniform model).
  case copy
  /// Always the same (the pipe model).
  case fixed(DSCP)

  static var schema: ValueSchema { ValueSchema("'copy' or a DSCP", example: "copy") }
  static var placeholder: TunnelDSCP { .copy }
  var settingText: String {
    switch self {
    case .copy: "copy"
    case .fixed(let dscp): dscp.description
    }
  }

  init?(settingText text: String) {
    if text == "copy" {
      self = .copy
    } else if let dscp = DSCP(text) {
      self = .fixed(dscp)
    } else {
      return nil
    }
  }
}

/// The two ends of a tunnel, as its outer header has them.
enum TunnelEnds: Sendable {
  case v4(source: IPv4Address, destination: IPv4Address)
  case v6(source: IPv6Address, destination: IPv6Address)

  /// Nil when the addresses are not of one version.
  init?(source: IPAddress, destination: IPAddress) {
    switch (source, destination) {
    case (.v4(let source), .v4(let destination)): self = .v4(source: source, destination: destination)
    case (.v6(let source), .v6(let destination)): self = .v6(source: source, destination: destination)
    default: return nil
    }
  }

  var isIPv6: Bool { if case .v6 = self { true } else { false } }
  /// Of the outer IP header, in bytes.
  var headerLength: Int { isIPv6 ? 40 : 20 }
}

/// What an encapsulation puts in front of packets: an IP header and, for GRE, four bytes more.
struct TunnelHeader: Sendable {
  let ends: TunnelEnds
  let kind: TunnelKind
  let dscp: TunnelDSCP
  /// The outer header's time-to-live or hop limit.
  let hopLimit: UInt8
  /// The longest packet that reaches the other end, outer header included, in bytes.
  let mtu: Int

  /// What becomes of a packet that is to be encapsulated.
  enum Outcome {
    /// It is.
    case done
    /// It is as it was: too long, and not to be fragmented. Its annotation is the MTU inside the tunnel.
    case tooBig
    /// It is as it was: too long, and it would have to be fragmented first.
    case tooLong
    /// No buffer was left, or no room in front of it.
    case noBuffer
    /// It is no IP packet.
    case malformed
  }

  /// What is put in front, in bytes.
  var length: Int { ends.headerLength + kind.headerLength }

  /// Encapsulates an IP packet behind its Ethernet header. The inner header stays as it is: who forwards the packet
  /// has lowered its time-to-live (RFC 2003, 3.1).
  /// - Parameters:
  ///   - identification: Of the outer IPv4 header, where that may be fragmented; to differ from packet to packet.
  ///   - entropy: Its lower 20 bits become the flow label of an outer IPv6 header (RFC 6438, 3); the same for all packets
  ///     of a flow.
  func encapsulate(_ packet: inout Packet, identification: UInt16, entropy: UInt32) -> Outcome {
    guard let network = packet.networkHeaderOffset, let inner = packet.networkLength else { return .malformed }
    let isIPv4 = packet.isIPv4
    let innerClass: UInt8
    var dontFragment = false
    if let ip = packet.ipv4 {
      innerClass = ip.trafficClass
      dontFragment = ip.dontFragment
    } else if let ip = packet.ipv6 {
      innerClass = ip.trafficClass
    } else {
      return .malformed
    }
    if inner > mtu - length {
      if isIPv4 {
        if dontFragment {
          packet.annotation = UInt32(max(mtu - length, 68))
          return .tooBig
        }
        // An outer IPv4 header leaves it to routers to fragment it.
        if ends.isIPv6 { return .tooLong }
      } else if inner > 1280 {
        packet.annotation = UInt32(max(mtu - length, 1280))
        return .tooBig
      } else if ends.isIPv6 {
        return .tooLong
      }
    }
    let total = inner + length
    guard total <= Int(UInt16.max) else { return .tooLong }
    guard packet.insert(length, at: network) else { return .noBuffer }
    var bytes = packet.mutableBytes
    guard bytes.byteCount >= network + length else { return .noBuffer }
    let innerType: UInt16 = isIPv4 ? 0x0800 : 0x86DD
    bytes.storeBytes(
      of: (ends.isIPv6 ? 0x86DD as UInt16 : 0x0800).bigEndian, toByteOffset: network - 2, as: UInt16.self)
    if kind == .gre {
      // No flags, version 0, then what is inside (RFC 2784, 2.1).
      bytes.storeBytes(of: UInt32(innerType).bigEndian, toByteOffset: network + ends.headerLength, as: UInt32.self)
    }
    let number: IPProtocol = kind == .gre ? .gre : isIPv4 ? .ipv4 : .ipv6
    let outerClass = outerTrafficClass(innerClass)
    switch ends {
    case .v4(let source, let destination):
      packet.ipv4HeaderToWrite(at: network)?.set(
        trafficClass: outerClass, totalLength: UInt16(total), identification: dontFragment ? 0 : identification,
        dontFragment: dontFragment, timeToLive: hopLimit, protocolNumber: number, source: source,
        destination: destination)
    case .v6(let source, let destination):
      packet.ipv6HeaderToWrite(at: network)?.set(
        trafficClass: outerClass, flowLabel: entropy & 0xF_FFFF, payloadLength: UInt16(total - 40), nextHeader: number,
        hopLimit: hopLimit, source: source, destination: destination)
    }
    return .done
  }

  /// The code point by the model asked for, and the inner header's ECN (RFC 6040, 4.1, normal mode).
  func outerTrafficClass(_ inner: UInt8) -> UInt8 {
    switch dscp {
    case .copy: inner
    case .fixed(let dscp): dscp.rawValue << 2 | inner & 3
    }
  }
}
