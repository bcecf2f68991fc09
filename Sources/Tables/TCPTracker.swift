public import Wire

/// What a `TCPTracker` looks at in a segment, in the host's byte order.
@frozen
public struct TCPSegment: Sendable, BitwiseCopyable {
  /// Sequence number of the first octet; of the SYN when there is one.
  public var sequence: UInt32
  /// The acknowledgement number; counts with the ACK flag.
  public var acknowledgment: UInt32
  /// Octets of data.
  public var length: UInt32
  /// The window field, not scaled.
  public var window: UInt16
  /// The flags' bits.
  public var flagBits: UInt8
  /// The window scale option (RFC 7323, 2.2), of segments with SYN; `noScale` without one.
  public var windowScale: UInt8

  /// The length of a segment of which only the first fragment is at hand; none is that long.
  @inlinable public static var unknownLength: UInt32 { 65_535 }
  /// There is no window scale option.
  @inlinable public static var noScale: UInt8 { .max }

  /// A segment.
  @inlinable
  public init(
    sequence: UInt32, acknowledgment: UInt32 = 0, flags: TCPFlags, window: UInt16 = 65_535, length: UInt32 = 0,
    windowScale: UInt8 = TCPSegment.noScale
  ) {
    self.sequence = sequence
    self.acknowledgment = acknowledgment
    self.length = length
    self.window = window
    flagBits = flags.rawValue
    self.windowScale = windowScale
  }

  /// The flags.
  @inlinable public var flags: TCPFlags { TCPFlags(rawValue: flagBits) }

  /// The sequence number behind the segment; SYN and FIN take one each (RFC 9293, 3.4).
  @inlinable
  public var end: UInt32 { sequence &+ length &+ UInt32(flagBits >> 1 & 1) &+ UInt32(flagBits & 1) }

  /// Whether the flags make sense together: one of SYN, RST and ACK is there, FIN and URG only with ACK or SYN, and SYN
  /// neither with FIN nor with RST (RFC 9293, 3.10.7). What port scanners send otherwise is none of TCP's.
  @inlinable
  public var hasSoundFlags: Bool {
    switch flagBits & 0x37 {
    // SYN, SYN URG, SYN ACK; RST, RST ACK; ACK, ACK URG; FIN ACK, FIN ACK URG.
    case 0x02, 0x22, 0x12, 0x04, 0x14, 0x10, 0x30, 0x11, 0x31: true
    default: false
    }
  }
}

/// How far a TCP connection has come, as somebody between its ends sees it (RFC 9293, 3.3.2).
@frozen
public enum TCPState: UInt8, Sendable, CaseIterable, BitwiseCopyable {
  /// The initiator has sent SYN.
  case synSent
  /// Both ends have sent SYN, and neither has acknowledged the other's (RFC 9293, 3.5, figure 7).
  case simultaneousOpen
  /// The responder has answered the SYN with its own.
  case synReceived
  /// Both SYNs are acknowledged.
  case established
  /// One end has sent FIN.
  case finWait
  /// One end's FIN is acknowledged; the other may still send.
  case closeWait
  /// Both ends have sent FIN.
  case lastAck
  /// Both FINs are acknowledged.
  case timeWait
  /// Reset.
  case closed

  /// Whether no end can send data yet.
  @inlinable public var isOpening: Bool { rawValue <= TCPState.synReceived.rawValue }
  /// Whether it is over: a SYN may begin another connection between the same ports.
  @inlinable public var isOver: Bool { rawValue >= TCPState.timeWait.rawValue }

  /// "SYN_SENT" and the like, as RFC 9293 and netstat write them.
  public var name: String {
    switch self {
    case .synSent: "SYN_SENT"
    case .simultaneousOpen: "SYN_SENT2"
    case .synReceived: "SYN_RECEIVED"
    case .established: "ESTABLISHED"
    case .finWait: "FIN_WAIT"
    case .closeWait: "CLOSE_WAIT"
    case .lastAck: "LAST_ACK"
    case .timeWait: "TIME_WAIT"
    case .closed: "CLOSED"
    }
  }
}

/// What a `TCPTracker` says of a segment.
@frozen
public enum TCPJudgement: UInt8, Sendable {
  /// It belongs to the connection, and its receiver will take it.
  case accepted
  /// It may go on to its receiver, who knows better and answers with a challenge where that is due (RFC 5961): nothing
  /// follows from it.
  case unbelieved
  /// A SYN where the connection is over: it may begin another.
  case opensAnother
  /// Flags that make no sense together.
  case invalidFlags
  /// Octets that the receiver cannot take: beyond its window, or long before (RFC 9293, 3.10.7.4; RFC 7323).
  case outOfWindow
  /// It acknowledges what was never sent, or what was acknowledged long before (RFC 5961, 5.2).
  case badAcknowledgment
  /// It does not fit how far the handshake has come.
  case badHandshake
  /// A reset that its receiver ignores (RFC 9293, 3.10.7.3; RFC 5961, 3.2).
  case badReset

  /// Whether the segment goes on.
  @inlinable public var passes: Bool { rawValue <= TCPJudgement.unbelieved.rawValue }
}

/// Follows a TCP connection from between its ends: how far it has come, and which segments its ends can take. Has 28
/// bytes and no clock.
///
/// An end's window is bounded from what it was seen to acknowledge and advertise, as in van Rooij's "Real Stateful TCP Packet
/// Filtering". Only what an end is bound to accept changes the state: resets and SYNs that it may challenge (RFC 5961) pass
/// and change nothing.
@frozen
public struct TCPTracker: Sendable, BitwiseCopyable {
  /// What one end was seen to send.
  @frozen
  public struct End: Sendable, BitwiseCopyable {
    /// The sequence number behind all that it sent.
    public var end: UInt32
    /// The highest acknowledgement number that it sent. Before the initiator has sent one, the number behind its SYN alone.
    public var acknowledged: UInt32
    /// The largest window that it advertised, scaled, 1 at least: a closed window may be probed (RFC 9293, 3.8.6.1).
    public var window: UInt32

    @inlinable
    init(end: UInt32, acknowledged: UInt32, window: UInt32) {
      self.end = end
      self.acknowledged = acknowledged
      self.window = window
    }
  }

  /// The end that opened the connection.
  public var initiator: End
  /// The other end.
  public var responder: End
  /// How far the connection has come.
  public var state: TCPState
  @usableFromInline var marks: UInt8
  @usableFromInline var initiatorScale: UInt8
  @usableFromInline var responderScale: UInt8

  // Bits of `marks`; those of the responder stand one higher.
  @usableFromInline static var acknowledging: UInt8 { 1 }
  @usableFromInline static var finished: UInt8 { 4 }
  @usableFromInline static var finishAcknowledged: UInt8 { 16 }
  /// A reset passed that its receiver may have taken.
  @usableFromInline static var doubtful: UInt8 { 64 }

  /// Scales above 14 count as 14 (RFC 7323, 2.3).
  @usableFromInline static var largestScale: UInt8 { 14 }
  /// Acknowledgements may be late by this much whatever the window was: delayed, duplicate, reordered.
  @usableFromInline static var leastAcknowledgmentWindow: UInt32 { 66_000 }

  /// A connection that its initiator's SYN opens.
  @inlinable
  public init(opening syn: TCPSegment) {
    initiator = End(end: syn.end, acknowledged: syn.sequence &+ 1, window: max(UInt32(syn.window), 1))
    responder = End(end: 0, acknowledged: 0, window: 1)
    state = .synSent
    marks = 0
    initiatorScale = syn.windowScale
    responderScale = TCPSegment.noScale
  }

  /// A connection in whose midst this segment, with ACK, is. Nothing is known of its windows, so they may be as large as
  /// windows can be.
  @inlinable
  public init(pickingUp segment: TCPSegment) {
    initiator = End(end: segment.end, acknowledged: segment.acknowledgment, window: 65_535 << 14)
    responder = End(end: segment.acknowledgment, acknowledged: segment.sequence, window: 65_535 << 14)
    state = .established
    marks = Self.acknowledging | Self.acknowledging << 1
    initiatorScale = Self.largestScale
    responderScale = Self.largestScale
    if segment.flags.contains(.fin) {
      marks |= Self.finished
      state = .finWait
    }
  }

  /// A connection whose ends have agreed, both SYNs acknowledged, as a proxy of the handshake knows it.
  /// - Parameters:
  ///   - initiator: The number behind the initiator's SYN.
  ///   - responder: The number behind the responder's SYN.
  ///   - initiatorWindow: In octets, scaled.
  ///   - responderWindow: In octets, scaled.
  ///   - scales: Of both ends' windows; nil when windows are not scaled.
  @inlinable
  public init(
    agreed initiator: UInt32, _ responder: UInt32, initiatorWindow: UInt32, responderWindow: UInt32,
    scales: (initiator: UInt8, responder: UInt8)?
  ) {
    self.initiator = End(end: initiator, acknowledged: responder, window: max(initiatorWindow, 1))
    self.responder = End(end: responder, acknowledged: initiator, window: max(responderWindow, 1))
    state = .established
    marks = Self.acknowledging | Self.acknowledging << 1
    initiatorScale = scales?.initiator ?? TCPSegment.noScale
    responderScale = scales?.responder ?? TCPSegment.noScale
  }

  /// Whether a reset passed that its receiver may have taken, and nothing came since.
  @inlinable public var isDoubtful: Bool { marks & Self.doubtful != 0 }

  /// Whether windows are scaled: both SYNs had the option (RFC 7323, 2.2).
  @inlinable
  public var scalesWindows: Bool {
    initiatorScale != TCPSegment.noScale && responderScale != TCPSegment.noScale
  }

  // MARK: Judging

  /// Judges a segment and goes on with it.
  /// - Parameter reply: Whether it is from the responder.
  @inlinable
  public mutating func judge(_ segment: TCPSegment, reply: Bool) -> TCPJudgement {
    // Nearly all segments: ACK and perhaps PSH of an established connection.
    if segment.flagBits & ~0x08 == 0x10, state == .established { return judgeData(segment, reply: reply) }
    return judgeAny(segment, reply: reply)
  }

  @usableFromInline @inline(never)
  mutating func judgeAny(_ segment: TCPSegment, reply: Bool) -> TCPJudgement {
    guard segment.hasSoundFlags else { return .invalidFlags }
    if segment.flags.contains(.rst) { return judgeReset(segment, reply: reply) }
    if segment.flags.contains(.syn) {
      return segment.flags.contains(.ack)
        ? judgeAnswer(segment, reply: reply) : judgeOpening(segment, reply: reply)
    }
    switch state {
    case .synSent:
      // An end that believes in an old connection acknowledges that, and no more; the initiator resets it (RFC 9293, 3.5.1).
      return reply && segment.end == segment.sequence ? .unbelieved : .badHandshake
    case .simultaneousOpen: return judgeAgreement(segment, reply: reply)
    case .synReceived: return judgeCompletion(segment, reply: reply)
    case .closed: return .outOfWindow
    default: return judgeData(segment, reply: reply)
    }
  }

  /// A segment with ACK and without SYN and RST, once both ends have sent SYN.
  @inlinable
  mutating func judgeData(_ segment: TCPSegment, reply: Bool) -> TCPJudgement {
    let (sender, receiver) = reply ? (responder, initiator) : (initiator, responder)
    let end = segment.end
    // An end that has acknowledged nothing has at least sent a SYN, whose window counts from the other's SYN on.
    let known = marks & Self.bit(Self.acknowledging, reply: !reply) != 0
    let limit = (known ? receiver.acknowledged : sender.end) &+ receiver.window
    guard !Self.isAfter(segment.sequence, limit), !Self.isAfter(sender.end &- receiver.window, end) else {
      return .outOfWindow
    }
    if marks & Self.bit(Self.finished, reply: reply) != 0, Self.isAfter(end, sender.end) { return .outOfWindow }
    let late = max(sender.window, Self.leastAcknowledgmentWindow)
    guard !Self.isAfter(segment.acknowledgment, receiver.end),
      !Self.isAfter(receiver.end &- late, segment.acknowledgment)
    else { return .badAcknowledgment }
    take(segment, limit: limit, reply: reply)
    return .accepted
  }

  /// Goes on with a segment that is in the window.
  @inlinable
  mutating func take(_ segment: TCPSegment, limit: UInt32, reply: Bool) {
    var sender = reply ? responder : initiator
    // Of a segment whose length is not known nothing is believed beyond the window.
    let isWhole = segment.length < TCPSegment.unknownLength || !Self.isAfter(segment.end, limit)
    let end = isWhole ? segment.end : limit
    if Self.isAfter(end, sender.end) { sender.end = end }
    let own = Self.bit(Self.acknowledging, reply: reply)
    if marks & own == 0 || Self.isAfter(segment.acknowledgment, sender.acknowledged) {
      sender.acknowledged = segment.acknowledgment
    }
    sender.window = max(sender.window, window(of: segment, reply: reply))
    if reply { responder = sender } else { initiator = sender }
    marks = (marks | own) & ~Self.doubtful
    if segment.flagBits & 1 != 0, isWhole { marks |= Self.bit(Self.finished, reply: reply) }
    let other = Self.bit(Self.finished, reply: !reply)
    if marks & other != 0, segment.acknowledgment == (reply ? initiator.end : responder.end) {
      marks |= Self.bit(Self.finishAcknowledged, reply: !reply)
    }
    if marks & (Self.finished | Self.finished << 1) != 0 { noteClosing() }
  }

  @usableFromInline
  mutating func noteClosing() {
    let both: UInt8 = Self.finished | Self.finished << 1
    let bothAcknowledged: UInt8 = Self.finishAcknowledged | Self.finishAcknowledged << 1
    if marks & both == both {
      state = marks & bothAcknowledged == bothAcknowledged ? .timeWait : .lastAck
    } else {
      state = marks & bothAcknowledged != 0 ? .closeWait : .finWait
    }
  }

  @inlinable
  func window(of segment: TCPSegment, reply: Bool) -> UInt32 {
    guard scalesWindows, segment.flagBits & 2 == 0 else { return UInt32(segment.window) }
    return UInt32(segment.window) << UInt32(min(reply ? responderScale : initiatorScale, Self.largestScale))
  }

  // MARK: Handshake

  /// A SYN without ACK.
  private mutating func judgeOpening(_ segment: TCPSegment, reply: Bool) -> TCPJudgement {
    switch state {
    case .synSent:
      if reply {
        responder = End(end: segment.end, acknowledged: 0, window: max(UInt32(segment.window), 1))
        responderScale = segment.windowScale
        state = .simultaneousOpen
      } else if segment.end != initiator.end {
        // The initiator has begun again, with another sequence number.
        self = TCPTracker(opening: segment)
      }
      return .accepted
    case .simultaneousOpen:
      return segment.end == (reply ? responder : initiator).end ? .accepted : .badHandshake
    case .synReceived:
      return !reply && segment.end == initiator.end ? .accepted : .unbelieved
    case .established, .finWait, .closeWait, .lastAck: return .unbelieved
    case .timeWait, .closed: return .opensAnother
    }
  }

  /// Whether the initiator's SYN is acknowledged, with all, some or none of the data that it brought (RFC 7413).
  private func acknowledgesOpening(_ number: UInt32) -> Bool {
    !Self.isAfter(number, initiator.end) && !Self.isAfter(initiator.acknowledged, number)
  }

  /// A SYN with ACK.
  private mutating func judgeAnswer(_ segment: TCPSegment, reply: Bool) -> TCPJudgement {
    switch state {
    case .synSent:
      guard reply else { return .badHandshake }
      // What does not acknowledge the SYN has the initiator send a reset (RFC 9293, 3.10.7.3).
      guard acknowledgesOpening(segment.acknowledgment) else { return .unbelieved }
      responder = End(
        end: segment.end, acknowledged: segment.acknowledgment, window: max(UInt32(segment.window), 1))
      responderScale = segment.windowScale
      marks |= Self.bit(Self.acknowledging, reply: true)
      state = .synReceived
      return .accepted
    case .simultaneousOpen: return judgeAgreement(segment, reply: reply)
    case .synReceived:
      guard reply else { return .badHandshake }
      return segment.end == responder.end ? .accepted : .unbelieved
    case .established, .finWait, .closeWait, .lastAck: return .unbelieved
    case .timeWait, .closed: return .badHandshake
    }
  }

  /// An acknowledgement after both ends have sent SYN at once.
  private mutating func judgeAgreement(_ segment: TCPSegment, reply: Bool) -> TCPJudgement {
    let receiver = reply ? initiator : responder
    let isSYN = segment.flags.contains(.syn)
    guard segment.acknowledgment == receiver.end, !isSYN || segment.end == (reply ? responder : initiator).end else {
      return .badAcknowledgment
    }
    let own = Self.bit(Self.acknowledging, reply: reply)
    if isSYN {
      marks |= own
      if reply {
        responder.acknowledged = segment.acknowledgment
      } else {
        initiator.acknowledged = segment.acknowledgment
      }
    } else {
      let judgement = judgeData(segment, reply: reply)
      guard judgement == .accepted else { return judgement }
    }
    let both: UInt8 = Self.acknowledging | Self.acknowledging << 1
    if marks & both == both, state == .simultaneousOpen { state = .established }
    return .accepted
  }

  /// An acknowledgement after SYN was answered.
  private mutating func judgeCompletion(_ segment: TCPSegment, reply: Bool) -> TCPJudgement {
    if !reply, marks & Self.acknowledging == 0, segment.acknowledgment != responder.end {
      return .badAcknowledgment
    }
    let judgement = judgeData(segment, reply: reply)
    if judgement == .accepted, !reply, state == .synReceived { state = .established }
    return judgement
  }

  // MARK: Reset

  private mutating func judgeReset(_ segment: TCPSegment, reply: Bool) -> TCPJudgement {
    let (sender, receiver) = reply ? (responder, initiator) : (initiator, responder)
    let sequence = segment.sequence
    switch state {
    case .synSent:
      if reply {
        // Only what acknowledges the SYN can be an answer to it (RFC 9293, 3.10.7.3).
        guard segment.flags.contains(.ack), acknowledgesOpening(segment.acknowledgment) else { return .badReset }
        return reset()
      }
      return sequence == sender.end ? reset() : .unbelieved
    case .closed: return .unbelieved
    default: break
    }
    let known = marks & Self.bit(Self.acknowledging, reply: !reply) != 0
    let next = known ? receiver.acknowledged : sender.end
    if sequence == next || sequence == sender.end { return reset() }
    let limit = next &+ receiver.window
    guard !Self.isAfter(sequence, limit), !Self.isAfter(next, sequence) else { return .badReset }
    // In the window, and not known to be what the receiver expects next: it challenges, unless it has more than it has
    // acknowledged (RFC 5961, 3.2).
    if Self.isAfter(sender.end, sequence) { marks |= Self.doubtful }
    return .unbelieved
  }

  private mutating func reset() -> TCPJudgement {
    state = .closed
    return .accepted
  }

  // MARK: Errors

  /// Whether a sequence number is one of the octets that an end has under way or had lately: what an ICMP error about its
  /// connection must quote (RFC 5927, 4.1).
  /// - Parameter reply: Whether the quoted segment is the responder's.
  @inlinable
  public func mayQuote(_ sequence: UInt32, reply: Bool) -> Bool {
    let (sender, receiver) = reply ? (responder, initiator) : (initiator, responder)
    if state == .synSent { return !reply && sequence == sender.acknowledged &- 1 }
    let oldest = sender.end &- max(receiver.window, 1) &- 1
    return !Self.isAfter(sequence, sender.end) && !Self.isAfter(oldest, sequence)
  }

  // MARK: Text

  /// All that is known, in words separated by spaces; to be read by `init(text:)`.
  public var text: String {
    let numbers: [UInt32] = [
      initiator.end, initiator.acknowledged, initiator.window, responder.end, responder.acknowledged, responder.window,
      UInt32(marks), UInt32(initiatorScale), UInt32(responderScale),
    ]
    return ([state.name] + numbers.map { "\($0)" }).joined(separator: " ")
  }

  /// Reads what `text` gave; nothing when it is something else.
  public init?(text: String) {
    let words = text.split(separator: " ")
    let numbers = words.dropFirst().compactMap { UInt32($0) }
    guard let name = words.first, let state = TCPState.allCases.first(where: { $0.name == name }), numbers.count == 9,
      words.count == 10, let marks = UInt8(exactly: numbers[6]), let scale = UInt8(exactly: numbers[7]),
      let otherScale = UInt8(exactly: numbers[8])
    else { return nil }
    initiator = End(end: numbers[0], acknowledged: numbers[1], window: max(numbers[2], 1))
    responder = End(end: numbers[3], acknowledged: numbers[4], window: max(numbers[5], 1))
    self.state = state
    self.marks = marks
    (initiatorScale, responderScale) = (scale, otherScale)
  }

  // MARK: Arithmetic

  /// Whether `a` is after `b`, modulo 2 to the power of 32 (RFC 9293, 3.4).
  @inlinable
  static func isAfter(_ a: UInt32, _ b: UInt32) -> Bool { Int32(bitPattern: a &- b) > 0 }

  @inlinable
  static func bit(_ bit: UInt8, reply: Bool) -> UInt8 { reply ? bit << 1 : bit }
}
