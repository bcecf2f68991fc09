// expect: overlapping accesses to 'packet'
import Configuration
import Dataplane

struct Case: PacketElement, ~Copyable {
  init(_ settings: inout Settings) throws(ConfigurationError) {}

  mutating func process(_ packet: inout Packet) -> Verdict<SoleOutput> {
    guard let ip = packet.mutableIPv4 else { return .drop(.malformed) }
    guard packet.insert(4, at: 12) else { return .drop(.noBuffer) }
    ip.decrementTimeToLive()
    return .forward(.output)
  }
}
