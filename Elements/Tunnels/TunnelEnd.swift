import Configuration
public import Dataplane
import Tables
import Wire

/// What decapsulation takes off.
struct TunnelEnd: Sendable {
  let kind: TunnelKind
  /// Addresses of this end; any when there are none.
  let own: FlatArray<IPv6Address>
  /// Where packets may come from; anywhere when there are none.
  let sources: FlatArray<IPv6Prefix>

  /// Takes the settings of an element that ends a tunnel.
  init(_ kind: TunnelKind, _ settings: inout Settings) throws(ConfigurationError) {
    self.kind = kind
    let own: [IPAddress] = try settings.take("addresses", "this end's addresses: packets to others pass by")
    let sources: [IPPrefix] = try settings.take("sources", "where packets may come from")
    if own.isEmpty {
      settings.reject(settings.range(of: "addresses"), "there are no addresses", remedy: "give this end's address")
    }
    if sources.isEmpty {
      settings.reject(
        settings.range(of: "sources"), "packets may come from nowhere", remedy: "give the other ends' addresses")
    }
    self.own = FlatArray(own.map(\.wide))
    self.sources = FlatArray(sources.map(\.wide))
  }

  /// What becomes of a packet at a tunnel's end.
  enum Outcome {
    /// It is what was inside.
    case done
    /// It is not for this end, or not of this tunnel, and as it was.
    case other
    case drop(DropReason)
  }

  /// Takes the outer headers off.
  func decapsulate(_ packet: inout Packet) -> Outcome {
    guard let network = packet.networkHeaderOffset, let length = packet.networkLength else { return .drop(.malformed) }
    guard let header = OuterHeader(packet, at: network) else { return .drop(.malformed) }
    let isTunnel = kind == .gre ? header.number == .gre : header.number == .ipv4 || header.number == .ipv6
    guard isTunnel, own.contains(header.destination) else { return .other }
    // What was cut on the way is put together first (RFC 2003, 5.4).
    if packet.isFragment { return .drop(TunnelDrop.fragment.reason) }
    guard isKnown(header.source) else { return .drop(TunnelDrop.wrongSource.reason) }
    var inner = network + header.length
    let end = network + length
    var isIPv4 = header.number == .ipv4
    if kind == .gre {
      switch GREHeader(packet, at: inner, end: end) {
      case .packet(let offset, let inside):
        inner = offset
        isIPv4 = inside == .ipv4
        guard inside == .ipv4 || inside == .ipv6 else { return .drop(.unsupported) }
      case .refused(let reason): return .drop(reason.reason)
      case .short: return .drop(.malformed)
      }
    }
    guard inner < end, let first = packet.byte(at: inner), first >> 4 == (isIPv4 ? 4 : 6) else {
      return .drop(.malformed)
    }
    let outerECN = header.trafficClass & 3
    packet.truncate(to: end)
    guard packet.remove(inner - network, at: network) else { return .drop(.noBuffer) }
    var bytes = packet.mutableBytes
    guard bytes.byteCount >= network else { return .drop(.noBuffer) }
    bytes.storeBytes(
      of: (isIPv4 ? EtherType.ipv4 : EtherType.ipv6).rawValue.bigEndian, toByteOffset: network - 2, as: UInt16.self)
    return combine(&packet, outerECN)
  }

  private func combine(_ packet: inout Packet, _ outer: UInt8) -> Outcome {
    if let ip = packet.mutableIPv4 {
      guard let ecn = TunnelECN.decapsulated(inner: ip.ecn, outer: outer) else {
        return .drop(TunnelDrop.congested.reason)
      }
      if ecn != ip.ecn { ip.setTrafficClass(ip.trafficClass & 0xFC | ecn) }
      return .done
    }
    guard let ip = packet.mutableIPv6 else { return .drop(.malformed) }
    guard let ecn = TunnelECN.decapsulated(inner: ip.ecn, outer: outer) else {
      return .drop(TunnelDrop.congested.reason)
    }
    if ecn != ip.ecn { ip.setTrafficClass(ip.trafficClass & 0xFC | ecn) }
    return .done
  }

  private func isKnown(_ address: IPv6Address) -> Bool {
    for index in 0..<sources.count where sources[index].contains(address) { return true }
    return false
  }
}

/// Why packets are dropped at a tunnel's end.
public enum TunnelDrop: UInt8, ElementDropReason {
  /// The outer packet is a fragment; ReassembleIP in front puts it together.
  case fragment
  /// The outer source is none of those that packets may come from.
  case wrongSource
  /// The outer header says that congestion was met, and the sender of the inner one would not understand (RFC 6040).
  case congested
  /// GRE of another version, or with fields that RFC 2784 has no more.
  case unsupportedGRE
  /// GRE's checksum is wrong.
  case wrongChecksum
}

/// What is needed of an outer IP header.
private struct OuterHeader {
  let source, destination: IPv6Address
  let number: IPProtocol
  let trafficClass: UInt8
  /// With options and extension headers, in bytes.
  let length: Int

  init?(_ packet: borrowing Packet, at network: Int) {
    if let ip = packet.ipv4 {
      source = IPv6Address(mapped: ip.source)
      destination = IPv6Address(mapped: ip.destination)
      number = ip.protocolNumber
      trafficClass = ip.trafficClass
      length = ip.headerLength
      return
    }
    guard let ip = packet.ipv6, let last = packet.protocolField, let found = packet.transportProtocol else {
      return nil
    }
    source = ip.source
    destination = ip.destination
    trafficClass = ip.trafficClass
    number = found
    if last == network + 6 {
      length = IPv6Header<ReadOnly>.length
    } else {
      // The byte that names the protocol begins the last extension header; options, as RFC 2473 has them, or such.
      guard let units = packet.byte(at: last + 1) else { return nil }
      length = last - network + (Int(units) + 1) * 8
    }
  }
}

/// What stands in a GRE header (RFC 2784).
private enum GREHeader {
  /// What is inside, and where it begins.
  case packet(Int, EtherType)
  case refused(TunnelDrop)
  case short

  init(_ packet: borrowing Packet, at offset: Int, end: Int) {
    guard offset + 4 <= end, let first = packet.byte(at: offset), let second = packet.byte(at: offset + 1),
      let high = packet.byte(at: offset + 2), let low = packet.byte(at: offset + 3)
    else {
      self = .short
      return
    }
    // Bits 1 to 5 and the version are zero (RFC 2784, 2.3 and 2.5.1); bits 6 to 12 are ignored.
    guard first & 0x7C == 0, second & 7 == 0 else {
      self = .refused(.unsupportedGRE)
      return
    }
    var inner = offset + 4
    if first & 0x80 != 0 {
      inner += 4
      guard inner <= end else {
        self = .short
        return
      }
      guard Checksum.isValid(packet.sum(in: offset..<end)) else {
        self = .refused(.wrongChecksum)
        return
      }
    }
    self = .packet(inner, EtherType(rawValue: UInt16(high) << 8 | UInt16(low)))
  }
}

extension IPPrefix {
  /// An IPv4 prefix as one of mapped addresses.
  var wide: IPv6Prefix {
    switch self {
    case .v4(let prefix):
      IPv6Prefix(masking: IPv6Address(mapped: prefix.address), length: Int(prefix.length) + 96)
    case .v6(let prefix): prefix
    }
  }
}
