import Assembly
import Configuration
import Dataplane
import Elements
import Foundation
import TestKit
import Testing

@testable import Control

/// Keeps a number for each name that an import gave it, a few at a time.
private struct Keeper: PacketElement {
  static let operations = [
    OperationDescription("list", "Lists what is kept.", parameters: [OperationParameter("above", "values above this")]),
    OperationDescription("import", "Keeps more.", takesRows: true),
  ]
  private var kept: [(name: String, value: Int)] = []
  private var calls = 0

  init(_ settings: inout Settings) throws(ConfigurationError) {}

  func process(_ packet: inout Packet) -> Verdict<SoleOutput> { .forward(.output) }

  mutating func perform(_ request: OperationRequest, _ answer: inout OperationAnswer, _ context: inout Context) {
    switch request.name {
    case "import":
      for row in request.rows {
        guard let name = row["name"], let value = row["value"].flatMap({ Int($0) }) else {
          return answer.fail("a row has name and value")
        }
        kept.append((name, value))
      }
    default:
      do throws(ConfigurationError) {
        let above = try request.value("above", as: Int.self) ?? -1
        let start = Int(request.position)
        for entry in kept.dropFirst(start).prefix(7) where entry.value > above {
          answer.row(["name": entry.name, "value": "\(entry.value)", "worker": "\(context.worker)"])
        }
        if start + 7 < kept.count { answer.resume(at: UInt64(start + 7)) }
      } catch {
        answer.fail(error)
      }
    }
  }
}

/// An element whose workers share a task.
private struct Beside: PacketElement {
  final class Work: ControlTask, @unchecked Sendable {
    let log: Log
    let ends: (read: Int32, write: Int32)
    init(_ log: Log) {
      self.log = log
      var pipe: [Int32] = [0, 0]
      _ = unsafe Glibc.pipe(&pipe)
      ends = (pipe[0], pipe[1])
    }
    let operations = [OperationDescription("poke", "Makes the descriptor readable.")]
    var descriptors: [ControlDescriptor] { [ControlDescriptor(ends.read, .read)] }
    func begin(_ readers: ReaderDomain?) { log.add(readers == nil ? "begin alone" : "begin") }
    func run(_ now: Instant) -> Instant {
      var byte: [UInt8] = [0]
      var ready = pollfd(fd: ends.read, events: Int16(POLLIN), revents: 0)
      let isReady = unsafe poll(&ready, 1, 0) > 0
      if isReady { _ = unsafe read(ends.read, &byte, 1) }
      log.add(isReady ? "readable" : "run")
      return log.count("run") < 3 ? now.advanced(by: 1_000_000) : .never
    }
    func perform(_ request: OperationRequest, _ answer: inout OperationAnswer) {
      _ = unsafe write(ends.write, "x", 1)
      answer.row(["poked": "yes"])
    }
    func end() -> [String] { ["beside: as was foreseen"] }
  }

  final class Log: @unchecked Sendable {
    private let lock = NSLock()
    private var entries: [String] = []
    func add(_ entry: String) { lock.withLock { entries.append(entry) } }
    func count(_ entry: String) -> Int { lock.withLock { entries.count { $0 == entry } } }
  }
  nonisolated(unsafe) static var log = Log()

  init(_ settings: inout Settings) throws(ConfigurationError) {
    _ = try settings.shared("work") { unsafe Work(Self.log) }
  }
  func process(_ packet: inout Packet) -> Verdict<SoleOutput> { .forward(.output) }
}

extension Runs {
  /// A live run in a thread of its own, asked at its socket.
  @Suite final class ControlSocketTests {
    private let folder = NSTemporaryDirectory() + "nfvrun-control-\(getpid())-\(TestEnvironment.uniqueNumber())"
    private var socket: String { folder + "/socket" }
    private var file: String { folder + "/p.yaml" }

    init() throws {
      try TestEnvironment.start()
      try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(atPath: folder) }

    private static let elements = catalogue + [ElementKind(Keeper.self), ElementKind(Beside.self)]

    private func write(_ elements: String, graph: String, workers: Int = 1, rate: String = "20kpps") throws {
      try """
      nfv: 1
      runtime: { packets: 4096, memory: 64, workers: \(workers) }
      ports: { lan: { traffic: { flows: 64, rate: \(rate) } }, wan: null, other: null }
      elements:
      \(elements)
      graph: [\(graph)]
      """.write(toFile: file, atomically: true, encoding: .utf8)
    }

    /// Runs the file for as long as `body` takes.
    private func whileRunning(_ body: () throws -> Void) throws -> Runner.Outcome {
      var options = Runner.Options()
      options.controlSocket = socket
      let path = file
      options.reload = { (running: Pipeline) throws(ConfigurationError) in
        try Pipeline.load(path: path, elements: Self.elements, running: running)
      }
      let stop = StopFlag()
      let runner = Runner(try Pipeline.load(path: file, elements: Self.elements), options: options, stop: stop)
      nonisolated(unsafe) let run = runner
      nonisolated(unsafe) var result: Result<Runner.Outcome, any Error>?
      let thread = try Control.Thread { unsafe result = Result { try unsafe run.run() } }
      let answers = { (try? self.ask("operations")) != nil }
      for _ in 0..<2000 where !answers() { usleep(5_000) }
      defer { stop.raise() }
      do {
        try body()
      } catch {
        stop.raise()
        thread.join()
        throw error
      }
      stop.raise()
      thread.join()
      let ended = unsafe result
      return try #require(ended).get()
    }

    private struct Refused: Error { let message: String }

    @discardableResult
    private func ask(
      _ operation: String, of element: String? = nil, _ arguments: [String: String] = [:], rows: String = ""
    ) throws -> [[String: String]] {
      var answered: [[String: String]] = []
      var refusal: String?
      try ControlClient.ask(
        ControlRequest(element: element, operation: operation, arguments: arguments), rows: Array(rows.utf8), at: socket
      ) { line in
        switch line {
        case .row(_, let fields):
          answered.append(Dictionary(fields.map { ($0.name, $0.value) }, uniquingKeysWith: { $1 }))
        case .failure(let message): refusal = message
        }
      }
      if let refusal { throw Refused(message: refusal) }
      return answered
    }

    private func refusal(_ body: () throws -> Void) -> String {
      do {
        try body()
        return "not refused"
      } catch let refused as Refused {
        return refused.message
      } catch {
        return "\(error)"
      }
    }

    @Test(arguments: [1, 2]) func workersAnswerBetweenRounds(workers: Int) throws {
      try write("  keep: Keeper", graph: "lan -> keep -> wan", workers: workers)
      let outcome = try whileRunning {
        let before = try ask("list", of: "keep")
        #expect(before == [])
        let rows = (0..<1000).map { "{\"name\": \"row \($0)\", \"value\": \($0)}\n" }.joined()
        try ask("import", of: "keep", rows: rows)
        let listed = try ask("list", of: "keep")
        #expect(listed.count == 1000 * workers)
        #expect(Set(listed.map { $0["worker"] }).count == workers)
        #expect(listed.prefix(1000).map { $0["name"] } == (0..<1000).map { "row \($0)" })
        let above = try ask("list", of: "keep", ["above": "996"])
        #expect(above.count == 3 * workers)
        #expect(refusal { try ask("list", of: "keep", ["above": "high"]) }.contains("'high' is not a whole number"))
        #expect(refusal { try ask("list", of: "keep", ["below": "1"]) }.contains("it takes above"))
        #expect(refusal { try ask("lost", of: "keep") }.contains("did you mean 'list'?"))
        #expect(refusal { try ask("list", of: "kep") }.contains("did you mean 'keep'?"))
        #expect(refusal { try ask("import", of: "keep", rows: "{\"name\": \"x\"}\n") }.contains("name and value"))
        #expect(refusal { try ask("import", of: "keep", rows: "{]\n") }.contains("row 1 is no JSON object"))
      }
      #expect(outcome.report.isBalanced)
    }

    @Test func tasksRunOnTheirTimeAndForTheirDescriptors() throws {
      let log = Beside.Log()
      unsafe Beside.log = log
      try write("  beside: Beside", graph: "lan -> beside -> wan")
      let outcome = try whileRunning {
        for _ in 0..<2000 where log.count("run") < 3 { usleep(5_000) }
        #expect(log.count("begin") == 1 && log.count("run") >= 3)
        let poked = try ask("poke", of: "beside")
        #expect(poked == [["poked": "yes"]])
        for _ in 0..<2000 where log.count("readable") == 0 { usleep(5_000) }
        #expect(log.count("readable") == 1)
      }
      #expect(outcome.problems == ["beside: as was foreseen"])
    }

    @Test func settingsAreReplacedWhilePacketsFlow() throws {
      func write(_ prefix: String, to output: String, rest: String = "other") throws {
        try self.write(
          "  route: { LookupRoute: { routes: { \(prefix): \(output), 0.0.0.0/0: other } } }\n  in: CheckIP",
          graph: "lan -> in -> route, in.other -> drop, route.near -> wan, route.other -> \(rest)")
      }
      try write("0.0.0.0/1", to: "near")
      let outcome = try whileRunning {
        let operations = try ask("operations")
        #expect(operations.contains { $0["element"] == "route" && $0["operation"] == "reload" })
        try write("128.0.0.0/1", to: "near")
        let replaced = try ask("reload")
        #expect(replaced.map { $0["element"] } == ["route"])
        // An output more, or another graph, takes a restart; what is wrong is said with its place. Nothing changes.
        try write("128.0.0.0/1", to: "near", rest: "wan")
        #expect(refusal { try ask("reload") }.contains("restart to have it take effect"))
        try write("128.0.0.0/33", to: "near")
        #expect(refusal { try ask("reload", ["element": "route"]) }.contains("p.yaml:5:"))
        try self.write(
          "  route: { LookupRoute: { routes: { 0.0.0.0/0: other } } }\n  in: { CheckIP: { checksum: no } }",
          graph: "lan -> in -> route, in.other -> drop, route.near -> wan, route.other -> other")
        #expect(refusal { try ask("reload") }.contains("'checksum' differs from what runs"))
      }
      #expect(outcome.report.isBalanced && outcome.report.balance.dropped == 0)
    }

    /// Were rules of one version ever used with outputs of the other, packets would be taken for what the other version
    /// has in the same place, which is dropped. There are enough rules for access lists.
    @Test(arguments: [1, 2]) func classifyNeverMixesOldRulesWithNew(workers: Int) throws {
      let scans = (1...20).map { "- { to: bad, protocol: tcp, destination_port: \($0) }" }
      let good = ["- { to: good, protocol: udp }"]
      func rules(_ list: [String]) throws {
        try list.joined(separator: "\n").write(toFile: folder + "/rules.yaml", atomically: true, encoding: .utf8)
      }
      try rules(good + scans)
      try write(
        "  sort: { Classify: { file: rules.yaml, else: rest } }",
        graph: "lan -> sort, sort.good -> wan, sort.bad -> drop, sort.rest -> drop", workers: workers, rate: "500kpps")
      let outcome = try whileRunning {
        for round in 1...30 {
          try rules(round % 2 == 0 ? good + scans : scans + good)
          #expect(try ask("reload", ["element": "sort"]).map { $0["element"] } == ["sort"])
        }
      }
      #expect(outcome.report.isBalanced && outcome.report.balance.dropped == 0)
      #expect(outcome.report.balance.transmitted > 0)
    }

    @Test(arguments: [1, 2]) func aRouterLosesNothingWhileItsRoutesAreReplaced(workers: Int) throws {
      func write(_ inline: String, _ lines: [String], more: String = "") throws {
        try lines.joined(separator: "\n").write(toFile: folder + "/routes.txt", atomically: true, encoding: .utf8)
        try """
        nfv: 1
        runtime: { packets: 4096, memory: 64, workers: \(workers) }
        ports:
          lan:
            traffic: { flows: 256, rate: 40kpps, destination: 10.0.0.0/16, destination_mac: 02:00:00:00:00:01 }
          wan: null
        elements:
          rt:
            Router:
              interfaces:
                lan: { mac: 02:00:00:00:00:01, addresses: 192.0.2.1/24, dad: 0 }
                wan:
                  mac: 02:00:00:00:00:02
                  addresses: 203.0.113.1/24
                  dad: 0
                  static: { 203.0.113.8: 02:00:00:00:00:08, 203.0.113.9: 02:00:00:00:00:09 }\(more)
              routes: { \(inline) }
              table: routes.txt
        graph: [lan -> rt.lan, rt.lan -> lan, wan -> rt.wan, rt.wan -> wan]
        """.write(toFile: file, atomically: true, encoding: .utf8)
      }
      func lines(_ count: Int, by hop: String) -> [String] { (0..<count).map { "10.0.\($0).0/24 \(hop)" } }
      func way(_ address: String) throws -> [String: String] {
        try #require(ask("routes", of: "rt", ["for": address]).first)
      }
      try write("10.0.0.0/8: 203.0.113.9", lines(100, by: "203.0.113.8"))
      let outcome = try whileRunning {
        for round in 1...10 {
          let hop = round % 2 == 0 ? "203.0.113.8" : "203.0.113.9"
          try write("10.0.0.0/8: \(hop)", lines(round * 20, by: hop))
          let replaced = try ask("reload")
          #expect(replaced.map { $0["element"] } == ["rt"])
          let found = try way("10.0.5.1")
          #expect(found == ["prefix": "10.0.5.0/24", "to": "\(hop)@wan"])
        }
        // What is wrong is said with its place, and changes nothing.
        try write("10.0.0.0/8: 203.0.113.8", ["10.0.5.0/24 blackhole", "10.0.6.0/24 198.51.100.7"])
        #expect(refusal { try ask("reload") }.contains("routes.txt:2:13"))
        try write("10.0.0.0/8: blackhole", [], more: "\n          mtu: 1400")
        #expect(refusal { try ask("reload") }.contains("'interfaces' differs from what runs"))
        let kept = try way("10.0.5.1")
        #expect(kept == ["prefix": "10.0.5.0/24", "to": "203.0.113.8@wan"])
        try write("10.0.0.0/8: 203.0.113.9", [])
        try ask("reload", ["element": "rt"])
        let last = try way("10.0.5.1")
        #expect(last == ["prefix": "10.0.0.0/8", "to": "203.0.113.9@wan"])
      }
      #expect(outcome.report.isBalanced && outcome.report.balance.dropped == 0)
    }

    @Test func rubbishIsRefusedAndForgotten() throws {
      try write("  keep: Keeper", graph: "lan -> keep -> wan")
      _ = try whileRunning {
        for text in ["rubbish\n", "{}\n", "\n", "{\"operation\": \"report\"", "{\"operation\": [1]}\n", "\u{0}\n"] {
          let descriptor = try #require(ControlSocket.connect(socket))
          _ = unsafe Glibc.send(descriptor, text, text.utf8.count, Int32(MSG_NOSIGNAL))
          shutdown(descriptor, Int32(SHUT_WR))
          var buffer = [UInt8](repeating: 0, count: 4096)
          let count = unsafe recv(descriptor, &buffer, buffer.count, 0)
          #expect(String(decoding: buffer.prefix(max(count, 0)), as: UTF8.self).hasPrefix("{\"error\": "), "\(text)")
          close(descriptor)
        }
        // Those who connect and say nothing are in nobody's way.
        let idle = (0..<4).compactMap { _ in ControlSocket.connect(socket) }
        let report = try ask("report")
        #expect(report.first?["report"]?.contains("\"received\"") == true)
        idle.forEach { close($0) }
        #expect(refusal { try ask("report", ["x": "y"]) }.contains("takes no arguments"))
      }
      #expect(!FileManager.default.fileExists(atPath: socket))
    }

    @Test func aSocketIsOnesOwn() throws {
      let first = try ControlSocket(path: socket)
      #expect(throws: EnvironmentError.self) { _ = try ControlSocket(path: socket) }
      var information = stat()
      #expect(unsafe stat(socket, &information) == 0 && information.st_mode & 0o777 == 0o600)
      withExtendedLifetime(first) {}
      #expect(throws: EnvironmentError.self) { _ = try ControlSocket(path: folder + "/none/socket") }
      #expect(throws: EnvironmentError.self) { _ = try ControlSocket(path: String(repeating: "x", count: 200)) }
    }

    @Test func rowsOfOneKindShareATable() {
      let text = ControlClient.table([
        [("name", "a"), ("count", "10")], [("name", "longer"), ("count", "1")], [("other", "x")],
      ])
      #expect(text == "name    count\na       10\nlonger  1\n\nother\nx")
    }
  }
}
