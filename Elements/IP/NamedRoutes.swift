import Configuration
import Dataplane
import Tables
import Wire

/// Routes to outputs of the user's naming, from a setting and a file; all workers share them.
final class NamedRoutes: Replaceable, Sendable {
  let outputs: [String]
  let table: Snapshot<RoutingTable>

  /// No routes, where there are mistakes in them.
  init() throws(ConfigurationError) {
    outputs = []
    do throws(TableMemoryError) {
      table = Snapshot(try RoutingTable([]))
    } catch {
      throw ConfigurationError(error, at: nil)
    }
  }

  init(
    _ inline: [Settings.MapEntry<String>], _ file: FileSetting?, _ context: SettingContext
  ) throws(ConfigurationError) {
    var list = List(file, running: context.runningOutputs)
    var mistakes: [Diagnostic] = []
    for entry in inline {
      do throws(ConfigurationError) {
        let prefix = try entry.nameValue(as: IPPrefix.self, context: context)
        let range = entry.nameNode.range
        try list.add(prefix, entry.value, range)
        list.places.settings.append(range)
      } catch {
        mistakes += error.diagnostics
      }
    }
    if let file {
      do throws(ConfigurationError) {
        try RouteFile.read(file) { (prefix, output, line) throws(ConfigurationError) in
          try list.add(prefix, output, line.words[0].range)
          list.places.lines.append(UInt32(line.number))
        }
        if list.routes.isEmpty {
          throw ConfigurationError(
            file.range, "\(file.path) has no routes", remedy: "write 'prefix output' lines")
        }
      } catch {
        mistakes += error.diagnostics
      }
    }
    let table: RoutingTable
    do throws(TableMemoryError) {
      table = try RoutingTable(list.routes)
    } catch {
      throw ConfigurationError(error, at: file?.range ?? inline.first?.nameNode.range)
    }
    if table.count < list.routes.count { mistakes += try list.duplicates() }
    guard mistakes.isEmpty else { throw ConfigurationError(mistakes) }
    outputs = list.names
    self.table = Snapshot(table)
  }

  func replace(with other: NamedRoutes, readers: ReaderDomain) { table.replace(with: other.table, readers: readers) }
}

/// Routes as they are read. There may be a million: what is only for diagnostics is found again when it is needed.
private struct List {
  var routes: [RoutingTable.Route] = []
  var names: [String] = []
  private var numbers: [String: UInt32] = [:]
  var places: RoutePlaces

  /// - Parameter running: Outputs that there are already.
  init(_ file: FileSetting?, running: [String]) {
    places = RoutePlaces(file: file)
    names = running
    for (number, name) in running.enumerated() { numbers[name] = UInt32(number) }
  }

  mutating func add(
    _ prefix: IPPrefix, _ output: String, _ range: @autoclosure () -> SourceRange
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
  }

  /// What to say of prefixes that have several routes; a hundred at most.
  func duplicates() throws(ConfigurationError) -> [Diagnostic] {
    try places.diagnostics(for: RoutePlaces.conflicts(in: routes))
  }
}
