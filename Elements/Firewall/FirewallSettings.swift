import Configuration
import Dataplane
import Tables
import Wire

/// Whether sessions outlive the rules that let them in.
enum PolicyChange: String, SettingChoice, Sendable {
  /// They go on until they end.
  case keep
  /// They end when the new rules would not let them in.
  case reevaluate
}

/// When the firewall answers SYNs itself.
enum SYNProxyMode: String, SettingChoice, Sendable {
  /// When too many connections are half open.
  case automatic
  /// Always.
  case always
  /// Never.
  case never
}

/// How long sessions last after their last packet, in nanoseconds.
struct FirewallTimeouts: Sendable {
  /// By the number of `TCPState`.
  private let tcp: InlineArray<9, UInt64>
  let udp, udpReplied, icmp, other, proxy: UInt64

  init(_ settings: inout Settings) throws(ConfigurationError) {
    func take(_ key: String, _ seconds: Int, _ help: String) throws(ConfigurationError) -> UInt64 {
      try settings.take(
        key, default: .seconds(seconds), in: Duration.seconds(1)...Duration.seconds(100 * 86_400), help
      ).wholeNanoseconds
    }
    let synSent = try take("syn_sent", 30, "TCP: after SYN")
    let synReceived = try take("syn_received", 60, "TCP: after SYN was answered")
    let established = try take("established", 7440, "TCP: between data (RFC 5382, REQ-5)")
    let finWait = try take("fin_wait", 120, "TCP: after one end's FIN")
    let closeWait = try take("close_wait", 240, "TCP: once that is acknowledged")
    let lastAck = try take("last_ack", 60, "TCP: after both ends' FIN")
    let timeWait = try take("time_wait", 60, "TCP: once both are acknowledged")
    let closed = try take("closed", 10, "TCP: after a reset")
    tcp = [synSent, synSent, synReceived, established, finWait, closeWait, lastAck, timeWait, closed]
    udp = try take("udp", 30, "UDP: before there was an answer")
    udpReplied = try take("udp_replied", 180, "UDP: once there was one")
    icmp = try take("icmp", 30, "ICMP queries")
    other = try take("other", 600, "other protocols")
    proxy = synSent
  }

  /// What a TCP connection is given.
  @inline(__always)
  func tcp(_ tracker: TCPTracker) -> UInt64 {
    let timeout = tcp[Int(tracker.state.rawValue)]
    // One end may have gone: ask again in time.
    return tracker.isDoubtful ? min(timeout, tcp[4]) : timeout
  }
}

/// The settings of a `Firewall` but for its rules.
struct FirewallConfiguration: Sendable {
  let zones: FirewallZones
  let timeouts: FirewallTimeouts
  let sessions: Int
  let policyChange: PolicyChange
  let antiSpoofing: Bool
  let pickup: Bool
  let essentialICMPv6: Bool
  let perSource: Int
  let ratePerSource: PacketRate?
  let burstPerSource: Int
  let headers: HeaderPolicy
  let proxy: SYNProxyMode
  let halfOpen: Int
  let segmentSize: Int
  let sources: [IPAddress]
  let rejectLimits: ICMPError.Limits
  let logPath: String?
  let logsTo: Bool
  let logRate: PacketRate

  init(_ settings: inout Settings, _ zones: ZoneSettings) throws(ConfigurationError) {
    self.zones = FirewallZones(zones)
    sessions = try settings.take(
      "sessions", default: 65_536, in: 1...16_777_216, "sessions of each version of IP, and of each worker")
    policyChange = try settings.take(
      "policy_change", default: .reevaluate, "what becomes of sessions when the rules are replaced")
    antiSpoofing = try settings.take(
      "anti_spoofing", default: true, "whether sources must be in the networks of the zone they come from (RFC 3704)")
    pickup = try settings.take(
      "pickup", default: false, "whether TCP connections are taken up whose beginning was not seen")
    essentialICMPv6 = try settings.take(
      "icmpv6", default: true,
      "whether the ICMPv6 that must not be dropped passes without a rule (RFC 4890, 4.3.1, 4.4.1)")
    let limited: Int? = try settings.takeIfPresent(
      "connections_per_source", in: 1...16_777_216, "sessions that one source address may have open")
    perSource = limited ?? 0
    ratePerSource = try settings.takeIfPresent("rate_per_source", "sessions a second that one source address may open")
    burstPerSource = try settings.take(
      "burst_per_source", default: 50, in: 1...1_000_000, "sessions that one source address may open at once")
    if ratePerSource?.packetsPerSecond == 0 {
      settings.reject(settings.range(of: "rate_per_source"), "a rate of nothing", remedy: "give at least 1pps")
    }
    headers = try HeaderPolicy(&settings)
    var mode = SYNProxyMode.automatic
    var threshold = 4096
    var size = 1460
    _ = try settings.takeNested("syn_proxy", "answering SYNs in the place of servers (RFC 4987)") {
      (settings: inout Settings) throws(ConfigurationError) in
      mode = try settings.take("mode", default: .automatic, "when")
      threshold = try settings.take(
        "half_open", default: 4096, in: 1...16_777_216, "half-open connections above which it begins; it ends at half")
      size = try settings.take("mss", default: 1460, in: 216...9000, "the segment size that clients are told, in bytes")
    }
    (proxy, halfOpen, segmentSize) = (mode, threshold, size)
    var addresses: [IPAddress] = []
    var limits: ICMPError.Limits?
    _ = try settings.takeNested("reject", "how senders of rejected packets are told") {
      (settings: inout Settings) throws(ConfigurationError) in
      addresses =
        try settings.takeIfPresent(
          "source", "addresses that ICMP errors come from; the packet's destination when left out")
        ?? []
      limits = try ICMPError.Limits(&settings)
    }
    sources = addresses
    var defaults = Settings(nil, range: nil)
    if let limits { rejectLimits = limits } else { rejectLimits = try ICMPError.Limits(&defaults) }
    var path: String?
    var rate = PacketRate(packetsPerSecond: 10)
    let given: Void? = try settings.takeNested("log", "where rules with 'log: yes' write their lines") {
      (settings: inout Settings) throws(ConfigurationError) in
      let file: FileSetting? = try settings.takeIfPresent("file", "the file; standard output when left out")
      path = file?.path
      rate = try settings.take("rate", default: PacketRate(packetsPerSecond: 10), "lines a second")
    }
    logsTo = given != nil
    (logPath, logRate) = (path, rate)
    var nested: FirewallTimeouts?
    _ = try settings.takeNested("timeouts", "how long sessions last after their last packet") {
      (settings: inout Settings) throws(ConfigurationError) in nested = try FirewallTimeouts(&settings)
    }
    if let nested { timeouts = nested } else { timeouts = try FirewallTimeouts(&defaults) }
  }
}
