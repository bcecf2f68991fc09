// expect: stored property 'last' of 'Escapable'-conforming struct 'Case' has non-Escapable type
import Configuration
import Dataplane
import Wire

struct Case: PacketElement, ~Copyable {
  private var last: IPv4Header<ReadOnly>?

  init(_ settings: inout Settings) throws(ConfigurationError) {}

  mutating func process(_ packet: inout Packet) -> Verdict<SoleOutput> {
    last = packet.ipv4
    return .forward(.output)
  }
}
