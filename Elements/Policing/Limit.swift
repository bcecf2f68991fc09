import Configuration
import Dataplane
import Tables
import Wire

/// A rate in packets or in bits a second, as `RateLimit`, `Meter` and `Queue` take it.
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

  /// Packets or bits a second.
  var perSecond: UInt64 {
    switch self {
    case .packets(let rate): rate.packetsPerSecond
    case .bits(let rate): rate.bitsPerSecond
    }
  }

  /// What a packet of so many bytes takes of the rate: one packet, or its bits.
  func share(ofBytes bytes: Int) -> UInt64 {
    switch self {
    case .packets: 1
    case .bits: UInt64(max(bytes, 0)) &* 8
    }
  }

  /// Refuses a rate of nothing, which no packet would ever be within.
  func check(_ settings: inout Settings, key: String = "rate") {
    if perSecond == 0 {
      settings.reject(settings.range(of: key), "a rate of nothing", remedy: "give at least 1pps or 1bps")
    }
  }
}

/// A token bucket for packets or for bits.
struct Limit {
  private var bucket: TokenBucket
  private let rate: LimitRate
  private let overhead: Int

  /// The longest frame without a VLAN tag that Ethernet has by default, in bytes.
  private static let usualFrame: UInt64 = 1518

  init(_ settings: inout Settings) throws(ConfigurationError) {
    rate = try settings.take("rate", "packets or bits a second", shorthand: true)
    let burst: DataSize? = try settings.takeIfPresent(
      "burst", "packets or bytes let through at once; 10 ms' worth when left out, but at least a frame")
    overhead = try settings.take(
      "overhead", default: 0, in: 0...64, "bytes counted besides each frame's own; 24 counts the whole wire")
    rate.check(&settings)
    if let burst, burst.bytes == 0 {
      settings.reject(settings.range(of: "burst"), "a burst of nothing", remedy: "give at least 1")
    }
    if case .bits = rate, let burst, burst.bytes > 0, burst.bytes < Self.usualFrame + UInt64(overhead) {
      settings.warn(
        settings.range(of: "burst"), "frames longer than the burst never conform",
        remedy: "give at least \(Self.usualFrame + UInt64(overhead)) bytes")
    }
    bucket = Self.bucket(rate, burst: burst, overhead: overhead)
  }

  /// A limit at a rate, with the burst that is usual for it.
  init(_ rate: LimitRate) {
    self.rate = rate
    overhead = 0
    bucket = Self.bucket(rate, burst: nil, overhead: 0)
  }

  private static func bucket(_ rate: LimitRate, burst: DataSize?, overhead: Int) -> TokenBucket {
    let tenMilliseconds = rate.perSecond / 100
    switch rate {
    case .packets: return TokenBucket(rate: rate.perSecond, burst: max(burst?.bytes ?? tenMilliseconds, 1))
    case .bits:
      let usual = Swift.max(tenMilliseconds / 8, usualFrame + UInt64(overhead))
      let (bits, overflow) = (burst?.bytes ?? usual).multipliedReportingOverflow(by: 8)
      return TokenBucket(rate: rate.perSecond, burst: overflow ? .max : Swift.max(bits, 1))
    }
  }

  /// Whether the packet is within the limit; takes its share if so.
  mutating func allows(_ packet: borrowing Packet, now: Instant) -> Bool {
    bucket.take(rate.share(ofBytes: packet.length &+ overhead), now: now.nanoseconds)
  }
}

/// Spaces packets out at a rate, exactly: what a division leaves over is carried on to the next packet.
struct Pacer {
  private let rate: LimitRate
  private var remainder: UInt64 = 0

  init(_ rate: LimitRate) { self.rate = rate }

  /// How long a packet of so many bytes keeps the next one waiting, in nanoseconds.
  mutating func spacing(afterBytes bytes: Int) -> UInt64 {
    let product = rate.share(ofBytes: bytes).multipliedFullWidth(by: 1_000_000_000)
    let (low, carry) = product.low.addingReportingOverflow(remainder)
    let high = product.high &+ (carry ? 1 : 0)
    let divisor = max(rate.perSecond, 1)
    let (quotient, rest) =
      high == 0 ? low.quotientAndRemainder(dividingBy: divisor) : divisor.dividingFullWidth((high, low))
    remainder = rest
    return quotient
  }
}
