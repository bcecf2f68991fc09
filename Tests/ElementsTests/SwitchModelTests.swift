import TestKit
import Testing

/// `Switch` against a simple model of a bridge: random settings, random frames, the same frames out of the same ports.
@Suite struct SwitchModelTests {
  /// A bridge as a page of the standard describes it, with dictionaries and sets.
  private struct Bridge {
    struct Port {
      var pvid: UInt16?
      var tagged: Set<UInt16> = []
      var untagged: Set<UInt16> = []
      var accept = "all"
      var filters = true
      var priority: UInt16 = 0
      var group: String?
      var learns = true
      var takesUnknown = true
    }

    struct Station: Hashable {
      var address: [UInt8]
      var vlan: UInt16
    }

    var ports: [Port]
    /// Nil: none.
    var tag: UInt16?
    var stations: [Station: Int] = [:]

    /// What leaves: port and bytes.
    mutating func receive(_ frame: [UInt8], _ ingress: Int) -> [Int: [UInt8]] {
      guard frame.count >= 14 else { return [:] }
      let destination = Array(frame[0..<6])
      let source = Array(frame[6..<12])
      if destination == [1, 0x80, 0xC2, 0, 0, 1] { return [:] }
      if source[0] & 1 == 1 || source.allSatisfy({ $0 == 0 }) { return [:] }
      let port = ports[ingress]
      var inner = frame
      var control: UInt16 = port.priority << 13
      var vlan: UInt16 = 0
      if let tag {
        var named: UInt16 = 0
        if frame[12] == tag >> 8, frame[13] == tag & 0xFF {
          guard frame.count >= 18 else { return [:] }
          control = UInt16(frame[14]) << 8 | UInt16(frame[15])
          named = control & 0xFFF
          inner.removeSubrange(12..<16)
        }
        if port.accept == "tagged" && named == 0 || port.accept == "untagged" && named != 0 { return [:] }
        guard let chosen = named != 0 ? named : port.pvid else { return [:] }
        vlan = chosen
        guard ports.contains(where: { $0.tagged.contains(vlan) || $0.untagged.contains(vlan) }) else { return [:] }
        if port.filters, !port.tagged.contains(vlan), !port.untagged.contains(vlan) { return [:] }
      }
      if port.learns { stations[Station(address: source, vlan: vlan)] = ingress }
      if destination.starts(with: [1, 0x80, 0xC2, 0, 0]), destination[5] < 16 { return [:] }
      let isGroup = destination[0] & 1 == 1
      let known = isGroup ? nil : stations[Station(address: destination, vlan: vlan)]
      var out: [Int: [UInt8]] = [:]
      for (number, other) in ports.enumerated() where number != ingress && known ?? number == number {
        if let group = port.group, group == other.group { continue }
        if known == nil, !isGroup, !other.takesUnknown { continue }
        guard let tag else {
          out[number] = frame
          continue
        }
        if other.untagged.contains(vlan) { out[number] = inner }
        if other.tagged.contains(vlan) {
          let field = control & 0xF000 | vlan
          var bytes = inner
          bytes.insert(contentsOf: tag.bigEndianBytes + field.bigEndianBytes, at: 12)
          out[number] = bytes
        }
      }
      return out
    }
  }

  private func settings(_ bridge: Bridge) -> [String] {
    bridge.ports.enumerated().map { number, port in
      var members: [String] = []
      if bridge.tag != nil {
        if let pvid = port.pvid { members.append("pvid: \(pvid)") }
        members.append("tagged: [\(port.tagged.sorted().map(String.init).joined(separator: ", "))]")
        members.append("untagged: [\(port.untagged.sorted().map(String.init).joined(separator: ", "))]")
        members.append("accept: \(port.accept)")
        members.append("ingress_filter: \(port.filters)")
        members.append("priority: \(port.priority)")
      }
      if let group = port.group { members.append("split_horizon: \(group)") }
      members.append("learning: \(port.learns)")
      members.append("unknown_unicast: \(port.takesUnknown)")
      return "p\(number): { \(members.joined(separator: ", ")) }"
    }
  }

  private func bridge(_ random: inout some RandomNumberGenerator) -> Bridge {
    let tags: [UInt16?] = [nil, 0x8100, 0x8100, 0x88A8]
    let vlans: [UInt16] = [1, 2, 3, 4094]
    func chance(_ oneIn: Int) -> Bool { Int.random(in: 0..<oneIn, using: &random) == 0 }
    let ports = (0..<Int.random(in: 2...6, using: &random)).map { _ in
      var port = Bridge.Port()
      for vlan in vlans {
        switch Int.random(in: 0..<3, using: &random) {
        case 0: port.tagged.insert(vlan)
        case 1: port.untagged.insert(vlan)
        default: break
        }
      }
      port.pvid = chance(5) ? nil : vlans.randomElement(using: &random)
      port.accept = ["all", "all", "all", "tagged", "untagged"].randomElement(using: &random)!
      port.filters = !chance(4)
      port.priority = UInt16.random(in: 0...7, using: &random)
      port.group = chance(3) ? ["x", "y"].randomElement(using: &random) : nil
      port.learns = !chance(6)
      port.takesUnknown = !chance(6)
      return port
    }
    return Bridge(ports: ports, tag: tags.randomElement(using: &random)!)
  }

  private func frame(_ random: inout some RandomNumberGenerator) -> Frame {
    func chance(_ oneIn: Int) -> Bool { Int.random(in: 0..<oneIn, using: &random) == 0 }
    let groups = [
      TestSwitch.everybody, "01:00:5e:00:00:01", "33:33:00:00:00:01", "01:80:c2:00:00:00", "01:80:c2:00:00:0e",
      "01:80:c2:00:00:01",
    ]
    let source =
      chance(25)
      ? ["00:00:00:00:00:00", "03:00:00:00:00:01"].randomElement(using: &random)!
      : TestSwitch.mac(Int.random(in: 1...6, using: &random))
    let destination =
      chance(4) ? groups.randomElement(using: &random)! : TestSwitch.mac(Int.random(in: 1...7, using: &random))
    var frame = Frame.ethernet(from: source, to: destination)
    for _ in 0..<[0, 0, 1, 1, 1, 2].randomElement(using: &random)! {
      frame = frame.vlan(
        [0, 1, 1, 2, 3, 4094, 4095, 77].randomElement(using: &random)!,
        priority: UInt8.random(in: 0...7, using: &random),
        dropEligible: chance(2), protocolIdentifier: chance(3) ? 0x88A8 : 0x8100)
    }
    frame = frame.ipv4().udp().payload(count: Int.random(in: 0...60, using: &random))
    let bytes = frame.bytes
    if chance(15) { return Frame(Array(bytes.prefix(Int.random(in: 1...20, using: &random)))) }
    return chance(5) ? frame.split(at: Int.random(in: 1..<30, using: &random)) : frame
  }

  @Test(arguments: 0..<60 as Range<UInt64>)
  func theSameFramesLeaveByTheSamePorts(seed: UInt64) throws {
    var random = SeededNumbers(seed: seed)
    var model = bridge(&random)
    let tag = model.tag.map { $0 == 0x8100 ? "802.1Q" : "802.1ad" } ?? "off"
    let sw = try TestSwitch.make(settings(model), more: ["vlans: \(tag)"], batchSize: [1, 7, 32, 256][Int(seed % 4)])
    for _ in 0..<60 {
      let ingress = Int.random(in: 0..<model.ports.count, using: &random)
      let frames = (0..<Int.random(in: 1...12, using: &random)).map { _ in frame(&random) }
      var expected = [[[UInt8]]](repeating: [], count: model.ports.count)
      for frame in frames {
        for (port, bytes) in model.receive(frame.bytes, ingress) { expected[port].append(bytes) }
      }
      let result = sw.push(frames, at: "p\(ingress)")
      for port in expected.indices {
        #expect(
          result["p\(port)"].map(\.bytes) == expected[port],
          "from \(ingress) to \(port) of \(settings(model)), \(result.drops)")
      }
    }
  }
}

extension UInt16 {
  fileprivate var bigEndianBytes: [UInt8] { [UInt8(self >> 8), UInt8(self & 0xFF)] }
}

/// The same seed gives the same numbers.
private struct SeededNumbers: RandomNumberGenerator {
  private var state: UInt64

  init(seed: UInt64) { state = seed &* 0x9E37_79B9_7F4A_7C15 &+ 1 }

  mutating func next() -> UInt64 {
    state ^= state << 13
    state ^= state >> 7
    state ^= state << 17
    return state &* 0x2545_F491_4F6C_DD1D
  }
}
