// Compares the routing table with DPDK's rte_fib and rte_fib6: cycles a look-up in bursts of 64, seconds to build,
// resident memory. Destinations are random ones inside the prefixes.
//
//   BenchRoutes [v4|v6 ROUTES FLOWS]...

import CFib
import Glibc
import Tables
import Wire

/// The same numbers in every run.
struct Numbers: RandomNumberGenerator {
  var state: UInt64 = 42
  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ z >> 30) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ z >> 27) &* 0x94D0_49BB_1331_11EB
    return z ^ z >> 31
  }

  /// One of the keys, each as often as its share of 1,000 says; the last takes the rest.
  mutating func pick(_ shares: [(length: Int, share: Int)]) -> Int {
    var left = Int.random(in: 0..<1000, using: &self)
    for (length, share) in shares {
      left -= share
      if left < 0 { return length }
    }
    return shares[shares.count - 1].length
  }
}

/// Lengths as the Internet's tables have them.
let v4Lengths = [
  (24, 593), (23, 100), (22, 115), (21, 52), (20, 45), (19, 28), (18, 16), (17, 10), (16, 15), (15, 4), (14, 3),
  (13, 2), (12, 1), (25, 4), (26, 3), (28, 3), (30, 2), (32, 4),
]
let v6Lengths = [
  (48, 460), (32, 140), (44, 90), (40, 80), (36, 50), (29, 35), (47, 30), (46, 30), (45, 15), (33, 15), (34, 15),
  (38, 10), (42, 10), (64, 10), (56, 5), (128, 5),
]

func residentMegabytes() -> Int {
  guard let file = fopen("/proc/self/statm", "r") else { return 0 }
  defer { fclose(file) }
  var numbers = [CChar](repeating: 0, count: 128)
  fread(&numbers, 1, 127, file)
  let text = String(decoding: numbers.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
  return (Int(text.split(separator: " ")[1]) ?? 0) / 256
}

func seconds(_ body: () -> Void) -> Double {
  let duration = ContinuousClock().measure(body)
  return Double(duration.components.seconds) + Double(duration.components.attoseconds) * 1e-18
}

func report(_ name: String, _ routes: Int, _ flows: Int, _ cycles: Double, _ build: Double, _ megabytes: Int) {
  func fixed(_ value: Double, _ scale: Double) -> String { "\((value * scale).rounded() / scale)" }
  print(
    "\(name) routes \(routes) flows \(flows): \(fixed(cycles, 10)) cycles, built in \(fixed(build, 1000)) s, \(megabytes) MB"
  )
}

/// The best of several passes, in cycles a look-up.
func best(_ count: Int, _ pass: () -> UInt64) -> Double {
  let passes = max(5, 4_000_000 / count)
  return Double((0..<passes).map { _ in pass() }.min() ?? 0) / Double(count)
}

func compareV4(_ routeCount: Int, _ flowCount: Int) {
  var numbers = Numbers()
  let routes = (0..<routeCount).map { index in
    let address = IPv4Address(rawValue: UInt32.random(in: 0x0100_0000...0xDFFF_FFFF, using: &numbers))
    return RoutingTable.Route(
      .v4(IPv4Prefix(masking: address, length: numbers.pick(v4Lengths))), UInt32(index % 16))
  }
  let flows = (0..<flowCount).map { _ in
    guard case .v4(let prefix) = routes[Int.random(in: 0..<routeCount, using: &numbers)].prefix else { fatalError() }
    return IPv4Address(
      rawValue: prefix.address.rawValue | UInt32.random(in: 0...UInt32.max, using: &numbers) & ~prefix.mask.rawValue)
  }
  var mine = [UInt32](repeating: 0, count: flowCount)
  let before = residentMegabytes()
  var cycles = 0.0
  var memory = 0
  let build = seconds { _ = try! RoutingTable(routes).count }
  let table = try! RoutingTable(routes)
  memory = residentMegabytes() - before
  flows.withUnsafeBufferPointer { flows in
    mine.withUnsafeMutableBufferPointer { values in
      cycles = best(flowCount) {
        let start = cfib_cycles()
        for first in stride(from: 0, to: flowCount - 63, by: 64) {
          var burst = UnsafeMutableBufferPointer(rebasing: values[first..<first + 64]).mutableSpan
          table.lookup(UnsafeBufferPointer(rebasing: flows[first..<first + 64]).span, into: &burst)
        }
        return cfib_cycles() - start
      }
    }
  }
  report("v4 ours   ", routeCount, flowCount, cycles, build, memory)
  let single = best(flowCount) {
    let start = cfib_cycles()
    var sum: UInt32 = 0
    for flow in flows { sum &+= table.lookup(flow) ?? 0 }
    if sum == 1 { print("") }
    return cfib_cycles() - start
  }
  print("             one by one: \((single * 10).rounded() / 10)")

  let start = residentMegabytes()
  guard let fib = cfib4_create(UInt32(routeCount)) else { return print("no rte_fib") }
  let fibBuild = seconds {
    for route in routes {
      guard case .v4(let prefix) = route.prefix else { continue }
      guard cfib4_add(fib, prefix.address.rawValue, prefix.length, route.value) == 0 else { fatalError("rte_fib_add") }
    }
  }
  let fibMemory = residentMegabytes() - start
  var theirs = [UInt64](repeating: 0, count: flowCount)
  let raw = flows.map(\.rawValue)
  let fibCycles = best(flowCount) { cfib4_lookup(fib, raw, flowCount, &theirs) }
  report("v4 rte_fib", routeCount, flowCount, fibCycles, fibBuild, fibMemory)
  print("             differences: \(zip(mine, theirs).count { UInt64($0) != $1 })")
  print("             AVX-512: \(cfib4_usesVectors() != 0)")
  cfib4_free(fib)
}

func compareV6(_ routeCount: Int, _ flowCount: Int) {
  var numbers = Numbers()
  // Allocations of /32 from the registries' blocks, each used up to an eighth; the prefixes are in those.
  let allocations = (0..<max(routeCount / 4, 1)).map { _ in
    let registry = [0x2001, 0x2400, 0x2600, 0x2800, 0x2A00, 0x2C00][Int.random(in: 0..<6, using: &numbers)] as UInt64
    return registry << 48 | UInt64.random(in: 0..<(registry == 0x2001 ? 1 << 16 : 1 << 17), using: &numbers) << 32
  }
  func random(behind prefix: IPv6Prefix) -> IPv6Address {
    IPv6Address(
      high: prefix.address.high | numbers.next() & ~prefix.mask.high,
      low: prefix.address.low | numbers.next() & ~prefix.mask.low)
  }
  let routes = (0..<routeCount).map { index in
    let allocation = IPv6Address(high: allocations[Int.random(in: 0..<allocations.count, using: &numbers)], low: 0)
    let address = random(behind: IPv6Prefix(masking: allocation, length: 32))
    return RoutingTable.Route(
      .v6(IPv6Prefix(masking: address, length: numbers.pick(v6Lengths))), UInt32(index % 16))
  }
  let flows = (0..<flowCount).map { _ in
    guard case .v6(let prefix) = routes[Int.random(in: 0..<routeCount, using: &numbers)].prefix else { fatalError() }
    return random(behind: prefix)
  }
  var mine = [UInt32](repeating: 0, count: flowCount)
  let before = residentMegabytes()
  let build = seconds { _ = try! RoutingTable(routes).count }
  let table = try! RoutingTable(routes)
  let memory = residentMegabytes() - before
  var cycles = 0.0
  flows.withUnsafeBufferPointer { flows in
    mine.withUnsafeMutableBufferPointer { values in
      cycles = best(flowCount) {
        let start = cfib_cycles()
        for first in stride(from: 0, to: flowCount - 63, by: 64) {
          var burst = UnsafeMutableBufferPointer(rebasing: values[first..<first + 64]).mutableSpan
          table.lookup(UnsafeBufferPointer(rebasing: flows[first..<first + 64]).span, into: &burst)
        }
        return cfib_cycles() - start
      }
    }
  }
  report("v6 ours    ", routeCount, flowCount, cycles, build, memory)
  let single = best(flowCount) {
    let start = cfib_cycles()
    var sum: UInt32 = 0
    for flow in flows { sum &+= table.lookup(flow) ?? 0 }
    if sum == 1 { print("") }
    return cfib_cycles() - start
  }
  print("              one by one: \((single * 10).rounded() / 10)")

  let start = residentMegabytes()
  guard let fib = cfib6_create(UInt32(routeCount)) else { return print("no rte_fib6") }
  let fibBuild = seconds {
    for route in routes {
      guard case .v6(let prefix) = route.prefix else { continue }
      let status = cfib6_add(fib, prefix.address.octets, prefix.length, route.value)
      guard status == 0 else { fatalError("rte_fib6_add: \(status)") }
    }
  }
  let fibMemory = residentMegabytes() - start
  var theirs = [UInt64](repeating: 0, count: flowCount)
  let raw = flows.flatMap(\.octets)
  let fibCycles = best(flowCount) { cfib6_lookup(fib, raw, flowCount, &theirs) }
  report("v6 rte_fib6", routeCount, flowCount, fibCycles, fibBuild, fibMemory)
  print("              differences: \(zip(mine, theirs).count { UInt64($0) != $1 })")
  print("             AVX-512: \(cfib6_usesVectors() != 0)")
  cfib6_free(fib)
}

guard cfib_start() == 0 else { fatalError("DPDK does not start") }
var arguments = Array(CommandLine.arguments.dropFirst())
if arguments.isEmpty {
  arguments = ["v4 1000", "v4 500000", "v4 1000000", "v6 1000", "v6 100000"].flatMap { kind in
    kind.split(separator: " ").map { String($0) } + ["65536"]
  }
}
while arguments.count >= 3 {
  let (routes, flows) = (Int(arguments[1]) ?? 1000, Int(arguments[2]) ?? 65_536)
  if arguments[0] == "v4" { compareV4(routes, flows) } else { compareV6(routes, flows) }
  arguments.removeFirst(3)
}
