import Dataplane
import Wire

/// One line of text about a packet.
enum PacketText {
  static func line(_ packet: borrowing Packet, at time: Instant, label: String) -> String {
    let start = label.isEmpty ? "" : "\(label): "
    return "\(start)\(clock(time)) \(describe(packet)), length \(packet.length)"
  }

  private static func clock(_ time: Instant) -> String {
    let fraction = String(time.nanoseconds % 1_000_000_000)
    return "\(time.nanoseconds / 1_000_000_000)." + String(repeating: "0", count: 9 - fraction.count) + fraction
  }

  private static func describe(_ packet: borrowing Packet) -> String {
    var text = ""
    if let tag = packet.vlanTag { text += "vlan \(tag.identifier), " }
    if let arp = packet.arp {
      text +=
        arp.operation == 1
        ? "ARP who-has \(arp.targetIP) tell \(arp.senderIP)" : "ARP \(arp.senderIP) is-at \(arp.senderMAC)"
    } else if let ip = packet.ipv4 {
      text += "IP " + flow(packet, "\(ip.source)", "\(ip.destination)") + " ttl \(ip.timeToLive)"
    } else if let ip = packet.ipv6 {
      text += "IP6 " + flow(packet, "\(ip.source)", "\(ip.destination)") + " hlim \(ip.hopLimit)"
    } else if let ethernet = packet.ethernet {
      text += "\(ethernet.source) > \(ethernet.destination) \(packet.etherType.map { "\($0)" } ?? "truncated")"
    } else {
      text += "truncated frame"
    }
    return text
  }

  private static func flow(_ packet: borrowing Packet, _ source: String, _ destination: String) -> String {
    let carried = packet.transportProtocol.map { "\($0)" } ?? ""
    if let ports = packet.transportPorts {
      var text = "\(source).\(ports.source) > \(destination).\(ports.destination) \(carried)"
      if let tcp = packet.tcp { text += " [\(tcp.flags)]" }
      return text
    }
    var text = "\(source) > \(destination) \(carried)"
    if let icmp = packet.icmp { text += " type \(icmp.type) code \(icmp.code)" }
    if packet.isFragment { text += packet.isLaterFragment ? " later fragment" : " first fragment" }
    return text
  }
}
