public import Configuration
public import Dataplane

/// Picks one packet in so many, regularly or at random, and passes the others by.
///
///     sample: { Sample: 100 }
///     - lan -> sample -> capture
///     - sample.rest -> wan
public struct Sample: Element {
  /// Where packets leave.
  public enum Output: UInt8, OutputPort {
    /// The packets picked.
    case sampled
    /// All others.
    case rest

    public var about: String { self == .sampled ? "the packets picked" : "all others" }
  }

  public static let about = ElementDescription(
    "Picks one packet in so many.",
    example: """
      elements:
        sample: { Sample: { one_in: 100 } }
      graph:
        - lan -> sample -> monitor
        - sample.rest -> wan
      """)

  private let interval: UInt64
  private let isRandom: Bool
  private let seed: UInt64?
  private var left: UInt64
  private var random = RandomNumbers(seed: 0)

  public init(_ settings: inout Settings) throws(ConfigurationError) {
    interval = UInt64(
      try settings.take("one_in", in: 1...1_000_000_000, "how many packets one is picked of", shorthand: true))
    isRandom = try settings.take(
      "random", default: false, "pick by chance, so that no pattern in the traffic is followed")
    seed = try settings.takeIfPresent("seed", "start of the random numbers, for another choice")
    left = interval
  }

  public mutating func start(_ context: inout Context) {
    // Numbers of its own: those of the context go to elements in an order that depends on the batches.
    let drawn = context.random.next()
    random = RandomNumbers(seed: seed.map { $0 &+ UInt64(context.worker) } ?? drawn)
  }

  public mutating func process(_ batch: inout PacketBatch<Self>, _ context: inout Context) {
    batch.forEach { _ in
      if isRandom {
        return .forward(random.next().multipliedFullWidth(by: interval).high == 0 ? .sampled : .rest)
      }
      left &-= 1
      guard left == 0 else { return .forward(.rest) }
      left = interval
      return .forward(.sampled)
    }
  }
}
