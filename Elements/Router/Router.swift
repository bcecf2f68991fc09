public import Configuration
public import Dataplane
import Tables
import Wire

/// Forwards IPv4 and IPv6 between interfaces as RFC 1812 and RFC 8200 ask for: validation, routes with several next hops,
/// neighbours, ICMP errors, fragments, and pings to its own addresses. It has an input and an output for each interface.
///
///     rt: { Router: { interfaces: { lan: {...}, wan: {...} }, routes: { 0.0.0.0/0: 203.0.113.1 } } }
///     - eth0 -> rt.lan
///     - rt.lan -> eth0
///
/// Connected networks come from the interfaces' addresses. A next hop that is on none of them is looked up among the routes.
/// Interfaces with different VRFs are in different networks, whose addresses may overlap; a packet gets from one into
/// another only by a route that names an interface of the other: `192.0.2.254@interface`, or its name.
///
/// For each interface it is made of: CheckIP; RouterForward, which finds the route and, where the next hop is known,
/// finishes the frame; RouterRedirect; RouterLink for the neighbours; FragmentIP; and for packets to the router itself
/// ReassembleIP, ICMPEcho and NoListener; ICMPError; RouterForward once more for what the router itself sends. 'nfvrun
/// graph' shows how they are wired.
public struct Router: CompositeElement {
  public static let about = ElementDescription(
    "Forwards IPv4 and IPv6 between interfaces: routes, neighbours, ICMP errors, fragments, pings to itself.",
    example: """
      elements:
        rt:
          Router:
            interfaces:
              lan: { mac: 02:00:00:00:00:01, addresses: [192.0.2.1/24, 2001:db8:1::1/64] }
              wan: { mac: 02:00:00:00:00:02, addresses: [198.51.100.2/24, 2001:db8:2::2/64] }
            routes:
              0.0.0.0/0: 198.51.100.1
              10.0.0.0/8: 192.0.2.8*2,192.0.2.9
              10.66.0.0/16: blackhole
              ::/0: fe80::1@wan
      graph:
        - lan -> rt.lan
        - wan -> rt.wan
        - rt.lan -> lan
        - rt.wan -> wan
      """)

  private let state: RouterState
  private let links: [LinkSettings]
  private let limits: NeighbourLimits
  private let errors: ICMPError.Limits
  private let control: RouterControl
  private let host: RouterHost

  public init(_ settings: inout Settings) throws(ConfigurationError) {
    var links: [LinkSettings] = []
    var interfaces: [RouterInterface] = []
    var vrfs = ["default"]
    _ = try settings.takeNamed("interfaces", "an interface's name: its settings") {
      (name: String, nested: inout Settings) throws(ConfigurationError) in
      let link = try LinkSettings(&nested, gateways: false)
      let interface = try Self.readInterface(&nested, name, number: interfaces.count, link, &vrfs)
      if interfaces.count == RouterInterface.limit {
        nested.reject(nil, "more than \(RouterInterface.limit) interfaces", remedy: "use a second router")
      }
      for other in interfaces {
        if let clash = interface.clash(with: other) {
          nested.reject(nested.range(of: clash.key), clash.message, remedy: clash.remedy)
        }
      }
      interfaces.append(interface)
      links.append(link)
    }
    let limits = try settings.takeNested("neighbours", "what is remembered of neighbours") {
      (nested: inout Settings) throws(ConfigurationError) in try NeighbourLimits(&nested)
    }
    let errors = try settings.takeNested("errors", "how many ICMP errors are sent, and how") {
      (nested: inout Settings) throws(ConfigurationError) in try ICMPError.Limits(&nested)
    }
    var none = Settings(nil, range: nil)
    if let limits { self.limits = limits } else { self.limits = try NeighbourLimits(&none) }
    if let errors { self.errors = errors } else { self.errors = try ICMPError.Limits(&none) }
    self.links = links
    if interfaces.isEmpty {
      settings.reject(
        settings.range(of: "interfaces"), "there are no interfaces", remedy: "write under it 'name: { ... }'")
    }
    if links.map(\.permanent.count).reduce(0, +) > self.limits.capacity {
      settings.reject(
        settings.range(of: "neighbours"), "there are more than \(self.limits.capacity) static neighbours",
        remedy: "raise 'neighbours: { neighbours: ... }'")
    }
    let (routes, following) = try Self.readRoutes(&settings, interfaces, vrfs)
    host = try settings.take(
      "host", default: following.isEmpty ? .router : .kernel,
      "who answers for the router's own addresses; the kernel where its routes are followed")
    let retransmit = self.limits.timers.retransmit
    state = RouterState(
      interfaces: interfaces, vrfs: vrfs, neighbours: self.limits.makeTable(for: links),
      addresses: links.map { $0.makeAddresses(retransmit: retransmit) },
      routes: following.isEmpty
        ? try settings.shared("routes", replacing: ["routes", "table", "vrfs"]) { routes } : routes)
    control = RouterControl(state, following)
  }

  private static func readInterface(
    _ settings: inout Settings, _ name: String, number: Int, _ link: LinkSettings, _ vrfs: inout [String]
  ) throws(ConfigurationError) -> RouterInterface {
    let mtu = try settings.take("mtu", default: 1500, in: 68...65_535, "longest IP packet in bytes")
    let reversePath: ReversePath = try settings.take(
      "reverse_path", default: .off, "whether packets must come from where their source is (RFC 3704)")
    let redirects = try settings.take(
      "redirects", default: true, "tell hosts of a better first hop on their link (RFC 1812, 5.2.7.2; RFC 4861, 8.2)")
    let vrf: String =
      try settings.takeIfPresent("vrf", "the VRF that it is in; those that name none are in one of their own")
      ?? vrfs[0]
    if !isName(vrf) {
      settings.reject(
        settings.range(of: "vrf"), "'\(vrf)' cannot be a name",
        remedy: "choose one of letters, digits, '_' and '-'")
    }
    if !vrfs.contains(vrf) { vrfs.append(vrf) }
    let kernelName: String =
      try settings.takeIfPresent("kernel", "what the kernel calls it, with 'routes: kernel'; the same when left out")
      ?? name
    return RouterInterface(
      name: name, number: number, mac: link.mac, addresses: link.addresses, mtu: mtu, reversePath: reversePath,
      vrf: vrfs.firstIndex(of: vrf) ?? 0, kernelName: kernelName, redirects: redirects)
  }

  private static func readRoutes(
    _ settings: inout Settings, _ interfaces: [RouterInterface], _ vrfs: [String]
  ) throws(ConfigurationError) -> (RouterRoutes, [KernelFollowing]) {
    var reader = RouteReader(interfaces, vrfs: vrfs)
    try reader.read(&settings, vrf: 0)
    _ = try settings.takeNamed("vrfs", "a VRF's name: its routes", required: false) {
      (name: String, nested: inout Settings) throws(ConfigurationError) in
      let vrf = vrfs.dropFirst().firstIndex(of: name)
      if vrf == nil {
        nested.reject(
          nil, "no interface is in a VRF '\(name)'", remedy: "give an interface 'vrf: \(name)', or leave it out")
      }
      try reader.read(&nested, vrf: vrf)
    }
    return (try reader.finish(), reader.following)
  }

  public var composition: Composition {
    var whole = Composition()
    let interfaces = state.interfaces
    let outputs = interfaces.map { whole.output($0.name) }
    for interface in interfaces { addParts(of: interface, whole.input(interface.name), outputs, &whole) }
    whole.tasks = [control]
    return whole
  }

  private func addParts(
    of interface: RouterInterface, _ input: String, _ outputs: [String], _ whole: inout Composition
  ) {
    let (state, limits, errors) = (state, limits, errors)
    let number = interface.number
    let link = links[number]
    let name = interface.name
    let peers = state.peers(of: number)
    let own = (interface.addresses + peers.flatMap(\.addresses)).map(\.address)
    let sources = ErrorSources(
      own: own, networks: peers.flatMap(\.networks), ports: state.interfaces.map { $0.addresses.map(\.address) })
    func add<E: Element & ~Copyable & SendableMetatype>(
      _ part: String, _ type: E.Type, _ make: @escaping @Sendable () throws(ConfigurationError) -> E
    ) -> String { whole.add("\(name)-\(part)", type, make) }

    let check = add("check", CheckIP.self) { () throws(ConfigurationError) in try Self.plain() }
    let forward = add("forward", RouterForward.self) { RouterForward(state, interface: number, isOrigin: false) }
    let neighbours = add("link", RouterLink.self) {
      RouterLink(state, interface: number, link: link, limits: limits)
    }
    let fragment = add("fragment", FragmentIP.self) { FragmentIP(mtu: interface.mtu, isSource: true) }
    let back = add("return", RouterReturn.self) { RouterReturn(interfaceCount: state.interfaces.count) }
    let error = add("errors", ICMPError.self) {
      ICMPError(sources, errors, ways: ErrorWays(state, interface: number))
    }
    let origin = add("origin", RouterForward.self) { RouterForward(state, interface: number, isOrigin: true) }

    whole.connect("\(input) -> \(check) -> \(forward)")
    if host == .kernel {
      let leave = add("host", RouterHostPackets.self) { RouterHostPackets() }
      whole.connect("\(check).other -> \(neighbours)[received].received -> \(leave) -> drop")
    } else {
      addHost(
        of: interface, name, from: [check, neighbours], errors: error, origin, own, &whole)
    }
    whole.connect("\(error) -> \(origin)")
    whole.connect("\(neighbours).frames -> \(outputs[number])")
    whole.connect("\(neighbours).unreachable -> \(back)")
    whole.connect("\(fragment).fragments -> \(neighbours).ip")
    whole.connect("\(fragment).tooBig -> \(error).tooBig")
    for exit in RouterForward.Exit.allCases {
      let target = exit.error.map { "\(error).\($0)" } ?? "\(neighbours).received"
      whole.connect("\(forward).\(exit) -> \(target)")
      whole.connect("\(origin).\(exit) -> drop")
    }
    if interface.redirects {
      let redirect = add("redirect", RouterRedirect.self) { RouterRedirect(state, interface: number, limits: errors) }
      whole.connect("\(redirect).frames -> \(outputs[number])")
      whole.connect("\(redirect).redirects -> \(origin)")
    }
    for other in state.interfaces {
      let outputName = outputs[other.number]
      for start in [forward, origin] {
        let isBack = interface.redirects && start == forward && other.number == number
        whole.connect("\(start).ready-\(other.number) -> \(isBack ? "\(name)-redirect" : outputName)")
        whole.connect("\(start).resolve-\(other.number) -> \(other.name)-link.ip")
        whole.connect("\(start).fragment-\(other.number) -> \(other.name)-fragment")
      }
      whole.connect("\(back).interface-\(other.number) -> \(other.name)-errors.hostUnreachable")
    }
  }

  /// What answers for the router's own addresses.
  /// - Parameter parts: The interface's CheckIP and RouterLink.
  private func addHost(
    of interface: RouterInterface, _ name: String, from parts: [String], errors error: String, _ origin: String,
    _ own: [IPAddress], _ whole: inout Composition
  ) {
    let (check, neighbours, limits) = (parts[0], parts[1], self.errors)
    func add<E: Element & ~Copyable & SendableMetatype>(
      _ part: String, _ type: E.Type, _ make: @escaping @Sendable () throws(ConfigurationError) -> E
    ) -> String { whole.add("\(name)-\(part)", type, make) }
    let inspect = add("inspect", CheckIP.self) { () throws(ConfigurationError) in try Self.plain() }
    let reassemble = add("reassemble", ReassembleIP.self) { () throws(ConfigurationError) in try Self.plain() }
    let extensions = add("extensions", CheckExtensions.self) { CheckExtensions() }
    let echo = add("echo", ICMPEcho.self) { ICMPEcho(addresses: own) }
    let refuse = add("refuse", NoListener.self) { NoListener(addresses: own, limits: limits) }
    whole.connect(
      "\(check).other -> \(neighbours)[received].received -> \(inspect) -> \(reassemble) -> \(extensions) -> \(echo)")
    whole.connect("\(inspect).other -> drop")
    whole.connect("\(echo).reply -> \(origin)")
    whole.connect("\(refuse).reset -> \(origin)")
    whole.connect("\(echo).other -> \(refuse).portUnreachable -> \(error).portUnreachable")
    whole.connect("\(refuse).protocolUnreachable -> \(error).protocolUnreachable")
    whole.connect("\(extensions).badHeader -> \(error).badHeader")
    whole.connect("\(extensions).unknownOption -> \(error).unknownOption")
    whole.connect("\(reassemble).expired -> \(error).reassembly")
    whole.connect("\(reassemble).invalid -> \(error).badHeader")
  }

  /// An element with the settings that it has by default.
  private static func plain<E: Element & ~Copyable>() throws(ConfigurationError) -> E {
    var settings = Settings(nil, range: nil)
    return try E(&settings)
  }
}
