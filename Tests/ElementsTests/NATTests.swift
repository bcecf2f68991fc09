import Dataplane
import Elements
import TestKit
import Testing

private typealias End = NATBench.End
private typealias Seen = NATBench.Seen

private let client: End = "10.0.0.5:4000"
private let other: End = "10.0.0.6:4000"
private let server: End = "198.51.100.7:53"

@Suite struct NATTests {
  // MARK: RFC 4787: UDP

  /// A mapping is reused for all packets from the same inside address and port, whatever they go to.
  @Test func rfc4787_req1_endpointIndependentMapping() throws {
    let bench = try NATBench()
    let outside = bench.outside(of: client)
    #expect(outside == "203.0.113.1:4000")
    for remote in ["198.51.100.7:54", "198.51.100.8:53", "192.0.2.1:1"] as [End] {
      #expect(bench.outside(of: client, to: remote) == outside)
    }
    #expect(bench.nat.counters["mappings"] == 1)
    #expect(bench.nat.counters["sessions"] == 4)
  }

  /// All mappings of an inside address are of the same outside address (paired pooling), of all protocols.
  @Test func rfc4787_req2_pairedPooling() throws {
    let bench = try NATBench("outside: 203.0.113.0/28")
    var used: Set<String> = []
    for host in 1...20 {
      let address = "10.0.1.\(host)"
      let first = bench.outside(of: End(address, 1024))?.address ?? ""
      used.insert(first)
      for port in 1025...1040 as ClosedRange<UInt16> {
        #expect(bench.outside(of: End(address, port))?.address == first)
      }
      #expect(bench.out(NATBench.tcp(End(address, 99), server, "S")).map(\.source.address) == [first])
      #expect(bench.out(NATBench.echo(End(address, 0), server, identifier: 7)).map(\.source.address) == [first])
    }
    #expect(used.count > 4)
  }

  /// No outside port stands for two inside endpoints at a time (no port overloading).
  @Test func rfc4787_req3_noPortOverloading() throws {
    let bench = try NATBench()
    var seen: Set<End> = []
    for host in 1...50 {
      guard let outside = bench.outside(of: End("10.0.2.\(host)", 5000)) else {
        Issue.record("host \(host) has no mapping")
        continue
      }
      #expect(seen.insert(outside).inserted)
    }
  }

  /// An inside port up to 1,023 gets an outside one of that range, and one above one from above.
  @Test func rfc4787_req3b_portRange() throws {
    let bench = try NATBench("{ outside: 203.0.113.1, ports: 512-65535 }")
    for host in 1...20 {
      #expect(bench.outside(of: End("10.0.2.\(host)", 600)).map { $0.port < 1024 } == true)
      #expect(bench.outside(of: End("10.0.2.\(host)", 6000)).map { $0.port >= 1024 } == true)
    }
  }

  /// An even port gets an even one, an odd port an odd one.
  @Test func rfc4787_req4_portParity() throws {
    let bench = try NATBench()
    for host in 1...30 {
      #expect(bench.outside(of: End("10.0.2.\(host)", 5004)).map { $0.port % 2 } == 0)
      #expect(bench.outside(of: End("10.0.2.\(host)", 5005)).map { $0.port % 2 } == 1)
    }
  }

  /// A UDP mapping does not expire in less than two minutes; five by default.
  @Test func rfc4787_req5_timeout() throws {
    let bench = try NATBench()
    #expect(bench.outside(of: client) == "203.0.113.1:4000")
    _ = bench.wait(299)
    #expect(
      bench.back(NATBench.udp(server, "203.0.113.1:4000"))
        == [Seen(source: server, destination: client, output: "inside")])
    _ = bench.wait(2)
    #expect(bench.nat.counters["mappings"] == 0)
    #expect(bench.back(NATBench.udp(server, "203.0.113.1:4000")).map(\.output) == ["refused"])
  }

  /// The time can be configured, and goes under two minutes only when that is asked for.
  @Test func rfc4787_req5c_timeoutIsConfigurable() throws {
    let bench = try NATBench("{ outside: 203.0.113.1, timeouts: { udp: 30s, short: yes } }")
    _ = bench.outside(of: client)
    _ = bench.wait(31)
    #expect(bench.nat.counters["mappings"] == 0)
    #expect(throws: (any Error).self) { try NATBench("{ outside: 203.0.113.1, timeouts: { udp: 119s } }") }
  }

  /// Packets from the inside refresh a mapping.
  @Test func rfc4787_req6_outboundRefresh() throws {
    let bench = try NATBench()
    for _ in 0..<10 {
      #expect(bench.outside(of: client) == "203.0.113.1:4000")
      _ = bench.wait(250)
    }
    #expect(bench.nat.counters["mappingsMade"] == 1)
  }

  /// Packets from the outside refresh it only when that is configured.
  @Test(arguments: [false, true]) func rfc4787_req6b_inboundRefresh(_ refreshes: Bool) throws {
    let bench = try NATBench("{ outside: 203.0.113.1, inbound_refresh: \(refreshes) }")
    _ = bench.outside(of: client)
    _ = bench.wait(200)
    #expect(bench.back(NATBench.udp(server, "203.0.113.1:4000")).map(\.output) == ["inside"])
    _ = bench.wait(200)
    #expect(bench.nat.counters["mappings"] == (refreshes ? 1 : 0))
  }

  /// Endpoint-independent filtering lets everybody in who sends to a mapping.
  @Test func rfc4787_req8_endpointIndependentFiltering() throws {
    let bench = try NATBench()
    _ = bench.outside(of: client)
    let stranger: End = "192.0.2.99:9999"
    #expect(
      bench.back(NATBench.udp(stranger, "203.0.113.1:4000"))
        == [Seen(source: stranger, destination: client, output: "inside")])
    #expect(bench.nat.counters["sessions"] == 1)
  }

  /// Address-dependent filtering lets those in to whose address the inside endpoint has sent.
  @Test func rfc4787_req8_addressDependentFiltering() throws {
    let bench = try NATBench("{ outside: 203.0.113.1, filtering: address-dependent }")
    _ = bench.outside(of: client)
    _ = bench.outside(of: other, to: "192.0.2.99:1")
    let outside: End = "203.0.113.1:4000"
    #expect(bench.back(NATBench.udp("198.51.100.7:9999", outside)).map(\.destination) == [client])
    let result = bench.nat.push(
      NATBench.udp("192.0.2.99:53", outside), input: "outside", at: Instant(nanoseconds: bench.now))
    #expect(result.drops == ["filtered": 1])
    _ = bench.wait(301)
    #expect(bench.nat.counters["sessions"] == 0)
    #expect(bench.back(NATBench.udp("198.51.100.7:53", outside)).map(\.output) == ["refused"])
  }

  /// Address-and-port-dependent filtering lets only those in that the inside endpoint has sent to.
  @Test func rfc4787_req8_addressAndPortDependentFiltering() throws {
    let bench = try NATBench("{ outside: 203.0.113.1, filtering: address-and-port-dependent }")
    _ = bench.outside(of: client)
    #expect(bench.back(NATBench.udp(server, "203.0.113.1:4000")).map(\.destination) == [client])
    let result = bench.nat.push(
      NATBench.udp("198.51.100.7:54", "203.0.113.1:4000"), input: "outside", at: Instant(nanoseconds: bench.now))
    #expect(result.drops == ["filtered": 1])
  }

  /// An inside host reaches another by its outside address and port.
  @Test func rfc4787_req9_hairpinning() throws {
    let bench = try NATBench()
    _ = bench.outside(of: other)
    #expect(bench.out(NATBench.udp(client, "203.0.113.1:4000")).map(\.destination) == [other])
    #expect(bench.out(NATBench.udp(client, "203.0.113.1:4000")).map(\.output) == ["hairpin"])
  }

  /// The receiver sees the sender's outside address and port, and can answer to it.
  @Test func rfc4787_req9a_externalSourceIsPresented() throws {
    let bench = try NATBench()
    let receiver = bench.outside(of: other)
    #expect(receiver == "203.0.113.1:4000")
    let seen = bench.out(NATBench.udp("10.0.0.5:6000", "203.0.113.1:4000"))
    #expect(seen == [Seen(source: "203.0.113.1:6000", destination: other, output: "hairpin")])
    #expect(
      bench.out(NATBench.udp(other, "203.0.113.1:6000"))
        == [Seen(source: "203.0.113.1:4000", destination: "10.0.0.5:6000", output: "hairpin")])
  }

  /// What packets carry is not touched: there are no application level gateways.
  @Test func rfc4787_req10_payloadIsNotTouched() throws {
    let bench = try NATBench()
    let frame = Frame.ethernet().ipv4(from: "10.0.0.5", to: "198.51.100.7").tcp(from: 4000, to: 21, flags: "PA")
      .payload("PORT 10,0,0,5,15,160\r\n")
    let expected = Frame.ethernet().ipv4(from: "203.0.113.1", to: "198.51.100.7").tcp(from: 4000, to: 21, flags: "PA")
      .payload("PORT 10,0,0,5,15,160\r\n")
    let result = bench.nat.push(frame, input: "inside", at: Instant(nanoseconds: bench.now))
    #expect(result["outside"].map(\.bytes) == [expected.bytes])
  }

  /// Mapping and filtering do not change with what happened before or with load.
  @Test func rfc4787_req11_deterministicBehaviour() throws {
    let bench = try NATBench()
    for port in 2000..<2600 as Range<UInt16> { _ = bench.outside(of: End("10.0.3.1", port)) }
    let outside = bench.outside(of: End("10.0.3.2", 2001))
    #expect(bench.outside(of: End("10.0.3.2", 2001), to: "192.0.2.77:77") == outside)
    #expect(outside.map { bench.back(NATBench.udp("192.0.2.1:1", $0)).map(\.destination) } == [End("10.0.3.2", 2001)])
  }

  /// ICMP errors do not end a mapping, and are translated whoever sends them.
  @Test func rfc4787_req12_icmpDoesNotEndMappings() throws {
    let bench = try NATBench()
    _ = bench.outside(of: client)
    let sent = NATBench.udp("203.0.113.1:4000", server)
    for router in ["192.0.2.33", "198.51.100.7"] {
      let error = NATBench.error(from: router, to: "203.0.113.1", about: sent)
      let expected = NATBench.error(from: router, to: "10.0.0.5", about: NATBench.udp(client, server))
      let result = bench.nat.push(error, input: "outside", at: Instant(nanoseconds: bench.now))
      #expect(result["inside"].map(\.bytes) == [expected.bytes])
    }
    #expect(bench.back(NATBench.udp(server, "203.0.113.1:4000")).map(\.destination) == [client])
  }

  /// Fragments pass in order and out of order.
  @Test(arguments: [[0, 1, 2], [2, 1, 0], [1, 0, 2]]) func rfc4787_req14_fragments(_ order: [Int]) throws {
    let bench = try NATBench()
    let pieces = NATBench.udp(client, server, count: 2000).fragments(of: 800)
    let expected = NATBench.udp("203.0.113.1:4000", server, count: 2000).fragments(of: 800)
    var bytes: [[UInt8]] = []
    for index in order {
      let result = bench.nat.push(pieces[index], input: "inside", at: Instant(nanoseconds: bench.now))
      bytes += result["outside"].map(\.bytes)
    }
    #expect(Set(bytes) == Set(expected.map(\.bytes)))
    #expect(bytes.count == 3)
    let back = NATBench.udp(server, "203.0.113.1:4000", count: 2000).fragments(of: 800)
    let inside = NATBench.udp(server, client, count: 2000).fragments(of: 800)
    bytes = []
    for index in order {
      let result = bench.nat.push(back[index], input: "outside", at: Instant(nanoseconds: bench.now))
      bytes += result["inside"].map(\.bytes)
    }
    #expect(Set(bytes) == Set(inside.map(\.bytes)))
    #expect(bench.nat.held == 0)
  }

  // MARK: RFC 5382: TCP

  /// TCP mappings are endpoint-independent.
  @Test func rfc5382_req1_endpointIndependentMapping() throws {
    let bench = try NATBench()
    #expect(bench.open(client, "198.51.100.7:80") == "203.0.113.1:4000")
    #expect(bench.open(client, "198.51.100.8:443") == "203.0.113.1:4000")
  }

  /// Every valid sequence of segments passes, simultaneous open among them.
  @Test func rfc5382_req2_simultaneousOpen() throws {
    let bench = try NATBench("{ outside: 203.0.113.1, filtering: address-and-port-dependent }")
    let remote: End = "198.51.100.7:80"
    #expect(bench.out(NATBench.tcp(client, remote, "S")).count == 1)
    #expect(bench.back(NATBench.tcp(remote, "203.0.113.1:4000", "S")).map(\.destination) == [client])
    #expect(bench.out(NATBench.tcp(client, remote, "SA")).map(\.output) == ["outside"])
    #expect(bench.back(NATBench.tcp(remote, "203.0.113.1:4000", "SA")).map(\.destination) == [client])
    #expect(bench.out(NATBench.tcp(client, remote, "A")).count == 1)
    #expect(bench.nat.perform("sessions").rows.map { $0["state"] } == ["established"])
  }

  /// Filtering is endpoint-independent unless a stricter one is chosen.
  @Test func rfc5382_req3_filtering() throws {
    let bench = try NATBench()
    _ = bench.open(client, "198.51.100.7:80")
    #expect(bench.back(NATBench.tcp("192.0.2.1:1", "203.0.113.1:4000", "S")).map(\.destination) == [client])
    let strict = try NATBench("{ outside: 203.0.113.1, filtering: address-dependent }")
    _ = strict.open(client, "198.51.100.7:80")
    #expect(strict.back(NATBench.tcp("198.51.100.7:99", "203.0.113.1:4000", "S")).map(\.destination) == [client])
    #expect(strict.back(NATBench.tcp("192.0.2.1:1", "203.0.113.1:4000", "S")) == [])
  }

  /// An unsolicited SYN is not answered for 6 seconds, and then refused.
  @Test func rfc5382_req4_unsolicitedSYNIsRefusedLate() throws {
    let bench = try NATBench()
    let frame = NATBench.tcp("192.0.2.1:1", "203.0.113.1:4000", "S")
    #expect(bench.back(frame) == [])
    #expect(bench.nat.held == 1)
    #expect(bench.wait(5.9) == [])
    let result = bench.nat.advance(to: Instant(nanoseconds: bench.now + 200_000_000))
    #expect(result["refused"].map(\.bytes) == [frame.bytes])
    #expect(bench.nat.held == 0)
  }

  /// It is dropped in silence when the inside host opens the connection itself meanwhile.
  @Test func rfc5382_req4_unsolicitedSYNIsOvertaken() throws {
    let bench = try NATBench()
    #expect(bench.back(NATBench.tcp("192.0.2.1:1", "203.0.113.1:4000", "S")) == [])
    _ = bench.wait(1)
    #expect(bench.out(NATBench.tcp(client, "192.0.2.1:1", "S")).map(\.source) == ["203.0.113.1:4000"])
    let result = bench.nat.advance(to: Instant(nanoseconds: bench.now + 6 * NATBench.second))
    #expect(result.drops == ["overtaken": 1])
    #expect(result.sent.isEmpty)
  }

  /// An established connection lives for 2 hours and 4 minutes without packets.
  @Test func rfc5382_req5_establishedTimeout() throws {
    let bench = try NATBench()
    #expect(bench.open(client, "198.51.100.7:80") != nil)
    _ = bench.wait(7439)
    #expect(bench.back(NATBench.tcp("198.51.100.7:80", "203.0.113.1:4000", "A")).map(\.destination) == [client])
    _ = bench.wait(7441)
    #expect(bench.nat.counters["sessions"] == 0)
  }

  /// One that is being opened or was closed lives for 4 minutes.
  @Test func rfc5382_req5_transitoryTimeout() throws {
    let bench = try NATBench()
    let remote: End = "198.51.100.7:80"
    _ = bench.out(NATBench.tcp(client, remote, "S"))
    _ = bench.wait(239)
    #expect(bench.nat.counters["sessions"] == 1)
    _ = bench.wait(2)
    #expect(bench.nat.counters["sessions"] == 0)
    let outside = bench.open(client, remote)
    _ = bench.out(NATBench.tcp(client, remote, "FA"))
    _ = bench.wait(1000)
    #expect(bench.nat.counters["sessions"] == 1)
    #expect(outside.map { bench.back(NATBench.tcp(remote, $0, "FA")).map(\.destination) } == [client])
    _ = bench.wait(239)
    #expect(bench.nat.counters["sessions"] == 1)
    _ = bench.wait(2)
    #expect(bench.nat.counters["sessions"] == 0)
  }

  /// Ports are given as for UDP: none stands for two inside endpoints.
  @Test func rfc5382_req7_noPortOverloading() throws {
    let bench = try NATBench()
    let first = bench.open(client, "198.51.100.7:80")
    let second = bench.open(other, "198.51.100.7:80")
    #expect(first != nil && second != nil && first != second)
  }

  /// Hairpinning works for TCP, with the outside source presented.
  @Test func rfc5382_req8_hairpinning() throws {
    let bench = try NATBench(
      "{ outside: 203.0.113.1, static: { inside: 10.0.0.80, outside: 203.0.113.1, port: 80, protocol: tcp } }")
    #expect(
      bench.out(NATBench.tcp(client, "203.0.113.1:80", "S"))
        == [Seen(source: "203.0.113.1:4000", destination: "10.0.0.80:80", output: "hairpin")])
    #expect(
      bench.out(NATBench.tcp("10.0.0.80:80", "203.0.113.1:4000", "SA"))
        == [Seen(source: "203.0.113.1:80", destination: client, output: "hairpin")])
    #expect(bench.out(NATBench.tcp(client, "203.0.113.1:80", "A")).map(\.destination) == ["10.0.0.80:80"])
  }

  /// ICMP errors about a connection are translated, with the segment that they have embedded.
  @Test(arguments: [28, 36, 44]) func rfc5382_req9_icmpErrors(_ count: Int) throws {
    let bench = try NATBench()
    _ = bench.open("10.0.0.5:4001", "198.51.100.7:80")
    let outside = bench.open("10.0.0.6:4001", "198.51.100.7:80")
    guard let outside else {
      Issue.record("no connection")
      return
    }
    let error = NATBench.error(
      from: "192.0.2.33", to: "203.0.113.1", about: NATBench.tcp(outside, "198.51.100.7:80", "A"), type: 3, code: 4,
      embedding: count)
    let expected = NATBench.error(
      from: "192.0.2.33", to: "10.0.0.6", about: NATBench.tcp("10.0.0.6:4001", "198.51.100.7:80", "A"), type: 3,
      code: 4, embedding: count)
    let result = bench.nat.push(error, input: "outside", at: Instant(nanoseconds: bench.now))
    #expect(result["inside"].map(\.bytes) == [expected.bytes])
  }

  /// ICMP errors do not end a connection's mapping.
  @Test func rfc5382_req10_icmpDoesNotEndMappings() throws {
    let bench = try NATBench()
    let remote: End = "198.51.100.7:80"
    _ = bench.open(client, remote)
    _ = bench.back(
      NATBench.error(from: "192.0.2.33", to: "203.0.113.1", about: NATBench.tcp("203.0.113.1:4000", remote, "A")))
    _ = bench.wait(7000)
    #expect(bench.back(NATBench.tcp(remote, "203.0.113.1:4000", "A")).map(\.destination) == [client])
  }

  // MARK: RFC 5508: ICMP

  /// Queries are mapped by identifier, whatever they ask, and replies come back.
  @Test func rfc5508_req1_queryMapping() throws {
    let bench = try NATBench()
    #expect(bench.out(NATBench.echo("10.0.0.5", "198.51.100.7", identifier: 7)).map(\.source) == ["203.0.113.1:7"])
    let second = bench.out(NATBench.echo("10.0.0.6", "198.51.100.7", identifier: 7)).first?.source
    #expect(second.map { $0.port != 7 } == true)
    #expect(bench.out(NATBench.echo("10.0.0.6", "198.51.100.8", identifier: 7)).map(\.source) == second.map { [$0] })
    let reply = NATBench.echo("198.51.100.7", "203.0.113.1", type: 0, identifier: second?.port ?? 0)
    #expect(
      bench.back(reply)
        == [Seen(source: "198.51.100.7:7", destination: "10.0.0.6:7", output: "inside")])
  }

  /// A query's mapping lives for 60 seconds.
  @Test func rfc5508_req2_queryTimeout() throws {
    let bench = try NATBench()
    _ = bench.out(NATBench.echo("10.0.0.5", "198.51.100.7", identifier: 7))
    _ = bench.wait(59)
    #expect(bench.back(NATBench.echo("198.51.100.7", "203.0.113.1", type: 0, identifier: 7)).count == 1)
    _ = bench.wait(2)
    #expect(bench.nat.counters["mappings"] == 0)
  }

  /// An ICMP error with a wrong checksum is dropped in silence.
  @Test func rfc5508_req3_errorWithWrongChecksum() throws {
    let bench = try NATBench()
    _ = bench.outside(of: client)
    let about = NATBench.udp("203.0.113.1:4000", server)
    let error = Frame.ethernet().ipv4(from: "192.0.2.33", to: "203.0.113.1")
      .icmp(type: 3, code: 1, identifier: 0, sequence: 0, checksum: .wrong)
      .payload(Array(about.bytes.dropFirst(14).prefix(28)))
    let result = bench.nat.push(error, input: "outside", at: Instant(nanoseconds: bench.now))
    #expect(result.drops == ["badError": 1])
  }

  /// An ICMP error whose embedded IP header has a wrong checksum is dropped in silence.
  @Test func rfc5508_req3a_embeddedHeaderWithWrongChecksum() throws {
    let bench = try NATBench()
    _ = bench.outside(of: client)
    let about = Frame.ethernet().ipv4(from: "203.0.113.1", to: "198.51.100.7", checksum: .wrong)
      .udp(from: 4000, to: 53)
    let error = NATBench.error(from: "192.0.2.33", to: "203.0.113.1", about: about)
    let result = bench.nat.push(error, input: "outside", at: Instant(nanoseconds: bench.now))
    #expect(result.drops == ["badError": 1])
  }

  /// The embedded transport header is found behind IP options.
  @Test func rfc5508_req3b_embeddedOptions() throws {
    let bench = try NATBench()
    _ = bench.outside(of: client)
    func about(_ address: String) -> Frame {
      Frame.ethernet().ipv4(from: address, to: "198.51.100.7", options: [1, 1, 1, 0]).udp(from: 4000, to: 53)
    }
    let error = NATBench.error(from: "192.0.2.33", to: "203.0.113.1", about: about("203.0.113.1"), embedding: 32)
    let expected = NATBench.error(from: "192.0.2.33", to: "10.0.0.5", about: about("10.0.0.5"), embedding: 32)
    let result = bench.nat.push(error, input: "outside", at: Instant(nanoseconds: bench.now))
    #expect(result["inside"].map(\.bytes) == [expected.bytes])
  }

  /// The embedded transport checksum is not verified: a wrong one stays as wrong.
  @Test func rfc5508_req3c_embeddedTransportChecksumIsNotVerified() throws {
    let bench = try NATBench()
    _ = bench.outside(of: client)
    func about(_ address: String) -> Frame {
      Frame.ethernet().ipv4(from: address, to: "198.51.100.7").udp(from: 4000, to: 53, checksum: .wrong)
    }
    let error = NATBench.error(from: "192.0.2.33", to: "203.0.113.1", about: about("203.0.113.1"))
    let result = bench.nat.push(error, input: "outside", at: Instant(nanoseconds: bench.now))
    #expect(result["inside"].count == 1)
    #expect(result["inside"].allSatisfy { $0.problems.isEmpty })
  }

  /// An ICMP error from the outside that belongs to no mapping is dropped in silence.
  @Test func rfc5508_req4_errorWithoutMapping() throws {
    let bench = try NATBench()
    _ = bench.outside(of: client)
    let error = NATBench.error(from: "192.0.2.33", to: "203.0.113.1", about: NATBench.udp("203.0.113.1:4001", server))
    let result = bench.nat.push(error, input: "outside", at: Instant(nanoseconds: bench.now))
    #expect(result.drops == ["noMapping": 1])
  }

  /// An ICMP error from the inside leaves with the mapping's outside address, whichever host there sent it.
  @Test(arguments: ["10.0.0.5", "10.0.0.254"]) func rfc5508_req5_errorFromTheInside(_ sender: String) throws {
    let bench = try NATBench()
    _ = bench.outside(of: client)
    let error = NATBench.error(from: sender, to: "198.51.100.7", about: NATBench.udp(server, client), code: 3)
    let expected = NATBench.error(
      from: "203.0.113.1", to: "198.51.100.7", about: NATBench.udp(server, "203.0.113.1:4000"), code: 3)
    let result = bench.nat.push(error, input: "inside", at: Instant(nanoseconds: bench.now))
    #expect(result["outside"].map(\.bytes) == [expected.bytes])
  }

  /// One that belongs to no mapping is dropped in silence.
  @Test func rfc5508_req5_errorFromTheInsideWithoutMapping() throws {
    let bench = try NATBench()
    let error = NATBench.error(from: "10.0.0.5", to: "198.51.100.7", about: NATBench.udp(server, client), code: 3)
    let result = bench.nat.push(error, input: "inside", at: Instant(nanoseconds: bench.now))
    #expect(result.drops == ["noMapping": 1])
  }

  /// ICMP errors neither refresh nor end a mapping.
  @Test func rfc5508_req6_errorsDoNotRefresh() throws {
    let bench = try NATBench()
    _ = bench.outside(of: client)
    _ = bench.wait(200)
    let about = NATBench.udp("203.0.113.1:4000", server)
    #expect(bench.back(NATBench.error(from: "192.0.2.33", to: "203.0.113.1", about: about)).count == 1)
    #expect(bench.nat.counters["mappings"] == 1)
    _ = bench.wait(101)
    #expect(bench.nat.counters["mappings"] == 0)
  }

  /// Pings between inside hosts by outside address are turned back.
  @Test func rfc5508_req7_hairpinnedQueries() throws {
    let bench = try NATBench(
      "{ outside: 203.0.113.1, static: { inside: 10.0.0.6, outside: 203.0.113.6 } }")
    #expect(
      bench.out(NATBench.echo("10.0.0.5", "203.0.113.6", identifier: 7))
        == [Seen(source: "203.0.113.1:7", destination: "10.0.0.6:7", output: "hairpin")])
    #expect(
      bench.out(NATBench.echo("10.0.0.6", "203.0.113.1", type: 0, identifier: 7))
        == [Seen(source: "203.0.113.6:7", destination: "10.0.0.5:7", output: "hairpin")])
  }

  /// An ICMP error about a packet between inside hosts gets back, and each sees the other's outside address.
  @Test func rfc5508_req7_hairpinnedErrors() throws {
    let bench = try NATBench()
    _ = bench.outside(of: other)
    let sender: End = "10.0.0.5:6000"
    #expect(bench.out(NATBench.udp(sender, "203.0.113.1:4000")).map(\.destination) == [other])
    let error = NATBench.error(
      from: "10.0.0.6", to: "203.0.113.1", about: NATBench.udp("203.0.113.1:6000", other), code: 3)
    let expected = NATBench.error(
      from: "203.0.113.1", to: "10.0.0.5", about: NATBench.udp(sender, "203.0.113.1:4000"), code: 3)
    let result = bench.nat.push(error, input: "inside", at: Instant(nanoseconds: bench.now))
    #expect(result["hairpin"].map(\.bytes) == [expected.bytes])
  }

  /// ICMP messages that are neither query nor error are not translated; they are dropped by name.
  @Test func rfc5508_req10_otherMessages() throws {
    let bench = try NATBench()
    let frame = Frame.ethernet().ipv4(from: "10.0.0.5", to: "198.51.100.7").icmp(type: 9)
    let result = bench.nat.push(frame, input: "inside", at: Instant(nanoseconds: bench.now))
    #expect(result.drops == ["unsupported": 1])
  }

  // MARK: RFC 6888 and 7857

  /// The number of outside ports that a subscriber uses can be limited.
  @Test func rfc6888_req3_portLimit() throws {
    let bench = try NATBench("{ outside: 203.0.113.1, mappings_per_subscriber: 3 }")
    for port in 1...3 as ClosedRange<UInt16> { #expect(bench.outside(of: End("10.0.0.5", 5000 + port)) != nil) }
    let result = bench.nat.push(
      NATBench.udp("10.0.0.5:6000", server), input: "inside", at: Instant(nanoseconds: bench.now))
    #expect(result.drops == ["subscriberLimit": 1])
    #expect(bench.outside(of: "10.0.0.6:6000") != nil)
    _ = bench.wait(301)
    #expect(bench.outside(of: "10.0.0.5:6000") != nil)
  }

  /// The state that a subscriber uses can be limited.
  @Test func rfc6888_req4_stateLimit() throws {
    let bench = try NATBench("{ outside: 203.0.113.1, sessions_per_subscriber: 2 }")
    #expect(bench.outside(of: client, to: "198.51.100.1:1") != nil)
    #expect(bench.outside(of: client, to: "198.51.100.1:2") != nil)
    #expect(bench.outside(of: client, to: "198.51.100.1:3") == nil)
    #expect(bench.outside(of: client, to: "198.51.100.1:2") != nil)
    #expect(bench.outside(of: other, to: "198.51.100.1:3") != nil)
  }

  /// Filtering is endpoint-independent by default.
  @Test func rfc6888_req7_endpointIndependentFiltering() throws {
    let bench = try NATBench()
    _ = bench.outside(of: client)
    #expect(bench.back(NATBench.udp("192.0.2.1:1", "203.0.113.1:4000")).map(\.destination) == [client])
  }

  /// A port that is not mapped any more rests for 120 seconds before it is used again.
  @Test func rfc6888_req8_portsRest() throws {
    let bench = try NATBench("{ outside: 203.0.113.1, ports: 4000 }")
    #expect(bench.outside(of: client) == "203.0.113.1:4000")
    _ = bench.wait(301)
    #expect(bench.nat.counters["mappings"] == 0)
    let result = bench.nat.push(NATBench.udp(other, server), input: "inside", at: Instant(nanoseconds: bench.now))
    #expect(result.drops == ["noPort": 1])
    _ = bench.wait(118)
    #expect(bench.outside(of: other) == nil)
    _ = bench.wait(3)
    #expect(bench.outside(of: other) == "203.0.113.1:4000")
  }

  /// A connection that was reset is not forgotten at once: what its ends go on sending passes.
  @Test func rfc7857_2_2_resetDoesNotEndAtOnce() throws {
    let bench = try NATBench()
    let remote: End = "198.51.100.7:80"
    _ = bench.open(client, remote)
    #expect(bench.back(NATBench.tcp(remote, "203.0.113.1:4000", "R")).map(\.destination) == [client])
    _ = bench.wait(100)
    #expect(bench.out(NATBench.tcp(client, remote, "A")).map(\.source) == ["203.0.113.1:4000"])
    _ = bench.wait(1000)
    #expect(bench.nat.counters["sessions"] == 1)
    #expect(bench.back(NATBench.tcp(remote, "203.0.113.1:4000", "R")).count == 1)
    _ = bench.wait(241)
    #expect(bench.nat.counters["sessions"] == 0)
  }

  /// Packets from the outside that endpoint-independent filtering lets in do not make state, nor keep it alive.
  @Test func rfc7857_5_strangersDoNotRefresh() throws {
    let bench = try NATBench()
    _ = bench.outside(of: client)
    _ = bench.wait(290)
    #expect(bench.back(NATBench.udp("192.0.2.1:1", "203.0.113.1:4000")).count == 1)
    _ = bench.wait(20)
    #expect(bench.nat.counters["mappings"] == 0)
  }

  /// A mapping lives as long as one of its sessions.
  @Test func rfc7857_2_mappingsLiveAsLongAsASession() throws {
    let bench = try NATBench()
    _ = bench.outside(of: client)
    _ = bench.wait(200)
    #expect(bench.outside(of: client, to: "192.0.2.9:9") == "203.0.113.1:4000")
    _ = bench.wait(200)
    #expect(bench.nat.counters["sessions"] == 1)
    #expect(bench.back(NATBench.udp("198.51.100.7:53", "203.0.113.1:4000")).map(\.destination) == [client])
  }

  // MARK: Blocks

  /// An inside host's ports come out of a block of its own, and a second one when that is full.
  @Test func rfc6888_4_portBlocks() throws {
    let bench = try NATBench("{ outside: 203.0.113.1, blocks: { size: 64, limit: 2 } }")
    var blocks: Set<UInt16> = []
    for port in 0..<128 as Range<UInt16> {
      guard let outside = bench.outside(of: End("10.0.0.5", 20_000 + port)) else {
        Issue.record("no port for \(port)")
        return
      }
      blocks.insert(outside.port / 64)
    }
    #expect(blocks.count == 2)
    #expect(bench.outside(of: "10.0.0.5:30000") == nil)
    #expect(bench.outside(of: "10.0.0.6:30000").map { !blocks.contains($0.port / 64) } == true)
    _ = bench.wait(301)
    _ = bench.wait(125)
    #expect(bench.nat.counters["subscribers"] == 0)
  }

  /// An inside host's block follows from its address, so that nobody needs to log it.
  @Test func rfc7422_2_deterministicBlocks() throws {
    let settings = """
      outside: 203.0.113.0/31
      inside: 10.0.0.0/26
      blocks: { size: 1024, deterministic: yes }
      """
    let bench = try NATBench(settings)
    // 63 whole blocks above port 1,023 on each address.
    for host in [0, 1, 62, 63] as [UInt16] {
      let outside = bench.outside(of: End("10.0.0.\(host)", 7))
      #expect(outside?.address == (host < 63 ? "203.0.113.0" : "203.0.113.1"))
      #expect(outside.map { $0.port / 1024 } == 1 + host % 63)
    }
  }

  // MARK: Static entries, policies

  @Test func staticEntriesWorkInBothDirections() throws {
    let bench = try NATBench(
      """
      outside: 203.0.113.1
      static:
        - { inside: 10.0.0.80, outside: 203.0.113.1, port: 443, inside_port: 8443, protocol: tcp }
        - { inside: 10.0.0.25, outside: 203.0.113.25 }
      """)
    let remote: End = "192.0.2.1:5555"
    #expect(bench.back(NATBench.tcp(remote, "203.0.113.1:443", "S")).map(\.destination) == ["10.0.0.80:8443"])
    #expect(bench.out(NATBench.tcp("10.0.0.80:8443", remote, "SA")).map(\.source) == ["203.0.113.1:443"])
    #expect(bench.back(NATBench.udp(remote, "203.0.113.25:1")).map(\.destination) == ["10.0.0.25:1"])
    #expect(bench.out(NATBench.udp("10.0.0.25:1", remote)).map(\.source) == ["203.0.113.25:1"])
    _ = bench.wait(10_000)
    #expect(bench.nat.counters["sessions"] == 0)
    #expect(bench.back(NATBench.tcp(remote, "203.0.113.1:443", "S")).map(\.destination) == ["10.0.0.80:8443"])
  }

  @Test func whatIsNotTranslatedPasses() throws {
    let bench = try NATBench("{ outside: 203.0.113.1, inside: 10.0.0.0/8 }")
    let frames = [
      NATBench.udp("192.168.1.1:1", server), NATBench.udp("203.0.113.1:9", server),
      Frame.ethernet().ipv6().udp(), Frame.ethernet().arp(),
    ]
    for frame in frames {
      let result = bench.nat.push(frame, input: "inside", at: Instant(nanoseconds: bench.now))
      #expect(result["outside"].map(\.bytes) == [frame.bytes])
    }
    let back = [
      NATBench.udp("192.0.2.1:1", "198.51.100.1:2"), NATBench.echo("192.0.2.1", "203.0.113.1", identifier: 4),
      Frame.ethernet().ipv6().udp(), Frame.ethernet().arp(),
    ]
    for frame in back {
      let result = bench.nat.push(frame, input: "outside", at: Instant(nanoseconds: bench.now))
      #expect(result["inside"].map(\.bytes) == [frame.bytes])
    }
  }

  @Test func segmentSizesAreClamped() throws {
    let bench = try NATBench("{ outside: 203.0.113.1, mss: 1360 }")
    let remote: End = "198.51.100.7:80"
    let announcements: [[UInt8]] = [[2, 4, 5, 180], [1, 2, 4, 5, 180], [1, 1, 2, 4, 5, 180]]
    for (offset, options) in announcements.enumerated() {
      let inside = End("10.0.0.5", UInt16(4000 + offset))
      let result = bench.nat.push(
        NATBench.tcp(inside, remote, "S", options: options), input: "inside", at: Instant(nanoseconds: bench.now))
      var clamped = options
      clamped.replaceSubrange((clamped.count - 2)..., with: [5, 80])
      let expected = NATBench.tcp(End("203.0.113.1", UInt16(4000 + offset)), remote, "S", options: clamped)
      #expect(result["outside"].map(\.bytes) == [expected.bytes])
    }
    let small = NATBench.tcp("10.0.0.9:4000", remote, "S", options: [2, 4, 4, 0])
    let result = bench.nat.push(small, input: "inside", at: Instant(nanoseconds: bench.now))
    #expect(result["outside"].allSatisfy { $0.problems.isEmpty && $0.bytes.suffix(8).starts(with: [2, 4, 4, 0]) })
  }

  private func gre(_ source: String, _ destination: String = "198.51.100.7") -> Frame {
    Frame.ethernet().ipv4(from: source, to: destination, protocolNumber: 47).payload(count: 30)
  }

  /// A host whose packet cannot be told from another's is refused, and takes no place among those that are known.
  @Test func whoIsRefusedIsForgotten() throws {
    let bench = try NATBench("{ outside: 203.0.113.1, subscribers: 2 }")
    #expect(bench.out(gre("10.0.0.5")).map(\.output) == ["outside"])
    for last in 6...9 { #expect(bench.out(gre("10.0.0.\(last)")).isEmpty) }
    #expect(bench.outside(of: NATBench.End("10.0.0.20", 4000)) != nil)
  }

  /// A session that follows its own, whose time is just over, keeps its host known.
  @Test func aHostIsKnownAsLongAsItHasSessions() throws {
    let bench = try NATBench("{ outside: 203.0.113.1, subscribers: 2, sessions: 16 }")
    #expect(bench.out(gre("10.0.0.5")).map(\.output) == ["outside"])
    bench.now += 600 * NATBench.second + 1000
    #expect(bench.out(gre("10.0.0.5")).map(\.output) == ["outside"])
    for last in 10...13 {
      #expect(
        bench.outside(of: NATBench.End("10.0.0.\(last)", 4000)).map { _ in last } == (last == 10 ? 10 : nil),
        "two are known")
    }
    _ = bench.wait(2000)
    #expect(bench.nat.counters["sessions"] == 0)
    #expect(bench.outside(of: NATBench.End("10.0.0.30", 4000)) != nil && bench.outside(of: "10.0.0.31:4000") != nil)
  }

  @Test func otherProtocolsHaveTheirAddressTranslated() throws {
    let bench = try NATBench()
    func gre(_ source: String, _ destination: String) -> Frame {
      Frame.ethernet().ipv4(from: source, to: destination, protocolNumber: 47).payload(count: 30)
    }
    #expect(bench.out(gre("10.0.0.5", "198.51.100.7")).map(\.source.address) == ["203.0.113.1"])
    #expect(bench.back(gre("198.51.100.7", "203.0.113.1")).map(\.destination.address) == ["10.0.0.5"])
    #expect(bench.out(gre("10.0.0.6", "198.51.100.7")) == [])
    #expect(bench.out(gre("10.0.0.6", "198.51.100.8")).map(\.source.address) == ["203.0.113.1"])
    let strict = try NATBench("{ outside: 203.0.113.1, other_protocols: drop }")
    let result = strict.nat.push(gre("10.0.0.5", "198.51.100.7"), input: "inside")
    #expect(result.drops == ["unsupported": 1])
  }

  @Test func exhaustionIsAnsweredByPolicy() throws {
    let bench = try NATBench("{ outside: 203.0.113.1, ports: 4000-4001, exhausted: refuse }")
    #expect(bench.outside(of: "10.0.0.1:1") != nil)
    #expect(bench.outside(of: "10.0.0.2:1") != nil)
    #expect(bench.out(NATBench.udp("10.0.0.3:1", server)).map(\.output) == ["exhausted"])
    #expect(bench.nat.counters["exhausted"] == 1)
    #expect(bench.outside(of: "10.0.0.1:1") != nil)
  }

  @Test func sessionsAreExportedAndImported() throws {
    let bench = try NATBench()
    _ = bench.outside(of: client)
    let remote: End = "198.51.100.7:80"
    _ = bench.open(other, remote)
    let saved = bench.nat.perform("export")
    #expect(saved.failure == nil)
    #expect(saved.rows.count == 2)
    let next = try NATBench()
    let restored = next.nat.perform("import", rows: saved.rows)
    #expect(restored.failure == nil && restored.rows.isEmpty)
    #expect(next.nat.counters["mappings"] == 2)
    #expect(next.back(NATBench.udp(server, "203.0.113.1:4000")).map(\.destination) == [client])
    #expect(next.nat.perform("sessions", ["protocol": "tcp"]).rows.map { $0["state"] } == ["established"])
    #expect(next.nat.perform("mappings", ["inside": "10.0.0.6"]).rows.map { $0["outside_port"] } == ["4000"])
    #expect(next.nat.perform("flush", ["inside": "10.0.0.5"]).failure == nil)
    #expect(next.nat.counters["mappings"] == 1)
    #expect(next.nat.perform("mappings", ["limit": "1"]).rows.count == 1)
    #expect(next.nat.perform("import", rows: [["protocol": "udp"]]).failure != nil)
  }

  // MARK: Robustness

  @Test(arguments: [
    "outside: 203.0.113.1",
    "{ outside: 10.0.0.2, inside: 10.0.0.0/8, filtering: address-dependent, ports: 1024-1087, mss: 600 }",
    "{ outside: [10.0.0.2, 203.0.113.1], filtering: address-and-port-dependent, blocks: { size: 64 }, held_syns: 3 }",
    "{ outside: 192.0.2.1, static: { inside: 10.0.0.1, outside: 10.0.0.2 }, other_protocols: pass, unmapped: pass }",
  ]) func survivesAnything(_ settings: String) throws {
    try expectRobust(ElementKind(NAT.self), settings: settings)
  }
}
