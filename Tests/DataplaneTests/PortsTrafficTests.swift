import TestKit
import Testing
import Wire

@testable import Dataplane

/// A packet of a traffic port, and when it came.
private struct Arrival: Equatable {
  var time: UInt64
  var bytes: [UInt8]
}

/// The checksum of bytes of an even number, computed the long way.
private func internetChecksum(_ bytes: some Collection<UInt8>) -> Int {
  var sum = 0
  for (index, byte) in bytes.enumerated() { sum += Int(byte) << (index % 2 == 0 ? 8 : 0) }
  while sum > 0xFFFF { sum = sum & 0xFFFF + sum >> 16 }
  return sum ^ 0xFFFF
}

/// Receives up to `most` packets in virtual time.
private func play(_ queue: any PortQueue, most: Int = .max, limit: Int = 32) -> [Arrival] {
  var arrivals: [Arrival] = []
  unsafe withUnsafeTemporaryAllocation(of: PacketSlot.self, capacity: limit) { slots in
    while arrivals.count < most, let next = queue.nextArrival {
      var bytes: UInt64 = 0
      let count = unsafe queue.receive(
        slots.baseAddress!, limit: min(limit, most - arrivals.count), now: next, bytes: &bytes)
      guard count > 0 else { return }
      for index in 0..<count {
        guard let packet = unsafe Packet(taking: slots[index]) else { continue }
        bytes -= UInt64(packet.length)
        arrivals.append(Arrival(time: next.nanoseconds, bytes: packet.copyBytes()))
        #expect(packet.ingressPort == 71)
        packet.discard()
      }
      #expect(bytes == 0, "bytes are counted as they are")
    }
  }
  return arrivals
}

private func queues(
  _ pool: borrowing TestPool, _ profile: TrafficProfile, count: Int = 1, start: UInt64 = 0
) throws -> [any PortQueue] {
  let port = try TrafficPort(profile, number: 71, queues: count, pool: pool.pool)
  for queue in port.queues { queue.begin(at: Instant(nanoseconds: start), isLive: false) }
  return port.queues
}

@Suite struct PortsTrafficTests {
  /// Lengths and checksums hold for every kind of frame, as a second implementation computes them.
  @Test(arguments: [UInt8(17), 6, 1], [4, 6])
  func framesAreSound(transport: UInt8, version: Int) throws {
    for vlan in [nil, VLANIdentifier(rawValue: 100)] {
      for size in [0, 61, 64, 65, 1514] {
        var profile = TrafficProfile()
        profile.version = version
        profile.transport = IPProtocol(rawValue: transport)
        profile.vlan = vlan
        if version == 6 {
          profile.source = try #require(IPPrefix("2001:db8:1::/96"))
          profile.destination = try #require(IPPrefix("2001:db8:2::/64"))
        }
        profile.sizes = [max(size, profile.headerLength)]
        profile.flows = 300
        profile.count = 300
        profile.sourcePorts = PortRange(1000...1999)
        profile.destinationPorts = PortRange(7...9)
        try withTestPool { pool in
          let arrivals = play(try queues(pool, profile)[0])
          #expect(arrivals.count == 300)
          #expect(Set(arrivals.map(\.bytes)).count == 300, "every flow is another")
          var faults = Set<String>()
          for arrival in arrivals {
            faults.formUnion(Dissection(arrival.bytes).problems)
            if arrival.bytes.count != profile.sizes[0] { faults.insert("\(arrival.bytes.count) bytes") }
          }
          #expect(faults == [])
          let first = Dissection(arrivals[0].bytes).layers
          #expect(first.contains("vlan 100") == (vlan != nil))
          #expect(first.contains { $0.hasPrefix("ipv\(version) ") })
        }
      }
    }
  }

  /// The mapping of flows to addresses that Tests/Floor documents, byte for byte.
  @Test func framesAreTheFloors() throws {
    var profile = TrafficProfile()
    profile.flows = 20_000
    profile.count = 20_001
    profile.hasChecksum = false
    try withTestPool { pool in
      let arrivals = play(try queues(pool, profile)[0], limit: 64)
      #expect(arrivals.count == 20_001)
      var differing = 0
      for (index, arrival) in arrivals.enumerated() {
        let flow = UInt32(index % 20_000)
        var expected: [UInt8] = [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 0xFF, 8, 0, 0x45, 0, 0, 46, 0, 0, 0x40, 0, 64, 17]
        expected += [0, 0]
        let source = 0xAC10_0000 + (flow >> 4) & 0xF_FFFF
        let destination = 0x0A00_0000 + (flow &* 0x9E37_79B1) >> 8
        for address in [source, destination] {
          expected += [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: address >> $0) }
        }
        let sum = internetChecksum(expected[14...])
        expected[24] = UInt8(sum >> 8)
        expected[25] = UInt8(sum & 0xFF)
        let port = 1024 + flow & 0x3FFF
        expected += [UInt8(port >> 8), UInt8(port & 0xFF), 0, 80, 0, 26, 0, 0] + [UInt8](repeating: 0, count: 18)
        if arrival.bytes != expected { differing += 1 }
      }
      #expect(differing == 0)
    }
  }

  @Test func mixtureHasItsProportions() throws {
    var profile = TrafficProfile()
    profile.sizes = [60, 590, 60, 60, 590, 60, 1514, 60, 590, 60, 60, 590]
    profile.count = 1200
    try withTestPool { pool in
      let lengths = play(try queues(pool, profile)[0], limit: 7).map(\.bytes.count)
      #expect(lengths.count == 1200)
      #expect([60, 590, 1514].map { size in lengths.count { $0 == size } } == [700, 400, 100])
    }
  }

  /// Packet i comes at start + floor(i * 10^9 / rate): no error adds up.
  @Test(arguments: [UInt64(1), 3, 7_000_000, 14_880_952, 999_999_999, 3_000_000_000])
  func packetRateIsExact(rate: UInt64) throws {
    var profile = TrafficProfile()
    profile.rate = .packets(rate)
    profile.count = 3000
    try withTestPool { pool in
      let times = play(try queues(pool, profile, start: 1_000)[0]).map(\.time)
      #expect(times == (0..<3000).map { 1_000 + $0 * 1_000_000_000 / rate })
    }
  }

  @Test func bitRateIsExact() throws {
    var profile = TrafficProfile()
    profile.sizes = [60, 1514]
    profile.rate = .bits(1_000_003)
    profile.count = 2000
    try withTestPool { pool in
      let times = play(try queues(pool, profile)[0]).map(\.time)
      var expected: [UInt64] = []
      var bits: UInt64 = 0
      for index in 0..<2000 {
        expected.append(bits * 1_000_000_000 / 1_000_003)
        bits += index % 2 == 0 ? 480 : 12_112
      }
      #expect(times == expected)
    }
  }

  /// Live, as many packets come as are due; what was missed meanwhile comes at once.
  @Test func keepsToTheClock() throws {
    var profile = TrafficProfile()
    profile.rate = .packets(1000)
    try withTestPool { pool in
      let queue = try queues(pool, profile, start: 5_000_000_000)[0]
      func receive(_ milliseconds: Double) -> Int {
        unsafe withUnsafeTemporaryAllocation(of: PacketSlot.self, capacity: 64) { slots in
          var bytes: UInt64 = 0
          let now = Instant(nanoseconds: 5_000_000_000 + UInt64(milliseconds * 1e6))
          let count = unsafe queue.receive(slots.baseAddress!, limit: 64, now: now, bytes: &bytes)
          for index in 0..<count { unsafe Packet(taking: slots[index])?.discard() }
          return count
        }
      }
      #expect([0, 0.5, 0.999, 1, 10, 10.5].map(receive) == [1, 0, 0, 1, 9, 0])
      #expect([110.0, 110, 110].map(receive) == [64, 36, 0])
      #expect(!queue.hasEnded)
    }
  }

  /// Queues share flows, packets and ends without overlap.
  @Test(arguments: [1, 2, 3, 7])
  func queuesShareFlows(count: Int) throws {
    var profile = TrafficProfile()
    profile.flows = 100
    profile.count = 1001
    try withTestPool { pool in
      let parts = try queues(pool, profile, count: count).map { play($0).map { Array($0.bytes[26..<36]) } }
      #expect(parts.map(\.count).reduce(0, +) == 1001)
      #expect(parts.map(Set.init).reduce(Set()) { $0.union($1) }.count == 100)
      #expect(parts.map { Set($0).count }.reduce(0, +) == 100, "no flow is in two queues")
    }
  }

  @Test func sameSettingsGiveSameFrames() throws {
    var profile = TrafficProfile()
    profile.flows = 1000
    profile.count = 3000
    profile.rate = .packets(123_457)
    profile.sizes = [60, 590, 1514]
    try withTestPool { pool in
      let whole = play(try queues(pool, profile)[0], limit: 256)
      for limit in [1, 7, 32] {
        let again = play(try queues(pool, profile)[0], limit: limit)
        #expect(again == whole)
      }
    }
  }

  /// Several queues together keep the rate of one.
  @Test(arguments: [2, 3, 7]) func queuesShareTheRate(count: Int) throws {
    var profile = TrafficProfile()
    profile.rate = .packets(7_000_000)
    profile.count = 1000
    try withTestPool { pool in
      let whole = play(try queues(pool, profile, start: 5)[0]).map(\.time)
      let parts = try queues(pool, profile, count: count, start: 5).flatMap { play($0).map(\.time) }
      #expect(parts.sorted() == whole)
      profile.rate = .bits(480_000)
      for queue in try queues(pool, profile, count: count) {
        let times = play(queue).map(\.time)
        #expect(times == times.indices.map { UInt64($0 * count) * 1_000_000 })
      }
    }
  }

  /// Days later, packets are still due to the nanosecond.
  @Test(arguments: [UInt64(3), 7_000_000, 14_880_952]) func ratesDoNotDrift(rate: UInt64) throws {
    var profile = TrafficProfile()
    profile.rate = .packets(rate)
    try withTestPool { pool in
      let queue = try queues(pool, profile)[0]
      var wrong = 0
      for number in UInt64(0)..<300_000 {
        if queue.nextArrival?.nanoseconds != number * 1_000_000_000 / rate { wrong += 1 }
        if !queue.skip() { wrong += 1 }
      }
      #expect(wrong == 0)
    }
  }

  /// What does not fit into the shortest frame makes it longer.
  @Test(arguments: [UInt8(17), 6, 1]) func shortestFramesHoldTheHeaders(transport: UInt8) throws {
    for (version, vlan) in [(4, nil), (4, VLANIdentifier(rawValue: 7)), (6, nil), (6, VLANIdentifier(rawValue: 7))] {
      var profile = TrafficProfile()
      profile.version = version
      profile.vlan = vlan
      profile.transport = IPProtocol(rawValue: transport)
      if version == 6 {
        profile.source = try #require(IPPrefix("2001:db8:1::/96"))
        profile.destination = try #require(IPPrefix("2001:db8:2::/96"))
      }
      profile.sizes = [60, 590]
      profile.count = 2
      try withTestPool { pool in
        let frames = play(try queues(pool, profile)[0]).map(\.bytes)
        let headers = 14 + (vlan == nil ? 0 : 4) + (version == 4 ? 20 : 40) + (transport == 6 ? 20 : 8)
        #expect(frames.map(\.count) == [max(60, headers), 590])
        for frame in frames { #expect(Dissection(frame).problems == []) }
      }
    }
  }

  /// Addresses and ports stay within what they are taken from, and use all of it.
  @Test func fieldsAreFromTheirRanges() throws {
    var profile = TrafficProfile()
    profile.source = try #require(IPPrefix("192.0.2.64/29"))
    profile.destination = try #require(IPPrefix("198.51.100.7/32"))
    profile.sourcePorts = PortRange(0...65_535)
    profile.destinationPorts = PortRange(50...52)
    profile.flows = 65_536
    profile.count = 65_536
    try withTestPool { pool in
      let frames = play(try queues(pool, profile)[0]).map(\.bytes)
      func values(_ range: Range<Int>) -> Set<Int> {
        Set(frames.map { $0[range].reduce(0) { $0 << 8 | Int($1) } })
      }
      #expect(values(26..<30) == Set(0xC000_0240...0xC000_0247))
      #expect(values(30..<34) == [0xC633_6407])
      #expect(values(34..<36) == Set(0...65_535))
      #expect(values(36..<38) == [50, 51, 52])
    }
    profile.version = 6
    profile.source = try #require(IPPrefix("2001:db8::ff00/126"))
    profile.destination = try #require(IPPrefix("::/0"))
    profile.count = 200
    try withTestPool { pool in
      let frames = play(try queues(pool, profile)[0]).map(\.bytes)
      let source: [UInt8] = [0x20, 1, 0x0D, 0xB8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF]
      #expect(frames.allSatisfy { Array($0[22..<37]) == source })
      #expect(Set(frames.map { $0[37] }) == [0, 1, 2, 3])
      #expect(frames.allSatisfy { $0[38..<50].allSatisfy { $0 == 0 } }, "the low 32 bits vary")
      #expect(Set(frames.map { Array($0[50..<54]) }).count == 200)
    }
  }

  /// A packet that is given up leaves the others as they were, and is counted.
  @Test func skippingKeepsTheOthers() throws {
    var profile = TrafficProfile()
    profile.flows = 5
    profile.sizes = [60, 590, 1514]
    profile.rate = .bits(1_000_000)
    profile.count = 30
    try withTestPool { pool in
      let whole = play(try queues(pool, profile)[0])
      let port = try TrafficPort(profile, number: 71, queues: 1, pool: pool.pool)
      port.queues[0].begin(at: Instant(nanoseconds: 0), isLive: false)
      var rest: [Arrival] = []
      for _ in 0..<15 {
        #expect(port.queues[0].skip())
        rest += play(port.queues[0], most: 1)
      }
      #expect(rest == whole.indices.filter { $0 % 2 == 1 }.map { whole[$0] })
      #expect(!port.queues[0].skip())
      #expect(port.counters.map(\.name) == ["noBuffer"])
      #expect(port.counters.map(\.value) == [15])
    }
  }

  @Test(arguments: [[], [60, 61, 62, 63], [Int](repeating: 60, count: 13), [9217]])
  func refusesSizesThatCannotBe(sizes: [Int]) throws {
    var profile = TrafficProfile()
    profile.sizes = sizes
    try withTestPool(dataRoom: 10_000) { pool in
      #expect(throws: EnvironmentError.self) { try queues(pool, profile) }
    }
  }

  /// Short frames are written 64 bytes at a time, which must not reach into the next buffer.
  @Test func refusesBuffersThatEndBehindTheFrame() throws {
    try withTestPool(dataRoom: 60) { pool in
      #expect(throws: EnvironmentError.self) { try queues(pool, TrafficProfile()) }
    }
  }

  @Test func refusesWhatNoBufferHolds() throws {
    var profile = TrafficProfile()
    profile.sizes = [9000]
    try withTestPool { pool in
      var refusal: EnvironmentError?
      do {
        _ = try queues(pool, profile)
      } catch {
        refusal = error as? EnvironmentError
      }
      #expect(refusal?.message == "frames of 9000 bytes do not fit into packet buffers of 2048")
    }
    profile.count = 3
    try withTestPool(dataRoom: 9216) { pool in
      let lengths = play(try queues(pool, profile)[0]).map(\.bytes.count)
      #expect(lengths == [9000, 9000, 9000])
    }
  }

  @Test func waitsForBuffers() throws {
    var profile = TrafficProfile()
    profile.count = 40
    try withTestPool(packets: 32) { pool in
      let queue = try queues(pool, profile)[0]
      unsafe withUnsafeTemporaryAllocation(of: PacketSlot.self, capacity: 64) { slots in
        var bytes: UInt64 = 0
        let base = slots.baseAddress!
        var received = 0
        while received < 32 {
          let count = unsafe queue.receive(
            base + received, limit: min(8, 32 - received), now: Instant(nanoseconds: 0), bytes: &bytes)
          guard count > 0 else { break }
          received += count
        }
        #expect(received == 32)
        #expect(unsafe queue.receive(base + 32, limit: 8, now: Instant(nanoseconds: 0), bytes: &bytes) == 0)
        for index in 0..<received { unsafe Packet(taking: slots[index])?.discard() }
      }
      #expect(play(queue).count == 8, "nothing is lost")
    }
  }

  @Test func freesWhatItIsSent() throws {
    try withTestPool { pool in
      for port: any Port in [
        NullPort(number: 70, queues: 2), try TrafficPort(TrafficProfile(), number: 71, queues: 2, pool: pool.pool),
      ] {
        #expect(port.queues.count == 2)
        var slot = unsafe pool.packet(Frame.ethernet().ipv4().udp()).intoSlot()
        #expect(unsafe port.queues[1].transmit(&slot, count: 1, now: Instant(nanoseconds: 0)) == 1)
        #expect(pool.used == 0)
      }
      #expect(NullPort(number: 70, queues: 1).queues[0].hasEnded)
    }
  }
}
