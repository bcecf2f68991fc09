public import Configuration
public import Dataplane

/// A port as the configuration describes it, before it is opened.
public protocol PortSpecification: Sendable {
  /// What it is, for reports: `af_packet eth0`.
  var summary: String { get }
  /// Queues that the configuration asks for; nil: as many as suit the workers.
  var queues: Int? { get }
  /// Whether the port can have several queues.
  var allowsSeveralQueues: Bool { get }
  /// Whether received packets carry their own time.
  var isTimed: Bool { get }
  /// Whether the port stays within the process and its files, so that time may be virtual.
  var isVirtual: Bool { get }
  /// Whether packets can be received.
  var receives: Bool { get }
  /// Devices and files that no other port may use.
  var resources: [String] { get }
  /// Whether EAL has to look for PCI devices.
  var needsPCI: Bool { get }

  /// Opens the port.
  /// - Throws: What the host lacks.
  func open(number: Int, queues: Int, pool: PacketPool) throws(EnvironmentError) -> any Port
}

extension PortSpecification {
  public var queues: Int? { nil }
  public var allowsSeveralQueues: Bool { false }
  public var isTimed: Bool { false }
  public var isVirtual: Bool { false }
  public var resources: [String] { [] }
  public var receives: Bool { true }
  public var needsPCI: Bool { false }
}

/// A kind of port as the configuration names it.
public struct PortKind: Sendable {
  /// The key: `af_packet`.
  public let name: String
  /// What it is, in one sentence.
  public let about: String
  /// Reads its settings.
  public let read: @Sendable (_ settings: inout Settings) throws(ConfigurationError) -> any PortSpecification

  /// A kind of port.
  public init(
    _ name: String, about: String,
    read: @escaping @Sendable (_ settings: inout Settings) throws(ConfigurationError) -> any PortSpecification
  ) {
    self.name = name
    self.about = about
    self.read = read
  }
}
