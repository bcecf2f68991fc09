public import Configuration
public import Dataplane
import Tables
import Wire

/// Answers ARP requests for given addresses with one hardware address (RFC 826), probes among them (RFC 5227, 2.1.1).
///
///     arp: { ARPResponder: { addresses: 192.0.2.1, mac: 02:00:00:00:00:01 } }
///     - in.arp -> arp -> lan
///     - arp.other -> drop
public struct ARPResponder: PacketElement {
  /// Where packets leave.
  public enum Output: UInt8, OutputPort {
    /// The requests, turned into replies; to be sent back where they came from.
    case reply
    /// Replies, and requests for other addresses, as they came.
    case other

    public var about: String {
      self == .reply ? "replies, to be sent back where the requests came from" : "everything that is not answered"
    }
  }

  public static let about = ElementDescription(
    "Answers ARP requests for given addresses.",
    example: """
      elements:
        in: Classify
        arp: { ARPResponder: { addresses: [192.0.2.1, 198.51.100.0/24], mac: 02:00:00:00:00:01 } }
      graph:
        - lan -> in
        - in.arp -> arp -> lan
        - arp.other -> drop
        - in.ipv4 -> wan
        - in.ipv6 -> wan
        - in.other -> drop
      """)
  public static let needs = HeaderState.arp

  private let addresses: FlatArray<IPv4Prefix>
  private let mac: MACAddress

  public init(_ settings: inout Settings) throws(ConfigurationError) {
    let answered: [AddressOrPrefix] = try settings.take("addresses", "addresses or prefixes to answer for")
    let address: MACAddress = try settings.take("mac", "the hardware address to answer with")
    if address.isMulticast || address.isZero {
      settings.reject(
        settings.range(of: "mac"), "\(address) is not the address of one station", remedy: "give a unicast address")
    }
    addresses = FlatArray(answered.map(\.prefix))
    mac = address
  }

  public mutating func process(_ packet: inout Packet) -> Verdict<Output> {
    guard isAnswered(packet) else { return .forward(.other) }
    let asking: MACAddress
    if let arp = packet.mutableARP {
      asking = arp.senderMAC
      arp.set(operation: 2, senderMAC: mac, senderIP: arp.targetIP, targetMAC: asking, targetIP: arp.senderIP)
    } else {
      return .drop(.noBuffer)
    }
    guard let ethernet = packet.mutableEthernet else { return .drop(.noBuffer) }
    ethernet.setDestination(asking)
    ethernet.setSource(mac)
    return .forward(.reply)
  }

  private func isAnswered(_ packet: borrowing Packet) -> Bool {
    guard let request = packet.arp else { return false }
    let target = request.targetIP
    // A host announces its address by asking for it (RFC 5227, 3), and may see its own probes come back (2.1.1).
    return request.operation == 1 && answers(for: target) && request.senderIP != target
      && !request.senderMAC.isMulticast && request.senderMAC != mac
  }

  private func answers(for address: IPv4Address) -> Bool {
    for index in 0..<addresses.count where addresses[index].contains(address) { return true }
    return false
  }
}

/// An IPv4 address, or a prefix of many.
struct AddressOrPrefix: TextSetting {
  let prefix: IPv4Prefix

  static var schema: ValueSchema { ValueSchema("IPv4 address or prefix", example: "192.0.2.1") }
  static var placeholder: AddressOrPrefix { AddressOrPrefix(prefix: .all) }

  private init(prefix: IPv4Prefix) { self.prefix = prefix }

  init?(settingText text: String) {
    if let address = IPv4Address(text) {
      prefix = IPv4Prefix(host: address)
    } else if let prefix = IPv4Prefix(text) {
      self.prefix = prefix
    } else {
      return nil
    }
  }
}
