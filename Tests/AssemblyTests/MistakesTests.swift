import Assembly
import Configuration
import Elements
import Testing

@Suite struct PipelineMistakesTests {
  private static let whole = """
    nfv: 1
    ports: { lan: { pcap: a.pcap }, wan: { pcap: { out: b.pcap } } }
    graph: [lan -> wan]

    """

  @Test func showsTheLineAndACaret() throws {
    let error = try #require(throws: ConfigurationError.self) {
      _ = try load("nfv: 1\nports: { lan: { pcap: a.pcap }, wan: { pcpa: b.pcap } }\ngraph: [lan -> wan]\n")
    }
    // What is said about the port is not said again where it is used.
    #expect(
      error.diagnostics.map { $0.rendered() } == [
        """
        p.yaml:2:40: error: port 'wan' has no known kind; did you mean 'pcap'?
          ports: { lan: { pcap: a.pcap }, wan: { pcpa: b.pcap } }
                                                 ^~~~
        """
      ])
  }

  static let wholeFile: [(text: String, expected: [String])] = [
    ("a", ["1:1: 'a' is no pipeline; start with 'nfv: 1', 'ports:' and 'graph:'"]),
    ("[]", ["1:1: a list is no pipeline; start with 'nfv: 1', 'ports:' and 'graph:'"]),
    (
      "x: 1",
      [
        "1:1: 'graph' is missing; list the connections: '- from -> to'",
        "1:1: 'nfv' is missing; begin the file with 'nfv: 1'",
        "1:1: there is no part 'x'; choose from elements, graph, hint, nfv, parameters, ports, runtime, subgraphs",
      ]
    ),
    (
      "nfv: 2\nports: { lan: { pcap: a } }\ngraph: [lan -> drop]",
      ["1:6: '2' is no version this nfvrun reads; write 'nfv: 1'"]
    ),
    (
      "nfv: [1]\nports: { lan: { pcap: a } }\ngraph: [lan -> drop]",
      ["1:6: a list is no version this nfvrun reads; write 'nfv: 1'"]
    ),
    (
      "nfv: 1\nports: { lan: { pcap: a } }\ngraph:\n", ["1:1: 'graph' is missing; list the connections: '- from -> to'"]
    ),
    ("nfv: 1\nports: { lan: { pcap: a } }\ngraph: x", ["3:8: 'graph' is 'x'; list the connections: '- from -> to'"]),
    ("nfv: 1\nports: {}\ngraph: []", ["2:8: there are no ports; name at least one under 'ports:'"]),
    ("nfv: 1\ngraph: []", ["1:1: there are no ports; name at least one under 'ports:'"]),
    ("nfv: 1\nports: [lan]\ngraph: []", ["2:8: 'ports' is a list; write a mapping of names"]),
    (
      "nfv: 1\ngrahp: []\nports: { lan: { pcap: a } }\ngraph: [lan -> drop]",
      ["2:1: there is no part 'grahp'; did you mean 'graph'?"]
    ),
  ]

  @Test(arguments: wholeFile.indices) func refusesAFile(index: Int) {
    let (text, expected) = Self.wholeFile[index]
    #expect(mistakes(text).sorted() == expected.sorted(), "\(text)")
  }

  static let ports: [(port: String, expected: String)] = [
    ("lan: { pcpa: a }", "2:17: port 'lan' has no known kind; did you mean 'pcap'?"),
    ("lan: pcpa", "2:15: there is no kind of port 'pcpa'; did you mean 'pcap'?"),
    ("lan: ~", "2:10: port 'lan' has no known kind; write 'lan: { af_packet: eth0 }'"),
    ("lan: {}", "2:10: port 'lan' has no known kind; write 'lan: { af_packet: eth0 }'"),
    ("lan: []", "2:10: port 'lan' has no known kind; write 'lan: { af_packet: eth0 }'"),
    ("'l n': { pcap: a }", "2:10: 'l n' cannot name a port; choose a name of letters, digits, '_' and '-'"),
    ("drop: { pcap: a }", "2:10: 'drop' is where packets are freed; choose a name of letters, digits, '_' and '-'"),
    ("lan: { pcap: { inn: a } }", "2:25: there is no setting 'inn'; did you mean 'in'?"),
    ("lan: { pcap: a, queues: 2 }", "2:26: there is no setting 'queues'"),
    ("lan: { dpdk: net_null0, queues: 0 }", "2:42: 0 queues; give 1 to 64"),
    ("lan: { traffic: { size: 20 } }", "2:34: frames of 20 bytes; give 60 to 9216"),
    ("lan: { traffic: { version: 5 } }", "2:37: 5 is no IP version; give 4 or 6"),
    ("lan: { traffic: { version: 6, size: 60 } }", "2:46: frames of 60 bytes; give 62 to 9216"),
    (
      "lan: { traffic: { version: 6, source: 10.0.0.0/8 } }",
      "2:48: 'source' is IPv4, the traffic IPv6; set 'version: 4'"
    ),
  ]

  @Test(arguments: ports.indices) func refusesAPort(index: Int) {
    let (port, expected) = Self.ports[index]
    let found = mistakes("nfv: 1\nports: { \(port) }\ngraph: [lan -> drop]\n")
    #expect(found.contains { $0.hasPrefix(expected) }, "\(found)")
    // Nothing else is wrong, but that a port without a good name is not there.
    #expect(found.filter { !$0.hasPrefix("3:") }.count == 1, "\(found)")
  }

  @Test func settingsMayStandBesideThePortsKind() throws {
    let loaded = try load(
      """
      nfv: 1
      ports: { a: { pcap: a.pcap, out: b.pcap }, b: { af_packet: eth0, queues: 2 }, c: { pcap: { in: c }, out: d } }
      graph: [a -> b, b -> a, c -> c]
      """)
    #expect(loaded.ports.map(\.summary) == ["pcap a.pcap -> b.pcap", "af_packet eth0", "pcap c -> d"])
    #expect(loaded.queues(of: 1) == 2)
  }

  static let elements: [(element: String, expected: String)] = [
    ("in: Clasify", "3:17: there is no element 'Clasify'; did you mean 'Classify'?"),
    ("in: Zzzzzzzz", "3:17: there is no element 'Zzzzzzzz'; 'nfvrun elements' lists them"),
    ("in: [Classify]", "3:17: element 'in' is a list; write 'in: Type' or 'in: { Type: { settings } }'"),
    ("in: ~", "3:17: element 'in' is nothing; write 'in: Type' or 'in: { Type: { settings } }'"),
    (
      "in: { Classify: {}, Counter: {} }",
      "3:17: element 'in' is a mapping; write 'in: Type' or 'in: { Type: { settings } }'"
    ),
    ("lan: Counter", "3:13: 'lan' is taken; choose another name; ports, elements and ends share them"),
    ("drop: Counter", "3:13: 'drop' is where packets are freed; choose a name of letters, digits, '_' and '-'"),
    ("in.put: Counter", "3:13: 'in.put' cannot name an element; choose a name of letters, digits, '_' and '-'"),
    ("in: { Counter: { x: 1 } }", "3:30: there is no setting 'x'; remove it; there is nothing to set"),
    ("in: { Counter: 7 }", "3:28: '7' is not what this takes; remove it; there is nothing to set"),
    ("in: { Queue: { capcity: 5 } }", "3:28: there is no setting 'capcity'; did you mean 'capacity'?"),
    ("in: { Queue: { capacity: 0 } }", "3:38: 'capacity' is 0, which is out of range; give 1 to 1000000"),
    ("in: { HashSplit: 1 }", "3:30: 1 outputs; give 2 to 64, as many as weights"),
  ]

  @Test(arguments: elements.indices) func refusesAnElement(index: Int) {
    let (element, expected) = Self.elements[index]
    let found = mistakes(pipeline(element, "lan -> wan"))
    #expect(found.contains(expected), "\(found)")
  }

  @Test func reportsAllMistakesOfAFileInOneRun() {
    let found = mistakes(
      """
      nfv: 3
      hnit: x
      runtime: { workers: 0, batch: 1000, pol: busy }
      ports:
        lan: { pcpa: a }
        wan: { pcap: { out: b, in: c, it: d } }
      elements:
        one: { Queue: { capacity: x, drop: all, rate: 5 } }
        two: Coutner
      graph:
        - lan -> one -> wan
        - wan -> two -> nowhere
        - ${gone} -> drop

      """)
    #expect(
      found.map { $0.prefix { $0 != " " } } == [
        "1:6:", "2:1:", "3:21:", "3:31:", "3:37:", "5:10:", "6:33:", "8:29:", "8:38:", "8:49:", "9:8:", "12:19:",
        "13:5:",
      ], "\(found.joined(separator: "\n"))")
  }

  // MARK: Parameters

  private func parameterised(_ parameters: String, _ value: String) -> String {
    "nfv: 1\nparameters: { \(parameters) }\n" + Self.whole.dropFirst(7).replacing("graph: [lan -> wan]", with: "")
      + "elements: { m: { Mark: \(value) } }\ngraph: [lan -> m -> wan]\n"
  }

  @Test func putsParametersIn() throws {
    #expect(mistakes(parameterised("x: 5", "\"${x}\"")).isEmpty)
    #expect(mistakes(parameterised("x: 5", "\"${x}\""), set: ["x=7"]).isEmpty)
    #expect(mistakes(parameterised("x: 5, y: '${x}0'", "\"${y}\""), set: ["x=7"]).isEmpty)
    let found = mistakes(parameterised("x: 5", "\"${x}\""), set: ["x=abc"])
    #expect(found.count == 1 && found.first?.contains("'abc' is not a number") == true, "\(found)")
  }

  static let overrides: [(set: String, expected: String)] = [
    ("x", "error: --set takes name=value, not 'x'; write --set name=value"),
    ("=5", "error: --set takes name=value, not '=5'; write --set name=value"),
    ("", "error: --set takes name=value, not ''; write --set name=value"),
    ("xx=5", "error: --set: the pipeline has no parameter 'xx'; choose from unused, x"),
    ("zzzz=5", "error: --set: the pipeline has no parameter 'zzzz'; choose from unused, x"),
    ("unused=5", "2:29: --set unused: nothing in the pipeline uses '${unused}'; remove the option"),
  ]

  @Test(arguments: overrides.indices) func refusesAnOverride(index: Int) {
    let (set, expected) = Self.overrides[index]
    let found = mistakes(parameterised("x: 5, unused: 6", "\"${x}\""), set: [set])
    #expect(found == [expected], "\(set)")
  }

  @Test func pointsIntoWhatAnOverrideSays() {
    let found = mistakes(parameterised("x: 5", "\"${x}\""), set: ["x=[1"])
    #expect(found.count == 1 && found.first?.hasPrefix("--set x:") == true)
    #expect(mistakes(parameterised("x: 5", "\"${x}\""), set: ["x= 7 "]).isEmpty)
    #expect(mistakes(parameterised("x: 5", "\"${x}\""), set: ["x=1", "x=2"]).isEmpty)
    #expect(!mistakes(parameterised("x: 5", "\"${x}\""), set: ["x="]).isEmpty)
  }

  @Test func takesTextOfAnOverrideAsItIs() throws {
    // A path with what means something in YAML stays whole when it is quoted as YAML asks.
    let text =
      "nfv: 1\nparameters: { out: b }\nports: { lan: { pcap: a.pcap }, wan: { pcap: { out: '${out}/x.pcap' } } }\n"
      + "graph: [lan -> wan]\n"
    let loaded = try load(text, set: ["out=/tmp/a-b_c=d"])
    #expect(loaded.ports[1].summary == "pcap -> /tmp/a-b_c=d/x.pcap")
  }

  @Test func refusesCircles() {
    let found = mistakes(parameterised("x: '${y}', y: '${x}'", "\"${x}\""))
    #expect(found.count == 1 && found.first?.contains("circle") == true)
  }

  // MARK: Ports' resources

  @Test func twoPortsMayNotUseOneFileOrDevice() {
    func both(_ one: String, _ two: String) -> [String] {
      mistakes("nfv: 1\nports: { a: { \(one) }, b: { \(two) }, c: { pcap: c.pcap } }\ngraph: [a -> b, c -> a]\n")
        .filter { $0.contains("both use") }.map { String($0.drop { $0 != " " }) }
    }
    #expect(
      both("pcap: { in: i, out: x }", "pcap: { out: x }") == [
        " ports 'a' and 'b' both use file x; give each port its own"
      ])
    #expect(
      both("af_packet: eth0", "af_packet: eth0") == [
        " ports 'a' and 'b' both use interface eth0; give each port its own"
      ])
    #expect(both("dpdk: 'net_x,a=1'", "dpdk: 'net_x,b=2'").count == 1)
    #expect(both("pcap: { in: x, out: y }", "pcap: { out: z }").isEmpty)
  }

  @Test func aCaptureIsNotWrittenOverWhileItIsPlayed() {
    let own = "nfv: 1\nports: { a: { pcap: { in: x, out: x } } }\ngraph: [a -> a]\n"
    #expect(
      mistakes(own) == ["2:10: port 'a' would write over file x, which port 'a' plays; write to another file"])
    let other = "nfv: 1\nports: { a: { pcap: x }, b: { pcap: { out: x } } }\ngraph: [a -> b]\n"
    #expect(
      mistakes(other) == ["2:26: port 'b' would write over file x, which port 'a' plays; write to another file"])
  }
}
