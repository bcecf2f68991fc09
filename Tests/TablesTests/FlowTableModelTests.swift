import Testing
import Wire

@testable import Tables

/// The same numbers for the same seed, so that a failure can be repeated.
struct RepeatableRandom: RandomNumberGenerator {
  var state: UInt64

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var mixed = state
    mixed = (mixed ^ mixed >> 30) &* 0xBF58_476D_1CE4_E5B9
    mixed = (mixed ^ mixed >> 27) &* 0x94D0_49BB_1331_11EB
    return mixed ^ mixed >> 31
  }
}

/// A key with a hash of the test's choice.
struct ChosenKey: FlowKey {
  var number: UInt32
  var chosenHash: UInt64

  func hash(_ seed: FlowSeed) -> UInt64 { chosenHash }
}

/// What went wrong; the first few are reported.
final class Failures {
  var count = 0

  func check(_ condition: Bool, _ what: @autoclosure () -> String, line: Int = #line) {
    guard !condition else { return }
    count += 1
    if count < 10 { Issue.record("\(what()), from line \(line)") }
  }
}

/// A flow table beside a dictionary that is to say the same.
struct FlowTableAndModel<Key: FlowKey>: ~Copyable {
  typealias Table = FlowTable<Key, UInt64>

  struct Expected {
    var id: FlowID
    var key: Key
    var second: Key?
    var value: UInt64
    var deadline: UInt64
  }

  struct NoMemory: Error {}

  static var resolution: UInt64 { 1 << 20 }

  var table: Table
  var burst: FlowBurst<Key>
  var flows: [UInt32: Expected] = [:]
  var numbers: [Key: UInt32] = [:]
  var gone: [FlowID] = []
  var now: UInt64
  var random: RepeatableRandom
  let log = Failures()
  var crowded = 0
  /// What happened, so that a test can show that it tried everything.
  var seen: [String: Int] = [:]

  init(capacity: Int, keysPerFlow: Int, seed: UInt64) throws {
    random = RepeatableRandom(state: seed)
    now = random.next() >> 8
    let seed = FlowSeed(using: &random)
    guard
      let table = Table(
        capacity: capacity, keysPerFlow: keysPerFlow, seed: seed, now: now, resolution: Self.resolution)
    else { throw NoMemory() }
    burst = table.makeBurst(capacity: 100)
    self.table = table
  }

  mutating func count(_ what: String) { seen[what, default: 0] += 1 }

  func expectedMatch(_ key: Key) -> FlowMatch? {
    guard let number = numbers[key], let flow = flows[number] else { return nil }
    let isSecond = flow.key != key
    let stored = isSecond ? flow.second! : flow.key
    return FlowMatch(flow.id, isReply: isSecond != (stored.isReversed != key.isReversed))
  }

  func expectedFind(_ key: Key) -> FlowMatch? {
    expectedMatch(key).flatMap { flows[$0.flow.number]!.deadline > now ? $0 : nil }
  }

  mutating func find(_ key: Key) {
    let found = table.find(key, now: now)
    log.check(found == expectedFind(key), "found \(String(describing: found)) for \(key)")
    count(found == nil ? "miss" : found!.isReply ? "reply" : "hit")
  }

  mutating func findBurst(_ keys: [Key]) {
    burst.removeAll()
    for key in keys { burst.append(key) }
    table.lookUp(&burst, now: now)
    for position in 0..<burst.count {
      let found = table.match(burst, position)
      log.check(found == expectedFind(keys[position]), "burst found \(String(describing: found)) for \(keys[position])")
    }
    count("burst")
  }

  mutating func insert(_ key: Key, _ second: Key?) {
    let value = random.next()
    let deadline = someDeadline()
    let present = expectedMatch(key) ?? second.flatMap { expectedMatch($0) }
    switch table.insert(key, second: second, value, until: deadline) {
    case .inserted(let id):
      log.check(present == nil, "entered a key that was there")
      log.check(flows.count < table.capacity, "entered a flow beyond the capacity")
      log.check(flows[id.number] == nil, "gave a number twice")
      log.check(!gone.contains(id), "gave an identity again")
      flows[id.number] = Expected(id: id, key: key, second: second, value: value, deadline: deadline)
      numbers[key] = id.number
      if let second { numbers[second] = id.number }
      count(second == nil ? "inserted" : "inserted two")
    case .exists(let match):
      log.check(match == present, "\(match) stands in the way, not \(String(describing: present))")
      count("exists")
    case .full:
      log.check(present == nil && flows.count == table.capacity, "full with \(flows.count) flows")
      count("full")
    case .crowded:
      log.check(present == nil && flows.count < table.capacity, "crowded though full or present")
      crowded += 1
    }
  }

  /// Mostly soon, at times beyond the wheel, never, or past.
  mutating func someDeadline() -> UInt64 {
    switch random.next() % 16 {
    case 0: .max
    case 1: now &- random.next() % (1 << 24)
    case 2: now &+ random.next() % (1 << 38)
    default: now &+ random.next() % (1 << 30)
    }
  }

  mutating func someFlow() -> FlowID? {
    guard !flows.isEmpty else { return nil }
    // A walk from a random number is not fair, but reaches every flow.
    var number = UInt32(random.next() % UInt64(table.capacity))
    while flows[number] == nil { number = number + 1 == UInt32(table.capacity) ? 0 : number + 1 }
    return flows[number]!.id
  }

  mutating func forget(_ id: FlowID) {
    guard let flow = flows.removeValue(forKey: id.number) else { return }
    numbers[flow.key] = nil
    if let second = flow.second { numbers[second] = nil }
    gone.append(id)
    if gone.count > 20 { gone.removeFirst() }
  }

  mutating func remove(_ id: FlowID) {
    log.check(table.remove(id), "could not remove a flow")
    log.check(!table.remove(id), "removed a flow twice")
    forget(id)
    count("removed")
  }

  mutating func refresh(_ id: FlowID) {
    let deadline = someDeadline()
    log.check(table.refresh(id, until: deadline), "could not put off a flow")
    flows[id.number]!.deadline = deadline
    count("refreshed")
  }

  mutating func write(_ id: FlowID) {
    let value = random.next()
    table[id] = value
    flows[id.number]!.value = value
  }

  mutating func compare(_ flow: Table.Flow) {
    guard let expected = flows[flow.id.number], expected.id == flow.id else {
      log.check(false, "a flow that should not be: \(flow)")
      return
    }
    log.check(
      flow.key == expected.key && flow.secondKey == expected.second && flow.value == expected.value
        && flow.deadline == expected.deadline, "\(flow) is not \(expected)")
  }

  mutating func expire(limit: Int) {
    var expired: [Table.Flow] = []
    let done = table.expire(now: now, limit: limit) { expired.append($0) }
    log.check(expired.count <= limit, "looked at more than the limit")
    for flow in expired {
      log.check(flow.deadline <= now, "expired early")
      log.check(!table.contains(flow.id), "expired and still there")
      compare(flow)
      forget(flow.id)
      count("expired")
    }
    // Looking through the model takes its time.
    guard done, random.next() % 16 == 0 || limit == .max else { return }
    let tick = now / Self.resolution
    let late = flows.values.filter {
      $0.deadline != .max && ($0.deadline + Self.resolution - 1) / Self.resolution <= tick
    }
    log.check(late.isEmpty, "\(late.count) flows should have expired")
    let earliest = flows.values.map(\.deadline).filter { $0 != .max }.min()
    if let earliest {
      log.check(
        table.nextEvent.map { $0 < earliest + Self.resolution } == true, "the next event is after the first deadline")
    }
    if flows.isEmpty { log.check(table.nextEvent == nil, "an event without flows") }
  }

  mutating func listAll() {
    var listed = 0
    var position: Int? = 0
    while let start = position {
      var part: [Table.Flow] = []
      position = table.list(from: start, records: 7) { part.append($0) }
      for flow in part { compare(flow) }
      listed += part.count
    }
    log.check(listed == flows.count, "listed \(listed) of \(flows.count)")
    for (number, flow) in flows {
      log.check(table.contains(flow.id) && table[flow.id] == flow.value, "flow \(number) is not what it was")
      log.check(expectedMatch(flow.key) != nil, "the model lost a key")
    }
    for id in gone { log.check(!table.contains(id) && table.flow(id) == nil && !table.refresh(id, until: 0), "stale") }
    count("listed")
  }

  /// Does things at random with keys that `makeKey` draws.
  mutating func run(steps: Int, twoKeys: Bool, _ makeKey: (inout RepeatableRandom) -> Key) {
    for _ in 0..<steps where log.count < 10 {
      switch random.next() % 32 {
      case 0..<12: find(makeKey(&random))
      case 12..<20:
        let key = makeKey(&random)
        let second = twoKeys && random.next() & 3 != 0 ? makeKey(&random) : nil
        // One flow under the same key twice would make no difference to the table, but to the model.
        if second != key { insert(key, second) }
      case 20..<22: if let id = someFlow() { remove(id) }
      case 22..<26: if let id = someFlow() { refresh(id) }
      case 26..<28: if let id = someFlow() { write(id) }
      case 28..<31:
        now &+= random.next() % (1 << 22)
        expire(limit: Int(random.next() % 8))
      default:
        switch random.next() % 64 {
        case 0:
          now &+= random.next() >> (20 + random.next() % 20)
          expire(limit: .max)
          listAll()
        case 1..<16: findBurst((0..<Int(random.next() % 101)).map { _ in makeKey(&random) })
        default: expire(limit: 0)
        }
      }
      log.check(table.count == flows.count, "counts \(table.count) flows of \(flows.count)")
    }
    expire(limit: .max)
    listAll()
    now = .max
    expire(limit: .max)
    log.check(table.count == 0, "\(table.count) flows have no end")
    // What was left in the index would take room and time for ever.
    for bucket in 0...table.index.mask {
      log.check(table.index.places(bucket, of: 0).nonzeroBitCount == 8, "bucket \(bucket) still has entries")
      log.check(
        table.index.awayCount(bucket) == 0, "bucket \(bucket) still counts \(table.index.awayCount(bucket)) away")
    }
  }
}

@Suite struct FlowTableModelTests {
  static var seeds: [UInt64] { [1, 2, .random(in: 0...(.max))] }

  /// Few addresses and ports, so that both directions meet, and other zones and protocols with the same ones.
  static func v4Key(_ random: inout RepeatableRandom) -> IPv4FlowKey {
    let bits = random.next()
    let host = { (shift: UInt64) in IPv4Address(rawValue: 0x0A00_0000 | UInt32(truncatingIfNeeded: bits >> shift & 7)) }
    return IPv4FlowKey(
      source: host(0), destination: host(3), sourcePort: UInt16(bits >> 8 & 3), destinationPort: UInt16(bits >> 10 & 3),
      protocol: bits >> 12 & 1 == 0 ? .tcp : .udp, zone: UInt16(bits >> 13 & 1))
  }

  static func v6Key(_ random: inout RepeatableRandom) -> IPv6FlowKey {
    let bits = random.next()
    return IPv6FlowKey(
      source: IPv6Address(high: bits >> 3 & 1, low: bits & 7), destination: IPv6Address(high: 0, low: bits >> 4 & 7),
      sourcePort: UInt16(bits >> 8 & 3), destinationPort: UInt16(bits >> 10 & 3), protocol: .tcp,
      zone: UInt16(bits >> 13 & 1))
  }

  static func expectAllWasTried(_ seen: [String: Int], twoKeys: Bool, replies: Bool) {
    let wanted =
      ["hit", "miss", "burst", "inserted", "exists", "full", "removed", "refreshed", "expired", "listed"]
      + (replies ? ["reply"] : []) + (twoKeys ? ["inserted two"] : [])
    for what in wanted { #expect(seen[what, default: 0] > 10, "\(what)") }
  }

  @Test(arguments: seeds) func agreesOnKeysOfOneDirection(seed: UInt64) throws {
    var both = try FlowTableAndModel<IPv4FlowKey>(capacity: 400, keysPerFlow: 1, seed: seed)
    both.run(steps: 200_000, twoKeys: false, Self.v4Key)
    Self.expectAllWasTried(both.seen, twoKeys: false, replies: false)
    #expect(both.crowded == 0)
  }

  @Test(arguments: seeds) func agreesOnKeysForBothDirections(seed: UInt64) throws {
    var both = try FlowTableAndModel<IPv4FlowKey>(capacity: 300, keysPerFlow: 1, seed: seed)
    both.run(steps: 200_000, twoKeys: false) { Self.v4Key(&$0).eitherWay }
    Self.expectAllWasTried(both.seen, twoKeys: false, replies: true)
    #expect(both.crowded == 0)
  }

  @Test(arguments: seeds) func agreesOnTwoKeysAFlow(seed: UInt64) throws {
    var both = try FlowTableAndModel<IPv6FlowKey>(capacity: 300, keysPerFlow: 2, seed: seed)
    both.run(steps: 200_000, twoKeys: true, Self.v6Key)
    Self.expectAllWasTried(both.seen, twoKeys: true, replies: true)
    #expect(both.crowded == 0)
  }

  /// Keys whose hashes differ in a few bits only: buckets overflow, entries are moved to and fro, and some are refused.
  @Test(arguments: seeds) func agreesOnKeysThatCollide(seed: UInt64) throws {
    var both = try FlowTableAndModel<ChosenKey>(capacity: 300, keysPerFlow: 2, seed: seed)
    both.run(steps: 200_000, twoKeys: true) { random in
      let number = UInt32(random.next() % 1000)
      // Eight first buckets of 128, and five tags, two of them the same, since no tag is 0.
      return ChosenKey(number: number, chosenHash: UInt64(number & 7) | UInt64(number % 5) << 48)
    }
    #expect(both.crowded > 10)
    #expect(both.seen["inserted two", default: 0] > 1000)
  }
}
