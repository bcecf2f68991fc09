import Dataplane

/// What a router has to know of a packet's IPv4 options (RFC 791, 3.1); it leaves them as they are.
enum IPv4Options {
  enum Judgement: Equatable {
    case sound
    /// There is a loose or strict source route.
    case sourceRoute
    /// An option's length is wrong; the option begins at this byte of the IP header.
    case bad(at: Int)
  }

  static func judge(_ packet: borrowing Packet) -> Judgement {
    guard let network = packet.networkHeaderOffset, let length = packet.ipv4?.headerLength else { return .sound }
    var offset = 20
    while offset < length, let type = packet.byte(at: network + offset), type != 0 {
      guard type != 1 else {
        offset += 1
        continue
      }
      guard offset + 1 < length, let size = packet.byte(at: network + offset + 1), size >= 2,
        offset + Int(size) <= length
      else { return .bad(at: offset) }
      if type == 131 || type == 137 { return .sourceRoute }
      offset += Int(size)
    }
    return .sound
  }
}
