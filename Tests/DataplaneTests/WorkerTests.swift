import Configuration
import Dataplane
import Glibc
import Synchronization
import TestKit
import Testing

/// Live workers on threads of their own. One at a time: they are timed.
@Suite(.serialized) struct WorkerTests {
  /// Runs `body` on a thread of its own while `work` runs on this one.
  private func concurrently(_ body: @escaping @Sendable () -> Void, _ work: () throws -> Void) rethrows {
    let thread = Threaded(body)
    defer { thread.join() }
    try work()
  }

  @Test func stopsAndHandsOnWhatIsPending() throws {
    try withTestPool { pool in
      let plan = Plan(worker: 0, pool: pool.pool, batchSize: 32, nodes: 3)
      let source = EndlessSource(pool: pool.pool)
      let sink = CountingSink()
      let receiver = plan.addReceive("source", source)
      let pass = plan.addElement("pass", ElementInstance(Pass()), inputs: 1)
      let out = plan.addTransmit("sink", sink)
      plan.connect(receiver, output: 0, to: pass, input: 0)
      plan.connect(pass, output: 0, to: out, input: 0)
      let stop = StopFlag()
      concurrently({ #expect(Worker(plan: plan).run(until: stop) == []) }) {
        while plan.counters(of: out).packetsIn < 10_000 { usleep(1000) }
        stop.raise()
      }
      let counted = plan.counters(of: out)
      #expect(counted.packetsIn == plan.counters(of: receiver).packetsIn)
      #expect(plan.imbalances == [])
    }
  }

  @Test func drainsWhatIsHeld() throws {
    try withTestPool { pool in
      let plan = Plan(worker: 0, pool: pool.pool, batchSize: 32, nodes: 3)
      let source = MemorySource(pool: pool.pool)
      source.append(Array(repeating: Frame.ethernet().ipv4().udp(), count: 40), at: Instant(nanoseconds: 0))
      let sink = CountingSink()
      let receiver = plan.addReceive("source", source)
      let hold = plan.addElement("hold", ElementInstance(Hold(nanoseconds: 200_000_000)), inputs: 1)
      let out = plan.addTransmit("sink", sink)
      plan.connect(receiver, output: 0, to: hold, input: 0)
      for output in 0...1 { plan.connect(hold, output: output, to: out, input: 0) }
      let stop = StopFlag()
      concurrently({ #expect(Worker(plan: plan).run(until: stop) == []) }) {
        while plan.counters(of: hold).packetsIn < 40 { usleep(1000) }
        stop.raise()
      }
      #expect(plan.counters(of: out).packetsIn == 40)
      #expect(plan.counters(of: hold).held == 0)
      #expect(plan.imbalances == [])
    }
  }

  @Test func endsWithItsQueues() throws {
    try withTestPool { pool in
      let plan = Plan(worker: 0, pool: pool.pool, batchSize: 32, nodes: 3)
      let source = MemorySource(pool: pool.pool)
      source.append(Array(repeating: Frame.ethernet().ipv4().udp(), count: 100), at: Instant(nanoseconds: 0))
      let sink = CountingSink()
      let receiver = plan.addReceive("source", source)
      let out = plan.addTransmit("sink", sink)
      plan.connect(receiver, output: 0, to: out, input: 0)
      #expect(Worker(plan: plan).run(until: StopFlag()) == [])
      #expect(plan.counters(of: out).packetsIn == 100)
    }
  }

  @Test(arguments: [false, true]) func sleepsWhenIdle(hasDescriptor: Bool) throws {
    try withTestPool { pool in
      let plan = Plan(worker: 0, pool: pool.pool, batchSize: 32, nodes: 3)
      var pipes: [Int32] = [0, 0]
      #expect(unsafe pipe(&pipes) == 0)
      defer { pipes.forEach { _ = close($0) } }
      let receiver = plan.addReceive("source", IdleSource(descriptor: hasDescriptor ? pipes[0] : nil))
      let out = plan.addDiscard()
      plan.connect(receiver, output: 0, to: out, input: 0)
      let stop = StopFlag()
      let used = Reference()
      let thread = Threaded {
        let before = threadMicroseconds()
        #expect(Worker(plan: plan).run(until: stop) == [])
        used.value.store(threadMicroseconds() - before, ordering: .relaxed)
      }
      usleep(1_000_000)
      stop.raise()
      thread.join()
      #expect(used.value.load(ordering: .relaxed) < 50_000, "microseconds of CPU time in one second")
    }
  }

  /// There are 128 identities for threads in a DPDK process; workers give theirs back.
  @Test func threadsComeAndGo() throws {
    try withTestPool { pool in
      for _ in 0..<300 {
        let plan = Plan(worker: 0, pool: pool.pool, batchSize: 32, nodes: 2)
        let receiver = plan.addReceive("source", MemorySource(pool: pool.pool))
        plan.connect(receiver, output: 0, to: plan.addDiscard(), input: 0)
        Threaded { _ = Worker(plan: plan).replay(until: StopFlag()) }.join()
      }
      let hasIdentity = Reference()
      Threaded { if PacketEnvironment.registerThread() { hasIdentity.add() } }.join()
      #expect(hasIdentity.value.load(ordering: .relaxed) == 1)
    }
  }
}

@Suite struct SnapshotTests {
  /// A value that is whole when all its parts are equal.
  private final class Parts: Sendable {
    static let alive = Atomic(0)
    let parts: [Int]

    init(_ number: Int) {
      parts = Array(repeating: number, count: 64)
      Self.alive.add(1, ordering: .relaxed)
    }

    deinit { Self.alive.subtract(1, ordering: .relaxed) }
  }

  @Test func readersSeeWholeValuesWhileTheyAreReplaced() throws {
    try TestEnvironment.start()
    let domain = try #require(ReaderDomain(workers: 2))
    let torn = Reference()
    let seen = Reference()
    do {
      let snapshot = Snapshot(Parts(0))
      try withTestPool { pool in
        let stop = StopFlag()
        let threads = (0..<2).map { number in
          let plan = Plan(worker: number, pool: pool.pool, batchSize: 32, nodes: 3)
          let receiver = plan.addReceive("source", EndlessSource(pool: pool.pool, limit: 8))
          let reader = plan.addElement("reader", ElementInstance(Reading(snapshot, torn: torn, seen: seen)), inputs: 1)
          plan.connect(receiver, output: 0, to: reader, input: 0)
          plan.connect(reader, output: 0, to: plan.addDiscard(), input: 0)
          return Threaded { _ = Worker(plan: plan, polling: .busy, readers: domain).run(until: stop) }
        }
        for number in 1...500 { snapshot.replace(with: Parts(number), in: domain) }
        // All but the current one are freed as soon as `replace` returns.
        #expect(Parts.alive.load(ordering: .relaxed) == 1)
        while seen.value.load(ordering: .relaxed) < 2000 { usleep(1000) }
        stop.raise()
        for thread in threads { thread.join() }
      }
      #expect(torn.value.load(ordering: .relaxed) == 0)
      snapshot.read { value in #expect(value.parts[63] == 500) }
    }
    #expect(Parts.alive.load(ordering: .relaxed) == 0)
  }

  private struct Reading: PacketElement, ~Copyable {
    private let snapshot: Snapshot<Parts>
    private let torn: Reference
    private let seen: Reference
    private var last = 0

    init(_ snapshot: Snapshot<Parts>, torn: Reference, seen: Reference) {
      self.snapshot = snapshot
      self.torn = torn
      self.seen = seen
    }

    init(_ settings: inout Settings) throws(ConfigurationError) {
      self.init(Snapshot(Parts(0)), torn: Reference(), seen: Reference())
    }

    mutating func process(_ packet: inout Packet) -> Verdict<SoleOutput> {
      let first = snapshot.read { value in
        if !value.parts.allSatisfy({ $0 == value.parts[0] }) { torn.add() }
        return value.parts[0]
      }
      // A reader never goes back to an older value.
      if first < last { torn.add() }
      last = first
      seen.add()
      return .forward(.output)
    }
  }
}

/// A count that threads share.
private final class Reference: Sendable {
  let value = Atomic(0)
  func add() { value.add(1, ordering: .relaxed) }
}

/// A thread that can be waited for.
final class Threaded: Sendable {
  private let body: @Sendable () -> Void
  private let thread = Atomic<UInt>(0)

  init(_ body: @escaping @Sendable () -> Void) {
    self.body = body
    var handle = pthread_t()
    let context = unsafe Unmanaged.passRetained(self).toOpaque()
    let result = unsafe pthread_create(
      &handle, nil,
      { context in
        guard let context = unsafe context else { return nil }
        unsafe Unmanaged<Threaded>.fromOpaque(context).takeRetainedValue().body()
        return nil
      }, context)
    precondition(result == 0, "no thread")
    thread.store(UInt(handle), ordering: .relaxed)
  }

  func join() { pthread_join(pthread_t(thread.load(ordering: .relaxed)), nil) }
}

/// CPU time that the calling thread used.
private func threadMicroseconds() -> Int {
  var time = timespec()
  _ = unsafe clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
  return time.tv_sec * 1_000_000 + time.tv_nsec / 1000
}

/// A source that always has packets.
@safe
private final class EndlessSource: PortQueue {
  private let pool: PacketPool
  private let most: Int
  private let frame = Frame(Frame.ethernet().ipv4().udp().bytes)

  init(pool: PacketPool, limit: Int = 256) {
    self.pool = pool
    most = limit
  }

  @unsafe
  func receive(_ slots: UnsafeMutablePointer<PacketSlot>, limit: Int, now: Instant, bytes: inout UInt64) -> Int {
    var count = 0
    while count < min(limit, most), let packet = pool.packet(frame) {
      bytes += UInt64(packet.length)
      unsafe slots[count] = packet.intoSlot()
      count += 1
    }
    return count
  }

  @unsafe
  func transmit(_ slots: UnsafeMutablePointer<PacketSlot>, count: Int, now: Instant) -> Int { 0 }
}

/// A source from which nothing comes.
@safe
private final class IdleSource: PortQueue {
  let descriptor: Int32?

  init(descriptor: Int32?) { self.descriptor = descriptor }

  @unsafe
  func receive(_ slots: UnsafeMutablePointer<PacketSlot>, limit: Int, now: Instant, bytes: inout UInt64) -> Int { 0 }
  @unsafe
  func transmit(_ slots: UnsafeMutablePointer<PacketSlot>, count: Int, now: Instant) -> Int { 0 }
}

/// A sink that keeps nothing.
@safe
private final class CountingSink: PortQueue {
  @unsafe
  func receive(_ slots: UnsafeMutablePointer<PacketSlot>, limit: Int, now: Instant, bytes: inout UInt64) -> Int { 0 }
  @unsafe
  func transmit(_ slots: UnsafeMutablePointer<PacketSlot>, count: Int, now: Instant) -> Int {
    for index in 0..<count { if let packet = unsafe Packet(taking: slots[index]) { packet.discard() } }
    return count
  }
}
