import CDPDK

/// Packets that are kept at numbered places; for elements that hold packets and take them out in any order. Its memory
/// is taken once.
@safe
public struct PacketStore: ~Copyable {
  private let slots: UnsafeMutablePointer<PacketSlot>
  private let unused: UnsafeMutablePointer<UInt32>
  /// How many places there are.
  public let capacity: Int
  /// How many packets there are.
  public private(set) var count = 0

  /// An empty store with `capacity` places, up to 4,294,967,295.
  public init(capacity: Int) {
    self.capacity = min(max(capacity, 1), Int(UInt32.max))
    unsafe slots = .allocate(capacity: self.capacity)
    unsafe slots.initialize(repeating: nil, count: self.capacity)
    unsafe unused = .allocate(capacity: self.capacity)
    for index in 0..<self.capacity { unsafe (unused + index).initialize(to: UInt32(index)) }
  }

  deinit {
    for index in 0..<capacity where unsafe slots[index] != nil {
      unsafe nfv_free(slots + index, 1)
    }
    unsafe slots.deallocate()
    unsafe unused.deallocate()
  }

  /// Whether there is no place left.
  public var isFull: Bool { count == capacity }

  /// Keeps a packet. To be called only while there is a place.
  /// - Returns: The packet's place.
  public mutating func insert(_ packet: consuming Packet) -> UInt32 {
    precondition(!isFull, "a full store was given a packet")
    let place = unsafe unused[count]
    count += 1
    unsafe slots[Int(place)] = packet.release()
    return place
  }

  /// Takes the packet at a place; nil when none is there.
  public mutating func remove(at place: UInt32) -> Packet? {
    guard Int(place) < capacity, let mbuf = unsafe slots[Int(place)] else { return nil }
    unsafe slots[Int(place)] = nil
    count -= 1
    unsafe unused[count] = place
    return unsafe Packet(owning: mbuf)
  }

  /// Lends the packet at a place; nil when none is there.
  public mutating func update<Result>(at place: UInt32, _ change: (inout Packet) -> Result) -> Result? {
    guard Int(place) < capacity, let mbuf = unsafe slots[Int(place)] else { return nil }
    var packet = unsafe Packet(owning: mbuf)
    let result = change(&packet)
    unsafe slots[Int(place)] = packet.release()
    return result
  }
}
