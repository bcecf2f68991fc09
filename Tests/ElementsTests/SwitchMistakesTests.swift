import Assembly
import Configuration
import Elements
import Testing

/// What is said of configurations of `Switch` that are wrong.
@Suite struct SwitchMistakesTests {
  /// `line:column message` of each mistake, lines counted from the first port on.
  private func mistakes(_ ports: [String], more: [String] = [], warnings: Bool = false) throws -> [String] {
    let text = TestSwitch.text(ports, more: more)
    func line(_ diagnostic: Diagnostic) -> String {
      "\((diagnostic.range?.start.line ?? 0) - 7):\(diagnostic.range?.start.column ?? 0) \(diagnostic.message)"
    }
    do throws(ConfigurationError) {
      let pipeline = try Pipeline.load(text: text, name: "p.yaml", elements: catalogue)
      return warnings ? pipeline.warnings.map(line) : []
    } catch {
      return error.diagnostics.map(line)
    }
  }

  private func messages(_ ports: [String], more: [String] = [], warnings: Bool = false) throws -> [String] {
    try mistakes(ports, more: more, warnings: warnings).map { String($0.split(separator: " ", maxSplits: 1)[1]) }
  }

  private let aware = ["vlans: 802.1Q"]

  @Test func whatIsRightIsTaken() throws {
    #expect(
      try mistakes(["a: { tagged: [10, 20-29], untagged: 5, pvid: 5 }", "b: {}"], more: aware, warnings: true) == [])
    #expect(try mistakes(["a: {}", "b: {}"], warnings: true) == [])
  }

  @Test func thePlaceIsNamed() throws {
    #expect(try mistakes(["a: {}", "b: { pvid: 4095 }"], more: aware) == ["2:20 4095 is no VLAN's number"])
  }

  @Test func vlansOfASwitchWithout() throws {
    #expect(
      try messages(["a: { pvid: 10, tagged: 20 }", "b: {}"]) == [
        "'pvid' is of VLANs, and the switch has none", "'tagged' is of VLANs, and the switch has none",
      ])
  }

  @Test func vlanNumbers() throws {
    for text in ["0", "4095", "20-10", "x", "1-4095", "-3", "1-", "5000"] {
      #expect(try messages(["a: { tagged: '\(text)' }", "b: {}"], more: aware).count == 1, "\(text)")
    }
    #expect(
      try messages(["a: { tagged: 1-20, untagged: 15-30 }", "b: {}"], more: aware) == [
        "VLAN 15 is to leave both with a tag and without"
      ])
    #expect(
      try messages(["a: { tagged: 1-20, pvid: 7 }", "b: {}"], more: aware) == [
        "VLAN 7 is to leave both with a tag and without"
      ])
  }

  @Test func framesThatCanNeverCome() throws {
    #expect(
      try messages(["a: { pvid: 7, untagged: 8 }", "b: {}"], more: aware, warnings: true) == [
        "the port is no member of VLAN 7: frames without a tag are dropped"
      ])
    #expect(
      try messages(["a: { tagged: 8, accept: all }", "b: {}"], more: aware, warnings: true) == [
        "frames without a tag are in no VLAN and are dropped"
      ])
  }

  @Test func ports() throws {
    #expect(try messages((0..<65).map { "p\($0): {}" }) == ["more than 64 ports"])
    #expect(try messages(["a: {}"], warnings: true) == ["a switch with one port sends nothing"])
    #expect(try messages(["a: { limt: 3 }", "b: {}"]) == ["there is no setting 'limt'"])
    #expect(try messages(["a: { storm: { broadcast: 0pps } }", "b: {}"]) == ["a rate of nothing"])
  }

  @Test func staticStations() throws {
    func station(_ text: String, more: [String] = []) throws -> [String] {
      try messages(["a: {}", "b: {}"], more: ["static: [\(text)]"] + more)
    }
    #expect(try station("{ mac: 02:00:00:00:00:01, port: a }, { mac: 02:00:00:00:00:02, port: b }") == [])
    #expect(
      try station("{ mac: 01:00:5e:00:00:01, port: a }") == ["01:00:5e:00:00:01 is no station's address"])
    #expect(try station("{ mac: 02:00:00:00:00:01, port: c }") == ["there is no port 'c'"])
    #expect(try station("{ mac: 02:00:00:00:00:01, port: a, vlan: 3 }") == ["the switch has no VLANs"])
    #expect(
      try station("{ mac: 02:00:00:00:00:01, port: a, vlan: 3 }", more: aware) == ["port 'a' is no member of VLAN 3"])
    #expect(
      try station("{ mac: 02:00:00:00:00:01, port: a }, { mac: 02:00:00:00:00:01, port: b }") == [
        "02:00:00:00:00:01 is given twice"
      ])
    #expect(
      try station("{ mac: 02:00:00:00:00:01, port: a }, { mac: 02:00:00:00:00:02, port: b }", more: ["addresses: 1"])
        == ["there is no room for 2 static addresses"])
    #expect(
      try messages(["a: { tagged: 5 }", "b: {}"], more: aware + ["static: { mac: 02:00:00:00:00:01, port: a }"]) == [
        "port 'a' has no PVID"
      ])
  }
}
