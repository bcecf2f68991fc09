import Configuration
import Dataplane
import Tables
import Wire

/// What can be asked of NAT64 while it runs.
enum NAT64Operations {
  static let filters = [
    OperationParameter("inside", "IPv6 address of the inside host"),
    OperationParameter("outside", "outside address"),
    OperationParameter("protocol", "tcp, udp or icmp"),
  ]

  static let all = [
    OperationDescription("bindings", "Lists inside endpoints and the outside ports they have.", parameters: filters),
    OperationDescription(
      "sessions", "Lists sessions.",
      parameters: filters + [OperationParameter("remote", "IPv4 address that the session is with")]),
  ]

  private struct Filter {
    let inside: IPv6Address?
    let outside: IPv4Address?
    let remote: IPv4Address?
    let number: IPProtocol?

    init(_ request: OperationRequest) throws(ConfigurationError) {
      inside = try request.value("inside")
      outside = try request.value("outside")
      remote = try request.value("remote")
      let asked: IPProtocol? = try request.value("protocol")
      number = asked == .icmp ? .icmpv6 : asked
    }

    func admits(_ address: IPv6Address?, _ own: IPv4Address, _ with: IPv4Address?, _ number: IPProtocol) -> Bool {
      (inside == nil || inside == address) && (outside == nil || outside == own) && (remote == nil || remote == with)
        && (self.number == nil || self.number == number)
    }
  }

  /// Records that are looked at in one call.
  private static var slice: Int { 1000 }

  static func perform(
    _ request: OperationRequest, _ state: borrowing NAT64State, _ answer: inout OperationAnswer, _ now: UInt64
  ) {
    do throws(ConfigurationError) {
      let filter = try Filter(request)
      let start = Int(clamping: request.position)
      let next =
        switch request.name {
        case "bindings": listBindings(state, from: start, filter, &answer)
        case "sessions": listSessions(state, from: start, filter, &answer, now)
        default: noSuch(request, &answer)
        }
      if let next { answer.resume(at: UInt64(next)) }
    } catch {
      answer.fail(error)
    }
  }

  private static func noSuch(_ request: OperationRequest, _ answer: inout OperationAnswer) -> Int? {
    answer.fail("there is no operation '\(request.name)'")
    return nil
  }

  private static func name(_ number: IPProtocol) -> String { number == .icmpv6 ? "icmp" : number.description }

  private static func listBindings(
    _ state: borrowing NAT64State, from start: Int, _ filter: Filter, _ answer: inout OperationAnswer
  ) -> Int? {
    let addresses = state.addresses
    return state.bindings.list(from: start, records: slice) { flow in
      let own = addresses[flow.value.slot.address]
      guard filter.admits(flow.key.source, own, nil, flow.key.protocol) else { return }
      answer.row([
        "protocol": name(flow.key.protocol), "inside": "\(flow.key.source)", "inside_port": "\(flow.key.sourcePort)",
        "outside": "\(own)", "outside_port": "\(flow.value.slot.port)", "sessions": "\(flow.value.sessions)",
      ])
    }
  }

  private static func listSessions(
    _ state: borrowing NAT64State, from start: Int, _ filter: Filter, _ answer: inout OperationAnswer, _ now: UInt64
  ) -> Int? {
    state.sessions.list(from: start, records: slice) { flow in
      // One that waits for a SYN from inside has what packets from outside have for its only key.
      let outside = flow.secondKey ?? flow.key
      let own = IPv4Address(rawValue: UInt32(truncatingIfNeeded: outside.destination.low))
      let remote = IPv4Address(rawValue: UInt32(truncatingIfNeeded: outside.source.low))
      let inside = flow.secondKey == nil ? nil : flow.key.source
      guard flow.deadline > now, filter.admits(inside, own, remote, outside.protocol) else { return }
      answer.row([
        "protocol": name(outside.protocol), "inside": inside.map { "\($0)" } ?? "",
        "inside_port": inside == nil ? "" : "\(flow.key.sourcePort)", "outside": "\(own)",
        "outside_port": "\(outside.destinationPort)", "remote": "\(remote)", "remote_port": "\(outside.sourcePort)",
        "state": flow.value.state == .stateless ? "" : "\(flow.value.state)",
        "seconds_left": "\((flow.deadline - now) / 1_000_000_000)",
      ])
    }
  }
}
