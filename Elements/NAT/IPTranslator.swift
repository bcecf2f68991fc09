import Dataplane
import Wire

/// Turns IPv4 packets into IPv6 packets and back, in place (RFC 7915). Which addresses and ports they get is the caller's.
///
/// Time-to-live and hop limit are taken over as they are. Bytes behind the packet, such as Ethernet's padding, are taken
/// away. The Ethernet addresses stay.
struct IPTranslator {
  /// What happens to ICMP errors.
  let icmp: ICMPTranslation
  /// Whether the traffic class is taken over rather than set to zero (RFC 7915, 4.1 and 5.1).
  let copiesTrafficClass: Bool
  /// For IPv4 packets that come from whole IPv6 ones.
  private var identification: UInt16 = 0

  init(icmp: ICMPTranslation, copiesTrafficClass: Bool) {
    self.icmp = icmp
    self.copiesTrafficClass = copiesTrafficClass
  }

  /// Begins with an identification that cannot be foreseen from outside (RFC 7739, 5).
  mutating func start(identification: UInt16) { self.identification = identification }

  /// The length of the IPv4 packet that an IPv6 packet becomes.
  static func lengthInIPv4(_ header: TranslatedIPv6) -> Int { 20 + header.payloadLength }

  /// The length of the IPv6 packet that an IPv4 packet becomes; a fragment has a header more.
  static func lengthInIPv6(_ header: TranslatedIPv4) -> Int {
    40 + header.payloadLength + (header.fragment == nil ? 0 : 8)
  }

  // MARK: IPv6 to IPv4

  /// Turns an IPv6 packet into an IPv4 packet.
  /// - Parameters:
  ///   - header: The packet's.
  ///   - embedded: What the packet within an ICMPv6 error gets; without it errors are not translated.
  /// - Returns: Nil when it is done; otherwise the packet may have been changed in part.
  mutating func toIPv4(
    _ packet: inout Packet, _ header: TranslatedIPv6, _ ends: IPv4Ends, embedded: IPv4Ends? = nil
  ) -> TranslationFault? {
    guard let network = packet.networkHeaderOffset else { return .malformed }
    if header.hasExtensionInFragments { return .extensionInFragment }
    guard Self.lengthInIPv4(header) <= Int(UInt16.max) else { return .malformed }
    packet.truncate(to: network + header.length + header.payloadLength)
    guard packet.makeWritable() else { return .noBuffer }
    var payloadLength = header.payloadLength
    if header.protocolNumber == .icmpv6 {
      if header.fragment.map({ $0.start != 0 || $0.moreFragments }) ?? false { return .fragmentedICMP }
      guard let type = packet.icmp?.type else { return .malformed }
      if let echo = ICMPTranslation.echoToIPv4(type) {
        let pseudo = Self.pseudoHeader(header)
        packet.mutableICMP?.translate(type: echo, ends.sourcePort ?? ends.destinationPort, replacing: pseudo, with: 0)
      } else {
        guard let embedded else { return .untranslatableICMP }
        if let fault = translateErrorToIPv4(&packet, at: network + header.length, embedded) { return fault }
        payloadLength = packet.length - network - header.length
      }
    } else if header.fragment.map({ $0.start == 0 }) ?? true {
      var change = ChecksumChange()
      change.replace(header.source, with: ends.source)
      change.replace(header.destination, with: ends.destination)
      if let fault = Self.translateTransport(
        &packet, header.protocolNumber, at: network + header.length, ends.sourcePort, ends.destinationPort, change)
      {
        return fault
      }
    }
    guard replace(&packet, header, at: network, by: ends, payloadLength: payloadLength),
      packet.setWord16(EtherType.ipv4.rawValue, at: network - 2)
    else { return .noBuffer }
    return nil
  }

  /// Puts an IPv4 header in the place of an IPv6 header.
  private mutating func replace(
    _ packet: inout Packet, _ header: TranslatedIPv6, at offset: Int, by ends: IPv4Ends, payloadLength: Int
  ) -> Bool {
    guard packet.remove(header.length - 20, at: offset) else { return false }
    let total = UInt16(clamping: 20 + payloadLength)
    let number = header.protocolNumber == .icmpv6 ? .icmp : header.protocolNumber
    let trafficClass = copiesTrafficClass ? header.trafficClass : 0
    guard let fragment = header.fragment else {
      identification &+= 1
      packet.ipv4HeaderToWrite(at: offset)?.set(
        trafficClass: trafficClass, totalLength: total, identification: identification, dontFragment: total > 1260,
        timeToLive: header.hopLimit, protocolNumber: number, source: ends.source, destination: ends.destination)
      return true
    }
    guard let ip = packet.ipv4HeaderToWrite(at: offset) else { return false }
    ip.set(
      trafficClass: trafficClass, totalLength: total,
      identification: UInt16(truncatingIfNeeded: fragment.identification), timeToLive: header.hopLimit,
      protocolNumber: number, source: ends.source, destination: ends.destination)
    ip.setFragment(totalLength: total, fragmentOffset: fragment.start, moreFragments: fragment.moreFragments)
    return true
  }

  // MARK: IPv4 to IPv6

  /// Turns an IPv4 packet into an IPv6 packet.
  /// - Parameters:
  ///   - header: The packet's.
  ///   - embedded: What the packet within an ICMP error gets; without it errors are not translated.
  ///   - addsFragmentHeader: Whether a whole packet gets one, too, to be cut.
  /// - Returns: Nil when it is done; otherwise the packet may have been changed in part.
  func toIPv6(
    _ packet: inout Packet, _ header: TranslatedIPv4, _ ends: IPv6Ends, embedded: IPv6Ends? = nil,
    addsFragmentHeader: Bool = false
  ) -> TranslationFault? {
    guard let network = packet.networkHeaderOffset else { return .malformed }
    if header.length > 20, header.hasSourceRoute(packet, at: network) { return .sourceRoute }
    packet.truncate(to: network + header.length + header.payloadLength)
    guard packet.makeWritable() else { return .noBuffer }
    var payloadLength = header.payloadLength
    if header.protocolNumber == .icmp {
      if header.fragment != nil { return .fragmentedICMP }
      guard let type = packet.icmp?.type else { return .malformed }
      if let echo = ICMPTranslation.echoToIPv6(type) {
        let pseudo = Self.pseudoHeader(ends, .icmpv6, payloadLength)
        packet.mutableICMP?.translate(type: echo, ends.sourcePort ?? ends.destinationPort, replacing: 0, with: pseudo)
      } else {
        guard let embedded else { return .untranslatableICMP }
        if let fault = translateErrorToIPv6(&packet, at: network + header.length, ends, embedded) { return fault }
        payloadLength = packet.length - network - header.length
      }
    } else if header.fragment.map({ $0.start == 0 }) ?? true {
      if header.protocolNumber == .udp, packet.udp?.checksum == 0 {
        guard header.fragment == nil else { return .noChecksum }
        Self.addChecksum(&packet, at: network + header.length, header)
      }
      var change = ChecksumChange()
      change.replace(header.source, with: ends.source)
      change.replace(header.destination, with: ends.destination)
      if let fault = Self.translateTransport(
        &packet, header.protocolNumber, at: network + header.length, ends.sourcePort, ends.destinationPort, change)
      {
        return fault
      }
    }
    let whole = FragmentFields(identification: UInt32(header.identification), start: 0, moreFragments: false)
    let fragment = header.fragment ?? (addsFragmentHeader ? whole : nil)
    guard replace(&packet, header, at: network, by: ends, payloadLength: payloadLength, fragment),
      packet.setWord16(EtherType.ipv6.rawValue, at: network - 2)
    else { return .noBuffer }
    return nil
  }

  /// Puts an IPv6 header in the place of an IPv4 header.
  private func replace(
    _ packet: inout Packet, _ header: TranslatedIPv4, at offset: Int, by ends: IPv6Ends, payloadLength: Int,
    _ fragment: FragmentFields?
  ) -> Bool {
    let length = fragment == nil ? 40 : 48
    guard
      length >= header.length
        ? packet.insert(length - header.length, at: offset) : packet.remove(header.length - length, at: offset)
    else { return false }
    let number = header.protocolNumber == .icmp ? .icmpv6 : header.protocolNumber
    packet.ipv6HeaderToWrite(at: offset)?.set(
      trafficClass: copiesTrafficClass ? header.trafficClass : 0,
      payloadLength: UInt16(clamping: length - 40 + payloadLength),
      nextHeader: fragment == nil ? number : .ipv6Fragment,
      hopLimit: header.timeToLive, source: ends.source, destination: ends.destination)
    guard let fragment else { return true }
    return IPv6Fragments.write(&packet, at: offset + 40, nextHeader: number, fragment)
  }

  /// Gives a UDP datagram that has none a checksum over IPv4's pseudo-header.
  private static func addChecksum(_ packet: inout Packet, at transport: Int, _ header: TranslatedIPv4) {
    let pseudo = Checksum.pseudoHeader(
      source: header.source, destination: header.destination, protocol: .udp,
      length: UInt16(truncatingIfNeeded: header.payloadLength))
    let sum = pseudo &+ packet.sum(in: transport..<transport + header.payloadLength)
    packet.mutableUDP?.setChecksum(Checksum.udp(Checksum.complement(sum)))
  }

  // MARK: Transport

  /// The sum of ICMPv6's pseudo-header.
  private static func pseudoHeader(_ header: TranslatedIPv6) -> UInt32 {
    Checksum.pseudoHeader(
      source: header.source, destination: header.destination, protocol: .icmpv6, length: UInt32(header.payloadLength))
  }

  private static func pseudoHeader(_ ends: IPv6Ends, _ number: IPProtocol, _ length: Int) -> UInt32 {
    Checksum.pseudoHeader(
      source: ends.source, destination: ends.destination, protocol: number, length: UInt32(clamping: length))
  }

  /// Sets ports and patches the checksum for them and for what changes in the pseudo-header.
  private static func translateTransport(
    _ packet: inout Packet, _ number: IPProtocol, at transport: Int, _ sourcePort: UInt16?,
    _ destinationPort: UInt16?, _ change: ChecksumChange
  ) -> TranslationFault? {
    switch number {
    case .tcp:
      guard packet.transportHeaderOffset == transport, let tcp = packet.mutableTCP else { return .malformed }
      if let sourcePort { tcp.setSourcePort(sourcePort) }
      if let destinationPort { tcp.setDestinationPort(destinationPort) }
      tcp.setChecksum(change.applied(to: tcp.checksum))
    case .udp:
      guard packet.transportHeaderOffset == transport, let udp = packet.mutableUDP else { return .malformed }
      if let sourcePort { udp.setSourcePort(sourcePort) }
      if let destinationPort { udp.setDestinationPort(destinationPort) }
      udp.setChecksum(change.appliedUDP(to: udp.checksum))
    case .dccp, .udplite:
      guard let checksum = packet.word16(at: transport + 6) else { return .malformed }
      guard packet.setWord16(change.applied(to: checksum), at: transport + 6) else { return .noBuffer }
    default: break
    }
    return nil
  }

  // MARK: ICMP errors

  /// Turns an ICMPv6 error, the packet within it and all, into an ICMP error. IPv4's header is to come yet.
  private mutating func translateErrorToIPv4(
    _ packet: inout Packet, at offset: Int, _ ends: IPv4Ends
  ) -> TranslationFault? {
    guard let fields = ICMPErrorFields(packet, at: offset), let inner = TranslatedIPv6(packet, at: offset + 8) else {
      return .malformed
    }
    guard let error = icmp.errorToIPv4(fields) else { return .untranslatableICMP }
    // RFC 4884: what stands behind the packet would have to be moved; it goes.
    if Self.hasOriginalLength(icmpv6: fields.type) {
      Self.cutExtensions(&packet, at: offset, originalLength: Int(fields.rest >> 24) * 8)
    }
    var change = ChecksumChange()
    change.replace(inner.source, with: ends.source)
    change.replace(inner.destination, with: ends.destination)
    let isWhole = inner.fragment.map { $0.start == 0 } ?? true
    if isWhole {
      let transport = offset + 8 + inner.length
      if inner.protocolNumber == .icmpv6 {
        guard let type = packet.byte(at: transport), let echo = ICMPTranslation.echoToIPv4(type) else {
          return .untranslatableICMP
        }
        let pseudo = Checksum.fold(Self.pseudoHeader(inner))
        Self.translateEmbeddedEcho(&packet, at: transport, echo, ends.sourcePort ?? ends.destinationPort, pseudo, 0)
      } else {
        Self.translateEmbedded(
          &packet, inner.protocolNumber, at: transport, ends.sourcePort, ends.destinationPort, change)
      }
    }
    guard
      replace(&packet, inner, at: offset + 8, by: ends, payloadLength: inner.payloadLength),
      packet.makeWritable()
    else { return .noBuffer }
    packet.icmpHeaderToWrite(at: offset)?.set(type: error.type, code: error.code, rest: error.rest)
    let checksum = Checksum.complement(packet.sum(in: offset..<packet.length))
    packet.icmpHeaderToWrite(at: offset)?.setChecksum(checksum)
    return nil
  }

  /// The longest ICMPv6 error, in bytes (RFC 4443, 2.4(c)).
  private static var longestError6: Int { 1280 }

  /// Turns an ICMP error, the packet within it and all, into an ICMPv6 error. IPv6's header is to come yet.
  /// - Parameter outer: What the error gets.
  private func translateErrorToIPv6(
    _ packet: inout Packet, at offset: Int, _ outer: IPv6Ends, _ ends: IPv6Ends
  ) -> TranslationFault? {
    guard let fields = ICMPErrorFields(packet, at: offset), let inner = TranslatedIPv4(packet, at: offset + 8) else {
      return .malformed
    }
    let embeddedLength = inner.length + inner.payloadLength
    guard let error = icmp.errorToIPv6(fields, embeddedLength: embeddedLength) else { return .untranslatableICMP }
    if Self.hasOriginalLength(icmp: fields.type) {
      Self.cutExtensions(&packet, at: offset, originalLength: Int(fields.rest >> 16 & 0xFF) * 4)
    }
    if inner.fragment.map({ $0.start == 0 }) ?? true {
      let transport = offset + 8 + inner.length
      if inner.protocolNumber == .icmp {
        guard let type = packet.byte(at: transport), let echo = ICMPTranslation.echoToIPv6(type) else {
          return .untranslatableICMP
        }
        let pseudo = Checksum.fold(Self.pseudoHeader(ends, .icmpv6, inner.payloadLength))
        Self.translateEmbeddedEcho(&packet, at: transport, echo, ends.sourcePort ?? ends.destinationPort, 0, pseudo)
      } else {
        var change = ChecksumChange()
        change.replace(inner.source, with: ends.source)
        change.replace(inner.destination, with: ends.destination)
        Self.translateEmbedded(
          &packet, inner.protocolNumber, at: transport, ends.sourcePort, ends.destinationPort, change)
      }
    }
    guard
      replace(&packet, inner, at: offset + 8, by: ends, payloadLength: inner.payloadLength, inner.fragment)
    else { return .noBuffer }
    // Inserting moves what stands before towards the frame's beginning; the error is where it was.
    packet.truncate(to: offset + Self.longestError6 - 40)
    packet.icmpHeaderToWrite(at: offset)?.set(type: error.type, code: error.code, rest: error.rest)
    let sum = packet.sum(in: offset..<packet.length) &+ Self.pseudoHeader(outer, .icmpv6, packet.length - offset)
    packet.icmpHeaderToWrite(at: offset)?.setChecksum(Checksum.complement(sum))
    return nil
  }

  /// Errors in which RFC 4884 has a length of the embedded packet stand.
  private static func hasOriginalLength(icmp type: UInt8) -> Bool { type == 3 || type == 11 || type == 12 }
  private static func hasOriginalLength(icmpv6 type: UInt8) -> Bool { type == 1 || type == 3 }

  private static func cutExtensions(_ packet: inout Packet, at offset: Int, originalLength: Int) {
    if originalLength > 0 { packet.truncate(to: offset + 8 + originalLength) }
  }

  /// Sets what there is of ports in a packet within an error and patches what there is of its checksum.
  private static func translateEmbedded(
    _ packet: inout Packet, _ number: IPProtocol, at transport: Int, _ sourcePort: UInt16?,
    _ destinationPort: UInt16?, _ addresses: ChecksumChange
  ) {
    guard let ports = packet.word32(at: transport), [.tcp, .udp, .dccp, .udplite, .sctp].contains(number) else {
      return
    }
    var change = addresses
    let source = sourcePort ?? UInt16(truncatingIfNeeded: ports >> 16)
    let destination = destinationPort ?? UInt16(truncatingIfNeeded: ports)
    let new = UInt32(source) << 16 | UInt32(destination)
    change.replace(ports, with: new)
    _ = packet.setWord32(new, at: transport)
    guard number != .sctp else { return }
    let place = transport + (number == .tcp ? 16 : 6)
    guard place + 2 <= packet.length, let checksum = packet.word16(at: place) else { return }
    _ = packet.setWord16(number == .udp ? change.appliedUDP(to: checksum) : change.applied(to: checksum), at: place)
  }

  /// The same for an echo message within an error.
  /// - Parameters:
  ///   - old: The sum, folded, of the pseudo-header that its checksum covers; 0 without one.
  ///   - new: The sum of the one that it is to cover.
  private static func translateEmbeddedEcho(
    _ packet: inout Packet, at transport: Int, _ type: UInt8, _ identifier: UInt16?, _ old: UInt16, _ new: UInt16
  ) {
    guard let first = packet.word16(at: transport), let checksum = packet.word16(at: transport + 2) else { return }
    var change = ChecksumChange()
    change.replace(old, with: new)
    let typed = UInt16(type) << 8 | first & 0xFF
    change.replace(first, with: typed)
    _ = packet.setWord16(typed, at: transport)
    if let identifier, let current = packet.word16(at: transport + 4) {
      change.replace(current, with: identifier)
      _ = packet.setWord16(identifier, at: transport + 4)
    }
    _ = packet.setWord16(change.applied(to: checksum), at: transport + 2)
  }
}

extension ICMPErrorFields {
  /// Nil when the message is cut short.
  fileprivate init?(_ packet: borrowing Packet, at offset: Int) {
    guard let type = packet.byte(at: offset), let code = packet.byte(at: offset + 1),
      let rest = packet.word32(at: offset + 4)
    else { return nil }
    self.init(type: type, code: code, rest: rest)
  }
}

extension ICMPHeader where Access == ReadWrite {
  /// Sets type and identifier of an echo message; its checksum covers another pseudo-header from now on, or one at all.
  fileprivate func translate(type: UInt8, _ identifier: UInt16?, replacing old: UInt32, with new: UInt32) {
    setType(type)
    if let identifier { setIdentifier(identifier) }
    setChecksum(Checksum.updated(checksum, replacing: Checksum.fold(old), with: Checksum.fold(new)))
  }
}
