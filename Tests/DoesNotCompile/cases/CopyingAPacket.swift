// expect: type 'Packet' does not conform to protocol 'Copyable'
import Configuration
import Dataplane

struct Case: PacketElement, ~Copyable {
  private var all: [Packet] = []

  init(_ settings: inout Settings) throws(ConfigurationError) {}

  mutating func process(_ packet: inout Packet) -> Verdict<SoleOutput> { .forward(.output) }
}
