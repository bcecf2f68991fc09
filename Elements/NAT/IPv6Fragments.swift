import Dataplane
import Wire

/// Fragment headers (RFC 8200, 4.5) and cutting of packets that have one right behind the IPv6 header.
enum IPv6Fragments {
  /// Writes a fragment header at `offset`; false when the bytes are not there.
  static func write(_ packet: inout Packet, at offset: Int, nextHeader: IPProtocol, _ fields: FragmentFields) -> Bool {
    let first =
      UInt32(nextHeader.rawValue) << 24 | UInt32(truncatingIfNeeded: fields.start) & 0xFFF8
      | (fields.moreFragments ? 1 : 0)
    return packet.setWord32(first, at: offset) && packet.setWord32(fields.identification, at: offset + 4)
  }

  /// Cuts a packet whose fragment header stands right behind the IPv6 header into fragments of at most `limit` bytes.
  /// - Parameter emit: Is given the fragments behind the first, or what there is of one for which no buffer was left.
  /// - Returns: False when no buffer was left.
  static func cut(
    _ packet: inout Packet, limit: Int, _ context: inout Context, emit: (consuming Packet, _ isWhole: Bool) -> Void
  ) -> Bool {
    guard let network = packet.networkHeaderOffset, let length = packet.networkLength,
      let head = packet.word32(at: network + 40), let identification = packet.word32(at: network + 44)
    else { return false }
    if length <= limit { return true }
    let next = IPProtocol(rawValue: UInt8(truncatingIfNeeded: head >> 24))
    let first = network + 48
    let size = (limit - 48) & ~7
    let end = network + length
    var fields = FragmentFields(
      identification: identification, start: Int(head & 0xFFF8), moreFragments: head & 1 != 0)
    let (start, hasMore) = (fields.start, fields.moreFragments)
    var begin = first + size
    while begin < end {
      let count = min(size, end - begin)
      guard var piece = context.copy(packet, in: 0..<first) else { return false }
      (fields.start, fields.moreFragments) = (start + begin - first, hasMore || begin + count < end)
      guard piece.append(packet, in: begin..<begin + count),
        finish(&piece, at: network, length: 48 + count, next, fields)
      else {
        emit(piece, false)
        return false
      }
      emit(piece, true)
      begin += count
    }
    packet.truncate(to: first + size)
    (fields.start, fields.moreFragments) = (start, true)
    return finish(&packet, at: network, length: 48 + size, next, fields)
  }

  private static func finish(
    _ packet: inout Packet, at network: Int, length: Int, _ next: IPProtocol, _ fields: FragmentFields
  ) -> Bool {
    guard write(&packet, at: network + 40, nextHeader: next, fields) else { return false }
    packet.ipv6HeaderToWrite(at: network)?.setPayloadLength(UInt16(clamping: length - 40))
    return true
  }
}
