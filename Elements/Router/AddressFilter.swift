import Tables
import Wire

/// Says quickly of nearly every address that it is none of the interfaces' own or broadcast addresses (a Bloom filter with
/// one hash): few packets then need their source looked up.
struct AddressFilter: Sendable {
  private let words: FlatArray<UInt64>

  private static var bits: UInt32 { 12 }

  init(_ addresses: [InterfaceAddress]) {
    var words = [UInt64](repeating: 0, count: 1 << (Self.bits - 6))
    func add(_ hash: Int) { words[hash >> 6] |= 1 << UInt64(hash & 63) }
    for address in addresses {
      switch (address.address, address.prefix) {
      case (.v4(let host), .v4(let prefix)):
        for own in [host, prefix.address, prefix.lastAddress] { add(Self.hash(own)) }
      case (.v6(let host), .v6(let prefix)):
        for own in [host, prefix.address] { add(Self.hash(own)) }
      default: break
      }
    }
    self.words = FlatArray(words)
  }

  @inline(__always)
  private static func hash(_ address: IPv4Address) -> Int { Int((address.rawValue &* 0x9E37_79B1) >> (32 - bits)) }

  @inline(__always)
  private static func hash(_ address: IPv6Address) -> Int {
    Int(((address.high ^ address.low &* 0xD6E8_FEB8_6659_FD93) &* 0x9E37_79B9_7F4A_7C15) >> UInt64(64 - bits))
  }

  @inline(__always)
  func mayHave(_ address: IPv4Address) -> Bool { has(Self.hash(address)) }

  @inline(__always)
  func mayHave(_ address: IPv6Address) -> Bool { has(Self.hash(address)) }

  @inline(__always)
  private func has(_ hash: Int) -> Bool { words[hash >> 6] >> UInt64(hash & 63) & 1 != 0 }
}
