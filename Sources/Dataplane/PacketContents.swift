public import CDPDK
public import Wire

// Reading, copying and writing a packet's contents beyond its header views.

extension Packet {
  /// A number that an element leaves for the next one; both say so in their description, and copies take it along. Means
  /// nothing on a packet until an element has set it: a device may deliver packets with any number here.
  @inlinable
  public var annotation: UInt32 {
    get { unsafe mbuf.pointee.annotation }
    set { unsafe mbuf.pointee.annotation = newValue }
  }

  /// The byte at `offset`; nil beyond the first segment.
  @inlinable
  public func byte(at offset: Int) -> UInt8? {
    guard offset >= 0, offset < contiguousLength else { return nil }
    return unsafe start.load(fromByteOffset: offset, as: UInt8.self)
  }

  /// The Internet checksum's sum (see `Checksum`) of the bytes in `range` that there are, across segments.
  public func sum(in range: Range<Int>) -> UInt32 {
    var sum = Checksum.Accumulator()
    var skipped = 0
    var next = unsafe Optional(mbuf)
    while let segment = unsafe next, skipped < range.upperBound {
      let count = unsafe Int(segment.pointee.data_length)
      let wanted = range.clamped(to: skipped..<skipped + count)
      if !wanted.isEmpty {
        let first = unsafe segment.pointee.buffer + Int(segment.pointee.data_offset) + (wanted.lowerBound - skipped)
        unsafe sum.add(UnsafeRawBufferPointer(start: first, count: wanted.count))
      }
      skipped += count
      unsafe next = segment.pointee.next
    }
    return sum.sum
  }

  /// Copies another packet's bytes in `range` behind the end of this one. False, with this packet unchanged, when the
  /// other is shorter, or no buffers are left.
  public mutating func append(_ other: borrowing Packet, in range: Range<Int>) -> Bool {
    guard range.lowerBound >= 0, range.upperBound <= other.length, makeWritable() else { return false }
    forgetHeaders()
    return unsafe nfv_append(
      mbuf, other.mbuf, UInt32(range.lowerBound), UInt32(range.count), OpaquePointer(mbuf.pointee.pool))
  }

  // MARK: Writing headers where none were

  /// Makes sure that `count` bytes from `offset` on can be written; what stands there is parsed anew afterwards.
  private mutating func canWrite(_ count: Int, at offset: Int) -> Bool {
    guard offset >= 0, makeWritable(), offset <= contiguousLength, count <= contiguousLength - offset else {
      return false
    }
    forgetHeaders()
    return true
  }

  /// A place for an IPv4 header, to write: version and header length are set, all else is as it was. Nil when the first
  /// segment ends before, or no buffer is left for bytes of its own.
  /// - Parameters:
  ///   - offset: In the frame, in bytes.
  ///   - length: With options in bytes: 20 to 60, a multiple of 4.
  @_lifetime(&self)
  public mutating func ipv4HeaderToWrite(at offset: Int, length: Int = 20) -> IPv4Header<ReadWrite>? {
    guard length >= 20, length <= 60, length % 4 == 0, canWrite(length, at: offset) else { return nil }
    unsafe (start + offset).storeBytes(of: UInt8(0x40 | length / 4), as: UInt8.self)
    let header = unsafe IPv4Header<ReadWrite>(unchecked: headerBytes(at: offset))
    return unsafe _overrideLifetime(header, mutating: &self)
  }

  /// A place for an IPv6 header, to write. Nil when the first segment ends before, or no buffer is left for bytes of its
  /// own.
  /// - Parameter offset: In the frame, in bytes.
  @_lifetime(&self)
  public mutating func ipv6HeaderToWrite(at offset: Int) -> IPv6Header<ReadWrite>? {
    guard canWrite(IPv6Header<ReadWrite>.length, at: offset) else { return nil }
    let header = unsafe IPv6Header<ReadWrite>(unchecked: headerBytes(at: offset))
    return unsafe _overrideLifetime(header, mutating: &self)
  }

  /// A place for an ICMP or ICMPv6 header, to write. Nil when the first segment ends before, or no buffer is left for
  /// bytes of its own.
  /// - Parameter offset: In the frame, in bytes.
  @_lifetime(&self)
  public mutating func icmpHeaderToWrite(at offset: Int) -> ICMPHeader<ReadWrite>? {
    guard canWrite(ICMPHeader<ReadWrite>.length, at: offset) else { return nil }
    let header = unsafe ICMPHeader<ReadWrite>(unchecked: headerBytes(at: offset))
    return unsafe _overrideLifetime(header, mutating: &self)
  }
}

extension Context {
  /// A new packet with another's bytes in `range`, its mark, its annotation and its ingress port. Nil when the other is
  /// shorter, or no buffers are left.
  public mutating func copy(_ packet: borrowing Packet, in range: Range<Int>) -> Packet? {
    var slot: PacketSlot = nil
    guard unsafe nfv_alloc(pool, &slot, 1), let mbuf = unsafe slot else { return nil }
    var copy = unsafe Packet(owning: mbuf)
    guard copy.append(packet, in: range) else {
      copy.discard()
      return nil
    }
    copy.mark = packet.mark
    copy.annotation = packet.annotation
    copy.setIngressPort(packet.ingressPort)
    created += 1
    return copy
  }
}

extension Emitter where E: ~Copyable {
  /// Sends a packet to `output`, behind the one at hand and what was sent behind it before. Packets that are sent ahead
  /// have to be sent first.
  public mutating func emitBehind(_ packet: consuming Packet, to output: E.Output) {
    position += 1
    emit(packet, to: output)
    position -= 1
  }
}
