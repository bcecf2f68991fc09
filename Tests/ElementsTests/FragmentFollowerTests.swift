import Configuration
import Dataplane
import TestKit
import Testing
import Wire

@testable import Elements

/// Sends UDP packets to even ports by one output, those to odd ports by another, and drops those to port 0; fragments
/// follow.
struct ByParity: Element, ~Copyable {
  enum Output: UInt8, OutputPort {
    case even, odd
    var about: String { "packets of this parity" }
  }
  enum Drop: UInt8, FragmentDropReason {
    case portZero, tinyFragment, duplicateFragment, overlappingFragment, tooManyFragments, evictedFragment
    case firstFragmentLost, firstFragmentRefused
  }

  private var fragments: FragmentFollower<UInt8, Drop>

  init(_ settings: inout Settings) throws(ConfigurationError) { fragments = try FragmentFollower(&settings) }

  var held: Int { fragments.held }
  var counters: [ElementCounter] { [fragments.mostHeld] }

  mutating func start(_ context: inout Context) { fragments.start(&context) }

  mutating func process(_ batch: inout PacketBatch<Self>, _ context: inout Context) {
    let now = context.now
    batch.takeEach { packet, emitter in
      switch fragments.judge(packet, now: now) {
      case .whole:
        let port = Self.port(packet)
        send(packet, port, &emitter)
      case .first(let ticket):
        let port = Self.port(packet)
        if port == 0 {
          fragments.refuse(ticket, now: now)
        } else {
          fragments.settle(ticket, as: UInt8(port & 1), now: now)
        }
        send(packet, port, &emitter)
      case .follows(let parity): emitter.emit(packet, to: parity == 0 ? .even : .odd)
      case .wait(let ticket): fragments.hold(packet, ticket)
      case .drop(let reason): emitter.drop(packet, reason)
      }
      while let released = fragments.popReleased() {
        switch released.fate {
        case .follows(let parity): emitter.emitBehind(released.take(), to: parity == 0 ? .even : .odd)
        case .drop(let reason): emitter.drop(released.take(), reason)
        }
      }
    }
    if let expiry = fragments.nextExpiry { context.wake(at: expiry) }
  }

  mutating func wake(_ batch: inout PacketBatch<Self>, _ context: inout Context) {
    fragments.expire(now: context.now)
    while let released = fragments.popReleased() {
      switch released.fate {
      case .follows(let parity): batch.emit(released.take(), to: parity == 0 ? .even : .odd)
      case .drop(let reason): batch.drop(released.take(), reason)
      }
    }
    if let expiry = fragments.nextExpiry { context.wake(at: expiry) }
  }

  private static func port(_ packet: borrowing Packet) -> UInt16 { packet.transportPorts?.destination ?? 0 }

  private func send(_ packet: consuming Packet, _ port: UInt16, _ emitter: inout Emitter<Self>) {
    if port == 0 {
      emitter.drop(packet, Drop.portZero)
    } else {
      emitter.emit(packet, to: port % 2 == 0 ? .even : .odd)
    }
  }
}

@Suite struct FragmentFollowerTests {
  private func fragments(_ isIPv6: Bool, to port: UInt16, count: Int = 4, id: UInt16 = 1) -> [Frame] {
    let network = isIPv6 ? Frame.ethernet().ipv6() : Frame.ethernet().ipv4()
    return network.udp(to: port).payload(count: count * 24 - 12).fragments(of: 24, identification: id)
  }

  @Test(arguments: [false, true]) func fragmentsInAnyOrderFollowTheFirst(isIPv6: Bool) throws {
    let all = fragments(isIPv6, to: 7)
    try #require(all.count == 4)
    for order in [[0, 1, 2, 3], [3, 2, 1, 0], [1, 3, 0, 2]] {
      let element = try ElementUnderTest(ByParity.self)
      let result = element.push(order.map { all[$0] })
      #expect(Set(result["odd"].map(\.bytes)) == Set(all.map(\.bytes)))
      // What waited leaves behind the first, in the order it came.
      let early = order.prefix { $0 != 0 }
      let expected = [0] + early + order.dropFirst(early.count + 1)
      #expect(result["odd"].map(\.bytes) == expected.map { all[$0].bytes })
      #expect(element.held == 0 && element.nextWake == .never)
    }
  }

  @Test func refusedFirstFragmentsTakeTheOthersAlong() throws {
    let all = fragments(false, to: 0)
    let element = try ElementUnderTest(ByParity.self)
    let result = element.push([all[1], all[0], all[2]])
    #expect(result.drops == ["portZero": 1, "firstFragmentRefused": 2])
  }

  @Test func fragmentsWithoutTheirFirstAreDroppedInTime() throws {
    let element = try ElementUnderTest(ByParity.self)
    #expect(element.push(Array(fragments(true, to: 7).dropFirst())).held == 3)
    #expect(element.advance(by: 1_900_000_000).held == 3)
    let result = element.advance(by: 200_000_000)
    #expect(result.drops == ["firstFragmentLost": 3] && result.held == 0)
  }

  /// A first fragment too small for its transport header is dropped, and the others with it (RFC 1858, 3.1).
  @Test func rfc1858_3_1_tinyFirstFragments() throws {
    let element = try ElementUnderTest(ByParity.self)
    let tiny = Frame.ethernet().ipv4(identification: 9, moreFragments: true, protocolNumber: 6).payload(count: 16)
    let next = Frame.ethernet().ipv4(identification: 9, fragmentOffset: 16, protocolNumber: 6).payload(count: 16)
    #expect(element.push([tiny, next]).drops == ["tinyFragment": 1, "firstFragmentRefused": 1])
  }

  /// A fragment of TCP at offset 8, which could write over the flags, is dropped (RFC 1858, 4.2; RFC 3128).
  @Test func rfc3128_tinyFragmentAtOffsetEight() throws {
    let element = try ElementUnderTest(ByParity.self)
    let next = Frame.ethernet().ipv4(fragmentOffset: 8, protocolNumber: 6).payload(count: 16)
    #expect(element.push(next).drops == ["tinyFragment": 1])
  }

  /// Overlapping fragments end their packet (RFC 5722, 4), in IPv4, too.
  @Test(arguments: [false, true]) func rfc5722_4_overlapsAreDropped(isIPv6: Bool) throws {
    let element = try ElementUnderTest(ByParity.self)
    let all = fragments(isIPv6, to: 7)
    let network = isIPv6 ? Frame.ethernet().ipv6() : Frame.ethernet()
    let overlap =
      isIPv6
      ? network.ipv6Fragment(offset: 16, moreFragments: true, identification: 1, nextHeader: 17).payload(count: 16)
      : network.ipv4(identification: 1, moreFragments: true, fragmentOffset: 16, protocolNumber: 17).payload(count: 16)
    let result = element.push([all[0], overlap, all[1]])
    #expect(result["odd"].map(\.bytes) == [all[0].bytes])
    #expect(result.drops == ["overlappingFragment": 2])
  }

  @Test func lengthsThatCannotBeAreMalformed() throws {
    let element = try ElementUnderTest(ByParity.self)
    let odd = Frame.ethernet().ipv4(moreFragments: true, fragmentOffset: 64, protocolNumber: 17).payload(count: 15)
    let beyond = Frame.ethernet().ipv4(fragmentOffset: 65_528, protocolNumber: 17).payload(count: 16)
    let empty = Frame.ethernet().ipv4(fragmentOffset: 64, protocolNumber: 17)
    #expect(element.push([odd, beyond, empty]).drops == ["malformed": 3])
  }

  @Test func heldFragmentsAreBounded() throws {
    let element = try ElementUnderTest(ByParity.self, settings: "held_fragments: 4")
    for id in 1...20 as ClosedRange<UInt16> { _ = element.push(fragments(false, to: 7, id: id)[1]) }
    #expect(element.held == 4)
    #expect(element.push(fragments(false, to: 7, id: 20)[0])["odd"].count == 2)
    #expect(element.held == 3)
    #expect(element.totals.drops[ByParity.Drop.evictedFragment.reason.code] == 16)
  }

  @Test func survivesAnything() throws {
    let kind = ElementKind(ByParity.self)
    try expectRobust(kind, settings: "{held_fragments: 8, fragmented_packets: 8}")
    try expectRobust(kind, settings: "held_fragments: 8", seed: 2) { frames in
      let pieces = Frame.ethernet().ipv4().udp(to: UInt16(frames.number(below: 3))).payload(count: 40).fragments(
        of: 8, identification: UInt16(frames.number(below: 12)))
      return pieces[frames.number(below: pieces.count)]
    }
  }
}
