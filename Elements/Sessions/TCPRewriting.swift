import Dataplane
import Tables
import Wire

/// What a TCP segment without data is made of, in the host's byte order.
struct TCPFields {
  var sequence: UInt32
  var acknowledgment: UInt32 = 0
  var flags: TCPFlags
  var window: UInt16 = 0
  /// Options of a segment with SYN.
  var options: SYNCookies.Options?
  /// Of the IP header.
  var trafficClass: UInt8 = 0
}

extension TCPFields {
  /// The reset that answers a segment (RFC 9293, 3.10.7.1).
  init(resetOf segment: TCPSegment) {
    self =
      segment.flags.contains(.ack)
      ? TCPFields(sequence: segment.acknowledgment, flags: .rst)
      : TCPFields(sequence: 0, acknowledgment: segment.end, flags: [.rst, .ack])
  }
}

extension Packet {
  /// The segment's length in octets of data; 0 for what is no TCP.
  @inline(__always)
  var tcpDataLength: UInt32 {
    guard let network = networkHeaderOffset, let total = networkLength, let transport = transportHeaderOffset,
      let header = tcp?.headerLength
    else { return 0 }
    return UInt32(truncatingIfNeeded: max(0, network &+ total &- transport &- header))
  }

  /// What a tracker looks at; nil without a TCP header.
  @inline(__always)
  var tcpSegment: TCPSegment? {
    let length = tcpDataLength
    guard let tcp else { return nil }
    let flags = tcp.flags
    var segment = TCPSegment(
      sequence: tcp.sequenceNumber, acknowledgment: tcp.acknowledgmentNumber, flags: flags, window: tcp.window,
      length: length)
    if flags.contains(.syn) {
      segment.windowScale = synOptions.windowScale ?? TCPSegment.noScale
    } else if isFragment {
      // How much is in the other fragments is not known: as much as the receiver has room for, perhaps.
      segment.length = TCPSegment.unknownLength
    }
    return segment
  }

  /// The options of a segment with SYN (RFC 9293, 3.2; RFC 7323, 2.2; RFC 2018, 2).
  var synOptions: SYNCookies.Options {
    var found = SYNCookies.Options()
    guard let transport = transportHeaderOffset, let length = tcp?.headerLength else { return found }
    var offset = transport + 20
    let end = transport + length
    while offset < end, let kind = byte(at: offset), kind != 0 {
      if kind == 1 {
        offset += 1
        continue
      }
      guard offset + 1 < end, let size = byte(at: offset + 1), size >= 2, offset + Int(size) <= end else { break }
      switch (kind, size) {
      case (2, 4):
        found.segmentSize = UInt16(byte(at: offset + 2) ?? 0) << 8 | UInt16(byte(at: offset + 3) ?? 0)
      case (3, 3): found.windowScale = min(byte(at: offset + 2) ?? 0, 14)
      case (4, 2): found.selective = true
      default: break
      }
      offset += Int(size)
    }
    return found
  }

  /// Whether the checksum of a whole TCP segment is right.
  var isTCPChecksumValid: Bool {
    guard let network = networkHeaderOffset, let total = networkLength, let transport = transportHeaderOffset else {
      return false
    }
    let length = network + total - transport
    guard length >= 20 else { return false }
    let pseudo: UInt32
    if let ip = ipv4 {
      pseudo = Checksum.pseudoHeader(
        source: ip.source, destination: ip.destination, protocol: .tcp, length: UInt16(truncatingIfNeeded: length))
    } else if let ip = ipv6 {
      pseudo = Checksum.pseudoHeader(
        source: ip.source, destination: ip.destination, protocol: .tcp, length: UInt32(truncatingIfNeeded: length))
    } else {
      return false
    }
    return Checksum.isValid(pseudo &+ sum(in: transport..<network + total))
  }

  /// Makes a TCP packet another one of the same connection, without data, IP options and extension headers. False when
  /// no buffer is left; the packet is of no use then.
  /// - Parameter turned: Whether it goes back to where it came from.
  mutating func makeTCP(_ fields: TCPFields, turned: Bool) -> Bool {
    guard let network = networkHeaderOffset, let transport = transportHeaderOffset,
      let ports = transportPorts
    else { return false }
    let headers = isIPv4 ? 20 : 40
    let v4: (IPv4Address, IPv4Address)?
    if let ip = ipv4 { v4 = (ip.source, ip.destination) } else { v4 = nil }
    let v6: (IPv6Address, IPv6Address)?
    if let ip = ipv6 { v6 = (ip.source, ip.destination) } else { v6 = nil }
    truncate(to: transport + 20)
    let surplus = transport - network - headers
    guard remove(surplus, at: network + headers) else { return false }
    let start = network + headers
    var length = 20
    var words: InlineArray<3, UInt32> = [0, 0, 0]
    if let options = fields.options {
      words[0] = 0x0204_0000 | UInt32(options.segmentSize)
      length += 4
      if let scale = options.windowScale {
        words[(length - 20) / 4] = 0x0103_0300 | UInt32(scale)
        length += 4
      }
      if options.selective {
        words[(length - 20) / 4] = 0x0101_0402
        length += 4
      }
    }
    guard insert(length - 20, at: start + 20) else { return false }
    let (from, to) = turned ? (ports.destination, ports.source) : (ports.source, ports.destination)
    var head: InlineArray<8, UInt32> = [
      UInt32(from) << 16 | UInt32(to), fields.sequence, fields.acknowledgment,
      UInt32(length / 4) << 28 | UInt32(fields.flags.rawValue) << 16 | UInt32(fields.window), 0, words[0], words[1],
      words[2],
    ]
    for index in head.indices { head[index] = head[index].bigEndian }
    var bytes = mutableBytes
    guard bytes.byteCount >= start + length else { return false }
    for index in 0..<length / 4 {
      bytes.storeBytes(of: head[index], toByteOffset: start + index * 4, as: UInt32.self)
    }
    var pseudo: UInt32 = 0
    if let (source, destination) = v4 {
      let (source, destination) = turned ? (destination, source) : (source, destination)
      ipv4HeaderToWrite(at: network)?.set(
        trafficClass: fields.trafficClass, totalLength: UInt16(headers + length), dontFragment: true,
        protocolNumber: .tcp, source: source,
        destination: destination)
      pseudo = Checksum.pseudoHeader(source: source, destination: destination, protocol: .tcp, length: UInt16(length))
    } else if let (source, destination) = v6 {
      let (source, destination) = turned ? (destination, source) : (source, destination)
      ipv6HeaderToWrite(at: network)?.set(
        trafficClass: fields.trafficClass, payloadLength: UInt16(length), nextHeader: .tcp, source: source,
        destination: destination)
      pseudo = Checksum.pseudoHeader(source: source, destination: destination, protocol: .tcp, length: UInt32(length))
    }
    let checksum = Checksum.complement(pseudo &+ sum(in: start..<start + length))
    mutableTCP?.setChecksum(checksum)
    if turned { mutableEthernet?.swapAddresses() }
    return true
  }

  /// Adds to the numbers of selective acknowledgements (RFC 2018, 3) and patches the checksum.
  mutating func shiftSelectiveAcknowledgments(by shift: UInt32) {
    guard let transport = transportHeaderOffset, let length = tcp?.headerLength, length > 20 else { return }
    var offset = transport + 20
    let end = transport + length
    let before = Checksum.complement(sum(in: offset..<end))
    var isChanged = false
    while offset < end, let kind = byte(at: offset), kind != 0 {
      if kind == 1 {
        offset += 1
        continue
      }
      guard offset + 1 < end, let size = byte(at: offset + 1), size >= 2, offset + Int(size) <= end else { break }
      if kind == 5 {
        for edge in stride(from: offset + 2, through: offset + Int(size) - 4, by: 4) { add(shift, at: edge) }
        isChanged = true
      }
      offset += Int(size)
    }
    guard isChanged else { return }
    let after = Checksum.fold(sum(in: transport + 20..<end))
    if let tcp = mutableTCP {
      tcp.setChecksum(~Checksum.fold(UInt32(~tcp.checksum) &+ UInt32(before) &+ UInt32(after)))
    }
  }

  /// Adds to a number of 32 bits in network byte order.
  private mutating func add(_ shift: UInt32, at offset: Int) {
    var value: UInt32 = 0
    for index in 0..<4 { value = value << 8 | UInt32(byte(at: offset + index) ?? 0) }
    var bytes = mutableBytes
    guard bytes.byteCount >= offset + 4 else { return }
    bytes.storeBytes(of: (value &+ shift).bigEndian, toByteOffset: offset, as: UInt32.self)
  }
}
