import Tables
import Testing
import Wire

/// A tracker that `#expect` can call, which takes nothing that mutates.
private final class Tracking {
  var tracker: TCPTracker
  var state: TCPState { tracker.state }
  var scalesWindows: Bool { tracker.scalesWindows }

  init(_ tracker: TCPTracker) { self.tracker = tracker }

  @discardableResult
  func judge(_ segment: TCPSegment, reply: Bool) -> TCPJudgement { tracker.judge(segment, reply: reply) }
}

/// A connection as a test plays it: numbers relative to what was sent so far.
private final class Play {
  var tracker: TCPTracker
  var next: (initiator: UInt32, responder: UInt32) = (1001, 5001)

  init(scales: (UInt8, UInt8)? = nil, windows: (UInt16, UInt16) = (10_000, 10_000)) {
    tracker = TCPTracker(
      opening: TCPSegment(sequence: 1000, flags: .syn, window: windows.0, windowScale: scales?.0 ?? .max))
    let answer = send(
      reply: true,
      TCPSegment(
        sequence: 5000, acknowledgment: 1001, flags: [.syn, .ack], window: windows.1, windowScale: scales?.1 ?? .max))
    precondition(answer == .accepted)
  }

  /// An established connection.
  static func established(scales: (UInt8, UInt8)? = nil, windows: (UInt16, UInt16) = (10_000, 10_000)) -> Play {
    var play = Play(scales: scales, windows: windows)
    precondition(play.say(.ack) == .accepted)
    return play
  }

  @discardableResult
  func send(reply: Bool, _ segment: TCPSegment) -> TCPJudgement { tracker.judge(segment, reply: reply) }

  /// Sends what continues the connection.
  @discardableResult
  func say(
    _ flags: TCPFlags, reply: Bool = false, data: UInt32 = 0, window: UInt16 = 10_000, offset: UInt32 = 0,
    acknowledgmentOffset: UInt32 = 0
  ) -> TCPJudgement {
    let (own, other) = reply ? (next.responder, next.initiator) : (next.initiator, next.responder)
    let segment = TCPSegment(
      sequence: own &+ offset, acknowledgment: other &+ acknowledgmentOffset, flags: flags, window: window,
      length: data)
    let judgement = tracker.judge(segment, reply: reply)
    if judgement == .accepted, offset == 0 {
      if reply { next.responder = segment.end } else { next.initiator = segment.end }
    }
    return judgement
  }
}

@Suite struct TCPTrackerTests {
  @Test func takesTheSpaceThatIsPromised() {
    #expect(MemoryLayout<TCPTracker>.size == 28)
  }

  // MARK: States

  /// The handshake of figure 6 leads from SYN-SENT by SYN-RECEIVED to ESTABLISHED.
  @Test func rfc9293_3_5_threeWayHandshake() {
    let play = Play()
    #expect(play.tracker.state == .synReceived)
    #expect(play.say(.ack) == .accepted)
    #expect(play.tracker.state == .established)
  }

  /// Ends that send SYN to each other at once are connected when both are acknowledged (figure 7).
  @Test func rfc9293_3_5_simultaneousOpen() {
    let tracker = Tracking(TCPTracker(opening: TCPSegment(sequence: 100, flags: .syn)))
    #expect(tracker.judge(TCPSegment(sequence: 300, flags: .syn), reply: true) == .accepted)
    #expect(tracker.state == .simultaneousOpen)
    let wrong = TCPSegment(sequence: 100, acknowledgment: 300, flags: [.syn, .ack])
    #expect(tracker.judge(wrong, reply: false) == .badAcknowledgment)
    let first = TCPSegment(sequence: 100, acknowledgment: 301, flags: [.syn, .ack])
    #expect(tracker.judge(first, reply: false) == .accepted)
    #expect(tracker.state == .simultaneousOpen)
    let second = TCPSegment(sequence: 300, acknowledgment: 101, flags: [.syn, .ack])
    #expect(tracker.judge(second, reply: true) == .accepted)
    #expect(tracker.state == .established)
    let data = TCPSegment(sequence: 101, acknowledgment: 301, flags: .ack, length: 10)
    #expect(tracker.judge(data, reply: false) == .accepted)
  }

  /// A connection is closed by FIN and its acknowledgement in each direction (figure 12).
  @Test(arguments: [false, true]) func rfc9293_3_6_normalClose(responderFirst: Bool) {
    let play = Play.established()
    #expect(play.say([.fin, .ack], reply: responderFirst) == .accepted)
    #expect(play.tracker.state == .finWait)
    #expect(play.say(.ack, reply: !responderFirst) == .accepted)
    #expect(play.tracker.state == .closeWait)
    // The other end may still send.
    #expect(play.say(.ack, reply: !responderFirst, data: 100) == .accepted)
    #expect(play.tracker.state == .closeWait)
    #expect(play.say([.fin, .ack], reply: !responderFirst) == .accepted)
    #expect(play.tracker.state == .lastAck)
    #expect(play.say(.ack, reply: responderFirst) == .accepted)
    #expect(play.tracker.state == .timeWait)
  }

  /// Ends that send FIN at once are done when both are acknowledged (figure 13).
  @Test func rfc9293_3_6_simultaneousClose() {
    let play = Play.established()
    let (own, other) = play.next
    let fin = TCPSegment(sequence: own, acknowledgment: other, flags: [.fin, .ack])
    let finBack = TCPSegment(sequence: other, acknowledgment: own, flags: [.fin, .ack])
    #expect(play.send(reply: false, fin) == .accepted)
    #expect(play.send(reply: true, finBack) == .accepted)
    #expect(play.tracker.state == .lastAck)
    #expect(play.send(reply: false, TCPSegment(sequence: own + 1, acknowledgment: other + 1, flags: .ack)) == .accepted)
    #expect(play.tracker.state == .lastAck)
    #expect(play.send(reply: true, TCPSegment(sequence: other + 1, acknowledgment: own + 1, flags: .ack)) == .accepted)
    #expect(play.tracker.state == .timeWait)
  }

  /// Behind its FIN an end has no more octets to send.
  @Test func rfc9293_3_6_nothingAfterFin() {
    let play = Play.established()
    play.say([.fin, .ack])
    #expect(play.say(.ack, data: 5) == .outOfWindow)
    #expect(play.say(.ack) == .accepted)
  }

  /// A SYN for the ports of a connection that is over may open another.
  @Test func rfc9293_3_6_1_synInTimeWaitOpensAnother() {
    let play = Play.established()
    play.say([.fin, .ack])
    play.say([.fin, .ack], reply: true)
    #expect(play.send(reply: false, TCPSegment(sequence: 99, flags: .syn)) == .unbelieved)
    play.say(.ack)
    #expect(play.tracker.state == .timeWait)
    #expect(play.send(reply: false, TCPSegment(sequence: 99, flags: .syn)) == .opensAnother)
    #expect(play.send(reply: true, TCPSegment(sequence: 99, flags: .syn)) == .opensAnother)
  }

  /// An end that has lost its connection answers the SYN of a new one by an acknowledgement of the old, and the initiator
  /// resets that (3.5.1, figure 9).
  @Test func rfc9293_3_5_1_halfOpenRecovery() {
    let tracker = Tracking(TCPTracker(opening: TCPSegment(sequence: 400, flags: .syn)))
    let old = TCPSegment(sequence: 300, acknowledgment: 100, flags: .ack)
    #expect(tracker.judge(old, reply: true) == .unbelieved)
    let data = TCPSegment(sequence: 300, acknowledgment: 100, flags: .ack, length: 1)
    #expect(tracker.judge(data, reply: true) == .badHandshake)
    #expect(tracker.judge(TCPSegment(sequence: 100, flags: .rst), reply: false) == .unbelieved)
    #expect(tracker.state == .synSent)
    #expect(tracker.judge(TCPSegment(sequence: 400, flags: .syn), reply: false) == .accepted)
    let answer = TCPSegment(sequence: 700, acknowledgment: 401, flags: [.syn, .ack])
    #expect(tracker.judge(answer, reply: true) == .accepted)
  }

  /// Segments repeat until they are acknowledged: SYN, its answer, and data.
  @Test func rfc9293_3_8_1_retransmissions() {
    let play = Play()
    #expect(play.send(reply: false, TCPSegment(sequence: 1000, flags: .syn)) == .accepted)
    let answer = TCPSegment(sequence: 5000, acknowledgment: 1001, flags: [.syn, .ack])
    #expect(play.send(reply: true, answer) == .accepted)
    #expect(play.say(.ack) == .accepted)
    let data = TCPSegment(sequence: 1001, acknowledgment: 5001, flags: [.ack, .psh], length: 500)
    #expect(play.send(reply: false, data) == .accepted)
    #expect(play.send(reply: false, data) == .accepted)
    #expect(play.tracker.state == .established)
  }

  // MARK: Flags

  /// Of all 64 sets of flags without PSH and ECN, those pass that RFC 9293 gives a meaning.
  @Test func rfc9293_3_10_7_flagsThatMakeNoSense() {
    let sound: Set<UInt8> = [0x02, 0x22, 0x12, 0x04, 0x14, 0x10, 0x30, 0x11, 0x31]
    for bits in UInt8(0)...255 {
      let segment = TCPSegment(sequence: 0, flags: TCPFlags(rawValue: bits))
      #expect(segment.hasSoundFlags == sound.contains(bits & 0x37))
    }
    let play = Play.established()
    #expect(play.say([.syn, .fin]) == .invalidFlags)
    #expect(play.say([]) == .invalidFlags)
    #expect(play.say([.fin, .psh, .urg]) == .invalidFlags)
    #expect(play.say([.syn, .rst]) == .invalidFlags)
  }

  // MARK: Windows

  /// Octets beyond the window that the receiver has advertised are refused, and those up to its end taken.
  @Test func rfc9293_3_10_7_4_beyondTheWindow() {
    let play = Play.established()
    #expect(play.say(.ack, data: 1, offset: 10_001) == .outOfWindow)
    #expect(play.say(.ack, data: 100, offset: 9_900) == .accepted)
    // What was skipped comes later.
    #expect(play.say(.ack, data: 100) == .accepted)
  }

  /// Octets older than a window are refused; keep-alives, just before what is next, are taken.
  @Test func rfc9293_3_8_4_keepAlivesAndOldSegments() {
    let play = Play.established()
    for _ in 0..<20 {
      #expect(play.say(.ack, data: 5_000) == .accepted)
      #expect(play.say(.ack, reply: true) == .accepted)
    }
    #expect(play.say(.ack, offset: UInt32(bitPattern: -1)) == .accepted)
    #expect(play.say(.ack, data: 1, offset: UInt32(bitPattern: -1)) == .accepted)
    #expect(play.say(.ack, data: 100, offset: UInt32(bitPattern: -10_200)) == .outOfWindow)
  }

  /// FIN takes no room in the window that data would.
  @Test func rfc9293_3_4_finAtTheEndOfTheWindow() {
    let play = Play.established()
    #expect(play.say(.ack, data: 10_000) == .accepted)
    #expect(play.say([.fin, .ack]) == .accepted)
    #expect(play.tracker.state == .finWait)
    #expect(play.say([.fin, .ack], reply: true) == .accepted)
    #expect(play.tracker.state == .lastAck)
  }

  /// A closed window may be probed by one octet.
  @Test func rfc9293_3_8_6_1_zeroWindowProbe() {
    let play = Play.established(windows: (10_000, 0))
    #expect(play.say(.ack, data: 1) == .accepted)
    #expect(play.say(.ack, data: 100, offset: 50) == .outOfWindow)
  }

  /// Windows are scaled when both SYNs had the option, and those of SYNs never.
  @Test func rfc7323_2_2_windowsAreScaledWhenBothAgree() {
    let scaled = Play.established(scales: (2, 7))
    #expect(scaled.tracker.scalesWindows)
    #expect(scaled.say(.ack, reply: true, window: 1_000) == .accepted)
    // 1,000 with a scale of 7.
    #expect(scaled.say(.ack, data: 100, offset: 127_900) == .accepted)
    #expect(scaled.say(.ack, data: 1, offset: 128_001) == .outOfWindow)
    let one = Tracking(TCPTracker(opening: TCPSegment(sequence: 0, flags: .syn, window: 1000, windowScale: 7)))
    _ = one.judge(TCPSegment(sequence: 0, acknowledgment: 1, flags: [.syn, .ack], window: 1000), reply: true)
    #expect(!one.scalesWindows)
    _ = one.judge(TCPSegment(sequence: 1, acknowledgment: 1, flags: .ack, window: 1000), reply: false)
    #expect(
      one.judge(TCPSegment(sequence: 1002, acknowledgment: 1, flags: .ack, length: 1), reply: true) == .outOfWindow)
  }

  /// A scale above 14 counts as 14.
  @Test func rfc7323_2_3_scalesAboveFourteen() {
    let play = Play.established(scales: (0, 200))
    #expect(play.say(.ack, reply: true, window: 1) == .accepted)
    #expect(play.say(.ack, data: 1, offset: 16_384) == .accepted)
    #expect(play.say(.ack, data: 1, offset: 16_386) == .outOfWindow)
  }

  /// Sequence numbers go around.
  @Test func rfc9293_3_4_sequenceNumbersWrap() {
    let tracker = Tracking(TCPTracker(opening: TCPSegment(sequence: .max - 1, flags: .syn)))
    let answer = TCPSegment(sequence: .max, acknowledgment: .max, flags: [.syn, .ack])
    #expect(tracker.judge(answer, reply: true) == .accepted)
    let data = TCPSegment(sequence: .max, acknowledgment: 0, flags: .ack, length: 1000)
    #expect(tracker.judge(data, reply: false) == .accepted)
    #expect(tracker.judge(TCPSegment(sequence: 0, acknowledgment: 999, flags: .ack), reply: true) == .accepted)
    #expect(
      tracker.judge(TCPSegment(sequence: 0, acknowledgment: 1000, flags: .ack), reply: true) == .badAcknowledgment)
  }

  // MARK: Attacks

  /// An acknowledgement of what was never sent, or of what is long past, is refused.
  @Test func rfc5961_5_2_acknowledgmentsAreBounded() {
    let play = Play.established()
    #expect(play.say(.ack, acknowledgmentOffset: 1) == .badAcknowledgment)
    #expect(play.say(.ack, acknowledgmentOffset: UInt32(bitPattern: -66_000)) == .accepted)
    #expect(play.say(.ack, acknowledgmentOffset: UInt32(bitPattern: -66_001)) == .badAcknowledgment)
  }

  /// A reset ends the connection when its number is the one expected; others in the window pass, for the receiver to
  /// challenge, and change nothing; those outside are refused.
  @Test func rfc5961_3_2_resetsInTheWindowAreNotBelieved() {
    let play = Play.established()
    #expect(play.say(.rst, offset: 10_001) == .badReset)
    #expect(play.say(.rst, offset: UInt32(bitPattern: -1)) == .badReset)
    #expect(play.say(.rst, offset: 1) == .unbelieved)
    #expect(play.say(.rst, offset: 10_000) == .unbelieved)
    #expect(play.tracker.state == .established)
    #expect(play.say(.ack, data: 10) == .accepted)
    #expect(play.say(.rst) == .accepted)
    #expect(play.tracker.state == .closed)
  }

  /// A reset among octets that are under way may be the one expected or not: the connection is kept, but not for long.
  @Test func rfc5961_3_2_resetsAmongOctetsUnderWayAreInDoubt() {
    let play = Play.established()
    play.say(.ack, data: 1000)
    #expect(play.say(.rst, offset: UInt32(bitPattern: -500)) == .unbelieved)
    #expect(play.tracker.state == .established)
    #expect(play.tracker.isDoubtful)
    #expect(play.say(.ack, reply: true) == .accepted)
    #expect(!play.tracker.isDoubtful)
  }

  /// A SYN within a connection passes for its receiver to challenge, and changes nothing.
  @Test func rfc5961_4_2_synsAreNotBelieved() {
    let play = Play.established()
    for offset in [0, 100, 50_000] as [UInt32] {
      #expect(play.say(.syn, offset: offset) == .unbelieved)
      #expect(play.say([.syn, .ack], reply: true, offset: offset) == .unbelieved)
    }
    #expect(play.tracker.state == .established)
    #expect(play.say(.ack, data: 100) == .accepted)
  }

  /// A reset answers a SYN only when it acknowledges it.
  @Test func rfc9293_3_10_7_3_resetsOfASynMustAcknowledgeIt() {
    let tracker = Tracking(TCPTracker(opening: TCPSegment(sequence: 1000, flags: .syn)))
    #expect(tracker.judge(TCPSegment(sequence: 0, flags: .rst), reply: true) == .badReset)
    #expect(
      tracker.judge(TCPSegment(sequence: 0, acknowledgment: 1000, flags: [.rst, .ack]), reply: true) == .badReset)
    #expect(tracker.state == .synSent)
    #expect(
      tracker.judge(TCPSegment(sequence: 0, acknowledgment: 1001, flags: [.rst, .ack]), reply: true) == .accepted)
    #expect(tracker.state == .closed)
  }

  /// An answer that does not acknowledge the SYN passes, so that the initiator can reset it, and changes nothing.
  @Test func rfc9293_3_10_7_3_answersToAnotherSyn() {
    let tracker = Tracking(TCPTracker(opening: TCPSegment(sequence: 1000, flags: .syn)))
    let wrong = TCPSegment(sequence: 7, acknowledgment: 500, flags: [.syn, .ack])
    #expect(tracker.judge(wrong, reply: true) == .unbelieved)
    #expect(tracker.state == .synSent)
    // The handshake is not completed by an initiator who acknowledges something else.
    let play = Play()
    #expect(play.say(.ack, acknowledgmentOffset: 5) == .badAcknowledgment)
    #expect(play.say(.ack, acknowledgmentOffset: UInt32(bitPattern: -1)) == .badAcknowledgment)
    #expect(play.tracker.state == .synReceived)
  }

  /// A SYN may bring data, of which its answer acknowledges as much as it likes.
  @Test func rfc7413_4_2_1_synsWithData() {
    for accepted in [0, 50, 100] as [UInt32] {
      let tracker = Tracking(TCPTracker(opening: TCPSegment(sequence: 1000, flags: .syn, length: 100)))
      let tooMuch = TCPSegment(sequence: 5000, acknowledgment: 1102, flags: [.syn, .ack])
      #expect(tracker.judge(tooMuch, reply: true) == .unbelieved)
      let answer = TCPSegment(sequence: 5000, acknowledgment: 1001 + accepted, flags: [.syn, .ack])
      #expect(tracker.judge(answer, reply: true) == .accepted)
      let completion = TCPSegment(sequence: 1001 + accepted, acknowledgment: 5001, flags: .ack, length: 10)
      #expect(tracker.judge(completion, reply: false) == .accepted)
      #expect(tracker.state == .established)
    }
  }

  /// An ICMP error must quote octets that are under way.
  @Test func rfc5927_4_1_quotedNumbers() {
    let play = Play.established()
    play.say(.ack, data: 1000)
    #expect(play.tracker.mayQuote(1001, reply: false))
    #expect(play.tracker.mayQuote(2001, reply: false))
    #expect(!play.tracker.mayQuote(2002, reply: false))
    #expect(!play.tracker.mayQuote(1001 &- 20_000, reply: false))
    #expect(play.tracker.mayQuote(5001, reply: true))
    #expect(!play.tracker.mayQuote(5100, reply: true))
  }

  @Test func aConnectionIsPickedUpInItsMidst() {
    let tracker = Tracking(
      TCPTracker(pickingUp: TCPSegment(sequence: 70_000, acknowledgment: 90_000, flags: .ack, window: 100, length: 10)))
    #expect(tracker.state == .established)
    let answer = TCPSegment(sequence: 90_000, acknowledgment: 70_010, flags: .ack, window: 500, length: 1460)
    #expect(tracker.judge(answer, reply: true) == .accepted)
    #expect(tracker.judge(TCPSegment(sequence: 70_010, acknowledgment: 91_460, flags: .ack), reply: false) == .accepted)
    #expect(tracker.judge(TCPSegment(sequence: 70_010, acknowledgment: 91_461, flags: .ack), reply: false) != .accepted)
  }

  // MARK: Model

  /// Two ends that keep to RFC 9293 and a network that loses, repeats and reorders: whatever an end would take, the tracker
  /// lets pass, and whatever is outside both ends' windows, it does not.
  @Test func whatTheEndsTakeThatPasses() {
    var delivered = 0
    for seed in 0..<500 as Range<UInt64> {
      var model = TCPModel(seed: seed)
      model.run()
      #expect(model.problems.isEmpty, "seed \(seed): \(model.problems.prefix(3))")
      delivered += model.delivered
    }
    #expect(delivered > 5_000)
  }
}

/// Two TCP ends in a few lines, connected through a tracker.
private struct TCPModel {
  struct End {
    var una: UInt32
    var nxt: UInt32
    var rcv: UInt32 = 0
    /// What it has room for.
    var window: UInt32
    /// The end of what the peer has advertised.
    var limit: UInt32 = 0
    var scale: UInt8
    var hasFinished = false
    var highestAdvertised: UInt32 = 0
  }

  var random: RepeatableRandom
  var ends: [End]
  var tracker: TCPTracker
  var air: [(from: Int, TCPSegment)] = []
  var problems: [String] = []
  var delivered = 0

  init(seed: UInt64) {
    random = RepeatableRandom(state: seed &* 0x9E37_79B9 &+ 7)
    let numbers = [
      UInt32.random(in: 0...UInt32.max, using: &random), UInt32.random(in: 0...UInt32.max, using: &random),
    ]
    let scales = [UInt8.random(in: 0...9, using: &random), UInt8.random(in: 0...9, using: &random)]
    let windows = [UInt32.random(in: 1...60_000, using: &random), UInt32.random(in: 1...60_000, using: &random)]
    ends = (0..<2).map {
      End(una: numbers[$0] &+ 1, nxt: numbers[$0] &+ 1, window: windows[$0], scale: scales[$0])
    }
    let syn = TCPSegment(
      sequence: numbers[0], flags: .syn, window: UInt16(ends[0].window), windowScale: scales[0])
    tracker = TCPTracker(opening: syn)
    let answer = TCPSegment(
      sequence: numbers[1], acknowledgment: numbers[0] &+ 1, flags: [.syn, .ack], window: UInt16(ends[1].window),
      windowScale: scales[1])
    precondition(tracker.judge(answer, reply: true) == .accepted)
    for index in 0..<2 {
      ends[index].rcv = numbers[1 - index] &+ 1
      ends[index].limit = numbers[index] &+ 1 &+ ends[1 - index].window
      ends[index].highestAdvertised = numbers[1 - index] &+ 1 &+ ends[index].window
    }
    let completion = TCPSegment(
      sequence: numbers[0] &+ 1, acknowledgment: numbers[1] &+ 1, flags: .ack,
      window: UInt16(ends[0].window >> UInt32(scales[0])))
    precondition(tracker.judge(completion, reply: false) == .accepted)
  }

  mutating func run() {
    for _ in 0..<300 {
      let who = Int.random(in: 0..<2, using: &random)
      switch Int.random(in: 0..<10, using: &random) {
      case 0..<4: sendData(who)
      case 4: air.append((who, acknowledgment(who)))
      case 5: ends[who].window = UInt32.random(in: 0...(60_000 << UInt32(ends[who].scale)), using: &random)
      case 6: attack(who)
      default: deliver()
      }
    }
  }

  func acknowledgment(_ who: Int) -> TCPSegment {
    let end = ends[who]
    let field = min(end.window >> UInt32(end.scale), 65_535)
    return TCPSegment(sequence: end.nxt, acknowledgment: end.rcv, flags: .ack, window: UInt16(field))
  }

  mutating func sendData(_ who: Int) {
    let unacknowledged = ends[who].nxt &- ends[who].una
    if unacknowledged > 0, Int.random(in: 0..<3, using: &random) == 0 {
      // What was lost is sent again.
      var segment = acknowledgment(who)
      segment.sequence = ends[who].una
      segment.length = UInt32.random(in: 1...min(unacknowledged, 1460), using: &random)
      return pass(who, segment)
    }
    let room = Int32(bitPattern: ends[who].limit &- ends[who].nxt)
    guard room > 0, !ends[who].hasFinished else { return }
    var segment = acknowledgment(who)
    segment.length = UInt32.random(in: 1...min(UInt32(room), 1460), using: &random)
    ends[who].nxt &+= segment.length
    pass(who, segment)
  }

  /// Everything passes the tracker in the order it is sent; the network is behind it.
  mutating func pass(_ who: Int, _ segment: TCPSegment) {
    let judgement = tracker.judge(segment, reply: who == 1)
    if judgement != .accepted { problems.append("\(who) \(segment): \(judgement)") }
    note(who, segment)
    if Int.random(in: 0..<10, using: &random) > 0 { air.append((who, segment)) }
    if Int.random(in: 0..<10, using: &random) == 0 { air.append((who, segment)) }
  }

  mutating func note(_ who: Int, _ segment: TCPSegment) {
    let advertised = segment.acknowledgment &+ UInt32(segment.window) << UInt32(ends[who].scale)
    if Int32(bitPattern: advertised &- ends[who].highestAdvertised) > 0 { ends[who].highestAdvertised = advertised }
  }

  mutating func deliver() {
    guard !air.isEmpty else { return }
    let (from, segment) = air.remove(at: Int.random(in: 0..<air.count, using: &random))
    let to = 1 - from
    // An acknowledgement that was sent behind the tracker's back passes it now.
    let judgement = tracker.judge(segment, reply: from == 1)
    note(from, segment)
    let isOld = Int32(bitPattern: segment.sequence &- ends[to].rcv) < -60_000
    if judgement != .accepted, !isOld, isAcceptable(to, segment) {
      problems.append("late \(from) \(segment): \(judgement)")
    }
    let start = Int32(bitPattern: segment.sequence &- ends[to].rcv)
    if start <= 0, Int32(bitPattern: segment.end &- ends[to].rcv) > 0, segment.length <= ends[to].window {
      ends[to].rcv = segment.end
      delivered += 1
      pass(to, acknowledgment(to))
    }
    if Int32(bitPattern: segment.acknowledgment &- ends[to].una) >= 0 {
      ends[to].una = segment.acknowledgment
      let limit = segment.acknowledgment &+ UInt32(segment.window) << UInt32(ends[from].scale)
      if Int32(bitPattern: limit &- ends[to].limit) > 0 { ends[to].limit = limit }
    }
  }

  /// RFC 9293, 3.10.7.4, and RFC 5961, 5.2.
  func isAcceptable(_ who: Int, _ segment: TCPSegment) -> Bool {
    let first = Int32(bitPattern: segment.sequence &- ends[who].rcv)
    let isInWindow = first >= 0 && first < Int32(max(ends[who].window, 1))
    let acknowledged = Int32(bitPattern: segment.acknowledgment &- ends[who].nxt)
    return isInWindow && acknowledged <= 0 && acknowledged > -66_000
  }

  /// A segment that is made up far from anything.
  mutating func attack(_ who: Int) {
    var segment = acknowledgment(who)
    segment.length = 100
    segment.sequence = ends[1 - who].highestAdvertised &+ 2 &+ UInt32.random(in: (1 << 26)...(1 << 30), using: &random)
    if tracker.judge(segment, reply: who == 1) == .accepted { problems.append("taken: \(segment)") }
  }
}
