/// A port of one of a pool's addresses, in one of its spaces.
@frozen
public struct PortSlot: Hashable, Sendable, BitwiseCopyable {
  /// The address's number in bits 18 and up, the space in 16 and 17, the port below.
  public let rawValue: UInt32

  /// The slot of this number.
  @inlinable
  public init(rawValue: UInt32) { self.rawValue = rawValue }

  /// The slot of a port.
  /// - Parameters:
  ///   - address: The address's number in the pool.
  ///   - space: 0 to 3; each has all ports of its own: TCP's, UDP's, ICMP's identifiers.
  @inlinable
  public init(address: Int, space: Int, port: UInt16) {
    rawValue = UInt32(truncatingIfNeeded: address) << 18 | UInt32(truncatingIfNeeded: space & 3) << 16 | UInt32(port)
  }

  /// The address's number in the pool.
  @inlinable public var address: Int { Int(rawValue >> 18) }
  /// Which of the spaces it belongs to.
  @inlinable public var space: Int { Int(rawValue >> 16 & 3) }
  /// The port, in the host's byte order.
  @inlinable public var port: UInt16 { UInt16(truncatingIfNeeded: rawValue) }
}

/// Ports of a translator's outside addresses: which are free, in use, or resting after use.
///
/// - Taking and giving back cost the same however full the pool is; nothing is scanned.
/// - A port that was given back rests before it is used again (RFC 4787 section 8; RFC 6888 REQ-8), unless `quarantine`
///   is 0.
/// - With a block size, ports are handed out in blocks that belong to one subscriber as long as one of its ports is in
///   use or rests (RFC 6888 section 4; RFC 7422, with `assign`). A block spans the same ports in all spaces.
/// - Pools of several workers are slices of one: each port belongs to one slice (`slice(of:)`).
///
/// Addresses and subscribers are numbers here; what they stand for is the user's business.
public struct PortPool: ~Copyable, Sendable {
  /// How a pool is made up.
  public struct Layout: Hashable, Sendable {
    /// How many addresses there are, 1 to `addressLimit`.
    public var addresses: Int
    /// Ports that are handed out, in every space.
    public var ports: ClosedRange<UInt16>
    /// Spaces that each have all ports, 1 to 4.
    public var spaces: Int
    /// A space of which all ports are handed out, whatever `ports` says, unless there are blocks: identifiers of ICMP
    /// queries have no well-known ones.
    public var wholeSpace: Int?
    /// Ports of a block, a power of two from 64 to 16,384; nil: ports are handed out one by one.
    public var blockSize: Int?
    /// Numbers of subscribers are below this; counts with blocks only.
    public var subscribers: Int
    /// How long a port rests, in nanoseconds.
    public var quarantine: UInt64
    /// Which of the slices this is.
    public var slice: Int
    /// How many slices share the ports.
    public var slices: Int

    /// A layout; the defaults are for a pool by itself, without blocks.
    public init(
      addresses: Int, ports: ClosedRange<UInt16> = 1024...65535, spaces: Int = 3, wholeSpace: Int? = nil,
      blockSize: Int? = nil, subscribers: Int = 0, quarantine: UInt64 = 120_000_000_000, slice: Int = 0, slices: Int = 1
    ) {
      self.addresses = addresses
      self.ports = ports
      self.spaces = spaces
      self.wholeSpace = wholeSpace
      self.blockSize = blockSize
      self.subscribers = subscribers
      self.quarantine = quarantine
      self.slice = slice
      self.slices = slices
    }

    /// The first port of the first block: blocks stand at multiples of their size.
    var firstBlockPort: Int {
      guard let blockSize else { return 0 }
      return (Int(ports.lowerBound) + blockSize - 1) / blockSize * blockSize
    }

    /// How many whole blocks an address has, in all slices together.
    public var blocksPerAddress: Int {
      guard let blockSize else { return 0 }
      return max(0, (Int(ports.upperBound) + 1 - firstBlockPort) / blockSize)
    }

    /// The ports that are handed out in a space.
    func ports(inSpace space: Int) -> ClosedRange<UInt16> {
      space == wholeSpace && blockSize == nil ? 0...UInt16.max : ports
    }

    /// Which slice a port belongs to: its 64 ports, or its block, belong to the slices in turn.
    public func slice(of port: UInt16) -> Int { Int(port) / (blockSize ?? 64) % slices }

    /// The block that a slot is in; nil without blocks, and for ports before the first and behind the last.
    public func block(of slot: PortSlot) -> Int? {
      guard let blockSize, Int(slot.port) >= firstBlockPort else { return nil }
      let within = (Int(slot.port) - firstBlockPort) / blockSize
      return within < blocksPerAddress ? slot.address * blocksPerAddress + within : nil
    }

    /// The ports of a block.
    /// - Parameter block: Counted over all addresses: 0 to `addresses * blocksPerAddress - 1`.
    public func ports(of block: Int) -> (address: Int, ports: ClosedRange<UInt16>) {
      let size = blockSize ?? 64
      let first = firstBlockPort + block % max(blocksPerAddress, 1) * size
      return (block / max(blocksPerAddress, 1), UInt16(first)...UInt16(first + size - 1))
    }
  }

  /// A pool has no more addresses than this.
  public static let addressLimit = 1024

  /// A port that was taken, and the block that the subscriber was given for it, if it is new.
  public struct Taken: Hashable, Sendable {
    /// The port.
    public let slot: PortSlot
    /// A block that the subscriber got now.
    public let newBlock: Int?
  }

  /// A block that went back to the pool.
  public struct ReleasedBlock: Hashable, Sendable {
    /// The block.
    public let block: Int
    /// Whose it was.
    public let subscriber: Int
  }

  private struct Rest {
    /// The number of the slot that rests behind this one, plus 1; `last`: none; 0: this one does not rest.
    var next: UInt32
    /// When its rest is over, in ticks.
    var end: UInt32

    static var last: UInt32 { .max }
  }

  /// How the pool is made up.
  public let layout: Layout
  private let words: LazyArray<UInt64>
  private let resting: LazyArray<Rest>
  /// The longest resting slot's number plus 1, and the shortest's; 0: none rests.
  private var firstResting: UInt32 = 0
  private var lastResting: UInt32 = 0
  /// By address and space: how many ports are free.
  private var freeCounts: [UInt32]
  private var blocks: Blocks?

  /// A pool all of whose ports are free.
  /// - Throws: When there is no address space for its tables.
  public init(_ layout: Layout) throws(TableMemoryError) {
    precondition((1...Self.addressLimit).contains(layout.addresses), "a pool has 1 to 1,024 addresses")
    precondition((1...4).contains(layout.spaces), "a pool has 1 to 4 spaces")
    precondition(layout.slices > 0 && (0..<layout.slices).contains(layout.slice), "there is no such slice")
    if let size = layout.blockSize {
      precondition((64...16_384).contains(size) && size & (size - 1) == 0, "a block has 64 to 16,384 ports")
    }
    let words = try LazyArray<UInt64>(zeros: layout.addresses * 4 * PortBitmap.wordCount)
    let resting = try LazyArray<Rest>(zeros: layout.addresses << 18)
    self.layout = layout
    self.words = words
    self.resting = resting
    freeCounts = Array(repeating: 0, count: layout.addresses * 4)
    blocks = layout.blockSize == nil ? nil : Blocks(layout)
    for address in 0..<layout.addresses {
      for space in 0..<layout.spaces {
        let ports = layout.ports(inSpace: space)
        var count: UInt32 = 0
        for first in stride(from: UInt32(ports.lowerBound) & ~63, through: UInt32(ports.upperBound), by: 64)
        where layout.slice(of: UInt16(first)) == layout.slice {
          var free = UInt64.max
          if first < ports.lowerBound { free &= .max << UInt64(ports.lowerBound & 63) }
          if first + 63 > ports.upperBound { free &= .max >> UInt64(63 - ports.upperBound & 63) }
          bitmap(address, space).setFree(from: UInt16(first), free, self.words)
          count += UInt32(free.nonzeroBitCount)
        }
        freeCounts[address << 2 | space] = count
      }
    }
  }

  private func bitmap(_ address: Int, _ space: Int) -> PortBitmap {
    PortBitmap(base: (address << 2 | space & 3) * PortBitmap.wordCount)
  }

  private mutating func setFree(_ slot: PortSlot, _ isFree: Bool) {
    bitmap(slot.address, slot.space).setFree(slot.port, isFree, words)
    let index = slot.address << 2 | slot.space
    freeCounts[index] = isFree ? freeCounts[index] &+ 1 : freeCounts[index] &- 1
  }

  /// Whether a slot's port is one that this pool hands out, free or not.
  public func owns(_ slot: PortSlot) -> Bool {
    slot.address < layout.addresses && slot.space < layout.spaces
      && layout.ports(inSpace: slot.space).contains(slot.port)
      && layout.slice(of: slot.port) == layout.slice
  }

  /// Whether a port can be taken now.
  public func isFree(_ slot: PortSlot) -> Bool {
    owns(slot) && bitmap(slot.address, slot.space).isFree(slot.port, words)
  }

  /// How many ports of an address are free in a space; resting ones are not.
  public func freeCount(address: Int, space: Int) -> Int {
    guard address >= 0, address < layout.addresses, space >= 0, space < layout.spaces else { return 0 }
    return Int(freeCounts[address << 2 | space])
  }

  /// An address for a new subscriber: of two drawn by lot the one that has more ports left.
  public func address(random: UInt64) -> Int {
    let first = Int(truncatingIfNeeded: random >> 33) % layout.addresses
    let second = Int(truncatingIfNeeded: random & 0x7FFF_FFFF) % layout.addresses
    guard let blocks else { return room(first) >= room(second) ? first : second }
    return blocks.free.counts[first] >= blocks.free.counts[second] ? first : second
  }

  private func room(_ address: Int) -> Int {
    (0..<layout.spaces).reduce(0) { $0 + freeCount(address: address, space: $1) }
  }

  // MARK: Taking

  /// Takes a port for good, as a static entry does; the block that it is in comes and goes as if it were not there.
  public mutating func reserve(_ slot: PortSlot) {
    if isFree(slot) { setFree(slot, false) }
  }

  /// Takes a certain port, for an entry that is restored.
  /// - Returns: False when it is not free.
  public mutating func take(_ slot: PortSlot) -> Bool {
    guard isFree(slot) else { return false }
    setFree(slot, false)
    blocks?.countBusy(slot, 1)
    return true
  }

  /// Takes a port of an address, without regard to blocks: the same as on the inside if it is free, or one of its range
  /// (up to 1,023, or above) and parity (RFC 4787 REQ-3, REQ-4), or of its range, or any.
  /// - Parameters:
  ///   - port: The port on the inside.
  ///   - preserves: Whether the same port is tried at all.
  ///   - random: Where the search begins (RFC 6056).
  /// - Returns: The port; nil when the address has none left in this space.
  public mutating func take(
    address: Int, space: Int, like port: UInt16, preserves: Bool = true, random: UInt64
  ) -> PortSlot? {
    guard freeCount(address: address, space: space) > 0 else { return nil }
    if preserves {
      let same = PortSlot(address: address, space: space, port: port)
      if take(same) { return same }
    }
    let own: ClosedRange<UInt16> = port < 1024 ? 0...1023 : 1024...65_535
    let map = bitmap(address, space)
    let drawn = UInt16(truncatingIfNeeded: random >> 16)
    // Begun within the range that ports are handed out of, so that each is drawn as often as another.
    let start = Self.fold(drawn, into: Self.common(own, layout.ports(inSpace: space)) ?? own)
    let found =
      map.find(from: start, in: own, PortBitmap.Parity(of: port), words) ?? map.find(from: start, in: own, .any, words)
      ?? map.find(from: drawn, in: 0...65_535, .any, words)
    guard let found else { return nil }
    let slot = PortSlot(address: address, space: space, port: found)
    return take(slot) ? slot : nil
  }

  private static func common(_ left: ClosedRange<UInt16>, _ right: ClosedRange<UInt16>) -> ClosedRange<UInt16>? {
    left.overlaps(right) ? left.clamped(to: right) : nil
  }

  private static func fold(_ drawn: UInt16, into range: ClosedRange<UInt16>) -> UInt16 {
    range.lowerBound + UInt16(UInt32(drawn) % (UInt32(range.upperBound - range.lowerBound) + 1))
  }

  /// Takes a port out of a subscriber's blocks, giving it another block when they have none.
  /// - Parameters:
  ///   - address: Where a new block is to be.
  ///   - limit: How many blocks a subscriber may have.
  /// - Returns: The port; nil when its blocks have none in this space, and there is no other block for it.
  public mutating func take(
    subscriber: Int, address: Int, space: Int, like port: UInt16, preserves: Bool = true, blocks limit: Int,
    random: UInt64
  ) -> Taken? {
    guard blocks != nil, subscriber >= 0, subscriber < layout.subscribers else { return nil }
    var next = blocks?.owned.first(of: subscriber)
    while let block = next {
      if let slot = take(in: block, space: space, like: port, preserves, random) {
        return Taken(slot: slot, newBlock: nil)
      }
      next = blocks?.owned.following(block)
    }
    guard blocks?.owned.counts[subscriber] ?? 0 < limit, let block = blocks?.free.first(of: address),
      assign(block, to: subscriber), let slot = take(in: block, space: space, like: port, preserves, random)
    else { return nil }
    return Taken(slot: slot, newBlock: block)
  }

  private mutating func take(
    in block: Int, space: Int, like port: UInt16, _ preserves: Bool, _ random: UInt64
  ) -> PortSlot? {
    let (address, ports) = layout.ports(of: block)
    if preserves, ports.contains(port) {
      let same = PortSlot(address: address, space: space, port: port)
      if take(same) { return same }
    }
    let map = bitmap(address, space)
    let start = Self.fold(UInt16(truncatingIfNeeded: random >> 16), into: ports)
    guard
      let found = map.find(from: start, in: ports, PortBitmap.Parity(of: port), words)
        ?? map.find(from: start, in: ports, .any, words)
    else { return nil }
    let slot = PortSlot(address: address, space: space, port: found)
    return take(slot) ? slot : nil
  }

  /// Gives a certain block to a subscriber, as a rule that computes it from the subscriber's address does (RFC 7422).
  /// - Returns: False when it belongs to somebody else, or to another slice.
  public mutating func assign(_ block: Int, to subscriber: Int) -> Bool { blocks?.assign(block, subscriber) ?? false }

  /// A subscriber's blocks.
  public func blocks(of subscriber: Int) -> [Int] {
    var found: [Int] = []
    var next = blocks?.owned.first(of: subscriber)
    while let block = next {
      found.append(block)
      next = blocks?.owned.following(block)
    }
    return found
  }

  // MARK: Giving back

  /// Gives a port back, which rests from `now` on.
  /// - Parameter now: The clock in nanoseconds.
  public mutating func giveBack(_ slot: PortSlot, now: UInt64) {
    guard owns(slot), !bitmap(slot.address, slot.space).isFree(slot.port, words),
      resting[Int(slot.rawValue)].next == 0
    else { return }
    guard layout.quarantine > 0 else {
      setFree(slot, true)
      blocks?.countBusy(slot, -1)
      return
    }
    resting[Int(slot.rawValue)] = Rest(next: Rest.last, end: Self.ticks(now &+ layout.quarantine) &+ 1)
    if lastResting == 0 {
      firstResting = slot.rawValue + 1
    } else {
      resting[Int(lastResting - 1)].next = slot.rawValue + 1
    }
    lastResting = slot.rawValue + 1
  }

  /// Ends the rest of ports whose time has come, and takes back blocks of which no port is in use or rests.
  ///
  ///     var budget = 64
  ///     while let released = pool.reclaim(now: now, budget: &budget) { ... }
  ///
  /// - Parameters:
  ///   - now: The clock in nanoseconds.
  ///   - budget: How many ports may be looked at. It goes down.
  /// - Returns: A block that went back; nil when there are no more, or the budget is spent.
  public mutating func reclaim(now: UInt64, budget: inout Int) -> ReleasedBlock? {
    let now = Self.ticks(now)
    while budget > 0 {
      if let released = blocks?.nextReleased() { return released }
      guard firstResting != 0 else { return nil }
      let rest = resting[Int(firstResting - 1)]
      guard Int32(bitPattern: now &- rest.end) >= 0 else { return nil }
      budget -= 1
      let slot = PortSlot(rawValue: firstResting - 1)
      resting[Int(slot.rawValue)].next = 0
      firstResting = rest.next == Rest.last ? 0 : rest.next
      if firstResting == 0 { lastResting = 0 }
      setFree(slot, true)
      blocks?.countBusy(slot, -1)
    }
    return nil
  }

  /// When a port's rest ends next, in nanoseconds of the clock that `now` is of; nil when none rests.
  public func nextEvent(now: UInt64) -> UInt64? {
    guard firstResting != 0 else { return nil }
    let left = Int32(bitPattern: resting[Int(firstResting - 1)].end &- Self.ticks(now))
    return left <= 0 ? now : now &+ UInt64(left) << Self.tickShift
  }

  private static let tickShift: UInt64 = 24

  private static func ticks(_ nanoseconds: UInt64) -> UInt32 { UInt32(truncatingIfNeeded: nanoseconds >> tickShift) }
}

/// Who has which block of ports.
private struct Blocks {
  let layout: PortPool.Layout
  /// By address.
  var free: CountedLists
  /// By subscriber.
  var owned: CountedLists
  private var owners: [UInt32]
  /// How many of a block's ports are in use or rest.
  private var busy: [UInt32]
  /// Blocks that may go back.
  private var idle: [Int] = []

  init(_ layout: PortPool.Layout) {
    self.layout = layout
    let count = layout.addresses * layout.blocksPerAddress
    free = CountedLists(lists: layout.addresses, capacity: count)
    owned = CountedLists(lists: layout.subscribers, capacity: count)
    owners = Array(repeating: .max, count: count)
    busy = Array(repeating: 0, count: count)
    for block in 0..<count {
      let (address, ports) = layout.ports(of: block)
      if layout.slice(of: ports.lowerBound) == layout.slice { free.append(block, to: address) }
    }
  }

  mutating func assign(_ block: Int, _ subscriber: Int) -> Bool {
    guard owners.indices.contains(block), subscriber >= 0, subscriber < layout.subscribers else { return false }
    let (address, ports) = layout.ports(of: block)
    guard layout.slice(of: ports.lowerBound) == layout.slice else { return false }
    if owners[block] != .max { return owners[block] == UInt32(subscriber) }
    free.remove(block, from: address)
    owners[block] = UInt32(subscriber)
    owned.append(block, to: subscriber)
    return true
  }

  mutating func countBusy(_ slot: PortSlot, _ change: Int) {
    guard let block = layout.block(of: slot) else { return }
    busy[block] = UInt32(Int(busy[block]) + change)
    if busy[block] == 0, owners[block] != .max { idle.append(block) }
  }

  mutating func nextReleased() -> PortPool.ReleasedBlock? {
    while let block = idle.popLast() {
      guard busy[block] == 0, owners[block] != .max else { continue }
      let subscriber = Int(owners[block])
      owners[block] = .max
      owned.remove(block, from: subscriber)
      free.append(block, to: layout.ports(of: block).address)
      return PortPool.ReleasedBlock(block: block, subscriber: subscriber)
    }
    return nil
  }
}

/// `IndexLists` that know how long they are.
struct CountedLists {
  private var lists: IndexLists
  private(set) var counts: [Int]

  init(lists: Int, capacity: Int) {
    self.lists = IndexLists(lists: lists, capacity: capacity)
    counts = Array(repeating: 0, count: lists)
  }

  func first(of list: Int) -> Int? { counts.indices.contains(list) ? lists.first(of: list) : nil }

  func following(_ index: Int) -> Int? { lists.following(index) }

  mutating func append(_ index: Int, to list: Int) {
    lists.append(index, to: list)
    counts[list] += 1
  }

  /// - Parameter list: The one that it is on.
  mutating func remove(_ index: Int, from list: Int) {
    lists.remove(index)
    counts[list] -= 1
  }
}
