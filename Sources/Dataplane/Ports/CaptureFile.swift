import Glibc

/// The file behind a `CaptureWriter`: written beside its final name and renamed when it is complete, so that the final
/// name never holds half a capture. Pipes and devices are written in place.
struct CaptureFile: ~Copyable {
  /// Where bytes go until the file is complete.
  let partialPath: String
  /// Where the file ends up; nil: it is written in place.
  private let finalPath: String?
  private var descriptor: Int32

  private init(descriptor: Int32, partialPath: String, finalPath: String?) {
    self.descriptor = descriptor
    self.partialPath = partialPath
    self.finalPath = finalPath
  }

  /// Creates the file.
  /// - Throws: When it cannot be created, or somebody else is writing it.
  static func create(_ path: String) throws(EnvironmentError) -> CaptureFile {
    var status = stat()
    let exists = unsafe stat(path, &status) == 0
    if exists && status.st_mode & S_IFMT == S_IFDIR {
      throw EnvironmentError("\(path) is a folder, not a file to write", remedy: "name a file in it")
    }
    guard !exists || status.st_mode & S_IFMT == S_IFREG else {
      return CaptureFile(descriptor: try open(path, O_WRONLY), partialPath: path, finalPath: nil)
    }
    // A symbolic link stays: what it points to is replaced.
    let target = exists ? resolved(path) : path
    let partial = target + ".part"
    // Emptied only once it is known to be nobody else's.
    let descriptor = try open(partial, O_WRONLY | O_CREAT)
    guard flock(descriptor, LOCK_EX | LOCK_NB) == 0, ftruncate(descriptor, 0) == 0 else {
      let reason = errno
      _ = Glibc.close(descriptor)
      throw EnvironmentError(
        reason == EWOULDBLOCK ? "\(path) is being written already" : "\(path) cannot be written (\(text(reason)))",
        remedy: "give each port and each process a file of its own")
    }
    if exists { _ = fchmod(descriptor, status.st_mode & 0o777) }
    return CaptureFile(descriptor: descriptor, partialPath: partial, finalPath: target)
  }

  private static func open(_ path: String, _ flags: Int32) throws(EnvironmentError) -> Int32 {
    let descriptor = unsafe Glibc.open(path, flags | O_CLOEXEC, 0o644)
    guard descriptor >= 0 else {
      throw EnvironmentError(
        "\(path) cannot be written (\(text(errno)))", remedy: "check the folder and its permissions")
    }
    return descriptor
  }

  private static func text(_ error: Int32) -> String { unsafe String(cString: strerror(error)) }

  deinit { if descriptor >= 0 { _ = Glibc.close(descriptor) } }

  private static func resolved(_ path: String) -> String {
    guard let found = unsafe realpath(path, nil) else { return path }
    defer { unsafe free(found) }
    return unsafe String(cString: found)
  }

  /// Writes all of it.
  /// - Returns: How many bytes were written, and the error number that kept the others from it.
  mutating func write(_ bytes: UnsafeRawBufferPointer) -> (written: Int, error: Int32) {
    var done = 0
    while done < bytes.count {
      let count = unsafe Glibc.write(descriptor, bytes.baseAddress.unsafelyUnwrapped + done, bytes.count - done)
      if count > 0 {
        done += count
      } else if count == 0 || errno != EINTR {
        return (done, count == 0 ? ENOSPC : errno)
      }
    }
    return (done, 0)
  }

  /// Cuts what was written to its first `length` bytes, so that it ends with a whole packet.
  mutating func cut(to length: Int) { if finalPath != nil { _ = ftruncate(descriptor, length) } }

  /// Closes the file and gives it its final name.
  /// - Returns: The error number; 0: all is well.
  mutating func complete() -> Int32 {
    let closed = Glibc.close(descriptor)
    descriptor = -1
    guard closed == 0 else { return errno }
    guard let finalPath else { return 0 }
    return unsafe rename(partialPath, finalPath) == 0 ? 0 : errno
  }

  /// Closes the file and leaves what there is of it.
  mutating func leave() {
    guard descriptor >= 0 else { return }
    _ = Glibc.close(descriptor)
    descriptor = -1
  }

  /// Closes the file and removes it, as if it had never been begun.
  mutating func discard() {
    guard descriptor >= 0 else { return }
    if finalPath != nil { _ = unsafe unlink(partialPath) }
    leave()
  }
}
