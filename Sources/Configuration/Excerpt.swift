/// `text` for a terminal: what would move the cursor, colour the text or turn it round is written as an escape.
func printable(_ text: String) -> String {
  var out = ""
  for scalar in text.unicodeScalars {
    if !isUnsafeToPrint(scalar) {
      out.unicodeScalars.append(scalar)
    } else {
      out += scalar.escaped(asASCII: true)
    }
  }
  return out
}

private func isUnsafeToPrint(_ scalar: Unicode.Scalar) -> Bool {
  switch scalar.value {
  case 0..<0x20, 0x7F..<0xA0, 0x200E, 0x200F, 0x2028...0x202E, 0x2066...0x2069, 0xFEFF: true
  default: false
  }
}

/// How many columns of a terminal a scalar takes.
private func columns(_ scalar: Unicode.Scalar) -> Int {
  guard scalar.value >= 0x300 else { return 1 }
  switch scalar.properties.generalCategory {
  case .nonspacingMark, .enclosingMark, .format: return 0
  default: break
  }
  switch scalar.value {
  case 0x1100...0x115F, 0x2E80...0x303E, 0x3041...0xA4CF, 0xAC00...0xD7A3, 0xF900...0xFAFF, 0xFE30...0xFE6F,
    0xFF00...0xFF60, 0xFFE0...0xFFE6, 0x1F300...0x1F64F, 0x1F900...0x1F9FF, 0x20000...0x3FFFD:
    return 2
  default: return 1
  }
}

/// The line of a range and a caret under it: `^~~~`. Of a long line, what is around the caret.
func excerpt(of range: SourceRange, colour: Bool) -> [String] {
  let scalars = Array(range.text.unicodeScalars)
  guard !scalars.isEmpty else { return [] }
  let start = min(range.start.column - 1, scalars.count)
  let first = start > 100 ? start - 40 : 0
  let last = min(scalars.count, max(first + 140, start + 20))
  let end = min(last, start + min(range.length, last))

  var line = first > 0 ? "..." : ""
  var before = first > 0 ? "   " : ""
  for (index, scalar) in zip(first..., scalars[first..<last]) {
    let isTab = scalar == "\t"
    // Tabs stay tabs above and below, so that both lines are as wide as the terminal makes them.
    let shown = isTab ? "\t" : isUnsafeToPrint(scalar) ? "?" : String(scalar)
    line += shown
    if index < start { before += isTab ? "\t" : String(repeating: " ", count: shown == "?" ? 1 : columns(scalar)) }
  }
  if last < scalars.count { line += "..." }
  let width = start < end ? scalars[start..<end].reduce(0) { $0 + columns($1) } : 1
  let caret = "^" + String(repeating: "~", count: max(width, 1) - 1)
  return ["  " + line, "  " + before + (colour ? "\u{1B}[1;32m\(caret)\u{1B}[0m" : caret)]
}
