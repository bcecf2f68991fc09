/// An Ethernet frame that asks or tells about a neighbour: ARP (RFC 826), a solicitation or an advertisement (RFC 4861,
/// 4.3 and 4.4). It is written without allocating.
public struct NeighbourFrame: Sendable {
  private var storage = InlineArray<86, UInt8>(repeating: 0)
  /// The frame's length in bytes.
  public private(set) var count: Int

  /// Lends the frame's bytes.
  public func withBytes<Result>(_ body: (RawSpan) -> Result) -> Result {
    unsafe body(storage.span.bytes.extracting(0..<count))
  }

  // MARK: ARP

  /// An ARP packet.
  /// - Parameters:
  ///   - operation: 1 asks, 2 answers.
  ///   - destination: Where the frame goes.
  ///   - targetMAC: The target's hardware address; zero where it is not known.
  public init(
    arp operation: UInt16, to destination: MACAddress, senderMAC: MACAddress, senderIP: IPv4Address,
    targetMAC: MACAddress, targetIP: IPv4Address
  ) {
    count = 42
    setEthernet(destination, senderMAC, .arp)
    set(14, 0x0001_0800_0604, bytes: 6)
    set(20, UInt64(operation), bytes: 2)
    set(22, senderMAC.rawValue, bytes: 6)
    set(28, UInt64(senderIP.rawValue), bytes: 4)
    set(32, targetMAC.rawValue, bytes: 6)
    set(38, UInt64(targetIP.rawValue), bytes: 4)
  }

  // MARK: Neighbour Discovery

  /// A solicitation for `target` (RFC 4861, 7.2.2).
  /// - Parameters:
  ///   - mac: The sender's hardware address. From the unspecified address it is not told (RFC 4862, 5.4.2).
  ///   - neighbour: Where it goes, when to the neighbour alone; nil: to the target's solicited-node group.
  public init(soliciting target: IPv6Address, from source: IPv6Address, mac: MACAddress, neighbour: MACAddress? = nil) {
    let hasOption = !source.isUnspecified
    count = hasOption ? 86 : 78
    let destination = neighbour == nil ? target.solicitedNode : target
    setEthernet(neighbour ?? MACAddress(multicast: destination), mac, .ipv6)
    setMessage(135, flags: 0, target, option: hasOption ? (1, mac) : nil)
    setIPv6(from: source, to: destination)
  }

  /// An advertisement of `target`, which overrides what was known of it (RFC 4861, 7.2.4).
  /// - Parameters:
  ///   - destination: Who solicited it; nil: no one, or one without an address: it goes to all nodes.
  ///   - link: Where the frame goes when it has a `destination`.
  ///   - mac: The target's hardware address.
  public init(
    advertising target: IPv6Address, mac: MACAddress, isRouter: Bool, to destination: IPv6Address?, link: MACAddress
  ) {
    count = 86
    let flags: UInt8 = (isRouter ? 0x80 : 0) | (destination == nil ? 0 : 0x40) | 0x20
    setEthernet(destination == nil ? MACAddress(multicast: .allNodes) : link, mac, .ipv6)
    setMessage(136, flags: flags, target, option: (2, mac))
    setIPv6(from: target, to: destination ?? .allNodes)
  }

  // MARK: Layers

  private mutating func setEthernet(_ destination: MACAddress, _ source: MACAddress, _ type: EtherType) {
    set(0, destination.rawValue, bytes: 6)
    set(6, source.rawValue, bytes: 6)
    set(12, UInt64(type.rawValue), bytes: 2)
  }

  private mutating func setMessage(
    _ type: UInt8, flags: UInt8, _ target: IPv6Address, option: (type: UInt8, mac: MACAddress)?
  ) {
    set(54, UInt64(type), bytes: 1)
    set(58, UInt64(flags), bytes: 1)
    set(62, target.high, bytes: 8)
    set(70, target.low, bytes: 8)
    guard let option else { return }
    set(78, UInt64(option.type), bytes: 1)
    set(79, 1, bytes: 1)
    set(80, option.mac.rawValue, bytes: 6)
  }

  private mutating func setIPv6(from source: IPv6Address, to destination: IPv6Address) {
    let length = count - 54
    set(14, 0x6000_0000, bytes: 4)
    set(18, UInt64(length), bytes: 2)
    set(20, 0x3AFF, bytes: 2)
    set(22, source.high, bytes: 8)
    set(30, source.low, bytes: 8)
    set(38, destination.high, bytes: 8)
    set(46, destination.low, bytes: 8)
    let pseudoHeader = Checksum.pseudoHeader(
      source: source, destination: destination, protocol: .icmpv6, length: UInt32(length))
    let message = unsafe Checksum.sum(storage.span.bytes.extracting(54..<count))
    set(56, UInt64(Checksum.complement(pseudoHeader &+ message)), bytes: 2)
  }

  private mutating func set(_ offset: Int, _ value: UInt64, bytes: Int) {
    for index in 0..<bytes {
      storage[offset + index] = UInt8(truncatingIfNeeded: value >> UInt64(8 * (bytes - 1 - index)))
    }
  }
}
