import CDPDK
import Glibc
import Synchronization

/// Where a running worker leaves what its elements count besides, when another thread asks: the elements themselves are
/// the worker's alone.
public final class CounterBoard: Sendable {
  private let asked = Atomic<UInt64>(0)
  private let answered = Atomic<UInt64>(0)
  private let counters = Mutex<[[ElementCounter]]>([])

  /// Whether somebody waits for the worker.
  @inline(__always)
  var isAsked: Bool { asked.load(ordering: .relaxed) > answered.load(ordering: .relaxed) }

  /// Leaves the counters; the worker's side.
  /// - Parameter isLast: Whether the worker will not come back.
  func leave(_ counters: [[ElementCounter]], isLast: Bool = false) {
    let number = asked.load(ordering: .acquiring)
    self.counters.withLock { $0 = counters }
    answered.store(isLast ? .max : number, ordering: .releasing)
  }

  /// Asks the worker, and waits for it up to `milliseconds`; what it left before holds when it does not come.
  func ask(_ mailbox: Mailbox, milliseconds: Int) -> [[ElementCounter]] {
    let number = asked.add(1, ordering: .acquiringAndReleasing).newValue
    nfv_event_signal(mailbox.descriptor)
    var waits = milliseconds * 5
    while answered.load(ordering: .acquiring) < number, waits > 0 {
      usleep(200)
      waits -= 1
    }
    return counters.withLock { $0 }
  }
}
