import TestKit

/// A packet that a test made up, and what rules can see of it: written down when it is made, never read from the bytes.
struct ModelPacket {
  var frame: Frame
  /// 4, 6, or 0 for what is not IP.
  var version = 0
  var etherType = 0
  var vlan: Int?
  var transport = 0
  var source = "", destination = ""
  var ports: (source: Int, destination: Int)?
  var flags: Int?
  var icmp: (type: Int, code: Int)?
  var dscp = 0, ecn = 0
  /// "whole", "first" or "later".
  var fragment = "whole"
  var hasOptions = false
  var mark = 0
  var ingress = 0
  var length: Int { frame.length }
}

/// A condition of a rule as a user writes it, and what it means, said a second time.
struct ModelCondition {
  var text: String
  var holds: (ModelPacket) -> Bool
}

/// Makes up rules and packets that have to do with one another.
struct RuleModel {
  var random: FrameGenerator
  static let ports = ["lan": 3, "wan": 5]

  init(seed: UInt64) { random = FrameGenerator(seed: seed) }

  // MARK: Packets

  private static let v4 = ["10.0.0.1", "10.0.0.130", "10.1.2.3", "10.255.0.1", "192.0.2.7", "172.16.0.1"]
  private static let v6 = ["2001:db8::1", "2001:db8::8001", "2001:db8:0:1::1", "2001:db9::1", "fe80::1"]

  mutating func packet() -> ModelPacket {
    var frame = Frame.ethernet()
    var packet = ModelPacket(frame: frame)
    if random.chance(3) {
      packet.vlan = random.pick([1, 7, 100, 4095])
      frame = frame.vlan(UInt16(packet.vlan!), protocolIdentifier: random.pick([0x8100, 0x88A8]))
      if random.chance(3) { frame = frame.vlan(9) }
    }
    packet.version = random.pick([4, 4, 4, 6, 6, 0])
    switch packet.version {
    case 4: frame = ipv4(frame, &packet)
    case 6: frame = ipv6(frame, &packet)
    default:
      packet.etherType = random.chance(2) ? 0x0806 : 0x88B5
      frame = packet.etherType == 0x0806 ? frame.arp() : frame.payload(count: 50)
    }
    packet.mark = random.pick([0, 1, 2, 3, 6])
    packet.ingress = random.pick([3, 5, 9])
    packet.frame = frame.marked(UInt32(packet.mark)).from(port: packet.ingress)
    if random.chance(5), packet.frame.length > 30 {
      packet.frame = packet.frame.split(at: [random.pick([1, 13, 20, 29])])
    }
    return packet
  }

  private mutating func ipv4(_ frame: Frame, _ packet: inout ModelPacket) -> Frame {
    packet.etherType = 0x0800
    packet.source = random.pick(Self.v4)
    packet.destination = random.pick(Self.v4)
    packet.dscp = random.pick([0, 10, 46])
    packet.ecn = random.number(below: 4)
    packet.fragment = random.pick(["whole", "whole", "whole", "first", "later"])
    packet.hasOptions = random.chance(4)
    let number = random.pick([6, 17, 1, 132, 47])
    packet.transport = number
    let header = frame.ipv4(
      from: packet.source, to: packet.destination, dscp: UInt8(packet.dscp), ecn: UInt8(packet.ecn),
      moreFragments: packet.fragment == "first", fragmentOffset: packet.fragment == "later" ? 8 : 0,
      options: packet.hasOptions ? [1, 1, 1, 1] : [], protocolNumber: UInt8(number))
    return transport(header, number, &packet)
  }

  private mutating func ipv6(_ frame: Frame, _ packet: inout ModelPacket) -> Frame {
    packet.etherType = 0x86DD
    packet.source = random.pick(Self.v6)
    packet.destination = random.pick(Self.v6)
    packet.dscp = random.pick([0, 10, 46])
    packet.ecn = random.number(below: 4)
    packet.fragment = random.pick(["whole", "whole", "first", "later"])
    let number = random.pick([6, 17, 58, 132, 47])
    packet.transport = number
    let wantsOptions = random.chance(4)
    packet.hasOptions = wantsOptions || packet.fragment != "whole"
    var header = frame.ipv6(
      from: packet.source, to: packet.destination, trafficClass: UInt8(packet.dscp << 2 | packet.ecn),
      nextHeader: packet.hasOptions ? nil : UInt8(number))
    if wantsOptions {
      header = header.ipv6Extension(60, nextHeader: packet.fragment == "whole" ? UInt8(number) : nil)
    }
    if packet.fragment != "whole" {
      header = header.ipv6Fragment(
        offset: packet.fragment == "later" ? 8 : 0, moreFragments: packet.fragment == "first",
        nextHeader: UInt8(number))
    }
    return transport(header, number, &packet)
  }

  private mutating func transport(_ frame: Frame, _ number: Int, _ packet: inout ModelPacket) -> Frame {
    // Bytes that would do as any transport header.
    if packet.fragment == "later" {
      return frame.payload([0, 53, 0, 80, 0, 0, 0, 0, 0, 0, 0, 0, 0x50, 2] + [0, 0, 0, 0, 0, 0])
    }
    let ports = (source: random.pick([53, 1024, 5000, 65_535]), destination: random.pick([22, 53, 80, 443, 8080]))
    let payload = random.number(below: 60)
    switch number {
    case 6:
      packet.ports = ports
      packet.flags = random.pick([0, 2, 0x10, 0x12, 0x11, 0x04])
      let letters = zip("FSRPAUEC", 0..<8).filter { packet.flags! >> $0.1 & 1 == 1 }.map { $0.0 }
      return frame.tcp(from: UInt16(ports.source), to: UInt16(ports.destination), flags: String(letters))
        .payload(count: payload)
    case 17:
      packet.ports = ports
      return frame.udp(from: UInt16(ports.source), to: UInt16(ports.destination)).payload(count: payload)
    case 132:
      packet.ports = ports
      let head = [ports.source >> 8, ports.source & 255, ports.destination >> 8, ports.destination & 255]
      return frame.payload(head.map { UInt8($0) } + [0, 0, 0, 0, 0, 0, 0, 0])
    case 1, 58:
      let icmp = (type: random.pick([0, 3, 8, 128, 135]), code: random.pick([0, 1, 4]))
      packet.icmp = icmp
      return number == 1
        ? frame.icmp(type: UInt8(icmp.type), code: UInt8(icmp.code)).payload(count: payload)
        : frame.icmpv6(type: UInt8(icmp.type), code: UInt8(icmp.code)).payload(count: payload)
    default: return frame.payload(count: payload)
    }
  }

  // MARK: Rules

  /// One to four conditions.
  mutating func rule() -> [ModelCondition] {
    var conditions: [ModelCondition] = []
    var keys: Set<Int> = []
    while conditions.count < 1 + random.number(below: 4) {
      let which = random.number(below: 16)
      if keys.insert(which).inserted { conditions.append(condition(which)) }
    }
    return conditions
  }

  private mutating func condition(_ which: Int) -> ModelCondition {
    switch which {
    case 0:
      return oneOf(
        "ethertype",
        [
          ("ipv4", { $0.etherType == 0x0800 }), ("0x86dd", { $0.etherType == 0x86DD }),
          ("arp", { $0.etherType == 0x0806 }), ("0x88b5", { $0.etherType == 0x88B5 }),
        ]
      ) { _ in true }
    case 1:
      return oneOf(
        "vlan", [("7", { $0.vlan == 7 }), ("1-99", { (1...99).contains($0.vlan ?? 0) }), ("4095", { $0.vlan == 4095 })]
      ) { $0.vlan != nil }
    case 2: return oneOf("version", [("4", { $0.version == 4 }), ("6", { $0.version == 6 })]) { $0.version != 0 }
    case 3:
      return oneOf(
        "protocol",
        [
          ("tcp", { $0.transport == 6 }), ("udp", { $0.transport == 17 }), ("icmp", { $0.transport == 1 }),
          ("58", { $0.transport == 58 }), ("sctp", { $0.transport == 132 }),
        ]
      ) { $0.version != 0 }
    case 4: return prefixes("source", \.source)
    case 5: return prefixes("destination", \.destination)
    case 6: return ports("source_port", { $0.ports?.source }, { $0.ports != nil })
    case 7: return ports("destination_port", { $0.ports?.destination }, { $0.ports != nil })
    case 8: return flags()
    case 9:
      return oneOf(
        "icmp_type",
        [("8", { $0.icmp?.type == 8 }), ("0-3", { $0.icmp!.type <= 3 }), ("128", { $0.icmp?.type == 128 })]
      ) { $0.icmp != nil }
    case 10:
      return oneOf("icmp_code", [("0", { $0.icmp?.code == 0 }), ("1-4", { $0.icmp!.code >= 1 })]) { $0.icmp != nil }
    case 11:
      return oneOf("dscp", [("ef", { $0.dscp == 46 }), ("af11", { $0.dscp == 10 }), ("0", { $0.dscp == 0 })]) {
        $0.version != 0
      }
    case 12:
      return oneOf(
        "ecn",
        [("ce", { $0.ecn == 3 }), ("not-ect", { $0.ecn == 0 }), ("ect0", { $0.ecn == 2 }), ("1", { $0.ecn == 1 })]
      ) { $0.version != 0 }
    case 13:
      return oneOf(
        "fragment",
        [
          ("yes", { $0.fragment != "whole" }), ("no", { $0.fragment == "whole" }),
          ("first", { $0.fragment == "first" }), ("later", { $0.fragment == "later" }),
        ]
      ) { $0.version != 0 }
    case 14:
      if random.chance(2) {
        let wanted = random.chance(2)
        return ModelCondition(text: "options: \(wanted ? "yes" : "no")") { $0.version != 0 && $0.hasOptions == wanted }
      }
      return oneOf("ingress", [("lan", { $0.ingress == 3 }), ("wan", { $0.ingress == 5 })]) { _ in true }
    default:
      if random.chance(2) {
        return oneOf(
          "length",
          [
            ("60", { $0.length == 60 }), ("0-70", { $0.length <= 70 }), ("64-90", { (64...90).contains($0.length) }),
            ("100-65535", { $0.length >= 100 }),
          ]
        ) { _ in true }
      }
      return oneOf("mark", [("1", { $0.mark == 1 }), ("0x2/0x2", { $0.mark & 2 != 0 }), ("0/6", { $0.mark & 6 == 0 })])
      { _ in true }
    }
  }

  private mutating func oneOf(
    _ key: String, _ values: [(text: String, holds: (ModelPacket) -> Bool)],
    _ isPresent: @escaping (ModelPacket) -> Bool
  ) -> ModelCondition {
    let chosen = (0..<1 + random.number(below: 3)).map { _ in (random.pick(values), random.chance(3)) }
    let texts = chosen.map { $1 ? "\"\(random.pick(["not ", "!"]))\($0.text)\"" : $0.text }
    let wanted = chosen.filter { !$0.1 }.map(\.0.holds)
    let excluded = chosen.filter { $0.1 }.map(\.0.holds)
    return ModelCondition(text: "\(key): \(texts.count == 1 ? texts[0] : "[\(texts.joined(separator: ", "))]")") {
      packet in
      isPresent(packet) && (wanted.isEmpty || wanted.contains { $0(packet) }) && !excluded.contains { $0(packet) }
    }
  }

  private mutating func prefixes(_ key: String, _ address: KeyPath<ModelPacket, String>) -> ModelCondition {
    func within(_ addresses: [String]) -> (ModelPacket) -> Bool { { addresses.contains($0[keyPath: address]) } }
    let values: [(text: String, version: Int, addresses: [String])] = [
      ("10.0.0.0/8", 4, ["10.0.0.1", "10.0.0.130", "10.1.2.3", "10.255.0.1"]),
      ("10.0.0.0/24", 4, ["10.0.0.1", "10.0.0.130"]), ("10.0.0.128/25", 4, ["10.0.0.130"]),
      ("192.0.2.7", 4, ["192.0.2.7"]), ("0.0.0.0/0", 4, Self.v4),
      ("\"2001:db8::/32\"", 6, ["2001:db8::1", "2001:db8::8001", "2001:db8:0:1::1"]),
      ("\"2001:db8::/64\"", 6, ["2001:db8::1", "2001:db8::8001"]), ("\"2001:db8::/113\"", 6, ["2001:db8::1"]),
      ("\"fe80::1\"", 6, ["fe80::1"]), ("\"::/0\"", 6, Self.v6),
    ]
    let chosen = (0..<1 + random.number(below: 3)).map { _ in (random.pick(values), random.chance(3)) }
    let versions = Set(chosen.map(\.0.version))
    let texts = chosen.map { $1 ? "\"not \($0.text.filter { $0 != "\"" })\"" : $0.text }
    let wanted = chosen.filter { !$0.1 }.map { within($0.0.addresses) }
    let excluded = chosen.filter { $0.1 }.map { within($0.0.addresses) }
    return ModelCondition(text: "\(key): [\(texts.joined(separator: ", "))]") { packet in
      versions.contains(packet.version) && (wanted.isEmpty || wanted.contains { $0(packet) })
        && !excluded.contains { $0(packet) }
    }
  }

  private mutating func ports(
    _ key: String, _ port: @escaping (ModelPacket) -> Int?, _ isPresent: @escaping (ModelPacket) -> Bool
  ) -> ModelCondition {
    oneOf(
      key,
      [
        ("53", { port($0) == 53 }), ("1000-8080", { (1000...8080).contains(port($0)!) }),
        ("0-1023", { port($0)! <= 1023 }), ("80-443", { (80...443).contains(port($0)!) }),
        ("0-65535", { _ in true }), ("65535", { port($0) == 65_535 }),
      ], isPresent)
  }

  private mutating func flags() -> ModelCondition {
    oneOf(
      "flags",
      [
        ("syn", { $0.flags! & 2 != 0 }), ("syn/syn+ack", { $0.flags! & 0x12 == 2 }), ("none", { $0.flags == 0 }),
        ("fin+ack", { $0.flags! & 0x11 == 0x11 }), ("none/rst", { $0.flags! & 4 == 0 }),
      ]
    ) { $0.flags != nil }
  }
}
