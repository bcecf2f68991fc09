import CDPDK
import CPcap
import Glibc

/// Reads packets from a capture: pcap with micro- or nanoseconds, of either byte order, and pcapng.
///
/// A file that is cut off or damaged is read as far as it goes; `problem` then says where it ends.
@safe
final class CaptureReader {
  let path: String
  private let handle: OpaquePointer
  private var header: UnsafeMutablePointer<pcap_pkthdr>?
  private var data: UnsafePointer<UInt8>?
  /// When the next packet is due; nil at the end.
  private(set) var nextArrival: Instant?
  /// What ended the reading before the end of the file.
  private(set) var problem: String?
  /// Packets that the capture holds only the beginning of.
  private(set) var truncated: UInt64 = 0
  private(set) var packets: UInt64 = 0

  /// - Throws: When the file is no capture, or not one of Ethernet.
  init(path: String) throws(EnvironmentError) {
    self.path = path
    guard let file = unsafe fopen(path, "rbe") else {
      throw EnvironmentError(
        "\(path) cannot be read (\(unsafe String(cString: strerror(errno))))",
        remedy: "check the path and its permissions")
    }
    unsafe setvbuf(file, nil, _IOFBF, 1 << 18)
    var error = [CChar](repeating: 0, count: Int(PCAP_ERRBUF_SIZE))
    guard
      let handle = unsafe pcap_fopen_offline_with_tstamp_precision(file, UInt32(PCAP_TSTAMP_PRECISION_NANO), &error)
    else {
      unsafe fclose(file)
      let reason = String(decoding: error.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
      throw EnvironmentError("\(path) is no capture that libpcap reads: \(reason)", remedy: Self.remedy(for: reason))
    }
    let type = unsafe pcap_datalink(handle)
    guard type == DLT_EN10MB else {
      let name = unsafe pcap_datalink_val_to_name(type).map { unsafe String(cString: $0) } ?? "number \(type)"
      unsafe pcap_close(handle)
      throw EnvironmentError(
        "\(path) holds link type \(name), not Ethernet; no packet of it was read",
        remedy: "capture on an Ethernet interface")
    }
    unsafe self.handle = handle
    advance()
  }

  deinit { unsafe pcap_close(handle) }

  private static func remedy(for reason: String) -> String {
    if reason.contains("link-layer type") || reason.contains("snapshot length") || reason.contains("snaplen") {
      return
        "libpcap cannot mix interfaces of one pcapng file; split it: tshark -r FILE -Y frame.interface_id==0 -w ONE"
    }
    if reason.contains("truncated") { return "the file ends within its header; record it again" }
    return "give a pcap or pcapng file"
  }

  private func advance() {
    nextArrival = nil
    switch unsafe pcap_next_ex(handle, &header, &data) {
    case 1:
      guard let header = unsafe header else { return }
      let time = unsafe header.pointee.ts
      let seconds = UInt64(UInt32(truncatingIfNeeded: time.tv_sec))
      nextArrival = Instant(nanoseconds: seconds * 1_000_000_000 + UInt64(max(time.tv_usec, 0)))
    case Int32(PCAP_ERROR_BREAK): break
    default:
      let offset = unsafe pcap_file(handle).map { unsafe ftell($0) } ?? -1
      let reason = unsafe String(cString: pcap_geterr(handle))
      problem = "\(path): damaged near byte \(offset): \(reason); the \(packets) packets before it were processed"
    }
  }

  /// Copies the packet that is due into an empty buffer and goes on to the next.
  /// - Returns: Its length; nil when there are no buffers left, and the packet is still due.
  @unsafe
  func read(into mbuf: UnsafeMutablePointer<nfv_mbuf>, pool: OpaquePointer) -> UInt32? {
    guard let header = unsafe header, let data = unsafe data, nextArrival != nil else { return nil }
    let length = unsafe header.pointee.caplen
    guard unsafe nfv_write(mbuf, data, length, pool) else { return nil }
    packets += 1
    if unsafe header.pointee.caplen < header.pointee.len { truncated += 1 }
    advance()
    return length
  }
}
