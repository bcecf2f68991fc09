/// A decimal number with a unit behind it, kept exact: "1.5GB" is 1,500,000,000 and not nearly so.
struct Quantity {
  private let digits: UInt128
  private let scale: UInt128
  /// What stands behind the number, without the spaces between.
  let unit: String

  init?(_ text: some StringProtocol) {
    let bytes = text.utf8
    let number = bytes.prefix { ASCII.decimalDigit($0) != nil || $0 == 0x2E }
    let parts = number.split(separator: 0x2E, omittingEmptySubsequences: false)
    guard parts.count <= 2, parts.allSatisfy({ !$0.isEmpty }), number.count <= 20 else { return nil }
    var digits: UInt128 = 0
    var scale: UInt128 = 1
    for (index, part) in parts.enumerated() {
      for byte in part {
        guard let digit = ASCII.decimalDigit(byte) else { return nil }
        digits = digits * 10 + UInt128(digit)
        if index == 1 { scale *= 10 }
      }
    }
    self.digits = digits
    self.scale = scale
    self.unit = String(text[number.endIndex...].drop { $0 == " " })
  }

  /// The number times `multiplier`, or nothing when that is not whole or does not fit.
  func times(_ multiplier: UInt64) -> UInt64? {
    let (product, overflow) = digits.multipliedReportingOverflow(by: UInt128(multiplier))
    guard !overflow, product % scale == 0 else { return nil }
    return UInt64(exactly: product / scale)
  }

  /// `value` with the unit of `units` (largest first, the last one being 1) that needs the fewest digits.
  static func text(_ value: UInt64, units: [(name: String, size: UInt64)]) -> String {
    let unit = units.first { value > 0 && value % $0.size == 0 } ?? units[units.count - 1]
    return "\(value / unit.size)\(unit.name)"
  }

  /// The power of ten that a metric prefix in front of one of `units` stands for.
  static func metric(_ text: String, units: [String]) -> UInt64? {
    if units.contains(text) { return 1 }
    guard let first = text.first, units.contains(String(text.dropFirst())) else { return nil }
    switch first {
    case "k", "K": return 1000
    case "m", "M": return 1_000_000
    case "g", "G": return 1_000_000_000
    case "t", "T": return 1_000_000_000_000
    default: return nil
    }
  }
}

/// An amount of data.
@frozen
public struct DataSize: Hashable, Sendable, Comparable, LosslessStringConvertible {
  /// The amount in bytes.
  public let bytes: UInt64

  /// Makes an amount of a number of bytes.
  @inlinable
  public init(bytes: UInt64) { self.bytes = bytes }

  /// Reads a number of bytes, or one with a unit: B, kB, MB, GB, TB (powers of 1000), KiB, MiB, GiB, TiB (of 1024).
  public init?(_ text: some StringProtocol) {
    guard let quantity = Quantity(text) else { return nil }
    let multiplier: UInt64? =
      switch quantity.unit {
      case "": 1
      case "KiB": 1 << 10
      case "MiB": 1 << 20
      case "GiB": 1 << 30
      case "TiB": 1 << 40
      default: Quantity.metric(quantity.unit, units: ["B"])
      }
    guard let multiplier, let bytes = quantity.times(multiplier) else { return nil }
    self.bytes = bytes
  }

  /// The exact amount in the unit that makes it shortest: "64KiB", "1500B".
  public var description: String {
    let decimal = Quantity.text(
      bytes, units: [("TB", 1_000_000_000_000), ("GB", 1_000_000_000), ("MB", 1_000_000), ("kB", 1000), ("B", 1)])
    let binary = Quantity.text(
      bytes, units: [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)])
    return binary.utf8.count < decimal.utf8.count ? binary : decimal
  }

  /// Order of amounts.
  @inlinable
  public static func < (left: DataSize, right: DataSize) -> Bool { left.bytes < right.bytes }
}

/// An amount of data a second.
@frozen
public struct DataRate: Hashable, Sendable, Comparable, LosslessStringConvertible {
  /// The rate in bits a second.
  public let bitsPerSecond: UInt64

  /// Makes a rate of a number of bits a second.
  @inlinable
  public init(bitsPerSecond: UInt64) { self.bitsPerSecond = bitsPerSecond }

  /// Reads a number with a unit of bits ("10Gbps", "100Mbit", "64kbit/s") or bytes ("12MB/s", "12MBps") a second,
  /// with k, M, G or T in front for powers of 1000. A number without unit is refused.
  public init?(_ text: some StringProtocol) {
    guard let quantity = Quantity(text) else { return nil }
    let rate: UInt64?
    if let multiplier = Quantity.metric(quantity.unit, units: ["bps", "bit", "bit/s", "b/s"]) {
      rate = quantity.times(multiplier)
    } else if let multiplier = Quantity.metric(quantity.unit, units: ["Bps", "B/s"]) {
      rate = quantity.times(multiplier * 8)
    } else {
      rate = nil
    }
    guard let rate else { return nil }
    bitsPerSecond = rate
  }

  /// The exact rate: "10Gbps".
  public var description: String {
    Quantity.text(
      bitsPerSecond,
      units: [
        ("Tbps", 1_000_000_000_000), ("Gbps", 1_000_000_000), ("Mbps", 1_000_000), ("kbps", 1000), ("bps", 1),
      ])
  }

  /// Order of rates.
  @inlinable
  public static func < (left: DataRate, right: DataRate) -> Bool { left.bitsPerSecond < right.bitsPerSecond }
}

/// A number of packets a second.
@frozen
public struct PacketRate: Hashable, Sendable, Comparable, LosslessStringConvertible {
  /// The rate in packets a second.
  public let packetsPerSecond: UInt64

  /// Makes a rate of a number of packets a second.
  @inlinable
  public init(packetsPerSecond: UInt64) { self.packetsPerSecond = packetsPerSecond }

  /// Reads "1Mpps", "500kpps", "20pps". A number without unit is refused.
  public init?(_ text: some StringProtocol) {
    guard let quantity = Quantity(text), let multiplier = Quantity.metric(quantity.unit, units: ["pps"]),
      let rate = quantity.times(multiplier)
    else { return nil }
    packetsPerSecond = rate
  }

  /// The exact rate: "1Mpps".
  public var description: String {
    Quantity.text(
      packetsPerSecond, units: [("Gpps", 1_000_000_000), ("Mpps", 1_000_000), ("kpps", 1000), ("pps", 1)])
  }

  /// Order of rates.
  @inlinable
  public static func < (left: PacketRate, right: PacketRate) -> Bool { left.packetsPerSecond < right.packetsPerSecond }
}

extension Duration {
  private static var units: [(name: String, nanoseconds: UInt64)] {
    [
      ("d", 86_400_000_000_000), ("h", 3_600_000_000_000), ("m", 60_000_000_000), ("s", 1_000_000_000),
      ("ms", 1_000_000), ("us", 1000), ("ns", 1),
    ]
  }

  /// Reads "250ms", "1.5s", "2h", "1h30m", with the units ns, us (or µs), ms, s, m (or min), h, d from large to small.
  /// A number without unit is refused, but for "0". Finer than a nanosecond, negative or above 292 years is refused.
  public init?(parsing text: some StringProtocol) {
    var rest = text[...]
    guard rest != "0" else {
      self = .zero
      return
    }
    var total: UInt64 = 0
    var smallest = UInt64.max
    repeat {
      let end = rest.dropFirst().indices.first { index in
        rest[index].isASCII && rest[index].isNumber && rest[rest.index(before: index)].isLetter
      }
      let part = rest[..<(end ?? rest.endIndex)]
      rest = rest[part.endIndex...]
      guard let quantity = Quantity(part) else { return nil }
      let name =
        switch quantity.unit {
        case "µs", "μs": "us"
        case "min": "m"
        default: quantity.unit
        }
      guard let unit = Self.units.first(where: { $0.name == name }), unit.nanoseconds < smallest,
        let amount = quantity.times(unit.nanoseconds)
      else { return nil }
      smallest = unit.nanoseconds
      let (sum, overflow) = total.addingReportingOverflow(amount)
      guard !overflow, sum <= UInt64(Int64.max) else { return nil }
      total = sum
    } while !rest.isEmpty
    self = .nanoseconds(Int64(total))
  }

  /// The duration, rounded to nanoseconds, as `init(parsing:)` reads it: "250ms", "1h30m", "0s".
  public var compactText: String {
    let (seconds, attoseconds) = components
    guard seconds >= 0, attoseconds >= 0 else { return "-" + (.zero - self).compactText }
    let (whole, overflow) = UInt64(seconds).multipliedReportingOverflow(by: 1_000_000_000)
    guard !overflow else { return "\(seconds)s" }
    var rest = whole + UInt64(attoseconds / 1_000_000_000)
    var text = ""
    for unit in Self.units where rest >= unit.nanoseconds {
      text += "\(rest / unit.nanoseconds)\(unit.name)"
      rest %= unit.nanoseconds
    }
    return text.isEmpty ? "0s" : text
  }
}
