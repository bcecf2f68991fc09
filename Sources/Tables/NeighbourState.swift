public import Wire

/// What is known of a neighbour (RFC 4861, 7.3.2), by Neighbour Discovery and ARP alike.
@frozen
public enum NeighbourState: UInt8, Hashable, Sendable {
  /// It was asked for and has not answered yet.
  case incomplete
  /// It answered lately.
  case reachable
  /// It has not been heard of for some time; it is used, and asked again after the first use.
  case stale
  /// It was used while stale, and something may yet confirm it.
  case delay
  /// It is being asked at the address it had.
  case probe
  /// It did not answer, and is not asked again until the hold-down is over.
  case failed
  /// It was configured, and nothing changes it.
  case permanent
}

/// Times, in nanoseconds, and numbers of the neighbour state machine. The defaults are RFC 4861's (10).
public struct NeighbourTimers: Sendable, Hashable {
  /// How long a confirmation holds, on average; each time it is between half and one and a half of this.
  public var reachable: UInt64 = 30_000_000_000
  /// Time between two requests.
  public var retransmit: UInt64 = 1_000_000_000
  /// How much longer each next time between two requests is (RFC 7048, 3); 1 for always the same.
  public var backOff: UInt64 = 1
  /// The longest time between two requests (RFC 7048, 3).
  public var longestRetransmit: UInt64 = 60_000_000_000
  /// How long a stale neighbour in use may be confirmed otherwise before it is probed.
  public var delay: UInt64 = 5_000_000_000
  /// How long a stale neighbour that is not used is kept.
  public var stale: UInt64 = 1_200_000_000_000
  /// How long a neighbour that did not answer is not asked again.
  public var holdDown: UInt64 = 3_000_000_000
  /// Requests to all before resolution fails; at least 1.
  public var multicastRequests = 3
  /// Requests to one before a neighbour is given up; at least 1.
  public var unicastRequests = 3

  /// RFC 4861's.
  public init() {}

  /// Time to wait after the `attempt`th request, from 1 on.
  func interval(after attempt: Int) -> UInt64 {
    var interval = retransmit
    for _ in 1..<max(attempt, 1) {
      let (longer, overflow) = interval.multipliedReportingOverflow(by: max(backOff, 1))
      interval = overflow ? .max : longer
      if interval >= longestRetransmit || backOff <= 1 { break }
    }
    return max(min(interval, max(longestRetransmit, retransmit)), 1)
  }
}

/// What a message says of the neighbour it is about.
@frozen
public struct NeighbourClaim: Hashable, Sendable {
  /// Its hardware address; nil when the message does not tell.
  public var mac: MACAddress?
  /// Whether it answers a request.
  public var isSolicited: Bool
  /// Whether it is to replace another hardware address.
  public var overrides: Bool
  /// Whether it says to be a router; nil when the message does not tell.
  public var isRouter: Bool?

  /// A claim as a neighbour advertisement makes it.
  @inlinable
  public init(mac: MACAddress?, isSolicited: Bool, overrides: Bool, isRouter: Bool? = nil) {
    self.mac = mac
    self.isSolicited = isSolicited
    self.overrides = overrides
    self.isRouter = isRouter
  }
}

/// Something that a `NeighbourTable` wants done.
@frozen
public struct NeighbourAction: Hashable, Sendable {
  /// What is to be done.
  @frozen
  public enum Kind: Hashable, Sendable {
    /// Ask all for the neighbour: an ARP request by broadcast, a solicitation to the solicited-node group.
    case requestFromAll
    /// Ask the neighbour itself at the address it had.
    case probe(MACAddress)
    /// Give up what waits for it.
    case giveUp
  }

  /// What is to be done.
  public let kind: Kind
  /// Which neighbour it is about.
  public let key: NeighbourKey
}

/// How a `NeighbourTable` answers who wants to send to a neighbour.
@frozen
public enum NeighbourUse: Hashable, Sendable {
  /// Send to this address.
  case send(MACAddress)
  /// It is being asked for; `asks` says that the caller is to send the first request to all.
  case wait(asks: Bool)
  /// It did not answer, and is not asked again yet.
  case failed
  /// There is no room for another neighbour that is not resolved yet.
  case refused
}

/// A neighbour as a table lists it.
public struct Neighbour: Hashable, Sendable {
  /// Its interface and address.
  public let key: NeighbourKey
  /// Its hardware address; nil while it is not known.
  public let mac: MACAddress?
  /// What is known of it.
  public let state: NeighbourState
  /// Whether it says to be a router.
  public let isRouter: Bool
}

/// What happened at a `NeighbourTable`.
public struct NeighbourStatistics: Hashable, Sendable {
  /// Neighbours that there are.
  public var count = 0
  /// Those of them that have no hardware address.
  public var unresolved = 0
  /// Resolutions that failed.
  public var failures: UInt64 = 0
  /// Neighbours that stopped answering.
  public var losses: UInt64 = 0
  /// Hardware addresses that changed.
  public var moves: UInt64 = 0
  /// Neighbours for which there was no room, whether to be asked for or heard.
  public var refusals: UInt64 = 0

  /// Nothing happened.
  public init() {}
}
