import CDPDK

/// A word by which one thread tells others to stop.
@safe
public final class StopFlag: @unchecked Sendable {
  private let word: UnsafeMutablePointer<UInt64>

  /// A flag that is not raised.
  public init() {
    unsafe word = .allocate(capacity: 1)
    unsafe word.initialize(to: 0)
  }

  deinit { unsafe word.deallocate() }

  /// Whether it was raised.
  public var isRaised: Bool { unsafe nfv_load_relaxed(word) != 0 }
  /// Raises it. Safe to call from a signal handler.
  public func raise() { unsafe nfv_store_relaxed(word, 1) }
}

/// How a worker waits when there is nothing to do.
public enum Polling: String, CaseIterable, Sendable {
  /// Spins under load and sleeps when idle, on the ports' descriptors where they have one.
  case adaptive
  /// Never sleeps.
  case busy
}

/// Runs a plan on the calling thread.
public final class Worker: @unchecked Sendable {
  /// What is run.
  public let plan: Plan
  private let polling: Polling
  private let cpu: Int?
  private let readers: ReaderDomain?

  /// - Parameters:
  ///   - cpu: The CPU to be pinned to; nil leaves the thread where the system puts it.
  ///   - readers: The domain that the plan's snapshots belong to.
  public init(plan: Plan, polling: Polling = .adaptive, cpu: Int? = nil, readers: ReaderDomain? = nil) {
    self.plan = plan
    self.polling = polling
    self.cpu = cpu
    self.readers = readers
  }

  /// How long it goes on for held packets after the last one came in.
  static let drainNanoseconds: UInt64 = 1_000_000_000
  /// Rounds without a packet after which an adaptive worker begins to sleep.
  static let spinRounds = 2_000
  /// How long an adaptive worker sleeps at most when it cannot wait for a descriptor: what a packet may have to wait
  /// after a pause in the traffic.
  static let longestNap = 500_000

  /// Receives and processes until `stop` is raised, or all queues that end have ended; then drains.
  /// - Returns: What elements reported as gone wrong.
  public func run(until stop: StopFlag) -> [String] {
    enterThread()
    defer { leaveThread() }
    let clock = LiveClock()
    var engine = unsafe Engine(plan, ordered: false)
    let receiving = plan.receiveNodes
    let sleeper = Sleeper(queues: receiving.map { plan.queue(at: $0) }, mailbox: plan.mailbox)
    unsafe engine.context.now = clock.now
    for index in receiving { plan.queue(at: index).begin(at: unsafe engine.context.now, isLive: true) }
    unsafe engine.start()
    var idleRounds = 0
    while !stop.isRaised {
      unsafe engine.context.now = clock.now
      var received = 0
      for index in receiving { unsafe received += engine.receive(index) }
      if plan.handover != nil { unsafe received += engine.receiveHandedOver() }
      if received > 0 { unsafe engine.settle() }
      if unsafe engine.nextWake <= engine.context.now { unsafe engine.fireWakes() }
      if unsafe engine.hasOutgoing { unsafe engine.sendHandedOver() }
      readers?.quiescent(plan.worker)
      let served = plan.mailbox.isFull || plan.board.isAsked ? unsafe engine.serve() : false
      if received > 0 || served || polling == .busy {
        if idleRounds >= Self.spinRounds { plan.handover?.goOn(plan.worker) }
        idleRounds = 0
        continue
      }
      idleRounds += 1
      if idleRounds < Self.spinRounds { continue }
      if unsafe isIdle(engine) && receiving.allSatisfy({ plan.queue(at: $0).hasEnded }) {
        // Others may still hand something over.
        if plan.handover?.isDone(plan.worker) ?? true { break }
      }
      _ = unsafe engine.countHeld()
      guard plan.handover?.fallAsleep(plan.worker) ?? true else { continue }
      readers?.offline(plan.worker)
      sleeper.sleep(until: unsafe engine.nextWake, now: unsafe engine.context.now)
      readers?.online(plan.worker)
      plan.handover?.awake(plan.worker)
    }
    let end = unsafe engine.context.now.advanced(by: Self.drainNanoseconds)
    unsafe engine.settle()
    while unsafe engine.countHeld() > 0 && engine.nextWake < end && engine.context.now < end {
      unsafe engine.context.now = clock.now
      unsafe engine.fireWakes()
    }
    let problems = unsafe engine.finish()
    unsafe engine.leaveCounters(isLast: true)
    return problems
  }

  /// Plays queues whose packets carry a time, as fast as it goes: time is theirs, and timers fire in between. Ends when
  /// they end, or early when `stop` is raised.
  /// - Parameter progress: Called now and then with the number of packets received so far.
  /// - Returns: What elements reported as gone wrong.
  public func replay(until stop: StopFlag, progress: (UInt64) -> Void = { _ in }) -> [String] {
    enterThread()
    defer { leaveThread() }
    var engine = unsafe Engine(plan, ordered: true)
    let receiving = plan.receiveNodes
    unsafe engine.context.now = nextArrival(of: receiving) ?? Instant(nanoseconds: 0)
    for index in receiving { plan.queue(at: index).begin(at: unsafe engine.context.now, isLive: false) }
    unsafe engine.start()
    unsafe engine.fireWakes()
    var total: UInt64 = 0
    var reported: UInt64 = 0
    var problems: [String] = []
    while !stop.isRaised, let arrival = nextArrival(of: receiving) {
      unsafe engine.advance(to: arrival)
      let received = unsafe engine.receiveDue(from: receiving)
      total += UInt64(received)
      unsafe engine.fireWakes()
      if received == 0 && nextArrival(of: receiving) == arrival {
        // A packet that takes more buffers than there are is given up.
        if unsafe engine.countHeld() == 0 && engine.skipDue(from: receiving) { continue }
        // No packet buffer is left. Time goes on until elements let go of what they hold.
        guard unsafe engine.nextWake <= arrival.advanced(by: Self.replayDrainNanoseconds) else {
          problems.append(
            unsafe "replay stopped early: no packet buffer is left while elements hold \(engine.countHeld()) packets; "
              + "raise runtime.packets")
          break
        }
        unsafe engine.advance(to: engine.nextWake)
      }
      readers?.quiescent(plan.worker)
      if total - reported >= 65_536 {
        reported = total
        progress(total)
      }
    }
    let end = unsafe engine.context.now.advanced(by: Self.replayDrainNanoseconds)
    while unsafe engine.countHeld() > 0 && engine.nextWake <= end {
      unsafe engine.advance(to: engine.nextWake)
    }
    progress(total)
    return unsafe problems + engine.finish()
  }

  /// How long virtual time goes on for held packets after the last one came in.
  static let replayDrainNanoseconds: UInt64 = 3_600_000_000_000

  private func isIdle(_ engine: borrowing Engine) -> Bool { unsafe engine.nextWake == .never }

  private func nextArrival(of receiving: [Int]) -> Instant? {
    var earliest: Instant?
    for index in receiving {
      guard let next = plan.queue(at: index).nextArrival else { continue }
      if earliest == nil || next < earliest! { earliest = next }
    }
    return earliest
  }

  private func enterThread() {
    nfv_thread_register()
    unsafe nfv_thread_name("nfvrun-\(plan.worker)")
    if let cpu { nfv_thread_pin(UInt32(cpu)) }
    readers?.online(plan.worker)
  }

  private func leaveThread() {
    readers?.offline(plan.worker)
    nfv_thread_unregister()
  }
}
