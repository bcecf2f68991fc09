import Configuration
import Dataplane
import TestKit

/// Passes everything on.
struct Pass: PacketElement, ~Copyable {
  init() {}
  init(_ settings: inout Settings) throws(ConfigurationError) {}
  mutating func process(_ packet: inout Packet) -> Verdict<SoleOutput> { .forward(.output) }
}

/// Drops every so many packets, for a reason of its own, and malformed ones.
struct DropSome: PacketElement, ~Copyable {
  enum Drop: UInt8, ElementDropReason { case turn, nothing }
  private let every: Int
  private var count = 0

  init(every: Int) { self.every = every }
  init(_ settings: inout Settings) throws(ConfigurationError) { every = try settings.take("every", default: 3) }

  mutating func process(_ packet: inout Packet) -> Verdict<SoleOutput> {
    count += 1
    if count % every == 0 { return .drop(Drop.turn) }
    return packet.length == 0 ? .drop(.malformed) : .forward(.output)
  }
}

/// Sends a copy, marked, ahead of each packet.
struct Copy: Element, ~Copyable {
  enum Output: UInt8, OutputPort { case original, copy }

  init() {}
  init(_ settings: inout Settings) throws(ConfigurationError) {}

  mutating func process(_ batch: inout PacketBatch<Self>, _ context: inout Context) {
    batch.forEach { (packet: inout Packet, emitter: inout Emitter<Self>) in
      if var copy = context.clone(packet) {
        copy.mark = packet.mark ^ 0x80
        emitter.emit(copy, to: .copy)
      }
      return .forward(.original)
    }
  }
}

/// Splits by flow.
struct Split: PacketElement, ~Copyable {
  typealias Output = NumberedOutput
  private let ways: Int

  init(ways: Int) { self.ways = ways }
  init(_ settings: inout Settings) throws(ConfigurationError) { ways = try settings.take("ways", default: 2) }

  var outputs: [OutputDescription] { (0..<ways).map { OutputDescription("way\($0)") } }
  mutating func process(_ packet: inout Packet) -> Verdict<NumberedOutput> {
    .forward(NumberedOutput(Int(packet.flowHash % UInt32(ways))))
  }
}

/// Numbers packets in the order they come in, by either of two inputs.
struct Number: Element, ~Copyable {
  enum Input: UInt8, InputPort { case left, right }
  private var next: UInt32 = 1

  init() {}
  init(_ settings: inout Settings) throws(ConfigurationError) {}

  mutating func process(_ batch: inout PacketBatch<Self>, _ context: inout Context) {
    let isLeft = batch.input == .left
    batch.forEach { packet in
      packet.mark = packet.mark &* 31 &+ next &* 2 &+ (isLeft ? 1 : 0)
      next &+= 1
      return .forward(.output)
    }
  }
}

/// Makes packets longer, shorter or others altogether, in turn.
struct Reshape: PacketElement, ~Copyable {
  private var count = 0

  init() {}
  init(_ settings: inout Settings) throws(ConfigurationError) {}

  mutating func process(_ packet: inout Packet) -> Verdict<SoleOutput> {
    count += 1
    switch count % 40 {
    case 3: _ = packet.insert(4, at: 0)
    case 17: _ = packet.remove(min(packet.length, 4), at: 0)
    case 23: packet.truncate(to: packet.length / 2)
    case 31: _ = packet.replaceBytes(with: packet.copyBytes() + [1, 2, 3])
    default: break
    }
    return .forward(.output)
  }
}

/// Sends each packet in place of the next one. The last leaves after a while.
struct Exchange: Element, ~Copyable {
  private var kept: Packet?

  init() {}
  init(_ settings: inout Settings) throws(ConfigurationError) {}

  var held: Int { kept == nil ? 0 : 1 }

  mutating func process(_ batch: inout PacketBatch<Self>, _ context: inout Context) {
    if kept == nil {
      kept = context.allocate()
      context.wake(at: context.now.advanced(by: 1_000_000))
    }
    batch.forEach { packet in
      if var other = kept.take() {
        swap(&packet, &other)
        kept = consume other
      }
      return .forward(.output)
    }
  }

  mutating func wake(_ batch: inout PacketBatch<Self>, _ context: inout Context) {
    if let last = kept.take() { batch.emit(last, to: .output) }
  }
}

/// A place for a packet in a collection.
final class PacketBox {
  private var packet: Packet?
  let due: Instant

  init(_ packet: consuming Packet, due: Instant) {
    self.packet = consume packet
    self.due = due
  }

  func take() -> Packet? { packet.take() }
}

/// Holds every other packet back for a time; what has no room goes on at once.
struct Hold: Element, ~Copyable {
  enum Output: UInt8, OutputPort { case output, late }
  private let nanoseconds: UInt64
  private let limit: Int
  private var boxes: [PacketBox] = []
  private var isTurn = false

  init(nanoseconds: UInt64, limit: Int = 50) {
    self.nanoseconds = nanoseconds
    self.limit = limit
  }
  init(_ settings: inout Settings) throws(ConfigurationError) {
    self.init(nanoseconds: UInt64(try settings.take("nanoseconds", default: 5_000_000) as Int))
  }

  var held: Int { boxes.count }
  var counters: [ElementCounter] { [ElementCounter("waiting", UInt64(boxes.count))] }

  mutating func process(_ batch: inout PacketBatch<Self>, _ context: inout Context) {
    let due = context.now.advanced(by: nanoseconds)
    batch.takeEach { packet, emitter in
      isTurn.toggle()
      if isTurn && boxes.count < limit {
        boxes.append(PacketBox(packet, due: due))
      } else if boxes.count == limit && isTurn {
        emitter.drop(packet, .queueFull)
      } else {
        emitter.emit(packet, to: .output)
      }
    }
    if let first = boxes.first { context.wake(at: first.due) }
  }

  mutating func wake(_ batch: inout PacketBatch<Self>, _ context: inout Context) {
    while let first = boxes.first, first.due <= context.now {
      boxes.removeFirst()
      if let packet = first.take() { batch.emit(packet, to: .late) }
    }
    if let first = boxes.first { context.wake(at: first.due) }
  }
}
