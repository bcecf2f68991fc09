// expect: 'packet' is a 'let' constant
import Configuration
import Dataplane

struct Case: Element, ~Copyable {
  init(_ settings: inout Settings) throws(ConfigurationError) {}

  mutating func process(_ batch: inout PacketBatch<Self>, _ context: inout Context) {
    batch.survey { _, packet in packet.mark = 1 }
  }
}
