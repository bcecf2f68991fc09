public import Wire

/// What is asked of a host to find out whether it works.
public enum ProbeRequest: Hashable, Sendable {
  /// Whether a TCP connection can be made.
  case connect(IPAddress, port: UInt16)
  /// Whether a GET of a path is answered with one of the statuses.
  case http(IPAddress, port: UInt16, host: String, path: String, statuses: ClosedRange<Int>)
  /// Whether a ping is answered.
  case echo(IPAddress)

  /// The host asked.
  public var address: IPAddress {
    switch self {
    case .connect(let address, _), .http(let address, _, _, _, _), .echo(let address): address
    }
  }

  var port: UInt16 {
    switch self {
    case .connect(_, let port), .http(_, let port, _, _, _): port
    case .echo: 0
    }
  }
}
