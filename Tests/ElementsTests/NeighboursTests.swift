import Configuration
import Dataplane
import Elements
import TestKit
import Testing
import Wire

private let ms: UInt64 = 1_000_000
private let second: UInt64 = 1_000_000_000
private let own = "02:00:00:00:00:01"
private let other = "02:00:00:00:00:0b"
private let third = "02:00:00:00:00:0c"
private let all = "ff:ff:ff:ff:ff:ff"
private let linkLocal = "fe80::ff:fe00:1"

private let plain = "mac: \(own), addresses: [10.0.0.1/24, 2001:db8::1/64], dad: 0"

/// An interface that has announced its addresses.
private func made(_ more: String = "", settings: String = plain, packets: Int = 1024) throws -> ElementUnderTest {
  let element = try ElementUnderTest(
    Neighbours.self, settings: "{ \(settings)\(more.isEmpty ? "" : ", " + more) }", packets: packets)
  _ = element.advance(by: 5 * second)
  return element
}

private func octets(_ address: String) -> [UInt8] { IPv6Address(address)?.octets ?? [] }

private func option(_ type: UInt8, _ mac: String) -> [UInt8] { [type, 1] + (MACAddress(mac)?.octets ?? []) }

private func ndMessage(
  _ type: UInt8, flags: UInt8 = 0, target: String, options: [UInt8], from source: String, to destination: String,
  eth: (from: String, to: String), hopLimit: UInt8 = 255, code: UInt8 = 0, checksum: Frame.ChecksumField = .right
) -> Frame {
  Frame.ethernet(from: eth.from, to: eth.to).ipv6(from: source, to: destination, hopLimit: hopLimit)
    .icmpv6(type: type, code: code, identifier: UInt16(flags) << 8, sequence: 0, checksum: checksum)
    .payload(octets(target) + options)
}

/// A solicitation from another node.
private func solicitation(
  _ target: String = "2001:db8::1", from source: String = "2001:db8::b", to destination: String? = nil,
  options: [UInt8]? = nil, mac: String = other, hopLimit: UInt8 = 255, code: UInt8 = 0,
  checksum: Frame.ChecksumField = .right
) -> Frame {
  let group = IPv6Address(target)?.solicitedNode ?? .allNodes
  let link = destination == nil ? MACAddress(multicast: group).description : own
  return ndMessage(
    135, target: target, options: options ?? option(1, mac), from: source, to: destination ?? group.description,
    eth: (mac, link), hopLimit: hopLimit, code: code, checksum: checksum)
}

/// An advertisement from another node, by default a solicited one to this.
private func advertisement(
  _ target: String = "2001:db8::b", flags: UInt8 = 0x60, to destination: String = "2001:db8::1",
  options: [UInt8]? = nil, mac: String = other, hopLimit: UInt8 = 255, code: UInt8 = 0,
  checksum: Frame.ChecksumField = .right
) -> Frame {
  let link = IPv6Address(destination).map { $0.isMulticast ? MACAddress(multicast: $0).description : own } ?? own
  return ndMessage(
    136, flags: flags, target: target, options: options ?? option(2, mac), from: target, to: destination,
    eth: (mac, link), hopLimit: hopLimit, code: code, checksum: checksum)
}

private func arpRequest(_ target: String, to link: String = all, mac: String = other, sender: String = "10.0.0.11")
  -> Frame
{
  .ethernet(from: mac, to: link).arp(operation: 1, senderMAC: mac, senderIP: sender, targetIP: target)
}

private func arpReply(_ sender: String = "10.0.0.11", mac: String = other, to link: String = own) -> Frame {
  .ethernet(from: mac, to: link).arp(
    operation: 2, senderMAC: mac, senderIP: sender, targetMAC: own, targetIP: "10.0.0.1")
}

/// What this interface asks by.
private func ownARPRequest(_ target: String, to link: String = all, sender: String = "10.0.0.1") -> Frame {
  .ethernet(from: own, to: link).arp(operation: 1, senderMAC: own, senderIP: sender, targetIP: target)
}

private func ownSolicitation(
  _ target: String, from source: String = "2001:db8::1", to destination: String, link: String
) -> Frame {
  ndMessage(135, target: target, options: option(1, own), from: source, to: destination, eth: (own, link))
}

/// A packet to a destination, told from others by its number.
private func packet(to destination: String, _ number: UInt8 = 0, link: (String, String) = (third, third)) -> Frame {
  let ethernet = Frame.ethernet(from: link.0, to: link.1)
  let ip =
    destination.contains(":")
    ? ethernet.ipv6(from: "2001:db8:f::1", to: destination) : ethernet.ipv4(from: "192.0.2.1", to: destination)
  return ip.udp().payload([number])
}

/// The same packet as it leaves by the interface.
private func sent(to destination: String, _ number: UInt8 = 0, mac: String = other) -> Frame {
  packet(to: destination, number, link: (own, mac))
}

extension ElementUnderTest {
  fileprivate func send(_ frames: Frame...) -> StepResult { push(frames, input: "ip") }
  fileprivate func receive(_ frames: Frame...) -> StepResult { push(frames, input: "received") }

  /// Whether packets to a neighbour go to a hardware address at once.
  fileprivate func sends(to destination: String, by mac: String) -> Bool {
    send(packet(to: destination))["frames"].contains { $0.bytes == sent(to: destination, mac: mac).bytes }
  }
}

@Suite struct NeighboursARPTests {
  /// A packet for a neighbour whose hardware address is not known has it asked for by broadcast; the reply lets the
  /// packet go.
  @Test func rfc826_asksByBroadcastAndSendsOnTheReply() throws {
    let element = try made()
    let first = element.send(packet(to: "10.0.0.11"))
    #expect(first["frames"].are([ownARPRequest("10.0.0.11")]))
    #expect(first.held == 1)
    let second = element.receive(arpReply())
    #expect(second["frames"].are([sent(to: "10.0.0.11")]))
    #expect(second.drops == ["consumed": 1])
    #expect(second.held == 0)
    let third = element.send(packet(to: "10.0.0.11", 1), packet(to: "10.0.0.11", 2))
    #expect(third["frames"].are([sent(to: "10.0.0.11", 1), sent(to: "10.0.0.11", 2)]))
    #expect(third.created == 0)
  }

  /// The link layer saves at least one, the latest, packet of each set destined to the same unresolved address, and
  /// sends it when the address has been resolved.
  @Test func rfc1122_2_3_2_2_savesTheLatestPackets() throws {
    let element = try made()
    let packets = (0..<5).map { packet(to: "10.0.0.11", UInt8($0)) }
    let waiting = element.push(packets, input: "ip")
    #expect(waiting["frames"].are([ownARPRequest("10.0.0.11")]))
    #expect(waiting.drops == ["pendingOverflow": 2])
    #expect(waiting.held == 3)
    #expect(element.receive(arpReply())["frames"].are((2..<5).map { sent(to: "10.0.0.11", UInt8($0)) }))
    let one = try made("pending: 1")
    _ = one.push(packets, input: "ip")
    #expect(one.receive(arpReply())["frames"].are([sent(to: "10.0.0.11", 4)]))
  }

  /// The packets that are saved are whole: fragments of one datagram are kept, and go, together.
  @Test func rfc1122_2_3_2_2_fragmentsOfADatagramWaitTogether() throws {
    let element = try made()
    func fragments(_ number: UInt16, _ link: (String, String) = (third, third)) -> [Frame] {
      Frame.ethernet(from: link.0, to: link.1).ipv4(from: "192.0.2.1", to: "10.0.0.11", identification: number).udp()
        .payload(count: 2000).fragments(of: 400, identification: number)
    }
    let kept = element.push((1...3).flatMap { fragments($0) }, input: "ip")
    #expect(kept.held == 18 && kept.drops.isEmpty, "\(kept)")
    let fourth = element.push(fragments(4), input: "ip")
    #expect(fourth.held == 18 && fourth.drops == ["pendingOverflow": 6], "\(fourth)")
    #expect(element.receive(arpReply())["frames"].are((2...4).flatMap { fragments($0, (own, other)) }))
    #expect(element.held == 0)
  }

  /// A datagram in more fragments than any needs does not keep others out.
  @Test func endlessFragmentsCountAgain() throws {
    let element = try made("pending: 1")
    let frames = (0..<200).map { index in
      Frame.ethernet(from: third, to: third).ipv4(
        from: "192.0.2.1", to: "10.0.0.11", identification: 7, moreFragments: true,
        fragmentOffset: index * 8
      ).payload(count: 8)
    }
    let result = element.push(frames, input: "ip")
    #expect(result.held == 200 - 192 && result.drops == ["pendingOverflow": 192], "\(result)")
  }

  @Test func waitingPacketsOfSeveralNeighboursKeepApart() throws {
    let element = try made()
    _ = element.send(packet(to: "10.0.0.11", 1), packet(to: "10.0.0.12", 2), packet(to: "10.0.0.11", 3))
    #expect(element.held == 3)
    #expect(element.receive(arpReply("10.0.0.12", mac: third))["frames"].are([sent(to: "10.0.0.12", 2, mac: third)]))
    #expect(
      element.receive(arpReply("10.0.0.11"))["frames"].are([sent(to: "10.0.0.11", 1), sent(to: "10.0.0.11", 3)]))
  }

  /// A router that finds a next hop unresolvable has packets for it answered by ICMP host unreachable.
  @Test func rfc1812_3_3_2_whatIsNotAnsweredIsUnreachable() throws {
    let element = try made()
    _ = element.send(packet(to: "10.0.0.11", 1), packet(to: "10.0.0.11", 2))
    let asked = element.advance(by: 2 * second)
    #expect(asked["frames"].are([ownARPRequest("10.0.0.11"), ownARPRequest("10.0.0.11")]))
    #expect(asked["unreachable"].isEmpty)
    let failed = element.advance(by: second + 20 * ms)
    #expect(failed["unreachable"].are([packet(to: "10.0.0.11", 1), packet(to: "10.0.0.11", 2)]))
    #expect(failed.held == 0)
    let later = element.send(packet(to: "10.0.0.11", 3))
    #expect(later["unreachable"].are([packet(to: "10.0.0.11", 3)]))
    #expect(later["frames"].isEmpty)
    _ = element.advance(by: 3 * second)
    #expect(element.send(packet(to: "10.0.0.11", 4))["frames"].are([ownARPRequest("10.0.0.11")]))
    #expect(element.counters["failures"] == 1)
  }

  /// A request for an own address is answered to its sender.
  @Test(arguments: [all, own]) func rfc826_answersForItsOwnAddress(link: String) throws {
    let element = try made()
    let result = element.receive(arpRequest("10.0.0.1", to: link).padded())
    #expect(
      result["frames"].are([
        .ethernet(from: own, to: other).arp(
          operation: 2, senderMAC: own, senderIP: "10.0.0.1", targetMAC: other, targetIP: "10.0.0.11")
      ]))
    #expect(result.drops.isEmpty)
    #expect(element.counters["replies"] == 1)
  }

  /// Requests for addresses of others are not answered, and add no translation.
  @Test func rfc826_doesNotAnswerForOthers() throws {
    let element = try made()
    let result = element.receive(arpRequest("10.0.0.99"))
    #expect(result.sent.isEmpty)
    #expect(result.drops == ["consumed": 1])
    #expect(element.counters["neighbours"] == 0)
  }

  /// The sender of a request for an own address is added to the table.
  @Test func rfc826_learnsFromWhoAsks() throws {
    let element = try made()
    _ = element.receive(arpRequest("10.0.0.1"))
    #expect(element.sends(to: "10.0.0.11", by: other))
  }

  /// A sender that is on no connected network is answered but not added.
  @Test func aSenderOffTheLinkIsNotLearned() throws {
    let element = try made()
    #expect(element.receive(arpRequest("10.0.0.1", sender: "172.16.0.9"))["frames"].count == 1)
    #expect(element.counters["neighbours"] == 0)
  }

  /// A translation that is there is updated from any ARP packet of its sender, gratuitous ones included (RFC 5944, 4.6).
  @Test func rfc826_updatesWhatIsThere() throws {
    for frame in [
      Frame.ethernet(from: third, to: all).arp(
        operation: 1, senderMAC: third, senderIP: "10.0.0.11", targetIP: "10.0.0.11"),
      .ethernet(from: third, to: all).arp(
        operation: 2, senderMAC: third, senderIP: "10.0.0.11", targetMAC: all, targetIP: "10.0.0.11"),
      arpRequest("10.0.0.99", mac: third),
    ] {
      let element = try made()
      #expect(element.receive(frame).drops == ["consumed": 1])
      #expect(element.counters["neighbours"] == 0)
      _ = element.receive(arpRequest("10.0.0.1"))
      _ = element.receive(frame)
      #expect(element.sends(to: "10.0.0.11", by: third))
      #expect(element.counters["moves"] == 1)
    }
  }

  /// A host that announces itself ends the wait for it.
  @Test func anAnnouncementLetsWaitingPacketsGo() throws {
    let element = try made()
    _ = element.send(packet(to: "10.0.0.11"))
    let result = element.receive(arpRequest("10.0.0.11", sender: "10.0.0.11"))
    #expect(result["frames"].are([sent(to: "10.0.0.11")]))
  }

  /// A probe, whose sender address is 0.0.0.0, is answered, and nothing is learned from it.
  @Test func rfc5227_2_1_1_answersProbes() throws {
    let element = try made()
    let result = element.receive(arpRequest("10.0.0.1", sender: "0.0.0.0"))
    #expect(
      result["frames"].are([
        .ethernet(from: own, to: other).arp(
          operation: 2, senderMAC: own, senderIP: "10.0.0.1", targetMAC: other, targetIP: "0.0.0.0")
      ]))
    #expect(element.counters["neighbours"] == 0)
  }

  /// An address that another host uses is defended by one announcement in ten seconds.
  @Test func rfc5227_2_4_defendsItsAddress() throws {
    let element = try made()
    let announcement = ownARPRequest("10.0.0.1")
    let claim = arpRequest("10.0.0.7", sender: "10.0.0.1")
    let first = element.receive(claim)
    #expect(first["frames"].are([announcement]))
    #expect(first.drops == ["conflict": 1])
    _ = element.advance(by: 9 * second)
    #expect(element.receive(claim, arpReply("10.0.0.1"))["frames"].isEmpty)
    _ = element.advance(by: second)
    #expect(element.receive(claim)["frames"].are([announcement]))
    #expect(element.counters["conflicts"] == 4)
    #expect(element.counters["neighbours"] == 0)
  }

  /// An address is announced twice, two seconds apart.
  @Test func rfc5227_2_3_announcesItsAddress() throws {
    let element = try ElementUnderTest(Neighbours.self, settings: "{ mac: \(own), addresses: 10.0.0.1/24 }")
    let sent = element.advance(by: 10 * second)["frames"].filter { $0.bytes == ownARPRequest("10.0.0.1").bytes }
    #expect(sent.map(\.time.nanoseconds) == [0, 2 * second])
  }

  /// A reply that claims a broadcast or multicast hardware address is not believed.
  @Test(arguments: [all, "01:00:5e:00:00:01", "00:00:00:00:00:00"])
  func rfc1812_3_3_2_doesNotBelieveGroups(mac: String) throws {
    let element = try made()
    _ = element.send(packet(to: "10.0.0.11"))
    let claim = Frame.ethernet(from: other, to: own).arp(
      operation: 2, senderMAC: mac, senderIP: "10.0.0.11", targetMAC: own, targetIP: "10.0.0.1")
    #expect(element.receive(claim).drops == ["invalid": 1])
    #expect(element.held == 1)
  }

  @Test func whatNoStationSendsIsNotBelieved() throws {
    let element = try made()
    for sender in ["224.0.0.1", "255.255.255.255", "127.0.0.1", "240.0.0.1"] {
      #expect(element.receive(arpRequest("10.0.0.1", sender: sender)).drops == ["invalid": 1])
    }
    #expect(element.receive(arpReply("0.0.0.0")).drops == ["invalid": 1])
    #expect(
      element.receive(.ethernet(from: other, to: own).arp(operation: 3, senderMAC: other)).drops == ["unsupported": 1])
    let short = Frame(Array(arpReply().bytes.prefix(30)))
    #expect(element.receive(short).drops == ["malformed": 1])
    var tokenRing = arpReply().bytes
    tokenRing[15] = 6
    #expect(element.receive(Frame(tokenRing)).drops == ["malformed": 1])
    #expect(element.receive(.ethernet(from: own, to: all).arp(senderMAC: own)).drops == ["ownFrame": 1])
  }

  /// A neighbour that was used a while after it was last heard of is asked by unicast, and stays usable meanwhile.
  @Test func rfc1122_2_3_2_1_validatesByUnicastPoll() throws {
    let element = try made()
    _ = element.receive(arpRequest("10.0.0.1"))
    #expect(element.sends(to: "10.0.0.11", by: other))
    let probes = element.advance(by: 5 * second + 500 * ms)
    #expect(probes["frames"].are([ownARPRequest("10.0.0.11", to: other)]))
    #expect(element.receive(arpReply()).drops == ["consumed": 1])
    #expect(element.advance(by: 5 * second)["frames"].isEmpty)
    // The next round goes without an answer.
    _ = element.advance(by: 60 * second)
    #expect(element.sends(to: "10.0.0.11", by: other))
    #expect(element.advance(by: 10 * second)["frames"].count == 3)
    #expect(element.counters["losses"] == 1)
    #expect(element.send(packet(to: "10.0.0.11"))["frames"].are([ownARPRequest("10.0.0.11")]))
  }

  /// Requests come from an own address on the neighbour's network.
  @Test func asksFromTheAddressOnTheNeighboursNetwork() throws {
    let element = try made(settings: "mac: \(own), addresses: [10.0.0.1/24, 10.1.0.1/16], gateway4: 10.1.0.9")
    #expect(
      element.send(packet(to: "10.1.7.7"))["frames"].are([ownARPRequest("10.1.7.7", sender: "10.1.0.1")]))
    #expect(
      element.send(packet(to: "198.51.100.1"))["frames"].are([ownARPRequest("10.1.0.9", sender: "10.1.0.1")]))
  }
}

@Suite struct NeighboursDiscoveryTests {
  /// A solicitation goes to the target's solicited-node group with the sender's link-layer address, and the solicited
  /// advertisement lets the packet go.
  @Test func rfc4861_7_2_2_solicitsAndSendsOnTheAdvertisement() throws {
    let element = try made()
    let first = element.send(packet(to: "2001:db8::b"))
    #expect(
      first["frames"].are([ownSolicitation("2001:db8::b", to: "ff02::1:ff00:b", link: "33:33:ff:00:00:0b")]))
    #expect(first.held == 1)
    let second = element.receive(advertisement())
    #expect(second["frames"].are([sent(to: "2001:db8::b")]))
    #expect(second.drops == ["consumed": 1])
  }

  /// Link-local neighbours are solicited from the link-local address.
  @Test func rfc4861_7_2_2_solicitsFromAnAddressOfTheSameScope() throws {
    let element = try made()
    #expect(
      element.send(packet(to: "fe80::b"))["frames"].are([
        ownSolicitation("fe80::b", from: linkLocal, to: "ff02::1:ff00:b", link: "33:33:ff:00:00:0b")
      ]))
  }

  /// A valid solicitation for an own address is answered by an advertisement with the solicited and override flags and
  /// the target's link-layer address; a router sets the router flag.
  @Test(arguments: [true, false]) func rfc4861_7_2_4_advertisesWhenSolicited(isRouter: Bool) throws {
    let element = try made(isRouter ? "" : "router: no")
    for (target, destination) in [("2001:db8::1", nil), (linkLocal, nil), ("2001:db8::1", "2001:db8::1")] {
      let result = element.receive(solicitation(target, to: destination))
      #expect(
        result["frames"].are([
          ndMessage(
            136, flags: isRouter ? 0xE0 : 0x60, target: target, options: option(2, own), from: target,
            to: "2001:db8::b",
            eth: (own, other))
        ]))
      #expect(result["frames"].allSatisfy { Dissection($0.bytes).problems.isEmpty })
    }
    #expect(element.counters["replies"] == 3)
  }

  /// A solicitation from the unspecified address is answered to all nodes, without the solicited flag.
  @Test func rfc4861_7_2_4_answersTheUnspecifiedToAllNodes() throws {
    let element = try made()
    #expect(
      element.receive(solicitation(from: "::", options: []))["frames"].are([
        ndMessage(
          136, flags: 0xA0, target: "2001:db8::1", options: option(2, own), from: "2001:db8::1", to: "ff02::1",
          eth: (own, "33:33:00:00:00:01"))
      ]))
    #expect(element.counters["neighbours"] == 0)
  }

  /// The source link-layer address of a solicitation is learned; without the option nothing is.
  @Test func rfc4861_7_2_3_learnsFromASolicitation() throws {
    let element = try made()
    #expect(element.receive(solicitation(to: "2001:db8::1", options: []))["frames"].count == 1)
    #expect(element.counters["neighbours"] == 0)
    _ = element.receive(solicitation())
    #expect(element.sends(to: "2001:db8::b", by: other))
  }

  /// A solicitation whose target is none of the interface's addresses is discarded.
  @Test func rfc4861_7_2_3_discardsSolicitationsForOthers() throws {
    let element = try made()
    let result = element.receive(solicitation("2001:db8::77"))
    #expect(result.sent.isEmpty)
    #expect(result.drops == ["consumed": 1])
    #expect(element.counters["neighbours"] == 0)
  }

  static let badSolicitations: [(String, Frame)] = [
    ("hop limit 254", solicitation(hopLimit: 254)),
    ("checksum", solicitation(checksum: .wrong)),
    ("code", solicitation(code: 1)),
    (
      "shorter than 24 bytes",
      .ethernet(from: other, to: own).ipv6(from: "2001:db8::b", to: "2001:db8::1", hopLimit: 255)
        .icmpv6(type: 135, identifier: 0, sequence: 0).payload(count: 15)
    ),
    ("a multicast target", solicitation("ff02::5")),
    ("an option of length 0", solicitation(options: [1, 0, 2, 0, 0, 0, 0, 11])),
    ("an option cut short", solicitation(options: [1, 2, 2, 0, 0, 0, 0, 11])),
    ("a lone byte as option", solicitation(options: option(1, other) + [1])),
    ("a link-layer address of a group", solicitation(options: option(1, "01:00:00:00:00:01"))),
    ("unspecified, to unicast", solicitation(from: "::", to: "2001:db8::1", options: [])),
    ("unspecified, with an address", solicitation(from: "::")),
    ("a fragment header (RFC 6980, 5)", fragment(solicitation())),
  ]

  /// A solicitation is discarded unless all the conditions of its validation hold.
  @Test(arguments: badSolicitations.indices) func rfc4861_7_1_1_validatesSolicitations(index: Int) throws {
    let (what, frame) = Self.badSolicitations[index]
    let element = try made()
    let result = element.receive(frame)
    #expect(result.drops == ["invalid": 1], "\(what)")
    #expect(result.sent.isEmpty)
    #expect(element.counters["neighbours"] == 0)
  }

  static let badAdvertisements: [(String, Frame)] = [
    ("hop limit 254", advertisement(hopLimit: 254)),
    ("checksum", advertisement(checksum: .wrong)),
    ("code", advertisement(code: 1)),
    ("solicited, to a group", advertisement(flags: 0x60, to: "ff02::1")),
    ("an option of length 0", advertisement(options: [2, 0, 2, 0, 0, 0, 0, 11])),
    ("an option cut short", advertisement(options: [2, 2, 2, 0, 0, 0, 0, 11])),
    ("a link-layer address of a group", advertisement(options: option(2, all))),
    (
      "a multicast target",
      ndMessage(
        136, flags: 0x60, target: "ff02::5", options: option(2, other), from: "2001:db8::b", to: "2001:db8::1",
        eth: (other, own))
    ),
    (
      "shorter than 24 bytes",
      .ethernet(from: other, to: own).ipv6(from: "2001:db8::b", to: "2001:db8::1", hopLimit: 255)
        .icmpv6(type: 136, identifier: 0x6000, sequence: 0).payload(count: 15)
    ),
    ("a fragment header (RFC 6980, 5)", fragment(advertisement())),
  ]

  /// An advertisement is discarded unless all the conditions of its validation hold.
  @Test(arguments: badAdvertisements.indices) func rfc4861_7_1_2_validatesAdvertisements(index: Int) throws {
    let (what, frame) = Self.badAdvertisements[index]
    let element = try made()
    _ = element.send(packet(to: "2001:db8::b"))
    let result = element.receive(frame)
    #expect(result.drops == ["invalid": 1], "\(what)")
    #expect(result.sent.isEmpty)
    #expect(result.held == 1)
  }

  /// The message of a frame behind a fragment header that says it is whole.
  private static func fragment(_ frame: Frame) -> Frame {
    let bytes = frame.bytes
    var packet = Array(bytes[14..<54])
    packet[5] += 8
    packet[6] = 44
    return Frame(Array(bytes[..<14]) + packet + [58, 0, 0, 0, 0, 0, 0, 1] + Array(bytes[54...]))
  }

  /// Options that are not known are passed over.
  @Test func rfc4861_4_6_passesOverOtherOptions() throws {
    let element = try made()
    _ = element.send(packet(to: "2001:db8::b"))
    let nonce: [UInt8] = [14, 1, 1, 2, 3, 4, 5, 6]
    let unknown: [UInt8] = [253, 2] + Array(repeating: 7, count: 14)
    let result = element.receive(advertisement(options: nonce + unknown + option(2, other)))
    #expect(result["frames"].are([sent(to: "2001:db8::b")]))
  }

  /// An unsolicited advertisement updates an entry that is there, and creates none.
  @Test func rfc4861_7_2_5_unsolicitedAdvertisementsUpdateOnly() throws {
    let element = try made()
    let news = advertisement(flags: 0x20, to: "ff02::1", mac: third)
    #expect(element.receive(news).drops == ["consumed": 1])
    #expect(element.counters["neighbours"] == 0)
    _ = element.receive(solicitation())
    _ = element.receive(news)
    #expect(element.sends(to: "2001:db8::b", by: third))
    _ = element.receive(advertisement(flags: 0, to: "ff02::1", mac: other))
    #expect(element.sends(to: "2001:db8::b", by: third))
  }

  /// A neighbour in use is probed by unicast solicitations after DELAY_FIRST_PROBE_TIME.
  @Test func rfc4861_7_3_3_probesByUnicast() throws {
    let element = try made()
    _ = element.receive(solicitation())
    #expect(element.sends(to: "2001:db8::b", by: other))
    let probes = element.advance(by: 7 * second + 500 * ms)["frames"]
    #expect(
      probes.are(
        Array(repeating: ownSolicitation("2001:db8::b", to: "2001:db8::b", link: other), count: 3)))
    #expect(element.receive(advertisement(options: [])).drops == ["consumed": 1])
    #expect(element.advance(by: 5 * second)["frames"].isEmpty)
    #expect(element.sends(to: "2001:db8::b", by: other))
  }

  /// Routers do not act on router discovery and redirects.
  @Test(arguments: [UInt8(133), 134, 137]) func rfc4861_6_2_6_leavesRouterDiscoveryAlone(type: UInt8) throws {
    let element = try made()
    let frame = ndMessage(
      type, target: "2001:db8::b", options: option(1, other), from: "fe80::b", to: "ff02::1",
      eth: (other, "33:33:00:00:00:01"))
    #expect(element.receive(frame).drops == ["ignored": 1])
    #expect(element.counters["neighbours"] == 0)
  }

  // MARK: Duplicate address detection

  private static let probing = "{ mac: \(own), addresses: 2001:db8::1/64 }"
  private static let probe = ndMessage(
    135, target: "2001:db8::1", options: [], from: "::", to: "ff02::1:ff00:1", eth: (own, "33:33:ff:00:00:01"))

  /// Every unicast address is probed from the unspecified address before it is used, and used when nobody objects.
  @Test func rfc4862_5_4_2_probesEveryAddress() throws {
    let element = try ElementUnderTest(Neighbours.self, settings: Self.probing)
    let started = element.advance(by: second)["frames"]
    #expect(
      Set(started.map(\.bytes)) == [
        Self.probe.bytes,
        ndMessage(
          135, target: linkLocal, options: [], from: "::", to: "ff02::1:ff00:1", eth: (own, "33:33:ff:00:00:01")
        ).bytes,
      ])
    #expect(started.allSatisfy { Dissection($0.bytes).problems.isEmpty })
    // While it is tentative, neither is it answered for nor is anything sent from it (5.4.3 and 5.4).
    #expect(element.receive(solicitation()).drops == ["consumed": 1])
    #expect(element.send(packet(to: "2001:db8::b"))["frames"].isEmpty)
    let later = element.advance(by: 2 * second)["frames"]
    #expect(
      later.contains {
        $0.bytes == ownSolicitation("2001:db8::b", to: "ff02::1:ff00:b", link: "33:33:ff:00:00:0b").bytes
      })
    // The packet that waits for whoever solicits goes out ahead of the answer.
    #expect(element.receive(solicitation())["frames"].count == 2)
    #expect(element.counters["duplicateAddresses"] == 0)
  }

  /// A solicitation from the unspecified address, or an advertisement, for a tentative address makes it a duplicate, which
  /// is not used.
  @Test(arguments: [
    solicitation(from: "::", options: []), advertisement("2001:db8::1", flags: 0x20, to: "ff02::1"),
  ])
  func rfc4862_5_4_3_detectsDuplicates(frame: Frame) throws {
    let element = try ElementUnderTest(Neighbours.self, settings: Self.probing)
    _ = element.advance(by: second)
    let result = element.receive(frame)
    #expect(result.drops == ["conflict": 1])
    #expect(result.sent.isEmpty)
    _ = element.advance(by: 10 * second)
    #expect(element.counters["duplicateAddresses"] == 1)
    #expect(element.receive(solicitation()).drops == ["consumed": 1])
    #expect(
      element.send(packet(to: "2001:db8::b"))["frames"].are([
        ownSolicitation("2001:db8::b", from: linkLocal, to: "ff02::1:ff00:b", link: "33:33:ff:00:00:0b")
      ]))
  }

  /// An IPv4 address is probed three times, a second or two apart, and announced two seconds later; until then it is
  /// neither answered for nor used.
  @Test func rfc5227_2_1_1_probesBeforeUse() throws {
    let element = try ElementUnderTest(Neighbours.self, settings: "{ \(plain), acd: 3 }")
    let probe = ownARPRequest("10.0.0.1", sender: "0.0.0.0")
    func arps(_ result: StepResult) -> Int { result["frames"].count { $0.bytes[12..<14] == [0x08, 0x06] } }
    #expect(arps(element.receive(arpRequest("10.0.0.1"))) == 0)
    #expect(arps(element.send(packet(to: "10.0.0.12"))) == 0)
    var sent: [SentPacket] = []
    for _ in 0..<5 { sent += element.advance(by: second)["frames"].filter { $0.bytes == probe.bytes } }
    #expect(sent.count == 3)
    let later = element.advance(by: 4 * second)["frames"]
    #expect(later.contains { $0.bytes == ownARPRequest("10.0.0.1").bytes }, "it is announced")
    #expect(element.receive(arpRequest("10.0.0.1"))["frames"].count == 1)
    #expect(element.counters["duplicateAddresses"] == 0)
  }

  /// While an address is probed, any ARP packet from it, and a probe of another node for it, says that it is taken; it is
  /// not used.
  @Test(arguments: [
    arpRequest("10.0.0.77", sender: "10.0.0.1"), arpReply("10.0.0.1"), arpRequest("10.0.0.1", sender: "0.0.0.0"),
  ])
  func rfc5227_2_1_1_conflicts(frame: Frame) throws {
    let element = try ElementUnderTest(Neighbours.self, settings: "{ \(plain), acd: 3 }")
    _ = element.advance(by: second)
    let result = element.receive(frame)
    #expect(result.drops == ["conflict": 1] && result.sent.isEmpty)
    let later = element.advance(by: 20 * second)["frames"]
    #expect(!later.contains { $0.bytes == ownARPRequest("10.0.0.1").bytes })
    #expect(element.receive(arpRequest("10.0.0.1")).sent.isEmpty)
    #expect(element.counters["duplicateAddresses"] == 1)
  }

  /// A node's own probe that comes back is no sign of a duplicate.
  @Test func rfc4862_5_4_3_aProbeThatComesBackIsNoDuplicate() throws {
    let element = try ElementUnderTest(Neighbours.self, settings: Self.probing)
    _ = element.advance(by: second)
    #expect(element.receive(Self.probe).drops == ["ownFrame": 1])
    _ = element.advance(by: 10 * second)
    #expect(element.counters["duplicateAddresses"] == 0)
  }
}

@Suite struct NeighboursTests {
  /// Multicast packets go to the hardware address made from their group, without asking.
  @Test func rfc1112_6_4_mapsIPv4Groups() throws {
    let result = try made().send(packet(to: "224.129.2.3"))
    #expect(result["frames"].are([sent(to: "224.129.2.3", mac: "01:00:5e:01:02:03")]))
  }

  /// IPv6 multicast packets go to 33:33 and the last four octets of their group.
  @Test func rfc2464_7_mapsIPv6Groups() throws {
    let result = try made().send(packet(to: "ff02::1:ff12:3456"))
    #expect(result["frames"].are([sent(to: "ff02::1:ff12:3456", mac: "33:33:ff:12:34:56")]))
  }

  /// The limited broadcast address and the network's go to all stations.
  @Test func rfc894_mapsBroadcast() throws {
    let element = try made()
    for address in ["255.255.255.255", "10.0.0.255"] {
      #expect(element.send(packet(to: address))["frames"].are([sent(to: address, mac: all)]))
    }
    // On a link of two there is none (RFC 3021).
    let pair = try made(settings: "mac: \(own), addresses: 10.0.0.0/31")
    #expect(
      pair.send(packet(to: "10.0.0.1"))["frames"].are([ownARPRequest("10.0.0.1", sender: "10.0.0.0")]))
  }

  @Test func destinationsOffTheLinkGoToTheGateway() throws {
    let element = try made("gateway4: 10.0.0.254, gateway6: fe80::fe")
    _ = element.send(packet(to: "198.51.100.1"), packet(to: "2001:db8:7::1"))
    #expect(element.held == 2)
    #expect(
      element.receive(arpReply("10.0.0.254"))["frames"].are([sent(to: "198.51.100.1")]))
    #expect(element.receive(advertisement("fe80::fe", to: linkLocal))["frames"].are([sent(to: "2001:db8:7::1")]))
  }

  @Test func withoutAGatewayTheyAreUnreachable() throws {
    let element = try made()
    let packets = [packet(to: "198.51.100.1"), packet(to: "2001:db8:7::1")]
    #expect(element.push(packets, input: "ip")["unreachable"].are(packets))
    #expect(element.counters["noRoute"] == 2)
  }

  @Test func packetsToTheInterfaceItselfAreDropped() throws {
    let result = try made().send(
      packet(to: "10.0.0.1"), packet(to: "2001:db8::1"), packet(to: linkLocal), .ethernet().arp())
    #expect(result.drops == ["ownAddress": 3, "malformed": 1])
    #expect(result.sent.isEmpty)
  }

  @Test func configuredNeighboursAreNotAskedFor() throws {
    let element = try made("static: { 10.0.0.5: \(third), 'fe80::5': \(other) }")
    #expect(element.send(packet(to: "10.0.0.5"))["frames"].are([sent(to: "10.0.0.5", mac: third)]))
    #expect(element.send(packet(to: "fe80::5"))["frames"].are([sent(to: "fe80::5")]))
    _ = element.receive(arpReply("10.0.0.5", mac: other))
    #expect(element.sends(to: "10.0.0.5", by: third))
  }

  @Test func everythingElsePassesAsItCame() throws {
    let element = try made()
    let frames: [Frame] = [
      .ethernet(to: own).ipv4().udp(), .ethernet(to: own).ipv6().icmpv6(), .ethernet(to: all).payload(count: 50),
      .ethernet(to: own).ipv6().tcp().payload(count: 9), .ethernet(to: own, type: 0x88CC).payload(count: 9),
      Frame([1, 2]),
      // Tagged frames are another interface's.
      .ethernet(to: all).vlan(7).arp(targetIP: "10.0.0.1"),
    ]
    let result = element.push(frames, input: "received")
    #expect(result["received"].are(frames))
    #expect(result["frames"].isEmpty)
  }

  @Test func framesToOtherStationsAreNotTakenIn() throws {
    let frames = [Frame.ethernet(to: third).ipv4().udp(), arpRequest("10.0.0.1", to: third)]
    let element = try made()
    #expect(element.push(frames, input: "received").drops == ["otherStation": 2])
    let open = try made("promiscuous: yes")
    let result = open.push(frames, input: "received")
    #expect(result["received"].are([frames[0]]))
    #expect(result.drops == ["otherStation": 1])
  }

  /// A scan of addresses that nobody has leaves neighbours that are resolved at work, and memory bounded.
  @Test func rfc6583_aScanLeavesNeighboursAtWork() throws {
    let element = try made(
      settings: "mac: \(own), addresses: 10.0.0.1/8, neighbours: 100, unresolved: 32, held: 40", packets: 4096)
    _ = element.receive(arpRequest("10.0.0.1"))
    #expect(element.sends(to: "10.0.0.11", by: other))
    var refused = 0
    for round in 0..<400 {
      let scan = (0..<100).map { packet(to: "10.7.\(round % 200).\($0 + 1)") }
      let result = element.push(scan, input: "ip")
      refused += result.drops["tableFull", default: 0]
      #expect(result.held <= 40)
      #expect(element.sends(to: "10.0.0.11", by: other))
      if round % 20 == 0 {
        _ = element.receive(arpReply())
        _ = element.advance(by: second)
      }
    }
    #expect(refused > 38_000)
    #expect(element.counters["refusals"] == UInt64(refused))
    #expect(element.counters["neighbours"].map { $0 <= 33 } == true)
    // Whoever asks is learned in the middle of it.
    _ = element.receive(arpRequest("10.0.0.1", mac: third, sender: "10.0.0.12"))
    #expect(element.sends(to: "10.0.0.12", by: third))
    _ = element.advance(by: 10 * second)
    #expect(element.held == 0)
    #expect(element.send(packet(to: "10.9.9.9")).held == 1)
  }

  @Test func noMorePacketsWaitThanMay() throws {
    let element = try made("held: 2")
    let result = element.push((11...14).map { packet(to: "10.0.0.\($0)") }, input: "ip")
    #expect(result.held == 2)
    #expect(result.drops == ["queueFull": 2])
    #expect(result["frames"].count == 4)
  }

  @Test func nothingIsLostAtTheEnd() throws {
    let element = try made()
    _ = element.send(packet(to: "10.0.0.11"), packet(to: "2001:db8::b"))
    #expect(element.held == 2)
    #expect(element.finish().isEmpty)
    #expect(element.totals.dropped == 0)
  }

  // MARK: Robustness

  /// ARP and Neighbour Discovery that is nearly right, among the packets that need it.
  @Test(arguments: [UInt64(1), 2, 3]) func survivesDamagedMessages(seed: UInt64) throws {
    let messages = [
      arpRequest("10.0.0.1"), arpReply(), arpReply("10.0.0.12"), arpRequest("10.0.0.1", sender: "10.0.0.1"),
      solicitation(),
      advertisement(), solicitation(from: "::", options: []), advertisement("2001:db8::1"),
      advertisement(options: option(2, other) + [9, 3]), solicitation(to: "2001:db8::1"),
    ]
    let packets = [
      packet(to: "10.0.0.11"), packet(to: "10.0.0.12"), packet(to: "2001:db8::b"), packet(to: "10.0.0.13"),
      packet(to: "224.0.0.5"), packet(to: "198.51.100.1"),
    ]
    try expectRobust(
      ElementKind(Neighbours.self), settings: "{ mac: \(own), addresses: [10.0.0.1/24, 2001:db8::1/64] }", seed: seed,
      count: 1500
    ) { generator in
      if generator.chance(3) { return packets[generator.number(below: packets.count)] }
      if generator.chance(6) { return generator.next() }
      let frame = messages[generator.number(below: messages.count)]
      guard !generator.chance(3) else { return frame }
      var bytes = frame.bytes
      switch generator.number(below: 3) {
      case 0: bytes.removeLast(generator.number(below: bytes.count))
      case 1:
        for _ in 0...generator.number(below: 3) {
          bytes[generator.number(below: bytes.count)] = UInt8(generator.number(below: 256))
        }
      default: return frame.split(at: 1 + generator.number(below: bytes.count))
      }
      return Frame(bytes)
    }
  }

  // MARK: Settings

  @Test(arguments: [
    ("{}", ["1:1 'mac' is missing", "1:1 'addresses' is missing"]),
    (
      "{ mac: 01:00:00:00:00:01, addresses: 10.0.0.1/24 }", ["1:8 01:00:00:00:00:01 is not the address of one station"]
    ),
    ("{ mac: \(own), addresses: [] }", ["1:38 there are no addresses"]),
    (
      "{ mac: \(own), addresses: 10.0.0.1 }",
      ["1:38 '10.0.0.1' is not an address with prefix length"]
    ),
    ("{ mac: \(own), addresses: 10.0.0.255/24 }", ["1:38 10.0.0.255 is the broadcast address of 10.0.0.0/24"]),
    ("{ mac: \(own), addresses: 10.0.0.0/24 }", ["1:38 10.0.0.0 is the address of the network 10.0.0.0/24 itself"]),
    ("{ mac: \(own), addresses: 224.0.0.1/24 }", ["1:38 224.0.0.1 is not the address of one station"]),
    ("{ mac: \(own), addresses: 'ff02::1/64' }", ["1:38 ff02::1 is not the address of one station"]),
    ("{ mac: \(own), addresses: [10.0.0.1/24, 10.0.0.1/16] }", ["1:38 an address is given twice"]),
    (
      "{ mac: \(own), addresses: 10.0.0.1/24, gateway4: 10.0.1.1 }",
      ["1:61 gateway4 10.0.1.1 is on no connected network"]
    ),
    (
      "{ mac: \(own), addresses: 10.0.0.1/24, gateway4: 10.0.0.1 }",
      ["1:61 gateway4 is the interface's own address 10.0.0.1"]
    ),
    (
      "{ mac: \(own), addresses: 10.0.0.1/24, gateway6: '2001:db8::1' }",
      ["1:61 gateway6 2001:db8::1 is on no connected network"]
    ),
    (
      "{ mac: \(own), addresses: 10.0.0.1/24, static: { 10.0.9.1: \(other) } }",
      ["1:61 the neighbour 10.0.9.1 is on no connected network"]
    ),
    (
      "{ mac: \(own), addresses: 10.0.0.1/24, static: { 10.0.0.9: \(all) } }",
      ["1:71 ff:ff:ff:ff:ff:ff is not the address of one station"]
    ),
    ("{ mac: \(own), addresses: 10.0.0.1/24, pending: 0 }", ["1:60 'pending' is 0, which is out of range"]),
  ])
  func refuses(settings: String, messages: [String]) throws {
    let found = try Verdicts("Neighbours", settings).messages
    #expect(found == messages)
  }
}
