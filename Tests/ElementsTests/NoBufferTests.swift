import Configuration
import Dataplane
import Elements
import TestKit
import Testing

/// Packets whose bytes are shared, in a pool that has no buffer left to copy them.
@Suite struct NoBufferTests {
  static let cases: [(name: String, settings: String, frame: Frame)] = [
    ("EtherRewrite", "source: 02:00:00:00:00:0a", .ethernet().arp()),
    ("MACSwap", "{}", .ethernet().arp()),
    ("VLANTag", "1", .ethernet().arp()),
    ("VLANUntag", "{}", .ethernet().vlan(1).arp()),
    ("DecTTL", "{}", .ethernet().ipv4().udp()),
    ("DecTTL", "{}", .ethernet().ipv6().udp()),
    ("ICMPEcho", "{}", .ethernet().ipv4().icmp()),
    ("ARPResponder", "{ addresses: 10.0.0.2, mac: 02:00:00:00:00:09 }", .ethernet().arp()),
  ]

  @Test(arguments: cases.indices) func isNamedAsTheReason(index: Int) throws {
    let (name, text, frame) = Self.cases[index]
    try TestEnvironment.start()
    let kind = try #require(catalogue.first { $0.name == name })
    let count = 15
    let pool = try PacketPool(name: "full\(TestEnvironment.uniqueNumber())", packets: 2 * count)
    let room = pool.available
    let source = MemorySource(pool: pool)
    source.append(Array(repeating: frame, count: count), at: Instant(nanoseconds: 0))
    let root = try YAMLDocument.load(text: text, name: "settings.yaml")
    var settings = Settings(root, range: nil)
    var copies = Settings(nil, range: nil)
    let plan = Plan(worker: 0, pool: pool, batchSize: 32, nodes: 8)
    let receive = plan.addReceive("in", source)
    let tee = plan.addElement("tee", ElementInstance(try Tee(&copies)), inputs: 1)
    let instance = try kind.makeInstance(&settings)
    let element = plan.addElement(name, instance, inputs: 1)
    let kept = MemorySink()
    let out = MemorySink()
    plan.connect(receive, output: 0, to: tee, input: 0)
    plan.connect(tee, output: 0, to: element, input: 0)
    for output in 0..<instance.outputs.count {
      plan.connect(element, output: output, to: plan.addTransmit("out", out), input: 0)
    }
    plan.connect(tee, output: 1, to: plan.addTransmit("kept", kept), input: 0)
    _ = Worker(plan: plan).replay(until: StopFlag())
    let drops = plan.counters(of: element).drops
    #expect(
      Dictionary(uniqueKeysWithValues: drops.map { (kind.name(of: $0.key), $0.value) }) == ["noBuffer": UInt64(count)])
    #expect(kept.sent.map(\.bytes) == Array(repeating: frame.bytes, count: count))
    #expect(out.sent.isEmpty)
    #expect(pool.available == room)
  }
}
