/// Work beside the packet path, for an element of a live run: health checks, following the kernel, writing logs.
///
/// An object that an element's workers share by `Settings.shared`, or that a `Composition` lists, is run by the control
/// thread when it conforms. All tasks share that thread, so none may block. In a replay no task is run.
public protocol ControlTask: AnyObject, Sendable {
  /// What can be asked of it; the control thread answers, not a worker.
  var operations: [OperationDescription] { get }
  /// What it waits for. Asked for anew after each run.
  var descriptors: [ControlDescriptor] { get }

  /// Called once, before the first run.
  /// - Parameter readers: What to wait for before memory that workers may read is used again; nil without workers.
  func begin(_ readers: ReaderDomain?)
  /// Does what is due.
  /// - Returns: When to be run again, if no descriptor is ready before.
  func run(_ now: Instant) -> Instant
  /// Answers.
  func perform(_ request: OperationRequest, _ answer: inout OperationAnswer)
  /// Called once after the last run; returns what went wrong, in the user's words.
  func end() -> [String]
}

extension ControlTask {
  public var operations: [OperationDescription] { [] }
  public var descriptors: [ControlDescriptor] { [] }
  public func begin(_ readers: ReaderDomain?) {}
  public func run(_ now: Instant) -> Instant { .never }
  public func perform(_ request: OperationRequest, _ answer: inout OperationAnswer) {
    answer.fail("there is no operation '\(request.name)'")
  }
  public func end() -> [String] { [] }
}

/// A file descriptor that a task waits for.
public struct ControlDescriptor: Hashable, Sendable {
  /// What it is waited for.
  public enum Readiness: Sendable {
    /// That there is something to read.
    case read
    /// That something can be written, or a connection is made.
    case write
  }

  /// The descriptor.
  public let number: Int32
  /// What it is waited for.
  public let readiness: Readiness

  /// A descriptor to wait for.
  public init(_ number: Int32, _ readiness: Readiness) {
    self.number = number
    self.readiness = readiness
  }
}

/// What was read from a pipeline's file and can be replaced by what another reading gave, while packets flow.
public protocol Replaceable: AnyObject {
  /// Takes over what `other` has, which nobody uses yet.
  /// - Parameter readers: What to wait for before the old is freed.
  func replace(with other: Self, readers: ReaderDomain)
}
