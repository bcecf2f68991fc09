import Configuration
import Dataplane
import Synchronization
import Tables
import Wire

/// What is done for a switch beside the packet path: it answers who is where, forgets stations when asked to, and those
/// behind a port whose link went down.
final class SwitchControl: ControlTask {
  private let state: SwitchState
  /// Whether each followed link had a carrier when it was last looked at.
  private let carriers: Mutex<[Bool]>

  /// How many buckets are looked at in one go; each has eight stations at most.
  private static let slice = 128
  /// How often links are looked at, in nanoseconds.
  private static let lookInterval: UInt64 = 500_000_000

  init(_ state: SwitchState) {
    self.state = state
    carriers = Mutex(state.ports.map { _ in false })
  }

  // MARK: Links

  func run(_ now: Instant) -> Instant {
    guard state.ports.contains(where: { $0.link != nil }) else { return .never }
    carriers.withLock { carriers in
      for (number, port) in state.ports.enumerated() {
        guard let link = port.link else { continue }
        let hasCarrier = Self.hasCarrier(link)
        if carriers[number] && !hasCarrier { state.table.forget(port: number) }
        carriers[number] = hasCarrier
      }
    }
    return now.advanced(by: Self.lookInterval)
  }

  /// Whether the kernel says that an interface has a link; one that is not there, or not up, has none.
  private static func hasCarrier(_ link: String) -> Bool {
    (try? readBytes(of: "/sys/class/net/\(link)/carrier", limit: 4096))?.first == UInt8(ascii: "1")
  }

  // MARK: Operations

  var operations: [OperationDescription] {
    let filters = [
      OperationParameter("port", "those behind this port"), OperationParameter("vlan", "those in this VLAN"),
      OperationParameter("mac", "this address"),
    ]
    return [
      OperationDescription("addresses", "Lists the stations that are known.", parameters: filters),
      OperationDescription("flush", "Forgets stations that were learned.", parameters: filters),
    ]
  }

  func perform(_ request: OperationRequest, _ answer: inout OperationAnswer) {
    do throws(ConfigurationError) {
      let name: String? = try request.value("port")
      let vlan: VLANIdentifier? = try request.value("vlan")
      let mac: MACAddress? = try request.value("mac")
      let port = name.flatMap { name in state.ports.firstIndex { $0.name == name } }
      if let name, port == nil {
        let known = state.ports.map(\.name).joined(separator: ", ")
        return answer.fail("there is no port '\(name)'; there are \(known)")
      }
      let isMeant = { (station: Station) in
        (port == nil || port == station.port) && (vlan == nil || vlan?.rawValue == station.key.vlan)
          && (mac == nil || mac == station.key.mac)
      }
      request.name == "flush" ? flush(request, &answer, isMeant) : list(request, &answer, isMeant)
    } catch {
      answer.fail(error)
    }
  }

  private func list(
    _ request: OperationRequest, _ answer: inout OperationAnswer, _ isMeant: (Station) -> Bool
  ) {
    let start = Int(truncatingIfNeeded: request.position)
    let end = min(start + Self.slice, state.table.bucketCount)
    for station in state.table.list(buckets: start..<max(end, start)) where isMeant(station) {
      answer.row([
        "mac": "\(station.key.mac)", "vlan": state.tag == .off ? "" : "\(station.key.vlan)",
        "port": state.ports[station.port].name, "kind": station.isStatic ? "static" : "learned",
        "age": station.isStatic ? "" : "\(station.age / 1_000_000_000)s",
      ])
    }
    if end < state.table.bucketCount { answer.resume(at: UInt64(end)) }
  }

  /// The position is the bucket, and above it how many were forgotten.
  private func flush(
    _ request: OperationRequest, _ answer: inout OperationAnswer, _ isMeant: (Station) -> Bool
  ) {
    let start = Int(request.position & 0xFFFF_FFFF)
    let end = min(start + Self.slice, state.table.bucketCount)
    let forgotten = state.table.forget(buckets: start..<max(end, start), where: isMeant)
    let total = request.position >> 32 + UInt64(forgotten)
    if end < state.table.bucketCount {
      answer.resume(at: total << 32 | UInt64(end))
    } else {
      answer.row(["forgotten": "\(total)"])
    }
  }
}
