/// Maglev hashing: a table from which a hash chooses one of several backends, such that each has its share to within one
/// entry, and few entries change when a backend comes or goes (D. Eisenbud et al., "Maglev: A Fast and Reliable Software
/// Network Load Balancer", NSDI 2016, section 3.4).
///
/// The table depends on the members' identities and weights alone: not on their order, the process or the machine. So
/// several balancers with the same backends choose alike.
public struct Maglev: Sendable {
  /// A backend, as the table sees it.
  public struct Member: Sendable {
    /// What makes it the same backend on every machine, such as its address and port as text.
    public let identity: String
    /// What share it has in relation to the others; with 0 none.
    public let weight: UInt32
    /// What the table gives for it; not `none`.
    public let value: UInt16

    /// A backend.
    public init(identity: String, weight: UInt32, value: UInt16) {
      self.identity = identity
      self.weight = weight
      self.value = value
    }
  }

  /// What a table without members gives.
  public static var none: UInt16 { .max }

  /// A table has so many entries for each backend at least, so that shares differ by 1 % at most (section 3.4).
  public static var entriesPerBackend: Int { 100 }

  /// Primes that make good table sizes; those of the paper's section 5.3 are among them.
  public static let sizes = [2039, 4093, 8191, 16_381, 32_749, 65_537, 131_071, 262_139, 655_373, 1_048_573, 2_097_143]

  /// The least of `sizes` that is enough for so many backends; the largest when none is.
  public static func size(forBackends count: Int) -> Int {
    sizes.first { $0 > count * entriesPerBackend } ?? sizes[sizes.count - 1]
  }

  /// Whether tables can have this size: a prime from 3 on, so that every step goes through all entries.
  public static func isPrime(_ size: Int) -> Bool {
    guard size >= 3, size % 2 == 1 else { return false }
    var divisor = 3
    while divisor * divisor <= size {
      if size % divisor == 0 { return false }
      divisor += 2
    }
    return true
  }

  /// A member's value, or `none`, for each place.
  public let entries: [UInt16]

  /// Builds a table.
  /// - Parameters:
  ///   - members: No two of the same identity. Those of weight 0 are passed over.
  ///   - size: A prime that is larger than the number of members.
  public init(_ members: [Member], size: Int) {
    precondition(Self.isPrime(size), "the size of a Maglev table is a prime")
    let taking = members.filter { $0.weight > 0 }.sorted { $0.identity < $1.identity }
    var entries = [UInt16](repeating: Self.none, count: size)
    guard !taking.isEmpty else {
      self.entries = entries
      return
    }
    var turns = taking.map { Turn($0, size: size) }
    let heaviest = UInt64(taking.map(\.weight).max() ?? 1)
    var filled = 0
    fill: while true {
      for index in turns.indices {
        // Whoever weighs less than the heaviest waits until its credit is that of a turn.
        turns[index].credit += turns[index].weight
        guard turns[index].credit >= heaviest else { continue }
        turns[index].credit -= heaviest
        var place = turns[index].next
        while entries[place] != Self.none {
          place += turns[index].skip
          if place >= size { place -= size }
        }
        entries[place] = turns[index].value
        place += turns[index].skip
        turns[index].next = place >= size ? place - size : place
        filled += 1
        if filled == size { break fill }
      }
    }
    self.entries = entries
  }

  /// The place of a hash in a table of `size` entries: hashes that are spread evenly hit all places alike.
  @inlinable
  public static func place(of hash: UInt64, size: UInt32) -> Int {
    Int(truncatingIfNeeded: hash.multipliedFullWidth(by: UInt64(size)).high)
  }

  /// The member that a hash chooses, or `none`.
  @inlinable
  public subscript(hash: UInt64) -> UInt16 {
    entries[Self.place(of: hash, size: UInt32(truncatingIfNeeded: entries.count))]
  }

  /// A member that takes entries in the order of its permutation: from `offset` in steps of `skip`.
  private struct Turn {
    let value: UInt16
    let weight: UInt64
    let skip: Int
    var next: Int
    var credit: UInt64 = 0

    init(_ member: Member, size: Int) {
      let hash = Maglev.hash(member.identity)
      value = member.value
      weight = UInt64(member.weight)
      next = Int(truncatingIfNeeded: Maglev.mix(hash) % UInt64(size))
      skip = Int(truncatingIfNeeded: Maglev.mix(~hash) % UInt64(size - 1)) + 1
    }
  }

  /// FNV-1a in 64 bits: the same everywhere and always, unlike `Hasher`.
  static func hash(_ text: String) -> UInt64 {
    text.utf8.reduce(0xCBF2_9CE4_8422_2325) { ($0 ^ UInt64($1)) &* 0x0000_0100_0000_01B3 }
  }

  /// Makes every bit depend on every other (splitmix64's finaliser).
  static func mix(_ value: UInt64) -> UInt64 {
    var mixed = value &+ 0x9E37_79B9_7F4A_7C15
    mixed = (mixed ^ mixed >> 30) &* 0xBF58_476D_1CE4_E5B9
    mixed = (mixed ^ mixed >> 27) &* 0x94D0_49BB_1331_11EB
    return mixed ^ mixed >> 31
  }
}
