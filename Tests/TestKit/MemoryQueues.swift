public import Dataplane
import Synchronization

/// A queue to receive from that gives out frames at their times: a capture in memory.
///
/// Without times the packets are there at once. Frames may be added between a worker's runs.
@safe
public final class MemorySource: PortQueue {
  private var frames: ArraySlice<(frame: Frame, time: Instant)> = []
  private let pool: PacketPool
  /// Frames for which the pool had no buffer.
  public private(set) var missed = 0

  /// - Parameter pool: Where packets are made.
  public init(pool: PacketPool, _ frames: [(frame: Frame, time: Instant)] = []) {
    self.pool = pool
    self.frames = frames[...]
  }

  /// Adds frames that arrive at `time`.
  public func append(_ more: [Frame], at time: Instant) { frames += more.map { ($0, time) } }

  /// Frames have times.
  public var isTimed: Bool { true }
  /// When the next frame is due.
  public var nextArrival: Instant? { frames.first?.time }
  /// Whether all frames were received.
  public var hasEnded: Bool { frames.isEmpty }

  /// Gives out packets of the next frames, which all arrive at the same instant.
  @unsafe
  public func receive(_ slots: UnsafeMutablePointer<PacketSlot>, limit: Int, now: Instant, bytes: inout UInt64) -> Int {
    guard let time = frames.first?.time else { return 0 }
    var count = 0
    while count < limit, let next = frames.first, next.time == time {
      frames = frames.dropFirst()
      guard let packet = pool.packet(next.frame) else {
        missed += 1
        continue
      }
      bytes += UInt64(packet.length)
      unsafe slots[count] = packet.intoSlot()
      count += 1
    }
    return count
  }

  /// A source takes nothing.
  @unsafe
  public func transmit(_ slots: UnsafeMutablePointer<PacketSlot>, count: Int, now: Instant) -> Int { 0 }
}

/// A packet as a sink saw it.
public struct SentPacket: Hashable, Sendable, CustomStringConvertible {
  /// All its bytes.
  public var bytes: [UInt8]
  /// Its mark.
  public var mark: UInt32
  /// Its annotation.
  public var annotation: UInt32
  /// When it was sent.
  public var time: Instant
  /// Number of the port it had come in by.
  public var ingressPort: Int

  /// What is wrong with its lengths and checksums, in words; empty when nothing is. See `Dissection`.
  public var problems: [String] { Dissection(bytes).problems }

  /// The layers in words.
  public var description: String { "\(Dissection(bytes)) [\(hexadecimal(bytes))]" }
}

/// A queue to transmit to that keeps what is sent.
@safe
public final class MemorySink: PortQueue {
  /// What was sent, in order.
  public private(set) var sent: [SentPacket] = []
  /// How many packets are taken before the queue is full; nil: all.
  public var room: Int?

  /// An empty sink.
  public init(room: Int? = nil) { self.room = room }

  /// Gives what was sent so far and forgets it.
  public func take() -> [SentPacket] {
    defer { sent = [] }
    return sent
  }

  /// Nothing comes from a sink.
  @unsafe
  public func receive(_ slots: UnsafeMutablePointer<PacketSlot>, limit: Int, now: Instant, bytes: inout UInt64) -> Int {
    0
  }

  /// Keeps copies of the packets, as far as there is room.
  @unsafe
  public func transmit(_ slots: UnsafeMutablePointer<PacketSlot>, count: Int, now: Instant) -> Int {
    let taken = min(count, room.map { max(0, $0 - sent.count) } ?? count)
    for index in 0..<taken {
      guard let packet = unsafe Packet(taking: slots[index]) else { continue }
      sent.append(
        SentPacket(
          bytes: packet.copyBytes(), mark: packet.mark, annotation: packet.annotation, time: now,
          ingressPort: packet.ingressPort))
      packet.discard()
    }
    return taken
  }
}
