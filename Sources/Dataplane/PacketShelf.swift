import CDPDK

/// Packets kept by number, to be taken in any order; for elements that hold packets. Its memory is taken once.
@safe
public struct PacketShelf: ~Copyable {
  private let slots: UnsafeMutablePointer<PacketSlot>
  private var unused: [Int]
  /// How many packets fit.
  public let capacity: Int

  /// An empty shelf.
  public init(capacity: Int) {
    self.capacity = max(capacity, 1)
    unsafe slots = .allocate(capacity: self.capacity)
    unsafe slots.initialize(repeating: nil, count: self.capacity)
    unused = Array((0..<self.capacity).reversed())
  }

  deinit {
    for index in 0..<capacity where unsafe slots[index] != nil { unsafe nfv_free(slots + index, 1) }
    unsafe slots.deallocate()
  }

  /// How many packets there are.
  public var count: Int { capacity - unused.count }
  /// Whether there is no room.
  public var isFull: Bool { unused.isEmpty }

  /// Keeps a packet. To be called only while there is room.
  /// - Returns: The packet's number: the lowest ones are used again first.
  public mutating func put(_ packet: consuming Packet) -> Int {
    precondition(!isFull, "a full shelf was given a packet")
    let index = unused.removeLast()
    unsafe slots[index] = packet.release()
    return index
  }

  /// Takes the packet with this number; nil when there is none.
  public mutating func take(_ index: Int) -> Packet? {
    guard (0..<capacity).contains(index), let mbuf = unsafe slots[index] else { return nil }
    unsafe slots[index] = nil
    unused.append(index)
    return unsafe Packet(owning: mbuf)
  }
}
