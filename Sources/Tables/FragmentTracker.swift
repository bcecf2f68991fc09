/// What the first fragments of IP datagrams were found to be, so that later fragments can follow them without being put
/// together (virtual reassembly, as RFC 6146 section 3.4 describes it for NAT64), and which fragments wait for their
/// first. Packets are not here: those that wait are known by a number of the caller's.
///
///     switch tracker.admit(fragment, of: key, now: now) {
///     case .first: tracker.settle(key, as: what(packet), now: now)
///     case .follows(let value): ...
///     case .early: tracker.hold(number, of: key)
///     case let refusal: ...
///     }
///     while let number = tracker.popReleased() { ... tracker.fate(of: number) ... }
///
/// Fragments of a datagram that overlap end it (RFC 5722): none of it passes any more. One whose bytes all came before is
/// a duplicate, and does no harm when it is dropped. Bounded in datagrams, in fragments that wait, in those that wait for
/// one datagram, and in time; memory is taken once. What was released is to be taken by `popReleased` after each call.
@safe
public struct FragmentTracker<Value: BitwiseCopyable & Sendable>: ~Copyable {
  /// What fragments of one datagram have in common.
  public typealias Key = ReassemblyTable.Key

  /// What is to be done with a fragment.
  public enum Outcome: Sendable {
    /// It is the first: `settle` or `refuse` is to say what it is.
    case first
    /// Its first fragment was settled as this.
    case follows(Value)
    /// Its first fragment has not come, and there is room to `hold` it.
    case early
    /// It is not to pass.
    case stopped(Cause)
  }

  /// Why a fragment does not pass.
  public enum Cause: UInt8, Sendable, CaseIterable {
    /// Its first fragment did not pass.
    case refused
    /// Its bytes came before.
    case duplicate
    /// It overlaps with another, or one of its datagram did, or they disagree about the datagram's end.
    case overlap
    /// Its datagram is in too many pieces, or too many of them wait.
    case tooMany
    /// Its datagram was the oldest when there was no room for another.
    case evicted
    /// Its first fragment did not come in time.
    case timedOut
  }

  /// What became of a fragment that waited.
  public enum Fate: Sendable {
    /// Its first fragment came and was settled as this.
    case follows(Value)
    /// It is not to pass.
    case stopped(Cause)
  }

  private enum State: UInt8 { case waiting, judging, settled, stopped }

  private struct Datagram {
    var key: Key
    var value: Value?
    var timer: TimerWheel.Timer?
    /// The next with the same hash, or the next unused.
    var next: UInt32
    var older: UInt32
    var newer: UInt32
    var firstHeld: UInt32
    var lastHeld: UInt32
    var heldCount: UInt32
    /// In units of 8 bytes; 0 until the last fragment has come.
    var length: UInt16
    var pieces: UInt8
    var state: State
    var cause: Cause
  }

  /// A stretch of a datagram that has come, in units of 8 bytes.
  private struct Piece {
    var start: UInt16
    var end: UInt16
  }

  private struct Slot {
    var next: UInt32
    var fate: Fate
  }

  private struct Order {
    var oldest = UInt32.max
    var newest = UInt32.max
  }

  private static var none: UInt32 { .max }
  /// In how many pieces, with gaps between them, a datagram can be: as many as 32 fragments in the worst order make.
  private static var mostPieces: Int { 16 }

  private let datagrams: UnsafeMutablePointer<Datagram>
  private let pieces: UnsafeMutablePointer<Piece>
  private let slots: UnsafeMutablePointer<Slot>
  private let places: UnsafeMutablePointer<UInt32>
  private let mask: UInt64
  private var timers: TimerWheel
  private var unused: UInt32 = 0
  /// Datagrams whose first fragment is still to be settled, and the others. The former have to go first, so that fragments
  /// without a first one cannot push out what is known.
  private var waiting = Order()
  private var known = Order()
  private var released = Order()
  /// Decides where keys are looked for; to be set while the tracker is empty.
  public var seed: UInt64 = 0
  /// How many datagrams can be known.
  public let datagramLimit: Int
  /// How many fragments can wait. Their numbers are at most this: those that have to go for another are in use until they
  /// are taken.
  public let heldLimit: Int
  private let heldOfOne: Int
  private let lifetime: UInt64
  private let patience: UInt64
  /// How many datagrams are known.
  public private(set) var datagramCount = 0
  /// How many fragments wait.
  public private(set) var heldCount = 0

  /// An empty tracker.
  /// - Parameters:
  ///   - datagrams: How many can be known, at least 1.
  ///   - held: How many fragments can wait, at least 1.
  ///   - heldOfOne: How many can wait for one datagram's first.
  ///   - lifetime: Nanoseconds that a datagram is known from its first fragment on. RFC 791 and 8200 give fragments up to
  ///     60 seconds.
  ///   - patience: Nanoseconds that fragments wait for their first.
  public init(datagrams: Int, held: Int, heldOfOne: Int, lifetime: UInt64, patience: UInt64) {
    datagramLimit = min(max(datagrams, 1), 1 << 30)
    heldLimit = min(max(held, 1), 1 << 30)
    self.heldOfOne = heldOfOne
    self.lifetime = lifetime
    self.patience = patience
    unsafe self.datagrams = .allocate(capacity: datagramLimit)
    for index in 0..<datagramLimit {
      let next = index + 1 < datagramLimit ? UInt32(index + 1) : Self.none
      unsafe (self.datagrams + index).initialize(to: Self.blank(next: next))
    }
    unsafe pieces = .allocate(capacity: datagramLimit * Self.mostPieces)
    unsafe pieces.initialize(repeating: Piece(start: 0, end: 0), count: datagramLimit * Self.mostPieces)
    unsafe slots = .allocate(capacity: heldLimit + 1)
    unsafe slots.initialize(repeating: Slot(next: Self.none, fate: .stopped(.timedOut)), count: heldLimit + 1)
    var count = 1
    while count < datagramLimit * 2 { count *= 2 }
    mask = UInt64(count - 1)
    unsafe places = .allocate(capacity: count)
    unsafe places.initialize(repeating: Self.none, count: count)
    timers = TimerWheel(capacity: datagramLimit)
  }

  deinit {
    unsafe datagrams.deallocate()
    unsafe pieces.deallocate()
    unsafe slots.deallocate()
    unsafe places.deallocate()
  }

  private static func blank(next: UInt32) -> Datagram {
    Datagram(
      key: Key(source: 0, destination: 0, identification: 0, protocolNumber: 0), value: nil, timer: nil, next: next,
      older: none, newer: none, firstHeld: none, lastHeld: none, heldCount: 0, length: 0, pieces: 0, state: .waiting,
      cause: .refused)
  }

  // MARK: Fragments

  /// Notes that a fragment has come.
  /// - Parameters:
  ///   - range: Its bytes in the datagram: not empty, the start a multiple of 8, below 65,536 + 8.
  ///   - isLast: Whether the datagram ends with it.
  ///   - now: The clock in nanoseconds.
  public mutating func admit(_ range: Range<Int>, isLast: Bool, of key: Key, now: UInt64) -> Outcome {
    let index = find(key) ?? begin(key, now)
    let datagram = unsafe datagrams + Int(index)
    if unsafe datagram.pointee.state == .stopped { return unsafe .stopped(datagram.pointee.cause) }
    let isFirst = range.lowerBound == 0
    let waits = unsafe !isFirst && datagram.pointee.state != .settled
    if waits {
      guard unsafe datagram.pointee.heldCount < heldOfOne else {
        stop(index, .tooMany, now)
        return .stopped(.tooMany)
      }
      while heldCount >= heldLimit {
        guard evictHeld(sparing: index) else { return .stopped(.evicted) }
      }
    }
    let start = UInt16(truncatingIfNeeded: range.lowerBound >> 3)
    let end = UInt16(truncatingIfNeeded: (range.upperBound + 7) >> 3)
    if let cause = add(Piece(start: start, end: end), isLast: isLast, to: index) {
      if cause != .duplicate { stop(index, cause, now) }
      return .stopped(cause)
    }
    if waits { return .early }
    if isFirst {
      unsafe datagram.pointee.state = .judging
      return .first
    }
    guard let value = unsafe datagram.pointee.value else { return .stopped(.refused) }
    if isComplete(index) { forget(index) }
    return .follows(value)
  }

  /// Keeps the number of a fragment that `admit` found early. To be called at once, with a number that is not in use: one
  /// that waits already would tie its list into a ring.
  public mutating func hold(_ number: UInt32, of key: Key) {
    precondition(Int(number) <= heldLimit, "a fragment that waits has a number up to the limit")
    guard let index = find(key) else {
      release(number, .stopped(.evicted))
      return
    }
    let datagram = unsafe datagrams + Int(index)
    unsafe slots[Int(number)].next = Self.none
    if unsafe datagram.pointee.lastHeld == Self.none {
      unsafe datagram.pointee.firstHeld = number
    } else {
      unsafe slots[Int(datagram.pointee.lastHeld)].next = number
    }
    unsafe datagram.pointee.lastHeld = number
    unsafe datagram.pointee.heldCount += 1
    heldCount += 1
  }

  /// Says what a datagram's first fragment was found to be: fragments that waited are released, and others follow.
  /// - Parameter now: The clock in nanoseconds.
  public mutating func settle(_ key: Key, as value: Value, now: UInt64) {
    guard let index = find(key), unsafe datagrams[Int(index)].state == .judging else { return }
    unsafe datagrams[Int(index)].value = value
    releaseHeld(of: index, .follows(value))
    if isComplete(index) {
      forget(index)
    } else {
      know(index, .settled, now)
    }
  }

  /// Says that a datagram's first fragment did not pass: nor do the others.
  /// - Parameter now: The clock in nanoseconds.
  public mutating func refuse(_ key: Key, now: UInt64) {
    guard let index = find(key) else { return }
    stop(index, .refused, now)
  }

  /// Takes the number of the next fragment that waits no longer; nil when there is none.
  public mutating func popReleased() -> UInt32? {
    let number = released.oldest
    guard number != Self.none else { return nil }
    released.oldest = unsafe slots[Int(number)].next
    if released.oldest == Self.none { released.newest = Self.none }
    return number
  }

  /// What became of a fragment that was just taken by `popReleased`.
  public func fate(of number: UInt32) -> Fate {
    guard Int(number) <= heldLimit else { return .stopped(.timedOut) }
    return unsafe slots[Int(number)].fate
  }

  /// Forgets datagrams whose time is over, and releases what waited for them.
  /// - Parameter now: The clock in nanoseconds.
  public mutating func expire(now: UInt64) {
    while let payload = timers.popExpired(now: now) {
      let index = UInt32(truncatingIfNeeded: payload)
      unsafe datagrams[Int(index)].timer = nil
      releaseHeld(of: index, .stopped(.timedOut))
      forget(index)
    }
  }

  /// When to call `expire`, in nanoseconds; nil without datagrams.
  public var nextExpiry: UInt64? { timers.nextEvent }

  // MARK: Pieces

  /// - Returns: Why the piece was not added; nil: it was.
  private mutating func add(_ piece: Piece, isLast: Bool, to index: UInt32) -> Cause? {
    let datagram = unsafe datagrams + Int(index)
    let list = unsafe pieces + Int(index) * Self.mostPieces
    let count = unsafe Int(datagram.pointee.pieces)
    let length = unsafe datagram.pointee.length
    if length != 0, isLast ? piece.end != length : piece.end >= length {
      return .overlap
    }
    if isLast, count > 0, unsafe list[count - 1].end > piece.end { return .overlap }
    var place = 0
    while place < count, unsafe list[place].end < piece.start { place += 1 }
    if place < count, unsafe list[place].start <= piece.start, unsafe piece.end <= list[place].end {
      // Bytes that came before, but not as the datagram's end, contradict one another.
      return isLast && length == 0 ? .overlap : .duplicate
    }
    if place < count, unsafe list[place].start < piece.end, unsafe piece.start < list[place].end { return .overlap }
    let touchesLeft = unsafe place < count && list[place].end == piece.start
    let right = touchesLeft ? place + 1 : place
    if right < count, unsafe list[right].start < piece.end { return .overlap }
    let touchesRight = unsafe right < count && list[right].start == piece.end
    switch (touchesLeft, touchesRight) {
    case (true, true):
      unsafe list[place].end = list[right].end
      for moved in right..<count - 1 { unsafe list[moved] = list[moved + 1] }
      unsafe datagram.pointee.pieces -= 1
    case (true, false): unsafe list[place].end = piece.end
    case (false, true): unsafe list[place].start = piece.start
    case (false, false):
      guard count < Self.mostPieces else { return .tooMany }
      for moved in (place..<count).reversed() { unsafe list[moved + 1] = list[moved] }
      unsafe list[place] = piece
      unsafe datagram.pointee.pieces += 1
    }
    if isLast { unsafe datagram.pointee.length = piece.end }
    return nil
  }

  private func isComplete(_ index: UInt32) -> Bool {
    let datagram = unsafe datagrams[Int(index)]
    guard datagram.length != 0, datagram.pieces == 1 else { return false }
    let piece = unsafe pieces[Int(index) * Self.mostPieces]
    return piece.start == 0 && piece.end == datagram.length
  }

  // MARK: Fragments that wait

  private mutating func release(_ number: UInt32, _ fate: Fate) {
    unsafe slots[Int(number)] = Slot(next: Self.none, fate: fate)
    if released.newest == Self.none {
      released.oldest = number
    } else {
      unsafe slots[Int(released.newest)].next = number
    }
    released.newest = number
  }

  private mutating func releaseHeld(of index: UInt32, _ fate: Fate) {
    var number = unsafe datagrams[Int(index)].firstHeld
    while number != Self.none {
      let next = unsafe slots[Int(number)].next
      release(number, fate)
      heldCount -= 1
      number = next
    }
    unsafe datagrams[Int(index)].firstHeld = Self.none
    unsafe datagrams[Int(index)].lastHeld = Self.none
    unsafe datagrams[Int(index)].heldCount = 0
  }

  /// Lets the oldest datagram go whose first fragment is still to come, unless it is the one to spare.
  private mutating func evictHeld(sparing index: UInt32) -> Bool {
    guard waiting.oldest != Self.none, waiting.oldest != index else { return false }
    releaseHeld(of: waiting.oldest, .stopped(.evicted))
    forget(waiting.oldest)
    return true
  }

  // MARK: Datagrams

  /// Lets a datagram's fragments go and remembers it, so that those are stopped that are still to come (RFC 5722, 4).
  private mutating func stop(_ index: UInt32, _ cause: Cause, _ now: UInt64) {
    releaseHeld(of: index, .stopped(cause))
    unsafe datagrams[Int(index)].cause = cause
    know(index, .stopped, now)
  }

  /// Remembers a datagram's end, or what it is, for as long as there can be fragments of it.
  private mutating func know(_ index: UInt32, _ state: State, _ now: UInt64) {
    takeOut(index)
    unsafe datagrams[Int(index)].state = state
    append(index)
    if let timer = unsafe datagrams[Int(index)].timer { _ = timers.cancel(timer) }
    unsafe datagrams[Int(index)].timer = timers.set(UInt64(index), at: Self.sum(now, lifetime))
  }

  private static func sum(_ now: UInt64, _ time: UInt64) -> UInt64 {
    let (sum, overflow) = now.addingReportingOverflow(time)
    return overflow ? .max : sum
  }

  private func place(_ key: Key) -> Int { Int(truncatingIfNeeded: key.mixed(seed) & mask) }

  private func find(_ key: Key) -> UInt32? {
    var index = unsafe places[place(key)]
    while index != Self.none {
      if unsafe datagrams[Int(index)].key == key { return index }
      index = unsafe datagrams[Int(index)].next
    }
    return nil
  }

  private mutating func begin(_ key: Key, _ now: UInt64) -> UInt32 {
    if unused == Self.none {
      let oldest = waiting.oldest != Self.none ? waiting.oldest : known.oldest
      releaseHeld(of: oldest, .stopped(.evicted))
      forget(oldest)
    }
    let index = unused
    unused = unsafe datagrams[Int(index)].next
    let place = place(key)
    unsafe datagrams[Int(index)] = Self.blank(next: places[place])
    unsafe datagrams[Int(index)].key = key
    unsafe datagrams[Int(index)].timer = timers.set(UInt64(index), at: Self.sum(now, patience))
    unsafe places[place] = index
    append(index)
    datagramCount += 1
    return index
  }

  private mutating func append(_ index: UInt32) {
    let isKnown = unsafe Self.isKnown(datagrams[Int(index)].state)
    let newest = isKnown ? known.newest : waiting.newest
    unsafe datagrams[Int(index)].older = newest
    unsafe datagrams[Int(index)].newer = Self.none
    if newest != Self.none { unsafe datagrams[Int(newest)].newer = index }
    if isKnown {
      if newest == Self.none { known.oldest = index }
      known.newest = index
    } else {
      if newest == Self.none { waiting.oldest = index }
      waiting.newest = index
    }
  }

  private mutating func takeOut(_ index: UInt32) {
    let datagram = unsafe datagrams[Int(index)]
    var order = Self.isKnown(datagram.state) ? known : waiting
    if datagram.older == Self.none {
      order.oldest = datagram.newer
    } else {
      unsafe datagrams[Int(datagram.older)].newer = datagram.newer
    }
    if datagram.newer == Self.none {
      order.newest = datagram.older
    } else {
      unsafe datagrams[Int(datagram.newer)].older = datagram.older
    }
    if Self.isKnown(datagram.state) { known = order } else { waiting = order }
  }

  private static func isKnown(_ state: State) -> Bool { state == .settled || state == .stopped }

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
    takeOut(index)
    unsafe datagrams[Int(index)].next = unused
    unused = index
    datagramCount -= 1
  }
}
