import Configuration
import Wire

/// How packets get to a backend.
enum BalancingMode: String, SettingChoice, Sendable {
  /// Destination address and port are translated, and back again in what the backend answers.
  case nat
  /// The packet is left alone; the frame goes to the backend, which has the virtual address itself.
  case dsr
  /// IP in IP (RFC 2003, RFC 2473).
  case ipip
  /// GRE (RFC 2784).
  case gre

  var tunnel: TunnelKind? {
    switch self {
    case .ipip: .ipip
    case .gre: .gre
    case .nat, .dsr: nil
    }
  }
}

/// What is remembered of a connection besides its keys; 16 bytes, so that an IPv4 connection fits a cache line.
struct Connection: BitwiseCopyable, Sendable {
  /// How far a connection is, as its packets show.
  enum Phase: UInt8, Sendable, CaseIterable {
    /// A SYN was seen and nothing behind it.
    case opening
    /// TCP under way.
    case established
    /// A FIN or RST was seen.
    case closing
    /// No TCP.
    case datagrams
    /// No connection, but which backend a client's connections go to.
    case affinity
  }

  /// The backend's slot.
  var backend: UInt16
  /// The slot's serial number when the connection was made; another one means that the backend is gone.
  var serial: UInt16
  /// The service's number.
  var service: UInt16
  var phase: Phase
  /// Packets in both directions that came by; stops at the largest number.
  var packets: UInt32 = 0

  init(backend: UInt16, serial: UInt16, service: UInt16, phase: Phase) {
    self.backend = backend
    self.serial = serial
    self.service = service
    self.phase = phase
  }

  /// Counts a packet.
  mutating func count() { packets &+= packets == .max ? 0 : 1 }

  /// What a packet's TCP flags make of the phase.
  func next(_ flags: TCPFlags) -> Phase {
    if phase == .datagrams || phase == .affinity { return phase }
    if !flags.isDisjoint(with: [.fin, .rst]) { return .closing }
    if phase == .opening && !flags.contains(.syn) { return .established }
    return phase
  }
}

/// How long connections are remembered without packets, in nanoseconds.
struct ConnectionTimeouts: BitwiseCopyable, Sendable {
  let opening, established, closing, datagrams: UInt64

  init(_ settings: inout Settings) throws(ConfigurationError) {
    func take(_ key: String, _ value: Duration, _ help: String) throws(ConfigurationError) -> UInt64 {
      let limits = Duration.milliseconds(1)...Duration.seconds(30 * 86_400)
      return try settings.take(key, default: value, in: limits, help).wholeNanoseconds
    }
    opening = try take("opening", .seconds(60), "TCP connections of which only a SYN was seen")
    established = try take("established", .seconds(3600), "TCP connections")
    closing = try take("closing", .seconds(120), "TCP connections that a FIN or RST was seen of")
    datagrams = try take("datagrams", .seconds(300), "UDP and other protocols")
  }

  func of(_ phase: Connection.Phase) -> UInt64 {
    switch phase {
    case .opening: opening
    case .established: established
    case .closing: closing
    case .datagrams, .affinity: datagrams
    }
  }
}
