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
  private let snapLength: UInt32
  private var scratch: [UInt8]
  private var problem: String?
  private var isClosed = false
  /// Packets written so far.
  public private(set) var written: UInt64 = 0
  /// Packets not written because of an error.
  public private(set) var lost: UInt64 = 0

  /// Snapshot length that takes every packet whole.
  public static let wholePackets = 262_144

  /// Creates the file.
  /// - Parameter snapLength: Bytes kept of each packet.
  /// - Throws: When it cannot be created.
  public init(path: String, snapLength: Int = wholePackets) throws(EnvironmentError) {
    self.path = path
    self.snapLength = UInt32(clamping: snapLength)
    scratch = [UInt8](repeating: 0, count: 65_536)
    guard
      let handle = unsafe pcap_open_dead_with_tstamp_precision(
        DLT_EN10MB, Int32(clamping: snapLength), UInt32(PCAP_TSTAMP_PRECISION_NANO)),
      let dumper = unsafe pcap_dump_open(handle, path)
    else {
      throw EnvironmentError(
        "\(path) cannot be written (\(unsafe String(cString: strerror(errno))))",
        remedy: "check the folder and its permissions")
    }
    unsafe self.handle = handle
    unsafe self.dumper = dumper
    if let file = unsafe pcap_dump_file(dumper) { unsafe setvbuf(file, nil, _IOFBF, 1 << 18) }
  }

  deinit { if !isClosed { _ = close() } }

  /// Writes a packet.
  public func write(_ packet: borrowing Packet, at time: Instant) { unsafe write(packet.mbuf, at: time) }

  @unsafe
  func write(_ mbuf: UnsafeMutablePointer<nfv_mbuf>, at time: Instant) {
    guard problem == nil else {
      lost += 1
      return
    }
    let length = unsafe mbuf.pointee.packet_length
    var header = pcap_pkthdr()
    header.ts.tv_sec = Int(time.nanoseconds / 1_000_000_000)
    header.ts.tv_usec = Int(time.nanoseconds % 1_000_000_000)
    header.len = length
    header.caplen = min(length, snapLength)
    let target = unsafe UnsafeMutableRawPointer(dumper).assumingMemoryBound(to: UInt8.self)
    if unsafe header.caplen <= UInt32(mbuf.pointee.data_length) {
      unsafe pcap_dump(target, &header, nfv_mbuf_data(mbuf))
    } else {
      if Int(header.caplen) > scratch.count { scratch = [UInt8](repeating: 0, count: Int(header.caplen)) }
      guard unsafe nfv_read(mbuf, 0, header.caplen, &scratch) else { return }
      unsafe pcap_dump(target, &header, scratch)
    }
    if let file = unsafe pcap_dump_file(dumper), unsafe ferror(file) != 0 {
      fail()
      lost += 1
    } else {
      written += 1
    }
  }

  /// Completes the file.
  /// - Returns: What went wrong, with the file's name.
  public func close() -> [String] {
    guard !isClosed else { return [] }
    isClosed = true
    if problem == nil, unsafe pcap_dump_flush(dumper) != 0 { fail() }
    unsafe pcap_dump_close(dumper)
    unsafe pcap_close(handle)
    return problem.map { ["\(path): \($0); the file is incomplete (\(lost) packets are missing for certain)"] } ?? []
  }

  private func fail() { problem = unsafe String(cString: strerror(errno)) }
}
