import Configuration
import Dataplane
import Netlink
import Tables
import Wire

/// Reads the routes of a router's VRFs, one after the other.
struct RouteReader {
  private let interfaces: [RouterInterface]
  private let vrfs: [String]
  private var sets: [Snapshot<RouteSet>?]
  /// VRFs whose routes are the kernel's.
  private(set) var following: [KernelFollowing] = []

  init(_ interfaces: [RouterInterface], vrfs: [String]) {
    self.interfaces = interfaces
    self.vrfs = vrfs
    sets = Array(repeating: nil, count: vrfs.count)
  }

  /// Reads `routes` and `table`.
  /// - Parameter vrf: The number of the VRF whose settings these are; nil: of one that is not there.
  mutating func read(_ settings: inout Settings, vrf: Int?) throws(ConfigurationError) {
    let inline = try settings.takeMap(
      "routes", of: String.self,
      "prefix: next hop, as '192.0.2.254'; an interface's name where it is on its link; 'kernel' to follow the kernel's",
      orWord: "kernel")
    let file: FileSetting? = try settings.takeIfPresent("table", "a file with 'prefix next-hop' on each line")
    guard let vrf else { return }
    if settings.has("routes", saying: "kernel") {
      if file != nil {
        settings.reject(
          settings.range(of: "table"), "the kernel's routes are followed, and there is a file of others",
          remedy: "keep one of 'routes: kernel' and 'table'")
      }
      return try follow(settings, vrf)
    }
    var builder = RouteSetBuilder(interfaces, vrf: vrf)
    var places = RoutePlaces(file: file)
    for entry in inline {
      do throws(ConfigurationError) {
        let prefix = try entry.nameValue(as: IPPrefix.self, context: settings.context)
        try builder.add(prefix, Substring(entry.value), at: entry.valueNode.range)
        places.settings.append(entry.nameNode.range)
      } catch {
        settings.reject(error)
      }
    }
    if let file {
      do throws(ConfigurationError) {
        try RouteFile.read(file) { (prefix, target, line) throws(ConfigurationError) in
          try builder.add(prefix, Substring(target), at: line.words[1].range)
          places.lines.append(UInt32(truncatingIfNeeded: line.number))
        }
      } catch {
        settings.reject(error)
      }
    }
    let routes: RouteSet
    do throws(TableMemoryError) {
      routes = try builder.build { settings.reject($0) }
    } catch {
      throw ConfigurationError(error, at: settings.range(of: file == nil ? "routes" : "table"))
    }
    if routes.table.count < builder.expectedCount {
      settings.reject(ConfigurationError(try places.diagnostics(for: builder.conflicts())))
    }
    sets[vrf] = Snapshot(routes)
  }

  /// Begins with no routes but the interfaces' own: the kernel's come when the router runs.
  private mutating func follow(_ settings: Settings, _ vrf: Int) throws(ConfigurationError) {
    var builder = RouteSetBuilder(interfaces, vrf: vrf)
    for prefix in KernelRoutes.beforehand { builder.add(prefix, .blackhole) }
    do throws(TableMemoryError) {
      sets[vrf] = Snapshot(try builder.build(isFollowing: true) { _ in })
    } catch {
      throw ConfigurationError(error, at: settings.range(of: "routes"))
    }
    following.append(
      KernelFollowing(
        vrf: vrf, table: vrf == 0 ? .main : .vrf(vrfs[vrf]), places: builder.places, own: builder.ownPrefixes))
  }

  /// The routes of all VRFs; those of which nothing was read have what their interfaces bring along.
  mutating func finish() throws(ConfigurationError) -> RouterRoutes {
    var none = Settings(nil, range: nil)
    for vrf in vrfs.indices where sets[vrf] == nil { try read(&none, vrf: vrf) }
    return RouterRoutes(sets.compactMap { $0 })
  }
}
