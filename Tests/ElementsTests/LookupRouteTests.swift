import Dataplane
import Elements
import Foundation
import TestKit
import Testing

@Suite struct LookupRouteTests {
  @Test func theLongestPrefixDecides() throws {
    let route = try ElementUnderTest(
      LookupRoute.self,
      settings: """
        routes:
          10.0.0.0/8: far
          10.1.0.0/16: near
          10.1.2.3/32: host
          2001:db8::/32: far
          2001:db8:0:1::/64: near
          2001:db8:0:1::3/128: host
        """)
    #expect(route.outputNames == ["far", "near", "host"])
    let to = ["10.9.9.9", "10.1.0.1", "10.1.2.3", "2001:db8:ffff::1", "2001:db8:0:1::9", "2001:db8:0:1::3"]
    let frames = to.map { to in
      to.contains(":") ? Frame.ethernet().ipv6(to: to).udp() : Frame.ethernet().vlan(3).ipv4(to: to).tcp()
    }
    let result = route.push(frames)
    #expect(result["far"].are([frames[0], frames[3]]))
    #expect(result["near"].are([frames[1], frames[4]]))
    #expect(result["host"].are([frames[2], frames[5]]))
  }

  @Test func dropsWithoutARoute() throws {
    let route = try ElementUnderTest(LookupRoute.self, settings: "routes: { 10.0.0.0/8: a }")
    let result = route.push([.ethernet().ipv4(to: "11.0.0.0").udp(), .ethernet().ipv6().udp(), .ethernet().arp()])
    #expect(result.drops == ["noRoute": 3])
  }

  @Test func defaultRoutesTakeTheRest() throws {
    let route = try ElementUnderTest(LookupRoute.self, settings: "routes:\n  0.0.0.0/0: a\n  ::/0: b\n  10.0.0.0/8: c")
    let result = route.push([
      .ethernet().ipv4(to: "11.0.0.0").udp(), .ethernet().ipv6().udp(), .ethernet().ipv4(to: "10.0.0.0").udp(),
    ])
    #expect(result.outputs.map(\.packets.count) == [1, 1, 1])
  }

  /// A folder with a route file.
  func withFile<T>(_ text: String, _ body: (String) throws -> T) throws -> T {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("routes-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    try text.write(to: folder.appendingPathComponent("routes.txt"), atomically: true, encoding: .utf8)
    return try body(folder.path)
  }

  @Test func readsRoutesFromAFileBesideTheOthers() throws {
    let text = "# our networks\n10.0.0.0/8 a\n\n  2001:db8::/32\tb # documentation\n"
    try withFile(text) { folder in
      let route = try ElementUnderTest(
        LookupRoute.self, settings: "{ file: routes.txt, routes: { 11.0.0.0/8: b } }", folder: folder)
      #expect(route.outputNames == ["b", "a"])
      let result = route.push([
        .ethernet().ipv4(to: "10.0.0.1").udp(), .ethernet().ipv4(to: "11.0.0.1").udp(), .ethernet().ipv6().udp(),
      ])
      #expect(result.outputs.map(\.packets.count) == [2, 1])
    }
  }

  @Test func mistakesInTheFileNameTheirPlace() throws {
    try withFile("10.0.0.0/8 a\n10.0.0.0/33 a\n11.0.0.0/8\n  10.0.0.0/8 b\nrubbish x\n") { folder in
      let verdicts = try Verdicts("LookupRoute", "file: routes.txt", folder: folder)
      let places = verdicts.errors.map { "\($0.range?.start.line ?? 0):\($0.range?.start.column ?? 0)" }
      #expect(places == ["2:1", "3:1", "4:3", "5:1"])
      #expect(verdicts.errors.allSatisfy { $0.range?.start.file == "\(folder)/routes.txt" })
      #expect(verdicts.errors[2].notes.first?.range?.start.line == 1)
    }
    try withFile("# nothing\n") { folder in
      let empty = try Verdicts("LookupRoute", "file: routes.txt", folder: folder).errors
      #expect(empty.map(\.message) == ["\(folder)/routes.txt has no routes"])
      let missing = try Verdicts("LookupRoute", "file: missing.txt", folder: folder).errors
      #expect(missing.map(\.message) == ["\(folder)/missing.txt: No such file or directory"])
    }
  }

  @Test(arguments: [
    ("{}", "1:1 there are no routes"),
    ("routes: { 10.0.0.0/8: a, 10.0.0.0/8: b }", nil),
    ("routes: { 10.0.0.1/8: a }", nil),
  ])
  func refuses(settings: String, message: String?) throws {
    let messages = try Verdicts("LookupRoute", settings).messages
    #expect(messages.count == 1)
    if let message { #expect(messages == [message]) }
  }
}
