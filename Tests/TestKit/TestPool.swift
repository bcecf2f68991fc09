public import Dataplane
public import Testing

/// A packet pool of a test's own. When the test is over, every packet must be back, and none may have been let go
/// without a verdict.
///
///     try withTestPool { pool in
///       var packet = pool.packet(.ethernet().ipv4().udp())
///       ...
///       pool.free(packet)
///     }
public struct TestPool: ~Copyable {
  /// The pool itself.
  public let pool: PacketPool

  /// A pool with a name of its own.
  /// - Parameters:
  ///   - packets: How many buffers.
  ///   - dataRoom: Bytes a buffer holds behind its headroom of 128.
  public init(packets: Int = 512, dataRoom: Int = 2048) throws(EnvironmentError) {
    try TestEnvironment.start()
    pool = try PacketPool(name: "test\(TestEnvironment.uniqueNumber())", packets: packets, dataRoom: dataRoom)
  }

  /// Buffers in use.
  public var used: Int { pool.capacity - pool.available }

  /// A packet of this frame.
  public func packet(_ frame: Frame, headroom: Int = 128, sourceLocation: SourceLocation = #_sourceLocation) -> Packet {
    guard let packet = pool.packet(frame, headroom: headroom) else {
      preconditionFailure("the test's pool has no buffer left for \(sourceLocation)")
    }
    return packet
  }

  /// A packet that shares the bytes of this one, as `Context.clone` makes it.
  public func clone(_ packet: borrowing Packet, sourceLocation: SourceLocation = #_sourceLocation) -> Packet {
    guard let clone = pool.clone(packet) else {
      preconditionFailure("the test's pool has no buffer left for \(sourceLocation)")
    }
    return clone
  }

  /// Gives a packet back.
  public func free(_ packet: consuming Packet) { packet.discard() }

  /// Records an issue unless every packet is back and so many were abandoned.
  public func verify(abandoned: Int = 0, sourceLocation: SourceLocation = #_sourceLocation) {
    if used != 0 { Issue.record("\(used) packets were not given back", sourceLocation: sourceLocation) }
    if pool.abandoned != UInt64(abandoned) {
      Issue.record(
        "\(pool.abandoned) packets were let go without a verdict, not \(abandoned)", sourceLocation: sourceLocation)
    }
  }
}

/// Runs `body` with a pool of its own, and records an issue unless every packet is back afterwards.
/// - Parameter abandoned: How many packets the test lets go without a verdict on purpose.
@discardableResult
public func withTestPool<Result>(
  packets: Int = 512, dataRoom: Int = 2048, abandoned: Int = 0, sourceLocation: SourceLocation = #_sourceLocation,
  _ body: (borrowing TestPool) throws -> Result
) throws -> Result {
  let pool = try TestPool(packets: packets, dataRoom: dataRoom)
  let result = try body(pool)
  pool.verify(abandoned: abandoned, sourceLocation: sourceLocation)
  return result
}

extension PacketPool {
  /// A packet of this frame, its mark, annotation, port and segments included; nil when no buffer is left.
  public func packet(_ frame: Frame, headroom: Int = 128) -> Packet? {
    guard var packet = makePacket(segments: frame.segments, headroom: headroom) else { return nil }
    packet.mark = frame.mark
    packet.annotation = frame.annotation
    packet.setIngressPort(frame.ingressPort)
    return packet
  }
}
