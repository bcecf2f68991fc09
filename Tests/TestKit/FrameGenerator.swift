import Dataplane

/// Frames from a seed: sound ones of many shapes, damaged ones, ones that are cut short, and noise. Addresses and ports
/// come from small sets, so that flows repeat. The same seed gives the same frames.
public struct FrameGenerator: Sendable {
  /// What was done to a frame.
  public enum Damage: CaseIterable, Sendable {
    /// Nothing; it is sound, though a checksum may be wrong.
    case none
    /// A few bytes were changed.
    case mutated
    /// The end is missing.
    case truncated
    /// It never was a frame.
    case noise
  }

  private var random: RandomNumbers

  /// A generator for this seed.
  public init(seed: UInt64) { random = RandomNumbers(seed: seed) }

  /// So many frames: six in ten sound, the rest damaged in some way, one in six in several segments.
  public mutating func frames(_ count: Int) -> [Frame] { (0..<count).map { _ in next() } }

  /// The next frame.
  public mutating func next() -> Frame {
    let damage: Damage
    switch number(below: 10) {
    case 0..<6: damage = .none
    case 6, 7: damage = .mutated
    case 8: damage = .truncated
    default: damage = .noise
    }
    return next(damage)
  }

  /// The next frame, damaged in this way.
  public mutating func next(_ damage: Damage) -> Frame {
    var frame = sound()
    switch damage {
    case .none: break
    case .mutated:
      var bytes = frame.bytes
      for _ in 0...number(below: 4) where !bytes.isEmpty {
        // Half of the damage hits the headers.
        let offset = chance(2) ? number(below: min(bytes.count, 64)) : number(below: bytes.count)
        bytes[offset] = UInt8(number(below: 256))
      }
      frame = frame.replacing(bytes)
    case .truncated: frame = frame.replacing(Array(frame.bytes.prefix(number(below: frame.length + 1))))
    case .noise: frame = frame.replacing((0..<number(below: 200)).map { _ in UInt8(number(below: 256)) })
    }
    if chance(6) {
      frame = frame.split(at: (0...number(below: 3)).map { _ in 1 + number(below: max(1, frame.length)) })
    }
    if chance(8) { frame = frame.marked(UInt32(number(below: 4))) }
    return frame
  }

  /// A number from 0 up to and not including `limit`.
  public mutating func number(below limit: Int) -> Int { Int.random(in: 0..<max(1, limit), using: &random) }

  /// True once in so many times.
  public mutating func chance(_ times: Int) -> Bool { number(below: times) == 0 }

  /// One of the choices, of which there must be some.
  public mutating func pick<T>(_ choices: [T]) -> T { choices[number(below: choices.count)] }

  private mutating func sound() -> Frame {
    var frame = Frame.ethernet(
      from: pick(["02:00:00:00:00:01", "02:00:00:00:00:0a"]),
      to: pick(["02:00:00:00:00:02", "ff:ff:ff:ff:ff:ff", "01:00:5e:00:00:05", "33:33:00:00:00:01"]))
    if chance(4) { frame = frame.vlan(pick([0, 5, 7, 4094]), protocolIdentifier: 0x88A8) }
    if chance(3) { frame = frame.vlan(pick([1, 100, 4095]), priority: UInt8(number(below: 8))) }
    switch number(below: 10) {
    case 0..<5: frame = ipv4(frame)
    case 5..<8: frame = ipv6(frame)
    case 8: frame = frame.arp(operation: pick([1, 2, 7]), senderIP: address(), targetIP: address())
    default: frame = frame.payload(count: number(below: 100))
    }
    return chance(3) ? frame.padded() : frame
  }

  private mutating func address() -> String { "10.0.0.\(1 + number(below: 6))" }

  private mutating func ipv4(_ frame: Frame) -> Frame {
    let isFragment = chance(8)
    let offset = isFragment ? pick([0, 0, 8, 1480]) : 0
    let frame = frame.ipv4(
      from: address(), to: pick([address(), "192.0.2.\(number(below: 4))", "224.0.0.1", "255.255.255.255"]),
      ttl: pick([0, 1, 2, 64, 255]), dscp: UInt8(number(below: 64)), ecn: UInt8(number(below: 4)),
      identification: UInt16(number(below: 4)), dontFragment: !isFragment && chance(2),
      moreFragments: isFragment && (offset == 0 || chance(2)), fragmentOffset: offset,
      options: chance(8) ? pick([[1, 1], [7, 7, 4, 0, 0, 0, 0], Array(repeating: 1, count: 40)]) : [],
      checksum: chance(16) ? .wrong : .right)
    return offset > 0 ? frame.payload(count: number(below: 64)) : transport(frame, isIPv4: true)
  }

  private mutating func ipv6(_ frame: Frame) -> Frame {
    var frame = frame.ipv6(
      from: "2001:db8::\(1 + number(below: 4))",
      to: pick(["2001:db8::\(1 + number(below: 4))", "ff02::1", "64:ff9b::a00:1"]),
      hopLimit: pick([0, 1, 2, 64, 255]), trafficClass: UInt8(number(below: 256)),
      flowLabel: UInt32(number(below: 1 << 20)))
    if chance(6) { frame = frame.ipv6Extension(0, content: Array(repeating: 0, count: 6 + 8 * number(below: 3))) }
    if chance(8) { frame = frame.ipv6Extension(pick([43, 60, 135])) }
    if chance(12) { frame = frame.authenticationHeader() }
    if chance(8) {
      let offset = pick([0, 0, 8, 1448])
      frame = frame.ipv6Fragment(offset: offset, moreFragments: chance(2), identification: UInt32(number(below: 4)))
      if offset > 0 { return frame.payload(count: number(below: 64)) }
    }
    return transport(frame, isIPv4: false)
  }

  private mutating func transport(_ frame: Frame, isIPv4: Bool) -> Frame {
    let source = UInt16(pick([1024, 1025, 40_000, 0, 65_535]))
    let destination = UInt16(pick([53, 80, 443, 5060, 0]))
    let payload = chance(10) ? 1200 : number(below: 80)
    let checksum: Frame.ChecksumField = chance(16) ? .wrong : .right
    switch number(below: 8) {
    case 0..<3:
      let none = isIPv4 && chance(6)
      return frame.udp(from: source, to: destination, checksum: none ? .value(0) : checksum).payload(count: payload)
    case 3..<6:
      return frame.tcp(
        from: source, to: destination, sequence: UInt32(truncatingIfNeeded: number(below: 1 << 32)),
        flags: pick(["S", "SA", "A", "PA", "FA", "R", "RA", "", "FSRPAUEC"]),
        options: chance(3) ? [2, 4, 5, 0xB4, 1, 3, 3, 7] : [], checksum: checksum
      ).payload(count: payload)
    case 6:
      if isIPv4 {
        guard chance(3) else {
          return frame.icmp(type: pick([0, 8]), identifier: source, checksum: checksum).payload(count: payload)
        }
        let about = Frame.ethernet().ipv4(from: address(), to: address(), ttl: 1).udp(from: source, to: destination)
        return frame.icmp(type: pick([3, 11, 12]), code: UInt8(number(below: 5)), checksum: checksum).carrying(about)
      }
      guard chance(3) else {
        return frame.icmpv6(type: pick([128, 129, 133, 135, 136]), checksum: checksum).payload(count: payload)
      }
      let about = Frame.ethernet().ipv6(hopLimit: 1).tcp(from: source, to: destination)
      return frame.icmpv6(type: pick([1, 2, 3, 4]), checksum: checksum).carrying(about)
    default: return frame.payload(count: payload)
    }
  }
}

extension Frame {
  /// The same packet with other bytes.
  func replacing(_ bytes: [UInt8]) -> Frame {
    var frame = Frame(bytes)
    (frame.mark, frame.ingressPort) = (mark, ingressPort)
    return frame
  }
}
