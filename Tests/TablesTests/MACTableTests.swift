import Tables
import Testing
import Wire

@Suite struct MACTableTests {
  private let second: UInt64 = 1_000_000_000

  private func make(
    capacity: Int = 100, limits: [Int] = [.max, .max, .max], ageing: UInt64 = 300_000_000_000,
    moves: StationMoveLimit = StationMoveLimit(moves: 1_000_000, within: 1, holds: false)
  ) throws -> MACTable {
    let table = try #require(MACTable(capacity: capacity, limits: limits, ageing: ageing, moves: moves, seed: 7))
    table.advance(now: 0)
    return table
  }

  /// `#expect` cannot look into what cannot be copied.
  private func expect(_ condition: Bool, sourceLocation: SourceLocation = #_sourceLocation) {
    #expect(condition, sourceLocation: sourceLocation)
  }

  private func station(_ number: UInt64, vlan: UInt16 = 1) -> StationKey {
    StationKey(MACAddress(rawValue: 0x0200_0000_0000 | number), vlan: vlan)
  }

  @Test func aStationIsWhereItWasLastHeard() throws {
    let table = try make()
    #expect(!table.reader.lookup(station(1)).isKnown)
    #expect(table.learn(station(1), port: 2, now: 0) == .learned)
    #expect(table.learn(station(1), port: 2, now: 0) == .known)
    #expect(table.reader.lookup(station(1)).port == 2)
    #expect(table.learn(station(1), port: 0, now: 0) == .moved)
    let reading = table.reader.lookup(station(1))
    #expect(reading.isKnown && reading.port == 0 && !reading.isStatic)
    #expect(table.count == 1)
    #expect((0...2).map { table.count(port: $0) } == [1, 0, 0])
  }

  @Test func vlansAreApart() throws {
    let table = try make()
    _ = table.learn(station(1, vlan: 10), port: 1, now: 0)
    _ = table.learn(station(1, vlan: 20), port: 2, now: 0)
    #expect(table.reader.lookup(station(1, vlan: 10)).port == 1)
    #expect(table.reader.lookup(station(1, vlan: 20)).port == 2)
    #expect(!table.reader.lookup(station(1, vlan: 30)).isKnown)
  }

  @Test func keysComeBackAsTheyWere() throws {
    let table = try make(capacity: 3000)
    var random = SystemRandomNumberGenerator()
    var expected: Set<StationKey> = []
    for _ in 0..<3000 {
      let key = StationKey(
        MACAddress(rawValue: random.next() & ~0x0100_0000_0000), vlan: UInt16(random.next() & 0xFFF))
      if table.learn(key, port: 1, now: 0) == .learned { expected.insert(key) }
    }
    let listed = table.list(buckets: 0..<table.bucketCount)
    #expect(Set(listed.map(\.key)) == expected)
    #expect(listed.count == expected.count)
    #expect(listed.allSatisfy { $0.port == 1 && !$0.isStatic && $0.age == 0 })
    #expect(expected.count >= 2990)
  }

  @Test(arguments: [10, 300, 1_000_000] as [UInt64])
  func neverForgottenBeforeItsTimeAndSoonAfter(seconds: UInt64) throws {
    let ageing = seconds * second
    let table = try make(ageing: ageing)
    _ = table.advance(now: ageing / 3)
    _ = table.learn(station(1), port: 1, now: 0)
    table.advance(now: ageing / 3 + ageing - 1)
    #expect(table.reader.lookup(station(1)).isKnown)
    table.advance(now: ageing / 3 + ageing + ageing / 50)
    #expect(!table.reader.lookup(station(1)).isKnown)
    // Its place is free for another, or for itself.
    #expect(table.learn(station(1), port: 2, now: 0) == .learned)
    #expect(table.count == 1)
  }

  @Test func whoSpeaksStays() throws {
    let table = try make()
    _ = table.learn(station(1), port: 1, now: 0)
    for time in stride(from: 0, through: 3000 * Int(second), by: 100 * Int(second)).map(UInt64.init) {
      table.advance(now: time)
      #expect(table.learn(station(1), port: 1, now: 0) == .known)
    }
    #expect(table.list(buckets: 0..<table.bucketCount).map(\.age) == [0])
  }

  /// Times come round after 255 hundredths; whoever is silent must be gone by then, whatever the steps.
  @Test(arguments: [1, 7, 40, 99, 250, 302, 700, 3000, 10_000_000] as [UInt64])
  func theSilentStayForgotten(seconds: UInt64) throws {
    let table = try make()
    for number in 0..<50 as Range<UInt64> { _ = table.learn(station(number), port: 1, now: 0) }
    var now: UInt64 = 0
    while now < max(2000, seconds * 3) * second {
      now += seconds * second
      table.advance(now: now)
      if now > 303 * second {
        #expect((0..<50).allSatisfy { !table.reader.lookup(station($0)).isKnown }, "after \(now / second) s")
      }
    }
    #expect(table.count == 0)
    #expect(table.count(port: 1) == 0)
  }

  @Test func aFullTableLearnsNoMoreUntilSomeAreForgotten() throws {
    let table = try make(capacity: 10)
    for number in 0..<10 as Range<UInt64> { #expect(table.learn(station(number), port: 1, now: 0) == .learned) }
    #expect(table.learn(station(10), port: 1, now: 0) == .tableFull)
    #expect(!table.reader.lookup(station(10)).isKnown)
    for time in stride(from: 0, through: 400 * Int(second), by: Int(second)).map(UInt64.init) {
      table.advance(now: time)
    }
    #expect(table.count == 0)
    #expect(table.learn(station(10), port: 1, now: 0) == .learned)
  }

  @Test func allOfItsCapacityIsThere() throws {
    let table = try make(capacity: 100_000)
    let learned = (0..<100_000).count { table.learn(station(UInt64($0)), port: 1, now: 0) == .learned }
    #expect(learned == 100_000)
    #expect((0..<100_000).allSatisfy { table.reader.lookup(station(UInt64($0))).isKnown })
  }

  @Test func aPortHasALimit() throws {
    let table = try make(limits: [2, 1])
    #expect(table.learn(station(1), port: 0, now: 0) == .learned)
    #expect(table.learn(station(2), port: 0, now: 0) == .learned)
    #expect(table.learn(station(3), port: 0, now: 0) == .portFull)
    #expect(table.learn(station(3), port: 1, now: 0) == .learned)
    #expect(table.learn(station(1), port: 1, now: 0) == .portFull)
    #expect(table.reader.lookup(station(1)).port == 0)
    table.forget(port: 1)
    #expect(table.learn(station(1), port: 1, now: 0) == .moved)
    #expect(table.learn(station(3), port: 0, now: 0) == .learned)
  }

  @Test func staticStationsStay() throws {
    let table = try make(limits: [0, 0])
    #expect(table.setStatic(station(1), port: 1))
    #expect(table.learn(station(1), port: 1, now: 0) == .known)
    #expect(table.learn(station(1), port: 0, now: 0) == .misplaced)
    table.advance(now: 10_000 * second)
    table.forget(port: 1)
    let reading = table.reader.lookup(station(1))
    #expect(reading.isKnown && reading.isStatic && reading.port == 1)
    #expect(table.count == 1 && table.count(port: 1) == 0)
    // It takes the place of what was learned.
    let other = try make()
    _ = other.learn(station(2), port: 0, now: 0)
    other.setStatic(station(2), port: 1)
    #expect(other.count == 1 && other.count(port: 0) == 0)
    #expect(other.reader.lookup(station(2)).port == 1)
  }

  @Test(arguments: [false, true])
  func whoMovesTooOftenIsHeld(holds: Bool) throws {
    let table = try make(moves: StationMoveLimit(moves: 3, within: 10 * second, holds: holds))
    _ = table.learn(station(1), port: 0, now: 0)
    let outcomes = (1...5).map { table.learn(station(1), port: $0 % 2, now: 0) }
    #expect(outcomes[..<3] == [.moved, .moved, .moved])
    // Held at port 1, it is heard there the second time.
    #expect(outcomes[3...] == (holds ? [.flapping, .known] : [.flapping, .flapping]))
    #expect(table.reader.lookup(station(1)).port == 1)
    // Others are not held.
    _ = table.learn(station(2), port: 0, now: 0)
    #expect(table.learn(station(2), port: 1, now: 0) == .moved)
    let over = 10 * second
    #expect(table.learn(station(1), port: 2, now: over - 1) == .flapping)
    #expect(table.learn(station(1), port: 0, now: over) == .moved)
  }

  @Test func someCanBeForgotten() throws {
    let table = try make()
    for number in 0..<30 as Range<UInt64> {
      _ = table.learn(station(number, vlan: UInt16(number % 3 + 1)), port: Int(number % 2), now: 0)
    }
    #expect(table.forget(buckets: 0..<table.bucketCount) { $0.key.vlan == 2 } == 10)
    #expect(table.count == 20)
    #expect(table.forget(port: 0) == 10)
    #expect(table.list(buckets: 0..<table.bucketCount).allSatisfy { $0.port == 1 && $0.key.vlan != 2 })
  }

  @Test func aBurstSaysWhatSingleLookupsSay() throws {
    let table = try make()
    _ = table.learn(station(1), port: 1, now: 0)
    _ = table.learn(station(2), port: 2, now: 0)
    var burst = StationBurst(capacity: 3)
    burst.set(0, source: station(1), destination: station(2), in: table.reader)
    burst.set(1, source: station(2), destination: station(3), in: table.reader)
    let tick = table.reader.tick
    expect(table.reader.isFresh(burst, 0, port: 1, tick: tick))
    expect(!table.reader.isFresh(burst, 1, port: 1, tick: tick))
    expect(table.reader.destination(burst, 0, tick: tick).port == 2)
    expect(!table.reader.destination(burst, 1, tick: tick).isKnown)
    expect(table.learn(burst, 1, port: 1, tick: tick, now: 0) == .moved)
    expect(table.reader.isFresh(burst, 1, port: 1, tick: tick))
    table.advance(now: 10 * second)
    expect(!table.reader.isFresh(burst, 1, port: 1, tick: table.reader.tick))
    expect(table.learn(burst, 1, port: 1, tick: table.reader.tick, now: 0) == .known)
    expect(table.reader.isFresh(burst, 1, port: 1, tick: table.reader.tick))
  }

  /// A worker whose clock was read before another's moved it on.
  @Test func aStationOfTheNextMomentIsNotOld() throws {
    let table = try make()
    let before = table.reader.tick
    table.advance(now: 7 * second)
    _ = table.learn(station(1), port: 1, now: 0)
    var burst = StationBurst(capacity: 1)
    burst.set(0, source: station(1), destination: station(1), in: table.reader)
    expect(table.reader.destination(burst, 0, tick: before).port == 1)
    expect(table.learn(burst, 0, port: 1, tick: before, now: 0) == .known)
  }

  /// Against a dictionary, with random stations, ports and times.
  @Test(arguments: 0..<6 as Range<UInt64>)
  func randomStepsAgainstAModel(seed: UInt64) throws {
    struct Known { var port: Int; var heard: UInt64 }
    var random = Random(state: seed + 1)
    let table = try make(capacity: 60, limits: [.max, .max, .max], ageing: 100 * second)
    var model: [StationKey: Known] = [:]
    var now: UInt64 = 0
    for _ in 0..<20_000 {
      switch random.next() % 10 {
      case 0:
        now += random.next() % (random.next() % 100 == 0 ? 300 * second : 3 * second)
        table.advance(now: now)
      case 1..<6:
        let key = station(random.next() % 80, vlan: UInt16(random.next() % 2))
        let port = Int(random.next() % 3)
        let outcome = table.learn(key, port: port, now: 0)
        switch outcome {
        case .learned, .moved, .known: model[key] = Known(port: port, heard: now)
        case .tableFull: #expect(model.count >= 60)
        default: Issue.record("\(outcome)")
        }
      default:
        let key = station(random.next() % 80, vlan: UInt16(random.next() % 2))
        let reading = table.reader.lookup(key)
        if let known = model[key], now - known.heard <= 100 * second {
          #expect(reading.isKnown && reading.port == known.port)
        } else if let known = model[key], now - known.heard <= 101 * second {
          #expect(!reading.isKnown || reading.port == known.port)
        } else {
          #expect(!reading.isKnown)
        }
      }
    }
    #expect(table.count == (0...2).map { table.count(port: $0) }.reduce(0, +))
  }

  private struct Random {
    var state: UInt64
    mutating func next() -> UInt64 {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return (state >> 33) ^ (state << 20 & 0xFFFF_FFFF)
    }
  }

  /// Stations come, move and go while others look them up; nobody ever sees one behind a port that it never was behind.
  @Test func lookupsBesideChanges() async throws {
    let table = try make(capacity: 500)
    await withTaskGroup(of: Int.self) { group in
      for writer in 0..<2 {
        group.addTask {
          for round in 0..<20_000 {
            // A station's number says its port: even ones are behind 0 or 2, odd ones behind 1.
            let number = UInt64(round * 7 + writer) % 300
            _ = table.learn(self.station(number), port: number % 2 == 1 ? 1 : round % 4 < 2 ? 0 : 2, now: 0)
            if round % 64 == 0 { table.forget(buckets: round % 4096..<round % 4096 + 64) { _ in true } }
          }
          return 0
        }
      }
      group.addTask {
        var wrong = 0
        for round in 0..<200_000 {
          let number = UInt64(round) % 300
          let reading = table.reader.lookup(self.station(number))
          if reading.isKnown, (reading.port == 1) != (number % 2 == 1) { wrong += 1 }
        }
        return wrong
      }
      for await wrong in group { #expect(wrong == 0) }
    }
    #expect(table.list(buckets: 0..<table.bucketCount).count == table.count)
  }
}
