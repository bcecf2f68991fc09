import Assembly
import Configuration
import Dataplane
import Elements
import TestKit
import Testing

/// Backends that come, go and are drained while packets flow.
@Suite struct LoadBalancerChangesTests {
  /// A load balancer whose packets to backends leave by `out`, to clients by `back`, and that can be asked as by `nfvrun ctl`.
  final class Balancer {
    let pipeline: PipelineUnderTest
    let task: any ControlTask
    private let readers: ReaderDomain

    init(_ settings: String) throws {
      let indented = settings.split(separator: "\n").map { "      \($0)" }.joined(separator: "\n")
      pipeline = try PipelineUnderTest(
        """
        nfv: 1
        ports: { in: { pcap: x.pcap }, out: { pcap: x.pcap }, back: { pcap: x.pcap } }
        elements:
          check: CheckIP
          lb:
            LoadBalancer:
        \(indented)
        graph:
          - in -> check -> lb -> out
          - check.other -> drop
          - lb.clients -> back
          - lb.other -> drop
          - lb.local -> drop
          - lb.tooBig -> drop
          - lb.unreachable -> drop
        """, packets: 4096)
      task = try #require(pipeline.pipeline.elements.first { $0.name == "lb" }?.tasks.first)
      readers = try #require(ReaderDomain(workers: 1))
      task.begin(readers)
    }

    /// Asks, and expects that it can be done.
    @discardableResult
    func ask(_ operation: String, _ arguments: [String: String] = [:]) -> [[String: String]] {
      var answer = OperationAnswer()
      task.perform(OperationRequest(operation, arguments: arguments), &answer)
      if let failure = answer.failure { Issue.record("\(operation): \(failure)") }
      return answer.rows.map { Dictionary($0.map { ($0.name, $0.value) }, uniquingKeysWith: { $1 }) }
    }

    /// Asks what cannot be done.
    func refusal(_ operation: String, _ arguments: [String: String] = [:]) -> String? {
      var answer = OperationAnswer()
      task.perform(OperationRequest(operation, arguments: arguments), &answer)
      return answer.failure
    }

    /// Which backend each packet goes to; "none" where it is dropped.
    func backends(_ frames: [Frame]) -> [String] {
      frames.map { frame in pipeline.push([frame], at: "in")["out"].first.map(Balancing.destination) ?? "none" }
    }

    func row(_ backend: String) -> [String: String] { ask("backends").first { $0["backend"] == backend } ?? [:] }
  }

  private static func only4(_ count: Int, _ more: String = "") -> String {
    Balancing.web(count, more).split(separator: "\n").prefix(2).joined(separator: "\n")
  }

  private static func clients(_ count: Int, from start: Int = 0, flags: String = "S") -> [Frame] {
    (start..<start + count).map {
      Balancing.syn("198.51.\(100 + $0 / 250).\($0 % 250 + 1)", UInt16(20_000 + $0), flags: flags)
    }
  }

  @Test func aDrainedBackendKeepsItsConnectionsAndGetsNoNewOnes() throws {
    let balancer = try Balancer(Self.only4(4))
    let before = balancer.backends(Self.clients(200))
    balancer.ask("drain", ["backend": "b2"])
    #expect(balancer.backends(Self.clients(200, flags: "A")) == before)
    #expect(!balancer.backends(Self.clients(200, from: 200)).contains("192.0.2.2"))
    #expect(balancer.row("b2")["state"] == "drain")
    #expect(balancer.row("b2")["connections"] == "\(before.count { $0 == "192.0.2.2" })")
    balancer.ask("enable", ["backend": "b2"])
    #expect(balancer.backends(Self.clients(200, from: 400)).contains("192.0.2.2"))
  }

  @Test func aDisabledBackendsConnectionsGoElsewhereAndNoOthersMove() throws {
    let balancer = try Balancer(Self.only4(4))
    let before = balancer.backends(Self.clients(200))
    balancer.ask("disable", ["service": "web", "backend": "b2"])
    let after = balancer.backends(Self.clients(200, flags: "A"))
    for (old, new) in zip(before, after) { #expect(old == "192.0.2.2" ? new != old : new == old) }
    #expect(balancer.row("b2")["connections"] == "0")
  }

  @Test func backendsAreAddedAndRemoved() throws {
    let balancer = try Balancer(Self.only4(2))
    let before = balancer.backends(Self.clients(100))
    balancer.ask("add", ["service": "web", "backend": "b3", "address": "192.0.2.3", "port": "8080", "weight": "2"])
    #expect(balancer.backends(Self.clients(100, flags: "A")) == before)
    let new = balancer.backends(Self.clients(400, from: 100))
    let share = new.count { $0 == "192.0.2.3" }
    #expect(share > 150 && share < 250, "\(share) of 400 with half of the weight")
    balancer.ask("remove", ["backend": "b3"])
    let left = balancer.backends(Self.clients(400, from: 100, flags: "A"))
    for (old, now) in zip(new, left) { #expect(old == "192.0.2.3" ? now != old : now == old) }
    #expect(balancer.ask("backends").count == 2)
    // One that comes back begins with nothing counted.
    balancer.ask("add", ["service": "web", "backend": "b3", "address": "192.0.2.3", "port": "8080"])
    #expect(balancer.row("b3")["packets"] == "0")
  }

  @Test func weightsChange() throws {
    let balancer = try Balancer(Self.only4(2))
    balancer.ask("weight", ["backend": "b1", "weight": "0"])
    #expect(Set(balancer.backends(Self.clients(50))) == ["192.0.2.2"])
    balancer.ask("weight", ["backend": "b1", "weight": "3"])
    let share = balancer.backends(Self.clients(400, from: 50)).count { $0 == "192.0.2.1" }
    #expect(share > 260 && share < 340, "\(share) of 400 with three quarters")
  }

  @Test func slowStartRaisesAWeightStepByStep() throws {
    let balancer = try Balancer(Self.only4(2, "slow_start: 100s"))
    func share(_ start: Int) -> Int {
      balancer.backends(Self.clients(400, from: start)).count { $0 == "192.0.2.2" }
    }
    let second: UInt64 = 1_000_000_000
    _ = balancer.task.run(Instant(nanoseconds: 10 * second))
    #expect(share(0) > 160)
    balancer.ask("disable", ["backend": "b2"])
    balancer.ask("enable", ["backend": "b2"])
    let early = share(400)
    #expect(early > 10 && early < 80, "\(early) of 400 with a tenth of the weight")
    let next = balancer.task.run(Instant(nanoseconds: 60 * second))
    #expect(next < Instant(nanoseconds: 62 * second))
    let middle = share(800)
    #expect(middle > 100 && middle < 165, "\(middle) of 400 with half of the weight")
    #expect(balancer.task.run(Instant(nanoseconds: 111 * second)) == .never)
    #expect(share(1200) > 160)
  }

  @Test func affinityEndsWithTheBackend() throws {
    let balancer = try Balancer(Self.only4(3, "affinity: 100s"))
    func go(_ port: UInt16) -> String { balancer.backends([Balancing.syn("198.51.100.7", port)])[0] }
    let first = go(1000)
    // More backends, another hash: the client's connections stay together.
    for number in 4...9 {
      balancer.ask("add", ["service": "web", "backend": "b\(number)", "address": "192.0.2.\(number)"])
      #expect(go(UInt16(1000 + number)) == first)
    }
    let name = "b\(first.split(separator: ".")[3])"
    balancer.ask("drain", ["backend": name])
    let second = go(2000)
    #expect(second != first)
    balancer.ask("enable", ["backend": name])
    #expect(go(2001) == second)
  }

  @Test func whatCannotBeDoneIsSaid() throws {
    let balancer = try Balancer(Balancing.web(2))
    #expect(balancer.refusal("drain", ["backend": "b1"]) == "2 services have a backend 'b1'; add service=NAME")
    #expect(balancer.refusal("drain", ["backend": "x"]) == "there is no backend 'x'")
    #expect(balancer.refusal("drain") == "'backend' is missing; write backend=NAME")
    #expect(
      balancer.refusal("add", ["service": "web", "backend": "c", "address": "2001:db8::1"])
        == "the backend has an IPv6 address and the service an IPv4 one; give an IPv4 address, or use 'mode: ipip'")
    #expect(
      balancer.refusal("add", ["service": "web", "backend": "c", "address": "192.0.2.1", "port": "8080"])
        == "backend 'b1' is there already")
    #expect(balancer.refusal("weight", ["service": "web", "backend": "b1", "weight": "70000"]) != nil)
  }

  /// Every packet of a connection goes to the same backend as long as that one is there, whatever happens to others.
  @Test(arguments: 1...5) func connectionsStayWithSurvivingBackends(seed: UInt64) throws {
    let balancer = try Balancer(Self.only4(6))
    var random = RandomNumbers(seed: seed)
    func number(below limit: Int) -> Int { Int(random.next() % UInt64(limit)) }
    var alive = Set((1...6).map { "b\($0)" })
    var draining: Set<String> = []
    var homes: [Int: String] = [:]
    var last = 6
    for step in 0..<300 {
      switch number(below: 12) {
      case 0:
        last += 1
        balancer.ask("add", ["service": "web", "backend": "b\(last)", "address": "192.0.2.\(last)", "port": "8080"])
        alive.insert("b\(last)")
      case 1:
        guard alive.count > 2, let name = alive.sorted().randomElement(using: &random) else { continue }
        balancer.ask("remove", ["backend": name])
        alive.remove(name)
        draining.remove(name)
        homes = homes.filter { $0.value != name }
      case 2:
        guard alive.subtracting(draining).count > 2, let name = alive.sorted().randomElement(using: &random) else {
          continue
        }
        balancer.ask("drain", ["backend": name])
        draining.insert(name)
      case 3:
        guard let name = draining.sorted().randomElement(using: &random) else { continue }
        balancer.ask("enable", ["backend": name])
        draining.remove(name)
      case 4:
        guard let name = alive.sorted().randomElement(using: &random) else { continue }
        balancer.ask("weight", ["backend": name, "weight": "\(1 + number(below: 5))"])
      default:
        let client = number(below: 150)
        let known = homes[client]
        let frame = Self.clients(1, from: client, flags: known == nil ? "S" : "A")[0]
        let backend = "b" + (balancer.backends([frame])[0].split(separator: ".").last ?? "")
        if let known {
          #expect(backend == known, "step \(step)")
        } else {
          #expect(alive.contains(backend) && !draining.contains(backend), "step \(step)")
          homes[client] = backend
        }
      }
    }
    #expect(homes.count > 10)
  }

  @Test func connectionsAreListed() throws {
    let element = try ElementUnderTest(LoadBalancer.self, settings: Balancing.web(2))
    _ = element.push((0..<40).map { Balancing.syn("198.51.100.\($0 + 1)") } + [Balancing.syn6()])
    _ = element.push(Balancing.syn("198.51.100.1", flags: "A"))
    let all = element.perform("connections").rows
    #expect(all.count == 41)
    let one = element.perform("connections", ["client": "198.51.100.1"]).rows
    #expect(one.count == 1)
    #expect(one[0]["virtual"] == "203.0.113.80:80" && one[0]["client"] == "198.51.100.1:40000")
    #expect(one[0]["state"] == "established" && one[0]["packets"] == "2" && one[0]["service"] == "web")
    #expect(one[0]["server"] == "192.0.2.\(one[0]["backend"]?.dropFirst() ?? ""):8080")
    let six = element.perform("connections", ["service": "web6"]).rows
    #expect(six.count == 1 && six[0]["client"] == "[2001:db8:c::7]:40000")
    let shares = ["b1", "b2"].map { element.perform("connections", ["service": "web", "backend": $0]).rows.count }
    #expect(shares[0] + shares[1] == 40 && shares[0] > 5 && shares[1] > 5)
    #expect(element.perform("connections", ["client": "nonsense"]).failure != nil)
  }
}
