// expect: 'packet' used after consume
import Configuration
import Dataplane

struct Case: Element, ~Copyable {
  init(_ settings: inout Settings) throws(ConfigurationError) {}

  mutating func process(_ batch: inout PacketBatch<Self>, _ context: inout Context) {
    batch.takeEach { packet, emitter in
      emitter.emit(packet, to: .output)
      _ = packet.length
    }
  }
}
