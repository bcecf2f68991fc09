import Tables
import Testing

@Suite struct FragmentTrackerTests {
  typealias Tracker = FragmentTracker<UInt32>

  private func key(_ id: UInt32, zone: UInt16 = 0) -> Tracker.Key {
    Tracker.Key(source: 1, destination: 2, identification: id, protocolNumber: 17, zone: zone)
  }

  private func tracker(
    datagrams: Int = 8, held: Int = 8, heldOfOne: Int = 4, lifetime: UInt64 = 30_000_000_000
  ) -> Tracker {
    Tracker(datagrams: datagrams, held: held, heldOfOne: heldOfOne, lifetime: lifetime, patience: 2_000_000_000)
  }

  private func text(_ outcome: Tracker.Outcome) -> String {
    switch outcome {
    case .first: "first"
    case .follows(let value): "follows \(value)"
    case .early: "early"
    case .stopped(let cause): "\(cause)"
    }
  }

  private func text(_ fate: Tracker.Fate) -> String {
    switch fate {
    case .follows(let value): "follows \(value)"
    case .stopped(let cause): "\(cause)"
    }
  }

  private func released(_ tracker: inout Tracker) -> [String] {
    var found: [String] = []
    while let number = tracker.popReleased() { found.append("\(number) \(text(tracker.fate(of: number)))") }
    return found
  }

  @Test func laterFragmentsFollowTheFirst() {
    var table = tracker()
    #expect(text(table.admit(0..<80, isLast: false, of: key(1), now: 0)) == "first")
    table.settle(key(1), as: 7, now: 0)
    #expect(text(table.admit(80..<160, isLast: false, of: key(1), now: 1)) == "follows 7")
    #expect(text(table.admit(160..<170, isLast: true, of: key(1), now: 2)) == "follows 7")
    // It is whole, and forgotten.
    #expect(table.datagramCount == 0 && table.nextExpiry == nil)
  }

  @Test func earlyFragmentsAreReleasedInTheOrderTheyCame() {
    var table = tracker()
    #expect(text(table.admit(160..<170, isLast: true, of: key(1), now: 0)) == "early")
    table.hold(5, of: key(1))
    #expect(text(table.admit(80..<160, isLast: false, of: key(1), now: 0)) == "early")
    table.hold(2, of: key(1))
    #expect(table.heldCount == 2)
    #expect(text(table.admit(0..<80, isLast: false, of: key(1), now: 1)) == "first")
    table.settle(key(1), as: 9, now: 1)
    #expect(released(&table) == ["5 follows 9", "2 follows 9"])
    #expect(table.heldCount == 0 && table.datagramCount == 0)
  }

  @Test func zonesAndIdentificationsAreApart() {
    var table = tracker()
    _ = table.admit(0..<80, isLast: false, of: key(1), now: 0)
    table.settle(key(1), as: 7, now: 0)
    #expect(text(table.admit(80..<88, isLast: true, of: key(2), now: 0)) == "early")
    #expect(text(table.admit(80..<88, isLast: true, of: key(1, zone: 1), now: 0)) == "early")
    #expect(text(table.admit(80..<88, isLast: true, of: key(1), now: 0)) == "follows 7")
  }

  @Test func refusedDatagramsStayRefused() {
    var table = tracker()
    _ = table.admit(80..<88, isLast: false, of: key(1), now: 0)
    table.hold(0, of: key(1))
    _ = table.admit(0..<80, isLast: false, of: key(1), now: 0)
    table.refuse(key(1), now: 0)
    #expect(released(&table) == ["0 refused"])
    #expect(text(table.admit(88..<96, isLast: true, of: key(1), now: 29_000_000_000)) == "refused")
    table.expire(now: 31_000_000_000)
    #expect(table.datagramCount == 0)
  }

  /// A datagram with overlapping fragments is dropped whole, those included that are still to come.
  @Test func rfc5722_4_overlapsEndTheDatagram() {
    for (overlap, isLast) in [
      (72..<88, false), (76..<200, true), (160..<240, false), (0..<88, false), (240..<248, false), (8..<72, true),
    ] {
      var table = tracker()
      _ = table.admit(0..<80, isLast: false, of: key(1), now: 0)
      table.settle(key(1), as: 7, now: 0)
      _ = table.admit(160..<170, isLast: true, of: key(1), now: 0)
      #expect(text(table.admit(overlap, isLast: isLast, of: key(1), now: 0)) == "overlap", "\(overlap)")
      #expect(text(table.admit(80..<160, isLast: false, of: key(1), now: 0)) == "overlap")
    }
  }

  @Test func bytesThatCameBeforeAreDuplicates() {
    var table = tracker()
    _ = table.admit(0..<80, isLast: false, of: key(1), now: 0)
    table.settle(key(1), as: 7, now: 0)
    #expect(text(table.admit(0..<80, isLast: false, of: key(1), now: 0)) == "duplicate")
    #expect(text(table.admit(160..<170, isLast: true, of: key(1), now: 0)) == "follows 7")
    #expect(text(table.admit(160..<170, isLast: true, of: key(1), now: 0)) == "duplicate")
    #expect(text(table.admit(80..<160, isLast: false, of: key(1), now: 0)) == "follows 7")
  }

  @Test func fragmentsWaitAWhileForTheirFirst() {
    var table = tracker()
    _ = table.admit(80..<88, isLast: true, of: key(1), now: 0)
    table.hold(3, of: key(1))
    table.expire(now: 1_900_000_000)
    #expect(released(&table) == [])
    #expect(table.nextExpiry.map { $0 <= 2_001_000_000 } == true)
    table.expire(now: 2_100_000_000)
    #expect(released(&table) == ["3 timedOut"])
    #expect(table.datagramCount == 0)
  }

  @Test func oneDatagramHoldsSoManyAndNoMore() {
    var table = tracker(heldOfOne: 2)
    for number in 0..<2 as Range<UInt32> {
      let start = 80 + 16 * Int(number)
      #expect(text(table.admit(start..<start + 8, isLast: false, of: key(1), now: 0)) == "early")
      table.hold(number, of: key(1))
    }
    #expect(text(table.admit(160..<168, isLast: false, of: key(1), now: 0)) == "tooMany")
    #expect(released(&table) == ["0 tooMany", "1 tooMany"])
    #expect(text(table.admit(0..<80, isLast: false, of: key(1), now: 0)) == "tooMany")
  }

  @Test func fragmentsThatWaitGoBeforeWhatIsKnown() {
    var table = tracker(datagrams: 2)
    _ = table.admit(0..<80, isLast: false, of: key(1), now: 0)
    table.settle(key(1), as: 7, now: 0)
    for id in 2..<20 as Range<UInt32> {
      #expect(text(table.admit(80..<88, isLast: false, of: key(id), now: 1)) == "early")
      table.hold(id % 2, of: key(id))
      #expect(released(&table) == (id == 2 ? [] : ["\((id + 1) % 2) evicted"]))
    }
    #expect(text(table.admit(80..<88, isLast: false, of: key(1), now: 1)) == "follows 7")
    #expect(table.datagramCount == 2)
  }

  @Test func theOldestMakesRoomWhenTooManyWait() {
    var table = tracker(datagrams: 64, held: 3)
    for id in 0..<3 as Range<UInt32> {
      _ = table.admit(80..<88, isLast: false, of: key(id), now: 0)
      table.hold(id, of: key(id))
    }
    #expect(text(table.admit(80..<88, isLast: false, of: key(9), now: 0)) == "early")
    table.hold(3, of: key(9))
    #expect(released(&table) == ["0 evicted"])
    #expect(table.heldCount == 3)
    // Whoever is the oldest himself does not push others out.
    #expect(text(table.admit(96..<104, isLast: false, of: key(1), now: 0)) == "evicted")
  }

  @Test func tooManyPiecesEndTheDatagram() {
    var table = tracker()
    _ = table.admit(0..<8, isLast: false, of: key(1), now: 0)
    table.settle(key(1), as: 7, now: 0)
    for piece in 1..<16 {
      #expect(text(table.admit(piece * 16..<piece * 16 + 8, isLast: false, of: key(1), now: 0)) == "follows 7")
    }
    #expect(text(table.admit(256..<264, isLast: false, of: key(1), now: 0)) == "tooMany")
    #expect(text(table.admit(8..<16, isLast: false, of: key(1), now: 0)) == "tooMany")
  }

  /// Against a model that knows every byte: none passes twice before the datagram is whole, a datagram passes whole unless
  /// fragments overlap, and nothing waits for ever.
  @Test(arguments: 0..<20) func agreesWithAModelOfBytes(seed: UInt64) {
    var random = RepeatableRandom(state: seed &* 0x9E37_79B9 &+ 1)
    var table = tracker(datagrams: 256, held: 256, heldOfOne: 64)
    var unused = Array(0...256 as ClosedRange<UInt32>)
    var waiting: [UInt32: Range<Int>] = [:]
    for id in 0..<200 as Range<UInt32> {
      let count = Int.random(in: 2...12, using: &random)
      let size = 8 * Int.random(in: 1...4, using: &random)
      var parts = (0..<count).map { ($0 * size..<($0 + 1) * size, $0 == count - 1) }
      parts.shuffle(using: &random)
      let hasOverlap = Int.random(in: 0..<4, using: &random) == 0
      if hasOverlap {
        let start = 8 * Int.random(in: 0...(count * size / 8), using: &random)
        parts.insert((start..<start + 24, false), at: Int.random(in: 0...parts.count, using: &random))
      }
      var passed: [Range<Int>] = []
      var ended = false
      for (range, isLast) in parts {
        switch table.admit(range, isLast: isLast, of: key(id), now: UInt64(id)) {
        case .first:
          passed.append(range)
          table.settle(key(id), as: id, now: UInt64(id))
        case .follows(let value):
          #expect(value == id)
          passed.append(range)
        case .early:
          let number = unused.removeLast()
          waiting[number] = range
          table.hold(number, of: key(id))
        case .stopped(let cause):
          #expect(hasOverlap && (cause == .overlap || cause == .duplicate))
          ended = ended || cause == .overlap
        }
        while let released = table.popReleased() {
          let range = waiting.removeValue(forKey: released)
          unused.append(released)
          if case .follows(let value) = table.fate(of: released), let range {
            #expect(value == id)
            passed.append(range)
          }
        }
        // What comes behind a whole datagram is another one with its identification.
        if passed.reduce(0, { $0 + $1.count }) == count * size { break }
      }
      var bytes = Set<Int>()
      for range in passed { for byte in range { #expect(bytes.insert(byte).inserted) } }
      if !hasOverlap { #expect(bytes.count == count * size && !ended) }
    }
    table.expire(now: 40_000_000_000)
    while let released = table.popReleased() { #expect(waiting.removeValue(forKey: released) != nil) }
    #expect(waiting.isEmpty)
    #expect(table.datagramCount == 0 && table.heldCount == 0)
  }
}
