import CDPDK

/// Plays a capture into a pipeline, and writes what the pipeline sends to another.
@safe
public final class CapturePort: Port {
  public let number: Int
  public let queues: [any PortQueue]
  private let queue: CaptureQueue

  /// - Parameters:
  ///   - input: The capture to play; nil: nothing is received.
  ///   - output: The capture to write; nil: what is sent is counted and freed.
  /// - Throws: When a file cannot be read or written, or is no capture of Ethernet.
  public init(number: Int, input: String?, output: String?, pool: PacketPool) throws(EnvironmentError) {
    self.number = number
    queue = CaptureQueue(
      number: number, reader: try input.map { path throws(EnvironmentError) in try CaptureReader(path: path) },
      writer: try output.map { path throws(EnvironmentError) in try CaptureWriter(path: path) }, pool: pool)
    queues = [queue]
  }

  public var counters: [ElementCounter] {
    [ElementCounter("truncated", queue.reader?.truncated ?? 0), ElementCounter("noBuffer", queue.noBuffer)]
  }

  public func close() -> [String] {
    [queue.reader?.problem].compactMap { $0 } + (queue.writer?.close() ?? [])
  }
}

@safe
final class CaptureQueue: PortQueue {
  let reader: CaptureReader?
  let writer: CaptureWriter?
  /// How often a packet had to wait for a buffer.
  private(set) var noBuffer: UInt64 = 0
  private let pool: OpaquePointer
  private let number: UInt16

  init(number: Int, reader: CaptureReader?, writer: CaptureWriter?, pool: PacketPool) {
    self.number = UInt16(truncatingIfNeeded: number)
    self.reader = reader
    self.writer = writer
    unsafe self.pool = pool.pool
  }

  var isTimed: Bool { reader != nil }
  var nextArrival: Instant? { reader?.nextArrival }
  var hasEnded: Bool { reader?.nextArrival == nil }

  /// Packets of one instant only: time stands still within a batch.
  @unsafe
  func receive(_ slots: UnsafeMutablePointer<PacketSlot>, limit: Int, now: Instant, bytes: inout UInt64) -> Int {
    guard let reader, let instant = reader.nextArrival else { return 0 }
    var count = 0
    while count < limit, reader.nextArrival == instant {
      guard unsafe nfv_alloc(pool, slots + count, 1), let mbuf = unsafe slots[count] else {
        noBuffer += 1
        break
      }
      guard let length = unsafe reader.read(into: mbuf, pool: pool) else {
        unsafe nfv_free(slots + count, 1)
        noBuffer += 1
        break
      }
      unsafe mbuf.pointee.port = number
      bytes += UInt64(length)
      count += 1
    }
    return count
  }

  @unsafe
  func transmit(_ slots: UnsafeMutablePointer<PacketSlot>, count: Int, now: Instant, bytes: inout UInt64) -> Int {
    for index in 0..<count {
      guard let mbuf = unsafe slots[index] else { continue }
      bytes += unsafe UInt64(mbuf.pointee.packet_length)
      if let writer { unsafe writer.write(mbuf, at: now) }
    }
    unsafe nfv_free(slots, UInt32(count))
    return count
  }
}
