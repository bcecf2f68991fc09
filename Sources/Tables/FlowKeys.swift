public import Wire

/// What identifies a flow in a `FlowTable`: a few plain words.
///
/// Two keys are equal when they belong to the same flow. What `isReversed` says is no part of that.
public protocol FlowKey: BitwiseCopyable, Hashable, Sendable {
  /// 64 bits of which each depends on every bit that counts for equality, differently for every seed.
  func hash(_ seed: FlowSeed) -> UInt64

  /// Whether this is a key for both directions that was made of a packet whose ends had to be exchanged for it.
  var isReversed: Bool { get }
}

extension FlowKey {
  /// False: the key is for one direction.
  @inlinable
  public var isReversed: Bool { false }
}

/// The secret of a table's hash: who does not know it cannot choose flows that collide.
@frozen
public struct FlowSeed: Hashable, Sendable {
  @usableFromInline let a: UInt64
  @usableFromInline let b: UInt64
  @usableFromInline let c: UInt64
  @usableFromInline let d: UInt64

  /// A seed of 128 bits, which should be random unless runs are to be repeated.
  @inlinable
  public init(_ high: UInt64, _ low: UInt64) {
    // The fractional digits of pi, so that a seed of zeros works as well as any.
    a = high ^ 0x243F_6A88_85A3_08D3
    b = low ^ 0x1319_8A2E_0370_7344
    c = Self.fold(a ^ 0xA409_3822_299F_31D0, b ^ 0x082E_FA98_EC4E_6C89)
    d = Self.fold(c ^ a, 0x4528_21E6_38D0_1377) | 1
  }

  /// A seed from a generator.
  @inlinable
  public init(using generator: inout some RandomNumberGenerator) {
    self.init(generator.next(), generator.next())
  }

  /// Both halves of a 128-bit product in one: every bit of either factor reaches every bit.
  @inlinable
  static func fold(_ a: UInt64, _ b: UInt64) -> UInt64 {
    let product = a.multipliedFullWidth(by: b)
    return product.high ^ product.low
  }

  /// The hash of two words.
  @inlinable
  public func hash(_ first: UInt64, _ second: UInt64) -> UInt64 {
    Self.fold(Self.fold(first ^ a, second ^ b) ^ c, d)
  }

  /// The hash of five words.
  @inlinable
  public func hash(_ w0: UInt64, _ w1: UInt64, _ w2: UInt64, _ w3: UInt64, _ w4: UInt64) -> UInt64 {
    let addresses = Self.fold(w0 ^ a, w1 ^ b) &+ Self.fold(w2 ^ c, w3 ^ d)
    return Self.fold(Self.fold(addresses ^ c, w4 ^ a) ^ b, d)
  }
}

/// What a flow's key has besides addresses: ports, protocol, zone, and whether the ends were exchanged.
@frozen @usableFromInline
struct FlowEnds: Sendable {
  /// Ports in bits 0 to 31, the source's first; protocol in 32 to 39; zone in 40 to 55.
  @usableFromInline var word: UInt64

  @usableFromInline static var reversed: UInt64 { 1 << 63 }

  @inlinable
  init(_ sourcePort: UInt16, _ destinationPort: UInt16, _ number: IPProtocol, _ zone: UInt16) {
    word = UInt64(sourcePort) | UInt64(destinationPort) << 16 | UInt64(number.rawValue) << 32 | UInt64(zone) << 40
  }

  @inlinable
  init(word: UInt64) { self.word = word }

  /// What counts for equality.
  @inlinable var identity: UInt64 { word & ~Self.reversed }
  @inlinable var isReversed: Bool { word & Self.reversed != 0 }
  @inlinable var first: UInt16 { UInt16(truncatingIfNeeded: word) }
  @inlinable var second: UInt16 { UInt16(truncatingIfNeeded: word >> 16) }
  @inlinable var number: IPProtocol { IPProtocol(rawValue: UInt8(truncatingIfNeeded: word >> 32)) }
  @inlinable var zone: UInt16 { UInt16(truncatingIfNeeded: word >> 40) }

  /// With the ports exchanged, and marked so.
  @inlinable
  var turned: FlowEnds {
    FlowEnds(word: word & ~0xFFFF_FFFF | word >> 16 & 0xFFFF | (word & 0xFFFF) << 16 | Self.reversed)
  }
}

/// Identifies a flow over IPv4: addresses, ports, protocol, and a zone or VRF. Takes 16 bytes.
///
/// As it is made, a key is for one direction. `eitherWay` is one that both directions have in common.
@frozen
public struct IPv4FlowKey: FlowKey, CustomStringConvertible {
  @usableFromInline let addresses: UInt64
  @usableFromInline let ends: FlowEnds

  /// The key of packets from a source to a destination. ICMP queries have their identifier for both ports.
  @inlinable
  public init(
    source: IPv4Address, destination: IPv4Address, sourcePort: UInt16, destinationPort: UInt16,
    protocol number: IPProtocol, zone: UInt16 = 0
  ) {
    addresses = UInt64(source.rawValue) << 32 | UInt64(destination.rawValue)
    ends = FlowEnds(sourcePort, destinationPort, number, zone)
  }

  @inlinable
  init(addresses: UInt64, ends: FlowEnds) {
    self.addresses = addresses
    self.ends = ends
  }

  /// The key that packets of both directions have in common; `isReversed` tells them apart.
  @inlinable
  public var eitherWay: IPv4FlowKey {
    let source = (addresses >> 32) << 16 | UInt64(ends.first)
    let destination = (addresses & 0xFFFF_FFFF) << 16 | UInt64(ends.second)
    return source > destination
      ? IPv4FlowKey(addresses: addresses << 32 | addresses >> 32, ends: ends.turned) : self
  }

  /// As the packet was that the key was made of; so are the other parts.
  @inlinable
  public var source: IPv4Address {
    IPv4Address(rawValue: UInt32(truncatingIfNeeded: isReversed ? addresses : addresses >> 32))
  }
  /// The destination address.
  @inlinable
  public var destination: IPv4Address {
    IPv4Address(rawValue: UInt32(truncatingIfNeeded: isReversed ? addresses >> 32 : addresses))
  }
  /// The source port.
  @inlinable public var sourcePort: UInt16 { isReversed ? ends.second : ends.first }
  /// The destination port.
  @inlinable public var destinationPort: UInt16 { isReversed ? ends.first : ends.second }
  /// The transport protocol.
  @inlinable public var `protocol`: IPProtocol { ends.number }
  /// The zone or VRF.
  @inlinable public var zone: UInt16 { ends.zone }

  @inlinable public var isReversed: Bool { ends.isReversed }

  /// The key, for one direction, of packets that answer.
  @inlinable
  public var reply: IPv4FlowKey {
    IPv4FlowKey(
      source: destination, destination: source, sourcePort: destinationPort, destinationPort: sourcePort,
      protocol: `protocol`, zone: zone)
  }

  @inlinable
  public func hash(_ seed: FlowSeed) -> UInt64 { seed.hash(addresses, ends.identity) }

  public func hash(into hasher: inout Hasher) {
    hasher.combine(addresses)
    hasher.combine(ends.identity)
  }

  @inlinable
  public static func == (left: IPv4FlowKey, right: IPv4FlowKey) -> Bool {
    // One comparison for all, since a branch for each would be foreseen no better.
    (left.addresses ^ right.addresses) | (left.ends.identity ^ right.ends.identity) == 0
  }

  /// "udp 10.0.0.1:53 > 10.0.0.2:4000 zone 3".
  public var description: String {
    let place = zone == 0 ? "" : " zone \(zone)"
    return "\(`protocol`) \(source):\(sourcePort) > \(destination):\(destinationPort)\(place)"
  }
}

/// Identifies a flow over IPv6: addresses, ports, protocol, and a zone or VRF. Takes 40 bytes.
///
/// As it is made, a key is for one direction. `eitherWay` is one that both directions have in common.
@frozen
public struct IPv6FlowKey: FlowKey, CustomStringConvertible {
  @usableFromInline let first: IPv6Address
  @usableFromInline let second: IPv6Address
  @usableFromInline let ends: FlowEnds

  /// The key of packets from a source to a destination. ICMPv6 queries have their identifier for both ports.
  @inlinable
  public init(
    source: IPv6Address, destination: IPv6Address, sourcePort: UInt16, destinationPort: UInt16,
    protocol number: IPProtocol, zone: UInt16 = 0
  ) {
    self.init(first: source, second: destination, ends: FlowEnds(sourcePort, destinationPort, number, zone))
  }

  @inlinable
  init(first: IPv6Address, second: IPv6Address, ends: FlowEnds) {
    self.first = first
    self.second = second
    self.ends = ends
  }

  /// The key that packets of both directions have in common; `isReversed` tells them apart.
  @inlinable
  public var eitherWay: IPv6FlowKey {
    let turned = (first.high, first.low, ends.first) > (second.high, second.low, ends.second)
    return turned ? IPv6FlowKey(first: second, second: first, ends: ends.turned) : self
  }

  /// As the packet was that the key was made of; so are the other parts.
  @inlinable public var source: IPv6Address { isReversed ? second : first }
  /// The destination address.
  @inlinable public var destination: IPv6Address { isReversed ? first : second }
  /// The source port.
  @inlinable public var sourcePort: UInt16 { isReversed ? ends.second : ends.first }
  /// The destination port.
  @inlinable public var destinationPort: UInt16 { isReversed ? ends.first : ends.second }
  /// The transport protocol.
  @inlinable public var `protocol`: IPProtocol { ends.number }
  /// The zone or VRF.
  @inlinable public var zone: UInt16 { ends.zone }

  @inlinable public var isReversed: Bool { ends.isReversed }

  /// The key, for one direction, of packets that answer.
  @inlinable
  public var reply: IPv6FlowKey {
    IPv6FlowKey(
      source: destination, destination: source, sourcePort: destinationPort, destinationPort: sourcePort,
      protocol: `protocol`, zone: zone)
  }

  @inlinable
  public func hash(_ seed: FlowSeed) -> UInt64 {
    seed.hash(first.high, first.low, second.high, second.low, ends.identity)
  }

  public func hash(into hasher: inout Hasher) {
    hasher.combine(first)
    hasher.combine(second)
    hasher.combine(ends.identity)
  }

  @inlinable
  public static func == (left: IPv6FlowKey, right: IPv6FlowKey) -> Bool {
    (left.first.high ^ right.first.high) | (left.first.low ^ right.first.low)
      | (left.second.high ^ right.second.high) | (left.second.low ^ right.second.low)
      | (left.ends.identity ^ right.ends.identity) == 0
  }

  /// "tcp [2001:db8::1]:53 > [2001:db8::2]:4000 zone 3".
  public var description: String {
    let place = zone == 0 ? "" : " zone \(zone)"
    return "\(`protocol`) [\(source)]:\(sourcePort) > [\(destination)]:\(destinationPort)\(place)"
  }
}
