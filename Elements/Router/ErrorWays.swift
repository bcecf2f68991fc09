import Dataplane
import Tables
import Wire

/// By which interface a router's own packets to a destination leave. It cannot be copied, so that packet loops count no
/// references.
struct ErrorWays: ~Copyable, Sendable {
  private let routes: Snapshot<RouteSet>
  /// The interface that the packet came in by.
  private let interface: Int

  init(_ state: RouterState, interface: Int) {
    routes = state.routes(of: interface)
    self.interface = interface
  }

  /// The interface's number; the one that the packet came in by where no route leads to the destination.
  @inline(never)
  func interface(to destination: IPv4Address) -> Int {
    routes.read { routes in leaving(routes.table.lookup(destination), routes) }
  }

  /// The interface's number; the one that the packet came in by where no route leads to the destination.
  @inline(never)
  func interface(to destination: IPv6Address) -> Int {
    if destination.isLinkLocal { return interface }
    return routes.read { routes in leaving(routes.table.lookup(destination), routes) }
  }

  /// Where several ways lead to the destination and this interface is one of them, it is taken: which one the error
  /// itself will go depends on bytes that are not written yet.
  private func leaving(_ place: UInt32?, _ routes: borrowing RouteSet) -> Int {
    guard let place else { return interface }
    let hop = routes.hops[Int(place)]
    switch hop.kind {
    case .gateway, .connected: return Int(hop.interface)
    case .several:
      let first = Int(hop.firstBucket)
      for bucket in first..<first + Hop.bucketCount {
        if Int(routes.hops[Int(routes.buckets[bucket])].interface) == interface { return interface }
      }
      return Int(routes.hops[Int(routes.buckets[first])].interface)
    default: return interface
    }
  }
}
