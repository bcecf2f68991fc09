public import CDPDK
import CPcap

/// Why a filter expression is refused.
public struct FilterError: Error, Hashable, Sendable {
  /// libpcap's reason.
  public let reason: String
  /// Where in the expression, in Unicode scalars from its start, and how many: the first word that cannot stand where it
  /// does. Nil when the whole is meant.
  public let place: Range<Int>?
}

/// Expressions in tcpdump's language, compiled by libpcap.
///
/// They see whole packets, whatever their segments. Immutable once it is filled, and read by any number of workers.
@safe
public struct PacketFilters: ~Copyable, @unchecked Sendable {
  /// There are no more than this: a bit of the result each.
  public static let limit = 32

  @usableFromInline let filters: UnsafeMutablePointer<OpaquePointer>
  @usableFromInline var count = 0

  /// Without filters.
  public init() { unsafe filters = .allocate(capacity: Self.limit) }

  deinit {
    for index in 0..<count { unsafe nfv_filter_destroy(filters[index]) }
    unsafe filters.deallocate()
  }

  /// Whether there is no filter.
  @inlinable public var isEmpty: Bool { count == 0 }

  /// Adds a filter; its bit is the number of those before it.
  public mutating func add(_ expression: String) throws(FilterError) {
    precondition(count < Self.limit, "more filters than there are bits")
    let program = try FilterCompiler.compile(expression)
    guard let filter = unsafe nfv_filter_create(program, UInt32(program.count)) else {
      throw FilterError(reason: "out of memory", place: nil)
    }
    unsafe (filters + count).initialize(to: filter)
    count += 1
  }

  /// Says why an expression is none; nil when it is one.
  public static func problem(with expression: String) -> FilterError? {
    do throws(FilterError) {
      _ = try FilterCompiler.compile(expression)
      return nil
    } catch {
      return error
    }
  }

  /// The bits of the filters that the packet passes.
  @inlinable
  public func matches(_ packet: borrowing Packet) -> UInt32 {
    var bits: UInt32 = 0
    for index in 0..<count where unsafe nfv_filter_match(filters[index], packet.mbuf) { bits |= 1 << UInt32(index) }
    return bits
  }
}

/// libpcap's compiler.
enum FilterCompiler {
  /// An expression that is longer is refused; libpcap's parser is recursive.
  private static let maximumLength = 16_384

  static func compile(_ expression: String) throws(FilterError) -> [nfv_filter_instruction] {
    guard expression.utf8.count <= maximumLength else {
      throw FilterError(reason: "longer than \(maximumLength) bytes", place: nil)
    }
    guard !expression.utf8.contains(0) else { throw FilterError(reason: "it has a zero byte", place: nil) }
    switch attempt(expression) {
    case .success(let program): return program
    case .failure(let failure): throw FilterError(reason: failure.reason, place: place(in: expression, failure.reason))
    }
  }

  private struct Failure: Error {
    var reason: String
    var isSyntax: Bool { reason.contains("syntax error") || reason.contains("parse filter expression") }
  }

  private static func attempt(_ expression: String) -> Result<[nfv_filter_instruction], Failure> {
    guard let handle = unsafe pcap_open_dead(DLT_EN10MB, 262_144) else {
      return .failure(Failure(reason: "out of memory"))
    }
    defer { unsafe pcap_close(handle) }
    var program = unsafe bpf_program()
    guard unsafe pcap_compile(handle, &program, expression, 1, PCAP_NETMASK_UNKNOWN) == 0 else {
      return .failure(Failure(reason: unsafe String(cString: pcap_geterr(handle))))
    }
    defer { unsafe pcap_freecode(&program) }
    return .success(
      (0..<Int(unsafe program.bf_len)).map { index in
        let one = unsafe program.bf_insns[index]
        return nfv_filter_instruction(code: one.code, jump_true: one.jt, jump_false: one.jf, operand: one.k)
      })
  }

  /// libpcap does not say where a mistake is: a word that it quotes is looked for, and in a syntax error the first word
  /// at which what stands so far can no longer be the beginning of an expression.
  private static func place(in expression: String, _ reason: String) -> Range<Int>? {
    let scalars = Array(expression.unicodeScalars)
    let words = Self.words(scalars)
    if !Failure(reason: reason).isSyntax {
      let quoted = reason.split(separator: "'", omittingEmptySubsequences: false)
      guard quoted.count >= 3 else { return nil }
      let word = Array(quoted[1].unicodeScalars)
      return words.first { Array(scalars[$0]) == word }
    }
    // What cannot be continued stays so with more words behind it: the first such word is found by halving.
    var (low, high) = (0, words.count)
    while low < high {
      let middle = (low + high) / 2
      let start = String(String.UnicodeScalarView(scalars[..<words[middle].upperBound]))
      if canContinue(start) { low = middle + 1 } else { high = middle }
    }
    if low < words.count { return words[low] }
    return scalars.isEmpty ? nil : scalars.count - 1..<scalars.count
  }

  /// Words between blanks; brackets and operators are words of their own.
  private static func words(_ scalars: [Unicode.Scalar]) -> [Range<Int>] {
    var words: [Range<Int>] = []
    var index = 0
    func isWord(_ scalar: Unicode.Scalar) -> Bool {
      scalar.properties.isAlphabetic || ("0"..."9").contains(scalar) || ".:/-_\\".unicodeScalars.contains(scalar)
    }
    while index < scalars.count {
      let start = index
      if scalars[index].properties.isWhitespace {
        index += 1
        continue
      }
      index += 1
      if isWord(scalars[start]) { while index < scalars.count, isWord(scalars[index]) { index += 1 } }
      words.append(start..<index)
    }
    return words
  }

  private static func canContinue(_ start: String) -> Bool {
    let open = start.reduce(0) { $1 == "(" ? $0 + 1 : $1 == ")" ? max(0, $0 - 1) : $0 }
    let closing = String(repeating: ")", count: min(open, 1000))
    return ["", " 1", " tcp", " 10.0.0.1", " host 10.0.0.1", " = 1", "1] = 1", "] = 1", "= 1"].contains { ending in
      switch attempt(start + ending + closing) {
      case .success: true
      case .failure(let failure): !failure.isSyntax
      }
    }
  }
}
