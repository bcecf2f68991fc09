import Dataplane
import Glibc

/// A listening Unix socket, and those who have connected.
@safe
final class ControlSocket {
  /// One who has connected.
  struct Connection {
    let descriptor: Int32
    /// What came in and was not taken yet.
    var input: [UInt8] = []
    /// What waits to be sent.
    var output: [UInt8] = []
    var hasEnded = false
    /// Whether the other side is gone.
    var isBroken = false
  }

  /// More than this from one side and it is refused.
  static let inputLimit = 256 << 20
  static let connectionLimit = 16

  let path: String
  let listener: Int32
  var connections: [Connection] = []

  /// Listens at a path that only this user can connect to. What a process that is gone left there is replaced.
  init(path: String) throws(EnvironmentError) {
    self.path = path
    guard var address = Self.address(path) else {
      throw EnvironmentError("'\(path)' is too long for a socket", remedy: "give a path of up to 107 bytes")
    }
    if let existing = Self.connect(path) {
      close(existing)
      throw EnvironmentError("another nfvrun answers at \(path)", remedy: "give each its own with --control")
    }
    let listener = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue), 0)
    guard listener >= 0 else { throw Self.error("a control socket cannot be made") }
    self.listener = listener
    var information = stat()
    if unsafe lstat(path, &information) == 0, information.st_mode & S_IFMT == S_IFSOCK { unsafe unlink(path) }
    let mask = umask(0o177)
    let status = unsafe withUnsafePointer(to: &address) { pointer in
      unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        unsafe bind(listener, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
      }
    }
    umask(mask)
    guard status == 0, listen(listener, 8) == 0 else {
      let error = Self.error("cannot listen at \(path)")
      close(listener)
      throw error
    }
  }

  deinit {
    for connection in connections { close(connection.descriptor) }
    close(listener)
    unsafe unlink(path)
  }

  private static func error(_ what: String) -> EnvironmentError {
    EnvironmentError(
      "\(what): \(unsafe String(cString: strerror(errno)))", remedy: "name a path in a folder that you may write to")
  }

  private static func address(_ path: String) -> sockaddr_un? {
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    let bytes = Array(path.utf8)
    guard !bytes.isEmpty, bytes.count < MemoryLayout.size(ofValue: address.sun_path) else { return nil }
    unsafe withUnsafeMutableBytes(of: &address.sun_path) { unsafe $0.copyBytes(from: bytes) }
    return address
  }

  /// A connection to a socket; nil when nobody answers there.
  static func connect(_ path: String) -> Int32? {
    guard var address = address(path) else { return nil }
    let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
    guard descriptor >= 0 else { return nil }
    let status = unsafe withUnsafePointer(to: &address) { pointer in
      unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        unsafe Glibc.connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
      }
    }
    if status == 0 { return descriptor }
    let reason = errno
    close(descriptor)
    errno = reason
    return nil
  }

  // MARK: Moving bytes

  /// Whether another one can connect.
  var hasRoom: Bool { connections.count < Self.connectionLimit }

  /// Accepts, receives and sends whatever can be without waiting.
  func exchange() {
    while hasRoom {
      let descriptor = accept(listener, nil, nil)
      guard descriptor >= 0 else { break }
      _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
      _ = fcntl(descriptor, F_SETFL, O_NONBLOCK)
      connections.append(Connection(descriptor: descriptor))
    }
    for index in connections.indices {
      receive(&connections[index])
      send(&connections[index])
    }
  }

  private func receive(_ connection: inout Connection) {
    var buffer = [UInt8](repeating: 0, count: 65_536)
    while !connection.hasEnded {
      let count = unsafe recv(connection.descriptor, &buffer, buffer.count, 0)
      if count > 0 {
        connection.input += buffer[..<count]
        if connection.input.count > Self.inputLimit { connection.isBroken = true }
        if count == buffer.count && !connection.isBroken { continue }
      } else if count == 0 {
        connection.hasEnded = true
      } else if errno != EAGAIN && errno != EINTR {
        connection.isBroken = true
      }
      return
    }
  }

  private func send(_ connection: inout Connection) {
    var sent = 0
    while sent < connection.output.count {
      let count = unsafe connection.output.withUnsafeBytes { bytes in
        unsafe Glibc.send(
          connection.descriptor, bytes.baseAddress! + sent, bytes.count - sent, Int32(MSG_NOSIGNAL))
      }
      if count <= 0 {
        if errno != EAGAIN && errno != EINTR { connection.isBroken = true }
        break
      }
      sent += count
    }
    connection.output.removeFirst(sent)
  }

  func drop(at index: Int) {
    close(connections[index].descriptor)
    connections.remove(at: index)
  }
}
