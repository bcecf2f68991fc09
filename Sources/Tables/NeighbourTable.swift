import Synchronization
public import Wire

/// The neighbours of a node on all its interfaces, as ARP (RFC 826) and Neighbour Discovery (RFC 4861) learn them: who
/// has which hardware address, and whether that still holds. It knows no packets: messages are told to it, and it says
/// what is to be sent.
///
/// **All workers share it.** Packets look neighbours up by `reader`, which takes no lock and writes nothing. Everything
/// else takes a lock for a short and constant time: to be called for packets whose neighbour the reader does not know as
/// `isFresh` or `hasFailed`, for messages of neighbours, and by timers.
///
/// Its memory is taken once. Neighbours without an address have a limit of their own, so that whoever makes the node ask
/// for addresses that nobody has puts out none that is resolved (RFC 6583): new ones are refused then, and counted.
public final class NeighbourTable: Sendable {
  /// The lock-free side.
  public let reader: NeighbourReader
  /// How many interfaces there are; they are numbered from 0 on.
  public let interfaces: Int
  private let machine: Mutex<NeighbourMachine>

  /// A table without neighbours.
  /// - Parameters:
  ///   - interfaces: How many interfaces there are.
  ///   - capacity: How many neighbours there can be.
  ///   - unresolved: How many of them can be without an address.
  ///   - seed: Spreads addresses over the index and expiry over time.
  public init(
    interfaces: Int = 1, capacity: Int, unresolved: Int, timers: NeighbourTimers = NeighbourTimers(), seed: UInt64 = 0
  ) {
    precondition(interfaces > 0 && capacity > 0 && unresolved > 0, "a neighbour table has room for one neighbour")
    self.interfaces = interfaces
    let index = NeighbourReader(capacity: capacity, seed: seed)
    machine = Mutex(
      NeighbourMachine(
        index: NeighbourReader(index), timers: timers, capacity: capacity, unresolvedLimit: unresolved,
        interfaces: interfaces,
        seed: seed))
    reader = index
  }

  // MARK: Use

  /// Asks for a neighbour that a packet is to be sent to. One that is not known is created.
  /// - Parameter now: The clock in nanoseconds, here and elsewhere.
  public func use(_ key: NeighbourKey, now: UInt64) -> NeighbourUse {
    guard isValid(key) else { return .refused }
    return machine.withLock { $0.use(key, now: now) }
  }

  /// Tells that a neighbour forwards what it is sent, as upper layers know it (RFC 4861, 7.3.1).
  public func confirm(_ key: NeighbourKey, now: UInt64) { machine.withLock { $0.confirm(key, now: now) } }

  // MARK: Learning

  /// Tells that a neighbour was heard to have an address: by its solicitation (RFC 4861, 7.2.3), or by an ARP packet that
  /// does not answer a request of this node's (RFC 826).
  /// - Parameter creates: Whether a neighbour that is not known is created.
  /// - Returns: Whether this is news.
  @discardableResult
  public func hear(_ key: NeighbourKey, mac: MACAddress, creates: Bool, now: UInt64) -> Bool {
    guard isValid(key) else { return false }
    return machine.withLock { $0.hear(key, mac: mac, creates: creates, now: now) }
  }

  /// Tells what a neighbour advertised (RFC 4861, 7.2.5). One that is not known is not created.
  /// - Returns: Whether it was taken.
  @discardableResult
  public func advertise(_ key: NeighbourKey, _ claim: NeighbourClaim, now: UInt64) -> Bool {
    machine.withLock { $0.advertise(key, claim, now: now) }
  }

  /// Sets a neighbour's address for good.
  /// - Returns: False when there is no room.
  @discardableResult
  public func setPermanent(_ key: NeighbourKey, mac: MACAddress) -> Bool {
    guard isValid(key) else { return false }
    return machine.withLock { $0.setPermanent(key, mac: mac) }
  }

  // MARK: Removal

  /// Forgets a neighbour.
  /// - Returns: False when it is not known.
  @discardableResult
  public func remove(_ key: NeighbourKey) -> Bool { machine.withLock { $0.remove(key) } }

  /// Forgets the neighbours on an interface, as when its link went down; permanent ones only if asked to.
  public func flush(interface: UInt32, permanent: Bool = false) {
    machine.withLock { $0.flush(interface, permanent: permanent) }
  }

  // MARK: Time

  /// What is to be done next on an interface, until there is nothing more. Each thing is told once, to whichever worker
  /// asks first.
  public func nextAction(interface: UInt32, now: UInt64) -> NeighbourAction? {
    guard interface < interfaces else { return nil }
    return machine.withLock { $0.nextAction(Int(interface), now: now) }
  }

  /// When to call `nextAction` next, in nanoseconds; perhaps early. Nil: not until something else happened.
  public func nextEvent(interface: UInt32) -> UInt64? {
    guard interface < interfaces else { return nil }
    return machine.withLock { $0.nextEvent(Int(interface)) }
  }

  // MARK: Reports

  /// The neighbours, ordered by interface and address.
  /// - Parameter interface: Nil: on all interfaces.
  public func list(interface: UInt32? = nil) -> [Neighbour] { machine.withLock { $0.list(interface) } }

  /// What happened so far.
  public var statistics: NeighbourStatistics { machine.withLock { $0.statistics } }

  private func isValid(_ key: NeighbourKey) -> Bool { key.interface < interfaces }
}
