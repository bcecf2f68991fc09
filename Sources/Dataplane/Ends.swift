/// An element's output as reports, documentation and the scheduler see it.
public struct OutputDescription: Hashable, Sendable {
  /// The name in the graph: `element.name`.
  public let name: String
  /// What is known of packets that leave here; nil: what was known when they came in.
  public let delivers: HeaderState?
  /// What leaves here, in one sentence.
  public let about: String

  /// Describes an output.
  public init(_ name: String, delivers: HeaderState? = nil, about: String = "") {
    self.name = name
    self.delivers = delivers
    self.about = about
  }
}

/// An element's input as reports, documentation and the scheduler see it.
public struct InputDescription: Hashable, Sendable {
  /// The name in the graph: `element.name`.
  public let name: String
  /// What must be known of packets that come in.
  public let needs: HeaderState
  /// What is meant to come in, in one sentence.
  public let about: String
  /// Whether a graph may lead nothing here as long as it leads something to another input of the element.
  public let isOptional: Bool

  /// Describes an input.
  public init(_ name: String, needs: HeaderState = .frame, about: String = "", isOptional: Bool = false) {
    self.name = name
    self.needs = needs
    self.about = about
    self.isOptional = isOptional
  }
}

/// Where packets leave an element: an enumeration of `UInt8`, or `NumberedOutput` when the settings decide how many.
public protocol OutputEnd: Sendable {
  /// The output's number, from 0 on; below 16,384.
  var index: UInt16 { get }
}

/// The usual kind of output: one case an output, numbered from 0 without gaps. The first is the one meant when the
/// graph names none.
public protocol OutputPort: OutputEnd, RawRepresentable<UInt8>, CaseIterable {
  /// What is known of packets that leave here; nil: what was known when they came in.
  var delivers: HeaderState? { get }
  /// What leaves here, in one sentence.
  var about: String { get }
}

extension OutputPort {
  @inlinable
  public var index: UInt16 { UInt16(rawValue) }
  public var delivers: HeaderState? { nil }
  public var about: String { "" }

  static var descriptions: [OutputDescription] {
    allCases.map { OutputDescription("\($0)", delivers: $0.delivers, about: $0.about) }
  }
}

/// An output chosen by number, for elements whose settings decide how many there are.
@frozen
public struct NumberedOutput: OutputEnd {
  /// The output's number, from 0 on.
  public let index: UInt16

  /// Numbers are below this.
  @inlinable public static var limit: Int { VerdictCode.outputLimit }

  /// The output with this number.
  @inlinable
  public init(_ index: Int) { self.index = UInt16(truncatingIfNeeded: index) & 0x3FFF }
}

/// The one output of an element that only passes packets on.
@frozen
public enum SoleOutput: UInt8, OutputPort {
  /// Everything that is not dropped.
  case output
}

/// For elements that packets do not leave.
@frozen
public enum NoOutput: OutputPort {
  @inlinable
  public init?(rawValue: UInt8) { return nil }
  @inlinable
  public var rawValue: UInt8 { 0 }
}

/// Where packets enter an element.
public protocol InputPort: RawRepresentable<UInt8>, CaseIterable, Sendable {
  /// What must be known of packets that come in.
  var needs: HeaderState { get }
  /// What is meant to come in, in one sentence.
  var about: String { get }
  /// Whether a graph may lead nothing here as long as it leads something to another input of the element.
  var isOptional: Bool { get }
}

extension InputPort {
  public var needs: HeaderState { .frame }
  public var about: String { "" }
  public var isOptional: Bool { false }

  static var descriptions: [InputDescription] {
    allCases.map { InputDescription("\($0)", needs: $0.needs, about: $0.about, isOptional: $0.isOptional) }
  }
}

/// The one input of most elements.
@frozen
public enum SoleInput: UInt8, InputPort {
  /// Everything that comes in.
  case input
}
