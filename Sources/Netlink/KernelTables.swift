import CNetlink
import Glibc
import Wire

/// The kernel's interfaces, addresses, routes and neighbours, followed over netlink (RFC 3549) in the network namespace of
/// the thread that makes it. With it FRR, BIRD or `ip route` are the control plane.
///
///     let tables = try KernelTables()
///     while true {
///       for change in try tables.poll(milliseconds: 1000) { ... }
///     }
///
/// The first polls give what there is, later ones what changed, each only in its last state. To wait for several things
/// at once, wait until `descriptor` is readable and then poll with 0.
///
/// The kernel does not tell everything: routes go with their interface, their nexthop object or their source address
/// without a message each, and messages are lost when they come too fast. In these cases all is dumped anew and compared
/// with what was known, so that after a while nothing is missed. A dump takes about a second for a million routes; `poll`
/// returns after it.
///
/// **One thread's**: it has no lock. It is not for the packet path.
public final class KernelTables {
  /// Which routes are followed.
  public enum Table: Hashable, Sendable {
    /// Those of the main table.
    case main
    /// Those of the table of a number.
    case id(Int)
    /// Those of the table of a VRF device. While there is none of that name there are no routes.
    case vrf(String)
  }

  /// What it did so far.
  public struct Statistics: Hashable, Sendable {
    /// Messages of changes.
    public var messages = 0
    /// Messages that were not sound, and left aside.
    public var malformed = 0
    /// Times that all was dumped.
    public var dumps = 0
    /// Times that messages were lost.
    public var overruns = 0
    /// Routes that were read from dumps.
    public var dumpedRoutes = 0
    /// Prefixes with a route.
    public var prefixes = 0
    /// Nanoseconds that the latest dump took.
    public var latestDump: UInt64 = 0
  }

  private let table: Table
  /// Nil while there is no such table.
  private var tableNumber: Int?
  private var events: NetlinkSocket
  private var requests: NetlinkSocket
  private let timer: Descriptor
  private let waiting: Descriptor
  private var sequence: UInt32 = 0

  private var links = Followed<Int, KernelLink>()
  private var addresses = Followed<AddressID, KernelAddress>()
  private var neighbours = Followed<NeighbourID, KernelNeighbour>()
  private var nexthops: [UInt32: Nexthop] = [:]
  private var nexthopsChanged = false
  private var paths = Paths()
  private var v4 = RouteStore<IPv4Prefix>(hasSiblings: false)
  private var v6 = RouteStore<IPv6Prefix>(hasSiblings: true)
  private var hops: [KernelHop] = []
  private var counted = Statistics()
  private var removedLinks: [Int] = []

  /// The time at which to dump all, and since when this is wanted; at once in the beginning.
  private var dumpDue: UInt64? = 0
  private var dumpWanted: UInt64 = 0
  /// How long to wait after a dump that was not of one piece.
  private var patience = shortestPatience

  /// How long after the latest cause a dump begins, and after the first one: links often change several times in a row,
  /// and the kernel tells of the link before it takes the routes away.
  private static let quietTime: UInt64 = 30_000_000
  private static let longestWait: UInt64 = 300_000_000
  private static let shortestPatience: UInt64 = 1_000_000_000
  private static let longestPatience: UInt64 = 60_000_000_000

  private struct AddressID: Hashable {
    let link: Int
    let address: IPAddress
    let prefixLength: Int
    let peer: IPAddress?

    init(_ address: KernelAddress) {
      link = address.link
      self.address = address.address
      prefixLength = address.prefixLength
      peer = address.peer
    }
  }

  /// That of an interface which routes depend on.
  private struct LinkState: Equatable {
    let isUp: Bool
    let hasCarrier: Bool
    let master: Int?
    let vrfTable: Int?
    let vrf: String?

    init(_ link: KernelLink?) {
      isUp = link?.isUp ?? false
      hasCarrier = link?.hasCarrier ?? false
      master = link?.master
      vrfTable = link?.vrfTable
      vrf = vrfTable == nil ? nil : link?.name
    }
  }

  /// Begins to follow. The kernel keeps `receiveBuffer` bytes of messages between polls, or what the system allows
  /// without the capability to administer the network; a route takes about a thousand bytes.
  public init(table: Table = .main, receiveBuffer: Int = 128 << 20) throws(NetlinkError) {
    self.table = table
    events = try NetlinkSocket(receiveBuffer: receiveBuffer)
    requests = try NetlinkSocket(receiveBuffer: 1 << 20)
    timer = try Descriptor(
      timerfd_create(CLOCK_MONOTONIC, CInt(TFD_CLOEXEC | TFD_NONBLOCK)), "making a timer")
    waiting = try Descriptor(epoll_create1(CInt(EPOLL_CLOEXEC)), "making an epoll descriptor")
    let groups = [
      RTNLGRP_LINK, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR, RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV6_ROUTE, RTNLGRP_NEIGH,
    ]
    for group in groups {
      guard events.join(group.rawValue) else {
        throw NetlinkError(operation: "subscribing to the kernel's tables", code: errno)
      }
    }
    // Kernels before 5.3 have no nexthop objects.
    _ = events.join(RTNLGRP_NEXTHOP.rawValue)
    for number in [events.descriptor.number, timer.number] {
      var event = unsafe epoll_event()
      unsafe event.events = EPOLLIN.rawValue
      guard unsafe epoll_ctl(waiting.number, CInt(EPOLL_CTL_ADD), number, &event) == 0 else {
        throw NetlinkError(operation: "waiting for netlink messages", code: errno)
      }
    }
    setTimer()
  }

  /// Readable when a poll would bring something; for `poll`, `epoll` or the like. It is this object's.
  public var descriptor: CInt { waiting.number }

  /// What it did so far.
  public var statistics: Statistics {
    var statistics = counted
    statistics.prefixes = v4.count + v6.count
    return statistics
  }

  /// Whether all that is known was told, and nothing is about to be dumped.
  public var isUpToDate: Bool {
    dumpDue == nil && v4.dirtyCount + v6.dirtyCount == 0 && !links.isDirty && !addresses.isDirty && !neighbours.isDirty
      && removedLinks.isEmpty
  }

  /// Dumps all with the next poll and tells what is other than was known.
  public func refresh() {
    dumpDue = 0
    setTimer()
  }

  /// Waits until something changed or the time is up, and gives the changes: interfaces first, then addresses, routes and
  /// neighbours, and interfaces that are gone at the end. There are about `limit` at most, and the next poll goes on with
  /// those left. A negative time has no end.
  public func poll(milliseconds: Int, limit: Int = 65_536) throws(NetlinkError) -> [KernelChange] {
    if isUpToDate || dumpDue != nil { try wait(milliseconds) }
    try receiveEvents()
    if let due = dumpDue, due <= now() {
      do {
        try dumpAll()
      } catch {
        // What is known stays as it was, and the next poll but one second tries again.
        wantAnotherDump()
        throw error
      }
      try receiveEvents()
    }
    let changes = takeChanges(limit: limit)
    setTimer()
    return changes
  }

  private func wait(_ milliseconds: Int) throws(NetlinkError) {
    var event = unsafe epoll_event()
    let count = unsafe epoll_wait(waiting.number, &event, 1, CInt(clamping: max(milliseconds, -1)))
    guard count >= 0 || errno == EINTR else {
      throw NetlinkError(operation: "waiting for netlink messages", code: errno)
    }
  }

  private func now() -> UInt64 {
    var time = timespec()
    unsafe clock_gettime(CLOCK_MONOTONIC, &time)
    return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
  }

  private func wantDump() {
    let now = now()
    let due = dumpDue ?? .max
    guard due > now else { return }
    if due > now + Self.longestWait { dumpWanted = now }
    dumpDue = min(now + Self.quietTime, dumpWanted + Self.longestWait)
  }

  private func wantAnotherDump() {
    if dumpDue == nil { dumpDue = now() + patience }
  }

  private func setTimer() {
    let time: UInt64? = isUpToDate ? nil : v4.dirtyCount + v6.dirtyCount > 0 ? 1 : max(dumpDue ?? 1, 1)
    var specification = itimerspec()
    if let time {
      specification.it_value = timespec(tv_sec: Int(time / 1_000_000_000), tv_nsec: Int(time % 1_000_000_000))
    }
    _ = unsafe timerfd_settime(timer.number, CInt(TFD_TIMER_ABSTIME), &specification, nil)
  }

  private func receiveEvents() throws(NetlinkError) {
    // So many that a flood does not keep the changes from being told.
    for _ in 0..<4096 {
      let receipt = try events.receive { bytes in
        let isSound = bytes.forEachMessage { header, payload in
          counted.messages += 1
          apply(header, payload)
        }
        if !isSound { counted.malformed += 1 }
      }
      switch receipt {
      case .bytes: break
      case .nothing: return
      case .overrun:
        counted.overruns += 1
        dumpDue = 0
      }
    }
  }

  /// Takes in what a message says that the kernel sent of its own accord.
  func apply(_ header: MessageHeader, _ payload: RawSpan) {
    switch header.type {
    case Int(RTM_NEWLINK), Int(RTM_DELLINK):
      guard let link = KernelLink(payload) else { return }
      let after = header.type == Int(RTM_NEWLINK) ? link : nil
      let before = links.set(link.index, after)
      // With these, routes come and go without a message.
      if LinkState(before) != LinkState(after) {
        setTableNumber()
        wantDump()
      }
    case Int(RTM_NEWADDR), Int(RTM_DELADDR):
      guard let address = KernelAddress(payload) else { return }
      addresses.set(AddressID(address), header.type == Int(RTM_NEWADDR) ? address : nil)
      // Routes with it as their source go without a message.
      if header.type == Int(RTM_DELADDR) { wantDump() }
    case Int(RTM_NEWNEIGH), Int(RTM_DELNEIGH):
      guard let neighbour = KernelNeighbour(payload) else { return }
      neighbours.set(neighbour.id, header.type == Int(RTM_NEWNEIGH) ? neighbour : nil)
    case Int(RTM_NEWNEXTHOP):
      guard let nexthop = Nexthop(payload), nexthops[nexthop.id] != nexthop else { return }
      nexthops[nexthop.id] = nexthop
      nexthopsChanged = true
    case Int(RTM_DELNEXTHOP):
      guard let nexthop = Nexthop(payload) else { return }
      nexthops[nexthop.id] = nil
      if paths.kill(nexthop: nexthop.id) { nexthopsChanged = true }
    case Int(RTM_NEWROUTE):
      putRoute(
        payload,
        header.flags & Int(NLM_F_REPLACE) != 0 ? .replacing : header.flags & Int(NLM_F_APPEND) != 0 ? .last : .first)
    case Int(RTM_DELROUTE):
      guard let (route, entry) = readRoute(payload) else { return }
      switch route.prefix {
      case .v4(let prefix): v4.remove(entry, at: prefix, &paths)
      case .v6(let prefix): v6.remove(entry, at: prefix, &paths)
      }
    default: break
    }
  }

  private func readRoute(_ payload: RawSpan) -> (RouteMessage, RouteEntry)? {
    guard let route = RouteMessage(payload, hops: &hops), Int(route.table) == tableNumber else { return nil }
    let path = paths.id(route.kind, nexthop: route.nexthop, hops)
    return (route, RouteEntry(metric: route.metric, path: path))
  }

  private func putRoute(_ payload: RawSpan, _ placement: RoutePlacement) {
    guard let (route, entry) = readRoute(payload) else { return }
    if route.nexthop != 0 && paths[entry.path].resolved == 0 { nexthopsChanged = true }
    switch route.prefix {
    case .v4(let prefix): v4.put(entry, at: prefix, placement, paths)
    case .v6(let prefix): v6.put(entry, at: prefix, placement, paths)
    }
  }

  private func setTableNumber() {
    switch table {
    case .main: tableNumber = Int(RT_TABLE_MAIN.rawValue)
    case .id(let id): tableNumber = id
    case .vrf(let name):
      tableNumber = links.values.values.first { $0.name == name && $0.vrfTable != nil }?.vrfTable
    }
  }
}

/// Dumps.
extension KernelTables {
  private func dump(_ request: DumpRequest, _ body: (RawSpan) -> Void) throws(NetlinkError) -> Bool {
    sequence &+= 1
    return try requests.dump(request, sequence: sequence, body)
  }

  /// Dumps one of the small tables, until it is of one piece.
  private func dumpValues<Key: Hashable, Value>(
    _ requests: [DumpRequest], _ read: (RawSpan) -> (Key, Value)?
  ) throws(NetlinkError) -> [Key: Value] {
    for attempt in 1... {
      var values: [Key: Value] = [:]
      var isWhole = true
      for request in requests {
        let isThisWhole = try dump(request) { payload in
          if let (key, value) = read(payload) { values[key] = value }
        }
        isWhole = isWhole && isThisWhole
      }
      if isWhole { return values }
      if attempt == 5 {
        wantAnotherDump()
        return values
      }
    }
    return [:]
  }

  private func dumpAll() throws(NetlinkError) {
    let began = now()
    dumpDue = nil
    counted.dumps += 1
    var linkRequest = DumpRequest(Int(RTM_GETLINK), [UInt8](repeating: 0, count: 16))
    linkRequest.append(attribute: Int(IFLA_EXT_MASK), UInt32(RTEXT_FILTER_SKIP_STATS))
    links.replace(with: try dumpValues([linkRequest]) { KernelLink($0).map { ($0.index, $0) } })
    let addressRequest = DumpRequest(Int(RTM_GETADDR), [UInt8](repeating: 0, count: 8))
    addresses.replace(with: try dumpValues([addressRequest]) { KernelAddress($0).map { (AddressID($0), $0) } })
    try dumpNexthops()
    try dumpRoutes()
    let neighbourRequests = [AF_INET, AF_INET6].map { family in
      DumpRequest(Int(RTM_GETNEIGH), [UInt8(family)] + [UInt8](repeating: 0, count: 11))
    }
    neighbours.replace(with: try dumpValues(neighbourRequests) { KernelNeighbour($0).map { ($0.id, $0) } })
    counted.latestDump = now() - began
  }

  private func dumpNexthops() throws(NetlinkError) {
    let request = DumpRequest(Int(RTM_GETNEXTHOP), [UInt8](repeating: 0, count: 8))
    let dumped = try dumpValues([request]) { Nexthop($0).map { ($0.id, $0) } }
    if dumped != nexthops {
      nexthops = dumped
      nexthopsChanged = true
    }
  }

  private func dumpRoutes() throws(NetlinkError) {
    setTableNumber()
    var isWhole = true
    v4.beginDump()
    v6.beginDump()
    if let tableNumber {
      for family in [AF_INET, AF_INET6] {
        var request = DumpRequest(Int(RTM_GETROUTE), [UInt8(family)] + [UInt8](repeating: 0, count: 11))
        request.append(attribute: Int(RTA_TABLE.rawValue), UInt32(truncatingIfNeeded: tableNumber))
        let isThisWhole = try dump(request) { payload in
          counted.dumpedRoutes += 1
          putRoute(payload, .dumped)
        }
        isWhole = isWhole && isThisWhole
      }
    }
    if isWhole {
      patience = Self.shortestPatience
      v4.endDump()
      v6.endDump()
    } else {
      // It may lack routes that there are: what it did not find stays until another one does not find it either.
      wantAnotherDump()
      patience = min(2 * patience, Self.longestPatience)
    }
  }
}

/// Changes.
extension KernelTables {
  private func takeChanges(limit: Int) -> [KernelChange] {
    var changes: [KernelChange] = []
    links.tell { before, link in
      if let link { changes.append(.link(link)) } else if let before { removedLinks.append(before.index) }
    }
    addresses.tell { before, address in
      if let address {
        changes.append(.address(address))
      } else if let before {
        changes.append(.addressRemoved(before))
      }
    }
    if nexthopsChanged {
      nexthopsChanged = false
      var changed = paths.resolve(nexthops)
      changed.formUnion(paths.dead)
      if !changed.isEmpty {
        v4.reconsider(changed, paths)
        v6.reconsider(changed, paths)
      }
    }
    takeRoutes(limit: max(limit, 1), &changes)
    neighbours.tell { before, neighbour in
      if let neighbour {
        changes.append(.neighbour(neighbour))
      } else if let before {
        changes.append(.neighbourRemoved(link: before.link, address: before.address))
      }
    }
    if v4.dirtyCount + v6.dirtyCount == 0 {
      // An interface that came back in the meantime under the same number is not gone.
      for index in removedLinks where links.values[index] == nil { changes.append(.linkRemoved(index: index)) }
      removedLinks.removeAll()
      collectPaths()
    }
    return changes
  }

  private func takeRoutes(limit: Int, _ changes: inout [KernelChange]) {
    let table = tableNumber ?? 0
    let paths = paths
    func change(_ prefix: IPPrefix, metric: UInt32, path: Paths.ID) -> KernelChange {
      guard path != 0 else { return .routeRemoved(prefix) }
      let path = paths[path]
      return .route(
        KernelRoute(prefix: prefix, kind: path.kind, hops: path.hops, metric: Int(metric), table: table))
    }
    let before = changes.count
    v4.tell(limit: limit, paths) { prefix, entry in
      changes.append(change(.v4(prefix), metric: entry?.metric ?? 0, path: entry?.path ?? 0))
    }
    let left = limit - (changes.count - before)
    guard left > 0 else { return }
    v6.tell(limit: left, paths) { prefix, entry in
      changes.append(change(.v6(prefix), metric: entry?.metric ?? 0, path: entry?.path ?? 0))
    }
  }

  private func collectPaths() {
    guard paths.isWorthCollecting else { return }
    var used = [Bool](repeating: false, count: paths.all.count)
    v4.mark(&used)
    v6.mark(&used)
    paths.collect(used: used)
  }
}
