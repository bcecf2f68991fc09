import Wire

/// Why a frame whose EtherType says IP is no structurally sound IP packet.
public enum NetworkFault: Sendable {
  /// The frame ends within the IP header.
  case truncated
  /// The version is not that of the EtherType.
  case version
  /// The IPv4 header's length is below 20 bytes, or beyond the frame.
  case headerLength
  /// The packet's length is below its header's, or beyond the frame.
  case totalLength
  /// The IPv6 extension headers are cut short, or more than are followed.
  case extensionHeaders
}

extension Packet {
  /// What is wrong with the IP header; nil when nothing is, and for frames that do not say they are IP. It looks at the
  /// header again, and so is for packets that are known to be unsound.
  public var networkFault: NetworkFault? {
    guard !isIPv4, !isIPv6, let type = etherType, type == .ipv4 || type == .ipv6 else { return nil }
    let least = type == .ipv4 ? IPv4Header<ReadOnly>.minimumLength : IPv6Header<ReadOnly>.length
    let room = contiguousLength - networkOffset
    guard room >= 1 else { return .truncated }
    let header = unsafe start + networkOffset
    let first = unsafe header.load(as: UInt8.self)
    guard first >> 4 == (type == .ipv4 ? 4 : 6) else { return .version }
    guard room >= least else { return .truncated }
    guard type == .ipv4 else {
      let total =
        unsafe Int(UInt16(bigEndian: header.loadUnaligned(fromByteOffset: 4, as: UInt16.self)))
        + IPv6Header<ReadOnly>.length
      return total > Int(UInt16.max) || networkOffset + total > length ? .totalLength : .extensionHeaders
    }
    let headerLength = Int(first & 0x0F) * 4
    return headerLength < least || headerLength > room ? .headerLength : .totalLength
  }
}
