import Dataplane
import Tables
import Wire

// Handshakes that the firewall makes in the place of servers (RFC 4987, 3.6).
//
// A client's SYN is answered by a cookie and forgotten. The acknowledgement of a cookie proves that the client is there: a
// session is entered and SYN sent to the server. Once the server has answered, it is sent the acknowledgement that the
// client gave, and the client is told the server's window, which was closed until then. From there on the server's
// sequence numbers are translated into those that began with the cookie.

extension FirewallCore {
  /// The window scale that clients are told, in place of the server's, which is not known yet.
  static var toldScale: UInt8 { 7 }
  /// How long after the last cookie acknowledgements are taken for answers to one, in nanoseconds.
  private static var cookieLife: UInt64 { 2 * SYNCookies.period }

  /// Answers a SYN by a cookie.
  mutating func answerByCookie<Key: FirewallKey>(
    _ packet: inout Packet, _ segment: TCPSegment, _ key: Key, from: UInt8
  ) -> Judgement {
    var options = packet.synOptions
    let cookie = cookies.make(key.connection, sequence: segment.sequence, options, now: now.nanoseconds)
    options.segmentSize = UInt16(settings.segmentSize)
    if options.windowScale != nil { options.windowScale = Self.toldScale }
    lastCookie = now.nanoseconds
    count(.cookiesSent)
    let fields = TCPFields(
      sequence: cookie, acknowledgment: segment.sequence &+ 1, flags: [.syn, .ack], window: 0, options: options)
    return packet.makeTCP(fields, turned: true) ? .forward(output(backTo: from)) : .drop(.noBuffer)
  }

  /// What the client had asked for, when a segment acknowledges a cookie.
  func checkCookie<Key: FirewallKey>(_ segment: TCPSegment, _ key: Key) -> SYNCookies.Options? {
    guard let lastCookie, now.nanoseconds &- lastCookie < Self.cookieLife, segment.flags.contains(.ack) else {
      return nil
    }
    return cookies.check(
      segment.acknowledgment &- 1, key.connection, sequence: segment.sequence &- 1, now: now.nanoseconds)
  }

  /// Enters the session of a client that has acknowledged a cookie, and makes its segment the SYN for the server.
  mutating func acceptCookie<Key: FirewallKey>(
    _ packet: inout Packet, _ segment: TCPSegment, _ options: SYNCookies.Options, _ key: Key,
    _ session: FirewallSession, _ sessions: inout Sessions<Key>
  ) -> Judgement {
    var session = session
    session.options = options
    session.shift = segment.acknowledgment &- 1
    session.clientWindow = segment.window
    session.marks |= FirewallSession.Mark.proxying
    session.tcp = TCPTracker(
      opening: TCPSegment(
        sequence: segment.sequence &- 1, flags: .syn, window: segment.window,
        windowScale: options.windowScale ?? TCPSegment.noScale))
    let deadline = now.nanoseconds &+ settings.timeouts.proxy
    if let problem = enter(key, session, until: deadline, &sessions) { return .drop(problem) }
    count(.cookiesAccepted)
    return sendSYN(&packet, session)
  }

  private func sendSYN(_ packet: inout Packet, _ session: FirewallSession) -> Judgement {
    let fields = TCPFields(
      sequence: session.tcp.initiator.end &- 1, flags: .syn,
      window: Self.shifted(session.clientWindow, by: Int8(session.options.windowScale ?? 0)), options: session.options)
    return packet.makeTCP(fields, turned: false) ? .forward(output(to: session.to)) : .drop(.noBuffer)
  }

  /// Judges a segment of a connection whose handshake the firewall makes, or has made.
  @inline(never)
  mutating func followProxied<Key: FirewallKey>(
    _ packet: inout Packet, _ segment: TCPSegment, _ match: FlowMatch, _ key: Key, _ sessions: inout Sessions<Key>,
    _ context: inout Context
  ) -> Judgement? {
    let session = sessions[match.flow]
    if session.has(FirewallSession.Mark.proxying) {
      return match.isReply
        ? finishHandshake(&packet, segment, match.flow, &sessions, &context)
        : waitForServer(&packet, segment, match.flow, &sessions)
    }
    var seen = segment
    if match.isReply {
      guard translateAnswer(&packet, session) else { return .drop(.noBuffer) }
      guard let translated = packet.tcpSegment else { return .drop(.malformed) }
      seen = translated
    }
    let judgement = sessions[match.flow].tcp.judge(seen, reply: match.isReply)
    if !judgement.passes { return refuse(judgement, match, key, &sessions) }
    if !match.isReply, !translateRequest(&packet, session) { return .drop(.noBuffer) }
    guard judgement == .accepted else { return refuse(judgement, match, key, &sessions) }
    let deadline = now.nanoseconds &+ settings.timeouts.tcp(sessions[match.flow].tcp)
    sessions.refresh(match.flow, until: deadline)
    schedule(deadline)
    return .forward(output(to: match.isReply ? session.from : session.to))
  }

  /// The client speaks before the server has answered: perhaps the SYN was lost.
  private mutating func waitForServer<Key: FirewallKey>(
    _ packet: inout Packet, _ segment: TCPSegment, _ flow: FlowID, _ sessions: inout Sessions<Key>
  ) -> Judgement? {
    let session = sessions[flow]
    guard segment.hasSoundFlags else { return .drop(Firewall.Drop.invalidFlags) }
    if segment.flags.contains(.syn) {
      // The client has begun again.
      end(flow, &sessions)
      return nil
    }
    guard segment.acknowledgment == session.shift &+ 1 || segment.flags.contains(.rst) else {
      return .drop(Firewall.Drop.badAcknowledgment)
    }
    // Probes of the closed window may have the number before (RFC 9293, 3.8.4 and 3.8.6.1).
    let next = session.tcp.initiator.end
    guard segment.sequence == next || segment.sequence == next &- 1 else { return .drop(Firewall.Drop.outOfWindow) }
    if segment.flags.contains(.rst) {
      let to = session.to
      end(flow, &sessions)
      return .forward(output(to: to))
    }
    return sendSYN(&packet, session)
  }

  /// The server answers: with SYN, or with a reset.
  private mutating func finishHandshake<Key: FirewallKey>(
    _ packet: inout Packet, _ segment: TCPSegment, _ flow: FlowID, _ sessions: inout Sessions<Key>,
    _ context: inout Context
  ) -> Judgement? {
    var session = sessions[flow]
    let client = session.tcp.initiator.end
    guard segment.hasSoundFlags else { return .drop(Firewall.Drop.invalidFlags) }
    guard segment.flags.contains(.ack), segment.acknowledgment == client else {
      // Perhaps of an old connection; the client could make nothing of it.
      return .drop(Firewall.Drop.badHandshake)
    }
    let cookie = session.shift
    if segment.flags.contains(.rst) {
      end(flow, &sessions)
      let fields = TCPFields(sequence: cookie &+ 1, acknowledgment: client, flags: [.rst, .ack])
      return packet.makeTCP(fields, turned: false) ? .forward(output(to: session.from)) : .drop(.noBuffer)
    }
    guard segment.flags.contains(.syn) else { return .drop(Firewall.Drop.badHandshake) }
    let answer = packet.synOptions
    session.shift = cookie &- segment.sequence
    let scales = session.options.windowScale.map { (initiator: $0, responder: Self.toldScale) }
    if scales != nil {
      session.windowShift = Int8(answer.windowScale ?? 0) - Int8(Self.toldScale)
      session.clientShift = answer.windowScale == nil ? Int8(session.options.windowScale ?? 0) : 0
    }
    // The window of a segment with SYN is not scaled (RFC 7323, 2.2).
    let window = scales == nil ? segment.window : Self.shifted(segment.window, by: -Int8(Self.toldScale))
    session.tcp = TCPTracker(
      agreed: client, cookie &+ 1,
      initiatorWindow: UInt32(session.clientWindow) << UInt32(scales?.initiator ?? 0),
      responderWindow: UInt32(window) << UInt32(scales?.responder ?? 0), scales: scales)
    session.marks = session.marks & ~FirewallSession.Mark.proxying | FirewallSession.Mark.proxied
    // The server's acknowledgement goes back by itself, the window on to the client. If one is lost the server repeats
    // its SYN, which the client answers.
    guard var back = context.copy(packet, in: 0..<packet.length) else { return .drop(.noBuffer) }
    let acknowledgment = TCPFields(
      sequence: client, acknowledgment: segment.sequence &+ 1, flags: .ack,
      window: Self.shifted(session.clientWindow, by: session.clientShift))
    extraOutput = back.makeTCP(acknowledgment, turned: true) ? output(to: session.to) : nil
    extra = consume back
    sessions[flow] = session
    let deadline = now.nanoseconds &+ settings.timeouts.tcp(session.tcp)
    sessions.refresh(flow, until: deadline)
    schedule(deadline)
    let update = TCPFields(sequence: cookie &+ 1, acknowledgment: client, flags: .ack, window: window)
    return packet.makeTCP(update, turned: false) ? .forward(output(to: session.from)) : .drop(.noBuffer)
  }

  private static func shifted(_ window: UInt16, by shift: Int8) -> UInt16 {
    if shift >= 0 { return UInt16(clamping: UInt32(window) << UInt32(shift)) }
    // A window that is open stays open.
    return window == 0 ? 0 : max(1, window >> UInt16(-shift))
  }

  // MARK: Translation

  /// Makes a server's segment what the client expects.
  private func translateAnswer(_ packet: inout Packet, _ session: FirewallSession) -> Bool {
    guard let tcp = packet.mutableTCP else { return false }
    tcp.setSequenceNumber(tcp.sequenceNumber &+ session.shift)
    if session.windowShift != 0 { tcp.setWindow(Self.shifted(tcp.window, by: session.windowShift)) }
    return true
  }

  /// Makes a client's segment what the server expects.
  private func translateRequest(_ packet: inout Packet, _ session: FirewallSession) -> Bool {
    let shift = 0 &- session.shift
    packet.shiftSelectiveAcknowledgments(by: shift)
    guard let tcp = packet.mutableTCP else { return false }
    if tcp.flags.contains(.ack) { tcp.setAcknowledgmentNumber(tcp.acknowledgmentNumber &+ shift) }
    if session.clientShift != 0 { tcp.setWindow(Self.shifted(tcp.window, by: session.clientShift)) }
    return true
  }
}
