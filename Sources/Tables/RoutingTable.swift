public import Wire

/// Longest-prefix match over IPv4 and IPv6 prefixes, immutable once built.
///
/// IPv4 addresses are looked up in steps of 16, 8 and 8 bits, so in one to three loads; IPv6 in 16 and then 8 bits at a
/// time, as far as prefixes go. Every step's entry holds a value, or the number of the next step's 256 entries.
///
/// It cannot be copied, so that readers of a shared one count no references, which other workers would feel.
public struct RoutingTable: ~Copyable, Sendable {
  /// A prefix and what it leads to.
  public struct Route: Hashable, Sendable {
    /// Which destinations.
    public var prefix: IPPrefix
    /// What they lead to; below `valueLimit`.
    public var value: UInt32

    /// A route.
    public init(_ prefix: IPPrefix, _ value: UInt32) {
      self.prefix = prefix
      self.value = value
    }
  }

  /// Values are below this.
  public static let valueLimit: UInt32 = 0x7FFF_FFFF

  @usableFromInline let v4: SteppedTrie
  @usableFromInline let v6: SteppedTrie
  /// How many prefixes there are.
  public let count: Int

  /// Builds a table. Of two routes to the same prefix the later one counts.
  public init(_ routes: [Route]) {
    var v4: [(bits: IPv6Address, length: Int, value: UInt32)] = []
    var v6: [(bits: IPv6Address, length: Int, value: UInt32)] = []
    for route in routes {
      switch route.prefix {
      case .v4(let prefix):
        let bits = IPv6Address(high: UInt64(prefix.address.rawValue) << 32, low: 0)
        v4.append((bits, Int(prefix.length), route.value))
      case .v6(let prefix): v6.append((prefix.address, Int(prefix.length), route.value))
      }
    }
    self.v4 = SteppedTrie(v4)
    self.v6 = SteppedTrie(v6)
    count = routes.count
  }

  /// What the longest prefix that contains an address leads to.
  @inlinable
  public func lookup(_ address: IPv4Address) -> UInt32? {
    let bits = Int(address.rawValue)
    var entry = v4.first(bits >> 16)
    if entry & SteppedTrie.more != 0 {
      entry = v4.next(entry, bits >> 8 & 0xFF)
      if entry & SteppedTrie.more != 0 { entry = v4.next(entry, bits & 0xFF) }
    }
    return entry == 0 ? nil : entry &- 1
  }

  /// What the longest prefix that contains an address leads to.
  @inlinable
  public func lookup(_ address: IPv6Address) -> UInt32? {
    var entry = v6.first(Int(address.high >> 48))
    var depth = 16
    while entry & SteppedTrie.more != 0 {
      let word = depth < 64 ? address.high : address.low
      entry = v6.next(entry, Int(truncatingIfNeeded: word >> UInt64(56 - depth & 63)) & 0xFF)
      depth &+= 8
    }
    return entry == 0 ? nil : entry &- 1
  }
}

/// A trie whose first step takes 16 bits and all others 8.
@safe @usableFromInline
struct SteppedTrie: ~Copyable, @unchecked Sendable {
  /// Set in an entry that leads to a further step; without it an entry is a value plus one, or 0 for none.
  @usableFromInline static var more: UInt32 { 0x8000_0000 }

  @usableFromInline let entries: UnsafeMutablePointer<UInt32>
  @usableFromInline let stepCount: Int

  deinit { unsafe entries.deallocate() }

  /// The entry of the first step for an address's highest 16 bits.
  @inlinable
  func first(_ bits: Int) -> UInt32 { unsafe entries[bits & 0xFFFF] }

  /// The entry of the step that `entry` leads to, for the next 8 bits. Only the table itself makes entries; the check
  /// is there so that a mistake in it would not go unnoticed.
  @inlinable
  func next(_ entry: UInt32, _ bits: Int) -> UInt32 {
    let step = Int(entry & ~Self.more)
    precondition(step < stepCount, "a routing table leads beyond its end")
    return unsafe entries[65_536 &+ step << 8 | bits & 0xFF]
  }

  /// - Parameter prefixes: Bits aligned to the highest.
  init(_ prefixes: [(bits: IPv6Address, length: Int, value: UInt32)]) {
    var root = [UInt32](repeating: 0, count: 65_536)
    var steps: [UInt32] = []
    // Shorter prefixes first: longer ones then overwrite what they cover. The sort must keep the order of equals.
    let ordered = prefixes.enumerated().sorted { ($0.element.length, $0.offset) < ($1.element.length, $1.offset) }
    for (_, prefix) in ordered {
      let entry = min(prefix.value, RoutingTable.valueLimit - 1) + 1
      let first = Int(prefix.bits.high >> 48)
      if prefix.length <= 16 {
        let span = 1 << (16 - prefix.length)
        for slot in first..<first + span { root[slot] = entry }
        continue
      }
      var step = Self.descend(&root[first], &steps)
      var depth = 16
      while prefix.length > depth + 8 {
        let slot = step << 8 | Self.byte(prefix.bits, depth)
        var next = steps[slot]
        step = Self.descend(&next, &steps)
        steps[slot] = next
        depth += 8
      }
      let start = step << 8 | Self.byte(prefix.bits, depth)
      for slot in start..<start + 1 << (depth + 8 - prefix.length) { steps[slot] = entry }
    }
    stepCount = steps.count >> 8
    unsafe entries = .allocate(capacity: root.count + steps.count)
    for (index, entry) in root.enumerated() { unsafe (entries + index).initialize(to: entry) }
    for (index, entry) in steps.enumerated() { unsafe (entries + root.count + index).initialize(to: entry) }
  }

  /// The step that an entry leads to, made if there is none and filled with the entry's value.
  private static func descend(_ entry: inout UInt32, _ steps: inout [UInt32]) -> Int {
    if entry & more != 0 { return Int(entry & ~more) }
    let step = steps.count >> 8
    steps += [UInt32](repeating: entry, count: 256)
    entry = more | UInt32(step)
    return step
  }

  private static func byte(_ bits: IPv6Address, _ depth: Int) -> Int {
    let word = depth < 64 ? bits.high : bits.low
    return Int(truncatingIfNeeded: word >> UInt64(56 - depth & 63)) & 0xFF
  }
}
