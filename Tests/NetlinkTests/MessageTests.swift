import CNetlink
import Testing
import Wire

@testable import Netlink

/// Messages made by hand.
struct MessageTests {
  private static func attribute(_ type: UInt16, _ payload: [UInt8]) -> [UInt8] {
    let length = UInt16(payload.count + 4)
    var bytes = [UInt8(length & 255), UInt8(length >> 8), UInt8(type & 255), UInt8(type >> 8)] + payload
    while bytes.count % 4 != 0 { bytes.append(0) }
    return bytes
  }

  private static func number(_ value: UInt32) -> [UInt8] {
    (0..<4).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) }
  }

  private static let hops: [UInt8] =
    [16, 0, 0, 6] + number(4) + attribute(5, [10, 1, 0, 2])
    + [32, 0, 0, 0] + number(5) + attribute(18, [10, 0] + [UInt8](repeating: 0xFD, count: 14) + [0, 1])
    + [16, 0, 1, 0] + number(6) + attribute(5, [10, 1, 0, 3])

  private static let route: [UInt8] =
    [2, 16, 0, 0, 254, 186, 0, 1] + number(0) + attribute(15, number(1000)) + attribute(1, [10, 9, 0, 0])
    + attribute(6, number(20)) + attribute(9, hops)

  private static let link: [UInt8] =
    [0, 0, 1, 0] + number(7) + number(0x1_0043) + number(0) + attribute(3, [0x65, 0x74, 0x68, 0x30, 0])
    + attribute(1, [2, 0, 0, 0, 0, 9]) + attribute(4, number(1500)) + attribute(10, number(3))
    + attribute(0x8000 | 18, attribute(1, [0x76, 0x72, 0x66, 0]) + attribute(2, attribute(1, number(77))))

  private static let address: [UInt8] =
    [2, 24, 0x80, 0] + number(7) + attribute(1, [10, 1, 0, 1]) + attribute(2, [10, 1, 0, 1])
    + attribute(8, number(0x80))

  private static let neighbour: [UInt8] =
    [2, 0, 0, 0] + number(7) + [2, 0, 0, 1] + attribute(1, [10, 1, 0, 2]) + attribute(2, [2, 0, 0, 0, 0, 9])

  private static let nexthop: [UInt8] =
    [0, 0, 0, 0] + number(0) + attribute(1, number(10))
    + attribute(2, number(1) + [2, 0, 0, 0] + number(2) + [0xFF, 0xFF, 0, 0])

  private func read(_ bytes: [UInt8]) -> (RouteMessage?, [KernelHop]) {
    var hops: [KernelHop] = []
    let route = RouteMessage(bytes.message, hops: &hops)
    return (route, hops)
  }

  private func readLink(_ bytes: [UInt8]) -> KernelLink? { KernelLink(bytes.message) }
  private func readAddress(_ bytes: [UInt8]) -> KernelAddress? { KernelAddress(bytes.message) }
  private func readNeighbour(_ bytes: [UInt8]) -> KernelNeighbour? { KernelNeighbour(bytes.message) }
  private func readNexthop(_ bytes: [UInt8]) -> Nexthop? { Nexthop(bytes.message) }

  @Test func aRouteIsRead() throws {
    let (message, hops) = read(Self.route)
    let route = try #require(message)
    #expect(route.prefix == IPPrefix("10.9.0.0/16"))
    #expect(route.kind == .unicast && route.table == 1000 && route.metric == 20 && route.nexthop == 0)
    // The third hop is dead.
    let far = IPAddress.v6(IPv6Address(high: 0xFDFD_FDFD_FDFD_FDFD, low: 0xFDFD_FDFD_FDFD_0001))
    #expect(hops == [hop("10.1.0.2", 4, weight: 7), KernelHop(gateway: far, link: 5, weight: 1)])
  }

  @Test func linksAddressesNeighboursAndNexthopsAreRead() throws {
    let link = try #require(readLink(Self.link))
    #expect(link.name == "eth0" && link.index == 7 && link.mac == MACAddress("02:00:00:00:00:09") && link.mtu == 1500)
    #expect(link.isUp && link.hasCarrier && link.master == 3 && link.vrfTable == 77)
    let address = try #require(readAddress(Self.address))
    #expect(address.address == IPAddress("10.1.0.1") && address.prefixLength == 24 && address.link == 7)
    let neighbour = try #require(readNeighbour(Self.neighbour))
    #expect(neighbour.state == .reachable && neighbour.mac == MACAddress("02:00:00:00:00:09"))
    let nexthop = try #require(readNexthop(Self.nexthop))
    #expect(nexthop.id == 10 && nexthop.kind == .group([.init(id: 1, weight: 3), .init(id: 2, weight: 65536)]))
  }

  @Test func whatIsNoRouteForAllPacketsIsLeftAside() {
    for (offset, value) in [(2, 8), (3, 16), (9, 2), (0, 7), (1, 33)] as [(Int, UInt8)] {
      var bytes = Self.route
      bytes[offset] = value
      #expect(read(bytes).0 == nil, "\(offset)")
    }
  }

  @Test func whatABridgeSaysOfAPortIsLeftAside() {
    var bytes = Self.link
    bytes[0] = UInt8(AF_BRIDGE)
    #expect(readLink(bytes) == nil)
  }

  @Test func truncatedMessagesAreNotRead() {
    // Where an attribute ends a message may end, too.
    let ends = [12, 20, 28, 36]
    for length in 0..<Self.route.count {
      #expect((read(Array(Self.route[..<length])).0 == nil) == !ends.contains(length), "\(length)")
    }
    for length in 0..<12 { #expect(readLink(Array(Self.link[..<length])) == nil) }
    for length in 0..<12 { #expect(readAddress(Array(Self.address[..<length])) == nil) }
    for length in 0..<20 { #expect(readNeighbour(Array(Self.neighbour[..<length])) == nil) }
    for length in 0..<16 { #expect(readNexthop(Array(Self.nexthop[..<length])) == nil) }
  }

  @Test func lengthsThatLieAreNotBelieved() {
    for lie in [0, 3, 200, 255] as [UInt8] {
      for offset in [12, 20, 28, 36] {
        var bytes = Self.route
        bytes[offset] = lie
        #expect(read(bytes).0 == nil, "\(offset) \(lie)")
      }
      var bytes = Self.route
      bytes[40] = lie
      // Hops that cannot be read are not left out as if the others were all.
      #expect(read(bytes).0?.kind == .other, "\(lie)")
    }
    let message =
      Self.number(UInt32(16 + Self.route.count)) + [24, 0, 0, 0] + [UInt8](repeating: 0, count: 8) + Self.route
    for lie in [0, 15, UInt32(17 + Self.route.count), .max] {
      let bytes = message + Self.number(lie) + message[4...]
      var count = 0
      let isSound = bytes.message.forEachMessage { _, _ in count += 1 }
      #expect(!isSound && count == 1, "\(lie)")
    }
  }

  @Test func noBytesCrashTheReader() {
    var dice = Dice(state: 7)
    let samples = [Self.route, Self.link, Self.address, Self.neighbour, Self.nexthop]
    var read = 0
    for _ in 0..<200_000 {
      var bytes = samples.randomElement(using: &dice)!
      for _ in 0..<Int.random(in: 1...4, using: &dice) {
        bytes[Int.random(in: 0..<bytes.count, using: &dice)] = UInt8.random(in: 0...255, using: &dice)
      }
      bytes.removeLast(Int.random(in: 0..<bytes.count, using: &dice) / 2 * Int.random(in: 0...1, using: &dice))
      read += self.read(bytes).0 == nil ? 0 : 1
      read += readLink(bytes) == nil ? 0 : 1
      read += readAddress(bytes) == nil ? 0 : 1
      read += readNeighbour(bytes) == nil ? 0 : 1
      read += readNexthop(bytes) == nil ? 0 : 1
      _ = bytes.message.forEachMessage { _, _ in read += 1 }
    }
    #expect(read > 1000)
  }

  @Test func aRequestIsAsTheKernelExpectsIt() {
    var request = DumpRequest(Int(RTM_GETROUTE), [2] + [UInt8](repeating: 0, count: 11))
    request.append(attribute: 15, 77)
    let bytes = request.message(sequence: 9)
    let header: [UInt8] = [36, 0, 0, 0, 26, 0, 1, 3, 9, 0, 0, 0, 0, 0, 0, 0]
    #expect(Array(bytes[..<16]) == header)
    #expect(Array(bytes[28...]) == Self.attribute(15, Self.number(77)))
  }
}
