import Configuration
import Testing
import Wire

@Suite struct ProbeTests {
  private func probed() throws -> [SettingRecord] {
    var settings = Settings.probe()
    let _: MACAddress = try settings.take("mac", "own address")
    _ = try settings.take("timeout", default: Duration.seconds(300), in: .seconds(1)...(.seconds(3600)), "say \"when\"")
    _ = try settings.take("colour", default: Colour.darkBlue, shorthand: true)
    _ = try settings.takeIfPresent("share", in: 0.0...1.0)
    _ = try settings.takeNested("limits") { nested throws(ConfigurationError) in
      _ = try nested.take("rate", default: PacketRate(packetsPerSecond: 1000))
    }
    _ = try settings.takeEach("rules", required: true) { one throws(ConfigurationError) in
      let _: [PortRange] = try one.take("ports")
    }
    _ = try settings.takeMap("routes", of: IPv4Address.self)
    settings.reject(nil, "never said of a probe", remedy: "")
    settings.warn(nil, "never said of a probe", remedy: "")
    try settings.finish()
    #expect(settings.warnings.isEmpty)
    return settings.records
  }

  @Test func recordsWhatIsTaken() throws {
    let records = try probed()
    #expect(records.map(\.key) == ["mac", "timeout", "colour", "share", "limits", "rules", "routes"])
    #expect(records.map(\.isRequired) == [true, false, false, false, false, true, false])
    #expect(records.map(\.defaultText) == [nil, "5m", "dark-blue", nil, nil, nil, nil])
    #expect(records.map(\.range) == [nil, "1s to 1h", nil, "0 to 1", nil, nil, nil])
    #expect(records.map(\.isShorthand) == [false, false, true, false, false, false, false])
    #expect(records[0].help == "own address" && records[0].schema.name == "MAC address")
    #expect(
      records[4].nested.map(\.key) == ["rate"] && records[5].nested[0].schema.name == "list of port or range of ports")
  }

  /// Written by hand from the draft; the values are what an editor checks a file against.
  @Test func describesValuesInJSONSchema() throws {
    let records = try probed()
    let parameter = #"{"type": "string", "pattern": "\\$\\{"}"#
    #expect(records[0].jsonSchema == #""description": "own address", "type": "string""#)
    #expect(
      records[1].jsonSchema
        == #""description": "say \"when\"", "x-default": "5m", "anyOf": [{"type": ["string", "integer"]}, \#(parameter)]"#
    )
    #expect(records[2].jsonSchema.contains(#"{"enum": ["red", "green", "dark-blue"]}"#))
    #expect(
      records[4].jsonSchema.contains(#""type": "object", "additionalProperties": false, "properties": {"rate": {"#))
    #expect(
      records[5].jsonSchema.contains(#""required": ["ports"]"#) && records[5].jsonSchema.contains(#""type": "array""#))
    #expect(records[6].jsonSchema.contains(#""additionalProperties": {"type": "string"}"#))
    #expect(UInt8.schema.jsonSchema.contains(#""minimum": 0, "maximum": 255"#))
    #expect(SettingRecord.objectSchema(records).hasSuffix(#""required": ["mac", "rules"]"#))
  }
}
