import Dataplane
import Elements
import TestKit
import Testing

private let millisecond: UInt64 = 1_000_000
private let second: UInt64 = 1_000_000_000

/// Frames of 1,000 bytes of one flow, which carry their number; at 8 Mb/s each takes a millisecond.
private func frames(_ range: Range<Int>, flow: UInt16 = 1, ecn: UInt8 = 0, length: Int = 1000) -> [Frame] {
  range.map { number in
    let bytes = [UInt8(truncatingIfNeeded: number >> 8), UInt8(truncatingIfNeeded: number)]
    return Frame.ethernet().ipv4(ecn: ecn).udp(from: flow).payload(bytes + Array(repeating: 0, count: length - 44))
  }
}

extension SentPacket {
  fileprivate var number: Int { Int(bytes[42]) << 8 | Int(bytes[43]) }
  fileprivate var flow: Int { Int(bytes[34]) << 8 | Int(bytes[35]) }
  fileprivate var isMarked: Bool { bytes[15] & 3 == 3 }
}

@Suite struct CoDelTests {
  private func make(_ more: String = "") throws -> ElementUnderTest {
    try ElementUnderTest(CoDel.self, settings: "{ rate: 8Mbps\(more) }", packets: 4096)
  }

  /// The numbers of packets that were dropped, and when, while so many packets of a burst are sent.
  private func drops(_ queue: ElementUnderTest, _ count: Int, ecn: UInt8 = 0) -> [(number: Int, time: UInt64)] {
    var found: [(number: Int, time: UInt64)] = []
    var expected = 0
    let start = queue.now
    var sent = queue.push(frames(0..<count, ecn: ecn))["output"]
    while queue.held > 0 { sent += queue.advance(by: millisecond)["output"] }
    for packet in sent {
      for number in expected..<packet.number { found.append((number, packet.time.nanoseconds - start.nanoseconds)) }
      expected = packet.number + 1
    }
    return found
  }

  @Test func packetsLeaveAtTheRateAndInOrder() throws {
    let queue = try make()
    var sent = queue.push(frames(0..<4))["output"]
    sent += queue.advance(by: second)["output"]
    #expect(sent.map(\.number) == [0, 1, 2, 3])
    #expect(sent.map(\.time.nanoseconds) == [0, 1, 2, 3].map { $0 * millisecond })
  }

  /// A queue that is drained within an interval is a good queue, however long it is, and nothing is dropped.
  @Test func rfc8289_3_aBurstIsNoStandingQueue() throws {
    #expect(drops(try make(), 100).isEmpty)
  }

  /// The first packet is dropped when the wait was above the target for an interval.
  @Test func rfc8289_4_2_firstDropAfterAnInterval() throws {
    let dropped = drops(try make(), 400)
    // Waits exceed 5 ms from the packet on that is sent at 5 ms; an interval later one is dropped.
    #expect(dropped.first?.number == 105)
    #expect(dropped.first?.time == 105 * millisecond)
    let other = drops(try make(", target: 10ms, interval: 200ms"), 400)
    #expect(other.first?.time == 210 * millisecond)
  }

  /// The time to the next drop is the interval divided by the square root of the number of drops.
  @Test func rfc8289_4_3_theControlLaw() throws {
    let dropped = drops(try make(), 1000)
    #expect(dropped.count > 20)
    var due = Double(105 * millisecond)
    for (index, drop) in dropped.prefix(20).enumerated() {
      // The link is free once a millisecond.
      #expect(drop.time >= UInt64(due) && drop.time <= UInt64(due) + millisecond, "drop \(index)")
      due += Double(100 * millisecond) / Double(index + 1).squareRoot()
    }
  }

  /// Dropping ends when a packet waited less than the target.
  @Test func rfc8289_4_2_droppingEndsBelowTheTarget() throws {
    let queue = try make()
    let dropped = drops(queue, 300)
    #expect(!dropped.isEmpty)
    #expect(queue.held == 0)
    _ = queue.advance(by: millisecond)
    // Packets that find no queue are never dropped, and it takes a whole interval to begin anew.
    for number in 0..<200 {
      #expect(queue.push(frames(number..<number + 1))["output"].count == 1)
      _ = queue.advance(by: 2 * millisecond)
    }
    let again = drops(queue, 300)
    #expect(again.first?.time == 105 * millisecond)
  }

  /// When dropping begins again soon, it goes on at the pace that it had.
  @Test func rfc8289_4_3_soonAgainGoesOnAtThatPace() throws {
    let queue = try make()
    let first = drops(queue, 900)
    let second = drops(queue, 300)
    #expect(first.count > 10)
    #expect(second[0].time == 105 * millisecond)
    // The first pause is not a whole interval.
    #expect(second[1].time - second[0].time < 40 * millisecond)
    _ = queue.advance(by: 10_000 * millisecond)
    let late = drops(queue, 400)
    #expect(late[1].time - late[0].time >= 100 * millisecond)
  }

  /// A queue of no more than one packet is never too long, however slow the link is.
  @Test func rfc8289_4_4_onePacketIsNoQueue() throws {
    // A frame takes a second.
    let queue = try ElementUnderTest(CoDel.self, settings: "{ rate: 8kbps }")
    var sent = 0
    for number in 0..<20 {
      sent += queue.push(frames(number..<number + 1), at: Instant(nanoseconds: UInt64(number) * second))["output"].count
    }
    sent += queue.advance(by: 10 * second)["output"].count
    #expect(sent == 20)
    #expect(queue.totals.drops.isEmpty)
  }

  /// With ECN a packet that takes it is marked in place of being dropped, at the same pace.
  @Test func rfc8289_4_1_marksInPlaceOfDrops() throws {
    let queue = try make(", ecn: yes")
    var sent = queue.push(frames(0..<400, ecn: 2))["output"]
    sent += queue.advance(by: second)["output"]
    #expect(sent.count == 400)
    #expect(sent.first(where: \.isMarked)?.time.nanoseconds == 105 * millisecond)
    #expect(sent.count(where: \.isMarked) > 4)
    #expect(queue.counters["marked"] == UInt64(sent.count(where: \.isMarked)))
    #expect(sent.allSatisfy { $0.problems.isEmpty })
    // Those that do not take it are dropped.
    let other = try make(", ecn: yes")
    #expect(!drops(other, 400).isEmpty)
  }

  @Test func whatDoesNotFitIsDropped() throws {
    let queue = try make(", capacity: 10")
    let result = queue.push(frames(0..<40))
    #expect(result.drops.keys.sorted() == ["queueFull"])
    #expect(queue.held <= 10)
    let bytes = try make(", bytes: 5000")
    _ = bytes.push(frames(0..<40))
    #expect(bytes.held <= 5 && bytes.held >= 2)
    let long = try make(", bytes: 1600")
    #expect(long.push(frames(0..<1, length: 1700)).drops == ["queueFull": 1])
  }

  @Test(arguments: [
    ("{}", "1:1 'rate' is missing"), ("0bps", "1:1 a rate of nothing"),
    ("{ rate: 1Mbps, target: 100ms }", "1:24 the target is no shorter than the interval"),
    ("{ rate: 1Mbps, bytes: 1000 }", "1:23 not one packet fits"),
  ])
  func refuses(settings: String, message: String) throws {
    #expect(try Verdicts("CoDel", settings).messages == [message])
    #expect(try Verdicts("FQCoDel", settings).messages == [message])
  }
}

@Suite struct FQCoDelTests {
  private func make(_ more: String = "") throws -> ElementUnderTest {
    try ElementUnderTest(FQCoDel.self, settings: "{ rate: 8Mbps\(more) }", packets: 16384)
  }

  /// Flows that always have packets send the same number of bytes, whatever the length of their packets.
  @Test func rfc8290_4_2_flowsShareByBytes() throws {
    let queue = try make(", target: 1s, interval: 20s")
    _ = queue.push(frames(0..<600, flow: 1, length: 1000) + frames(0..<600, flow: 2, length: 250))
    let sent = queue.advance(by: 200 * millisecond)["output"]
    let long = sent.filter { $0.flow == 1 }.count * 1000
    let short = sent.filter { $0.flow == 2 }.count * 250
    #expect(abs(long - short) <= 2 * 1514)
    for flow in 1...2 {
      let numbers = sent.filter { $0.flow == flow }.map(\.number)
      #expect(numbers == Array(0..<numbers.count).map { $0 + (numbers.first ?? 0) })
    }
  }

  /// A flow that begins goes ahead of those that have a queue.
  @Test func rfc8290_4_2_newFlowsFirst() throws {
    let queue = try make()
    _ = queue.push(frames(0..<50, flow: 1))
    _ = queue.advance(by: 5 * millisecond)
    _ = queue.push(frames(0..<1, flow: 2, length: 100))
    let next = queue.advance(by: 2 * millisecond)["output"]
    #expect(next.first?.flow == 2)
  }

  /// A flow that sends more than a quantum while it is new has its turn among the old ones.
  @Test func rfc8290_4_2_aNewFlowHasOneQuantum() throws {
    let queue = try make()
    _ = queue.push(frames(0..<50, flow: 1))
    _ = queue.advance(by: 5 * millisecond)
    _ = queue.push(frames(0..<50, flow: 2))
    let flows = queue.advance(by: 12 * millisecond)["output"].map(\.flow)
    // Two packets are the first that exceed 1,514 bytes.
    #expect(Array(flows.prefix(2)) == [2, 2])
    #expect(flows.dropFirst(2).contains(1))
    #expect(abs(flows.count { $0 == 1 } - flows.count { $0 == 2 }) <= 3)
  }

  /// A flow whose queue ran empty is among the old ones for a turn before it is new again: it cannot starve others by
  /// sending packet by packet.
  @Test func rfc8290_4_2_emptyNewFlowsBecomeOld() throws {
    let queue = try make()
    _ = queue.push(frames(0..<200, flow: 1))
    var flows: [Int] = []
    for step in 0..<100 {
      flows += queue.push(frames(step..<step + 1, flow: 2))["output"].map(\.flow)
      flows += queue.advance(by: millisecond)["output"].map(\.flow)
    }
    #expect(flows.count { $0 == 1 } >= 45)
  }

  /// When there is no room, half of the longest queue is dropped from its front, 64 packets at most.
  @Test func rfc8290_4_1_theLongestQueueMakesRoom() throws {
    let queue = try make(", capacity: 100")
    var sent = queue.push(frames(0..<10, flow: 2))["output"]
    let result = queue.push(frames(0..<95, flow: 1))
    sent += result["output"]
    #expect(result.drops.keys.sorted() == ["queueFull"])
    #expect(result.drops["queueFull"]! >= 40 && result.drops["queueFull"]! <= 64)
    sent += queue.advance(by: second)["output"]
    // The short queue lost nothing, the long one its oldest.
    #expect(sent.filter { $0.flow == 2 }.map(\.number) == Array(0..<10))
    #expect(sent.filter { $0.flow == 1 }.last?.number == 94)
  }

  /// Each queue has a CoDel of its own: a flow that is too fast loses packets, one that is not loses none.
  @Test func rfc8290_4_2_codelIsEachFlows() throws {
    let queue = try make()
    var sent: [SentPacket] = []
    var drops = 0
    for step in 0..<2000 {
      let fast = frames(step * 2..<step * 2 + 2, flow: 1)
      let slow = step % 10 == 0 ? frames(step / 10..<step / 10 + 1, flow: 2, length: 200) : []
      let result = queue.push(fast + slow)
      sent += result["output"]
      drops += result.drops["delayed"] ?? 0
      let later = queue.advance(by: millisecond)
      sent += later["output"]
      drops += later.drops["delayed"] ?? 0
    }
    #expect(drops > 10)
    let slow = sent.filter { $0.flow == 2 }
    #expect(slow.map(\.number) == Array(0..<200))
    for packet in slow {
      #expect(packet.time.nanoseconds <= UInt64(packet.number) * 10 * millisecond + 2 * millisecond)
    }
  }

  /// ECN is used unless it is turned off.
  @Test func rfc8290_5_2_marksByDefault() throws {
    let queue = try make()
    var sent = queue.push(frames(0..<400, ecn: 1))["output"]
    sent += queue.advance(by: second)["output"]
    #expect(sent.count == 400 && sent.contains(where: \.isMarked))
  }

  @Test func framesThatAreNotIPAreQueuedToo() throws {
    let queue = try make()
    let frame = Frame.ethernet(type: 0x88B5).payload(count: 100)
    var sent = queue.push([frame, frame, frame])["output"]
    sent += queue.advance(by: second)["output"]
    #expect(sent.map(\.bytes) == [frame.bytes, frame.bytes, frame.bytes])
  }

  /// All that comes in goes out or is dropped, whatever comes.
  @Test(arguments: 0..<8 as Range<Int>)
  func nothingIsLost(seed: Int) throws {
    var random = RandomNumbers(seed: UInt64(seed))
    let queue = try make(", capacity: 60, bytes: 40000, flows: \([1, 2, 7, 1024][seed % 4])")
    var counts = (pushed: 0, sent: 0, dropped: 0)
    for step in 0..<400 {
      let burst = (0..<Int(random.next() % 8)).flatMap { _ in
        frames(
          step..<step + 1, flow: UInt16(random.next() % 5), ecn: UInt8(random.next() % 4),
          length: Int(60 + random.next() % 1400))
      }
      let results = [queue.push(burst), queue.advance(by: random.next() % (4 * millisecond))]
      counts.pushed += burst.count
      counts.sent += results.map { $0["output"].count }.reduce(0, +)
      counts.dropped += results.flatMap { $0.drops.values }.reduce(0, +)
      #expect(queue.held <= 60)
    }
    counts.sent += queue.advance(by: 10 * second)["output"].count
    counts.dropped = Int(queue.totals.drops.values.reduce(0, +))
    #expect(counts.sent + counts.dropped == counts.pushed)
    #expect(queue.held == 0)
  }
}
