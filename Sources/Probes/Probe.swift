import Glibc
import Wire

/// One question to a host, put through sockets of the kernel that never block. How long the answer may take is up to the
/// owner, who lets the probe go when time is up.
public struct Probe: ~Copyable {
  /// How far it is.
  public enum Progress: Hashable, Sendable {
    /// `advance` is to be called when the descriptor can be written to, or read from.
    case waiting(descriptor: Int32, isWriting: Bool)
    /// The host works.
    case passed
    /// It does not, and why.
    case failed(String)
    /// It could not be asked, for a reason that lies with this host.
    case unable(String)
  }

  private enum Step {
    case connecting, sending, receiving
  }

  private let request: ProbeRequest
  private let number: UInt16
  private var socket: Int32 = -1
  private var step = Step.connecting
  private var output: [UInt8] = []
  private var input: [UInt8] = []

  /// A probe that has not begun.
  /// - Parameter number: Tells pings apart: no two that are under way have the same.
  public init(_ request: ProbeRequest, number: UInt16 = 0) {
    self.request = request
    self.number = number
  }

  deinit { if socket >= 0 { close(socket) } }

  /// Puts the question.
  public mutating func begin() -> Progress {
    let isPing = if case .echo = request { true } else { false }
    guard isPing ? openPing() : openStream() else { return .unable("socket: \(Self.text(errno))") }
    guard connect() || errno == EINPROGRESS else { return failure("connect") }
    if isPing {
      output = echoRequest
      step = .sending
      return advance()
    }
    return .waiting(descriptor: socket, isWriting: true)
  }

  /// Goes on when the descriptor is ready. May be called when it is not, too.
  public mutating func advance() -> Progress {
    guard socket >= 0 else { return .unable("the probe has not begun") }
    while true {
      switch step {
      case .connecting:
        var event = pollfd(fd: socket, events: Int16(POLLOUT), revents: 0)
        guard unsafe poll(&event, 1, 0) > 0 else { return .waiting(descriptor: socket, isWriting: true) }
        var code: Int32 = 0
        var length = socklen_t(MemoryLayout<Int32>.size)
        guard unsafe getsockopt(socket, SOL_SOCKET, SO_ERROR, &code, &length) == 0 else { return failure("connect") }
        guard code == 0 else { return .failed(Self.text(code)) }
        guard case .http(_, _, let host, let path, _) = request else { return .passed }
        output = Array("GET \(path) HTTP/1.1\r\nHost: \(host)\r\nUser-Agent: nfvrun\r\nConnection: close\r\n\r\n".utf8)
        step = .sending
      case .sending:
        let count = unsafe output.withUnsafeBytes { bytes in
          unsafe send(socket, bytes.baseAddress, bytes.count, Int32(MSG_NOSIGNAL))
        }
        if count < 0 {
          return Self.isPatient ? .waiting(descriptor: socket, isWriting: true) : failure("send")
        }
        output.removeFirst(count)
        if output.isEmpty { step = .receiving }
      case .receiving:
        var bytes = [UInt8](repeating: 0, count: 2048)
        let count = unsafe bytes.withUnsafeMutableBytes { unsafe recv(socket, $0.baseAddress, $0.count, 0) }
        if count < 0 {
          return Self.isPatient ? .waiting(descriptor: socket, isWriting: false) : failure("receive")
        }
        if let result = take(bytes[..<count]) { return result }
      }
    }
  }

  // MARK: Answers

  /// How many bytes of an answer are looked at for a status.
  private static let statusLimit = 256

  private mutating func take(_ bytes: ArraySlice<UInt8>) -> Progress? {
    guard case .http(_, _, _, _, let statuses) = request else {
      return isEchoReply(bytes) ? .passed : nil
    }
    input += bytes.prefix(Self.statusLimit)
    if let status = Self.status(input) {
      return statuses.contains(status) ? .passed : .failed("status \(status)")
    }
    return bytes.isEmpty || input.count >= Self.statusLimit ? .failed("the answer is no HTTP") : nil
  }

  /// The status of an answer (RFC 9112, 4) of which the status line's first words have come in.
  static func status(_ bytes: [UInt8]) -> Int? {
    let words = bytes.prefix { $0 != 13 && $0 != 10 }.split(
      separator: 32, maxSplits: 2, omittingEmptySubsequences: false)
    guard words.count >= 2, words[0].starts(with: "HTTP/1.".utf8), words[1].count == 3,
      words.count == 3 || words[1].endIndex < bytes.count
    else { return nil }
    return Int(String(decoding: words[1], as: UTF8.self))
  }

  private var echoRequest: [UInt8] {
    let type: UInt8 = if case .v4 = request.address { 8 } else { 128 }
    var message: [UInt8] = [type, 0, 0, 0, UInt8(number >> 8), UInt8(number & 0xFF), 0, 1] + Array("nfvrun ok".utf8)
    // ICMPv6's checksum is the kernel's to compute: it knows the source address (RFC 3542, 3.1).
    let checksum = unsafe Checksum.complement(Checksum.sum(message.span.bytes))
    message[2] = UInt8(checksum >> 8)
    message[3] = UInt8(checksum & 0xFF)
    return message
  }

  private func isEchoReply(_ bytes: ArraySlice<UInt8>) -> Bool {
    var message = bytes
    let isIPv4 = if case .v4 = request.address { true } else { false }
    // Raw sockets give the IPv4 header, too.
    if isIPv4, let first = message.first, first >> 4 == 4 { message = message.dropFirst(Int(first & 15) * 4) }
    let head = Array(message.prefix(8))
    guard head.count == 8, head[0] == (isIPv4 ? 0 : 129) else { return false }
    return isDatagramPing || UInt16(head[4]) << 8 | UInt16(head[5]) == number
  }

  // MARK: Sockets

  /// Whether the kernel chose the identifier.
  private var isDatagramPing = false

  private var family: Int32 { if case .v4 = request.address { AF_INET } else { AF_INET6 } }

  private mutating func openStream() -> Bool {
    let type = Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue)
    socket = Glibc.socket(family, type, 0)
    return socket >= 0
  }

  private mutating func openPing() -> Bool {
    let number = Int32(family == AF_INET ? IPPROTO_ICMP : IPPROTO_ICMPV6)
    let flags = SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue
    socket = Glibc.socket(family, Int32(SOCK_RAW.rawValue | flags), number)
    if socket < 0 {
      // Without privileges there are sockets for pings alone, where the system allows them.
      socket = Glibc.socket(family, Int32(SOCK_DGRAM.rawValue | flags), number)
      isDatagramPing = true
    }
    return socket >= 0
  }

  private func connect() -> Bool {
    switch request.address {
    case .v4(let address):
      var target = sockaddr_in()
      target.sin_family = sa_family_t(AF_INET)
      target.sin_port = request.port.bigEndian
      target.sin_addr.s_addr = address.rawValue.bigEndian
      return unsafe withUnsafeBytes(of: &target) { unsafe connect($0) }
    case .v6(let address):
      var target = sockaddr_in6()
      target.sin6_family = sa_family_t(AF_INET6)
      target.sin6_port = request.port.bigEndian
      unsafe withUnsafeMutableBytes(of: &target.sin6_addr) { bytes in
        unsafe bytes.storeBytes(of: address.high.bigEndian, as: UInt64.self)
        unsafe bytes.storeBytes(of: address.low.bigEndian, toByteOffset: 8, as: UInt64.self)
      }
      return unsafe withUnsafeBytes(of: &target) { unsafe connect($0) }
    }
  }

  private func connect(_ bytes: UnsafeRawBufferPointer) -> Bool {
    guard let base = bytes.baseAddress else { return false }
    return unsafe Glibc.connect(socket, base.assumingMemoryBound(to: sockaddr.self), socklen_t(bytes.count)) == 0
  }

  private static var isPatient: Bool { errno == EAGAIN || errno == EINTR || errno == EINPROGRESS }

  private func failure(_ what: String) -> Progress { .failed("\(what): \(Self.text(errno))") }

  private static func text(_ code: Int32) -> String {
    unsafe strerror(code).map { unsafe String(cString: $0) } ?? "error \(code)"
  }
}
