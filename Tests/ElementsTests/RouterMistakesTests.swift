import Assembly
import Configuration
import Elements
import Foundation
import Testing

/// What is said of configurations of `Router` that are wrong.
@Suite struct RouterMistakesTests {
  /// `line:column message` of each mistake, lines counted from the first line of the interfaces on.
  private func mistakes(
    _ interfaces: [String], routes: String = "{}", more: String = "", folder: String? = nil, graph: String? = nil
  ) throws -> [String] {
    let text = """
      nfv: 1
      ports: { lan: { pcap: lan.pcap }, wan: { pcap: wan.pcap } }
      graph: \(graph ?? "[lan -> rt.lan, rt.lan -> lan, wan -> rt.wan, rt.wan -> wan]")
      elements:
        rt:
          Router:
            interfaces:
      \(interfaces.map { "        \($0)" }.joined(separator: "\n"))
            routes: \(routes)
            \(more)
      """
    let name = folder.map { "\($0)/p.yaml" } ?? "p.yaml"
    do throws(ConfigurationError) {
      _ = try Pipeline.load(text: text, name: name, elements: catalogue)
      return []
    } catch {
      return error.diagnostics.map { diagnostic in
        let start = diagnostic.range?.start
        let isFile = start?.file.hasSuffix("routes.txt") == true
        return "\((start?.line ?? 0) - (isFile ? 0 : 7)):\(start?.column ?? 0) \(diagnostic.message)"
      }
    }
  }

  private let lan = "lan: { mac: 02:00:00:00:00:01, addresses: [192.0.2.1/24, \"2001:db8:1::1/64\"] }"
  private let wan = "wan: { mac: 02:00:00:00:00:02, addresses: [198.51.100.1/24, \"2001:db8:2::1/64\"] }"

  private func route(_ target: String) throws -> [String] {
    try mistakes([lan, wan], routes: "{ 10.0.0.0/8: \"\(target)\" }").map {
      String($0.split(separator: " ", maxSplits: 1)[1])
    }
  }

  @Test func whatIsRightIsTaken() throws {
    #expect(try mistakes([lan, wan]) == [])
    for target in ["192.0.2.9", "192.0.2.9*3,198.51.100.9", "fe80::1@wan", "10.9.9.9@wan", "lan", "blackhole"] {
      #expect(try route(target) == [], "\(target)")
    }
  }

  @Test func nextHops() throws {
    #expect(try route("203.0.113.9") == ["next hop 203.0.113.9 is on no connected network"])
    #expect(try route("192.0.2.1") == ["192.0.2.1 is an address of the router itself"])
    #expect(try route("192.0.2.9@dmz") == ["there is no interface 'dmz'"])
    #expect(try route("fe80::1") == ["fe80::1 may be on any link"])
    #expect(try route("224.0.0.1") == ["224.0.0.1 is a group and cannot forward"])
    for weight in ["0", "257", "x", "", "-1"] {
      #expect(try route("192.0.2.9*\(weight)") == ["'192.0.2.9*\(weight)' has no weight behind '*'"])
    }
    for target in ["dmz", "192.0.2.300", "192.0.2.9,", ""] { #expect(try route(target).count == 1, "\(target)") }
    let many = (0..<33).map { "192.0.2.\(10 + $0)" }.joined(separator: ",")
    #expect(try route(many) == ["33 next hops"])
  }

  @Test func mistakesHaveTheirPlace() throws {
    #expect(
      try mistakes([lan, wan], routes: "{ 10.0.0.0/8: 203.0.113.9 }")
        == ["3:29 next hop 203.0.113.9 is on no connected network"])
  }

  @Test func nextHopsBehindOthers() throws {
    func routes(_ text: String) throws -> [String] { try mistakes([lan, wan], routes: "{ \(text) }") }
    #expect(try routes("10.0.0.0/8: 172.16.0.1, 172.16.0.0/16: 192.0.2.9") == [])
    let circle = try routes("10.0.0.0/8: 172.16.0.1, 172.16.0.0/16: 10.0.0.1")
    #expect(circle.count == 2 && circle.allSatisfy { $0.hasSuffix("is reached by no other route than its own") })
    #expect(try routes("10.0.0.0/8: 10.0.0.1") == ["3:29 next hop 10.0.0.1 is reached by no other route than its own"])
    // A default route leads to misspelt addresses, too.
    let default0 = try routes("0.0.0.0/0: 192.0.2.9, 10.0.0.0/8: 203.0.113.9")
    #expect(default0.count == 1 && default0[0].hasSuffix("next hop 203.0.113.9 is on no connected network"))
  }

  @Test func vrfs() throws {
    let red = wan.replacingOccurrences(of: " }", with: ", vrf: red }")
    #expect(try mistakes([lan, red], more: "vrfs: { red: { routes: { 10.0.0.0/8: 198.51.100.9 } } }") == [])
    #expect(try mistakes([lan, red], routes: "{ 10.0.0.0/8: 198.51.100.9 }").count == 1, "it is in another VRF")
    #expect(try mistakes([lan, red], routes: "{ 10.0.0.0/8: 198.51.100.9@wan }") == [], "and named")
    let unknown = try mistakes([lan, wan], more: "vrfs: { blue: {} }")
    #expect(unknown.count == 1 && unknown[0].contains("no interface is in a VRF 'blue'"), "\(unknown)")
    #expect(try mistakes([lan, wan.replacingOccurrences(of: " }", with: ", vrf: \"a b\" }")]).count == 1)
    let same = lan.replacingOccurrences(of: " }", with: ", vrf: red }").replacingOccurrences(of: "lan:", with: "wan:")
      .replacingOccurrences(of: "02:00:00:00:00:01", with: "02:00:00:00:00:02")
    #expect(try mistakes([lan, same]) == [], "addresses may overlap between VRFs")
  }

  @Test func routesOfTheKernel() throws {
    #expect(try mistakes([lan, wan], routes: "kernel") == [])
    #expect(try mistakes([lan, wan], routes: "kernal").count == 1)
    let both = try mistakes([lan, wan], routes: "kernel", more: "table: routes.txt")
    #expect(both.count == 1 && both[0].hasSuffix("the kernel's routes are followed, and there is a file of others"))
    #expect(try mistakes([lan, wan], more: "host: nobody").count == 1)
  }

  @Test func prefixes() throws {
    #expect(
      try mistakes([lan, wan], routes: "{ 10.0.0.0/8: lan, 10.0.0.1/8: wan, 10.0.0.0/33: lan }").count == 2)
    let twice = try mistakes([lan, wan], routes: "{ \"2001:db8::/32\": lan, \"2001:DB8:0::/32\": wan }")
    #expect(twice == ["3:39 2001:db8::/32 has a route already"])
    let connected = try mistakes(
      [lan, wan], routes: "{ 192.0.2.0/24: 198.51.100.9, 192.0.2.1/32: lan, 224.0.0.0/4: wan }")
    #expect(
      connected.map { $0.split(separator: " ", maxSplits: 1)[1] } == [
        "192.0.2.0/24 is a network or address of the router's own",
        "192.0.2.1/32 is a network or address of the router's own",
        "224.0.0.0/4 is a network or address of the router's own",
      ])
  }

  @Test func routeFiles() throws {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("router-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    func lines(_ text: String) throws -> [String] {
      try text.write(to: folder.appendingPathComponent("routes.txt"), atomically: true, encoding: .utf8)
      return try mistakes(
        [lan, wan], routes: "{ 11.0.0.0/8: lan }", more: "table: routes.txt", folder: folder.path)
    }
    #expect(try lines("# none yet\n10.0.0.0/8  192.0.2.9\n2001:db8:9::/48 fe80::1@wan\n") == [])
    let flaws = try lines("10.0.0.0/8 192.0.2.9\n10.1.0.0/x 192.0.2.9\n10.2.0.0/16 203.0.113.9\n  10.3.0.0/16\n")
    #expect(
      flaws == [
        "2:1 '10.1.0.0/x' is no IP prefix: the length is not a number up to that of the address",
        "3:13 next hop 203.0.113.9 is on no connected network", "4:1 a route has two words, not 1",
      ])
    #expect(
      try lines("10.0.0.0/8 192.0.2.9\n# again\n  10.0.0.0/8 lan\n11.0.0.0/8 wan\n198.51.100.0/24 lan\n") == [
        "3:3 10.0.0.0/8 has a route already", "4:1 11.0.0.0/8 has a route already",
        "5:1 198.51.100.0/24 is a network or address of the router's own",
      ])
    #expect(try mistakes([lan, wan], more: "table: nosuch.txt", folder: folder.path).count == 1)
  }

  @Test func interfacesThatClash() throws {
    func second(_ mac: String, _ addresses: String) throws -> [String] {
      try mistakes([lan, "wan: { mac: \(mac), addresses: [\(addresses)] }"])
    }
    let other = "02:00:00:00:00:02"
    #expect(
      try second("02:00:00:00:00:01", "198.51.100.1/24") == ["2:21 02:00:00:00:00:01 is the address of 'lan', too"])
    #expect(try second(other, "192.0.2.1/24") == ["2:51 192.0.2.1 is an address of 'lan', too"])
    #expect(try second(other, "192.0.2.129/25") == ["2:51 192.0.2.128/25 overlaps with 192.0.2.0/24 of 'lan'"])
    #expect(try second(other, "192.0.0.1/16") == ["2:51 192.0.0.0/16 overlaps with 192.0.2.0/24 of 'lan'"])
    #expect(
      try second(other, "\"2001:db8:1::2/64\"") == ["2:51 2001:db8:1::/64 overlaps with 2001:db8:1::/64 of 'lan'"])
    #expect(try second(other, "\"fe80::1/64\"") == [])
  }

  @Test func interfacesThatAreMissing() throws {
    #expect(try mistakes(["{}"], graph: "[lan -> wan]").isEmpty == false)
    let unknown = try mistakes([lan, wan], graph: "[lan -> rt.lan, rt.lan -> lan, wan -> rt.dmz, rt.wan -> wan]")
    #expect(unknown.contains { $0.contains("dmz") }, "\(unknown)")
    let open = try mistakes([lan, wan], graph: "[lan -> rt.lan, rt.lan -> lan, wan -> rt.wan]")
    #expect(open.contains { $0.contains("rt.wan") || $0.contains("'wan'") }, "\(open)")
    let closed = try mistakes([lan, wan], graph: "[lan -> rt.lan, rt.lan -> lan, rt.wan -> wan, wan -> drop]")
    #expect(closed.contains { $0.contains("rt.wan") || $0.contains("'wan'") }, "\(closed)")
  }

  @Test func limits() throws {
    #expect(try mistakes([lan.replacingOccurrences(of: " }", with: ", mtu: 67 }"), wan]).count == 1)
    #expect(try mistakes([lan.replacingOccurrences(of: " }", with: ", reverse_path: maybe }"), wan]).count == 1)
    let stations = "static: { 192.0.2.8: 02:00:00:00:00:08, 192.0.2.9: 02:00:00:00:00:09 }"
    #expect(
      try mistakes(
        [lan.replacingOccurrences(of: " }", with: ", \(stations) }"), wan], more: "neighbours: { neighbours: 1 }"
      ).count == 1)
  }
}
