import Glibc

/// Lines of text for a file or for standard output, collected and written in large pieces.
public final class TextOutput {
  private let path: String?
  private var descriptor: Int32 = -1
  private var buffer: [UInt8] = []
  private var problem: String?

  /// - Parameter path: The file to write; nil: standard output. It is created when the first line is written out.
  public init(path: String?) { self.path = path }

  /// Adds a line.
  public func write(_ line: String) {
    buffer += line.utf8
    buffer.append(10)
    if buffer.count >= 65_536 { flush() }
  }

  /// Adds bytes as they are.
  public func write(bytes: [UInt8]) {
    buffer += bytes
    if buffer.count >= 65_536 { flush() }
  }

  /// Writes out what was collected.
  @inline(never)
  public func flush() {
    guard !buffer.isEmpty, problem == nil else { return }
    if descriptor < 0, !open() { return }
    var start = 0
    while start < buffer.count {
      let count = unsafe buffer.withUnsafeBytes { bytes in
        unsafe Glibc.write(descriptor, bytes.baseAddress! + start, bytes.count - start)
      }
      if count < 0 && errno == EINTR { continue }
      guard count > 0 else {
        fail()
        return
      }
      start += count
    }
    buffer.removeAll(keepingCapacity: true)
  }

  /// Writes out what was collected and closes the file.
  /// - Returns: What went wrong, with the file's name.
  public func finish() -> [String] {
    flush()
    if path != nil, descriptor >= 0, close(descriptor) != 0, problem == nil { fail() }
    return problem.map { [$0] } ?? []
  }

  private func open() -> Bool {
    guard let path else {
      descriptor = STDOUT_FILENO
      return true
    }
    descriptor = unsafe Glibc.open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
    if descriptor < 0 { fail() }
    return descriptor >= 0
  }

  private func fail() {
    problem = unsafe "\(path ?? "standard output"): \(String(cString: strerror(errno))); what was printed is incomplete"
    buffer.removeAll()
  }
}
