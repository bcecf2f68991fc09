import Assembly
import Configuration
import Dataplane
import Elements
import TestKit
import Testing

/// What holds for every element of the catalogue.
@Suite struct CatalogueTests {
  /// Settings to try elements with; those without a line here are tried without settings.
  static let settings: [String: [String]] = [
    "Classify": [
      "",
      """
      rules:
        - { to: web, protocol: tcp, destination_port: 80, flags: syn, flags_mask: syn+ack }
        - { to: dns, destination_port: 53 }
        - { to: six, version: 6 }
        - { to: tagged, vlan: 7 }
        - { to: pieces, fragment: yes }
        - { to: net, source: 10.0.0.0/29, destination: 192.0.2.0/24 }
      else: rest
      """,
      """
      rules:
        - { to: scans, protocol: tcp, flags: [none, syn+fin, fin+psh+urg] }
        - { to: odd, options: yes, fragment: not no }
        - { to: filtered, filter: "icmp or (udp and greater 200)" }
        - { to: web, protocol: tcp, destination_port: [80, 443], source: [10.0.0.0/30, not 10.0.0.1] }
        - { to: marked, mark: 0x1/0x1, length: 60-200 }
        - { to: web, source: not 10.0.0.0/8, destination_port: not 53 }
        - { to: voice, dscp: [ef, af41], ecn: not ce }
        - { to: errors, icmp_type: [3, 11], icmp_code: not 4 }
        - { to: tagged, vlan: [1-10, not 7] }
      else: rest
      """,
    ],
    "CheckIP": ["", "{ checksum: no, addresses: no }"],
    "Firewall": [
      "rules: [{ action: accept }]",
      """
      zones: { lan: { networks: [10.0.0.0/30, "2001:db8::/64"] }, wan: {} }
      anti_spoofing: no
      pickup: yes
      sessions: 40
      connections_per_source: 5
      syn_proxy: { half_open: 5 }
      rules:
        - { action: accept, from: lan }
        - { action: reject, protocol: [tcp, udp], destination_port: 1-30000 }
        - { action: accept, to: wan }
      """,
      """
      rules: [{ action: reject, protocol: icmp }, { action: accept }]
      rate_per_source: 1pps
      syn_proxy: { mode: always }
      ip_options: [router-alert, record-route, timestamp]
      """,
    ],
    "DecTTL": ["", "multicast: no"],
    "ICMPEcho": ["", "addresses: [10.0.0.1, 2001:db8::2]"],
    "FragmentIP": ["100", ""],
    "ICMPError": ["source: [192.0.2.1, 2001:db8:ffff::1]"],
    "NAT": [
      "10.0.0.2", "{ outside: 203.0.113.1, filtering: address-dependent, blocks: { size: 64 } }",
      "{ outside: 203.0.113.0/29, static: { inside: 10.0.0.1, outside: 10.0.0.2 }, exhausted: refuse, mss: 1000 }",
    ],
    "NAT64": ["{ prefix: 2001:db8::/96, pool: [10.0.0.2] }", "{ prefix: 64:ff9b::/96, pool: [192.0.2.1] }"],
    "NPTv6": ["{ inside: 2001:db8::/48, outside: 2001:db8:1::/48 }"],
    "ReassembleIP": ["", "{ packets: 3, fragments: 5 }"],
    "LookupRoute": ["routes: { 10.0.0.0/30: near, 10.0.0.0/8: far, 2001:db8::/64: six }"],
    "ARPResponder": ["{ addresses: [10.0.0.1, 10.0.0.4/30], mac: 02:00:00:00:00:99 }"],
    "EtherRewrite": ["{ source: 02:00:00:00:00:11, destination: 02:00:00:00:00:12 }"],
    "Neighbours": [
      """
      { mac: 02:00:00:00:00:02, addresses: [10.0.0.2/24, 2001:db8::2/64], gateway4: 10.0.0.1, gateway6: 2001:db8::1 }
      """,
      "{ mac: 02:00:00:00:00:02, addresses: 10.0.0.2/8, unresolved: 2, held: 3, pending: 2, promiscuous: yes, dad: 0 }",
    ],
    "GREDecap": ["{ addresses: [10.0.0.2, 2001:db8::2], sources: [10.0.0.0/8, \"2001:db8::/32\"] }"],
    "GREEncap": ["{ source: \"2001:db8::1\", destination: \"2001:db8::9\", dscp: ef }"],
    "IPIPDecap": ["{ addresses: [10.0.0.2, 2001:db8::2], sources: [10.0.0.0/8, \"2001:db8::/32\"] }"],
    "IPIPEncap": ["{ source: 10.0.0.1, destination: 10.0.0.9 }"],
    "LoadBalancer": [
      """
      connections: 8
      timeouts: { opening: 1s, established: 60s, datagrams: 1s }
      services:
        one: { address: 10.0.0.2, protocol: udp, ports: 1-100, backends: { a: { address: 10.0.0.3, port: 9 } } }
        two: { address: 10.0.0.2, affinity: 30s, backends: { a: { address: 10.0.0.3 }, b: { address: 10.0.0.4 } } }
        six:
          { address: "2001:db8::2", protocol: any, backends: { a: { address: "2001:db8::3" } } }
        tunnel:
          address: 10.0.0.1
          protocol: any
          mode: gre
          tunnel: { source: "2001:db8::99", mtu: 200 }
          backends: { a: { address: "2001:db8::3" }, b: { address: "2001:db8::4" } }
      """,
      """
      connections: 20
      services:
        nat: { address: 10.0.0.2, protocol: udp, source_nat: [10.0.0.9, 10.0.0.8], backends: { a: { address: 10.0.0.3 } } }
        tunnel:
          { address: 10.0.0.1, protocol: any, mode: ipip, tunnel: { source: 10.0.0.9, mtu: 100, dscp: ef },
            backends: { a: { address: 10.0.0.3 }, b: { address: 10.0.0.4 } } }
        dsr: { address: "2001:db8::1", protocol: any, mode: dsr, backends: { a: { address: "2001:db8::7" } } }
      """,
    ],
    "VLANTag": ["100", "{ id: 7, priority: 5, type: 802.1ad }"],
    "VLANUntag": ["", "7"],
    "HashSplit": ["3", "weights: [3, 0, 1]"],
    "Mark": ["7"],
    "RoundRobin": ["3"],
    "Tee": ["3"],
    "CoDel": ["10Mbps", "{ rate: 1kpps, ecn: yes, target: 1ms, interval: 10ms, capacity: 40 }"],
    "FQCoDel": ["10Mbps", "{ rate: 1kpps, flows: 3, quantum: 300, capacity: 40, bytes: 20kB }"],
    "Meter": ["{ rate: 1kpps, burst: 5 }", "1Mbps"],
    "Police": [
      "{ cir: 1Mbps, cbs: 10kB, ebs: 10kB }",
      "{ method: trTCM, cir: 1Mbps, cbs: 10kB, pir: 2Mbps, pbs: 20kB, aware: dscp, recolour: yes, red: { ecn: yes } }",
      """
      { method: RFC4115, cir: 1Mbps, cbs: 10kB, eir: 1Mbps, ebs: 20kB, aware: mark, green: { dscp: ef, mark: 1 },
        yellow: { drop: yes, ecn: yes }, red: { drop: no, dscp: cs1 } }
      """,
    ],
    "Queue": ["40", "{ capacity: 40, rate: 1Mpps, drop: oldest }", "{ rate: 10Mbps }"],
    "RateLimit": ["{ rate: 1kpps, burst: 5 }", "1Mbps"],
    "Sample": ["10", "{ one_in: 3, random: yes }"],
    "Capture": ["{ file: /dev/null, limit: 100, snap: 60 }"],
    "Print": ["{ file: /dev/null, label: here }"],
  ]

  /// Elements that are made of others are tried by their own tests, in pipelines.
  static let variants = catalogue.filter { !$0.isComposite }.flatMap { kind in
    (settings[kind.name] ?? [""]).map { Variant(kind: kind, settings: $0) }
  }

  struct Variant: CustomTestStringConvertible, Sendable {
    var kind: ElementKind
    var settings: String
    var testDescription: String { "\(kind.name) \(settings)" }
  }

  @Test(arguments: variants) func accountsForEveryPacketWhateverTheBatchSize(variant: Variant) throws {
    try expectRobust(variant.kind, settings: variant.settings, count: 500)
  }

  @Test(arguments: catalogue.map(\.name)) func isDescribed(name: String) throws {
    let kind = try #require(catalogue.first { $0.name == name })
    #expect(kind.about.summary.hasSuffix("."))
    #expect(kind.about.example.contains(name))
  }

  /// Ports that examples may use.
  static let ports = ["lan", "wan", "trunk", "monitor", "backup"]

  @Test(arguments: catalogue.map(\.name)) func exampleLoads(name: String) throws {
    let kind = try #require(catalogue.first { $0.name == name })
    let words = kind.about.example.split { !$0.isLetter }.map(String.init)
    let ports = Self.ports.filter(words.contains).map { "  \($0): { pcap: \($0).pcap }" }
    let text = "nfv: 1\nports:\n\(ports.joined(separator: "\n"))\n\(kind.about.example)\n"
    let pipeline = try Pipeline.load(text: text, name: "example.yaml", elements: catalogue)
    #expect(pipeline.warnings.isEmpty)
    #expect(pipeline.elements.contains { kind.isComposite ? $0.name.contains("/") : $0.kind.name == name })
  }

  @Test func namesAreUnique() { #expect(Set(catalogue.map(\.name)).count == catalogue.count) }

  @Test func settingsAreThoseOfElements() {
    #expect(Set(Self.settings.keys).isSubset(of: catalogue.map(\.name)))
  }
}
