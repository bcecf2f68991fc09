// expect: requires the types 'ReadOnly' and 'ReadWrite' be equivalent
import Configuration
import Dataplane
import Wire

struct Case: PacketElement, ~Copyable {
  init(_ settings: inout Settings) throws(ConfigurationError) {}

  mutating func process(_ packet: inout Packet) -> Verdict<SoleOutput> {
    if let ip = packet.ipv4 { ip.decrementTimeToLive() }
    return .forward(.output)
  }
}
