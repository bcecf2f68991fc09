public import CDPDK

/// Rules that are matched by walking tries, many packets side by side (`rte_acl`): each list takes about the same time
/// for ten rules and for thousands.
///
/// Immutable once it is filled, and read by any number of workers. Needs a running EAL.
@safe
public struct AccessLists: ~Copyable, @unchecked Sendable {
  /// How a field is compared.
  public enum Comparison: UInt8, Sendable {
    /// The highest bits.
    case prefix
    /// From one number to another.
    case range
    /// Bits under a mask.
    case bits
  }

  /// A field of the key, which is in network byte order.
  public struct Field: Hashable, Sendable {
    let comparison: Comparison
    let size: Int
    let offset: Int

    /// A field.
    /// - Parameters:
    ///   - size: In bytes: 1, 2 or 4.
    ///   - offset: From the start of the key in bytes. The first field of a list has one byte; all others fill groups of
    ///     four that begin at a multiple of four.
    public init(_ comparison: Comparison, size: Int, offset: Int) {
      self.comparison = comparison
      self.size = size
      self.offset = offset
    }
  }

  /// What a rule says of a field, in the host's byte order.
  public struct Value: Hashable, Sendable {
    let value: UInt32
    let extent: UInt32

    /// The field's highest `length` bits are those of `value`.
    public static func prefix(_ value: UInt32, length: Int) -> Value { Value(value: value, extent: UInt32(length)) }
    /// The field is in the range.
    public static func range(_ range: ClosedRange<UInt32>) -> Value {
      Value(value: range.lowerBound, extent: range.upperBound)
    }
    /// The field's bits under `mask` are those of `value`.
    public static func bits(_ value: UInt32, mask: UInt32) -> Value { Value(value: value, extent: mask) }
  }

  @unsafe @usableFromInline
  struct List {
    @usableFromInline let acl: OpaquePointer
    @usableFromInline let kinds: UInt8
  }

  @usableFromInline var lists: UnsafeMutablePointer<List>
  @usableFromInline var count = 0
  private var capacity = 4

  /// Without lists.
  public init() { unsafe lists = .allocate(capacity: capacity) }

  deinit {
    for index in 0..<count { unsafe nfv_acl_destroy(lists[index].acl) }
    unsafe lists.deallocate()
  }

  /// Whether there is no list.
  @inlinable public var isEmpty: Bool { count == 0 }

  /// Adds a list.
  /// - Parameters:
  ///   - kinds: The kinds of keys that it is about, a bit each.
  ///   - values: For each rule in turn its value for each field; the first rule that matches counts.
  ///   - results: What each rule gives; below `UInt32.max`.
  ///   - memory: How many bytes it may take; the more, the fewer steps.
  /// - Returns: Whether there was room for it.
  public mutating func add(
    kinds: UInt8, fields: [Field], values: [Value], results: [UInt32], memory: Int
  ) -> Bool {
    guard nfv_eal_is_running(), values.count == fields.count * results.count else { return false }
    let layout = fields.map { field in
      nfv_acl_field(
        kind: field.comparison.rawValue, size: UInt8(field.size), group: UInt8(field.offset / 4 + 1),
        offset: UInt32(field.offset))
    }
    let numbered = Self.withGroupsInOrder(layout)
    let words = values.map { nfv_acl_value(value: $0.value, extent: $0.extent) }
    let (acl, _) = unsafe PacketEnvironment.keepingLog { () -> OpaquePointer? in
      for limit in [memory, 0] {
        var error: Int32 = 0
        let acl = unsafe nfv_acl_create(
          numbered, UInt32(numbered.count), words, results.map { $0 &+ 1 }, UInt32(results.count), limit, &error)
        if let acl = unsafe acl { return unsafe acl }
      }
      return nil
    }
    guard let acl = unsafe acl else { return false }
    if count == capacity {
      let larger = UnsafeMutablePointer<List>.allocate(capacity: capacity * 2)
      unsafe larger.update(from: lists, count: count)
      unsafe lists.deallocate()
      unsafe lists = larger
      capacity *= 2
    }
    unsafe (lists + count).initialize(to: List(acl: acl, kinds: kinds))
    count += 1
    return true
  }

  /// Numbers the groups of four bytes from 1 on without gaps; the first field is its own.
  private static func withGroupsInOrder(_ fields: [nfv_acl_field]) -> [nfv_acl_field] {
    var fields = fields
    let groups = Set(fields.dropFirst().map(\.group)).sorted()
    for index in fields.indices {
      fields[index].group = index == 0 ? 0 : UInt8((groups.firstIndex(of: fields[index].group) ?? 0) + 1)
    }
    return fields
  }

  /// Looks up the first `packets` keys and notes what each list gives.
  @inlinable
  public func classify<Key>(_ burst: borrowing LookupBurst<Key>, _ packets: Int) {
    precondition(UInt(bitPattern: packets) <= UInt(bitPattern: LookupBurst<Key>.limit), "a batch is too large")
    for index in 0..<count {
      let list = unsafe lists[index]
      unsafe nfv_acl_classify(
        list.acl, burst.keys, MemoryLayout<Key>.stride, burst.kinds, list.kinds, UInt32(packets), burst.results)
    }
  }
}
