// compiles
// What the other cases do wrong, done right: each of them fails for its own reason and no other.
import Configuration
import Dataplane
import Wire

struct Keeps: Element, ~Copyable {
  enum Output: UInt8, OutputPort { case output, other }
  private var kept: Packet?
  private var hops: UInt8 = 0

  init(_ settings: inout Settings) throws(ConfigurationError) {}

  mutating func process(_ batch: inout PacketBatch<Self>, _ context: inout Context) {
    batch.takeEach { packet, emitter in
      if kept == nil { kept = consume packet } else { emitter.emit(packet, to: .output) }
    }
    if let packet = kept.take() { batch.emit(packet, to: .other) }
  }
}

struct Rewrites: PacketElement, ~Copyable {
  init(_ settings: inout Settings) throws(ConfigurationError) {}

  mutating func process(_ packet: inout Packet) -> Verdict<SoleOutput> {
    if let ip = packet.ipv4, ip.timeToLive == 0 { return .drop(.malformed) }
    // A view keeps the packet to itself up to the end of its scope.
    if let ip = packet.mutableIPv4 { ip.decrementTimeToLive() }
    guard packet.insert(4, at: 12) else { return .drop(.noBuffer) }
    return packet.ipv4 == nil ? .drop(.malformed) : .forward(.output)
  }
}
