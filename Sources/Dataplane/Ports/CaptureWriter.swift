import CDPDK
import Glibc

/// Writes packets to a pcap file.
///
/// The file is called `PATH.part` until `close` completes it: `PATH` never holds half a capture, and may even be the
/// capture that is being played. An error, such as a full disk, ends the writing; `close` tells of it, with the number
/// of packets that were not written. A writer that is let go without `close` removes what it wrote.
@safe
public final class CaptureWriter {
  /// How fine timestamps are.
  public enum Precision: String, CaseIterable, Sendable {
    /// Magic number 0xA1B2C3D4, which every program reads.
    case microseconds
    /// Magic number 0xA1B23C4D.
    case nanoseconds
  }

  /// Where the file is once it is complete.
  public let path: String
  private var file: CaptureFile
  private let snapLength: Int
  private let precision: Precision
  private var buffer: UnsafeMutableRawPointer
  private var capacity = 1 << 18
  private var used = 0
  /// Bytes in the file: all of them belong to whole packets.
  private var length = 0
  private var problem: Int32 = 0
  private var isClosed = false
  /// Packets written so far, or waiting to be written in one piece with others.
  public private(set) var written: UInt64 = 0
  /// Packets not written because of an error.
  public private(set) var lost: UInt64 = 0

  /// Snapshot length that takes every packet whole.
  public static let wholePackets = 262_144

  private static let headerLength = 24
  private static let recordHeaderLength = 16

  /// Creates the file.
  /// - Parameters:
  ///   - snapLength: Bytes kept of each packet.
  ///   - precision: What timestamps are cut down to.
  /// - Throws: When it cannot be created, or is being written already.
  public init(
    path: String, snapLength: Int = wholePackets, precision: Precision = .nanoseconds
  ) throws(EnvironmentError) {
    self.path = path
    self.snapLength = max(1, snapLength)
    self.precision = precision
    file = try CaptureFile.create(path)
    unsafe buffer = .allocate(byteCount: capacity, alignment: 16)
    // Version 2.4, time zone and accuracy 0, link type Ethernet, all in the host's byte order (draft-ietf-opsawg-pcap).
    store(precision == .nanoseconds ? 0xA1B2_3C4D : 0xA1B2_C3D4, at: 0)
    store(UInt16(2), at: 4)
    store(UInt16(4), at: 6)
    store(UInt64(0), at: 8)
    store(UInt32(clamping: self.snapLength), at: 16)
    store(UInt32(1), at: 20)
    used = Self.headerLength
  }

  deinit {
    file.discard()
    unsafe buffer.deallocate()
  }

  private func store<T: BitwiseCopyable>(_ value: T, at offset: Int) {
    unsafe buffer.storeBytes(of: value, toByteOffset: offset, as: T.self)
  }

  private func store(_ value: UInt32, at offset: Int) {
    unsafe buffer.storeBytes(of: value, toByteOffset: offset, as: UInt32.self)
  }

  /// Writes a packet.
  public func write(_ packet: borrowing Packet, at time: Instant) { unsafe write(packet.mbuf, at: time) }

  @unsafe
  func write(_ mbuf: UnsafeMutablePointer<nfv_mbuf>, at time: Instant) {
    let length = unsafe Int(mbuf.pointee.packet_length)
    let kept = min(length, snapLength)
    if used + Self.recordHeaderLength + kept > capacity { makeRoom(Self.recordHeaderLength + kept) }
    guard problem == 0, !isClosed else {
      lost += 1
      return
    }
    let (seconds, nanoseconds) = time.nanoseconds.quotientAndRemainder(dividingBy: 1_000_000_000)
    // The format's seconds end in 2106.
    store(UInt32(truncatingIfNeeded: seconds), at: used)
    store(UInt32(truncatingIfNeeded: precision == .nanoseconds ? nanoseconds : nanoseconds / 1000), at: used + 4)
    store(UInt32(truncatingIfNeeded: kept), at: used + 8)
    store(UInt32(truncatingIfNeeded: length), at: used + 12)
    used += Self.recordHeaderLength
    var left = kept
    var segment: UnsafeMutablePointer<nfv_mbuf>? = unsafe mbuf
    while left > 0, let part = unsafe segment {
      let count = unsafe min(left, Int(part.pointee.data_length))
      unsafe (buffer + used).copyMemory(from: nfv_mbuf_data(part), byteCount: count)
      used += count
      left -= count
      unsafe segment = part.pointee.next
    }
    written += 1
  }

  /// Writes out what was collected, and sees to it that one more record fits.
  private func makeRoom(_ record: Int) {
    flush()
    guard record > capacity else { return }
    unsafe buffer.deallocate()
    capacity = record
    unsafe buffer = .allocate(byteCount: record, alignment: 16)
  }

  private func flush() {
    guard problem == 0 else { return }
    let (done, error) = unsafe file.write(UnsafeRawBufferPointer(start: buffer, count: used))
    if error != 0 { stop(error, after: done) }
    length += done
    used = 0
  }

  /// Counts the packets of the buffer that are not wholly among its first `done` bytes, and cuts the file behind the last
  /// that is.
  private func stop(_ error: Int32, after done: Int) {
    problem = error
    var whole = length == 0 ? min(Self.headerLength, done) : 0
    var next = length == 0 ? Self.headerLength : 0
    while next < used {
      let kept = unsafe buffer.loadUnaligned(fromByteOffset: next + 8, as: UInt32.self)
      next += Self.recordHeaderLength + Int(kept)
      if next <= done {
        whole = next
      } else {
        lost += 1
        written -= 1
      }
    }
    file.cut(to: length + whole)
  }

  /// Completes the file.
  /// - Returns: What went wrong, with the file's name.
  public func close() -> [String] {
    guard !isClosed else { return [] }
    flush()
    isClosed = true
    if problem == 0 { problem = file.complete() }
    guard problem != 0 else { return [] }
    file.leave()
    let reason = unsafe String(cString: strerror(problem))
    return [
      "\(path): \(reason); \(lost) packets were not written, the \(written) before them are in \(file.partialPath)"
    ]
  }

  /// Gives the file up: what was written is removed, and a file that was there before stays as it was.
  public func discard() {
    isClosed = true
    file.discard()
  }
}
