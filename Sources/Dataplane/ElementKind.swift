public import Configuration

/// An element's type as the catalogue holds it.
public struct ElementKind: Sendable {
  /// The type's name, as configurations write it.
  public let name: String
  /// For the reference.
  public let about: ElementDescription
  /// Where packets enter.
  public let inputs: [InputDescription]
  /// Whether packets cannot go round a loop through it without end.
  public let boundsLoops: Bool
  /// Names of the element's own drop reasons, in the order of their codes.
  public let dropReasons: [String]
  /// Whether instances hand packets to other workers.
  public let handsOver: Bool
  /// What can be asked of instances while they run.
  public let operations: [OperationDescription]
  /// Makes an instance, or says what to make it of. Leftover settings are the caller's to refuse.
  public let make: @Sendable (_ settings: inout Settings) throws(ConfigurationError) -> Making
  /// Whether it is made of other elements.
  public let isComposite: Bool

  /// What comes of settings.
  public enum Making {
    /// An element.
    case instance(ElementInstance)
    /// An element that is made of others.
    case composition(Composition)
  }

  /// An entry for `type` under its own name.
  @inlinable
  public init<E: Element & ~Copyable & SendableMetatype>(_ type: E.Type) {
    self.init(type) { (settings: inout Settings) throws(ConfigurationError) in
      .instance(ElementInstance(try E(&settings)))
    }
  }

  /// An entry for `type`, which is made of others, under its own name.
  public init<C: CompositeElement & SendableMetatype>(composite type: C.Type) {
    self.init(
      name: "\(type)", about: C.about, inputs: [], boundsLoops: false, dropReasons: [], isComposite: true,
      make: { (settings: inout Settings) throws(ConfigurationError) in .composition(try C(&settings).composition) })
  }

  /// A part of a composition, which `instance` makes.
  @inlinable
  init<E: Element & ~Copyable & SendableMetatype>(
    part type: E.Type, _ instance: @escaping @Sendable () throws(ConfigurationError) -> ElementInstance
  ) {
    self.init(type) { (_: inout Settings) throws(ConfigurationError) in .instance(try instance()) }
  }

  @inlinable
  init<E: Element & ~Copyable & SendableMetatype>(
    _ type: E.Type, make: @escaping @Sendable (_ settings: inout Settings) throws(ConfigurationError) -> Making
  ) {
    self.init(
      name: "\(type)", about: E.about, inputs: describeInputs(type), boundsLoops: E.boundsLoops,
      dropReasons: E.Drop.self == NoDropReason.self ? [] : E.Drop.allCases.map { "\($0)" }, operations: E.operations,
      handsOver: E.handsOver,
      make: make)
  }

  /// Makes an instance of what is no composition.
  public func makeInstance(_ settings: inout Settings) throws(ConfigurationError) -> ElementInstance {
    switch try make(&settings) {
    case .instance(let instance): return instance
    case .composition: throw settings.fail(nil, "\(name) is made of other elements", remedy: "use it in a pipeline")
    }
  }

  @usableFromInline
  init(
    name: String, about: ElementDescription, inputs: [InputDescription], boundsLoops: Bool,
    dropReasons: [String], operations: [OperationDescription] = [], handsOver: Bool = false,
    isComposite: Bool = false,
    make: @escaping @Sendable (_ settings: inout Settings) throws(ConfigurationError) -> Making
  ) {
    self.name = name
    self.about = about
    self.inputs = inputs
    self.boundsLoops = boundsLoops
    self.dropReasons = dropReasons
    self.operations = operations
    self.handsOver = handsOver
    self.isComposite = isComposite
    self.make = make
  }

  /// The name of a drop reason that this element gave.
  public func name(of code: UInt8) -> String {
    if code >= DropReason.firstOwn {
      let own = Int(code - DropReason.firstOwn)
      return own < dropReasons.count ? dropReasons[own] : "own\(own)"
    }
    return Int(code) < DropReason.sharedNames.count ? DropReason.sharedNames[Int(code)] : "reason\(code)"
  }
}

@usableFromInline
func describeInputs<E: Element & ~Copyable>(_ type: E.Type) -> [InputDescription] { E.inputDescriptions }

/// One worker's instance of an element, its type erased. The erased call is made once a burst; everything inside it is
/// specialised where the element's type is declared.
@safe
public final class ElementInstance {
  let element: UnsafeMutablePointer<any Element & ~Copyable>

  /// Boxes an element.
  @inlinable
  public convenience init<E: Element & ~Copyable>(_ element: consuming E) {
    let box = UnsafeMutablePointer<any Element & ~Copyable>.allocate(capacity: 1)
    unsafe box.initialize(to: element)
    unsafe self.init(owning: box)
  }

  @unsafe @usableFromInline
  init(owning box: UnsafeMutablePointer<any Element & ~Copyable>) { unsafe element = box }

  deinit {
    unsafe element.deinitialize(count: 1)
    unsafe element.deallocate()
  }

  /// The outputs this instance has.
  public var outputs: [OutputDescription] { unsafe element.pointee.outputs }
}
