import Configuration
import Dataplane
import Elements
import TestKit

/// Any bytes as a graph and its packets: a length, so many bytes that choose elements, settings and edges, and then the
/// packets. Each packet is accounted for, each buffer comes back, and two batch sizes give the same.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzGraph(_ start: UnsafePointer<UInt8>, _ count: Int) -> CInt {
  var bytes = Bytes(Array(UnsafeBufferPointer(start: start, count: count)))
  var choices = Bytes(bytes.take(Int(bytes.next())))
  let graph = RandomGraph(of: catalogue) { choices.choose($0) }
  let arrivals = bytes.arrivals()
  let pool = Fuzzing.pool
  do throws(ConfigurationError) {
    let one = try graph.run(arrivals, batchSize: 1, pool: pool)
    let other = try graph.run(arrivals, batchSize: 32, pool: pool)
    // Optimised preconditions say nothing when they fail.
    let problems = one.problems + other.problems
    if !problems.isEmpty { fatalError("\(problems)\n\(graph)") }
    if !one.wasShort && !other.wasShort, let difference = one.difference(from: other) {
      fatalError("\(difference)\n\(graph)")
    }
  } catch {
    fatalError("settings were accepted once and refused then: \(error)\n\(graph)")
  }
  return 0
}

/// The fuzzer's input, read from the front; zeros behind its end.
struct Bytes {
  private var left: ArraySlice<UInt8>

  init(_ bytes: [UInt8]) { left = bytes[...] }

  mutating func next() -> UInt8 { left.popFirst() ?? 0 }

  mutating func take(_ count: Int) -> [UInt8] {
    defer { left = left.dropFirst(count) }
    return Array(left.prefix(count))
  }

  mutating func choose(_ limit: Int) -> Int { Int(next()) % max(1, limit) }

  /// Each arrival is a byte that says how many packets of these bytes come, at which source and after which pause, two
  /// bytes of length, and the bytes.
  mutating func arrivals() -> [RandomGraph.Arrival] {
    var arrivals: [RandomGraph.Arrival] = []
    var time = Instant(nanoseconds: 1_700_000_000_000_000_000)
    while !left.isEmpty, arrivals.count < 64 {
      let how = next()
      time = time.advanced(by: [0, 1_000, 1_000_000, 5_000_000_000][Int(how & 3)])
      let length = Int(next()) | Int(next() & 7) << 8
      var frame = Frame(take(length))
      // Some come in two segments.
      if how & 0x10 != 0, length > 1 { frame = frame.split(at: [1 + Int(how >> 1) % (length - 1)]) }
      let copies = how & 0x20 == 0 ? 1 : 40
      arrivals.append(
        RandomGraph.Arrival(
          source: Int(how >> 6), frames: Array(repeating: frame, count: copies), time: time))
    }
    return arrivals
  }
}

enum Fuzzing {
  static let pool: PacketPool = {
    do throws(EnvironmentError) {
      try TestEnvironment.start()
      return try PacketPool(name: "fuzz", packets: 8192)
    } catch {
      fatalError("\(error)")
    }
  }()
}
