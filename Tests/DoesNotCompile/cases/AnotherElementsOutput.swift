// expect: cannot convert
import Configuration
import Dataplane

enum Theirs: UInt8, OutputPort { case output, expired }

struct Case: PacketElement, ~Copyable {
  enum Output: UInt8, OutputPort { case output, expired }

  init(_ settings: inout Settings) throws(ConfigurationError) {}

  mutating func process(_ packet: inout Packet) -> Verdict<Output> { .forward(Theirs.expired) }
}
