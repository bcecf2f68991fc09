import CDPDK
import CPcap
import Glibc

/// Reads packets from a capture: pcap with micro- or nanoseconds, of either byte order, and pcapng.
///
/// A file that is cut off or damaged is read as far as it goes; `problem` then says where it ends. It can be played
/// several times: each time the packets are later by the capture's own duration and one average gap.
@safe
final class CaptureReader {
  let path: String
  private var handle: OpaquePointer
  private var header: UnsafeMutablePointer<pcap_pkthdr>?
  private var data: UnsafePointer<UInt8>?
  /// When the next packet is due; nil at the end.
  private(set) var nextArrival: Instant?
  /// What ended the reading before the end of the file.
  private(set) var problem: String?
  /// Packets that the capture holds only the beginning of.
  private(set) var truncated: UInt64 = 0
  private(set) var packets: UInt64 = 0
  /// How often the capture is still to be played after this time.
  private var repeatsLeft: Int
  private var first: UInt64 = 0
  private var last: UInt64 = 0
  private var inThisRound: UInt64 = 0
  private var shift: UInt64 = 0

  /// - Parameter times: How often the packets are played.
  /// - Throws: When the file is no capture, or not one of Ethernet.
  init(path: String, times: Int = 1) throws(EnvironmentError) {
    self.path = path
    repeatsLeft = max(times, 1) - 1
    unsafe handle = try Self.open(path)
    advance()
  }

  deinit { unsafe pcap_close(handle) }

  // MARK: Opening

  private static func open(_ path: String) throws(EnvironmentError) -> OpaquePointer {
    guard let file = unsafe fopen(path, "rbe") else {
      throw EnvironmentError(
        "\(path) cannot be read (\(unsafe String(cString: strerror(errno))))",
        remedy: "check the path and its permissions")
    }
    if let unfit = unsafe lookAt(fileno(file), path) {
      unsafe fclose(file)
      throw unfit
    }
    // One thread reads, so the locks that stdio takes for every piece are of no use.
    unsafe setvbuf(file, nil, _IOFBF, 1 << 18)
    unsafe __fsetlocking(file, Int32(FSETLOCKING_BYCALLER))
    var error = [CChar](repeating: 0, count: Int(PCAP_ERRBUF_SIZE))
    guard
      let handle = unsafe pcap_fopen_offline_with_tstamp_precision(file, UInt32(PCAP_TSTAMP_PRECISION_NANO), &error)
    else {
      let reason = String(decoding: error.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
      let offset = unsafe ftell(file)
      unsafe fclose(file)
      throw EnvironmentError(
        "\(path) is no capture that libpcap reads: \(reason)\(Self.place(offset)); no packet of it was read",
        remedy: Self.remedy(for: reason))
    }
    let type = unsafe pcap_datalink(handle)
    guard type == DLT_EN10MB else {
      let name = unsafe pcap_datalink_val_to_name(type).map { unsafe String(cString: $0) } ?? "number \(type)"
      unsafe pcap_close(handle)
      throw EnvironmentError(
        "\(path) holds link type \(name), not Ethernet; no packet of it was read",
        remedy: "capture on an Ethernet interface")
    }
    return unsafe handle
  }

  /// What keeps a file from being read that libpcap would not say as clearly.
  private static func lookAt(_ descriptor: Int32, _ path: String) -> EnvironmentError? {
    var status = stat()
    guard unsafe fstat(descriptor, &status) == 0 else { return nil }
    switch status.st_mode & S_IFMT {
    case S_IFDIR: return EnvironmentError("\(path) is a folder, not a capture", remedy: "name a file in it")
    case S_IFREG: break
    default: return nil
    }
    if status.st_size == 0 {
      return EnvironmentError(
        "\(path) is empty: it has not even a capture's header",
        remedy: "record it again; tcpdump writes the header when it starts")
    }
    var magic: UInt32 = 0
    guard unsafe pread(descriptor, &magic, 4, 0) == 4 else { return nil }
    let packer: String? =
      switch UInt32(bigEndian: magic) {
      case 0x1F8B_0000...0x1F8B_FFFF: "gunzip"
      case 0xFD37_7A58: "unxz"
      case 0x28B5_2FFD: "unzstd"
      case 0x425A_6800...0x425A_68FF: "bunzip2"
      default: nil
      }
    return packer.map { EnvironmentError("\(path) is compressed", remedy: "unpack it first: \($0) \(path)") }
  }

  private static func place(_ offset: Int) -> String { offset < 0 ? "" : " (at byte \(offset))" }

  private static func remedy(for reason: String) -> String {
    if isMixture(reason) {
      return
        "libpcap cannot mix interfaces of one pcapng file; split it: tshark -r FILE -Y frame.interface_id==0 -w ONE"
    }
    if reason.contains("truncated") { return "the file ends within its header; record it again" }
    return "give a pcap or pcapng file"
  }

  /// Whether libpcap refused a file that is in order, because its interfaces differ.
  private static func isMixture(_ reason: String) -> Bool {
    reason.contains("different from the type of the first interface")
      || reason.contains("different from the snapshot length of the first interface")
  }

  // MARK: Reading

  private func advance() {
    nextArrival = nil
    switch unsafe pcap_next_ex(handle, &header, &data) {
    case 1:
      guard let header = unsafe header else { return }
      let time = unsafe header.pointee.ts
      // Classic pcap has 32 bits without a sign, which libpcap extends as if they had one.
      let seconds = time.tv_sec < 0 ? UInt64(UInt32(truncatingIfNeeded: time.tv_sec)) : UInt64(time.tv_sec)
      let arrival = Instant(nanoseconds: min(seconds, Self.mostSeconds) * 1_000_000_000)
        .advanced(by: UInt64(max(time.tv_usec, 0)))
      if inThisRound == 0 { first = arrival.nanoseconds }
      last = max(last, arrival.nanoseconds)
      nextArrival = arrival.advanced(by: shift)
    case Int32(PCAP_ERROR_BREAK): startAgain()
    default:
      let offset = unsafe pcap_file(handle).map { unsafe ftell($0) } ?? -1
      let reason = unsafe String(cString: pcap_geterr(handle))
      let remedy = Self.isMixture(reason) ? "; \(Self.remedy(for: reason))" : ""
      problem = "\(path): \(reason)\(Self.place(offset)); the \(packets) packets before it were played\(remedy)"
    }
  }

  /// Later times cannot be told in nanoseconds of 64 bits.
  private static let mostSeconds: UInt64 = 18_000_000_000

  private func startAgain() {
    guard repeatsLeft > 0, inThisRound > 0 else { return }
    repeatsLeft -= 1
    let duration = last >= first ? last - first : 0
    shift += duration + (inThisRound > 1 ? max(1, duration / (inThisRound - 1)) : Self.loneGap)
    do throws(EnvironmentError) {
      let again = unsafe try Self.open(path)
      unsafe pcap_close(handle)
      unsafe handle = again
    } catch {
      problem = "\(error.message) when it was to be played again"
      return
    }
    inThisRound = 0
    last = 0
    advance()
  }

  /// Nanoseconds from one round to the next of a capture with a single packet.
  private static let loneGap: UInt64 = 1_000_000

  /// Copies the packet that is due into an empty buffer and goes on to the next.
  /// - Returns: Its length; nil when there are no buffers left, and the packet is still due.
  @unsafe
  func read(into mbuf: UnsafeMutablePointer<nfv_mbuf>, pool: OpaquePointer) -> UInt32? {
    guard let header = unsafe header, let data = unsafe data, nextArrival != nil else { return nil }
    let length = unsafe header.pointee.caplen
    guard unsafe nfv_write(mbuf, data, length, pool) else { return nil }
    skip()
    return length
  }

  /// Appends the bytes of the packet that is due and goes on to the next.
  /// - Returns: How many there are; nil when no packet is due.
  func append(to bytes: inout [UInt8]) -> Int? {
    guard let header = unsafe header, let data = unsafe data, nextArrival != nil else { return nil }
    let length = unsafe Int(header.pointee.caplen)
    unsafe bytes.append(contentsOf: UnsafeBufferPointer(start: data, count: length))
    skip()
    return length
  }

  /// Goes on to the next packet.
  func skip() {
    guard nextArrival != nil, let header = unsafe header else { return }
    packets += 1
    inThisRound += 1
    if unsafe header.pointee.caplen < header.pointee.len { truncated += 1 }
    advance()
  }
}
