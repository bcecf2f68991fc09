import Configuration
import Dataplane
import Elements

/// Any bytes as a packet: every header view, changes of shape, and elements that rewrite; all buffers come back.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzPackets(_ start: UnsafePointer<UInt8>, _ count: Int) -> CInt {
  let pool = Fuzzing.pool
  let bytes = UnsafeBufferPointer(start: start, count: count)
  guard count >= 3, count <= 9000 else { return 0 }
  let offset = Int(bytes[0])
  let length = Int(bytes[1] % 32)
  let frame = Array(bytes.dropFirst(2))
  let cut = min(offset, frame.count)
  // Every other packet comes in two segments, cut anywhere.
  let segments = bytes[1] & 0x80 == 0 ? [frame] : [Array(frame[..<cut]), Array(frame[cut...])]
  guard var packet = pool.makePacket(segments: segments) else { return 0 }
  look(packet)
  let isIP = packet.isIPv4 || packet.isIPv6
  precondition(!isIP || (packet.networkLength ?? 0) + (packet.networkHeaderOffset ?? 0) <= packet.length)
  if packet.insert(length, at: offset) { look(packet) }
  if packet.remove(length, at: offset / 2) { look(packet) }
  if let ip = packet.mutableIPv4 { ip.decrementTimeToLive() }
  if let tcp = packet.mutableTCP { tcp.setSourcePort(UInt16(offset)) }
  if let udp = packet.mutableUDP { udp.setDestinationPort(UInt16(offset)) }
  packet.mutableICMP?.setType(0)
  packet.truncate(to: offset)
  look(packet)
  drop(packet)
  precondition(pool.available == pool.capacity, "a buffer was lost")
  return 0
}

/// Reads all there is to read.
func look(_ packet: borrowing Packet) {
  var sum = UInt64(packet.length) &+ UInt64(packet.flowHash)
  if let ethernet = packet.ethernet { sum &+= ethernet.source.rawValue }
  if let tag = packet.vlanTag { sum &+= UInt64(tag.identifier) }
  if let arp = packet.arp { sum &+= arp.targetMAC.rawValue }
  if let ip = packet.ipv4 { sum &+= ip.isChecksumValid ? 1 : UInt64(ip.totalLength) }
  if let ip = packet.ipv6 { sum &+= ip.destination.low }
  if let tcp = packet.tcp { sum &+= UInt64(tcp.checksum) }
  if let udp = packet.udp { sum &+= UInt64(udp.checksum) }
  if let icmp = packet.icmp { sum &+= UInt64(icmp.checksum) }
  if let ports = packet.transportPorts { sum &+= UInt64(ports.source) }
  if let part = packet.fragmentPart {
    precondition(part.contents.upperBound <= packet.length)
    sum &+= UInt64(packet.sum(in: part.contents))
  }
  if let field = packet.protocolField { sum &+= UInt64(packet.byte(at: field) ?? 0) }
  Fuzzing.keep(sum)
}

/// Gives a packet back to its pool.
func drop(_ packet: consuming Packet) {}

enum Fuzzing {
  static let pool: PacketPool = {
    do throws(EnvironmentError) {
      try PacketEnvironment.start(
        PacketEnvironment.arguments(megabytes: 64, hugePages: false, pci: false, extra: []))
      return try PacketPool(name: "fuzz", packets: 256)
    } catch {
      fatalError("\(error)")
    }
  }()

  /// Keeps the compiler from leaving out what was read.
  @inline(never) static func keep(_ value: UInt64) {}
}
