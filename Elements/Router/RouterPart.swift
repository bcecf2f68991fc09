import Configuration
import Dataplane

/// An element that only `Router` makes, since its parts share what they know.
protocol RouterPart: Element, ~Copyable {}

extension RouterPart where Self: ~Copyable {
  init(_ settings: inout Settings) throws(ConfigurationError) {
    throw settings.fail(nil, "this is a part of Router", remedy: "use Router")
  }
}
