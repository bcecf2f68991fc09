import Configuration
import Testing

@Suite struct SettingsRangeTests {
  /// What one run says about the settings in a text: the place, the message and the remedy of each mistake.
  private func complaints(
    _ text: String, _ body: (inout Settings) throws(ConfigurationError) -> Void
  ) throws -> [String] {
    let node = try YAMLDocument.load(text: text, name: "s.yaml")
    var settings = Settings(node, range: node.range)
    do throws(ConfigurationError) {
      try body(&settings)
      try settings.finish()
      return []
    } catch {
      return error.diagnostics.map { diagnostic in
        let place = diagnostic.range.map { "\($0.start.line):\($0.start.column): " } ?? ""
        return place + diagnostic.message + "; " + diagnostic.remedy
      }
    }
  }

  private enum Colour: String, SettingChoice { case red, green }

  // MARK: Ranges

  @Test(arguments: ["abc", "[1]", "''", "99999999999999999999"])
  func saysNothingOfTheRangeOfWhatIsNoNumber(text: String) throws {
    // The stand-in for a value that cannot be read, 1, lies outside the limits here.
    let found = try complaints("n: \(text)") { settings throws(ConfigurationError) in
      let number: Int = try settings.take("n", in: 5...10)
      #expect((5...10).contains(number))
    }
    #expect(found.count == 1 && found.first?.hasPrefix("1:4: ") == true)
    #expect(found.first?.contains("out of range") == false)
  }

  @Test func saysNothingOfTheRangeOfWhatIsMissing() throws {
    let found = try complaints("{}") { settings throws(ConfigurationError) in
      let number: Int = try settings.take("n", in: 5...10)
      #expect((5...10).contains(number))
    }
    #expect(found.count == 1 && found.first?.hasPrefix("1:1: 'n' is missing; ") == true)
  }

  @Test(arguments: [("n: 4", 1), ("n: 5", 0), ("n: 10", 0), ("n: 11", 1), ("n: -1", 1)])
  func checksBothLimits(text: String, mistakes: Int) throws {
    let required = try complaints(text) { settings throws(ConfigurationError) in
      let _: Int = try settings.take("n", in: 5...10)
    }
    let defaulted = try complaints(text) { settings throws(ConfigurationError) in
      _ = try settings.take("n", default: 7, in: 5...10)
    }
    #expect(required.count == mistakes && defaulted == required)
    if mistakes == 1 {
      #expect(required == ["1:4: 'n' is \(text.dropFirst(3)), which is out of range; give 5 to 10"])
    }
  }

  @Test func checksTheRangeOfAShorthand() throws {
    let found = try complaints("11") { settings throws(ConfigurationError) in
      let _: Int = try settings.take("n", in: 5...10, shorthand: true)
    }
    #expect(found == ["1:1: 'n' is 11, which is out of range; give 5 to 10"])
  }

  @Test func keepsADefaultThatLiesOutside() throws {
    let found = try complaints("{}") { settings throws(ConfigurationError) in
      #expect(try settings.take("n", default: 0, in: 5...10) == 0)
    }
    #expect(found.isEmpty)
  }

  // MARK: Keys

  @Test func reportsAllMistakesInTheOrderOfTheFile() throws {
    let found = try complaints("colur: red\nn: x\nsize: 3\ncolour: blue\n") { settings throws(ConfigurationError) in
      let _: Colour = try settings.take("colour")
      let _: Int = try settings.take("n")
    }
    #expect(found.map { String($0.prefix(4)) } == ["1:1:", "2:4:", "3:1:", "4:9:"])
    #expect(found.first == "1:1: there is no setting 'colur'; did you mean 'colour'?")
    #expect(found.dropFirst(2).first == "3:1: there is no setting 'size'; choose from colour, n")
    #expect(found.last == "4:9: 'blue' is none of red, green; write it like red")
  }

  @Test func saysThatThereIsNothingToSet() throws {
    #expect(try complaints("a: 1") { _ in } == ["1:1: there is no setting 'a'; remove it; there is nothing to set"])
    #expect(try complaints("7") { _ in } == ["1:1: '7' is not what this takes; remove it; there is nothing to set"])
    #expect(try complaints("[7]") { _ in }.count == 1)
    #expect(try complaints("~") { _ in }.isEmpty)
  }

  @Test func takesAValueAlone() throws {
    let found = try complaints("7") { settings throws(ConfigurationError) in
      #expect(try settings.take("n", shorthand: true) == 7)
      #expect(try settings.take("m", default: 3) == 3)
    }
    #expect(found.isEmpty)
  }

  @Test func refusesAValueAloneWhereNoSettingTakesIt() throws {
    let found = try complaints("7") { settings throws(ConfigurationError) in
      _ = try settings.take("n", default: 1)
      _ = try settings.take("m", default: 1)
    }
    #expect(found == ["1:1: '7' is not what this takes; give a mapping with n, m"])
  }

  // MARK: Mappings

  @Test func readsNestedMappingsAndLists() throws {
    let text = "one: { n: 1 }\nmany: [{ n: 2 }, { n: 3 }]\nnames: { b: 5, a: 4 }\n"
    let found = try complaints(text) { settings throws(ConfigurationError) in
      func number(_ settings: inout Settings) throws(ConfigurationError) -> Int { try settings.take("n") }
      #expect(try settings.takeNested("one", "", number) == 1)
      #expect(try settings.takeNested("none", "", number) == nil)
      #expect(try settings.takeEach("many", "", number) == [2, 3])
      #expect(try settings.takeEach("one", "", number) == [1])
      #expect(try settings.takeEach("none", "", number) == [])
      let entries = try settings.takeMap("names", of: Int.self)
      #expect(entries.map(\.name) == ["b", "a"] && entries.map(\.value) == [5, 4])
    }
    #expect(found.isEmpty)
  }

  @Test func reportsMistakesAtEveryDepthTogether() throws {
    let text = "many:\n  - { n: x }\n  - { m: 1 }\n  - 7\nnames: { a: y, b: 1 }\nlist: [1, z, 3, w]\n"
    let found = try complaints(text) { settings throws(ConfigurationError) in
      _ = try settings.takeEach("many") { (settings: inout Settings) throws(ConfigurationError) -> Int in
        try settings.take("n")
      }
      _ = try settings.takeMap("names", of: Int.self)
      let _: [Int] = try settings.take("list")
    }
    let places = found.map { $0.split(separator: " ")[0] }
    // The second member lacks 'n' and has an 'm'.
    #expect(places == ["2:10:", "3:5:", "3:7:", "4:5:", "5:13:", "6:11:", "6:17:"])
  }

  @Test func theElementsOwnMistakeGivesWayToThoseOfSettings() throws {
    let text = "n: x\nother: 1\n"
    let found = try complaints(text) { settings throws(ConfigurationError) in
      let number: Int = try settings.take("n")
      throw settings.fail("n", "\(number) is odd", remedy: "give an even number")
    }
    #expect(found.count == 2 && found.allSatisfy { !$0.contains("odd") })
    let alone = try complaints("n: 3") { settings throws(ConfigurationError) in
      let number: Int = try settings.take("n")
      throw settings.fail("n", "\(number) is odd", remedy: "give an even number")
    }
    #expect(alone == ["1:4: 3 is odd; give an even number"])
  }

  // MARK: Values

  @Test(arguments: [("yes", true), ("On", true), ("true", true), ("no", false), ("OFF", false), ("False", false)])
  func readsYesAndNo(text: String, expected: Bool) throws {
    let found = try complaints("v: \(text)") { settings throws(ConfigurationError) in
      #expect(try settings.take("v") == expected)
    }
    #expect(found.isEmpty)
  }

  @Test func readsNumbers() throws {
    let found = try complaints("a: 1_000\nb: 0xFf\nc: -5\nd: 255\n") { settings throws(ConfigurationError) in
      #expect(try settings.take("a") == 1000)
      #expect(try settings.take("b") == 255)
      #expect(try settings.take("c") == -5)
      #expect(try settings.take("d") == UInt8.max)
    }
    #expect(found.isEmpty)
    for text in ["256", "-1", "1.5", "1e3", "0x", "0x100", "_", "''", "~", "{}", "1 2"] {
      let found = try complaints("v: \(text)") { settings throws(ConfigurationError) in
        let _: UInt8 = try settings.take("v")
      }
      #expect(found.count == 1, "\(text)")
    }
  }

  @Test func oneValueStandsForAListOfOne() throws {
    let found = try complaints("a: 7\nb: [7, 8]\nc: []\n") { settings throws(ConfigurationError) in
      #expect(try settings.take("a") == [7])
      #expect(try settings.take("b") == [7, 8])
      #expect(try settings.take("c", default: [1]) == [])
    }
    #expect(found.isEmpty)
  }

  @Test func filesStartFromThePipelinesFolder() throws {
    let node = try YAMLDocument.load(text: "{ a: x/y.txt, b: /abs }", name: "s.yaml")
    var settings = Settings(node, range: nil, context: SettingContext(folder: "etc"))
    let relative: FileSetting = try settings.take("a")
    let absolute: FileSetting = try settings.take("b")
    #expect(relative.path == "etc/x/y.txt" && absolute.path == "/abs")
    try settings.finish()
  }

  // MARK: Probing and sharing

  @Test func aProbeRecordsEverySettingAndNoMistake() throws {
    var probe = Settings.probe()
    let _: Int = try probe.take("n", in: 5...10, "how many", shorthand: true)
    _ = try probe.take("colour", default: Colour.green)
    let absent: String? = try probe.takeIfPresent("text")
    _ = try probe.takeEach("rules") { (settings: inout Settings) throws(ConfigurationError) -> Int in
      try settings.take("to")
    }
    probe.reject(nil, "wrong", remedy: "")
    probe.warn(nil, "odd", remedy: "")
    try probe.finish()
    #expect(absent == nil && probe.warnings.isEmpty)
    #expect(probe.records.map(\.key) == ["n", "colour", "text", "rules"])
    #expect(probe.records.map(\.isRequired) == [true, false, false, false])
    #expect(probe.records[0].range == "5 to 10" && probe.records[0].isShorthand && probe.records[0].help == "how many")
    #expect(probe.records[3].nested.map(\.key) == ["to"])
  }

  @Test func whatIsSharedIsMadeOnce() throws {
    final class Box {}
    let store = SharedStore()
    var made = 0
    var boxes: [Box] = []
    for _ in 0..<3 {
      let settings = Settings(nil, range: nil, store: store)
      boxes.append(
        try settings.shared("box") {
          made += 1
          return Box()
        })
    }
    #expect(made == 1 && boxes.allSatisfy { $0 === boxes[0] })
    let other: Box = try Settings(nil, range: nil, store: SharedStore()).shared("box") { Box() }
    #expect(other !== boxes[0])
  }
}
