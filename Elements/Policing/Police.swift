public import Configuration
public import Dataplane
import Tables
import Wire

/// Colours packets green, yellow or red by how they keep to their rates, and does with each colour what is asked: drops,
/// marks congestion, changes the code point, sets the mark.
///
///     police: { Police: { cir: 10Mbps, cbs: 64KiB, ebs: 64KiB } }
///     - lan -> police -> wan
///
/// Three methods: a single rate with two bursts (RFC 2697), two rates (RFC 2698), and two rates that add up (RFC 4115). What
/// counts are the bytes of IP packets, link headers left out. Buckets are each worker's own: packets that several workers
/// receive can be as many times the rate.
public struct Police: Element {
  /// Why packets are dropped.
  public enum Drop: UInt8, ElementDropReason {
    case green, yellow, red
  }

  public static let about = ElementDescription(
    "Polices and marks packets in three colours by their rates: srTCM, trTCM, RFC 4115.",
    example: """
      elements:
        police:
          Police:
            method: trTCM
            cir: 50Mbps
            cbs: 64KiB
            pir: 100Mbps
            pbs: 128KiB
            yellow: { dscp: af12, ecn: yes }
            red: { drop: yes }
      graph:
        - lan -> police -> wan
      """)

  private enum Method: String, SettingChoice {
    case srTCM, trTCM
    case additive = "RFC4115"
  }

  /// Where the colour that packets come with is read.
  private enum Awareness: String, SettingChoice {
    case off
    /// The drop precedence of assured forwarding (RFC 2597).
    case dscp
    /// 0 is green, 1 yellow, and the rest red.
    case mark
  }

  private struct Action {
    var drops = false
    var marksECN = false
    var dscp: UInt8?
    var mark: UInt32?

    init(drops: Bool) { self.drops = drops }

    init(_ settings: inout Settings, drops usual: Bool) throws(ConfigurationError) {
      drops = try settings.take("drop", default: usual, "drop them")
      marksECN = try settings.take(
        "ecn", default: false,
        "mark congestion where the transport takes it (RFC 3168); such packets are not dropped")
      let dscp: DSCP? = try settings.takeIfPresent("dscp", "the code point that they leave with")
      self.dscp = dscp?.rawValue
      mark = try settings.takeIfPresent("mark", as: Int.self, in: 0...Int(UInt32.max), "the mark that they leave with")
        .map { UInt32(truncatingIfNeeded: $0) }
      if drops, !marksECN, self.dscp != nil || mark != nil {
        settings.warn(nil, "packets that are dropped leave with no mark", remedy: "write 'drop: no', or leave it out")
      }
    }
  }

  private var meter: ThreeColourMeter
  private let awareness: Awareness
  private let overhead: Int
  private let recolours: Bool
  private let actions: InlineArray<3, Action>
  private let packets = Tally(MeterColour.allCases.count)
  private let bytes = Tally(MeterColour.allCases.count)

  public init(_ settings: inout Settings) throws(ConfigurationError) {
    let method = try settings.take(
      "method", default: Method.srTCM, "a single rate (RFC 2697), two (RFC 2698), or two that add up (RFC 4115)")
    let committedRate: DataRate = try settings.take("cir", "committed information rate")
    let committedBurst: DataSize = try settings.take("cbs", "committed burst size")
    let excessBurst: DataSize? = try settings.takeIfPresent("ebs", "excess burst size; of srTCM and RFC4115")
    let excessRate: DataRate? = try settings.takeIfPresent("eir", "excess information rate; of RFC4115")
    let peakRate: DataRate? = try settings.takeIfPresent("pir", "peak information rate; of trTCM")
    let peakBurst: DataSize? = try settings.takeIfPresent("pbs", "peak burst size; of trTCM")
    awareness = try settings.take(
      "aware", default: .off, "the colour that packets come with: none, by drop precedence (RFC 2597), or by the mark")
    overhead = try settings.take(
      "overhead", default: 0, in: 0...64,
      "bytes counted besides each IP packet's own; 18 counts Ethernet's, 38 the whole wire")
    recolours = try settings.take(
      "recolour", default: false, "give packets of assured forwarding the drop precedence of their colour (RFC 2597)")
    var actions = InlineArray<3, Action>(repeating: Action(drops: false))
    for colour in MeterColour.allCases {
      let drops = colour == .red
      let about = "what becomes of \(colour) packets\(drops ? "; they are dropped when left out" : "")"
      let action = try settings.takeNested("\(colour)", about) { (nested: inout Settings) throws(ConfigurationError) in
        try Action(&nested, drops: drops)
      }
      actions[Int(colour.rawValue)] = action ?? Action(drops: drops)
    }
    self.actions = actions

    let wanted: [Method: Set<String>] = [
      .srTCM: ["ebs"], .trTCM: ["pir", "pbs"], .additive: ["eir", "ebs"],
    ]
    for key in ["ebs", "eir", "pir", "pbs"] {
      let isWanted = wanted[method]?.contains(key) == true
      if !isWanted, settings.has(key) {
        settings.reject(
          settings.range(of: key), "'\(key)' is not of \(method.rawValue)",
          remedy: "remove it, or choose another 'method'")
      } else if isWanted, !settings.has(key) {
        settings.reject(nil, "\(method.rawValue) needs '\(key)'", remedy: "give it")
      }
    }
    if method == .trTCM, let peakRate, peakRate.bitsPerSecond < committedRate.bitsPerSecond {
      settings.reject(
        settings.range(of: "pir"), "the peak rate is below the committed one", remedy: "give at least 'cir'")
    }
    Self.check(&settings, committedBurst, excessBurst, peakBurst, method)
    let committed = MeterProfile(rate: committedRate.bitsPerSecond, burst: committedBurst.bits)
    let excess = excessBurst?.bits ?? 0
    let how: ThreeColourMeter.Method =
      switch method {
      case .srTCM: .singleRate(committed: committed, excessBurst: excess)
      case .trTCM:
        .twoRate(
          committed: committed,
          peak: MeterProfile(rate: peakRate?.bitsPerSecond ?? 0, burst: peakBurst?.bits ?? 0))
      case .additive:
        .additive(committed: committed, excess: MeterProfile(rate: excessRate?.bitsPerSecond ?? 0, burst: excess))
      }
    meter = ThreeColourMeter(how)
  }

  /// Bursts that no packet, or not every packet, fits in.
  private static func check(
    _ settings: inout Settings, _ committed: DataSize, _ excess: DataSize?, _ peak: DataSize?, _ method: Method
  ) {
    if method == .srTCM, committed.bytes == 0, excess?.bytes == 0 {
      settings.reject(
        settings.range(of: "cbs"), "bursts of nothing", remedy: "give one of 'cbs' and 'ebs' (RFC 2697, 2)")
    }
    for (key, burst) in [("cbs", committed), ("pbs", peak ?? committed)] where method == .trTCM && burst.bytes == 0 {
      settings.reject(settings.range(of: key), "a burst of nothing", remedy: "give more than 0 (RFC 2698, 2)")
    }
    for (key, burst) in [("cbs", committed), ("ebs", excess), ("pbs", peak)] {
      if let bytes = burst?.bytes, bytes > 0, bytes < usualPacket {
        settings.warn(
          settings.range(of: key), "packets longer than the burst never conform",
          remedy: "give at least \(usualPacket) bytes")
      }
    }
  }

  /// The longest IP packet that Ethernet carries by default, in bytes.
  private static let usualPacket: UInt64 = 1500

  public var counters: [ElementCounter] {
    MeterColour.allCases.flatMap { colour in
      [
        ElementCounter("\(colour)", packets[Int(colour.rawValue)]),
        ElementCounter("\(colour)Bytes", bytes[Int(colour.rawValue)]),
      ]
    }
  }

  public mutating func process(_ batch: inout PacketBatch<Self>, _ context: inout Context) {
    let now = context.now.nanoseconds
    batch.forEach { packet in
      let size = Self.size(packet) &+ overhead
      let colour = meter.colour(UInt64(size) &* 8, arriving: arriving(packet), now: now)
      packets.add(1, to: Int(colour.rawValue))
      bytes.add(UInt64(size), to: Int(colour.rawValue))
      return act(&packet, colour)
    }
  }

  /// The bytes behind the link header.
  private static func size(_ packet: borrowing Packet) -> Int {
    packet.networkLength ?? max(packet.length - 14 - packet.vlanTagCount * 4, 0)
  }

  private func arriving(_ packet: borrowing Packet) -> MeterColour {
    switch awareness {
    case .off: return .green
    case .mark: return packet.mark == 0 ? .green : packet.mark == 1 ? .yellow : .red
    case .dscp:
      switch AssuredForwarding.precedence(of: Self.trafficClass(packet) >> 2) {
      case 2: return .yellow
      case 3: return .red
      default: return .green
      }
    }
  }

  private static func trafficClass(_ packet: borrowing Packet) -> UInt8 {
    if let ip = packet.ipv4 { return ip.trafficClass }
    return packet.ipv6?.trafficClass ?? 0
  }

  private func act(_ packet: inout Packet, _ colour: MeterColour) -> Verdict<SoleOutput> {
    let action = actions[Int(colour.rawValue)]
    let before = Self.trafficClass(packet)
    var after = before
    if recolours, AssuredForwarding.precedence(of: before >> 2) != nil {
      after = after & 0b1110_0111 | (colour.rawValue + 1) << 3
    }
    if let dscp = action.dscp { after = dscp << 2 | after & 3 }
    // ECT(0) and ECT(1) become CE; what is CE already is marked.
    let takesMark = before & 3 != 0
    if action.marksECN && takesMark { after |= 3 }
    if action.drops && !(action.marksECN && takesMark) { return .drop(Self.reason(colour)) }
    if let mark = action.mark { packet.mark = mark }
    guard after != before, packet.isIPv4 || packet.isIPv6 else { return .forward(.output) }
    guard packet.makeWritable() else { return .drop(.noBuffer) }
    packet.mutableIPv4?.setTrafficClass(after)
    packet.mutableIPv6?.setTrafficClass(after)
    return .forward(.output)
  }

  private static func reason(_ colour: MeterColour) -> Drop {
    switch colour {
    case .green: .green
    case .yellow: .yellow
    case .red: .red
    }
  }
}

/// Code points of assured forwarding (RFC 2597, section 6).
private enum AssuredForwarding {
  /// The drop precedence of a code point, 1 to 3; nil when it is not of assured forwarding.
  static func precedence(of dscp: UInt8) -> UInt8? {
    let precedence = dscp >> 1 & 3
    return (1...4).contains(dscp >> 3) && dscp & 1 == 0 && precedence != 0 ? precedence : nil
  }
}

extension DataSize {
  /// The size in bits; as many as can be counted when there are more.
  fileprivate var bits: UInt64 {
    let (bits, overflow) = bytes.multipliedReportingOverflow(by: 8)
    return overflow ? .max : bits
  }
}
