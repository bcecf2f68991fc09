/// A translator's mappings: which inside endpoint each outside port stands for, whatever it talks to (endpoint-independent
/// mapping, RFC 4787 section 4.1).
///
/// A mapping is kept at the slot of its outside port, so that packets from the outside find it without a search; from the
/// inside it is found by hash. A mapping takes 20 bytes, and nothing before it is made. Mappings live as long as they are
/// used: each session is a use of its mapping.
public struct MappingTable: ~Copyable, Sendable {
  /// What is known of a mapping.
  public struct Mapping: BitwiseCopyable, Sendable {
    /// The inside endpoint's address, as a number.
    public var insideAddress: UInt32
    /// The inside endpoint's port, or the identifier of ICMP queries, in the host's byte order.
    public var insidePort: UInt16
    /// Whether it was configured and stays.
    public var isStatic: Bool
    fileprivate var isUsed: Bool
    /// How many sessions it has.
    public var uses: UInt32
    /// The number of the subscriber it belongs to; 0 for static ones.
    public var subscriber: UInt32
    /// The slot of the next mapping with the same hash, plus 1.
    fileprivate var next: UInt32
  }

  private let mappings: LazyArray<Mapping>
  private let buckets: LazyArray<UInt32>
  private let mask: Int
  private let seed: FlowSeed
  /// How many mappings there can be.
  public let capacity: Int
  /// How many mappings there are.
  public private(set) var count = 0

  /// A table without mappings.
  /// - Parameters:
  ///   - addresses: How many outside addresses there are.
  ///   - capacity: How many mappings there can be, at least 1.
  ///   - seed: What the hash is keyed with.
  /// - Throws: When there is no address space for it.
  public init(addresses: Int, capacity: Int, seed: FlowSeed) throws(TableMemoryError) {
    let bucketCount = 1 << (Int.bitWidth - max(capacity - 1, 1).leadingZeroBitCount)
    let mappings = try LazyArray<Mapping>(zeros: addresses << 18)
    let buckets = try LazyArray<UInt32>(zeros: bucketCount)
    self.mappings = mappings
    self.buckets = buckets
    mask = bucketCount - 1
    self.capacity = capacity
    self.seed = seed
  }

  /// The mapping of an outside port.
  public subscript(slot: PortSlot) -> Mapping? {
    let index = Int(slot.rawValue)
    guard index < mappings.count else { return nil }
    let mapping = mappings[index]
    return mapping.isUsed ? mapping : nil
  }

  /// The outside port that stands for an inside endpoint.
  public func find(address: UInt32, port: UInt16, space: Int) -> PortSlot? {
    var next = buckets[bucket(address, port, space)]
    while next != 0 {
      let slot = PortSlot(rawValue: next - 1)
      let mapping = mappings[Int(next - 1)]
      if mapping.insideAddress == address, mapping.insidePort == port, slot.space == space { return slot }
      next = mapping.next
    }
    return nil
  }

  /// Enters a mapping. The slot must not have one, nor the endpoint in that space.
  /// - Returns: False when there is no room.
  public mutating func insert(
    _ slot: PortSlot, address: UInt32, port: UInt16, subscriber: Int, isStatic: Bool = false
  ) -> Bool {
    let index = Int(slot.rawValue)
    guard count < capacity || isStatic, index < mappings.count, !mappings[index].isUsed else { return false }
    let bucket = bucket(address, port, slot.space)
    mappings[index] = Mapping(
      insideAddress: address, insidePort: port, isStatic: isStatic, isUsed: true, uses: 0,
      subscriber: UInt32(truncatingIfNeeded: subscriber), next: buckets[bucket])
    buckets[bucket] = slot.rawValue + 1
    count += 1
    return true
  }

  /// Counts a use.
  public mutating func use(_ slot: PortSlot) {
    if Int(slot.rawValue) < mappings.count { mappings[Int(slot.rawValue)].uses &+= 1 }
  }

  /// Counts a use less.
  /// - Returns: The mapping when it has gone with its last use; static ones stay.
  public mutating func endUse(_ slot: PortSlot) -> Mapping? {
    guard let mapping = self[slot], mapping.uses > 0 else { return nil }
    mappings[Int(slot.rawValue)].uses -= 1
    return mapping.uses == 1 && !mapping.isStatic ? remove(slot) : nil
  }

  /// Counts a use less, and keeps the mapping for the next.
  public mutating func forgetUse(_ slot: PortSlot) {
    if let mapping = self[slot], mapping.uses > 0 { mappings[Int(slot.rawValue)].uses -= 1 }
  }

  /// Removes a mapping.
  public mutating func remove(_ slot: PortSlot) -> Mapping? {
    guard let mapping = self[slot] else { return nil }
    let bucket = bucket(mapping.insideAddress, mapping.insidePort, slot.space)
    if buckets[bucket] == slot.rawValue + 1 {
      buckets[bucket] = mapping.next
    } else {
      var before = Int(buckets[bucket]) - 1
      while mappings[before].next != slot.rawValue + 1 { before = Int(mappings[before].next) - 1 }
      mappings[before].next = mapping.next
    }
    mappings[Int(slot.rawValue)].isUsed = false
    count -= 1
    return mapping
  }

  private func bucket(_ address: UInt32, _ port: UInt16, _ space: Int) -> Int {
    Int(truncatingIfNeeded: seed.hash(UInt64(address), UInt64(port) << 2 | UInt64(space))) & mask
  }
}

/// A translator's subscribers: inside addresses that have mappings, each with a number, its outside address, and what it
/// uses. One is forgotten when it uses nothing any more.
public struct SubscriberTable: ~Copyable, Sendable {
  /// What is known of a subscriber.
  public struct Subscriber: BitwiseCopyable, Sendable {
    /// Its inside address, as a number.
    public let address: UInt32
    /// How many mappings it has.
    public var mappings: UInt32
    /// How many sessions it has.
    public var sessions: UInt32
    /// How many blocks of ports it has.
    public var blocks: UInt32
    /// The number of the outside address that its mappings are of (paired pooling, RFC 4787 REQ-2).
    public var outside: UInt32
    /// The number of the next with the same hash, or of the next unused, plus 1.
    fileprivate var next: UInt32
  }

  private let subscribers: LazyArray<Subscriber>
  private let buckets: LazyArray<UInt32>
  private let mask: Int
  private let seed: FlowSeed
  /// Numbers are below this, and above 0.
  public let capacity: Int
  /// How many subscribers there are.
  public private(set) var count = 0
  private var firstUnused: UInt32 = 0
  private var neverUsed = 1

  /// A table without subscribers.
  /// - Parameter capacity: How many there can be, at least 1, plus 1.
  /// - Throws: When there is no address space for it.
  public init(capacity: Int, seed: FlowSeed) throws(TableMemoryError) {
    let bucketCount = 1 << (Int.bitWidth - max(capacity - 1, 1).leadingZeroBitCount)
    let subscribers = try LazyArray<Subscriber>(zeros: capacity)
    let buckets = try LazyArray<UInt32>(zeros: bucketCount)
    self.capacity = capacity
    self.subscribers = subscribers
    self.buckets = buckets
    mask = bucketCount - 1
    self.seed = seed
  }

  /// A subscriber by its number, which must be one that `find` or `insert` gave and that was not removed since.
  public subscript(number: Int) -> Subscriber {
    get { subscribers[number] }
    set { subscribers[number] = newValue }
  }

  /// A subscriber's number; nil when it is not known.
  public func find(_ address: UInt32) -> Int? {
    var next = buckets[bucket(address)]
    while next != 0 {
      if subscribers[Int(next)].address == address { return Int(next) }
      next = subscribers[Int(next)].next
    }
    return nil
  }

  /// Enters a subscriber, which must not be known.
  /// - Returns: Its number; nil when there is no room.
  public mutating func insert(_ address: UInt32, outside: Int) -> Int? {
    let number: Int
    if firstUnused != 0 {
      number = Int(firstUnused)
      firstUnused = subscribers[number].next
    } else {
      guard neverUsed < capacity else { return nil }
      number = neverUsed
      neverUsed += 1
    }
    let bucket = bucket(address)
    subscribers[number] = Subscriber(
      address: address, mappings: 0, sessions: 0, blocks: 0, outside: UInt32(truncatingIfNeeded: outside),
      next: buckets[bucket])
    buckets[bucket] = UInt32(truncatingIfNeeded: number)
    count += 1
    return number
  }

  /// Forgets a subscriber if it uses nothing.
  public mutating func removeIfIdle(_ number: Int) {
    let subscriber = subscribers[number]
    guard subscriber.mappings == 0, subscriber.sessions == 0, subscriber.blocks == 0 else { return }
    let bucket = bucket(subscriber.address)
    if buckets[bucket] == UInt32(number) {
      buckets[bucket] = subscriber.next
    } else {
      var before = Int(buckets[bucket])
      while before != 0, Int(subscribers[before].next) != number { before = Int(subscribers[before].next) }
      guard before != 0 else { return }
      subscribers[before].next = subscriber.next
    }
    subscribers[number].next = firstUnused
    firstUnused = UInt32(number)
    count -= 1
  }

  private func bucket(_ address: UInt32) -> Int {
    Int(truncatingIfNeeded: seed.hash(UInt64(address), 0x5375_6273)) & mask
  }
}
