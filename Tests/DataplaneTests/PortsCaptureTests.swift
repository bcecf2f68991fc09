import Glibc
import TestKit
import Testing
import Wire

@testable import Dataplane

// MARK: Captures written by hand

/// A packet in a capture.
private struct Record {
  var seconds: UInt32 = 1_700_000_000
  var fraction: UInt32 = 0
  var bytes: [UInt8]
  var length: UInt32?
}

/// Bytes of a classic pcap file.
private func pcap(
  _ records: [Record], magic: UInt32 = 0xA1B2_C3D4, linkType: UInt32 = 1, isBigEndian: Bool = false
) -> [UInt8] {
  var writer = ByteWriter(isBigEndian: isBigEndian)
  writer.word(magic)
  writer.half(2)
  writer.half(4)
  for word in [0, 0, 262_144, linkType] { writer.word(word) }
  for record in records {
    writer.word(record.seconds)
    writer.word(record.fraction)
    writer.word(UInt32(record.bytes.count))
    writer.word(record.length ?? UInt32(record.bytes.count))
    writer.bytes += record.bytes
  }
  return writer.bytes
}

private struct ByteWriter {
  var isBigEndian = false
  var bytes: [UInt8] = []

  mutating func word(_ value: UInt32) {
    let value = isBigEndian ? value.bigEndian : value.littleEndian
    unsafe withUnsafeBytes(of: value) { unsafe bytes += Array($0) }
  }

  mutating func half(_ value: UInt16) {
    let value = isBigEndian ? value.bigEndian : value.littleEndian
    unsafe withUnsafeBytes(of: value) { unsafe bytes += Array($0) }
  }

  /// A pcapng block.
  mutating func block(_ type: UInt32, _ body: (inout ByteWriter) -> Void) {
    var inner = ByteWriter(isBigEndian: isBigEndian)
    body(&inner)
    while inner.bytes.count % 4 != 0 { inner.bytes.append(0) }
    word(type)
    word(UInt32(inner.bytes.count + 12))
    bytes += inner.bytes
    word(UInt32(inner.bytes.count + 12))
  }

  mutating func section() {
    block(0x0A0D_0D0A) { block in
      block.word(0x1A2B_3C4D)
      block.half(1)
      block.half(0)
      block.word(.max)
      block.word(.max)
    }
  }

  /// - Parameter resolution: The power of ten that a second has ticks.
  mutating func interface(linkType: UInt16 = 1, snapLength: UInt32 = 262_144, resolution: UInt8 = 9) {
    block(1) { block in
      block.half(linkType)
      block.half(0)
      block.word(snapLength)
      block.half(9)
      block.half(1)
      block.bytes += [resolution, 0, 0, 0]
      block.half(0)
      block.half(0)
    }
  }

  mutating func packet(_ bytes: [UInt8], at time: UInt64, interface: UInt32 = 0) {
    block(6) { block in
      block.word(interface)
      block.word(UInt32(time >> 32))
      block.word(UInt32(truncatingIfNeeded: time))
      block.word(UInt32(bytes.count))
      block.word(UInt32(bytes.count))
      block.bytes += bytes
    }
  }
}

/// A folder of a test's own, removed when the test is over.
private final class Folder {
  let path: String

  init() throws {
    var template = Array("/tmp/nfv-ports-XXXXXX".utf8CString)
    guard unsafe mkdtemp(&template) != nil else { throw EnvironmentError("no folder", remedy: "make room in /tmp") }
    path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  deinit {
    for name in names { _ = unsafe unlink("\(path)/\(name)") }
    _ = unsafe rmdir(path)
  }

  var names: [String] {
    guard let directory = unsafe opendir(path) else { return [] }
    defer { unsafe closedir(directory) }
    var found: [String] = []
    while let entry = unsafe readdir(directory) {
      let name = unsafe withUnsafePointer(to: &entry.pointee.d_name) {
        unsafe $0.withMemoryRebound(to: CChar.self, capacity: 256) { unsafe String(cString: $0) }
      }
      if name != "." && name != ".." { found.append(name) }
    }
    return found.sorted()
  }

  func write(_ bytes: [UInt8], to name: String = "in.pcap") -> String {
    let file = unsafe fopen("\(path)/\(name)", "w")
    unsafe fwrite(bytes, 1, bytes.count, file)
    if let file = unsafe file { unsafe fclose(file) }
    return "\(path)/\(name)"
  }

  func read(_ name: String) -> [UInt8] { readFile("\(path)/\(name)") }
}

private func readFile(_ path: String) -> [UInt8] {
  guard let file = unsafe fopen(path, "r") else { return [] }
  defer { unsafe fclose(file) }
  var bytes: [UInt8] = []
  var piece = [UInt8](repeating: 0, count: 65_536)
  while true {
    let count = unsafe fread(&piece, 1, piece.count, file)
    if count == 0 { return bytes }
    bytes += piece[..<count]
  }
}

/// A packet that a port gave, and when.
private struct Arrival: Equatable {
  var time: UInt64
  var bytes: [UInt8]
}

/// Receives everything as a replay does; checks that no burst spans two instants.
private func play(_ queue: any PortQueue, limit: Int = 32) -> [Arrival] {
  var arrivals: [Arrival] = []
  unsafe withUnsafeTemporaryAllocation(of: PacketSlot.self, capacity: limit) { slots in
    while let next = queue.nextArrival {
      var bytes: UInt64 = 0
      let count = unsafe queue.receive(slots.baseAddress!, limit: limit, now: next, bytes: &bytes)
      guard count > 0 else { return }
      for index in 0..<count {
        guard let packet = unsafe Packet(taking: slots[index]) else { continue }
        bytes -= UInt64(packet.length)
        arrivals.append(Arrival(time: next.nanoseconds, bytes: packet.copyBytes()))
        packet.discard()
      }
      #expect(bytes == 0, "bytes are counted as they are")
    }
  }
  return arrivals
}

private func frame(_ number: Int, count: Int = 60) -> [UInt8] {
  var bytes = [UInt8](repeating: UInt8(truncatingIfNeeded: number), count: count)
  if count >= 14 { bytes.replaceSubrange(12..<14, with: [0x88, 0xB5]) }
  return bytes
}

private func open(
  _ input: String?, _ pool: borrowing TestPool, output: String? = nil,
  _ change: (inout CapturePort.Options) -> Void = { _ in }
) throws -> CapturePort {
  var options = CapturePort.Options()
  options.input = input
  options.output = output
  change(&options)
  return try CapturePort(options, number: 70, pool: pool.pool)
}

private func refusal(_ path: String) throws -> EnvironmentError? {
  try withTestPool { pool in
    do {
      _ = try open(path, pool)
      return nil
    } catch let error as EnvironmentError {
      return error
    }
  }
}

// MARK: Reading

@Suite struct PortsCaptureInputTests {
  @Test(arguments: [false, true], [UInt32(0xA1B2_C3D4), 0xA1B2_3C4D])
  func readsClassicCaptures(isBigEndian: Bool, magic: UInt32) throws {
    let folder = try Folder()
    // Seconds beyond 2038 have the highest bit set.
    let records = [
      Record(seconds: 1_700_000_000, fraction: 999_999, bytes: frame(1)),
      Record(seconds: 1_700_000_001, fraction: 7, bytes: frame(2, count: 1514)),
      Record(seconds: 4_000_000_000, fraction: 1, bytes: frame(3, count: 14)),
    ]
    let path = folder.write(pcap(records, magic: magic, isBigEndian: isBigEndian))
    try withTestPool { pool in
      let port = try open(path, pool)
      let unit: UInt64 = magic == 0xA1B2_C3D4 ? 1000 : 1
      let arrivals = play(port.queues[0])
      #expect(
        arrivals
          == records.map {
            Arrival(time: UInt64($0.seconds) * 1_000_000_000 + UInt64($0.fraction) * unit, bytes: $0.bytes)
          })
      #expect(port.queues[0].hasEnded)
      #expect(port.close() == [])
    }
  }

  @Test(arguments: [false, true], [UInt8(6), 9])
  func readsPcapng(isBigEndian: Bool, resolution: UInt8) throws {
    let folder = try Folder()
    var writer = ByteWriter(isBigEndian: isBigEndian)
    writer.section()
    writer.interface(resolution: resolution)
    let unit: UInt64 = resolution == 6 ? 1000 : 1
    let time: UInt64 = 1_700_000_000_123_456_000 / unit
    writer.packet(frame(1), at: time)
    writer.packet(frame(2, count: 61), at: time + 1)
    let path = folder.write(writer.bytes)
    try withTestPool { pool in
      let arrivals = play(try open(path, pool).queues[0])
      #expect(
        arrivals == [
          Arrival(time: time * unit, bytes: frame(1)), Arrival(time: (time + 1) * unit, bytes: frame(2, count: 61)),
        ])
    }
  }

  @Test func burstsKeepToOneInstant() throws {
    let folder = try Folder()
    let times: [UInt32] = [1, 1, 1, 2, 3, 3]
    let path = folder.write(pcap(times.enumerated().map { Record(seconds: $1, bytes: frame($0)) }))
    try withTestPool { pool in
      for limit in [1, 2, 256] {
        let arrivals = play(try open(path, pool).queues[0], limit: limit)
        #expect(arrivals.map(\.time) == times.map { UInt64($0) * 1_000_000_000 })
        #expect(arrivals.map(\.bytes) == (0..<6).map { frame($0) })
      }
    }
  }

  @Test func keepsLongAndEmptyPackets() throws {
    let folder = try Folder()
    let records = [
      Record(bytes: frame(1, count: 70_000)), Record(bytes: []), Record(bytes: frame(2, count: 262_144)),
      Record(bytes: frame(3, count: 2048)), Record(bytes: frame(4, count: 2049)),
    ]
    let path = folder.write(pcap(records))
    try withTestPool { pool in
      let port = try open(path, pool, output: "\(folder.path)/out.pcap")
      #expect(play(port.queues[0]).map(\.bytes) == records.map(\.bytes))
    }
  }

  @Test func countsSnappedPackets() throws {
    let folder = try Folder()
    let path = folder.write(pcap([Record(bytes: frame(1), length: 1500), Record(bytes: frame(2))]))
    try withTestPool { pool in
      let port = try open(path, pool)
      #expect(play(port.queues[0]).map(\.bytes) == [frame(1), frame(2)])
      #expect(port.counters.first { $0.name == "truncated" }?.value == 1)
    }
  }

  @Test func playsSeveralTimes() throws {
    let folder = try Folder()
    let path = folder.write(pcap([0, 10, 20].map { Record(seconds: 100 + $0, bytes: frame(Int($0))) }))
    try withTestPool { pool in
      let port = try open(path, pool) { $0.times = 3 }
      let arrivals = play(port.queues[0])
      #expect(arrivals.map { $0.time / 1_000_000_000 } == [100, 110, 120, 130, 140, 150, 160, 170, 180])
      #expect(arrivals.map(\.bytes) == [0, 10, 20, 0, 10, 20, 0, 10, 20].map { frame($0) })
      let lone = folder.write(pcap([Record(seconds: 1, bytes: frame(1))]), to: "lone.pcap")
      #expect(try play(open(lone, pool) { $0.times = 2 }.queues[0]).map(\.time) == [1_000_000_000, 1_001_000_000])
    }
  }

  @Test func playsByTheClock() throws {
    let folder = try Folder()
    let path = folder.write(pcap([0, 0, 1, 3].map { Record(seconds: 100 + $0, bytes: frame(Int($0))) }))
    try withTestPool { pool in
      let queue = try open(path, pool) { $0.isPaced = true }.queues[0]
      queue.begin(at: Instant(nanoseconds: 5_000_000_000), isLive: true)
      #expect(
        [5.0, 5.5, 5.999, 6.0, 7.9, 8.0].map { receiveLive(queue, at: $0) } == [2, 0, 0, 1, 0, 1])
      #expect(queue.hasEnded)
      let eager = try open(path, pool).queues[0]
      eager.begin(at: Instant(nanoseconds: 5_000_000_000), isLive: true)
      #expect(receiveLive(eager, at: 5) == 4)
    }
  }

  private func receiveLive(_ queue: any PortQueue, at seconds: Double) -> Int {
    unsafe withUnsafeTemporaryAllocation(of: PacketSlot.self, capacity: 8) { slots in
      var bytes: UInt64 = 0
      let count = unsafe queue.receive(
        slots.baseAddress!, limit: 8, now: Instant(nanoseconds: UInt64(seconds * 1e9)), bytes: &bytes)
      for index in 0..<count { unsafe Packet(taking: slots[index])?.discard() }
      return count
    }
  }

  @Test func waitsForBuffers() throws {
    let folder = try Folder()
    let path = folder.write(pcap((0..<40).map { Record(bytes: frame($0)) }))
    try withTestPool(packets: 32) { pool in
      let port = try open(path, pool)
      let queue = port.queues[0]
      unsafe withUnsafeTemporaryAllocation(of: PacketSlot.self, capacity: 64) { slots in
        var bytes: UInt64 = 0
        let now = Instant(nanoseconds: 0)
        let base = slots.baseAddress!
        #expect(unsafe queue.receive(base, limit: 64, now: now, bytes: &bytes) == 32)
        #expect(unsafe queue.receive(base + 32, limit: 32, now: now, bytes: &bytes) == 0)
        for index in 0..<32 { unsafe Packet(taking: slots[index])?.discard() }
        #expect(unsafe queue.receive(base, limit: 64, now: now, bytes: &bytes) == 8)
        for index in 0..<8 { unsafe Packet(taking: slots[index])?.discard() }
      }
      #expect(port.counters.first { $0.name == "noBuffer" }?.value == 0)
    }
  }

  @Test func givesUpWhatNoPoolHolds() throws {
    let folder = try Folder()
    let path = folder.write(
      pcap([Record(bytes: frame(1)), Record(bytes: frame(2, count: 200_000)), Record(bytes: frame(3))]))
    try withTestPool(packets: 32) { pool in
      let port = try open(path, pool)
      let plan = Plan(worker: 0, pool: pool.pool, batchSize: 32, nodes: 2)
      let sink = MemorySink()
      let source = plan.addReceive("in", port.queues[0])
      plan.connect(source, output: 0, to: plan.addTransmit("out", sink), input: 0)
      #expect(Worker(plan: plan).replay(until: StopFlag()) == [])
      #expect(sink.take().map(\.bytes) == [frame(1), frame(3)])
      #expect(port.counters.first { $0.name == "noBuffer" }?.value == 1)
    }
  }

  // MARK: What is wrong with a capture

  @Test func keepsWhatStandsBeforeDamage() throws {
    let folder = try Folder()
    let whole = pcap([Record(bytes: frame(1)), Record(bytes: frame(2)), Record(bytes: frame(3))])
    for (cut, kept) in [(whole.count - 1, 2), (24 + 76 * 2 + 5, 2), (24 + 76 + 17, 1), (24 + 3, 0)] {
      let path = folder.write(Array(whole[..<cut]))
      try withTestPool { pool in
        let port = try open(path, pool)
        #expect(play(port.queues[0]).map(\.bytes) == (0..<kept).map { frame($0 + 1) })
        let problems = port.close()
        #expect(problems.count == 1)
        #expect(problems.first?.contains(path) == true)
        #expect(problems.first?.contains("truncated dump file") == true)
        #expect(problems.first?.contains("at byte \(cut)") == true)
        #expect(problems.first?.contains("the \(kept) packets before it were played") == true)
      }
    }
  }

  @Test func namesNonsenseInTheMiddle() throws {
    let folder = try Folder()
    var bytes = pcap([Record(bytes: frame(1)), Record(bytes: frame(2))])
    bytes.replaceSubrange(24 + 76 + 8..<24 + 76 + 12, with: [0xFF, 0xFF, 0xFF, 0x7F])
    let path = folder.write(bytes)
    try withTestPool { pool in
      let port = try open(path, pool)
      #expect(play(port.queues[0]).map(\.bytes) == [frame(1)])
      let problem = port.close().first ?? ""
      #expect(problem.contains("at byte \(24 + 76 + 16)"), "\(problem)")
    }
  }

  @Test func refusesWhatIsNoCapture() throws {
    let folder = try Folder()
    let missing = try refusal("\(folder.path)/missing.pcap")
    #expect(missing?.message == "\(folder.path)/missing.pcap cannot be read (No such file or directory)")
    #expect(try refusal(folder.path)?.message == "\(folder.path) is a folder, not a capture")
    let empty = folder.write([], to: "empty.pcap")
    #expect(try refusal(empty)?.message.hasPrefix("\(empty) is empty") == true)
    let text = folder.write(Array("this is not a capture, and long enough to be one".utf8), to: "text")
    #expect(try refusal(text)?.message.contains("unknown file format") == true)
    let short = folder.write(Array(pcap([])[..<20]), to: "short.pcap")
    #expect(try refusal(short)?.message.contains("truncated dump file") == true)
    #expect(try refusal(short)?.message.contains("at byte 20") == true)
    let packed = folder.write([0x1F, 0x8B, 8, 0, 0, 0, 0, 0], to: "packed.pcap.gz")
    #expect(try refusal(packed)?.remedy == "unpack it first: gunzip \(packed)")
  }

  @Test(arguments: [(UInt32(113), "LINUX_SLL"), (101, "RAW"), (0, "NULL"), (9999, "number 9999")])
  func refusesOtherLinkTypes(type: UInt32, name: String) throws {
    let folder = try Folder()
    let path = folder.write(pcap([Record(bytes: frame(1))], linkType: type))
    let error = try refusal(path)
    #expect(error?.message == "\(path) holds link type \(name), not Ethernet; no packet of it was read")
  }

  @Test(arguments: [true, false])
  func namesMixedInterfaces(differsInType: Bool) throws {
    let folder = try Folder()
    var writer = ByteWriter()
    writer.section()
    writer.interface()
    writer.packet(frame(1), at: 1)
    writer.interface(linkType: differsInType ? 113 : 1, snapLength: differsInType ? 262_144 : 96)
    writer.packet(frame(2), at: 2)
    let path = folder.write(writer.bytes)
    try withTestPool { pool in
      let port = try open(path, pool)
      #expect(play(port.queues[0]).map(\.bytes) == [frame(1)])
      let problem = port.close().first ?? ""
      #expect(problem.contains(differsInType ? "different from the type" : "different from the snapshot length"))
      #expect(problem.contains("split it: tshark"))
      #expect(problem.contains("the 1 packets before it were played"))
    }
  }
}

// MARK: Writing

@Suite struct PortsCaptureOutputTests {
  /// Sends frames out by a port.
  private func send(_ frames: [[UInt8]], _ port: CapturePort, _ pool: borrowing TestPool, at times: [UInt64]) {
    for (bytes, time) in zip(frames, times) {
      let segments = stride(from: 0, to: max(bytes.count, 1), by: 2000).map {
        Array(bytes[min($0, bytes.count)..<min($0 + 2000, bytes.count)])
      }
      guard let packet = pool.pool.makePacket(segments: segments) else { continue }
      var slot = unsafe packet.intoSlot()
      let taken = unsafe port.queues[0].transmit(&slot, count: 1, now: Instant(nanoseconds: time))
      #expect(taken == 1)
    }
  }

  @Test func writesWhatIsReadBack() throws {
    let folder = try Folder()
    let frames = [frame(1), frame(2, count: 9000), frame(3, count: 70_000), [], frame(4, count: 300_000)]
    let times: [UInt64] = [1_700_000_000_123_456_789, 1_700_000_001_000_000_000, 4_000_000_000_000_000_001, 5, 5]
    try withTestPool { pool in
      let port = try open(nil, pool, output: "\(folder.path)/out.pcap")
      #expect(folder.names == ["out.pcap.part"])
      send(frames, port, pool, at: times)
      #expect(port.close() == [])
      #expect(folder.names == ["out.pcap"])
      let whole = frames.map { Array($0.prefix(262_144)) }
      let expected = pcap(
        zip(whole, zip(frames, times)).map { kept, sent in
          Record(
            seconds: UInt32(sent.1 / 1_000_000_000), fraction: UInt32(sent.1 % 1_000_000_000), bytes: kept,
            length: UInt32(sent.0.count))
        }, magic: 0xA1B2_3C4D)
      #expect(folder.read("out.pcap") == expected)
      #expect(
        try play(open("\(folder.path)/out.pcap", pool).queues[0])
          == zip(times, whole).map { Arrival(time: $0, bytes: $1) })
    }
  }

  @Test func writesMicrosecondsAndBeginnings() throws {
    let folder = try Folder()
    try withTestPool { pool in
      let port = try open(nil, pool, output: "\(folder.path)/out.pcap") {
        $0.precision = .microseconds
        $0.snapLength = 20
      }
      send([frame(1)], port, pool, at: [1_000_001_999])
      #expect(port.close() == [])
      var expected = pcap([Record(seconds: 1, fraction: 1, bytes: Array(frame(1).prefix(20)), length: 60)])
      expected.replaceSubrange(16..<20, with: [20, 0, 0, 0])
      #expect(folder.read("out.pcap") == expected)
    }
  }

  @Test func sendsACaptureIntoItself() throws {
    let folder = try Folder()
    let path = folder.write(pcap([Record(bytes: frame(1)), Record(bytes: frame(2))], magic: 0xA1B2_3C4D))
    let before = folder.read("in.pcap")
    try withTestPool { pool in
      let port = try open(path, pool, output: path)
      let arrivals = play(port.queues[0])
      send(arrivals.map(\.bytes), port, pool, at: arrivals.map(\.time))
      #expect(port.close() == [])
      #expect(folder.read("in.pcap") == before)
      #expect(folder.names == ["in.pcap"])
    }
  }

  @Test func leavesTheOldFileUntilTheNewIsWhole() throws {
    let folder = try Folder()
    let path = folder.write([1, 2, 3], to: "out.pcap")
    try withTestPool { pool in
      for ending in 0..<3 {
        let port = try open(nil, pool, output: path)
        send([frame(1)], port, pool, at: [1])
        #expect(folder.read("out.pcap") == [1, 2, 3])
        if ending == 0 { port.cancel() }
        if ending == 2 { #expect(port.close() == []) }
      }
      #expect(folder.read("out.pcap").count == 24 + 76)
      #expect(folder.names == ["out.pcap"])
    }
  }

  @Test func followsSymbolicLinks() throws {
    let folder = try Folder()
    let path = folder.write([1], to: "real.pcap")
    #expect(unsafe symlink(path, "\(folder.path)/link.pcap") == 0)
    try withTestPool { pool in
      let port = try open(nil, pool, output: "\(folder.path)/link.pcap")
      #expect(port.close() == [])
      #expect(folder.read("real.pcap").count == 24)
      #expect(folder.names == ["link.pcap", "real.pcap"])
    }
  }

  @Test func reportsAFullDiskOnce() throws {
    try withTestPool { pool in
      for count in [1, 5000] {
        let port = try open(nil, pool, output: "/dev/full")
        send((0..<count).map { frame($0) }, port, pool, at: (0..<count).map { UInt64($0) })
        #expect(
          port.close() == [
            "/dev/full: No space left on device; \(count) packets were not written, the 0 before them are in /dev/full"
          ])
        #expect(port.close() == [])
      }
    }
  }

  /// A file limit fills up in the middle, as a disk does.
  @Test func keepsWholePacketsOnAFullDisk() throws {
    let folder = try Folder()
    let path = "\(folder.path)/out.pcap"
    var file = try CaptureFile.create(path)
    let bytes = pcap([Record(bytes: frame(1)), Record(bytes: frame(2))])
    let written = unsafe bytes.withUnsafeBytes { unsafe file.write($0) }
    #expect(written.written == bytes.count)
    #expect(written.error == 0)
    file.cut(to: 24 + 76)
    file.leave()
    #expect(folder.names == ["out.pcap.part"])
    #expect(folder.read("out.pcap.part") == Array(bytes[..<100]))
  }

  private func refusal(_ path: String, _ pool: borrowing TestPool) -> String? {
    do {
      _ = try open(nil, pool, output: path)
      return nil
    } catch {
      return (error as? EnvironmentError)?.message
    }
  }

  @Test func refusesWhatCannotBeWritten() throws {
    let folder = try Folder()
    try withTestPool { pool in
      #expect(refusal(folder.path, pool) == "\(folder.path) is a folder, not a file to write")
      #expect(
        refusal("\(folder.path)/none/out.pcap", pool)
          == "\(folder.path)/none/out.pcap.part cannot be written (No such file or directory)")
      let first = try open(nil, pool, output: "\(folder.path)/out.pcap")
      #expect(refusal("\(folder.path)/out.pcap", pool) == "\(folder.path)/out.pcap is being written already")
      #expect(first.close() == [])
      #expect(refusal("\(folder.path)/out.pcap", pool) == nil)
    }
  }
}

// MARK: Playback from memory

@Suite struct PortsPlaybackTests {
  /// Takes packets by bursts of `limit`; nil where the pool had none.
  private func take(_ queue: any PortQueue, _ limit: Int) -> [[UInt8]] {
    var taken: [[UInt8]] = []
    unsafe withUnsafeTemporaryAllocation(of: PacketSlot.self, capacity: limit) { slots in
      var bytes: UInt64 = 0
      let count = unsafe queue.receive(slots.baseAddress!, limit: limit, now: Instant(nanoseconds: 5), bytes: &bytes)
      for index in 0..<count {
        guard let packet = unsafe Packet(taking: slots[index]) else { continue }
        #expect(packet.ingressPort == 70)
        bytes -= UInt64(packet.length)
        taken.append(packet.copyBytes())
        packet.discard()
      }
      #expect(bytes == 0, "bytes are counted as they are")
    }
    return taken
  }

  private func open(_ path: String, _ pool: borrowing TestPool) throws -> PlaybackPort {
    try PlaybackPort(path, number: 70, pool: pool.pool)
  }

  private func refusal(_ path: String) throws -> EnvironmentError? {
    try withTestPool(packets: 256, dataRoom: 256) { pool in
      do {
        _ = try open(path, pool)
        return nil
      } catch let error as EnvironmentError {
        return error
      }
    }
  }

  /// Round and round in the capture's order, whatever the bursts; frames longer than a buffer take several.
  @Test(arguments: [1, 3, 32]) func goesRoundAndRound(limit: Int) throws {
    let folder = try Folder()
    let frames = [frame(1), frame(2, count: 256), frame(3, count: 257), frame(4, count: 1514), frame(5, count: 0)]
    let path = folder.write(pcap(frames.map { Record(bytes: $0) }))
    try withTestPool(dataRoom: 256) { pool in
      let port = try open(path, pool)
      #expect(port.warnings == [])
      // What was read stays, whatever becomes of the file.
      _ = folder.write([], to: "in.pcap")
      let queue = port.queues[0]
      #expect(!queue.hasEnded && !queue.isTimed && queue.nextArrival == nil)
      var played: [[UInt8]] = []
      while played.count < 96 { played += take(queue, limit) }
      #expect(played == played.indices.map { frames[$0 % 5] })
    }
  }

  /// A pool that is short loses no frame and leaks no buffer: the next burst goes on where this one stopped.
  @Test func goesOnWhenBuffersComeBack() throws {
    let folder = try Folder()
    let frames = (0..<7).map { frame($0, count: 60 + 1500 * ($0 % 2)) }
    let path = folder.write(pcap(frames.map { Record(bytes: $0) }))
    try withTestPool(packets: 64, dataRoom: 256) { pool in
      let queue = try open(path, pool).queues[0]
      var played: [[UInt8]] = []
      var wasShort = false
      for _ in 0..<50 {
        let taken = take(queue, 40)
        wasShort = wasShort || taken.count < 40
        played += taken
      }
      #expect(wasShort && played.count > 300)
      #expect(played == played.indices.map { frames[$0 % 7] })
    }
  }

  @Test func refusesWhatHasNothingToPlay() throws {
    let folder = try Folder()
    let empty = folder.write(pcap([]))
    #expect(try refusal(empty)?.message == "\(empty) holds no packet to be played")
    #expect(try refusal("\(folder.path)/none.pcap")?.message.contains("cannot be read") == true)
    let long = folder.write(pcap([Record(bytes: frame(1, count: 60_000))]), to: "long.pcap")
    #expect(try refusal(long)?.message.contains("a packet of 60000 bytes") == true)
    let cut = folder.write(Array(pcap([Record(bytes: frame(1))]).dropLast(10)), to: "cut.pcap")
    #expect(try refusal(cut)?.message.contains("the 0 packets before it were played") == true)
  }

  @Test func saysWhatIsMissingOfACapture() throws {
    let folder = try Folder()
    let records = [Record(bytes: frame(1)), Record(bytes: frame(2), length: 1514), Record(bytes: frame(3))]
    let path = folder.write(Array(pcap(records).dropLast(10)))
    try withTestPool { pool in
      let port = try open(path, pool)
      #expect(port.warnings.count == 2 && port.warnings[0].contains("the 2 packets before it were played"))
      #expect(port.warnings[1] == "\(path) holds only the beginning of 1 packets, which is what is played")
      #expect(take(port.queues[0], 3) == [frame(1), frame(2), frame(1)])
    }
  }

  @Test func freesWhatItIsSent() throws {
    let folder = try Folder()
    let path = folder.write(pcap([Record(bytes: frame(1))]))
    try withTestPool { pool in
      let queue = try open(path, pool).queues[0]
      unsafe withUnsafeTemporaryAllocation(of: PacketSlot.self, capacity: 8) { slots in
        var bytes: UInt64 = 0
        let now = Instant(nanoseconds: 0)
        #expect(unsafe queue.receive(slots.baseAddress!, limit: 8, now: now, bytes: &bytes) == 8)
        #expect(unsafe queue.transmit(slots.baseAddress!, count: 8, now: now) == 8)
      }
    }
  }
}

// MARK: Captures from the world

@Suite struct PortsWorldCaptureTests {
  /// Where captures of other projects lie, when they are there.
  static var folder: String? {
    if let given = unsafe getenv("NFV_CAPTURES") { return unsafe String(cString: given) }
    let repository = #filePath.split(separator: "/").dropLast(3).joined(separator: "/")
    let beside = "/" + repository.split(separator: "/").dropLast().joined(separator: "/") + "/shared/captures"
    return unsafe access(beside, R_OK) == 0 ? beside : nil
  }

  /// The upper bits of a link type tell how long the frame check sequence is.
  private func isEthernet(_ linkType: String) -> Bool { (Int(linkType) ?? 0) & 0x03FF_FFFF == 1 }

  /// Every capture is read as far as the list says libpcap reads it, or refused with the reason.
  @Test(.enabled(if: folder != nil)) func areReadOrRefused() throws {
    let folder = try #require(Self.folder)
    let lines = String(decoding: readFile("\(folder)/INDEX.tsv"), as: UTF8.self).split(separator: "\n").dropFirst()
    #expect(lines.count > 50)
    var played = 0
    var refused = 0
    try withTestPool(packets: 512) { pool in
      for line in lines {
        let columns = line.split(separator: "\t", omittingEmptySubsequences: false).map(String.init)
        let path = "\(folder)/\(columns[0])"
        let error = columns.count > 8 ? columns[8] : ""
        do {
          let port = try open(path, pool)
          let arrivals = play(port.queues[0])
          let problems = port.close()
          #expect(isEthernet(columns[6]), "\(columns[0]) is played although its link type is \(columns[6])")
          #expect(arrivals.count == Int(columns[4]), "\(columns[0])")
          #expect(problems.isEmpty == error.isEmpty, "\(columns[0]): \(problems) where libpcap says '\(error)'")
          #expect(problems.allSatisfy { $0.contains(path) && $0.contains("at byte") })
          played += 1
        } catch let refusal as EnvironmentError {
          #expect(!isEthernet(columns[6]) || !error.isEmpty, "\(columns[0]): \(refusal)")
          #expect(refusal.message.hasPrefix(path))
          refused += 1
        }
      }
    }
    #expect(played > 20 && refused > 5, "\(played) played, \(refused) refused")
  }
}
