import Testing

@testable import Tables

private let lifetime: UInt64 = 30_000_000_000

private func key(_ identification: UInt32, protocolNumber: UInt8 = 17) -> ReassemblyTable.Key {
  ReassemblyTable.Key(source: 1, destination: 2, identification: identification, protocolNumber: protocolNumber)
}

/// A table that expectations can look at: macros do not take what cannot be copied.
private final class Subject {
  private var table: ReassemblyTable

  init(datagrams: Int = 4, fragments: Int = 16, ofOne: Int = 8, bytes: Int = 10_000, seed: UInt64 = 0) {
    table = ReassemblyTable(datagrams: datagrams, fragments: fragments, fragmentsOfOne: ofOne, bytes: bytes)
    table.seed = seed
  }

  var datagramCount: Int { table.datagramCount }
  var fragmentCount: Int { table.fragmentCount }
  var byteCount: Int { table.byteCount }
  var nextExpiry: UInt64? { table.nextExpiry }

  func add(
    _ range: Range<Int>, last: Bool = false, _ number: UInt32, to key: ReassemblyTable.Key, flags: UInt8 = 0,
    now: UInt64 = 0
  ) -> ReassemblyTable.Outcome {
    let fragment = ReassemblyTable.Fragment(range, isLast: last, number: number, size: range.count, flags: flags)
    return table.add(fragment, to: key, lifetime: lifetime, now: now)
  }

  func makeRoom(for key: ReassemblyTable.Key, size: Int) -> Bool { table.makeRoom(for: key, size: size) }

  func expireNext(now: UInt64) -> Bool? { table.expireNext(now: now) }

  func popAll() -> [UInt32] {
    var all: [UInt32] = []
    while let number = table.popReleased() { all.append(number) }
    return all
  }
}

@Suite struct ReassemblyTableTests {
  @Test func anyOrderMakesTheDatagramWhole() {
    let parts: [(Range<Int>, Bool)] = [(0..<8, false), (8..<24, false), (24..<32, false), (32..<33, true)]
    for seed in 0..<24 {
      var order = [0, 1, 2, 3]
      var rest = seed
      for index in 0..<4 {
        order.swapAt(index, index + rest % (4 - index))
        rest /= 4 - index
      }
      let table = Subject()
      for (position, part) in order.enumerated() {
        let outcome = table.add(
          parts[part].0, last: parts[part].1, UInt32(part), to: key(1), flags: 1 << UInt8(part))
        #expect(outcome == (position == 3 ? .complete(length: 33, flags: 15) : .kept))
      }
      #expect(table.popAll() == [0, 1, 2, 3])
      #expect(table.fragmentCount == 0 && table.datagramCount == 0 && table.byteCount == 0)
      #expect(table.nextExpiry == nil)
    }
  }

  @Test func keysAreKeptApart() {
    let table = Subject()
    let six = ReassemblyTable.Key(source: (1, 0), destination: (2, 0), identification: 1)
    let other = ReassemblyTable.Key(source: (1, 0), destination: (2, 1), identification: 1)
    for (index, key) in [key(1), key(1, protocolNumber: 6), six, other].enumerated() {
      #expect(table.add(0..<8, UInt32(index), to: key) == .kept)
    }
    #expect(table.datagramCount == 4)
  }

  @Test func duplicatesAreNotKept() {
    let table = Subject()
    #expect(table.add(0..<8, 0, to: key(1)) == .kept)
    #expect(table.add(0..<8, 1, to: key(1)) == .duplicate)
    #expect(table.add(16..<20, last: true, 2, to: key(1)) == .kept)
    #expect(table.add(16..<20, last: true, 3, to: key(1)) == .duplicate)
    #expect(table.add(8..<16, 4, to: key(1)) == .complete(length: 20, flags: 0))
    #expect(table.popAll() == [0, 4, 2])
  }

  static let overlaps: [[(Range<Int>, Bool)]] = [
    [(0..<16, false), (8..<24, false)], [(8..<24, false), (0..<16, false)], [(0..<24, false), (8..<16, false)],
    [(8..<16, false), (0..<24, false)], [(0..<8, false), (16..<24, false), (8..<24, false)],
    [(0..<16, false), (0..<8, false)],
    // Disagreement about the end.
    [(8..<16, true), (16..<24, false)], [(16..<24, false), (8..<16, true)], [(8..<16, true), (16..<24, true)],
    [(16..<24, true), (8..<16, true)], [(8..<16, true), (8..<16, false)], [(8..<16, false), (8..<16, true)],
  ]

  @Test(arguments: overlaps.indices) func overlapsEndTheDatagramUntilItsTimeIsOver(index: Int) {
    let table = Subject()
    let parts = Self.overlaps[index]
    for (number, part) in parts.enumerated() {
      let outcome = table.add(part.0, last: part.1, UInt32(number), to: key(1))
      #expect(outcome == (number == parts.count - 1 ? .overlap : .kept))
    }
    #expect(table.popAll().sorted() == (0..<UInt32(parts.count - 1)).map { $0 })
    #expect(table.add(100..<108, 9, to: key(1), now: lifetime - 1) == .overlap)
    #expect(table.popAll() == [])
    #expect(table.fragmentCount == 0 && table.byteCount == 0)
    #expect(table.expireNext(now: lifetime) == false)
    #expect(table.expireNext(now: lifetime) == nil)
    #expect(table.add(100..<108, 9, to: key(1), now: lifetime) == .kept)
  }

  @Test func expiryTellsWhetherTheFirstFragmentIsThere() {
    let table = Subject()
    #expect(table.add(8..<16, 1, to: key(1), now: 0) == .kept)
    #expect(table.add(8..<16, 2, to: key(2), now: 1_000_000) == .kept)
    #expect(table.add(0..<8, 3, to: key(2), now: 5_000_000) == .kept)
    #expect(table.expireNext(now: lifetime - 1) == nil)
    #expect(table.expireNext(now: lifetime) == false)
    #expect(table.popAll() == [1])
    #expect(table.expireNext(now: lifetime) == nil)
    #expect(table.expireNext(now: lifetime + 1_000_000) == true)
    #expect(table.popAll() == [3, 2])
    #expect(table.datagramCount == 0 && table.fragmentCount == 0)
  }

  @Test func theOldestGoesWhenALimitIsReached() {
    let datagrams = Subject(datagrams: 2)
    #expect(datagrams.add(0..<8, 1, to: key(1)) == .kept)
    #expect(datagrams.add(0..<8, 2, to: key(2)) == .kept)
    #expect(!datagrams.makeRoom(for: key(2), size: 8))
    #expect(datagrams.makeRoom(for: key(3), size: 8))
    #expect(datagrams.popAll() == [1])
    #expect(!datagrams.makeRoom(for: key(3), size: 8))
    let fragments = Subject(fragments: 2)
    #expect(fragments.add(0..<8, 1, to: key(1)) == .kept)
    #expect(fragments.add(8..<16, 2, to: key(1)) == .kept)
    #expect(fragments.makeRoom(for: key(1), size: 8))
    #expect(fragments.popAll() == [1, 2])
    let bytes = Subject(bytes: 20)
    #expect(bytes.add(0..<8, 1, to: key(1)) == .kept)
    #expect(bytes.add(0..<8, 2, to: key(2)) == .kept)
    #expect(!bytes.makeRoom(for: key(3), size: 4))
    #expect(bytes.makeRoom(for: key(3), size: 16))
    #expect(bytes.popAll() == [1])
    #expect(bytes.makeRoom(for: key(3), size: 16))
    #expect(bytes.popAll() == [2])
    #expect(!bytes.makeRoom(for: key(3), size: 100))
  }

  @Test func aDatagramHasOnlySoManyFragments() {
    let table = Subject(ofOne: 2)
    #expect(table.add(0..<8, 1, to: key(1)) == .kept)
    #expect(table.add(8..<16, 2, to: key(1)) == .kept)
    #expect(table.add(16..<24, 3, to: key(1)) == .tooMany)
    #expect(table.popAll() == [1, 2])
    #expect(table.add(24..<32, 4, to: key(1)) == .tooMany)
    #expect(table.fragmentCount == 0)
  }

  /// Against a plain dictionary of lists, over random fragments of few datagrams.
  @Test(arguments: [UInt64(1), 2, 3]) func agreesWithAPlainModel(seed: UInt64) {
    struct Model {
      var ranges: [(range: Range<Int>, last: Bool, number: UInt32)] = []
      var isOver = false
    }
    var state = seed
    func random(_ limit: Int) -> Int {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return Int(state >> 33) % limit
    }
    var table = Subject(datagrams: 64, fragments: 1024, ofOne: 100, bytes: 1 << 30, seed: seed)
    var models: [UInt32: Model] = [:]
    var (wholes, overlaps, duplicates) = (0, 0, 0)
    for number in 0..<UInt32(20_000) {
      let id = UInt32(random(50))
      let start = random(5) * 8
      let isLast = start == 32 || random(40) == 0
      let range = start..<start + (random(30) == 0 ? 16 : 8)
      let outcome = table.add(range, last: isLast, number, to: key(id))
      var model = models[id] ?? Model()
      let expected: ReassemblyTable.Outcome
      if model.isOver {
        expected = .overlap
      } else if model.ranges.contains(where: { $0.range == range && $0.last == isLast }) {
        expected = .duplicate
        duplicates += 1
      } else {
        let all = model.ranges + [(range, isLast, number)]
        let ends = Set(all.filter(\.last).map(\.range.upperBound))
        let isWrong =
          model.ranges.contains { $0.range.overlaps(range) } || ends.count > 1
          || ends.first.map { end in all.contains { $0.range.upperBound > end } } == true
        if isWrong {
          expected = .overlap
          #expect(table.popAll().sorted() == model.ranges.map(\.number).sorted())
          model = Model(isOver: true)
          overlaps += 1
        } else if let end = ends.first, all.reduce(0, { $0 + $1.range.count }) == end {
          expected = .complete(length: end, flags: 0)
          #expect(table.popAll() == all.sorted { $0.range.lowerBound < $1.range.lowerBound }.map(\.number))
          model = Model()
          wholes += 1
        } else {
          expected = .kept
          model.ranges = all
        }
      }
      #expect(outcome == expected)
      models[id] = model
      // Datagrams that were given up stay so; now and then all begins anew.
      if number % 500 == 499 {
        #expect(table.fragmentCount == models.values.reduce(0) { $0 + $1.ranges.count })
        table = Subject(datagrams: 64, fragments: 1024, ofOne: 100, bytes: 1 << 30)
        models = [:]
      }
    }
    #expect(wholes > 50 && overlaps > 50 && duplicates > 50)
  }
}

@Suite struct TokenBucketTableTests {
  @Test func keysHaveBucketsOfTheirOwn() {
    var table = TokenBucketTable(count: 1000, rate: 1, burst: 2)
    let count = table.count
    #expect(count == 1024)
    let three = (0..<3).map { _ in table.take(1, of: 7, now: 0) }
    #expect(three == [true, true, false])
    let others = (100..<200).filter { table.take(1, of: UInt64($0), now: 0) }
    #expect(others.count > 95)
    let later = table.take(1, of: 7, now: 1_000_000_000)
    #expect(later)
  }

  @Test func theSeedDecidesWhoShares() {
    func sharers(_ seed: UInt64) -> [UInt64] {
      (1..<100).filter { key in
        var table = TokenBucketTable(count: 16, rate: 1, burst: 1)
        table.seed = seed
        _ = table.take(1, of: 0, now: 0)
        return !table.take(1, of: key, now: 0)
      }
    }
    #expect(!sharers(1).isEmpty)
    #expect(sharers(1) != sharers(2))
  }
}
