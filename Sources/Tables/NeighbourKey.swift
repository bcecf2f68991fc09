public import Wire

/// A neighbour's address on the interface that it is a neighbour on.
@frozen
public struct NeighbourKey: Hashable, Sendable, BitwiseCopyable {
  @usableFromInline let high: UInt64
  @usableFromInline let low: UInt64
  /// The interface's number in the upper bits; the lowest says IPv4.
  @usableFromInline let scope: UInt64

  /// An IPv4 neighbour.
  @inlinable
  public init(interface: UInt32, _ address: IPv4Address) {
    high = 0
    low = UInt64(address.rawValue)
    scope = UInt64(interface) << 1 | 1
  }

  /// An IPv6 neighbour.
  @inlinable
  public init(interface: UInt32, _ address: IPv6Address) {
    high = address.high
    low = address.low
    scope = UInt64(interface) << 1
  }

  /// A neighbour of either version.
  @inlinable
  public init(interface: UInt32, _ address: IPAddress) {
    switch address {
    case .v4(let address): self.init(interface: interface, address)
    case .v6(let address): self.init(interface: interface, address)
    }
  }

  @inlinable
  init(high: UInt64, low: UInt64, scope: UInt64) {
    self.high = high
    self.low = low
    self.scope = scope
  }

  /// The interface's number.
  @inlinable public var interface: UInt32 { UInt32(truncatingIfNeeded: scope >> 1) }

  /// The neighbour's address.
  @inlinable
  public var address: IPAddress {
    scope & 1 == 1
      ? .v4(IPv4Address(rawValue: UInt32(truncatingIfNeeded: low))) : .v6(IPv6Address(high: high, low: low))
  }

  /// Mixes interface and address, so that every bit of them reaches every bit of the result.
  @inlinable
  public func mixed(seed: UInt64) -> UInt64 {
    var mixed = (high ^ seed) &* 0x9E37_79B9_7F4A_7C15
    mixed = (mixed ^ mixed >> 32 ^ low) &* 0xFF51_AFD7_ED55_8CCD
    mixed = (mixed ^ mixed >> 33 ^ scope ^ seed) &* 0xC4CE_B9FE_1A85_EC53
    return mixed ^ mixed >> 33
  }
}

/// What a worker that only reads learns of a neighbour: one word, so that address and state belong together.
@frozen
public struct NeighbourReading: Hashable, Sendable, BitwiseCopyable {
  /// The MAC address in the low 48 bits, what to make of it above.
  @usableFromInline let word: UInt64

  @inlinable
  init(word: UInt64) { self.word = word }

  @usableFromInline
  init(_ kind: UInt64, _ mac: MACAddress) { word = kind << 48 | mac.rawValue }

  @inlinable static var incomplete: UInt64 { 1 }
  @inlinable static var failed: UInt64 { 2 }
  @inlinable static var usable: UInt64 { 3 }
  @inlinable static var stale: UInt64 { 4 }

  @inlinable var kind: UInt64 { word >> 48 }

  /// Nothing is known, or it is being changed at the moment: `NeighbourTable.use` tells.
  @inlinable public static var unknown: NeighbourReading { NeighbourReading(word: 0) }
  /// Whether packets can be sent to `mac`.
  @inlinable public var isUsable: Bool { kind >= NeighbourReading.usable }
  /// Whether packets can be sent to `mac` and nothing else needs to be done.
  @inlinable public var isFresh: Bool { kind == NeighbourReading.usable }
  /// Whether the first use is to be told to the table by `NeighbourTable.use`.
  @inlinable public var wantsReport: Bool { kind == NeighbourReading.stale }
  /// Whether resolution is under way.
  @inlinable public var isIncomplete: Bool { kind == NeighbourReading.incomplete }
  /// Whether resolution failed and the neighbour is not asked for again for a while.
  @inlinable public var hasFailed: Bool { kind == NeighbourReading.failed }
  /// The neighbour's hardware address while `isUsable`.
  @inlinable public var mac: MACAddress { MACAddress(rawValue: word) }
}
