/// A neighbour solicitation or advertisement (RFC 4861, 4.3 and 4.4), read and found valid (7.1).
public struct NeighbourDiscovery: Hashable, Sendable {
  /// What is wrong with a message.
  public enum Flaw: Error, Hashable, Sendable {
    /// It is neither a solicitation nor an advertisement, or it is cut short.
    case notWhole
    /// It has a fragment header (RFC 6980, 5).
    case fragmented
    /// It has passed a router: its hop limit is not 255.
    case hopLimit
    /// Its checksum is wrong.
    case checksum
    /// Its code is not 0.
    case code
    /// Its target is a multicast address.
    case target
    /// An option is empty, longer than the message, or no Ethernet address of a station.
    case option
    /// It solicits from the unspecified address, but not a solicited-node group, or with a link-layer address.
    case unspecifiedSource
    /// It advertises to a group and says to be solicited.
    case solicitedGroup
  }

  /// Whether this advertises; otherwise it solicits.
  public let isAdvertisement: Bool
  /// The IP source address.
  public let source: IPv6Address
  /// The IP destination address.
  public let destination: IPv6Address
  /// The address it is about.
  public let target: IPv6Address
  /// Whether the advertiser is a router.
  public let isRouter: Bool
  /// Whether it advertises in answer to a solicitation.
  public let isSolicited: Bool
  /// Whether it advertises an address that replaces another.
  public let overrides: Bool
  /// The source's address of a solicitation, the target's of an advertisement.
  public let mac: MACAddress?

  /// Reads a message.
  /// - Parameter packet: The IPv6 packet from its header on to its end.
  public init(packet: RawSpan) throws(Flaw) {
    let reader = Reader(bytes: packet)
    guard packet.byteCount >= 40, packet.byteCount == 40 + Int(reader.word16(4)) else { throw .notWhole }
    source = reader.ipv6(8)
    destination = reader.ipv6(24)
    let start = try reader.messageStart()
    let length = packet.byteCount - start
    guard length >= 24 else { throw .notWhole }
    guard reader.byte(start) == 135 || reader.byte(start) == 136 else { throw .notWhole }
    isAdvertisement = reader.byte(start) == 136
    guard reader.byte(7) == 255 else { throw .hopLimit }
    guard reader.byte(start + 1) == 0 else { throw .code }
    let pseudoHeader = Checksum.pseudoHeader(
      source: source, destination: destination, protocol: .icmpv6, length: UInt32(length))
    guard Checksum.isValid(pseudoHeader &+ Checksum.sum(packet.extracting(start..<packet.byteCount))) else {
      throw .checksum
    }
    target = reader.ipv6(start + 8)
    guard !target.isMulticast else { throw .target }
    let flags = isAdvertisement ? reader.byte(start + 4) : 0
    isRouter = flags & 0x80 != 0
    isSolicited = flags & 0x40 != 0
    overrides = flags & 0x20 != 0
    mac = try reader.linkAddress(type: isAdvertisement ? 2 : 1, from: start + 24)
    if isAdvertisement {
      guard !isSolicited || !destination.isMulticast else { throw .solicitedGroup }
    } else if source.isUnspecified {
      guard destination == target.solicitedNode, mac == nil else { throw .unspecifiedSource }
    }
  }

  /// Bytes at offsets that were found to be there.
  private struct Reader: ~Escapable {
    let bytes: RawSpan

    @_lifetime(copy bytes)
    init(bytes: RawSpan) { self.bytes = bytes }

    func byte(_ offset: Int) -> UInt8 { unsafe bytes.unsafeLoad(fromByteOffset: offset, as: UInt8.self) }

    func word16(_ offset: Int) -> UInt16 {
      unsafe UInt16(bigEndian: bytes.unsafeLoadUnaligned(fromByteOffset: offset, as: UInt16.self))
    }

    func ipv6(_ offset: Int) -> IPv6Address {
      unsafe IPv6Address(
        high: UInt64(bigEndian: bytes.unsafeLoadUnaligned(fromByteOffset: offset, as: UInt64.self)),
        low: UInt64(bigEndian: bytes.unsafeLoadUnaligned(fromByteOffset: offset + 8, as: UInt64.self)))
    }

    /// Where ICMPv6 starts behind extension headers.
    func messageStart() throws(Flaw) -> Int {
      var next = byte(6)
      var offset = 40
      while next != 58 {
        guard next != 44 else { throw .fragmented }
        guard [0, 43, 51, 60, 135, 139, 140].contains(next), offset + 8 <= bytes.byteCount else { throw .notWhole }
        let units = Int(byte(offset + 1))
        let size = next == 51 ? (units + 2) * 4 : (units + 1) * 8
        next = byte(offset)
        offset += size
      }
      guard offset <= bytes.byteCount else { throw .notWhole }
      return offset
    }

    /// The first option of a type; all of them are looked at (RFC 4861, 4.6).
    func linkAddress(type: UInt8, from start: Int) throws(Flaw) -> MACAddress? {
      var found: MACAddress?
      var offset = start
      while offset < bytes.byteCount {
        guard offset + 8 <= bytes.byteCount else { throw .option }
        let length = Int(byte(offset + 1)) * 8
        guard length > 0, offset + length <= bytes.byteCount else { throw .option }
        if byte(offset) == type, found == nil {
          let address = (2..<8).reduce(UInt64(0)) { $0 << 8 | UInt64(byte(offset + $1)) }
          let mac = MACAddress(rawValue: address)
          guard length == 8, !mac.isMulticast, !mac.isZero else { throw .option }
          found = mac
        }
        offset += length
      }
      return found
    }
  }
}
