import Glibc
import Netlink
import Testing
import Wire

let isRoot = geteuid() == 0

struct Failure: Error, CustomStringConvertible {
  let description: String
}

/// Runs `body` on this thread in a network namespace of its own, which is gone afterwards.
func inNamespace<T>(_ body: () throws -> T) throws -> T {
  let home = unsafe open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC)
  defer { close(home) }
  // The C library declares these for GNU sources only.
  typealias Unshare = @convention(c) (CInt) -> CInt
  typealias Setns = @convention(c) (CInt, CInt) -> CInt
  let unshare = unsafe unsafeBitCast(dlsym(nil, "unshare"), to: Unshare.self)
  let setns = unsafe unsafeBitCast(dlsym(nil, "setns"), to: Setns.self)
  let newNetwork: CInt = 0x4000_0000
  guard home >= 0, unshare(newNetwork) == 0 else { throw Failure(description: "there are no namespaces") }
  defer { _ = setns(home, newNetwork) }
  try sh("ip link set lo up")
  return try body()
}

/// Runs a command in the namespace of this thread.
@discardableResult
func sh(_ command: String) throws -> String {
  guard let pipe = unsafe popen("{ \(command); } 2>&1", "r") else { throw Failure(description: "no shell") }
  var output: [UInt8] = []
  while true {
    let byte = unsafe getc(pipe)
    guard byte != EOF else { break }
    output.append(UInt8(truncatingIfNeeded: byte))
  }
  let text = String(decoding: output, as: UTF8.self)
  guard unsafe pclose(pipe) == 0 else { throw Failure(description: "\(command): \(text)") }
  return text
}

func ip(_ commands: String...) throws {
  for command in commands { try sh("ip \(command)") }
}

/// Runs many commands of `ip` in one process.
func ipBatch(_ lines: some Sequence<String>) throws {
  let path = "/tmp/nfvrun-netlink-\(getpid())-\(UInt32.random(in: 0 ... .max))"
  defer { _ = unsafe unlink(path) }
  guard let file = unsafe fopen(path, "w") else { throw Failure(description: "cannot write \(path)") }
  for line in lines { unsafe fputs(line + "\n", file) }
  unsafe fclose(file)
  try sh("ip -batch \(path)")
}

/// Applies changes as a data plane would.
struct Mirror: Equatable {
  /// An address on a link.
  struct Place: Hashable {
    let link: Int
    let address: IPAddress
  }

  var links: [Int: KernelLink] = [:]
  var addresses: [Place: KernelAddress] = [:]
  var routes: [IPPrefix: KernelRoute] = [:]
  var neighbours: [Place: KernelNeighbour] = [:]

  mutating func apply(_ changes: [KernelChange]) throws {
    for change in changes {
      switch change {
      case .link(let link): links[link.index] = link
      case .linkRemoved(let index):
        guard links.removeValue(forKey: index) != nil else { throw Failure(description: "\(change)") }
      case .address(let address): addresses[Place(link: address.link, address: address.address)] = address
      case .addressRemoved(let address):
        let place = Place(link: address.link, address: address.address)
        guard addresses.removeValue(forKey: place) != nil else { throw Failure(description: "\(change)") }
      case .route(let route):
        // Only what is other than before is told.
        guard routes.updateValue(route, forKey: route.prefix) != route else { throw Failure(description: "\(change)") }
      case .routeRemoved(let prefix):
        guard routes.removeValue(forKey: prefix) != nil else { throw Failure(description: "\(change)") }
      case .neighbour(let neighbour):
        neighbours[Place(link: neighbour.link, address: neighbour.address)] = neighbour
      case .neighbourRemoved(let link, let address):
        guard neighbours.removeValue(forKey: Place(link: link, address: address)) != nil else {
          throw Failure(description: "\(change)")
        }
      }
    }
  }

  func address(_ text: String) -> KernelAddress? { addresses.values.first { $0.address.description == text } }
  func neighbour(_ text: String) -> KernelNeighbour? { neighbours.values.first { $0.address.description == text } }

  /// The routes as lines of text, each with its hops in order.
  var lines: Set<String> {
    Set(
      routes.values.map { route in
        let hops = route.hops.map { "\($0.gateway.map { "\($0)" } ?? "")@\($0.link)*\($0.weight)" }
        return "\(route.prefix) \(route.kind) \(route.metric) \(hops.sorted())"
      })
  }

  func route(_ prefix: String) -> KernelRoute? { IPPrefix(prefix).flatMap { routes[$0] } }

  func link(_ name: String) throws -> Int {
    guard let link = links.values.first(where: { $0.name == name }) else { throw Failure(description: name) }
    return link.index
  }
}

/// A follower and the mirror of what it told.
final class Follower {
  let tables: KernelTables
  var mirror = Mirror()

  init(_ table: KernelTables.Table = .main, receiveBuffer: Int = 16 << 20) throws {
    tables = try KernelTables(table: table, receiveBuffer: receiveBuffer)
    try settle()
  }

  /// Takes all changes that there are; the kernel queues them before the command that causes them ends.
  func settle(limit: Int = 65_536) throws {
    var changes: [KernelChange]
    repeat {
      changes = try tables.poll(milliseconds: tables.isUpToDate ? 0 : 1000, limit: limit)
      try mirror.apply(changes)
    } while !changes.isEmpty || !tables.isUpToDate
  }

  /// Takes changes until something holds; gives up after a minute.
  func settle(until condition: (Mirror) throws -> Bool) throws {
    for _ in 0..<600 {
      try settle()
      if try condition(mirror) { return }
      try mirror.apply(try tables.poll(milliseconds: 100))
    }
    throw Failure(description: "it does not come to pass: \(mirror)")
  }
}

func hop(_ gateway: String?, _ link: Int, weight: Int = 1) -> KernelHop {
  KernelHop(gateway: gateway.flatMap { IPAddress($0) }, link: link, weight: weight)
}

/// The same sequence every time.
struct Dice: RandomNumberGenerator {
  var state: UInt64
  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var mixed = (state ^ (state >> 30)) &* 0xBF58_476D_1CE4_E5B9
    mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
    return mixed ^ (mixed >> 31)
  }
}
