import CDPDK
import CPcap
import Glibc

/// Plays a capture into a pipeline, and writes what the pipeline sends.
@safe
public final class CapturePort: Port {
  public let number: Int
  public let queues: [any PortQueue]
  private let queue: CaptureQueue

  public init(number: Int, input: String?, output: String?, pool: PacketPool) throws(EnvironmentError) {
    self.number = number
    queue = try CaptureQueue(number: number, input: input, output: output, pool: pool)
    queues = [queue]
  }

  public func close() -> [String] { queue.close() }
}

@safe
final class CaptureQueue: PortQueue {
  private var reader: OpaquePointer?
  private var writer: OpaquePointer?
  private var dead: OpaquePointer?
  private var header: UnsafeMutablePointer<pcap_pkthdr>?
  private var data: UnsafePointer<UInt8>?
  private(set) var nextArrival: Instant?
  private let pool: OpaquePointer
  private let number: UInt16
  var isTimed: Bool { true }
  var hasEnded: Bool { nextArrival == nil }

  init(number: Int, input: String?, output: String?, pool: PacketPool) throws(EnvironmentError) {
    self.number = UInt16(number)
    unsafe self.pool = pool.pool
    if let input {
      var error = [CChar](repeating: 0, count: 256)
      unsafe reader = pcap_open_offline_with_tstamp_precision(input, 1, &error)
      guard unsafe reader != nil else {
        throw EnvironmentError(
          "\(input): \(String(decoding: error.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self))",
          remedy: "name a capture")
      }
      readAhead()
    }
    if let output {
      unsafe dead = pcap_open_dead_with_tstamp_precision(1, 262_144, 1)
      unsafe writer = pcap_dump_open(dead, output)
      guard unsafe writer != nil else { throw EnvironmentError("\(output): cannot be written", remedy: "check") }
    }
  }

  private func readAhead() {
    guard let reader = unsafe reader, unsafe pcap_next_ex(reader, &header, &data) == 1, let header = unsafe header
    else {
      nextArrival = nil
      return
    }
    let time = unsafe header.pointee.ts
    nextArrival = Instant(nanoseconds: UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_usec))
  }

  @unsafe
  func receive(_ slots: UnsafeMutablePointer<PacketSlot>, limit: Int, bytes: inout UInt64) -> Int {
    guard let instant = nextArrival else { return 0 }
    var count = 0
    while count < limit, nextArrival == instant, let header = unsafe header {
      guard unsafe nfv_alloc(pool, slots + count, 1), let mbuf = unsafe slots[count] else { break }
      let length = unsafe header.pointee.caplen
      unsafe mbuf.pointee.port = number
      unsafe nfv_write(mbuf, data, length, pool)
      bytes += UInt64(length)
      count += 1
      readAhead()
    }
    return count
  }

  @unsafe
  func transmit(_ slots: UnsafeMutablePointer<PacketSlot>, count: Int, now: Instant, bytes: inout UInt64) -> Int {
    for index in 0..<count {
      guard let mbuf = unsafe slots[index] else { continue }
      let length = unsafe mbuf.pointee.packet_length
      bytes += UInt64(length)
      if let writer = unsafe writer {
        var header = pcap_pkthdr()
        header.ts.tv_sec = Int(now.nanoseconds / 1_000_000_000)
        header.ts.tv_usec = Int(now.nanoseconds % 1_000_000_000)
        header.len = length
        header.caplen = length
        unsafe pcap_dump(UnsafeMutablePointer<UInt8>(writer), &header, nfv_mbuf_data(mbuf))
      }
    }
    unsafe nfv_free(slots, UInt32(count))
    return count
  }

  func close() -> [String] {
    if let writer = unsafe writer { unsafe pcap_dump_close(writer) }
    if let reader = unsafe reader { unsafe pcap_close(reader) }
    return []
  }
}
