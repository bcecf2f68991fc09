import CDPDK
import Glibc

/// Turns the time-stamp counter into time: wall-clock time at the start, and from there on without jumps.
public struct LiveClock: Sendable {
  private let startTicks: UInt64
  private let startNanoseconds: UInt64
  /// Nanoseconds a tick, times 2^32.
  private let scale: UInt64

  /// A clock that starts now.
  public init() {
    startTicks = nfv_tsc()
    var time = timespec()
    unsafe clock_gettime(CLOCK_REALTIME, &time)
    startNanoseconds = UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    scale = UInt64((1_000_000_000.0 * 4_294_967_296.0) / Double(max(nfv_tsc_hz(), 1)))
  }

  /// The time.
  public var now: Instant {
    let product = (nfv_tsc() &- startTicks).multipliedFullWidth(by: scale)
    return Instant(nanoseconds: startNanoseconds &+ (product.high << 32 | product.low >> 32))
  }
}
