import CDPDK
import Glibc

/// An operation on its way to a worker and back.
@safe
public final class OperationJob: @unchecked Sendable {
  /// The node that is asked, by its place in the plan.
  let node: Int
  /// What is asked.
  let request: OperationRequest
  private let done = StopFlag()
  private var answer = OperationAnswer()

  init(node: Int, request: OperationRequest) {
    self.node = node
    self.request = request
  }

  /// What the element answered, once it did.
  public var result: OperationAnswer? {
    guard done.isRaised else { return nil }
    nfv_acquire()
    return answer
  }

  func finish(_ answer: OperationAnswer) {
    self.answer = answer
    nfv_release()
    done.raise()
  }
}

/// Where the control thread leaves what a worker is to do between two rounds.
@safe
public final class Mailbox: @unchecked Sendable {
  private let word: UnsafeMutablePointer<UnsafeMutableRawPointer?>
  /// Becomes readable when something was left, so that a sleeping worker wakes; -1 when the system had none.
  let descriptor: Int32

  init() {
    unsafe word = .allocate(capacity: 1)
    unsafe word.initialize(to: nil)
    descriptor = nfv_event_make()
  }

  deinit {
    _ = take()
    unsafe word.deallocate()
    if descriptor >= 0 { close(descriptor) }
  }

  /// Asks a node of the plan; one question may be under way at a time.
  /// - Parameter node: The node's place in `Plan.names`.
  public func post(_ request: OperationRequest, to node: Int) -> OperationJob {
    let job = OperationJob(node: node, request: request)
    let old = unsafe nfv_exchange_pointer(word, Unmanaged.passRetained(job).toOpaque())
    if let old = unsafe old { unsafe Unmanaged<OperationJob>.fromOpaque(old).release() }
    nfv_event_signal(descriptor)
    return job
  }

  /// Whether something was left.
  var isFull: Bool { unsafe nfv_load_pointer(word) != nil }

  /// What is left from now on wakes the worker anew.
  func clearSignal() { nfv_event_clear(descriptor) }

  func take() -> OperationJob? {
    guard let job = unsafe nfv_exchange_pointer(word, nil) else { return nil }
    clearSignal()
    return unsafe Unmanaged<OperationJob>.fromOpaque(job).takeRetainedValue()
  }
}
