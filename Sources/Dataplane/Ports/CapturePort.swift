import CDPDK

/// Plays a capture into a pipeline, and writes what the pipeline sends to another.
@safe
public final class CapturePort: Port {
  /// What is played and written, and how.
  public struct Options: Sendable {
    /// The capture to play; nil: nothing is received.
    public var input: String?
    /// The capture to write; nil: what is sent is counted and freed.
    public var output: String?
    /// How often the input is played; later rounds are later in time.
    public var times = 1
    /// Whether packets keep their distances by the clock when live; otherwise they come as fast as they are taken.
    public var isPaced = false
    /// How fine the output's timestamps are.
    public var precision = CaptureWriter.Precision.nanoseconds
    /// Bytes kept of each packet in the output.
    public var snapLength = CaptureWriter.wholePackets

    /// No input, no output.
    public init() {}
  }

  public let number: Int
  public let queues: [any PortQueue]
  private let queue: CaptureQueue

  /// Opens the captures.
  /// - Throws: When a file cannot be read or written, or is no capture of Ethernet.
  public init(_ options: Options, number: Int, pool: PacketPool) throws(EnvironmentError) {
    self.number = number
    let reader = try options.input.map { path throws(EnvironmentError) in
      try CaptureReader(path: path, times: options.times)
    }
    let writer = try options.output.map { path throws(EnvironmentError) in
      try CaptureWriter(path: path, snapLength: options.snapLength, precision: options.precision)
    }
    queue = CaptureQueue(number: number, reader: reader, writer: writer, isPaced: options.isPaced, pool: pool)
    queues = [queue]
  }

  public var counters: [ElementCounter] {
    [ElementCounter("truncated", queue.reader?.truncated ?? 0), ElementCounter("noBuffer", queue.noBuffer)]
  }

  public func close() -> [String] {
    [queue.reader?.problem].compactMap { $0 } + (queue.writer?.close() ?? [])
  }

  public func cancel() { queue.writer?.discard() }
}

@safe
final class CaptureQueue: PortQueue {
  let reader: CaptureReader?
  let writer: CaptureWriter?
  /// Packets that were given up because there was no buffer for them.
  private(set) var noBuffer: UInt64 = 0
  private let pool: OpaquePointer
  private let number: UInt16
  private let isPaced: Bool
  private var isLive = false
  /// What a paced packet's time and the clock are apart.
  private var delay: UInt64 = 0
  private var lostBefore: UInt64 = 0

  init(number: Int, reader: CaptureReader?, writer: CaptureWriter?, isPaced: Bool, pool: PacketPool) {
    self.number = UInt16(truncatingIfNeeded: number)
    self.reader = reader
    self.writer = writer
    self.isPaced = isPaced
    unsafe self.pool = pool.pool
  }

  func takeLost() -> Int {
    let lost = writer?.lost ?? 0
    defer { lostBefore = lost }
    return Int(lost - lostBefore)
  }

  var isTimed: Bool { reader != nil }
  var nextArrival: Instant? { reader?.nextArrival }
  var hasEnded: Bool { reader?.nextArrival == nil }

  func begin(at now: Instant, isLive: Bool) {
    self.isLive = isLive
    if let first = reader?.nextArrival { delay = now.nanoseconds &- first.nanoseconds }
  }

  @unsafe
  func receive(_ slots: UnsafeMutablePointer<PacketSlot>, limit: Int, now: Instant, bytes: inout UInt64) -> Int {
    guard let reader, let instant = reader.nextArrival else { return 0 }
    var count = 0
    while count < limit, let next = reader.nextArrival {
      // Replayed, time stands still within a batch.
      if !isLive ? next != instant : isPaced && next.nanoseconds &+ delay > now.nanoseconds { break }
      guard unsafe nfv_alloc(pool, slots + count, 1), let mbuf = unsafe slots[count] else { break }
      guard let length = unsafe reader.read(into: mbuf, pool: pool) else {
        unsafe nfv_free(slots + count, 1)
        break
      }
      unsafe mbuf.pointee.port = number
      bytes += UInt64(length)
      count += 1
    }
    return count
  }

  func skip() -> Bool {
    guard let reader, reader.nextArrival != nil else { return false }
    noBuffer += 1
    reader.skip()
    return true
  }

  @unsafe
  func transmit(_ slots: UnsafeMutablePointer<PacketSlot>, count: Int, now: Instant) -> Int {
    for index in 0..<count {
      guard let mbuf = unsafe slots[index] else { continue }
      if let writer { unsafe writer.write(mbuf, at: now) }
    }
    unsafe nfv_free(slots, UInt32(count))
    return count
  }
}
