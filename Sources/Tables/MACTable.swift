import Synchronization
import Wire

/// What became of a frame's source.
public enum StationLearning: Hashable, Sendable {
  /// It is known behind this port, and known to be alive.
  case known
  /// It was not known, and is now.
  case learned
  /// It was known behind another port, and is behind this one now.
  case moved
  /// It belongs behind another port by configuration, and stays there.
  case misplaced
  /// It moves to and fro too often: there may be a loop. Whether it moved once more `StationMoveLimit.holds` says.
  case flapping
  /// The port has as many stations as it may, and it was not learned.
  case portFull
  /// The table has no room, and it was not learned.
  case tableFull
}

/// When a station that changes its port is taken to be on a loop: it did so more than `moves` times within `within`
/// nanoseconds (as RFC 7432, 15.1, has it of duplicates).
public struct StationMoveLimit: Hashable, Sendable {
  /// How many moves are allowed.
  public let moves: Int
  /// Within how many nanoseconds, counted from the first.
  public let within: UInt64
  /// Whether it stays where it was until that time is over.
  public let holds: Bool

  /// So many moves within so many nanoseconds.
  public init(moves: Int, within: UInt64, holds: Bool) {
    self.moves = moves
    self.within = within
    self.holds = holds
  }
}

/// A station as lists show it.
public struct Station: Hashable, Sendable {
  /// Who it is.
  public let key: StationKey
  /// The port that it is behind.
  public let port: Int
  /// Whether it was configured rather than learned.
  public let isStatic: Bool
  /// How long ago it was last heard of, in nanoseconds, to a hundredth of the ageing time; 0 for a static one.
  public let age: UInt64
}

/// Which stations are behind which port of a bridge (IEEE 802.1Q, 8.8: the filtering database). It knows no packets.
///
/// **All workers share it.** Packets look stations up by `reader`, which takes no lock. That one is alive is noted by a
/// single exchange, at most once in a hundredth of the ageing time. Everything else takes a lock for a constant time.
///
/// Its memory is taken once. A station that finds no room is not learned until others have aged out: frames to it are
/// flooded.
public final class MACTable: Sendable {
  /// The lock-free side.
  public let reader: MACTableReader
  /// How many stations there can be.
  public let capacity: Int
  private let machine: Mutex<MACTableMachine>

  /// A table without stations; nil when memory is short.
  /// - Parameters:
  ///   - capacity: How many stations there can be, at least 1.
  ///   - limits: For each port how many stations can be learned behind it; at most 127 ports.
  ///   - ageing: After how many nanoseconds a station that is not heard of is forgotten, at most a hundredth later.
  ///   - moves: How often a station may change its port.
  ///   - seed: Spreads stations over the table.
  public init?(
    capacity: Int, limits: [Int], ageing: UInt64, moves: StationMoveLimit, seed: UInt64 = 0
  ) {
    precondition(capacity > 0 && limits.count < 128, "a table has room for a station, and 127 ports at most")
    guard let reader = MACTableReader(capacity: capacity, seed: seed) else { return nil }
    self.reader = MACTableReader(reader)
    self.capacity = capacity
    machine = Mutex(
      MACTableMachine(reader: reader, capacity: capacity, limits: limits, ageing: ageing, moves: moves))
  }

  /// Learns where a frame's source is. To be called when `reader` does not say that it is fresh.
  /// - Parameters:
  ///   - position: The frame's in the burst.
  ///   - tick: `reader.tick` as it was read for the batch.
  ///   - now: Nanoseconds, here and elsewhere.
  @inline(never)
  public func learn(
    _ burst: borrowing StationBurst, _ position: Int, port: Int, tick: UInt64, now: UInt64
  ) -> StationLearning {
    learn(burst.source(position), port, tick, now)
  }

  /// Learns where a station is.
  public func learn(_ key: StationKey, port: Int, now: UInt64) -> StationLearning {
    learn(reader.scramble(key), port, reader.tick, now)
  }

  private func learn(_ mixed: UInt64, _ port: Int, _ tick: UInt64, _ now: UInt64) -> StationLearning {
    let word = reader.find(mixed)
    if word != 0, !MACTableEntry.hasExpired(word, tick: tick) {
      let reading = MACTableReading(word: word)
      if reading.isStatic { return reading.port == port ? .known : .misplaced }
      if reading.port == port {
        reader.refresh(mixed, word, tick)
        return .known
      }
    }
    return machine.withLock { $0.learn(mixed, port, now) }
  }

  /// Moves the clock on and forgets a share of those not heard of. To be called with every batch for which
  /// `reader.isDue` says so, and by timers.
  /// - Returns: When to call it next, in nanoseconds.
  @discardableResult
  public func advance(now: UInt64) -> UInt64 { machine.withLock { $0.advance(now) } }

  /// Sets where a station is for good.
  /// - Returns: False when there is no room.
  @discardableResult
  public func setStatic(_ key: StationKey, port: Int) -> Bool {
    machine.withLock { $0.setStatic(reader.scramble(key), port) }
  }

  /// How many stations there are, static ones included.
  public var count: Int { machine.withLock { $0.count } }

  /// How many stations were learned behind a port.
  public func count(port: Int) -> Int { machine.withLock { $0.learned[port] } }

  // MARK: Going through it

  /// How many buckets `list` and `forget` go through.
  public var bucketCount: Int { Int(reader.mask) + 1 }

  /// The stations in some of the buckets, in no order.
  public func list(buckets: Range<Int>) -> [Station] {
    machine.withLock { $0.list(buckets.clamped(to: 0..<bucketCount)) }
  }

  /// Forgets stations that were learned, among those in some of the buckets.
  /// - Parameter isMeant: Whether a station is to be forgotten.
  /// - Returns: How many were.
  @discardableResult
  public func forget(buckets: Range<Int>, where isMeant: (Station) -> Bool) -> Int {
    machine.withLock { $0.forget(buckets.clamped(to: 0..<bucketCount), where: isMeant) }
  }

  /// Forgets the stations that were learned behind a port, as when its link went down.
  @discardableResult
  public func forget(port: Int) -> Int { forget(buckets: 0..<bucketCount) { $0.port == port } }
}
