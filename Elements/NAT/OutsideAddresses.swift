import Tables
import Wire

/// Numbers, addresses or slots, sorted, with what they stand for.
struct AddressIndex {
  private let addresses: FlatArray<UInt32>
  private let numbers: FlatArray<UInt32>

  /// - Parameter entries: Different addresses with what they stand for.
  init(_ entries: [(address: UInt32, number: UInt32)]) {
    let sorted = entries.sorted { $0.address < $1.address }
    addresses = FlatArray(sorted.map(\.address))
    numbers = FlatArray(sorted.map(\.number))
  }

  /// What an address stands for; nil when it is none of them.
  func find(_ address: UInt32) -> UInt32? {
    var low = 0
    var high = addresses.count
    while low < high {
      let middle = (low + high) >> 1
      if addresses[middle] < address { low = middle + 1 } else { high = middle }
    }
    return low < addresses.count && addresses[low] == address ? numbers[low] : nil
  }
}

/// The ends that a NAT has: its outside addresses, hosts that have one of their own, and what is inside.
struct NATEnds {
  /// Shared addresses, by their number in the pool.
  let shared: AddressIndex
  private let outsides: FlatArray<UInt32>
  /// Inside addresses of hosts by the outside address that is theirs alone.
  let insideOfOwn: AddressIndex
  /// And the other way round.
  let ownOfInside: AddressIndex
  /// Port forwards, by the slot's number: the inside host's address.
  private let forwards: AddressIndex
  private let insidePrefixes: FlatArray<IPv4Prefix>

  init(_ settings: NATSettings) {
    shared = AddressIndex(settings.addresses.enumerated().map { ($1.rawValue, UInt32($0)) })
    outsides = FlatArray(settings.addresses.map(\.rawValue))
    let own = settings.statics.filter { $0.space == nil }
    insideOfOwn = AddressIndex(own.map { ($0.outside.rawValue, $0.inside.rawValue) })
    ownOfInside = AddressIndex(own.map { ($0.inside.rawValue, $0.outside.rawValue) })
    let index = shared
    forwards = AddressIndex(
      settings.statics.compactMap { entry -> (address: UInt32, number: UInt32)? in
        guard let space = entry.space, let number = index.find(entry.outside.rawValue) else { return nil }
        let slot = PortSlot(address: Int(number), space: space, port: entry.outsidePort)
        return (slot.rawValue, entry.inside.rawValue)
      })
    insidePrefixes = FlatArray(settings.insides)
  }

  /// The outside address of this number.
  func outside(_ number: Int) -> IPv4Address { IPv4Address(rawValue: outsides[number]) }

  /// Whether an address is an outside one.
  func isOutside(_ address: IPv4Address) -> Bool {
    shared.find(address.rawValue) != nil || insideOfOwn.find(address.rawValue) != nil
  }

  /// Whether packets from an address are to be translated.
  func isInside(_ address: IPv4Address) -> Bool {
    if insidePrefixes.count == 0 { return true }
    for index in 0..<insidePrefixes.count where insidePrefixes[index].contains(address) { return true }
    return false
  }

  /// The inside host of a forwarded port.
  func forward(_ slot: PortSlot) -> IPv4Address? { forwards.find(slot.rawValue).map(IPv4Address.init(rawValue:)) }
}
