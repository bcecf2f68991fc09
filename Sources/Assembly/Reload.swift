public import Configuration
public import Dataplane

/// What a file declares and a run can take over.
private protocol Declared {
  var name: String { get }
  var settings: YAMLNode? { get }
  var range: SourceRange? { get }
  var store: SharedStore { get }
}

extension Pipeline.ElementDeclaration: Declared {}
extension Pipeline.Composite: Declared {}

extension Pipeline {
  private var declared: [any Declared] { elements as [any Declared] + composites }

  /// Whether an element has settings that can be replaced while it runs.
  public func canReplaceSettings(of name: String) -> Bool {
    declared.contains { $0.name == name && $0.store.objects.contains { !$0.settings.isEmpty } }
  }

  /// Takes over, while it runs, what another reading of the file says: of each element, the settings that can be replaced.
  /// Either all of it is taken over or nothing.
  /// - Parameters:
  ///   - other: The other reading, loaded with this one as what runs. It cannot be run afterwards.
  ///   - name: The element that is meant; nil: all of them.
  ///   - readers: What to wait for before the old is freed.
  /// - Returns: The elements that took something over.
  /// - Throws: Every difference that takes a restart, each at its place.
  public func takeOver(
    _ other: Pipeline, element name: String?, readers: ReaderDomain
  ) throws(ConfigurationError) -> [String] {
    var mistakes: [Diagnostic] = []
    func refuse(_ range: SourceRange?, _ message: String) {
      mistakes.append(Diagnostic(.error, range, message, remedy: "restart to have it take effect"))
    }
    if let difference = graphDifference(other) { refuse(difference.range, difference.message) }
    if name == nil {
      for (part, (old, new)) in zip(["ports", "runtime"], zip(surroundings, other.surroundings))
      where !Self.same(old, new) {
        refuse((new ?? old)?.range, "'\(part)' differs from what runs")
      }
    }
    let pairs = declared.filter { name == nil || $0.name == name }.compactMap { old in
      other.declared.first { $0.name == old.name }.map { (old, $0) }
    }
    if let name, pairs.isEmpty { refuse(nil, "there is no element '\(name)'") }
    for (old, new) in pairs {
      let replaceable = old.store.objects.flatMap(\.settings)
      if let name, replaceable.isEmpty { refuse(new.range, "'\(name)' has no settings that can be replaced") }
      for shared in old.store.objects
      where !shared.settings.isEmpty && !new.store.objects.contains(where: { $0.name == shared.name }) {
        refuse(new.range, "'\(new.name)' is set otherwise than it runs")
      }
      for key in Self.differences(old.settings, new.settings) where !replaceable.contains(key) {
        refuse(
          new.settings?[key]?.range ?? new.range,
          key.isEmpty ? "'\(new.name)' is set otherwise than it runs" : "'\(key)' differs from what runs")
      }
    }
    guard mistakes.isEmpty else { throw ConfigurationError(mistakes) }
    return pairs.compactMap { old, new in
      let replaced = old.store.objects.filter { shared in
        guard !shared.settings.isEmpty, let running = shared.object as? any Replaceable else { return false }
        return Self.replace(running, from: new.store, shared.name, readers)
      }
      return replaced.isEmpty ? nil : old.name
    }
  }

  private static func replace<R: Replaceable>(
    _ running: R, from store: SharedStore, _ name: String, _ readers: ReaderDomain
  ) -> Bool {
    guard let new = store.objects.first(where: { $0.name == name })?.object as? R else { return false }
    running.replace(with: new, readers: readers)
    return true
  }

  private static func same(_ old: YAMLNode?, _ new: YAMLNode?) -> Bool {
    switch (old, new) {
    case (nil, nil): true
    case (let old?, let new?): old.says(new)
    case (let lone?, nil), (nil, let lone?): lone.isNull
    }
  }

  /// The keys whose values differ; an empty one where settings are no mapping.
  private static func differences(_ old: YAMLNode?, _ new: YAMLNode?) -> [String] {
    if same(old, new) { return [] }
    func members(_ node: YAMLNode?) -> [(key: YAMLNode, value: YAMLNode)]? {
      node.map { $0.isNull ? [] : $0.mapping } ?? []
    }
    guard let before = members(old), let after = members(new) else { return [""] }
    var keys: [String] = []
    for key in (before + after).compactMap(\.key.scalar) where !keys.contains(key) {
      if !same(old?[key], new?[key]) { keys.append(key) }
    }
    return keys
  }

  private func graphDifference(_ other: Pipeline) -> (range: SourceRange?, message: String)? {
    for index in 0..<max(graph.nodes.count, other.graph.nodes.count) {
      guard index < graph.nodes.count else {
        return (other.graph.nodes[index].position, "'\(other.graph.nodes[index].name)' is not part of what runs")
      }
      let old = graph.nodes[index]
      guard index < other.graph.nodes.count else { return (old.position, "'\(old.name)' runs and is gone") }
      let new = other.graph.nodes[index]
      if old.name != new.name || old.type != new.type || old.outputs.map(\.name) != new.outputs.map(\.name) {
        return (new.position, "'\(new.name)' is not what runs in its place")
      }
    }
    let old = graph.edges.map { [$0.from, $0.output, $0.to, $0.input] }
    for edge in other.graph.edges where !old.contains([edge.from, edge.output, edge.to, edge.input]) {
      return (edge.position, "this connection is not part of what runs")
    }
    return old.count == other.graph.edges.count ? nil : (nil, "a connection that runs is gone")
  }
}
