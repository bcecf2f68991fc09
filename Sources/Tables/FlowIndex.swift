public import CTables

/// Where records are found by hash: buckets of eight entries, one cache line each.
///
/// An entry stands in one of two buckets that its hash names; in the first as long as that has a place. A bucket counts
/// those that it sent away to their second, so that most look-ups end after one line, whether they find anything or not.
///
/// A bucket is eight tags of 16 bits (0: free), eight words of 32 (the record's number and two bits), and the count.
@safe @usableFromInline
struct FlowIndex: ~Copyable, @unchecked Sendable {
  /// In a word: the entry is of the record's second key.
  @usableFromInline static var reply: UInt32 { 1 << 31 }
  /// In a word: the entry stands in its second bucket.
  @usableFromInline static var away: UInt32 { 1 << 30 }
  /// In a word: the record's number.
  @usableFromInline static var number: UInt32 { Self.away - 1 }
  /// No entry.
  @usableFromInline static var none: UInt32 { .max }

  @usableFromInline static var bucketSize: Int { 64 }
  @usableFromInline static var wordOffset: Int { 16 }
  @usableFromInline static var awayOffset: Int { 48 }
  /// How many entries a bucket is meant to have at most, on average: eight fit, and at five a second bucket is needed by
  /// one in forty.
  static var load: Int { 5 }

  private let memory: FlowMemory
  @usableFromInline let base: UnsafeMutableRawPointer
  @usableFromInline let mask: Int

  @usableFromInline
  init?(entries: Int) {
    let wanted = max(2, (entries + Self.load - 1) / Self.load)
    let buckets = 1 << (Int.bitWidth - (wanted - 1).leadingZeroBitCount)
    guard let memory = FlowMemory(byteCount: buckets * Self.bucketSize) else { return nil }
    self.memory = memory
    unsafe base = memory.base
    mask = buckets - 1
  }

  var byteCount: Int { (mask + 1) * Self.bucketSize }

  // MARK: Places

  @inlinable
  func first(_ hash: UInt64) -> Int { Int(truncatingIfNeeded: hash) & mask }

  @inlinable
  static func tag(_ hash: UInt64) -> UInt16 {
    let tag = UInt16(truncatingIfNeeded: hash >> 48)
    return tag == 0 ? 1 : tag
  }

  /// The other bucket of an entry that stands in one.
  @inlinable
  func other(_ bucket: Int, _ tag: UInt16) -> Int {
    let spread = UInt64(tag) &* 0x9E37_79B9_7F4A_7C15
    return (bucket ^ Int(truncatingIfNeeded: spread >> 24 | 1)) & mask
  }

  @inlinable
  func pointer(_ bucket: Int) -> UnsafeMutableRawPointer {
    unsafe base + (bucket & mask) &* Self.bucketSize
  }

  @inlinable
  func prefetch(_ bucket: Int) { unsafe nfv_prefetch(pointer(bucket)) }

  /// Where in a bucket a tag stands: a bit for each place, to be read by `place`.
  @inlinable
  func places(_ bucket: Int, of tag: UInt16) -> UInt64 {
    let bucket = unsafe pointer(bucket)
    let wanted = UInt64(tag) &* 0x0001_0001_0001_0001
    let low = unsafe Self.zeros(bucket.load(as: UInt64.self) ^ wanted)
    let high = unsafe Self.zeros(bucket.load(fromByteOffset: 8, as: UInt64.self) ^ wanted)
    return low | high >> 1
  }

  /// The highest bit of every 16 bits that are zero.
  @inlinable
  static func zeros(_ lanes: UInt64) -> UInt64 {
    let rest: UInt64 = 0x7FFF_7FFF_7FFF_7FFF
    return ~(((lanes & rest) &+ rest) | lanes | rest)
  }

  /// The place of the lowest bit that `places` gave.
  @inlinable
  static func place(_ places: UInt64) -> Int {
    let bit = places.trailingZeroBitCount
    return bit >> 4 & 3 | (~bit & 1) << 2
  }

  @inlinable
  func word(_ bucket: Int, _ place: Int) -> UInt32 {
    unsafe pointer(bucket).load(fromByteOffset: Self.wordOffset &+ (place & 7) &* 4, as: UInt32.self)
  }

  /// How many entries a bucket sent to their second.
  @inlinable
  func awayCount(_ bucket: Int) -> UInt32 {
    unsafe pointer(bucket).load(fromByteOffset: Self.awayOffset, as: UInt32.self)
  }

  // MARK: Changes

  @inlinable
  func set(_ bucket: Int, _ place: Int, _ tag: UInt16, _ word: UInt32) {
    let bucket = unsafe pointer(bucket)
    unsafe bucket.storeBytes(of: tag, toByteOffset: (place & 7) &* 2, as: UInt16.self)
    unsafe bucket.storeBytes(of: word, toByteOffset: Self.wordOffset &+ (place & 7) &* 4, as: UInt32.self)
  }

  @inlinable
  func countAway(_ bucket: Int, _ change: Int32) {
    let count = awayCount(bucket) &+ UInt32(bitPattern: change)
    unsafe pointer(bucket).storeBytes(of: count, toByteOffset: Self.awayOffset, as: UInt32.self)
  }

  /// Enters a word. At most one other entry is moved for it, and at most 18 buckets are read.
  /// - Returns: False when there is no place near; nothing was changed then.
  @inlinable
  mutating func insert(_ hash: UInt64, _ word: UInt32) -> Bool {
    let tag = Self.tag(hash)
    let first = first(hash)
    var free = places(first, of: 0)
    if free != 0 {
      set(first, Self.place(free), tag, word)
      return true
    }
    let second = other(first, tag)
    free = places(second, of: 0)
    if free != 0 {
      set(second, Self.place(free), tag, word | Self.away)
      countAway(first, 1)
      return true
    }
    if let place = makePlace(first) {
      set(first, place, tag, word)
      return true
    }
    guard let place = makePlace(second) else { return false }
    set(second, place, tag, word | Self.away)
    countAway(first, 1)
    return true
  }

  /// Moves one of a full bucket's entries to its other bucket.
  @usableFromInline
  mutating func makePlace(_ bucket: Int) -> Int? {
    for place in 0..<8 {
      let tag = unsafe pointer(bucket).load(fromByteOffset: place * 2, as: UInt16.self)
      let target = other(bucket, tag)
      let free = places(target, of: 0)
      guard free != 0 else { continue }
      let moved = word(bucket, place) ^ Self.away
      if moved & Self.away != 0 { countAway(bucket, 1) } else { countAway(target, -1) }
      set(target, Self.place(free), tag, moved)
      return place
    }
    return nil
  }

  /// Takes out a word that was entered with this hash.
  @inlinable
  mutating func remove(_ hash: UInt64, _ word: UInt32) -> Bool {
    let tag = Self.tag(hash)
    let first = first(hash)
    if remove(first, tag, word) { return true }
    guard awayCount(first) != 0, remove(other(first, tag), tag, word | Self.away) else { return false }
    countAway(first, -1)
    return true
  }

  @inlinable
  mutating func remove(_ bucket: Int, _ tag: UInt16, _ word: UInt32) -> Bool {
    var places = places(bucket, of: tag)
    while places != 0 {
      let place = Self.place(places)
      if self.word(bucket, place) == word {
        set(bucket, place, 0, 0)
        return true
      }
      places &= places &- 1
    }
    return false
  }
}
