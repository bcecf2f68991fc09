import Glibc

/// Why a file could not be read.
package struct FileError: Error {
  package var reason: String
}

/// All bytes of a file.
package func readBytes(of path: String, limit: Int) throws(FileError) -> [UInt8] {
  let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC)
  guard descriptor >= 0 else { throw FileError(reason: unsafe String(cString: strerror(errno))) }
  defer { close(descriptor) }
  var bytes: [UInt8] = []
  var chunk = [UInt8](repeating: 0, count: 1 << 18)
  while true {
    let count = unsafe read(descriptor, &chunk, chunk.count)
    if count < 0 && errno == EINTR { continue }
    guard count >= 0 else { throw FileError(reason: unsafe String(cString: strerror(errno))) }
    if count == 0 { return bytes }
    bytes += chunk[..<count]
    if bytes.count > limit { throw FileError(reason: "longer than \(limit >> 20) MiB") }
  }
}
