import Dataplane
import Elements
import TestKit
import Testing

/// Graphs of the catalogue's elements, put together at random, under random packets.
@Suite struct RandomGraphTests {
  /// All but those that are made of other elements, which a pipeline's loader puts together.
  private static let kinds = catalogue.filter { !$0.inputs.isEmpty }

  /// Bursts of frames to either source, at times that stand still, creep on and leap.
  private func arrivals(_ random: inout FrameGenerator) -> [RandomGraph.Arrival] {
    var time = Instant(nanoseconds: 1_700_000_000_000_000_000)
    return (0..<16).map { index in
      let pauses: [UInt64] = [0, 1_000, 700_000, 1_000_000_000, 60_000_000_000]
      time = time.advanced(by: pauses[random.number(below: pauses.count)])
      return .init(source: index, frames: random.frames(random.number(below: 60)), time: time)
    }
  }

  @Test(arguments: UInt64(1)...40) func accountForEveryPacketWhateverTheBatchSize(seed: UInt64) throws {
    var random = FrameGenerator(seed: seed)
    let graph = RandomGraph(of: Self.kinds) { random.number(below: $0) }
    let arrivals = arrivals(&random)
    var first: RandomGraph.Outcome?
    try withTestPool(packets: 8192) { pool in
      for batchSize in [1, 7, 32, 256] {
        let outcome = try graph.run(arrivals, batchSize: batchSize, pool: pool.pool)
        #expect(outcome.problems == [], "batches of \(batchSize), seed \(seed):\n\(graph)")
        #expect(!outcome.wasShort, "the pool ran out, seed \(seed):\n\(graph)")
        if let difference = first?.difference(from: outcome) {
          Issue.record("batches of 1 against \(batchSize), seed \(seed): \(difference)\n\(graph)")
        }
        first = first ?? outcome
      }
    }
  }

  /// The graphs are worth running: every kind of element is in one of them, and packets come out of most.
  @Test func areOfAllKinds() throws {
    var seen = Set<String>()
    var productive = 0
    try withTestPool(packets: 8192) { pool in
      for seed in UInt64(1)...40 {
        var random = FrameGenerator(seed: seed)
        let graph = RandomGraph(of: Self.kinds) { random.number(below: $0) }
        for kind in Self.kinds where "\(graph)".contains("\n\(kind.name): ") { seen.insert(kind.name) }
        let arrivals = arrivals(&random)
        if try graph.run(arrivals, batchSize: 256, pool: pool.pool).sent > 0 { productive += 1 }
      }
    }
    #expect(seen == Set(Self.kinds.map(\.name)))
    #expect(productive > 20, "packets come out of \(productive) of 40 graphs")
  }
}
