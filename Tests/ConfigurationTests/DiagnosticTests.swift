import Configuration
import Testing

@Suite struct DiagnosticTests {
  private func range(_ text: String, column: Int, length: Int) -> SourceRange {
    SourceRange(start: SourcePosition(file: "p.yaml", line: 3, column: column), length: length, text: text)
  }

  private func rendered(_ text: String, column: Int, length: Int, colour: Bool = false) -> String {
    Diagnostic(.error, range(text, column: column, length: length), "it is wrong", remedy: "mend it")
      .rendered(colour: colour)
  }

  @Test func rendersPlaceMessageRemedyAndCaret() {
    #expect(
      rendered("  rate: fast", column: 9, length: 4) == """
        p.yaml:3:9: error: it is wrong; mend it
            rate: fast
                  ^~~~
        """)
  }

  @Test func rendersWithoutAPlace() {
    #expect(Diagnostic(.warning, nil, "odd", remedy: "").rendered() == "warning: odd")
  }

  @Test func rendersNotes() {
    let first = range("a: 1", column: 1, length: 1)
    let diagnostic = Diagnostic(.error, nil, "x", remedy: "y", notes: [.init(first, "here"), .init(nil, "anywhere")])
    #expect(
      diagnostic.rendered() == """
        error: x; y
        p.yaml:3:1: note: here
          a: 1
          ^
        note: anywhere
        """)
  }

  @Test func coloursWhenAsked() {
    let text = rendered("a: 1", column: 4, length: 1, colour: true)
    #expect(text.contains("\u{1B}[1;31merror\u{1B}[0m") && text.hasSuffix("\u{1B}[1;32m^\u{1B}[0m"))
    #expect(!rendered("a: 1", column: 4, length: 1).contains("\u{1B}"))
  }

  @Test(arguments: [
    ("\ta: xy", 5, 2, "  \ta: xy\n  \t   ^~"),
    ("ä: xy", 4, 2, "  ä: xy\n     ^~"),
    ("e\u{301}: xy", 5, 2, "  e\u{301}: xy\n     ^~"),
    ("語: xy", 4, 2, "  語: xy\n      ^~"),
    ("a: 語語", 4, 2, "  a: 語語\n     ^~~~"),
    ("a: x", 4, 99, "  a: x\n     ^"),
    ("a: x", 5, 1, "  a: x\n      ^"),
    ("a: x", 99, 1, "  a: x\n      ^"),
    ("\u{1B}[31m: x", 8, 1, "  ?[31m: x\n         ^"),
  ])
  func placesTheCaret(text: String, column: Int, length: Int, expected: String) {
    #expect(rendered(text, column: column, length: length).drop { $0 != "\n" }.dropFirst() == expected)
  }

  @Test func showsAWindowOfALongLine() {
    let line = String(repeating: "x", count: 500) + "HERE" + String(repeating: "y", count: 500)
    let lines = rendered(line, column: 501, length: 4).split(separator: "\n")
    #expect(lines[1].hasPrefix("  ...") && lines[1].hasSuffix("...") && lines[1].count < 160)
    let caret = lines[2].distance(from: lines[2].startIndex, to: lines[2].firstIndex(of: "^") ?? lines[2].startIndex)
    #expect(lines[1].dropFirst(caret).prefix(4) == "HERE" && lines[2].hasSuffix("^~~~"))
  }

  @Test func keepsControlCharactersFromTheTerminal() {
    let diagnostic = Diagnostic(.error, nil, "'\u{1B}[2J\u{9B}x\u{202E}' is odd", remedy: "a\nb")
    #expect(diagnostic.rendered() == #"error: '\u{1B}[2J\u{009B}x\u{202E}' is odd; a\nb"#)
  }

  @Test func ordersByPlaceAndSaysTheSameOnce() {
    let late = Diagnostic(.error, range("a", column: 5, length: 1), "late", remedy: "")
    let early = Diagnostic(.error, range("a", column: 1, length: 1), "early", remedy: "")
    let nowhere = Diagnostic(.error, nil, "nowhere", remedy: "")
    let error = ConfigurationError([late, nowhere, early, late])
    #expect(error.diagnostics.map(\.message) == ["nowhere", "early", "late"])
  }
}

@Suite struct SuggestionTests {
  static let words = ["inside", "outside", "ports", "protocol", "timeout", "lan", "wan"]

  @Test(arguments: [
    ("insde", "inside"), ("Inside", "inside"), ("ouside", "outside"), ("prots", "ports"), ("port", "ports"),
    ("tiemout", "timeout"), ("proto", "protocol"), ("lam", "lan"), ("PORTS", "ports"),
  ])
  func findsWhatWasMeant(word: String, meant: String) {
    #expect(didYouMean(word, among: Self.words) == meant)
  }

  @Test(arguments: ["", "x", "xy", "xyz", "completely", "in", "o"])
  func suggestsNothingFarOff(word: String) {
    #expect(didYouMean(word, among: Self.words) == nil)
  }

  @Test func offersAllOtherwise() {
    #expect(remedy(for: "insde", among: Self.words) == "did you mean 'inside'?")
    #expect(remedy(for: "zzz", among: ["b", "a"]) == "choose from a, b")
    #expect(remedy(for: "zzz", among: []) == "there is none to choose from")
    #expect(remedy(for: "zzz", among: (10..<40).map(String.init)).hasSuffix("33 and 6 more"))
  }

  @Test func staysFastOnLongWords() {
    let long = String(repeating: "a", count: 1_000_000)
    #expect(didYouMean(long, among: [long + "b", "x"]) == long + "b")
  }
}
