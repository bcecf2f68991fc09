import Configuration
import Testing

@Suite struct ParametersTests {
  private func parameters(_ text: String) throws -> Parameters {
    var parameters = Parameters()
    for (key, value) in try yaml(text).mapping ?? [] { parameters.set(key.scalar ?? "", value) }
    return parameters
  }

  private func substitute(_ text: String, _ declared: String) throws -> YAMLNode {
    var parameters = try parameters(declared)
    return try parameters.substitute(try yaml(text))
  }

  private func refusals(_ text: String, _ declared: String) -> [String] {
    mistakes { _ = try substitute(text, declared) }
  }

  @Test func becomesTheValueWhenAlone() throws {
    let node = try substitute("{a: '${n}', b: \"${list}\", c: '${map}'}", "{n: 7, list: [1, 2], map: {x: y}}")
    #expect(node["a"]?.scalar == "7" && node["b"]?.sequence?.count == 2 && node["c"]?["x"]?.scalar == "y")
    // What is wrong with the value is shown where it is used.
    #expect(node["a"]?.range.start.column == 5)
  }

  @Test func isPutIntoText() throws {
    let node = try substitute("a: x${n}-${m}y\nb: $$5 and $${n}\n", "{n: 7, m: ü}")
    #expect(node["a"]?.scalar == "x7-üy" && node["b"]?.scalar == "$5 and ${n}")
  }

  @Test func leavesKeysAndOtherTextAlone() throws {
    let node = try substitute("${n}: plain {n}", "{n: 7}")
    #expect(node.mapping?.first?.key.scalar == "${n}" && node.mapping?.first?.value.scalar == "plain {n}")
  }

  @Test func resolvesParametersOfParameters() throws {
    #expect(try substitute("a: ${x}", "{x: 'p${y}', y: 'q${z}', z: 1}")["a"]?.scalar == "pq1")
  }

  @Test func remembersWhatWasUsed() throws {
    var parameters = try parameters("{x: '${y}', y: 1, z: 2}")
    _ = try parameters.substitute(try yaml("a: ${x}"))
    #expect(parameters.used == ["x", "y"] && parameters.names == ["x", "y", "z"])
  }

  @Test(arguments: [
    ("a: ${wrld}", "{world: 1}", ["1:4: there is no parameter 'wrld'; did you mean 'world'?"]),
    ("a: x${q}", "{world: 1}", ["1:5: there is no parameter 'q'; give it a default under 'parameters:'"]),
    ("a: 'äx${q}'", "{}", ["1:7: there is no parameter 'q'; give it a default under 'parameters:'"]),
    ("a: 5$", "{}", ["1:5: a '$' that begins no '${name}'; write '$$' for the sign itself"]),
    ("a: $x", "{}", ["1:4: a '$' that begins no '${name}'; write '$$' for the sign itself"]),
    ("a: ${x", "{}", ["1:4: a '$' that begins no '${name}'; write '$$' for the sign itself"]),
    ("a: y${l}", "{l: [1]}", ["1:5: '${l}' is a list, which does not fit into text; let it stand alone"]),
    (
      "a: ${p}\nb: [x, '${q}']", "{}",
      [
        "1:4: there is no parameter 'p'; give it a default under 'parameters:'",
        "2:9: there is no parameter 'q'; give it a default under 'parameters:'",
      ]
    ),
  ])
  func refuses(text: String, declared: String, expected: [String]) {
    #expect(refusals(text, declared) == expected)
  }

  @Test func findsCircles() {
    #expect(
      refusals("a: ${x}", "{x: '${y}', y: 'p${z}', z: '${x}'}") == [
        "1:29: parameter 'x' is part of a circle: x -> y -> z -> x; give one of them a value of its own"
      ])
    #expect(refusals("a: ${x}", "{x: '[${x}]'}").count == 1)
  }

  @Test func saysAMistakeOfADefaultAtEveryUse() throws {
    var parameters = try parameters("{x: '${gone}'}")
    for _ in 0..<2 {
      #expect(throws: ConfigurationError.self) { _ = try parameters.substitute(try yaml("a: ${x}")) }
    }
  }

  @Test func boundsWhatTextGrowsTo() {
    let doubling = (1..<40).map { "x\($0): '${x\($0 - 1)}${x\($0 - 1)}'" }.joined(separator: ", ")
    let found = refusals("a: ${x39}", "{x0: aaaa, \(doubling)}")
    #expect(
      found.count == 1
        && found[0].hasSuffix("this is longer than 64 KiB once parameters are put in; shorten their values"))
  }

  @Test func boundsWhatListsGrowTo() {
    let doubling = (1..<40).map { "x\($0): ['${x\($0 - 1)}', '${x\($0 - 1)}']" }.joined(separator: ", ")
    let found = refusals("a: ${x39}", "{x0: [a, a], \(doubling)}")
    #expect(!found.isEmpty && found.allSatisfy { $0.contains("parameters expand to more than a million values") })
  }

  @Test func boundsHowDeepTheyMentionEachOther() {
    let chain = (1..<5000).map { "x\($0): '${x\($0 - 1)}'" }.joined(separator: ", ")
    #expect(refusals("a: ${x4999}", "{x0: 1, \(chain)}").count == 1)
    #expect(refusals("a: ${x50}", "{x0: 1, \(chain)}").isEmpty)
  }

  @Test func takesFinalValuesAsTheyAre() throws {
    var parameters = Parameters()
    parameters.set("x", try yaml("a $5 ${y}"), isFinal: true)
    #expect(try parameters.substitute(try yaml("${x}!")).scalar == "a $5 ${y}!")
    parameters.set("x", try yaml("'b$$'"))
    #expect(try parameters.substitute(try yaml("${x}")).scalar == "b$")
  }
}
