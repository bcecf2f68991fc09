import Configuration

/// A JSON value that keeps the order of its members, so that the same report is always the same bytes.
public enum JSON: Sendable {
  case string(String)
  case number(Int)
  case decimal(Double)
  case bool(Bool)
  case array([JSON])
  case object([(String, JSON)])

  /// A count as a JSON number.
  public static func count(_ value: UInt64) -> JSON { .number(Int(clamping: value)) }

  /// The text, indented by two spaces a level, without a line feed at its end.
  public var text: String {
    var out = ""
    write(to: &out, indent: "")
    return out
  }

  private func write(to out: inout String, indent: String) {
    switch self {
    case .string(let value): out += quoted(value)
    case .number(let value): out += String(value)
    case .decimal(let value): out += Self.rounded(value)
    case .bool(let value): out += value ? "true" : "false"
    case .array(let values):
      Self.writeList(values.map { (nil, $0) }, "[", "]", to: &out, indent: indent)
    case .object(let members):
      Self.writeList(members.map { ($0.0, $0.1) }, "{", "}", to: &out, indent: indent)
    }
  }

  /// Two decimals; `null` for what is no number (RFC 8259, section 6).
  private static func rounded(_ value: Double) -> String {
    guard value.isFinite else { return "null" }
    let scaled = value * 100
    return "\(scaled.isFinite ? scaled.rounded() / 100 : value)"
  }

  private static func writeList(
    _ members: [(String?, JSON)], _ open: String, _ close: String, to out: inout String, indent: String
  ) {
    guard !members.isEmpty else {
      out += open + close
      return
    }
    let inner = indent + "  "
    out += open
    for (index, member) in members.enumerated() {
      out += index == 0 ? "\n" : ",\n"
      out += inner
      if let name = member.0 { out += quoted(name) + ": " }
      member.1.write(to: &out, indent: inner)
    }
    out += "\n" + indent + close
  }
}
