import Glibc
import Testing
import Wire

@testable import Probes

@Suite struct ProbeTests {
  private static let loopback = IPAddress.v4(IPv4Address(127, 0, 0, 1))

  /// A listening socket on the loopback interface.
  private final class Server: @unchecked Sendable {
    let descriptor: Int32
    private(set) var port: UInt16 = 0

    init() {
      descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
      var address = sockaddr_in()
      address.sin_family = sa_family_t(AF_INET)
      address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
      var length = socklen_t(MemoryLayout<sockaddr_in>.size)
      unsafe withUnsafeMutablePointer(to: &address) { pointer in
        unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { pointer in
          _ = unsafe bind(descriptor, pointer, length)
          _ = listen(descriptor, 8)
          _ = unsafe getsockname(descriptor, pointer, &length)
        }
      }
      port = UInt16(bigEndian: address.sin_port)
    }

    deinit { close(descriptor) }

    /// Takes one connection, reads what it asks and answers. Returns what was asked.
    func answer(_ text: String) -> String {
      let connection = unsafe accept(descriptor, nil, nil)
      var bytes = [UInt8](repeating: 0, count: 1024)
      let count = unsafe read(connection, &bytes, bytes.count)
      let answer = Array(text.utf8)
      _ = unsafe write(connection, answer, answer.count)
      close(connection)
      return String(decoding: bytes.prefix(max(count, 0)), as: UTF8.self)
    }
  }

  /// Waits as the control thread does.
  private static func finish(_ probe: inout Probe, _ first: Probe.Progress) -> Probe.Progress {
    var progress = first
    for _ in 0..<50 {
      guard case .waiting(let descriptor, let isWriting) = progress else { break }
      var event = pollfd(fd: descriptor, events: Int16(isWriting ? POLLOUT : POLLIN), revents: 0)
      _ = unsafe poll(&event, 1, 2000)
      progress = probe.advance()
    }
    return progress
  }

  @Test func aConnectionThatOpensPasses() {
    let server = Server()
    var probe = Probe(.connect(Self.loopback, port: server.port))
    let begun = probe.begin()
    #expect(Self.finish(&probe, begun) == .passed)
  }

  @Test func aRefusedConnectionFails() {
    let port = Server().port
    var probe = Probe(.connect(Self.loopback, port: port))
    let begun = probe.begin()
    #expect(Self.finish(&probe, begun) == .failed("Connection refused"))
  }

  @Test(arguments: [
    ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", Probe.Progress.passed), ("HTTP/1.0 204\r\n\r\n", .passed),
    ("HTTP/1.1 503 Service Unavailable\r\n\r\n", .failed("status 503")),
    ("SSH-2.0-none\r\n", .failed("the answer is no HTTP")),
    ("", .failed("the answer is no HTTP")),
  ])
  func httpPassesByItsStatus(answer: String, expected: Probe.Progress) {
    let server = Server()
    var probe = Probe(
      .http(Self.loopback, port: server.port, host: "www.example", path: "/health?x=1", statuses: 200...299))
    var progress = probe.begin()
    // The kernel takes connection and request before anybody asks for them.
    while case .waiting(let descriptor, isWriting: true) = progress {
      var event = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
      _ = unsafe poll(&event, 1, 2000)
      progress = probe.advance()
    }
    let request = server.answer(answer)
    #expect(Self.finish(&probe, progress) == expected)
    #expect(request.hasPrefix("GET /health?x=1 HTTP/1.1\r\nHost: www.example\r\n"))
    #expect(request.hasSuffix("\r\n\r\n"))
  }

  @Test func aStatusLineIsReadOnlyWhole() {
    #expect(Probe.status(Array("HTTP/1.1 20".utf8)) == nil)
    #expect(Probe.status(Array("HTTP/1.1 200".utf8)) == nil)
    #expect(Probe.status(Array("HTTP/1.1 200 ".utf8)) == 200)
    #expect(Probe.status(Array("HTTP/1.1 200\r".utf8)) == 200)
    #expect(Probe.status(Array("HTTP/2 200 OK\r\n".utf8)) == nil)
    #expect(Probe.status(Array("HTTP/1.1 2x0 OK\r\n".utf8)) == nil)
  }

  /// Pings take a privilege that not every machine gives.
  @Test(arguments: ["127.0.0.1", "::1"]) func aPingIsAnswered(address: String) throws {
    var probe = Probe(.echo(try #require(IPAddress(address))), number: 7)
    let begun = probe.begin()
    if case .unable = begun { return }
    if case .failed(let reason) = begun, reason.hasPrefix("connect") { return }
    #expect(Self.finish(&probe, begun) == .passed)
  }
}
