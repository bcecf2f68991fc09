import Configuration
import Dataplane
import Wire

/// What a field may be: one value or a list of them. `not` before a value (or `!`, quoted) excludes it: `not tcp`,
/// `[10.0.0.0/8, not 10.1.0.0/16]`. With exclusions alone everything else will do.
struct OneOf<Value: SettingValue>: SettingValue {
  /// Values one of which must be there; when there is none and some are excluded, any.
  var wanted: [Value] = []
  /// Values that must not be there.
  var excluded: [Value] = []

  static var schema: ValueSchema {
    let one = Value.schema
    let word = #"{\#(one.jsonSchema)}, {"type": "string", "pattern": "^(not |!)"}"#
    return ValueSchema(
      "\(one.name), 'not' one, or a list", example: one.example,
      jsonSchema: #""anyOf": [\#(word), {"type": "array", "items": {"anyOf": [\#(word)]}}]"#)
  }
  static var placeholder: OneOf { OneOf(wanted: [.placeholder]) }

  private init(wanted: [Value]) { self.wanted = wanted }

  init(setting node: YAMLNode, context: SettingContext) throws(ConfigurationError) {
    var mistakes: [Diagnostic] = []
    for member in node.sequence ?? [node] {
      do throws(ConfigurationError) {
        if let negated = Self.negated(member) {
          excluded.append(try Value(setting: negated, context: context))
        } else {
          wanted.append(try Value(setting: member, context: context))
        }
      } catch {
        mistakes += error.diagnostics
      }
    }
    guard mistakes.isEmpty else { throw ConfigurationError(mistakes) }
    if wanted.isEmpty && excluded.isEmpty {
      throw node.error("an empty list matches nothing", "give a value, or leave the setting out")
    }
  }

  /// What stands behind `not` or `!`.
  private static func negated(_ node: YAMLNode) -> YAMLNode? {
    guard let text = node.scalar else { return nil }
    let scalars = text.unicodeScalars
    let prefix = text.hasPrefix("not ") ? 4 : text.hasPrefix("!") ? 1 : 0
    guard prefix > 0 else { return nil }
    let blanks = scalars.dropFirst(prefix).prefix { $0 == " " }.count
    let rest = String(String.UnicodeScalarView(scalars.dropFirst(prefix + blanks)))
    return YAMLNode(
      .scalar(rest, isPlain: false), node.part(offset: prefix + blanks, length: rest.unicodeScalars.count))
  }
}

/// Which fragments a rule is about.
enum FragmentKind: String, TextSetting, Sendable {
  /// Fragments, the first and all others.
  case yes
  /// Whole packets.
  case no
  /// First fragments.
  case first
  /// Fragments that have no transport header.
  case later

  static var schema: ValueSchema {
    ValueSchema("yes | no | first | later", example: "yes", jsonSchema: #""type": ["boolean", "string"]"#)
  }
  static var placeholder: FragmentKind { .yes }

  init?(settingText text: String) {
    if let wanted = Bool(settingText: text) {
      self = wanted ? .yes : .no
    } else {
      self.init(rawValue: text)
    }
  }

  /// Of whole packets, first and later fragments, those that are meant.
  var states: Set<Int> {
    switch self {
    case .yes: [1, 2]
    case .no: [0]
    case .first: [1]
    case .later: [2]
    }
  }
}

/// Numbers from one to another: `8` or `0-4`.
struct NumberRange<Limit: RuleNumber>: TextSetting {
  let range: ClosedRange<UInt32>

  static var schema: ValueSchema { Limit.schema }
  static var placeholder: NumberRange { NumberRange(0...0) }

  init(_ range: ClosedRange<UInt32>) { self.range = range }

  init?(settingText text: String) {
    let ends = text.split(separator: "-", maxSplits: 1, omittingEmptySubsequences: false)
    let numbers = ends.compactMap { end in
      end.utf8.allSatisfy { (0x30...0x39).contains($0) } ? UInt32(end) : nil
    }
    guard numbers.count == ends.count, let low = numbers.first, let high = numbers.last, low <= high,
      high <= Limit.most
    else { return nil }
    range = low...high
  }
}

/// What numbers a `NumberRange` is of.
protocol RuleNumber {
  static var schema: ValueSchema { get }
  static var most: UInt32 { get }
}

private let numberOrText = #""type": ["string", "integer"]"#

/// Lengths of frames in bytes.
enum FrameLength: RuleNumber {
  static var schema: ValueSchema {
    ValueSchema("length or range of lengths", example: "64-128", jsonSchema: numberOrText)
  }
  static var most: UInt32 { 65_535 }
}

/// Types and codes of ICMP.
enum ICMPNumber: RuleNumber {
  static var schema: ValueSchema {
    ValueSchema("number from 0 to 255 or range", example: "8", jsonSchema: numberOrText)
  }
  static var most: UInt32 { 255 }
}

/// A VLAN's number, a range of them, or `none` for untagged frames.
struct VLANMatch: TextSetting {
  /// As `RangeField.vlan` has it.
  let range: ClosedRange<UInt32>

  /// Any tag.
  static let tagged: ClosedRange<UInt32> = 0x1000...0x1FFF
  static let untagged: ClosedRange<UInt32> = 0...0

  static var schema: ValueSchema {
    ValueSchema("VLAN identifier from 0 to 4095, range, or none", example: "100", jsonSchema: numberOrText)
  }
  static var placeholder: VLANMatch { VLANMatch(range: tagged) }

  private init(range: ClosedRange<UInt32>) { self.range = range }

  init?(settingText text: String) {
    if text == "none" {
      range = Self.untagged
      return
    }
    guard let ports = PortRange(text), ports.upperBound <= 4095 else { return nil }
    range = 0x1000 | UInt32(ports.lowerBound)...0x1000 | UInt32(ports.upperBound)
  }
}

/// TCP flags that are set: `syn`, or with those that are looked at, `syn/syn+ack`.
struct MaskedFlags: TextSetting {
  let flags: TCPFlags
  let mask: TCPFlags?

  static var schema: ValueSchema { ValueSchema("TCP flags", example: "syn/syn+ack") }
  static var placeholder: MaskedFlags { MaskedFlags(flags: .syn, mask: nil) }

  private init(flags: TCPFlags, mask: TCPFlags?) {
    self.flags = flags
    self.mask = mask
  }

  init?(settingText text: String) {
    let parts = text.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
    let sets = parts.compactMap { TCPFlags($0) }
    guard sets.count == parts.count, let first = sets.first else { return nil }
    self.init(flags: first, mask: sets.count > 1 ? sets[1] : nil)
  }
}

/// A mark: `7`, or with the bits that are looked at, `0x2/0x6`.
struct MaskedMark: SettingValue {
  let value: UInt32
  let mask: UInt32?

  static var schema: ValueSchema {
    ValueSchema("number from 0 to \(UInt32.max)", example: "8", jsonSchema: numberOrText)
  }
  static var placeholder: MaskedMark { MaskedMark(value: 1, mask: nil) }

  private init(value: UInt32, mask: UInt32?) {
    self.value = value
    self.mask = mask
  }

  init(setting node: YAMLNode, context: SettingContext) throws(ConfigurationError) {
    guard let text = node.scalar, let slash = text.firstIndex(of: "/") else {
      self.init(value: try UInt32(setting: node, context: context), mask: nil)
      return
    }
    func number(_ part: Substring, at offset: Int) throws(ConfigurationError) -> UInt32 {
      try UInt32(
        setting: YAMLNode(.scalar(String(part), isPlain: false), node.part(offset: offset, length: part.count)),
        context: context)
    }
    let rest = text[text.index(after: slash)...]
    self.init(
      value: try number(text[..<slash], at: 0), mask: try number(rest, at: text.count - rest.count))
  }
}

/// Explicit congestion notification (RFC 3168): a number from 0 to 3 or a name.
struct ECNMatch: TextSetting {
  let value: UInt32

  private static let names = ["not-ect", "ect1", "ect0", "ce"]

  static var schema: ValueSchema {
    ValueSchema("not-ect | ect1 | ect0 | ce, or 0 to 3", example: "ce", jsonSchema: numberOrText)
  }
  static var placeholder: ECNMatch { ECNMatch(value: 0) }

  private init(value: UInt32) { self.value = value }

  init?(settingText text: String) {
    let text = text.lowercased()
    if let index = Self.names.firstIndex(of: text) {
      value = UInt32(index)
    } else if let number = UInt32(text), number <= 3, text.utf8.count == 1 {
      value = number
    } else {
      return nil
    }
  }
}

/// An expression in tcpdump's language. That it is one is checked when it is read.
struct FilterExpression: SettingValue {
  let text: String

  static var schema: ValueSchema {
    ValueSchema("tcpdump filter expression", example: "tcp port 80 and not net 10.0.0.0/8")
  }
  static var placeholder: FilterExpression { FilterExpression(text: "ip") }

  private init(text: String) { self.text = text }

  init(setting node: YAMLNode, context: SettingContext) throws(ConfigurationError) {
    guard let text = node.scalar, !node.isNull else { throw Self.mismatch(node) }
    if let problem = PacketFilters.problem(with: text) {
      throw ConfigurationError(
        problem.place.map { node.part(offset: $0.lowerBound, length: $0.count) } ?? node.range,
        "libpcap refuses the filter: \(problem.reason)", remedy: "see pcap-filter(7) for the language")
    }
    self.text = text
  }

  private static func mismatch(_ node: YAMLNode) -> ConfigurationError {
    node.error("\(node.typeName) is not a filter expression", "write it like 'tcp port 80'")
  }
}
