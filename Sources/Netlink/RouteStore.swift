import Wire

/// A route to a prefix, without the prefix.
struct RouteEntry: Equatable {
  var metric: UInt32
  /// 0 stands for no route.
  var path: Paths.ID

  static var none: RouteEntry { RouteEntry(metric: 0, path: 0) }
}

/// Where a route goes among others of the same metric.
enum RoutePlacement {
  /// It is part of a dump.
  case dumped
  /// Instead of the first.
  case replacing
  /// Behind all.
  case last
  /// Before all.
  case first
}

/// The routes of one table and one version of IP: all that the kernel has, and those that were told.
///
/// A route that is told is the first of those to its prefix, in order of their metrics, that leads somewhere.
struct RouteStore<Prefix: Hashable> {
  typealias Entry = RouteEntry
  typealias Placement = RoutePlacement

  private struct Slot {
    /// The first route; `none` when there is no route.
    var first = Entry.none
    /// What was told, with its path resolved.
    var told = Entry.none
    /// The dump that found routes here last.
    var dump: UInt32 = 0
    var isDirty = false
    /// Whether `several` has all routes to the prefix.
    var hasSeveral = false
  }

  private var slots: [Prefix: Slot] = [:]
  private var several: [Prefix: [Entry]] = [:]
  private var dirty: [Prefix] = []
  private var dump: UInt32 = 0
  private let hasSiblings: Bool

  /// With siblings, routes of the same metric and prefix that differ in their hops make one, as IPv6's do.
  init(hasSiblings: Bool) {
    self.hasSiblings = hasSiblings
  }

  /// How many prefixes have something to be told.
  var dirtyCount: Int { dirty.count }
  /// How many prefixes there are, those to be taken back included.
  var count: Int { slots.count }

  mutating func beginDump() {
    dump &+= 1
  }

  /// Forgets what the dump did not find.
  mutating func endDump() {
    var gone: [Prefix] = []
    for (prefix, slot) in slots where slot.dump != dump && slot.first != .none { gone.append(prefix) }
    for prefix in gone { setEntries([], at: prefix) }
  }

  mutating func put(_ entry: Entry, at prefix: Prefix, _ placement: Placement, _ paths: Paths) {
    let hasSiblings = hasSiblings
    let isAlone = update(prefix) { slot, dump in
      if placement == .dumped && slot.dump != dump {
        slot.dump = dump
        slot.first = entry
        return true
      }
      if slot.hasSeveral { return false }
      if slot.first == .none || slot.first == entry
        || placement == .replacing && slot.first.metric == entry.metric && !hasSiblings
      {
        slot.first = entry
        return true
      }
      return false
    }
    if !isAlone { insert(entry, at: prefix, placement, paths) }
  }

  private mutating func insert(_ entry: Entry, at prefix: Prefix, _ placement: Placement, _ paths: Paths) {
    var entries = entries(at: prefix)
    if placement == .replacing {
      // IPv6's replace one that may have siblings if the new one may, and otherwise whichever is first.
      let equals = entries.indices.filter { entries[$0].metric == entry.metric }
      let isMany = hasSiblings && isSibling(entry, paths)
      let index = equals.first { !hasSiblings || isSibling(entries[$0], paths) == isMany } ?? equals.first
      if let index {
        entries[index] = entry
        setEntries(entries, at: prefix)
        return
      }
    }
    entries.removeAll { $0 == entry }
    if hasSiblings && placement != .dumped && isSibling(entry, paths) {
      // A message tells of all siblings, so that it takes the place of those told before.
      let hops = paths[entry.path].hops
      entries.removeAll { other in
        other.metric == entry.metric && isSibling(other, paths)
          && paths[other.path].hops.allSatisfy { hop in
            hops.contains { $0.gateway == hop.gateway && $0.link == hop.link }
          }
      }
    }
    // IPv6's never go before others of their metric.
    let index =
      placement == .first && !hasSiblings
      ? entries.firstIndex { $0.metric >= entry.metric } : entries.firstIndex { $0.metric > entry.metric }
    entries.insert(entry, at: index ?? entries.endIndex)
    setEntries(entries, at: prefix)
  }

  /// Whether other routes of its metric become one with it: those with gateways of their own do.
  private func isSibling(_ entry: Entry, _ paths: Paths) -> Bool {
    let path = paths[entry.path]
    return path.nexthop == 0 && path.kind == .unicast && path.hops.contains { $0.gateway != nil }
  }

  /// A route is gone. Of a route with siblings those hops go that `entry` has.
  mutating func remove(_ entry: Entry, at prefix: Prefix, _ paths: inout Paths) {
    var entries = entries(at: prefix)
    if let index = entries.firstIndex(of: entry) {
      entries.remove(at: index)
    } else if hasSiblings && isSibling(entry, paths) {
      let gone = paths[entry.path].hops
      for index in entries.indices.reversed()
      where entries[index].metric == entry.metric && isSibling(entries[index], paths) {
        let hops = paths[entries[index].path].hops
        let left = hops.filter { hop in !gone.contains { $0.gateway == hop.gateway && $0.link == hop.link } }
        if left.count == hops.count { continue }
        if left.isEmpty {
          entries.remove(at: index)
        } else {
          entries[index].path = paths.id(.unicast, nexthop: 0, left)
        }
      }
    } else {
      // Which of its hops can be used may have changed since without a message.
      let index = entries.firstIndex { $0.metric == entry.metric && !(hasSiblings && isSibling($0, paths)) }
      if let index { entries.remove(at: index) }
    }
    setEntries(entries, at: prefix)
  }

  /// Looks again at the prefixes that lead to those paths, and forgets routes whose path is dead.
  mutating func reconsider(_ changed: Set<Paths.ID>, _ paths: Paths) {
    var touched: [Prefix] = []
    for (prefix, slot) in slots where slot.hasSeveral || changed.contains(slot.first.path) { touched.append(prefix) }
    for prefix in touched {
      let old = entries(at: prefix)
      let left = old.filter { !paths[$0.path].isDead }
      if left.count < old.count { setEntries(left, at: prefix) }
      markDirty(prefix)
    }
  }

  /// Marks the paths in use.
  func mark(_ used: inout [Bool]) {
    for slot in slots.values {
      used[Int(slot.first.path)] = true
      used[Int(slot.told.path)] = true
    }
    for entries in several.values {
      for entry in entries { used[Int(entry.path)] = true }
    }
  }

  /// Hands out up to `limit` prefixes for which something else is to be told than before: an entry with its path
  /// resolved, or nil when there is no route any more.
  mutating func tell(limit: Int, _ paths: Paths, _ body: (Prefix, Entry?) -> Void) {
    var told = 0
    while told < limit, let prefix = dirty.popLast() {
      guard var slot = slots[prefix] else { continue }
      var best = slot.first
      best.path = paths[best.path].resolved
      if slot.hasSeveral {
        let usable = several[prefix]?.first { paths[$0.path].resolved != 0 }
        best = usable.map { Entry(metric: $0.metric, path: paths[$0.path].resolved) } ?? .none
      }
      if best.path == 0 { best = .none }
      slot.isDirty = false
      if best != slot.told {
        slot.told = best
        told += 1
        body(prefix, best == .none ? nil : best)
      }
      slots[prefix] = slot.first == .none ? nil : slot
    }
  }

  private func entries(at prefix: Prefix) -> [Entry] {
    guard let slot = slots[prefix] else { return [] }
    return slot.hasSeveral ? several[prefix] ?? [] : slot.first == .none ? [] : [slot.first]
  }

  private mutating func setEntries(_ entries: [Entry], at prefix: Prefix) {
    guard !entries.isEmpty || slots[prefix] != nil else { return }
    let hadSeveral = slots[prefix]?.hasSeveral ?? false
    if entries.count > 1 {
      several[prefix] = entries
    } else if hadSeveral {
      several[prefix] = nil
    }
    slots[prefix, default: Slot()].hasSeveral = entries.count > 1
    slots[prefix, default: Slot()].first = entries.first ?? .none
    markDirty(prefix)
  }

  private mutating func markDirty(_ prefix: Prefix) {
    guard slots[prefix]?.isDirty == false else { return }
    slots[prefix]?.isDirty = true
    dirty.append(prefix)
  }

  /// Changes a slot in place, which is one look-up where most messages need no more.
  private mutating func update(_ prefix: Prefix, _ body: (inout Slot, _ dump: UInt32) -> Bool) -> Bool {
    let dump = dump
    var becomesDirty = false
    var losesSeveral = false
    let result = { (slot: inout Slot) -> Bool in
      let before = slot
      let result = body(&slot, dump)
      if result {
        losesSeveral = before.hasSeveral
        slot.hasSeveral = false
        becomesDirty = !slot.isDirty && (slot.first != before.first || losesSeveral)
        slot.isDirty = slot.isDirty || becomesDirty
      }
      return result
    }(&slots[prefix, default: Slot()])
    if losesSeveral { several[prefix] = nil }
    if becomesDirty { dirty.append(prefix) }
    return result
  }
}
