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
/// Connected networks come from the interfaces' addresses. For each interface it is made of: CheckIP; RouterForward, which
/// finds the route and, where the next hop is known, finishes the frame; RouterLink for the neighbours; FragmentIP; and for
/// packets to the router itself ReassembleIP, ICMPEcho and NoListener; ICMPError; RouterForward once more for what the
/// router itself sends. 'nfvrun graph' shows how they are wired.
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

  public init(_ settings: inout Settings) throws(ConfigurationError) {
    var links: [LinkSettings] = []
    var interfaces: [RouterInterface] = []
    _ = try settings.takeNamed("interfaces", "an interface's name: its settings") {
      (name: String, nested: inout Settings) throws(ConfigurationError) in
      let link = try LinkSettings(&nested, gateways: false)
      let mtu = try nested.take("mtu", default: 1500, in: 68...65_535, "longest IP packet in bytes")
      let reversePath: ReversePath = try nested.take(
        "reverse_path", default: .off, "whether packets must come from where their source is (RFC 3704)")
      if interfaces.count == RouterInterface.limit {
        nested.reject(nil, "more than \(RouterInterface.limit) interfaces", remedy: "use a second router")
      }
      let interface = RouterInterface(
        name: name, number: interfaces.count, mac: link.mac, addresses: link.addresses, mtu: mtu,
        reversePath: reversePath)
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
    let routes = try Self.readRoutes(&settings, interfaces)
    let retransmit = self.limits.timers.retransmit
    state = RouterState(
      interfaces: interfaces, neighbours: self.limits.makeTable(for: links),
      addresses: links.map { $0.makeAddresses(retransmit: retransmit) }, routes: routes)
  }

  private static func readRoutes(
    _ settings: inout Settings, _ interfaces: [RouterInterface]
  ) throws(ConfigurationError) -> RouteSet {
    let inline = try settings.takeMap("routes", of: String.self, "prefix: next hop, as '192.0.2.254'")
    let file: FileSetting? = try settings.takeIfPresent("table", "a file with 'prefix next-hop' on each line")
    var builder = RouteSetBuilder(interfaces)
    var places = RoutePlaces(file: file)
    for entry in inline {
      do throws(ConfigurationError) {
        let prefix = try entry.nameValue(as: IPPrefix.self, context: settings.context)
        try add(prefix, Substring(entry.value), entry.valueNode.range, interfaces, &builder)
        places.settings.append(entry.nameNode.range)
      } catch {
        settings.reject(error)
      }
    }
    if let file {
      do throws(ConfigurationError) {
        try RouteFile.read(file) { (prefix, target, line) throws(ConfigurationError) in
          try add(prefix, Substring(target), line.words[1].range, interfaces, &builder)
          places.lines.append(UInt32(truncatingIfNeeded: line.number))
        }
      } catch {
        settings.reject(error)
      }
    }
    let routes: RouteSet
    do throws(TableMemoryError) {
      routes = try builder.build()
    } catch {
      throw ConfigurationError(error, at: settings.range(of: file == nil ? "routes" : "table"))
    }
    if routes.table.count < builder.expectedCount {
      settings.reject(ConfigurationError(try places.diagnostics(for: builder.conflicts())))
    }
    return routes
  }

  private static func add(
    _ prefix: IPPrefix, _ target: Substring, _ range: @autoclosure () -> SourceRange, _ interfaces: [RouterInterface],
    _ builder: inout RouteSetBuilder
  ) throws(ConfigurationError) {
    do throws(RouteTarget.Flaw) {
      builder.add(prefix, try RouteTarget(target, interfaces))
    } catch {
      throw ConfigurationError(range(), error.message, remedy: error.remedy)
    }
  }

  public var composition: Composition {
    var whole = Composition()
    let interfaces = state.interfaces
    let outputs = interfaces.map { whole.output($0.name) }
    for interface in interfaces { addParts(of: interface, whole.input(interface.name), outputs, &whole) }
    return whole
  }

  private func addParts(
    of interface: RouterInterface, _ input: String, _ outputs: [String], _ whole: inout Composition
  ) {
    let (state, limits, errors) = (state, limits, errors)
    let number = interface.number
    let link = links[number]
    let name = interface.name
    let own = (interface.addresses + state.interfaces.flatMap(\.addresses)).map(\.address)
    let sources = ErrorSources(own: own, networks: state.interfaces.flatMap(\.networks))
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
    let inspect = add("inspect", CheckIP.self) { () throws(ConfigurationError) in try Self.plain() }
    let reassemble = add("reassemble", ReassembleIP.self) { () throws(ConfigurationError) in try Self.plain() }
    let extensions = add("extensions", CheckExtensions.self) { CheckExtensions() }
    let echo = add("echo", ICMPEcho.self) { ICMPEcho(addresses: own) }
    let refuse = add("refuse", NoListener.self) { NoListener() }
    let error = add("errors", ICMPError.self) { ICMPError(sources, errors) }
    let origin = add("origin", RouterForward.self) { RouterForward(state, interface: number, isOrigin: true) }

    whole.connect("\(input) -> \(check) -> \(forward)")
    whole.connect(
      "\(check).other -> \(neighbours)[received].received -> \(inspect) -> \(reassemble) -> \(extensions) -> \(echo)")
    whole.connect("\(inspect).other -> drop")
    whole.connect("\(echo).reply -> \(origin)")
    whole.connect("\(echo).other -> \(refuse).portUnreachable -> \(error)[portUnreachable] -> \(origin)")
    whole.connect("\(refuse).protocolUnreachable -> \(error).protocolUnreachable")
    whole.connect("\(extensions).badHeader -> \(error).badHeader")
    whole.connect("\(extensions).unknownOption -> \(error).unknownOption")
    whole.connect("\(reassemble).expired -> \(error).reassembly")
    whole.connect("\(reassemble).invalid -> \(error).badHeader")
    whole.connect("\(neighbours).frames -> \(outputs[number])")
    whole.connect("\(neighbours).unreachable -> \(back)")
    whole.connect("\(fragment).fragments -> \(neighbours).ip")
    whole.connect("\(fragment).tooBig -> \(error).tooBig")
    for exit in RouterForward.Exit.allCases {
      let target = exit.error.map { "\(error).\($0)" } ?? "\(neighbours).received"
      whole.connect("\(forward).\(exit) -> \(target)")
      whole.connect("\(origin).\(exit) -> drop")
    }
    for other in state.interfaces {
      let outputName = outputs[other.number]
      for start in [forward, origin] {
        whole.connect("\(start).ready-\(other.number) -> \(outputName)")
        whole.connect("\(start).resolve-\(other.number) -> \(other.name)-link.ip")
        whole.connect("\(start).fragment-\(other.number) -> \(other.name)-fragment")
      }
      whole.connect("\(back).interface-\(other.number) -> \(other.name)-errors.hostUnreachable")
    }
  }

  /// An element with the settings that it has by default.
  private static func plain<E: Element & ~Copyable>() throws(ConfigurationError) -> E {
    var settings = Settings(nil, range: nil)
    return try E(&settings)
  }
}
