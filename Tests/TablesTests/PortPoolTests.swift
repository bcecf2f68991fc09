import Tables
import Testing

/// Numbers that are the same in every run.
private struct Dice: RandomNumberGenerator {
  var state: UInt64

  mutating func next() -> UInt64 {
    state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
    return (state ^ state >> 29) &* 0x9E37_79B9_7F4A_7C15
  }
}

private let second: UInt64 = 1_000_000_000

@Suite struct PortPoolTests {
  /// Takes back what has rested.
  private func reclaim(_ pool: inout PortPool, _ now: UInt64) -> [PortPool.ReleasedBlock] {
    var budget = 1_000_000
    var released: [PortPool.ReleasedBlock] = []
    while let block = pool.reclaim(now: now, budget: &budget) { released.append(block) }
    return released
  }

  @Test func samePortIsKeptWhenItIsFree() throws {
    var pool = try PortPool(PortPool.Layout(addresses: 2))
    #expect(pool.take(address: 1, space: 0, like: 4000, random: 7) == PortSlot(address: 1, space: 0, port: 4000))
    #expect(pool.take(address: 1, space: 1, like: 4000, random: 7) == PortSlot(address: 1, space: 1, port: 4000))
    let other = pool.take(address: 1, space: 0, like: 4000, random: 7)
    #expect(other?.port != 4000)
    #expect(other.map { $0.port % 2 } == 0)
  }

  @Test func rangeAndParityAreKeptAsLongAsTheyCanBe() throws {
    var pool = try PortPool(PortPool.Layout(addresses: 1, ports: 512...2047))
    var dice = Dice(state: 1)
    // 256 odd ports below 1,024, then the even ones, then those above.
    for count in 0..<1536 {
      let slot = pool.take(address: 0, space: 0, like: 7, preserves: false, random: dice.next())
      guard let slot else {
        Issue.record("no port although \(1536 - count) are free")
        return
      }
      #expect((slot.port < 1024) == (count < 512))
      if count < 256 { #expect(slot.port % 2 == 1) }
    }
    #expect(pool.take(address: 0, space: 0, like: 7, random: dice.next()) == nil)
    #expect(pool.freeCount(address: 0, space: 0) == 0)
    #expect(pool.freeCount(address: 0, space: 1) == 1536)
  }

  @Test func portsRestBeforeTheyAreUsedAgain() throws {
    var pool = try PortPool(PortPool.Layout(addresses: 1, ports: 2000...2000))
    let slot = PortSlot(address: 0, space: 0, port: 2000)
    #expect(pool.take(slot) == true)
    pool.giveBack(slot, now: 10 * second)
    #expect(pool.nextEvent(now: 10 * second).map { $0 >= 130 * second && $0 < 131 * second } == true)
    _ = reclaim(&pool, 129 * second)
    #expect(pool.take(address: 0, space: 0, like: 2000, random: 0) == nil)
    _ = reclaim(&pool, 131 * second)
    #expect(pool.take(address: 0, space: 0, like: 2000, random: 0) == slot)
    #expect(pool.nextEvent(now: 131 * second) == nil)
  }

  @Test func givingBackTwiceChangesNothing() throws {
    var pool = try PortPool(PortPool.Layout(addresses: 1, ports: 2000...2003, quarantine: 0))
    let slot = PortSlot(address: 0, space: 0, port: 2001)
    #expect(pool.take(slot) == true)
    pool.giveBack(slot, now: 0)
    pool.giveBack(slot, now: 0)
    #expect(pool.freeCount(address: 0, space: 0) == 4)
  }

  /// A port that rests already rests no longer for it, and neither does any behind it.
  @Test func givingBackWhatRestsChangesNothing() throws {
    var pool = try PortPool(PortPool.Layout(addresses: 1, ports: 2000...2003, quarantine: 1_000_000_000))
    let slots = (2000...2002 as ClosedRange<UInt16>).map { PortSlot(address: 0, space: 0, port: $0) }
    for slot in slots { #expect(pool.take(slot) == true) }
    for slot in slots { pool.giveBack(slot, now: 0) }
    for slot in slots { pool.giveBack(slot, now: 500_000_000) }
    var budget = 64
    #expect(pool.reclaim(now: 2_000_000_000, budget: &budget) == nil)
    #expect(budget == 61 && pool.freeCount(address: 0, space: 0) == 4)
    // They can be used, and rest, again.
    #expect(pool.take(slots[1]) == true)
    pool.giveBack(slots[1], now: 3_000_000_000)
    #expect(pool.reclaim(now: 5_000_000_000, budget: &budget) == nil)
    #expect(pool.freeCount(address: 0, space: 0) == 4)
  }

  /// A port that is taken for good does not keep the block that it is in from going back.
  @Test func reservedPortsKeepNoBlock() throws {
    var pool = try PortPool(
      PortPool.Layout(addresses: 1, ports: 1024...1087, blockSize: 64, subscribers: 2, quarantine: 0))
    pool.reserve(PortSlot(address: 0, space: 0, port: 1030))
    for subscriber in 0..<2 {
      let taken = pool.take(subscriber: subscriber, address: 0, space: 0, like: 1030, blocks: 1, random: 7)
      #expect(taken?.newBlock == 0 && taken?.slot.port != 1030)
      if let taken { pool.giveBack(taken.slot, now: 0) }
      var budget = 8
      let released = pool.reclaim(now: 0, budget: &budget)
      #expect(released?.block == 0 && released?.subscriber == subscriber)
    }
    #expect(pool.isFree(PortSlot(address: 0, space: 0, port: 1030)) == false)
  }

  @Test func slicesShareAllPortsOut() throws {
    for blockSize in [nil, 64, 512] {
      for slices in 1...3 {
        var owners = [Int](repeating: 0, count: 65_536)
        for slice in 0..<slices {
          let layout = PortPool.Layout(addresses: 1, blockSize: blockSize, slice: slice, slices: slices)
          let pool = try PortPool(layout)
          for port in 0...UInt16.max where pool.isFree(PortSlot(address: 0, space: 0, port: port)) {
            owners[Int(port)] += layout.slice(of: port) == slice ? 1 : 100
          }
        }
        #expect(owners[..<1024].allSatisfy { $0 == 0 })
        #expect(owners[1024...].allSatisfy { $0 == 1 })
      }
    }
  }

  @Test func blocksBelongToOneSubscriberAndGoBackWhenTheyAreIdle() throws {
    let layout = PortPool.Layout(addresses: 1, ports: 1024...1535, blockSize: 256, subscribers: 4)
    var pool = try PortPool(layout)
    #expect(layout.blocksPerAddress == 2)
    let first = pool.take(subscriber: 0, address: 0, space: 0, like: 9, blocks: 1, random: 5)
    let second = pool.take(subscriber: 1, address: 0, space: 0, like: 9, blocks: 1, random: 5)
    #expect(first?.newBlock == 0)
    #expect(second?.newBlock == 1)
    #expect(pool.take(subscriber: 2, address: 0, space: 0, like: 9, blocks: 1, random: 5) == nil)
    var slots: [PortSlot] = first.map { [$0.slot] } ?? []
    while let taken = pool.take(subscriber: 0, address: 0, space: 0, like: 9, blocks: 1, random: 5) {
      #expect(taken.newBlock == nil)
      slots.append(taken.slot)
    }
    #expect(slots.count == 256)
    #expect(Set(slots).count == 256)
    #expect(slots.allSatisfy { (1024...1279).contains($0.port) })
    for slot in slots { pool.giveBack(slot, now: 0) }
    #expect(reclaim(&pool, 119 * 1_000_000_000).isEmpty)
    let released = reclaim(&pool, 121 * 1_000_000_000)
    #expect(released.map(\.block) == [0])
    #expect(released.map(\.subscriber) == [0])
    #expect(pool.blocks(of: 0) == [])
    #expect(pool.take(subscriber: 2, address: 0, space: 0, like: 9, blocks: 1, random: 5)?.newBlock == 0)
  }

  @Test func blocksThatAreComputedAreTheSubscribersOwn() throws {
    let layout = PortPool.Layout(addresses: 2, ports: 1024...2047, blockSize: 512, subscribers: 4, quarantine: 0)
    var pool = try PortPool(layout)
    #expect(layout.ports(of: 3).address == 1)
    #expect(layout.ports(of: 3).ports == 1536...2047)
    #expect(pool.assign(3, to: 2) == true)
    #expect(pool.assign(3, to: 2) == true)
    #expect(pool.assign(3, to: 1) == false)
    let taken = pool.take(subscriber: 2, address: 0, space: 1, like: 80, blocks: 1, random: 99)
    #expect(taken.map { $0.slot.address } == 1)
    #expect(taken.map { (1536...2047).contains($0.slot.port) } == true)
  }

  /// Takes and gives back at random beside a model that knows no bitmaps: no port is used twice, none before it has
  /// rested, and none is lost.
  @Test(arguments: [(nil, 1, 0), (nil, 2, 1), (128, 1, 0), (128, 2, 0)] as [(Int?, Int, Int)])
  func matchesTheModel(_ blockSize: Int?, _ slices: Int, _ slice: Int) throws {
    let layout = PortPool.Layout(
      addresses: 2, ports: 900...1800, spaces: 2, blockSize: blockSize, subscribers: 8, slice: slice, slices: slices)
    var pool = try PortPool(layout)
    var dice = Dice(state: UInt64(slices * 10 + (blockSize ?? 0)))
    var used: [PortSlot: Int] = [:]
    var order: [PortSlot] = []
    var restingUntil: [PortSlot: UInt64] = [:]
    var blockOwners: [Int: Int] = [:]
    var now: UInt64 = 5 * second
    var refusals = 0
    for _ in 0..<60_000 {
      now += dice.next() % (second / 20)
      for released in reclaim(&pool, now) {
        #expect(blockOwners.removeValue(forKey: released.block) == released.subscriber)
        let (address, ports) = layout.ports(of: released.block)
        #expect(!order.contains { $0.address == address && ports.contains($0.port) })
      }
      if dice.next() % 100 < 52 || order.isEmpty {
        let subscriber = Int(dice.next() % 8)
        let port = UInt16(truncatingIfNeeded: dice.next() % 2000)
        let space = Int(dice.next() % 2)
        let slot: PortSlot?
        if blockSize == nil {
          slot = pool.take(address: subscriber % 2, space: space, like: port, random: dice.next())
        } else {
          let taken = pool.take(
            subscriber: subscriber, address: subscriber % 2, space: space, like: port, blocks: 2, random: dice.next())
          slot = taken?.slot
          if let block = taken?.newBlock {
            #expect(blockOwners[block] == nil)
            blockOwners[block] = subscriber
          }
          if let slot {
            let block = blockOwners.first { key, _ in
              layout.ports(of: key).address == slot.address && layout.ports(of: key).ports.contains(slot.port)
            }
            #expect(block?.value == subscriber)
          }
        }
        guard let slot else {
          refusals += 1
          if blockSize == nil { #expect(pool.freeCount(address: subscriber % 2, space: space) == 0) }
          continue
        }
        #expect(used[slot] == nil, "\(slot) is in use")
        #expect((900...1800).contains(slot.port) && slot.space == space)
        #expect(layout.slice(of: slot.port) == slice)
        if let end = restingUntil[slot] { #expect(end <= now, "\(slot) rests") }
        used[slot] = order.count
        order.append(slot)
      } else {
        let place = Int(dice.next() % UInt64(order.count))
        let slot = order[place]
        order[place] = order[order.count - 1]
        used[order[place]] = place
        order.removeLast()
        used[slot] = nil
        restingUntil[slot] = now + 120 * second
        pool.giveBack(slot, now: now)
      }
    }
    #expect(refusals > 0 || blockSize == nil)
    for slot in order { pool.giveBack(slot, now: now) }
    _ = reclaim(&pool, now + 121 * second)
    let owned = (900...1800).filter { layout.slice(of: UInt16($0)) == slice }.count
    for address in 0..<2 {
      for space in 0..<2 { #expect(pool.freeCount(address: address, space: space) == owned) }
    }
  }
}
