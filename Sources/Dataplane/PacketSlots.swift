import CDPDK

// What ports and tests outside this module need to make packets and to take them apart.

extension PacketPool {
  /// A packet whose segments hold these bytes; nil when the pool has too few buffers left.
  ///
  /// - Parameters:
  ///   - segments: The bytes of each segment, in order; none makes an empty packet.
  ///   - headroom: Free bytes in front of the first segment's, 0 up to the pool's headroom and data room together.
  public func makePacket(segments: [[UInt8]], headroom: Int = 128) -> Packet? {
    guard var packet = makePacket(segment: segments.first ?? [], headroom: headroom) else { return nil }
    for segment in segments.dropFirst() {
      guard let tail = makePacket(segment: segment, headroom: 128) else {
        packet.discard()
        return nil
      }
      guard packet.append(tail) else {
        packet.discard()
        return nil
      }
    }
    return packet
  }

  /// A second packet with the same bytes; see `Context.clone`.
  package func clone(_ packet: borrowing Packet) -> Packet? { unsafe packet.clone(from: pool) }

  private func makePacket(segment: [UInt8], headroom: Int) -> Packet? {
    var slot: PacketSlot = nil
    guard unsafe nfv_alloc(pool, &slot, 1), let mbuf = unsafe slot else { return nil }
    let packet = unsafe Packet(owning: mbuf)
    let room = unsafe Int(mbuf.pointee.buffer_length) - headroom
    guard headroom >= 0, segment.count <= room else {
      packet.discard()
      return nil
    }
    unsafe mbuf.pointee.data_offset = UInt16(headroom)
    unsafe mbuf.pointee.data_length = UInt16(segment.count)
    unsafe mbuf.pointee.packet_length = UInt32(segment.count)
    let start = unsafe packet.start
    unsafe segment.withUnsafeBytes { bytes in
      if let base = bytes.baseAddress { unsafe start.copyMemory(from: base, byteCount: bytes.count) }
    }
    return packet
  }
}

extension Packet {
  /// Gives the packet away as it passes through a `PortQueue`.
  @unsafe
  public consuming func intoSlot() -> PacketSlot { unsafe release() }

  /// Takes over the packet of a slot, which must not be used again; nil for an empty slot.
  @unsafe
  public init?(taking slot: PacketSlot) {
    guard let mbuf = unsafe slot else { return nil }
    unsafe self.init(owning: mbuf)
  }

  /// Frees the packet on purpose, so that it does not count as abandoned. For tests and ports; an element says why by
  /// a verdict.
  package consuming func discard() {
    var slot: PacketSlot = unsafe release()
    unsafe nfv_free(&slot, 1)
  }

  /// Sets what a port sets on receipt.
  package mutating func setIngressPort(_ number: Int) { unsafe mbuf.pointee.port = UInt16(truncatingIfNeeded: number) }

  /// Lengths of the segments in bytes.
  package var segmentLengths: [Int] {
    var lengths: [Int] = []
    var next = unsafe Optional(mbuf)
    while let segment = unsafe next {
      unsafe lengths.append(Int(segment.pointee.data_length))
      unsafe next = segment.pointee.next
    }
    return lengths
  }

  /// Overwrites the buffer around the first segment's bytes, to show that nothing depends on it.
  package mutating func fillSurroundings(with pattern: UInt8) {
    let head = unsafe Int(mbuf.pointee.data_offset)
    let tail = unsafe Int(mbuf.pointee.buffer_length) - head - contiguousLength
    unsafe (start - head).initializeMemory(as: UInt8.self, repeating: pattern, count: head)
    unsafe (start + contiguousLength).initializeMemory(as: UInt8.self, repeating: pattern, count: tail)
  }

  fileprivate mutating func append(_ tail: consuming Packet) -> Bool {
    var slot: PacketSlot = unsafe tail.release()
    guard let mbuf = unsafe slot, unsafe nfv_chain(self.mbuf, mbuf) else {
      unsafe nfv_free(&slot, 1)
      return false
    }
    forgetHeaders()
    return true
  }
}
