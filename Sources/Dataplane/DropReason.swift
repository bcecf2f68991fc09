/// Why a packet was dropped; counted by element and reason.
///
/// Reasons that several elements share are listed here. An element's own are an enumeration that conforms to
/// `ElementDropReason`.
@frozen
public struct DropReason: Hashable, Sendable {
  /// The reason's number; those from `firstOwn` on belong to the element that gave them.
  public let code: UInt8

  @inlinable
  init(code: UInt8) { self.code = code }

  /// Numbers from here on are an element's own reasons.
  @inlinable static var firstOwn: UInt8 { 128 }
  /// How many reasons there can be.
  @inlinable static var limit: Int { 256 }

  /// The graph says `-> drop`, or an element was asked to discard.
  @inlinable public static var discarded: DropReason { DropReason(code: 0) }
  /// A header that the element needs is missing, cut short or contradicts itself.
  @inlinable public static var malformed: DropReason { DropReason(code: 1) }
  /// No packet buffer was left for a copy, a new packet or a header that did not fit.
  @inlinable public static var noBuffer: DropReason { DropReason(code: 2) }
  /// A queue had no room.
  @inlinable public static var queueFull: DropReason { DropReason(code: 3) }
  /// The port did not take it, or could not send it: its transmit ring was full, its link down, the disk full.
  @inlinable public static var portBusy: DropReason { DropReason(code: 4) }
  /// Longer than what follows can take.
  @inlinable public static var tooLong: DropReason { DropReason(code: 5) }
  /// Above the rate that the configuration allows.
  @inlinable public static var rateExceeded: DropReason { DropReason(code: 6) }
  /// The packet went round a loop of the graph too often.
  @inlinable public static var looped: DropReason { DropReason(code: 7) }
  /// A protocol that the element does not handle.
  @inlinable public static var unsupported: DropReason { DropReason(code: 8) }

  /// The worker that it belongs to had no room for it.
  @inlinable public static var workerBusy: DropReason { DropReason(code: 9) }

  static let sharedNames = [
    "discarded", "malformed", "noBuffer", "queueFull", "portBusy", "tooLong", "rateExceeded", "looped", "unsupported",
    "workerBusy",
  ]
}

/// Drop reasons of one element: an enumeration whose cases are the names that reports show.
public protocol ElementDropReason: RawRepresentable<UInt8>, CaseIterable, Sendable {}

extension ElementDropReason {
  /// The reason as the data plane counts it.
  @inlinable
  public var reason: DropReason { DropReason(code: DropReason.firstOwn &+ (rawValue & 0x7F)) }
}

/// For elements without reasons of their own.
@frozen public enum NoDropReason: UInt8, ElementDropReason { case none }

/// What to do with a packet: forward it to one of the element's outputs, or drop it.
@frozen
public struct Verdict<Output: OutputEnd>: Sendable {
  @usableFromInline let code: UInt16

  @inlinable
  init(code: UInt16) { self.code = code }

  /// The number of the output that the packet leaves by; nil when it is dropped or goes to another worker.
  @inlinable public var outputIndex: UInt16? { code < VerdictCode.handOver ? code : nil }

  /// The packet leaves by `output`.
  @inlinable
  public static func forward(_ output: Output) -> Verdict { Verdict(code: output.index) }

  /// The packet goes to the same element, and the same input, of another worker: to the one that has what it needs. Only
  /// elements that say so (`Element.handsOver`) may; `worker` is below `Context.workers`, and not the own.
  @inlinable
  public static func handOver(to worker: Int) -> Verdict {
    Verdict(code: VerdictCode.handOver | UInt16(truncatingIfNeeded: worker & 0xFF))
  }

  /// The packet is freed and counted.
  @inlinable
  public static func drop(_ reason: DropReason) -> Verdict { Verdict(code: VerdictCode.drop | UInt16(reason.code)) }

  /// The packet is freed and counted under one of the element's own reasons.
  @inlinable
  public static func drop(_ own: some ElementDropReason) -> Verdict { drop(own.reason) }
}

/// How verdicts are written down beside the packets of a batch: an output's number, or one of these.
@usableFromInline
enum VerdictCode {
  /// Set for a drop; the low byte is the reason.
  @inlinable static var drop: UInt16 { 0x8000 }
  /// The element took the packet; the slot is empty.
  @inlinable static var taken: UInt16 { 0x7FFF }
  /// Set for a packet that goes to another worker; the low byte says which.
  @inlinable static var handOver: UInt16 { 0x4000 }
  /// Outputs are numbered below this.
  @inlinable static var outputLimit: Int { 0x4000 }
}
