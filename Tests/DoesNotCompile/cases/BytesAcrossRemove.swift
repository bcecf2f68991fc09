// expect: overlapping accesses to 'packet'
import Configuration
import Dataplane

struct Case: PacketElement, ~Copyable {
  init(_ settings: inout Settings) throws(ConfigurationError) {}

  mutating func process(_ packet: inout Packet) -> Verdict<SoleOutput> {
    let bytes = packet.bytes
    guard packet.remove(4, at: 12) else { return .drop(.malformed) }
    return bytes.byteCount > 9 ? .forward(.output) : .drop(.malformed)
  }
}
