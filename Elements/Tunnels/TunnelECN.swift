/// How the ECN fields of a tunnel's two headers are put together at its end (RFC 6040, 4.2).
enum TunnelECN {
  /// The field of the packet that goes on; nil when it has to be dropped: congestion was met, and whoever sent it would
  /// not learn of it.
  /// - Parameters:
  ///   - inner: The arriving inner header's field: 0 not capable, 1 ECT(1), 2 ECT(0), 3 congestion experienced.
  ///   - outer: The arriving outer header's.
  static func decapsulated(inner: UInt8, outer: UInt8) -> UInt8? {
    switch (inner & 3, outer & 3) {
    case (0, 3): nil
    case (0, _): 0
    case (3, _): 3
    case (_, 3): 3
    // ECT(1) in the outer header is a mark of lesser congestion, to which ECT(0) inside gives way.
    case (2, 1): 1
    case (let inner, _): inner
    }
  }
}
