import Configuration
import Dataplane
import Netlink
import Synchronization
import Tables
import Wire

/// What is done for a router beside its packets: it follows the kernel's routes where it is to, and answers what is asked.
final class RouterControl: ControlTask {
  private struct Inside {
    /// Neighbours that are listed, over several calls.
    var listed: [Neighbour] = []
    var readers: ReaderDomain?
    var followers: [KernelRoutes] = []
    /// Why the kernel cannot be followed.
    var problem: String?
  }

  private let state: RouterState
  private let following: [KernelFollowing]
  private let inside = Mutex(Inside())

  init(_ state: RouterState, _ following: [KernelFollowing]) {
    self.state = state
    self.following = following
  }

  // MARK: The kernel

  var descriptors: [ControlDescriptor] {
    inside.withLock { inside in inside.followers.map { ControlDescriptor($0.descriptor, .read) } }
  }

  func begin(_ readers: ReaderDomain?) { inside.withLock { $0.readers = readers } }

  /// How long to wait when the kernel could not be asked, in nanoseconds.
  private static let patience: UInt64 = 1_000_000_000

  func run(_ now: Instant) -> Instant {
    guard !following.isEmpty else { return .never }
    return inside.withLock { inside in
      do throws(NetlinkError) {
        while inside.followers.count < following.count {
          inside.followers.append(try KernelRoutes(state, following[inside.followers.count]))
        }
        var hasMore = false
        for index in inside.followers.indices {
          if try inside.followers[index].follow(inside.readers, now: now.nanoseconds) { hasMore = true }
        }
        inside.problem = nil
        return hasMore ? now : .never
      } catch {
        inside.problem = "the kernel's routes cannot be followed: \(error)"
        return now.advanced(by: Self.patience)
      }
    }
  }

  func end() -> [String] {
    inside.withLock { inside in
      var problems = inside.problem.map { [$0] } ?? []
      let noRoom = inside.followers.reduce(0) { $0 + $1.noRoom }
      if noRoom > 0 { problems.append("\(noRoom) times there was no room for routes of the kernel's") }
      inside.followers = []
      return problems
    }
  }

  // MARK: Operations

  let operations = [
    OperationDescription(
      "routes", "Lists routes.",
      parameters: [
        OperationParameter("prefix", "those within this prefix"),
        OperationParameter("for", "the ones that packets to this address can take, the best first"),
        OperationParameter("vrf", "those of this VRF"),
      ]),
    OperationDescription(
      "neighbours", "Lists neighbours.",
      parameters: [
        OperationParameter("interface", "those on this interface"),
        OperationParameter("prefix", "those with addresses in this prefix"),
      ]),
    OperationDescription(
      "flush", "Forgets neighbours that were learned; they are asked for again.",
      parameters: [
        OperationParameter("interface", "those on this interface"),
        OperationParameter("address", "the one of this address"),
      ]),
  ]

  /// How much is looked at in a call.
  private static let slice = 4096

  func perform(_ request: OperationRequest, _ answer: inout OperationAnswer) {
    do throws(ConfigurationError) {
      switch request.name {
      case "routes": try listRoutes(request, &answer)
      case "neighbours": try listNeighbours(request, &answer)
      default: try flush(request, &answer)
      }
    } catch {
      answer.fail(error)
    }
  }

  // MARK: Routes

  /// A place in the routes of all VRFs.
  private struct Position {
    var vrf: Int
    var place: Int

    init(vrf: Int, place: Int) { (self.vrf, self.place) = (vrf, place) }
    init(_ number: UInt64) { (vrf, place) = (Int(number >> 48), Int(number & 0xFFFF_FFFF_FFFF)) }
    var number: UInt64 { UInt64(vrf) << 48 | UInt64(place) }
  }

  private func listRoutes(
    _ request: OperationRequest, _ answer: inout OperationAnswer
  ) throws(ConfigurationError) {
    let name = request.arguments["vrf"]
    if let name, !state.vrfs.contains(name) {
      return answer.fail("there is no VRF '\(name)'; there are \(state.vrfs.joined(separator: ", "))")
    }
    if let address = try request.value("for", as: IPAddress.self) {
      for vrf in state.vrfs.indices where name == nil || state.vrfs[vrf] == name { list(vrf, for: address, &answer) }
      return
    }
    let within = try request.value("prefix", as: IPPrefix.self)
    let position = Position(request.position)
    guard position.vrf < state.vrfs.count else { return }
    var next: Int?
    if name == nil || state.vrfs[position.vrf] == name {
      state.routes.sets[position.vrf].read { set in
        let found = set.table.routes(from: position.place, limit: Self.slice)
        for route in found.routes where within?.contains(route.prefix) ?? true {
          row(position.vrf, route, set, &answer)
        }
        next = found.next
      }
    }
    if let next {
      answer.resume(at: Position(vrf: position.vrf, place: next).number)
    } else if position.vrf + 1 < state.vrfs.count {
      answer.resume(at: Position(vrf: position.vrf + 1, place: 0).number)
    }
  }

  private func list(_ vrf: Int, for address: IPAddress, _ answer: inout OperationAnswer) {
    state.routes.sets[vrf].read { set in
      let prefixes: [IPPrefix] =
        switch address {
        case .v4(let address): (0...32).reversed().map { .v4(IPv4Prefix(masking: address, length: $0)) }
        case .v6(let address): (0...128).reversed().map { .v6(IPv6Prefix(masking: address, length: $0)) }
        }
      for prefix in prefixes {
        if let value = set.table.value(of: prefix) { row(vrf, .init(prefix, value), set, &answer) }
      }
    }
  }

  private func row(
    _ vrf: Int, _ route: RoutingTable.Route, _ set: borrowing RouteSet, _ answer: inout OperationAnswer
  ) {
    let way = set.description(of: set.hops[Int(route.value)], state.interfaces)
    if state.vrfs.count > 1 {
      answer.row(["vrf": state.vrfs[vrf], "prefix": "\(route.prefix)", "to": way])
    } else {
      answer.row(["prefix": "\(route.prefix)", "to": way])
    }
  }

  // MARK: Neighbours

  /// The number of the interface that was named; nil: of none.
  private func interface(_ request: OperationRequest, _ answer: inout OperationAnswer) -> UInt32?? {
    guard let name = request.arguments["interface"] else { return .some(nil) }
    guard let found = state.interfaces.first(where: { $0.name == name }) else {
      let names = state.interfaces.map(\.name).joined(separator: ", ")
      answer.fail("there is no interface '\(name)'; there are \(names)")
      return nil
    }
    return UInt32(found.number)
  }

  private func listNeighbours(
    _ request: OperationRequest, _ answer: inout OperationAnswer
  ) throws(ConfigurationError) {
    guard let interface = interface(request, &answer) else { return }
    let within = try request.value("prefix", as: IPPrefix.self)
    let start = Int(request.position)
    let (part, isLast) = inside.withLock { inside in
      if start == 0 { inside.listed = state.neighbours.list(interface: interface) }
      let part = Array(inside.listed.dropFirst(start).prefix(Self.slice))
      let isLast = start + part.count >= inside.listed.count
      if isLast { inside.listed = [] }
      return (part, isLast)
    }
    for neighbour in part where within?.contains(neighbour.key.address) ?? true {
      answer.row([
        "interface": state.interfaces[Int(neighbour.key.interface)].name, "address": "\(neighbour.key.address)",
        "mac": neighbour.mac.map { "\($0)" } ?? "", "state": "\(neighbour.state)",
      ])
    }
    if !isLast { answer.resume(at: UInt64(start + part.count)) }
  }

  private func flush(_ request: OperationRequest, _ answer: inout OperationAnswer) throws(ConfigurationError) {
    guard let named = interface(request, &answer) else { return }
    let address = try request.value("address", as: IPAddress.self)
    let before = state.neighbours.statistics.count
    for number in state.interfaces.indices.map({ UInt32($0) }) where named == nil || named == number {
      if let address {
        let known = state.neighbours.list(interface: number).first { $0.key.address == address }
        if let known, known.state != .permanent { state.neighbours.remove(known.key) }
      } else {
        state.neighbours.flush(interface: number)
      }
    }
    answer.row(["forgotten": "\(max(before - state.neighbours.statistics.count, 0))"])
  }
}

extension IPPrefix {
  /// Whether all addresses of another prefix are in this one.
  fileprivate func contains(_ other: IPPrefix) -> Bool { other.length >= length && contains(other.address) }
}

extension RouteSet {
  /// What a hop leads to, as routes are written; of several, how many of the 64 parts of all flows each gets.
  func description(of hop: Hop, _ interfaces: [RouterInterface]) -> String {
    switch hop.kind {
    case .gateway: return "\(hop.neighbour.address)@\(interfaces[Int(hop.interface)].name)"
    case .connected: return interfaces[Int(hop.interface)].name
    case .broadcast: return "broadcast@\(interfaces[Int(hop.interface)].name)"
    case .local: return "local"
    case .blackhole: return "blackhole"
    case .unreachable: return "unreachable"
    case .prohibited: return "prohibit"
    case .several:
      var counts: [(text: String, count: Int)] = []
      for bucket in Int(hop.firstBucket)..<Int(hop.firstBucket) + Hop.bucketCount {
        let text = description(of: hops[Int(buckets[bucket])], interfaces)
        if let index = counts.firstIndex(where: { $0.text == text }) {
          counts[index].count += 1
        } else {
          counts.append((text, 1))
        }
      }
      return counts.sorted { $0.text < $1.text }.map { "\($0.text)*\($0.count)" }.joined(separator: ",")
    }
  }
}
