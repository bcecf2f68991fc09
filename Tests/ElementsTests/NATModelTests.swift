import Dataplane
import Elements
import TestKit
import Testing

/// Numbers that are the same in every run.
private struct Dice: RandomNumberGenerator {
  var state: UInt64

  mutating func next() -> UInt64 {
    state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
    return (state ^ state >> 29) &* 0x9E37_79B9_7F4A_7C15
  }
}

/// Many clients that come and go at random for a simulated day, beside a model that is a dictionary.
@Suite struct NATModelTests {
  private struct Mapped {
    var outside: NATBench.End
    var last: UInt64
  }

  @Test(arguments: [
    "outside: 203.0.113.0/31",
    "{ outside: 203.0.113.0/31, ports: 1024-3071, blocks: { size: 64, limit: 2 }, subscribers: 2000 }",
  ]) func noPortIsUsedTwiceAndNoMappingLeaks(_ settings: String) throws {
    let bench = try NATBench(settings)
    var dice = Dice(state: 42)
    var mapped: [NATBench.End: Mapped] = [:]
    var owners: [NATBench.End: NATBench.End] = [:]
    var freed: [NATBench.End: UInt64] = [:]
    let second = NATBench.second
    let timeout = 300 * second
    let start = bench.now
    var refusals = 0
    var count = 0
    while bench.now < start + 86_400 * second {
      bench.now += dice.next() % (14 * second)
      let batch = (0..<Int(dice.next() % 4) + 1).map { _ in
        NATBench.End("10.1.\(dice.next() % 4).\(dice.next() % 250 + 1)", UInt16(2000 + dice.next() % 6))
      }
      for inside in batch {
        count += 1
        if let old = mapped[inside], bench.now >= old.last + timeout {
          mapped[inside] = nil
          owners[old.outside] = nil
          freed[old.outside] = old.last + timeout
        }
        let remote = NATBench.End("198.51.100.\(dice.next() % 3 + 1)", UInt16(dice.next() % 2 + 80))
        guard let outside = bench.outside(of: inside, to: remote) else {
          #expect(mapped[inside] == nil, "\(inside) has a mapping and was refused")
          refusals += 1
          continue
        }
        if let known = mapped[inside] {
          #expect(known.outside == outside, "\(inside) was \(known.outside)")
        } else {
          if let owner = owners[outside], let other = mapped[owner] {
            #expect(bench.now >= other.last + timeout, "\(outside) stands for \(owner) and \(inside)")
            mapped[owner] = nil
            #expect(bench.now >= other.last + timeout + 120 * second, "\(outside) has not rested")
          }
          if let end = freed[outside] { #expect(bench.now >= end + 120 * second, "\(outside) has not rested") }
        }
        mapped[inside] = Mapped(outside: outside, last: bench.now)
        owners[outside] = inside
        // Somebody answers, and now and then a stranger sends something.
        if dice.next() % 3 == 0 {
          #expect(bench.back(NATBench.udp(remote, outside)).map(\.destination) == [inside])
        }
      }
      if dice.next() % 256 == 0 {
        let live = mapped.values.count { bench.now < $0.last + timeout }
        _ = bench.wait(0)
        #expect(bench.nat.counters["mappings"] == UInt64(live))
      }
    }
    #expect(count > 10_000)
    _ = bench.wait(301)
    _ = bench.wait(121)
    #expect(bench.nat.counters["mappings"] == 0)
    #expect(bench.nat.counters["sessions"] == 0)
    #expect(bench.nat.counters["subscribers"] == 0)
  }

  /// ICMP errors with what they embed cut off anywhere, and with lies in it, are translated rightly or dropped.
  @Test func errorsThatLieAreSurvived() throws {
    let bench = try NATBench()
    var dice = Dice(state: 7)
    let client: NATBench.End = "10.0.0.5:4000"
    _ = bench.outside(of: client)
    _ = bench.open("10.0.0.5:4001", "198.51.100.7:80")
    let sent = [
      NATBench.udp("203.0.113.1:4000", "198.51.100.7:53"), NATBench.tcp("203.0.113.1:4001", "198.51.100.7:80", "A"),
      NATBench.echo("203.0.113.1", "198.51.100.7", identifier: 9),
    ]
    var passed = 0
    for round in 0..<3000 {
      var embedded = Array(sent[round % sent.count].bytes.dropFirst(14))
      embedded = Array(embedded.prefix(Int(dice.next() % UInt64(embedded.count + 1))))
      for _ in 0..<Int(dice.next() % 3) where !embedded.isEmpty {
        embedded[Int(dice.next() % UInt64(embedded.count))] = UInt8(truncatingIfNeeded: dice.next())
      }
      let error = Frame.ethernet().ipv4(from: "192.0.2.33", to: "203.0.113.1")
        .icmp(type: [3, 4, 5, 11, 12][Int(dice.next() % 5)], code: 0, identifier: 0, sequence: 0).payload(embedded)
      let result = bench.nat.push(error, input: "outside", at: Instant(nanoseconds: bench.now))
      for packet in result["inside"] {
        passed += 1
        #expect(packet.problems.isEmpty)
        #expect(Array(packet.bytes[30..<34]) == [10, 0, 0, 5])
        #expect(packet.bytes.count == error.length)
        // The embedded header's checksum is right again.
        #expect(Array(packet.bytes[54..<58]) == [10, 0, 0, 5])
      }
      #expect(result["inside"].count + result.drops.values.reduce(0, +) == 1)
    }
    #expect(passed > 300)
    #expect(bench.nat.counters["mappings"] == 2)
  }
}
