import Configuration
import Dataplane
import Tables
import Wire

/// Judges frames that come in by one port of a switch, learns who sent them, and gives them to the ports that they leave by;
/// a part of `Switch`. Its outputs are the switch's ports.
struct SwitchPort: Element, ~Copyable {
  typealias Output = NumberedOutput

  /// Why frames are dropped.
  enum Drop: UInt8, ElementDropReason {
    /// To 01-80-C2-00-00-00 to 0F, which no bridge forwards (IEEE 802.1Q, 8.6.3).
    case reservedAddress
    /// From a group, or from nobody.
    case invalidSource
    /// It names a VLAN, or names none, and the port does not take such frames.
    case frameType
    /// The port it came in by is no member of its VLAN.
    case notMember
    /// Its source is beyond the port's limit of stations.
    case addressLimit
    /// Its source changes its port to and fro: there may be a loop.
    case flapping
    /// Its destination is where it came from.
    case samePort
    /// The port of its destination is in the same split horizon group as the one it came in by.
    case splitHorizon
    /// The port of its destination is no member of its VLAN.
    case notMemberThere
    /// There is no port to flood it to.
    case noPort
    /// More broadcasts than the port's limit.
    case broadcastStorm
    /// More frames to groups than the port's limit.
    case multicastStorm
    /// More frames to stations that are not known than the port's limit.
    case unknownStorm
  }

  private enum Count: Int, CaseIterable {
    case learned, moved, flapping, notLearned, misplaced, flooded, notCopied
  }

  /// What is to become of a frame as far as it shows itself.
  private enum Fate: UInt8, BitwiseCopyable {
    case toStation, toGroup, toAll
    /// Not forwarded, though its source is learned (IEEE 802.1Q, 8.7).
    case reservedAddress
    /// What the link's own end should have kept to itself (IEEE 802.3, 31): not even its source is learned.
    case pause
    case malformed, invalidSource, frameType, notMember

    /// Whether the frame is let in.
    @inline(__always)
    var isTaken: Bool { rawValue <= Self.reservedAddress.rawValue }
  }

  /// What a frame says of its VLAN.
  private enum Tagging: UInt8, BitwiseCopyable {
    case none, priority, named
  }

  private struct Note: BitwiseCopyable {
    var vlan: UInt16 = 0
    var fate = Fate.malformed
    var tagging = Tagging.none
  }

  private let number: Int
  private let names: [String]
  private let table: MACTable
  private let reader: MACTableReader
  private let vlans: FlatArray<SwitchVLAN>
  private let reach: UInt64
  private let unknownReach: UInt64
  /// Nil: frames pass whatever their tags.
  private let tag: EtherType?
  /// What a tag has for frames that came in without: the priority and the PVID; a PVID of 0 is none.
  private let ownControl: UInt16
  private let frameTypes: FrameTypes
  private let filtersIngress: Bool
  private let learns: Bool
  private let dropsBeyondLimit: Bool
  private let dropsFlapping: Bool
  private var broadcastLimit: Limit?
  private var multicastLimit: Limit?
  private var unknownLimit: Limit?
  private let counts = Tally(Count.allCases.count)
  private var burst = StationBurst(capacity: 256)
  private var notes = InlineArray<256, Note>(repeating: Note())

  init(_ state: SwitchState, number: Int) {
    let port = state.ports[number]
    self.number = number
    names = state.ports.map(\.name)
    table = state.table
    reader = MACTableReader(state.table.reader)
    vlans = state.vlans
    reach = state.reach(from: number)
    unknownReach = state.unknownReach
    tag = state.tag.etherType
    ownControl = port.vlans.priority << 13 | (port.vlans.pvid ?? 0)
    frameTypes = port.vlans.frameTypes
    filtersIngress = port.vlans.filtersIngress
    learns = port.learns
    dropsBeyondLimit = port.limitAction == .drop
    dropsFlapping = state.blocksFlapping
    broadcastLimit = port.storm.broadcast.map { Limit($0) }
    multicastLimit = port.storm.multicast.map { Limit($0) }
    unknownLimit = port.storm.unknown.map { Limit($0) }
  }

  init(_ settings: inout Settings) throws(ConfigurationError) {
    throw settings.fail(nil, "this is a part of Switch", remedy: "use Switch")
  }

  var outputs: [OutputDescription] { names.map { OutputDescription($0) } }

  var counters: [ElementCounter] {
    Count.allCases.map { ElementCounter("\($0)", counts[$0.rawValue]) }
  }

  private func count(_ what: Count) { counts.add(1, to: what.rawValue) }

  // MARK: Time

  mutating func start(_ context: inout Context) { keepTime(&context) }

  mutating func wake(_ batch: inout PacketBatch<Self>, _ context: inout Context) { keepTime(&context) }

  private func keepTime(_ context: inout Context) {
    context.wake(at: Instant(nanoseconds: table.advance(now: context.now.nanoseconds)))
  }

  // MARK: Frames

  mutating func process(_ batch: inout PacketBatch<Self>, _ context: inout Context) {
    let now = context.now
    if reader.isDue(now: now.nanoseconds) { table.advance(now: now.nanoseconds) }
    let tick = reader.tick
    batch.survey { index, packet in notes[index] = read(packet, index) }
    var position = -1
    var floods = Flood.stations
    batch.forEach { packet in
      position &+= 1
      let note = notes[position]
      guard note.fate.isTaken else { return Self.refusal(note.fate) }
      if learns, !reader.isFresh(burst, position, port: number, tick: tick),
        let verdict = learn(position, tick: tick, now: now)
      {
        return verdict
      }
      guard note.fate == .toStation else {
        if note.fate == .reservedAddress { return Self.refusal(note.fate) }
        floods = note.fate == .toAll ? .all : .groups
        return nil
      }
      let reading = reader.destination(burst, position, tick: tick)
      guard reading.isKnown else {
        floods = .stations
        return nil
      }
      let vlan = vlans[Int(note.vlan)]
      let target = UInt64(1) << UInt64(truncatingIfNeeded: reading.port)
      guard vlan.members & reach & target != 0 else { return refusal(to: reading.port, vlan) }
      guard tag == nil || bears(&packet, note, withTag: vlan.untagged & target == 0) else { return .drop(.noBuffer) }
      return .forward(NumberedOutput(reading.port))
    } otherwise: { packet, emitter in
      flood(packet, notes[position], floods, &emitter, &context)
    }
  }

  /// Reads what a frame says of its stations and its VLAN.
  @inline(__always)
  private mutating func read(_ packet: borrowing Packet, _ index: Int) -> Note {
    guard let ethernet = packet.ethernet else { return Note() }
    let destination = ethernet.destination
    let source = ethernet.source
    var note = Note()
    if let tag {
      note.vlan = ownControl & 0xFFF
      if ethernet.etherType == tag {
        guard let control = packet.tagControl(tag) else { return note }
        note.tagging = control & 0xFFF == 0 ? .priority : .named
        if note.tagging == .named { note.vlan = control & 0xFFF }
      }
    }
    burst.set(
      index, source: StationKey(source, vlan: note.vlan), destination: StationKey(destination, vlan: note.vlan),
      in: reader)
    note.fate = destination.isMulticast ? (destination.isBroadcast ? .toAll : .toGroup) : .toStation
    if destination.rawValue >> 4 == 0x0180_C200_000 {
      note.fate = destination.rawValue & 15 == 1 ? .pause : .reservedAddress
    }
    if source.isMulticast || source.isZero { note.fate = .invalidSource }
    if tag != nil {
      switch frameTypes {
      case .all: if note.vlan == 0 { note.fate = .frameType }
      case .tagged: if note.tagging != .named { note.fate = .frameType }
      case .untagged: if note.tagging == .named || note.vlan == 0 { note.fate = .frameType }
      }
      if note.fate.isTaken {
        let members = vlans[Int(note.vlan)].members
        // A VLAN without members is none of this switch: nobody is learned in it.
        if members == 0 || filtersIngress && members >> UInt64(truncatingIfNeeded: number) & 1 == 0 {
          note.fate = .notMember
        }
      }
    }
    return note
  }

  private static func refusal(_ fate: Fate) -> Verdict<Output> {
    switch fate {
    case .pause, .reservedAddress: .drop(Drop.reservedAddress)
    case .invalidSource: .drop(Drop.invalidSource)
    case .frameType: .drop(Drop.frameType)
    case .notMember: .drop(Drop.notMember)
    case .malformed, .toStation, .toGroup, .toAll: .drop(.malformed)
    }
  }

  /// Why a frame does not go to the port of its destination.
  private func refusal(to port: Int, _ vlan: SwitchVLAN) -> Verdict<Output> {
    if port == number { return .drop(Drop.samePort) }
    return vlan.members >> UInt64(truncatingIfNeeded: port) & 1 == 0
      ? .drop(Drop.notMemberThere) : .drop(Drop.splitHorizon)
  }

  /// Learns where a frame's source is; says what becomes of the frame if that decides it.
  @inline(never)
  private func learn(_ position: Int, tick: UInt64, now: Instant) -> Verdict<Output>? {
    switch table.learn(burst, position, port: number, tick: tick, now: now.nanoseconds) {
    case .known: break
    case .learned: count(.learned)
    case .moved: count(.moved)
    case .misplaced: count(.misplaced)
    case .tableFull: count(.notLearned)
    case .portFull:
      count(.notLearned)
      if dropsBeyondLimit { return .drop(Drop.addressLimit) }
    case .flapping:
      count(.flapping)
      if dropsFlapping { return .drop(Drop.flapping) }
    }
    return nil
  }

  /// Gives a frame the tag that it leaves with, or takes it away. False when that takes a buffer and none is left.
  @inline(__always)
  private func bears(_ packet: inout Packet, _ note: Note, withTag: Bool) -> Bool {
    if withTag { return note.tagging == .named || putTag(&packet, note) }
    return note.tagging == .none || packet.popTag()
  }

  /// Has a frame that names no VLAN name the one that it is in.
  @inline(never)
  private func putTag(_ packet: inout Packet, _ note: Note) -> Bool {
    guard let tag else { return true }
    if note.tagging == .none { return packet.pushTag(tag, control: ownControl) }
    guard let control = packet.tagControl(tag) else { return false }
    return packet.setTagControl(tag, control & 0xF000 | note.vlan)
  }

  // MARK: Flooding

  /// Why a frame goes to many.
  private enum Flood {
    case stations, groups, all
  }

  @inline(never)
  private mutating func flood(
    _ packet: consuming Packet, _ note: Note, _ why: Flood, _ emitter: inout Emitter<Self>, _ context: inout Context
  ) {
    if let storm = storm(packet, why, now: context.now) {
      emitter.drop(packet, storm)
      return
    }
    let vlan = vlans[Int(note.vlan)]
    let ports = vlan.members & reach & (why == .stations ? unknownReach : .max)
    guard ports != 0 else {
      emitter.drop(packet, Drop.noPort)
      return
    }
    count(.flooded)
    // First to the ports that take it nearest to how it is; then it is changed once for the others.
    let untagged = tag == nil ? ports : ports & vlan.untagged
    let tagged = ports & ~untagged
    // A priority that it brought must not be lost on the way.
    let tagsFirst = note.tagging != .none
    let (first, second) = tagsFirst ? (tagged, untagged) : (untagged, tagged)
    var now = note
    if first != 0 {
      if tag != nil {
        guard bears(&packet, now, withTag: tagsFirst) else {
          emitter.drop(packet, .noBuffer)
          return
        }
        now.tagging = tagsFirst ? .named : .none
      }
      guard second != 0 else {
        send(packet, first, &emitter, &context)
        return
      }
      for port in bits(of: first) { copy(packet, port, &emitter, &context) }
    }
    guard bears(&packet, now, withTag: !tagsFirst) else {
      emitter.drop(packet, .noBuffer)
      return
    }
    send(packet, second, &emitter, &context)
  }

  /// Sends copies to all ports but the last, which gets the frame itself.
  private func send(
    _ packet: consuming Packet, _ ports: UInt64, _ emitter: inout Emitter<Self>, _ context: inout Context
  ) {
    let last = 63 - ports.leadingZeroBitCount
    for port in bits(of: ports & ~(1 << UInt64(last))) { copy(packet, port, &emitter, &context) }
    emitter.emit(packet, to: NumberedOutput(last))
  }

  private func copy(
    _ packet: borrowing Packet, _ port: Int, _ emitter: inout Emitter<Self>, _ context: inout Context
  ) {
    if let copy = context.clone(packet) { emitter.emit(copy, to: NumberedOutput(port)) } else { count(.notCopied) }
  }

  private mutating func storm(_ packet: borrowing Packet, _ why: Flood, now: Instant) -> DropReason? {
    switch why {
    case .all: broadcastLimit?.allows(packet, now: now) == false ? Drop.broadcastStorm.reason : nil
    case .groups: multicastLimit?.allows(packet, now: now) == false ? Drop.multicastStorm.reason : nil
    case .stations: unknownLimit?.allows(packet, now: now) == false ? Drop.unknownStorm.reason : nil
    }
  }
}

/// The numbers of the bits that are set, lowest first.
private func bits(of set: UInt64) -> some Sequence<Int> {
  sequence(state: set) { left in
    guard left != 0 else { return nil }
    defer { left &= left &- 1 }
    return left.trailingZeroBitCount
  }
}
