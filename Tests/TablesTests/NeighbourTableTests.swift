import Tables
import Testing
import Wire

private let ms: UInt64 = 1_000_000
private let second: UInt64 = 1_000_000_000
private let macA = MACAddress(0x02, 0, 0, 0, 0, 0x0A)
private let macB = MACAddress(0x02, 0, 0, 0, 0, 0x0B)

private func v4(_ host: UInt32, on interface: UInt32 = 0) -> NeighbourKey {
  NeighbourKey(interface: interface, IPv4Address(rawValue: 0x0A00_0000 + host))
}

private func v6(_ host: UInt64, on interface: UInt32 = 0) -> NeighbourKey {
  NeighbourKey(interface: interface, IPv6Address(high: 0x2001_0DB8_0000_0000, low: host))
}

/// A table with a clock, and what it wants done.
private final class Bench {
  let table: NeighbourTable
  var now: UInt64 = 0

  init(
    interfaces: Int = 1, capacity: Int = 64, unresolved: Int = 16, timers: NeighbourTimers = NeighbourTimers()
  ) {
    table = NeighbourTable(
      interfaces: interfaces, capacity: capacity, unresolved: unresolved, timers: timers, seed: 42)
  }

  /// Goes on to a time, in steps as a worker's wake-ups are, and gives what was to be done with its time in milliseconds.
  @discardableResult
  func advance(to time: UInt64, interface: UInt32 = 0) -> [(at: UInt64, kind: NeighbourAction.Kind)] {
    var done: [(at: UInt64, kind: NeighbourAction.Kind)] = []
    while true {
      while let action = table.nextAction(interface: interface, now: now) { done.append((now / ms, action.kind)) }
      guard let next = table.nextEvent(interface: interface), next <= time else { break }
      now = max(now, next)
    }
    now = max(now, time)
    while let action = table.nextAction(interface: interface, now: now) { done.append((now / ms, action.kind)) }
    return done
  }

  func use(_ key: NeighbourKey) -> NeighbourUse { table.use(key, now: now) }
  func state(_ key: NeighbourKey) -> NeighbourState? { table.list().first { $0.key == key }?.state }

  /// Has a neighbour be reachable.
  func resolve(_ key: NeighbourKey, _ mac: MACAddress = macA) {
    _ = use(key)
    #expect(table.advertise(key, answer(mac), now: now))
  }

  /// Has a neighbour be stale.
  func hear(_ key: NeighbourKey, _ mac: MACAddress = macA) {
    table.hear(key, mac: mac, creates: true, now: now)
  }
}

private func answer(_ mac: MACAddress?, overrides: Bool = true, isRouter: Bool? = nil) -> NeighbourClaim {
  NeighbourClaim(mac: mac, isSolicited: true, overrides: overrides, isRouter: isRouter)
}

private func unsolicited(_ mac: MACAddress?, overrides: Bool = true) -> NeighbourClaim {
  NeighbourClaim(mac: mac, isSolicited: false, overrides: overrides)
}

@Suite struct NeighbourTableTests {
  // MARK: Resolution

  /// A node that has a packet for a neighbour without an entry creates one in state INCOMPLETE and solicits it once.
  @Test(arguments: [v4(1), v6(1)]) func rfc4861_7_2_2_createsAnIncompleteEntryAndSolicits(key: NeighbourKey) {
    let bench = Bench()
    #expect(bench.use(key) == .wait(asks: true))
    #expect(bench.use(key) == .wait(asks: false))
    #expect(bench.state(key) == .incomplete)
    #expect(bench.table.reader.lookup(key).isIncomplete)
    #expect(!bench.table.reader.lookup(key).isUsable)
  }

  /// While awaiting a response the sender retransmits about every RetransTimer, MAX_MULTICAST_SOLICIT times in all.
  @Test func rfc4861_7_2_2_retransmitsAndGivesUp() {
    let bench = Bench()
    _ = bench.use(v4(1))
    let done = bench.advance(to: 10 * second)
    #expect(done.map(\.at) == [1000, 2000, 3000])
    #expect(done.map(\.kind) == [.requestFromAll, .requestFromAll, .giveUp])
    #expect(bench.table.statistics.failures == 1)
  }

  /// Requests for one destination are sent at most once a second (RFC 1122, 2.3.2.1).
  @Test func rfc1122_2_3_2_1_preventsFloodingOfRequests() {
    let bench = Bench()
    var asked: [UInt64] = []
    for millisecond in UInt64(0)..<12_000 {
      bench.now = millisecond * ms
      if bench.use(v4(1)) == .wait(asks: true) { asked.append(millisecond) }
      while let action = bench.table.nextAction(interface: 0, now: bench.now) {
        if action.kind == .requestFromAll { asked.append(millisecond) }
      }
    }
    #expect(asked == [0, 1000, 2000, 6000, 7000, 8000])
  }

  /// A neighbour that did not answer is not asked again before the hold-down is over.
  @Test func aFailedNeighbourIsHeldDown() {
    let bench = Bench()
    _ = bench.use(v4(1))
    bench.advance(to: 3 * second)
    #expect(bench.use(v4(1)) == .failed)
    #expect(bench.table.reader.lookup(v4(1)).hasFailed)
    bench.advance(to: 6 * second - ms)
    #expect(bench.use(v4(1)) == .failed)
    bench.advance(to: 6 * second)
    #expect(bench.state(v4(1)) == nil)
    #expect(bench.use(v4(1)) == .wait(asks: true))
  }

  /// The time between requests may grow, up to a limit.
  @Test func rfc7048_3_backsOffExponentially() {
    var timers = NeighbourTimers()
    timers.backOff = 3
    timers.multicastRequests = 6
    timers.longestRetransmit = 20 * second
    let bench = Bench(timers: timers)
    _ = bench.use(v4(1))
    #expect(bench.advance(to: 100 * second).map(\.at) == [1000, 4000, 13_000, 33_000, 53_000, 73_000])
  }

  /// A solicited advertisement for an INCOMPLETE entry sets it REACHABLE, an unsolicited one STALE.
  @Test func rfc4861_7_2_5_anAdvertisementResolves() {
    let bench = Bench()
    _ = bench.use(v6(1))
    _ = bench.use(v6(2))
    #expect(bench.table.advertise(v6(1), answer(macA, isRouter: true), now: 0))
    #expect(bench.table.advertise(v6(2), unsolicited(macB, overrides: false), now: 0))
    #expect(bench.state(v6(1)) == .reachable)
    #expect(bench.state(v6(2)) == .stale)
    #expect(bench.table.reader.lookup(v6(1)).mac == macA)
    #expect(bench.table.reader.lookup(v6(1)).isFresh)
    #expect(bench.table.reader.lookup(v6(2)).wantsReport)
    #expect(bench.table.list().map(\.isRouter) == [true, false])
    #expect(bench.advance(to: 5 * second).isEmpty)
  }

  /// An INCOMPLETE entry is not resolved by an advertisement without a link-layer address.
  @Test func rfc4861_7_2_5_withoutAnAddressNothingIsResolved() {
    let bench = Bench()
    _ = bench.use(v6(1))
    #expect(!bench.table.advertise(v6(1), answer(nil), now: 0))
    #expect(bench.state(v6(1)) == .incomplete)
  }

  /// An advertisement for a neighbour without an entry is discarded.
  @Test func rfc4861_7_2_5_noEntryIsCreated() {
    let bench = Bench()
    #expect(!bench.table.advertise(v6(1), answer(macA), now: 0))
    #expect(bench.table.list().isEmpty)
  }

  /// Without Override, another address is not taken; a REACHABLE entry becomes STALE, any other stays.
  @Test func rfc4861_7_2_5_withoutOverrideAnotherAddressIsNotTaken() {
    let bench = Bench()
    bench.resolve(v6(1))
    #expect(!bench.table.advertise(v6(1), answer(macB, overrides: false), now: 0))
    #expect(bench.state(v6(1)) == .stale)
    #expect(!bench.table.advertise(v6(1), answer(macB, overrides: false), now: 0))
    #expect(bench.state(v6(1)) == .stale)
    #expect(bench.table.reader.lookup(v6(1)).mac == macA)
  }

  /// With Override, another address is taken: REACHABLE when solicited, STALE when not.
  @Test func rfc4861_7_2_5_withOverrideAnotherAddressIsTaken() {
    let bench = Bench()
    bench.resolve(v6(1))
    #expect(bench.table.advertise(v6(1), unsolicited(macB), now: 0))
    #expect(bench.state(v6(1)) == .stale)
    #expect(bench.table.reader.lookup(v6(1)).mac == macB)
    #expect(bench.table.advertise(v6(1), answer(macA), now: 0))
    #expect(bench.state(v6(1)) == .reachable)
    #expect(bench.table.reader.lookup(v6(1)).mac == macA)
    #expect(bench.table.statistics.moves == 2)
  }

  /// An unsolicited advertisement of the same address does not change the state; a solicited one confirms.
  @Test func rfc4861_7_2_5_theSameAddressConfirmsOnlyWhenSolicited() {
    let bench = Bench()
    bench.hear(v6(1))
    #expect(bench.table.advertise(v6(1), unsolicited(macA), now: 0))
    #expect(bench.state(v6(1)) == .stale)
    #expect(bench.table.advertise(v6(1), answer(macA, overrides: false), now: 0))
    #expect(bench.state(v6(1)) == .reachable)
    bench.hear(v6(2))
    #expect(bench.table.advertise(v6(2), answer(nil, overrides: false), now: 0))
    #expect(bench.state(v6(2)) == .reachable)
  }

  // MARK: Hearing

  /// A solicitation creates a STALE entry for its source, and makes one with another address STALE.
  @Test func rfc4861_7_2_3_aSolicitationIsLearnedFrom() {
    let bench = Bench()
    #expect(bench.table.hear(v6(1), mac: macA, creates: true, now: 0))
    #expect(bench.state(v6(1)) == .stale)
    bench.resolve(v6(2))
    #expect(!bench.table.hear(v6(2), mac: macA, creates: true, now: 0))
    #expect(bench.state(v6(2)) == .reachable)
    #expect(bench.table.hear(v6(2), mac: macB, creates: true, now: 0))
    #expect(bench.state(v6(2)) == .stale)
    #expect(bench.table.reader.lookup(v6(2)).mac == macB)
  }

  /// A packet that is not for this node updates a translation that is there, and adds none.
  @Test func rfc826_updatesWithoutAdding() {
    let bench = Bench()
    #expect(!bench.table.hear(v4(1), mac: macA, creates: false, now: 0))
    #expect(bench.table.list().isEmpty)
    bench.hear(v4(1))
    #expect(bench.table.hear(v4(1), mac: macB, creates: false, now: 0))
    #expect(bench.table.reader.lookup(v4(1)).mac == macB)
  }

  /// A neighbour that speaks up ends its hold-down.
  @Test func aFailedNeighbourThatIsHeardIsUsable() {
    let bench = Bench()
    _ = bench.use(v4(1))
    bench.advance(to: 4 * second)
    #expect(bench.state(v4(1)) == .failed)
    #expect(bench.table.hear(v4(1), mac: macA, creates: false, now: bench.now))
    #expect(bench.use(v4(1)) == .send(macA))
    #expect(bench.table.statistics.unresolved == 0)
  }

  // MARK: Ageing

  /// A REACHABLE entry becomes STALE when ReachableTime has passed since the last confirmation.
  @Test func rfc4861_7_3_3_aConfirmationAges() {
    let bench = Bench()
    bench.resolve(v4(1))
    bench.advance(to: 15 * second - ms)
    #expect(bench.state(v4(1)) == .reachable)
    bench.table.confirm(v4(1), now: bench.now)
    bench.advance(to: 30 * second - 2 * ms)
    #expect(bench.state(v4(1)) == .reachable)
    #expect(bench.advance(to: 60 * second + 20 * ms).isEmpty)
    #expect(bench.state(v4(1)) == .stale)
  }

  /// ReachableTime is a random value between 0.5 and 1.5 times BaseReachableTime.
  @Test func rfc4861_6_3_2_reachableTimeIsSpread() {
    let bench = Bench(capacity: 1000, unresolved: 1000)
    for host in UInt32(0)..<1000 { bench.resolve(v4(host)) }
    bench.advance(to: 15 * second - ms)
    #expect(bench.table.list().allSatisfy { $0.state == .reachable })
    bench.advance(to: 30 * second)
    let stale = bench.table.list().count { $0.state == .stale }
    #expect((400...600).contains(stale), "\(stale)")
    bench.advance(to: 45 * second + 20 * ms)
    #expect(bench.table.list().allSatisfy { $0.state == .stale })
  }

  /// The first packet to a STALE neighbour is sent, and starts DELAY; when nothing confirms it, it is probed by unicast.
  @Test func rfc4861_7_3_3_aStaleEntryInUseIsDelayedThenProbed() {
    let bench = Bench()
    bench.hear(v4(1))
    #expect(bench.advance(to: 100 * second).isEmpty)
    #expect(bench.use(v4(1)) == .send(macA))
    #expect(bench.state(v4(1)) == .delay)
    #expect(bench.table.reader.lookup(v4(1)).isFresh)
    let done = bench.advance(to: 107 * second)
    #expect(done.map(\.at) == [105_000, 106_000, 107_000])
    #expect(done.allSatisfy { $0.kind == .probe(macA) })
    #expect(bench.state(v4(1)) == .probe)
    #expect(bench.use(v4(1)) == .send(macA))
    #expect(bench.table.advertise(v4(1), answer(macA), now: bench.now))
    #expect(bench.state(v4(1)) == .reachable)
    #expect(bench.advance(to: 110 * second).isEmpty)
  }

  /// A confirmation during DELAY spares the probe.
  @Test func rfc4861_7_3_1_aConfirmationSparesTheProbe() {
    let bench = Bench()
    bench.hear(v4(1))
    _ = bench.use(v4(1))
    bench.table.confirm(v4(1), now: second)
    #expect(bench.state(v4(1)) == .reachable)
    #expect(bench.advance(to: 14 * second).isEmpty)
  }

  /// A neighbour that leaves MAX_UNICAST_SOLICIT probes unanswered is deleted, and resolved anew for the next packet.
  @Test func rfc4861_7_3_3_anUnansweredProbeDeletes() {
    let bench = Bench()
    bench.hear(v6(1))
    _ = bench.use(v6(1))
    bench.advance(to: 8 * second)
    #expect(bench.state(v6(1)) == nil)
    #expect(bench.table.statistics.losses == 1)
    #expect(bench.table.reader.lookup(v6(1)) == .unknown)
    #expect(bench.use(v6(1)) == .wait(asks: true))
  }

  /// A stale neighbour that nobody uses is forgotten.
  @Test func anUnusedNeighbourIsForgotten() {
    let bench = Bench()
    bench.hear(v4(1))
    bench.advance(to: 1199 * second)
    #expect(bench.state(v4(1)) == .stale)
    bench.advance(to: 1200 * second)
    #expect(bench.state(v4(1)) == nil)
    #expect(bench.table.nextEvent(interface: 0) == nil)
  }

  // MARK: Limits

  /// Entries that have an address stay when a node is made to ask for many that nobody has, and new ones are refused.
  @Test func rfc6583_7_1_exhaustionLeavesResolvedEntriesAlone() {
    let bench = Bench(capacity: 100, unresolved: 32)
    for host in UInt32(0)..<50 { bench.resolve(v4(host)) }
    var refused = 0
    for host in UInt32(1000)..<200_000 {
      if bench.use(v4(host)) == .refused { refused += 1 }
    }
    #expect(refused == 199_000 - 32)
    #expect(bench.table.statistics.refusals == UInt64(refused))
    #expect(bench.table.statistics.count == 82)
    for host in UInt32(0)..<50 { #expect(bench.use(v4(host)) == .send(macA)) }
    // Whoever speaks up is learned all the same, as long as there is room.
    for host in UInt32(50)..<68 { #expect(bench.table.hear(v4(host), mac: macB, creates: true, now: 0)) }
    #expect(!bench.table.hear(v4(68), mac: macB, creates: true, now: 0))
    #expect(bench.table.statistics.count == 100)
  }

  /// A neighbour that failed gives way to one that is asked for.
  @Test func rfc6583_7_1_failedEntriesGiveWay() {
    let bench = Bench(capacity: 8, unresolved: 4)
    for host in UInt32(0)..<4 { _ = bench.use(v4(host)) }
    #expect(bench.use(v4(9)) == .refused)
    bench.advance(to: 3 * second)
    #expect(bench.use(v4(9)) == .wait(asks: true))
    #expect(bench.state(v4(0)) == nil)
    #expect(bench.state(v4(1)) == .failed)
    #expect(bench.table.statistics.unresolved == 4)
  }

  /// Whatever happens, the index and the table agree, and nothing is lost or doubled.
  @Test func randomOperationsKeepTheTableSound() {
    var timers = NeighbourTimers()
    timers.stale = 40 * second
    let bench = Bench(interfaces: 3, capacity: 40, unresolved: 12, timers: timers)
    var random = Numbers(state: 7)
    for step in 0..<60_000 {
      let interface = UInt32(random.next(3))
      let host = random.next(60)
      let key = random.next(2) == 0 ? v4(UInt32(host), on: interface) : v6(host, on: interface)
      let mac = random.next(4) == 0 ? macB : macA
      switch random.next(9) {
      case 0, 1, 2: _ = bench.use(key)
      case 3: bench.table.hear(key, mac: mac, creates: random.next(3) > 0, now: bench.now)
      case 4, 5:
        let claim = NeighbourClaim(
          mac: random.next(5) == 0 ? nil : mac, isSolicited: random.next(2) == 0, overrides: random.next(2) == 0)
        bench.table.advertise(key, claim, now: bench.now)
      case 6: bench.advance(to: bench.now + random.next(3000) * ms, interface: interface)
      case 7: if random.next(10) == 0 { bench.table.remove(key) }
      default: if random.next(300) == 0 { bench.table.flush(interface: interface) }
      }
      guard step % 50 == 0 else { continue }
      let list = bench.table.list()
      #expect(Set(list.map(\.key)).count == list.count)
      #expect(list.count == bench.table.statistics.count)
      #expect(list.count { !$0.state.hasAddress } == bench.table.statistics.unresolved)
      #expect(bench.table.statistics.unresolved <= 12)
      for neighbour in list {
        let reading = bench.table.reader.lookup(neighbour.key)
        #expect(reading.isUsable == neighbour.state.hasAddress)
        #expect(reading.wantsReport == (neighbour.state == .stale))
        if let mac = neighbour.mac { #expect(reading.mac == mac) }
      }
      #expect(bench.table.reader.lookup(v4(70)) == .unknown)
    }
    bench.table.flush(interface: 0)
    bench.table.flush(interface: 1)
    bench.table.flush(interface: 2)
    #expect(bench.table.list().isEmpty)
    #expect(bench.table.statistics.unresolved == 0)
    #expect(bench.table.nextEvent(interface: 1) == nil)
  }

  // MARK: Management

  /// A configured neighbour is not changed by what is heard, and does not age.
  @Test func aPermanentNeighbourStays() {
    let bench = Bench(capacity: 1, unresolved: 1)
    #expect(bench.table.setPermanent(v4(1), mac: macA))
    #expect(!bench.table.setPermanent(v4(2), mac: macA))
    #expect(!bench.table.hear(v4(1), mac: macB, creates: true, now: 0))
    #expect(!bench.table.advertise(v4(1), answer(macB), now: 0))
    #expect(bench.advance(to: 10_000 * second).isEmpty)
    #expect(bench.use(v4(1)) == .send(macA))
    #expect(bench.state(v4(1)) == .permanent)
    bench.table.flush(interface: 0)
    #expect(bench.state(v4(1)) == .permanent)
    bench.table.flush(interface: 0, permanent: true)
    #expect(bench.table.list().isEmpty)
  }

  @Test func theSameAddressOnTwoInterfacesIsTwoNeighbours() {
    let bench = Bench(interfaces: 2)
    bench.hear(v6(1, on: 0), macA)
    bench.hear(v6(1, on: 1), macB)
    #expect(bench.table.reader.lookup(v6(1, on: 0)).mac == macA)
    #expect(bench.table.reader.lookup(v6(1, on: 1)).mac == macB)
    #expect(bench.table.list(interface: 1).map(\.key) == [v6(1, on: 1)])
    bench.table.flush(interface: 0)
    #expect(bench.table.list().map(\.key) == [v6(1, on: 1)])
    #expect(bench.table.remove(v6(1, on: 1)))
    #expect(!bench.table.remove(v6(1, on: 1)))
  }

  @Test func actionsGoToTheirInterface() {
    let bench = Bench(interfaces: 2)
    _ = bench.use(v4(1, on: 0))
    _ = bench.use(v4(2, on: 1))
    // The other interface's turn does not take away what this one has to do.
    bench.now = second
    #expect(bench.table.nextAction(interface: 0, now: bench.now)?.key == v4(1, on: 0))
    #expect(bench.table.nextAction(interface: 0, now: bench.now) == nil)
    #expect(bench.table.nextEvent(interface: 1) == 0)
    #expect(bench.table.nextAction(interface: 1, now: bench.now)?.key == v4(2, on: 1))
  }

  @Test func anInterfaceThatThereIsNotIsRefused() {
    let bench = Bench()
    #expect(bench.use(v4(1, on: 1)) == .refused)
    #expect(!bench.table.hear(v4(1, on: 7), mac: macA, creates: true, now: 0))
    #expect(bench.table.nextAction(interface: 1, now: 0) == nil)
  }

  // MARK: Several threads

  /// Readers see a neighbour's own address or none, however fast neighbours come and go.
  @Test func readersNeverSeeAnotherNeighboursAddress() async {
    let table = NeighbourTable(capacity: 16, unresolved: 16, seed: 1)
    let wrong = await withTaskGroup(of: Int.self) { group in
      group.addTask {
        var random = Numbers(state: 3)
        for _ in 0..<60_000 {
          let host = random.next(24)
          if random.next(2) == 0 {
            table.hear(v4(UInt32(host)), mac: MACAddress(rawValue: 0x0200_0000_0000 + host), creates: true, now: 0)
          } else {
            table.remove(v4(UInt32(host)))
          }
        }
        return 0
      }
      group.addTask {
        var wrong = 0
        for round in UInt64(0)..<400_000 {
          let reading = table.reader.lookup(v4(UInt32(round % 24)))
          if reading.isUsable && reading.mac.rawValue != 0x0200_0000_0000 + round % 24 { wrong += 1 }
        }
        return wrong
      }
      return await group.reduce(0, +)
    }
    #expect(wrong == 0)
  }
}

/// Numbers that a seed gives.
private struct Numbers {
  var state: UInt64

  mutating func next(_ limit: UInt64) -> UInt64 {
    state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
    return (state >> 33) % limit
  }
}
