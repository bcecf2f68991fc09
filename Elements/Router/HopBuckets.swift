import Tables
import Wire

extension RouteTarget {
  /// Which of several next hops each bucket of flows goes to, by its place: the one whose draw is best, so that when one
  /// goes, only its own buckets change hands (RFC 2992 calls it disruption).
  static func buckets(of gateways: [Gateway]) -> [Int] {
    (0..<Hop.bucketCount).map { bucket in
      var best = 0
      var bestDraw = -1.0
      for (index, gateway) in gateways.enumerated() {
        let key = NeighbourKey(interface: UInt32(gateway.interface ?? 0), gateway.address ?? .v4(.unspecified))
        let hash = key.mixed(seed: UInt64(bucket) &* 0x9E37_79B9_7F4A_7C15)
        // The weight-th power's root: the greatest of `weight` draws.
        let uniform = (Double(hash >> 11) + 1) / Double(1 << 53)
        let draw = greatest(of: gateway.weight, uniform)
        if draw > bestDraw { (best, bestDraw) = (index, draw) }
      }
      return best
    }
  }

  /// The greatest of `count` draws, of which one is `uniform`.
  private static func greatest(of count: Int, _ uniform: Double) -> Double {
    var low = 0.0
    var high = 1.0
    for _ in 0..<60 {
      let middle = (low + high) / 2
      if power(middle, count) < uniform { low = middle } else { high = middle }
    }
    return low
  }

  private static func power(_ base: Double, _ exponent: Int) -> Double {
    var (result, square, rest) = (1.0, base, exponent)
    while rest > 0 {
      if rest & 1 != 0 { result *= square }
      square *= square
      rest >>= 1
    }
    return result
  }
}
