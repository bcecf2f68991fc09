import Dataplane

extension Report {
  /// The report for people.
  public var text: String {
    var table = TextTable(["", "in", "out", "dropped"])
    for port in ports {
      var row = ["\(port.name)  (\(port.kind))", "", "", ""]
      if let received = port.received {
        row[1] = Self.grouped(received.packetsIn) + " (" + Self.bytes(received.bytesIn) + ")"
      }
      if let transmitted = port.transmitted {
        row[2] =
          Self.grouped(transmitted.packetsIn - transmitted.dropped) + " (" + Self.bytes(transmitted.bytesIn) + ")"
        if transmitted.dropped > 0 { row[3] = Self.grouped(transmitted.dropped) + " portBusy" }
      }
      table.add(row)
      let counts = port.counters.filter { $0.value > 0 }
      if !counts.isEmpty {
        table.add(["", counts.map { "\($0.name) \(Self.grouped($0.value))" }.joined(separator: ", ")])
      }
    }
    table.addRule()
    for element in elements { add(element, to: &table) }
    if discarded > 0 { table.add(["drop", Self.grouped(discarded), "", Self.grouped(discarded) + " discarded"]) }
    return table.text + "\n" + summary + "\n"
  }

  private func add(_ element: ElementLine, to table: inout TextTable) {
    let counters = element.counters
    var outputs: [String] = []
    for (name, packets) in zip(element.outputs, counters.packetsOut) where packets > 0 {
      outputs.append(element.outputs.count == 1 ? Self.grouped(packets) : "\(name) \(Self.grouped(packets))")
    }
    var dropped = element.drops.map { "\(Self.grouped($0.packets)) \($0.reason)" }
    if counters.handedOver > 0 { outputs.append("other workers \(Self.grouped(counters.handedOver))") }
    if counters.held > 0 { dropped.append("\(Self.grouped(counters.held)) held") }
    var name = "\(element.name)  \(element.type)"
    if showsCycles, let cycles = counters.cyclesPerPacket { name += "  \(Int(cycles.rounded())) cycles" }
    let lines = max(outputs.count, dropped.count, 1)
    for line in 0..<lines {
      table.add([
        line == 0 ? name : "", line == 0 ? Self.grouped(counters.packetsIn) : "",
        line < outputs.count ? outputs[line] : "", line < dropped.count ? dropped[line] : "",
      ])
    }
    let own = element.elementCounters.filter { $0.value > 0 }
    if !own.isEmpty { table.add(["", own.map { "\($0.name) \(Self.grouped($0.value))" }.joined(separator: ", ")]) }
  }

  /// One line that balances the books.
  public var summary: String {
    let sum = balance
    var text = "\(Self.grouped(sum.received)) in"
    if sum.created > 0 { text += " + \(Self.grouped(sum.created)) made" }
    text += isBalanced ? " = " : " != "
    text += "\(Self.grouped(sum.transmitted)) out + \(Self.grouped(sum.dropped)) dropped"
    if sum.held > 0 { text += " + \(Self.grouped(sum.held)) held" }
    return text
  }

  /// A count with commas between thousands.
  public static func grouped(_ value: UInt64) -> String {
    var digits = Array(String(value))
    var index = digits.count - 3
    while index > 0 {
      digits.insert(",", at: index)
      index -= 3
    }
    return String(digits)
  }

  /// A size with a unit of 1,000.
  public static func bytes(_ value: UInt64) -> String {
    let units = ["B", "kB", "MB", "GB", "TB", "PB", "EB"]
    var scaled = Double(value)
    var unit = 0
    // What one decimal would round up to 1,000 takes the next unit.
    while scaled >= (unit == 0 ? 1000 : 999.95) && unit < units.count - 1 {
      scaled /= 1000
      unit += 1
    }
    return unit == 0 ? "\(value) B" : "\((scaled * 10).rounded() / 10) \(units[unit])"
  }
}

/// Columns of text: the first to the left, the others to the right.
struct TextTable {
  private var rows: [[String]?] = []
  private let columns: Int

  init(_ header: [String]) {
    columns = header.count
    rows.append(header)
    rows.append(nil)
  }

  /// Rows shorter than the table run over the columns they lack.
  mutating func add(_ row: [String]) { rows.append(row) }
  mutating func addRule() { rows.append(nil) }

  var text: String {
    var widths = [Int](repeating: 0, count: columns)
    for row in rows.compactMap({ $0 }) where row.count == columns {
      for (column, cell) in row.enumerated() { widths[column] = max(widths[column], cell.count) }
    }
    let rule = String(repeating: "-", count: widths.reduce(0, +) + 2 * (columns - 1))
    return rows.map { row in
      guard let row else { return rule }
      guard row.count == columns else { return "    " + row.dropFirst().joined(separator: "  ") }
      var line = row[0] + String(repeating: " ", count: widths[0] - row[0].count)
      for column in 1..<columns {
        line += "  " + String(repeating: " ", count: widths[column] - row[column].count) + row[column]
      }
      while line.last == " " { line.removeLast() }
      return line
    }.joined(separator: "\n")
  }
}
