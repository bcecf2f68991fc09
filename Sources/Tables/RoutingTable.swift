import Synchronization
public import Wire

/// Longest-prefix match over IPv4 and IPv6 prefixes, which can change while packets are looked up.
///
/// Most IPv4 addresses take one load, as in DIR-24-8; see `PrefixTrie`. Memory grows with the routes: 64 MB and little
/// more for each version once there are many.
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

  /// One step from a set of routes to another.
  public enum Change: Hashable, Sendable {
    /// A route comes, or takes the place of the one to the same prefix.
    case add(Route)
    /// The route to a prefix goes, if there is one.
    case remove(IPPrefix)
  }

  /// Values are below this.
  public static let valueLimit: UInt32 = 0xFF_FFFF

  /// What stands for "no prefix contains the address" among the values of a burst.
  @inlinable public static var none: UInt32 { .max }

  /// How many addresses are looked up side by side; more are taken in turn.
  @usableFromInline static var burst: Int { 256 }

  /// From this number of routes on, the first step is likely to be memory for the most part anyway.
  private static var many: Int { 8192 }
  /// How many unlinked blocks and leaves may wait for readers.
  private static var patience: Int { 1024 }

  /// What only the writer needs.
  private struct Writer {
    var v4: PrefixMap<IPv4Record>
    var v6: PrefixMap<IPv6Record>
    var v4Pools = PrefixTrie.Pools()
    var v6Pools = PrefixTrie.Pools()
  }

  /// The writer's side, behind a reference: those who read a table need not know how it is laid out.
  private final class Writing: Sendable {
    let state: Mutex<Writer>
    init(_ writer: consuming sending Writer) { state = Mutex(writer) }
  }

  @usableFromInline let v4: PrefixTrie
  @usableFromInline let v6: PrefixTrie
  private let writing: Writing

  /// Builds a table. Of two routes to the same prefix the later one counts.
  /// - Throws: When there is no memory for it.
  public init(_ routes: [Route]) throws(TableMemoryError) {
    let v6Count = routes.count { if case .v6 = $0.prefix { true } else { false } }
    var writer = Writer(v4: PrefixMap(capacity: routes.count - v6Count), v6: PrefixMap(capacity: v6Count))
    let v4 = try PrefixTrie()
    let v6 = try PrefixTrie()
    if routes.count - v6Count >= Self.many { v4.expectMany() }
    if v6Count >= Self.many { v6.expectMany() }
    for route in routes {
      try Self.add(route, v4, v6, &writer)
      // Nobody reads yet.
      if writer.v4Pools.retiredCount + writer.v6Pools.retiredCount > Self.patience {
        writer.v4Pools.recycle()
        writer.v6Pools.recycle()
      }
    }
    writer.v4Pools.recycle()
    writer.v6Pools.recycle()
    self.v4 = v4
    self.v6 = v6
    writing = Writing(writer)
  }

  // MARK: Reading

  /// How many prefixes there are.
  public var count: Int { writing.state.withLock { $0.v4.count + $0.v6.count } }

  /// The value of the route to exactly this prefix.
  public func value(of prefix: IPPrefix) -> UInt32? {
    writing.state.withLock { writer in
      switch prefix {
      case .v4(let prefix): writer.v4.value(prefix.bits, length: Int(prefix.length))
      case .v6(let prefix): writer.v6.value(prefix.address, length: Int(prefix.length))
      }
    }
  }

  /// Some of the routes, in no order. A list that is made by several calls lacks none that was there all the time, unless
  /// routes came meanwhile and the table grew.
  /// - Parameters:
  ///   - position: 0 first, then what the call before returned.
  ///   - limit: How much is looked at.
  /// - Returns: Routes, and where to go on; nil at the end.
  public func routes(from position: Int, limit: Int) -> (routes: [Route], next: Int?) {
    writing.state.withLock { writer in
      let (v4, v6) = (writer.v4.placeCount, writer.v6.placeCount)
      let start = min(max(position, 0), v4 + v6)
      let end = min(start + limit, v4 + v6)
      var routes: [Route] = []
      for place in start..<end {
        if place < v4 {
          guard let found = writer.v4.entry(at: place) else { continue }
          let address = IPv4Address(rawValue: UInt32(truncatingIfNeeded: found.bits.high >> 32))
          routes.append(Route(.v4(IPv4Prefix(masking: address, length: found.length)), found.value))
        } else if let found = writer.v6.entry(at: place - v4) {
          routes.append(Route(.v6(IPv6Prefix(masking: found.bits, length: found.length)), found.value))
        }
      }
      return (routes, end < v4 + v6 ? end : nil)
    }
  }

  /// What the longest prefix that contains an address leads to.
  @inlinable
  public func lookup(_ address: IPv4Address) -> UInt32? {
    let value = v4.lookup(UInt64(address.rawValue) << 32, 0)
    return value == Self.none ? nil : value
  }

  /// What the longest prefix that contains an address leads to.
  @inlinable
  public func lookup(_ address: IPv6Address) -> UInt32? {
    let value = v6.lookup(address.high, address.low)
    return value == Self.none ? nil : value
  }

  /// Looks up many addresses at a time, whose loads then overlap.
  /// - Parameter values: Takes what each address leads to, or `none`; at least as many as there are addresses.
  @inlinable
  public func lookup(_ addresses: Span<IPv4Address>, into values: inout MutableSpan<UInt32>) {
    precondition(values.count >= addresses.count, "there is no room for all values")
    var waiting = InlineArray<256, UInt8>(repeating: 0)
    var start = 0
    while start < addresses.count {
      let end = min(start &+ Self.burst, addresses.count)
      var waitingCount = 0
      for index in start..<end {
        let high = UInt64(unsafe addresses[unchecked: index].rawValue) << 32
        let entry = v4.firstEntry(high)
        if entry & PrefixTrie.more == 0 {
          unsafe values[unchecked: index] = v4.value(of: entry, high)
        } else {
          v4.prefetch(PrefixTrie.target(entry, PrefixTrie.byte(high, 0, 24)))
          unsafe values[unchecked: index] = entry
          unsafe waiting[unchecked: waitingCount] = UInt8(truncatingIfNeeded: index &- start)
          waitingCount &+= 1
        }
      }
      for position in 0..<waitingCount {
        let index = start &+ Int(unsafe waiting[unchecked: position])
        let high = UInt64(unsafe addresses[unchecked: index].rawValue) << 32
        var entry = unsafe values[unchecked: index]
        if PrefixTrie.isLeaf(entry) != 0 {
          entry = v4.resolve(entry & PrefixTrie.placeMask, high, 0)
        } else {
          entry = v4.entry(at: PrefixTrie.target(entry, PrefixTrie.byte(high, 0, 24)))
        }
        unsafe values[unchecked: index] = v4.value(of: entry, high)
      }
      start = end
    }
  }

  /// Looks up many addresses at a time, one step of the trie after the other, so that their loads overlap.
  /// - Parameter values: Takes what each address leads to, or `none`; at least as many as there are addresses.
  @inlinable
  public func lookup(_ addresses: Span<IPv6Address>, into values: inout MutableSpan<UInt32>) {
    precondition(values.count >= addresses.count, "there is no room for all values")
    var atBlocks = InlineArray<256, UInt8>(repeating: 0)
    var atLeaves = InlineArray<256, UInt8>(repeating: 0)
    var start = 0
    while start < addresses.count {
      let end = min(start &+ Self.burst, addresses.count)
      var blockCount = 0
      var leafCount = 0
      for index in start..<end {
        let high = unsafe addresses[unchecked: index].high
        let entry = v6.firstEntry(high)
        let leads = 0 &- (entry >> 31)
        let target = PrefixTrie.target(entry, PrefixTrie.byte(high, 0, 24))
        v6.prefetch(target & leads)
        unsafe values[unchecked: index] = target & leads | entry & ~leads
        let offset = UInt8(truncatingIfNeeded: index &- start)
        unsafe atBlocks[unchecked: blockCount] = offset
        blockCount &+= PrefixTrie.isBlock(entry)
        unsafe atLeaves[unchecked: leafCount] = offset
        leafCount &+= PrefixTrie.isLeaf(entry)
      }
      var depth = 32
      while blockCount > 0 {
        var next = 0
        for position in 0..<blockCount {
          let offset = unsafe atBlocks[unchecked: position]
          let index = start &+ Int(offset)
          let address = unsafe addresses[unchecked: index]
          let entry = v6.entry(at: unsafe values[unchecked: index])
          let leads = 0 &- (entry >> 31)
          let target = PrefixTrie.target(entry, PrefixTrie.byte(address.high, address.low, depth))
          v6.prefetch(target & leads)
          unsafe values[unchecked: index] = target & leads | entry & ~leads
          unsafe atBlocks[unchecked: next] = offset
          next &+= PrefixTrie.isBlock(entry)
          unsafe atLeaves[unchecked: leafCount] = offset
          leafCount &+= PrefixTrie.isLeaf(entry)
        }
        blockCount = next
        depth &+= 8
      }
      for position in 0..<leafCount {
        let index = start &+ Int(unsafe atLeaves[unchecked: position])
        let address = unsafe addresses[unchecked: index]
        let entry = v6.resolve(unsafe values[unchecked: index], address.high, address.low)
        unsafe values[unchecked: index] = entry
      }
      for index in start..<end {
        let high = unsafe addresses[unchecked: index].high
        unsafe values[unchecked: index] = v6.value(of: values[unchecked: index], high)
      }
      start = end
    }
  }

  /// How many bytes of memory a table takes.
  public struct Memory: Hashable, Sendable {
    /// What the first steps of both versions take at most; pages that no prefix has touched are not there.
    public var firstSteps: Int
    /// What the further steps take.
    public var linked: Int
    /// What is kept to be able to change the routes.
    public var records: Int
  }

  /// How many bytes of memory the table takes.
  public var memory: Memory {
    writing.state.withLock { writer in
      Memory(
        firstSteps: PrefixTrie.firstByteCount * 2, linked: writer.v4Pools.byteCount + writer.v6Pools.byteCount,
        records: writer.v4.byteCount + writer.v6.byteCount)
    }
  }

  // MARK: Changing

  /// Changes routes one by one while others look addresses up: they find what held before or after each change.
  ///
  /// A change of a prefix of 24 bits or more takes well under a microsecond or two; shorter ones as long as it takes to
  /// rewrite what they cover.
  /// - Parameter waitForReaders: Returns when every reader has been outside the table once since the call, as
  ///   `ReaderDomain.synchronize()` does. It is called now and then, before memory that readers may be at is used again.
  /// - Throws: When memory is out. The changes before that were made; the one at hand and those behind it were not.
  public func apply(
    _ changes: some Sequence<Change>, waitForReaders: () -> Void
  ) throws(TableMemoryError) {
    try writing.state.withLock { writer throws(TableMemoryError) in
      for change in changes {
        switch change {
        case .add(let route): try Self.add(route, v4, v6, &writer)
        case .remove(.v4(let prefix)):
          let length = Int(prefix.length)
          guard writer.v4.remove(prefix.bits, length: length) else { continue }
          let cover = writer.v4.cover(of: prefix.bits, lengths: PrefixTrie.covers(of: length))
          v4.remove(prefix.bits, length: length, cover: cover, &writer.v4Pools)
        case .remove(.v6(let prefix)):
          let length = Int(prefix.length)
          guard writer.v6.remove(prefix.address, length: length) else { continue }
          let cover = writer.v6.cover(of: prefix.address, lengths: PrefixTrie.covers(of: length))
          v6.remove(prefix.address, length: length, cover: cover, &writer.v6Pools)
        }
        guard writer.v4Pools.retiredCount + writer.v6Pools.retiredCount > Self.patience else { continue }
        waitForReaders()
        writer.v4Pools.recycle()
        writer.v6Pools.recycle()
      }
    }
  }

  private static func add(
    _ route: Route, _ v4: borrowing PrefixTrie, _ v6: borrowing PrefixTrie, _ writer: inout Writer
  ) throws(TableMemoryError) {
    precondition(route.value < valueLimit, "the value of a route is too large")
    switch route.prefix {
    case .v4(let prefix):
      try v4.makeRoom(&writer.v4Pools)
      writer.v4.insert(prefix.bits, length: Int(prefix.length), value: route.value)
      if writer.v4.count == many { v4.expectMany() }
      v4.add(prefix.bits, length: Int(prefix.length), value: route.value, &writer.v4Pools)
    case .v6(let prefix):
      try v6.makeRoom(&writer.v6Pools)
      writer.v6.insert(prefix.address, length: Int(prefix.length), value: route.value)
      if writer.v6.count == many { v6.expectMany() }
      v6.add(prefix.address, length: Int(prefix.length), value: route.value, &writer.v6Pools)
    }
  }
}

extension IPv4Prefix {
  /// The address in the highest bits of an IPv6 address's width.
  fileprivate var bits: IPv6Address { IPv6Address(high: UInt64(address.rawValue) << 32, low: 0) }
}
