// expect: has no member 'expired'
import Configuration
import Dataplane

struct Case: PacketElement, ~Copyable {
  enum Output: UInt8, OutputPort { case output }

  init(_ settings: inout Settings) throws(ConfigurationError) {}

  mutating func process(_ packet: inout Packet) -> Verdict<Output> { .forward(.expired) }
}
