import Configuration

/// Where routes are written, in the order in which they were added. There may be a million: of those in the file only the
/// line's number is kept, and the rest found again when it is needed.
struct RoutePlaces {
  let file: FileSetting?
  var settings: [SourceRange] = []
  var lines: [UInt32] = []

  init(file: FileSetting?) { self.file = file }

  /// What to say of routes to prefixes that have one.
  func diagnostics(for conflicts: [RouteSetBuilder.Conflict]) throws(ConfigurationError) -> [Diagnostic] {
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
