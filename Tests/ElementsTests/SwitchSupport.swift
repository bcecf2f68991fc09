import Dataplane
import TestKit

/// What tests of `Switch` have in common.
enum TestSwitch {
  /// - Parameters:
  ///   - ports: Lines `name: { ... }`.
  ///   - more: Lines of other settings.
  static func text(_ ports: [String], more: [String] = []) -> String {
    let names = ports.map { String($0.prefix { $0 != ":" }) }
    let files = names.map { "\($0): { pcap: \($0).pcap }" }.joined(separator: ", ")
    let lines = names.flatMap { ["\($0) -> sw.\($0)", "sw.\($0) -> \($0)"] }.joined(separator: ", ")
    return """
      nfv: 1
      ports: { \(files) }
      graph: [ \(lines) ]
      elements:
        sw:
          Switch:
            ports:
      \(ports.map { "        \($0)\n" }.joined())\(more.map { "      \($0)\n" }.joined())
      """
  }

  static func make(_ ports: [String], more: [String] = [], batchSize: Int = 32) throws -> PipelineUnderTest {
    let pipeline = try PipelineUnderTest(text(ports, more: more), batchSize: batchSize)
    pipeline.expectsSoundPackets = false
    return pipeline
  }

  /// Ports without VLANs.
  static func plain(_ count: Int, more: [String] = []) throws -> PipelineUnderTest {
    try make((1...count).map { "p\($0): {}" }, more: more)
  }

  /// A station's address.
  static func mac(_ number: Int) -> String {
    "02:00:00:00:\(hexadecimal(number >> 8 & 0xFF)):\(hexadecimal(number & 0xFF))"
  }

  private static func hexadecimal(_ byte: Int) -> String {
    let digits = String(byte, radix: 16)
    return digits.count == 1 ? "0\(digits)" : digits
  }

  static let everybody = "ff:ff:ff:ff:ff:ff"
}

extension Frame {
  /// From a station to another, by their numbers.
  static func station(_ from: Int, to: Int) -> Frame {
    ethernet(from: TestSwitch.mac(from), to: TestSwitch.mac(to))
  }

  /// From a station to all.
  static func broadcast(from: Int) -> Frame { ethernet(from: TestSwitch.mac(from), to: TestSwitch.everybody) }

  /// Something that is no protocol's.
  var filled: Frame { payload(count: 46) }
}

extension PipelineResult {
  /// The ports that frames left by, in order of their names.
  var ports: [String] { sent.filter { !$0.value.isEmpty }.keys.sorted() }
}
