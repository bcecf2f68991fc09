import Dataplane
import TestKit
import Testing
import Wire

private let tcp = Frame.ethernet().vlan(5).ipv4(from: "10.0.0.1", to: "192.0.2.1").tcp(from: 1000, to: 80).payload(
  "payload")

@Suite struct PacketTests {
  // MARK: Shape

  @Test func insertsAndRemoves() throws {
    try withTestPool { pool in
      var packet = pool.packet(Frame.ethernet().ipv4().udp().payload(count: 20))
      let before = packet.copyBytes()
      #expect(packet.isIPv4 == true)
      let inserted = packet.insert(4, at: 12)
      #expect(inserted)
      #expect(packet.length == before.count + 4)
      var bytes = packet.mutableBytes
      for (offset, byte) in [0x81, 0x00, 0x00, 0x07].enumerated() {
        bytes.storeBytes(of: UInt8(byte), toByteOffset: 12 + offset, as: UInt8.self)
      }
      #expect(packet.copyBytes() == Frame.ethernet().vlan(7).ipv4().udp().payload(count: 20).bytes)
      #expect(packet.vlanTagCount == 1)
      #expect(packet.networkHeaderOffset == 18)
      let removed = packet.remove(4, at: 12)
      #expect(removed)
      #expect(packet.copyBytes() == before)
      #expect(packet.vlanTagCount == 0)
      #expect(packet.udp?.destinationPort == 53)
      pool.free(packet)
    }
  }

  @Test func refusesWhatDoesNotFit() throws {
    try withTestPool { pool in
      var packet = pool.packet(tcp)
      let before = packet.copyBytes()
      let results = [
        packet.insert(129, at: 0), packet.insert(-1, at: 0), packet.insert(4, at: -1),
        packet.insert(4, at: before.count + 1), packet.remove(1, at: before.count),
        packet.remove(before.count + 1, at: 0),
        packet.remove(-1, at: 4), packet.remove(4, at: -1), packet.insert(.max, at: 0), packet.remove(.max, at: 1),
        packet.remove(1, at: .max),
      ]
      #expect(results.allSatisfy { !$0 })
      #expect(packet.copyBytes() == before)
      let fits = packet.insert(128, at: 0)
      #expect(fits)
      #expect(packet.length == before.count + 128)
      pool.free(packet)
    }
  }

  /// After any change of shape a packet is found to be what its bytes say.
  @Test func shapeChangesNeverLeaveStaleFacts() throws {
    var generator = FrameGenerator(seed: 5)
    try withTestPool { pool in
      for _ in 0..<3000 {
        var packet = pool.packet(generator.next())
        _ = Facts(packet)
        let offset = generator.chance(3) ? 12 : generator.number(below: packet.length + 1)
        let count = generator.chance(3) ? 4 : generator.number(below: 40)
        let change: String
        switch generator.number(below: 3) {
        case 0:
          change = "insert \(count) at \(offset)"
          if packet.insert(count, at: offset) {
            // What is inserted is a tag where a tag can stand, and noise elsewhere.
            let tag: [UInt8] = [0x81, 0x00, 0x00, 0x05]
            var bytes = packet.mutableBytes
            for index in 0..<count {
              let byte = offset == 12 && count == 4 ? tag[index] : UInt8(generator.number(below: 256))
              bytes.storeBytes(of: byte, toByteOffset: offset + index, as: UInt8.self)
            }
          }
        case 1:
          change = "remove \(count) at \(offset)"
          _ = packet.remove(count, at: offset)
        default:
          change = "truncate to \(offset)"
          packet.truncate(to: offset)
        }
        let found = Facts(packet)
        let fresh = pool.packet(Frame(packet.copyBytes()))
        #expect(found == Facts(fresh), "\(change)")
        pool.free(packet)
        pool.free(fresh)
      }
    }
  }

  @Test func insertedOuterHeadersAreSeen() throws {
    try withTestPool { pool in
      let inner = Frame.ethernet().ipv4(from: "10.9.9.9").udp(from: 5, to: 6)
      let outer = Frame.ethernet().ipv4().udp(from: 7, to: 4789).payload(Array(repeating: 0, count: 8)).carrying(
        inner, skipping: 0)
      let head = Array(outer.bytes.prefix(50))
      var packet = pool.packet(inner)
      #expect(packet.udp?.sourcePort == 5)
      let inserted = packet.insert(50, at: 0)
      #expect(inserted)
      var bytes = packet.mutableBytes
      for (offset, byte) in head.enumerated() { bytes.storeBytes(of: byte, toByteOffset: offset, as: UInt8.self) }
      #expect(packet.copyBytes() == outer.bytes)
      #expect(packet.vlanTagCount == 0)
      #expect(packet.udp?.destinationPort == 4789)
      pool.free(packet)
    }
  }

  @Test func truncatesAcrossSegments() throws {
    try withTestPool { pool in
      let bytes = tcp.bytes
      for length in 0...bytes.count + 3 {
        var packet = pool.packet(tcp.split(at: 10, 30, 31))
        packet.truncate(to: length)
        #expect(packet.copyBytes() == Array(bytes.prefix(length)))
        #expect(packet.isIPv4 == (length >= bytes.count))
        pool.free(packet)
      }
    }
  }

  @Test func replacesBytes() throws {
    try withTestPool { pool in
      for count in [0, 1, 60, 2048, 2049, 9000, 65_535] {
        var packet = pool.packet(tcp.split(at: 20))
        let contents = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 7) }
        let replaced = packet.replaceBytes(with: contents)
        #expect(replaced)
        #expect(packet.copyBytes() == contents)
        #expect(packet.isIPv4 == false)
        pool.free(packet)
      }
    }
  }

  @Test func replacingWithTooMuchEmptiesThePacket() throws {
    try withTestPool(packets: 16) { pool in
      for count in [65_536, 40_000] {
        var packet = pool.packet(tcp)
        let replaced = packet.replaceBytes(with: [UInt8](repeating: 1, count: count))
        #expect(!replaced)
        #expect(packet.length == 0)
        #expect(packet.segmentCount == 1)
        pool.free(packet)
      }
    }
  }

  @Test func copiesRanges() throws {
    try withTestPool { pool in
      let bytes = tcp.bytes
      let packet = pool.packet(tcp.split(at: 5, 40))
      #expect(packet.copyBytes(in: 3..<50) == Array(bytes[3..<50]))
      #expect(packet.copyBytes(in: 40..<1000) == Array(bytes[40...]))
      #expect(packet.copyBytes(in: 1000..<2000) == [])
      #expect(packet.copyBytes(in: 7..<7) == [])
      pool.free(packet)
    }
  }

  /// What `mutableBytes` changes, the next look at a header sees.
  @Test func headersRewrittenByBytesAreReadAnew() throws {
    try withTestPool { pool in
      var packet = pool.packet(Frame.ethernet().ipv4().udp())
      #expect(packet.isIPv4 == true)
      var bytes = packet.mutableBytes
      bytes.storeBytes(of: 0x4F, toByteOffset: 14, as: UInt8.self)
      // The header now claims 60 bytes of a frame of 42: a view of it would read beyond the packet.
      #expect(packet.isIPv4 == false)
      pool.free(packet)
    }
  }

  // MARK: Sharing

  @Test func writingToOneLeavesItsCloneAlone() throws {
    typealias Write = (inout Packet) -> Void
    let writes: [(String, Write)] = [
      (
        "mutableBytes",
        { packet in
          var bytes = packet.mutableBytes
          for offset in 0..<bytes.byteCount { bytes.storeBytes(of: 0xEE, toByteOffset: offset, as: UInt8.self) }
        }
      ),
      ("ethernet", { packet in packet.mutableEthernet?.swapAddresses() }),
      ("vlan", { packet in packet.mutableVLANTag?.setIdentifier(99) }),
      ("ipv4", { packet in packet.mutableIPv4?.decrementTimeToLive() }),
      ("tcp", { packet in packet.mutableTCP?.setSourcePort(9) }),
      ("insert", { packet in _ = packet.insert(4, at: 12) }),
      ("remove", { packet in _ = packet.remove(4, at: 12) }),
      ("truncate", { packet in packet.truncate(to: 20) }),
      ("replaceBytes", { packet in _ = packet.replaceBytes(with: [UInt8](repeating: 3, count: 100)) }),
    ]
    for (name, write) in writes {
      for frame in [tcp, tcp.split(at: 40), tcp.split(at: 8, 60)] {
        for writesToClone in [false, true] {
          for parsesFirst in [false, true] {
            try withTestPool { pool in
              var original = pool.packet(frame)
              if parsesFirst { _ = original.isIPv4 }
              var clone = pool.clone(original)
              if writesToClone { write(&clone) } else { write(&original) }
              let untouched = writesToClone ? original.copyBytes() : clone.copyBytes()
              let touched = writesToClone ? clone.copyBytes() : original.copyBytes()
              #expect(untouched == frame.bytes, "\(name) on \(writesToClone ? "the clone" : "the original")")
              #expect(touched != frame.bytes, "\(name) changed nothing, with \(frame.splits), parsed \(parsesFirst)")
              pool.free(original)
              pool.free(clone)
            }
          }
        }
      }
    }
  }

  @Test func clonesAreReadLikeTheirOriginal() throws {
    try withTestPool { pool in
      for frame in ParsingTests.shapes {
        for offset in [3, 13, 20, 40] {
          let whole = pool.packet(frame)
          let original = pool.packet(frame.split(at: offset).marked(4))
          let clone = pool.clone(original)
          let second = pool.clone(clone)
          #expect(Facts(clone) == Facts(whole), "split at \(offset)")
          #expect(Facts(second) == Facts(whole), "split at \(offset)")
          #expect(Facts(original) == Facts(whole), "split at \(offset)")
          #expect(clone.mark == 4)
          pool.free(whole)
          pool.free(original)
          pool.free(clone)
          pool.free(second)
        }
      }
    }
  }

  @Test func clonesOutliveTheirOriginal() throws {
    try withTestPool { pool in
      let original = pool.packet(tcp.split(at: 30))
      var clone = pool.clone(original)
      pool.free(original)
      #expect(clone.copyBytes() == tcp.bytes)
      let writable = clone.makeWritable()
      #expect(writable)
      #expect(clone.copyBytes() == tcp.bytes)
      pool.free(clone)
    }
  }

  @Test func emptyPacketsCanBeSharedAndFilled() throws {
    try withTestPool { pool in
      let original = pool.packet(Frame())
      var clone = pool.clone(original)
      let filled = clone.replaceBytes(with: [UInt8](1...3))
      #expect(filled)
      #expect(clone.copyBytes() == [1, 2, 3])
      #expect(original.length == 0)
      pool.free(original)
      pool.free(clone)
    }
  }

  @Test func packetsAtTheirFullLengthCanStillBeUnshared() throws {
    try withTestPool { pool in
      // More bytes in the first segment than a fresh buffer has room for behind its headroom.
      let frame = Frame.ethernet().ipv4().udp().payload(count: 2006)
      var original = pool.packet(frame)
      let inserted = original.insert(4, at: 12)
      #expect(inserted)
      var clone = pool.clone(original)
      let before = clone.copyBytes()
      let writable = clone.makeWritable()
      #expect(writable)
      #expect(clone.copyBytes() == before)
      pool.free(original)
      pool.free(clone)
    }
  }

  @Test func writingWithoutABufferFailsAndChangesNothing() throws {
    try withTestPool(packets: 2) { pool in
      var original = pool.packet(tcp)
      let clone = pool.clone(original)
      switch pool.pool.clone(original) {
      case .some(let another):
        pool.free(another)
        Issue.record("a buffer came from an empty pool")
      case .none: break
      }
      let writable = original.makeWritable()
      #expect(!writable)
      var hasView = false
      if original.mutableIPv4 != nil { hasView = true }
      #expect(!hasView)
      let room = original.mutableBytes.byteCount
      #expect(room == 0)
      let inserted = original.insert(4, at: 12)
      #expect(!inserted)
      #expect(original.copyBytes() == tcp.bytes)
      #expect(original.isIPv4 == true)
      pool.free(original)
      pool.free(clone)
    }
  }

  @Test func packetsLetGoAreCountedAndGivenBack() throws {
    try withTestPool(abandoned: 2) { pool in
      do {
        let packet = pool.packet(tcp.split(at: 9))
        _ = packet.length
      }
      var other = pool.packet(tcp)
      other = pool.packet(tcp)
      pool.free(other)
    }
  }

  // MARK: Checksums

  @Test func mutatorsKeepChecksums() throws {
    try withTestPool { pool in
      var generator = FrameGenerator(seed: 3)
      for _ in 0..<500 {
        var packet = pool.packet(generator.next(.none))
        let had = Dissection(packet.copyBytes()).problems.filter { $0.contains("header checksum") }
        if let ip = packet.mutableIPv4 {
          switch generator.number(below: 5) {
          case 0: ip.decrementTimeToLive()
          case 1: ip.setTimeToLive(UInt8(generator.number(below: 256)))
          case 2: ip.setDSCP(UInt8(generator.number(below: 64)))
          case 3: ip.setSource(IPv4Address(rawValue: UInt32(generator.number(below: 1 << 32))))
          default: ip.setDestination(IPv4Address(rawValue: UInt32(generator.number(below: 1 << 32))))
          }
          _ = ip.isMulticast
        }
        let has = Dissection(packet.copyBytes()).problems.filter { $0.contains("header checksum") }
        #expect(has == had)
        pool.free(packet)
      }
    }
  }

  @Test func portMutatorsKeepChecksums() throws {
    try withTestPool { pool in
      for (index, frame) in [
        Frame.ethernet().ipv4().udp().payload(count: 9), Frame.ethernet().ipv6().tcp().payload(count: 9),
      ].enumerated() {
        for port: UInt16 in [0, 1, 80, 0x7FFF, 0xFFFF, 12_345] {
          var packet = pool.packet(frame)
          if index == 0 {
            packet.mutableUDP?.setSourcePort(port)
            packet.mutableUDP?.setDestinationPort(port ^ 0x55)
          } else {
            packet.mutableTCP?.setSourcePort(port)
            packet.mutableTCP?.setDestinationPort(port ^ 0x55)
          }
          #expect(packet.transportPorts?.source == port)
          #expect(Dissection(packet.copyBytes()).problems == [])
          pool.free(packet)
        }
      }
      var none = pool.packet(Frame.ethernet().ipv4().udp(checksum: .value(0)))
      none.mutableUDP?.setSourcePort(9)
      #expect(none.udp?.checksum == 0)
      pool.free(none)
    }
  }
}
