// expect: noncopyable 'packet' cannot be consumed when captured by an escaping closure or borrowed by a non-Escapable type
import Configuration
import Dataplane
import Wire

struct Case: Element, ~Copyable {
  init(_ settings: inout Settings) throws(ConfigurationError) {}

  mutating func process(_ batch: inout PacketBatch<Self>, _ context: inout Context) {
    guard let packet = context.allocate() else { return }
    let ip = packet.ipv4
    batch.emit(packet, to: .output)
    if let ip { _ = ip.timeToLive }
  }
}
