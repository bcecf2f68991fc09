import Wire

/// What routes lead to, each kept once: the million routes of a full table share a few hundred.
struct Paths {
  /// The number of a path; 0 for none.
  typealias ID = UInt32

  struct Path {
    var kind: KernelRoute.Kind
    /// The nexthop object that tells what it is; 0 when it is what `kind` and `hops` say.
    var nexthop: UInt32
    var hops: [KernelHop]
    /// The path that is what this one comes to: itself, what its nexthop object stands for, or 0 when it cannot be used.
    var resolved: ID
    /// Whether its nexthop object was deleted, and with it the routes there.
    var isDead = false
    /// The next one with the same hash.
    var next: ID = 0
  }

  private(set) var all: [Path] = [Path(kind: .other, nexthop: 0, hops: [], resolved: 0)]
  private var firstWithHash: [Int: ID] = [:]
  private var free: [ID] = []
  private var latest: ID = 0
  /// How many paths there may be before it is worth looking for those no longer used.
  private var limit = 4096

  subscript(id: ID) -> Path { all[Int(id)] }

  /// Those whose nexthop object was deleted.
  var dead: [ID] { all.indices.filter { all[$0].isDead && all[$0].nexthop != 0 }.map { ID($0) } }

  var isWorthCollecting: Bool { all.count - free.count > limit }

  /// The path of that kind, object and hops.
  mutating func id(_ kind: KernelRoute.Kind, nexthop: UInt32, _ hops: [KernelHop]) -> ID {
    // Many routes in a row lead the same way.
    if matches(latest, kind, nexthop, hops) { return latest }
    var hasher = Hasher()
    hasher.combine(nexthop)
    // What an object comes to does not depend on what the route says of it.
    if nexthop == 0 {
      hasher.combine(kind)
      hasher.combine(hops)
    }
    let hash = hasher.finalize()
    let first = firstWithHash[hash] ?? 0
    var id = first
    while id != 0 {
      if matches(id, kind, nexthop, hops) {
        latest = id
        return id
      }
      id = all[Int(id)].next
    }
    let isUsable = nexthop == 0 && (!hops.isEmpty || !kind.hasHops)
    var path = Path(kind: kind, nexthop: nexthop, hops: hops, resolved: 0, next: first)
    if let reused = free.popLast() {
      id = reused
      if isUsable { path.resolved = id }
      all[Int(id)] = path
    } else {
      id = ID(all.count)
      if isUsable { path.resolved = id }
      all.append(path)
    }
    firstWithHash[hash] = id
    latest = id
    return id
  }

  private func matches(_ id: ID, _ kind: KernelRoute.Kind, _ nexthop: UInt32, _ hops: [KernelHop]) -> Bool {
    guard id != 0, !all[Int(id)].isDead, all[Int(id)].nexthop == nexthop else { return false }
    return nexthop != 0 || all[Int(id)].kind == kind && all[Int(id)].hops == hops
  }

  /// The object is gone: routes that referred to it are, and another one of the same number is another one.
  mutating func kill(nexthop: UInt32) -> Bool {
    var didKill = false
    for id in all.indices where id != 0 && all[id].nexthop == nexthop && !all[id].isDead {
      all[id].isDead = true
      all[id].resolved = 0
      didKill = true
    }
    return didKill
  }

  /// Works out anew what the objects come to. The paths that come to something else than before.
  mutating func resolve(_ nexthops: [UInt32: Nexthop]) -> Set<ID> {
    var changed: Set<ID> = []
    for index in all.indices.dropFirst() where all[index].nexthop != 0 && !all[index].isDead {
      let resolved = resolution(of: all[index].nexthop, nexthops)
      if resolved != all[index].resolved {
        all[index].resolved = resolved
        changed.insert(ID(index))
      }
    }
    return changed
  }

  private mutating func resolution(of id: UInt32, _ nexthops: [UInt32: Nexthop]) -> ID {
    switch nexthops[id]?.kind {
    case nil: return 0
    case .blackhole: return self.id(.blackhole, nexthop: 0, [])
    case .other: return self.id(.other, nexthop: 0, [])
    case .hop(let hop): return self.id(.unicast, nexthop: 0, [hop])
    case .group(let members):
      var hops: [KernelHop] = []
      for member in members {
        // Groups have no groups in them, and a blackhole is alone in its group.
        switch nexthops[member.id]?.kind {
        case .hop(var hop):
          hop.weight = member.weight
          hops.append(hop)
        case .blackhole: return self.id(.blackhole, nexthop: 0, [])
        case .other: return self.id(.other, nexthop: 0, [])
        case nil, .group: break
        }
      }
      return hops.isEmpty ? 0 : self.id(.unicast, nexthop: 0, hops)
    }
  }

  /// Keeps those that are marked and what they come to.
  mutating func collect(used: [Bool]) {
    var used = used
    for id in used.indices where used[id] { used[Int(all[id].resolved)] = true }
    var kept: [(ID, Path)] = []
    for id in all.indices.dropFirst() where used[id] { kept.append((ID(id), all[id])) }
    for id in all.indices.dropFirst() where !used[id] {
      all[id] = Path(kind: .other, nexthop: 0, hops: [], resolved: 0, isDead: true)
    }
    free = all.indices.dropFirst().filter { !used[$0] }.map { ID($0) }
    latest = 0
    firstWithHash.removeAll()
    for (id, path) in kept {
      all[Int(id)].next = 0
      guard !path.isDead else { continue }
      var hasher = Hasher()
      hasher.combine(path.nexthop)
      if path.nexthop == 0 {
        hasher.combine(path.kind)
        hasher.combine(path.hops)
      }
      let hash = hasher.finalize()
      all[Int(id)].next = firstWithHash[hash] ?? 0
      firstWithHash[hash] = id
    }
    limit = max(4096, 2 * kept.count)
  }
}
