import CDPDK

/// Packets in the order they were put in; for elements that hold packets. Its memory is taken once.
@safe
public struct PacketQueue: ~Copyable {
  private let slots: UnsafeMutablePointer<PacketSlot>
  private let capacity: Int
  private var first = 0
  /// How many packets there are.
  public private(set) var count = 0

  /// An empty queue with room for `capacity` packets.
  public init(capacity: Int) {
    self.capacity = max(capacity, 1)
    unsafe slots = .allocate(capacity: self.capacity)
  }

  deinit {
    for index in 0..<count {
      var slot = unsafe slots[(first + index) % capacity]
      unsafe nfv_free(&slot, 1)
    }
    unsafe slots.deallocate()
  }

  /// Whether there are none.
  public var isEmpty: Bool { count == 0 }
  /// Whether there is no room.
  public var isFull: Bool { count == capacity }

  /// Puts a packet at the end. To be called only while there is room.
  public mutating func append(_ packet: consuming Packet) {
    precondition(!isFull, "a full queue was given a packet")
    var index = first + count
    if index >= capacity { index -= capacity }
    unsafe slots[index] = packet.release()
    count += 1
  }

  /// Takes the packet at the front.
  public mutating func popFirst() -> Packet? {
    guard count > 0, let mbuf = unsafe slots[first] else { return nil }
    first += 1
    if first == capacity { first = 0 }
    count -= 1
    return unsafe Packet(owning: mbuf)
  }

  /// Length in bytes of the packet at the front.
  public var firstLength: Int? {
    guard count > 0, let mbuf = unsafe slots[first] else { return nil }
    return unsafe Int(mbuf.pointee.packet_length)
  }
}
