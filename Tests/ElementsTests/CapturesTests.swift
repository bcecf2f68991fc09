import Configuration
import Dataplane
import Elements
import Foundation
import TestKit
import Testing

/// Captures from the world, real and deliberately broken ones, where there are some: in `../shared/captures` beside the
/// repository, or in the folder that `NFVRUN_CAPTURES` names.
@Suite struct CapturesTests {
  static let folder =
    ProcessInfo.processInfo.environment["NFVRUN_CAPTURES"]
    ?? URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent("../../../shared/captures")
    .standardized.path
  static let files = ((try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []).sorted()
    .filter { $0.contains(".pcap") }

  /// Every capture goes through every element: each packet is accounted for, and each buffer comes back.
  @Test(.enabled(if: !files.isEmpty), arguments: CatalogueTests.variants)
  func passThroughAnyElement(variant: CatalogueTests.Variant) throws {
    try TestEnvironment.start()
    let kind = variant.kind
    let pool = try PacketPool(name: "captures\(TestEnvironment.uniqueNumber())", packets: 4095)
    let room = pool.available
    let root = variant.settings.isEmpty ? nil : try YAMLDocument.load(text: variant.settings, name: "settings.yaml")
    var received: UInt64 = 0
    for file in Self.files {
      let port: CapturePort
      do throws(EnvironmentError) {
        var options = CapturePort.Options()
        options.input = "\(Self.folder)/\(file)"
        port = try CapturePort(options, number: 0, pool: pool)
      } catch {
        // Refused, with the reason; what is refused is the ports' own test.
        #expect(error.message.contains(file))
        continue
      }
      var settings = Settings(root, range: root?.range)
      let instance = try kind.makeInstance(&settings)
      let plan = Plan(worker: 0, pool: pool, batchSize: 32, nodes: 3)
      let receive = plan.addReceive("in", port.queues[0])
      let element = plan.addElement(kind.name, instance, inputs: 1)
      let end = plan.addDiscard()
      plan.connect(receive, output: 0, to: element, input: 0)
      for output in 0..<instance.outputs.count { plan.connect(element, output: output, to: end, input: 0) }
      let problems = Worker(plan: plan).replay(until: StopFlag())
      let counters = plan.counters(of: element)
      #expect(problems.isEmpty, "\(file)")
      #expect(counters.imbalance(of: kind.name).isEmpty, "\(file)")
      #expect(counters.held == 0, "\(file)")
      #expect(pool.available == room, "\(file)")
      received += counters.packetsIn
      _ = port.close()
    }
    #expect(received > 0)
  }
}
