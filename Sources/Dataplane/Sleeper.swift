import CDPDK

/// How an idle worker waits for packets or for a point in time.
@safe
struct Sleeper {
  private let queues: [any PortQueue]
  private let descriptors: [Int32]
  /// Whether every queue has a descriptor, so that no packet can come unnoticed.
  private let canWait: Bool

  init(queues: [any PortQueue], mailbox: Mailbox) {
    self.queues = queues
    let descriptors = queues.compactMap(\.descriptor)
    canWait = descriptors.count == queues.count
    self.descriptors = descriptors + (mailbox.descriptor >= 0 ? [mailbox.descriptor] : [])
  }

  /// How long a wait for descriptors lasts at most, so that a request to stop is noticed.
  static let longestWait: UInt64 = 50_000_000

  func sleep(until wake: Instant, now: Instant) {
    let limit = canWait ? Self.longestWait : UInt64(Worker.longestNap)
    let nanoseconds = min(limit, wake.nanoseconds(since: now))
    guard unsafe nfv_thread_wait(descriptors, UInt32(descriptors.count), nanoseconds) else { return }
    for queue in queues { queue.clearError() }
    // An interface that stays down would report it again at once.
    _ = nfv_thread_wait(nil, 0, UInt64(Worker.longestNap))
  }
}
