public import CTables
import Wire

/// A trie over the bits of addresses that is read while it changes.
///
/// The first step takes 24 bits in one load (DIR-24-8), every further one 8. An entry of 32 bits is one of:
///
///     0                              no prefix
///     0 | code | value + 1           bits 31, 30...24, 23...0: the longest prefix here, if none is longer
///     1 | 0 | block                  bits 31, 30, 29...0: the next step, of 256 entries
///     1 | 1 | leaf                   a single longer prefix is in here, and what holds beside it
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
  /// What a prefix is like that has no other beside it.
  @usableFromInline
  struct Leaf {
    @usableFromInline var high: UInt64
    @usableFromInline var low: UInt64
    @usableFromInline var entry: UInt32
    /// What holds for addresses outside the prefix.
    @usableFromInline var fallback: UInt32
    /// Two leaves share a cache line, and none straddles it.
    private let padding: UInt64 = 0

    init(_ bits: IPv6Address, entry: UInt32, fallback: UInt32) {
      high = bits.high
      low = bits.low
      self.entry = entry
      self.fallback = fallback
    }

    func isSamePrefix(as other: Leaf) -> Bool {
      high == other.high && low == other.low && entry >> 24 == other.entry >> 24
    }
  }

  /// Which blocks or leaves there are: the writer's side of a table.
  struct Pool {
    fileprivate var used = 0
    fileprivate var grown = 0
    fileprivate var free: [UInt32] = []
    fileprivate var retired: [UInt32] = []
  }

  /// What the writer has to know besides the trie itself.
  struct Pools {
    fileprivate var blocks = Pool()
    fileprivate var leaves = Pool()

    /// How many blocks and leaves readers may still be at.
    var retiredCount: Int { blocks.retired.count + leaves.retired.count }
    /// How many bytes the blocks and leaves take that are linked or may still be read.
    var byteCount: Int { (blocks.used - blocks.free.count) * 1024 + (leaves.used - leaves.free.count) * 32 }

    /// Lets what was unlinked be used again: no reader is there any more.
    mutating func recycle() {
      blocks.recycle()
      leaves.recycle()
    }
  }

  @usableFromInline static var more: UInt32 { 0x8000_0000 }
  @usableFromInline static var leaf: UInt32 { 0x4000_0000 }
  @usableFromInline static var numberMask: UInt32 { 0x3FFF_FFFF }
  @usableFromInline static var valueMask: UInt32 { 0x00FF_FFFF }
  private static var firstCount: Int { 1 << 24 }
  private static var restLength: Int { 8 }

  private let firstMemory: Reservation
  private let blockMemory: Reservation
  private let leafMemory: Reservation
  @usableFromInline let first: UnsafeMutablePointer<UInt32>
  @usableFromInline let blocks: UnsafeMutablePointer<UInt32>
  @usableFromInline let leaves: UnsafeMutablePointer<Leaf>
  /// The entries of prefixes of up to `restLength` bits.
  @usableFromInline let rest: UnsafeMutablePointer<UInt32>

  init() {
    precondition(MemoryLayout<Leaf>.offset(of: \.entry) == 16 && MemoryLayout<Leaf>.offset(of: \.fallback) == 20)
    firstMemory = Reservation(byteCount: Self.firstCount * 4 + Reservation.step, usable: true)
    blockMemory = Reservation(byteCount: 1 << 33, usable: false)
    leafMemory = Reservation(byteCount: 1 << 32, usable: false)
    unsafe first = firstMemory.base.bindMemory(to: UInt32.self, capacity: Self.firstCount + 256)
    unsafe blocks = blockMemory.base.bindMemory(to: UInt32.self, capacity: blockMemory.byteCount / 4)
    unsafe leaves = leafMemory.base.bindMemory(to: Leaf.self, capacity: leafMemory.byteCount / 32)
    unsafe rest = first + Self.firstCount
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

  @inlinable
  static func entry(of leaf: UnsafeMutablePointer<Leaf>) -> UnsafeMutablePointer<UInt32> {
    unsafe UnsafeMutableRawPointer(leaf).advanced(by: 16).assumingMemoryBound(to: UInt32.self)
  }

  @inlinable
  static func fallback(of leaf: UnsafeMutablePointer<Leaf>) -> UnsafeMutablePointer<UInt32> {
    unsafe UnsafeMutableRawPointer(leaf).advanced(by: 20).assumingMemoryBound(to: UInt32.self)
  }

  /// Begins to bring near what `follow` will read.
  @inlinable
  func prefetch(_ entry: UInt32, _ high: UInt64, _ low: UInt64, _ depth: Int) {
    let number = Int(entry & Self.numberMask)
    if entry & Self.leaf != 0 {
      unsafe nfv_prefetch(leaves + number)
    } else {
      unsafe nfv_prefetch(blocks + (number &<< 8 | Self.byte(high, low, depth)))
    }
  }

  /// The entry that one with `more` leads to for an address, whose `depth` bits led here.
  @inlinable
  func follow(_ entry: UInt32, _ high: UInt64, _ low: UInt64, _ depth: Int) -> UInt32 {
    let number = Int(entry & Self.numberMask)
    guard entry & Self.leaf != 0 else {
      return unsafe nfv_load_entry(blocks + (number &<< 8 | Self.byte(high, low, depth)))
    }
    let leaf = unsafe leaves + number
    let entry = unsafe nfv_load_entry(Self.entry(of: leaf))
    let length = UInt64(entry >> 24) &+ 1
    let differs =
      if length <= 64 {
        unsafe (high ^ leaf.pointee.high) &>> (64 &- length)
      } else {
        unsafe (high ^ leaf.pointee.high) | (low ^ leaf.pointee.low) &>> (128 &- length)
      }
    return differs == 0 ? entry : unsafe nfv_load_entry(Self.fallback(of: leaf))
  }

  /// The value for an address, or `UInt32.max`.
  @inlinable
  func lookup(_ high: UInt64, _ low: UInt64) -> UInt32 {
    var entry = firstEntry(high)
    var depth = 24
    while entry & Self.more != 0 {
      entry = follow(entry, high, low, depth)
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
        unsafe nfv_store_entry(slot, makeLeaf(Leaf(bits, entry: entry, fallback: found), &pools))
        return
      }
      if found & Self.leaf != 0 {
        let leaf = unsafe leaves + Int(found & Self.numberMask)
        if unsafe leaf.pointee.isSamePrefix(as: Leaf(bits, entry: entry, fallback: 0)) {
          return unsafe nfv_store_entry(Self.entry(of: leaf), entry)
        }
        found = split(found, depth, &pools)
        unsafe nfv_store_entry(slot, found)
      }
      unsafe slot = blocks + (Int(found & Self.numberMask) << 8 | Self.byte(bits.high, bits.low, depth))
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
      let number = found & Self.numberMask
      if found & Self.leaf != 0 {
        unsafe nfv_store_entry(slot, leaves[Int(number)].fallback)
        pools.leaves.retired.append(number)
        break
      }
      unsafe path.append(slot)
      unsafe slot = blocks + (Int(number) << 8 | Self.byte(bits.high, bits.low, depth))
      depth += 8
      if length <= depth {
        for index in 0..<1 << (depth - length) { unsafe uncover(slot + index, code, below) }
        break
      }
    }
    depth = unsafe 24 + 8 * path.count
    while let slot = unsafe path.popLast() {
      depth -= 8
      let number = unsafe nfv_load_entry(slot) & Self.numberMask
      guard let entry = unsafe summary(blocks + Int(number) << 8, depth) else { return }
      unsafe nfv_store_entry(slot, entry)
      pools.blocks.retired.append(number)
    }
  }

  /// Lets an entry, and all that it leads to, follow a prefix that has come, where no longer one does better.
  private func cover(_ slot: UnsafeMutablePointer<UInt32>, _ entry: UInt32) {
    let found = unsafe nfv_load_entry(slot)
    if found >> 24 <= entry >> 24 { return unsafe nfv_store_entry(slot, entry) }
    guard found & Self.more != 0 else { return }
    let number = Int(found & Self.numberMask)
    if found & Self.leaf != 0 { return unsafe cover(Self.fallback(of: leaves + number), entry) }
    for index in 0..<256 { unsafe cover(blocks + (number << 8 | index), entry) }
  }

  /// Lets an entry, and all that it leads to, follow the shorter prefix where one with `code` has gone.
  private func uncover(_ slot: UnsafeMutablePointer<UInt32>, _ code: UInt32, _ below: UInt32) {
    let found = unsafe nfv_load_entry(slot)
    if found >> 24 == code && found != 0 { return unsafe nfv_store_entry(slot, below) }
    guard found & Self.more != 0 else { return }
    let number = Int(found & Self.numberMask)
    if found & Self.leaf != 0 { return unsafe uncover(Self.fallback(of: leaves + number), code, below) }
    for index in 0..<256 { unsafe uncover(blocks + (number << 8 | index), code, below) }
  }

  /// A block that has a leaf's prefix in it, `depth` bits down.
  private func split(_ entry: UInt32, _ depth: Int, _ pools: inout Pools) -> UInt32 {
    let number = entry & Self.numberMask
    let leaf = unsafe leaves[Int(number)]
    let block = Int(pools.blocks.take(blockMemory, stride: 1024))
    let base = unsafe blocks + block << 8
    for index in 0..<256 { unsafe nfv_store_entry(base + index, leaf.fallback) }
    let length = Int(leaf.entry >> 24) + 1
    let start = unsafe base + Self.byte(leaf.high, leaf.low, depth)
    if length > depth + 8 {
      unsafe nfv_store_entry(start, entry)
    } else {
      for index in 0..<1 << (depth + 8 - length) { unsafe nfv_store_entry(start + index, leaf.entry) }
      pools.leaves.retired.append(number)
    }
    return Self.more | UInt32(block)
  }

  private func makeLeaf(_ leaf: Leaf, _ pools: inout Pools) -> UInt32 {
    let number = pools.leaves.take(leafMemory, stride: 32)
    unsafe (leaves + Int(number)).initialize(to: leaf)
    return Self.more | Self.leaf | number
  }

  /// The entry that can stand for a whole block: what all of its entries are, if that reaches beyond the block, or its
  /// only leaf.
  private func summary(_ block: UnsafeMutablePointer<UInt32>, _ depth: Int) -> UInt32? {
    var plain: UInt32?
    var leaf: UInt32?
    for index in 0..<256 {
      let entry = unsafe nfv_load_entry(block + index)
      if entry & Self.more != 0 {
        guard entry & Self.leaf != 0, leaf == nil else { return nil }
        leaf = entry
      } else {
        guard entry == plain ?? entry, entry >> 24 < depth else { return nil }
        plain = entry
      }
    }
    guard let leaf else { return plain }
    return unsafe leaves[Int(leaf & Self.numberMask)].fallback == plain ? leaf : nil
  }
}

extension PrefixTrie.Pool {
  fileprivate mutating func recycle() {
    free += retired
    retired.removeAll(keepingCapacity: retired.count < 4096)
  }

  /// The number of one that nothing leads to.
  fileprivate mutating func take(_ memory: borrowing Reservation, stride: Int) -> UInt32 {
    if let number = free.popLast() { return number }
    if (used + 1) * stride > grown {
      // The first pages come one by one, so that a small table stays small.
      if grown == Reservation.step { memory.preferHugePages() }
      memory.grow(at: grown)
      grown += Reservation.step
    }
    used += 1
    return UInt32(used - 1)
  }
}
