import Dataplane
import TestKit
import Testing

/// What can be asked of a `Switch` while it runs.
@Suite struct SwitchControlTests {
  /// The answer's rows as `name=value` lines, in their order; asks on until it is finished.
  private func ask(
    _ sw: PipelineUnderTest, _ name: String, _ arguments: [String: String] = [:]
  ) throws -> (rows: [String], failure: String?, calls: Int) {
    let task = try #require(sw.pipeline.composites.first?.tasks.first)
    #expect(task.operations.map(\.name) == ["addresses", "flush"])
    var rows: [String] = []
    var request = OperationRequest(name, arguments: arguments)
    for calls in 1...1000 {
      var answer = OperationAnswer()
      task.perform(request, &answer)
      rows += answer.rows.map { $0.map { "\($0.name)=\($0.value)" }.joined(separator: " ") }
      #expect(answer.rows.count <= 1024)
      guard let position = answer.position else { return (rows.sorted(), answer.failure, calls) }
      request = request.resumed(at: position)
    }
    Issue.record("it never ends")
    return (rows, nil, 1000)
  }

  private func make() throws -> PipelineUnderTest {
    let sw = try TestSwitch.make(
      ["p1: { pvid: 10, tagged: 20 }", "p2: { pvid: 20, tagged: 10 }"],
      more: ["vlans: 802.1Q", "static: { mac: 02:00:00:00:00:99, port: p2, vlan: 10 }"])
    _ = sw.push([Frame.broadcast(from: 1).filled, Frame.broadcast(from: 2).vlan(20).ipv4().udp()], at: "p1")
    _ = sw.push([Frame.broadcast(from: 3).filled], at: "p2")
    return sw
  }

  @Test func theStationsAreListed() throws {
    let sw = try make()
    _ = sw.advance(milliseconds: 31_000)
    let all = try ask(sw, "addresses")
    #expect(
      all.rows == [
        "mac=02:00:00:00:00:01 vlan=10 port=p1 kind=learned age=30s",
        "mac=02:00:00:00:00:02 vlan=20 port=p1 kind=learned age=30s",
        "mac=02:00:00:00:00:03 vlan=20 port=p2 kind=learned age=30s",
        "mac=02:00:00:00:00:99 vlan=10 port=p2 kind=static age=",
      ])
    #expect(all.calls > 1)
    #expect(try ask(sw, "addresses", ["port": "p1", "vlan": "20"]).rows.count == 1)
    #expect(try ask(sw, "addresses", ["mac": "02:00:00:00:00:99"]).rows.count == 1)
    #expect(try ask(sw, "addresses", ["vlan": "30"]).rows.isEmpty)
  }

  @Test func stationsCanBeForgotten() throws {
    let sw = try make()
    #expect(try ask(sw, "flush", ["port": "p1", "vlan": "20"]).rows == ["forgotten=1"])
    #expect(try ask(sw, "addresses").rows.count == 3)
    #expect(try ask(sw, "flush").rows == ["forgotten=2"])
    // The static one stays.
    #expect(try ask(sw, "addresses").rows == ["mac=02:00:00:00:00:99 vlan=10 port=p2 kind=static age="])
  }

  @Test func argumentsThatMeanNothing() throws {
    let sw = try make()
    #expect(try ask(sw, "flush", ["port": "p9"]).failure == "there is no port 'p9'; there are p1, p2")
    #expect(try ask(sw, "addresses", ["vlan": "x"]).failure != nil)
    #expect(try ask(sw, "addresses", ["mac": "1:2"]).failure != nil)
  }
}
