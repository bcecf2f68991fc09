import Wire

/// A prefix with its value in one word or three; all zeros is none.
protocol PrefixRecord: BitwiseCopyable {
  static var empty: Self { get }
  /// The length plus one above 24 bits of value; 0 for none.
  var meta: UInt32 { get set }
  /// The address in the highest bits of an IPv6 address's width.
  var bits: IPv6Address { get }
  /// A mixture of the address and the length.
  var hash: UInt64 { get }
  init(_ bits: IPv6Address, length: Int, value: UInt32)
  /// Whether the prefixes are the same, whatever the values.
  func isSamePrefix(as other: Self) -> Bool
}

extension PrefixRecord {
  static func meta(length: Int, value: UInt32) -> UInt32 {
    UInt32(truncatingIfNeeded: length + 1) << 24 | value & 0xFF_FFFF
  }
  var length: Int { Int(meta >> 24) - 1 }
  var value: UInt32 { meta & 0xFF_FFFF }
}

/// Both halves of a product with an odd constant, so that each bit of the key reaches the low bits of the mixture.
private func mixture(_ key: UInt64) -> UInt64 {
  let product = key.multipliedFullWidth(by: 0x9E37_79B9_7F4A_7C15)
  return product.high ^ product.low
}

/// An IPv4 prefix and its value in eight bytes: a million of them are looked for in 16 MB.
struct IPv4Record: PrefixRecord {
  private var word: UInt64

  static var empty: IPv4Record { IPv4Record(word: 0) }
  private init(word: UInt64) { self.word = word }

  init(_ bits: IPv6Address, length: Int, value: UInt32) {
    word = bits.high & 0xFFFF_FFFF_0000_0000 | UInt64(Self.meta(length: length, value: value))
  }

  var meta: UInt32 {
    get { UInt32(truncatingIfNeeded: word) }
    set { word = word & 0xFFFF_FFFF_0000_0000 | UInt64(newValue) }
  }

  var bits: IPv6Address { IPv6Address(high: word & 0xFFFF_FFFF_0000_0000, low: 0) }

  var hash: UInt64 { mixture(word & 0xFFFF_FFFF_FF00_0000) }

  func isSamePrefix(as other: IPv4Record) -> Bool { (word ^ other.word) >> 24 == 0 }
}

/// An IPv6 prefix and its value.
struct IPv6Record: PrefixRecord {
  private var high: UInt64
  private var low: UInt64
  var meta: UInt32

  static var empty: IPv6Record { IPv6Record(.unspecified, meta: 0) }

  private init(_ bits: IPv6Address, meta: UInt32) {
    high = bits.high
    low = bits.low
    self.meta = meta
  }

  init(_ bits: IPv6Address, length: Int, value: UInt32) {
    self.init(bits, meta: Self.meta(length: length, value: value))
  }

  var bits: IPv6Address { IPv6Address(high: high, low: low) }

  var hash: UInt64 { mixture(high ^ mixture(low ^ UInt64(meta >> 24))) }

  func isSamePrefix(as other: IPv6Record) -> Bool {
    high == other.high && low == other.low && meta >> 24 == other.meta >> 24
  }
}

/// The routes of a table by their exact prefixes: an open-addressing hash table with linear probing.
struct PrefixMap<Record: PrefixRecord> {
  private var records: [Record]
  private var perLength = [Int](repeating: 0, count: 129)
  private(set) var count = 0

  /// A map that takes `capacity` routes without growing.
  init(capacity: Int) {
    var size = 16
    while size * 3 / 4 < capacity { size *= 2 }
    records = Array(repeating: .empty, count: size)
  }

  var byteCount: Int { records.count * MemoryLayout<Record>.stride }

  /// The place of a prefix, or the free one where it belongs.
  private func place(of record: Record) -> Int {
    let mask = records.count - 1
    var index = Int(truncatingIfNeeded: record.hash) & mask
    while records[index].meta != 0, !records[index].isSamePrefix(as: record) { index = (index + 1) & mask }
    return index
  }

  func value(_ bits: IPv6Address, length: Int) -> UInt32? {
    let found = records[place(of: Record(bits, length: length, value: 0))]
    return found.meta == 0 ? nil : found.value
  }

  /// How many places there are, some of them without a prefix.
  var placeCount: Int { records.count }

  /// The prefix at a place, in the highest bits of an IPv6 address's width, and its value; nil where there is none.
  func entry(at place: Int) -> (bits: IPv6Address, length: Int, value: UInt32)? {
    let record = records[place]
    return record.meta == 0 ? nil : (record.bits, record.length, record.value)
  }

  mutating func insert(_ bits: IPv6Address, length: Int, value: UInt32) {
    let record = Record(bits, length: length, value: value)
    let index = place(of: record)
    if records[index].meta == 0 {
      count += 1
      perLength[length] += 1
    }
    records[index] = record
    if count > records.count * 3 / 4 { grow() }
  }

  private mutating func grow() {
    let old = records
    records = Array(repeating: .empty, count: old.count * 2)
    for record in old where record.meta != 0 { records[place(of: record)] = record }
  }

  /// - Returns: Whether the prefix was there.
  mutating func remove(_ bits: IPv6Address, length: Int) -> Bool {
    var gap = place(of: Record(bits, length: length, value: 0))
    guard records[gap].meta != 0 else { return false }
    count -= 1
    perLength[length] -= 1
    // Whatever probing had pushed beyond the gap moves back, so that no marks of the dead are left.
    let mask = records.count - 1
    var index = gap
    while true {
      index = (index + 1) & mask
      if records[index].meta == 0 { break }
      let home = Int(truncatingIfNeeded: records[index].hash) & mask
      if (index - home) & mask >= (index - gap) & mask {
        records[gap] = records[index]
        gap = index
      }
    }
    records[gap] = .empty
    return true
  }

  /// The longest prefix that contains an address and has one of these lengths.
  func cover(of bits: IPv6Address, lengths: Range<Int>) -> (length: Int, value: UInt32)? {
    for length in lengths.reversed() where perLength[length] > 0 {
      let prefix = IPv6Prefix(masking: bits, length: length)
      if let value = value(prefix.address, length: length) { return (length, value) }
    }
    return nil
  }
}
