import Configuration

/// One stop of a line of the graph: `name`, `name.output`, `name.input`, or `input.name.output` written
/// `name[input].output`.
struct Stop {
  var name: Substring
  /// The input that the arrow on the left leads to; nil: the first.
  var input: Substring?
  /// The output that the arrow on the right leaves by; nil: the first.
  var output: Substring?
  /// Where the stop stands in the line, in characters.
  var offset: Int
}

/// What is wrong with a line of the graph, and where in it.
struct ArrowError: Error {
  var message: String
  var remedy: String
  var offset: Int
}

/// Reads `a -> b.output -> c[input] -> d`.
///
/// An end behind a dot is an output where an arrow follows, and an input at the end of the line. In the middle of a
/// line, where both are possible, `name[input].output` names both.
func parseArrows(_ line: String) throws(ArrowError) -> [Stop] {
  var stops: [Stop] = []
  var rest = Substring(line)
  var offset = 0
  var parts: [(text: Substring, offset: Int)] = []
  while let arrow = range(of: "->", in: rest) {
    parts.append((rest[..<arrow.lowerBound], offset))
    offset += rest.distance(from: rest.startIndex, to: arrow.upperBound)
    rest = rest[arrow.upperBound...]
  }
  parts.append((rest, offset))
  guard parts.count > 1 else {
    throw ArrowError(message: "no arrow in '\(line)'", remedy: "write 'from -> to'", offset: 0)
  }
  for (position, part) in parts.enumerated() {
    let leading = part.text.prefix { $0 == " " }.count
    let text = trimmed(part.text)
    let start = part.offset + leading
    guard !text.isEmpty else {
      throw ArrowError(
        message: "nothing stands beside an arrow", remedy: "name an element or a port on both sides",
        offset: part.offset)
    }
    stops.append(try parseStop(text, at: start, isLast: position == parts.count - 1))
  }
  return stops
}

private func parseStop(_ text: Substring, at offset: Int, isLast: Bool) throws(ArrowError) -> Stop {
  var stop = Stop(name: text, offset: offset)
  var tail = Substring()
  if let open = text.firstIndex(of: "[") {
    guard let close = text.firstIndex(of: "]"), close > open else {
      throw ArrowError(message: "'[' without ']' in '\(text)'", remedy: "write 'name[input]'", offset: offset)
    }
    stop.name = text[..<open]
    stop.input = trimmed(text[text.index(after: open)..<close])
    tail = text[text.index(after: close)...]
    guard tail.isEmpty || tail.first == "." else {
      throw ArrowError(message: "'\(tail)' behind ']'", remedy: "write 'name[input].output'", offset: offset)
    }
    if !tail.isEmpty { stop.output = tail.dropFirst() }
  } else if let dot = text.firstIndex(of: ".") {
    stop.name = text[..<dot]
    let end = text[text.index(after: dot)...]
    if isLast { stop.input = end } else { stop.output = end }
  }
  for word in [stop.name, stop.input, stop.output] {
    guard let word else { continue }
    guard isName(word) else {
      throw ArrowError(
        message: "'\(word)' is not a name", remedy: "names are letters, digits, '_' and '-'", offset: offset)
    }
  }
  return stop
}

private func trimmed(_ text: Substring) -> Substring {
  var text = text.drop { $0 == " " || $0 == "\t" }
  while let last = text.last, last == " " || last == "\t" { text.removeLast() }
  return text
}

func range(of pattern: String, in text: Substring) -> Range<Substring.Index>? {
  var index = text.startIndex
  while index < text.endIndex {
    if text[index...].hasPrefix(pattern) { return index..<text.index(index, offsetBy: pattern.count) }
    index = text.index(after: index)
  }
  return nil
}
