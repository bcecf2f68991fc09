import CDPDK

/// Plays a capture from memory, round and round as fast as packets are taken, and frees what it is sent. The file is
/// read once, when the port is opened; packets carry no time.
public final class PlaybackPort: Port {
  public let number: Int
  public let queues: [any PortQueue]
  public let warnings: [String]

  /// Reads the capture.
  /// - Throws: When the file cannot be read, is no capture of Ethernet, holds no packet, or one that there are not enough
  ///   buffers for.
  public init(_ path: String, number: Int, pool: PacketPool) throws(EnvironmentError) {
    self.number = number
    let reader = try CaptureReader(path: path)
    var bytes: [UInt8] = []
    var frames: [nfv_playback_frame] = []
    var longest = 0
    while let length = reader.append(to: &bytes) {
      longest = max(longest, length)
      frames.append(nfv_playback_frame(offset: UInt64(bytes.count - length), length: UInt32(length)))
    }
    guard !frames.isEmpty, frames.count <= UInt32.max else {
      throw EnvironmentError(
        reader.problem ?? "\(path) holds no packet to be played", remedy: "give a capture with packets in it")
    }
    // Half of them, since a worker keeps some at hand.
    guard longest <= pool.capacity / 2 * pool.dataRoom else {
      throw EnvironmentError(
        "\(path) has a packet of \(longest) bytes, for which there are not enough packet buffers",
        remedy: "raise runtime.packets in the pipeline")
    }
    var warnings = reader.problem.map { [$0] } ?? []
    if reader.truncated > 0 {
      warnings.append("\(path) holds only the beginning of \(reader.truncated) packets, which is what is played")
    }
    self.warnings = warnings
    queues = [PlaybackQueue(bytes, frames, number: number, pool: pool)]
  }
}

@safe
final class PlaybackQueue: PortQueue {
  private let bytes: UnsafeMutableBufferPointer<UInt8>
  private let frames: UnsafeMutableBufferPointer<nfv_playback_frame>
  private var playback: nfv_playback
  private let pool: OpaquePointer

  init(_ bytes: [UInt8], _ frames: [nfv_playback_frame], number: Int, pool: PacketPool) {
    unsafe self.bytes = .allocate(capacity: max(bytes.count, 1))
    unsafe self.frames = .allocate(capacity: frames.count)
    _ = unsafe self.bytes.initialize(fromContentsOf: bytes)
    _ = unsafe self.frames.initialize(fromContentsOf: frames)
    unsafe playback = nfv_playback(
      bytes: UnsafePointer(self.bytes.baseAddress), frames: UnsafePointer(self.frames.baseAddress),
      count: UInt32(frames.count), next: 0, port: UInt16(truncatingIfNeeded: number))
    unsafe self.pool = pool.pool
  }

  deinit {
    unsafe bytes.deallocate()
    unsafe frames.deallocate()
  }

  @unsafe
  func receive(_ slots: UnsafeMutablePointer<PacketSlot>, limit: Int, now: Instant, bytes: inout UInt64) -> Int {
    unsafe Int(nfv_playback_receive(&playback, slots, UInt16(limit), pool, &bytes))
  }

  @unsafe
  func transmit(_ slots: UnsafeMutablePointer<PacketSlot>, count: Int, now: Instant) -> Int {
    unsafe nfv_free(slots, UInt32(count))
    return count
  }
}
