import Configuration
import Dataplane
import Tables
import Wire

/// Routes to outputs of the user's naming, from a setting and a file; all workers share them.
final class NamedRoutes: Sendable {
  let outputs: [String]
  let table: Snapshot<RoutingTable>

  /// No routes, where there are mistakes in them.
  init() {
    outputs = []
    table = Snapshot(RoutingTable([]))
  }

  init(
    _ inline: [Settings.MapEntry<String>], _ file: FileSetting?, _ context: SettingContext
  ) throws(ConfigurationError) {
    var list = List()
    var mistakes: [Diagnostic] = []
    for entry in inline {
      do throws(ConfigurationError) {
        let prefix = try entry.nameValue(as: IPPrefix.self, context: context)
        let range = entry.nameNode.range
        try list.add(prefix, entry.value, .setting(range), range)
      } catch {
        mistakes += error.diagnostics
      }
    }
    if let file {
      do throws(ConfigurationError) {
        try RouteFile.read(file) { (prefix, output, line) throws(ConfigurationError) in
          try list.add(prefix, output, .line(line.number), line.words[0].range)
        }
        if list.routes.isEmpty {
          throw ConfigurationError(
            file.range, "\(file.path) has no routes", remedy: "write 'prefix output' lines")
        }
      } catch {
        mistakes += error.diagnostics
      }
    }
    let table = RoutingTable(list.routes)
    if table.count < list.routes.count { mistakes += try list.duplicates(file) }
    guard mistakes.isEmpty else { throw ConfigurationError(mistakes) }
    outputs = list.names
    self.table = Snapshot(table)
  }
}

/// Routes as they are read. There may be a million: what is only for diagnostics is found again when it is needed.
private struct List {
  enum Place {
    case setting(SourceRange)
    case line(Int)
  }

  var routes: [RoutingTable.Route] = []
  var names: [String] = []
  private var numbers: [String: UInt32] = [:]
  private var settingRanges: [SourceRange] = []
  private var lines: [UInt32] = []

  mutating func add(
    _ prefix: IPPrefix, _ output: String, _ place: Place, _ range: @autoclosure () -> SourceRange
  ) throws(ConfigurationError) {
    let number = numbers[output] ?? UInt32(names.count)
    if number == names.count {
      guard names.count < NumberedOutput.limit else {
        throw ConfigurationError(range(), "more than \(names.count) outputs", remedy: "let routes share outputs")
      }
      numbers[output] = number
      names.append(output)
    }
    routes.append(.init(prefix, number))
    switch place {
    case .setting(let range): settingRanges.append(range)
    case .line(let number): lines.append(UInt32(number))
    }
  }

  /// What to say of prefixes that have several routes; a hundred at most.
  func duplicates(_ file: FileSetting?) throws(ConfigurationError) -> [Diagnostic] {
    var first: [IPPrefix: Int] = [:]
    var pairs: [(first: Int, again: Int)] = []
    for (index, route) in routes.enumerated() where pairs.count < 100 {
      if let other = first[route.prefix] { pairs.append((other, index)) } else { first[route.prefix] = index }
    }
    var ranges = Dictionary(uniqueKeysWithValues: settingRanges.enumerated().map { ($0, $1) })
    if let file {
      let wanted = Set(pairs.flatMap { [$0.first, $0.again] })
      var index = settingRanges.count
      try LineFile.read(file) { line in
        guard index - settingRanges.count < lines.count, line.number == lines[index - settingRanges.count] else {
          return
        }
        if wanted.contains(index) { ranges[index] = line.words.first?.range }
        index += 1
      }
    }
    return pairs.map { pair in
      Diagnostic(
        .error, ranges[pair.again], "\(routes[pair.again].prefix) has a route already", remedy: "keep one of them",
        notes: [.init(ranges[pair.first], "the first one")])
    }
  }
}
