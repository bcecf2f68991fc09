import Glibc
import Netlink

// Prints the kernel's routes and neighbours as they change, or how long it takes to read them:
//
//     FollowKernel [--vrf NAME | --table NUMBER]
//     FollowKernel --measure

var table = KernelTables.Table.main
var isMeasuring = false
var arguments = CommandLine.arguments.dropFirst()
while let argument = arguments.popFirst() {
  switch argument {
  case "--measure": isMeasuring = true
  case "--vrf": table = .vrf(arguments.popFirst() ?? "")
  case "--table": table = .id(arguments.popFirst().flatMap { Int($0) } ?? 0)
  default:
    print("there is no '\(argument)'")
    exit(1)
  }
}

func describe(_ route: KernelRoute, _ names: [Int: String]) -> String {
  let hops = route.hops.map { hop in
    "\(hop.gateway.map { "\($0)" } ?? "link")@\(names[hop.link] ?? "\(hop.link)")*\(hop.weight)"
  }
  return "+ \(route.prefix) \(route.kind) metric \(route.metric) \(hops.sorted().joined(separator: " "))"
}

let clock = ContinuousClock()
let tables = try KernelTables(table: table)
var names: [Int: String] = [:]
let began = clock.now
repeat {
  var changes = 0
  for change in try tables.poll(milliseconds: -1) {
    changes += 1
    if isMeasuring { continue }
    switch change {
    case .link(let link):
      names[link.index] = link.name
      print("= link \(link.name) \(link.isUp ? "up" : "down")")
    case .route(let route): print(describe(route, names))
    case .routeRemoved(let prefix): print("- \(prefix)")
    case .neighbour(let neighbour): print("= neighbour \(neighbour.address) \(neighbour.state)")
    default: print("= \(change)")
    }
  }
  if isMeasuring {
    let statistics = tables.statistics
    print(
      "\(clock.now - began): \(changes) changes, \(statistics.prefixes) prefixes; \(statistics.dumps) dumps, the latest",
      "of \(statistics.latestDump / 1_000_000) ms; \(statistics.messages) messages, \(statistics.overruns) overruns")
  }
  fflush(nil)
} while true
