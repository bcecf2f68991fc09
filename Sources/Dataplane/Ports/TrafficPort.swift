import CDPDK
public import Wire

/// What synthesised traffic is like.
public struct TrafficProfile: Sendable {
  /// Frame lengths in bytes, without the frame check sequence, in turn: at most 12, three of them different. What is
  /// shorter than the headers is made as long as they are.
  public var sizes = [60]
  /// How many flows, played one packet each in turn.
  public var flows = 1
  /// 4 or 6.
  public var version = 4
  /// UDP, TCP or ICMP (ICMPv6 for version 6): 17, 6 or 1.
  public var transport = IPProtocol(rawValue: 17)
  /// What source and destination addresses are taken from.
  public var source = IPPrefix.v4(IPv4Prefix(masking: IPv4Address(172, 16, 0, 0), length: 12))
  public var destination = IPPrefix.v4(IPv4Prefix(masking: IPv4Address(10, 0, 0, 0), length: 8))
  /// What ports are taken from; ICMP has its identifier from the source ports.
  public var sourcePorts = PortRange(1024...17407)
  public var destinationPorts = PortRange(80)
  /// Hardware addresses.
  public var sourceMAC = MACAddress(rawValue: 0x0200_0000_00FF)
  public var destinationMAC = MACAddress(rawValue: 0x0200_0000_0001)
  /// VLAN identifier of a tag, if any.
  public var vlan: VLANIdentifier?
  /// Whether UDP over IPv4 has its checksum, which may be left out.
  public var hasChecksum = true
  /// How many packets; nil: without end.
  public var count: UInt64?
  /// At which rate, all queues together; nil: as fast as it goes.
  public var rate: Rate?

  /// Packets or bits a second.
  public enum Rate: Sendable {
    case packets(UInt64)
    case bits(UInt64)
  }

  /// UDP over IPv4 in the shortest frames, one flow, as fast as it goes.
  public init() {}

  /// Length of all headers in bytes.
  public var headerLength: Int {
    14 + (vlan == nil ? 0 : 4) + (version == 4 ? 20 : 40) + (transport.rawValue == 6 ? 20 : 8)
  }
}

extension TrafficProfile {
  /// How many sizes there may be in turn, and how many different ones.
  static let mostSizes = (inTurn: Int(NFV_TRAFFIC_PATTERN), different: Int(NFV_TRAFFIC_SIZES))
  /// The longest frame in bytes.
  static let longestFrame = Int(NFV_TRAFFIC_FRAME)
  /// What a buffer must hold even for shorter frames: these are written 64 bytes at a time.
  static let leastBuffer = 64

  /// Frame lengths as they are made.
  var frameLengths: [Int] { sizes.map { max($0, headerLength) } }
}

/// Receives synthesised packets, and frees what it is sent.
public final class TrafficPort: Port {
  public let number: Int
  public let queues: [any PortQueue]
  private let traffic: [TrafficQueue]

  /// - Throws: When there are more sizes than can be, or a frame is longer than a packet buffer.
  public init(
    _ profile: TrafficProfile, number: Int, queues: Int, pool: PacketPool
  ) throws(EnvironmentError) {
    self.number = number
    let lengths = profile.frameLengths
    let most = TrafficProfile.mostSizes
    guard (1...most.inTurn).contains(lengths.count), Set(lengths).count <= most.different,
      let longest = lengths.max(), longest <= TrafficProfile.longestFrame
    else {
      throw EnvironmentError(
        "frames of \(lengths.map(String.init).joined(separator: ", ")) bytes in turn",
        remedy: "give up to \(most.inTurn) sizes, \(most.different) of them different, of up to "
          + "\(TrafficProfile.longestFrame) bytes")
    }
    let needed = max(longest, TrafficProfile.leastBuffer)
    guard needed <= pool.dataRoom else {
      throw EnvironmentError(
        "frames of \(longest) bytes do not fit into packet buffers of \(pool.dataRoom)",
        remedy: "set 'runtime: { buffer: \(max(needed, 256)) }'")
    }
    traffic = (0..<queues).map { TrafficQueue(profile, number: number, index: $0, of: queues, pool: pool) }
    self.queues = traffic
  }

  public var counters: [ElementCounter] {
    [ElementCounter("noBuffer", traffic.reduce(0) { $0 + $1.noBuffer })]
  }
}

@safe
final class TrafficQueue: PortQueue {
  private let traffic: UnsafeMutablePointer<nfv_traffic>
  private let pool: OpaquePointer
  private let rate: TrafficProfile.Rate?
  private let sizes: [Int]
  private let index: UInt64
  private let share: UInt64
  private let count: UInt64?
  private var sent: UInt64 = 0
  private var bitsSent: UInt64 = 0
  private var start: Instant?
  /// Packets that were given up because there was no buffer for them.
  private(set) var noBuffer: UInt64 = 0

  init(_ profile: TrafficProfile, number: Int, index: Int, of queues: Int, pool: PacketPool) {
    unsafe traffic = .allocate(capacity: 1)
    var profile = profile
    profile.sizes = profile.frameLengths
    profile.flows = max(profile.flows, 1)
    unsafe TrafficTemplates.fill(traffic, profile)
    unsafe traffic.pointee.port = UInt16(truncatingIfNeeded: number)
    let stride = min(queues, profile.flows)
    unsafe traffic.pointee.stride = UInt32(stride)
    unsafe traffic.pointee.first_flow = UInt32(index % stride)
    unsafe traffic.pointee.next_flow = traffic.pointee.first_flow
    unsafe self.pool = pool.pool
    rate = profile.rate
    sizes = profile.sizes
    let share = UInt64(queues)
    self.share = share
    self.index = UInt64(index)
    count = profile.count.map { $0 / share + (UInt64(index) < $0 % share ? 1 : 0) }
  }

  deinit { unsafe traffic.deallocate() }

  var isTimed: Bool { rate != nil || count != nil }
  var hasEnded: Bool { count.map { sent >= $0 } ?? false }
  /// Traffic has no time of its own: it starts when the run does.
  var nextArrival: Instant? { hasEnded ? nil : start?.advanced(by: offset(packets: sent, bits: bitsSent)) }

  func begin(at now: Instant, isLive: Bool) { start = now }

  func skip() -> Bool {
    guard !hasEnded else { return false }
    noBuffer += 1
    bitsSent += bits(ofPacket: sent)
    sent += 1
    unsafe nfv_traffic_skip(traffic)
    return true
  }

  private func bits(ofPacket number: UInt64) -> UInt64 { UInt64(sizes[Int(number % UInt64(sizes.count))]) * 8 }

  /// When the packet behind so many packets and bits of this queue is due after the first one of all: exact, since it
  /// is counted from the start each time. Of `share` queues, each sends every `share`th packet, and its part of the bits.
  private func offset(packets: UInt64, bits: UInt64) -> UInt64 {
    switch rate {
    case nil: 0
    case .packets(let rate): Self.nanoseconds(for: packets * share + index, at: rate)
    case .bits(let rate): Self.nanoseconds(for: bits * share, at: rate)
    }
  }

  private static func nanoseconds(for units: UInt64, at rate: UInt64) -> UInt64 {
    let product = units.multipliedFullWidth(by: 1_000_000_000)
    guard rate > product.high else { return .max }
    return rate.dividingFullWidth(product).quotient
  }

  @unsafe
  func receive(_ slots: UnsafeMutablePointer<PacketSlot>, limit: Int, now: Instant, bytes: inout UInt64) -> Int {
    var wanted = limit
    if let count { wanted = Int(min(UInt64(wanted), count - sent)) }
    if rate != nil { wanted = min(wanted, due(now, limit: wanted)) }
    guard wanted > 0 else { return 0 }
    let written = unsafe Int(nfv_traffic_receive(traffic, slots, UInt16(wanted), pool, &bytes))
    if case .bits = rate {
      for index in 0..<written { bitsSent += unsafe UInt64(slots[index].unsafelyUnwrapped.pointee.packet_length) * 8 }
    }
    sent += UInt64(written)
    return written
  }

  /// How many packets are due at `now`. Those due at one instant come together; behind the clock they catch up.
  private func due(_ now: Instant, limit: Int) -> Int {
    let passed = now.nanoseconds(since: start ?? now)
    var packets = 0
    var bits = bitsSent
    while packets < limit, offset(packets: sent + UInt64(packets), bits: bits) <= passed {
      bits += self.bits(ofPacket: sent + UInt64(packets))
      packets += 1
    }
    return packets
  }

  @unsafe
  func transmit(_ slots: UnsafeMutablePointer<PacketSlot>, count: Int, now: Instant) -> Int {
    unsafe nfv_free(slots, UInt32(count))
    return count
  }
}
