import Configuration
import Dataplane
import Elements
import TestKit

/// What is said of an element's settings, without running it.
struct Verdicts {
  var errors: [Diagnostic] = []
  var warnings: [Diagnostic] = []
  var outputs: [OutputDescription] = []

  init(_ name: String, _ text: String, folder: String = "") throws {
    guard let kind = catalogue.first(where: { $0.name == name }) else {
      preconditionFailure("the catalogue has no \(name)")
    }
    do throws(ConfigurationError) {
      let root = try YAMLDocument.load(text: text, name: "settings.yaml")
      var settings = Settings(root, range: root.range, context: SettingContext(folder: folder))
      outputs = try kind.makeInstance(&settings).outputs
      warnings = settings.warnings
      try settings.finish()
    } catch {
      errors = error.diagnostics
    }
  }

  /// `line:column message` of each error.
  var messages: [String] { errors.map(Self.line) }

  static func line(_ diagnostic: Diagnostic) -> String {
    let start = diagnostic.range?.start
    return "\(start?.line ?? 0):\(start?.column ?? 0) \(diagnostic.message)"
  }
}

extension [SentPacket] {
  /// Whether the packets are these frames, byte by byte and in this order.
  func are(_ frames: [Frame]) -> Bool { map(\.bytes) == frames.map(\.bytes) }
}
