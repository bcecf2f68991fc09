import Dataplane
import TestKit
import Testing
import Wire

@Suite struct EmbeddedPacketTests {
  /// An ICMP error about what begins with these bytes, its checksum right.
  private func error(about inner: [UInt8], isIPv6: Bool, type: UInt8? = nil) -> Frame {
    isIPv6
      ? Frame.ethernet().ipv6(from: "2001:db8::fe", to: "2001:db8::1")
        .icmpv6(type: type ?? 1, identifier: 0, sequence: 0).payload(inner)
      : Frame.ethernet().ipv4(from: "10.255.0.1", to: "10.1.2.3")
        .icmp(type: type ?? 3, code: 1, identifier: 0, sequence: 0).payload(inner)
  }

  private func inner(_ model: SessionFrame) -> [UInt8] { Array(model.frame.bytes.dropFirst(14)) }

  private func random(_ random: inout RandomNumbers) -> SessionFrame {
    var model = SessionFrame.random(&random)
    model.vlans = 0
    return model
  }

  private func headerLength(_ model: SessionFrame) -> Int { inner(model).count - model.transport.count }

  /// What is read of an embedded packet is what it was made of, wherever it is cut off.
  @Test(arguments: 0..<4) func readsWhatIsThere(seed: UInt64) throws {
    var numbers = RandomNumbers(seed: seed)
    try withTestPool { pool in
      for _ in 0..<500 {
        let model = random(&numbers)
        let bytes = inner(model)
        let count = Int.random(in: 0...bytes.count, using: &numbers)
        let packet = pool.packet(error(about: Array(bytes.prefix(count)), isIPv6: model.isIPv6))
        let embedded = packet.embedded
        let needed = headerLength(model) + (model.hasPorts || model.isICMP ? 8 : 0)
        #expect((embedded != nil) == (count >= needed), "\(count) of \(needed) \(model)")
        if let embedded {
          #expect(embedded.isIPv6 == model.isIPv6)
          #expect(embedded.protocolNumber.rawValue == model.number)
          #expect(embedded.hasPorts == model.hasPorts)
          #expect(embedded.sourcePort == (model.hasPorts ? model.sourcePort : 0))
          #expect(
            embedded.destinationPort
              == (!model.hasPorts ? 0 : model.hasIdentifier ? model.sourcePort : model.destinationPort))
          #expect(embedded.sequenceNumber == (model.number == 6 ? 0x0102_0304 : nil))
          #expect(embedded.isHeaderChecksumValid)
          #expect(!embedded.isFragment && !embedded.isLaterFragment && !embedded.isError)
          #expect(embedded.claimedLength == bytes.count)
          if model.isIPv6 {
            #expect(embedded.ipv6Source.description == IPv6Address(model.source)!.description)
            #expect(embedded.ipv6Destination.description == IPv6Address(model.destination)!.description)
          } else {
            #expect(embedded.ipv4Source.description == model.source)
            #expect(embedded.ipv4Destination.description == model.destination)
          }
        }
        pool.free(packet)
      }
    }
  }

  /// Translated, an error is the error about the translated packet, wherever that is cut off: all four checksums.
  @Test(arguments: 0..<8) func equalsAnErrorBuiltAnew(seed: UInt64) throws {
    var numbers = RandomNumbers(seed: seed)
    try withTestPool { pool in
      for _ in 0..<400 {
        var model = random(&numbers)
        let needed = headerLength(model) + (model.hasPorts || model.isICMP ? 8 : 0)
        var count = Int.random(in: needed...inner(model).count, using: &numbers)
        // Half a checksum is left alone.
        if model.number == 6, count == headerLength(model) + 17 { count -= 1 }
        let isSCTP = model.number == 132
        var packet = pool.packet(error(about: Array(inner(model).prefix(count)), isIPv6: model.isIPv6))
        for _ in 0..<2 {
          let address = SessionFrame.address(model.isIPv6, &numbers)
          let port: UInt16? = isSCTP || Bool.random(using: &numbers) ? nil : .random(in: 0...(.max), using: &numbers)
          if Bool.random(using: &numbers) {
            model.source = address
            model.sourcePort = port ?? model.sourcePort
            confirm(packet.translateEmbedded(source: address, port: port))
          } else {
            model.destination = address
            if model.hasIdentifier {
              model.sourcePort = port ?? model.sourcePort
            } else {
              model.destinationPort = port ?? model.destinationPort
            }
            confirm(packet.translateEmbedded(destination: address, port: port))
          }
          let expected = error(about: Array(inner(model).prefix(count)), isIPv6: model.isIPv6)
          #expect(packet.copyBytes() == expected.bytes, "\(count) \(model)")
        }
        pool.free(packet)
      }
    }
  }

  /// An embedded SCTP packet gets its ports, and the error's checksum is right; its own is left alone.
  @Test func embeddedSCTPKeepsItsChecksum() throws {
    var model = SessionFrame()
    model.number = 132
    model.payload = [1, 2, 3, 4]
    var expected = inner(model)
    try withTestPool { pool in
      var packet = pool.packet(error(about: expected, isIPv6: false))
      confirm(packet.translateEmbedded(source: model.source, port: 0x1234))
      expected.replaceSubrange(20..<22, with: [0x12, 0x34])
      #expect(packet.copyBytes() == error(about: expected, isIPv6: false).bytes)
      pool.free(packet)
    }
  }

  /// The first of several fragments has ports; the others have addresses that can be translated.
  @Test(arguments: [false, true]) func readsAndTranslatesFragments(isIPv6: Bool) throws {
    var model = SessionFrame()
    model.isIPv6 = isIPv6
    if isIPv6 { (model.source, model.destination) = ("2001:db8::1", "2001:db8::2") }
    model.payload = Array(repeating: 7, count: 100)
    let before = model.frame.fragments(of: 48).map { Array($0.bytes.dropFirst(14)) }
    model.source = isIPv6 ? "2001:db8::9" : "10.9.9.9"
    model.sourcePort = 99
    let after = model.frame.fragments(of: 48).map { Array($0.bytes.dropFirst(14)) }
    try withTestPool { pool in
      for (index, (old, new)) in zip(before, after).enumerated() {
        var packet = pool.packet(error(about: old, isIPv6: isIPv6))
        let found = packet.embedded
        let embedded = try #require(found)
        #expect(embedded.isFragment)
        #expect(embedded.isLaterFragment == (index > 0))
        #expect(embedded.hasPorts == (index == 0))
        #expect((embedded.transportOffset == nil) == (index > 0))
        confirm(packet.translateEmbedded(source: model.source, port: 99))
        #expect(packet.copyBytes() == error(about: new, isIPv6: isIPv6).bytes)
        pool.free(packet)
      }
    }
  }

  /// Lengths that the embedded header claims are not believed, and its checksum need not be right.
  @Test func lyingLengthsDoNotMatter() throws {
    try withTestPool { pool in
      for length in [0, 1, 19, 20, 27, 28, 65_535] {
        let inner = Frame.ethernet().ipv4(totalLength: length, checksum: .wrong).udp(from: 5, to: 6)
        let packet = pool.packet(error(about: Array(inner.bytes.dropFirst(14)), isIPv6: false))
        let found = packet.embedded
        let embedded = try #require(found)
        #expect(embedded.sourcePort == 5 && embedded.destinationPort == 6)
        #expect(embedded.claimedLength == length)
        #expect(!embedded.isHeaderChecksumValid)
        pool.free(packet)
      }
    }
  }

  /// A header length beyond what is embedded, or below 20, another version, and endless extension headers name nothing.
  @Test func refusesWhatNamesNoSession() throws {
    var short = Array(Frame.ethernet().ipv4().udp().bytes.dropFirst(14))
    short[0] = 0x44
    var long = short
    long[0] = 0x4F
    var other = short
    other[0] = 0x65
    let chain = (0..<12).reduce(Frame.ethernet().ipv6()) { frame, _ in frame.ipv6Extension(60) }.udp()
    try withTestPool { pool in
      for frame in [
        error(about: short, isIPv6: false), error(about: long, isIPv6: false), error(about: other, isIPv6: false),
        error(about: Array(chain.bytes.dropFirst(14)), isIPv6: true), error(about: [], isIPv6: true),
        error(about: Array(Frame.ethernet().ipv4().udp().bytes.dropFirst(14)), isIPv6: false, type: 8),
      ] {
        var packet = pool.packet(frame)
        #expect(packet.embedded == nil)
        confirm(!packet.translateEmbedded(source: "10.9.9.9", port: 1))
        confirm(!packet.translateEmbedded(destination: "::1", port: 1))
        #expect(packet.copyBytes() == frame.bytes)
        pool.free(packet)
      }
    }
  }

  /// An error about an error is told apart.
  @Test func errorsAboutErrorsAreKnown() throws {
    let inside = error(about: Array(Frame.ethernet().ipv4().udp().bytes.dropFirst(14)), isIPv6: false)
    try withTestPool { pool in
      let packet = pool.packet(error(about: Array(inside.bytes.dropFirst(14)), isIPv6: false))
      let found = packet.embedded
      let embedded = try #require(found)
      #expect(embedded.isError && !embedded.hasPorts)
      pool.free(packet)
    }
  }

  /// Noise in place of the embedded packet neither crashes nor harms the error's checksum.
  @Test func survivesAnyBytes() throws {
    var numbers = RandomNumbers(seed: 9)
    try withTestPool { pool in
      for _ in 0..<4000 {
        let isIPv6 = Bool.random(using: &numbers)
        var inner = (0..<Int.random(in: 0...120, using: &numbers)).map { _ in UInt8.random(in: 0...255, using: &numbers)
        }
        if !inner.isEmpty { inner[0] = isIPv6 ? 0x60 : 0x40 | UInt8.random(in: 0...15, using: &numbers) }
        if inner.count > 9 {
          inner[isIPv6 ? 6 : 9] = [6, 17, 1, 58, 44, 60, 51, 132].randomElement(using: &numbers)!
        }
        let frame = error(about: inner, isIPv6: isIPv6)
        var packet = pool.packet(frame.split(at: [Int.random(in: 1..<frame.length, using: &numbers)]))
        let wasThere = packet.embedded != nil
        let done = packet.translateEmbedded(source: isIPv6 ? "2001:db8::77" : "10.9.9.9", port: 0xBEEF)
        #expect(done == wasThere)
        #expect(packet.length == frame.length)
        #expect(Dissection(packet.copyBytes()).problems.isEmpty)
        pool.free(packet)
      }
    }
  }
}
