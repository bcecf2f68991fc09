import CDPDK
import CPcap
import TestKit
import Testing

@testable import Dataplane

/// Filters in tcpdump's language against libpcap's own interpreter.
@Suite struct PacketFiltersTests {
  private static let expressions = [
    "tcp port 80 and not net 10.0.0.0/30", "udp", "icmp or icmp6", "ip6 and tcp", "arp", "vlan 7", "vlan and ip",
    "host 10.0.0.1", "src net 10.0.0.0/29 and dst port 53", "greater 100", "less 64", "ether proto 0x88b5",
    "tcp[tcpflags] & (tcp-syn|tcp-fin) != 0", "ip[8] < 5", "ip[2:2] > 100", "ip6[40] = 6", "len - 14 > 60",
    "ip[6:2] & 0x1fff != 0", "udp[4:2] = 8", "ether[20:4] & 0xff = 17", "ip[0] & 0xf > 5", "portrange 1-1024",
    "ip6 host 2001:db8::1", "ip protochain 6", "ip multicast", "ether[len - 1] = 0", "ip[ip[0] & 0xf] = 1",
    "tcp[13] / 2 = 1", "tcp[13] % 3 = 1", "ether[12] << 2 | 1 = 33", "ip[9] ^ 6 = 0", "1 = 1",
    "ether host 02:00:00:00:00:01", "len / (len - len) = 1",
  ]

  private func reference(_ program: [nfv_filter_instruction], _ bytes: [UInt8]) -> Bool {
    let code = program.map { bpf_insn(code: $0.code, jt: $0.jump_true, jf: $0.jump_false, k: $0.operand) }
    return unsafe bpf_filter(code, bytes, UInt32(bytes.count), UInt32(bytes.count)) != 0
  }

  /// Packets in several segments among them.
  @Test(arguments: expressions) func givesWhatLibpcapGives(expression: String) throws {
    var generator = FrameGenerator(seed: 7)
    let frames = generator.frames(400)
    try check(expression, frames)
  }

  private func check(_ expression: String, _ frames: [Frame]) throws {
    let program = try FilterCompiler.compile(expression)
    try withTestPool { pool in
      var filters = PacketFilters()
      try filters.add(expression)
      for frame in frames {
        let packet = pool.packet(frame)
        let passes = filters.matches(packet)
        pool.free(packet)
        let expected: UInt32 = reference(program, frame.bytes) ? 1 : 0
        #expect(passes == expected, "\(expression): \(frame) in \(frame.segments.count) segments")
      }
    }
  }

  @Test func longFiltersGiveTheSame() throws {
    let hosts = (0..<12).map { "host 2001:db8::\($0)" }.joined(separator: " or ")
    let pairs = (0..<24).map { "(src host 10.0.0.\($0 % 7) and dst port \(50 + $0))" }.joined(separator: " or ")
    var generator = FrameGenerator(seed: 9)
    let frames = generator.frames(300)
    for expression in [hosts, pairs, "not (\(hosts)) and not (\(pairs))"] { try check(expression, frames) }
  }

  @Test(arguments: [
    ("tcp prot 80", 4..<8), ("ip and and udp", 7..<10), ("tcp port 80 )", 12..<13), ("(udp or tcp", 10..<11),
    ("tcp port", 7..<8),
  ])
  func saysWhereAMistakeIs(expression: String, place: Range<Int>) {
    let problem = PacketFilters.problem(with: expression)
    #expect(problem?.place == place, "\(String(describing: problem))")
    #expect(problem?.reason.isEmpty == false)
  }

  @Test func refusesWhatLibpcapCouldNotTake() {
    #expect(PacketFilters.problem(with: String(repeating: "(", count: 20_000)) != nil)
    #expect(PacketFilters.problem(with: String(repeating: "not ", count: 4_000) + "ip") == nil)
    #expect(PacketFilters.problem(with: "ip\u{0}") != nil)
    #expect(PacketFilters.problem(with: "") == nil)
    #expect(PacketFilters.problem(with: "1 = 2")?.reason == "expression rejects all packets")
  }
}
