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

  private let routes: NamedRoutes
  public let outputs: [OutputDescription]

  private var v4 = InlineArray<256, IPv4Address>(repeating: .unspecified)
  private var v6 = InlineArray<256, IPv6Address>(repeating: .unspecified)
  private var v4Found = InlineArray<256, UInt32>(repeating: 0)
  private var v6Found = InlineArray<256, UInt32>(repeating: 0)

  public init(_ settings: inout Settings) throws(ConfigurationError) {
    let inline = try settings.takeMap("routes", of: String.self, "prefix: output")
    let file: FileSetting? = try settings.takeIfPresent("file", "a file with 'prefix output' on each line")
    var found: NamedRoutes?
    do throws(ConfigurationError) {
      let context = settings.context
      found = try settings.shared("routes") { () throws(ConfigurationError) in
        try NamedRoutes(inline, file, context)
      }
    } catch {
      settings.reject(error)
    }
    routes = found ?? NamedRoutes()
    if inline.isEmpty && file == nil {
      settings.reject(nil, "there are no routes", remedy: "give 'routes: { prefix: output }', or 'file:'")
    }
    outputs = routes.outputs.map { OutputDescription($0) }
  }

  // All destinations are looked up together, so that the waits for memory overlap.
  public mutating func process(_ batch: inout PacketBatch<Self>, _ context: inout Context) {
    var v4Count = 0
    var v6Count = 0
    batch.survey { _, packet in
      if let ip = packet.ipv4 {
        v4[v4Count] = ip.destination
        v4Count += 1
      } else if let ip = packet.ipv6 {
        v6[v6Count] = ip.destination
        v6Count += 1
      }
    }
    routes.table.read { table in
      Self.find(v4, v4Count, &v4Found) { table.lookup($0, into: &$1) }
      if v6Count > 0 { Self.find(v6, v6Count, &v6Found) { table.lookup($0, into: &$1) } }
    }
    var v4Next = 0
    var v6Next = 0
    batch.forEach { packet in
      var found = RoutingTable.none
      if packet.ipv4 != nil {
        found = v4Found[v4Next]
        v4Next += 1
      } else if packet.ipv6 != nil {
        found = v6Found[v6Next]
        v6Next += 1
      }
      guard found != RoutingTable.none else { return .drop(Drop.noRoute) }
      return .forward(NumberedOutput(Int(found)))
    }
  }

  private static func find<Address>(
    _ addresses: borrowing InlineArray<256, Address>, _ count: Int, _ found: inout InlineArray<256, UInt32>,
    _ lookup: (Span<Address>, inout MutableSpan<UInt32>) -> Void
  ) {
    var values = found.mutableSpan
    lookup(addresses.span.extracting(first: count), &values)
  }
}
