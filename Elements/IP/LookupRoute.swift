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

  private var v4 = InlineArray<256, IPv4Address>(repeating: .unspecified)
  private var v6 = InlineArray<256, IPv6Address>(repeating: .unspecified)
  private var places = InlineArray<256, UInt8>(repeating: 0)
  private var found = InlineArray<256, UInt32>(repeating: 0)
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
    let routes = found ?? NamedRoutes()
    table = routes.table
    if inline.isEmpty && file == nil {
      settings.reject(nil, "there are no routes", remedy: "give 'routes: { prefix: output }', or 'file:'")
    }
    outputs = routes.outputs.map { OutputDescription($0) }
  }

  // All destinations are looked up together, so that the waits for memory overlap. Packets that are not IPv4 have an
  // address looked up in vain, so that those that are need no list of their places.
  public mutating func process(_ batch: inout PacketBatch<Self>, _ context: inout Context) {
    var others = 0
    batch.survey { index, packet in
      if let ip = packet.ipv4 {
        v4[index] = ip.destination
      } else {
        v4[index] = .unspecified
        places[others] = UInt8(truncatingIfNeeded: index)
        v6[others] = packet.ipv6?.destination ?? .unspecified
        others += 1
      }
    }
    let count = batch.count
    table.read { table in
      Self.find(v4, count, &found) { table.lookup($0, into: &$1) }
      guard others > 0 else { return }
      Self.find(v6, others, &v6Found) { table.lookup($0, into: &$1) }
      for other in 0..<others { found[Int(places[other])] = v6Found[other] }
    }
    batch.judgeEach { index in
      let value = found[index]
      return value == RoutingTable.none ? .drop(Drop.noRoute) : .forward(NumberedOutput(Int(value)))
    }
  }

  @inline(__always)
  private static func find<Address>(
    _ addresses: borrowing InlineArray<256, Address>, _ count: Int, _ found: inout InlineArray<256, UInt32>,
    _ lookup: (Span<Address>, inout MutableSpan<UInt32>) -> Void
  ) {
    var values = found.mutableSpan
    lookup(addresses.span.extracting(first: count), &values)
  }
}
