import CNetlink
import Wire

/// Fields of netlink messages. They are in the host's byte order, except for addresses; what lies outside is nil.
extension RawSpan {
  func field<T: FixedWidthInteger & BitwiseCopyable>(_ offset: Int, as type: T.Type = T.self) -> T? {
    guard offset >= 0, byteCount - offset >= MemoryLayout<T>.size else { return nil }
    return unsafe unsafeLoadUnaligned(fromByteOffset: offset, as: T.self)
  }

  /// The address that the bytes from `offset` to the end are.
  func address(_ offset: Int = 0) -> IPAddress? {
    switch byteCount - offset {
    case 4: return field(offset, as: UInt32.self).map { .v4(IPv4Address(rawValue: UInt32(bigEndian: $0))) }
    case 16:
      guard let high = field(offset, as: UInt64.self), let low = field(offset + 8, as: UInt64.self) else { return nil }
      return .v6(IPv6Address(high: UInt64(bigEndian: high), low: UInt64(bigEndian: low)))
    default: return nil
    }
  }

  /// The MAC address that all the bytes are.
  var mac: MACAddress? {
    guard byteCount == 6, let high = field(0, as: UInt32.self), let low = field(4, as: UInt16.self) else { return nil }
    return MACAddress(rawValue: UInt64(UInt32(bigEndian: high)) << 16 | UInt64(UInt16(bigEndian: low)))
  }

  /// The text that ends at a NUL or at the end.
  var text: String {
    var bytes: [UInt8] = []
    for offset in 0..<byteCount {
      guard let byte = field(offset, as: UInt8.self), byte != 0 else { break }
      bytes.append(byte)
    }
    return String(decoding: bytes, as: UTF8.self)
  }

  /// Hands out the attributes from `offset` on. Whether they fill what is left; those after a length that lies are not
  /// handed out.
  @inline(__always)
  func forEachAttribute(from offset: Int, _ body: (_ type: Int, _ payload: RawSpan) -> Void) -> Bool {
    var offset = offset
    while byteCount - offset >= 4 {
      guard let length = field(offset, as: UInt16.self), let type = field(offset + 2, as: UInt16.self),
        length >= 4, Int(length) <= byteCount - offset
      else { return false }
      // The two highest bits are flags: nested, and in network byte order.
      body(Int(type & 0x3FFF), extracting(offset + 4..<offset + Int(length)))
      offset += (Int(length) + 3) & ~3
    }
    return offset >= byteCount
  }
}

extension [UInt8] {
  /// The bytes as a message.
  var message: RawSpan {
    @_lifetime(borrow self)
    get { unsafe span.bytes }
  }
}

/// The header of a netlink message.
struct MessageHeader {
  static var length: Int { 16 }

  let type: Int
  let flags: Int
  let sequence: UInt32
}

extension RawSpan {
  /// Hands out the messages of a datagram, each without its header. Whether they fill it; those after a length that lies
  /// are not handed out.
  @inline(__always)
  func forEachMessage(_ body: (MessageHeader, _ payload: RawSpan) -> Void) -> Bool {
    var offset = 0
    while byteCount - offset >= MessageHeader.length {
      guard let length = field(offset, as: UInt32.self), let type = field(offset + 4, as: UInt16.self),
        let flags = field(offset + 6, as: UInt16.self), let sequence = field(offset + 8, as: UInt32.self),
        length >= MessageHeader.length, Int(length) <= byteCount - offset
      else { return false }
      body(
        MessageHeader(type: Int(type), flags: Int(flags), sequence: sequence),
        extracting(offset + MessageHeader.length..<offset + Int(length)))
      offset += (Int(length) + 3) & ~3
    }
    return offset >= byteCount
  }
}

/// A request for all that a table has.
struct DumpRequest {
  let type: Int
  private(set) var bytes: [UInt8]

  /// Makes one of a message type, and the fixed part of that type's messages.
  init(_ type: Int, _ fixed: [UInt8]) {
    self.type = type
    bytes = []
    append(UInt32(0))
    append(UInt16(type))
    append(UInt16(NLM_F_REQUEST | NLM_F_DUMP))
    append(UInt32(0))
    append(UInt32(0))
    bytes += fixed
  }

  private mutating func append(_ value: some FixedWidthInteger) {
    for byte in 0..<value.bitWidth / 8 {
      // Netlink is in the host's byte order, which all that this project runs on has the small end first.
      bytes.append(UInt8(truncatingIfNeeded: value >> (8 * byte)))
    }
  }

  mutating func append(attribute type: Int, _ value: UInt32) {
    append(UInt16(8))
    append(UInt16(type))
    append(value)
  }

  /// The message with a sequence number.
  func message(sequence: UInt32) -> [UInt8] {
    var message = self
    message.bytes.removeAll(keepingCapacity: true)
    message.append(UInt32(bytes.count))
    message.bytes += bytes[4..<8]
    message.append(sequence)
    return message.bytes + bytes[12...]
  }
}
