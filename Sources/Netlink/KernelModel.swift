public import Wire

/// A network interface of the kernel's.
public struct KernelLink: Hashable, Sendable {
  /// The kernel's number for it, unique in its namespace while it exists.
  public var index: Int
  /// Its name, such as eth0.
  public var name: String
  /// Its hardware address; nil when it has none of 48 bits.
  public var mac: MACAddress?
  /// The longest packet it carries, in bytes, without the link's header.
  public var mtu: Int
  /// Whether it was set up by the administrator.
  public var isUp: Bool
  /// Whether it is up and there is somebody at the other end.
  public var hasCarrier: Bool
  /// The bridge, bond or VRF device that it belongs to.
  public var master: Int?
  /// The routing table of the VRF that this device stands for; nil when it is no VRF device.
  public var vrfTable: Int?
}

/// An address of an interface.
public struct KernelAddress: Hashable, Sendable {
  /// The interface's number.
  public var link: Int
  /// The address.
  public var address: IPAddress
  /// How many bits of the address, or of the peer's if there is one, are those of the network on the link.
  public var prefixLength: Int
  /// The address of the other end of a link that has two.
  public var peer: IPAddress?
  /// Whether it is not to be used yet, or at all, because another node may have it (RFC 4862, 5.4).
  public var isTentative: Bool
}

/// One of the ways that a route leads.
public struct KernelHop: Hashable, Sendable {
  /// The router to send to, of either version whatever the route's is (RFC 8950); nil when the destination is on the
  /// link.
  public var gateway: IPAddress?
  /// The number of the interface to send by; 0 when there is none.
  public var link: Int
  /// How many parts of the traffic it takes, from 1 to 65536.
  public var weight: Int

  /// A hop.
  public init(gateway: IPAddress?, link: Int, weight: Int) {
    self.gateway = gateway
    self.link = link
    self.weight = weight
  }
}

/// The best route to a prefix.
public struct KernelRoute: Hashable, Sendable {
  /// What becomes of packets.
  public enum Kind: UInt8, Hashable, Sendable {
    /// They go to one of the hops.
    case unicast
    /// They are dropped and nobody is told.
    case blackhole
    /// They are dropped, and the sender is told that the host cannot be reached.
    case unreachable
    /// They are dropped, and the sender is told that it is prohibited.
    case prohibit
    /// They are for this node.
    case local
    /// They are for all on the link.
    case broadcast
    /// They are for a group on the link.
    case multicast
    /// Something else, such as a tunnel's encapsulation or `throw`. Who cannot do that treats it as unreachable, because
    /// to leave the route out would send packets where a shorter prefix leads.
    case other
  }

  /// Which destinations.
  public var prefix: IPPrefix
  /// What becomes of packets.
  public var kind: Kind
  /// The ways that can be used now; none unless the route is unicast, local, broadcast or multicast.
  public var hops: [KernelHop]
  /// The lower the better.
  public var metric: Int
  /// The kernel's number for the table.
  public var table: Int
}

/// A neighbour that the kernel knows.
public struct KernelNeighbour: Hashable, Sendable {
  /// What the kernel knows of it (RFC 4861, 7.3.2).
  public enum State: UInt8, Hashable, Sendable {
    /// It was asked for and has not answered yet.
    case incomplete
    /// It answered lately.
    case reachable
    /// It has not been heard of for some time.
    case stale
    /// It was used while stale, and something may yet confirm it.
    case delay
    /// It is being asked at the address it had.
    case probe
    /// It did not answer.
    case failed
    /// It needs no resolution.
    case noARP
    /// It was configured.
    case permanent
  }

  /// The number of the interface that it is on.
  public var link: Int
  /// Its address.
  public var address: IPAddress
  /// Its hardware address; nil while it is not known.
  public var mac: MACAddress?
  /// What is known of it.
  public var state: State
  /// Whether it says to be a router.
  public var isRouter: Bool
}

/// One step from what was known of the kernel's tables to what is known now.
public enum KernelChange: Hashable, Sendable {
  /// An interface came or changed.
  case link(KernelLink)
  /// The interface of a number is gone.
  case linkRemoved(index: Int)
  /// An address came or changed.
  case address(KernelAddress)
  /// An interface no longer has an address.
  case addressRemoved(KernelAddress)
  /// There is a best route to a prefix, or another than before.
  case route(KernelRoute)
  /// There is no route to a prefix any more.
  case routeRemoved(IPPrefix)
  /// A neighbour came or changed.
  case neighbour(KernelNeighbour)
  /// A neighbour is gone.
  case neighbourRemoved(link: Int, address: IPAddress)
}

/// Why the kernel's tables cannot be followed.
public struct NetlinkError: Error, Hashable, Sendable, CustomStringConvertible {
  /// What was tried.
  public let operation: String
  /// The system's error number.
  public let code: Int32

  /// What was tried, and what the system said.
  public var description: String { "\(operation): \(errorText(code))" }
}
