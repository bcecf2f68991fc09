/// Which fragments of which IP datagrams are there (RFC 791, 3.2; RFC 8200, 4.5; RFC 5722), without the packets: those
/// are known by a number of the caller's.
///
/// Bounded in datagrams, fragments, fragments of one datagram, and bytes; memory is taken once. When a datagram is over,
/// whole or not, its fragments are taken by `popReleased`, in the order they stand in the datagram, before anything else
/// is done to the table.
@safe
public struct ReassemblyTable: ~Copyable {
  /// What fragments of one datagram have in common.
  public struct Key: Hashable, Sendable {
    let words: (UInt64, UInt64, UInt64, UInt64)
    let rest: UInt64

    /// Of an IPv4 datagram; the addresses in the host's byte order. Datagrams of different zones have nothing in common.
    public init(
      source: UInt32, destination: UInt32, identification: UInt32, protocolNumber: UInt8, zone: UInt16 = 0
    ) {
      words = (UInt64(source), UInt64(destination), 0, 0)
      rest = UInt64(zone) << 48 | 4 << 40 | UInt64(protocolNumber) << 32 | UInt64(identification)
    }

    /// Of an IPv6 datagram; the halves of the addresses in the host's byte order.
    public init(
      source: (UInt64, UInt64), destination: (UInt64, UInt64), identification: UInt32, zone: UInt16 = 0
    ) {
      words = (source.0, source.1, destination.0, destination.1)
      rest = UInt64(zone) << 48 | 6 << 40 | UInt64(identification)
    }

    public static func == (left: Key, right: Key) -> Bool { left.words == right.words && left.rest == right.rest }

    public func hash(into hasher: inout Hasher) { hasher.combine(mixed(0)) }

    func mixed(_ seed: UInt64) -> UInt64 {
      var mixed = scramble(words.0 ^ seed)
      mixed = scramble(mixed ^ words.1)
      if words.2 | words.3 != 0 { mixed = scramble(scramble(mixed ^ words.2) ^ words.3) }
      return scramble(mixed ^ rest)
    }
  }

  /// One fragment.
  public struct Fragment: Sendable {
    /// Where it stands in the datagram, in bytes; not empty, below 131,072.
    public let range: Range<Int>
    /// Whether the datagram ends with it.
    public let isLast: Bool
    /// The caller's number of it.
    public let number: UInt32
    /// Bytes that it is counted with.
    public let size: Int
    /// Bits that are joined over all fragments of the datagram.
    public let flags: UInt8

    /// Describes a fragment.
    public init(_ range: Range<Int>, isLast: Bool, number: UInt32, size: Int, flags: UInt8 = 0) {
      self.range = range
      self.isLast = isLast
      self.number = number
      self.size = size
      self.flags = flags
    }
  }

  /// What became of a fragment that was added.
  public enum Outcome: Hashable, Sendable {
    /// It is kept until the others come.
    case kept
    /// It was the one that was missing. All fragments are to be taken by `popReleased`, this one among them.
    case complete(length: Int, flags: UInt8)
    /// One with this range is there already. The new one is not kept.
    case duplicate
    /// It overlaps with another, or with one of an earlier attempt, or the fragments disagree about the datagram's end. It
    /// is not kept, nor are the others, which are to be taken by `popReleased`, nor will those be that come before the
    /// datagram's time is over.
    case overlap
    /// The datagram has more fragments than allowed; as with `overlap`.
    case tooMany
  }

  private enum Fate: UInt8 { case open, overlap, tooMany }

  private struct Datagram {
    var key: Key
    var next: UInt32
    var first: UInt32
    var last: UInt32
    var older: UInt32
    var newer: UInt32
    var fragmentCount: Int
    var received: Int
    /// Nil until the last fragment has come.
    var length: Int?
    var flags: UInt8
    var fate: Fate
    var timer: TimerWheel.Timer?
  }

  private struct Node {
    var start: UInt32
    var end: UInt32
    var number: UInt32
    var size: UInt32
    var next: UInt32
  }

  private static let none = UInt32.max

  private let datagrams: UnsafeMutablePointer<Datagram>
  private let nodes: UnsafeMutablePointer<Node>
  private let places: UnsafeMutablePointer<UInt32>
  private let mask: UInt64
  private var timers: TimerWheel
  private var unusedDatagram: UInt32 = 0
  private var unusedNode: UInt32 = 0
  private var oldest = none
  private var newest = none
  private var released = none
  private let fragmentsOfOne: Int
  private let byteLimit: Int
  /// Decides where keys are looked for; to be set while the table is empty.
  public var seed: UInt64 = 0
  /// How many datagrams can be there.
  public let datagramLimit: Int
  /// How many fragments can be there.
  public let fragmentLimit: Int
  /// How many datagrams there are, those among them that were given up and wait for their time to be over.
  public private(set) var datagramCount = 0
  /// How many fragments there are.
  public private(set) var fragmentCount = 0
  /// How many bytes the fragments have.
  public private(set) var byteCount = 0

  /// An empty table.
  /// - Parameters:
  ///   - datagrams, fragments: How many there can be, at least 1 each.
  ///   - fragmentsOfOne: How many fragments a datagram can have.
  ///   - bytes: How many bytes the fragments can have together.
  public init(datagrams: Int, fragments: Int, fragmentsOfOne: Int, bytes: Int) {
    datagramLimit = min(max(datagrams, 1), 1 << 30)
    fragmentLimit = min(max(fragments, 1), 1 << 30)
    self.fragmentsOfOne = fragmentsOfOne
    byteLimit = bytes
    unsafe self.datagrams = .allocate(capacity: datagramLimit)
    for index in 0..<datagramLimit {
      let next = index + 1 < datagramLimit ? UInt32(index + 1) : Self.none
      unsafe (self.datagrams + index).initialize(to: Self.blank(next: next))
    }
    unsafe nodes = .allocate(capacity: fragmentLimit)
    for index in 0..<fragmentLimit {
      let next = index + 1 < fragmentLimit ? UInt32(index + 1) : Self.none
      unsafe (nodes + index).initialize(to: Node(start: 0, end: 0, number: 0, size: 0, next: next))
    }
    var count = 1
    while count < datagramLimit * 2 { count *= 2 }
    mask = UInt64(count - 1)
    unsafe places = .allocate(capacity: count)
    unsafe places.initialize(repeating: Self.none, count: count)
    timers = TimerWheel(capacity: datagramLimit)
  }

  deinit {
    unsafe datagrams.deallocate()
    unsafe nodes.deallocate()
    unsafe places.deallocate()
  }

  private static func blank(next: UInt32) -> Datagram {
    Datagram(
      key: Key(source: 0, destination: 0, identification: 0, protocolNumber: 0), next: next, first: none, last: none,
      older: none, newer: none, fragmentCount: 0, received: 0, length: nil, flags: 0, fate: .open, timer: nil)
  }

  // MARK: Adding

  /// Forgets the oldest datagram when there is no room for one more fragment of this datagram.
  /// - Parameter size: The fragment's, in bytes.
  /// - Returns: Whether it did; its fragments are to be taken by `popReleased`, and the call repeated. False also when a
  ///   fragment has no room even in an empty table.
  public mutating func makeRoom(for key: Key, size: Int) -> Bool {
    guard oldest != Self.none else { return false }
    let hasRoom =
      unusedNode != Self.none && byteCount + size <= byteLimit && (unusedDatagram != Self.none || find(key) != nil)
    guard !hasRoom else { return false }
    releaseFragments(of: oldest)
    forget(oldest)
    return true
  }

  /// Adds a fragment.
  /// - Parameters:
  ///   - lifetime: Nanoseconds that the datagram lives from its first fragment on.
  ///   - now: The clock in nanoseconds.
  public mutating func add(_ fragment: Fragment, to key: Key, lifetime: UInt64, now: UInt64) -> Outcome {
    guard let index = find(key) ?? begin(key, at: now, lifetime) else { return .tooMany }
    let known = unsafe datagrams[Int(index)]
    switch known.fate {
    case .overlap: return .overlap
    case .tooMany: return .tooMany
    case .open: break
    }
    let (start, end) = (UInt32(fragment.range.lowerBound), UInt32(fragment.range.upperBound))
    let farthest = known.last == Self.none ? 0 : unsafe nodes[Int(known.last)].end
    // All ends have to be within the last fragment's.
    if let length = known.length, fragment.isLast ? Int(end) != length : Int(end) > length {
      return giveUp(index, .overlap)
    }
    if fragment.isLast, farthest > end { return giveUp(index, .overlap) }
    var before = known.last
    if farthest > start {
      before = Self.none
      var next = known.first
      while next != Self.none, unsafe nodes[Int(next)].end <= start {
        before = next
        next = unsafe nodes[Int(next)].next
      }
      if next != Self.none, unsafe nodes[Int(next)].start < end {
        let isSame = unsafe nodes[Int(next)].start == start && nodes[Int(next)].end == end
        let isSameEnd = fragment.isLast == (known.length == Int(end))
        return isSame && isSameEnd ? .duplicate : giveUp(index, .overlap)
      }
    }
    guard known.fragmentCount < fragmentsOfOne, unusedNode != Self.none else { return giveUp(index, .tooMany) }
    insert(fragment, start, end, behind: before, of: index)
    let now = unsafe datagrams[Int(index)]
    guard let length = now.length, now.received == length else { return .kept }
    releaseFragments(of: index)
    forget(index)
    return .complete(length: length, flags: now.flags)
  }

  private mutating func insert(
    _ fragment: Fragment, _ start: UInt32, _ end: UInt32, behind before: UInt32, of index: UInt32
  ) {
    let node = unusedNode
    unusedNode = unsafe nodes[Int(node)].next
    let datagram = unsafe datagrams + Int(index)
    let next = unsafe before == Self.none ? datagram.pointee.first : nodes[Int(before)].next
    let size = UInt32(truncatingIfNeeded: fragment.size)
    unsafe nodes[Int(node)] = Node(start: start, end: end, number: fragment.number, size: size, next: next)
    if before == Self.none {
      unsafe datagram.pointee.first = node
    } else {
      unsafe nodes[Int(before)].next = node
    }
    if next == Self.none { unsafe datagram.pointee.last = node }
    unsafe datagram.pointee.fragmentCount += 1
    unsafe datagram.pointee.received += Int(end - start)
    unsafe datagram.pointee.flags |= fragment.flags
    if fragment.isLast { unsafe datagram.pointee.length = Int(end) }
    fragmentCount += 1
    byteCount += Int(size)
  }

  /// Lets a datagram's fragments go and remembers it, so that those are refused that are still to come (RFC 5722, 4).
  private mutating func giveUp(_ index: UInt32, _ fate: Fate) -> Outcome {
    releaseFragments(of: index)
    unsafe datagrams[Int(index)].fate = fate
    return fate == .tooMany ? .tooMany : .overlap
  }

  // MARK: Taking out

  /// Takes the next fragment of a datagram that is over.
  /// - Returns: The caller's number of it; nil when there is none.
  public mutating func popReleased() -> UInt32? {
    let node = released
    guard node != Self.none else { return nil }
    let number = unsafe nodes[Int(node)].number
    released = unsafe nodes[Int(node)].next
    unsafe nodes[Int(node)].next = unusedNode
    unusedNode = node
    return number
  }

  /// Forgets the next datagram whose time is over; its fragments are to be taken by `popReleased`.
  /// - Returns: Whether its first fragment, at offset zero, is the first of them; nil when there is no such datagram.
  public mutating func expireNext(now: UInt64) -> Bool? {
    guard let payload = timers.popExpired(now: now) else { return nil }
    let index = UInt32(truncatingIfNeeded: payload)
    let first = unsafe datagrams[Int(index)].first
    let hasStart = unsafe first != Self.none && nodes[Int(first)].start == 0
    unsafe datagrams[Int(index)].timer = nil
    releaseFragments(of: index)
    forget(index)
    return hasStart
  }

  /// When to call `expireNext`, in nanoseconds; nil without datagrams.
  public var nextExpiry: UInt64? { timers.nextEvent }

  // MARK: Datagrams

  private func place(_ key: Key) -> Int { Int(truncatingIfNeeded: key.mixed(seed) & mask) }

  private func find(_ key: Key) -> UInt32? {
    var index = unsafe places[place(key)]
    while index != Self.none {
      if unsafe datagrams[Int(index)].key == key { return index }
      index = unsafe datagrams[Int(index)].next
    }
    return nil
  }

  private mutating func begin(_ key: Key, at now: UInt64, _ lifetime: UInt64) -> UInt32? {
    let index = unusedDatagram
    guard index != Self.none else { return nil }
    let (sum, overflow) = now.addingReportingOverflow(lifetime)
    guard let timer = timers.set(UInt64(index), at: overflow ? .max : sum) else { return nil }
    unusedDatagram = unsafe datagrams[Int(index)].next
    let place = place(key)
    var datagram = unsafe Self.blank(next: places[place])
    datagram.key = key
    datagram.timer = timer
    datagram.older = newest
    unsafe datagrams[Int(index)] = datagram
    unsafe places[place] = index
    if newest == Self.none { oldest = index } else { unsafe datagrams[Int(newest)].newer = index }
    newest = index
    datagramCount += 1
    return index
  }

  private mutating func releaseFragments(of index: UInt32) {
    let datagram = unsafe datagrams + Int(index)
    var node = unsafe datagram.pointee.first
    guard node != Self.none else { return }
    released = node
    while node != Self.none {
      fragmentCount -= 1
      byteCount -= unsafe Int(nodes[Int(node)].size)
      node = unsafe nodes[Int(node)].next
    }
    unsafe datagram.pointee.first = Self.none
    unsafe datagram.pointee.last = Self.none
  }

  private mutating func forget(_ index: UInt32) {
    let datagram = unsafe datagrams[Int(index)]
    if let timer = datagram.timer { _ = timers.cancel(timer) }
    let place = place(datagram.key)
    if unsafe places[place] == index {
      unsafe places[place] = datagram.next
    } else {
      var before = unsafe places[place]
      while unsafe datagrams[Int(before)].next != index { before = unsafe datagrams[Int(before)].next }
      unsafe datagrams[Int(before)].next = datagram.next
    }
    if datagram.older == Self.none {
      oldest = datagram.newer
    } else {
      unsafe datagrams[Int(datagram.older)].newer = datagram.newer
    }
    if datagram.newer == Self.none {
      newest = datagram.older
    } else {
      unsafe datagrams[Int(datagram.newer)].older = datagram.older
    }
    unsafe datagrams[Int(index)].next = unusedDatagram
    unusedDatagram = index
    datagramCount -= 1
  }
}
