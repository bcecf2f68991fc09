// expect: missing reinitialization of inout parameter 'packet' after consume
import Configuration
import Dataplane

struct Case: PacketElement, ~Copyable {
  private var kept: Packet?

  init(_ settings: inout Settings) throws(ConfigurationError) {}

  mutating func process(_ packet: inout Packet) -> Verdict<SoleOutput> {
    kept = consume packet
    return .forward(.output)
  }
}
