public import CDPDK

/// What one run of an element works on: the packets, a verdict beside each, and packets that the element emits besides.
@unsafe @usableFromInline
struct Burst {
  @unsafe @usableFromInline
  struct Emission {
    var slot: PacketSlot
    var position: Int
    var output: UInt16
  }

  @usableFromInline var slots: UnsafeMutablePointer<PacketSlot>
  @usableFromInline var count = 0
  @usableFromInline let codes: UnsafeMutablePointer<UInt16>
  @usableFromInline var input: UInt8 = 0
  /// Whether an element put another packet in the place of one that it was lent.
  @usableFromInline var isExchanged = false
  var emissions: UnsafeMutablePointer<Emission>
  var emissionCount = 0
  var emissionCapacity: Int

  /// - Parameter slots: Where there are no packets yet; a burst never owns the place.
  init(limit: Int, slots: UnsafeMutablePointer<PacketSlot>) {
    unsafe self.slots = slots
    unsafe codes = .allocate(capacity: limit)
    unsafe emissionCapacity = limit
    unsafe emissions = .allocate(capacity: limit)
  }

  @usableFromInline
  mutating func emit(_ slot: PacketSlot, position: Int, output: UInt16) {
    if unsafe emissionCount == emissionCapacity {
      let larger = unsafe UnsafeMutablePointer<Emission>.allocate(capacity: emissionCapacity * 2)
      unsafe larger.update(from: emissions, count: emissionCount)
      unsafe emissions.deallocate()
      unsafe emissions = larger
      unsafe emissionCapacity *= 2
    }
    unsafe emissions[emissionCount] = Emission(slot: slot, position: position, output: output)
    unsafe emissionCount += 1
  }
}

/// A burst of packets that an element is run on. It owns them; the element judges each.
///
/// Packets that get no verdict are dropped as `malformed`; ones that were given away by `takeEach` are passed over.
@safe
public struct PacketBatch<E: Element & ~Copyable>: ~Copyable {
  @usableFromInline let burst: UnsafeMutablePointer<Burst>

  @unsafe @inlinable
  init(_ burst: UnsafeMutablePointer<Burst>) { unsafe self.burst = burst }

  /// How many packets there are; at most `maximumCount`.
  @inlinable
  public var count: Int { unsafe burst.pointee.count }

  /// No batch has more packets than this.
  @inlinable public static var maximumCount: Int { 256 }

  /// The input that the packets came in by; a batch comes in by one.
  @inlinable
  public var input: E.Input { E.Input(rawValue: unsafe burst.pointee.input) ?? E.Input.allCases.first! }

  /// Copy on write, or an element, may have put another packet in the place of the one that was lent.
  @unsafe @inlinable @inline(__always)
  func takeBack(_ packet: consuming Packet, at index: Int, lent: UnsafeMutablePointer<nfv_mbuf>) {
    let mbuf = unsafe packet.release()
    if unsafe mbuf == lent { return }
    unsafe burst.pointee.slots[index] = mbuf
    unsafe burst.pointee.isExchanged = true
  }

  /// Lends each packet in turn and carries out what `judge` says of it.
  @inlinable
  public mutating func forEach(_ judge: (inout Packet) -> Verdict<E.Output>) {
    let count = unsafe burst.pointee.count
    let slots = unsafe burst.pointee.slots
    let codes = unsafe burst.pointee.codes
    for index in 0..<count {
      guard let mbuf = unsafe slots[index] else { continue }
      var packet = unsafe Packet(owning: mbuf)
      unsafe codes[index] = judge(&packet).code
      unsafe takeBack(packet, at: index, lent: mbuf)
    }
  }

  /// Lends each packet in turn together with its position, for elements that looked something up for all beforehand.
  @inlinable
  public mutating func forEach(_ judge: (Int, inout Packet) -> Verdict<E.Output>) {
    let count = unsafe burst.pointee.count
    let slots = unsafe burst.pointee.slots
    let codes = unsafe burst.pointee.codes
    for index in 0..<count {
      guard let mbuf = unsafe slots[index] else { continue }
      var packet = unsafe Packet(owning: mbuf)
      unsafe codes[index] = judge(index, &packet).code
      unsafe takeBack(packet, at: index, lent: mbuf)
    }
  }

  /// Shows each packet without judging it.
  @inlinable
  public mutating func survey(_ look: (Int, borrowing Packet) -> Void) {
    let count = unsafe burst.pointee.count
    let slots = unsafe burst.pointee.slots
    for index in 0..<count {
      guard let mbuf = unsafe slots[index] else { continue }
      let packet = unsafe Packet(owning: mbuf)
      look(index, packet)
      _ = unsafe packet.release()
    }
  }

  /// Judges each packet by its position alone, for elements that looked everything up beforehand.
  @inlinable @inline(__always)
  public mutating func judgeEach(_ judge: (Int) -> Verdict<E.Output>) {
    let count = unsafe burst.pointee.count
    let slots = unsafe burst.pointee.slots
    let codes = unsafe burst.pointee.codes
    for index in 0..<count where unsafe slots[index] != nil { unsafe codes[index] = judge(index).code }
  }

  /// Lends each packet in turn together with a way to emit others. What is emitted leaves ahead of the packet at hand.
  @inlinable
  public mutating func forEach(_ judge: (inout Packet, inout Emitter<E>) -> Verdict<E.Output>) {
    let count = unsafe burst.pointee.count
    let slots = unsafe burst.pointee.slots
    let codes = unsafe burst.pointee.codes
    var emitter = unsafe Emitter<E>(burst)
    for index in 0..<count {
      guard let mbuf = unsafe slots[index] else { continue }
      var packet = unsafe Packet(owning: mbuf)
      unsafe emitter.standAt(index, packet.mbuf)
      unsafe codes[index] = judge(&packet, &emitter).code
      unsafe takeBack(packet, at: index, lent: mbuf)
    }
  }

  /// Gives each packet away in turn: `take` keeps it, emits it or lets it go by `Emitter.drop`.
  @inlinable
  public mutating func takeEach(_ take: (consuming Packet, inout Emitter<E>) -> Void) {
    let count = unsafe burst.pointee.count
    let slots = unsafe burst.pointee.slots
    let codes = unsafe burst.pointee.codes
    var emitter = unsafe Emitter<E>(burst)
    for index in 0..<count {
      guard let mbuf = unsafe slots[index] else { continue }
      let packet = unsafe Packet(owning: mbuf)
      unsafe emitter.standAt(index, packet.mbuf)
      unsafe slots[index] = nil
      unsafe codes[index] = VerdictCode.taken
      take(packet, &emitter)
    }
  }

  /// Emits a packet behind all others of the batch; for packets that were held, and in `Element.wake`.
  @inlinable
  public mutating func emit(_ packet: consuming Packet, to output: E.Output) {
    var emitter = unsafe Emitter<E>(burst)
    emitter.standAtEnd()
    emitter.emit(packet, to: output)
  }

  /// Frees a packet that was held, and counts it.
  @inlinable
  public mutating func drop(_ packet: consuming Packet, _ reason: DropReason) {
    var emitter = unsafe Emitter<E>(burst)
    emitter.standAtEnd()
    emitter.drop(packet, reason)
  }
}

/// The way to send packets on beside the one at hand.
@safe
public struct Emitter<E: Element & ~Copyable>: ~Copyable {
  @usableFromInline let burst: UnsafeMutablePointer<Burst>
  @usableFromInline var position = 0
  @usableFromInline var sequence: UInt32?

  @unsafe @inlinable
  init(_ burst: UnsafeMutablePointer<Burst>) { unsafe self.burst = burst }

  @unsafe @inlinable
  mutating func standAt(_ index: Int, _ mbuf: UnsafeMutablePointer<nfv_mbuf>) {
    position = index
    unsafe sequence = mbuf.pointee.sequence
  }

  @inlinable
  mutating func standAtEnd() {
    position = unsafe burst.pointee.count
    sequence = nil
    if position > 0, let last = unsafe burst.pointee.slots[position - 1] { sequence = unsafe last.pointee.sequence }
  }

  /// Sends a packet to `output`, ahead of the one at hand.
  @inlinable
  public mutating func emit(_ packet: consuming Packet, to output: E.Output) {
    let mbuf = unsafe packet.release()
    if let sequence { unsafe mbuf.pointee.sequence = sequence }
    unsafe burst.pointee.emit(mbuf, position: position, output: output.index)
  }

  /// Frees a packet and counts it.
  @inlinable
  public mutating func drop(_ packet: consuming Packet, _ reason: DropReason) {
    unsafe burst.pointee.emit(packet.release(), position: position, output: VerdictCode.drop | UInt16(reason.code))
  }

  /// Sends a packet to the same element, and the same input, of another worker; see `Verdict.handOver`.
  @inlinable
  public mutating func handOver(_ packet: consuming Packet, to worker: Int) {
    let code = VerdictCode.handOver | UInt16(truncatingIfNeeded: worker & 0xFF)
    unsafe burst.pointee.emit(packet.release(), position: position, output: code)
  }

  /// Frees a packet and counts it under one of the element's own reasons.
  @inlinable
  public mutating func drop(_ packet: consuming Packet, _ own: some ElementDropReason) { drop(packet, own.reason) }
}
