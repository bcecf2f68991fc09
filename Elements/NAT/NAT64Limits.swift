import Configuration
import Dataplane
import Tables
import Wire

/// What NAT64's bindings and sessions may take: outside addresses and ports, numbers, times.
struct NAT64Limits {
  let addresses: FlatArray<IPv4Address>
  let ports: ClosedRange<UInt16>
  let portRest: UInt64
  let sessions: Int
  let heldSYNs: Int
  let lifetimes: NAT64Lifetimes
  let filtersAddresses: Bool

  private enum Filtering: String, SettingChoice {
    case endpointIndependent = "endpoint-independent"
    case addressDependent = "address-dependent"
  }

  init(_ settings: inout Settings) throws(ConfigurationError) {
    let pool: [IPv4Prefix] = try settings.take("pool", "outside addresses or prefixes, 1,024 addresses at most")
    addresses = FlatArray(Self.expand(pool, &settings))
    let range = try settings.take(
      "ports", default: PortRange(1024...65_535), "ports and ICMP identifiers of the outside addresses that are used")
    ports = range.lowerBound...range.upperBound
    if range.lowerBound == 0 {
      settings.reject(settings.range(of: "ports"), "0 is no port", remedy: "begin with 1 or more")
    }
    sessions = try settings.take("sessions", default: 65_536, in: 16...16_777_216, "sessions at once, on each worker")
    heldSYNs = try settings.take(
      "held_syns", default: 256, in: 1...65_536, "SYNs from outside that wait for the inside's, on each worker")
    let filtering = try settings.take(
      "filtering", default: Filtering.endpointIndependent, "who may send to an outside port that is in use")
    filtersAddresses = filtering == .addressDependent
    let day = Duration.seconds(86_400)
    let udp = try settings.take("udp_timeout", default: .seconds(300), in: .seconds(120)...day, "life of a UDP session")
    let established = try settings.take(
      "tcp_established_timeout", default: .seconds(7440), in: .seconds(7440)...Duration.seconds(864_000),
      "life of a connection without segments")
    let transitory = try settings.take(
      "tcp_transitory_timeout", default: .seconds(240), in: .seconds(240)...day,
      "life of a connection that is opened, closed or reset")
    let syn = try settings.take(
      "tcp_incoming_syn_timeout", default: .seconds(6), in: .seconds(6)...Duration.seconds(60),
      "how long a SYN from outside waits for the inside's")
    let icmp = try settings.take("icmp_timeout", default: .seconds(60), in: .seconds(60)...day, "life of a ping")
    let rest = try settings.take(
      "port_rest", default: .seconds(0), in: .seconds(0)...Duration.seconds(3600),
      "how long a port is not used again")
    portRest = rest.wholeNanoseconds
    lifetimes = NAT64Lifetimes(
      udp: udp.wholeNanoseconds, tcpEstablished: established.wholeNanoseconds,
      tcpTransitory: transitory.wholeNanoseconds, incomingSYN: syn.wholeNanoseconds, icmp: icmp.wholeNanoseconds)
  }

  /// All addresses of the pool, or what there is of it before the first mistake, but at least one.
  private static func expand(_ pool: [IPv4Prefix], _ settings: inout Settings) -> [IPv4Address] {
    let place = settings.range(of: "pool")
    var found: [IPv4Address] = []
    for (index, prefix) in pool.enumerated() {
      let first = prefix.address
      let last = prefix.lastAddress
      if let other = pool[..<index].first(where: { $0.contains(prefix) || prefix.contains($0) }) {
        settings.reject(place, "\(prefix) overlaps with \(other)", remedy: "give each address once")
      } else if prefix.length < 22 || found.count + Int(last.rawValue - first.rawValue) + 1 > PortPool.addressLimit {
        settings.reject(
          place, "the pool has more than \(PortPool.addressLimit) addresses", remedy: "give fewer, or a longer prefix")
      } else if first.isMulticast || first.isReserved || first.isLoopback || first.isThisNetwork {
        settings.reject(place, "\(prefix) is not for hosts", remedy: "give unicast addresses")
      } else {
        found += (first.rawValue...last.rawValue).map(IPv4Address.init(rawValue:))
      }
    }
    if pool.isEmpty { settings.reject(place, "there is no address in 'pool'", remedy: "give an outside address") }
    return found.isEmpty ? [.unspecified] : found
  }

  /// Tables without bindings and sessions; nil when the system has not the memory.
  func makeState(capacity: Int, worker: Int, of workers: Int, seed: FlowSeed, now: UInt64) -> NAT64State? {
    let layout = PortPool.Layout(
      addresses: addresses.count, ports: ports, spaces: 3, quarantine: portRest, slice: worker, slices: workers)
    return NAT64State(
      capacity: capacity, addresses: addresses, layout: layout, lifetimes: lifetimes,
      filtersAddresses: filtersAddresses, seed: seed, now: now)
  }
}
