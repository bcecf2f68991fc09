import Dataplane
import Tables
import Wire

/// Looks the destinations of a batch up together, so that the waits for memory overlap.
struct DestinationLookup {
  private var v4 = InlineArray<256, IPv4Address>(repeating: .unspecified)
  private var v6 = InlineArray<256, IPv6Address>(repeating: .unspecified)
  private var v6Found = InlineArray<256, UInt32>(repeating: 0)
  private var places = InlineArray<256, UInt8>(repeating: 0)
  private var found = InlineArray<256, UInt32>(repeating: 0)

  /// What the destination of the packet at a position of the batch leads to, or `RoutingTable.none`.
  @inline(__always)
  subscript(index: Int) -> UInt32 { found[index] }

  /// Looks all up. Packets that are not IPv4 have an address looked up in vain, so that those that are need no list of their
  /// places.
  @inline(__always)
  mutating func find<E: Element & ~Copyable>(_ batch: inout PacketBatch<E>, in table: borrowing RoutingTable) {
    var others = 0
    batch.survey { index, packet in
      if let ip = packet.ipv4 {
        v4[index] = ip.destination
      } else {
        v4[index] = .unspecified
        places[others] = UInt8(truncatingIfNeeded: index)
        v6[others] = packet.ipv6?.destination ?? .unspecified
        others += 1
      }
    }
    var values = found.mutableSpan
    table.lookup(v4.span.extracting(first: batch.count), into: &values)
    guard others > 0 else { return }
    var v6Values = v6Found.mutableSpan
    table.lookup(v6.span.extracting(first: others), into: &v6Values)
    for other in 0..<others { found[Int(places[other])] = v6Found[other] }
  }
}
