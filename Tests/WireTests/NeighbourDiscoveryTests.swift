import Testing
import Wire

private let mac = MACAddress(2, 0, 0, 0, 0, 1)
private let neighbour = MACAddress(2, 0, 0, 0, 0, 2)
private let source = IPv6Address(high: 0xFE80 << 48, low: 1)
private let target = IPv6Address(high: 0x2001_0DB8 << 32, low: 0xAB_CDEF)

private func bytes(_ frame: NeighbourFrame) -> [UInt8] {
  frame.withBytes { span in unsafe span.withUnsafeBytes { unsafe Array($0) } }
}

/// Reads the IPv6 packet of a frame.
private func read(_ bytes: [UInt8], from start: Int = 14) throws(NeighbourDiscovery.Flaw) -> NeighbourDiscovery {
  unsafe try NeighbourDiscovery(packet: bytes.span.bytes.extracting(start..<bytes.count))
}

/// The flaw of a message; nil when it has none.
private func flaw(_ bytes: [UInt8]) -> NeighbourDiscovery.Flaw? {
  do throws(NeighbourDiscovery.Flaw) {
    _ = try read(bytes)
    return nil
  } catch {
    return error
  }
}

@Suite struct NeighbourDiscoveryTests {
  private let solicitation = bytes(NeighbourFrame(soliciting: target, from: source, mac: mac))

  @Test func writtenSolicitationsAreRead() throws {
    let toAll = try read(solicitation)
    #expect(!toAll.isAdvertisement)
    #expect(toAll.source == source)
    #expect(toAll.destination == target.solicitedNode)
    #expect(toAll.target == target)
    #expect(toAll.mac == mac)
    #expect(MACAddress(multicast: target.solicitedNode).octets == Array(solicitation[0..<6]))
    let toOne = bytes(NeighbourFrame(soliciting: target, from: source, mac: mac, neighbour: neighbour))
    #expect(try read(toOne).destination == target)
    #expect(Array(toOne[0..<12]) == neighbour.octets + mac.octets)
    let probe = bytes(NeighbourFrame(soliciting: target, from: .unspecified, mac: mac))
    #expect(try read(probe).mac == nil)
    #expect(probe.count == 78)
  }

  @Test func writtenAdvertisementsAreRead() throws {
    let answer = try read(
      bytes(NeighbourFrame(advertising: target, mac: mac, isRouter: true, to: source, link: neighbour)))
    #expect(answer.isAdvertisement && answer.isRouter && answer.isSolicited && answer.overrides)
    #expect(answer.destination == source && answer.target == target && answer.mac == mac)
    let news = try read(bytes(NeighbourFrame(advertising: target, mac: mac, isRouter: false, to: nil, link: neighbour)))
    #expect(!news.isRouter && !news.isSolicited && news.overrides)
    #expect(news.destination == .allNodes)
  }

  @Test func everyPrefixAndEveryBitFlipIsHandled() {
    for count in 14..<solicitation.count { #expect(flaw(Array(solicitation[..<count])) == .notWhole) }
    // The traffic class, the flow label and the hop limit are not under the checksum.
    for bit in (18 * 8)..<(solicitation.count * 8) where bit / 8 != 20 && bit / 8 != 21 {
      var damaged = solicitation
      damaged[bit / 8] ^= 1 << UInt8(bit % 8)
      #expect(flaw(damaged) != nil, "bit \(bit)")
    }
  }

  /// The message may stand behind extension headers, but not behind a fragment header.
  @Test func rfc6980_5_fragmentsAreRefused() throws {
    func behind(_ header: [UInt8], _ number: UInt8) -> [UInt8] {
      var frame = solicitation
      frame[19] += UInt8(header.count)
      frame[20] = number
      frame.insert(contentsOf: header, at: 54)
      return frame
    }
    #expect(flaw(behind([58, 0, 1, 4, 0, 0, 0, 0], 60)) == nil)
    #expect(flaw(behind([58, 1] + Array(repeating: 0, count: 10), 51)) == nil)
    #expect(flaw(behind([58, 0, 0, 0, 0, 0, 0, 1], 44)) == .fragmented)
    #expect(flaw(behind([44, 0, 1, 4, 0, 0, 0, 0] + [58, 0, 0, 0, 0, 0, 0, 1], 60)) == .fragmented)
    #expect(flaw(behind([58, 200, 1, 4, 0, 0, 0, 0], 60)) == .notWhole)
    #expect(flaw(behind([58, 0, 1, 4, 0, 0, 0, 0], 17)) == .notWhole)
  }

  /// An ARP packet has the fields of RFC 826 in their places.
  @Test func rfc826_packetFormat() {
    let frame = NeighbourFrame(
      arp: 1, to: .broadcast, senderMAC: mac, senderIP: IPv4Address(10, 0, 0, 1), targetMAC: .zero,
      targetIP: IPv4Address(10, 0, 0, 2))
    let expected: [UInt8] =
      [255, 255, 255, 255, 255, 255, 2, 0, 0, 0, 0, 1, 8, 6, 0, 1, 8, 0, 6, 4, 0, 1] + [2, 0, 0, 0, 0, 1, 10, 0, 0, 1]
      + [0, 0, 0, 0, 0, 0, 10, 0, 0, 2]
    #expect(bytes(frame) == expected)
  }
}
