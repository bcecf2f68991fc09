import Configuration
import Testing
import Wire

@Suite struct SettingsTests {
  @Test func takesValuesAndDefaults() throws {
    let node = try yaml("{rate: 5, name: x, nested: {a: 1}, each: [{a: 1}, {a: 2}], map: {p: 80, q: 90}}")
    var settings = Settings(node, range: node.range)
    #expect(try settings.take("rate", default: 1) == 5 && settings.take("burst", default: 7) == 7)
    #expect(try settings.take("name", as: "") == "x")
    let absent: Int? = try settings.takeIfPresent("absent")
    #expect(absent == nil && settings.has("name") && !settings.has("absent"))
    let nested = try settings.takeNested("nested") { nested throws(ConfigurationError) in
      try nested.take("a", default: 0)
    }
    #expect(nested == 1)
    let each = try settings.takeEach("each") { one throws(ConfigurationError) in try one.take("a", default: 0) }
    #expect(each == [1, 2])
    let map = try settings.takeMap("map", of: UInt16.self)
    #expect(map.map(\.name) == ["p", "q"] && map.map(\.value) == [80, 90])
    try settings.finish()
  }

  @Test func takesNothingAtAll() throws {
    var settings = Settings(nil, range: nil)
    #expect(try settings.take("rate", default: 1) == 1)
    try settings.finish()
  }

  @Test func reportsEveryMistakeInOneRun() {
    let text = "rate: fast\ncolour: gren\nlimit: 99\nnested: {depht: 1}\nmap: {a: x, b: 2}\ntimout: 5s\n"
    let found = mistakes(in: text) { settings throws(ConfigurationError) in
      let rate: Int = try settings.take("rate")
      #expect(rate == Int.placeholder)
      #expect(try settings.take("colour", default: Colour.red) == .red)
      #expect(try settings.take("limit", default: 5, in: 1...10) == 5)
      let mac: MACAddress = try settings.take("mac")
      #expect(mac == .placeholder)
      _ = try settings.takeNested("nested") { one throws(ConfigurationError) in try one.take("depth", default: 1) }
      _ = try settings.takeMap("map", of: Int.self)
      _ = try settings.take("timeout", default: Duration.seconds(1))
    }
    #expect(
      found == [
        "1:1: 'mac' is missing; add 'mac: 02:00:00:00:00:01'",
        "1:7: 'fast' is not a whole number; write it like 8",
        "2:9: 'gren' is none of red, green, dark-blue; did you mean 'green'?",
        "3:8: 'limit' is 99, which is out of range; give 1 to 10",
        "4:10: there is no setting 'depht'; did you mean 'depth'?",
        "5:10: 'x' is not a whole number; write it like 8",
        "6:1: there is no setting 'timout'; did you mean 'timeout'?",
      ])
  }

  @Test func checksRanges() throws {
    func limited(_ text: String) -> [String] {
      mistakes(in: text) { settings throws(ConfigurationError) in
        _ = try settings.take("ttl", in: Duration.seconds(1)...Duration.seconds(60))
        _ = try settings.takeIfPresent("share", in: 0.0...1.0)
      }
    }
    #expect(limited("{ttl: 1m, share: 1}") == [] && limited("{ttl: 1s}") == [])
    #expect(
      limited("{ttl: 2h, share: 1.5}") == [
        "1:7: 'ttl' is 2h, which is out of range; give 1s to 1m",
        "1:18: 'share' is 1.5, which is out of range; give 0 to 1",
      ])
    #expect(limited("{share: 0.5}") == ["1:1: 'ttl' is missing; add 'ttl: 300s'"])
  }

  @Test func offersTheSettingsThereAre() {
    let body = { (settings: inout Settings) throws(ConfigurationError) in
      _ = try settings.take("rate", default: 1)
      _ = try settings.take("burst", default: 1)
    }
    #expect(mistakes(in: "{zzzz: 1}", body) == ["1:2: there is no setting 'zzzz'; choose from burst, rate"])
    #expect(mistakes(in: "[1]", body) == ["1:1: a list is not what this takes; give a mapping with rate, burst"])
    #expect(mistakes(in: "{a: 1}") { _ in } == ["1:2: there is no setting 'a'; remove it; there is nothing to set"])
    #expect(mistakes(in: "5") { _ in } == ["1:1: '5' is not what this takes; remove it; there is nothing to set"])
  }

  @Test func doesNotSayWhatIsMissingFromWhatIsNoMapping() {
    let found = mistakes(in: "[1]") { settings throws(ConfigurationError) in
      let _: Int = try settings.take("rate")
    }
    #expect(found == ["1:1: a list is not what this takes; give a mapping with rate"])
  }

  @Test func acceptsAShorthand() throws {
    let node = try yaml("3")
    var settings = Settings(node, range: node.range)
    #expect(try settings.take("outputs", default: 2, in: 1...64, shorthand: true) == 3)
    try settings.finish()
    let body = { (settings: inout Settings) throws(ConfigurationError) in
      _ = try settings.take("outputs", default: 2, in: 1...64, shorthand: true)
    }
    #expect(mistakes(in: "{outputs: 5}", body) == [])
    #expect(mistakes(in: "99", body) == ["1:1: 'outputs' is 99, which is out of range; give 1 to 64"])
    #expect(mistakes(in: "x", body) == ["1:1: 'x' is not a whole number; write it like 8"])
  }

  @Test func acceptsAListForEachAndOneForItself() throws {
    func read(_ text: String) throws -> [Int] {
      let node = try yaml(text)
      var settings = Settings(node, range: node.range)
      let values = try settings.takeEach("rules", shorthand: true) { one throws(ConfigurationError) in
        try one.take("a", default: 0)
      }
      try settings.finish()
      return values
    }
    #expect(try read("[{a: 1}, {a: 2}]") == [1, 2] && read("rules: {a: 3}") == [3])
    #expect(
      mistakes { _ = try read("rules: [{a: x}, 5, {b: 1}]") }
        == [
          "1:13: 'x' is not a whole number; write it like 8",
          "1:17: '5' is not a mapping; write 'key: value'",
          "1:21: there is no setting 'b'; did you mean 'a'?",
        ].map { $0.replacing("did you mean 'a'?", with: "choose from a") })
  }

  @Test func requiresLists() {
    let found = mistakes(in: "{}") { settings throws(ConfigurationError) in
      _ = try settings.takeEach("rules", required: true) { _ in }
      _ = try settings.takeMap("routes", of: IPv4Address.self, required: true)
    }
    #expect(
      found == [
        "1:1: 'rules' is missing; add 'rules:' and under it '- name: value'",
        "1:1: 'routes' is missing; add 'routes:' and under it 'name: 192.0.2.1'",
      ])
  }

  // MARK: What elements find themselves

  @Test func failsAtTheValue() {
    let found = mistakes(in: "{low: 9, high: 3}") { settings throws(ConfigurationError) in
      let low = try settings.take("low", default: 1)
      let high = try settings.take("high", default: 1)
      if low > high { throw settings.fail("high", "\(high) is below \(low)", remedy: "exchange them") }
    }
    #expect(found == ["1:16: 3 is below 9; exchange them"])
  }

  @Test func doesNotJudgeStandIns() {
    let found = mistakes(in: "{low: x}") { settings throws(ConfigurationError) in
      let _: Int = try settings.take("low")
      let _: Int = try settings.take("high")
      settings.reject(settings.range(of: "low"), "too low", remedy: "raise it")
      settings.reject(nil, "nonsense", remedy: "mend it")
      throw settings.fail("high", "too high", remedy: "lower it")
    }
    #expect(found == ["1:1: 'high' is missing; add 'high: 8'", "1:7: 'x' is not a whole number; write it like 8"])
  }

  @Test func rejectsAndGoesOn() {
    let found = mistakes(in: "{a: 1, b: 2}") { settings throws(ConfigurationError) in
      for key in ["a", "b"] {
        _ = try settings.take(key, default: 0)
        settings.reject(settings.range(of: key), "\(key) is odd", remedy: "")
      }
    }
    #expect(found == ["1:5: a is odd; ", "1:11: b is odd; "])
  }

  @Test func passesWarningsOn() throws {
    let node = try yaml("{nested: {a: 1}}")
    var settings = Settings(node, range: node.range)
    settings.warn(nil, "outer", remedy: "")
    _ = try settings.takeNested("nested") { nested throws(ConfigurationError) in
      nested.warn(nil, "inner", remedy: "")
      return try nested.take("a", default: 0)
    }
    try settings.finish()
    #expect(settings.warnings.map(\.message) == ["outer", "inner"])
    #expect(settings.warnings.allSatisfy { $0.severity == .warning })
  }

  @Test func sharesOneObjectBetweenWorkers() throws {
    final class Table {}
    let store = SharedStore()
    var made = 0
    let objects = try (0..<3).map { _ in
      try Settings(nil, range: nil, store: store).shared("table") { () throws(ConfigurationError) in
        made += 1
        return Table()
      }
    }
    #expect(made == 1 && objects.allSatisfy { $0 === objects[0] })
    let other = try Settings(nil, range: nil).shared("table") { () throws(ConfigurationError) in Table() }
    #expect(other !== objects[0])
  }
}

extension Settings {
  fileprivate mutating func take(_ key: String, as value: String) throws(ConfigurationError) -> String {
    try take(key, default: value)
  }
}

extension String {
  fileprivate func replacing(_ part: String, with other: String) -> String {
    guard hasSuffix(part) else { return self }
    return String(dropLast(part.count)) + other
  }
}
