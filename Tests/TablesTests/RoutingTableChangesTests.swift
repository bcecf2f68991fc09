import Foundation
import Synchronization
import Tables
import Testing
import Wire

/// The same numbers in every run.
struct RepeatableNumbers: RandomNumberGenerator {
  var state: UInt64
  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ z >> 30) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ z >> 27) &* 0x94D0_49BB_1331_11EB
    return z ^ z >> 31
  }
}

/// What a table says of addresses, one by one and as a burst.
private func findAll(_ addresses: [IPv4Address], in table: borrowing RoutingTable) -> (
  single: [UInt32?], bulk: [UInt32?]
) {
  var single: [UInt32?] = []
  for address in addresses { single.append(table.lookup(address)) }
  var values = [UInt32](repeating: 7_654_321, count: addresses.count)
  var span = values.mutableSpan
  table.lookup(addresses.span, into: &span)
  return (single, values.map { $0 == RoutingTable.none ? nil : $0 })
}

private func findAll(_ addresses: [IPv6Address], in table: borrowing RoutingTable) -> (
  single: [UInt32?], bulk: [UInt32?]
) {
  var single: [UInt32?] = []
  for address in addresses { single.append(table.lookup(address)) }
  var values = [UInt32](repeating: 7_654_321, count: addresses.count)
  var span = values.mutableSpan
  table.lookup(addresses.span, into: &span)
  return (single, values.map { $0 == RoutingTable.none ? nil : $0 })
}

/// The longest match by looking at every route there is.
private func longestMatch(_ routes: [IPPrefix: UInt32], _ address: IPAddress) -> UInt32? {
  routes.filter { $0.key.contains(address) }.max { $0.key.length < $1.key.length }?.value
}

/// Few distinct bits, so that prefixes nest, share blocks and are chosen again and again.
private func randomPrefix(v6: Bool, _ random: inout RepeatableNumbers) -> IPPrefix {
  let bit = UInt64.random(in: 0..<128, using: &random)
  let flip = random.next() & 1
  if v6 {
    let bits = [0, 24, 31, 32, 33, 40, 41, 48, 56, 63, 64, 65, 72, 100, 127, 128]
    let address = IPv6Address(
      high: 0x2001_0DB8_00AA_0055 ^ (bit < 64 ? flip << bit : 0),
      low: 0x0102_0304_0506_0708 ^ (bit >= 64 ? flip << (bit - 64) : 0))
    let length = flip == 0 ? Int.random(in: 0...128, using: &random) : bits.randomElement(using: &random) ?? 0
    return .v6(IPv6Prefix(masking: address, length: length))
  }
  let address = IPv4Address(rawValue: 0x0A14_8E4F ^ UInt32(truncatingIfNeeded: flip << (bit & 31)))
  return .v4(IPv4Prefix(masking: address, length: Int.random(in: 0...32, using: &random)))
}

@Suite struct RoutingTableChangesTests {
  /// Routes come, change and go; after every few changes the table says what a linear search and a new table say.
  @Test(arguments: [false, true], [1, 2, 3] as [UInt64]) func changedTablesEqualNewOnes(v6: Bool, seed: UInt64) throws {
    var random = RepeatableNumbers(state: seed)
    let table = try RoutingTable([])
    let empty = table.memory
    var routes: [IPPrefix: UInt32] = [:]
    var waits = 0
    for round in 0..<150 {
      // Fuller for a while, then emptier.
      let growing = round / 25 % 2 == 0
      var changes: [RoutingTable.Change] = []
      for _ in 0..<12 {
        let prefix = randomPrefix(v6: v6, &random)
        if Int.random(in: 0..<10, using: &random) < (growing ? 8 : 1) {
          let value = UInt32.random(in: 0..<1000, using: &random)
          routes[prefix] = value
          changes.append(.add(.init(prefix, value)))
        } else {
          let gone = growing ? prefix : routes.keys.randomElement(using: &random) ?? prefix
          routes[gone] = nil
          changes.append(.remove(gone))
        }
      }
      try table.apply(changes) { waits += 1 }
      let count = table.count
      #expect(count == routes.count)
      let new = try RoutingTable(routes.map { .init($0.key, $0.value) })
      let probes = (0..<64).map { _ in (randomPrefix(v6: v6, &random).address, random.next()) }
      if v6 {
        let addresses = probes.map { probe, noise in
          guard case .v6(let address) = probe else { return IPv6Address.unspecified }
          return IPv6Address(high: address.high, low: address.low ^ (noise & 1))
        }
        let expected = addresses.map { longestMatch(routes, .v6($0)) }
        let (changed, rebuilt) = (findAll(addresses, in: table), findAll(addresses, in: new))
        #expect(changed.single == expected && changed.bulk == expected)
        #expect(rebuilt.single == expected && rebuilt.bulk == expected)
      } else {
        let addresses = probes.map { probe, noise in
          guard case .v4(let address) = probe else { return IPv4Address.unspecified }
          return IPv4Address(rawValue: address.rawValue ^ UInt32(noise & 1))
        }
        let expected = addresses.map { longestMatch(routes, .v4($0)) }
        let (changed, rebuilt) = (findAll(addresses, in: table), findAll(addresses, in: new))
        #expect(changed.single == expected && changed.bulk == expected)
        #expect(rebuilt.single == expected && rebuilt.bulk == expected)
      }
    }
    try table.apply(routes.keys.map { .remove($0) }) { waits += 1 }
    let (memory, count) = (table.memory, table.count)
    #expect(count == 0)
    #expect(memory.linked == empty.linked, "nothing is left of what is gone")
  }

  @Test func removesOnlyWhatIsThere() throws {
    let prefix = IPv4Prefix(masking: IPv4Address(10, 1, 2, 0), length: 25)
    let table = try RoutingTable([.init(.v4(prefix), 5)])
    let others: [IPPrefix] = [
      .v4(IPv4Prefix(masking: prefix.address, length: 24)), .v4(IPv4Prefix(masking: prefix.address, length: 26)),
      .v4(.all), .v6(.all), .v6(IPv6Prefix(masking: .loopback, length: 25)),
    ]
    try table.apply(others.map { .remove($0) }) {}
    let (count, value) = (table.count, table.value(of: .v4(prefix)))
    #expect(count == 1 && value == 5)
    let found = findAll([IPv4Address(10, 1, 2, 127), IPv4Address(10, 1, 2, 128)], in: table)
    #expect(found.single == [5, nil])
    let missing = table.value(of: .v4(IPv4Prefix(masking: prefix.address, length: 24)))
    #expect(missing == nil)
  }

  /// Two equal halves of a block are not one prefix: either may go while the other stays.
  @Test func equalNeighboursStayApart() throws {
    let halves = [
      IPv4Prefix(masking: IPv4Address(10, 0, 0, 0), length: 25),
      IPv4Prefix(masking: IPv4Address(10, 0, 0, 128), length: 25),
    ]
    let inner = IPPrefix.v4(IPv4Prefix(masking: IPv4Address(10, 0, 0, 4), length: 30))
    let table = try RoutingTable(halves.map { .init(.v4($0), 7) } + [.init(inner, 1)])
    try table.apply([.remove(inner)]) {}
    let addresses = [IPv4Address(10, 0, 0, 5), IPv4Address(10, 0, 0, 200)]
    let both = findAll(addresses, in: table)
    #expect(both.bulk == [7, 7])
    try table.apply([.remove(.v4(halves[0]))]) {}
    let one = findAll(addresses, in: table)
    #expect(one.bulk == [nil, 7])
  }

  /// Bursts of every size around the step in which they are worked on, with and without anything to find.
  @Test(arguments: [0, 1, 2, 63, 64, 255, 256, 257, 700]) func burstsOfAnySizeEqualSingleLookups(count: Int) throws {
    var random = RepeatableNumbers(state: UInt64(count) + 1)
    let routes = (0..<400).map { RoutingTable.Route(randomPrefix(v6: $0 % 2 == 0, &random), UInt32($0)) }
    for routes in [routes, routes.filter { $0.prefix.length > 8 }, []] {
      let table = try RoutingTable(routes)
      let v4 = (0..<count).map { _ in
        guard case .v4(let address) = randomPrefix(v6: false, &random).address else { return IPv4Address.unspecified }
        return address
      }
      let v6 = (0..<count).map { _ in
        guard case .v6(let address) = randomPrefix(v6: true, &random).address else { return IPv6Address.unspecified }
        return address
      }
      let (found4, found6) = (findAll(v4, in: table), findAll(v6, in: table))
      #expect(found4.single == found4.bulk && found4.bulk.count == count)
      #expect(found6.single == found6.bulk && found6.bulk.count == count)
    }
  }

  /// What a million routes cost, and that they are found: every length at the frequency that the Internet has it.
  @Test func aMillionRoutesAreFound() throws {
    var random = RepeatableNumbers(state: 6)
    var longest: [UInt64: UInt32] = [:]
    longest.reserveCapacity(1_000_000)
    let frequent: [Int] = [24, 24, 24, 24, 24, 24, 23, 22, 22, 21, 20, 19, 18, 17, 16, 25, 28, 32]
    var routes: [RoutingTable.Route] = []
    routes.reserveCapacity(1_000_000)
    while routes.count < 1_000_000 {
      let noise = random.next()
      let length = frequent[Int(noise & 0xFFFF) % frequent.count]
      let prefix = IPv4Prefix(masking: IPv4Address(rawValue: UInt32(noise >> 32)), length: length)
      let value = UInt32(routes.count)
      longest[UInt64(prefix.address.rawValue) << 8 | UInt64(length)] = value
      routes.append(.init(.v4(prefix), value))
    }
    let table = try RoutingTable(routes)
    let count = table.count
    #expect(count == longest.count)
    let addresses = (0..<2000).map { index in
      let noise = UInt32(truncatingIfNeeded: random.next())
      guard index % 4 != 0, case .v4(let prefix) = routes[index * 499].prefix else {
        return IPv4Address(rawValue: noise)
      }
      return IPv4Address(rawValue: prefix.address.rawValue | noise & ~prefix.mask.rawValue)
    }
    let expected = addresses.map { address in
      (0...32).reversed().lazy.compactMap { length in
        longest[UInt64(IPv4Prefix(masking: address, length: length).address.rawValue) << 8 | UInt64(length)]
      }.first
    }
    #expect(expected.count { $0 != nil } > 1400)
    let found = findAll(addresses, in: table)
    #expect(found.single == expected && found.bulk == expected)
    let memory = table.memory
    #expect(memory.linked + memory.records + memory.firstSteps < 300 << 20)
  }

  /// Readers see what held before or after a change and nothing else, while blocks and leaves are made and used again.
  @Test func readersSeeTheOldOrTheNewWhileRoutesChange() throws {
    let host4 = IPv4Address(10, 1, 2, 3)
    let host6 = try #require(IPv6Address("2001:db8:1:2::3"))
    // What always holds, and longer prefixes that come and go: their values tell which they are.
    let shared = try SharedTable([.init(.v4(IPv4Prefix(masking: host4, length: 9)), 9), .init(.v6(.all), 0)])
    let counters = [Counter(), Counter()]
    let running = DispatchGroup()
    for counter in counters {
      running.enter()
      Thread.detachNewThread {
        let v4 = [IPv4Address](repeating: host4, count: 32)
        let v6 = [IPv6Address](repeating: host6, count: 32)
        while !shared.isStopped.load(ordering: .relaxed) {
          let found4 = findAll(v4, in: shared.table)
          let found6 = findAll(v6, in: shared.table)
          counter.wrong.add(
            (found4.single + found4.bulk).count { !(9...32).contains($0 ?? 99) }
              + (found6.single + found6.bulk).count { $0 ?? 999 > 128 }, ordering: .relaxed)
          counter.rounds.add(1, ordering: .releasing)
        }
        running.leave()
      }
    }
    var random = RepeatableNumbers(state: 99)
    var waits = 0
    func waitForReaders() {
      waits += 1
      let before = counters.map { $0.rounds.load(ordering: .acquiring) }
      // One whole round began after the call.
      while zip(counters, before).contains(where: { $0.rounds.load(ordering: .acquiring) < $1 + 2 }) { usleep(50) }
    }
    for _ in 0..<60 {
      var changes: [RoutingTable.Change] = []
      for _ in 0..<100 {
        let length4 = Int.random(in: 10...32, using: &random)
        let length6 = Int.random(in: 1...128, using: &random)
        // Neighbours of the address, so that leaves are split and blocks folded.
        let near4 = IPv4Address(rawValue: host4.rawValue ^ 1 << UInt32.random(in: 0...7, using: &random))
        let near6 = IPv6Address(high: host6.high ^ 1 << UInt64.random(in: 0...40, using: &random), low: host6.low)
        let prefixes: [(IPPrefix, Int)] = [
          (.v4(IPv4Prefix(masking: host4, length: length4)), length4), (.v4(IPv4Prefix(host: near4)), 1000),
          (.v6(IPv6Prefix(masking: host6, length: length6)), length6), (.v6(IPv6Prefix(host: near6)), 1000),
        ]
        for (prefix, value) in prefixes {
          changes.append(
            Bool.random(using: &random) ? .add(.init(prefix, UInt32(value))) : .remove(prefix))
        }
      }
      try shared.table.apply(changes, waitForReaders: waitForReaders)
    }
    shared.isStopped.store(true, ordering: .relaxed)
    running.wait()
    #expect(counters.allSatisfy { $0.wrong.load(ordering: .relaxed) == 0 && $0.rounds.load(ordering: .relaxed) > 0 })
    #expect(waits > 0, "memory was used again while there were readers")
  }
}

/// A table that several threads hold.
private final class SharedTable: Sendable {
  let table: RoutingTable
  let isStopped = Atomic(false)
  init(_ routes: [RoutingTable.Route]) throws { table = try RoutingTable(routes) }
}

/// What one reader has done.
private final class Counter: Sendable {
  let rounds = Atomic(0)
  let wrong = Atomic(0)
}
