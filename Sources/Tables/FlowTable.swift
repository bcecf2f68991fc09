public import CTables

/// A flow in a table. It means nothing any more once the flow was removed, and does no harm then.
@frozen
public struct FlowID: Hashable, Sendable {
  /// The record's number: below the table's capacity, and the flow's own for as long as it lives, so that a user can keep
  /// arrays beside the table.
  public let number: UInt32
  @usableFromInline let state: UInt32

  @inlinable
  init(number: UInt32, state: UInt32) {
    self.number = number
    self.state = state
  }
}

/// What a key was found to belong to.
@frozen
public struct FlowMatch: Hashable, Sendable {
  /// The flow.
  public let flow: FlowID
  /// Whether the key is of the direction against the flow's first key: its second key, or, of a key for both directions,
  /// one whose ends had to be exchanged unlike the first key's.
  public let isReply: Bool

  /// A match.
  @inlinable
  public init(_ flow: FlowID, isReply: Bool) {
    self.flow = flow
    self.isReply = isReply
  }
}

/// What became of a flow that was to be entered.
@frozen
public enum FlowInsertion: Hashable, Sendable {
  /// It is in the table.
  case inserted(FlowID)
  /// One of its keys is in the table already, perhaps of a flow whose time is over but which expiry has not reached yet;
  /// nothing was changed.
  case exists(FlowMatch)
  /// There is no record left; nothing was changed.
  case full
  /// There is no place near for a key among others that collide with it; nothing was changed. With a hash that spreads
  /// and a secret seed this does not happen.
  case crowded
}

/// Flows by key, each with a record of the user's, on a clock of the caller's.
///
/// - A look-up costs one cache line of the index and one of the records, and `lookUp` reads those of many packets at the
///   same time. A flow has one key or two (a translator's inside and outside); keys such as `IPv4FlowKey.eitherWay` stand for
///   both directions.
/// - All memory is taken when the table is made. Entering, removing and putting off a flow take constant time; nothing is
///   ever rehashed, and no flow is evicted for another.
/// - A flow whose deadline has come is not found any more. `nextExpired` hands them out, a bounded number a call. To put
///   off a deadline writes the record alone.
///
/// A record takes 16 bytes, the keys and the value, rounded up to cache lines; beside it there are 8 bytes, and 8 to 16 in
/// the index for each key.
@safe
public struct FlowTable<Key: FlowKey, Value: BitwiseCopyable & Sendable>: ~Copyable, @unchecked Sendable {
  /// A flow with all that is known of it.
  @frozen
  public struct Flow: Sendable {
    /// What the table calls it; nothing in another table.
    public let id: FlowID
    /// Its first key.
    public let key: Key
    /// Its second key, if it has one.
    public let secondKey: Key?
    /// The user's record.
    public let value: Value
    /// When it expires, in nanoseconds.
    public let deadline: UInt64

    @inlinable
    init(id: FlowID, key: Key, secondKey: Key?, value: Value, deadline: UInt64) {
      self.id = id
      self.key = key
      self.secondKey = secondKey
      self.value = value
      self.deadline = deadline
    }
  }

  /// What a record begins with; the keys follow, then the value.
  @frozen @usableFromInline
  struct Header {
    /// In nanoseconds.
    @usableFromInline var deadline: UInt64
    /// Bit 0: in use; bit 1: has a second key; above: how often the record was used.
    @usableFromInline var state: UInt32
    /// The lower bits of the tick at which the wheel has it.
    @usableFromInline var tick: UInt32

    @inlinable
    init(deadline: UInt64, state: UInt32, tick: UInt32) {
      self.deadline = deadline
      self.state = state
      self.tick = tick
    }
  }

  /// How many flows a table can have room for at most.
  public static var capacityLimit: Int { 1 << 30 }

  @usableFromInline static var lineSize: Int { 64 }
  /// How many keys are looked up side by side: as many as have their lines under way at once, and no more than stay cached.
  @usableFromInline static var stage: Int { 32 }

  private let memory: FlowMemory
  @usableFromInline let base: UnsafeMutableRawPointer
  @usableFromInline var index: FlowIndex
  @usableFromInline var wheel: FlowWheel
  @usableFromInline let recordSize: Int
  @usableFromInline let valueOffset: Int
  /// Whether a look-up brings the second line of a record, too.
  @usableFromInline let bringsTwoLines: Bool
  /// What the hash is keyed with.
  public let seed: FlowSeed
  /// How many keys a flow can have: one or two.
  public let keysPerFlow: Int
  /// How many flows fit.
  public let capacity: Int
  /// How many flows there are, among them those whose time is over and which expiry has not reached.
  @inlinable public var count: Int { live }
  @usableFromInline var live = 0

  /// A table without flows; nil when the system has not the memory.
  /// - Parameters:
  ///   - capacity: How many flows fit, 1 to `capacityLimit`.
  ///   - keysPerFlow: How many keys a flow can have, 1 or 2.
  ///   - seed: What the hash is keyed with; it should be random where keys come from strangers.
  ///   - now: The clock in nanoseconds.
  ///   - resolution: Nanoseconds by which expiry may be late, rounded down to a power of two.
  ///   - hotBytes: How many bytes of a value are needed for every packet, from its start on. A look-up in a burst brings
  ///     them along; what comes after the record's first line takes time at a million flows.
  public init?(
    capacity: Int, keysPerFlow: Int = 1, seed: FlowSeed, now: UInt64 = 0, resolution: UInt64 = 16_777_216,
    hotBytes: Int = MemoryLayout<Value>.size
  ) {
    precondition(capacity > 0 && capacity <= Self.capacityLimit, "a flow table has room for 1 to 1,073,741,824 flows")
    precondition(keysPerFlow == 1 || keysPerFlow == 2, "a flow has one key or two")
    precondition(resolution > 0, "a flow table's clock has a resolution above 0")
    precondition(MemoryLayout<Key>.alignment <= 16 && MemoryLayout<Value>.alignment <= 64, "keys and values are plain")
    let alignment = MemoryLayout<Value>.alignment
    let keysEnd = Self.keyOffset + keysPerFlow * MemoryLayout<Key>.stride
    valueOffset = (keysEnd + alignment - 1) / alignment * alignment
    let end = valueOffset + MemoryLayout<Value>.size
    bringsTwoLines = valueOffset + min(hotBytes, MemoryLayout<Value>.size) > Self.lineSize
    recordSize = (end + Self.lineSize - 1) / Self.lineSize * Self.lineSize
    let (byteCount, overflow) = recordSize.multipliedReportingOverflow(by: capacity)
    guard !overflow, let memory = FlowMemory(byteCount: byteCount),
      let index = FlowIndex(entries: capacity * keysPerFlow),
      let wheel = FlowWheel(capacity: capacity, shift: UInt64(63 - resolution.leadingZeroBitCount), now: now)
    else { return nil }
    self.memory = memory
    unsafe base = memory.base
    self.index = index
    self.wheel = wheel
    self.seed = seed
    self.keysPerFlow = keysPerFlow
    self.capacity = capacity
  }

  /// Bytes of memory that the table takes.
  public var byteCount: Int { capacity * recordSize + index.byteCount + wheel.byteCount }

  /// Whether no more flows fit.
  @inlinable public var isFull: Bool { count == capacity }

  // MARK: Records

  @usableFromInline static var keyOffset: Int { 16 }
  @usableFromInline static var inUse: UInt32 { 1 }
  @usableFromInline static var hasSecond: UInt32 { 2 }
  @usableFromInline static var generation: UInt32 { 4 }

  @inlinable
  func record(_ number: Int) -> UnsafeMutableRawPointer {
    precondition(UInt(bitPattern: number) < UInt(bitPattern: capacity), "a flow's number is out of range")
    return unsafe base + number &* recordSize
  }

  @inlinable
  func header(_ number: Int) -> UnsafeMutablePointer<Header> {
    unsafe record(number).assumingMemoryBound(to: Header.self)
  }

  /// The key that a word of the index stands for.
  @inlinable
  func key(_ word: UInt32) -> Key {
    let offset = word & FlowIndex.reply == 0 ? 0 : MemoryLayout<Key>.stride
    return unsafe record(Int(word & FlowIndex.number)).load(fromByteOffset: Self.keyOffset &+ offset, as: Key.self)
  }

  /// The number of a flow that is in the table; traps when it is not.
  @inlinable
  func number(_ flow: FlowID) -> Int {
    let number = Int(flow.number)
    precondition(unsafe header(number).pointee.state == flow.state, "the flow is no longer in the table")
    return number
  }

  /// Whether a flow has not been removed.
  @inlinable
  public func contains(_ flow: FlowID) -> Bool {
    let number = Int(flow.number)
    guard number < capacity, flow.state & Self.inUse != 0 else { return false }
    return unsafe header(number).pointee.state == flow.state
  }

  /// The user's record of a flow, which must be in the table.
  @inlinable
  public subscript(flow: FlowID) -> Value {
    unsafeAddress {
      unsafe UnsafePointer((record(number(flow)) + valueOffset).assumingMemoryBound(to: Value.self))
    }
    unsafeMutableAddress {
      unsafe (record(number(flow)) + valueOffset).assumingMemoryBound(to: Value.self)
    }
  }

  /// The first key of a flow, which must be in the table.
  @inlinable
  public func key(of flow: FlowID) -> Key { key(UInt32(truncatingIfNeeded: number(flow))) }

  /// The second key, if there is one, of a flow, which must be in the table.
  @inlinable
  public func secondKey(of flow: FlowID) -> Key? {
    let number = number(flow)
    return flow.state & Self.hasSecond == 0 ? nil : key(UInt32(truncatingIfNeeded: number) | FlowIndex.reply)
  }

  /// When a flow, which must be in the table, expires, in nanoseconds.
  @inlinable
  public func deadline(of flow: FlowID) -> UInt64 { unsafe header(number(flow)).pointee.deadline }

  /// All of a flow; nil when it is not in the table.
  @inlinable
  public func flow(_ flow: FlowID) -> Flow? { contains(flow) ? self.flow(at: Int(flow.number)) : nil }

  @inlinable
  func flow(at number: Int) -> Flow {
    let header = unsafe header(number).pointee
    let id = FlowID(number: UInt32(truncatingIfNeeded: number), state: header.state)
    return Flow(id: id, key: key(of: id), secondKey: secondKey(of: id), value: self[id], deadline: header.deadline)
  }

  // MARK: Look-up

  /// The flow that a key belongs to.
  /// - Parameter now: The clock in nanoseconds; a flow whose deadline this is, or was, is not found.
  @inlinable
  public func find(_ key: Key, now: UInt64) -> FlowMatch? {
    let word = find(key, hash: key.hash(seed))
    guard word != FlowIndex.none else { return nil }
    let header = unsafe header(Int(word & FlowIndex.number)).pointee
    return header.deadline > now ? match(word, header.state, key) : nil
  }

  /// The index's word for a key, or `FlowIndex.none`.
  @inlinable
  func find(_ key: Key, hash: UInt64) -> UInt32 {
    let tag = FlowIndex.tag(hash)
    let bucket = index.first(hash)
    let word = find(key, tag, bucket)
    if word != FlowIndex.none || index.awayCount(bucket) == 0 { return word }
    return find(key, tag, index.other(bucket, tag))
  }

  @inlinable
  func find(_ key: Key, _ tag: UInt16, _ bucket: Int) -> UInt32 {
    var places = index.places(bucket, of: tag)
    while places != 0 {
      let word = index.word(bucket, FlowIndex.place(places))
      if self.key(word) == key { return word }
      places &= places &- 1
    }
    return FlowIndex.none
  }

  @inlinable
  func match(_ word: UInt32, _ state: UInt32, _ key: Key) -> FlowMatch {
    let second = word & FlowIndex.reply != 0
    return FlowMatch(
      FlowID(number: word & FlowIndex.number, state: state),
      isReply: second != (self.key(word).isReversed != key.isReversed))
  }

  /// An empty burst for this table.
  /// - Parameter capacity: How many keys fit.
  public func makeBurst(capacity: Int = 256) -> FlowBurst<Key> { FlowBurst(capacity: capacity, seed: seed) }

  /// Looks up the keys of a burst, which must have the table's seed. `match` tells what was found.
  /// - Parameter now: The clock in nanoseconds; a flow whose deadline this is, or was, is not found.
  @inlinable
  public func lookUp(_ burst: inout FlowBurst<Key>, now: UInt64) {
    precondition(burst.seed == seed, "a burst has another seed than the table")
    var start = 0
    for item in 0..<min(Self.stage, burst.count) { index.prefetch(index.first(burst.hash(item))) }
    while start < burst.count {
      let end = min(start &+ Self.stage, burst.count)
      for item in start..<end {
        let hash = burst.hash(item)
        let bucket = index.first(hash)
        let places = index.places(bucket, of: FlowIndex.tag(hash))
        if places != 0 {
          let word = index.word(bucket, FlowIndex.place(places))
          prefetchRecord(word)
          burst.setFound(item, word, 0)
        } else {
          if index.awayCount(bucket) != 0 { index.prefetch(index.other(bucket, FlowIndex.tag(hash))) }
          burst.setFound(item, FlowIndex.none, 0)
        }
      }
      // The next keys' buckets travel while this stage's records are compared.
      for item in end..<min(end &+ Self.stage, burst.count) { index.prefetch(index.first(burst.hash(item))) }
      for item in start..<end {
        let key = burst.key(item)
        var word = burst.found(item).word
        if word == FlowIndex.none || self.key(word) != key { word = find(key, hash: burst.hash(item)) }
        guard word != FlowIndex.none else {
          burst.setFound(item, word, 0)
          continue
        }
        let header = unsafe header(Int(word & FlowIndex.number)).pointee
        burst.setFound(item, header.deadline > now ? word : FlowIndex.none, header.state)
      }
      start = end
    }
  }

  @inlinable
  func prefetchRecord(_ word: UInt32) {
    let record = unsafe base + Int(word & FlowIndex.number) &* recordSize
    unsafe nfv_prefetch(record)
    if bringsTwoLines { unsafe nfv_prefetch(record + Self.lineSize) }
  }

  /// What `lookUp` found for the key at a position of the burst; nil when that was nothing or has been removed since.
  @inlinable
  public func match(_ burst: borrowing FlowBurst<Key>, _ position: Int) -> FlowMatch? {
    let (word, state) = burst.found(position)
    guard word != FlowIndex.none, unsafe header(Int(word & FlowIndex.number)).pointee.state == state else { return nil }
    return match(word, state, burst.key(position))
  }

  // MARK: Changes

  /// Enters a flow.
  /// - Parameters:
  ///   - key: What packets of the flow have; `FlowMatch.isReply` is false for this key.
  ///   - second: What packets of the other direction have, if that is not the same; only with two keys a flow.
  ///   - value: The user's record.
  ///   - deadline: When it expires, in nanoseconds; `UInt64.max` for never.
  @inlinable
  public mutating func insert(
    _ key: Key, second: Key? = nil, _ value: Value, until deadline: UInt64
  ) -> FlowInsertion {
    precondition(second == nil || keysPerFlow == 2, "the table is for flows of one key")
    let hash = key.hash(seed)
    let present = find(key, hash: hash)
    guard present == FlowIndex.none else { return .exists(matchNow(present, key)) }
    let secondHash = second.map { $0.hash(seed) } ?? 0
    if let second {
      let present = find(second, hash: secondHash)
      guard present == FlowIndex.none else { return .exists(matchNow(present, second)) }
    }
    guard let number = wheel.takeNumber() else { return .full }
    let word = UInt32(truncatingIfNeeded: number)
    guard index.insert(hash, word) else {
      wheel.giveBack(number)
      return .crowded
    }
    if second != nil, !index.insert(secondHash, word | FlowIndex.reply) {
      _ = index.remove(hash, word)
      wheel.giveBack(number)
      return .crowded
    }
    let tick = wheel.tick(deadline)
    let record = unsafe record(number)
    let used = unsafe header(number).pointee.state & ~(Self.generation &- 1)
    let state = used &+ Self.generation | Self.inUse | (second == nil ? 0 : Self.hasSecond)
    unsafe header(number).pointee = Header(
      deadline: deadline, state: state, tick: UInt32(truncatingIfNeeded: tick))
    unsafe record.storeBytes(of: key, toByteOffset: Self.keyOffset, as: Key.self)
    if let second {
      unsafe record.storeBytes(of: second, toByteOffset: Self.keyOffset &+ MemoryLayout<Key>.stride, as: Key.self)
    }
    unsafe record.storeBytes(of: value, toByteOffset: valueOffset, as: Value.self)
    wheel.hang(number, at: tick)
    live &+= 1
    return .inserted(FlowID(number: word, state: state))
  }

  @inlinable
  func matchNow(_ word: UInt32, _ key: Key) -> FlowMatch {
    unsafe match(word, header(Int(word & FlowIndex.number)).pointee.state, key)
  }

  /// Enters a flow that came from a table, this or another, under its keys and with its deadline.
  @inlinable
  public mutating func insert(_ flow: Flow) -> FlowInsertion {
    insert(flow.key, second: flow.secondKey, flow.value, until: flow.deadline)
  }

  /// Gives a flow another deadline, later or earlier.
  /// - Parameter deadline: In nanoseconds; `UInt64.max` for never.
  /// - Returns: False when the flow is not in the table.
  @inlinable @discardableResult
  public mutating func refresh(_ flow: FlowID, until deadline: UInt64) -> Bool {
    guard contains(flow) else { return false }
    let number = Int(flow.number)
    let header = unsafe header(number)
    unsafe header.pointee.deadline = deadline
    let tick = UInt32(truncatingIfNeeded: wheel.tick(deadline))
    // Where it hangs, it will be looked at in time for any later deadline.
    if Int32(bitPattern: unsafe tick &- header.pointee.tick) < 0 {
      wheel.unhang(number)
      unsafe header.pointee.tick = tick
      wheel.hang(number, at: wheel.tick(deadline))
    }
    return true
  }

  /// Removes a flow.
  /// - Returns: False when it is not in the table.
  @inlinable @discardableResult
  public mutating func remove(_ flow: FlowID) -> Bool {
    guard contains(flow) else { return false }
    let number = Int(flow.number)
    let word = flow.number
    let found = index.remove(key(word).hash(seed), word)
    precondition(found, "a flow's key is not in the index")
    if flow.state & Self.hasSecond != 0 {
      let word = word | FlowIndex.reply
      let found = index.remove(key(word).hash(seed), word)
      precondition(found, "a flow's second key is not in the index")
    }
    wheel.unhang(number)
    unsafe header(number).pointee.state = flow.state & ~(Self.inUse | Self.hasSecond)
    wheel.giveBack(number)
    live &-= 1
    return true
  }

  // MARK: Ageing

  /// Removes a flow whose deadline has come, and hands it out.
  ///
  ///     var budget = 64
  ///     while let flow = table.nextExpired(now: now, budget: &budget) { ... }
  ///
  /// - Parameters:
  ///   - now: The clock in nanoseconds; one that goes back counts as standing still.
  ///   - budget: How many flows may be looked at, whether they expire or turn out to have been put off. It goes down.
  /// - Returns: The flow; nil when the budget is spent or no more have expired.
  @inlinable
  public mutating func nextExpired(now: UInt64, budget: inout Int) -> Flow? {
    let target = now >> wheel.shift
    wheel.leap(to: target)
    while budget > 0, let (number, next) = wheel.firstDue(upTo: target) {
      budget &-= 1
      if let next { prefetchRecord(UInt32(truncatingIfNeeded: next)) }
      let header = unsafe header(number)
      let deadline = unsafe header.pointee.deadline
      if deadline <= now {
        let flow = flow(at: number)
        remove(flow.id)
        return flow
      }
      let tick = wheel.tick(deadline)
      wheel.unhang(number)
      unsafe header.pointee.tick = UInt32(truncatingIfNeeded: tick)
      wheel.hang(number, at: tick)
    }
    return nil
  }

  /// Removes flows whose deadline has come, and hands them to `body`.
  /// - Parameters:
  ///   - now: The clock in nanoseconds; one that goes back counts as standing still.
  ///   - limit: How many flows may be looked at, whether they expire or turn out to have been put off.
  /// - Returns: Whether all that have expired by now were handed out.
  @inlinable @discardableResult
  public mutating func expire(now: UInt64, limit: Int, _ body: (Flow) -> Void) -> Bool {
    var budget = limit
    while let flow = nextExpired(now: now, budget: &budget) { body(flow) }
    return budget > 0
  }

  /// When to expire next, in nanoseconds: not after the earliest deadline is due, but perhaps before. Nil without flows.
  public var nextEvent: UInt64? { count == 0 ? nil : wheel.nextEvent }

  // MARK: Listing

  /// Shows flows in the order of their records, a part of the table a call. The table may change between the calls:
  /// a flow that is there from the first call to the last is shown exactly once.
  ///
  ///     var position: Int? = 0
  ///     while let start = position { position = table.list(from: start, records: 1000) { flow in ... } }
  ///
  /// - Parameters:
  ///   - position: 0, or what the call before returned.
  ///   - records: How many records may be looked at, with a flow or without.
  /// - Returns: Where to go on; nil at the end.
  @inlinable
  public func list(from position: Int, records: Int, _ body: (Flow) -> Void) -> Int? {
    let start = max(position, 0)
    let end = min(wheel.firstUnused, start &+ min(max(records, 0), capacity))
    guard start < end else { return start < wheel.firstUnused ? start : nil }
    for number in start..<end where unsafe header(number).pointee.state & Self.inUse != 0 { body(flow(at: number)) }
    return end < wheel.firstUnused ? end : nil
  }
}
