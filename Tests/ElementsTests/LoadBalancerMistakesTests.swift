import Configuration
import Testing

/// What is said of services and backends that cannot be as they are written.
@Suite struct LoadBalancerMistakesTests {
  /// Each mistake with its line and the word that stands at its place.
  private func said(_ text: String) throws -> [String] {
    try Verdicts("LoadBalancer", "services:\n" + text).errors.map { mistake in
      guard let range = mistake.range else { return mistake.message }
      let rest = range.text.dropFirst(range.start.column - 1)
      let word = rest.first == "{" ? "{" : String(rest.prefix { !" ,}".contains($0) })
      return "\(range.start.line) \(word): \(mistake.message)"
    }
  }

  @Test func aServiceNeedsBackends() throws {
    #expect(
      try said("  web: { address: 203.0.113.80, backends: {} }") == [
        "2 {: service 'web' has no backend"
      ])
    #expect(try Verdicts("LoadBalancer", "services: {}").messages == ["1:11 there are no services"])
    #expect(
      try said("  web: { address: 203.0.113.80, backends: { a: { address: 192.0.2.1, weight: 0 } } }") == [
        "2 {: every backend of service 'web' has weight 0"
      ])
  }

  @Test func aVirtualAddressIsClaimedOnce() throws {
    let backends = "backends: { a: { address: 192.0.2.1 } }"
    #expect(
      try said(
        """
          one: { address: 203.0.113.80, ports: 80-90, \(backends) }
          two: { address: 203.0.113.80, ports: [443, 85], \(backends) }
        """) == ["3 [443: 203.0.113.80 port 85 belongs to service 'one' already"])
    #expect(
      try said(
        """
          one: { address: 203.0.113.80, \(backends) }
          two: { address: 203.0.113.80, \(backends) }
        """) == ["3 203.0.113.80: 203.0.113.80 belongs to service 'one' already"])
    // Another protocol, and the same address for all others, may be.
    #expect(
      try said(
        """
          one: { address: 203.0.113.80, ports: 80, \(backends) }
          two: { address: 203.0.113.80, protocol: udp, ports: 80, \(backends) }
          any: { address: 203.0.113.80, protocol: any, \(backends) }
        """) == [])
  }

  @Test func aBackendIsOfTheServicesIPVersionUnlessInATunnel() throws {
    let six = "backends: { a: { address: \"2001:db8::1\" } }"
    #expect(
      try said("  web: { address: 203.0.113.80, \(six) }") == [
        "2 \"2001:db8::1\": the backend has an IPv6 address and the service an IPv4 one"
      ])
    #expect(
      try said("  web: { address: 203.0.113.80, mode: dsr, \(six) }") == [
        "2 \"2001:db8::1\": the backend has an IPv6 address and the service an IPv4 one"
      ])
    #expect(
      try said("  web: { address: 203.0.113.80, mode: ipip, tunnel: { source: \"2001:db8::9\" }, \(six) }") == [])
    #expect(
      try said("  web: { address: 203.0.113.80, mode: gre, tunnel: { source: 192.0.2.9 }, \(six) }") == [
        "2 \"2001:db8::1\": the tunnel's two ends, 192.0.2.9 and 2001:db8::1, are not of one IP version"
      ])
  }

  @Test func settingsFitTheMode() throws {
    let backends = "backends: { a: { address: 192.0.2.1 } }"
    #expect(
      try said("  web: { address: 203.0.113.80, mode: ipip, \(backends) }") == [
        "2 {: mode ipip needs this end of the tunnel"
      ])
    #expect(
      try said("  web: { address: 203.0.113.80, tunnel: { source: 192.0.2.9 }, \(backends) }") == [
        "2 {: mode nat has no tunnel"
      ])
    #expect(
      try said("  web: { address: 203.0.113.80, mode: dsr, source_nat: 192.0.2.9, \(backends) }") == [
        "2 192.0.2.9: sources are translated in mode nat, to addresses of the service's IP version"
      ])
    #expect(
      try said("  web: { address: 203.0.113.80, mode: dsr, backends: { a: { address: 192.0.2.1, port: 80 } } }") == [
        "2 80: only mode nat translates ports, of protocols that have some"
      ])
    #expect(
      try said("  web: { address: 203.0.113.80, backends: { a: { address: 192.0.2.1, mac: 02:00:00:00:00:01 } } }") == [
        "2 02:00:00:00:00:01: hardware addresses are for mode dsr"
      ])
    #expect(
      try said("  web: { address: 203.0.113.80, protocol: esp, ports: 80, \(backends) }") == [
        "2 80: protocol esp has no ports"
      ])
    #expect(
      try said("  web: { address: 203.0.113.80, protocol: icmp, \(backends) }") == [
        "2 icmp: pings are answered for virtual addresses, not balanced"
      ])
  }

  @Test func tablesArePrimeAndLargeEnough() throws {
    let backends = "backends: { a: { address: 192.0.2.1 }, b: { address: 192.0.2.2 } }"
    #expect(try said("  web: { address: 203.0.113.80, table: 1000, \(backends) }") == ["2 1000: 1000 is no prime"])
    #expect(
      try said("  web: { address: 203.0.113.80, table: 199, \(backends) }") == [
        "2 199: a table of 199 is too small for 2 backends"
      ])
    #expect(try said("  web: { address: 203.0.113.80, table: 211, \(backends) }") == [])
  }

  @Test func backendsDiffer() throws {
    #expect(
      try said(
        "  web: { address: 203.0.113.80, backends: { a: { address: 192.0.2.1 }, b: { address: 192.0.2.1 } } }") == [
          "2 {: backends 'a' and 'b' are both 192.0.2.1"
        ])
    #expect(
      try said(
        """
          one: { address: 203.0.113.80, backends: { a: { address: 192.0.2.1 } } }
          two: { address: 203.0.113.81, mode: dsr, backends: { b: { address: 203.0.113.80 } } }
        """) == ["3 {: backend 'b' of 'two' is the virtual address of 'one'"])
  }

  @Test func checksAreOfTheirKind() throws {
    func check(_ text: String) throws -> [String] {
      try said("  w: { address: 203.0.113.80, health: { \(text) }, backends: { a: { address: 192.0.2.1 } } }")
    }
    #expect(try check("check: http, path: /live, status: 200-204, interval: 500ms") == [])
    #expect(try check("check: tcp, path: /live") == ["2 /live: 'path' is for 'check: http'"])
    #expect(
      try check("check: http, path: \"/a b\"") == [
        "2 \"/a: 'path' begins with '/', and neither it nor 'host' has spaces"
      ])
    #expect(try check("check: icmp, port: 80") == ["2 80: pings have no port"])
    #expect(try check("check: http, status: 20") == ["2 20: '20' is not an HTTP status or range"])
  }
}
