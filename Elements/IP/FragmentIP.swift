public import Configuration
public import Dataplane
import Wire

/// Cuts IPv4 packets that are longer than the next link takes into fragments (RFC 791, 3.2; RFC 1812, 4.2.2.7).
///
///     fragment: { FragmentIP: 1500 }
///     - route -> fragment -> wan
///     - fragment.tooBig -> errors.tooBig
///
/// Without the setting `mtu`, an element before it leaves the MTU in each packet's annotation; 0 is none.
public struct FragmentIP: Element {
  /// Where packets leave.
  public enum Output: UInt8, OutputPort {
    /// Packets that fit, as they came, and the fragments of those that did not.
    case fragments
    /// Packets that do not fit and must not be fragmented, as they came, the MTU in their annotation.
    case tooBig

    public var delivers: HeaderState? { .ip }
    public var about: String {
      self == .fragments
        ? "packets that fit, and the fragments of others"
        : "IPv6, and IPv4 that forbids fragmenting; the annotation is the MTU, for ICMPError"
    }
  }

  public static let about = ElementDescription(
    "Cuts IPv4 packets that are longer than the MTU into fragments.",
    example: """
      elements:
        check: CheckIP
        fragment: { FragmentIP: { mtu: 1400 } }
        errors: { ICMPError: { source: [192.0.2.1, 2001:db8::1] } }
      graph:
        - lan -> check -> fragment -> wan
        - check.other -> drop
        - fragment.tooBig -> errors[tooBig] -> lan
      """)
  public static let needs = HeaderState.ip

  private let mtu: UInt32?

  public init(_ settings: inout Settings) throws(ConfigurationError) {
    let mtu: Int? = try settings.takeIfPresent(
      "mtu", in: 68...65_535, "longest IP packet in bytes; what the packet's annotation says when left out",
      shorthand: true)
    self.mtu = mtu.map(UInt32.init)
  }

  /// Makes an instance for elements made of others.
  init(mtu: Int) { self.mtu = UInt32(mtu) }

  public mutating func process(_ batch: inout PacketBatch<Self>, _ context: inout Context) {
    let mtu = mtu
    var allFit = true
    batch.survey { _, packet in
      let limit = mtu ?? packet.annotation
      if limit != 0, packet.networkLength ?? 0 > limit { allFit = false }
    }
    // The way to emit costs every packet something.
    guard !allFit else {
      batch.forEach { packet in packet.networkLength == nil ? .drop(.malformed) : .forward(.fragments) }
      return
    }
    batch.forEach { packet, emitter in
      guard let length = packet.networkLength else { return .drop(.malformed) }
      let limit = mtu ?? packet.annotation
      if limit == 0 || length <= limit { return .forward(.fragments) }
      return fragment(&packet, length, max(limit, 68), &emitter, &context)
    }
  }

  private func fragment(
    _ packet: inout Packet, _ length: Int, _ mtu: UInt32, _ emitter: inout Emitter<Self>, _ context: inout Context
  ) -> Verdict<Output> {
    guard let network = packet.networkHeaderOffset, let datagram = Datagram(packet) else {
      packet.annotation = mtu
      return .forward(.tooBig)
    }
    guard datagram.fragmentOffset + length - datagram.headerLength <= Int(UInt16.max),
      let options = Options(packet, in: network + 20..<network + datagram.headerLength)
    else { return .drop(.malformed) }
    let end = network + length
    // All fragments but the last carry a multiple of 8 bytes.
    let firstSize = (Int(mtu) - datagram.headerLength) & ~7
    let laterLength = options.areCopied ? datagram.headerLength : 20
    let laterSize = (Int(mtu) - laterLength) & ~7
    let first = network + datagram.headerLength
    var begin = first + firstSize
    while begin < end {
      let size = min(laterSize, end - begin)
      guard var piece = context.copy(packet, in: 0..<network + laterLength) else { return .drop(.noBuffer) }
      guard piece.append(packet, in: begin..<begin + size) else {
        // What was copied is accounted for, too.
        emitter.drop(piece, .noBuffer)
        return .drop(.noBuffer)
      }
      if options.areCopied { options.blank(&piece, at: network + 20) }
      piece.ipv4HeaderToWrite(at: network, length: laterLength)?.setFragment(
        totalLength: UInt16(laterLength + size), fragmentOffset: datagram.fragmentOffset + (begin - first),
        moreFragments: datagram.moreFragments || begin + size < end)
      emitter.emitBehind(piece, to: .fragments)
      begin += size
    }
    packet.truncate(to: first + firstSize)
    guard packet.makeWritable() else { return .drop(.noBuffer) }
    packet.ipv4HeaderToWrite(at: network, length: datagram.headerLength)?.setFragment(
      totalLength: UInt16(datagram.headerLength + firstSize), fragmentOffset: datagram.fragmentOffset,
      moreFragments: true)
    return .forward(.fragments)
  }
}

/// What fragmenting needs of an IPv4 header; nil when the packet must not be fragmented.
private struct Datagram {
  let headerLength: Int
  let fragmentOffset: Int
  let moreFragments: Bool

  init?(_ packet: borrowing Packet) {
    guard let ip = packet.ipv4, !ip.dontFragment else { return nil }
    headerLength = ip.headerLength
    fragmentOffset = ip.fragmentOffset
    moreFragments = ip.moreFragments
  }
}

/// IPv4 options (RFC 791, 3.1), and which of them belong into fragments other than the first.
private struct Options {
  /// A bit for each byte of options that later fragments do not have.
  private var blanks: UInt64 = 0
  /// Whether later fragments have any.
  private(set) var areCopied = false

  /// Nil when an option's length is wrong.
  init?(_ packet: borrowing Packet, in range: Range<Int>) {
    var offset = range.lowerBound
    while offset < range.upperBound, let type = packet.byte(at: offset), type != 0 {
      var length = 1
      if type != 1 {
        guard let stated = packet.byte(at: offset + 1), stated >= 2, Int(stated) <= range.upperBound - offset else {
          return nil
        }
        length = Int(stated)
      }
      if type & 0x80 != 0 {
        areCopied = true
      } else {
        for index in offset..<offset + length { blanks |= 1 << UInt64(index - range.lowerBound) }
      }
      offset += length
    }
  }

  /// Turns the options that do not belong there into no-operations.
  func blank(_ packet: inout Packet, at offset: Int) {
    var bytes = packet.mutableBytes
    for index in 0..<40 where blanks >> UInt64(index) & 1 != 0 && offset + index < bytes.byteCount {
      bytes.storeBytes(of: 1, toByteOffset: offset + index, as: UInt8.self)
    }
  }
}
