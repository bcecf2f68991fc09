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

  public init(_ settings: inout Settings) throws(ConfigurationError) {
    let inline = try settings.takeMap("routes", of: String.self, "prefix: output")
    let file: FileSetting? = try settings.takeIfPresent("file", "a file with 'prefix output' on each line")
    var names: [String] = []
    var numbers: [String: UInt32] = [:]
    var seen: [IPPrefix: SourceRange] = [:]
    var routes: [RoutingTable.Route] = []
    func add(_ prefix: IPPrefix, _ output: String, _ range: SourceRange) throws(ConfigurationError) {
      if let first = seen.updateValue(range, forKey: prefix) {
        throw ConfigurationError(
          range, "\(prefix) has a route already", remedy: "keep one of them", notes: [.init(first, "the first one")])
      }
      let number = numbers[output] ?? UInt32(names.count)
      if number == names.count {
        guard names.count < NumberedOutput.limit else {
          throw ConfigurationError(range, "more than \(names.count) outputs", remedy: "let routes share outputs")
        }
        numbers[output] = number
        names.append(output)
      }
      routes.append(.init(prefix, number))
    }
    for entry in inline {
      do throws(ConfigurationError) {
        let prefix = try entry.nameValue(as: IPPrefix.self, context: settings.context)
        try add(prefix, entry.value, entry.nameNode.range)
      } catch {
        settings.reject(error)
      }
    }
    if let file {
      do throws(ConfigurationError) {
        try RouteFile.read(file, add)
        if routes.isEmpty {
          settings.reject(file.range, "\(file.path) has no routes", remedy: "write 'prefix output' lines")
        }
      } catch {
        settings.reject(error)
      }
    }
    if inline.isEmpty && file == nil {
      settings.reject(nil, "there are no routes", remedy: "give 'routes: { prefix: output }', or 'file:'")
    }
    outputs = names.map { OutputDescription($0) }
    let collected = routes
    table = try settings.shared("table") { Snapshot(RoutingTable(collected)) }
  }

  public mutating func process(_ batch: inout PacketBatch<Self>, _ context: inout Context) {
    table.read { table in
      batch.forEach { packet in
        let found =
          if let ip = packet.ipv4 { table.lookup(ip.destination) } else if let ip = packet.ipv6 {
            table.lookup(ip.destination)
          } else { nil as UInt32? }
        guard let found else { return .drop(Drop.noRoute) }
        return .forward(NumberedOutput(Int(found)))
      }
    }
  }
}
