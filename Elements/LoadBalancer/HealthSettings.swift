import Configuration
import Probes
import Wire

/// One HTTP status or several in a row.
struct StatusRange: TextSetting {
  let statuses: ClosedRange<Int>

  static var schema: ValueSchema { ValueSchema("HTTP status or range", example: "200-299") }
  static var placeholder: StatusRange { StatusRange(statuses: 200...200) }
  var settingText: String {
    statuses.count == 1 ? "\(statuses.lowerBound)" : "\(statuses.lowerBound)-\(statuses.upperBound)"
  }

  init(statuses: ClosedRange<Int>) { self.statuses = statuses }

  init?(settingText text: String) {
    let range = PortRange(text)
    guard let range, range.lowerBound >= 100, range.upperBound <= 599 else { return nil }
    statuses = Int(range.lowerBound)...Int(range.upperBound)
  }
}

/// How backends are checked.
struct HealthSettings: Sendable {
  /// What is asked of them.
  enum Check: String, SettingChoice, Sendable {
    case tcp, http, icmp
  }

  let check: Check
  /// 0: the backend's own.
  let port: UInt16
  let path: String
  let host: String
  let statuses: ClosedRange<Int>
  /// In nanoseconds.
  let interval: UInt64
  /// In nanoseconds.
  let timeout: UInt64
  let rise: Int
  let fall: Int

  init(_ settings: inout Settings) throws(ConfigurationError) {
    let limits = Duration.milliseconds(10)...Duration.seconds(3600)
    check = try settings.take("check", default: .tcp, "tcp: a connection opens; http: a GET is answered; icmp: a ping")
    port = UInt16(
      try settings.takeIfPresent("port", in: 1...65_535, "the port asked; the backend's, or the service's first")
        ?? 0)
    path = try settings.take("path", default: "/", "http: what is asked for")
    host = try settings.take("host", default: "", "http: the host named; the backend's address when left out")
    let status: StatusRange = try settings.take(
      "status", default: StatusRange(statuses: 200...399), "http: the status, or range of them, of a healthy backend")
    statuses = status.statuses
    interval = try settings.take("interval", default: .seconds(2), in: limits, "time between checks").wholeNanoseconds
    timeout = try settings.take("timeout", default: .seconds(1), in: limits, "time for an answer").wholeNanoseconds
    rise = try settings.take("rise", default: 2, in: 1...100, "good answers in a row until a backend is healthy")
    fall = try settings.take("fall", default: 3, in: 1...100, "failures in a row until it is not")
    if check != .http {
      for key in ["path", "host", "status"] where settings.has(key) {
        settings.reject(settings.range(of: key), "'\(key)' is for 'check: http'", remedy: "remove it")
      }
    }
    if check == .icmp && port != 0 {
      settings.reject(settings.range(of: "port"), "pings have no port", remedy: "remove it")
    }
    let words = path + host
    if !path.hasPrefix("/") || words.utf8.contains(where: { $0 <= 32 || $0 == 127 }) {
      settings.reject(
        settings.range(of: "path"), "'path' begins with '/', and neither it nor 'host' has spaces",
        remedy: "write it like /health")
    }
  }

  /// What is asked of a backend.
  func request(of backend: BackendSettings, servicePort: UInt16) -> ProbeRequest {
    let port = port != 0 ? port : backend.port != 0 ? backend.port : servicePort
    switch check {
    case .tcp: return .connect(backend.address, port: port)
    case .http:
      let host = !host.isEmpty ? host : backend.address.isIPv6 ? "[\(backend.address)]" : "\(backend.address)"
      return .http(backend.address, port: port, host: host, path: path, statuses: statuses)
    case .icmp: return .echo(backend.address)
    }
  }
}
