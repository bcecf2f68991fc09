import Tables
import Testing
import Wire

/// A table cannot be part of an expectation, since it cannot be copied.
private func find(_ address: IPv4Address, in table: borrowing RoutingTable) -> UInt32? { table.lookup(address) }
private func find(_ address: IPv6Address, in table: borrowing RoutingTable) -> UInt32? { table.lookup(address) }

@Suite struct RoutingTableTests {
  /// Looks at every route; of equal prefixes the last one counts.
  func oracle(_ routes: [RoutingTable.Route], _ address: IPAddress) -> UInt32? {
    var best: RoutingTable.Route?
    for route in routes where route.prefix.contains(address) && route.prefix.length >= best?.prefix.length ?? 0 {
      best = route
    }
    return best?.value
  }

  func randomAddress(_ random: inout some RandomNumberGenerator, v6: Bool) -> IPAddress {
    // Few distinct high bits, so that prefixes nest.
    if v6 {
      let high =
        0x2001_0DB8 << 32 | UInt64.random(in: 0...3, using: &random) << 28 | UInt64.random(in: 0...7, using: &random)
      return .v6(IPv6Address(high: high, low: UInt64.random(in: 0...0xFFFF, using: &random) << 32))
    }
    return .v4(
      IPv4Address(
        rawValue: 10 << 24 | UInt32.random(in: 0...3, using: &random) << 16
          | UInt32.random(in: 0...1023, using: &random)))
  }

  func prefix(_ address: IPAddress, _ length: Int) -> IPPrefix {
    switch address {
    case .v4(let address): .v4(IPv4Prefix(masking: address, length: length))
    case .v6(let address): .v6(IPv6Prefix(masking: address, length: length))
    }
  }

  @Test(arguments: [false, true]) func agreesWithALinearSearch(v6: Bool) throws {
    var random = SystemRandomNumberGenerator()
    for _ in 0..<30 {
      let routes = (0..<60).map { index in
        RoutingTable.Route(
          prefix(randomAddress(&random, v6: v6), Int.random(in: 0...(v6 ? 128 : 32), using: &random)), UInt32(index))
      }
      let table = try RoutingTable(routes)
      for _ in 0..<500 {
        let address = randomAddress(&random, v6: v6)
        let found: UInt32? =
          switch address {
          case .v4(let address): table.lookup(address)
          case .v6(let address): table.lookup(address)
          }
        #expect(found == oracle(routes, address), "\(address) in \(routes)")
      }
    }
  }

  @Test func anEmptyTableFindsNothing() throws {
    let table = try RoutingTable([])
    #expect(find(IPv4Address(0, 0, 0, 0), in: table) == nil)
    #expect(find(IPv6Address(high: .max, low: .max), in: table) == nil)
  }

  @Test func hostRoutesAndDefaultRoutes() throws {
    let table = try RoutingTable([
      .init(.v4(.all), 1), .init(.v4(IPv4Prefix(host: IPv4Address(255, 255, 255, 255))), 2),
      .init(.v6(.all), 3), .init(.v6(IPv6Prefix(host: IPv6Address(high: .max, low: .max))), 4),
    ])
    #expect(find(IPv4Address(255, 255, 255, 255), in: table) == 2)
    #expect(find(IPv4Address(255, 255, 255, 254), in: table) == 1)
    #expect(find(IPv6Address(high: .max, low: .max), in: table) == 4)
    #expect(find(IPv6Address(high: .max, low: .max - 1), in: table) == 3)
  }

  @Test func theLaterOfTwoEqualPrefixesCounts() throws {
    let prefix = IPPrefix.v4(IPv4Prefix(masking: IPv4Address(10, 0, 0, 0), length: 8))
    let table = try RoutingTable([.init(prefix, 1), .init(.v4(.all), 3), .init(prefix, 2)])
    let found = table.lookup(IPv4Address(10, 1, 2, 3))
    #expect(found == 2)
  }

  /// Prefixes of each length, nested into each other, and the addresses just inside and outside.
  @Test func everyLengthEndsWhereItShould() throws {
    let v4 = (0...32).map { length in
      RoutingTable.Route(.v4(IPv4Prefix(masking: IPv4Address(192, 168, 85, 170), length: length)), UInt32(length))
    }
    let v6 = (0...128).map { length in
      let address = IPv6Address(high: 0xAAAA_5555_AAAA_5555, low: 0x5555_AAAA_5555_AAAA)
      return RoutingTable.Route(.v6(IPv6Prefix(masking: address, length: length)), UInt32(length))
    }
    let table = try RoutingTable(v4 + v6)
    for length in 0..<32 {
      // The first bit that differs stands behind the prefix.
      let address = IPv4Address(rawValue: IPv4Address(192, 168, 85, 170).rawValue ^ 1 << UInt32(31 - length))
      let found = table.lookup(address)
      #expect(found == UInt32(length))
    }
    for length in 0..<128 {
      let address = IPv6Address(
        high: 0xAAAA_5555_AAAA_5555 ^ (length < 64 ? 1 << UInt64(63 - length) : 0),
        low: 0x5555_AAAA_5555_AAAA ^ (length >= 64 ? 1 << UInt64(127 - length) : 0))
      let found = table.lookup(address)
      #expect(found == UInt32(length))
    }
  }
}
