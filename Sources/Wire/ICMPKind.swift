/// What kind of message ICMP or ICMPv6 carries, as far as sessions are concerned.
@frozen
public enum ICMPKind: UInt8, Hashable, Sendable, CaseIterable {
  /// Asks something, under an identifier.
  case query
  /// Answers a query, under its identifier.
  case reply
  /// Is about a packet, whose beginning it has embedded.
  case error
  /// Anything else, neighbour discovery among it.
  case other

  /// The kind of an ICMP message of this type (RFC 792, 950, 8335). Redirects (5) and source quench (4) are errors.
  @inlinable
  public init(icmp type: UInt8) {
    switch type {
    case 8, 13, 15, 17, 42: self = .query
    case 0, 14, 16, 18, 43: self = .reply
    case 3, 4, 5, 11, 12: self = .error
    default: self = .other
    }
  }

  /// The kind of an ICMPv6 message of this type (RFC 4443, 8335). Redirects (137) are neighbour discovery's.
  @inlinable
  public init(icmpv6 type: UInt8) {
    switch type {
    case 128, 160: self = .query
    case 129, 161: self = .reply
    case 1, 2, 3, 4: self = .error
    default: self = .other
    }
  }

  /// Whether the message has an identifier.
  @inlinable public var hasIdentifier: Bool { self == .query || self == .reply }
}
