import Dataplane
import Tables

/// One worker's packets that wait until their neighbour is resolved, in order for each neighbour. Fragments of one datagram
/// that come one after the other count as one: with any of them lost the others are for nothing.
struct PendingPackets: ~Copyable {
  private struct Chain {
    let key: NeighbourKey
    var first: Int
    var last: Int
    var count: Int
    var datagrams: Int
    /// What the fragments of the newest datagram have in common; nil when it is in one piece.
    var newest: ReassemblyTable.Key?
    /// How many packets the newest datagram has here.
    var newestCount: Int
  }

  /// Nil for packets that are no fragments.
  private static func datagram(of packet: borrowing Packet) -> ReassemblyTable.Key? {
    guard let part = packet.fragmentPart else { return nil }
    return ReassemblyTable.Key(packet, part)
  }

  private static let filterSize = 4096
  /// Enough for the longest datagram over links of Ethernet's MTU; what has more counts again.
  private static let fragmentLimit = 64

  private var shelf: PacketShelf
  /// The number of the packet behind each.
  private var next: [Int]
  /// Whether each packet is the first of its datagram here.
  private var beginsDatagram: [Bool]
  private var chains: [Chain] = []
  private var numbers: [NeighbourKey: Int] = [:]
  /// How many neighbours with packets have each hash, so that most of the others are told apart at a glance.
  private var filter: [UInt16]
  private let depth: Int

  /// - Parameters:
  ///   - capacity: How many packets can wait.
  ///   - depth: How many datagrams among them for one neighbour.
  init(capacity: Int, depth: Int) {
    shelf = PacketShelf(capacity: capacity)
    next = Array(repeating: 0, count: shelf.capacity)
    beginsDatagram = Array(repeating: true, count: shelf.capacity)
    filter = Array(repeating: 0, count: Self.filterSize)
    self.depth = depth
    chains.reserveCapacity(capacity)
    numbers.reserveCapacity(capacity)
  }

  /// How many packets wait.
  var count: Int { shelf.count }
  /// Whether no more packets can wait.
  var isFull: Bool { shelf.isFull }
  /// How many neighbours packets wait for.
  var neighbours: Int { chains.count }
  /// A neighbour that packets wait for, by its place below `neighbours`. The last one moves to the place of one for which
  /// no more packets wait.
  func neighbour(_ place: Int) -> NeighbourKey { chains[place].key }

  /// Whether packets may be waiting for a neighbour; never wrong when it says no.
  @inline(__always)
  func mayHold(_ key: NeighbourKey) -> Bool { shelf.count > 0 && filter[Self.bucket(key)] > 0 }

  /// Takes the oldest packet of a neighbour that has as many datagrams as are allowed when another packet comes.
  mutating func popExcess(_ key: NeighbourKey, before packet: borrowing Packet) -> Packet? {
    guard let number = numbers[key], chains[number].datagrams >= depth,
      !continues(Self.datagram(of: packet), chains[number])
    else { return nil }
    return popFirst(key)
  }

  private func continues(_ datagram: ReassemblyTable.Key?, _ chain: Chain) -> Bool {
    datagram != nil && datagram == chain.newest && chain.newestCount < Self.fragmentLimit
  }

  /// Has a packet wait. To be called only while there is room.
  mutating func append(_ packet: consuming Packet, for key: NeighbourKey) {
    let datagram = Self.datagram(of: packet)
    let place = shelf.put(packet)
    beginsDatagram[place] = true
    guard let number = numbers[key] else {
      numbers[key] = chains.count
      chains.append(
        Chain(key: key, first: place, last: place, count: 1, datagrams: 1, newest: datagram, newestCount: 1))
      filter[Self.bucket(key)] += 1
      return
    }
    next[chains[number].last] = place
    chains[number].last = place
    chains[number].count += 1
    if continues(datagram, chains[number]) {
      beginsDatagram[place] = false
      chains[number].newestCount += 1
    } else {
      chains[number].datagrams += 1
      chains[number].newest = datagram
      chains[number].newestCount = 1
    }
  }

  /// Takes the oldest packet of a neighbour.
  mutating func popFirst(_ key: NeighbourKey) -> Packet? {
    guard let number = numbers[key] else { return nil }
    let place = chains[number].first
    chains[number].count -= 1
    if chains[number].count > 0 {
      chains[number].first = next[place]
      if beginsDatagram[next[place]] { chains[number].datagrams -= 1 }
    } else {
      numbers[key] = nil
      filter[Self.bucket(key)] -= 1
      let last = chains.removeLast()
      if number < chains.count {
        chains[number] = last
        numbers[last.key] = number
      }
    }
    return shelf.take(place)
  }

  @inline(__always)
  private static func bucket(_ key: NeighbourKey) -> Int {
    Int(truncatingIfNeeded: key.mixed(seed: 0) % UInt64(filterSize))
  }
}
