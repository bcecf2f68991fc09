public import Configuration

/// What the reference says of an element beyond what its types tell.
public struct ElementDescription: Sendable {
  /// What it does, in one sentence.
  public let summary: String
  /// Lines of YAML and graph that show it in use.
  public let example: String

  /// Describes an element.
  public init(_ summary: String = "", example: String = "") {
    self.summary = summary
    self.example = example
  }
}

/// A step of packet processing: packets enter by an input, and each leaves by exactly one output or is dropped.
///
/// Every worker has an instance of its own; stored properties belong to that worker alone. Most elements judge one packet
/// at a time and are a `PacketElement`. Conform to `Element` itself to work on whole batches, or to hold packets, emit
/// others or see the time.
public protocol Element: ~Copyable {
  /// Where packets enter.
  associatedtype Input: InputPort = SoleInput
  /// Where packets leave.
  associatedtype Output: OutputEnd = SoleOutput
  /// Reasons of this element's own to drop packets.
  associatedtype Drop: ElementDropReason = NoDropReason

  /// For the reference.
  static var about: ElementDescription { get }
  /// What must be known of packets at the sole input.
  static var needs: HeaderState { get }

  /// Whether packets cannot go round a loop through this element without end, since it wears them out or holds them
  /// back.
  static var boundsLoops: Bool { get }
  /// Whether it hands packets to other workers (`Verdict.handOver`).
  static var handsOver: Bool { get }
  /// What can be asked of it while it runs.
  static var operations: [OperationDescription] { get }

  /// Makes an instance from what the configuration says. Leftover settings are refused by the caller.
  init(_ settings: inout Settings) throws(ConfigurationError)

  /// The outputs; given when `Output` is an enumeration.
  var outputs: [OutputDescription] { get }
  /// How many packets the element keeps for later.
  var held: Int { get }
  /// Counters beyond those that every element has, in the order they are reported.
  var counters: [ElementCounter] { get }

  /// Called once before the first packet.
  mutating func start(_ context: inout Context)
  /// Judges every packet of the batch.
  mutating func process(_ batch: inout PacketBatch<Self>, _ context: inout Context)
  /// Called when a time that was asked for by `Context.wake(at:)` has come. The batch has no packets; it is there to
  /// emit some.
  mutating func wake(_ batch: inout PacketBatch<Self>, _ context: inout Context)
  /// Carries out an operation. The worker that the instance belongs to calls it between two rounds of packets, so it does
  /// a little at a time: `OperationAnswer.resume` has it called again after the next round.
  mutating func perform(_ request: OperationRequest, _ answer: inout OperationAnswer, _ context: inout Context)
  /// Called once after the last packet; files are completed here. What it returns went wrong, in the user's words.
  mutating func finish() -> [String]

  /// The data plane's way in; elements leave it alone.
  mutating func _process(_ burst: _ElementBurst, _ context: inout Context)
  /// The data plane's way in; elements leave it alone.
  mutating func _wake(_ burst: _ElementBurst, _ context: inout Context)
}

/// A number that an element reports under its name.
public struct ElementCounter: Hashable, Sendable {
  /// What is counted.
  public let name: String
  /// The count.
  public let value: UInt64

  /// A named count.
  public init(_ name: String, _ value: UInt64) {
    self.name = name
    self.value = value
  }
}

/// What one run of an element works on, as it passes through the erased call.
@safe @frozen
public struct _ElementBurst {
  @usableFromInline let burst: UnsafeMutablePointer<Burst>

  @unsafe
  init(_ burst: UnsafeMutablePointer<Burst>) { unsafe self.burst = burst }
}

extension Element where Self: ~Copyable {
  public static var about: ElementDescription { ElementDescription() }
  public static var needs: HeaderState { .frame }
  public static var boundsLoops: Bool { false }
  public static var handsOver: Bool { false }
  public static var operations: [OperationDescription] { [] }
  public var held: Int { 0 }
  public var counters: [ElementCounter] { [] }
  public mutating func start(_ context: inout Context) {}
  public mutating func wake(_ batch: inout PacketBatch<Self>, _ context: inout Context) {}
  public mutating func finish() -> [String] { [] }
  public mutating func perform(
    _ request: OperationRequest, _ answer: inout OperationAnswer, _ context: inout Context
  ) {
    answer.fail("there is no operation '\(request.name)'")
  }

  @inlinable
  public mutating func _process(_ burst: _ElementBurst, _ context: inout Context) {
    var batch = unsafe PacketBatch<Self>(burst.burst)
    process(&batch, &context)
  }

  @inlinable
  public mutating func _wake(_ burst: _ElementBurst, _ context: inout Context) {
    var batch = unsafe PacketBatch<Self>(burst.burst)
    wake(&batch, &context)
  }

  /// The inputs as the scheduler sees them.
  static var inputDescriptions: [InputDescription] {
    Input.self == SoleInput.self ? [InputDescription("input", needs: needs)] : Input.descriptions
  }
}

extension Element where Self: ~Copyable, Output: OutputPort {
  public var outputs: [OutputDescription] { Output.descriptions }
}

/// An element that judges each packet by itself.
public protocol PacketElement: Element, ~Copyable {
  /// Says what becomes of the packet, which may have been changed.
  mutating func process(_ packet: inout Packet) -> Verdict<Output>
}

extension PacketElement where Self: ~Copyable {
  @inlinable
  public mutating func process(_ batch: inout PacketBatch<Self>, _ context: inout Context) {
    batch.forEach { packet in process(&packet) }
  }
}
