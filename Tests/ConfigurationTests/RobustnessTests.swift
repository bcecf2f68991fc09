import Configuration
import Testing

/// No bytes make the reader crash, hang, or report nothing; each run is reproduced by its seed.
@Suite struct RobustnessTests {
  /// SplitMix64.
  struct Generator: RandomNumberGenerator {
    var state: UInt64
    mutating func next() -> UInt64 {
      state &+= 0x9E37_79B9_7F4A_7C15
      var z = state
      z = (z ^ z >> 30) &* 0xBF58_476D_1CE4_E5B9
      z = (z ^ z >> 27) &* 0x94D0_49BB_1331_11EB
      return z ^ z >> 31
    }
  }

  static let pipeline = """
    nfv: 1
    parameters: { rate: 100, net: 10.0.0.0/8, both: "${rate}-${net}" }
    ports:
      lan: &port { af_packet: eth1, queues: ${rate} }
      wan: *port
    elements:
      fw: { Firewall: { rules: [ "tcp", 'udp', "\\u00e4\\t" ] } }
      text: |
        literal $$ ${net}
      folded: >-
        a
        b
    graph:
      - lan -> fw # comment
      - fw.ok -> wan
      - ? key
        : value
    """

  /// Reads bytes and everything that can come of them: substitution, settings, rendering.
  private func exercise(_ bytes: [UInt8], seed: UInt64) {
    do throws(ConfigurationError) {
      let node = try YAMLDocument.load(bytes: bytes, name: "f")
      var parameters = Parameters()
      for (key, value) in node["parameters"]?.mapping ?? [] { parameters.set(key.scalar ?? "", value) }
      let expanded = try parameters.substitute(node)
      var settings = Settings(expanded, range: expanded.range)
      let _: Int = try settings.take("nfv")
      _ = try settings.takeMap("ports", of: String.self)
      _ = try settings.takeEach("graph") { one throws(ConfigurationError) in try one.take("x", default: 1) }
      try settings.finish()
    } catch {
      if error.diagnostics.isEmpty { Issue.record("seed \(seed): an error without a diagnostic") }
      for diagnostic in error.diagnostics {
        let text = diagnostic.rendered()
        if text.unicodeScalars.contains(where: { $0.value < 0x20 && $0 != "\n" && $0 != "\t" }) {
          Issue.record("seed \(seed): control characters in \(text.debugDescription)")
        }
      }
    }
  }

  @Test func survivesMutations() {
    let original = Array(Self.pipeline.utf8)
    let tokens = [
      "&a ", "*a", "? ", ": ", "- ", "[", "]", "{", "}", "!!x ", "|", ">", "'", "\"", "${", "$", "<<", "---\n",
      "%YAML 9.9\n", "\u{FEFF}", "\t", "\u{85}", "\0",
    ]
    for seed in UInt64(0)..<4000 {
      var random = Generator(state: seed)
      var bytes = original
      for _ in 0..<Int.random(in: 1...8, using: &random) {
        let at = Int.random(in: 0..<max(bytes.count, 1), using: &random)
        switch Int.random(in: 0..<6, using: &random) {
        case 0 where !bytes.isEmpty: bytes[at] = UInt8.random(in: 0...255, using: &random)
        case 1 where !bytes.isEmpty: bytes.remove(at: at)
        case 2: bytes.insert(contentsOf: tokens.randomElement(using: &random)!.utf8, at: min(at, bytes.count))
        case 3: bytes.removeSubrange(at...)
        case 4: bytes.insert(contentsOf: bytes[at...].prefix(30), at: Int.random(in: 0...bytes.count, using: &random))
        default: bytes.insert(10, at: min(at, bytes.count))
        }
        if bytes.isEmpty { break }
      }
      exercise(bytes, seed: seed)
    }
  }

  @Test func survivesRandomBytes() {
    let alphabet = Array("ab01 \n\n  -:?[]{},&*!|>'\"%@`#$~<\t\\".utf8)
    for seed in UInt64(0)..<4000 {
      var random = Generator(state: seed)
      let isYAMLish = seed % 4 != 0
      let bytes = (0..<Int.random(in: 0...120, using: &random)).map { _ in
        isYAMLish ? alphabet.randomElement(using: &random)! : UInt8.random(in: 0...255, using: &random)
      }
      exercise(bytes, seed: seed)
    }
  }

  @Test func survivesTruncation() {
    let bytes = Array(Self.pipeline.utf8)
    for count in 0...bytes.count { exercise(Array(bytes.prefix(count)), seed: UInt64(count)) }
  }

  /// A long file of whatever libyaml could be slow at is done within seconds.
  @Test(
    .timeLimit(.minutes(1)),
    arguments: [
      "[", "- ", "? ", "a: ", "\n", " ", "*a ", "{a: 1},", "'", "|\n ", "#", "\u{2028}", "%x\n", "- - - - a\n",
    ])
  func staysFast(on unit: String) {
    exercise(Array(String(repeating: unit, count: (1 << 18) / unit.utf8.count).utf8), seed: 0)
  }
}
