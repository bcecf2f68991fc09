public import Configuration
public import Dataplane
import Tables
import Wire

/// Sends each packet to the output that the longest prefix containing its destination leads to.
///
///     route: { LookupRoute: { routes: { 10.0.0.0/8: lan, 0.0.0.0/0: wan } } }
///     - check.ip -> route
///     - route.lan -> lan
public struct LookupRoute: Element {
  public typealias Output = NumberedOutput

  /// Why packets are dropped.
  public enum Drop: UInt8, ElementDropReason {
    /// No prefix contains the destination.
    case noRoute
  }

  public static let about = ElementDescription(
    "Longest-prefix match on the destination, IPv4 and IPv6, to outputs of the user's naming.",
    example: """
      elements:
        check: CheckIP
        route:
          LookupRoute:
            routes:
              10.0.0.0/8: lan
              2001:db8::/32: lan
              0.0.0.0/0: wan
      graph:
        - lan -> check -> route
        - check.other -> drop
        - route.lan -> lan
        - route.wan -> wan
      """)
  public static let needs = HeaderState.ip

  private let table: Snapshot<RoutingTable>
  public let outputs: [OutputDescription]

  private var destinations = DestinationLookup()

  public init(_ settings: inout Settings) throws(ConfigurationError) {
    let inline = try settings.takeMap("routes", of: String.self, "prefix: output")
    let file: FileSetting? = try settings.takeIfPresent("file", "a file with 'prefix output' on each line")
    var found: NamedRoutes?
    do throws(ConfigurationError) {
      let context = settings.context
      found = try settings.shared("routes", replacing: ["routes", "file"]) { () throws(ConfigurationError) in
        try NamedRoutes(inline, file, context)
      }
    } catch {
      settings.reject(error)
    }
    let routes: NamedRoutes
    if let found { routes = found } else { routes = try NamedRoutes() }
    table = routes.table
    if inline.isEmpty && file == nil {
      settings.reject(nil, "there are no routes", remedy: "give 'routes: { prefix: output }', or 'file:'")
    }
    outputs = routes.outputs.map { OutputDescription($0) }
  }

  public mutating func process(_ batch: inout PacketBatch<Self>, _ context: inout Context) {
    table.read { table in destinations.find(&batch, in: table) }
    batch.judgeEach { index in
      let value = destinations[index]
      return value == RoutingTable.none ? .drop(Drop.noRoute) : .forward(NumberedOutput(Int(value)))
    }
  }
}
