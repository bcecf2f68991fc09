import Tables
import Wire

/// Gives what routes lead to its place among the hops; routes that lead to the same share one.
///
/// While workers read the hops, a place that no route leads to any more is used again only after `recycle`.
struct HopPlaces: Sendable {
  private struct Entry {
    var target: RouteTarget?
    var uses = 1
    /// The hops that a hop which stands for several is made of.
    var members: [UInt32] = []
  }

  let interfaces: [RouterInterface]
  /// How many more hops and how many more sets of several there may be, once workers read them.
  static var spare: (hops: Int, sets: Int) { (65_536, 4096) }

  private(set) var hops: [Hop] = []
  private(set) var buckets: [UInt32] = []
  private var entries: [Entry] = []
  private var places: [RouteTarget: UInt32] = [:]
  private var free: (hops: [UInt32], sets: [UInt32]) = ([], [])
  private var retired: (hops: [UInt32], sets: [UInt32]) = ([], [])
  private var limits: (hops: Int, buckets: Int) = (Int(RoutingTable.valueLimit), .max)
  /// Places whose hops were set since `write`.
  private var changed: [UInt32] = []

  init(_ interfaces: [RouterInterface]) { self.interfaces = interfaces }

  // MARK: Taking

  /// A hop of its own, for good.
  mutating func add(_ hop: Hop, _ target: RouteTarget? = nil) -> UInt32 {
    let place = UInt32(hops.count)
    hops.append(hop)
    entries.append(Entry(target: target))
    if let target { places[target] = place }
    return place
  }

  /// The place of a target, with one use more; nil when there is no room. What is not resolved yet is unreachable.
  mutating func take(_ target: RouteTarget) -> UInt32? {
    if let place = places[target] {
      entries[Int(place)].uses += 1
      return place
    }
    guard let made = hop(for: target) else { return nil }
    guard let place = newPlace() else {
      giveUp(made)
      return nil
    }
    set(place, made.hop)
    entries[Int(place)] = Entry(target: target, members: made.members)
    places[target] = place
    return place
  }

  /// Says that a route does not lead to a place any more.
  mutating func release(_ place: UInt32) {
    entries[Int(place)].uses -= 1
    guard entries[Int(place)].uses == 0 else { return }
    if let target = entries[Int(place)].target { places[target] = nil }
    let hop = hops[Int(place)]
    if hop.kind == .several { retired.sets.append(hop.firstBucket) }
    for member in entries[Int(place)].members { release(member) }
    entries[Int(place)].members = []
    retired.hops.append(place)
  }

  /// Has a place that was taken for what was not resolved lead to what it has been resolved to.
  mutating func resolve(_ place: UInt32, as target: RouteTarget) {
    guard let made = hop(for: target) else { return }
    set(place, made.hop)
    entries[Int(place)].members = made.members
  }

  /// What the hop at a place stands for; nil for what has no name.
  func target(at place: UInt32) -> RouteTarget? { entries[Int(place)].target }

  private mutating func hop(for target: RouteTarget) -> (hop: Hop, members: [UInt32])? {
    switch target {
    case .local: return (.local, [])
    case .blackhole: return (.blackhole, [])
    case .unreachable: return (.unreachable, [])
    case .prohibited: return (.prohibited, [])
    case .connected(let interface): return (.connected(interfaces[interface]), [])
    case .gateways(let gateways):
      guard target.isResolved else { return (.unreachable, []) }
      if gateways.count == 1, let interface = gateways[0].interface {
        guard let address = gateways[0].address else { return (.connected(interfaces[interface]), []) }
        return (.gateway(address, interfaces[interface]), [])
      }
      var members: [UInt32] = []
      for gateway in gateways {
        guard let member = take(.gateways([.init(address: gateway.address, interface: gateway.interface, weight: 1)]))
        else {
          members.forEach { release($0) }
          return nil
        }
        members.append(member)
      }
      guard let first = newSet() else {
        members.forEach { release($0) }
        return nil
      }
      for (bucket, index) in RouteTarget.buckets(of: gateways).enumerated() {
        buckets[Int(first) + bucket] = members[index]
      }
      return (.several(firstBucket: Int(first)), members)
    }
  }

  private mutating func giveUp(_ made: (hop: Hop, members: [UInt32])) {
    if made.hop.kind == .several { retired.sets.append(made.hop.firstBucket) }
    made.members.forEach { release($0) }
  }

  private mutating func newPlace() -> UInt32? {
    if let place = free.hops.popLast() { return place }
    guard hops.count < limits.hops else { return nil }
    hops.append(.unreachable)
    entries.append(Entry())
    return UInt32(hops.count - 1)
  }

  private mutating func newSet() -> UInt32? {
    if let first = free.sets.popLast() { return first }
    guard buckets.count + Hop.bucketCount <= limits.buckets else { return nil }
    buckets += Array(repeating: 0, count: Hop.bucketCount)
    return UInt32(buckets.count - Hop.bucketCount)
  }

  private mutating func set(_ place: UInt32, _ hop: Hop) {
    hops[Int(place)] = hop
    changed.append(place)
  }

  // MARK: Beside readers

  /// Arrays for readers: with room for more when hops come later.
  mutating func arrays(withRoom: Bool) -> (hops: FlatArray<Hop>, buckets: FlatArray<UInt32>) {
    changed = []
    guard withRoom else { return (FlatArray(hops), FlatArray(buckets)) }
    limits = (hops.count + Self.spare.hops, buckets.count + Self.spare.sets * Hop.bucketCount)
    let flat = FlatArray(repeating: Hop.unreachable, count: limits.hops)
    let flatBuckets = FlatArray(repeating: UInt32(0), count: limits.buckets)
    for (place, hop) in hops.enumerated() { flat.set(place, hop) }
    for (place, bucket) in buckets.enumerated() { flatBuckets.set(place, bucket) }
    return (flat, flatBuckets)
  }

  /// Brings hops that were taken into a set that workers read, before any route leads to them.
  mutating func write(into set: borrowing RouteSet) {
    for place in changed {
      let hop = hops[Int(place)]
      if hop.kind == .several {
        for bucket in Int(hop.firstBucket)..<Int(hop.firstBucket) + Hop.bucketCount {
          set.buckets.set(bucket, buckets[bucket])
        }
      }
      set.hops.set(Int(place), hop)
    }
    changed = []
  }

  /// Whether there are places that no route leads to.
  var hasRetired: Bool { !retired.hops.isEmpty || !retired.sets.isEmpty }

  /// Lets places that no route leads to be used again: no reader is at them any more.
  mutating func recycle() {
    free.hops += retired.hops
    free.sets += retired.sets
    retired = ([], [])
  }
}
