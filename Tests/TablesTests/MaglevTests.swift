import Tables
import Testing

@Suite struct MaglevTests {
  static func members(_ count: Int, without gone: Set<Int> = []) -> [Maglev.Member] {
    (0..<count).filter { !gone.contains($0) }.map {
      Maglev.Member(identity: "10.0.\($0 / 256).\($0 % 256) 80", weight: 1, value: UInt16($0))
    }
  }

  static func shares(_ table: Maglev) -> [UInt16: Int] {
    table.entries.reduce(into: [:]) { counts, value in counts[value, default: 0] += 1 }
  }

  /// Which entries of `before` changed though the backend that they had is still there, as a part of all.
  static func needlesslyChanged(_ before: Maglev, _ after: Maglev, without gone: Set<Int>) -> Double {
    let changed = zip(before.entries, after.entries).count { $0 != $1 && !gone.contains(Int($0)) }
    return Double(changed) / Double(before.entries.count)
  }

  /// Section 5.3, figure 11: with 1,000 backends the load is balanced almost perfectly whatever the table's size, where
  /// Karger's and rendezvous hashing need 10 % to 50 % more capacity.
  @Test(arguments: [65_537, 655_373]) func maglev_5_3_imbalance(size: Int) {
    let shares = Self.shares(Maglev(Self.members(1000), size: size))
    #expect(shares.count == 1000)
    let least = shares.values.min() ?? 0
    let most = shares.values.max() ?? 0
    #expect(most - least <= 1)
    #expect(Double(most) / (Double(size) / 1000) < 1.01)
  }

  /// Section 5.3, figure 12: when some of 1,000 backends fail together, few entries of the others change, and fewer in
  /// the larger table.
  @Test func maglev_5_3_disruption() {
    for (failed, smallBound, largeBound) in [(1, 0.02, 0.01), (10, 0.06, 0.03), (50, 0.16, 0.08)] {
      let gone = Set((0..<failed).map { $0 * 17 })
      var changes: [Double] = []
      for size in [65_537, 655_373] {
        let before = Maglev(Self.members(1000), size: size)
        let after = Maglev(Self.members(1000, without: gone), size: size)
        #expect(!after.entries.contains { gone.contains(Int($0)) })
        changes.append(Self.needlesslyChanged(before, after, without: gone))
      }
      #expect(changes[0] < smallBound, "\(failed) of 1,000: \(changes)")
      #expect(changes[1] < largeBound, "\(failed) of 1,000: \(changes)")
      #expect(changes[1] < changes[0])
    }
  }

  /// Section 3.4: a table with more than 100 entries for each backend gives shares that differ by 1 % at most.
  @Test(arguments: [1, 2, 3, 7, 20, 100, 655]) func maglev_3_4_onePercent(backends: Int) {
    let size = Maglev.size(forBackends: backends)
    #expect(size > backends * 100)
    let shares = Self.shares(Maglev(Self.members(backends), size: size))
    let even = Double(size) / Double(backends)
    for share in shares.values { #expect(abs(Double(share) - even) <= even * 0.01) }
  }

  @Test func sameTableWhateverTheOrderAndTheProcess() {
    let members = Self.members(50)
    var random = SystemRandomNumberGenerator()
    let table = Maglev(members, size: 8191)
    #expect(Maglev(members.shuffled(using: &random), size: 8191).entries == table.entries)
    // Written down once: whoever changes what a table is made of breaks clusters that are upgraded one by one.
    let digest = table.entries.reduce(UInt64(0)) { ($0 &* 31) &+ UInt64($1) }
    #expect(digest == Self.digestOfFifty)
  }

  static let digestOfFifty: UInt64 = 10_865_372_447_328_633_997

  @Test func sharesFollowWeights() {
    let weights: [UInt32] = [1, 2, 3, 10, 0, 100]
    let members = weights.enumerated().map {
      Maglev.Member(identity: "b\($0.offset)", weight: $0.element, value: UInt16($0.offset))
    }
    let shares = Self.shares(Maglev(members, size: 65_537))
    #expect(shares[4] == nil)
    for (index, weight) in weights.enumerated() where weight > 0 {
      let due = 65_537.0 * Double(weight) / 116
      #expect(abs(Double(shares[UInt16(index)] ?? 0) - due) < due * 0.01 + 2)
    }
  }

  @Test func aSlightlyChangedWeightMovesFewEntries() {
    func table(_ weight: UInt32) -> Maglev {
      Maglev(
        (0..<20).map {
          Maglev.Member(identity: "b\($0)", weight: $0 == 3 ? weight : 100, value: UInt16($0))
        }, size: 16_381)
    }
    let moved = zip(table(100).entries, table(90).entries).count { $0 != $1 }
    // 0.5 % have to move.
    #expect(moved > 60 && moved < 16_381 * 4 / 100, "\(moved)")
  }

  @Test func withoutMembersNothingIsChosen() {
    let none = Maglev([], size: 2039)
    #expect(none[12345] == Maglev.none)
    let idle = Maglev([Maglev.Member(identity: "a", weight: 0, value: 1)], size: 2039)
    #expect(idle.entries.allSatisfy { $0 == Maglev.none })
  }

  @Test func hashesReachAllPlacesAlike() {
    let table = Maglev(Self.members(4), size: 2039)
    var counts: [UInt16: Int] = [:]
    var hash: UInt64 = 1
    for _ in 0..<100_000 {
      hash = hash &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      counts[table[hash], default: 0] += 1
    }
    for count in counts.values { #expect(abs(count - 25_000) < 1000) }
    #expect(Maglev.place(of: .max, size: 2039) == 2038)
    #expect(Maglev.place(of: 0, size: 2039) == 0)
  }

  @Test func sizesArePrimes() {
    for size in Maglev.sizes { #expect(Maglev.isPrime(size)) }
    for size in [-3, 0, 1, 2, 4, 9, 65_535, 655_375] { #expect(!Maglev.isPrime(size)) }
    #expect(Maglev.size(forBackends: 655) == 65_537)
    #expect(Maglev.size(forBackends: 656) == 131_071)
  }
}
