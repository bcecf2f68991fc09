// expect: lifetime-dependent variable 'kept' escapes its scope
import Configuration
import Dataplane
import Wire

struct Case: Element, ~Copyable {
  init(_ settings: inout Settings) throws(ConfigurationError) {}

  mutating func process(_ batch: inout PacketBatch<Self>, _ context: inout Context) {
    var kept: IPv4Header<ReadOnly>?
    batch.survey { _, packet in
      let ip = packet.ipv4
      kept = ip
    }
    if let kept { _ = kept.timeToLive }
  }
}
