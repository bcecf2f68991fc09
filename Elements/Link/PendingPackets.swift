import Dataplane
import Tables

/// One worker's packets that wait until their neighbour is resolved, in order for each neighbour.
struct PendingPackets: ~Copyable {
  private struct Chain {
    let key: NeighbourKey
    var first: Int
    var last: Int
    var count: Int
  }

  private static let filterSize = 4096

  private var shelf: PacketShelf
  /// The number of the packet behind each.
  private var next: [Int]
  private var chains: [Chain] = []
  private var numbers: [NeighbourKey: Int] = [:]
  /// How many neighbours with packets have each hash, so that most of the others are told apart at a glance.
  private var filter: [UInt16]
  private let depth: Int

  /// - Parameters:
  ///   - capacity: How many packets can wait.
  ///   - depth: How many of them for one neighbour.
  init(capacity: Int, depth: Int) {
    shelf = PacketShelf(capacity: capacity)
    next = Array(repeating: 0, count: shelf.capacity)
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

  /// Takes the oldest packet of a neighbour that has as many as are allowed.
  mutating func popExcess(_ key: NeighbourKey) -> Packet? {
    guard let number = numbers[key], chains[number].count >= depth else { return nil }
    return popFirst(key)
  }

  /// Has a packet wait. To be called only while there is room.
  mutating func append(_ packet: consuming Packet, for key: NeighbourKey) {
    let place = shelf.put(packet)
    guard let number = numbers[key] else {
      numbers[key] = chains.count
      chains.append(Chain(key: key, first: place, last: place, count: 1))
      filter[Self.bucket(key)] += 1
      return
    }
    next[chains[number].last] = place
    chains[number].last = place
    chains[number].count += 1
  }

  /// Takes the oldest packet of a neighbour.
  mutating func popFirst(_ key: NeighbourKey) -> Packet? {
    guard let number = numbers[key] else { return nil }
    let place = chains[number].first
    chains[number].count -= 1
    if chains[number].count > 0 {
      chains[number].first = next[place]
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
