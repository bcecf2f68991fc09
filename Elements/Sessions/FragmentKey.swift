import Dataplane
import Tables
import Wire

extension ReassemblyTable.Key {
  /// What this fragment has in common with others of its packet; nil when it is none.
  init?(_ packet: borrowing Packet, _ part: FragmentPart, zone: UInt16 = 0) {
    if let ip = packet.ipv4 {
      self.init(
        source: ip.source.rawValue, destination: ip.destination.rawValue, identification: part.identification,
        protocolNumber: part.protocolNumber.rawValue, zone: zone)
    } else if let ip = packet.ipv6 {
      let (source, destination) = (ip.source, ip.destination)
      self.init(
        source: (source.high, source.low), destination: (destination.high, destination.low),
        identification: part.identification, zone: zone)
    } else {
      return nil
    }
  }
}
