import Dataplane
import TestKit
import Testing
import Wire

private func sum(_ bytes: [UInt8]) -> UInt32 { unsafe Checksum.sum(bytes.span.bytes) }

@Suite struct PacketContentsTests {
  @Test func appendsAcrossSegmentsOfBoth() throws {
    var generator = FrameGenerator(seed: 3)
    try withTestPool { pool in
      for _ in 0..<500 {
        let (left, right) = (generator.next(), generator.next())
        var packet = pool.packet(left)
        let other = pool.packet(right)
        let low = generator.number(below: right.length + 1)
        let range = low..<low + generator.number(below: right.length - low + 1)
        let expected = left.bytes + right.bytes[range]
        _ = packet.isIPv4
        let done = packet.append(other, in: range)
        #expect(done)
        #expect(packet.copyBytes() == expected)
        #expect(other.copyBytes() == right.bytes)
        let fresh = pool.packet(Frame(expected))
        #expect(packet.isIPv4 == fresh.isIPv4)
        pool.free(packet)
        pool.free(other)
        pool.free(fresh)
      }
    }
  }

  @Test func appendsWhatDoesNotFitOneBuffer() throws {
    try withTestPool(packets: 64, dataRoom: 512) { pool in
      let bytes = (0..<3000).map { UInt8(truncatingIfNeeded: $0 * 7) }
      let other = pool.packet(Frame(bytes).split(at: 500, 1000, 1500, 2000, 2500))
      var packet = pool.packet(Frame([1, 2, 3]))
      let done = packet.append(other, in: 1..<3000)
      #expect(done)
      #expect(packet.copyBytes() == [1, 2, 3] + bytes[1...])
      pool.free(packet)
      pool.free(other)
    }
  }

  @Test func appendsNothingThatIsNotThere() throws {
    try withTestPool { pool in
      var packet = pool.packet(Frame([1, 2, 3]))
      let other = pool.packet(Frame([4, 5, 6]))
      let results = [
        packet.append(other, in: 0..<4), packet.append(other, in: -1..<2), packet.append(other, in: 4..<4),
      ]
      #expect(results == [false, false, false])
      let nothing = packet.append(other, in: 3..<3)
      #expect(nothing)
      #expect(packet.copyBytes() == [1, 2, 3])
      pool.free(packet)
      pool.free(other)
    }
  }

  @Test func appendingLeavesThePacketAsItWasWhenNoBufferIsLeft() throws {
    try withTestPool(packets: 16, dataRoom: 256) { pool in
      let bytes = (0..<1500).map { UInt8(truncatingIfNeeded: $0) }
      let other = pool.packet(Frame(bytes).split(at: 250, 500, 750, 1000, 1250))
      var packet = pool.packet(Frame([1, 2, 3]))
      var others: [Int] = []
      for _ in 0..<9 { others.append(packet.append(other, in: 0..<1500) ? packet.length : -1) }
      let kept = packet.copyBytes()
      #expect(others.contains(-1))
      #expect(kept.count == others.filter { $0 >= 0 }.max() ?? 3)
      #expect(Array(kept.prefix(3)) == [1, 2, 3])
      pool.free(packet)
      pool.free(other)
    }
  }

  @Test func appendingToSharedBytesLeavesTheOtherPacketAlone() throws {
    try withTestPool { pool in
      var packet = pool.packet(Frame([1, 2, 3]))
      let clone = pool.clone(packet)
      let other = pool.packet(Frame([4, 5]))
      let done = packet.append(other, in: 0..<2)
      #expect(done)
      #expect(packet.copyBytes() == [1, 2, 3, 4, 5])
      #expect(clone.copyBytes() == [1, 2, 3])
      pool.free(packet)
      pool.free(clone)
      pool.free(other)
    }
  }

  @Test func sumsAcrossSegments() throws {
    var generator = FrameGenerator(seed: 9)
    try withTestPool { pool in
      for _ in 0..<300 {
        let frame = generator.next()
        let packet = pool.packet(frame)
        let low = generator.number(below: frame.length + 1)
        let high = low + generator.number(below: frame.length - low + 1)
        let wanted = sum(Array(frame.bytes[low..<high]))
        let toTheEnd = sum(Array(frame.bytes[low...]))
        #expect(packet.sum(in: low..<high) == wanted)
        #expect(packet.sum(in: low..<frame.length + 100) == toTheEnd)
        pool.free(packet)
      }
    }
  }

  @Test func annotationsAreFreshAndGoWithCopies() throws {
    try withTestPool(packets: 8) { pool in
      for _ in 0..<20 {
        var packet = pool.packet(.ethernet().ipv4().udp())
        #expect(packet.annotation == 0)
        packet.annotation = 0xDEAD_BEEF
        let clone = pool.clone(packet)
        #expect(clone.annotation == 0xDEAD_BEEF)
        #expect(packet.mark == 0)
        pool.free(clone)
        pool.free(packet)
      }
    }
  }

  @Test func bytesAreReadWithinTheFirstSegment() throws {
    try withTestPool { pool in
      let packet = pool.packet(Frame([7, 8, 9]).split(at: 2))
      #expect([-1, 0, 1, 2, 3, .max].map { packet.byte(at: $0) } == [nil, 7, 8, nil, nil, nil])
      pool.free(packet)
    }
  }

  @Test func headersAreWrittenWhereThereIsRoom() throws {
    try withTestPool { pool in
      let frame = Frame.ethernet().payload(Array(repeating: 0xEE, count: 48))
      var packet = pool.packet(frame)
      var bytes = packet.mutableBytes
      bytes.storeBytes(of: UInt16(0x0008), toByteOffset: 12, as: UInt16.self)
      packet.ipv4HeaderToWrite(at: 14)?.set(
        totalLength: 48, protocolNumber: .icmp, source: IPv4Address(10, 0, 0, 1), destination: IPv4Address(10, 0, 0, 2))
      packet.icmpHeaderToWrite(at: 34)?.set(type: 3, code: 4, rest: 1500)
      #expect(packet.icmp?.type == 3)
      #expect(packet.icmp?.code == 4)
      #expect(packet.icmp?.checksum == 0)
      #expect(packet.icmp?.sequenceNumber == 1500)
      let refused = [
        packet.ipv4HeaderToWrite(at: 43) == nil, packet.ipv4HeaderToWrite(at: -1) == nil,
        packet.ipv4HeaderToWrite(at: 14, length: 64) == nil, packet.ipv4HeaderToWrite(at: 14, length: 22) == nil,
        packet.ipv4HeaderToWrite(at: .max) == nil, packet.ipv6HeaderToWrite(at: 23) == nil,
        packet.icmpHeaderToWrite(at: 55) == nil,
      ]
      #expect(refused.allSatisfy { $0 })
      let fits = packet.ipv4HeaderToWrite(at: 14, length: 48) != nil
      #expect(fits)
      pool.free(packet)
    }
  }

  // MARK: Fragments

  @Test(arguments: [0, 1, 2]) func fragmentsOfIPv4AreDescribed(tags: Int) throws {
    var frame = Frame.ethernet()
    for tag in 0..<tags { frame = frame.vlan(UInt16(tag)) }
    frame = frame.ipv4(
      identification: 0xABCD, moreFragments: true, fragmentOffset: 1480, options: [1, 1, 1, 1], protocolNumber: 17)
    try withTestPool { pool in
      let packet = pool.packet(frame.payload(count: 16).padded())
      let partFound = packet.fragmentPart
      let part = try #require(partFound)
      let network = 14 + 4 * tags
      #expect(part.identification == 0xABCD)
      #expect(part.start == 1480)
      #expect(part.end == 1496)
      #expect(part.moreFragments)
      #expect(part.contents == network + 24..<network + 40)
      #expect(part.protocolNumber == .udp)
      #expect(part.protocolField == network + 9)
      pool.free(packet)
    }
  }

  @Test func fragmentsOfIPv6AreDescribed() throws {
    try withTestPool { pool in
      let frame = Frame.ethernet().ipv6().ipv6Extension(0).ipv6Fragment(moreFragments: true, identification: 77)
      let first = pool.packet(frame.ipv6Extension(60).udp().payload(count: 8))
      let partFound = first.fragmentPart
      let part = try #require(partFound)
      #expect(part.identification == 77)
      #expect(part.start == 0)
      #expect(part.contents == 70..<94)
      #expect(part.protocolNumber == .destinationOptions)
      #expect(part.protocolField == 54)
      #expect(first.protocolField == 70)
      pool.free(first)
      let later = Frame.ethernet().ipv6().ipv6Fragment(offset: 1448, identification: 77, nextHeader: 60)
      let last = pool.packet(later.payload(Array(repeating: 60, count: 24)).padded(to: 120))
      let restFound = last.fragmentPart
      let rest = try #require(restFound)
      #expect(rest.start == 1448)
      #expect(rest.moreFragments == false)
      #expect(rest.contents == 62..<86)
      #expect(last.protocolField == 54)
      pool.free(last)
    }
  }

  @Test func whatIsNoFragmentIsNotDescribed() throws {
    try withTestPool { pool in
      let frames: [Frame] = [
        .ethernet().ipv4().udp(), .ethernet().ipv6().udp(), .ethernet().arp(),
        .ethernet().ipv6().ipv6Fragment().udp(), Frame([1, 2, 3]), Frame(),
      ]
      for frame in frames {
        let packet = pool.packet(frame)
        #expect(packet.fragmentPart == nil)
        pool.free(packet)
      }
      let plain = pool.packet(.ethernet().ipv6().udp())
      #expect(plain.protocolField == 20)
      pool.free(plain)
    }
  }

  /// What is described lies within the frame, whatever the frame is.
  @Test func descriptionsAreWithinTheFrame() throws {
    var generator = FrameGenerator(seed: 21)
    var described = 0
    try withTestPool { pool in
      for _ in 0..<5000 {
        let packet = pool.packet(generator.next())
        if let part = packet.fragmentPart {
          described += 1
          #expect(part.contents.lowerBound > 0 && part.contents.upperBound <= packet.length)
          #expect(packet.byte(at: part.protocolField) != nil)
        }
        if let field = packet.protocolField {
          #expect(packet.byte(at: field) == packet.transportProtocol?.rawValue)
        }
        pool.free(packet)
      }
    }
    #expect(described > 50)
  }

  // MARK: Store

  @Test func aStoreGivesBackWhatItWasGiven() throws {
    try withTestPool { pool in
      var store = PacketStore(capacity: 3)
      let places = (0..<3).map { store.insert(pool.packet(Frame([UInt8($0)]))) }
      #expect(Set(places).count == 3)
      #expect(store.isFull == true)
      let middle = store.remove(at: places[1])
      #expect(middle?.copyBytes() == [1])
      if let middle { pool.free(middle) }
      let isGone = store.remove(at: places[1]) == nil && store.remove(at: 3) == nil
      #expect(isGone)
      #expect(store.count == 2)
      _ = store.insert(pool.packet(Frame([9])))
      #expect(store.isFull == true)
      // The store frees what is left.
    }
  }
}
