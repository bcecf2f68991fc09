import Configuration
import Tables
import Wire

/// What a route leads to, as it is written: `192.0.2.254`, `fe80::1@lan`, `192.0.2.1*3,192.0.2.2`, the name of an
/// interface, `blackhole`, `unreachable` or `prohibit`.
enum RouteTarget: Hashable, Sendable {
  struct Gateway: Hashable, Sendable {
    /// Nil: the destination itself, which is on the link.
    var address: IPAddress?
    /// The place of the interface; nil while it is to be found by another route.
    var interface: Int?
    /// How many flows it gets compared to the others.
    var weight: Int
  }

  case gateways([Gateway])
  case connected(interface: Int)
  case local, blackhole, unreachable, prohibited

  /// Whether every next hop is known by its interface.
  var isResolved: Bool {
    guard case .gateways(let gateways) = self else { return true }
    return gateways.allSatisfy { $0.interface != nil }
  }

  /// What is wrong with a target, and what to do.
  struct Flaw: Error {
    var message: String
    var remedy: String
  }

  /// A route has at most so many gateways.
  static let gatewayLimit = 32

  /// - Parameters:
  ///   - interfaces: All of the router's: a route may name one in another VRF.
  ///   - vrf: The route's.
  init(_ text: Substring, _ interfaces: [RouterInterface], vrf: Int) throws(Flaw) {
    switch text {
    case "blackhole": self = .blackhole
    case "unreachable": self = .unreachable
    case "prohibit": self = .prohibited
    default:
      if let interface = interfaces.firstIndex(where: { $0.name == text }) {
        self = .connected(interface: interface)
        return
      }
      var gateways: [Gateway] = []
      for part in text.split(separator: ",", omittingEmptySubsequences: false) {
        gateways.append(try Self.gateway(part, interfaces, vrf))
      }
      guard gateways.count <= Self.gatewayLimit else {
        throw Flaw(
          message: "\(gateways.count) next hops", remedy: "give at most \(Self.gatewayLimit)")
      }
      self = .gateways(gateways)
    }
  }

  private static func gateway(
    _ text: Substring, _ interfaces: [RouterInterface], _ vrf: Int
  ) throws(Flaw) -> Gateway {
    var rest = text
    var weight = 1
    if let star = rest.lastIndex(of: "*") {
      guard let number = Int(rest[rest.index(after: star)...]), (1...256).contains(number) else {
        throw Flaw(message: "'\(text)' has no weight behind '*'", remedy: "give a weight from 1 to 256")
      }
      weight = number
      rest = rest[..<star]
    }
    var named: Int?
    if let at = rest.lastIndex(of: "@") {
      let name = rest[rest.index(after: at)...]
      named = interfaces.firstIndex { $0.name == name }
      guard named != nil else {
        throw Flaw(
          message: "there is no interface '\(name)'",
          remedy: "the interfaces are \(interfaces.map(\.name).joined(separator: ", "))")
      }
      rest = rest[..<at]
    }
    guard let address = IPAddress(rest) else {
      throw Flaw(
        message: "'\(text)' is no next hop",
        remedy: "give an address, an interface's name, blackhole, unreachable or prohibit")
    }
    guard !address.isMulticast else {
      throw Flaw(message: "\(address) is a group and cannot forward", remedy: "give a neighbour's address")
    }
    let beside = named.map { interfaces[$0].vrf } ?? vrf
    if interfaces.contains(where: { $0.vrf == beside && $0.has(address) }) {
      throw Flaw(message: "\(address) is an address of the router itself", remedy: "give a neighbour's address")
    }
    if let named { return Gateway(address: address, interface: named, weight: weight) }
    if case .v6(let address) = address, address.isLinkLocal {
      throw Flaw(message: "\(address) may be on any link", remedy: "write '\(address)@interface'")
    }
    let interface = interfaces.firstIndex { $0.vrf == vrf && $0.reaches(address) }
    return Gateway(address: address, interface: interface, weight: weight)
  }
}
