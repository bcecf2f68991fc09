import CDPDK
import CPacketSocket
public import Wire

/// A network interface of the kernel's, by AF_PACKET rings; every byte that was on the wire, VLAN tags included.
@safe
public final class PacketSocketPort: Port {
  /// How an interface is opened.
  public struct Options: Sendable {
    /// Queues, among which the kernel spreads flows.
    public var queues = 1
    /// Whether frames for other stations are received.
    public var promiscuous = true
    /// Whether consecutive TCP segments are given to the kernel as one, to be cut again by the interface.
    public var coalesce = false

    /// The defaults.
    public init() {}
  }

  public let number: Int
  public let queues: [any PortQueue]
  /// What was noticed when it was opened: that the interface is down, for one.
  public let warnings: [String]
  private let sockets: [PacketSocketQueue]

  /// Opens the interface.
  /// - Throws: `EnvironmentError` that says what is missing and what mends it.
  public init(_ interface: String, number: Int, options: Options, pool: PacketPool) throws(EnvironmentError) {
    self.number = number
    var sockets: [PacketSocketQueue] = []
    var warnings: [String] = []
    var group: UInt16 = 0
    for _ in 0..<options.queues {
      let queue = try PacketSocketQueue(interface, number: number, options: options, group: group, pool: pool)
      group = queue.group
      if let warning = queue.warning, !warnings.contains(warning) { warnings.append(warning) }
      sockets.append(queue)
    }
    self.sockets = sockets
    self.warnings = warnings
    queues = sockets
  }

  /// The interface's hardware address; nil when it is gone.
  public var address: MACAddress? { sockets.first?.address }

  public var counters: [ElementCounter] {
    var sum = nfv_packet_socket_counters()
    for queue in sockets { queue.add(to: &sum) }
    return [
      ElementCounter("kernelDropped", sum.rx_kernel_dropped), ElementCounter("truncated", sum.rx_truncated),
      ElementCounter("malformed", sum.rx_malformed), ElementCounter("gsoUnsupported", sum.rx_gso_unsupported),
      ElementCounter("noBuffer", sum.rx_no_buffer), ElementCounter("tooLong", sum.tx_too_long),
      ElementCounter("down", sum.tx_down), ElementCounter("transmitErrors", sum.tx_errors),
    ]
  }
}

@safe
final class PacketSocketQueue: PortQueue {
  let group: UInt16
  let warning: String?
  private let socket: OpaquePointer
  private let pool: OpaquePointer
  private let number: UInt16
  private var lostBefore: UInt64 = 0

  init(
    _ interface: String, number: Int, options: PacketSocketPort.Options, group: UInt16, pool: PacketPool
  ) throws(EnvironmentError) {
    self.number = UInt16(truncatingIfNeeded: number)
    unsafe self.pool = pool.pool
    var message = [CChar](repeating: 0, count: 512)
    let opened = unsafe interface.withCString { name in
      var settings = unsafe nfv_packet_socket_settings()
      unsafe settings.interface = name
      unsafe settings.promiscuous = options.promiscuous
      unsafe settings.fanout = options.queues > 1
      unsafe settings.fanout_group = group
      unsafe settings.coalesce = options.coalesce
      return unsafe nfv_packet_socket_open(&settings, &message, message.count)
    }
    let text = String(decoding: message.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    guard let opened = unsafe opened else {
      let parts = text.split(separator: ";", maxSplits: 1).map(String.init)
      throw EnvironmentError(
        parts.first ?? "interface '\(interface)' cannot be opened",
        remedy: parts.count > 1 ? String(parts[1].drop { $0 == " " }) : "list interfaces with: ip link")
    }
    unsafe socket = opened
    warning = text.isEmpty ? nil : text
    self.group = unsafe nfv_packet_socket_fanout_group(opened)
  }

  deinit { unsafe nfv_packet_socket_close(socket) }

  var descriptor: Int32? { unsafe nfv_packet_socket_descriptor(socket) }

  var address: MACAddress? {
    var raw: UInt64 = 0
    return unsafe nfv_packet_socket_mac(socket, &raw) ? MACAddress(rawValue: raw) : nil
  }

  func takeLost() -> Int {
    var own = nfv_packet_socket_counters()
    unsafe nfv_packet_socket_counters_read(socket, &own)
    let sum = own.tx_too_long &+ own.tx_down &+ own.tx_errors
    defer { lostBefore = sum }
    return Int(truncatingIfNeeded: sum &- lostBefore)
  }

  func clearError() { _ = unsafe nfv_packet_socket_clear_error(socket) }

  @unsafe
  func receive(_ slots: UnsafeMutablePointer<PacketSlot>, limit: Int, now: Instant, bytes: inout UInt64) -> Int {
    let count = unsafe Int(nfv_packet_socket_receive(socket, slots, UInt16(limit), pool, &bytes))
    for index in 0..<count { unsafe slots[index].unsafelyUnwrapped.pointee.port = number }
    return count
  }

  @unsafe
  func transmit(_ slots: UnsafeMutablePointer<PacketSlot>, count: Int, now: Instant) -> Int {
    unsafe Int(nfv_packet_socket_transmit(socket, slots, UInt16(count)))
  }

  func add(to sum: inout nfv_packet_socket_counters) {
    var own = nfv_packet_socket_counters()
    unsafe nfv_packet_socket_counters_read(socket, &own)
    sum.rx_kernel_dropped += own.rx_kernel_dropped
    sum.rx_truncated += own.rx_truncated
    sum.rx_malformed += own.rx_malformed
    sum.rx_gso_unsupported += own.rx_gso_unsupported
    sum.rx_no_buffer += own.rx_no_buffer
    sum.tx_too_long += own.tx_too_long
    sum.tx_down += own.tx_down
    sum.tx_errors += own.tx_errors
  }
}
