import Tables
import Testing
import Wire

/// A table that expectations can look at.
private final class Flows<Key: FlowKey> {
  typealias Table = FlowTable<Key, UInt64>
  var table: Table

  init(_ capacity: Int, keysPerFlow: Int = 1, now: UInt64 = 0, resolution: UInt64 = 1 << 20) throws {
    guard
      let table = Table(
        capacity: capacity, keysPerFlow: keysPerFlow, seed: FlowSeed(1, 2), now: now, resolution: resolution)
    else { throw NoMemory() }
    self.table = table
  }

  var count: Int { table.count }
  func find(_ key: Key, now: UInt64 = 0) -> FlowMatch? { table.find(key, now: now) }
  func contains(_ flow: FlowID) -> Bool { table.contains(flow) }
  func remove(_ flow: FlowID) -> Bool { table.remove(flow) }
  func refresh(_ flow: FlowID, _ deadline: UInt64) -> Bool { table.refresh(flow, until: deadline) }

  func insert(_ key: Key, second: Key? = nil, _ value: UInt64 = 0, until deadline: UInt64 = .max) -> FlowInsertion {
    table.insert(key, second: second, value, until: deadline)
  }

  func insertNew(_ key: Key, second: Key? = nil, _ value: UInt64 = 0, until deadline: UInt64 = .max) throws -> FlowID {
    guard case .inserted(let flow) = insert(key, second: second, value, until: deadline) else { throw NotInserted() }
    return flow
  }

  /// The values of flows that expire.
  func expire(_ now: UInt64, limit: Int = .max) -> [UInt64] {
    var expired: [UInt64] = []
    table.expire(now: now, limit: limit) { expired.append($0.value) }
    return expired
  }

  struct NotInserted: Error {}
  struct NoMemory: Error {}
}

private func v4(_ source: UInt32, _ destination: UInt32, _ sourcePort: UInt16, _ destinationPort: UInt16) -> IPv4FlowKey
{
  IPv4FlowKey(
    source: IPv4Address(rawValue: source), destination: IPv4Address(rawValue: destination), sourcePort: sourcePort,
    destinationPort: destinationPort, protocol: .udp)
}

@Suite struct FlowKeyTests {
  let there = IPv4FlowKey(
    source: IPv4Address(10, 0, 0, 2), destination: IPv4Address(10, 0, 0, 1), sourcePort: 4000, destinationPort: 53,
    protocol: .udp, zone: 7)
  let there6 = IPv6FlowKey(
    source: IPv6Address("2001:db8::2")!, destination: IPv6Address("2001:db8::1")!, sourcePort: 4000,
    destinationPort: 53, protocol: .tcp, zone: 7)

  @Test func keepsItsParts() {
    for key in [there, there.eitherWay, there.reply.reply, there.reply.eitherWay.reply] {
      #expect(key.description == "udp 10.0.0.2:4000 > 10.0.0.1:53 zone 7")
    }
    for key in [there6, there6.eitherWay, there6.reply.reply, there6.reply.eitherWay.reply] {
      #expect(key.description == "tcp [2001:db8::2]:4000 > [2001:db8::1]:53 zone 7")
    }
    #expect(there.zone == 7 && there6.zone == 7)
    #expect(MemoryLayout<IPv4FlowKey>.stride == 16 && MemoryLayout<IPv6FlowKey>.stride == 40)
  }

  @Test func bothDirectionsHaveOneKeyInCommon() {
    #expect(there != there.reply && there6 != there6.reply)
    #expect(there.eitherWay == there.reply.eitherWay && there6.eitherWay == there6.reply.eitherWay)
    #expect(there.eitherWay.isReversed != there.reply.eitherWay.isReversed)
    #expect(there6.eitherWay.isReversed != there6.reply.eitherWay.isReversed)
    let seed = FlowSeed(3, 4)
    #expect(there.eitherWay.hash(seed) == there.reply.eitherWay.hash(seed))
    #expect(there6.eitherWay.hash(seed) == there6.reply.eitherWay.hash(seed))
  }

  @Test func portsTellDirectionsApartBetweenTheSameAddresses() {
    let key = v4(1, 1, 5, 6)
    #expect(key.eitherWay == key.reply.eitherWay)
    #expect(key.eitherWay.isReversed != key.reply.eitherWay.isReversed)
    // Both ends the same: there is one direction only.
    #expect(v4(1, 1, 5, 5).reply.eitherWay.isReversed == false)
  }

  @Test func everyPartCounts() {
    let parts: [IPv4FlowKey] = [
      v4(1, 2, 3, 4), v4(9, 2, 3, 4), v4(1, 9, 3, 4), v4(1, 2, 9, 4), v4(1, 2, 3, 9),
      IPv4FlowKey(
        source: IPv4Address(rawValue: 1), destination: IPv4Address(rawValue: 2), sourcePort: 3, destinationPort: 4,
        protocol: .tcp),
      IPv4FlowKey(
        source: IPv4Address(rawValue: 1), destination: IPv4Address(rawValue: 2), sourcePort: 3, destinationPort: 4,
        protocol: .udp, zone: 1),
    ]
    for (i, left) in parts.enumerated() { for right in parts[..<i] { #expect(left != right) } }
    func v6(_ a: UInt64, _ b: UInt64, _ c: UInt64, _ d: UInt64, _ port: UInt16 = 0) -> IPv6FlowKey {
      IPv6FlowKey(
        source: IPv6Address(high: a, low: b), destination: IPv6Address(high: c, low: d), sourcePort: port,
        destinationPort: 0, protocol: .tcp)
    }
    let parts6 = [v6(1, 2, 3, 4), v6(9, 2, 3, 4), v6(1, 9, 3, 4), v6(1, 2, 9, 4), v6(1, 2, 3, 9), v6(1, 2, 3, 4, 5)]
    for (i, left) in parts6.enumerated() { for right in parts6[..<i] { #expect(left != right) } }
  }

  /// Every bit of a key turns every bit of the hash in half of all cases, for either length and several seeds.
  @Test func everyBitOfAKeyReachesEveryBitOfTheHash() {
    var random = RepeatableRandom(state: 5)
    // How often each bit of the hash was turned: four counts of 16 bits in a word.
    let trials = 256
    for words in [2, 5] {
      for bit in 0..<words * 64 {
        var turned = [UInt64](repeating: 0, count: 16)
        for _ in 0..<trials {
          let seed = FlowSeed(using: &random)
          var key = (0..<words).map { _ in random.next() }
          let before = Self.hash(key, seed)
          key[bit / 64] ^= 1 << UInt64(bit % 64)
          let change = before ^ Self.hash(key, seed)
          for lane in 0..<16 { turned[lane] += change >> UInt64(lane) & 0x0001_0001_0001_0001 }
        }
        let counts = turned.flatMap { lane in (0..<4).map { Int(lane >> UInt64($0 * 16) & 0xFFFF) } }
        // Half of the trials, with 6 standard deviations.
        #expect(counts.allSatisfy { abs($0 - trials / 2) <= 48 }, "bit \(bit) of \(words) words")
      }
    }
  }

  @Test func seedsMakeOtherHashes() {
    #expect(there.hash(FlowSeed(0, 0)) != there.hash(FlowSeed(0, 1)))
    #expect(there.hash(FlowSeed(0, 0)) != there.hash(FlowSeed(1, 0)))
    #expect(there.hash(FlowSeed(8, 9)) == there.hash(FlowSeed(8, 9)))
  }

  /// Keys as networks have them, which follow one another, fill buckets as evenly as random ones would.
  @Test func neighbouringKeysSpread() {
    let seed = FlowSeed(6, 7)
    let sets: [[UInt64]] = [
      (0..<65_536).map { v4(0x0A00_0000, 0x0B00_0000, UInt16($0), 80).hash(seed) },
      (0..<65_536).map { v4(0x0A00_0000 + $0, 0x0B00_0000, 1024, 80).hash(seed) },
      (0..<65_536).map { v4(0x0A00_0000 + $0 % 256, 0x0B00_0000 + $0 / 256, 1024, 80).eitherWay.hash(seed) },
      (0..<65_536).map {
        IPv6FlowKey(
          source: IPv6Address(high: 1 << 61, low: $0), destination: IPv6Address(high: 1 << 61, low: 0), sourcePort: 1,
          destinationPort: 2, protocol: .tcp
        ).hash(seed)
      },
    ]
    for (number, hashes) in sets.enumerated() {
      for shift in [0, 48] as [UInt64] {
        var buckets = [Int](repeating: 0, count: 4096)
        for hash in hashes { buckets[Int(hash >> shift & 4095)] += 1 }
        // Chi square with 4,095 degrees of freedom: 4,095 with a deviation of 90.5; 6 of them are allowed.
        let chiSquare = buckets.reduce(0.0) { $0 + Double(($1 - 16) * ($1 - 16)) / 16 }
        #expect(abs(chiSquare - 4095) < 543, "set \(number), bits from \(shift)")
      }
    }
  }

  private static func hash(_ key: [UInt64], _ seed: FlowSeed) -> UInt64 {
    key.count == 2 ? seed.hash(key[0], key[1]) : seed.hash(key[0], key[1], key[2], key[3], key[4])
  }
}

@Suite struct FlowTableTests {
  @Test func oneEntryAnswersForBothDirections() throws {
    let flows = try Flows<IPv4FlowKey>(10)
    for (number, opening) in [v4(1, 2, 30, 40), v4(4, 3, 30, 40)].enumerated() {
      let flow = try flows.insertNew(opening.eitherWay, UInt64(number))
      #expect(flows.find(opening.eitherWay) == FlowMatch(flow, isReply: false))
      #expect(flows.find(opening.reply.eitherWay) == FlowMatch(flow, isReply: true))
      #expect(flows.insert(opening.reply.eitherWay) == .exists(FlowMatch(flow, isReply: true)))
      #expect(flows.table.key(of: flow).source == opening.source)
      #expect(flows.table.secondKey(of: flow) == nil)
    }
    #expect(flows.find(v4(1, 2, 30, 41).eitherWay) == nil)
    #expect(flows.count == 2)
  }

  @Test func aTranslatorsFlowHasAnInsideAndAnOutside() throws {
    let flows = try Flows<IPv4FlowKey>(10, keysPerFlow: 2)
    let inside = v4(1, 99, 30, 80)
    let outside = v4(99, 50, 80, 6000)
    let flow = try flows.insertNew(inside, second: outside, 5, until: 1000)
    #expect(flows.find(inside) == FlowMatch(flow, isReply: false))
    #expect(flows.find(outside) == FlowMatch(flow, isReply: true))
    #expect(flows.table.key(of: flow) == inside && flows.table.secondKey(of: flow) == outside)
    // Another inside may not take the same outside, and leaves nothing behind.
    #expect(flows.insert(v4(2, 99, 30, 80), second: outside) == .exists(FlowMatch(flow, isReply: true)))
    #expect(flows.find(v4(2, 99, 30, 80)) == nil)
    #expect(flows.count == 1)
    #expect(flows.remove(flow))
    #expect(flows.find(inside) == nil && flows.find(outside) == nil)
    _ = try flows.insertNew(outside, second: inside)
  }

  @Test func anOldNameMeansNothing() throws {
    let flows = try Flows<IPv4FlowKey>(1)
    let first = try flows.insertNew(v4(1, 2, 3, 4))
    #expect(flows.remove(first))
    let second = try flows.insertNew(v4(5, 6, 7, 8))
    #expect(first.number == second.number && first != second)
    #expect(!flows.contains(first) && !flows.remove(first) && !flows.refresh(first, 1))
    #expect(flows.table.flow(first) == nil)
    #expect(flows.contains(second) && flows.table.deadline(of: second) == .max)
    let larger = try Flows<IPv4FlowKey>(2)
    _ = try larger.insertNew(v4(1, 1, 1, 1))
    let foreign = try larger.insertNew(v4(2, 1, 1, 1))
    #expect(!flows.contains(foreign) && !flows.remove(foreign))
  }

  @Test func aBurstForgetsWhatWasRemovedAfterTheLookUp() throws {
    let flows = try Flows<IPv4FlowKey>(4)
    let flow = try flows.insertNew(v4(1, 2, 3, 4), until: 100)
    var burst = flows.table.makeBurst(capacity: 2)
    burst.append(v4(1, 2, 3, 4))
    burst.append(v4(2, 2, 3, 4))
    #expect(flows.table.match(burst, 0) == nil)
    flows.table.lookUp(&burst, now: 99)
    #expect(flows.table.match(burst, 0) == FlowMatch(flow, isReply: false))
    #expect(flows.table.match(burst, 1) == nil)
    flows.table.remove(flow)
    #expect(flows.table.match(burst, 0) == nil)
    _ = try flows.insertNew(v4(1, 2, 3, 4), until: 100)
    #expect(flows.table.match(burst, 0) == nil)
    flows.table.lookUp(&burst, now: 100)
    #expect(flows.table.match(burst, 0) == nil)
  }

  @Test func valuesAreChangedInPlace() throws {
    let flows = try Flows<IPv4FlowKey>(2)
    let flow = try flows.insertNew(v4(1, 2, 3, 4), 40)
    flows.table[flow] += 2
    #expect(flows.table[flow] == 42)
    #expect(flows.table.flow(flow)?.value == 42)
  }

  // MARK: Room

  @Test(arguments: [1, 2, 3, 7, 10, 11, 16, 63, 64, 65, 333, 1000, 20_000, 40_960], [1, 2])
  func everyFlowThatWasPromisedFits(capacity: Int, keysPerFlow: Int) throws {
    let flows = try Flows<IPv4FlowKey>(capacity, keysPerFlow: keysPerFlow)
    var random = RepeatableRandom(state: UInt64(capacity))
    var ids: [FlowID] = []
    var next: UInt32 = 0
    // Filled, then half of it exchanged several times, as tables in use are.
    for _ in 0..<4 {
      while ids.count < capacity {
        next += 1
        ids.append(try flows.insertNew(v4(next, 1, 1, 1), second: keysPerFlow == 2 ? v4(1, next, 2, 2) : nil))
      }
      #expect(flows.insert(v4(0, 0, 0, 0)) == .full)
      ids.shuffle(using: &random)
      for id in ids[(capacity / 2)...] { _ = flows.remove(id) }
      ids.removeSubrange((capacity / 2)...)
    }
    #expect(flows.count == capacity / 2)
  }

  @Test func aFlowTakesALineOrTwoAndLittleBeside() throws {
    struct Session: BitwiseCopyable, Sendable { var words: (UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0) }
    struct Mapping: BitwiseCopyable, Sendable {
      var words: (Session, Session, UInt64, UInt64) = (Session(), Session(), 0, 0)
    }
    let small = FlowTable<IPv4FlowKey, Session>(capacity: 65_536, seed: FlowSeed(1, 1))?.byteCount
    #expect(try #require(small) / 65_536 < 64 + 8 + 18)
    let large = FlowTable<IPv4FlowKey, Mapping>(capacity: 65_536, keysPerFlow: 2, seed: FlowSeed(1, 1))?.byteCount
    #expect(try #require(large) / 65_536 < 128 + 8 + 34)
  }

  /// Whoever could make keys collide would fill two buckets, and no more.
  @Test func collisionsAreRefusedAndCostOthersNothing() throws {
    let flows = try Flows<ChosenKey>(1000)
    let hash: UInt64 = 0x1234_0000_0000_0055
    for number in 0..<16 as Range<UInt32> {
      _ = try flows.insertNew(ChosenKey(number: number, chosenHash: hash), UInt64(number))
    }
    for number in 16..<1000 as Range<UInt32> {
      #expect(flows.insert(ChosenKey(number: number, chosenHash: hash)) == .crowded)
    }
    #expect(flows.count == 16)
    for number in 0..<16 as Range<UInt32> {
      let match = try #require(flows.find(ChosenKey(number: number, chosenHash: hash)))
      #expect(flows.table[match.flow] == UInt64(number))
    }
    // The same first bucket, other second ones.
    let other = ChosenKey(number: 5000, chosenHash: 0x4321_0000_0000_0055)
    let id = try flows.insertNew(other)
    #expect(flows.find(other) == FlowMatch(id, isReply: false))
    let match = try #require(flows.find(ChosenKey(number: 3, chosenHash: hash)))
    #expect(flows.remove(match.flow))
    _ = try flows.insertNew(ChosenKey(number: 999, chosenHash: hash))
  }

  @Test func aSecondKeyThatFindsNoPlaceTakesTheFirstAlong() throws {
    let flows = try Flows<ChosenKey>(100, keysPerFlow: 2)
    for number in 0..<16 as Range<UInt32> { _ = try flows.insertNew(ChosenKey(number: number, chosenHash: 9)) }
    let first = ChosenKey(number: 50, chosenHash: 0x7777_0000_0000_0003)
    #expect(flows.insert(first, second: ChosenKey(number: 51, chosenHash: 9)) == .crowded)
    #expect(flows.find(first) == nil)
    #expect(flows.count == 16)
    _ = try flows.insertNew(first)
  }

  @Test func refusesMemoryThatDoesNotExist() {
    struct Four<Part: BitwiseCopyable & Sendable>: BitwiseCopyable, Sendable { var a, b, c, d: Part }
    // 2 to the power of 18 bytes for each of 2 to the power of 30 flows.
    typealias Huge = Four<Four<Four<Four<Four<Four<Four<Four<Four<UInt8>>>>>>>>>
    #expect(MemoryLayout<Huge>.size == 1 << 18)
    let limit = FlowTable<IPv4FlowKey, Huge>.capacityLimit
    #expect(FlowTable<IPv4FlowKey, Huge>(capacity: limit, seed: FlowSeed(0, 0))?.count == nil)
  }

  // MARK: Time

  @Test func aFlowEndsAtItsDeadline() throws {
    let flows = try Flows<IPv4FlowKey>(4, now: 1000)
    let key = v4(1, 2, 3, 4)
    let flow = try flows.insertNew(key, 1, until: 5_000_000)
    #expect(flows.find(key, now: 4_999_999) != nil)
    #expect(flows.find(key, now: 5_000_000) == nil)
    #expect(flows.expire(4_999_999) == [])
    // It is still in the way of another, until it is removed as expiry would.
    #expect(flows.insert(key) == .exists(FlowMatch(flow, isReply: false)))
    #expect(flows.expire(5_000_000 + 1 << 20) == [1])
    #expect(flows.count == 0)
    _ = try flows.insertNew(key)
  }

  @Test func deadlinesArePutOffAndBroughtForward() throws {
    let flows = try Flows<IPv4FlowKey>(4)
    let second: UInt64 = 1_000_000_000
    let a = try flows.insertNew(v4(1, 1, 1, 1), 1, until: 10 * second)
    let b = try flows.insertNew(v4(2, 1, 1, 1), 2, until: 7440 * second)
    #expect(flows.refresh(a, 20 * second))
    #expect(flows.expire(15 * second) == [])
    // A connection that was closed has less time left.
    #expect(flows.refresh(b, 18 * second))
    #expect(flows.expire(19 * second) == [2])
    #expect(flows.expire(21 * second) == [1])
  }

  @Test func hoursPassInOneLeap() throws {
    let flows = try Flows<IPv4FlowKey>(100, now: 77)
    let hour: UInt64 = 3_600_000_000_000
    for number in 1...100 as ClosedRange<UInt32> {
      _ = try flows.insertNew(v4(number, 1, 1, 1), UInt64(number), until: UInt64(number) * hour)
    }
    #expect(flows.expire(hour * 7 / 2) == [1, 2, 3])
    #expect(flows.expire(hour * 7 / 2) == [])
    #expect(Set(flows.expire(50 * hour + 1 << 20)) == Set(4...50))
    #expect(Set(flows.expire(.max - 1)) == Set(51...100))
    #expect(flows.table.nextEvent == nil)
  }

  @Test func aCallDoesNoMoreWorkThanItMay() throws {
    let flows = try Flows<IPv4FlowKey>(1000)
    for number in 1...1000 as ClosedRange<UInt32> {
      _ = try flows.insertNew(v4(number, 1, 1, 1), UInt64(number), until: 1 << 22)
    }
    // Every other one was put off: it is looked at, too.
    for number in stride(from: 1, through: 1000, by: 2) as StrideThrough<UInt32> {
      let match = try #require(flows.find(v4(number, 1, 1, 1)))
      _ = flows.refresh(match.flow, 1 << 30)
    }
    var expired: [UInt64] = []
    for call in 1...100 {
      let now = 1 << 22 + UInt64(call)
      expired += flows.expire(now, limit: 10)
      #expect(expired.count == call * 5)
      #expect(flows.table.nextEvent! <= now || call == 100)
    }
    #expect(expired == Array(stride(from: 2, through: 1000, by: 2)))
    #expect(flows.expire(1 << 29) == [])
    #expect(flows.expire(1 << 30).count == 500)
    var budget = 0
    #expect(flows.table.nextExpired(now: .max, budget: &budget)?.value == nil)
  }

  /// Whoever calls when `nextEvent` says hands every flow out within the resolution, and not before its time.
  @Test(arguments: [UInt64(1), 1000, 1 << 24]) func eventsComeInTime(resolution: UInt64) throws {
    let flows = try Flows<IPv4FlowKey>(2000, now: 1 << 40, resolution: resolution)
    var random = RepeatableRandom(state: resolution)
    let tick = resolution == 1000 ? 512 : resolution
    for number in 1...2000 as ClosedRange<UInt32> {
      let deadline = 1 << 40 + random.next() % (tick * 100_000)
      _ = try flows.insertNew(v4(number, 1, 1, 1), deadline, until: deadline)
    }
    var wakes = 0
    var expired = 0
    while let now = flows.table.nextEvent {
      for deadline in flows.expire(now) {
        expired += 1
        #expect(deadline <= now && now - deadline < tick)
      }
      wakes += 1
      try #require(wakes < 10_000)
    }
    #expect(expired == 2000)
  }

  @Test func aClockThatGoesBackStandsStill() throws {
    let flows = try Flows<IPv4FlowKey>(4, now: 1 << 30)
    _ = try flows.insertNew(v4(1, 1, 1, 1), 1, until: 1 << 31)
    _ = try flows.insertNew(v4(2, 1, 1, 1), 2, until: 1)
    #expect(flows.expire(1 << 20) == [])
    #expect(flows.expire(1 << 30) == [2])
    #expect(flows.expire(1 << 31) == [1])
  }

  // MARK: Listing

  @Test func aListingSeesWhatStaysWhileOthersComeAndGo() throws {
    let flows = try Flows<IPv4FlowKey>(500)
    var random = RepeatableRandom(state: 3)
    var passing: [FlowID] = []
    for number in 0..<400 as Range<UInt32> {
      let flow = try flows.insertNew(v4(number, 1, 1, 1), UInt64(number))
      if number % 2 == 1 { passing.append(flow) }
    }
    var seen: [UInt64: Int] = [:]
    var position: Int? = 0
    var next: UInt32 = 1000
    while let start = position {
      position = flows.table.list(from: start, records: 9) { seen[$0.value, default: 0] += 1 }
      for _ in 0..<5 {
        _ = flows.remove(passing.remove(at: Int(random.next() % UInt64(passing.count))))
        next += 1
        passing.append(try flows.insertNew(v4(next, 1, 1, 1), UInt64(next)))
      }
    }
    for number in stride(from: UInt64(0), to: 400, by: 2) { #expect(seen[number] == 1) }
    #expect(seen.values.allSatisfy { $0 == 1 })
    #expect(flows.table.list(from: 0, records: 0) { _ in } == 0)
    #expect(flows.table.list(from: 500, records: 1) { _ in } == nil)
    #expect(flows.table.list(from: -5, records: .max) { _ in } == nil)
  }

  @Test func flowsMoveToAnotherTable() throws {
    let old = try Flows<IPv4FlowKey>(100, keysPerFlow: 2)
    for number in 0..<100 as Range<UInt32> {
      _ = try old.insertNew(
        v4(number, 1, 1, 1).eitherWay, second: number % 3 == 0 ? v4(1, number, 9, 9) : nil, UInt64(number),
        until: 1000 + UInt64(number))
    }
    let new = try Flows<IPv4FlowKey>(200, keysPerFlow: 2)
    var moved: [Flows<IPv4FlowKey>.Table.Flow] = []
    _ = old.table.list(from: 0, records: .max) { moved.append($0) }
    for flow in moved { guard case .inserted = new.table.insert(flow) else { throw NotMoved() } }
    for flow in moved {
      let match = try #require(new.find(flow.key, now: 999))
      #expect(!match.isReply && new.table[match.flow] == flow.value)
      #expect(new.table.deadline(of: match.flow) == flow.deadline)
      #expect(new.table.secondKey(of: match.flow) == flow.secondKey)
      if let second = flow.secondKey { #expect(new.find(second) == FlowMatch(match.flow, isReply: true)) }
    }
    #expect(new.expire(1050 + 1 << 20, limit: 51).count == 51)
    guard case .exists = new.table.insert(moved[99]) else { throw NotMoved() }
  }

  struct NotMoved: Error {}
}
