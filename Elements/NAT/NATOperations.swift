import Configuration
public import Dataplane
import Tables
import Wire

// What `nfvrun ctl` can ask.
extension NAT {
  private static var filters: [OperationParameter] {
    [
      OperationParameter("inside", "those of this inside address"),
      OperationParameter("outside", "those of this outside address"),
      OperationParameter("protocol", "tcp, udp or icmp"),
    ]
  }

  public static var operations: [OperationDescription] {
    [
      OperationDescription(
        "mappings", "Lists mappings.",
        parameters: filters + [OperationParameter("limit", "how many at most, of a worker")]),
      OperationDescription(
        "sessions", "Lists sessions.",
        parameters: filters + [OperationParameter("limit", "how many at most, of a worker")]),
      OperationDescription("export", "Lists sessions so that 'import' can restore them."),
      OperationDescription("import", "Restores sessions and their mappings.", takesRows: true),
      OperationDescription("flush", "Ends sessions, and with them mappings.", parameters: filters),
    ]
  }

  private struct Filter {
    var inside: IPv4Address?
    var outside: IPv4Address?
    var `protocol`: IPProtocol?
    /// How many more may be listed: counted along in the upper half of the position.
    var limit = Int.max

    init(_ request: OperationRequest) throws(ConfigurationError) {
      inside = try request.value("inside", as: IPv4Address.self)
      outside = try request.value("outside", as: IPv4Address.self)
      `protocol` = try request.value("protocol", as: IPProtocol.self)
      limit = try request.value("limit", as: Int.self) ?? .max
    }

    func matches(_ inside: IPv4Address, _ outside: IPv4Address, _ number: IPProtocol) -> Bool {
      (self.inside ?? inside) == inside && (self.outside ?? outside) == outside && (`protocol` ?? number) == number
    }
  }

  public mutating func perform(
    _ request: OperationRequest, _ answer: inout OperationAnswer, _ context: inout Context
  ) {
    do throws(ConfigurationError) {
      switch request.name {
      case "mappings": listMappings(request, try Filter(request), &answer)
      case "sessions", "export": listSessions(request, try Filter(request), context.now.nanoseconds, &answer)
      case "import": restore(request.rows, context.now.nanoseconds, &answer)
      case "flush": flush(request, try Filter(request), context.now.nanoseconds, &answer)
      default: answer.fail("there is no operation '\(request.name)'")
      }
    } catch {
      answer.fail(error)
    }
  }

  /// By space of ports.
  static let protocols: [IPProtocol] = [.tcp, IPProtocol(rawValue: 17), .icmp]

  /// Slots looked at in one go.
  private static var slotsAtOnce: Int { 16_384 }

  private func listMappings(_ request: OperationRequest, _ filter: Filter, _ answer: inout OperationAnswer) {
    var index = Int(request.position & 0xFFFF_FFFF)
    var listed = Int(request.position >> 32)
    let all = settings.addresses.count << 18
    let end = min(all, index + Self.slotsAtOnce)
    while index < end, listed < filter.limit {
      let slot = PortSlot(rawValue: UInt32(index))
      index += 1
      guard slot.space < 3, let mapping = mappings[slot] else { continue }
      let inside = IPv4Address(rawValue: mapping.insideAddress)
      let outside = ends.outside(slot.address)
      let number = Self.protocols[slot.space]
      // A static entry is known to all workers, and told of by the one that it belongs to.
      guard filter.matches(inside, outside, number), !mapping.isStatic || owner(of: inside) == worker else { continue }
      listed += 1
      answer.row([
        "protocol": "\(number)", "inside": "\(inside)", "inside_port": "\(mapping.insidePort)",
        "outside": "\(outside)", "outside_port": "\(slot.port)", "sessions": "\(mapping.uses)",
        "kind": mapping.isStatic ? "static" : "dynamic",
      ])
    }
    if index < all, listed < filter.limit { answer.resume(at: UInt64(listed) << 32 | UInt64(index)) }
  }

  private func listSessions(
    _ request: OperationRequest, _ filter: Filter, _ now: UInt64, _ answer: inout OperationAnswer
  ) {
    var listed = Int(request.position >> 32)
    let next = sessions.list(from: Int(request.position & 0xFFFF_FFFF), records: 1000) { flow in
      guard let outside = flow.secondKey, flow.deadline > now, listed < filter.limit,
        filter.matches(flow.key.source, outside.destination, flow.key.protocol)
      else { return }
      listed += 1
      answer.row([
        "protocol": "\(flow.key.protocol)", "inside": "\(flow.key.source)", "inside_port": "\(flow.key.sourcePort)",
        "outside": "\(outside.destination)", "outside_port": "\(outside.destinationPort)",
        "remote": "\(flow.key.destination)", "remote_port": "\(flow.key.destinationPort)",
        "state": flow.value.state, "seconds": "\((flow.deadline - now) / 1_000_000_000)",
      ])
    }
    if let next, listed < filter.limit { answer.resume(at: UInt64(listed) << 32 | UInt64(next)) }
  }

  private mutating func flush(
    _ request: OperationRequest, _ filter: Filter, _ now: UInt64, _ answer: inout OperationAnswer
  ) {
    var ended: [FlowTable<IPv4FlowKey, NATSession>.Flow] = []
    let next = sessions.list(from: Int(request.position), records: 1000) { flow in
      if let outside = flow.secondKey, filter.matches(flow.key.source, outside.destination, flow.key.protocol) {
        ended.append(flow)
      }
    }
    for flow in ended {
      sessions.remove(flow.id)
      end(flow, now)
    }
    if let next { answer.resume(at: UInt64(next)) }
  }

  // MARK: Restoring

  /// A row of `export`.
  private struct Saved {
    let number: IPProtocol
    let inside, outside, remote: IPv4Address
    let insidePort, outsidePort, remotePort: UInt16
    let state: String
    let seconds: UInt64

    init?(_ row: [String: String]) {
      guard let number = row["protocol"].flatMap({ IPProtocol($0) }),
        let inside = row["inside"].flatMap({ IPv4Address($0) }),
        let outside = row["outside"].flatMap({ IPv4Address($0) }),
        let remote = row["remote"].flatMap({ IPv4Address($0) }),
        let insidePort = row["inside_port"].flatMap({ UInt16($0) }),
        let outsidePort = row["outside_port"].flatMap({ UInt16($0) }),
        let remotePort = row["remote_port"].flatMap({ UInt16($0) }), let state = row["state"],
        let seconds = row["seconds"].flatMap({ UInt64($0) }), seconds <= 86_400
      else { return nil }
      (self.number, self.inside, self.outside, self.remote) = (number, inside, outside, remote)
      (self.insidePort, self.outsidePort, self.remotePort) = (insidePort, outsidePort, remotePort)
      (self.state, self.seconds) = (state, seconds)
    }
  }

  private mutating func restore(_ rows: [[String: String]], _ now: UInt64, _ answer: inout OperationAnswer) {
    for row in rows {
      guard let saved = Saved(row) else {
        answer.fail("a row is none of 'export'")
        return
      }
      let key = IPv4FlowKey(
        source: saved.inside, destination: saved.remote, sourcePort: saved.insidePort,
        destinationPort: saved.remotePort, protocol: saved.number, zone: Self.insideZone)
      guard outboundOwner(of: key) == worker else { continue }
      if let problem = restore(saved, key, now) {
        answer.row(["session": "\(key)", "problem": problem])
      }
    }
  }

  /// Returns why a session could not be restored; nil: it is.
  private mutating func restore(_ saved: Saved, _ key: IPv4FlowKey, _ now: UInt64) -> String? {
    let kind = Self.kind(of: saved.number)
    if let match = sessions.find(key, now: now), !match.isReply { return nil }
    var slot: PortSlot?
    if kind != .other, ends.ownOfInside.find(saved.inside.rawValue) == nil {
      guard let number = ends.shared.find(saved.outside.rawValue) else { return "the outside address is no more" }
      let wanted = PortSlot(address: Int(number), space: Self.space(of: kind), port: saved.outsidePort)
      let known = mappings.find(address: saved.inside.rawValue, port: saved.insidePort, space: wanted.space)
      if let known {
        guard known == wanted else { return "the inside port has another outside port already" }
      } else if let problem = restoreMapping(wanted, saved, now) {
        return problem
      }
      slot = wanted
    }
    let made = enter(
      key, kind, slot, now, state: saved.state, until: now &+ max(saved.seconds, 1) &* 1_000_000_000)
    if case .made = made { return nil }
    return "there is no room"
  }

  private mutating func restoreMapping(_ slot: PortSlot, _ saved: Saved, _ now: UInt64) -> String? {
    guard pool.isFree(slot) else { return "the outside port is in use" }
    guard
      let subscriber = subscribers.find(saved.inside.rawValue)
        ?? subscribers.insert(saved.inside.rawValue, outside: slot.address)
    else { return "there is no room" }
    if settings.blockSize != nil {
      guard let block = pool.layout.block(of: slot), pool.assign(block, to: subscriber) else {
        subscribers.removeIfIdle(subscriber)
        return "the outside port is in another host's block"
      }
      subscribers[subscriber].blocks = UInt32(pool.blocks(of: subscriber).count)
    }
    _ = pool.take(slot)
    return enterMapping(slot, saved.inside.rawValue, saved.insidePort, subscriber, now) ? nil : "there is no room"
  }
}
