import Glibc

/// What workers came back with; the thread that waits for them is told when the last is done.
@safe
final class Results: @unchecked Sendable {
  private let mutex: UnsafeMutablePointer<pthread_mutex_t>
  private let condition: UnsafeMutablePointer<pthread_cond_t>
  private var collected: [[String]]
  private var missing: Int

  init(count: Int) {
    unsafe mutex = .allocate(capacity: 1)
    unsafe condition = .allocate(capacity: 1)
    unsafe pthread_mutex_init(mutex, nil)
    unsafe pthread_cond_init(condition, nil)
    collected = Array(repeating: [], count: count)
    missing = count
  }

  deinit {
    unsafe pthread_mutex_destroy(mutex)
    unsafe pthread_cond_destroy(condition)
    unsafe mutex.deallocate()
    unsafe condition.deallocate()
  }

  func finish(_ index: Int, _ problems: [String]) {
    unsafe pthread_mutex_lock(mutex)
    collected[index] = problems
    missing -= 1
    unsafe pthread_cond_broadcast(condition)
    unsafe pthread_mutex_unlock(mutex)
  }

  /// Waits for a while. Returns whether all are done.
  func wait(milliseconds: Int) -> Bool {
    var until = timespec()
    unsafe clock_gettime(CLOCK_REALTIME, &until)
    until.tv_nsec += milliseconds * 1_000_000
    until.tv_sec += until.tv_nsec / 1_000_000_000
    until.tv_nsec %= 1_000_000_000
    unsafe pthread_mutex_lock(mutex)
    if missing > 0 { _ = unsafe pthread_cond_timedwait(condition, mutex, &until) }
    let done = missing == 0
    unsafe pthread_mutex_unlock(mutex)
    return done
  }

  var problems: [String] {
    unsafe pthread_mutex_lock(mutex)
    let all = collected.flatMap { $0 }
    unsafe pthread_mutex_unlock(mutex)
    return all
  }
}

/// Nanoseconds on the monotonic clock.
func nowNanoseconds() -> UInt64 {
  var time = timespec()
  unsafe clock_gettime(CLOCK_MONOTONIC, &time)
  return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
}
