public import Dataplane
import Glibc

/// A thread that runs a closure once, and can be waited for.
@safe
final class Thread: @unchecked Sendable {
  private var handle = pthread_t()
  private let body: @Sendable () -> Void

  /// Starts the thread.
  /// - Throws: `EnvironmentError` when the system has none left.
  init(_ body: @escaping @Sendable () -> Void) throws(EnvironmentError) {
    self.body = body
    let result = unsafe pthread_create(
      &handle, nil,
      { argument in
        guard let argument = unsafe argument else { return nil }
        unsafe Unmanaged<Thread>.fromOpaque(argument).takeRetainedValue().body()
        return nil
      }, Unmanaged.passRetained(self).toOpaque())
    guard result == 0 else {
      unsafe Unmanaged.passUnretained(self).release()
      throw EnvironmentError("no thread could be started", remedy: "raise the limit: ulimit -u")
    }
  }

  /// Waits until the closure has returned.
  func join() { pthread_join(handle, nil) }
}

/// Turns SIGINT and SIGTERM into a raised flag: packets under way are finished and the report is printed. A second
/// signal ends the process at once.
public enum Signals {
  /// To be called before any thread is started, so that all of them leave the signals to the one that waits for them.
  public static func stop(_ flag: StopFlag) throws(EnvironmentError) {
    signal(SIGPIPE, SIG_IGN)
    var set = sigset_t()
    unsafe sigemptyset(&set)
    unsafe sigaddset(&set, SIGINT)
    unsafe sigaddset(&set, SIGTERM)
    unsafe pthread_sigmask(SIG_BLOCK, &set, nil)
    let waited = set
    _ = try Thread {
      var set = waited
      var number: Int32 = 0
      unsafe sigwait(&set, &number)
      flag.raise()
      unsafe sigwait(&set, &number)
      _exit(128 + number)
    }
  }
}
