import Assembly
import Configuration
import Dataplane

/// One request on its way: who is asked, one after the other, and how far it has come.
struct Asking {
  enum Addressee {
    case task(any ControlTask)
    case worker(Int, node: Int)
  }

  /// What became of a step.
  enum Step {
    /// Rows to be sent; there is more to come.
    case rows([[(name: String, value: String)]])
    /// Nothing yet.
    case waiting
    case done
    case failed(String)
  }

  private let request: ControlRequest
  private var addressees: ArraySlice<Addressee>
  /// Rows that were given, in calls of as many as one takes.
  private let batches: [[[String: String]]]
  private var batch = 0
  private var position: UInt64 = 0
  private var job: OperationJob?

  init(_ request: ControlRequest, _ addressees: [Addressee], rows: [[String: String]]) {
    self.request = request
    self.addressees = addressees[...]
    batches = stride(from: 0, to: max(rows.count, 1), by: OperationRequest.rowLimit).map { start in
      Array(rows[start..<min(start + OperationRequest.rowLimit, rows.count)])
    }
  }

  /// Asks, or looks whether there is an answer.
  /// - Parameter mailbox: A worker's mailbox; nil when another request is under way there, or when the worker is done.
  mutating func step(_ mailbox: (Int) -> Mailbox?, isOver: Bool) -> Step {
    guard let addressee = addressees.first else { return .done }
    let answer: OperationAnswer
    switch addressee {
    case .task(let task):
      var given = OperationAnswer()
      task.perform(next, &given)
      answer = given
    case .worker(let worker, let node):
      guard let asked = job else {
        if isOver { return .failed("the run has ended") }
        if let mailbox = mailbox(worker) { job = mailbox.post(next, to: node) }
        return .waiting
      }
      guard let result = asked.result else { return isOver ? .failed("the run has ended") : .waiting }
      job = nil
      answer = result
    }
    if let failure = answer.failure { return .failed(failure) }
    if let position = answer.position {
      self.position = position
    } else {
      position = 0
      batch += 1
      if batch == batches.count {
        batch = 0
        addressees.removeFirst()
      }
    }
    return .rows(answer.rows)
  }

  private var next: OperationRequest {
    OperationRequest(
      request.operation, arguments: request.arguments, rows: position == 0 ? batches[batch] : [], position: position)
  }

  /// The worker that has a job of this request.
  var busyWorker: Int? {
    if job != nil, case .worker(let worker, _) = addressees.first { worker } else { nil }
  }
}
