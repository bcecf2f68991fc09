import Configuration
import Control
import Dataplane
import Elements
import Foundation
import Testing

@Suite struct ReferenceTests {
  private let reference = Reference(elements: catalogue)

  static let names = catalogue.map(\.name)

  /// The settings of an element and those nested in them.
  private func records(of kind: ElementKind) -> [SettingRecord] {
    var probe = Settings.probe()
    _ = try? kind.make(&probe)
    func all(_ records: [SettingRecord]) -> [SettingRecord] { records.flatMap { [$0] + all($0.nested) } }
    return all(probe.records)
  }

  @Test func listsEveryElement() {
    let lines = reference.list.split(separator: "\n")
    #expect(lines.count == catalogue.count)
    for (line, kind) in zip(lines, catalogue) {
      #expect(line.hasPrefix("\(kind.name) ") && line.hasSuffix(kind.about.summary))
    }
    // The summaries stand in one column.
    #expect(Set(zip(lines, catalogue).map { $0.count - $1.about.summary.count }).count == 1)
  }

  @Test(arguments: names) func pagesNameEverySettingEndAndReason(name: String) throws {
    let kind = try #require(catalogue.first { $0.name == name })
    let page = reference.page(of: kind)
    #expect(page.hasPrefix("\(name)\n  \(kind.about.summary)\n"))
    for input in kind.inputs { #expect(page.contains("\n  \(input.name)  needs \(input.needs)")) }
    for reason in kind.dropReasons { #expect(page.contains(reason)) }
    for record in records(of: kind) {
      #expect(page.contains("  \(record.key)  \(record.schema.name)"), "\(record.key)")
      #expect(!record.help.isEmpty, "\(record.key) is not explained")
    }
  }

  @Test func theDocumentHasEverySetting() {
    let text = reference.markdown
    for kind in catalogue {
      #expect(text.contains("\n## \(kind.name)\n\n\(kind.about.summary)\n"))
      for record in records(of: kind) { #expect(text.contains("\(record.key)` | "), "\(kind.name).\(record.key)") }
    }
    // Every row of a table has as many cells as its head.
    var width: Int?
    for line in text.split(separator: "\n", omittingEmptySubsequences: false) {
      guard line.hasPrefix("|") else {
        width = nil
        continue
      }
      var cells = 0
      var isEscaped = false
      for character in line {
        if character == "|" && !isEscaped { cells += 1 }
        isEscaped = character == "\\"
      }
      #expect(cells == width ?? cells, "\(line)")
      width = cells
    }
  }

  // MARK: JSON Schema

  private func schema() throws -> [String: Any] {
    try #require(try parsed(reference.jsonSchema) as? [String: Any])
  }

  @Test func theSchemaIsJSON() throws {
    let schema = try schema()
    #expect(schema["$schema"] as? String == "https://json-schema.org/draft/2020-12/schema")
    let properties = try #require(schema["properties"] as? [String: Any])
    #expect(
      Set(properties.keys) == ["nfv", "hint", "parameters", "runtime", "ports", "subgraphs", "elements", "graph"])
    let definitions = try #require(schema["$defs"] as? [String: Any])
    #expect(definitions["subgraph"] != nil && definitions["graph"] != nil && definitions["elements"] != nil)
  }

  /// Everything that the schema refers to is defined in it.
  @Test func theSchemasReferencesResolve() throws {
    let schema = try schema()
    let definitions = try #require(schema["$defs"] as? [String: Any])
    func references(_ value: Any) -> [String] {
      if let object = value as? [String: Any] {
        return object.flatMap { key, value in
          if key == "$ref", let text = value as? String { [text] } else { references(value) }
        }
      }
      return (value as? [Any])?.flatMap(references) ?? []
    }
    let found = Set(references(schema))
    #expect(!found.isEmpty)
    for reference in found {
      #expect(reference.hasPrefix("#/$defs/") && definitions[String(reference.dropFirst(8))] != nil, "\(reference)")
    }
  }

  @Test(arguments: names) func theSchemaKnowsEverySetting(name: String) throws {
    let kind = try #require(catalogue.first { $0.name == name })
    let definitions = try #require(try schema()["$defs"] as? [String: Any])
    let elements = try #require(definitions["elements"] as? [String: Any])
    let either = try #require((elements["additionalProperties"] as? [String: Any])?["anyOf"] as? [[String: Any]])
    let types = try #require(either.compactMap { $0["properties"] as? [String: Any] }.first)
    let element = try #require(types[name] as? [String: Any])
    #expect(element["description"] as? String == kind.about.summary)
    let forms = try #require(element["anyOf"] as? [[String: Any]])
    let settings = try #require(forms.first?["properties"] as? [String: Any])
    var probe = Settings.probe()
    _ = try? kind.make(&probe)
    #expect(Set(settings.keys) == Set(probe.records.map(\.key)))
    #expect(forms.count == 2 + probe.records.filter(\.isShorthand).count)
    let required = Set(forms.first?["required"] as? [String] ?? [])
    #expect(required == Set(probe.records.filter(\.isRequired).map(\.key)))
  }

  @Test func helpWithAnyCharacterStaysJSON() throws {
    var probe = Settings.probe()
    let _: Int = try probe.take("a", "quotes \" and \\ and\nlines")
    let schema = try #require(try parsed("{\(SettingRecord.objectSchema(probe.records))}") as? [String: Any])
    let properties = try #require(schema["properties"] as? [String: [String: Any]])
    #expect(properties["a"]?["description"] as? String == "quotes \" and \\ and\nlines")
  }
}
