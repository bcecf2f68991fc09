import Configuration
import Dataplane

/// Drops frames that are longer than allowed, and marks the others with their length.
public struct Sieve: PacketElement {
  /// Why packets are dropped.
  public enum Drop: UInt8, ElementDropReason {
    case longerThanAllowed
  }

  public static let about = ElementDescription("Drops frames that are longer than allowed.")

  private let longest: Int

  public init(_ settings: inout Settings) throws(ConfigurationError) {
    longest = try settings.take("longest", default: 1514, in: 60...9216, "longest frame in bytes", shorthand: true)
  }

  public mutating func process(_ packet: inout Packet) -> Verdict<SoleOutput> {
    guard packet.length <= longest else { return .drop(Drop.longerThanAllowed) }
    packet.mark = UInt32(packet.length)
    return .forward(.output)
  }
}
