import Dataplane
import Wire

/// Looks at the IPv6 extension headers of packets to the router itself (RFC 8200, 4.2 to 4.4); a part of `Router`.
struct CheckExtensions: PacketElement, RouterPart {
  enum Output: UInt8, OutputPort {
    /// Packets without a flaw.
    case sound
    /// Packets with a route that the router does not follow; the annotation says at which byte, for `ICMPError`.
    case badHeader
    /// Packets with an option whose type says that the sender is to be told; the annotation says at which byte.
    case unknownOption

    var delivers: HeaderState? { .ip }
  }

  enum Drop: UInt8, ElementDropReason {
    /// An option is unknown, and its type says that the packet is to be discarded.
    case unknownOption
  }

  static let needs = HeaderState.ip

  init() {}

  @inline(__always)
  mutating func process(_ packet: inout Packet) -> Verdict<Output> {
    packet.isIPv6 ? judge(&packet) : .forward(.sound)
  }

  @inline(never)
  private func judge(_ packet: inout Packet) -> Verdict<Output> {
    guard let network = packet.networkHeaderOffset, var number = packet.byte(at: network + 6) else {
      return .forward(.sound)
    }
    var offset = network + 40
    while true {
      guard [0, 43, 44, 51, 60].contains(number), let next = packet.byte(at: offset),
        let units = packet.byte(at: offset + 1)
      else { return .forward(.sound) }
      let size = number == 44 ? 8 : number == 51 ? (Int(units) + 2) * 4 : (Int(units) + 1) * 8
      if number == 0 || number == 60 {
        if let verdict = judgeOptions(&packet, in: offset + 2..<offset + size, network) { return verdict }
      } else if number == 43, packet.byte(at: offset + 3) != 0 {
        packet.annotation = UInt32(truncatingIfNeeded: offset + 2 - network)
        return .forward(.badHeader)
      }
      number = next
      offset += size
    }
    return .forward(.sound)
  }

  private func judgeOptions(_ packet: inout Packet, in range: Range<Int>, _ network: Int) -> Verdict<Output>? {
    var offset = range.lowerBound
    while offset < range.upperBound, let type = packet.byte(at: offset) {
      // Pad1 has no length.
      guard type != 0 else {
        offset += 1
        continue
      }
      guard let size = packet.byte(at: offset + 1), offset + 2 + Int(size) <= range.upperBound else {
        return .drop(.malformed)
      }
      // PadN; router alert (RFC 2711), which is for those who want it.
      if type != 1, type != 5 {
        switch type >> 6 {
        case 0: break
        case 1: return .drop(Drop.unknownOption)
        default:
          packet.annotation = UInt32(truncatingIfNeeded: offset - network)
          return .forward(.unknownOption)
        }
      }
      offset += 2 + Int(size)
    }
    return nil
  }
}
