import Dataplane

/// Leaves packets to the router's own addresses to the kernel, which has received them, too; a part of `Router`.
struct RouterHostPackets: PacketElement, RouterPart {
  enum Drop: UInt8, ElementDropReason {
    /// It is for the kernel.
    case leftToKernel
  }

  mutating func process(_ packet: inout Packet) -> Verdict<SoleOutput> { .drop(Drop.leftToKernel) }
}

/// Leads packets that could not be sent back to the interface that they came in by, which is where errors about them
/// come from; a part of `Router`.
struct RouterReturn: PacketElement, RouterPart {
  typealias Output = NumberedOutput

  static let needs = HeaderState.ip

  private let interfaceCount: Int

  init(interfaceCount: Int) { self.interfaceCount = interfaceCount }

  var outputs: [OutputDescription] { (0..<interfaceCount).map { OutputDescription("interface-\($0)") } }

  mutating func process(_ packet: inout Packet) -> Verdict<Output> {
    let interface = Int(RouteNote(packet.annotation).interface)
    return interface < interfaceCount ? .forward(NumberedOutput(interface)) : .drop(.malformed)
  }
}
