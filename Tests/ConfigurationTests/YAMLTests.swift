import Configuration
import Glibc
import Testing

@Suite struct YAMLTests {
  @Test func keepsTheOrderAndPlaces() throws {
    let node = try yaml("b: 1\na:\n  - x\n  - 'y z'\n")
    #expect(node.mapping?.map(\.key.scalar) == ["b", "a"])
    #expect(node["b"]?.scalar == "1" && node["nothing"] == nil)
    let members = try #require(node["a"]?.sequence)
    #expect(members.map(\.scalar) == ["x", "y z"])
    #expect(members[1].range.start == SourcePosition(file: "test.yaml", line: 4, column: 5))
    #expect(members[1].range.length == 5 && members[1].range.text == "  - 'y z'")
    #expect(node.count == 7)
  }

  @Test func tellsNothingFromText() throws {
    let node = try yaml("a:\nb: ~\nc: null\nd: ''\ne: 'null'\n")
    #expect(node.mapping?.map(\.value.isNull) == [true, true, true, false, false])
  }

  @Test func followsAliases() throws {
    let node = try yaml("a: &x {p: 1}\nb: *x\nc: [*x, *x]\n")
    #expect(node["b"]?["p"]?.scalar == "1" && node["c"]?.sequence?.count == 2)
  }

  @Test func countsLinesAsLibyamlDoes() throws {
    let node = try yaml("a: 1\r\nb: 2\rc: 3\u{2028}d: 4\u{85}e: 5\n")
    #expect(node.mapping?.map(\.key.range.start.line) == [1, 2, 3, 4, 5])
    #expect(node.mapping?.map(\.key.range.text) == ["a: 1", "b: 2", "c: 3", "d: 4", "e: 5"])
  }

  @Test func ignoresAByteOrderMark() throws {
    let node = try YAMLDocument.load(bytes: [0xEF, 0xBB, 0xBF] + Array("a: 1".utf8), name: "test.yaml")
    #expect(node["a"]?.scalar == "1" && node["a"]?.range.start.column == 4 && node.range.text == "a: 1")
  }

  @Test(arguments: [
    ("", "1:1: the file is empty; start with 'nfv: 1', 'ports:' and 'graph:'"),
    ("# nothing\n\n", "1:1: the file is empty; start with 'nfv: 1', 'ports:' and 'graph:'"),
    ("a: 1\nb: 2\na: 3\n", "3:1: 'a' is given twice; keep one of them"),
    ("? [x]\n: 1\n", "1:3: a key must be a word; write 'key: value'"),
    ("a: 1\n<<: {b: 1}\n", "2:1: merge keys are not supported; use an alias for the whole value"),
    ("a: 1\n---\nb: 1\n", "3:1: a second document begins here; keep one document ('---') a file"),
    ("a: !secret x\n", "1:4: tags such as '!secret' have no meaning here; remove the tag"),
    ("a: !!binary aGk=\n", "1:4: tags such as 'tag:yaml.org,2002:binary' have no meaning here; remove the tag"),
    ("a: &x [*x]\n", "1:4: an alias stands within what it stands for; remove the alias"),
    ("a: \"x\\0y\"\n", "1:4: a NUL character in text; remove it"),
    (
      "a: [1, 2\nb: 3\n",
      "2:2: this is not YAML: did not find expected ',' or ']'; check indentation, quotes, brackets and colons"
    ),
    (
      "a:\n\tb: 1\n", "2:1: this is not YAML: found character that cannot start any token; indent with spaces, not tabs"
    ),
    ("a: @x\n", "1:4: this is not YAML: found character that cannot start any token; put the text in quotes"),
    ("a: *x\n", "1:4: this is not YAML: found undefined alias; define it with '&name' further up"),
    (
      "a: b: c\n",
      "1:5: this is not YAML: mapping values are not allowed in this context; check the indentation, or put text that contains ': ' in quotes"
    ),
    (
      "a: {b: ${c}}\n",
      "1:9: this is not YAML: did not find expected ',' or '}'; put '${name}' in quotes within { } and [ ]"
    ),
    ("a: 1\nb: \u{1}\n", "2:4: this is not text: control characters are not allowed; save the file as UTF-8"),
  ])
  func refuses(text: String, expected: String) {
    #expect(mistakes { _ = try yaml(text) } == [expected])
  }

  @Test func reportsEveryMistakeInOneRun() {
    let text = "a: !x 1\nb: 2\nb: 3\n<<: 4\n? {}\n: 5\n---\nc: 6\n"
    #expect(mistakes { _ = try yaml(text) }.map { String($0.prefix { $0 != ":" }) } == ["1", "3", "4", "5", "8"])
  }

  @Test func namesBothPlacesOfADuplicateKey() throws {
    let error = try #require(throws: ConfigurationError.self) { _ = try yaml("a: 1\na: 2\n") }
    #expect(
      error.diagnostics[0].rendered() == """
        test.yaml:2:1: error: 'a' is given twice; keep one of them
          a: 2
          ^
        test.yaml:1:1: note: first given here
          a: 1
          ^
        """)
  }

  @Test(
    arguments: [
      ([0x61, 0x3A, 0x20, 0xFF], "1:4: this is not text: invalid leading UTF-8 octet; save the file as UTF-8"),
      ([0x61, 0x3A, 0x20, 0xC3], "1:4: this is not text: incomplete UTF-8 octet sequence; save the file as UTF-8"),
      ([0x61, 0x3A, 0x00], "1:3: this is not text: control characters are not allowed; save the file as UTF-8"),
      ([0xFF, 0xFE, 0x61, 0x00], "test.yaml: this is UTF-16; save the file as UTF-8"),
    ] as [([UInt8], String)])
  func refusesBytes(bytes: [UInt8], expected: String) {
    #expect(mistakes { _ = try YAMLDocument.load(bytes: bytes, name: "test.yaml") } == [expected])
  }

  // MARK: Limits

  @Test func boundsWhatAliasesExpandTo() {
    var text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
    for level in 1...9 {
      text += "a\(level): &a\(level) [" + repeatElement("*a\(level - 1)", count: 10).joined(separator: ", ") + "]\n"
    }
    let found = mistakes { _ = try yaml(text) }
    #expect(
      found.count == 1
        && found[0].hasSuffix(
          "there are more than a million values; use fewer aliases, and keep long lists in files of their own")
    )
  }

  @Test(arguments: [("[", "]"), ("{a: ", "}"), ("- ", ""), ("? ", ""), ("[{a: ", "}]")])
  func boundsDepth(opening: String, closing: String) {
    for depth in [65, 500, 999, 1001, 20_000] {
      let text = String(repeating: opening, count: depth) + "x" + String(repeating: closing, count: depth)
      #expect(!mistakes { _ = try yaml(text) }.isEmpty, "\(opening) \(depth)")
    }
    let text = String(repeating: opening, count: 30) + "x" + String(repeating: closing, count: 30)
    // A mapping cannot be a key, so "? " cannot be nested to any depth that is valid.
    #expect(mistakes { _ = try yaml(text) }.isEmpty == (opening != "? "))
  }

  @Test func boundsDepthBehindAliases() {
    var text = "a0: &a0 [x]\n"
    for level in 1...70 { text += "a\(level): &a\(level) [*a\(level - 1)]\n" }
    let found = mistakes { _ = try yaml(text) }
    #expect(found.count == 1 && found[0].hasSuffix("lists are nested too deeply; nest at most 64 levels"))
  }

  @Test func boundsAnchors() {
    let text = (0...1000).map { "- &a\($0) x\n" }.joined()
    #expect(mistakes { _ = try yaml(text) } == ["1001:3: there are too many anchors; use at most 1000"])
    #expect(mistakes { _ = try yaml(String(text.split(separator: "\n").dropLast().joined(separator: "\n"))) }.isEmpty)
  }

  // MARK: Files

  @Test func namesWhyAFileCannotBeRead() throws {
    #expect(
      mistakes { _ = try YAMLDocument.load(path: "/nonexistent/p.yaml") } == [
        "/nonexistent/p.yaml: No such file or directory; "
          + "name a YAML file that can be read; keep routes and rules in files of their own"
      ])
    #expect(mistakes { _ = try YAMLDocument.load(path: "/") }[0].hasPrefix("/: Is a directory"))
    #expect(mistakes { _ = try YAMLDocument.load(path: "/dev/zero") }[0].hasPrefix("/dev/zero: longer than 16 MiB"))
    #expect(
      mistakes { _ = try YAMLDocument.load(path: "/dev/null") } == [
        "1:1: the file is empty; start with 'nfv: 1', 'ports:' and 'graph:'"
      ])
  }
}
