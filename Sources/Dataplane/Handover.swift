import CDPDK

/// Rings by which the workers of a run hand packets to one another: one for each pair and direction, so that none is ever
/// contended. A packet goes from a node of one worker to the same node, and the same input, of another.
@safe
public final class Handover: @unchecked Sendable {
  /// Whose descriptors wake the workers.
  private let mailboxes: [Mailbox]
  private let rings: UnsafeMutablePointer<OpaquePointer>
  private let sleeping: UnsafeMutablePointer<UInt64>
  private let done: UnsafeMutablePointer<UInt64>
  /// How many workers there are.
  let workers: Int

  /// Packets that can be under way from one worker to another.
  static let room: UInt32 = 4096

  /// Joins the plans of a run, one for each worker in order.
  /// - Parameter nodes: For each plan, the number of the node in the graph for each of its nodes.
  /// - Returns: False when memory is short.
  public static func join(_ plans: [Plan], nodes: [[Int]]) -> Bool {
    guard let handover = Handover(plans.map(\.mailbox)) else { return false }
    for (plan, numbers) in zip(plans, nodes) { plan.join(handover, numbers) }
    return true
  }

  private init?(_ mailboxes: [Mailbox]) {
    self.mailboxes = mailboxes
    workers = mailboxes.count
    unsafe rings = .allocate(capacity: workers * workers)
    unsafe sleeping = .allocate(capacity: workers)
    unsafe sleeping.initialize(repeating: 0, count: workers)
    unsafe done = .allocate(capacity: workers)
    unsafe done.initialize(repeating: 0, count: workers)
    for index in 0..<workers * workers {
      guard let ring = unsafe nfv_ring_create(Self.room) else {
        for made in 0..<index { unsafe nfv_ring_destroy(rings[made]) }
        unsafe rings.deallocate()
        unsafe sleeping.deallocate()
        unsafe done.deallocate()
        return nil
      }
      unsafe (rings + index).initialize(to: ring)
    }
  }

  deinit {
    for index in 0..<workers * workers { unsafe nfv_ring_destroy(rings[index]) }
    unsafe rings.deallocate()
    unsafe sleeping.deallocate()
    unsafe done.deallocate()
  }

  @unsafe
  private func ring(from sender: Int, to receiver: Int) -> OpaquePointer { unsafe rings[sender * workers + receiver] }

  /// Hands packets over; returns how many there was room for, from the front.
  @unsafe
  func put(_ slots: UnsafeMutablePointer<PacketSlot>, _ count: Int, from sender: Int, to receiver: Int) -> Int {
    let taken = unsafe nfv_ring_put(ring(from: sender, to: receiver), slots, UInt32(count))
    nfv_fence()
    if unsafe nfv_load_relaxed(sleeping + receiver) != 0 { nfv_event_signal(mailboxes[receiver].descriptor) }
    return Int(taken)
  }

  /// Takes up to `limit` packets that another worker handed over.
  @unsafe
  func take(_ slots: UnsafeMutablePointer<PacketSlot>, limit: Int, from sender: Int, to receiver: Int) -> Int {
    unsafe Int(nfv_ring_take(ring(from: sender, to: receiver), slots, UInt32(limit)))
  }

  /// Whether something was handed to a worker that it did not take yet.
  func hasPackets(for receiver: Int) -> Bool {
    (0..<workers).contains { unsafe !nfv_ring_is_empty(ring(from: $0, to: receiver)) }
  }

  /// Says that a worker is about to sleep, and is to be woken for what is handed to it. False when something is there
  /// already.
  func fallAsleep(_ worker: Int) -> Bool {
    unsafe nfv_store_relaxed(sleeping + worker, 1)
    nfv_fence()
    guard hasPackets(for: worker) else { return true }
    awake(worker)
    return false
  }

  /// Says that a worker sleeps no more.
  func awake(_ worker: Int) {
    unsafe nfv_store_relaxed(sleeping + worker, 0)
    nfv_event_clear(mailboxes[worker].descriptor)
  }

  /// Says that a worker has nothing left to do unless something is handed to it. Returns whether that goes for all.
  func isDone(_ worker: Int) -> Bool {
    unsafe nfv_store_relaxed(done + worker, 1)
    nfv_fence()
    return (0..<workers).allSatisfy { unsafe nfv_load_relaxed(done + $0) != 0 } && !hasPackets(for: worker)
  }

  /// Says that a worker has something to do again.
  func goOn(_ worker: Int) { unsafe nfv_store_relaxed(done + worker, 0) }

  /// Frees what nobody took, and counts it where it was going. To be called when no worker runs.
  public func drain(_ plans: [Plan]) {
    let slots = UnsafeMutablePointer<PacketSlot>.allocate(capacity: 64)
    defer { unsafe slots.deallocate() }
    for sender in 0..<workers {
      for receiver in 0..<workers {
        while true {
          let count = unsafe take(slots, limit: 64, from: sender, to: receiver)
          if count == 0 { break }
          for index in 0..<count {
            guard let mbuf = unsafe slots[index] else { continue }
            unsafe plans[receiver].countLost(at: mbuf.pointee.sequence)
          }
          unsafe nfv_free(slots, UInt32(count))
        }
      }
    }
  }
}
