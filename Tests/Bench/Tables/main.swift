// Measures the flow table by itself, on an idle machine:
//
//     swift run -c release TablesBench [flows ...]         powers of two; 65,536 and 1,048,576 when none are given
//
// Prints nanoseconds and cycles of the time-stamp counter a flow; of several rounds the best counts.
import Glibc
import Tables
import Wire

/// 32 bytes of state: with a 16-byte key a record takes one cache line.
struct Session: Counting {
  var packets: UInt64 = 0
  var words: (UInt64, UInt64, UInt64) = (0, 0, 0)
}

/// 80 bytes of state: with two 16-byte keys a record takes two cache lines.
struct Mapping: Counting {
  var packets: UInt64 = 0
  var words: (UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0, 0, 0, 0, 0, 0)
}

protocol Counting: BitwiseCopyable, Sendable {
  init()
  var packets: UInt64 { get set }
}

struct Random: RandomNumberGenerator {
  var state: UInt64
  mutating func next() -> UInt64 {
    state ^= state << 13
    state ^= state >> 7
    state ^= state << 17
    return state
  }
}

func nanoseconds() -> UInt64 {
  var time = timespec()
  unsafe clock_gettime(CLOCK_MONOTONIC, &time)
  return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
}

/// Cycles of the time-stamp counter a nanosecond, as the kernel found them.
let cyclesPerNanosecond: Double = {
  guard let file = unsafe fopen("/proc/cpuinfo", "r") else { return 0 }
  defer { unsafe fclose(file) }
  var line = [CChar](repeating: 0, count: 4096)
  while unsafe fgets(&line, 4096, file) != nil {
    let text = String(decoding: line.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    if text.hasPrefix("cpu MHz"), let value = text.split(separator: ":").last {
      return (Double(value.trimmingSpaces) ?? 0) / 1000
    }
  }
  return 0
}()

extension Substring {
  var trimmingSpaces: Substring { Substring(self.filter { $0 != " " && $0 != "\n" }) }
}

func padded(_ text: String, _ width: Int) -> String {
  text + String(repeating: " ", count: max(0, width - text.utf8.count))
}

func rounded(_ value: Double) -> String { String(Double((value * 10).rounded()) / 10) }

func report(_ what: String, _ best: Double, _ note: String = "") {
  print(
    "  \(padded(what, 44)) \(padded(rounded(best) + " ns", 10)) \(padded(rounded(best * cyclesPerNanosecond) + " cycles", 14)) \(note)"
  )
}

/// The best of several rounds, in nanoseconds a piece.
func best(_ rounds: Int, _ pieces: Int, _ body: () -> Void) -> Double {
  var best = Double.infinity
  for _ in 0..<rounds {
    let start = nanoseconds()
    body()
    best = min(best, Double(nanoseconds() - start) / Double(pieces))
  }
  return best
}

func v4(_ number: UInt32) -> IPv4FlowKey {
  IPv4FlowKey(
    source: IPv4Address(rawValue: 0x0A00_0000 | number >> 4), destination: IPv4Address(192, 0, 2, 1),
    sourcePort: UInt16(1024 + number & 15), destinationPort: 443, protocol: .tcp)
}

func v6(_ number: UInt32) -> IPv6FlowKey {
  IPv6FlowKey(
    source: IPv6Address(high: 0x2001_0DB8_0000_0000, low: UInt64(number >> 4)),
    destination: IPv6Address(high: 0x2001_0DB8_0001_0000, low: 1), sourcePort: UInt16(1024 + number & 15),
    destinationPort: 443, protocol: .tcp)
}

@inline(__always)
func measure<Key: FlowKey, Value: Counting>(
  _ name: String, flows: Int, value: Value.Type, hotBytes: Int = .max, key: (UInt32) -> Key, second: ((UInt32) -> Key)?
) {
  let seed = FlowSeed(0x0123_4567_89AB_CDEF, 0xFEDC_BA98_7654_3210)
  let made = FlowTable<Key, Value>(capacity: flows, keysPerFlow: second == nil ? 1 : 2, seed: seed, hotBytes: hotBytes)
  guard var table = made else {
    print("no memory")
    return
  }
  print(
    "\(name), \(flows) flows, \(rounded(Double(table.byteCount) / Double(flows))) bytes a flow, "
      + "\(table.byteCount >> 20) MiB")
  var random = Random(state: 88_172_645_463_325_252)
  var keys = (0..<UInt32(flows)).map(key)
  keys.shuffle(using: &random)
  var ids: [FlowID] = []
  ids.reserveCapacity(flows)
  var refused = 0
  let insertion = best(1, flows) {
    for number in 0..<flows {
      let other = second.map { $0(UInt32(number)) }
      switch table.insert(keys[number], second: other, Value(), until: 1 << 40) {
      case .inserted(let id): ids.append(id)
      default: refused += 1
      }
    }
  }
  report("insert, empty to full", insertion, refused == 0 ? "" : "\(refused) refused")
  keys.shuffle(using: &random)
  let lookups = max(flows, 1 << 20)
  let mask = flows - 1
  for size in [32, 64, 256] {
    var burst = table.makeBurst(capacity: size)
    var sum = 0
    let time = best(3, lookups) {
      var position = 0
      while position < lookups {
        burst.removeAll()
        for offset in 0..<size { burst.append(keys[(position + offset) & mask]) }
        table.lookUp(&burst, now: 1)
        for item in 0..<burst.count {
          guard let match = table.match(burst, item) else { continue }
          table[match.flow].packets &+= 1
          sum &+= 1
        }
        position += size
      }
    }
    report("look-up in bursts of \(size), record written", time, sum == 3 * lookups ? "" : "\(sum) found")
  }
  var burst = table.makeBurst(capacity: 32)
  let misses = best(3, lookups) {
    var position = 0
    while position < lookups {
      burst.removeAll()
      for offset in 0..<32 { burst.append(key(UInt32(truncatingIfNeeded: flows + position + offset))) }
      table.lookUp(&burst, now: 1)
      position += 32
    }
  }
  report("look-up of absent keys in bursts of 32", misses)
  var single = 0
  let alone = best(2, lookups) {
    for position in 0..<lookups where table.find(keys[position & mask], now: 1) != nil { single &+= 1 }
  }
  report("look-up one by one", alone)
  ids.shuffle(using: &random)
  let refreshing = best(2, flows) {
    for id in ids { table.refresh(id, until: 1 << 41) }
  }
  report("refresh one by one, random order", refreshing)
  let half = flows / 2
  let exchange = best(1, half) {
    for number in 0..<half {
      table.remove(ids[number])
      let other = second.map { $0(UInt32(flows + number)) }
      if case .inserted(let id) = table.insert(key(UInt32(flows + number)), second: other, Value(), until: 1 << 40) {
        ids[number] = id
      }
    }
  }
  report("remove and insert, full table, random order", exchange, "\(rounded(1000 / exchange)) million a second")
  var expired = 0
  let expiry = best(1, flows) {
    while !table.expire(now: 1 << 42, limit: 64, { _ in expired &+= 1 }) {}
  }
  report("expire all, 64 a call", expiry, expired == flows ? "" : "\(expired) expired")
}

let sizes = CommandLine.arguments.dropFirst().compactMap { Int($0) }
for flows in sizes.isEmpty ? [65_536, 1 << 20] : sizes {
  guard flows >= 1024, flows & (flows - 1) == 0 else {
    print("\(flows) is not a power of two from 1,024 on")
    exit(2)
  }
  measure("IPv4, one key, 64-byte records", flows: flows, value: Session.self, key: v4, second: nil)
  measure("IPv4, two keys, 128-byte records", flows: flows, value: Mapping.self, key: v4) { v4($0).reply }
  measure("IPv4, two keys, 128-byte records, 8 bytes hot", flows: flows, value: Mapping.self, hotBytes: 8, key: v4) {
    v4($0).reply
  }
  measure("IPv6, one key, 128-byte records", flows: flows, value: Session.self, key: v6, second: nil)
}
