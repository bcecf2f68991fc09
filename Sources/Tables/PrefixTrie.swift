public import CTables
import Wire

/// A trie over the bits of addresses that is read while it changes.
///
/// The first step takes 24 bits in one load (DIR-24-8), every further one 8. An entry of 32 bits is one of:
///
///     0                              no prefix
///     0 | code | value + 1           bits 31, 30...24, 23...0: the longest prefix here, if none is longer
///     1 | 0 | place                  bits 31, 30, 29...0: the next step, a block of 256 entries in the arena
///     1 | 1 | place                  a leaf in the arena: a single longer prefix is in here, and what holds beside it
///
/// A leaf stands for a whole path of blocks with one prefix at its end, of which IPv6 would have many. The code is the
/// prefix's length less one, and tells whether a prefix that comes or goes reaches the entry.
///
/// Prefixes of up to 8 bits, default routes above all, would fill the first step. They have 256 entries of their own,
/// which are read where nothing else matches; the code in those is the length itself, so that it can be 0.
///
/// There is one writer. It fills blocks and leaves before it links them, and uses unlinked ones again only after all
/// readers have been heard of.
@safe @usableFromInline
struct PrefixTrie: ~Copyable, @unchecked Sendable {
  /// Places in the arena of one size.
  struct Pool {
    fileprivate var free: [UInt32] = []
    fileprivate var retired: [UInt32] = []
    fileprivate var linked = 0

    fileprivate mutating func recycle() {
      free += retired
      retired.removeAll(keepingCapacity: retired.count < 4096)
    }

    fileprivate mutating func retire(_ place: UInt32) {
      retired.append(place)
      linked -= 1
    }
  }

  /// What the writer has to know besides the trie itself.
  struct Pools {
    fileprivate var blocks = Pool()
    fileprivate var leaves = Pool()
    /// Entries of the arena that were given out; the first block is there always, and nothing leads to it.
    fileprivate var used = 256
    fileprivate var grown = Reservation.step / 4

    /// How many blocks and leaves readers may still be at.
    var retiredCount: Int { blocks.retired.count + leaves.retired.count }
    /// How many bytes the blocks and leaves take that something leads to.
    var byteCount: Int { blocks.linked * 1024 + leaves.linked * 32 }

    /// Lets what was unlinked be used again: no reader is there any more.
    mutating func recycle() {
      blocks.recycle()
      leaves.recycle()
    }
  }

  @usableFromInline static var more: UInt32 { 0x8000_0000 }
  @usableFromInline static var leaf: UInt32 { 0x4000_0000 }
  @usableFromInline static var placeMask: UInt32 { 0x3FFF_FFFF }
  @usableFromInline static var valueMask: UInt32 { 0x00FF_FFFF }
  private static var firstCount: Int { 1 << 24 }
  static var firstByteCount: Int { firstCount * 4 }
  private static var restLength: Int { 8 }

  private let firstMemory: Reservation
  private let arenaMemory: Reservation
  @usableFromInline let first: UnsafeMutablePointer<UInt32>
  /// Blocks of 256 entries, and leaves of 8: address (2 and 2, its halves), entry, fallback, nothing (2).
  @usableFromInline let arena: UnsafeMutablePointer<UInt32>
  /// The entries of prefixes of up to `restLength` bits.
  @usableFromInline let rest: UnsafeMutablePointer<UInt32>

  init() throws(TableMemoryError) {
    let firstMemory = try Reservation(byteCount: Self.firstCount * 4 + Reservation.step, usable: true)
    let arenaMemory = try Reservation.make(upTo: 1 << 32)
    try arenaMemory.grow(at: 0)
    unsafe first = firstMemory.base.bindMemory(to: UInt32.self, capacity: Self.firstCount + 256)
    unsafe arena = arenaMemory.base.bindMemory(to: UInt32.self, capacity: 1 << 30)
    unsafe rest = first + Self.firstCount
    self.firstMemory = firstMemory
    self.arenaMemory = arenaMemory
  }

  // MARK: Reading

  /// What an entry without `more` says of an address: a value, or `UInt32.max` for no prefix at all.
  @inlinable
  func value(of entry: UInt32, _ high: UInt64) -> UInt32 {
    var entry = entry
    if entry == 0 { entry = unsafe nfv_load_entry(rest + Int(truncatingIfNeeded: high >> 56)) }
    return (entry & Self.valueMask) &- 1
  }

  @inlinable
  func firstEntry(_ high: UInt64) -> UInt32 {
    unsafe nfv_load_entry(first + Int(truncatingIfNeeded: high >> 40))
  }

  @inlinable
  func prefetchFirst(_ high: UInt64) { unsafe nfv_prefetch(first + Int(truncatingIfNeeded: high >> 40)) }

  /// The bits that choose among a block's entries behind `depth` bits.
  @inlinable
  static func byte(_ high: UInt64, _ low: UInt64, _ depth: Int) -> Int {
    let word = depth < 64 ? high : low
    return Int(truncatingIfNeeded: word &>> UInt64(truncatingIfNeeded: 56 &- depth)) & 0xFF
  }

  /// Where an entry leads to for an address whose next bits are `byte`: a place in a block, or a leaf.
  ///
  /// This and what follows have no branches, because none could be predicted.
  @inlinable
  static func target(_ entry: UInt32, _ byte: Int) -> UInt32 {
    entry & placeMask | UInt32(truncatingIfNeeded: byte) & ((entry >> 30 & 1) &- 1)
  }

  /// 1 for an entry that leads to a block, else 0.
  @inlinable
  static func isBlock(_ entry: UInt32) -> Int { Int(entry >> 31 & ~(entry >> 30)) }

  /// 1 for an entry that leads to a leaf, else 0.
  @inlinable
  static func isLeaf(_ entry: UInt32) -> Int { Int(entry >> 31 & entry >> 30) }

  @inlinable
  func prefetch(_ target: UInt32) { unsafe nfv_prefetch(arena + Int(target)) }

  /// The entry at a place in a block.
  @inlinable
  func entry(at target: UInt32) -> UInt32 { unsafe nfv_load_entry(arena + Int(target)) }

  @inlinable
  func half(_ leaf: UInt32, _ index: Int) -> UInt64 {
    unsafe UnsafeRawPointer(arena + Int(leaf)).load(fromByteOffset: index &* 8, as: UInt64.self)
  }

  /// What a leaf says of an address.
  @inlinable
  func resolve(_ leaf: UInt32, _ high: UInt64, _ low: UInt64) -> UInt32 {
    let own = entry(at: leaf | 4)
    let fallback = entry(at: leaf | 5)
    // Of the low half, the bits behind the 64th count; shifting by 64 at once would shift by none.
    let behind = Int64(own >> 24) &- 63
    let missing = UInt64(bitPattern: (0 &- behind) & (behind &>> 63))
    let highMask = UInt64.max &<< missing
    let lowMask = ~((UInt64.max &>> UInt64(bitPattern: behind &- 1)) &>> 1) & ~UInt64(bitPattern: (behind &- 1) &>> 63)
    let differing = (high ^ half(leaf, 0)) & highMask | (low ^ half(leaf, 1)) & lowMask
    return differing == 0 ? own : fallback
  }

  /// The value for an address, or `UInt32.max`.
  @inlinable
  func lookup(_ high: UInt64, _ low: UInt64) -> UInt32 {
    var entry = firstEntry(high)
    var depth = 24
    while entry & Self.more != 0 {
      if entry & Self.leaf != 0 {
        entry = resolve(entry & Self.placeMask, high, low)
        break
      }
      entry = self.entry(at: Self.target(entry, Self.byte(high, low, depth)))
      depth &+= 8
    }
    return value(of: entry, high)
  }

  // MARK: Writing

  /// Lets the kernel use huge pages for the first step, all of which will then be memory.
  func expectMany() { firstMemory.preferHugePages() }

  /// Which lengths' prefixes take the place of one of `length` bits that goes: the shorter ones of its own tier.
  static func covers(of length: Int) -> Range<Int> { length <= restLength ? 0..<length : restLength + 1..<length }

  private static func entry(length: Int, value: UInt32) -> UInt32 {
    UInt32(length <= restLength ? length : length - 1) << 24 | (value + 1)
  }

  /// The entries that a prefix of at most 24 bits has where blocks are not counted.
  private func span(_ bits: IPv6Address, length: Int) -> UnsafeMutableBufferPointer<UInt32> {
    let width = length <= Self.restLength ? Self.restLength : 24
    let base = unsafe length <= Self.restLength ? rest : first
    return unsafe UnsafeMutableBufferPointer(
      start: base + Int(bits.high >> UInt64(64 - width)), count: 1 << (width - length))
  }

  /// How many blocks a prefix takes at most: one for each step of an IPv6 address, and one of leaves.
  private static var blocksPerPrefix: Int { 14 }

  /// Makes sure that a prefix can be added. To be called before each `add`, which could not give up halfway.
  func makeRoom(_ pools: inout Pools) throws(TableMemoryError) {
    guard pools.grown - pools.used < Self.blocksPerPrefix * 256 else { return }
    do throws(TableMemoryError) {
      try arenaMemory.grow(at: pools.grown * 4)
    } catch {
      guard pools.blocks.free.count >= Self.blocksPerPrefix, !pools.leaves.free.isEmpty else { throw error }
      return
    }
    // The first pages come one by one, so that a small table stays small.
    if pools.grown == Reservation.step / 4 { arenaMemory.preferHugePages() }
    pools.grown += Reservation.step / 4
  }

  /// Puts in a prefix, or gives it another value.
  func add(_ bits: IPv6Address, length: Int, value: UInt32, _ pools: inout Pools) {
    let entry = Self.entry(length: length, value: value)
    if length <= 24 {
      let span = unsafe span(bits, length: length)
      for index in 0..<span.count { unsafe cover(span.baseAddress! + index, entry) }
      return
    }
    var slot = unsafe first + Int(bits.high >> 40)
    var depth = 24
    while true {
      var found = unsafe nfv_load_entry(slot)
      guard found & Self.more != 0 else {
        unsafe nfv_store_entry(slot, makeLeaf(bits, entry: entry, fallback: found, &pools))
        return
      }
      if found & Self.leaf != 0 {
        let leaf = found & Self.placeMask
        if half(leaf, 0) == bits.high && half(leaf, 1) == bits.low && self.entry(at: leaf | 4) >> 24 == entry >> 24 {
          return unsafe nfv_store_entry(arena + Int(leaf | 4), entry)
        }
        found = split(found, depth, &pools)
        unsafe nfv_store_entry(slot, found)
      }
      unsafe slot = arena + Int(Self.target(found, Self.byte(bits.high, bits.low, depth)))
      depth += 8
      if length <= depth {
        for index in 0..<1 << (depth - length) { unsafe cover(slot + index, entry) }
        return
      }
    }
  }

  /// Takes out a prefix that is in the trie.
  /// - Parameter cover: The longest prefix that contains it, of the lengths of `covers(of:)`.
  func remove(
    _ bits: IPv6Address, length: Int, cover: (length: Int, value: UInt32)?, _ pools: inout Pools
  ) {
    let below = cover.map { Self.entry(length: $0.length, value: $0.value) } ?? 0
    let code = Self.entry(length: length, value: 0) >> 24
    if length <= 24 {
      let span = unsafe span(bits, length: length)
      for index in 0..<span.count { unsafe uncover(span.baseAddress! + index, code, below) }
      return
    }
    var slot = unsafe first + Int(bits.high >> 40)
    var depth = 24
    var path: [UnsafeMutablePointer<UInt32>] = unsafe []
    while true {
      let found = unsafe nfv_load_entry(slot)
      guard found & Self.more != 0 else { return }
      if found & Self.leaf != 0 {
        let leaf = found & Self.placeMask
        unsafe nfv_store_entry(slot, entry(at: leaf | 5))
        pools.leaves.retire(leaf)
        break
      }
      unsafe path.append(slot)
      unsafe slot = arena + Int(Self.target(found, Self.byte(bits.high, bits.low, depth)))
      depth += 8
      if length <= depth {
        for index in 0..<1 << (depth - length) { unsafe uncover(slot + index, code, below) }
        break
      }
    }
    depth = unsafe 24 + 8 * path.count
    while let slot = unsafe path.popLast() {
      depth -= 8
      let block = unsafe nfv_load_entry(slot) & Self.placeMask
      guard let entry = summary(block, depth) else { return }
      unsafe nfv_store_entry(slot, entry)
      pools.blocks.retire(block)
    }
  }

  /// Lets an entry, and all that it leads to, follow a prefix that has come, where no longer one does better.
  private func cover(_ slot: UnsafeMutablePointer<UInt32>, _ entry: UInt32) {
    let found = unsafe nfv_load_entry(slot)
    if found >> 24 <= entry >> 24 { return unsafe nfv_store_entry(slot, entry) }
    guard found & Self.more != 0 else { return }
    let place = Int(found & Self.placeMask)
    if found & Self.leaf != 0 { return unsafe cover(arena + (place | 5), entry) }
    for index in 0..<256 { unsafe cover(arena + (place | index), entry) }
  }

  /// Lets an entry, and all that it leads to, follow the shorter prefix where one with `code` has gone.
  private func uncover(_ slot: UnsafeMutablePointer<UInt32>, _ code: UInt32, _ below: UInt32) {
    let found = unsafe nfv_load_entry(slot)
    if found >> 24 == code && found != 0 { return unsafe nfv_store_entry(slot, below) }
    guard found & Self.more != 0 else { return }
    let place = Int(found & Self.placeMask)
    if found & Self.leaf != 0 { return unsafe uncover(arena + (place | 5), code, below) }
    for index in 0..<256 { unsafe uncover(arena + (place | index), code, below) }
  }

  /// A block that has a leaf's prefix in it, `depth` bits down.
  private func split(_ found: UInt32, _ depth: Int, _ pools: inout Pools) -> UInt32 {
    let leaf = found & Self.placeMask
    let block = makeBlock(filledWith: entry(at: leaf | 5), &pools)
    let own = entry(at: leaf | 4)
    let length = Int(own >> 24) + 1
    let start = unsafe arena + Int(Self.target(block, Self.byte(half(leaf, 0), half(leaf, 1), depth)))
    if length > depth + 8 {
      unsafe nfv_store_entry(start, found)
    } else {
      for index in 0..<1 << (depth + 8 - length) { unsafe nfv_store_entry(start + index, own) }
      pools.leaves.retire(leaf)
    }
    return block
  }

  private func makeBlock(filledWith entry: UInt32, _ pools: inout Pools) -> UInt32 {
    let block = pools.blocks.free.popLast() ?? freshBlock(&pools)
    pools.blocks.linked += 1
    for index in 0..<256 { unsafe nfv_store_entry(arena + (Int(block) | index), entry) }
    return Self.more | block
  }

  private func makeLeaf(_ bits: IPv6Address, entry: UInt32, fallback: UInt32, _ pools: inout Pools) -> UInt32 {
    if pools.leaves.free.isEmpty {
      let block = freshBlock(&pools)
      for index in 0..<32 { pools.leaves.free.append(block | UInt32(31 - index) << 3) }
    }
    let leaf = pools.leaves.free.removeLast()
    pools.leaves.linked += 1
    let base = unsafe UnsafeMutableRawPointer(arena + Int(leaf))
    unsafe base.storeBytes(of: bits.high, as: UInt64.self)
    unsafe base.storeBytes(of: bits.low, toByteOffset: 8, as: UInt64.self)
    unsafe nfv_store_entry(arena + Int(leaf | 4), entry)
    unsafe nfv_store_entry(arena + Int(leaf | 5), fallback)
    return Self.more | Self.leaf | leaf
  }

  /// The place of a block that was never used; `makeRoom` has seen to it that there is one.
  private func freshBlock(_ pools: inout Pools) -> UInt32 {
    pools.used += 256
    return UInt32(pools.used - 256)
  }

  /// The entry that can stand for a whole block: what all of its entries are, if that reaches beyond the block, or its
  /// only leaf.
  private func summary(_ block: UInt32, _ depth: Int) -> UInt32? {
    var plain: UInt32?
    var leaf: UInt32?
    for index in 0..<256 {
      let entry = entry(at: block | UInt32(index))
      if entry & Self.more != 0 {
        guard entry & Self.leaf != 0, leaf == nil else { return nil }
        leaf = entry
      } else {
        guard entry == plain ?? entry, entry >> 24 < depth else { return nil }
        plain = entry
      }
    }
    guard let leaf else { return plain }
    return entry(at: leaf & Self.placeMask | 5) == plain ? leaf : nil
  }
}
