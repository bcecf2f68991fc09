import Configuration
public import Dataplane
import Tables
import Wire

/// Which sessions an operation is about.
struct SessionFilter {
  private let source: IPPrefix?
  private let destination: IPPrefix?
  private let number: IPProtocol?
  private let port: UInt16?
  private let state: String?
  private let zone: UInt8?

  static let parameters = [
    OperationParameter("source", "prefix of the address that opened the session"),
    OperationParameter("destination", "prefix of the other address"),
    OperationParameter("protocol", "IP protocol"),
    OperationParameter("port", "one of the ports, or an ICMP identifier"),
    OperationParameter("state", "such as ESTABLISHED, or replied and unreplied where there is no TCP"),
    OperationParameter("zone", "one of the zones"),
  ]

  init(_ request: OperationRequest, _ zones: FirewallZones) throws(ConfigurationError) {
    source = try request.value("source")
    destination = try request.value("destination")
    number = try request.value("protocol")
    port = try request.value("port")
    state = request.arguments["state"]?.lowercased()
    if let name = request.arguments["zone"] {
      guard let index = zones.names.firstIndex(of: name) else {
        throw ConfigurationError(
          nil, "there is no zone '\(name)'", remedy: "zones are \(zones.names.joined(separator: ", "))")
      }
      zone = UInt8(index)
    } else {
      zone = nil
    }
  }

  func matches<Key: FirewallKey>(_ key: Key, _ session: FirewallSession) -> Bool {
    if let source, !source.contains(key.sourceAddress) { return false }
    if let destination, !destination.contains(key.destinationAddress) { return false }
    if let number, number != key.protocol { return false }
    if let port, port != key.sourcePort, port != key.destinationPort { return false }
    if let state, state != session.stateName(key.protocol).lowercased() { return false }
    if let zone, zone != session.from, zone != session.to { return false }
    return true
  }
}

extension FirewallSession {
  /// How far a session has come, in a word.
  func stateName(_ number: IPProtocol) -> String {
    if number == .tcp { return has(Mark.proxying) ? "PROXYING" : tcp.state.name }
    return has(Mark.replied) ? "replied" : "unreplied"
  }
}

/// Where a walk through both tables stands: a record, which table, and how many rows were given.
private struct SessionPosition {
  var record: Int
  var isIPv6: Bool
  var given: Int

  init(_ position: UInt64) {
    record = Int(position & 0xFFFF_FFFF)
    isIPv6 = position >> 32 & 1 != 0
    given = Int(position >> 33)
  }

  var code: UInt64 { UInt64(record) | (isIPv6 ? 1 << 32 : 0) | UInt64(given) << 33 }
}

extension Firewall {
  public static var operations: [OperationDescription] {
    [
      OperationDescription(
        "sessions", "Lists sessions.",
        parameters: SessionFilter.parameters + [OperationParameter("limit", "rows at most; 1000 when left out")]),
      OperationDescription("flush", "Removes sessions.", parameters: SessionFilter.parameters),
      OperationDescription("rules", "Lists rules, and how many packets each decided about."),
      OperationDescription(
        "export", "Lists all that is known of sessions, for 'import'.", parameters: SessionFilter.parameters),
      OperationDescription("import", "Enters sessions that 'export' listed.", takesRows: true),
    ]
  }

  /// Records that are looked at before packets are again.
  private static var recordsAtOnce: Int { 1000 }

  public mutating func perform(
    _ request: OperationRequest, _ answer: inout OperationAnswer, _ context: inout Context
  ) {
    core.now = context.now
    do throws(ConfigurationError) {
      switch request.name {
      case "sessions", "export":
        try list(request, &answer)
      case "flush": try flush(request, &answer)
      case "rules":
        policy.read { policy in
          for row in policy.rows(of: core.worker) {
            answer.row(["rule": row.name, "action": row.action, "packets": "\(row.packets)"])
          }
        }
      case "import":
        enter(request, &answer)
        if core.scheduled != .max { context.wake(at: Instant(nanoseconds: core.scheduled)) }
      default: answer.fail("there is no operation '\(request.name)'")
      }
    } catch {
      answer.fail(error)
    }
  }

  private func list(_ request: OperationRequest, _ answer: inout OperationAnswer) throws(ConfigurationError) {
    let filter = try SessionFilter(request, core.zones)
    let isExport = request.name == "export"
    let limit: Int = isExport ? .max : try request.value("limit") ?? 1000
    var position = SessionPosition(request.position)
    let next =
      position.isIPv6
      ? list(v6, filter, &position, limit, isExport, &answer) : list(v4, filter, &position, limit, isExport, &answer)
    guard position.given < limit else { return }
    if let next {
      position.record = next
    } else if position.isIPv6 {
      return
    } else {
      position.record = 0
      position.isIPv6 = true
    }
    answer.resume(at: position.code)
  }

  private func list<Key: FirewallKey>(
    _ sessions: borrowing FlowTable<Key, FirewallSession>, _ filter: SessionFilter, _ position: inout SessionPosition,
    _ limit: Int, _ isExport: Bool, _ answer: inout OperationAnswer
  ) -> Int? {
    let now = core.now.nanoseconds
    var given = position.given
    let next = sessions.list(from: position.record, records: Self.recordsAtOnce) { flow in
      guard given < limit, flow.deadline > now, filter.matches(flow.key, flow.value) else { return }
      given += 1
      if isExport {
        answer.row(SessionRow.fields(flow.key, flow.value, left: flow.deadline - now, now: now, core.zones))
      } else {
        answer.row(describe(flow.key, flow.value, left: flow.deadline - now, now))
      }
    }
    position.given = given
    return next
  }

  private func describe<Key: FirewallKey>(
    _ key: Key, _ session: FirewallSession, left: UInt64, _ now: UInt64
  ) -> KeyValuePairs<String, String> {
    [
      "protocol": "\(key.protocol)", "source": "\(key.source)", "port": "\(key.sourcePort)",
      "destination": "\(key.destination)", "destination_port": "\(key.destinationPort)",
      "state": session.stateName(key.protocol), "from": core.zones.name(session.from),
      "to": core.zones.name(session.to), "rule": policy.read { $0.label(session.rule) },
      "age": "\((now &- min(session.opened, now)) / 1_000_000_000)s", "expires": "\(left / 1_000_000_000)s",
      "proxied": session.has(FirewallSession.Mark.proxied) ? "yes" : "no",
    ]
  }

  private mutating func flush(
    _ request: OperationRequest, _ answer: inout OperationAnswer
  ) throws(ConfigurationError) {
    let filter = try SessionFilter(request, core.zones)
    var position = SessionPosition(request.position)
    let next =
      position.isIPv6
      ? core.flush(&v6, filter, &position.record, &position.given, Self.recordsAtOnce)
      : core.flush(&v4, filter, &position.record, &position.given, Self.recordsAtOnce)
    if next {
      answer.resume(at: position.code)
    } else if !position.isIPv6 {
      position.isIPv6 = true
      position.record = 0
      answer.resume(at: position.code)
    } else {
      answer.row(["flushed": "\(position.given)"])
    }
  }

  private mutating func enter(_ request: OperationRequest, _ answer: inout OperationAnswer) {
    var entered = 0
    for row in request.rows {
      let isEntered: Bool? =
        row["source"]?.contains(":") == true
        ? SessionRow<IPv6FlowKey>(row, core.zones, now: core.now.nanoseconds).map { core.take($0, &v6) }
        : SessionRow<IPv4FlowKey>(row, core.zones, now: core.now.nanoseconds).map { core.take($0, &v4) }
      guard let isEntered else {
        answer.fail("a row is not one that 'export' gave: \(row.sorted { $0.key < $1.key })")
        return
      }
      if isEntered { entered += 1 }
    }
    answer.row(["entered": "\(entered)", "refused": "\(request.rows.count - entered)"])
  }
}

extension FirewallCore {
  /// Removes sessions among the next records.
  /// - Returns: Whether there are more.
  fileprivate mutating func flush<Key: FirewallKey>(
    _ sessions: inout Sessions<Key>, _ filter: SessionFilter, _ record: inout Int, _ removed: inout Int, _ records: Int
  ) -> Bool {
    var found: [FlowID] = []
    let next = sessions.list(from: record, records: records) { flow in
      if filter.matches(flow.key, flow.value) { found.append(flow.id) }
    }
    for flow in found { end(flow, &sessions) }
    removed += found.count
    record = next ?? 0
    return next != nil
  }

  /// Enters a session that came from elsewhere.
  fileprivate mutating func take<Key: FirewallKey>(_ row: SessionRow<Key>, _ sessions: inout Sessions<Key>) -> Bool {
    guard sessions.find(row.key, now: now.nanoseconds) == nil else { return false }
    var session = row.session
    session.generation = generation
    return enter(row.key, session, until: row.deadline, &sessions) == nil
  }
}

/// A session as rows have it.
private struct SessionRow<Key: FirewallKey> {
  let key: Key
  let session: FirewallSession
  let deadline: UInt64

  static func fields(
    _ key: Key, _ session: FirewallSession, left: UInt64, now: UInt64, _ zones: FirewallZones
  ) -> KeyValuePairs<String, String> {
    [
      "protocol": "\(key.protocol.rawValue)", "source": "\(key.source)", "source_port": "\(key.sourcePort)",
      "destination": "\(key.destination)", "destination_port": "\(key.destinationPort)", "kind": "\(key.zone)",
      "from": zones.name(session.from), "to": zones.name(session.to), "rule": "\(session.rule)",
      "ingress": "\(session.ingress)", "marks": "\(session.marks & FirewallSession.Mark.lasting)",
      "age": "\(now &- min(session.opened, now))", "left": "\(left)", "tcp": session.tcp.text,
      "translation": "\(session.shift) \(session.windowShift) \(session.clientShift)",
    ]
  }

  init?(_ row: [String: String], _ zones: FirewallZones, now: UInt64) {
    func number<T: FixedWidthInteger>(_ name: String, _ type: T.Type = T.self) -> T? { row[name].flatMap { T($0) } }
    guard let protocolNumber: UInt8 = number("protocol"),
      let source = row["source"].flatMap({ Key.address($0) }), let sourcePort: UInt16 = number("source_port"),
      let destination = row["destination"].flatMap({ Key.address($0) }),
      let destinationPort: UInt16 = number("destination_port"), let kind: UInt16 = number("kind"),
      let from = row["from"].flatMap({ zones.number($0) }), let to = row["to"].flatMap({ zones.number($0) }),
      let rule: UInt32 = number("rule"), let ingress: UInt16 = number("ingress"), let marks: UInt8 = number("marks"),
      let age: UInt64 = number("age"), let left: UInt64 = number("left"),
      let tracker = row["tcp"].flatMap({ TCPTracker(text: $0) })
    else { return nil }
    let translation = (row["translation"] ?? "").split(separator: " ").compactMap { Int64($0) }
    guard translation.count == 3, let shift = UInt32(exactly: translation[0]),
      let windowShift = Int8(exactly: translation[1]), let clientShift = Int8(exactly: translation[2]),
      (-14...14).contains(windowShift), (-14...14).contains(clientShift)
    else { return nil }
    key =
      Key(
        source: source, destination: destination, sourcePort: sourcePort, destinationPort: destinationPort,
        protocol: IPProtocol(rawValue: protocolNumber), zone: kind
      ).eitherWay
    var session = FirewallSession(
      tcp: tracker, from: from, to: to, generation: 0, rule: rule, opened: now &- min(age, now), ingress: ingress)
    session.marks = marks & FirewallSession.Mark.lasting
    if protocolNumber == 6, tracker.state.isOpening { session.marks |= FirewallSession.Mark.halfOpen }
    session.shift = shift
    session.windowShift = windowShift
    session.clientShift = clientShift
    self.session = session
    deadline = now.addingReportingOverflow(min(left, 1 << 60)).partialValue
  }
}

extension FirewallSession.Mark {
  /// Marks that mean the same in another table.
  fileprivate static var lasting: UInt8 { replied | proxied }
}

extension FirewallZones {
  /// A zone's name; "-" without zones.
  func name(_ zone: UInt8) -> String { Int(zone) < names.count ? names[Int(zone)] : "-" }

  /// A zone's number by its name.
  func number(_ name: String) -> UInt8? {
    name == "-" && count == 0 ? Self.none : names.firstIndex(of: name).map { UInt8($0) }
  }
}
