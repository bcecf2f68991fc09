/// Runs a plan step by step, on the calling thread and under a clock that the caller moves. What a plan does in a
/// `Worker` by replay it does here, a step at a time: for tests, and for tools that feed a plan themselves.
@safe
public final class PlanStepper {
  /// What is run.
  public let plan: Plan
  private var engine: Engine
  private let receiving: [Int]

  /// Sets the clock and calls `start` on every element.
  public init(_ plan: Plan, at start: Instant = Instant(nanoseconds: 0)) {
    self.plan = plan
    receiving = plan.receiveNodes
    unsafe engine = Engine(plan, ordered: true)
    unsafe engine.context.now = start
    for index in receiving { plan.queue(at: index).begin(at: start, isLive: false) }
    unsafe engine.start()
  }

  /// The clock.
  public var now: Instant { unsafe engine.context.now }

  /// When the next element wants to be woken; `.never` when none does.
  public var nextWake: Instant { unsafe engine.nextWake }

  /// How many packets the elements keep for later.
  public var held: Int { unsafe engine.countHeld() }

  /// Moves the clock forward to `instant` and wakes elements on the way, each at its time. An earlier `instant` leaves
  /// the clock as it is.
  public func advance(to instant: Instant) { unsafe engine.advance(to: instant) }

  /// Receives what has arrived at timed queues by now and what other workers handed over, runs the plan until nothing is
  /// pending, and then wakes the elements that asked for it meanwhile.
  /// - Returns: How many packets were received.
  @discardableResult
  public func step() -> Int {
    var received = unsafe engine.receiveDue(from: receiving)
    let handed = unsafe engine.receiveHandedOver()
    if handed > 0 {
      unsafe engine.settle()
      received += handed
    }
    unsafe engine.sendHandedOver()
    unsafe engine.fireWakes()
    return received
  }

  /// Asks an element, until it has answered all.
  public func perform(_ request: OperationRequest, at node: PlanNode) -> OperationAnswer {
    var whole = unsafe engine.perform(request, at: node.index)
    while let position = whole.position, whole.failure == nil {
      whole.append(unsafe engine.perform(request.resumed(at: position), at: node.index))
    }
    return whole
  }

  /// Calls `finish` on every element; returns what went wrong. Nothing may be run afterwards.
  public func finish() -> [String] { unsafe engine.finish() }
}
