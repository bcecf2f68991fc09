public import Configuration
public import Dataplane
import Tables
import Wire

/// What tells the next hop of a packet.
enum NextHopChooser: String, SettingChoice {
  case destination, annotation
}

/// Sends IP packets to the hardware addresses of their next hops on one interface: finds those out and keeps them right
/// by ARP (RFC 826, RFC 5227) and Neighbour Discovery (RFC 4861, RFC 4862), and answers for the interface's own
/// addresses. All workers share what was learned; waiting packets are each worker's own.
///
///     lan: { Neighbours: { mac: 02:00:00:00:00:01, addresses: [192.0.2.1/24, 2001:db8::1/64] } }
///     - eth0 -> lan.received
///     - lan.received -> check -> ... -> lan.ip
///     - lan.frames -> eth0
///     - lan.unreachable -> drop
public struct Neighbours: Element, ~Copyable {
  /// Where packets enter.
  public enum Input: UInt8, InputPort {
    /// IP packets to be sent out of the interface.
    case ip
    /// All frames that come in by the interface.
    case received

    public var needs: HeaderState { self == .ip ? .ip : .frame }
    public var about: String {
      self == .ip ? "IP packets to be sent out of the interface" : "all frames that come in by the interface"
    }
  }

  /// Where packets leave.
  public enum Output: UInt8, OutputPort {
    /// To the interface.
    case frames
    /// From the interface, but for ARP and Neighbour Discovery.
    case received
    /// Packets whose next hop does not answer, or that have none, as they came.
    case unreachable

    public var delivers: HeaderState? { self == .unreachable ? .ip : .frame }
    public var about: String {
      switch self {
      case .frames: "to the interface: packets with their next hop's address, requests and replies"
      case .received: "from the interface: everything but ARP and Neighbour Discovery"
      case .unreachable: "packets whose next hop does not answer, or that have none, ready for an ICMP error"
      }
    }
  }

  /// Why packets are dropped.
  public enum Drop: UInt8, ElementDropReason {
    /// An ARP or Neighbour Discovery message that was taken note of and wants no answer.
    case consumed
    /// A message by which another node claims an own address.
    case conflict
    /// Router discovery or a redirect, which is not for routers.
    case ignored
    /// An ARP packet from no station, or a message that RFC 4861 (7.1) has discarded.
    case invalid
    /// A frame to another station.
    case otherStation
    /// An ARP or Neighbour Discovery message that this interface itself has sent.
    case ownFrame
    /// A packet to be sent to the interface's own address.
    case ownAddress
    /// The oldest of too many packets that wait for one neighbour.
    case pendingOverflow
    /// There are as many unresolved neighbours as there may be.
    case tableFull
  }

  public static let about = ElementDescription(
    "Finds the hardware addresses of next hops by ARP and Neighbour Discovery, and answers for its own.",
    example: """
      elements:
        check: CheckIP
        ttl: DecTTL
        route: { LookupRoute: { routes: { 192.0.2.0/24: near, 0.0.0.0/0: far } } }
        near: { Neighbours: { mac: 02:00:00:00:00:01, addresses: [192.0.2.1/24, 2001:db8:1::1/64] } }
        far:
          Neighbours:
            mac: 02:00:00:00:00:02
            addresses: [198.51.100.1/24, 2001:db8:2::1/64]
            gateway4: 198.51.100.254
      graph:
        - lan -> near.received
        - wan -> far.received
        - near.received -> check
        - far.received -> check
        - check -> ttl -> route
        - check.other -> drop
        - ttl.expired -> drop
        - route.near -> near.ip
        - route.far -> far.ip
        - near.frames -> lan
        - far.frames -> wan
        - near.unreachable -> drop
        - far.unreachable -> drop
      """)

  private var link: NeighbourLink<LinkNextHop>

  private static var outputs: NeighbourOutputs<Output> {
    NeighbourOutputs(frames: .frames, received: .received, unreachable: .unreachable)
  }

  public init(_ settings: inout Settings) throws(ConfigurationError) {
    let own = try LinkSettings(&settings, gateways: true)
    let limits = try NeighbourLimits(&settings)
    let chooser: NextHopChooser = try settings.take(
      "next_hop", default: .destination,
      "what tells the next hop: the destination, or the annotation, its last 32 bits, which LoadBalancer sets; 0: destination"
    )
    if own.permanent.count > limits.capacity {
      settings.reject(
        settings.range(of: "static"), "there are more than \(limits.capacity) neighbours", remedy: "raise 'neighbours'")
    }
    let table = try settings.shared("table") { limits.makeTable(for: [own]) }
    let addresses = try settings.shared("addresses") { own.makeAddresses(retransmit: limits.timers.retransmit) }
    link = NeighbourLink(
      interface: 0, mac: own.mac, isRouter: own.isRouter, isPromiscuous: own.isPromiscuous,
      choice: LinkNextHop(
        interface: 0, own.addresses, gateway4: own.gateway4, gateway6: own.gateway6,
        usesAnnotation: chooser == .annotation), table: table, addresses: addresses, pending: limits.held,
      depth: limits.pending)
  }

  public var held: Int { link.pending.count }

  public var counters: [ElementCounter] { link.counters }

  public mutating func start(_ context: inout Context) { link.start(&context) }

  public mutating func process(_ batch: inout PacketBatch<Self>, _ context: inout Context) {
    switch batch.input {
    case .ip: link.send(&batch, &context, Self.outputs)
    case .received: link.receive(&batch, &context, Self.outputs)
    }
  }

  public mutating func wake(_ batch: inout PacketBatch<Self>, _ context: inout Context) {
    link.wake(&batch, &context, Self.outputs)
  }
}
