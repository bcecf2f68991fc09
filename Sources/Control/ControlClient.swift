import Configuration
public import Dataplane
import Glibc

/// The other end of a control socket.
public enum ControlClient {
  /// What is answered, line by line.
  public enum Line {
    /// A row: as it came, and its names and values in order.
    case row(text: String, fields: [(name: String, value: String)])
    /// It could not be done.
    case failure(String)
  }

  /// Asks, and gives each line of the answer as it comes.
  /// - Parameter rows: Lines of JSON for an operation that takes rows.
  /// - Throws: When nobody answers there, or the answer breaks off.
  public static func ask(
    _ request: ControlRequest, rows: [UInt8] = [], at path: String, _ take: (Line) -> Void
  ) throws(EnvironmentError) {
    guard let descriptor = ControlSocket.connect(path) else {
      throw EnvironmentError(
        "nobody answers at \(path): \(unsafe String(cString: strerror(errno)))",
        remedy: "start the run with --control \(path), as the same user")
    }
    defer { close(descriptor) }
    var bytes = Array((request.line + "\n").utf8)
    bytes += rows
    try send(bytes, to: descriptor)
    shutdown(descriptor, Int32(SHUT_WR))
    var waiting: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 65_536)
    while true {
      let count = unsafe recv(descriptor, &buffer, buffer.count, 0)
      if count < 0 && errno == EINTR { continue }
      guard count > 0 else {
        throw EnvironmentError("the answer breaks off", remedy: "see whether the run at \(path) has ended")
      }
      waiting += buffer[..<count]
      var start = 0
      while let end = waiting[start...].firstIndex(of: UInt8(ascii: "\n")) {
        guard let line = try read(Array(waiting[start..<end])) else { return }
        take(line)
        start = end + 1
        if case .failure = line { return }
      }
      waiting.removeFirst(start)
    }
  }

  private static func send(_ bytes: [UInt8], to descriptor: Int32) throws(EnvironmentError) {
    var sent = 0
    while sent < bytes.count {
      let count = unsafe bytes.withUnsafeBytes {
        unsafe Glibc.send(descriptor, $0.baseAddress! + sent, $0.count - sent, Int32(MSG_NOSIGNAL))
      }
      if count < 0 && errno == EINTR { continue }
      // What refuses the rest has said why, or will be found to have ended.
      guard count > 0 else { return }
      sent += count
    }
  }

  /// A line of the answer; nil for its end.
  private static func read(_ bytes: [UInt8]) throws(EnvironmentError) -> Line? {
    guard let node = try? YAMLDocument.load(bytes: bytes, name: "answer"), node.mapping != nil else {
      throw EnvironmentError(
        "this is no answer: \(String(decoding: bytes, as: UTF8.self))", remedy: "name the socket of a run")
    }
    if let message = node["error"]?.scalar { return .failure(message) }
    guard let row = node["row"]?.mapping else { return nil }
    // `{"row": {...}}` without its frame is what an import takes.
    let text = String(decoding: bytes.dropFirst(8).dropLast(), as: UTF8.self)
    return .row(text: text, fields: row.map { ($0.key.scalar ?? "", $0.value.scalar ?? "") })
  }

  /// Rows as a table. Rows of other names than those before get a table of their own.
  public static func table(_ rows: [[(name: String, value: String)]]) -> String {
    var parts: [String] = []
    var start = 0
    while start < rows.count {
      let names = rows[start].map(\.name)
      let end = rows[start...].firstIndex { $0.map(\.name) != names } ?? rows.count
      let cells = [names] + rows[start..<end].map { $0.map(\.value) }
      let widths = names.indices.map { column in cells.map { $0[column].count }.max() ?? 0 }
      parts.append(
        cells.map { row in
          var line = zip(row, widths).map { $0 + String(repeating: " ", count: $1 - $0.count) }.joined(separator: "  ")
          while line.last == " " { line.removeLast() }
          return line
        }.joined(separator: "\n"))
      start = end
    }
    return parts.joined(separator: "\n\n")
  }
}
