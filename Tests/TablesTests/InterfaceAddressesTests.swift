import Tables
import Testing
import Wire

private let second: UInt64 = 1_000_000_000
private let four = IPAddress.v4(IPv4Address(10, 0, 0, 1))
private let six = IPAddress.v6(IPv6Address(high: 0x2001_0DB8 << 32, low: 1))

@Suite struct InterfaceAddressesTests {
  func made(_ addresses: [IPAddress] = [six], probes: Int = 1, random: UInt64 = 0) -> InterfaceAddresses {
    let addresses = InterfaceAddresses(
      addresses.map { InterfaceAddress($0, prefixLength: 24) }, probes: probes, probeInterval: second)
    addresses.start(now: 0, random: random)
    return addresses
  }

  func actions(_ addresses: InterfaceAddresses, until end: UInt64) -> [(UInt64, InterfaceAddresses.Action)] {
    var done: [(UInt64, InterfaceAddresses.Action)] = []
    var now: UInt64 = 0
    while now <= end {
      while let action = addresses.nextAction(now: now) { done.append((now, action)) }
      guard let next = addresses.nextEvent else { break }
      now = next
    }
    return done
  }

  /// An address is tentative while DupAddrDetectTransmits solicitations are sent RetransTimer apart, and for RetransTimer
  /// after the last.
  @Test func rfc4862_5_4_2_probesBeforeUse() {
    let addresses = made(probes: 2)
    #expect(addresses.state(of: six) == .tentative)
    #expect(addresses.source(toward: six) == nil)
    #expect(addresses.nextAction(now: 0) == .probe(six))
    #expect(addresses.nextAction(now: second - 1) == nil)
    #expect(addresses.nextAction(now: second) == .probe(six))
    #expect(addresses.state(of: six) == .tentative)
    #expect(addresses.nextAction(now: 2 * second) == .announce(six))
    #expect(addresses.state(of: six) == .preferred)
    #expect(addresses.source(toward: six) == six)
  }

  /// The first solicitation is delayed by a random time of up to MAX_RTR_SOLICITATION_DELAY.
  @Test func rfc4862_5_4_2_theFirstProbeIsDelayed() {
    #expect(made(random: .max / 2).nextEvent == second / 2 - 1)
    #expect(made(random: .max).nextEvent == second - 1)
  }

  /// A tentative address that another node is found to use or to probe is a duplicate, and is never used.
  @Test func rfc4862_5_4_3_aTentativeAddressOfAnotherIsADuplicate() {
    let addresses = made()
    #expect(addresses.nextAction(now: 0) == .probe(six))
    #expect(!addresses.noteConflict(six, now: second / 2))
    #expect(addresses.state(of: six) == .duplicate)
    #expect(addresses.duplicates == 1)
    #expect(addresses.nextEvent == nil)
    #expect(addresses.nextAction(now: 100 * second) == nil)
    #expect(addresses.source(toward: six) == nil)
    #expect(!addresses.noteConflict(six, now: 100 * second))
  }

  @Test func withoutProbesAnAddressIsUsedAtOnce() {
    let addresses = made(probes: 0)
    #expect(addresses.state(of: six) == .preferred)
    #expect(addresses.nextAction(now: 0) == .announce(six))
  }

  /// An address is announced ANNOUNCE_NUM times, ANNOUNCE_INTERVAL apart.
  @Test func rfc5227_2_3_announces() {
    let done = actions(made([four]), until: 100 * second)
    #expect(done.map(\.0) == [0, 2 * second])
    #expect(done.map(\.1) == [.announce(four), .announce(four)])
  }

  /// An address is defended at most once in DEFEND_INTERVAL, and kept.
  @Test func rfc5227_2_4_defendsAtMostOnceInTenSeconds() {
    let addresses = made([four])
    let defended = (0..<300).filter { addresses.noteConflict(four, now: $0 * second / 10) }
    #expect(defended == [0, 100, 200])
    #expect(addresses.conflicts == 300)
    #expect(addresses.state(of: four) == .preferred)
    #expect(!addresses.noteConflict(six, now: 0))
  }

  @Test func theSourceIsOneOnTheTargetsPrefix() {
    let addresses = InterfaceAddresses(
      [
        InterfaceAddress(four, prefixLength: 24), InterfaceAddress(.v4(IPv4Address(10, 1, 0, 1)), prefixLength: 16),
      ], probes: 1, probeInterval: second)
    #expect(addresses.source(toward: .v4(IPv4Address(10, 1, 9, 9))) == .v4(IPv4Address(10, 1, 0, 1)))
    #expect(addresses.source(toward: .v4(IPv4Address(192, 0, 2, 1))) == four)
    #expect(addresses.source(toward: six) == nil)
  }

  @Test func onlyTheFirstStartCounts() {
    let addresses = made([four])
    #expect(addresses.nextAction(now: 0) == .announce(four))
    #expect(!addresses.start(now: 0, random: 0))
    #expect(addresses.nextAction(now: 0) == nil)
  }
}
