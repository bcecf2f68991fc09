public import Configuration

/// Something that can be asked of an element while it runs: `nfvrun ctl` lists and carries out operations.
public struct OperationDescription: Hashable, Sendable {
  /// Its name.
  public let name: String
  /// What it does, in one sentence.
  public let summary: String
  /// What it can be given.
  public let parameters: [OperationParameter]
  /// Whether it takes rows, as an import does.
  public let takesRows: Bool

  /// Describes an operation.
  public init(_ name: String, _ summary: String, parameters: [OperationParameter] = [], takesRows: Bool = false) {
    self.name = name
    self.summary = summary
    self.parameters = parameters
    self.takesRows = takesRows
  }
}

/// What an operation can be given.
public struct OperationParameter: Hashable, Sendable {
  /// Its name.
  public let name: String
  /// What it means, in a few words.
  public let about: String

  /// Describes a parameter.
  public init(_ name: String, _ about: String) {
    self.name = name
    self.about = about
  }
}

/// What is asked of an element.
public struct OperationRequest: Sendable {
  /// The operation.
  public let name: String
  /// What it was given, by parameter.
  public let arguments: [String: String]
  /// Rows for an operation that takes them; at most `rowLimit` a call.
  public let rows: [[String: String]]
  /// 0 first, and then what `OperationAnswer.resume` was given.
  public let position: UInt64

  /// No call has more rows than this.
  public static let rowLimit = 256

  /// A request.
  public init(
    _ name: String, arguments: [String: String] = [:], rows: [[String: String]] = [], position: UInt64 = 0
  ) {
    self.name = name
    self.arguments = arguments
    self.rows = rows
    self.position = position
  }

  /// An argument; nil when it was not given.
  /// - Throws: When it is no such value.
  public func value<T: SettingValue>(
    _ parameter: String, as type: T.Type = T.self
  ) throws(ConfigurationError) -> T? {
    guard let text = arguments[parameter] else { return nil }
    return try T(
      setting: try YAMLDocument.load(text: text, name: "\(name) \(parameter)"), context: SettingContext(folder: ""))
  }

  /// The same from another position, without rows.
  public func resumed(at position: UInt64) -> OperationRequest {
    OperationRequest(name, arguments: arguments, position: position)
  }
}

/// What an element answers: rows, or why it could not be done.
public struct OperationAnswer: Sendable {
  /// Names and values, in order.
  public private(set) var rows: [[(name: String, value: String)]] = []
  /// What went wrong.
  public private(set) var failure: String?
  /// Where to go on; nil when it is done.
  public private(set) var position: UInt64?

  /// No answer yet.
  public init() {}

  /// Adds a row.
  public mutating func row(_ fields: KeyValuePairs<String, String>) { rows.append(fields.map { ($0.key, $0.value) }) }

  /// Says why it cannot be done.
  public mutating func fail(_ message: String) { failure = failure ?? message }

  /// Says what is wrong with an argument.
  public mutating func fail(_ error: ConfigurationError) {
    fail(error.diagnostics.map { "\($0.message); \($0.remedy)" }.joined(separator: "; "))
  }

  /// Says that it is not finished: the worker goes on with packets, and calls again after its next round.
  public mutating func resume(at position: UInt64) { self.position = position }

  /// Goes on with what was answered next.
  mutating func append(_ next: OperationAnswer) {
    rows += next.rows
    failure = next.failure
    position = next.position
  }
}
