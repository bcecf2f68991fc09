import Configuration
import Dataplane

/// Settings for an element of a catalogue, made up from what the element says it takes.
enum RandomSettings {
  /// - Parameters:
  ///   - kind: The element.
  ///   - choose: Gives a number from 0 up to and not including its argument.
  /// - Returns: Settings as YAML that the element may or may not accept.
  static func make(for kind: ElementKind, choose: (Int) -> Int) -> String {
    var probe = Settings.probe()
    _ = try? kind.make(&probe)
    let records = probe.records
    let usesFiles = records.contains(where: isFile)
    if !usesFiles, choose(3) == 0, let example = example(of: kind) { return example }
    return mapping(records, choose)
  }

  private static func isFile(_ record: SettingRecord) -> Bool { record.schema.name == "file" }

  /// The settings that stand in the reference's example, where they can be written again in one line.
  private static func example(of kind: ElementKind) -> String? {
    guard let root = try? YAMLDocument.load(text: kind.about.example, name: "example.yaml") else { return nil }
    return root["elements"]?.mapping?.compactMap { $0.value[kind.name].map(flow) }.first
  }

  private static func flow(_ node: YAMLNode) -> String {
    switch node.kind {
    case .scalar(let text, let isPlain): isPlain ? text : quoted(text)
    case .sequence(let members): "[" + members.map(flow).joined(separator: ", ") + "]"
    case .mapping(let members):
      "{ " + members.map { "\(flow($0.key)): \(flow($0.value))" }.joined(separator: ", ") + " }"
    }
  }

  private static func mapping(_ records: [SettingRecord], _ choose: (Int) -> Int) -> String {
    // An element that has a map in place of its file is left with that: there is no file that it could read.
    let hasMap = records.contains { $0.shape == .map }
    let members = records.compactMap { record -> String? in
      if isFile(record) { return hasMap ? nil : "\(record.key): /dev/null" }
      guard record.isRequired || record.shape == .map || choose(3) == 0 else { return nil }
      return "\(record.key): \(value(record, choose))"
    }
    return members.isEmpty ? "" : "{ \(members.joined(separator: ", ")) }"
  }

  private static func value(_ record: SettingRecord, _ choose: (Int) -> Int) -> String {
    switch record.shape {
    case .nested: return orEmpty(mapping(record.nested, choose))
    case .list:
      return "[" + (0...choose(3)).map { _ in orEmpty(mapping(record.nested, choose)) }.joined(separator: ", ") + "]"
    case .map:
      let keys = prefixes.shuffled(choose).prefix(1 + choose(prefixes.count))
      return "{ " + keys.map { "\"\($0)\": \(scalar(record, choose))" }.joined(separator: ", ") + " }"
    case .named:
      let members = ["a", "b", "c"].prefix(1 + choose(3)).map { "\($0): \(orEmpty(mapping(record.nested, choose)))" }
      return "{ " + members.joined(separator: ", ") + " }"
    case .value: return scalar(record, choose)
    }
  }

  private static func orEmpty(_ mapping: String) -> String { mapping.isEmpty ? "{}" : mapping }

  private static let prefixes = ["10.0.0.0/30", "10.0.0.0/8", "0.0.0.0/0", "2001:db8::/127", "2001:db8::/64", "::/0"]

  /// Values of a kind, among them those that `FrameGenerator` has; by the name of the schema.
  private static let values: [String: [String]] = [
    "text": ["a", "b", "c"], "yes or no": ["yes", "no"], "IP prefix": prefixes,
    "IPv4 prefix": ["10.0.0.0/30", "10.0.0.0/8", "0.0.0.0/0"], "IP address": ["10.0.0.1", "10.0.0.2", "2001:db8::1"],
    "IPv4 address": ["10.0.0.1", "10.0.0.2"], "IPv4 address or prefix": ["10.0.0.1", "10.0.0.0/29"],
    "port": ["53", "80", "1024"], "port or range of ports": ["53", "80", "1024-65535"],
    "IP protocol": ["tcp", "udp", "icmp", "icmpv6"], "EtherType": ["ipv4", "ipv6", "arp", "0x88b5"],
    "packet rate or data rate": ["1kpps", "100kpps", "1Mbps", "100Mbps"], "size": ["60", "1500", "64KiB"],
    "duration": ["1ms", "1s", "10s"], "whole number": ["0", "1", "2", "3", "4", "6", "64"],
  ]

  private static func scalar(_ record: SettingRecord, _ choose: (Int) -> Int) -> String {
    let name = record.schema.name
    if let limits = range(record.range) ?? range(name.split(separator: " from ").last.map(String.init)) {
      // Small ones, mostly: what is made many times over takes many buffers.
      let span = limits.upperBound &- limits.lowerBound
      let steps = choose(4) == 0 ? 64 : 6
      return String(limits.lowerBound + choose(span < steps ? span + 1 : steps))
    }
    if name.hasPrefix("list of ") {
      let one = String(name.dropFirst("list of ".count))
      guard let known = values[one] else { return record.schema.example }
      return "[" + (0...choose(3)).map { _ in known[choose(known.count)] }.joined(separator: ", ") + "]"
    }
    if name.contains(" | ") {
      let words = name.split(separator: " ").filter { $0 != "|" }
      return String(words[choose(words.count)])
    }
    let known = values[name] ?? [record.schema.example]
    return known[choose(known.count)]
  }

  /// A range that is written `1 to 64`.
  private static func range(_ text: String?) -> ClosedRange<Int>? {
    let words = text?.split(separator: " ") ?? []
    guard words.count == 3, words[1] == "to", let low = Int(words[0]) else { return nil }
    let high = Int(clamping: UInt64(words[2]) ?? 0)
    return low <= high ? low...high : nil
  }
}

extension Array {
  /// The same members in another order.
  fileprivate func shuffled(_ choose: (Int) -> Int) -> [Element] {
    var left = self
    var out: [Element] = []
    while !left.isEmpty { out.append(left.remove(at: choose(left.count))) }
    return out
  }
}
