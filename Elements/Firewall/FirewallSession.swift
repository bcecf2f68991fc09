import Tables
import Wire

/// What the firewall remembers of a session: 64 bytes, of which the first 32 are all that its packets need, and lie on
/// the first cache line of an IPv4 session's record.
struct FirewallSession: BitwiseCopyable, Sendable {
  /// Of TCP.
  var tcp: TCPTracker
  /// The zone that it was opened from.
  var from: UInt8
  /// The zone that it was opened to.
  var to: UInt8
  /// Which rules let it in, as the worker counts them.
  var generation: UInt8
  /// Bits of `Mark`.
  var marks: UInt8

  /// When it was opened, in nanoseconds.
  var opened: UInt64
  /// The rule that let it in.
  var rule: UInt32
  /// What is to be added to the server's sequence numbers, modulo 2 to the power of 32, for the client to know them. While
  /// a handshake is being made for the client, the cookie that it was given.
  var shift: UInt32
  /// The port that its first packet came in by.
  var ingress: UInt16
  /// How far the window field of the server's packets is to be shifted for the client: left, or right when negative.
  var windowShift: Int8
  /// The same for the client's packets.
  var clientShift: Int8
  /// Of a handshake that is being made for the client: what it asked for.
  var options: SYNCookies.Options
  /// Of such a handshake: the window that the client advertised.
  var clientWindow: UInt16

  enum Mark {
    /// A packet came back.
    static var replied: UInt8 { 1 }
    /// The firewall made the handshake: sequence numbers are translated.
    static var proxied: UInt8 { 2 }
    /// The firewall is about to: it has sent SYN to the server.
    static var proxying: UInt8 { 4 }
    /// It counts as half open.
    static var halfOpen: UInt8 { 8 }
    /// It counts for its source's limit.
    static var counted: UInt8 { 16 }
  }

  init(tcp: TCPTracker, from: UInt8, to: UInt8, generation: UInt8, rule: UInt32, opened: UInt64, ingress: UInt16) {
    self.tcp = tcp
    self.from = from
    self.to = to
    self.generation = generation
    self.rule = rule
    self.opened = opened
    self.ingress = ingress
    marks = 0
    windowShift = 0
    clientShift = 0
    shift = 0
    options = SYNCookies.Options()
    clientWindow = 0
  }

  @inline(__always)
  func has(_ mark: UInt8) -> Bool { marks & mark != 0 }

  /// The tracker of sessions without TCP.
  static var noTCP: TCPTracker { TCPTracker(opening: TCPSegment(sequence: 0, flags: [])) }
}
