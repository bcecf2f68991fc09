import CNetlink
import Glibc

func errorText(_ code: Int32) -> String {
  // Two threads may ask at once for an unknown number only, and then for the same text.
  unsafe strerror(code).map { unsafe String(cString: $0) } ?? "error \(code)"
}

/// A descriptor that is closed with its owner.
struct Descriptor: ~Copyable {
  let number: CInt

  /// Takes over what a system call returned.
  init(_ number: CInt, _ operation: String) throws(NetlinkError) {
    guard number >= 0 else { throw NetlinkError(operation: operation, code: errno) }
    self.number = number
  }

  deinit { close(number) }
}

/// A routing netlink socket.
struct NetlinkSocket: ~Copyable {
  /// What a look at the socket brought.
  enum Receipt {
    case bytes
    case nothing
    /// Messages were lost because the buffer was full.
    case overrun
  }

  let descriptor: Descriptor
  private var buffer: [UInt8]
  private var lengths = [UInt32](repeating: 0, count: Int(CNETLINK_BURST))
  private static var slotSize: Int { 32 << 10 }

  /// Opens one with a receive buffer of so many bytes, if the system allows it.
  init(receiveBuffer: Int) throws(NetlinkError) {
    let opened = try Descriptor(
      socket(AF_NETLINK, CInt(SOCK_RAW.rawValue | SOCK_CLOEXEC.rawValue), NETLINK_ROUTE), "opening a netlink socket")
    // One without an address of its own has the kernel's, which gets no messages to groups.
    var address = sockaddr_nl()
    address.nl_family = sa_family_t(AF_NETLINK)
    let bound = unsafe withUnsafePointer(to: &address) { address in
      unsafe address.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
        unsafe bind(opened.number, address, socklen_t(MemoryLayout<sockaddr_nl>.size))
      }
    }
    guard bound == 0 else { throw NetlinkError(operation: "binding a netlink socket", code: errno) }
    descriptor = opened
    buffer = [UInt8](repeating: 0, count: Self.slotSize * Int(CNETLINK_BURST))
    let size = CInt(clamping: receiveBuffer)
    // The second one is for who may not exceed the system's limit.
    if !set(SOL_SOCKET, SO_RCVBUFFORCE, size) { _ = set(SOL_SOCKET, SO_RCVBUF, size) }
    // Kernels before 4.20 know no strict checks, and dump more than is asked for, which does no harm.
    _ = set(SOL_NETLINK, NETLINK_GET_STRICT_CHK, 1)
    var timeout = timeval(tv_sec: 10, tv_usec: 0)
    let length = socklen_t(MemoryLayout<timeval>.size)
    _ = unsafe setsockopt(descriptor.number, SOL_SOCKET, SO_RCVTIMEO, &timeout, length)
  }

  private func set(_ level: CInt, _ option: CInt, _ value: CInt) -> Bool {
    var value = value
    return unsafe setsockopt(descriptor.number, level, option, &value, socklen_t(MemoryLayout<CInt>.size)) == 0
  }

  /// Asks for the messages of a multicast group. Whether the kernel has it.
  func join(_ group: UInt32) -> Bool { set(SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, CInt(clamping: group)) }

  /// Hands out datagrams that wait, without waiting for any. A datagram that did not fit counts as an overrun.
  mutating func receive(_ body: (RawSpan) -> Void) throws(NetlinkError) -> Receipt {
    let size = Self.slotSize
    let count = unsafe buffer.withUnsafeMutableBufferPointer { buffer in
      unsafe lengths.withUnsafeMutableBufferPointer { lengths in
        unsafe cnetlink_receive(descriptor.number, buffer.baseAddress, size, lengths.baseAddress)
      }
    }
    guard count >= 0 else {
      switch errno {
      case ENOBUFS: return .overrun
      case EAGAIN, EINTR: return .nothing
      default: throw NetlinkError(operation: "receiving netlink messages", code: errno)
      }
    }
    var didOverrun = false
    for index in 0..<Int(count) {
      let length = Int(lengths[index])
      if length > size {
        didOverrun = true
      } else {
        body(buffer.message.extracting(index * size..<index * size + length))
      }
    }
    return didOverrun ? .overrun : count == 0 ? .nothing : .bytes
  }

  /// Asks for a dump and hands out its messages. Whether the kernel says that it is of one piece.
  mutating func dump(
    _ request: DumpRequest, sequence: UInt32, _ body: (RawSpan) -> Void
  ) throws(NetlinkError) -> Bool {
    let message = request.message(sequence: sequence)
    let operation = "dumping the kernel's tables"
    let sent = unsafe message.withUnsafeBytes { unsafe send(descriptor.number, $0.baseAddress, $0.count, 0) }
    guard sent == message.count else { throw NetlinkError(operation: operation, code: errno) }
    var isWhole = true
    while true {
      let count = unsafe buffer.withUnsafeMutableBytes { bytes in
        unsafe recv(descriptor.number, bytes.baseAddress, bytes.count, 0)
      }
      guard count > 0 else {
        if errno == EINTR { continue }
        throw NetlinkError(operation: operation, code: errno)
      }
      var result: Int32?
      _ = buffer.message.extracting(0..<count).forEachMessage { header, payload in
        guard header.sequence == sequence else { return }
        if header.flags & Int(NLM_F_DUMP_INTR) != 0 { isWhole = false }
        switch header.type {
        case Int(NLMSG_DONE), Int(NLMSG_ERROR): result = payload.field(0, as: Int32.self) ?? -EBADMSG
        case request.type - 2: body(payload)
        default: break
        }
      }
      guard let result else { continue }
      switch -result {
      // A table or a kind of object that does not exist has nothing in it.
      case ENOENT, EOPNOTSUPP, EAFNOSUPPORT: return true
      case ...0: return isWhole
      case let code: throw NetlinkError(operation: operation, code: code)
      }
    }
  }
}
