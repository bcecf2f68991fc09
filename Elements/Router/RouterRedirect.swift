import Dataplane
import Tables
import Wire

/// Tells hosts of a better first hop when their packets leave by the interface that they came in by (RFC 1812, 5.2.7.2;
/// RFC 4861, 8.2), and passes the packets on; a part of `Router`. Which packets these are is a matter of wiring: no others
/// come here.
struct RouterRedirect: RouterPart, ~Copyable {
  enum Output: UInt8, OutputPort {
    /// The packets themselves.
    case frames
    /// The redirects, to be routed.
    case redirects

    var delivers: HeaderState? { self == .redirects ? .ip : nil }
  }

  static let needs = HeaderState.ip
  static let boundsLoops = true

  /// An address of the interface, and what is on its link.
  private struct Own4: BitwiseCopyable, Sendable {
    let address: IPv4Address
    let prefix: IPv4Prefix
  }

  private let number: Int
  private let own4: FlatArray<Own4>
  private let own6: FlatArray<IPv6Prefix>
  private let linkLocal: FlatArray<IPv6Address>
  private let routes: Snapshot<RouteSet>
  private let precedence: UInt8
  private var limit: TokenBucket
  private var prefixLimits: TokenBucketTable
  private var identification: UInt16 = 0

  init(_ state: RouterState, interface: Int, limits: ICMPError.Limits) {
    number = interface
    let addresses = state.interfaces[interface].addresses
    own4 = FlatArray(
      addresses.compactMap {
        if case (.v4(let address), .v4(let prefix)) = ($0.address, $0.prefix) {
          Own4(address: address, prefix: prefix)
        } else {
          nil
        }
      })
    own6 = FlatArray(addresses.compactMap { if case .v6(let prefix) = $0.prefix { prefix } else { nil } })
    linkLocal = FlatArray(state.interfaces[interface].linkLocal)
    routes = state.routes(of: interface)
    precedence = UInt8(limits.precedence) << 5
    limit = TokenBucket(rate: limits.rate.packetsPerSecond, burst: UInt64(limits.burst))
    prefixLimits = TokenBucketTable(
      count: 1024, rate: limits.prefixRate.packetsPerSecond, burst: UInt64(limits.prefixBurst))
  }

  mutating func start(_ context: inout Context) {
    prefixLimits.seed = context.random.next()
    identification = UInt16(truncatingIfNeeded: context.random.next())
  }

  mutating func process(_ batch: inout PacketBatch<Self>, _ context: inout Context) {
    let now = context.now.nanoseconds
    batch.forEach { packet, emitter in
      if packet.isIPv4 {
        tell4(packet, &emitter, &context, now)
      } else {
        tell6(packet, &emitter, &context, now)
      }
      return .forward(.frames)
    }
  }

  private mutating func isWithinLimits(_ prefix: UInt64, _ now: UInt64) -> Bool {
    prefixLimits.take(1, of: prefix, now: now) && limit.take(1, now: now)
  }

  /// The hop that a packet went.
  private func hop(_ place: UInt32?, _ flowHash: UInt32, _ routes: borrowing RouteSet) -> Hop? {
    guard let place else { return nil }
    return routes.hop(place, flowHash: flowHash).hop
  }

  // MARK: IPv4

  /// The longest redirect in bytes (RFC 1812, 4.3.2.3), its headers among them.
  private static var longest4: Int { 576 }
  private static var headers4: Int { 28 }

  @inline(never)
  private mutating func tell4(
    _ packet: borrowing Packet, _ emitter: inout Emitter<Self>, _ context: inout Context, _ now: UInt64
  ) {
    let flowHash = RouterForward.pathHash(packet)
    guard let network = packet.networkHeaderOffset, let length = packet.networkLength, let original = Original4(packet),
      !packet.isLaterFragment, !original.isICMPError, let headerLength = packet.ipv4?.headerLength
    else { return }
    // The sender has to be on the network that the next hop is on.
    guard let own = own(onLinkWith: original.source),
      let hop = routes.read({ hop($0.table.lookup(original.destination), flowHash, $0) }),
      Int(hop.interface) == number
    else { return }
    let next: IPv4Address
    switch (hop.kind, hop.neighbour.address) {
    case (.connected, _): next = original.destination
    case (.gateway, .v4(let gateway)): next = gateway
    default: return
    }
    guard own.prefix.contains(next), next != original.source,
      isWithinLimits(UInt64(original.source.rawValue >> 8), now)
    else { return }
    let quoted = min(length, Self.longest4 - Self.headers4)
    guard var redirect = context.copy(packet, in: 0..<network + quoted) else { return }
    // As it came: forwarding has taken one off.
    if let ip = redirect.ipv4HeaderToWrite(at: network, length: headerLength) {
      ip.setTimeToLive(ip.timeToLive &+ 1)
    }
    guard redirect.insert(Self.headers4, at: network) else { return emitter.drop(redirect, .noBuffer) }
    redirect.icmpHeaderToWrite(at: network + 20)?.set(type: 5, code: 1, rest: next.rawValue)
    let checksum = Checksum.complement(redirect.sum(in: network + 20..<redirect.length))
    redirect.icmpHeaderToWrite(at: network + 20)?.setChecksum(checksum)
    identification &+= 1
    redirect.ipv4HeaderToWrite(at: network)?.set(
      trafficClass: precedence | original.trafficClass & 0x1C, totalLength: UInt16(Self.headers4 + quoted),
      identification: identification, timeToLive: 255, protocolNumber: .icmp, source: own.address,
      destination: original.source)
    emitter.emit(redirect, to: .redirects)
  }

  /// The interface's own address that has another one on its link.
  private func own(onLinkWith other: IPv4Address) -> Own4? {
    for index in 0..<own4.count where own4[index].prefix.contains(other) { return own4[index] }
    return nil
  }

  // MARK: IPv6

  /// The longest redirect in bytes (RFC 4861, 4.5).
  private static var longest6: Int { 1280 }
  /// IPv6, the redirect with target and destination, the target's hardware address, and the head of what is quoted.
  private static var headers6: Int { 40 + 40 + 8 + 8 }

  @inline(never)
  private mutating func tell6(
    _ packet: borrowing Packet, _ emitter: inout Emitter<Self>, _ context: inout Context, _ now: UInt64
  ) {
    let flowHash = RouterForward.pathHash(packet)
    guard let network = packet.networkHeaderOffset, let length = packet.networkLength, let original = Original6(packet),
      !original.isICMPError, let station = packet.ethernet?.destination,
      linkLocal.count > 0
    else { return }
    // The sender has to be a neighbour.
    let source = linkLocal[0]
    guard isOnLink(original.source),
      let hop = routes.read({ hop($0.table.lookup(original.destination), flowHash, $0) }),
      Int(hop.interface) == number
    else { return }
    let target: IPv6Address
    switch (hop.kind, hop.neighbour.address) {
    case (.connected, _): target = original.destination
    // A router is told of by its link-local address, which is known only when the route names it.
    case (.gateway, .v6(let gateway)) where gateway.isLinkLocal: target = gateway
    default: return
    }
    guard target != original.source, isWithinLimits(original.source.high, now) else { return }
    let quoted = min(length, Self.longest6 - Self.headers6) & ~7
    guard var redirect = context.copy(packet, in: 0..<network + quoted) else { return }
    if let ip = redirect.ipv6HeaderToWrite(at: network) { ip.setHopLimit(ip.hopLimit &+ 1) }
    guard redirect.insert(Self.headers6, at: network) else { return emitter.drop(redirect, .noBuffer) }
    redirect.icmpHeaderToWrite(at: network + 40)?.set(type: 137, code: 0, rest: 0)
    Self.write(&redirect, at: network + 48, target, original.destination, station, quoted: quoted)
    let size = redirect.length - network - 40
    let pseudo = Checksum.pseudoHeader(
      source: source, destination: original.source, protocol: .icmpv6, length: UInt32(size))
    let checksum = Checksum.complement(pseudo &+ redirect.sum(in: network + 40..<redirect.length))
    redirect.icmpHeaderToWrite(at: network + 40)?.setChecksum(checksum)
    redirect.ipv6HeaderToWrite(at: network)?.set(
      payloadLength: UInt16(size), nextHeader: .icmpv6, hopLimit: 255, source: source, destination: original.source)
    emitter.emit(redirect, to: .redirects)
  }

  private func isOnLink(_ address: IPv6Address) -> Bool {
    if address.isLinkLocal { return true }
    for index in 0..<own6.count where own6[index].contains(address) { return true }
    return false
  }

  /// What a redirect says behind its first eight bytes.
  private static func write(
    _ packet: inout Packet, at offset: Int, _ target: IPv6Address, _ destination: IPv6Address, _ station: MACAddress,
    quoted: Int
  ) {
    var bytes = packet.mutableBytes
    guard bytes.byteCount >= offset + 48 else { return }
    bytes.storeBytes(of: target.high.bigEndian, toByteOffset: offset, as: UInt64.self)
    bytes.storeBytes(of: target.low.bigEndian, toByteOffset: offset + 8, as: UInt64.self)
    bytes.storeBytes(of: destination.high.bigEndian, toByteOffset: offset + 16, as: UInt64.self)
    bytes.storeBytes(of: destination.low.bigEndian, toByteOffset: offset + 24, as: UInt64.self)
    // The target's address: type 2, of 8 bytes.
    bytes.storeBytes(of: (0x0201 << 48 | station.rawValue).bigEndian, toByteOffset: offset + 32, as: UInt64.self)
    // What is quoted: type 4, of so many times 8 bytes.
    let head = 0x04 << 56 | UInt64((quoted + 8) / 8) << 48
    bytes.storeBytes(of: head.bigEndian, toByteOffset: offset + 40, as: UInt64.self)
  }
}
