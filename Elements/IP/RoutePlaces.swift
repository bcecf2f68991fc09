import Configuration
import Tables
import Wire

/// Where routes are written, in the order in which they were added. There may be a million: of those in the file only the
/// line's number is kept, and the rest found again when it is needed.
struct RoutePlaces {
  let file: FileSetting?
  var settings: [SourceRange] = []
  var lines: [UInt32] = []

  init(file: FileSetting?) { self.file = file }

  /// A route to a prefix that has one: its place among those that were added, and the other's; nil for one that the
  /// element has of its own.
  struct Conflict {
    var prefix: IPPrefix
    var first: Int?
    var again: Int
  }

  /// Routes to a prefix that has one, a hundred at most.
  static func conflicts(in routes: [RoutingTable.Route], own: Set<IPPrefix> = []) -> [Conflict] {
    var first: [IPPrefix: Int] = [:]
    var conflicts: [Conflict] = []
    for (index, route) in routes.enumerated() where conflicts.count < 100 {
      let prefix = route.prefix
      if own.contains(prefix) {
        conflicts.append(Conflict(prefix: prefix, first: nil, again: index))
      } else if let other = first[prefix] {
        conflicts.append(Conflict(prefix: prefix, first: other, again: index))
      } else {
        first[prefix] = index
      }
    }
    return conflicts
  }

  /// What to say of routes to prefixes that have one.
  func diagnostics(for conflicts: [Conflict]) throws(ConfigurationError) -> [Diagnostic] {
    let ranges = try ranges(of: Set(conflicts.flatMap { [$0.again] + ($0.first.map { [$0] } ?? []) }))
    return conflicts.map { conflict in
      guard let first = conflict.first else {
        return Diagnostic(
          .error, ranges[conflict.again], "\(conflict.prefix) is a network or address of the router's own",
          remedy: "leave it out: connected networks have their routes")
      }
      return Diagnostic(
        .error, ranges[conflict.again], "\(conflict.prefix) has a route already", remedy: "keep one of them",
        notes: [.init(ranges[first], "the first one")])
    }
  }

  private func ranges(of wanted: Set<Int>) throws(ConfigurationError) -> [Int: SourceRange] {
    var ranges: [Int: SourceRange] = [:]
    for index in wanted where index < settings.count { ranges[index] = settings[index] }
    guard let file, wanted.contains(where: { $0 >= settings.count }) else { return ranges }
    var index = settings.count
    try LineFile.read(file) { line in
      guard index - settings.count < lines.count, line.number == lines[index - settings.count] else { return }
      if wanted.contains(index) { ranges[index] = line.words.first?.range }
      index += 1
    }
    return ranges
  }
}

extension ConfigurationError {
  /// Says that there is no memory for a table.
  init(_ error: TableMemoryError, at range: SourceRange?) { self.init(range, "\(error)", remedy: error.remedy) }
}
