import Configuration
import Tables
import Wire

/// Outside addresses as they are configured: one, a prefix, or a range.
struct AddressRange: SettingValue, Hashable, Sendable {
  let first: IPv4Address
  let last: IPv4Address
  /// Where it is written.
  let range: SourceRange?

  static var schema: ValueSchema {
    ValueSchema("IPv4 address, prefix or range", example: "203.0.113.8-203.0.113.15")
  }
  static var placeholder: AddressRange {
    AddressRange(first: IPv4Address(203, 0, 113, 1), last: IPv4Address(203, 0, 113, 1), range: nil)
  }
  var settingText: String { first == last ? "\(first)" : "\(first)-\(last)" }
  var count: Int { Int(last.rawValue) - Int(first.rawValue) + 1 }

  init(first: IPv4Address, last: IPv4Address, range: SourceRange?) {
    self.first = first
    self.last = last
    self.range = range
  }

  init(setting node: YAMLNode, context: SettingContext) throws(ConfigurationError) {
    let text = node.scalar ?? ""
    let parts = text.split(separator: "-", omittingEmptySubsequences: false)
    if parts.count == 2, let first = IPv4Address(parts[0]), let last = IPv4Address(parts[1]) {
      guard first <= last else { throw node.error("\(node.typeName) ends before it begins", "write \(last)-\(first)") }
      self.init(first: first, last: last, range: node.range)
    } else {
      let prefix = try IPv4Prefix(setting: node, context: context)
      self.init(first: prefix.address, last: prefix.lastAddress, range: node.range)
    }
  }
}

/// Which packets from the outside a mapping lets in (RFC 4787 section 5).
enum NATFiltering: String, SettingChoice, Sendable {
  case endpointIndependent = "endpoint-independent"
  case addressDependent = "address-dependent"
  case addressAndPortDependent = "address-and-port-dependent"
}

/// What becomes of packets to an outside address that stand for nothing.
enum UnmappedPolicy: String, SettingChoice, Sendable {
  case refuse, drop, pass
}

/// What becomes of packets of protocols without ports.
enum OtherProtocolPolicy: String, SettingChoice, Sendable {
  /// The address alone is translated, as long as no other host talks to the same remote address.
  case address
  case drop, pass
}

/// What becomes of packets from the inside for which there is no port left.
enum ExhaustionPolicy: String, SettingChoice, Sendable {
  case drop, refuse
}

/// The protocols of a port forward.
enum ForwardedProtocol: String, SettingChoice, Sendable {
  case tcp, udp
}

/// An inside host or port that always has the same outside.
struct StaticEntry: Sendable {
  let inside: IPv4Address
  let outside: IPv4Address
  /// TCP's space, or UDP's; nil: all of the address.
  let space: Int?
  let insidePort: UInt16
  let outsidePort: UInt16
}

/// Everything that `NAT` is told.
struct NATSettings: Sendable {
  /// Spaces of ports, by protocol.
  static let tcp = 0
  static let udp = 1
  static let icmp = 2

  struct Timeouts: Sendable {
    var udp: UInt64
    var tcp: UInt64
    var transitory: UInt64
    var icmp: UInt64
    var other: UInt64
  }

  /// Addresses that ports are handed out of.
  var pool: [IPv4Address] = []
  /// Those, and behind them the ones that only static entries use.
  var addresses: [IPv4Address] = []
  var insides: [IPv4Prefix] = []
  var ports = PortRange(1024...65_535)
  var filtering: NATFiltering = .endpointIndependent
  var isPaired = true
  var preservesPorts = true
  var unmapped: UnmappedPolicy = .refuse
  var others: OtherProtocolPolicy = .address
  var exhausted: ExhaustionPolicy = .drop
  var statics: [StaticEntry] = []
  var sessions = 65_536
  var sessionLimit = 0
  var mappingLimit = 0
  var subscribers = 65_536
  var heldLimit = 256
  var quarantine: UInt64 = 0
  var blockSize: Int?
  var blockLimit = 0
  var isDeterministic = false
  var picksUp = true
  var inboundRefresh = false
  var segmentSize: UInt16 = 0
  var timeouts = Timeouts(udp: 0, tcp: 0, transitory: 0, icmp: 0, other: 0)

  init(_ settings: inout Settings) throws(ConfigurationError) {
    let ranges: [AddressRange] = try settings.take("outside", "addresses that inside hosts share", shorthand: true)
    insides =
      try settings.takeIfPresent("inside", "sources that are translated; all but outside addresses when left out")
      ?? []
    ports = try settings.take(
      "ports", default: ports, "outside ports; identifiers of ICMP queries are any, but with blocks")
    filtering = try settings.take("filtering", default: filtering, "which packets from outside a mapping lets in")
    isPaired = try settings.take(
      "paired", default: true, "whether an inside host keeps its outside address even when that has no ports left")
    preservesPorts = try settings.take("preserve_ports", default: true, "whether the inside port is tried first")
    unmapped = try settings.take(
      "unmapped", default: .refuse,
      "packets to an outside address that stand for nothing; ICMP queries to it always pass")
    others = try settings.take("other_protocols", default: .address, "packets of protocols without ports")
    exhausted = try settings.take("exhausted", default: .drop, "packets from inside for which no port is left")
    sessions = try settings.take("sessions", default: sessions, in: 16...100_000_000, "sessions for each worker")
    subscribers = try settings.take(
      "subscribers", default: subscribers, in: 1...100_000_000, "inside hosts with mappings for each worker")
    mappingLimit = try settings.take(
      "mappings_per_subscriber", default: 0, in: 0...1_000_000, "mappings of one inside host; 0: no limit")
    sessionLimit = try settings.take(
      "sessions_per_subscriber", default: 0, in: 0...1_000_000, "sessions of one inside host; 0: no limit")
    heldLimit = try settings.take(
      "held_syns", default: heldLimit, in: 1...65_536, "unsolicited TCP SYNs held at once, for 6 seconds each")
    let rest = try settings.take(
      "quarantine", default: .seconds(120), in: .seconds(0)...Duration.seconds(86_400),
      "how long a port rests after use")
    quarantine = rest.wholeNanoseconds
    picksUp = try settings.take(
      "pickup", default: true, "whether TCP connections are translated whose beginning was not seen")
    inboundRefresh = try settings.take(
      "inbound_refresh", default: false, "whether packets from outside keep UDP and ICMP sessions alive")
    let segment: Int? = try settings.takeIfPresent(
      "mss", in: 64...65_535, "largest maximum segment size in bytes that TCP SYNs may announce")
    segmentSize = UInt16(segment ?? 0)
    try readBlocks(&settings)
    timeouts =
      try settings.takeNested("timeouts", "how long sessions live without packets", Self.readTimeouts)
      ?? Self.defaultTimeouts
    try readAddresses(ranges, &settings)
    try readStatics(&settings)
    checkPorts(&settings)
  }

  private static let defaultTimeouts = Timeouts(
    udp: 300 * second, tcp: 7440 * second, transitory: 240 * second, icmp: 60 * second, other: 600 * second)
  private static let second: UInt64 = 1_000_000_000

  private static func readTimeouts(_ settings: inout Settings) throws(ConfigurationError) -> Timeouts {
    let limits = Duration.seconds(1)...Duration.seconds(86_400)
    let isShort = try settings.take(
      "short", default: false, "whether times may be shorter than RFC 4787, 5382 and 5508 allow")
    var timeouts = defaultTimeouts
    func take(
      _ key: String, _ seconds: Int, least: Int, _ help: String
    ) throws(ConfigurationError) -> UInt64 {
      let value = try settings.take(key, default: .seconds(seconds), in: limits, help)
      if value < .seconds(least), !isShort {
        settings.reject(
          settings.range(of: key), "'\(key)' is under the \(least)s that RFCs allow",
          remedy: "give \(least)s or more, or set 'short: yes'")
      }
      return value.wholeNanoseconds
    }
    timeouts.udp = try take("udp", 300, least: 120, "UDP (RFC 4787 REQ-5)")
    timeouts.tcp = try take("tcp", 7440, least: 7440, "TCP connections that are established (RFC 5382 REQ-5)")
    timeouts.transitory = try take(
      "tcp_transitory", 240, least: 240, "TCP connections that begin or end (RFC 5382 REQ-5)")
    timeouts.icmp = try take("icmp", 60, least: 60, "ICMP queries (RFC 5508 REQ-2)")
    timeouts.other = try take("other", 600, least: 1, "protocols without ports")
    return timeouts
  }

  private mutating func readBlocks(_ settings: inout Settings) throws(ConfigurationError) {
    let blocks = try settings.takeNested("blocks", "has inside hosts get ports in blocks of their own") {
      (nested: inout Settings) throws(ConfigurationError) -> (Int, Int, Bool) in
      let size = try nested.take("size", default: 512, in: 64...16_384, "ports of a block, a power of two")
      if size & (size - 1) != 0 {
        nested.reject(
          nested.range(of: "size"), "'size' is \(size), which is no power of two", remedy: "give 64, 128, 256, 512, ..."
        )
      }
      let limit = try nested.take("limit", default: 4, in: 1...64, "blocks of one inside host")
      let fixed = try nested.take(
        "deterministic", default: false, "whether an inside host's one block follows from its address (RFC 7422)")
      return (size, limit, fixed)
    }
    guard let blocks else { return }
    blockSize = blocks.0 & (blocks.0 - 1) == 0 ? blocks.0 : 512
    isDeterministic = blocks.2
    blockLimit = isDeterministic ? 1 : blocks.1
    if isDeterministic, insides.isEmpty {
      settings.reject(
        settings.range(of: "blocks"), "deterministic blocks need to know the inside hosts",
        remedy: "list their prefixes in 'inside'")
    }
  }

  private mutating func readAddresses(
    _ ranges: [AddressRange], _ settings: inout Settings
  ) throws(ConfigurationError) {
    if ranges.isEmpty {
      settings.reject(settings.range(of: "outside"), "there is no outside address", remedy: "give one at least")
    }
    for (index, range) in ranges.enumerated() {
      if let other = ranges[..<index].first(where: { $0.first <= range.last && range.first <= $0.last }) {
        settings.reject(
          range.range, "\(range.settingText) overlaps with \(other.settingText)", remedy: "list each address once")
      }
    }
    let count = ranges.reduce(0) { $0 + $1.count }
    guard count <= PortPool.addressLimit else {
      settings.reject(
        settings.range(of: "outside"), "there are \(count) outside addresses, more than \(PortPool.addressLimit)",
        remedy: "use several elements")
      pool = ranges.first.map { [$0.first] } ?? []
      addresses = pool
      return
    }
    pool = ranges.flatMap { range in (range.first.rawValue...range.last.rawValue).map { IPv4Address(rawValue: $0) } }
    if let wrong = pool.first(where: { $0.isMulticast || $0.isUnspecified || $0.isLimitedBroadcast || $0.isLoopback }) {
      settings.reject(
        settings.range(of: "outside"), "\(wrong) is no address of a host", remedy: "give addresses that are routed here"
      )
    }
    addresses = pool
  }

  private mutating func readStatics(_ settings: inout Settings) throws(ConfigurationError) {
    let pool = Set(pool)
    var read: [StaticEntry] = []
    _ = try settings.takeEach("static", "inside hosts, or ports of theirs, that always have the same outside") {
      (nested: inout Settings) throws(ConfigurationError) in
      let inside: IPv4Address = try nested.take("inside", "the inside host")
      let outside: IPv4Address = try nested.take("outside", "its outside address; without ports, its alone")
      let port: Int? = try nested.takeIfPresent("port", in: 1...65_535, "the outside port; all of them when left out")
      let insidePort: Int? = try nested.takeIfPresent(
        "inside_port", in: 1...65_535, "the inside port; the same when left out")
      let protocols: [ForwardedProtocol] =
        try nested.takeIfPresent("protocol", "protocols of the port; both when left out") ?? [.tcp, .udp]
      var entries: [StaticEntry] = []
      if let port {
        entries = protocols.map {
          StaticEntry(
            inside: inside, outside: outside, space: $0 == .tcp ? Self.tcp : Self.udp,
            insidePort: UInt16(insidePort ?? port), outsidePort: UInt16(port))
        }
      } else {
        if insidePort != nil {
          nested.reject(nested.range(of: "inside_port"), "there is no outside port to it", remedy: "add 'port'")
        }
        if pool.contains(outside) {
          nested.reject(
            nested.range(of: "outside"), "\(outside) is shared by inside hosts",
            remedy: "take it out of 'outside', or add 'port'")
        }
        entries = [StaticEntry(inside: inside, outside: outside, space: nil, insidePort: 0, outsidePort: 0)]
      }
      for entry in entries {
        if let other = read.first(where: { Self.collide(entry, $0) }) {
          let ends = entry.space == nil ? "\(entry.outside)" : "\(entry.outside):\(entry.outsidePort)"
          nested.reject(
            nil,
            entry.inside == other.inside && !Self.sharesOutside(entry, other)
              ? "\(entry.inside) has another outside already" : "\(ends) stands for \(other.inside) already",
            remedy: "remove one of the two")
        }
      }
      read += entries
    }
    statics = read
    for entry in read where entry.space != nil && !addresses.contains(entry.outside) { addresses.append(entry.outside) }
    if addresses.count > PortPool.addressLimit {
      settings.reject(
        settings.range(of: "static"), "there are more than \(PortPool.addressLimit) outside addresses",
        remedy: "use several elements")
      addresses = Array(addresses.prefix(PortPool.addressLimit))
    }
  }

  private static func sharesOutside(_ left: StaticEntry, _ right: StaticEntry) -> Bool {
    left.outside == right.outside
      && (left.space == nil || right.space == nil || left.space == right.space && left.outsidePort == right.outsidePort)
  }

  private static func collide(_ left: StaticEntry, _ right: StaticEntry) -> Bool {
    if sharesOutside(left, right) { return true }
    guard left.inside == right.inside else { return false }
    if left.space == nil, right.space == nil { return true }
    return left.space != nil && left.space == right.space && left.insidePort == right.insidePort
  }

  private func checkPorts(_ settings: inout Settings) {
    let layout = layout(slice: 0, of: 1)
    if ports.upperBound == 0 || blockSize != nil && layout.blocksPerAddress == 0 {
      settings.reject(
        settings.range(of: ports.upperBound == 0 ? "ports" : "blocks"),
        "the outside addresses have no ports to hand out",
        remedy: "widen 'ports', such as 1024-65535")
    }
    if isDeterministic {
      let blocks = layout.blocksPerAddress * pool.count
      let hosts = insides.reduce(0) { $0 + 1 << (32 - Int($1.length)) }
      if hosts > blocks {
        settings.reject(
          settings.range(of: "blocks"), "there are \(hosts) inside hosts, but \(blocks) blocks of ports",
          remedy: "make blocks smaller, or add outside addresses")
      }
    }
  }

  /// The block that follows from an inside host's address (RFC 7422 section 2): hosts get blocks in turn.
  func block(of address: IPv4Address) -> Int? {
    var before = 0
    for prefix in insides {
      if prefix.contains(address) { return before + Int(address.rawValue - prefix.address.rawValue) }
      before += 1 << (32 - Int(prefix.length))
    }
    return nil
  }

  func layout(slice: Int, of slices: Int) -> PortPool.Layout {
    PortPool.Layout(
      addresses: max(pool.count, 1), ports: max(ports.lowerBound, 1)...max(ports.upperBound, 1), spaces: 3,
      wholeSpace: Self.icmp,
      blockSize: blockSize,
      subscribers: blockSize == nil ? 0 : subscribers + 1, quarantine: quarantine, slice: slice, slices: slices)
  }
}
