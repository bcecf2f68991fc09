/// Keys that are looked up together, and what was found for each. One is made once and used again and again.
///
///     burst.removeAll()
///     for packet in packets { burst.append(key(of: packet)) }
///     table.lookUp(&burst, now: now)
///     for position in 0..<burst.count { table.match(burst, position) ... }
///
/// Keys are hashed as they are appended. Tables of the same seed can share a burst's keys, though each needs a `lookUp` of
/// its own before its `match`.
@safe
public struct FlowBurst<Key: FlowKey>: ~Copyable, @unchecked Sendable {
  @frozen @usableFromInline
  struct Found {
    @usableFromInline var word: UInt32
    @usableFromInline var state: UInt32

    @inlinable
    init(word: UInt32, state: UInt32) {
      self.word = word
      self.state = state
    }
  }

  @usableFromInline let keys: UnsafeMutablePointer<Key>
  @usableFromInline let hashes: UnsafeMutablePointer<UInt64>
  @usableFromInline let results: UnsafeMutablePointer<Found>
  /// What the hash is keyed with.
  public let seed: FlowSeed
  /// How many keys fit.
  public let capacity: Int
  /// How many keys there are.
  @inlinable public var count: Int { filled }
  @usableFromInline var filled = 0

  /// An empty burst.
  /// - Parameters:
  ///   - capacity: How many keys fit, at least 1.
  ///   - seed: That of the tables in which keys are looked up.
  public init(capacity: Int, seed: FlowSeed) {
    precondition(capacity > 0, "a burst has room for one key at least")
    self.capacity = capacity
    self.seed = seed
    unsafe keys = .allocate(capacity: capacity)
    unsafe hashes = .allocate(capacity: capacity)
    unsafe results = .allocate(capacity: capacity)
  }

  deinit {
    unsafe keys.deallocate()
    unsafe hashes.deallocate()
    unsafe results.deallocate()
  }

  /// Forgets all keys.
  @inlinable
  public mutating func removeAll() { filled = 0 }

  /// Adds a key, for which there must be room; its position is what `count` was.
  @inlinable
  public mutating func append(_ key: Key) {
    precondition(count < capacity, "a burst is full")
    unsafe (keys + count).initialize(to: key)
    unsafe (hashes + count).initialize(to: key.hash(seed))
    unsafe (results + count).initialize(to: Found(word: FlowIndex.none, state: 0))
    filled &+= 1
  }

  /// The key at a position.
  @inlinable
  public func key(_ position: Int) -> Key { unsafe keys[checked(position)] }

  @inlinable
  func hash(_ position: Int) -> UInt64 { unsafe hashes[checked(position)] }

  @inlinable
  func found(_ position: Int) -> (word: UInt32, state: UInt32) {
    let found = unsafe results[checked(position)]
    return (found.word, found.state)
  }

  @inlinable
  mutating func setFound(_ position: Int, _ word: UInt32, _ state: UInt32) {
    unsafe results[checked(position)] = Found(word: word, state: state)
  }

  @inlinable
  func checked(_ position: Int) -> Int {
    precondition(UInt(bitPattern: position) < UInt(bitPattern: count), "there is no such key in the burst")
    return position
  }
}
