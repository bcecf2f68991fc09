import Assembly
import Configuration
import Testing

/// Whatever bytes stand in a file, it is read or refused, and never ends the process.
@Suite struct RobustnessTests {
  static let valid = """
    nfv: 1
    parameters: { colour: 3, to: "${colour}" }
    runtime: { workers: 1, batch: 32 }
    ports:
      lan: { pcap: { in: a.pcap, out: b.pcap } }
      wan: { traffic: { rate: 1kpps, count: 10, size: 64 } }
    subgraphs:
      Hop:
        parameters: { x: 1 }
        inputs: [in]
        outputs: [out, bad]
        elements: { check: CheckIP, mark: { Mark: "${x}" } }
        graph: [in -> check -> mark -> out, check.other -> bad]
    elements:
      sort: { Classify: { rules: [{ to: web, protocol: tcp, destination_port: 80-90 }], else: rest } }
      hop: { Hop: { x: "${to}" } }
      limit: { RateLimit: { rate: 10Mbps, burst: 4KiB } }
    graph:
      - lan -> sort
      - sort.web -> hop -> limit -> wan
      - sort.rest -> MACSwap -> lan
      - hop.bad -> drop
      - wan -> Counter -> lan

    """

  private func tryLoad(_ bytes: [UInt8]) {
    do throws(ConfigurationError) {
      let text = String(decoding: bytes, as: UTF8.self)
      let loaded = try load(text)
      // What was accepted can be laid out and drawn.
      _ = try loaded.assignments()
      #expect(loaded.graph.topologicalOrder.count == loaded.graph.nodes.count && !loaded.graph.drawing.isEmpty)
      for (index, node) in loaded.graph.nodes.enumerated() {
        let used = Set(loaded.graph.edges(from: index).map(\.output))
        #expect(used == Set(node.outputs.indices), "an output of '\(node.name)' leads nowhere:\n\(text)")
      }
    } catch {
      #expect(!error.diagnostics.isEmpty)
      for diagnostic in error.diagnostics { #expect(!diagnostic.rendered().contains("\n\n")) }
    }
  }

  @Test func theValidOneIsAccepted() { #expect(mistakes(Self.valid) == []) }

  @Test(arguments: UInt64(1)...8) func mutatedPipelines(seed: UInt64) {
    var random = Random(state: seed)
    let valid = Array(Self.valid.utf8)
    let pieces = [
      "->", ".", "[", "]", "{", "}", ":", "- ", "\n", "${", "$", "&a ", "*a", "'", "\"", "#", "|", "\t", " ", "lan",
      "drop", "hop", "-1", "99999999999999999999", "~",
    ]
    for _ in 0..<60 {
      var bytes = valid
      for _ in 0...random.below(4) {
        guard bytes.count > 4 else { break }
        let at = random.below(bytes.count)
        let length = min(1 + random.below(12), bytes.count - at)
        switch random.below(6) {
        case 0: bytes[at] = UInt8(random.below(256))
        case 1: bytes.removeSubrange(at..<(at + length))
        case 2: bytes.insert(contentsOf: Array(pieces[random.below(pieces.count)].utf8), at: at)
        case 3: bytes.insert(contentsOf: bytes[at..<(at + length)], at: random.below(bytes.count))
        case 4: bytes.replaceSubrange(at..<(at + length), with: Array(pieces[random.below(pieces.count)].utf8))
        default:
          // Lines change places.
          var lines = bytes.split(separator: 10, omittingEmptySubsequences: false).map(Array.init)
          lines.swapAt(random.below(lines.count), random.below(lines.count))
          bytes = Array(lines.joined(separator: [10]))
        }
      }
      tryLoad(bytes)
    }
  }

  @Test(arguments: UInt64(1)...4) func randomBytes(seed: UInt64) {
    var random = Random(state: seed)
    for _ in 0..<200 {
      tryLoad((0..<random.below(80)).map { _ in UInt8(random.below(seed % 2 == 0 ? 256 : 128)) })
    }
  }

  @Test(arguments: UInt64(1)...4) func randomLines(seed: UInt64) {
    var random = Random(state: seed)
    let words = [
      "lan", "wan", "sort", "sort.web", "hop", "hop.bad", "->", "->", "->", "drop", "[in]", ".", "limit", "MACSwap",
      " ", "hop[in].out",
    ]
    let head = Self.valid.before("\ngraph:\n")
    for _ in 0..<60 {
      let lines = (0..<(1 + random.below(6))).map { _ in
        "  - " + (0..<(1 + random.below(8))).map { _ in words[random.below(words.count)] }.joined(separator: " ") + "\n"
      }
      tryLoad(Array((head + "\ngraph:\n" + lines.joined()).utf8))
    }
  }
}

extension String {
  /// What stands before the last occurrence of `mark`.
  func before(_ mark: String) -> String {
    var end = endIndex
    while end > startIndex {
      end = index(before: end)
      if self[end...].hasPrefix(mark) { return String(self[..<end]) }
    }
    return self
  }
}
