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
  /// What changes with every packet, apart from the object so that no access to it is checked for another.
  private let records: UnsafeMutablePointer<CaptureRecords>
  private var file: CaptureFile
  private var isClosed = false

  /// Packets written so far, or waiting to be written in one piece with others.
  public var written: UInt64 { unsafe records.pointee.written }
  /// Packets not written because of an error.
  public var lost: UInt64 { unsafe records.pointee.lost }

  /// Snapshot length that takes every packet whole.
  public static let wholePackets = 262_144

  /// Creates the file.
  /// - Parameters:
  ///   - snapLength: Bytes kept of each packet.
  ///   - precision: What timestamps are cut down to.
  /// - Throws: When it cannot be created, or is being written already.
  public init(
    path: String, snapLength: Int = wholePackets, precision: Precision = .nanoseconds
  ) throws(EnvironmentError) {
    self.path = path
    file = try CaptureFile.create(path)
    unsafe records = .allocate(capacity: 1)
    unsafe records.initialize(to: CaptureRecords(snapLength: max(1, snapLength), precision: precision))
  }

  deinit {
    file.discard()
    unsafe records.pointee.buffer.deallocate()
    unsafe records.deallocate()
  }

  /// Writes a packet.
  public func write(_ packet: borrowing Packet, at time: Instant) { unsafe write(packet.mbuf, at: time) }

  @unsafe
  func write(_ mbuf: UnsafeMutablePointer<nfv_mbuf>, at time: Instant) {
    if unsafe !records.pointee.hasRoom(for: mbuf) { unsafe makeRoom(for: mbuf) }
    unsafe records.pointee.append(mbuf, at: time)
  }

  /// Writes out what was collected, and sees to it that one more packet fits.
  @inline(never)
  private func makeRoom(for mbuf: UnsafeMutablePointer<nfv_mbuf>) {
    flush()
    unsafe records.pointee.grow(for: mbuf)
  }

  private func flush() {
    guard unsafe records.pointee.problem == 0 else { return }
    let collected = unsafe records.pointee.collected
    let (done, error) = unsafe file.write(collected)
    if error == 0 {
      unsafe records.pointee.empty()
    } else {
      file.cut(to: unsafe records.pointee.stop(error, after: done))
    }
  }

  /// Completes the file.
  /// - Returns: What went wrong, with the file's name.
  public func close() -> [String] {
    guard !isClosed else { return [] }
    flush()
    isClosed = true
    if unsafe records.pointee.problem == 0 { unsafe records.pointee.problem = file.complete() }
    let problem = unsafe records.pointee.problem
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

/// Records of a pcap file (draft-ietf-opsawg-pcap) that are collected until they are worth a system call.
@unsafe
private struct CaptureRecords {
  var buffer: UnsafeMutableRawPointer
  var capacity = 1 << 18
  var used = 0
  /// Bytes in the file: all of them belong to whole packets.
  var length = 0
  /// The error that ended the writing.
  var problem: Int32 = 0
  var written: UInt64 = 0
  var lost: UInt64 = 0
  let snapLength: Int
  let precision: CaptureWriter.Precision

  private static let headerLength = 24
  private static let recordHeaderLength = 16

  init(snapLength: Int, precision: CaptureWriter.Precision) {
    unsafe self.snapLength = snapLength
    unsafe self.precision = precision
    unsafe buffer = .allocate(byteCount: capacity, alignment: 16)
    // Version 2.4, time zone and accuracy 0, link type Ethernet, all in the host's byte order.
    unsafe store(precision == .nanoseconds ? 0xA1B2_3C4D : 0xA1B2_C3D4, at: 0)
    unsafe buffer.storeBytes(of: 2, toByteOffset: 4, as: UInt16.self)
    unsafe buffer.storeBytes(of: 4, toByteOffset: 6, as: UInt16.self)
    unsafe store(0, at: 8)
    unsafe store(0, at: 12)
    unsafe store(UInt32(clamping: snapLength), at: 16)
    unsafe store(1, at: 20)
    unsafe used = Self.headerLength
  }

  private func store(_ value: UInt32, at offset: Int) {
    unsafe buffer.storeBytes(of: value, toByteOffset: offset, as: UInt32.self)
  }

  var collected: UnsafeRawBufferPointer { unsafe UnsafeRawBufferPointer(start: buffer, count: used) }

  private func size(of mbuf: UnsafeMutablePointer<nfv_mbuf>) -> Int {
    unsafe Self.recordHeaderLength &+ min(Int(mbuf.pointee.packet_length), snapLength)
  }

  func hasRoom(for mbuf: UnsafeMutablePointer<nfv_mbuf>) -> Bool { unsafe used &+ size(of: mbuf) <= capacity }

  /// Makes an empty buffer large enough for the packet.
  mutating func grow(for mbuf: UnsafeMutablePointer<nfv_mbuf>) {
    let needed = unsafe size(of: mbuf)
    guard unsafe used == 0 && needed > capacity else { return }
    unsafe buffer.deallocate()
    unsafe capacity = needed
    unsafe buffer = .allocate(byteCount: needed, alignment: 16)
  }

  mutating func append(_ mbuf: UnsafeMutablePointer<nfv_mbuf>, at time: Instant) {
    guard unsafe problem == 0 else {
      unsafe lost &+= 1
      return
    }
    let length = unsafe Int(mbuf.pointee.packet_length)
    let kept = unsafe min(length, snapLength)
    let (seconds, nanoseconds) = time.nanoseconds.quotientAndRemainder(dividingBy: 1_000_000_000)
    // The format's seconds end in 2106.
    unsafe store(UInt32(truncatingIfNeeded: seconds), at: used)
    unsafe store(UInt32(truncatingIfNeeded: precision == .nanoseconds ? nanoseconds : nanoseconds / 1000), at: used + 4)
    unsafe store(UInt32(truncatingIfNeeded: kept), at: used + 8)
    unsafe store(UInt32(truncatingIfNeeded: length), at: used + 12)
    unsafe used &+= Self.recordHeaderLength
    var left = kept
    var segment: UnsafeMutablePointer<nfv_mbuf>? = unsafe mbuf
    while left > 0, let part = unsafe segment {
      let count = unsafe min(left, Int(part.pointee.data_length))
      unsafe (buffer + used).copyMemory(from: nfv_mbuf_data(part), byteCount: count)
      unsafe used &+= count
      left &-= count
      unsafe segment = part.pointee.next
    }
    unsafe written &+= 1
  }

  /// Forgets what was collected: it is in the file.
  mutating func empty() {
    unsafe length += used
    unsafe used = 0
  }

  /// Notes an error after `done` bytes of the buffer were written, and counts the packets that are not wholly among them.
  /// - Returns: The length of the file up to the last packet that is.
  mutating func stop(_ error: Int32, after done: Int) -> Int {
    unsafe problem = error
    var next = unsafe length == 0 ? Self.headerLength : 0
    var whole = next <= done ? next : 0
    while unsafe next < used {
      let kept = unsafe buffer.loadUnaligned(fromByteOffset: next + 8, as: UInt32.self)
      next += unsafe Self.recordHeaderLength + Int(kept)
      if next <= done {
        whole = next
      } else {
        unsafe lost += 1
        unsafe written -= 1
      }
    }
    unsafe used = 0
    return unsafe length + whole
  }
}
