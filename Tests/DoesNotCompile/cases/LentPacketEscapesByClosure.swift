// expect: escaping closure captures 'inout' parameter 'packet'
import Configuration
import Dataplane

struct Case: PacketElement, ~Copyable {
  private var later: (() -> Int)?

  init(_ settings: inout Settings) throws(ConfigurationError) {}

  mutating func process(_ packet: inout Packet) -> Verdict<SoleOutput> {
    later = { packet.length }
    return .forward(.output)
  }
}
