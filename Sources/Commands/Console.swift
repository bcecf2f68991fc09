import Glibc

/// Where people read. What cannot be written is reported by the exit code of `flush`.
enum Console {
  /// Whether standard error is a terminal.
  static var errorIsTerminal: Bool { isatty(STDERR_FILENO) == 1 }

  /// Writes a line to standard output.
  static func print(_ line: String) { write(line + "\n", to: STDOUT_FILENO) }

  /// Writes a line to standard error.
  static func error(_ line: String) { write(line + "\n", to: STDERR_FILENO) }

  /// Replaces the last line on a terminal's standard error.
  static func progress(_ line: String) { write("\r\u{1B}[K" + line, to: STDERR_FILENO) }

  /// Writes all of a file.
  /// - Returns: What went wrong.
  static func save(_ text: String, to path: String) -> String? {
    if path == "-" {
      write(text, to: STDOUT_FILENO)
      return nil
    }
    let descriptor = unsafe open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
    guard descriptor >= 0 else { return "\(path): \(unsafe String(cString: strerror(errno)))" }
    let written = write(text, to: descriptor)
    let closed = close(descriptor) == 0
    return written && closed ? nil : "\(path): \(unsafe String(cString: strerror(errno))); the file is incomplete"
  }

  @discardableResult
  private static func write(_ text: String, to descriptor: Int32) -> Bool {
    var text = text
    return text.withUTF8 { bytes in
      var rest = UnsafeRawBufferPointer(bytes)
      while unsafe !rest.isEmpty {
        let count = unsafe Glibc.write(descriptor, rest.baseAddress, rest.count)
        if count < 0 && errno == EINTR { continue }
        guard count > 0 else { return false }
        unsafe rest = UnsafeRawBufferPointer(rebasing: rest[count...])
      }
      return true
    }
  }
}
