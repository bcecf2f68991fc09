import Dataplane
import Tables

/// Boxes that are looked up by the bits they look at: for each set of bits a hash table of what they must be.
struct ExactRules: Sendable {
  private struct Entry: BitwiseCopyable, Sendable {
    var values: KeyWords
    /// The rule's number plus one; 0 in a free place.
    var rule: UInt32
  }

  /// Boxes that look at the same bits. Their places in the table are a power of two, at most half of them taken.
  private struct Group: BitwiseCopyable, Sendable {
    var kinds: UInt8
    var masks: KeyWords
    var first: Int
    var last: Int
  }

  struct Builder {
    private var entries: [Entry] = []
    private var groups: [Group] = []

    /// Whether all boxes are such that they can be hashed.
    mutating func add(_ terms: [Packed], _ kinds: PacketKind) -> Bool {
      guard terms.allSatisfy(\.isExact) else { return false }
      for (masks, boxes) in Dictionary(grouping: terms, by: \.masks).sorted(by: { $0.value[0].rule < $1.value[0].rule })
      {
        var rules: [[UInt64]: UInt32] = [:]
        for box in boxes { rules[box.values] = min(box.rule, rules[box.values] ?? .max) }
        var places = 4
        while places < rules.count * 2 { places *= 2 }
        let group = Group(
          kinds: kinds.rawValue, masks: KeyWords(masks), first: entries.count, last: places - 1)
        groups.append(group)
        entries += Array(
          repeating: Entry(values: KeyWords(Array(repeating: 0, count: 8)), rule: 0), count: places)
        for (values, rule) in rules.sorted(by: { $0.value < $1.value }) {
          let words = KeyWords(values)
          var place = ExactRules.hash(words) & group.last
          while entries[group.first + place].rule != 0 { place = (place + 1) & group.last }
          entries[group.first + place] = Entry(values: words, rule: rule + 1)
        }
      }
      return true
    }

    func build() -> ExactRules { ExactRules(entries: FlatArray(entries), groups: FlatArray(groups)) }
  }

  private let entries: FlatArray<Entry>
  private let groups: FlatArray<Group>

  var isEmpty: Bool { groups.count == 0 }

  @inline(__always)
  func match(_ burst: borrowing LookupBurst<RuleKey>, _ packets: Int) {
    for number in 0..<groups.count {
      let group = groups[number]
      for index in 0..<packets where burst.kind(index) & group.kinds != 0 {
        let words = Self.masked(burst.key(index), group.masks)
        var place = Self.hash(words) & group.last
        while true {
          let entry = entries[group.first &+ place]
          if entry.rule == 0 { break }
          if Self.equal(entry.values, words) {
            burst.note(index, entry.rule &- 1)
            break
          }
          place = (place &+ 1) & group.last
        }
      }
    }
  }

  @inline(__always)
  private static func masked(_ key: RuleKey, _ masks: KeyWords) -> KeyWords {
    var words = masks
    words.word0 &= key.word0
    words.word1 &= key.word1
    words.word2 &= key.word2
    words.word3 &= key.word3
    words.word4 &= key.word4
    words.word5 &= key.word5
    words.word6 &= key.word6
    words.word7 &= key.word7
    return words
  }

  @inline(__always)
  private static func equal(_ left: KeyWords, _ right: KeyWords) -> Bool {
    let low =
      (left.word0 ^ right.word0) | (left.word1 ^ right.word1) | (left.word2 ^ right.word2)
      | (left.word3 ^ right.word3)
    let high =
      (left.word4 ^ right.word4) | (left.word5 ^ right.word5) | (left.word6 ^ right.word6)
      | (left.word7 ^ right.word7)
    return low | high == 0
  }

  /// Multiplies each word by an odd constant of its own and mixes the sum. Only rules stand in the table, so traffic
  /// cannot make it slow.
  @inline(__always)
  private static func hash(_ words: KeyWords) -> Int {
    let low =
      words.word0 &* 0x9E37_79B9_7F4A_7C15 &+ words.word1 &* 0xC2B2_AE3D_27D4_EB4F
      &+ words.word2 &* 0x1656_67B1_9E37_79F9 &+ words.word3 &* 0xD6E8_FEB8_6659_FD93
    let high =
      words.word4 &* 0xFF51_AFD7_ED55_8CCD &+ words.word5 &* 0xC4CE_B9FE_1A85_EC53
      &+ words.word6 &* 0xBF58_476D_1CE4_E5B9 &+ words.word7 &* 0x94D0_49BB_1331_11EB
    var mixed = low ^ (high << 31 | high >> 33)
    mixed = (mixed ^ (mixed >> 32)) &* 0x9E37_79B9_7F4A_7C15
    return Int(truncatingIfNeeded: mixed >> 32)
  }
}
