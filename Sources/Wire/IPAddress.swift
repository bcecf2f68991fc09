/// An address of either version of IP.
@frozen
public enum IPAddress: Hashable, Sendable, Comparable, LosslessStringConvertible {
  /// An IPv4 address.
  case v4(IPv4Address)
  /// An IPv6 address.
  case v6(IPv6Address)

  /// Reads what `IPv4Address` or `IPv6Address` reads.
  public init?(_ text: some StringProtocol) {
    if let address = IPv4Address(text) {
      self = .v4(address)
    } else if let address = IPv6Address(text) {
      self = .v6(address)
    } else {
      return nil
    }
  }

  /// Whether this is a multicast address of its version.
  @inlinable
  public var isMulticast: Bool {
    switch self {
    case .v4(let address): address.isMulticast
    case .v6(let address): address.isMulticast
    }
  }

  /// The address as its version prints it.
  public var description: String {
    switch self {
    case .v4(let address): address.description
    case .v6(let address): address.description
    }
  }
}

extension Sequence where Element == IPAddress {
  /// Those of version 4, in order.
  public var v4: [IPv4Address] { compactMap { if case .v4(let address) = $0 { address } else { nil } } }
  /// Those of version 6, in order.
  public var v6: [IPv6Address] { compactMap { if case .v6(let address) = $0 { address } else { nil } } }
}
