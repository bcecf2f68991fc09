import Dataplane
import Tables

/// Lines about packets that opened a session or were kept from it, at a limited rate.
struct FirewallLog {
  private let path: String?
  private var output: TextOutput
  private var limit: TokenBucket
  /// Lines left out since the last one.
  private var suppressed: UInt64 = 0
  private var isDirty = false

  init(path: String?, rate: UInt64) {
    self.path = path
    output = TextOutput(path: path)
    limit = TokenBucket(rate: rate, burst: max(rate, 1))
  }

  mutating func start(_ worker: Int) {
    // Workers write files of their own: two of them in one would overwrite each other.
    if let path, worker > 0 { output = TextOutput(path: "\(path).\(worker)") }
  }

  /// Writes a line about a packet: time, what became of it, by which rule, from and to which zone, and the packet.
  /// - Returns: Whether there was one to be had.
  @inline(never)
  mutating func write(
    _ packet: borrowing Packet, _ action: String, rule: String, zones: String, at now: Instant
  ) -> Bool {
    guard limit.take(1, now: now.nanoseconds) else {
      suppressed += 1
      return false
    }
    if suppressed > 0 {
      output.write("\(suppressed) lines left out")
      suppressed = 0
    }
    output.write(PacketText.line(packet, at: now, label: "\(action) rule \(rule)\(zones)"))
    isDirty = true
    return true
  }

  mutating func flush() {
    guard isDirty else { return }
    isDirty = false
    output.flush()
  }

  mutating func finish() -> [String] { output.finish() }
}
