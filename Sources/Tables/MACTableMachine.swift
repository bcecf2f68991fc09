import Synchronization

/// Changing a `MACTable`; one thread at a time does it.
struct MACTableMachine: ~Copyable, Sendable {
  let reader: MACTableReader
  let capacity: Int
  let limits: [Int]
  /// Stations, static ones included.
  var count = 0
  /// Stations that were learned behind each port.
  var learned: [Int]
  private let step: UInt64
  private var steps: UInt64 = 0
  private var cursor: UInt64 = 0
  private var moves: StationMoves

  /// A tick, by which ages are counted, is so many steps.
  private static var stepsPerTick: UInt64 { 16 }
  /// In so many steps all entries are gone through. Those of eight ticks: long before a time comes round.
  private static var stepsPerPass: UInt64 { 128 }

  init(
    reader: borrowing MACTableReader, capacity: Int, limits: [Int], ageing: UInt64, moves: StationMoveLimit
  ) {
    self.reader = MACTableReader(reader)
    self.capacity = capacity
    self.limits = limits
    learned = Array(repeating: 0, count: limits.count)
    step = max(ageing / (MACTableEntry.lifetime * Self.stepsPerTick), 1)
    self.moves = StationMoves(moves)
  }

  // MARK: Learning

  mutating func learn(_ mixed: UInt64, _ port: Int, _ now: UInt64) -> StationLearning {
    guard port >= 0, port < limits.count else { return .portFull }
    let tick = reader.tick
    if let place = reader.place(mixed) {
      let word = reader.load(place)
      if MACTableEntry.hasExpired(word, tick: tick) {
        clear(place, word)
      } else {
        let reading = MACTableReading(word: word)
        if reading.isStatic { return reading.port == port ? .known : .misplaced }
        if reading.port == port {
          reader.store(place, word & ~MACTableEntry.ageMask | tick << 8)
          return .known
        }
        guard learned[port] < limits[port] else { return .portFull }
        let isUsual = moves.allows(mixed, now: now)
        if !isUsual, moves.limit.holds { return .flapping }
        learned[reading.port] -= 1
        learned[port] += 1
        reader.store(place, word & (MACTableEntry.keyMask | MACTableEntry.second) | tick << 8 | UInt64(port + 1))
        return isUsual ? .moved : .flapping
      }
    }
    guard learned[port] < limits[port] else { return .portFull }
    guard insert(mixed, UInt64(port + 1) | tick << 8) else { return .tableFull }
    learned[port] += 1
    return .learned
  }

  mutating func setStatic(_ mixed: UInt64, _ port: Int) -> Bool {
    guard port >= 0, port < limits.count else { return false }
    if let place = reader.place(mixed) { clear(place, reader.load(place)) }
    return insert(mixed, UInt64(port + 1))
  }

  /// - Parameter word: An entry without its key.
  private mutating func insert(_ mixed: UInt64, _ word: UInt64) -> Bool {
    guard count < capacity else { return false }
    let rest = reader.rest(mixed)
    let first = reader.first(mixed)
    let second = reader.other(first, rest)
    if let place = free(first) {
      reader.store(place, rest | word)
    } else if let place = free(second) ?? vacate(second) {
      reader.store(place, rest | word | MACTableEntry.second)
    } else {
      return false
    }
    count += 1
    return true
  }

  /// Makes a place in a full bucket by moving one of its entries to that one's other bucket. Whoever looks the moved one up
  /// just then may miss it once.
  private mutating func vacate(_ bucket: UInt64) -> MACTableReader.Place? {
    for index in 0..<MACTableReader.places {
      let place = MACTableReader.Place(bucket: bucket, index: index)
      let word = reader.load(place)
      let rest = word & MACTableEntry.keyMask & ~MACTableEntry.second
      if let other = free(reader.other(bucket, rest)) {
        reader.store(other, word ^ MACTableEntry.second)
        reader.store(place, 0)
        return place
      }
    }
    return nil
  }

  /// A place in a bucket, taken from one that has expired if need be.
  private mutating func free(_ bucket: UInt64) -> MACTableReader.Place? {
    let tick = reader.tick
    for index in 0..<MACTableReader.places {
      let place = MACTableReader.Place(bucket: bucket, index: index)
      let word = reader.load(place)
      if word == 0 { return place }
      if MACTableEntry.hasExpired(word, tick: tick) {
        clear(place, word)
        return place
      }
    }
    return nil
  }

  private mutating func clear(_ place: MACTableReader.Place, _ word: UInt64) {
    reader.store(place, 0)
    count -= 1
    let reading = MACTableReading(word: word)
    if !reading.isStatic { learned[reading.port] -= 1 }
  }

  // MARK: Time

  mutating func advance(_ now: UInt64) -> UInt64 {
    let target = now / step
    if target > steps {
      let elapsed = target - steps
      steps = target
      reader.setClock(tick: steps / Self.stepsPerTick % 255 + 1, due: (steps + 1).multipliedClamped(by: step))
      if elapsed / Self.stepsPerTick > MACTableEntry.lifetime {
        // The time may have come round: whatever was learned is too old.
        _ = forget(0..<Int(reader.mask) + 1) { _ in true }
      } else {
        sweep(passSteps: min(elapsed, Self.stepsPerPass))
      }
    } else if steps == 0 {
      reader.setClock(tick: 1, due: step)
    }
    return (steps + 1).multipliedClamped(by: step)
  }

  private mutating func sweep(passSteps: UInt64) {
    let tick = reader.tick
    let buckets = (reader.mask + 1) / Self.stepsPerPass * passSteps
    for offset in 0..<buckets {
      let bucket = (cursor &+ offset) & reader.mask
      for index in 0..<MACTableReader.places {
        let place = MACTableReader.Place(bucket: bucket, index: index)
        let word = reader.load(place)
        if word != 0, MACTableEntry.hasExpired(word, tick: tick) { clear(place, word) }
      }
    }
    cursor = (cursor &+ buckets) & reader.mask
  }

  // MARK: Going through it

  private func station(_ bucket: UInt64, _ word: UInt64, tick: UInt64) -> Station {
    let bits = word >> MACTableEntry.keyShift
    let rest = bits << MACTableEntry.keyShift
    let first = word & MACTableEntry.second == 0 ? bucket : reader.other(bucket, rest)
    let reading = MACTableReading(word: word)
    let ticks = reading.isStatic ? 0 : MACTableEntry.age(word, tick: tick)
    return Station(
      key: reader.unscramble(bits << reader.bucketBits | first), port: reading.port, isStatic: reading.isStatic,
      age: ticks * Self.stepsPerTick * step)
  }

  func list(_ buckets: Range<Int>) -> [Station] {
    var stations: [Station] = []
    let tick = reader.tick
    for bucket in buckets {
      for index in 0..<MACTableReader.places {
        let word = reader.load(MACTableReader.Place(bucket: UInt64(bucket), index: index))
        if word != 0, !MACTableEntry.hasExpired(word, tick: tick) {
          stations.append(station(UInt64(bucket), word, tick: tick))
        }
      }
    }
    return stations
  }

  mutating func forget(_ buckets: Range<Int>, where isMeant: (Station) -> Bool) -> Int {
    var forgotten = 0
    let tick = reader.tick
    for bucket in buckets {
      for index in 0..<MACTableReader.places {
        let place = MACTableReader.Place(bucket: UInt64(bucket), index: index)
        let word = reader.load(place)
        guard word != 0 else { continue }
        let station = station(UInt64(bucket), word, tick: tick)
        guard !station.isStatic, isMeant(station) else { continue }
        clear(place, word)
        forgotten += 1
      }
    }
    return forgotten
  }
}

extension UInt64 {
  fileprivate func multipliedClamped(by other: UInt64) -> UInt64 {
    let (product, overflow) = multipliedReportingOverflow(by: other)
    return overflow ? .max : product
  }
}

/// Reading and writing single entries; for the table.
extension MACTableReader {
  struct Place {
    let bucket: UInt64
    let index: Int
  }

  func load(_ place: Place) -> UInt64 { unsafe line(place.bucket)[place.index].load(ordering: .relaxed) }

  func store(_ place: Place, _ word: UInt64) { unsafe line(place.bucket)[place.index].store(word, ordering: .relaxed) }

  func setClock(tick: UInt64, due: UInt64) {
    unsafe cells[Self.tickCell].store(tick, ordering: .relaxed)
    unsafe cells[Self.dueCell].store(due, ordering: .relaxed)
  }

  /// Where a station's entry stands.
  func place(_ mixed: UInt64) -> Place? {
    let bucket = first(mixed)
    let rest = rest(mixed)
    return place(bucket, rest) ?? place(other(bucket, rest), rest | MACTableEntry.second)
  }

  private func place(_ bucket: UInt64, _ wanted: UInt64) -> Place? {
    for index in 0..<Self.places {
      let place = Place(bucket: bucket, index: index)
      let word = load(place)
      if word != 0, (word ^ wanted) & MACTableEntry.keyMask == 0 { return place }
    }
    return nil
  }

  /// Notes that a station was heard of. When its entry has changed meanwhile, whoever changed it knew better.
  func refresh(_ mixed: UInt64, _ word: UInt64, _ tick: UInt64) {
    let fresh = word & ~MACTableEntry.ageMask | tick << 8
    guard let place = place(mixed) else { return }
    _ = unsafe line(place.bucket)[place.index].compareExchange(expected: word, desired: fresh, ordering: .relaxed)
  }
}

/// How often stations changed their port of late, in fixed memory: of stations that share a place the last one counts.
struct StationMoves: Sendable {
  private struct Count: BitwiseCopyable {
    var station: UInt64 = 0
    var since: UInt64 = 0
    var moves = 0
  }

  let limit: StationMoveLimit
  private var counts: [Count]

  private static var places: Int { 1024 }

  init(_ limit: StationMoveLimit) {
    self.limit = limit
    counts = Array(repeating: Count(), count: Self.places)
  }

  mutating func allows(_ mixed: UInt64, now: UInt64) -> Bool {
    let place = Int(truncatingIfNeeded: mixed) & (Self.places - 1)
    if counts[place].station != mixed || now < counts[place].since || now - counts[place].since >= limit.within {
      counts[place] = Count(station: mixed, since: now)
    }
    counts[place].moves = min(counts[place].moves + 1, Int(Int32.max))
    return counts[place].moves <= limit.moves
  }
}
