// expect: missing reinitialization of inout parameter 'packet' after consume
import Configuration
import Dataplane

struct Case: Element, ~Copyable {
  init(_ settings: inout Settings) throws(ConfigurationError) {}

  mutating func process(_ batch: inout PacketBatch<Self>, _ context: inout Context) {
    batch.forEach { (packet: inout Packet, emitter: inout Emitter<Self>) in
      emitter.emit(packet, to: .output)
      return .forward(.output)
    }
  }
}
