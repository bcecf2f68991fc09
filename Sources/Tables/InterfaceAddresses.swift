import Synchronization
public import Wire

/// An address of an interface, and the prefix of those that are on its link.
public struct InterfaceAddress: Hashable, Sendable {
  /// The interface's own address.
  public let address: IPAddress
  /// Which addresses are on the link.
  public let prefix: IPPrefix

  /// An address in a prefix of so many bits; more than its version has count as all.
  public init(_ address: IPAddress, prefixLength: Int) {
    self.address = address
    switch address {
    case .v4(let address): prefix = .v4(IPv4Prefix(masking: address, length: prefixLength))
    case .v6(let address): prefix = .v6(IPv6Prefix(masking: address, length: prefixLength))
    }
  }
}

/// The addresses of a node on one interface, and whether they may be used: whether another node on the link has them is
/// found out before (RFC 4862, 5.4), and they are defended later (RFC 5227, 2.4). It knows no packets.
///
/// **All workers share it**, and every operation takes a lock for a short time. Packets that are forwarded do not need it.
public final class InterfaceAddresses: Sendable {
  /// Whether an address may be used.
  @frozen
  public enum State: UInt8, Hashable, Sendable {
    /// It is being found out whether another node has it.
    case tentative
    /// It is this node's.
    case preferred
    /// Another node has it.
    case duplicate
  }

  /// Something to be sent.
  @frozen
  public enum Action: Hashable, Sendable {
    /// Ask whether another node has the address.
    case probe(IPAddress)
    /// Tell all that this node has the address.
    case announce(IPAddress)
  }

  private struct Entry {
    let address: IPAddress
    let prefix: IPPrefix
    var state: State
    /// Probes or announcements that are to be sent yet.
    var left: Int
    var next: UInt64?
    var lastDefence: UInt64?
  }

  private struct Inside {
    var entries: [Entry]
    var hasStarted = false
    var conflicts: UInt64 = 0
    /// Spreads IPv4 probes.
    var random: UInt64 = 0
  }

  /// RFC 5227, 1.1, in nanoseconds.
  private static let announceInterval: UInt64 = 2_000_000_000
  private static let announcements = 2
  private static let defendInterval: UInt64 = 10_000_000_000
  private static let shortestProbeInterval: UInt64 = 1_000_000_000
  private static let longestProbeInterval: UInt64 = 2_000_000_000
  private static let announceWait: UInt64 = 2_000_000_000
  /// RFC 4861, 10: MAX_RTR_SOLICITATION_DELAY.
  private static let longestStartDelay: UInt64 = 1_000_000_000

  private let inside: Mutex<Inside>
  private let probes: Int
  private let probes4: Int
  private let probeInterval: UInt64

  /// The addresses of an interface.
  /// - Parameters:
  ///   - probes: How often each IPv6 address is probed before it is used (RFC 4862's DupAddrDetectTransmits); 0: never.
  ///   - probes4: How often each IPv4 address is (RFC 5227's PROBE_NUM); 0: never.
  ///   - probeInterval: Time between IPv6 probes, and behind the last, in nanoseconds.
  public init(_ addresses: [InterfaceAddress], probes: Int, probes4: Int = 0, probeInterval: UInt64) {
    self.probes = probes
    self.probes4 = probes4
    self.probeInterval = probeInterval
    inside = Mutex(
      Inside(
        entries: addresses.map { address in
          let isProbed = if case .v6 = address.address { probes > 0 } else { probes4 > 0 }
          return Entry(
            address: address.address, prefix: address.prefix, state: isProbed ? .tentative : .preferred, left: 0,
            next: nil)
        }))
  }

  /// Begins to probe and announce; only the first call counts.
  /// - Parameters:
  ///   - now: The clock in nanoseconds, here and elsewhere.
  ///   - random: Delays the first probe, so that nodes that start together do not probe together (RFC 4862, 5.4.2).
  /// - Returns: Whether this was the first call.
  @discardableResult
  public func start(now: UInt64, random: UInt64) -> Bool {
    inside.withLock { inside in
      guard !inside.hasStarted else { return false }
      inside.hasStarted = true
      inside.random = random
      let delay = Self.longestStartDelay.multipliedFullWidth(by: random).high
      for index in inside.entries.indices {
        let isTentative = inside.entries[index].state == .tentative
        let isIPv4 = if case .v4 = inside.entries[index].address { true } else { false }
        inside.entries[index].left = !isTentative ? Self.announcements : isIPv4 ? probes4 : probes
        inside.entries[index].next = isTentative ? Self.sum(now, delay) : now
      }
      return true
    }
  }

  /// What is to be sent next, until there is nothing more. Each thing is told once, to whichever worker asks first.
  public func nextAction(now: UInt64) -> Action? {
    inside.withLock { inside in
      for index in inside.entries.indices {
        guard let next = inside.entries[index].next, next <= now else { continue }
        if inside.entries[index].state == .tentative {
          if inside.entries[index].left > 0 {
            inside.entries[index].left -= 1
            inside.entries[index].next = Self.sum(now, pause(behind: inside.entries[index], &inside.random))
            return .probe(inside.entries[index].address)
          }
          inside.entries[index].state = .preferred
          inside.entries[index].left = Self.announcements
        }
        inside.entries[index].left -= 1
        inside.entries[index].next = inside.entries[index].left > 0 ? Self.sum(now, Self.announceInterval) : nil
        return .announce(inside.entries[index].address)
      }
      return nil
    }
  }

  /// Time from a probe to what comes behind it.
  private func pause(behind entry: Entry, _ random: inout UInt64) -> UInt64 {
    guard case .v4 = entry.address else { return probeInterval }
    guard entry.left > 0 else { return Self.announceWait }
    random = random &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
    let span = Self.longestProbeInterval - Self.shortestProbeInterval
    return Self.shortestProbeInterval + span.multipliedFullWidth(by: random).high
  }

  /// When to call `nextAction` next, in nanoseconds; nil: not any more.
  public var nextEvent: UInt64? {
    inside.withLock { inside in
      var earliest: UInt64?
      for entry in inside.entries {
        if let next = entry.next, next < earliest ?? .max { earliest = next }
      }
      return earliest
    }
  }

  /// The state of an address; nil when it is not this node's.
  public func state(of address: IPAddress) -> State? {
    inside.withLock { inside in inside.entries.first { $0.address == address }?.state }
  }

  /// Whether an address is on the link.
  public func isOnLink(_ address: IPAddress) -> Bool {
    if case .v6(let address) = address, address.isLinkLocal { return true }
    return inside.withLock { inside in inside.entries.contains { $0.prefix.contains(address) } }
  }

  /// The address to ask for `target` from: one that may be used, on a prefix that the target is in if there is one.
  public func source(toward target: IPAddress) -> IPAddress? {
    inside.withLock { inside in
      var other: IPAddress?
      for entry in inside.entries where entry.state == .preferred && entry.prefix.isSameVersion(as: target) {
        if entry.prefix.contains(target) { return entry.address }
        other = other ?? entry.address
      }
      return other
    }
  }

  /// Tells that another node was heard to use an address of this one. One that is tentative is a duplicate from now on
  /// (RFC 4862, 5.4.3 and 5.4.4; RFC 5227, 2.1.1).
  /// - Returns: Whether the address is to be announced in its defence, which is at most once in ten seconds
  ///   (RFC 5227, 2.4).
  public func noteConflict(_ address: IPAddress, now: UInt64) -> Bool {
    inside.withLock { inside in
      guard let index = inside.entries.firstIndex(where: { $0.address == address }) else { return false }
      inside.conflicts += 1
      switch inside.entries[index].state {
      case .tentative:
        inside.entries[index].state = .duplicate
        inside.entries[index].next = nil
        return false
      case .duplicate: return false
      case .preferred:
        if let last = inside.entries[index].lastDefence, now < Self.sum(last, Self.defendInterval) { return false }
        inside.entries[index].lastDefence = now
        return true
      }
    }
  }

  /// How many addresses another node has.
  public var duplicates: Int { inside.withLock { $0.entries.count { $0.state == .duplicate } } }

  /// How often another node was heard to use an address of this one.
  public var conflicts: UInt64 { inside.withLock { $0.conflicts } }

  private static func sum(_ left: UInt64, _ right: UInt64) -> UInt64 {
    let (sum, overflow) = left.addingReportingOverflow(right)
    return overflow ? .max : sum
  }
}

extension IPPrefix {
  fileprivate func isSameVersion(as address: IPAddress) -> Bool {
    switch (self, address) {
    case (.v4, .v4), (.v6, .v6): true
    default: false
    }
  }
}
