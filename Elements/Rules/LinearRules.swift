import Dataplane
import Tables

/// The eight words of a key's mask or of what stands under it, in network byte order.
struct KeyWords: BitwiseCopyable, Sendable {
  var word0: UInt64, word1: UInt64, word2: UInt64, word3: UInt64
  var word4: UInt64, word5: UInt64, word6: UInt64, word7: UInt64

  /// - Parameter words: Eight words in the host's byte order.
  init(_ words: [UInt64]) {
    word0 = words[0].bigEndian
    word1 = words[1].bigEndian
    word2 = words[2].bigEndian
    word3 = words[3].bigEndian
    word4 = words[4].bigEndian
    word5 = words[5].bigEndian
    word6 = words[6].bigEndian
    word7 = words[7].bigEndian
  }
}

/// Boxes that are looked at one after the other.
struct LinearRules: Sendable {
  private struct Box: BitwiseCopyable, Sendable {
    var masks: KeyWords
    var values: KeyWords
    var rule: UInt32
    var firstRange: UInt32
    var rangeCount: UInt32
  }

  /// A range that no mask expresses.
  private struct Range: BitwiseCopyable, Sendable {
    var word: UInt8
    var shift: UInt8
    var mask: UInt32
    var low: UInt32
    var span: UInt32
  }

  private struct Group: BitwiseCopyable, Sendable {
    var kinds: UInt8
    var first: Int
    var end: Int
  }

  struct Builder {
    private var boxes: [Box] = []
    private var ranges: [Range] = []
    private var groups: [Group] = []

    mutating func add(_ terms: [Packed], _ kinds: PacketKind) {
      groups.append(Group(kinds: kinds.rawValue, first: boxes.count, end: boxes.count + terms.count))
      for term in terms {
        boxes.append(
          Box(
            masks: KeyWords(term.masks), values: KeyWords(term.values), rule: term.rule,
            firstRange: UInt32(ranges.count), rangeCount: UInt32(term.ranges.count)))
        ranges += term.ranges.map { place, low, high in
          Range(
            word: UInt8(place.word), shift: UInt8(place.shift), mask: UInt32(truncatingIfNeeded: place.mask), low: low,
            span: high - low)
        }
      }
    }

    func build() -> LinearRules {
      LinearRules(boxes: FlatArray(boxes), ranges: FlatArray(ranges), groups: FlatArray(groups))
    }
  }

  private let boxes: FlatArray<Box>
  private let ranges: FlatArray<Range>
  private let groups: FlatArray<Group>

  var isEmpty: Bool { groups.count == 0 }

  @inline(__always)
  func match(_ burst: borrowing LookupBurst<RuleKey>, _ packets: Int) {
    for number in 0..<groups.count {
      let group = groups[number]
      for index in 0..<packets where burst.kind(index) & group.kinds != 0 {
        let key = burst.key(index)
        let found = burst.result(index)
        for place in group.first..<group.end {
          let box = boxes[place]
          if box.rule >= found { break }
          if matches(key, box) {
            burst.note(index, box.rule)
            break
          }
        }
      }
    }
  }

  @inline(__always)
  private func matches(_ key: RuleKey, _ box: Box) -> Bool {
    let (masks, values) = (box.masks, box.values)
    let low =
      ((key.word0 & masks.word0) ^ values.word0) | ((key.word1 & masks.word1) ^ values.word1)
      | ((key.word2 & masks.word2) ^ values.word2) | ((key.word3 & masks.word3) ^ values.word3)
    let high =
      ((key.word4 & masks.word4) ^ values.word4) | ((key.word5 & masks.word5) ^ values.word5)
      | ((key.word6 & masks.word6) ^ values.word6) | ((key.word7 & masks.word7) ^ values.word7)
    guard low | high == 0 else { return false }
    for place in 0..<box.rangeCount {
      let range = ranges[Int(box.firstRange &+ place)]
      let word = UInt64(bigEndian: key.word(range.word)) >> UInt64(range.shift)
      guard (UInt32(truncatingIfNeeded: word) & range.mask) &- range.low <= range.span else { return false }
    }
    return true
  }
}
