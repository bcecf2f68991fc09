public import Configuration
public import Dataplane
import Tables
import Wire

/// Puts the fragments of IPv4 and IPv6 packets together again (RFC 791, 3.2; RFC 8200, 4.5).
///
///     whole: ReassembleIP
///     - in.ip -> whole -> local
///     - whole.expired -> errors.reassembly
///     - whole.invalid -> errors.badHeader
///
/// Packets that are no fragments pass, atomic fragments (RFC 6946) among them. Fragments that overlap end their packet,
/// in IPv4, too (RFC 5722). When a limit is reached the oldest packet has to go. A whole packet's bytes may be in several
/// buffers; the fragments that went into the first one's are counted as `reassembled`.
public struct ReassembleIP: Element, ~Copyable {
  /// Where packets leave.
  public enum Output: UInt8, OutputPort {
    /// Whole packets.
    case whole
    /// First fragments of packets that did not become whole in time.
    case expired
    /// IPv6 fragments whose length is wrong; the annotation says which byte is at fault.
    case invalid

    public var delivers: HeaderState? { .ip }
    public var about: String {
      switch self {
      case .whole: "whole packets"
      case .expired: "first fragments whose time is over, for ICMPError"
      case .invalid: "IPv6 fragments whose length is wrong; the annotation says which byte is at fault, for ICMPError"
      }
    }
  }

  /// Why fragments are dropped.
  public enum Drop: UInt8, ElementDropReason {
    /// It went on as part of a whole packet.
    case reassembled
    /// One with the same place in the packet was there.
    case duplicate
    /// It overlaps with another fragment, or one of its packet did.
    case overlap
    /// The packet has more fragments than 'fragments_per_packet'.
    case tooManyFragments
    /// It cuts the transport header (RFC 1858, RFC 3128, RFC 7112).
    case tinyFragment
    /// The others did not come in time.
    case timedOut
    /// Its packet was the oldest when a limit was reached.
    case evicted
    /// Some fragments know congestion notification, and others say they met congestion (RFC 3168, 5.3).
    case badCongestionMark
  }

  public static let about = ElementDescription(
    "Puts the fragments of IP packets together, in bounded memory and time.",
    example: """
      elements:
        check: CheckIP
        whole: ReassembleIP
        errors: { ICMPError: { source: [192.0.2.1, 2001:db8::1] } }
      graph:
        - lan -> check -> whole -> wan
        - check.other -> drop
        - whole.expired -> errors[reassembly] -> lan
        - whole.invalid -> errors.badHeader
      """)
  public static let needs = HeaderState.ip
  public static let boundsLoops = true

  private var table: ReassemblyTable
  private var store: PacketStore
  private let timeout4: UInt64
  private let timeout6: UInt64
  private var most = 0

  public init(_ settings: inout Settings) throws(ConfigurationError) {
    let packets = try settings.take("packets", default: 1024, in: 1...1_000_000, "packets in the making at once")
    let fragments = try settings.take("fragments", default: 2048, in: 1...1_000_000, "fragments held at once")
    let ofOne = try settings.take("fragments_per_packet", default: 128, in: 2...8192, "fragments of one packet")
    let bytes = try settings.take(
      "bytes", default: DataSize(bytes: 4 << 20), in: DataSize(bytes: 128 << 10)...DataSize(bytes: 1 << 40),
      "bytes of the fragments held at once")
    let limits = Duration.seconds(1)...Duration.seconds(600)
    let timeout = try settings.take(
      "timeout", default: .seconds(30), in: limits, "how long an IPv4 packet's fragments are waited for")
    let timeoutIPv6 = try settings.take(
      "timeout_ipv6", default: .seconds(60), in: limits, "how long an IPv6 packet's fragments are waited for")
    timeout4 = timeout.wholeNanoseconds
    timeout6 = timeoutIPv6.wholeNanoseconds
    table = ReassemblyTable(
      datagrams: packets, fragments: fragments, fragmentsOfOne: ofOne, bytes: Int(truncatingIfNeeded: bytes.bytes))
    // The fragment at hand has a place beside those that are kept.
    store = PacketStore(capacity: fragments + 1)
  }

  public var held: Int { store.count }
  public var counters: [ElementCounter] { [ElementCounter("mostHeld", UInt64(most))] }

  public mutating func start(_ context: inout Context) { table.seed = context.random.next() }

  public mutating func process(_ batch: inout PacketBatch<Self>, _ context: inout Context) {
    var hasFragments = false
    batch.survey { _, packet in hasFragments = hasFragments || packet.isFragment }
    guard hasFragments else {
      batch.forEach { packet in packet.networkLength == nil ? .drop(.malformed) : .forward(.whole) }
      return
    }
    let now = context.now.nanoseconds
    batch.takeEach { packet, emitter in
      if let part = packet.fragmentPart {
        admit(packet, part, &emitter, now)
      } else if packet.networkLength == nil {
        emitter.drop(packet, .malformed)
      } else {
        emitter.emit(packet, to: .whole)
      }
    }
    if let expiry = table.nextExpiry { context.wake(at: Instant(nanoseconds: expiry)) }
  }

  public mutating func wake(_ batch: inout PacketBatch<Self>, _ context: inout Context) {
    while let hasStart = table.expireNext(now: context.now.nanoseconds) {
      if hasStart, let place = table.popReleased(), let first = store.remove(at: place) {
        batch.emit(first, to: .expired)
      }
      while let place = table.popReleased() {
        if let packet = store.remove(at: place) { batch.drop(packet, Drop.timedOut.reason) }
      }
    }
    if let expiry = table.nextExpiry { context.wake(at: Instant(nanoseconds: expiry)) }
  }

  // MARK: Fragments

  private mutating func admit(
    _ packet: consuming Packet, _ part: FragmentPart, _ emitter: inout Emitter<Self>, _ now: UInt64
  ) {
    let isIPv6 = packet.isIPv6
    switch Self.judge(packet, part) {
    case .sound: break
    case .malformed:
      emitter.drop(packet, .malformed)
      return
    case .tiny:
      emitter.drop(packet, Drop.tinyFragment)
      return
    case .invalid(let fault):
      packet.annotation = UInt32(truncatingIfNeeded: fault)
      emitter.emit(packet, to: .invalid)
      return
    }
    guard let key = ReassemblyTable.Key(packet, part) else {
      emitter.drop(packet, .malformed)
      return
    }
    let size = packet.length
    while table.makeRoom(for: key, size: size) { dropReleased(Drop.evicted, &emitter) }
    let flags = UInt8(1) << (packet.ecn ?? 0)
    let place = store.insert(packet)
    most = max(most, store.count)
    let fragment = ReassemblyTable.Fragment(
      part.start..<part.end, isLast: !part.moreFragments, number: place, size: size, flags: flags)
    switch table.add(fragment, to: key, lifetime: isIPv6 ? timeout6 : timeout4, now: now) {
    case .kept: break
    case .duplicate: drop(place, Drop.duplicate, &emitter)
    case .overlap:
      dropReleased(Drop.overlap, &emitter)
      drop(place, Drop.overlap, &emitter)
    case .tooMany:
      dropReleased(Drop.tooManyFragments, &emitter)
      drop(place, Drop.tooManyFragments, &emitter)
    case .complete(let length, let flags): assemble(length, flags, &emitter)
    }
  }

  private mutating func drop(_ place: UInt32, _ reason: Drop, _ emitter: inout Emitter<Self>) {
    if let packet = store.remove(at: place) { emitter.drop(packet, reason) }
  }

  private mutating func dropReleased(_ reason: Drop, _ emitter: inout Emitter<Self>) {
    while let place = table.popReleased() { drop(place, reason, &emitter) }
  }

  private enum Judgement {
    case sound, malformed, tiny
    /// An IPv6 fragment with a wrong field at this byte of the packet.
    case invalid(Int)
  }

  private static func judge(_ packet: borrowing Packet, _ part: FragmentPart) -> Judgement {
    guard !part.contents.isEmpty, let network = packet.networkHeaderOffset else { return .malformed }
    // RFC 8200, 4.5: the field at fault is the payload length, or the fragment header's offset.
    if part.moreFragments, part.contents.count % 8 != 0 { return packet.isIPv6 ? .invalid(4) : .malformed }
    let headers = part.contents.lowerBound - network - (packet.isIPv6 ? 8 : 0)
    if headers + part.end > Int(UInt16.max) {
      return packet.isIPv6 ? .invalid(part.contents.lowerBound - 6 - network) : .malformed
    }
    if part.start == 0 {
      // IPv4's limit lets TCP's flags in; IPv6's first fragment has all headers (RFC 7112, 5).
      if packet.isIPv6, isCutShort(packet) { return .tiny }
      if packet.isIPv4, part.protocolNumber == .tcp, part.contents.count < 16 { return .tiny }
    } else if part.start < 16, part.protocolNumber == .tcp {
      return .tiny
    }
    return .sound
  }

  private static func isCutShort(_ packet: borrowing Packet) -> Bool {
    switch packet.transportProtocol {
    case .tcp, .udp, .icmpv6, .dccp, .sctp: packet.transportHeaderOffset == nil
    default: false
    }
  }

  // MARK: Whole packets

  private mutating func assemble(_ length: Int, _ flags: UInt8, _ emitter: inout Emitter<Self>) {
    guard let place = table.popReleased(), var head = store.remove(at: place), let part = head.fragmentPart,
      let network = head.networkHeaderOffset
    else {
      dropReleased(Drop.evicted, &emitter)
      return
    }
    // Options and extension headers may differ from fragment to fragment.
    let isIPv6 = head.isIPv6
    let headers = part.contents.lowerBound - network - (isIPv6 ? 8 : 0)
    guard headers + length <= Int(UInt16.max) else {
      emitter.drop(head, .tooLong)
      while let place = table.popReleased() {
        if let packet = store.remove(at: place) { emitter.drop(packet, .tooLong) }
      }
      return
    }
    // Bit 0: not capable of congestion notification; bit 3: congestion met.
    if flags & 0b1001 == 0b1001 {
      emitter.drop(head, Drop.badCongestionMark)
      dropReleased(Drop.badCongestionMark, &emitter)
      return
    }
    head.truncate(to: part.contents.upperBound)
    while let place = table.popReleased() {
      guard let next = store.remove(at: place) else { continue }
      guard let contents = next.fragmentPart?.contents, head.append(next, in: contents) else {
        emitter.drop(next, .noBuffer)
        emitter.drop(head, .noBuffer)
        dropReleased(Drop.evicted, &emitter)
        return
      }
      emitter.drop(next, Drop.reassembled)
    }
    let isCongested = flags & 0b1000 != 0
    let isDone =
      isIPv6
      ? Self.makeWholeIPv6(&head, part, network, length: headers + length, isCongested: isCongested)
      : Self.makeWholeIPv4(&head, part, network, length: headers + length, isCongested: isCongested)
    guard isDone else {
      emitter.drop(head, .noBuffer)
      return
    }
    emitter.emit(head, to: .whole)
  }

  /// Has the header say that the packet is no fragment.
  private static func makeWholeIPv4(
    _ head: inout Packet, _ part: FragmentPart, _ network: Int, length: Int, isCongested: Bool
  ) -> Bool {
    let headerLength = part.contents.lowerBound - network
    guard let ip = head.ipv4HeaderToWrite(at: network, length: headerLength) else { return false }
    ip.setFragment(totalLength: UInt16(length), fragmentOffset: 0, moreFragments: false)
    if isCongested { ip.setTrafficClass(ip.trafficClass | 3) }
    return true
  }

  /// Takes the fragment header away.
  private static func makeWholeIPv6(
    _ head: inout Packet, _ part: FragmentPart, _ network: Int, length: Int, isCongested: Bool
  ) -> Bool {
    guard head.remove(8, at: part.contents.lowerBound - 8) else { return false }
    var bytes = head.mutableBytes
    guard part.protocolField < bytes.byteCount else { return false }
    bytes.storeBytes(of: part.protocolNumber.rawValue, toByteOffset: part.protocolField, as: UInt8.self)
    guard let ip = head.ipv6HeaderToWrite(at: network) else { return false }
    ip.setPayloadLength(UInt16(length - IPv6Header<ReadOnly>.length))
    if isCongested { ip.setTrafficClass(ip.trafficClass | 3) }
    return true
  }
}

extension Packet {
  /// Explicit congestion notification of the IP header; nil when this is not IP.
  fileprivate var ecn: UInt8? {
    if let ip = ipv4 { return ip.ecn }
    return ipv6?.ecn
  }
}

extension Duration {
  /// Nanoseconds of a duration that is not negative and below 292 years.
  var wholeNanoseconds: UInt64 {
    UInt64(clamping: components.seconds) &* 1_000_000_000 &+ UInt64(clamping: components.attoseconds / 1_000_000_000)
  }
}
