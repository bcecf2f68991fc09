/// What is known of every packet on an edge. An input says what it needs, an output what it delivers; the scheduler
/// refuses an edge that delivers less than is needed.
public struct HeaderState: OptionSet, Hashable, Sendable, CustomStringConvertible {
  /// One bit a guarantee.
  public let rawValue: UInt8

  /// A state from its bits.
  public init(rawValue: UInt8) { self.rawValue = rawValue }

  /// An Ethernet frame, of which nothing else is known.
  public static let frame: HeaderState = []
  /// A structurally sound IPv4 or IPv6 packet in an Ethernet frame.
  public static let ip = HeaderState(rawValue: 1)
  /// An IPv4 packet whose version, header length and total length fit the frame (RFC 791, 3.1).
  public static let ipv4 = HeaderState(rawValue: 1 | 2)
  /// An IPv6 packet whose length fits the frame and whose extension headers could be followed (RFC 8200, 4).
  public static let ipv6 = HeaderState(rawValue: 1 | 4)
  /// An ARP packet for IPv4 over Ethernet (RFC 826).
  public static let arp = HeaderState(rawValue: 8)

  static let named: [(name: String, state: HeaderState)] = [
    ("ipv4", .ipv4), ("ipv6", .ipv6), ("ip", .ip), ("arp", .arp), ("frame", .frame),
  ]

  /// The name that reference pages and diagnostics use.
  public var description: String {
    if let exact = Self.named.first(where: { $0.state == self }) { return exact.name }
    return Self.named.filter { $0.state != .frame && isSuperset(of: $0.state) }.map(\.name).joined(separator: "+")
  }
}
