/// What all instances of one element of a graph share: made by the first worker's instance, handed to the others.
@safe
public final class SharedStore {
  /// An object that is shared.
  public struct Shared {
    /// What it is called among the element's.
    public let name: String
    /// The object.
    public let object: AnyObject
    /// The settings that it was made of, when it can be replaced by one made of others while packets flow.
    public let settings: [String]
  }

  /// The objects in the order in which they were made.
  public private(set) var objects: [Shared] = []

  /// An empty store.
  public init() {}

  subscript(name: String) -> AnyObject? { objects.first { $0.name == name }?.object }

  func add(_ object: AnyObject, _ name: String, _ settings: [String]) {
    objects.removeAll { $0.name == name }
    objects.append(Shared(name: name, object: object, settings: settings))
  }
}

/// The settings of one element, port or nested mapping: a cursor from which each is taken by its key.
///
/// Mistakes are collected: `take` goes on with a default or a stand-in, and `finish`, which the framework calls once the
/// element is made, throws all of them together with keys that nobody took. So one run reports everything.
public struct Settings {
  /// Where the element is declared.
  public let range: SourceRange?
  /// Where settings are read.
  public let context: SettingContext
  private let members: [(key: YAMLNode, value: YAMLNode)]
  private let shorthand: YAMLNode?
  private let store: SharedStore
  private let isProbe: Bool
  private var shorthandTaken = false
  private var taken: [String] = []
  /// Settings that were taken, when probing.
  public private(set) var records: [SettingRecord] = []
  private var mistakes: [Diagnostic] = []
  /// Settings that should have been given; beside the point when the whole is no mapping.
  private var missing: [Diagnostic] = []
  /// What looks wrong but is allowed.
  public private(set) var warnings: [Diagnostic] = []

  /// Settings from a node: a mapping, a single value for the setting that allows it, or nothing.
  public init(
    _ node: YAMLNode?, range: SourceRange?, context: SettingContext = SettingContext(folder: ""),
    store: SharedStore = SharedStore()
  ) {
    self.range = range
    self.context = context
    self.store = store
    isProbe = false
    members = node?.mapping ?? []
    shorthand = node.flatMap { $0.mapping == nil && !$0.isNull ? $0 : nil }
  }

  private init(probing store: SharedStore) {
    range = nil
    context = SettingContext(folder: "")
    self.store = store
    isProbe = true
    members = []
    shorthand = nil
  }

  /// Settings from which anything can be taken: each `take` gives a stand-in and is recorded.
  public static func probe() -> Settings { Settings(probing: SharedStore()) }

  // MARK: Values

  /// Takes a setting that must be given.
  /// - Parameters:
  ///   - shorthand: Whether the element may be given this value alone in place of a mapping.
  public mutating func take<T: SettingValue>(
    _ key: String, _ help: String = "", shorthand: Bool = false
  ) throws(ConfigurationError) -> T {
    record(key, T.schema, help, required: true, shorthand: shorthand)
    guard let node = node(key, shorthand: shorthand) else {
      noteMissing(key, "add '\(key): \(T.schema.example)'")
      return T.placeholder
    }
    return read(node) ?? T.placeholder
  }

  /// Takes a setting that has a default.
  public mutating func take<T: SettingValue>(
    _ key: String, default value: T, _ help: String = "", shorthand: Bool = false
  ) throws(ConfigurationError) -> T {
    record(key, T.schema, help, defaultText: value.settingText, shorthand: shorthand)
    return node(key, shorthand: shorthand).flatMap { read($0) } ?? value
  }

  /// Takes a setting within a range that must be given.
  public mutating func take<T: SettingValue & Comparable>(
    _ key: String, in limits: ClosedRange<T>, _ help: String = "", shorthand: Bool = false
  ) throws(ConfigurationError) -> T {
    let before = mistakes.count
    let value: T = try take(key, help, shorthand: shorthand)
    guard mistakes.count == before else { return limits.lowerBound }
    return check(key, value, limits, shorthand: shorthand, otherwise: limits.lowerBound)
  }

  /// Takes a setting within a range that has a default.
  public mutating func take<T: SettingValue & Comparable>(
    _ key: String, default value: T, in limits: ClosedRange<T>, _ help: String = "", shorthand: Bool = false
  ) throws(ConfigurationError) -> T {
    let taken = try take(key, default: value, help, shorthand: shorthand)
    return check(key, taken, limits, shorthand: shorthand, otherwise: value)
  }

  /// Takes a setting that may be left out.
  public mutating func takeIfPresent<T: SettingValue>(
    _ key: String, as type: T.Type = T.self, _ help: String = "", shorthand: Bool = false
  ) throws(ConfigurationError) -> T? {
    record(key, T.schema, help, shorthand: shorthand)
    if isProbe { return nil }
    return node(key, shorthand: shorthand).flatMap { read($0) }
  }

  /// Takes a setting within a range that may be left out.
  public mutating func takeIfPresent<T: SettingValue & Comparable>(
    _ key: String, as type: T.Type = T.self, in limits: ClosedRange<T>, _ help: String = "", shorthand: Bool = false
  ) throws(ConfigurationError) -> T? {
    let value: T? = try takeIfPresent(key, help, shorthand: shorthand)
    if isProbe { _ = check(key, limits.lowerBound, limits, shorthand: shorthand, otherwise: limits.lowerBound) }
    return value.map { check(key, $0, limits, shorthand: shorthand, otherwise: limits.lowerBound) }
  }

  // MARK: Mappings

  /// Takes a nested mapping that may be left out.
  public mutating func takeNested<T>(
    _ key: String, _ help: String = "", _ body: (inout Settings) throws(ConfigurationError) -> T
  ) throws(ConfigurationError) -> T? {
    recordNested(key, help, .nested, body)
    guard let node = node(key, shorthand: false) else { return nil }
    return readNested(node, body)
  }

  /// Takes a list of mappings, or a single one; an empty list when it is left out.
  public mutating func takeEach<T>(
    _ key: String, _ help: String = "", required: Bool = false, shorthand: Bool = false,
    _ body: (inout Settings) throws(ConfigurationError) -> T
  ) throws(ConfigurationError) -> [T] {
    recordNested(key, help, .list, required: required, shorthand: shorthand, body)
    guard let node = node(key, shorthand: shorthand) else {
      if required { noteMissing(key, "add '\(key):' and under it '- name: value'") }
      return []
    }
    return (node.sequence ?? [node]).compactMap { readNested($0, body) }
  }

  /// Takes a mapping whose keys the user chooses and whose values are mappings of settings, in the order of the file.
  /// - Parameters:
  ///   - required: Whether it must be given; empty when it is left out.
  ///   - body: Reads one of them; called with its key.
  public mutating func takeNamed<T>(
    _ key: String, _ help: String = "", required: Bool = true,
    _ body: (String, inout Settings) throws(ConfigurationError) -> T
  ) throws(ConfigurationError) -> [T] {
    recordNested(key, help, .named, required: required) { (nested: inout Settings) throws(ConfigurationError) in
      try body("name", &nested)
    }
    guard let node = node(key, shorthand: false) else {
      if required { noteMissing(key, "add '\(key):' and under it 'name: { ... }'") }
      return []
    }
    guard let entries = node.mapping else {
      mistakes +=
        node.error("\(node.typeName) is not a mapping", "write '\(key):' and under it 'name: { ... }'").diagnostics
      return []
    }
    return entries.compactMap { entry in
      let name = entry.key.scalar ?? ""
      guard isName(name) else {
        reject(entry.key.range, "'\(name)' cannot be a name", remedy: "choose one of letters, digits, '_' and '-'")
        return nil
      }
      return readNested(entry.value) { (nested: inout Settings) throws(ConfigurationError) in try body(name, &nested) }
    }
  }

  /// Takes a mapping whose keys the user chooses, in the order of the file; empty when it is left out.
  /// - Parameter word: What may stand in its place, for which `has(_:saying:)` tells; it is empty then.
  public mutating func takeMap<T: SettingValue>(
    _ key: String, of type: T.Type = T.self, _ help: String = "", required: Bool = false, shorthand: Bool = false,
    orWord word: String? = nil
  ) throws(ConfigurationError) -> [MapEntry<T>] {
    record(key, T.schema, help, required: required, shape: .map, shorthand: shorthand)
    if isProbe, !records.isEmpty { records[records.count - 1].word = word }
    if let word, has(key, saying: word) {
      taken.append(key)
      return []
    }
    guard let node = node(key, shorthand: shorthand) else {
      if required { noteMissing(key, "add '\(key):' and under it 'name: \(T.schema.example)'") }
      return []
    }
    guard let entries = node.mapping else {
      mistakes +=
        node.error("\(node.typeName) is not a mapping", "write '\(key):' and under it 'name: value'").diagnostics
      return []
    }
    return entries.compactMap { entry in
      read(entry.value).map {
        MapEntry(name: entry.key.scalar ?? "", nameNode: entry.key, value: $0, valueNode: entry.value)
      }
    }
  }

  /// One key and value of a mapping whose keys the user chose.
  public struct MapEntry<Value> {
    /// The key.
    public let name: String
    /// The key with its place.
    public let nameNode: YAMLNode
    /// The value.
    public let value: Value
    /// The value with its place.
    public let valueNode: YAMLNode

    /// Reads the key itself as a value.
    public func nameValue<T: SettingValue>(
      as type: T.Type = T.self, context: SettingContext
    ) throws(ConfigurationError) -> T { try T(setting: nameNode, context: context) }
  }

  /// Whether a key is given; does not take it.
  public func has(_ key: String) -> Bool { members.contains { $0.key.scalar == key } }

  /// How many entries the mapping at a key has, those with mistakes included; does not take it.
  public func entryCount(of key: String) -> Int { members.first { $0.key.scalar == key }?.value.mapping?.count ?? 0 }

  /// Whether a key is given with this word alone as its value; does not take it.
  public func has(_ key: String, saying word: String) -> Bool {
    members.contains { $0.key.scalar == key && $0.value.scalar == word }
  }

  // MARK: Mistakes

  /// Where a setting's value stands; the element's own place when it is not given.
  public func range(of key: String?) -> SourceRange? {
    guard let key else { return range }
    return members.first { $0.key.scalar == key }?.value.range ?? shorthand?.range ?? range
  }

  /// A mistake that the element itself finds in the value of `key`, to be thrown. When settings are wrong already it
  /// carries those instead: the element looked at stand-ins.
  public func fail(_ key: String?, _ message: String, remedy: String) -> ConfigurationError {
    let found = [Diagnostic(.error, range(of: key), message, remedy: remedy)]
    return ConfigurationError(isWrong ? mistakes + missing + leftovers : found)
  }

  /// Notes a mistake and goes on; at a value that is wrong already it says nothing more.
  public mutating func reject(_ range: SourceRange?, _ message: String, remedy: String) {
    let place = range ?? self.range
    guard !isProbe, !(mistakes + missing).contains(where: { $0.range == place }) else { return }
    mistakes.append(Diagnostic(.error, place, message, remedy: remedy))
  }

  /// Notes mistakes and goes on.
  public mutating func reject(_ error: ConfigurationError) {
    if !isProbe { mistakes += error.diagnostics }
  }

  private var isWrong: Bool { !mistakes.isEmpty || !missing.isEmpty }

  private mutating func noteMissing(_ key: String, _ remedy: String) {
    if !isProbe { missing.append(Diagnostic(.error, range, "'\(key)' is missing", remedy: remedy)) }
  }

  /// Notes something that looks wrong but is allowed.
  public mutating func warn(_ range: SourceRange?, _ message: String, remedy: String, notes: [Diagnostic.Note] = []) {
    if !isProbe { warnings.append(Diagnostic(.warning, range ?? self.range, message, remedy: remedy, notes: notes)) }
  }

  /// Throws every mistake found, keys that nobody took among them.
  public mutating func finish() throws(ConfigurationError) {
    if shorthand == nil || shorthandTaken { mistakes += missing }
    missing = []
    mistakes += leftovers
    if !mistakes.isEmpty { throw ConfigurationError(mistakes) }
  }

  private var leftovers: [Diagnostic] {
    var found: [Diagnostic] = []
    if let shorthand, !shorthandTaken {
      found.append(
        Diagnostic(
          .error, shorthand.range, "\(shorthand.typeName) is not what this takes",
          remedy: taken.isEmpty
            ? "remove it; there is nothing to set" : "give a mapping with \(taken.joined(separator: ", "))"))
    }
    for (key, _) in members {
      guard let name = key.scalar, !taken.contains(name) else { continue }
      found.append(
        Diagnostic(
          .error, key.range, "there is no setting '\(name)'",
          remedy: taken.isEmpty ? "remove it; there is nothing to set" : remedy(for: name, among: taken)))
    }
    return found
  }

  // MARK: Sharing

  /// An object that all workers' instances of this element share: the first one makes it.
  /// - Parameter settings: The settings that it is made of, when it is one that can be replaced (`Snapshot`, or whatever is
  ///   `Replaceable`) by one made of others while packets flow.
  public func shared<T: AnyObject>(
    _ name: String, replacing settings: [String] = [], _ make: () throws(ConfigurationError) -> T
  ) throws(ConfigurationError) -> T {
    if let object = store[name] as? T { return object }
    let object = try make()
    store.add(object, name, settings)
    return object
  }

  // MARK: Reading

  private mutating func node(_ key: String, shorthand allowed: Bool) -> YAMLNode? {
    taken.append(key)
    if allowed, let shorthand {
      shorthandTaken = true
      return shorthand
    }
    return members.first { $0.key.scalar == key }?.value
  }

  private mutating func read<T: SettingValue>(_ node: YAMLNode) -> T? {
    do throws(ConfigurationError) {
      return try T(setting: node, context: context)
    } catch {
      mistakes += error.diagnostics
      return nil
    }
  }

  private mutating func readNested<T>(
    _ node: YAMLNode, _ body: (inout Settings) throws(ConfigurationError) -> T
  ) -> T? {
    guard node.mapping != nil else {
      mistakes += node.error("\(node.typeName) is not a mapping", "write 'key: value'").diagnostics
      return nil
    }
    var nested = Settings(node, range: node.range, context: context, store: store)
    do throws(ConfigurationError) {
      let value = try body(&nested)
      try nested.finish()
      warnings += nested.warnings
      return value
    } catch {
      mistakes += error.diagnostics
      return nil
    }
  }

  private mutating func check<T: SettingValue & Comparable>(
    _ key: String, _ value: T, _ limits: ClosedRange<T>, shorthand: Bool, otherwise: T
  ) -> T {
    if isProbe {
      if !records.isEmpty {
        records[records.count - 1].range = "\(limits.lowerBound.settingText) to \(limits.upperBound.settingText)"
      }
      return otherwise
    }
    guard !limits.contains(value),
      members.contains(where: { $0.key.scalar == key }) || shorthand && self.shorthand != nil
    else { return limits.contains(value) ? value : otherwise }
    mistakes.append(
      Diagnostic(
        .error, range(of: key), "'\(key)' is \(value.settingText), which is out of range",
        remedy: "give \(limits.lowerBound.settingText) to \(limits.upperBound.settingText)"))
    return otherwise
  }

  // MARK: Recording

  private mutating func record(
    _ key: String, _ schema: ValueSchema, _ help: String, required: Bool = false, defaultText: String? = nil,
    shape: SettingRecord.Shape = .value, shorthand: Bool = false
  ) {
    guard isProbe else { return }
    var record = SettingRecord(
      key: key, schema: schema, help: help, isRequired: required, defaultText: defaultText, shape: shape)
    record.isShorthand = shorthand
    records.append(record)
  }

  private mutating func recordNested<T>(
    _ key: String, _ help: String, _ shape: SettingRecord.Shape, required: Bool = false, shorthand: Bool = false,
    _ body: (inout Settings) throws(ConfigurationError) -> T
  ) {
    guard isProbe else { return }
    var nested = Settings(probing: store)
    _ = try? body(&nested)
    let name =
      switch shape {
      case .list: "list of mappings"
      case .named: "mappings by name"
      default: "mapping"
      }
    record(key, ValueSchema(name, example: "{}"), help, required: required, shape: shape, shorthand: shorthand)
    records[records.count - 1].nested = nested.records
  }
}

/// Whether `text` can name an element, a port, an interface or an end.
public func isName(_ text: some StringProtocol) -> Bool {
  !text.isEmpty
    && text.utf8.allSatisfy { byte in
      switch byte {
      case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
        UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), UInt8(ascii: "-"):
        true
      default: false
      }
    }
}
