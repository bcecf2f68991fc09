import CDPDK
import CPcap
import Glibc

/// Writes packets to a pcap file with nanosecond timestamps.
///
/// An error, such as a full disk, ends the writing; it is reported once, by `close`, with the number of packets that
/// were not written.
@safe
public final class CaptureWriter {
  /// Where the file is.
  public let path: String
  private let handle: OpaquePointer
  private let dumper: OpaquePointer
  /// What changes with every packet, apart from the object so that no access to it is checked for another.
  @unsafe
  private struct State {
    var written: UInt64 = 0
    var lost: UInt64 = 0
    /// The error that ended the writing.
    var failure: Int32 = 0
    var snapLength: UInt32
    /// Where packets of several segments are put together.
    var scratch: UnsafeMutablePointer<UInt8>
  }

  private let state: UnsafeMutablePointer<State>
  private var isClosed = false

  /// Packets written so far.
  public var written: UInt64 { unsafe state.pointee.written }
  /// Packets not written because of an error.
  public var lost: UInt64 { unsafe state.pointee.lost }

  /// Snapshot length that takes every packet whole.
  public static let wholePackets = 262_144

  /// Creates the file.
  /// - Parameter snapLength: Bytes kept of each packet.
  /// - Throws: When it cannot be created.
  public init(path: String, snapLength: Int = wholePackets) throws(EnvironmentError) {
    self.path = path
    guard
      let handle = unsafe pcap_open_dead_with_tstamp_precision(
        DLT_EN10MB, Int32(clamping: snapLength), UInt32(PCAP_TSTAMP_PRECISION_NANO)),
      let dumper = unsafe pcap_dump_open(handle, path)
    else {
      throw EnvironmentError(
        "\(path) cannot be written (\(unsafe String(cString: strerror(errno))))",
        remedy: "check the folder and its permissions")
    }
    unsafe state = .allocate(capacity: 1)
    unsafe state.initialize(
      to: State(snapLength: UInt32(clamping: snapLength), scratch: .allocate(capacity: max(snapLength, 1))))
    unsafe self.handle = handle
    unsafe self.dumper = dumper
    if let file = unsafe pcap_dump_file(dumper) { unsafe setvbuf(file, nil, _IOFBF, 1 << 18) }
  }

  deinit {
    if !isClosed { _ = close() }
    unsafe state.pointee.scratch.deallocate()
    unsafe state.deallocate()
  }

  /// Writes a packet.
  public func write(_ packet: borrowing Packet, at time: Instant) { unsafe write(packet.mbuf, at: time) }

  @unsafe
  func write(_ mbuf: UnsafeMutablePointer<nfv_mbuf>, at time: Instant) {
    guard unsafe state.pointee.failure == 0 else {
      unsafe state.pointee.lost += 1
      return
    }
    let length = unsafe mbuf.pointee.packet_length
    var header = pcap_pkthdr()
    header.ts.tv_sec = Int(time.nanoseconds / 1_000_000_000)
    header.ts.tv_usec = Int(time.nanoseconds % 1_000_000_000)
    header.len = length
    header.caplen = unsafe min(length, state.pointee.snapLength)
    let target = unsafe UnsafeMutableRawPointer(dumper).assumingMemoryBound(to: UInt8.self)
    if unsafe header.caplen <= UInt32(mbuf.pointee.data_length) {
      unsafe pcap_dump(target, &header, nfv_mbuf_data(mbuf))
    } else {
      let scratch = unsafe state.pointee.scratch
      guard unsafe nfv_read(mbuf, 0, header.caplen, scratch) else { return }
      unsafe pcap_dump(target, &header, scratch)
    }
    if unsafe ferror(pcap_dump_file(dumper)) != 0 {
      unsafe state.pointee.failure = errno
      unsafe state.pointee.lost += 1
    } else {
      unsafe state.pointee.written += 1
    }
  }

  /// Completes the file.
  /// - Returns: What went wrong, with the file's name.
  public func close() -> [String] {
    guard !isClosed else { return [] }
    isClosed = true
    if unsafe state.pointee.failure == 0 && pcap_dump_flush(dumper) != 0 { unsafe state.pointee.failure = errno }
    unsafe pcap_dump_close(dumper)
    unsafe pcap_close(handle)
    guard unsafe state.pointee.failure != 0 else { return [] }
    let reason = unsafe String(cString: strerror(state.pointee.failure))
    return ["\(path): \(reason); the file is incomplete (\(lost) packets are missing for certain)"]
  }
}
