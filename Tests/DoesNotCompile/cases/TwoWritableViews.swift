// expect: overlapping accesses to 'packet'
import Configuration
import Dataplane

struct Case: PacketElement, ~Copyable {
  init(_ settings: inout Settings) throws(ConfigurationError) {}

  mutating func process(_ packet: inout Packet) -> Verdict<SoleOutput> {
    guard let ip = packet.mutableIPv4, let tcp = packet.mutableTCP else { return .drop(.malformed) }
    tcp.setSourcePort(1)
    ip.decrementTimeToLive()
    return .forward(.output)
  }
}
