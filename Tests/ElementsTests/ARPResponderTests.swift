import Dataplane
import Elements
import TestKit
import Testing

@Suite struct ARPResponderTests {
  static let settings = "{ addresses: [10.0.0.2, 192.0.2.0/30], mac: 02:00:00:00:00:99 }"
  static let host = "02:00:00:00:00:01"
  static let own = "02:00:00:00:00:99"

  static func request(for target: String, by sender: String = "10.0.0.1") -> Frame {
    Frame.ethernet(from: host, to: "ff:ff:ff:ff:ff:ff").vlan(5).arp(senderMAC: host, senderIP: sender, targetIP: target)
  }

  static func reply(for target: String, to sender: String = "10.0.0.1") -> Frame {
    Frame.ethernet(from: own, to: host).vlan(5)
      .arp(operation: 2, senderMAC: own, senderIP: target, targetMAC: host, targetIP: sender)
  }

  /// A request for an address of one's own is answered to the sender with that address and its hardware address.
  @Test(arguments: ["10.0.0.2", "192.0.2.0", "192.0.2.3"]) func rfc826_answersRequests(target: String) throws {
    let arp = try ElementUnderTest(ARPResponder.self, settings: Self.settings)
    #expect(arp.push(Self.request(for: target).padded())["reply"].are([Self.reply(for: target).padded()]))
  }

  /// A request that came by unicast is answered, too.
  @Test func rfc826_answersUnicastRequests() throws {
    let arp = try ElementUnderTest(ARPResponder.self, settings: Self.settings)
    let asked = Frame.ethernet(from: Self.host, to: Self.own).arp(senderMAC: Self.host, targetIP: "10.0.0.2")
    #expect(arp.push(asked)["reply"].count == 1)
  }

  /// A probe, whose sender's address is all zeros, is answered, so that the prober sees the conflict.
  @Test func rfc5227_2_1_1_answersProbes() throws {
    let arp = try ElementUnderTest(ARPResponder.self, settings: Self.settings)
    let result = arp.push(Self.request(for: "10.0.0.2", by: "0.0.0.0"))
    #expect(result["reply"].are([Self.reply(for: "10.0.0.2", to: "0.0.0.0")]))
  }

  static let unanswered: [Frame] = [
    request(for: "10.0.0.3"), request(for: "192.0.2.4"),
    // An announcement of the address (RFC 5227, 3).
    request(for: "10.0.0.2", by: "10.0.0.2"),
    // A reply, and an operation of RARP (RFC 903).
    .ethernet().arp(operation: 2, targetIP: "10.0.0.2"), .ethernet().arp(operation: 3, targetIP: "10.0.0.2"),
    // One's own request that came back, and one from a group.
    .ethernet(from: own).arp(senderMAC: own, targetIP: "10.0.0.2"),
    .ethernet().arp(senderMAC: "01:00:5e:00:00:01", targetIP: "10.0.0.2"),
    .ethernet().ipv4(to: "10.0.0.2").udp(), Frame([1, 2, 3]),
  ]

  @Test(arguments: unanswered.indices) func passesByTheRest(index: Int) throws {
    let arp = try ElementUnderTest(ARPResponder.self, settings: Self.settings)
    #expect(arp.push(Self.unanswered[index])["other"].are([Self.unanswered[index]]))
  }

  @Test(arguments: [
    ("{ addresses: 10.0.0.1, mac: 01:00:00:00:00:01 }", ["1:29 01:00:00:00:00:01 is not the address of one station"]),
    ("{ addresses: 10.0.0.1, mac: 00:00:00:00:00:00 }", ["1:29 00:00:00:00:00:00 is not the address of one station"]),
    ("{}", ["1:1 'addresses' is missing", "1:1 'mac' is missing"]),
  ])
  func refuses(settings: String, messages: [String]) throws {
    #expect(try Verdicts("ARPResponder", settings).messages == messages)
  }
}
