import Configuration
public import Dataplane
import Tables
import Wire

/// Which connections are listed.
struct ConnectionFilter {
  let service: String?
  let backend: String?
  let client: IPPrefix?

  init(_ request: OperationRequest) throws(ConfigurationError) {
    service = try request.value("service")
    backend = try request.value("backend")
    client = try request.value("client")
  }

  static let parameters = [
    OperationParameter("service", "only this service's"), OperationParameter("backend", "only this backend's"),
    OperationParameter("client", "only those from this address or prefix"),
  ]
}

extension Connections {
  /// Lists a part of the connections. Returns where to go on; nil at the end.
  func list(
    from position: Int, _ filter: ConnectionFilter, _ names: BalancerNames, _ now: UInt64,
    _ answer: inout OperationAnswer
  ) -> Int? {
    var rows: [Row] = []
    let next = table.list(from: position, records: 1000) { flow in
      guard flow.deadline > now, let row = Row(flow, filter, names, now) else { return }
      rows.append(row)
    }
    for row in rows {
      answer.row([
        "service": row.service, "backend": row.backend, "protocol": row.number, "client": row.client,
        "virtual": row.virtual, "server": row.server, "state": row.state, "packets": row.packets,
        "expires": row.expires,
      ])
    }
    return next
  }

  private struct Row {
    let service, backend, number, client, virtual, server, state, packets, expires: String

    init?(
      _ flow: FlowTable<Key, Connection>.Flow, _ filter: ConnectionFilter, _ names: BalancerNames, _ now: UInt64
    ) {
      let connection = flow.value
      guard let (service, backend) = names[connection.backend, connection.serial],
        filter.service == nil || filter.service == service, filter.backend == nil || filter.backend == backend,
        filter.client.map({ $0.contains(Key.any(flow.key.source)) }) != false
      else { return nil }
      (self.service, self.backend) = (service, backend)
      number = "\(flow.key.protocol)"
      let isClient = connection.phase == .affinity
      func end(_ address: Key.Address, _ port: UInt16) -> String {
        let text = "\(Key.any(address))"
        return isClient ? text : text.contains(":") ? "[\(text)]:\(port)" : "\(text):\(port)"
      }
      client = end(flow.key.source, flow.key.sourcePort)
      virtual = end(flow.key.destination, flow.key.destinationPort)
      server = flow.secondKey.map { end($0.source, $0.sourcePort) } ?? ""
      state = "\(connection.phase)"
      packets = "\(connection.packets)"
      expires = flow.deadline == .max ? "never" : "\((flow.deadline - now) / 1_000_000_000) s"
    }
  }
}

/// Names of backends by slot.
struct BalancerNames {
  private var names: [Int: (serial: UInt16, service: String, backend: String)] = [:]

  init(_ services: [BalancerModel.Service]) {
    for service in services {
      for backend in service.backends {
        names[backend.slot] = (backend.serial, service.settings.name, backend.settings.name)
      }
    }
  }

  subscript(slot: UInt16, serial: UInt16) -> (service: String, backend: String)? {
    guard let found = names[Int(slot)], found.serial == serial else { return nil }
    return (found.service, found.backend)
  }
}

extension LoadBalancer {
  public static let operations = [
    OperationDescription(
      "connections", "Lists connections, and the clients that an affinity holds.",
      parameters: ConnectionFilter.parameters)
  ]

  /// In a position: the connections are those of IPv6.
  private static var sixMark: UInt64 { 1 << 62 }

  public mutating func perform(
    _ request: OperationRequest, _ answer: inout OperationAnswer, _ context: inout Context
  ) {
    do throws(ConfigurationError) {
      let filter = try ConnectionFilter(request)
      let position = Int(request.position & (Self.sixMark - 1))
      let now = context.now.nanoseconds
      if request.position & Self.sixMark == 0 {
        let next = tables.four.list(from: position, filter, control.names, now, &answer)
        answer.resume(at: next.map { UInt64($0) } ?? Self.sixMark)
      } else if let next = tables.six.list(from: position, filter, control.names, now, &answer) {
        answer.resume(at: UInt64(next) | Self.sixMark)
      }
    } catch {
      answer.fail(error)
    }
  }
}
