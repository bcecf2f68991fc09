import Configuration
import Dataplane
import Synchronization
import Tables
import Wire

/// Something to be logged (RFC 6888 REQ-12; RFC 8158).
struct NATEvent: BitwiseCopyable, Sendable {
  /// What happened, by the number of IPFIX's natEvent.
  enum Kind: UInt8 {
    case portsExhausted = 12
    case quotaExceeded = 13
    case mappingMade = 8
    case mappingEnded = 9
    case blockGiven = 16
    case blockBack = 17
  }

  /// On the worker's clock, in nanoseconds.
  var time: UInt64
  private var kindValue: UInt8
  var `protocol`: UInt8 = 0
  var inside: UInt32 = 0
  var insidePort: UInt16 = 0
  var outside: UInt32 = 0
  /// Of a block: its first port.
  var outsidePort: UInt16 = 0
  var lastPort: UInt16 = 0

  init(_ kind: Kind, _ time: UInt64) {
    self.time = time
    kindValue = kind.rawValue
  }

  var kind: Kind { Kind(rawValue: kindValue) ?? .portsExhausted }
}

/// How events are written.
enum NATLogFormat: String, SettingChoice, Sendable {
  case lines, ipfix
}

/// Writes events to a file beside the packet path: each worker leaves them in a ring of its own, which the control thread
/// empties, or in a replay the worker itself.
final class NATLog: ControlTask, @unchecked Sendable {
  private let format: NATLogFormat
  private let output: TextOutput
  private let lock = Mutex(())
  private let isLive = Atomic(false)
  private var rings: [EventRing<NATEvent>] = []
  private var users = 0
  private var records: UInt32 = 0
  private var messages = 0

  init(_ file: FileSetting, _ format: NATLogFormat) {
    self.format = format
    output = TextOutput(path: file.path)
  }

  /// A worker's ring.
  func makeRing(capacity: Int) -> EventRing<NATEvent> {
    let ring = EventRing<NATEvent>(capacity: capacity)
    lock.withLock { _ in
      rings.append(ring)
      users += 1
    }
    return ring
  }

  /// Called by a worker now and then; empties the rings when nobody else does.
  func attend(_ ring: EventRing<NATEvent>) {
    if ring.isHalfFull, !isLive.load(ordering: .relaxed) { drain() }
  }

  /// Called by a worker that has no more events. Returns what went wrong.
  func leave() -> [String] {
    drain()
    return lock.withLock { _ in
      users -= 1
      return users == 0 ? output.finish() : []
    }
  }

  func begin(_ readers: ReaderDomain?) { isLive.store(true, ordering: .relaxed) }

  func run(_ now: Instant) -> Instant {
    drain()
    return now.advanced(by: 50_000_000)
  }

  private func drain() {
    lock.withLock { _ in
      var events: [NATEvent] = []
      for ring in rings { while let event = ring.pop() { events.append(event) } }
      guard !events.isEmpty else { return }
      switch format {
      case .lines: for event in events { output.write(Self.line(event)) }
      case .ipfix: writeMessages(events)
      }
      if isLive.load(ordering: .relaxed) { output.flush() }
    }
  }

  // MARK: Lines

  private static func line(_ event: NATEvent) -> String {
    let milliseconds = event.time / 1_000_000
    let rest = String(milliseconds % 1000)
    let time = "\(milliseconds / 1000).\(String(repeating: "0", count: 3 - rest.count))\(rest)"
    let number = IPProtocol(rawValue: event.protocol)
    let inside = IPv4Address(rawValue: event.inside)
    let outside = IPv4Address(rawValue: event.outside)
    return switch event.kind {
    case .mappingMade, .mappingEnded:
      "\(time) \(event.kind == .mappingMade ? "map" : "unmap") \(number) \(inside):\(event.insidePort) "
        + "\(outside):\(event.outsidePort)"
    case .blockGiven, .blockBack:
      "\(time) \(event.kind == .blockGiven ? "block" : "unblock") \(inside) "
        + "\(outside):\(event.outsidePort)-\(event.lastPort)"
    case .portsExhausted: "\(time) exhausted \(number) \(inside)"
    case .quotaExceeded: "\(time) limit \(number) \(inside)"
    }
  }

  // MARK: IPFIX

  /// A template of RFC 7011, section 3.4.1: information elements with their lengths.
  private struct Template {
    let number: UInt16
    let fields: [(element: UInt16, length: UInt16)]
  }

  // observationTimeMilliseconds and natEvent begin each.
  private static let mapping = Template(
    number: 256, fields: [(323, 8), (230, 1), (8, 4), (225, 4), (4, 1), (7, 2), (227, 2)])
  private static let block = Template(number: 257, fields: [(323, 8), (230, 1), (8, 4), (225, 4), (361, 2), (362, 2)])
  private static let exhausted = Template(number: 258, fields: [(323, 8), (230, 1), (4, 1)])
  private static let quota = Template(number: 259, fields: [(323, 8), (230, 1), (466, 4), (8, 4)])
  /// "Maximum entries per user" (RFC 8158 section 5.2).
  private static let entriesPerUser: UInt32 = 3
  /// Records of a message; with the longest, no more than 65,535 bytes.
  private static let recordsAtOnce = 1000
  /// Templates are said again once in so many messages.
  private static let templateInterval = 64

  private func writeMessages(_ events: [NATEvent]) {
    for start in stride(from: 0, to: events.count, by: Self.recordsAtOnce) {
      writeMessage(events[start..<min(start + Self.recordsAtOnce, events.count)])
    }
  }

  private func writeMessage(_ events: ArraySlice<NATEvent>) {
    var sets: [UInt8] = messages % Self.templateInterval == 0 ? Self.templateSet : []
    messages += 1
    var open: (number: UInt16, bytes: [UInt8])?
    func close() {
      guard let set = open else { return }
      append(set.number, to: &sets)
      append(UInt16(set.bytes.count + 4), to: &sets)
      sets += set.bytes
    }
    for event in events {
      let number = Self.template(of: event.kind).number
      if open?.number != number {
        close()
        open = (number, [])
      }
      open?.bytes += record(event)
    }
    close()
    var header: [UInt8] = []
    append(UInt16(10), to: &header)
    append(UInt16(16 + sets.count), to: &header)
    append(UInt32(truncatingIfNeeded: (events.last?.time ?? 0) / 1_000_000_000), to: &header)
    append(records, to: &header)
    append(UInt32(1), to: &header)
    output.write(bytes: header + sets)
    records &+= UInt32(events.count)
  }

  private static func template(of kind: NATEvent.Kind) -> Template {
    switch kind {
    case .mappingMade, .mappingEnded: mapping
    case .blockGiven, .blockBack: block
    case .portsExhausted: exhausted
    case .quotaExceeded: quota
    }
  }

  private static var templateSet: [UInt8] {
    var body: [UInt8] = []
    for template in [mapping, block, exhausted, quota] {
      append(template.number, to: &body)
      append(UInt16(template.fields.count), to: &body)
      for field in template.fields {
        append(field.element, to: &body)
        append(field.length, to: &body)
      }
    }
    var set: [UInt8] = []
    append(UInt16(2), to: &set)
    append(UInt16(body.count + 4), to: &set)
    return set + body
  }

  private func record(_ event: NATEvent) -> [UInt8] {
    var bytes: [UInt8] = []
    append(event.time / 1_000_000, to: &bytes)
    bytes.append(event.kind.rawValue)
    switch event.kind {
    case .mappingMade, .mappingEnded:
      append(event.inside, to: &bytes)
      append(event.outside, to: &bytes)
      bytes.append(event.protocol)
      append(event.insidePort, to: &bytes)
      append(event.outsidePort, to: &bytes)
    case .blockGiven, .blockBack:
      append(event.inside, to: &bytes)
      append(event.outside, to: &bytes)
      append(event.outsidePort, to: &bytes)
      append(event.lastPort, to: &bytes)
    case .portsExhausted: bytes.append(event.protocol)
    case .quotaExceeded:
      append(Self.entriesPerUser, to: &bytes)
      append(event.inside, to: &bytes)
    }
    return bytes
  }
}

/// Appends a number in network byte order.
private func append(_ value: some FixedWidthInteger, to bytes: inout [UInt8]) {
  for shift in stride(from: value.bitWidth - 8, through: 0, by: -8) {
    bytes.append(UInt8(truncatingIfNeeded: value >> shift))
  }
}

// What is logged. Mappings are not where hosts have blocks: that is what blocks are for (RFC 6888 section 4).
extension NAT {
  @inline(never)
  mutating func note(_ kind: NATEvent.Kind, _ slot: PortSlot, address: UInt32, port: UInt16, _ now: UInt64) {
    guard settings.blockSize == nil else { return }
    var event = NATEvent(kind, now)
    event.protocol = Self.protocols[slot.space].rawValue
    event.inside = address
    event.insidePort = port
    event.outside = ends.outside(slot.address).rawValue
    event.outsidePort = slot.port
    events?.push(event)
  }

  @inline(never)
  mutating func note(_ kind: NATEvent.Kind, _ block: Int, address: UInt32, _ now: UInt64) {
    let (outside, ports) = pool.layout.ports(of: block)
    var event = NATEvent(kind, now)
    event.inside = address
    event.outside = ends.outside(outside).rawValue
    event.outsidePort = ports.lowerBound
    event.lastPort = ports.upperBound
    events?.push(event)
  }

  /// Logs that something has run out, once a second at most.
  @inline(never)
  mutating func complain(_ reason: Drop, _ key: IPv4FlowKey, _ now: UInt64) {
    guard now >= nextComplaint else { return }
    nextComplaint = now &+ 1_000_000_000
    var event = NATEvent(reason == .subscriberLimit ? .quotaExceeded : .portsExhausted, now)
    event.protocol = key.protocol.rawValue
    event.inside = key.source.rawValue
    events?.push(event)
  }

  @inline(never)
  func attendToLog() {
    if let events { log?.attend(events) }
  }
}
