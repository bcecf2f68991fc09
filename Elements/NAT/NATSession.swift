import Tables
import Wire

/// What is kept of a session beside its two keys, the inside's and the outside's. With them it fills a cache line.
struct NATSession: BitwiseCopyable, Sendable {
  /// What times out how.
  enum Kind: UInt8 { case udp, tcp, icmp, other }

  /// The outside port's mapping; nil for hosts with an outside address of their own, and for other protocols.
  private let slotValue: UInt32
  /// The subscriber that it counts for; 0: none.
  let subscriber: UInt32
  private let kindValue: UInt8
  private var tcp: UInt8 = 0
  /// Whether the remote end is an outside address, too.
  let isHairpin: Bool

  init(_ kind: Kind, slot: PortSlot?, subscriber: Int, isHairpin: Bool) {
    slotValue = slot?.rawValue ?? .max
    self.subscriber = UInt32(truncatingIfNeeded: subscriber)
    kindValue = kind.rawValue
    self.isHairpin = isHairpin
  }

  var slot: PortSlot? { slotValue == .max ? nil : PortSlot(rawValue: slotValue) }
  var kind: Kind { Kind(rawValue: kindValue) ?? .other }
  /// Whether packets have a port that is translated.
  var hasPort: Bool { kindValue != Kind.other.rawValue }

  // MARK: TCP

  private static let insideOpened: UInt8 = 1
  private static let outsideOpened: UInt8 = 2
  private static let established: UInt8 = 4
  private static let insideClosed: UInt8 = 8
  private static let outsideClosed: UInt8 = 16
  private static let reset: UInt8 = 32

  /// Whether both ends have opened the connection and it was neither closed by both nor reset (RFC 5382 section 5;
  /// RFC 7857 section 2).
  var isEstablished: Bool {
    let closed = Self.insideClosed | Self.outsideClosed
    return tcp & Self.established != 0 && tcp & closed != closed && tcp & Self.reset == 0
  }

  /// Takes note of a segment.
  mutating func note(_ flags: TCPFlags, fromInside: Bool) {
    if flags.contains(.rst) {
      // The other end may not believe it: what it sends next takes it back (RFC 7857 section 2.2).
      tcp |= Self.reset
      return
    }
    tcp &= ~Self.reset
    let opened = fromInside ? Self.insideOpened : Self.outsideOpened
    if flags.contains(.syn) {
      let closed = Self.insideClosed | Self.outsideClosed
      // The ports are used for another connection.
      if !flags.contains(.ack), tcp & closed == closed { tcp = 0 }
      tcp |= opened
      return
    }
    tcp |= opened
    let both = Self.insideOpened | Self.outsideOpened
    if tcp & both == both { tcp |= Self.established }
    if flags.contains(.fin) { tcp |= fromInside ? Self.insideClosed : Self.outsideClosed }
  }

  /// For lists.
  var state: String {
    guard kind == .tcp else { return "active" }
    if tcp & Self.reset != 0 { return "reset" }
    if tcp & (Self.insideClosed | Self.outsideClosed) != 0 { return isEstablished ? "closing" : "closed" }
    return isEstablished ? "established" : "opening"
  }

  /// The state of a connection that is restored.
  mutating func restore(_ state: String) {
    switch state {
    case "established": tcp = Self.insideOpened | Self.outsideOpened | Self.established
    case "closing": tcp = Self.insideOpened | Self.outsideOpened | Self.established | Self.insideClosed
    case "closed":
      tcp = Self.insideOpened | Self.outsideOpened | Self.established | Self.insideClosed | Self.outsideClosed
    case "reset": tcp = Self.insideOpened | Self.outsideOpened | Self.reset
    default: tcp = Self.insideOpened
    }
  }
}
