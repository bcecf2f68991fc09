import Configuration
import Dataplane
import Tables
import Wire

/// What `CoDel` and `FQCoDel` are set to.
struct DelaySettings {
  let rate: LimitRate
  let capacity: Int
  let byteLimit: UInt64
  let marksECN: Bool
  let overhead: Int
  let isFair: Bool
  let flows: Int
  let quantum: Int
  let parameters: ControlledDelay.Parameters

  init(_ settings: inout Settings, fair: Bool) throws(ConfigurationError) {
    isFair = fair
    rate = try settings.take("rate", "packets or bits a second that the link takes", shorthand: true)
    rate.check(&settings)
    let target: Duration = try settings.take(
      "target", default: .milliseconds(5), in: .microseconds(1)...(.seconds(10)), "the wait that is acceptable for good"
    )
    let interval: Duration = try settings.take(
      "interval", default: .milliseconds(100), in: .microseconds(10)...(.seconds(100)),
      "for how long it has to be exceeded: about the longest round trip")
    capacity = try settings.take("capacity", default: fair ? 10_240 : 1000, in: 1...1_000_000, "packets that fit")
    let size: DataSize = try settings.take("bytes", default: DataSize(bytes: 32 << 20), "bytes that fit")
    marksECN = try settings.take(
      "ecn", default: fair, "mark congestion in place of dropping, where the transport takes it (RFC 3168)")
    let largest = try settings.take(
      "packet", default: 1514, in: 64...65_535, "the longest frame in bytes: no more is never too much")
    overhead = try settings.take(
      "overhead", default: 0, in: 0...64, "bytes counted besides each frame's own; 24 counts the whole wire")
    flows = fair ? try settings.take("flows", default: 1024, in: 1...65_536, "queues that flows are spread over") : 1
    quantum =
      fair ? try settings.take("quantum", default: 1514, in: 64...65_535, "bytes that a flow sends in a turn") : largest
    if target >= interval {
      settings.reject(
        settings.range(of: "target"), "the target is no shorter than the interval",
        remedy: "give 5 to 10 % of the interval (RFC 8289, 4.3)")
    }
    if size.bytes < UInt64(largest) {
      settings.reject(settings.range(of: "bytes"), "not one packet fits", remedy: "give at least \(largest)")
    }
    byteLimit = size.bytes
    parameters = ControlledDelay.Parameters(
      target: target.wholeNanoseconds, interval: interval.wholeNanoseconds, packet: UInt64(largest))
  }
}

/// What `CoDel` and `FQCoDel` have in common: packets that wait for their turn on a link of a rate.
struct DelayQueue: ~Copyable {
  private var packets: PacketStore
  private var queues: FlowQueues
  private let byteLimit: UInt64
  private let marksECN: Bool
  private let overhead: Int
  private var pacer: Pacer
  private var nextRelease = Instant(nanoseconds: 0)
  private var seed: UInt32 = 0
  private let marked = Tally(1)
  private var mostHeld = 0
  private let reportsFlows: Bool

  /// At most so many packets go at once when there is no room (RFC 8290, 4.1).
  private static let batchLimit = 64

  init(_ settings: DelaySettings) {
    pacer = Pacer(settings.rate)
    byteLimit = settings.byteLimit
    marksECN = settings.marksECN
    overhead = settings.overhead
    reportsFlows = settings.isFair
    packets = PacketStore(capacity: settings.capacity)
    queues = FlowQueues(
      capacity: settings.capacity, flows: settings.flows, quantum: settings.quantum, settings.parameters)
  }

  var held: Int { packets.count }

  var counters: [ElementCounter] {
    [ElementCounter("marked", marked[0]), ElementCounter("mostHeld", UInt64(mostHeld))]
      + (reportsFlows ? [ElementCounter("newFlows", queues.begun)] : [])
  }

  mutating func start(_ context: inout Context) {
    // Nobody is to know which flows share a queue.
    if reportsFlows { seed = UInt32(truncatingIfNeeded: context.random.next()) }
  }

  mutating func process<E: Element & ~Copyable>(_ batch: inout PacketBatch<E>, _ context: inout Context) {
    let wasEmpty = packets.count == 0
    let now = context.now.nanoseconds
    batch.takeEach { packet, emitter in
      let length = packet.length
      guard UInt64(length) <= byteLimit else {
        emitter.drop(packet, .queueFull)
        return
      }
      let flow = (packet.flowHash ^ seed) &* 0x9E37_79B1 >> 8
      while packets.isFull || queues.bytes > byteLimit - UInt64(length) {
        guard makeRoom(&emitter) else { break }
      }
      queues.append(packets.insert(packet), flow: flow, length: length, now: now)
      mostHeld = max(mostHeld, packets.count)
    }
    if wasEmpty, packets.count > 0 {
      // Time without packets earns no credit.
      nextRelease = max(nextRelease, context.now)
      context.wake(at: nextRelease)
    }
  }

  /// Drops from the front of the longest queue: half of it, that the search is not made for each packet. False when there is
  /// nothing to drop.
  private mutating func makeRoom<E: Element & ~Copyable>(_ emitter: inout Emitter<E>) -> Bool {
    guard let longest = queues.longest else { return false }
    for _ in 0..<min(max(longest.count / 2, 1), Self.batchLimit) {
      guard let place = queues.removeFirst(flow: longest.flow), let packet = packets.remove(at: place) else { break }
      emitter.drop(packet, .queueFull)
    }
    return true
  }

  mutating func wake<E: Element & ~Copyable>(
    _ batch: inout PacketBatch<E>, _ context: inout Context, output: E.Output, tooLong: DropReason
  ) {
    while nextRelease <= context.now {
      // From the time it was due, not from now: a late wake-up does not lower the rate.
      guard let place = Self.next(&queues, &packets, marked, marksECN, now: nextRelease, &batch, tooLong),
        let packet = packets.remove(at: place)
      else { return }
      nextRelease = nextRelease.advanced(by: pacer.spacing(afterBytes: packet.length + overhead))
      batch.emit(packet, to: output)
    }
    if packets.count > 0 { context.wake(at: nextRelease) }
  }

  private static func next<E: Element & ~Copyable>(
    _ queues: inout FlowQueues, _ packets: inout PacketStore, _ marked: Tally, _ marksECN: Bool, now: Instant,
    _ batch: inout PacketBatch<E>,
    _ tooLong: DropReason
  ) -> UInt32? {
    queues.next(now: now.nanoseconds) { place in
      if marksECN, packets.update(at: place, { $0.markCongestion() }) == true {
        marked.add(1, to: 0)
        return false
      }
      if let packet = packets.remove(at: place) { batch.drop(packet, tooLong) }
      return true
    }
  }
}

extension Packet {
  /// Marks that there is congestion, if the transport takes it (RFC 3168, 5). False when it does not, or when that takes a
  /// buffer and none is left.
  mutating func markCongestion() -> Bool {
    let trafficClass: UInt8
    if let ip = ipv4 { trafficClass = ip.trafficClass } else { trafficClass = ipv6?.trafficClass ?? 0 }
    guard trafficClass & 3 != 0, makeWritable() else { return false }
    mutableIPv4?.setTrafficClass(trafficClass | 3)
    mutableIPv6?.setTrafficClass(trafficClass | 3)
    return true
  }
}
