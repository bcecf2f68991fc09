import Dataplane
import Probes

/// Asks backends whether they work, with sockets that never block. The control thread alone uses it.
final class BalancerHealth {
  /// A backend that is to be asked.
  struct Target {
    let slot: Int
    let serial: UInt16
    let request: ProbeRequest
    let settings: HealthSettings
  }

  /// What was found out about a backend.
  struct Finding {
    let slot: Int
    let serial: UInt16
    let isHealthy: Bool
    /// What was wrong; empty when nothing was.
    let complaint: String
  }

  private final class Check {
    var target: Target
    let number: UInt16
    var probe: Probe?
    var waiting: ControlDescriptor?
    /// When to ask next, or to give up.
    var next: Instant
    /// Nil before the first answer, which decides at once.
    var isHealthy: Bool?
    /// How many answers in a row say otherwise.
    var against = 0

    init(_ target: Target, number: UInt16, next: Instant) {
      (self.target, self.number, self.next) = (target, number, next)
    }
  }

  private var checks: [Check] = []
  private var numbers: UInt16 = 0

  /// When to run next.
  var next: Instant { checks.map(\.next).min() ?? .never }

  /// What is waited for.
  var descriptors: [ControlDescriptor] { checks.compactMap(\.waiting) }

  /// Asks these backends from now on, and no others. Those that are asked already go on as they were.
  func follow(_ targets: [Target], now: Instant) {
    let old = Dictionary(checks.map { (Self.key($0.target), $0) }, uniquingKeysWith: { $1 })
    checks = targets.enumerated().map { index, target in
      if let known = old[Self.key(target)], known.target.request == target.request {
        known.target = target
        return known
      }
      numbers &+= 1
      // Spread over the time between two checks, so that not all answers come at once.
      let delay = target.settings.interval / UInt64(targets.count) * UInt64(index)
      return Check(target, number: numbers, next: now.advanced(by: delay))
    }
  }

  private static func key(_ target: Target) -> Int { target.slot << 16 | Int(target.serial) }

  /// Goes on with all that is ready or due.
  func run(_ now: Instant) -> [Finding] { checks.compactMap { advance($0, now) } }

  private func advance(_ check: Check, _ now: Instant) -> Finding? {
    let settings = check.target.settings
    if check.waiting == nil {
      guard check.next <= now else { return nil }
      check.probe = Probe(check.target.request, number: check.number)
      let progress = check.probe?.begin() ?? .unable("")
      return conclude(check, progress, now, begun: true)
    }
    let progress = check.probe?.advance() ?? .unable("")
    if case .waiting = progress, check.next <= now {
      let milliseconds = settings.timeout / 1_000_000
      return conclude(check, .failed("no answer within \(milliseconds) ms"), now, begun: false)
    }
    return conclude(check, progress, now, begun: false)
  }

  private func conclude(_ check: Check, _ progress: Probe.Progress, _ now: Instant, begun: Bool) -> Finding? {
    let complaint: String
    switch progress {
    case .waiting(let descriptor, let isWriting):
      check.waiting = ControlDescriptor(descriptor, isWriting ? .write : .read)
      if begun { check.next = now.advanced(by: check.target.settings.timeout) }
      return nil
    case .passed: complaint = ""
    case .failed(let reason): complaint = reason
    case .unable:
      // This host's own trouble says nothing about the backend.
      rest(check, now)
      return nil
    }
    rest(check, now)
    return judge(check, complaint)
  }

  private func rest(_ check: Check, _ now: Instant) {
    check.probe = nil
    check.waiting = nil
    check.next = now.advanced(by: check.target.settings.interval)
  }

  private func judge(_ check: Check, _ complaint: String) -> Finding? {
    let passed = complaint.isEmpty
    guard check.isHealthy != passed else {
      check.against = 0
      return nil
    }
    check.against += 1
    let needed = check.isHealthy == nil ? 1 : passed ? check.target.settings.rise : check.target.settings.fall
    guard check.against >= needed else { return nil }
    check.against = 0
    check.isHealthy = passed
    return Finding(
      slot: check.target.slot, serial: check.target.serial, isHealthy: passed, complaint: complaint)
  }
}
