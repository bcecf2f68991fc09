extension PacketBatch where E: ~Copyable {
  /// Lends each packet in turn and carries out what `judge` says of it. A packet of which it says nothing is given away
  /// to `take`, as `takeEach` does: for elements that hold few packets out of many.
  @inlinable
  public mutating func forEach(
    _ judge: (inout Packet) -> Verdict<E.Output>?, otherwise take: (consuming Packet, inout Emitter<E>) -> Void
  ) {
    let count = unsafe burst.pointee.count
    let slots = unsafe burst.pointee.slots
    let codes = unsafe burst.pointee.codes
    var emitter = unsafe Emitter<E>(burst)
    for index in 0..<count {
      guard let mbuf = unsafe slots[index] else { continue }
      var packet = unsafe Packet(owning: mbuf)
      if let verdict = judge(&packet) {
        unsafe codes[index] = verdict.code
        unsafe takeBack(packet, at: index, lent: mbuf)
      } else {
        unsafe emitter.standAt(index, packet.mbuf)
        unsafe slots[index] = nil
        unsafe codes[index] = VerdictCode.taken
        take(packet, &emitter)
      }
    }
  }
}

extension Emitter where E: ~Copyable {
  /// Does with a packet that was given away what a verdict says.
  @inlinable
  public mutating func carryOut(_ verdict: Verdict<E.Output>, _ packet: consuming Packet) {
    unsafe burst.pointee.emit(packet.release(), position: position, output: verdict.code)
  }
}
