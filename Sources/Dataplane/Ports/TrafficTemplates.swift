import CDPDK
import Wire

/// Builds the frames that synthesised traffic is copied from.
enum TrafficTemplates {
  /// IMIX sizes are few; one template each.
  static func fill(_ traffic: UnsafeMutablePointer<nfv_traffic>, _ profile: TrafficProfile) {
    unsafe UnsafeMutableRawPointer(traffic).initializeMemory(
      as: UInt8.self, repeating: 0, count: MemoryLayout<nfv_traffic>.size)
    let distinct = Array(Set(profile.sizes)).sorted().prefix(Int(NFV_TRAFFIC_SIZES))
    let network = 14 + (profile.vlan == nil ? 0 : 4)
    let isIPv6 = profile.version == 6
    let transport = network + (isIPv6 ? 40 : 20)
    let number = profile.transport.rawValue == 1 && isIPv6 ? 58 : profile.transport.rawValue
    unsafe traffic.pointee.shape.network_offset = UInt8(network)
    unsafe traffic.pointee.shape.transport_offset = UInt8(transport)
    unsafe traffic.pointee.shape.source_offset = UInt8(isIPv6 ? network + 20 : network + 12)
    unsafe traffic.pointee.shape.destination_offset = UInt8(isIPv6 ? network + 36 : network + 16)
    unsafe traffic.pointee.shape.protocol = number
    unsafe traffic.pointee.shape.is_ipv6 = isIPv6
    unsafe traffic.pointee.shape.has_ports = number == 6 || number == 17
    unsafe traffic.pointee.shape.has_checksum = profile.hasChecksum || isIPv6 || number != 17
    unsafe traffic.pointee.shape.checksum_offset = UInt8(transport + (number == 17 ? 6 : number == 6 ? 16 : 2))
    let source = range(of: profile.source)
    let destination = range(of: profile.destination)
    unsafe traffic.pointee.shape.source_base = source.base
    unsafe traffic.pointee.shape.source_mask = source.mask
    unsafe traffic.pointee.shape.destination_base = destination.base
    unsafe traffic.pointee.shape.destination_mask = destination.mask
    unsafe traffic.pointee.shape.destination_shift = destination.shift
    unsafe traffic.pointee.shape.source_port = profile.sourcePorts.lowerBound
    unsafe traffic.pointee.shape.source_ports = UInt32(profile.sourcePorts.count)
    unsafe traffic.pointee.shape.destination_port = profile.destinationPorts.lowerBound
    unsafe traffic.pointee.shape.destination_ports = UInt32(profile.destinationPorts.count)
    unsafe traffic.pointee.flows = UInt32(clamping: profile.flows)
    let pattern = profile.sizes.prefix(Int(NFV_TRAFFIC_PATTERN))
    unsafe traffic.pointee.pattern_length = UInt8(pattern.count)
    unsafe withUnsafeMutableBytes(of: &traffic.pointee.pattern) { bytes in
      for (index, size) in pattern.enumerated() { unsafe bytes[index] = UInt8(distinct.firstIndex(of: size) ?? 0) }
    }
    unsafe withUnsafeMutableBytes(of: &traffic.pointee.templates) { bytes in
      let templates = unsafe bytes.bindMemory(to: nfv_traffic_template.self)
      for (index, size) in distinct.enumerated() {
        let frame = bytesOfFrame(profile, size: size, number: number, network: network, transport: transport)
        unsafe nfv_traffic_template_fill(&templates[index], frame, UInt16(size))
        unsafe templates[index].network_sum = sum(frame[network..<network + 20])
        unsafe templates[index].transport_sum = transportSum(frame, number, isIPv6, network, transport)
      }
    }
  }

  /// What varies of an address: the low 32 bits at most. Destinations take the hash's high bits.
  private static func range(of prefix: IPPrefix) -> (base: UInt32, mask: UInt32, shift: UInt8) {
    let (base, hostBits): (UInt32, Int) =
      switch prefix {
      case .v4(let prefix): (prefix.address.rawValue, 32 - Int(prefix.length))
      case .v6(let prefix): (UInt32(truncatingIfNeeded: prefix.address.low), min(128 - Int(prefix.length), 32))
      }
    let mask = hostBits >= 32 ? UInt32.max : UInt32(1) << UInt32(hostBits) - 1
    return (base, mask, UInt8(min(32 - hostBits, 31)))
  }

  private static func sum(_ bytes: ArraySlice<UInt8>) -> UInt32 {
    unsafe bytes.withUnsafeBytes { unsafe Checksum.sum($0) }
  }

  private static func transportSum(
    _ frame: [UInt8], _ number: UInt8, _ isIPv6: Bool, _ network: Int, _ transport: Int
  ) -> UInt32 {
    var total = UInt64(sum(frame[transport...]))
    if number != 1 {
      total += UInt64(number) + UInt64(frame.count - transport)
      if isIPv6 { total += UInt64(sum(frame[network + 8..<network + 40])) }
    }
    while total > 0xFFFF { total = (total & 0xFFFF) + (total >> 16) }
    return UInt32(total)
  }

  /// The frame with those fields 0 that differ from flow to flow, and its checksums.
  private static func bytesOfFrame(
    _ profile: TrafficProfile, size: Int, number: UInt8, network: Int, transport: Int
  ) -> [UInt8] {
    var frame: [UInt8] = profile.destinationMAC.octets + profile.sourceMAC.octets
    if let vlan = profile.vlan { frame += [0x81, 0, UInt8(vlan.rawValue >> 8), UInt8(vlan.rawValue & 0xFF)] }
    let length = size - network
    if profile.version == 6 {
      frame += [0x86, 0xDD, 0x60, 0, 0, 0, UInt8((length - 40) >> 8), UInt8((length - 40) & 0xFF), number, 64]
      for prefix in [profile.source, profile.destination] {
        if case .v6(let prefix) = prefix {
          frame += prefix.address.octets.prefix(12)
        } else {
          frame += [UInt8](repeating: 0, count: 12)
        }
        frame += [0, 0, 0, 0]
      }
    } else {
      frame += [8, 0, 0x45, 0, UInt8(length >> 8), UInt8(length & 0xFF), 0, 0, 0x40, 0, 64, number, 0, 0]
      frame += [UInt8](repeating: 0, count: 8)
    }
    frame += [UInt8](repeating: 0, count: size - frame.count)
    let carried = size - transport
    switch number {
    case 17:
      frame[transport + 4] = UInt8(carried >> 8)
      frame[transport + 5] = UInt8(carried & 0xFF)
    case 6:
      frame[transport + 12] = 0x50
      frame[transport + 13] = TCPFlags.ack.rawValue
      frame[transport + 14] = 0xFF
    default: frame[transport] = number == 58 ? 128 : 8
    }
    return frame
  }
}
