import Assembly
import Configuration
import Testing

@Suite struct GraphCheckTests {
  // MARK: What lines say

  @Test func joinsWhatTheLinesSay() throws {
    let loaded = try load(
      pipeline(
        "mix: Mixer, sort: Classify", "lan -> sort", "sort.ipv4 -> mix", "sort.ipv6 -> mix[right]",
        "sort.arp -> drop", "sort.other -> mix.right", "mix.even -> wan", "mix.odd -> wan"))
    #expect(
      loaded.graph.lines == [
        "lan.received -> sort[input]: frame",
        "sort.ipv4 -> mix[left]: ipv4",
        "sort.ipv6 -> mix[right]: ipv6",
        "sort.arp -> drop[dropped]: arp",
        "sort.other -> mix[right]: frame",
        // An output that adds nothing delivers what every way in has in common.
        "mix.even -> wan[sent]: frame",
        "mix.odd -> wan[sent]: ipv4",
      ])
    #expect(loaded.warnings.isEmpty)
  }

  @Test func namesBothEndsInTheMiddleOfALine() throws {
    let loaded = try load(
      pipeline(
        "mix: Mixer, two: { Tee: 2 }", "lan -> two -> mix[right].odd -> wan", "two.1 -> mix[ left ]", "mix -> drop"))
    #expect(
      loaded.graph.lines == [
        "lan.received -> two[input]: frame", "two.0 -> mix[right]: frame", "mix.odd -> wan[sent]: ipv4",
        "two.1 -> mix[left]: frame", "mix.even -> drop[dropped]: frame",
      ])
  }

  @Test func takesATypeForAnElementOfItsOwn() throws {
    let loaded = try load(
      pipeline("", "lan -> MACSwap->MACSwap ->\tCounter -> wan", "wan2 -> Counter -> wan").replacing(
        "wan: {", with: "wan2: { pcap: c.pcap }, wan: {"))
    #expect(loaded.elements.map(\.kind.name) == ["MACSwap", "MACSwap", "Counter", "Counter"])
    // Reports tell them apart.
    #expect(loaded.elements.map(\.name) == ["MACSwap@5", "MACSwap@5:21", "Counter@5", "Counter@6"])
  }

  @Test func refusesATypeThatNeedsSettingsInALine() {
    let found = mistakes(pipeline("", "lan -> VLANTag -> wan"))
    #expect(found.count == 1 && found.first?.hasPrefix("5:12: 'id' is missing; ") == true)
  }

  // MARK: Mistakes of lines

  static let lineMistakes: [(line: String, expected: [String])] = [
    ("lan", ["5:5: no arrow in 'lan'; write 'from -> to'"]),
    ("''", ["5:6: no arrow in ''; write 'from -> to'"]),
    ("lan ->", ["5:11: nothing stands beside an arrow; name an element or a port on both sides"]),
    ("-> wan", ["5:5: nothing stands beside an arrow; name an element or a port on both sides"]),
    ("lan -> -> wan", ["5:11: nothing stands beside an arrow; name an element or a port on both sides"]),
    ("lan -> wan[sent", ["5:12: '[' without ']' in 'wan[sent'; write 'name[input]'"]),
    ("lan -> wan]", ["5:12: 'wan]' is not a name; names are letters, digits, '_' and '-'"]),
    ("lan -> w n", ["5:12: 'w n' is not a name; names are letters, digits, '_' and '-'"]),
    ("lan -> count[input]x -> wan", ["5:12: 'x' behind ']'; write 'name[input].output'"]),
    ("lan -> count. -> wan", ["5:12: '' is not a name; names are letters, digits, '_' and '-'"]),
    ("lan -> drop -> wan", ["5:12: no packet leaves 'drop'; end the line there"]),
    (
      "lan -> wan -> drop", ["5:12: a port in the middle of a line; end the line at 'wan', and begin another with it"]
    ),
    ("lan.received -> wan", ["5:5: 'lan' has no ends of its own; write 'lan' alone"]),
    ("lan -> wan.sent", ["5:12: 'wan' has no ends of its own; write 'wan' alone"]),
    ("lan -> count.outptu -> wan", ["5:12: 'count' has no output 'outptu'; did you mean 'output'?"]),
    ("lan -> count[second] -> wan", ["5:12: 'count' has no input 'second'; choose from input"]),
    ("lan -> cuont -> wan", ["5:12: nothing here is called 'cuont'; did you mean 'count'?"]),
    ("lan -> Contuer -> wan", ["5:12: nothing here is called 'Contuer'; did you mean 'Counter'?"]),
    ("zzzzzz -> wan", ["5:5: nothing here is called 'zzzzzz'; declare it under 'elements:' or 'ports:'"]),
    ("{ lan: wan }", ["5:5: a connection is a mapping; write '- from -> to'"]),
    ("[lan, wan]", ["5:5: a connection is a list; write '- from -> to'"]),
    ("lan -> Discard -> wan", ["5:12: 'Discard' has no output; leave it out of the line"]),
  ]

  @Test(arguments: lineMistakes.indices) func refusesALine(index: Int) {
    let (line, expected) = Self.lineMistakes[index]
    #expect(mistakes(pipeline("count: Counter", line)) == expected, "\(line)")
  }

  @Test func reportsMistakesOfSeveralLinesTogether() {
    let found = mistakes(pipeline("count: Counter", "lna -> count", "count -> wna", "count -> -> x", "lan"))
    #expect(
      found == [
        "5:5: nothing here is called 'lna'; did you mean 'lan'?",
        "6:14: nothing here is called 'wna'; did you mean 'wan'?",
        "7:13: nothing stands beside an arrow; name an element or a port on both sides",
        "8:5: no arrow in 'lan'; write 'from -> to'",
      ])
  }

  // MARK: The whole graph

  @Test func everyOutputLeadsSomewhere() {
    #expect(
      mistakes(pipeline("sort: Classify, count: Counter", "lan -> sort", "sort.ipv4 -> wan", "sort.other -> count"))
        == [
          "3:13: output 'sort.ipv6' leads nowhere; connect it, or write '- sort.ipv6 -> drop'",
          "3:13: output 'sort.arp' leads nowhere; connect it, or write '- sort.arp -> drop'",
          "3:29: output 'count' leads nowhere; connect it, or write '- count -> drop'",
        ])
  }

  @Test func anOutputLeadsToOnePlace() {
    #expect(
      mistakes(pipeline("count: Counter", "lan -> count -> wan", "count -> drop", "lan -> wan")) == [
        "6:5: output 'count' is connected twice; an output leads to one place; use Tee to send copies to several",
        "7:5: output 'lan' is connected twice; an output leads to one place; use Tee to send copies to several",
      ])
  }

  @Test func everyInputIsLedTo() {
    #expect(
      mistakes(pipeline("mix: Mixer, lone: Counter", "lan -> mix", "mix.even -> wan", "mix.odd -> wan", "lone -> wan"))
        == [
          "3:13: nothing leads to 'mix[right]'; connect it in 'graph', or remove the element",
          "3:25: nothing leads to 'lone'; connect it in 'graph', or remove the element",
        ])
  }

  @Test func optionalInputsMayBeLeftOut() {
    let errors = "errors: { ICMPError: { source: 192.0.2.1 } }"
    #expect(
      mistakes(
        pipeline(
          "c: CheckIP, a: DecTTL, \(errors)", "lan -> c -> a -> wan", "c.other -> drop",
          "a.expired -> errors[expired] -> wan")) == [])
    #expect(
      mistakes(pipeline(errors, "lan -> wan", "errors -> wan")) == [
        "3:13: nothing leads to 'errors'; connect it in 'graph', or remove the element"
      ])
  }

  @Test func refusesElementsThatNothingReaches() {
    let found = mistakes(
      pipeline("a: DecTTL, b: Queue", "lan -> wan", "a -> b -> a", "a.expired -> drop"))
    #expect(
      found.filter { $0.contains("no packet") } == [
        "3:13: no packet can reach 'a'; lead a port to it, directly or through other elements",
        "3:24: no packet can reach 'b'; lead a port to it, directly or through other elements",
      ])
  }

  @Test func inputsTellWhatTheyNeed() {
    let cases = [
      (
        ("ttl: DecTTL", ["lan -> ttl -> wan", "ttl.expired -> drop"]),
        "5:5: 'lan' delivers frame, but 'ttl' needs ip; put CheckIP or Classify in between and use its ip, ipv4 or ipv6 output"
      ),
      (
        (
          "arp: { ARPResponder: { addresses: 10.0.0.1, mac: 02:00:00:00:00:01 } }",
          ["lan -> arp -> wan", "arp.other -> drop"]
        ),
        "5:5: 'lan' delivers frame, but 'arp' needs arp; put Classify in between and use its arp output"
      ),
    ]
    for ((elements, graph), expected) in cases {
      #expect(mistakes(pipeline(elements, graph[0], graph[1])) == [expected])
    }
  }

  @Test func oneWayInWithoutTheHeadersIsEnough() {
    let graph = ["lan -> two -> sort", "two.1 -> ttl", "sort.ipv4 -> ttl", "sort.ipv6 -> drop", "sort.arp -> drop"]
    let found = mistakes(
      pipeline(
        "two: { Tee: 2 }, sort: Classify, ttl: DecTTL", graph[0], graph[1], graph[2], graph[3], graph[4],
        "sort.other -> drop", "ttl -> wan", "ttl.expired -> drop"))
    #expect(found.count == 1 && found.first?.hasPrefix("6:5: 'two.1' delivers frame, but 'ttl' needs ip; ") == true)
  }

  @Test func whatIsKnownIsKnownBehindElementsThatPassPacketsOn() throws {
    let loaded = try load(
      pipeline(
        "check: CheckIP, count: Counter, ttl: DecTTL", "lan -> check -> count -> ttl -> wan", "check.other -> drop",
        "ttl.expired -> drop"))
    #expect(loaded.graph.lines.contains("count.output -> ttl[input]: ip"))
  }

  @Test func loopsNeedAnEnd() throws {
    let text = { (element: String) in
      pipeline("mix: Mixer, \(element)", "lan -> mix", "mix.even -> last -> mix[right]", "mix.odd -> wan")
    }
    #expect(
      mistakes(text("last: Counter")) == [
        "3:13: packets can go round without end through mix, last; "
          + "put an element into the loop that ends it (DecTTL) or holds packets back (Queue)"
      ])
    let loaded = try load(text("last: Queue"))
    #expect(loaded.graph.loops.map { $0.map { loaded.graph.nodes[$0].name } } == [["mix", "last"]])
  }

  @Test func findsEveryLoop() {
    let found = mistakes(
      pipeline(
        "a: Mixer, b: Mixer, c: { Tee: 2 }", "lan -> a.even -> a[right]", "a.odd -> b.even -> c -> b[right]",
        "b.odd -> wan", "c.1 -> drop"))
    #expect(
      found.map { $0.prefix { $0 != ";" } } == [
        "3:13: packets can go round without end through a", "3:23: packets can go round without end through b, c",
      ])
  }

  @Test func aPortThatIsNotUsedIsPointedOut() throws {
    let loaded = try load(pipeline("", "lan -> drop"))
    #expect(
      loaded.warnings.map { $0.rendered().split(separator: "\n")[0] } == [
        "p.yaml:2:33: warning: port 'wan' is not used in the graph; connect or remove it"
      ])
  }

  // MARK: Order

  @Test func everyNodeComesBehindThoseThatLeadToIt() throws {
    // Both branches of the diamond come before the place where they meet, however long one is.
    let loaded = try load(
      pipeline(
        "two: { Tee: 2 }, end: Counter, b1: Counter, b2: Counter, b3: Counter, a: Counter",
        "lan -> two -> a -> end -> wan", "two.1 -> b1 -> b2 -> b3 -> end"))
    let order = loaded.graph.topologicalOrder.map { loaded.graph.nodes[$0].name }
    #expect(order == ["lan", "two", "a", "b1", "b2", "b3", "end", "wan"])
  }

  @Test(arguments: UInt64(1)...30) func randomGraphsAreOrdered(seed: UInt64) throws {
    var random = Random(state: seed)
    let count = 2 + random.below(12)
    var lines = ["lan -> e0"]
    var used: Set<Int> = [0]
    for index in 0..<count {
      for output in 0..<2 {
        let target = index + 1 + random.below(count - index)
        used.insert(target)
        lines.append("e\(index).\(output) -> \(target == count ? "wan" : "e\(target)")")
      }
    }
    for index in 1..<count where !used.contains(index) { lines.append("x\(index) -> e\(index)") }
    let ports = (1..<count).filter { !used.contains($0) }.map { ", x\($0): { pcap: x.pcap }" }.joined()
    let text = """
      nfv: 1
      ports: { lan: { pcap: a.pcap }, wan: { pcap: { out: b.pcap } }\(ports) }
      elements: { \((0..<count).map { "e\($0): { Tee: 2 }" }.joined(separator: ", ")) }
      graph: [\(lines.map { "'\($0)'" }.joined(separator: ", "))]
      """
    let graph = try load(text).graph
    let order = graph.topologicalOrder
    #expect(order.sorted() == Array(graph.nodes.indices))
    for edge in graph.edges {
      #expect(order.firstIndex(of: edge.from)! < order.firstIndex(of: edge.to)!)
    }
    #expect(graph.loops.isEmpty)
  }

  @Test func drawsTheGraph() throws {
    let loaded = try load(
      pipeline(
        "sort: Classify, mix: Counter", "lan -> sort", "sort.ipv4 -> mix -> wan", "sort.ipv6 -> mix",
        "sort.arp -> drop", "sort.other -> drop"))
    #expect(
      loaded.graph.drawing == """
        lan  (pcap a.pcap)
        `- -> sort  Classify
           |- ipv4 -> mix  Counter
           |  `- -> wan  (pcap -> b.pcap)
           |- ipv6 -> mix  ...
           |- arp -> drop
           `- other -> drop
        """)
    #expect(loaded.graph.dot.split(separator: "\n").count == 3 + 5 + 6 + 1)
  }
}

/// Numbers that a seed decides (SplitMix64).
struct Random {
  var state: UInt64

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }

  mutating func below(_ limit: Int) -> Int { Int(next() % UInt64(limit)) }
}
