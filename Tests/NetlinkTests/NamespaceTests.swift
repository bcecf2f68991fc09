import Netlink
import Testing
import Wire

/// The kernel's tables in a namespace, changed with `ip` and followed.
@Suite(.enabled(if: isRoot), .serialized)
struct NamespaceTests {
  /// Two links, va and vb, whose other ends are up, with 10.1.0.1/24 and fd01::1/64 on va, and 10.2.0.1/24 and fd02::1/64 on
  /// vb.
  private func withLinks(_ body: () throws -> Void) throws {
    try inNamespace {
      for (name, number) in [("va", 1), ("vb", 2)] {
        try ip(
          "link add \(name) type veth peer name \(name)x", "link set \(name)x up", "link set \(name) up",
          "addr add 10.\(number).0.1/24 dev \(name)", "addr add fd0\(number)::1/64 dev \(name) nodad")
      }
      try body()
    }
  }

  @Test func whatThereIsComesFirst() throws {
    try withLinks {
      try ip(
        "link set va address 02:00:00:00:00:0a mtu 1400", "route add 10.9.0.0/16 via 10.1.0.2",
        "neigh add 10.1.0.2 lladdr 02:00:00:00:00:02 dev va")
      let mirror = try Follower().mirror
      let a = try mirror.link("va")
      #expect(mirror.links[a]?.mac == MACAddress("02:00:00:00:00:0a"))
      #expect(mirror.links[a]?.mtu == 1400)
      #expect(mirror.links[a]?.isUp == true)
      #expect(try mirror.link("lo") == 1)
      let address = mirror.address("10.1.0.1")
      #expect(
        address?.link == a && address?.prefixLength == 24 && address?.peer == nil && address?.isTentative == false)
      #expect(mirror.address("fd01::1")?.prefixLength == 64)
      #expect(mirror.route("10.9.0.0/16")?.hops == [hop("10.1.0.2", a)])
      #expect(mirror.route("10.9.0.0/16")?.kind == .unicast)
      #expect(mirror.route("10.1.0.0/24")?.hops == [hop(nil, a)])
      #expect(mirror.route("fd01::/64")?.hops == [hop(nil, a)])
      // Those of the local table are not the main one's.
      #expect(mirror.route("10.1.0.1/32") == nil)
      let neighbour = mirror.neighbour("10.1.0.2")
      #expect(
        neighbour?.mac == MACAddress("02:00:00:00:00:02") && neighbour?.state == .permanent && neighbour?.link == a)
    }
  }

  @Test func routesAreAddedReplacedAndDeleted() throws {
    try withLinks {
      let follower = try Follower()
      let (a, b) = (try follower.mirror.link("va"), try follower.mirror.link("vb"))
      for (prefix, first, second) in [("10.9.0.0/16", "10.1.0.2", "10.2.0.2"), ("fd09::/32", "fd01::2", "fd02::2")] {
        try ip("route add \(prefix) via \(first)")
        try follower.settle()
        #expect(follower.mirror.route(prefix)?.hops == [hop(first, a)])
        try ip("route replace \(prefix) via \(second)")
        try follower.settle()
        #expect(follower.mirror.route(prefix)?.hops == [hop(second, b)])
        try ip("route del \(prefix)")
        try follower.settle()
        #expect(follower.mirror.route(prefix) == nil)
      }
    }
  }

  @Test func theRouteOfLowestMetricCounts() throws {
    try withLinks {
      let follower = try Follower()
      let (a, b) = (try follower.mirror.link("va"), try follower.mirror.link("vb"))
      for (prefix, first, second) in [("10.9.0.0/16", "10.1.0.2", "10.2.0.2"), ("fd09::/32", "fd01::2", "fd02::2")] {
        try ip("route add \(prefix) via \(first) metric 20")
        try follower.settle()
        #expect(follower.mirror.route(prefix)?.metric == 20)
        try ip("route add \(prefix) via \(second) metric 10")
        try follower.settle()
        #expect(follower.mirror.route(prefix)?.hops == [hop(second, b)])
        #expect(follower.mirror.route(prefix)?.metric == 10)
        try ip("route del \(prefix) metric 10")
        try follower.settle()
        #expect(follower.mirror.route(prefix)?.hops == [hop(first, a)])
        try ip("route del \(prefix) metric 20")
        try follower.settle()
        #expect(follower.mirror.route(prefix) == nil)
      }
    }
  }

  @Test func changesInBetweenAreNotTold() throws {
    try withLinks {
      let follower = try Follower()
      try ip("route add 10.9.0.0/16 via 10.1.0.2", "route del 10.9.0.0/16", "route add 10.8.0.0/16 via 10.1.0.2")
      for number in 2..<9 { try ip("route replace 10.8.0.0/16 via 10.1.0.\(number)") }
      let changes = try follower.tables.poll(milliseconds: 1000)
      let routes = changes.filter { if case .route = $0 { true } else { false } }
      #expect(routes.count == 1)
      #expect(!changes.contains(.routeRemoved(IPPrefix("10.9.0.0/16")!)))
    }
  }

  @Test func routesOfManyHopsHaveTheirWeights() throws {
    try withLinks {
      let follower = try Follower()
      let (a, b) = (try follower.mirror.link("va"), try follower.mirror.link("vb"))
      for (prefix, first, second, third) in [
        ("10.9.0.0/16", "10.1.0.2", "10.2.0.2", "10.2.0.3"), ("fd09::/32", "fd01::2", "fd02::2", "fd02::3"),
      ] {
        try ip("route add \(prefix) nexthop via \(first) weight 3 nexthop via \(second) weight 256")
        try follower.settle()
        #expect(
          Set(follower.mirror.route(prefix)?.hops ?? []) == [hop(first, a, weight: 3), hop(second, b, weight: 256)])
        try ip("route replace \(prefix) nexthop via \(second) nexthop via \(third)")
        try follower.settle()
        #expect(Set(follower.mirror.route(prefix)?.hops ?? []) == [hop(second, b), hop(third, b)])
      }
      // Only IPv6's become one of several, and lose one of several.
      try ip("route append fd09::/32 via fd01::2")
      try follower.settle()
      #expect(follower.mirror.route("fd09::/32")?.hops.count == 3)
      try ip("route del fd09::/32 via fd02::2")
      try follower.settle()
      #expect(Set(follower.mirror.route("fd09::/32")?.hops ?? []) == [hop("fd01::2", a), hop("fd02::3", b)])
      #expect(try Follower().mirror.lines == follower.mirror.lines)
    }
  }

  @Test func anIPv4RouteCanHaveAnIPv6Gateway() throws {
    try withLinks {
      let follower = try Follower()
      let (a, b) = (try follower.mirror.link("va"), try follower.mirror.link("vb"))
      try ip("route add 10.9.0.0/16 via inet6 fe80::2 dev va")
      try ip("route add 10.8.0.0/16 nexthop via inet6 fe80::2 dev va nexthop via 10.2.0.2")
      try follower.settle()
      #expect(follower.mirror.route("10.9.0.0/16")?.hops == [hop("fe80::2", a)])
      #expect(follower.mirror.route("10.8.0.0/16")?.hops == [hop("fe80::2", a), hop("10.2.0.2", b)])
    }
  }

  @Test func routesThatDropSayHow() throws {
    try withLinks {
      let follower = try Follower()
      for kind in [KernelRoute.Kind.blackhole, .unreachable, .prohibit] {
        try ip("route replace \(kind) 10.9.0.0/16", "route replace \(kind) fd09::/32")
        try follower.settle()
        for prefix in ["10.9.0.0/16", "fd09::/32"] {
          #expect(follower.mirror.route(prefix)?.kind == kind)
          #expect(follower.mirror.route(prefix)?.hops == [])
        }
        try ip("route del \(kind) fd09::/32")
      }
      try ip("route replace throw 10.9.0.0/16")
      try follower.settle()
      #expect(follower.mirror.route("10.9.0.0/16")?.kind == .other)
      // What cannot be told is not told as if it could.
      try ip("route replace 10.9.0.0/16 encap ip id 7 dst 10.2.0.2 dev vb")
      try follower.settle()
      #expect(follower.mirror.route("10.9.0.0/16")?.kind == .other)
    }
  }

  @Test(arguments: [1, 0]) func routesFollowTheirNexthopObjects(compatible: Int) throws {
    try withLinks {
      // Without it the kernel tells of the object alone.
      try sh("echo \(compatible) > /proc/sys/net/ipv4/nexthop_compat_mode")
      let follower = try Follower()
      let (a, b) = (try follower.mirror.link("va"), try follower.mirror.link("vb"))
      try ip(
        "nexthop add id 1 via 10.1.0.2 dev va", "nexthop add id 2 via 10.2.0.2 dev vb",
        "nexthop add id 10 group 1,3/2,200", "nexthop add id 3 blackhole", "nexthop add id 6 via fd01::2 dev va",
        "route add 10.8.0.0/16 nhid 1", "route add 10.9.0.0/16 nhid 10", "route add 10.7.0.0/16 nhid 3",
        "route add fd09::/32 nhid 6", "route add 10.9.0.0/16 via 10.1.0.9 metric 50")
      try follower.settle()
      #expect(follower.mirror.route("10.8.0.0/16")?.hops == [hop("10.1.0.2", a)])
      #expect(
        follower.mirror.route("10.9.0.0/16")?.hops == [hop("10.1.0.2", a, weight: 3), hop("10.2.0.2", b, weight: 200)])
      #expect(follower.mirror.route("10.7.0.0/16")?.kind == .blackhole)
      #expect(follower.mirror.route("fd09::/32")?.hops == [hop("fd01::2", a)])
      #expect(try Follower().mirror.lines == follower.mirror.lines)

      try ip("nexthop replace id 1 via 10.1.0.77 dev va", "nexthop replace id 6 via fd02::2 dev vb")
      try follower.settle()
      #expect(follower.mirror.route("10.8.0.0/16")?.hops == [hop("10.1.0.77", a)])
      #expect(follower.mirror.route("10.9.0.0/16")?.hops.first == hop("10.1.0.77", a, weight: 3))
      #expect(follower.mirror.route("fd09::/32")?.hops == [hop("fd02::2", b)])
      #expect(try Follower().mirror.lines == follower.mirror.lines)

      try ip("nexthop replace id 10 group 2")
      try follower.settle()
      #expect(follower.mirror.route("10.9.0.0/16")?.hops == [hop("10.2.0.2", b)])

      // Routes go with their object; another one of the same number does not bring them back.
      try ip("nexthop del id 1", "nexthop del id 10", "nexthop add id 1 via 10.1.0.2 dev va")
      try follower.settle()
      #expect(follower.mirror.route("10.8.0.0/16") == nil)
      #expect(follower.mirror.route("10.9.0.0/16")?.hops == [hop("10.1.0.9", a)])
      #expect(try Follower().mirror.lines == follower.mirror.lines)
    }
  }

  @Test func routesGoAndComeWithTheirLink() throws {
    try withLinks {
      try ip(
        "nexthop add id 1 via 10.1.0.2 dev va", "nexthop add id 2 via 10.2.0.2 dev vb", "nexthop add id 10 group 1/2",
        "route add 10.7.0.0/16 nhid 10", "route add 10.8.0.0/16 via 10.1.0.2",
        "route add 10.8.0.0/16 via 10.2.0.2 metric 9",
        "route add 10.9.0.0/16 nexthop via 10.1.0.2 nexthop via 10.2.0.2", "route add fd09::/32 via fd01::2")
      let follower = try Follower()
      let (a, b) = (try follower.mirror.link("va"), try follower.mirror.link("vb"))
      #expect(follower.mirror.route("10.7.0.0/16")?.hops.count == 2)
      #expect(follower.mirror.route("10.8.0.0/16")?.hops == [hop("10.1.0.2", a)])
      try ip("link set va down")
      try follower.settle()
      #expect(follower.mirror.links[a]?.isUp == false)
      for prefix in ["10.7.0.0/16", "10.8.0.0/16", "10.9.0.0/16"] {
        #expect(follower.mirror.route(prefix)?.hops == [hop("10.2.0.2", b)], "\(prefix)")
      }
      #expect(follower.mirror.route("10.1.0.0/24") == nil)
      #expect(follower.mirror.route("fd09::/32") == nil)
      try ip("link set va up")
      try follower.settle { $0.route("10.9.0.0/16")?.hops.count == 2 && $0.links[a]?.hasCarrier == true }
      #expect(follower.mirror.route("10.1.0.0/24")?.hops == [hop(nil, a)])
      try ip("link set vax down")
      try follower.settle { $0.links[a]?.hasCarrier == false }
      try ip("link del vb")
      try follower.settle()
      #expect(follower.mirror.links[b] == nil)
      #expect(follower.mirror.address("10.2.0.1") == nil)
      #expect(try Follower().mirror.lines == follower.mirror.lines)
    }
  }

  @Test func routesGoWithTheirSourceAddress() throws {
    try withLinks {
      try ip("addr add 10.5.0.1/32 dev vb", "route add 10.9.0.0/16 via 10.1.0.2 src 10.5.0.1")
      let follower = try Follower()
      #expect(follower.mirror.route("10.9.0.0/16") != nil)
      try ip("addr del 10.5.0.1/32 dev vb")
      try follower.settle()
      #expect(follower.mirror.route("10.9.0.0/16") == nil)
      #expect(follower.mirror.address("10.5.0.1") == nil)
    }
  }

  @Test func theOtherEndOfALinkIsTold() throws {
    try withLinks {
      try ip("addr add 10.5.0.1 peer 10.5.0.2/31 dev va")
      let address = try Follower().mirror.address("10.5.0.1")
      #expect(address?.peer == IPAddress("10.5.0.2"))
      #expect(address?.prefixLength == 31)
    }
  }

  @Test func neighboursComeChangeAndGo() throws {
    try withLinks {
      let follower = try Follower()
      for address in ["10.1.0.2", "fd01::2"] {
        try ip("neigh add \(address) lladdr 02:00:00:00:00:02 dev va nud stale")
        try follower.settle()
        #expect(follower.mirror.neighbour(address)?.state == .stale)
        try ip("neigh replace \(address) lladdr 02:00:00:00:00:03 dev va nud permanent router")
        try follower.settle()
        #expect(follower.mirror.neighbour(address)?.mac == MACAddress("02:00:00:00:00:03"))
        #expect(follower.mirror.neighbour(address)?.isRouter == true)
        #expect(follower.mirror.neighbour(address)?.state == .permanent)
        try ip("neigh del \(address) dev va")
        try follower.settle()
        #expect(follower.mirror.neighbour(address)?.mac == nil)
      }
    }
  }

  @Test func anotherTableIsFollowedByItsNumber() throws {
    try withLinks {
      let follower = try Follower(.id(1000))
      try ip("route add 10.9.0.0/16 via 10.1.0.2 table 1000", "route add 10.8.0.0/16 via 10.1.0.2")
      try ip("route add fd09::/32 via fd01::2 table 1000")
      try follower.settle()
      let fresh = try Follower(.id(1000))
      for mirror in [follower.mirror, fresh.mirror] {
        #expect(mirror.routes.count == 2)
        #expect(mirror.route("10.9.0.0/16")?.table == 1000)
        #expect(mirror.route("fd09::/32")?.hops == [hop("fd01::2", try mirror.link("va"))])
      }
    }
  }

  private static let hasVRFs =
    isRoot && (try? inNamespace { try ip("link add red type vrf table 77") }) != nil

  @Test(.enabled(if: hasVRFs)) func aVRFHasATableOfItsOwn() throws {
    try withLinks {
      let follower = try Follower(.vrf("red"))
      #expect(follower.mirror.routes.isEmpty)
      try ip("link add red type vrf table 77", "link set red up", "link set va master red")
      try ip("route add 10.9.0.0/16 via 10.1.0.2 vrf red", "route add 10.8.0.0/16 via 10.2.0.2")
      try follower.settle()
      let a = try follower.mirror.link("va")
      #expect(follower.mirror.links[a]?.master == (try follower.mirror.link("red")))
      #expect(follower.mirror.route("10.9.0.0/16")?.hops == [hop("10.1.0.2", a)])
      #expect(follower.mirror.route("10.9.0.0/16")?.table == 77)
      #expect(follower.mirror.route("10.8.0.0/16") == nil)
      // The addresses' routes are in the same table.
      #expect(follower.mirror.route("10.1.0.1/32")?.kind == .local)
      #expect(follower.mirror.route("10.1.0.255/32")?.kind == .broadcast)
      let byNumber = try Follower(.id(77))
      #expect(byNumber.mirror.routes == follower.mirror.routes)
      try ip("link del red")
      try follower.settle()
      #expect(follower.mirror.routes.isEmpty)
    }
  }

  @Test func aHundredThousandRoutesComeAndGo() throws {
    try withLinks {
      let follower = try Follower(receiveBuffer: 512 << 20)
      let before = follower.mirror.routes.count
      try ipBatch((0..<100_000).map { "route add 20.\($0 >> 16).\($0 >> 8 & 255).\($0 & 255)/32 via 10.1.0.2" })
      try follower.settle(limit: 5000)
      #expect(follower.mirror.routes.count == before + 100_000)
      #expect(follower.mirror.route("20.1.134.159/32")?.hops == [hop("10.1.0.2", try follower.mirror.link("va"))])
      // They go without a message.
      try ip("link set va down")
      try follower.settle()
      #expect(follower.mirror.routes.count < before)
    }
  }

  @Test func nothingIsMissedWhenMessagesAreLost() throws {
    try withLinks {
      let follower = try Follower(receiveBuffer: 4096)
      let dumps = follower.tables.statistics.dumps
      try ipBatch((0..<20_000).map { "route add 20.0.\($0 >> 8).\($0 & 255)/32 via 10.1.0.2" })
      try follower.settle()
      #expect(follower.tables.statistics.overruns > 0)
      #expect(follower.tables.statistics.dumps > dumps)
      #expect(follower.mirror.routes.count > 20_000)
      try ipBatch(
        (0..<20_000).map { "route \($0 % 2 == 0 ? "del" : "replace") 20.0.\($0 >> 8).\($0 & 255)/32 via 10.2.0.2" }
          .map { $0.hasPrefix("route del") ? String($0.dropLast(13)) : $0 })
      try follower.settle()
      #expect(try Follower().mirror.lines == follower.mirror.lines)
      #expect(follower.mirror.route("20.0.0.0/32") == nil)
      #expect(follower.mirror.route("20.0.0.1/32")?.hops == [hop("10.2.0.2", try follower.mirror.link("vb"))])
    }
  }

  /// Whatever is done to the tables, who followed knows what who looks anew knows.
  @Test(arguments: 1...3) func whoFollowedKnowsWhatThereIs(seed: UInt64) throws {
    try withLinks {
      try sh("echo \(seed % 2) > /proc/sys/net/ipv4/nexthop_compat_mode")
      var dice = Dice(state: seed)
      let follower = try Follower()
      for round in 0..<25 {
        var done = ""
        for _ in 0..<12 {
          // What the kernel refuses changes nothing.
          let command = randomCommand(&dice)
          if (try? ip(command)) != nil { done += command + "\n" }
        }
        try follower.settle()
        var fresh = try Follower()
        // Carriers and link-local addresses change a while after the command.
        for _ in 0..<100
        where fresh.mirror.links != follower.mirror.links
          || fresh.mirror.addresses.keys != follower.mirror.addresses.keys
        {
          try follower.mirror.apply(try follower.tables.poll(milliseconds: 50))
          try follower.settle()
          fresh = try Follower()
        }
        let missing = fresh.mirror.lines.subtracting(follower.mirror.lines).sorted()
        let wrong = follower.mirror.lines.subtracting(fresh.mirror.lines).sorted()
        let routes = try sh("ip route; ip -6 route; ip nexthop")
        #expect(missing == [] && wrong == [], "\(round): \(missing) and not \(wrong) after \(done) at \(routes)")
        #expect(fresh.mirror.addresses.keys == follower.mirror.addresses.keys, "round \(round)")
      }
    }
  }

  private func randomCommand(_ dice: inout Dice) -> String {
    let isV6 = Bool.random(using: &dice)
    let number = Int.random(in: 1...4, using: &dice)
    let prefix = isV6 ? "fd0a:\(number)::/32" : "10.\(10 + number).0.0/16"
    func gateway() -> String {
      let (link, host) = (Int.random(in: 1...2, using: &dice), Int.random(in: 2...4, using: &dice))
      return isV6 ? "via fd0\(link)::\(host)" : "via 10.\(link).0.\(host)"
    }
    let metric = ["", "metric 5", "metric 50"].randomElement(using: &dice)!
    let nexthop = Int.random(in: 1...6, using: &dice)
    let link = ["va", "vb"].randomElement(using: &dice)!
    switch Int.random(in: 0..<20, using: &dice) {
    case 0...3: return "route add \(prefix) \(gateway()) \(metric)"
    case 4...5: return "route replace \(prefix) \(gateway()) \(metric)"
    case 6: return "route append \(prefix) \(gateway()) \(metric)"
    case 7: return "route prepend \(prefix) \(gateway()) \(metric)"
    case 8: return "route replace \(prefix) nexthop \(gateway()) nexthop \(gateway()) weight 9 \(metric)"
    case 9: return "route add blackhole \(prefix) \(metric)"
    case 10...11: return "route del \(prefix) \(metric)"
    case 12: return "route del \(prefix) \(gateway())"
    case 13: return "nexthop replace id \(nexthop) \(gateway()) dev \(link)"
    case 14: return "nexthop replace id 10 group \(nexthop),3/\(Int.random(in: 1...6, using: &dice))"
    case 15: return "nexthop del id \(nexthop)"
    case 16...17: return "route replace \(prefix) nhid \(Bool.random(using: &dice) ? 10 : nexthop) \(metric)"
    case 18: return "link set \(link) \(Bool.random(using: &dice) ? "up" : "down")"
    default: return "addr \(Bool.random(using: &dice) ? "replace" : "del") 10.1.0.7/24 dev \(link)"
    }
  }
}
