import Assembly
import Dataplane
import Foundation
import TestKit
import Testing

@testable import Elements

/// Fragments, and rules that are replaced.
@Suite struct FirewallFragmentTests {
  // MARK: Fragments

  private func pieces(_ bench: FirewallBench, identification: UInt16 = 9) -> [Frame] {
    bench.ip(fromLAN: true).udp(from: 3000, to: 53).payload(count: 2000).fragments(
      of: 800, identification: identification)
  }

  @Test(arguments: [false, true], [1, 32]) func fragmentsGoWhereTheirFirstGoes(isIPv6: Bool, batchSize: Int) throws {
    let bench = try FirewallBench(isIPv6: isIPv6, batchSize: batchSize)
    let inOrder = bench.element.push(pieces(bench))
    #expect(inOrder["wan"].map(\.bytes) == pieces(bench).map(\.bytes))
    #expect(bench.counter("sessions") == 1)
    let outOfOrder = bench.element.push(pieces(bench, identification: 10).reversed())
    #expect(outOfOrder["wan"].count == 3)
    #expect(outOfOrder.held == 0)
    #expect(Set(outOfOrder["wan"].map(\.bytes)) == Set(pieces(bench, identification: 10).map(\.bytes)))
  }

  @Test(arguments: [false, true]) func fragmentsOfWhatDoesNotPassDoNot(isIPv6: Bool) throws {
    let bench = try FirewallBench(isIPv6: isIPv6)
    let frames = bench.ip(fromLAN: false).udp(from: 3000, to: 53).payload(count: 2000).fragments(of: 800)
    #expect(bench.element.push(frames).drops == ["deniedByDefault": 1, "firstFragmentRefused": 2])
    let rejecting = try FirewallBench(rules: "rules: [{ action: reject }]", isIPv6: isIPv6)
    let result = rejecting.element.push(frames)
    #expect(result["wan"].count == 1)
    #expect(result.drops == ["firstFragmentRefused": 2])
  }

  @Test func fragmentsWaitForTheirFirstForAWhile() throws {
    let bench = try FirewallBench()
    let frames = pieces(bench)
    #expect(bench.element.push(frames[1]).held == 1)
    let result = bench.element.advance(by: 60 * FirewallBench.second)
    #expect(result.held == 0)
    #expect(result.drops == ["firstFragmentLost": 1])
  }

  /// Fragments that overlap end their packet.
  @Test(arguments: [false, true]) func rfc5722_4_overlappingFragmentsAreDropped(isIPv6: Bool) throws {
    let bench = try FirewallBench(isIPv6: isIPv6)
    let frames = pieces(bench)
    let whole = bench.ip(fromLAN: true).udp(from: 3000, to: 53).payload(count: 2000)
    let other = whole.fragments(of: 488, identification: 9)
    #expect(bench.send(frames[0]) == "wan")
    #expect(bench.send(other[1]) == "overlappingFragment")
    #expect(bench.send(frames[1]) == "overlappingFragment")
  }

  /// A first fragment that cuts the transport header is dropped (3.2).
  @Test func rfc1858_3_2_tinyFragmentsAreDropped() throws {
    let bench = try FirewallBench()
    let tcp = bench.tcp(lan: true, "S", 1000).fragments(of: 8)
    #expect(bench.send(tcp[0]) == "tinyFragment")
    #expect(bench.counter("sessions") == 0)
  }

  /// A fragment that would write over the TCP flags of a first one is dropped (section 4).
  @Test func rfc3128_4_fragmentsOverTheFlagsAreDropped() throws {
    let bench = try FirewallBench()
    let tcp = bench.tcp(lan: true, "S", 1000).fragments(of: 8)
    #expect(bench.send(tcp[1]) == "tinyFragment")
  }

  @Test func aFragmentedSegmentDoesNotCloseTheWindow() throws {
    let bench = try FirewallBench()
    bench.connect()
    let segment = bench.tcp(lan: true, "A", 1001, 5001, data: 3000)
    let sent = bench.element.push(segment.fragments(of: 1000))
    #expect(sent["wan"].count == 4)
    #expect(bench.send(bench.tcp(lan: false, "A", 5001, 4001)) == "lan")
    #expect(bench.send(bench.tcp(lan: true, "A", 4001, 5001, data: 10)) == "wan")
  }

  // MARK: Rules that are replaced

  private func pipeline(_ more: String) -> String {
    """
    nfv: 1
    ports: { lan: { pcap: a.pcap }, wan: { pcap: b.pcap } }
    elements:
      check: CheckIP
      fw:
        Firewall:
          zones: { lan: { ports: lan }, wan: { ports: wan } }
          \(more)
    graph: [ lan -> check -> fw, wan -> check, check.other -> drop, fw.lan -> lan, fw.wan -> wan ]
    """
  }

  private static let udp = "{ action: accept, from: lan, protocol: udp }"
  private static let tcp = "{ action: accept, from: lan, protocol: tcp }"

  @Test(arguments: ["keep", "reevaluate"]) func sessionsOutliveTheirRulesOrNot(choice: String) throws {
    let bench = try PipelineUnderTest(pipeline("{ policy_change: \(choice), rules: [\(Self.udp), \(Self.tcp)] }".lines))
    let out = Frame.ethernet().ipv4(from: "10.0.0.5", to: "192.0.2.9")
    let back = Frame.ethernet().ipv4(from: "192.0.2.9", to: "10.0.0.5")
    func send(_ frame: Frame, at port: String) -> String {
      let result = bench.push([frame.from(port: Pipeline.portNumber(port == "lan" ? 0 : 1))], at: port)
      return result.drops.first?.key ?? (result["lan"].isEmpty ? "wan" : "lan")
    }
    let query = out.udp(from: 3000, to: 53)
    let answer = back.udp(from: 53, to: 3000)
    #expect(send(query, at: "lan") == "wan")
    #expect(send(out.udp(from: 3001, to: 53), at: "lan") == "wan")
    #expect(send(out.tcp(from: 3000, to: 80, sequence: 1, flags: "S"), at: "lan") == "wan")
    let readers = try #require(ReaderDomain(workers: 1))
    let other = try Pipeline.load(
      text: pipeline("{ policy_change: \(choice), rules: [\(Self.tcp)] }".lines), name: "p.yaml", elements: catalogue)
    #expect(try bench.pipeline.takeOver(other, element: nil, readers: readers) == ["fw"])
    let keeps = choice == "keep"
    // By the answer as well as by the query.
    #expect(send(answer, at: "wan") == (keeps ? "lan" : "refusedByNewRules"))
    #expect(send(out.udp(from: 3001, to: 53), at: "lan") == (keeps ? "wan" : "refusedByNewRules"))
    #expect(send(query, at: "lan") == (keeps ? "wan" : "deniedByDefault"))
    #expect(send(back.tcp(from: 80, to: 3000, sequence: 7, acknowledgment: 2, flags: "SA"), at: "wan") == "lan")
    #expect(send(out.tcp(from: 3000, to: 80, sequence: 2, acknowledgment: 8, flags: "A"), at: "lan") == "wan")
    #expect(send(out.udp(from: 3002, to: 53), at: "lan") == "deniedByDefault")
  }

  /// What cannot be replaced while packets flow is refused.
  @Test func zonesCannotBeReplaced() throws {
    let bench = try PipelineUnderTest(pipeline("{ rules: [\(Self.udp)] }".lines))
    let other = try Pipeline.load(
      text: pipeline("{ rules: [\(Self.udp)], sessions: 5 }".lines), name: "p.yaml", elements: catalogue)
    let readers = try #require(ReaderDomain(workers: 1))
    #expect(throws: (any Error).self) { try bench.pipeline.takeOver(other, element: nil, readers: readers) }
  }

  // MARK: Log

  @Test func whatRulesLogIsWrittenAtALimitedRate() throws {
    let path = "/tmp/firewall-log-\(TestEnvironment.uniqueNumber())-\(getpid()).txt"
    defer { unlink(path) }
    let bench = try FirewallBench(
      "log: { file: \(path), rate: 2pps }",
      rules: """
        rules:
          - { name: out, action: accept, from: lan, log: yes }
        log_default: yes
        """)
    for port in 0..<4 as Range<UInt16> { bench.send(bench.ip(fromLAN: true).udp(from: 3000 + port, to: 53)) }
    bench.send(bench.ip(fromLAN: true).udp(from: 3000, to: 53))
    bench.wait(seconds: 1)
    bench.send(bench.tcp(lan: false, "S", 1, server: 22))
    #expect(bench.element.finish() == [])
    let lines = try String(contentsOfFile: path, encoding: .utf8).split(separator: "\n").map(String.init)
    #expect(lines.count == 4)
    #expect(lines[0].hasPrefix("accept rule out, lan > wan: 1700000000.000000000 IP 10.0.0.5.3000 > 192.0.2.9.53 udp"))
    #expect(lines[2] == "2 lines left out")
    #expect(lines[3].hasPrefix("drop rule default, wan > lan: "))
    #expect(bench.counter("logged") == 3 && bench.counter("notLogged") == 2)
  }
}

extension String {
  /// A flow mapping's settings, a line each, as far in as the test's pipeline has them.
  fileprivate var lines: String {
    var (lines, depth) = ([""], 0)
    for letter in dropFirst().dropLast() {
      if "{[".contains(letter) { depth += 1 }
      if "}]".contains(letter) { depth -= 1 }
      if letter == ",", depth == 0 { lines.append("") } else { lines[lines.count - 1].append(letter) }
    }
    return lines.map { $0.drop { $0 == " " } }.joined(separator: "\n      ")
  }
}
