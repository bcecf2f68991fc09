import Configuration
import Dataplane
import Tables
import Wire

/// A rate in packets or in bits a second, as `RateLimit` and `Meter` take it.
enum LimitRate: TextSetting {
  case packets(PacketRate)
  case bits(DataRate)

  static var schema: ValueSchema { ValueSchema("packet rate or data rate", example: "100Mbps") }
  static var placeholder: LimitRate { .bits(.placeholder) }

  init?(settingText text: String) {
    if let rate = PacketRate(text) {
      self = .packets(rate)
    } else if let rate = DataRate(text) {
      self = .bits(rate)
    } else {
      return nil
    }
  }
}

/// A token bucket for packets or for bytes.
struct Limit {
  private var bucket: TokenBucket
  private let countsBytes: Bool
  private let overhead: UInt64

  init(_ settings: inout Settings) throws(ConfigurationError) {
    let rate: LimitRate = try settings.take("rate", "packets or bits a second", shorthand: true)
    let burst: DataSize? = try settings.takeIfPresent(
      "burst", "packets or bytes let through at once; 10 ms' worth when left out")
    overhead = UInt64(
      try settings.take(
        "overhead", default: 0, in: 0...64, "bytes counted besides each frame's own; 24 counts the whole wire"))
    let unitsPerSecond: UInt64
    let least: UInt64
    switch rate {
    case .packets(let rate):
      countsBytes = false
      unitsPerSecond = rate.packetsPerSecond
      least = 1
    case .bits(let rate):
      countsBytes = true
      unitsPerSecond = rate.bitsPerSecond / 8
      // A bucket that holds less than a frame would never let one through.
      least = 1538
    }
    if unitsPerSecond == 0 {
      settings.reject(settings.range(of: "rate"), "a rate of nothing", remedy: "give at least 1pps or 8bps")
    }
    if let burst, burst.bytes == 0 {
      settings.reject(settings.range(of: "burst"), "a burst of nothing", remedy: "give at least 1")
    }
    bucket = TokenBucket(rate: unitsPerSecond, burst: max(burst?.bytes ?? max(unitsPerSecond / 100, least), 1))
  }

  /// Whether the packet is within the limit; takes its share if so.
  mutating func allows(_ packet: borrowing Packet, now: Instant) -> Bool {
    bucket.take(countsBytes ? UInt64(packet.length) &+ overhead : 1, now: now.nanoseconds)
  }
}
