import Dataplane
import Tables

/// What one worker counts for each backend and in all; the control thread reads it while it runs.
struct BalancerCounts: Sendable {
  /// What is counted for each backend.
  enum Backend: Int, CaseIterable {
    case packets, bytes, replyPackets, replyBytes
    /// How many there are now.
    case connections
    /// How many there were.
    case opened
    /// The serial number of the backend that is counted for.
    case serial
  }

  /// What is counted in all.
  enum Whole: Int, CaseIterable {
    /// Packets that went by the hash alone since the table was full, or half full of connections that only opened.
    case hashedOnly
    /// Connections whose backend was gone, and that went to another.
    case moved
    /// Connections that were tried elsewhere since the backend already had one of the same ends.
    case collisions
  }

  /// One cache line each.
  private static let stride = 8

  let backends = Tally(BalancerModel.slotLimit * Self.stride)
  let whole = Tally(Whole.allCases.count)

  subscript(slot: Int, what: Backend) -> UInt64 { backends[slot &* Self.stride &+ what.rawValue] }

  /// Whether what is counted at a backend's slot is the backend's own.
  func serves(_ backend: BalancerModel.Backend) -> Bool { self[backend.slot, .serial] == UInt64(backend.serial) }

  @inline(__always)
  func add(_ amount: UInt64, _ what: Backend, _ slot: Int) {
    backends.add(amount, to: slot &* Self.stride &+ what.rawValue)
  }

  @inline(__always)
  func count(_ what: Whole) { whole.add(1, to: what.rawValue) }

  /// Begins anew when the slot has another backend than before.
  func begin(_ slot: Int, serial: UInt16) {
    guard self[slot, .serial] != UInt64(serial) else { return }
    for what in Backend.allCases where what != .connections { add(0 &- self[slot, what], what, slot) }
    add(UInt64(serial), .serial, slot)
  }
}
