public import Configuration
public import Dataplane

/// Frees every packet and counts it; `-> drop` in the graph does the same without a name of its own.
///
///     rubbish: Discard
///     - in.other -> rubbish
public struct Discard: PacketElement {
  public typealias Output = NoOutput

  public static let about = ElementDescription(
    "Frees every packet, and counts it under a name of its own.",
    example: """
      elements:
        check: CheckIP
        rubbish: Discard
      graph:
        - lan -> check -> wan
        - check.other -> rubbish
      """)

  public init(_ settings: inout Settings) throws(ConfigurationError) {}

  public mutating func process(_ packet: inout Packet) -> Verdict<NoOutput> { .drop(.discarded) }
}
