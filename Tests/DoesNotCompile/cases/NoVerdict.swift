// expect: missing return
import Configuration
import Dataplane

struct Case: PacketElement, ~Copyable {
  init(_ settings: inout Settings) throws(ConfigurationError) {}

  mutating func process(_ packet: inout Packet) -> Verdict<SoleOutput> {
    if packet.isIPv4 { return .forward(.output) }
  }
}
