import Dataplane

/// Makes access lists of boxes.
enum RuleLists {
  /// No kind of packet has more lists: each is walked for every packet.
  private static let limit = 4

  /// Makes lists, one for boxes that look at addresses, ports and protocol only, and one for each set of further fields
  /// that at least `least` boxes look at. To build one list of boxes that each look at other fields takes minutes.
  /// - Returns: The boxes that are in no list.
  static func add(_ terms: [Packed], _ kinds: PacketKind, to lists: inout AccessLists, least: Int) -> [Packed] {
    let groups = Dictionary(grouping: terms, by: \.furtherGroups).sorted {
      ($1.value.count, $0.key) < ($0.value.count, $1.key)
    }
    var rest: [Packed] = []
    for (index, group) in groups.enumerated() {
      let fits = group.value.count >= least && (index < limit || least == 1)
      if !fits || !add(group.value, kinds, to: &lists) { rest += group.value }
    }
    return rest.sorted { $0.rule < $1.rule }
  }

  /// Whether it could be done; boxes that do not fit into one list are halved.
  private static func add(_ terms: [Packed], _ kinds: PacketKind, to lists: inout AccessLists) -> Bool {
    let layout = ListLayout(terms.map(\.term))
    if lists.add(
      kinds: kinds.rawValue, fields: layout.fields, values: terms.flatMap { layout.values(of: $0.term) },
      results: terms.map(\.rule), memory: RuleSet.listMemory)
    {
      return true
    }
    guard terms.count > RuleSet.linearLimit, PacketEnvironment.isRunning else { return false }
    let middle = terms.count / 2
    return add(Array(terms[..<middle]), kinds, to: &lists) && add(Array(terms[middle...]), kinds, to: &lists)
  }
}

extension Packed {
  /// Groups of four bytes of the key that the box looks at beside those of protocol, ports and addresses, a bit each.
  fileprivate var furtherGroups: UInt16 {
    var groups: UInt16 = 0
    for field in RangeField.allCases where ![.transport, .first, .second].contains(field) && !term.isFree(field) {
      groups |= 1 << UInt16(field.place.offset / 4)
    }
    for field in [BitField.facts, .flags, .mark, .filters, .zones] where term[field].mask != 0 {
      groups |= 1 << UInt16(field.place.offset / 4)
    }
    return groups
  }
}

/// Which fields of the key a list looks at: groups of four bytes of which no box looks at any are left out, since each
/// costs steps.
private struct ListLayout {
  private struct Part {
    var comparison: AccessLists.Comparison
    var size: Int
    var offset: Int
    var isUsed: (RuleTerm) -> Bool
    var read: (RuleTerm) -> AccessLists.Value

    var group: Int { offset / 4 }
    var field: AccessLists.Field { AccessLists.Field(comparison, size: size, offset: offset) }
  }

  private let parts: [Part]
  var fields: [AccessLists.Field] { parts.map(\.field) }

  init(_ terms: [RuleTerm]) {
    let protocolField = Self.range(.transport)
    var group0 = protocolField
    // A list begins with one byte by itself. It is in a group as well, where nothing more is asked of it.
    group0.read = { _ in .range(0...255) }
    group0.isUsed = { _ in false }
    var all = [group0] + RangeField.allCases.dropFirst().map(Self.range)
    all += [.facts, .flags, .mark, .filters, .zones].map(Self.bits)
    all += [.sourceHigh, .sourceLow, .destinationHigh, .destinationLow].flatMap { field in
      (0..<2).map { Self.prefix(field, half: $0) }
    }
    all.append(
      Part(comparison: .bits, size: 1, offset: 15, isUsed: { _ in false }, read: { _ in .bits(0, mask: 0) }))
    let groups = Set(all.filter { part in terms.contains { part.isUsed($0) } }.map(\.group))
    parts = [protocolField] + all.filter { groups.contains($0.group) }.sorted { $0.offset < $1.offset }
  }

  func values(of term: RuleTerm) -> [AccessLists.Value] { parts.map { $0.read(term) } }

  private static func range(_ field: RangeField) -> Part {
    let place = field.place
    return Part(
      comparison: .range, size: place.width / 8, offset: place.offset, isUsed: { !$0.isFree(field) },
      read: { .range($0[field].low...$0[field].high) })
  }

  private static func bits(_ field: BitField) -> Part {
    let place = field.place
    return Part(
      comparison: .bits, size: place.width / 8, offset: place.offset, isUsed: { $0[field].mask != 0 },
      read: { .bits(UInt32(truncatingIfNeeded: $0[field].value), mask: UInt32(truncatingIfNeeded: $0[field].mask)) })
  }

  private static func prefix(_ field: BitField, half: Int) -> Part {
    let shift = UInt64(32 - 32 * half)
    return Part(
      comparison: .prefix, size: 4, offset: field.place.offset + 4 * half,
      isUsed: { $0[field].mask >> shift & 0xFFFF_FFFF != 0 },
      read: { term in
        let mask = UInt32(truncatingIfNeeded: term[field].mask >> shift)
        return .prefix(UInt32(truncatingIfNeeded: term[field].value >> shift), length: mask.nonzeroBitCount)
      })
  }
}
