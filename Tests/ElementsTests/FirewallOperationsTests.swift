import Dataplane
import TestKit
import Testing

@testable import Elements

@Suite struct FirewallOperationsTests {
  private func bench() throws -> FirewallBench {
    let bench = try FirewallBench()
    bench.connect()
    bench.send(bench.ip(fromLAN: true).udp(from: 3000, to: 53))
    bench.send(bench.ip(fromLAN: true, from: "10.0.0.6").udp(from: 3001, to: 53))
    bench.send(bench.ip(fromLAN: false).udp(from: 53, to: 3000))
    bench.send(Frame.ethernet().from(port: 1).ipv6(from: "2001:db8:1::1", to: "2001:db8:2::1").udp(from: 7, to: 8))
    return bench
  }

  @Test func sessionsAreListedByFilter() throws {
    let bench = try bench()
    func count(_ arguments: [String: String]) -> Int { bench.element.perform("sessions", arguments).rows.count }
    #expect(count([:]) == 4)
    #expect(count(["source": "10.0.0.0/8"]) == 3)
    #expect(count(["source": "10.0.0.6"]) == 1)
    #expect(count(["source": "192.0.2.9"]) == 0)
    #expect(count(["destination": "192.0.2.0/24"]) == 3)
    #expect(count(["protocol": "tcp"]) == 1)
    #expect(count(["port": "53"]) == 2)
    #expect(count(["state": "replied"]) == 1)
    #expect(count(["state": "established"]) == 1)
    #expect(count(["zone": "wan"]) == 4)
    #expect(count(["limit": "2"]) == 2)
    #expect(count(["protocol": "udp", "source": "2001:db8::/32"]) == 1)
    let row = bench.element.perform("sessions", ["protocol": "tcp"]).rows[0]
    #expect(row["source"] == "10.0.0.5" && row["destination_port"] == "80" && row["rule"] == "out")
    #expect(row["from"] == "lan" && row["to"] == "wan")
    #expect(bench.element.perform("sessions", ["zone": "moon"]).failure?.contains("no zone 'moon'") == true)
    #expect(bench.element.perform("sessions", ["protocol": "x"]).failure != nil)
  }

  @Test func sessionsAreFlushedByFilter() throws {
    let bench = try bench()
    #expect(bench.element.perform("flush", ["protocol": "udp", "source": "10.0.0.0/8"]).rows == [["flushed": "2"]])
    #expect(bench.counter("sessions") == 2)
    #expect(bench.send(bench.tcp(lan: false, "A", 5001, 1001, data: 5)) == "lan")
    #expect(bench.element.perform("flush").rows == [["flushed": "2"]])
    #expect(bench.send(bench.tcp(lan: false, "A", 5001, 1001, data: 5)) == "noSession")
    #expect(bench.counter("halfOpen") == 0)
  }

  @Test func manySessionsAreListedAndFlushedInSlices() throws {
    let bench = try FirewallBench(packets: 8192)
    for port in 0..<3500 as Range<UInt16> { bench.send(bench.ip(fromLAN: true).udp(from: port, to: 53)) }
    #expect(bench.element.perform("sessions", ["limit": "3400"]).rows.count == 3400)
    #expect(bench.element.perform("flush").rows == [["flushed": "3500"]])
    #expect(bench.counter("sessions") == 0)
  }

  @Test func rulesAreListed() throws {
    let bench = try bench()
    let rows = bench.element.perform("rules").rows
    #expect(rows.map { $0["rule"] } == ["out", "web", "default"])
    #expect(rows.map { $0["packets"] } == ["4", "0", "0"])
    #expect(rows.map { $0["action"] } == ["accept", "accept", "drop"])
  }

  @Test func sessionsMoveToAnotherFirewall() throws {
    let bench = try bench()
    let exported = bench.element.perform("export").rows
    #expect(exported.count == 4)
    let other = try FirewallBench()
    #expect(other.element.perform("import", rows: exported).rows == [["entered": "4", "refused": "0"]])
    #expect(other.counter("sessions") == 4)
    #expect(other.send(other.tcp(lan: false, "A", 5001, 1001, data: 5)) == "lan")
    #expect(other.send(other.tcp(lan: false, "A", 95_001, 1001, data: 5)) == "outOfWindow")
    #expect(other.send(other.ip(fromLAN: false).udp(from: 53, to: 3001, checksum: .right)) == "deniedByDefault")
    #expect(other.element.perform("export").rows.count == 4)
    // Twice does no harm.
    #expect(other.element.perform("import", rows: exported).rows == [["entered": "0", "refused": "4"]])
    #expect(other.counter("sessions") == 4)
    var broken = exported[0]
    broken["tcp"] = "ESTABLISHED 1 2"
    #expect(other.element.perform("import", rows: [broken]).failure != nil)
  }
}
