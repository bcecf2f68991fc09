/// The bytes of a packet for a test, written layer by layer from the outside in.
///
///     let query = Frame.ethernet().vlan(7).ipv4(from: "10.0.0.1", to: "192.0.2.53").udp(from: 4000, to: 53)
///       .payload(count: 30)
///
/// Lengths, next-protocol fields and checksums come out right unless a layer is told otherwise, whatever is put inside
/// later. The bytes are built here, without the library's own header views, so that a test of those compares two
/// implementations. Addresses are given as text, and a text that is none ends the test run.
///
/// Frames are values: each call gives a new one, and a common beginning can be shared.
public struct Frame: Sendable, Hashable, CustomStringConvertible {
  /// What a checksum field holds.
  public enum ChecksumField: Sendable, Hashable {
    /// The right checksum.
    case right
    /// The right checksum with one bit flipped.
    case wrong
    /// This value.
    case value(UInt16)
  }

  enum Kind: Hashable {
    case ethernet, ipv4, ipv6, fragment, arp, tcp, udp, icmp, icmpv6, data, padding
    /// A VLAN tag with its protocol identifier, which stands in the type field of the layer outside.
    case vlan(UInt16)
    /// An IPv6 extension header with its protocol number.
    case ipv6Extension(UInt8)
  }

  struct Layer: Hashable {
    var kind: Kind
    var bytes: [UInt8]
    var checksum = ChecksumField.right
    var length: Int?
    /// What the next-protocol field holds; nil: what the layer inside is.
    var next: UInt16?
  }

  var layers: [Layer] = []
  /// Offsets at which the packet is split into segments.
  public var splits: [Int] = []
  /// The packet's mark.
  public var mark: UInt32 = 0
  /// The packet's annotation.
  public var annotation: UInt32 = 0
  /// Number of the port that the packet comes in by.
  public var ingressPort = 0

  /// A frame of these bytes.
  public init(_ bytes: [UInt8] = []) {
    if !bytes.isEmpty { layers = [Layer(kind: .data, bytes: bytes)] }
  }

  /// A frame from hexadecimal digits; white space and colons between them do not matter.
  public init(hex: String) { self.init(Self.bytes(hex: hex)) }

  /// Bytes from hexadecimal digits; white space and colons between them do not matter.
  public static func bytes(hex: String) -> [UInt8] {
    let digits = hex.filter { !$0.isWhitespace && $0 != ":" }.map { digit in
      guard let value = digit.hexDigitValue else { preconditionFailure("'\(digit)' is no hexadecimal digit") }
      return UInt8(value)
    }
    precondition(digits.count % 2 == 0, "an odd number of hexadecimal digits")
    return stride(from: 0, to: digits.count, by: 2).map { digits[$0] << 4 | digits[$0 + 1] }
  }

  // MARK: Link layer

  /// An Ethernet frame.
  /// - Parameter type: EtherType; nil takes it from the layer inside.
  public static func ethernet(
    from source: String = "02:00:00:00:00:01", to destination: String = "02:00:00:00:00:02", type: UInt16? = nil
  ) -> Frame {
    Frame().adding(
      Layer(kind: .ethernet, bytes: Address.mac(destination) + Address.mac(source) + [0, 0], next: type))
  }

  /// A VLAN tag: 802.1Q, or with another `protocolIdentifier`, such as 0x88A8, 802.1ad.
  /// - Parameters:
  ///   - identifier: 0 to 4095.
  ///   - type: EtherType; nil takes it from the layer inside.
  public func vlan(
    _ identifier: UInt16, priority: UInt8 = 0, dropEligible: Bool = false, protocolIdentifier: UInt16 = 0x8100,
    type: UInt16? = nil
  ) -> Frame {
    let control = UInt16(priority & 7) << 13 | (dropEligible ? 0x1000 : 0) | identifier & 0xFFF
    return adding(Layer(kind: .vlan(protocolIdentifier), bytes: control.bytes + [0, 0], next: type))
  }

  /// An ARP packet for IPv4 over Ethernet.
  /// - Parameter operation: 1 asks, 2 answers.
  public func arp(
    operation: UInt16 = 1, senderMAC: String = "02:00:00:00:00:01", senderIP: String = "10.0.0.1",
    targetMAC: String = "00:00:00:00:00:00", targetIP: String = "10.0.0.2"
  ) -> Frame {
    let bytes =
      [0, 1, 8, 0, 6, 4] + operation.bytes + Address.mac(senderMAC) + Address.ipv4(senderIP) + Address.mac(targetMAC)
      + Address.ipv4(targetIP)
    return adding(Layer(kind: .arp, bytes: bytes))
  }

  // MARK: Network layer

  /// An IPv4 header.
  /// - Parameters:
  ///   - options: Padded with zeros to a multiple of four; 40 bytes at most.
  ///   - fragmentOffset: In bytes, a multiple of 8.
  ///   - protocolNumber: nil takes it from the layer inside.
  ///   - totalLength: nil takes it from what is inside.
  public func ipv4(
    from source: String = "10.0.0.1", to destination: String = "10.0.0.2", ttl: UInt8 = 64, dscp: UInt8 = 0,
    ecn: UInt8 = 0, identification: UInt16 = 0, dontFragment: Bool = false, moreFragments: Bool = false,
    fragmentOffset: Int = 0, options: [UInt8] = [], protocolNumber: UInt8? = nil, totalLength: Int? = nil,
    checksum: ChecksumField = .right
  ) -> Frame {
    let options = options + Array(repeating: 0, count: (4 - options.count % 4) % 4)
    precondition(options.count <= 40, "IPv4 has room for 40 bytes of options")
    precondition(fragmentOffset % 8 == 0 && fragmentOffset < 65_536, "a fragment's offset is a multiple of 8")
    let fragment = (dontFragment ? 0x4000 : 0) | (moreFragments ? 0x2000 : 0) | UInt16(fragmentOffset / 8)
    let bytes: [UInt8] =
      [0x40 | UInt8(5 + options.count / 4), dscp << 2 | ecn & 3, 0, 0] + identification.bytes + fragment.bytes
      + [ttl, 0, 0, 0] + Address.ipv4(source) + Address.ipv4(destination) + options
    var layer = Layer(kind: .ipv4, bytes: bytes, checksum: checksum, next: protocolNumber.map(UInt16.init))
    layer.length = totalLength
    return adding(layer)
  }

  /// An IPv6 header.
  /// - Parameters:
  ///   - nextHeader: nil takes it from the layer inside.
  ///   - payloadLength: nil takes it from what is inside.
  public func ipv6(
    from source: String = "2001:db8::1", to destination: String = "2001:db8::2", hopLimit: UInt8 = 64,
    trafficClass: UInt8 = 0, flowLabel: UInt32 = 0, nextHeader: UInt8? = nil, payloadLength: Int? = nil
  ) -> Frame {
    let first = 0x6000_0000 | UInt32(trafficClass) << 20 | flowLabel & 0xF_FFFF
    let bytes = first.bytes + [0, 0, 0, hopLimit] + Address.ipv6(source) + Address.ipv6(destination)
    var layer = Layer(kind: .ipv6, bytes: bytes, next: nextHeader.map(UInt16.init))
    layer.length = payloadLength
    return adding(layer)
  }

  /// An IPv6 extension header of the usual form: hop-by-hop (0), routing (43), destination options (60), mobility (135).
  /// - Parameters:
  ///   - content: What stands behind the length byte; padded with zeros to a multiple of 8 less 2.
  ///   - nextHeader: nil takes it from the layer inside.
  public func ipv6Extension(_ number: UInt8, content: [UInt8] = [1, 4, 0, 0, 0, 0], nextHeader: UInt8? = nil) -> Frame {
    let padding = (8 - (content.count + 2) % 8) % 8
    let content = content + Array(repeating: 0, count: padding)
    let bytes = [0, UInt8((content.count + 2) / 8 - 1)] + content
    return adding(Layer(kind: .ipv6Extension(number), bytes: bytes, next: nextHeader.map(UInt16.init)))
  }

  /// An IPv6 authentication header (RFC 4302).
  /// - Parameter check: The integrity check value, a multiple of 4 bytes.
  public func authenticationHeader(check: [UInt8] = Array(repeating: 0xAB, count: 12)) -> Frame {
    let bytes: [UInt8] = [0, UInt8((12 + check.count) / 4 - 2), 0, 0, 0, 0, 0, 1, 0, 0, 0, 1] + check
    return adding(Layer(kind: .ipv6Extension(51), bytes: bytes))
  }

  /// An IPv6 fragment header. With offset 0 and no more fragments it is an atomic fragment (RFC 6946).
  /// - Parameters:
  ///   - offset: In bytes, a multiple of 8.
  ///   - nextHeader: nil takes it from the layer inside.
  public func ipv6Fragment(
    offset: Int = 0, moreFragments: Bool = false, identification: UInt32 = 1, nextHeader: UInt8? = nil
  ) -> Frame {
    precondition(offset % 8 == 0 && offset < 65_536, "a fragment's offset is a multiple of 8")
    let field = UInt16(offset) | (moreFragments ? 1 : 0)
    let bytes = [0, 0] + field.bytes + identification.bytes
    return adding(Layer(kind: .fragment, bytes: bytes, next: nextHeader.map(UInt16.init)))
  }

  // MARK: Transport layer

  /// A UDP header.
  /// - Parameter length: nil takes it from what is inside.
  public func udp(
    from source: UInt16 = 1024, to destination: UInt16 = 53, length: Int? = nil, checksum: ChecksumField = .right
  ) -> Frame {
    var layer = Layer(kind: .udp, bytes: source.bytes + destination.bytes + [0, 0, 0, 0], checksum: checksum)
    layer.length = length
    return adding(layer)
  }

  /// A TCP header.
  /// - Parameters:
  ///   - flags: Letters: `F`, `S`, `R`, `P`, `A`, `U`, `E`, `C`.
  ///   - options: Padded with zeros to a multiple of four; 40 bytes at most.
  public func tcp(
    from source: UInt16 = 1024, to destination: UInt16 = 80, sequence: UInt32 = 1, acknowledgment: UInt32 = 0,
    flags: String = "S", window: UInt16 = 65_535, urgent: UInt16 = 0, options: [UInt8] = [],
    checksum: ChecksumField = .right
  ) -> Frame {
    let options = options + Array(repeating: 0, count: (4 - options.count % 4) % 4)
    precondition(options.count <= 40, "TCP has room for 40 bytes of options")
    let bits = flags.reduce(UInt8(0)) { bits, letter in
      guard let position = Array("FSRPAUEC").firstIndex(of: letter) else {
        preconditionFailure("'\(letter)' is no TCP flag; they are FSRPAUEC")
      }
      return bits | 1 << UInt8(position)
    }
    let bytes: [UInt8] =
      source.bytes + destination.bytes + sequence.bytes + acknowledgment.bytes
      + [UInt8(5 + options.count / 4) << 4, bits] + window.bytes + [0, 0] + urgent.bytes + options
    return adding(Layer(kind: .tcp, bytes: bytes, checksum: checksum))
  }

  /// An ICMP header, by default an echo request.
  public func icmp(
    type: UInt8 = 8, code: UInt8 = 0, identifier: UInt16 = 1, sequence: UInt16 = 1, checksum: ChecksumField = .right
  ) -> Frame {
    let bytes = [type, code, 0, 0] + identifier.bytes + sequence.bytes
    return adding(Layer(kind: .icmp, bytes: bytes, checksum: checksum))
  }

  /// An ICMPv6 header, by default an echo request.
  public func icmpv6(
    type: UInt8 = 128, code: UInt8 = 0, identifier: UInt16 = 1, sequence: UInt16 = 1, checksum: ChecksumField = .right
  ) -> Frame {
    let bytes = [type, code, 0, 0] + identifier.bytes + sequence.bytes
    return adding(Layer(kind: .icmpv6, bytes: bytes, checksum: checksum))
  }

  // MARK: Contents

  /// Bytes inside.
  public func payload(_ bytes: [UInt8]) -> Frame { adding(Layer(kind: .data, bytes: bytes)) }

  /// Text inside, as UTF-8.
  public func payload(_ text: String) -> Frame { payload(Array(text.utf8)) }

  /// So many bytes inside, counting up from 0.
  public func payload(count: Int) -> Frame { payload((0..<count).map { UInt8(truncatingIfNeeded: $0) }) }

  /// Another frame inside, its first `skipping` bytes left out: 14 take its Ethernet header off.
  public func carrying(_ frame: Frame, skipping: Int = 14) -> Frame { payload(Array(frame.bytes.dropFirst(skipping))) }

  /// Bytes behind everything, in no length field, up to this length of the frame.
  public func padded(to length: Int = 60, with byte: UInt8 = 0) -> Frame {
    adding(Layer(kind: .padding, bytes: Array(repeating: byte, count: max(0, length - self.length))))
  }

  // MARK: The packet around the bytes

  /// The same frame, in segments that begin at these offsets.
  public func split(at offsets: Int...) -> Frame { split(at: offsets) }

  /// The same frame, in segments that begin at these offsets.
  public func split(at offsets: [Int]) -> Frame {
    var copy = self
    copy.splits = offsets
    return copy
  }

  /// The same frame, in as few segments as buffers of 2,048 bytes and headroom take.
  public var inBuffers: Frame { split(at: Array(stride(from: 2048, to: length, by: 2048))) }

  /// The same frame with a mark.
  public func marked(_ mark: UInt32) -> Frame {
    var copy = self
    copy.mark = mark
    return copy
  }

  /// The same frame with an annotation.
  public func annotated(_ annotation: UInt32) -> Frame {
    var copy = self
    copy.annotation = annotation
    return copy
  }

  /// The same frame from another port.
  public func from(port: Int) -> Frame {
    var copy = self
    copy.ingressPort = port
    return copy
  }

  // MARK: Bytes

  /// The frame's length in bytes.
  public var length: Int { layers.reduce(0) { $0 + $1.bytes.count } }

  /// The finished bytes.
  public var bytes: [UInt8] { Assembler(layers).bytes }

  /// The bytes of each segment.
  public var segments: [[UInt8]] {
    let bytes = bytes
    let cuts = [0] + Set(splits).sorted().filter { $0 > 0 && $0 < bytes.count } + [bytes.count]
    return zip(cuts, cuts.dropFirst()).map { Array(bytes[$0..<$1]) }
  }

  /// The bytes in hexadecimal.
  public var description: String { hexadecimal(bytes) }

  /// The IP datagram in fragments, as a router makes them: the headers up to IPv4's or IPv6's are kept, what that
  /// carries is cut into pieces of `size` bytes. Works on the outermost IP header, which must not be a fragment yet.
  /// - Parameter size: A multiple of 8.
  public func fragments(of size: Int, identification: UInt16 = 1) -> [Frame] {
    precondition(size > 0 && size % 8 == 0, "a fragment carries a multiple of 8 bytes")
    guard let index = layers.firstIndex(where: { $0.kind == .ipv4 || $0.kind == .ipv6 }) else { return [self] }
    let isIPv4 = layers[index].kind == .ipv4
    var head = Frame()
    head.layers = Array(layers[...index])
    (head.mark, head.ingressPort) = (mark, ingressPort)
    let start = head.length
    var whole = self
    whole.layers.removeAll { $0.kind == .padding }
    let bytes = whole.bytes
    let content = Array(bytes[start...])
    let next = isIPv4 ? bytes[start - head.layers[index].bytes.count + 9] : bytes[start - 34]
    return stride(from: 0, to: content.count, by: size).map { offset in
      let piece = Array(content[offset..<min(offset + size, content.count)])
      let more = offset + piece.count < content.count
      var frame = head
      if isIPv4 {
        let field = (more ? 0x2000 : 0) | UInt16(offset / 8)
        frame.layers[index].bytes.replaceSubrange(4..<8, with: identification.bytes + field.bytes)
        frame.layers[index].next = UInt16(next)
      } else {
        frame = frame.ipv6Fragment(
          offset: offset, moreFragments: more, identification: UInt32(identification), nextHeader: next)
        frame.layers[index].next = nil
      }
      return frame.payload(piece)
    }
  }

  private func adding(_ layer: Layer) -> Frame {
    var copy = self
    copy.layers.append(layer)
    return copy
  }
}

/// Puts layers together from the inside out.
private struct Assembler {
  let bytes: [UInt8]

  init(_ layers: [Frame.Layer]) {
    var inside: [UInt8] = []
    var next: Frame.Layer?
    for (index, layer) in layers.enumerated().reversed() where layer.kind != .padding {
      let outer = layers[..<index].last { $0.kind == .ipv4 || $0.kind == .ipv6 }
      inside = Self.finish(layer, inside: inside, next: next, network: outer) + inside
      next = layer
    }
    bytes = inside + layers.filter { $0.kind == .padding }.flatMap(\.bytes)
  }

  private static func finish(
    _ layer: Frame.Layer, inside: [UInt8], next: Frame.Layer?, network: Frame.Layer?
  ) -> [UInt8] {
    var bytes = layer.bytes
    let length = bytes.count + inside.count
    switch layer.kind {
    case .ethernet: bytes.put(layer.next ?? etherType(of: next), at: 12)
    case .vlan: bytes.put(layer.next ?? etherType(of: next), at: 2)
    case .ipv4:
      bytes.put(UInt16(truncatingIfNeeded: layer.length ?? length), at: 2)
      bytes[9] = UInt8(truncatingIfNeeded: layer.next ?? ipProtocol(of: next))
      bytes.put(layer.checksum.over(internetChecksum(bytes)), at: 10)
    case .ipv6:
      bytes.put(UInt16(truncatingIfNeeded: layer.length ?? inside.count), at: 4)
      bytes[6] = UInt8(truncatingIfNeeded: layer.next ?? ipProtocol(of: next))
    case .fragment, .ipv6Extension: bytes[0] = UInt8(truncatingIfNeeded: layer.next ?? ipProtocol(of: next))
    case .udp:
      bytes.put(UInt16(truncatingIfNeeded: layer.length ?? length), at: 4)
      let sum = internetChecksum(pseudoHeader(network, 17, length) + bytes + inside)
      bytes.put(layer.checksum.over(sum == 0 ? 0xFFFF : sum), at: 6)
    case .tcp:
      bytes.put(layer.checksum.over(internetChecksum(pseudoHeader(network, 6, length) + bytes + inside)), at: 16)
    case .icmp: bytes.put(layer.checksum.over(internetChecksum(bytes + inside)), at: 2)
    case .icmpv6:
      bytes.put(layer.checksum.over(internetChecksum(pseudoHeader(network, 58, length) + bytes + inside)), at: 2)
    case .arp, .data, .padding: break
    }
    return bytes
  }

  private static func etherType(of layer: Frame.Layer?) -> UInt16 {
    switch layer?.kind {
    case .vlan(let protocolIdentifier): protocolIdentifier
    case .ipv4: 0x0800
    case .ipv6: 0x86DD
    case .arp: 0x0806
    default: 0x88B5  // IEEE 802's local experimental EtherType
    }
  }

  private static func ipProtocol(of layer: Frame.Layer?) -> UInt16 {
    switch layer?.kind {
    case .ipv4: 4
    case .ipv6: 41
    case .fragment: 44
    case .ipv6Extension(let number): UInt16(number)
    case .tcp: 6
    case .udp: 17
    case .icmp: 1
    case .icmpv6: 58
    default: 253  // for experiments (RFC 3692)
    }
  }
}

func pseudoHeader(source: ArraySlice<UInt8>, destination: ArraySlice<UInt8>, _ number: UInt8, _ length: Int) -> [UInt8]
{
  let addresses = Array(source + destination)
  return source.count == 4
    ? addresses + [0, number] + UInt16(truncatingIfNeeded: length).bytes
    : addresses + UInt32(truncatingIfNeeded: length).bytes + [0, 0, 0, number]
}

private func pseudoHeader(_ network: Frame.Layer?, _ number: UInt8, _ length: Int) -> [UInt8] {
  guard let network else { return [] }
  return network.kind == .ipv4
    ? pseudoHeader(source: network.bytes[12..<16], destination: network.bytes[16..<20], number, length)
    : pseudoHeader(source: network.bytes[8..<24], destination: network.bytes[24..<40], number, length)
}

/// The Internet checksum (RFC 1071), written the slow and plain way.
func internetChecksum(_ bytes: [UInt8]) -> UInt16 {
  var sum = 0
  for (index, byte) in bytes.enumerated() { sum += index % 2 == 0 ? Int(byte) << 8 : Int(byte) }
  while sum > 0xFFFF { sum = sum & 0xFFFF + sum >> 16 }
  return ~UInt16(sum)
}

func hexadecimal(_ bytes: some Sequence<UInt8>) -> String {
  bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
}

extension Frame.ChecksumField {
  func over(_ right: UInt16) -> UInt16 {
    switch self {
    case .right: right
    case .wrong: right ^ 0x0100
    case .value(let value): value
    }
  }
}

extension FixedWidthInteger {
  /// In network byte order.
  var bytes: [UInt8] {
    (0..<Self.bitWidth / 8).reversed().map { UInt8(truncatingIfNeeded: self >> Self($0 * 8)) }
  }
}

extension Array<UInt8> {
  mutating func put(_ value: UInt16, at offset: Int) {
    self[offset] = UInt8(value >> 8)
    self[offset + 1] = UInt8(value & 0xFF)
  }
}
