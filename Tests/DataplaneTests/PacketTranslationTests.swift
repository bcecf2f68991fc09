import Dataplane
import TestKit
import Testing
import Wire

@Suite struct PacketTranslationTests {
  /// Either end translated, and the frame built anew with the new values, have the same bytes.
  @Test(arguments: 0..<8) func equalsAFrameBuiltAnew(seed: UInt64) throws {
    var random = RandomNumbers(seed: seed)
    try withTestPool { pool in
      for _ in 0..<500 {
        var model = SessionFrame.random(&random)
        let cuts = Bool.random(using: &random) ? [] : [Int.random(in: 1..<model.frame.length, using: &random)]
        var packet = pool.packet(model.frame.split(at: cuts))
        for _ in 0..<3 {
          let address = SessionFrame.address(model.isIPv6, &random)
          let port: UInt16? = Bool.random(using: &random) ? .random(in: 0...(.max), using: &random) : nil
          if Bool.random(using: &random) {
            model.source = address
            model.sourcePort = port ?? model.sourcePort
            confirm(packet.translate(source: address, port: port))
          } else {
            model.destination = address
            if model.hasIdentifier {
              model.sourcePort = port ?? model.sourcePort
            } else {
              model.destinationPort = port ?? model.destinationPort
            }
            confirm(packet.translate(destination: address, port: port))
          }
          #expect(packet.copyBytes() == model.frame.bytes, "\(model)")
        }
        pool.free(packet)
      }
    }
  }

  /// Fragments that are translated one by one are the fragments of the packet translated whole.
  @Test func fragmentsBecomeThoseOfTheTranslatedWhole() throws {
    var random = RandomNumbers(seed: 5)
    try withTestPool { pool in
      for _ in 0..<200 {
        var model = SessionFrame.random(&random)
        // A fragment of SCTP keeps its ports, and the headers have to be whole in the first fragment.
        model.payload = Array(repeating: 0x5A, count: 200)
        let port: UInt16? = model.number == 132 ? nil : .random(in: 0...(.max), using: &random)
        let fragments = model.frame.fragments(of: 64)
        model.source = SessionFrame.address(model.isIPv6, &random)
        model.sourcePort = port ?? model.sourcePort
        let expected = model.frame.fragments(of: 64)
        #expect(fragments.count > 2)
        for (fragment, expected) in zip(fragments, expected) {
          var packet = pool.packet(fragment)
          confirm(packet.translate(source: model.source, port: port))
          #expect(packet.copyBytes() == expected.bytes, "\(model)")
          pool.free(packet)
        }
      }
    }
  }

  /// An SCTP fragment's checksum covers what is not there, so its ports stay and nothing changes.
  @Test func portsOfSCTPFragmentsAreRefused() throws {
    var model = SessionFrame()
    model.number = 132
    model.payload = Array(repeating: 1, count: 100)
    let first = model.frame.fragments(of: 48)[0]
    try withTestPool { pool in
      var packet = pool.packet(first)
      confirm(!packet.translate(source: "10.9.9.9", port: 1))
      #expect(packet.copyBytes() == first.bytes)
      pool.free(packet)
    }
  }

  /// Whatever is no packet of the version, or is cut short in its transport header, is left as it was.
  @Test func refusesWhatIsNotThere() throws {
    let cut = Frame.ethernet().ipv4(protocolNumber: 6).payload(count: 12)
    let frames: [Frame] = [
      .ethernet().arp(), .ethernet().ipv6().udp(), cut, .ethernet().ipv4(protocolNumber: 17).payload(count: 7),
      .ethernet().ipv4(protocolNumber: 1).payload(count: 4), .ethernet().ipv4(protocolNumber: 132).payload(count: 11),
      .ethernet().ipv4(moreFragments: true, protocolNumber: 6).payload(count: 8), Frame([1, 2, 3]),
    ]
    try withTestPool { pool in
      for frame in frames {
        var packet = pool.packet(frame)
        confirm(!packet.translate(source: "10.9.9.9", port: 7))
        confirm(!packet.translate(destination: "10.9.9.9", port: nil))
        #expect(packet.copyBytes() == frame.bytes)
        pool.free(packet)
      }
    }
  }

  /// A copy keeps the bytes it shares with a packet that is translated.
  @Test func copiesAreNotTranslated() throws {
    try withTestPool { pool in
      let frame = Frame.ethernet().ipv4().udp().payload(count: 20)
      var packet = pool.packet(frame)
      let copy = pool.clone(packet)
      confirm(packet.translate(source: "10.9.9.9", port: 7))
      #expect(copy.copyBytes() == frame.bytes)
      #expect(packet.copyBytes() == Frame.ethernet().ipv4(from: "10.9.9.9").udp(from: 7).payload(count: 20).bytes)
      pool.free(packet)
      pool.free(copy)
    }
  }

  /// A flow hash that was asked for before is not that of the packet afterwards.
  @Test(arguments: [false, true]) func flowHashIsComputedAnew(isIPv6: Bool) throws {
    var model = SessionFrame()
    model.isIPv6 = isIPv6
    if isIPv6 { (model.source, model.destination) = ("2001:db8::1", "2001:db8::2") }
    try withTestPool { pool in
      var packet = pool.packet(model.frame)
      let before = packet.flowHash
      model.source = isIPv6 ? "2001:db8::9" : "10.9.9.9"
      confirm(packet.translate(source: model.source, port: nil))
      let fresh = pool.packet(model.frame)
      #expect(packet.flowHash == fresh.flowHash)
      #expect(packet.flowHash != before)
      model.destinationPort = 99
      confirm(packet.translate(destination: model.destination, port: 99))
      let again = pool.packet(model.frame)
      #expect(packet.flowHash == again.flowHash)
      pool.free(packet)
      pool.free(fresh)
      pool.free(again)
    }
  }

  /// Damaged frames neither crash nor change in length, and what was refused is as it was.
  @Test func survivesAnyBytes() throws {
    var frames = FrameGenerator(seed: 3)
    try withTestPool { pool in
      for _ in 0..<5000 {
        let frame = frames.next()
        var packet = pool.packet(frame)
        let isIPv4 = packet.isIPv4
        let done = packet.translateSource(IPv4Address(10, 9, 8, 7), port: 77)
        if done {
          #expect(isIPv4 && packet.ipv4?.source == IPv4Address(10, 9, 8, 7))
          #expect(packet.length == frame.length)
        } else {
          #expect(packet.copyBytes() == frame.bytes)
        }
        if packet.isIPv6 { _ = packet.translateDestination(IPv6Address(high: 1, low: 2), port: 77) }
        pool.free(packet)
      }
    }
  }
}
