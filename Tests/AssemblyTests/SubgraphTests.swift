import Assembly
import Configuration
import Testing

@Suite struct SubgraphTests {
  /// A pipeline with subgraphs.
  private func text(_ subgraphs: String, _ elements: String, _ graph: String...) -> String {
    """
    nfv: 1
    ports: { lan: { pcap: a.pcap }, wan: { pcap: { out: b.pcap } } }
    elements: { \(elements) }
    graph:

    """ + graph.map { "  - \($0)\n" }.joined() + "subgraphs:\n" + subgraphs
  }

  static let hop = """
      Hop:
        parameters: { colour: 3 }
        inputs: [in]
        outputs: [out, bad]
        elements: { check: CheckIP, mark: { Mark: "${colour}" } }
        graph:
          - in -> check -> mark -> out
          - check.other -> bad

    """

  @Test func dissolvesIntoItsElements() throws {
    let loaded = try load(text(Self.hop, "hop: Hop", "lan -> hop -> wan", "hop.bad -> drop"))
    #expect(loaded.elements.map(\.name) == ["hop/check", "hop/mark"])
    #expect(
      Set(loaded.graph.lines) == [
        "lan.received -> hop/check[input]: frame", "hop/check.other -> drop[dropped]: frame",
        "hop/check.ip -> hop/mark[input]: ip", "hop/mark.output -> wan[sent]: ip",
      ])
  }

  @Test func eachUseHasElementsOfItsOwn() throws {
    let loaded = try load(
      text(
        Self.hop, "a: Hop, b: { Hop: { colour: 5 } }", "lan -> a -> b -> wan", "a.bad -> drop", "b.bad -> drop"))
    #expect(loaded.elements.map(\.name) == ["a/check", "a/mark", "b/check", "b/mark"])
    #expect(loaded.graph.lines.contains("a/mark.output -> b/check[input]: ip"))
  }

  @Test func mayBeUsedWithinAnother() throws {
    let outer =
      Self.hop + """
          Pair:
            parameters: { first: 1 }
            inputs: in
            outputs: [out, bad]
            elements: { one: { Hop: { colour: "${first}" } }, two: Hop }
            graph: [in -> one -> two -> out, one.bad -> bad, two.bad -> bad]

        """
    let loaded = try load(text(outer, "pair: { Pair: { first: 9 } }", "lan -> pair -> wan", "pair.bad -> drop"))
    #expect(loaded.elements.map(\.name) == ["pair/one/check", "pair/one/mark", "pair/two/check", "pair/two/mark"])
    #expect(loaded.graph.lines.contains("pair/one/mark.output -> pair/two/check[input]: ip"))
    #expect(loaded.graph.lines.filter { $0.contains("check.other -> drop[dropped]") }.count == 2)
  }

  @Test func anEndMayPassStraightThrough() throws {
    let through = "  Wire:\n    inputs: [in]\n    outputs: [out]\n    graph: [in -> out]\n"
    let loaded = try load(text(through, "a: Wire, b: Wire", "lan -> a -> b -> wan"))
    #expect(loaded.graph.lines == ["lan.received -> wan[sent]: frame"])
    #expect(loaded.elements.isEmpty)
  }

  @Test func takesTypesInItsLines() throws {
    let swap = "  Swap:\n    inputs: [in]\n    outputs: [out]\n    graph: [in -> MACSwap -> MACSwap -> out]\n"
    let loaded = try load(text(swap, "a: Swap, b: Swap", "lan -> a -> b -> wan"))
    #expect(Set(loaded.elements.map(\.name)).count == 4 && loaded.elements.allSatisfy { $0.name.contains("/MACSwap@") })
  }

  // MARK: Mistakes

  @Test func mayNotUseItself() {
    let own =
      "  Self:\n    inputs: [in]\n    outputs: [out]\n    elements: { again: Self }\n    graph: [in -> again -> out]\n"
    let found = mistakes(text(own, "a: Self", "lan -> a -> wan"))
    #expect(found == ["10:17: subgraph 'Self' uses itself; break the circle"])
    let circle = """
        A: { inputs: [in], outputs: [out], elements: { b: B }, graph: [in -> b -> out] }
        B: { inputs: [in], outputs: [out], elements: { a: A }, graph: [in -> a -> out] }

      """
    let both = mistakes(text(circle, "a: A", "lan -> a -> wan"))
    #expect(both.count == 1 && both.first?.contains("uses itself; break the circle") == true)
  }

  @Test func twoUsesOfItselfDoNotMultiply() {
    let own = """
        Self:
          inputs: [in]
          outputs: [out]
          elements: { x: Self, y: Self }
          graph: [in -> x -> y -> out]

      """
    let clock = ContinuousClock()
    var found: [String] = []
    let took = clock.measure { found = mistakes(text(own, "a: Self", "lan -> a -> wan")) }
    #expect(found.count >= 1 && found.count < 10 && found.allSatisfy { $0.contains("uses itself") })
    #expect(took < .seconds(5))
  }

  @Test func endsMustBeJoinedWithinAndWithout() {
    let loose = "  Loose:\n    inputs: [in]\n    outputs: [out, other]\n    graph: [in -> out]\n"
    #expect(
      mistakes(text(loose, "a: Loose", "lan -> a")) == [
        "9:15: 'a.out' leads nowhere; connect it, or write '- a.out -> drop'"
      ])
    #expect(
      mistakes(text(loose, "a: Loose", "lan -> a -> wan", "a.other -> wan")) == [
        "10:20: nothing leads to 'a.other'; connect it in 'graph'"
      ])
    #expect(
      mistakes(text(loose, "a: Loose", "lan -> a -> wan", "a -> drop")) == [
        "6:5: 'a.out' is connected twice; an end leads to one place; use Tee to send copies to several"
      ])
    let unled = mistakes(text(loose, "a: Loose", "lan -> drop", "a -> wan"))
    #expect(unled.count == 1 && unled.first?.hasSuffix(": nothing leads to 'a.in'; connect it in 'graph'") == true)
  }

  @Test func endsHaveADirection() {
    let odd = "  Odd:\n    inputs: [in]\n    outputs: [out]\n    graph: [out -> in, in.x -> out]\n"
    let found = mistakes(text(odd, "a: Odd", "lan -> a -> wan"))
    #expect(
      found == [
        "10:13: 'out' is where packets leave the subgraph; end the line there",
        "10:20: 'in' is where packets enter the subgraph; begin a line with it",
        "10:24: 'in' has no ends of its own; write 'in' alone",
      ])
  }

  @Test func refusesWhatNoSubgraphHas() {
    let wrong = """
        Counter: { graph: [a -> b] }
        Good: { inptus: [in], graph: [lan -> drop] }
        drop: { graph: [a -> b] }
        Ends: { inputs: [in, 'a b', drop], graph: [in -> drop] }

      """
    #expect(
      mistakes(text(wrong, "x: Ends", "lan -> x")) == [
        "7:3: 'Counter' is an element of the library; choose another name for the subgraph",
        "8:11: a subgraph has no part 'inptus'; did you mean 'inputs'?",
        "9:3: 'drop' is where packets are freed; choose a name of letters, digits, '_' and '-'",
        "10:24: 'a b' cannot name a subgraph's end; choose a name of letters, digits, '_' and '-'",
        "10:31: 'drop' is where packets are freed; choose a name of letters, digits, '_' and '-'",
      ])
  }

  @Test func knowsOnlyItsOwnNamesAndParameters() {
    let blind =
      "  Blind:\n    inputs: [in]\n    outputs: [out]\n    elements: { m: { Mark: \"${x}\" } }\n    graph: [in -> m -> lan]\n"
    let found = mistakes("parameters: { x: 1 }\n" + text(blind, "a: { Blind: { colour: 3 } }", "lan -> a -> wan"))
    #expect(found.contains { $0.hasSuffix("'Blind' has no parameter 'colour'; there is none to choose from") })
    #expect(found.contains { $0.contains("there is no parameter 'x'") })
    #expect(found.contains { $0.contains("nothing here is called 'lan'") })
  }

  @Test func needsAGraph() {
    let found = mistakes(text("  Empty: { inputs: [in] }\n", "a: Empty", "lan -> a"))
    #expect(found.contains { $0.hasSuffix("'graph' is missing; list the connections: '- from -> to'") })
  }

  @Test func loopsThroughSubgraphsAreFound() {
    let counted = "  Count: { inputs: [in], outputs: [out], elements: { c: Counter }, graph: [in -> c -> out] }\n"
    let round = mistakes(text(counted, "m: Mixer, a: Count", "lan -> m", "m.even -> a -> m[right]", "m.odd -> wan"))
    #expect(round.count == 1 && round.first?.contains("go round without end through m, a/c") == true)
  }

  @Test func endsMayNotLeadToNothingButEachOther() {
    let wire = "  Wire: { inputs: [in], outputs: [out], graph: [in -> out] }\n"
    let expected = [
      "7:14: a.in, a.out, b.in, b.out lead to nothing but each other; lead one of them to an element, a port or drop"
    ]
    let aside = mistakes(text(wire, "a: Wire, b: Wire", "lan -> wan", "a -> b -> a"))
    let entered = mistakes(text(wire, "a: Wire, b: Wire", "lan -> a -> b -> a"))
    #expect(aside.map { $0.drop { $0 != " " } } == expected.map { $0.drop { $0 != " " } })
    #expect(entered.map { $0.drop { $0 != " " } } == expected.map { $0.drop { $0 != " " } })
  }

  @Test func aMistakeWithinIsSaidOnce() {
    let wrong = "  Wrong: { inputs: [in], outputs: [out], elements: { c: Cuonter }, graph: [in -> c -> out] }\n"
    let found = mistakes(text(wrong, "a: Wrong, b: Wrong, c: Wrong", "lan -> a -> b -> c -> wan"))
    #expect(
      found.count == 1 && found.first?.hasSuffix("there is no element 'Cuonter'; did you mean 'Counter'?") == true)
  }

  @Test func doNotGrowWithoutBound() {
    // Ten uses of the one below, ten levels of it.
    var levels = "  L0: { inputs: [in], outputs: [out], elements: { c: Counter }, graph: [in -> c -> out] }\n"
    for level in 1...10 {
      let names = (0..<10).map { "u\($0)" }
      levels += "  L\(level): { inputs: [in], outputs: [out], elements: { "
      levels += names.map { "\($0): L\(level - 1)" }.joined(separator: ", ")
      levels += " }, graph: ['in -> \(names.joined(separator: " -> ")) -> out'] }\n"
    }
    let found = mistakes(text(levels, "a: L10", "lan -> a -> wan"))
    #expect(found.count == 1)
    #expect(found.first?.contains("more than 10000 elements; use fewer subgraphs within one another") == true)
  }

  @Test func standWithinOneAnotherSixteenDeep() {
    func nested(_ depth: Int) -> [String] {
      var levels = "  L1: { inputs: [in], outputs: [out], elements: { c: Counter }, graph: [in -> c -> out] }\n"
      for level in 2...depth {
        levels +=
          "  L\(level): { inputs: [in], outputs: [out], elements: { u: L\(level - 1) }, graph: [in -> u -> out] }\n"
      }
      return mistakes(text(levels, "a: L\(depth)", "lan -> a -> wan"))
    }
    #expect(nested(16).isEmpty)
    #expect(nested(17).count == 1 && nested(17).first?.contains("too deeply; nest at most 16 of them") == true)
  }
}
