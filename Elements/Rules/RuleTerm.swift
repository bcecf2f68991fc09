/// A box in the space of all keys: a set of packet kinds, a range for each field that has an order, and bits under a
/// mask for each that has none. A rule is a union of boxes.
struct RuleTerm: Sendable {
  /// Numbers from one to another.
  struct Bounds: Equatable, Sendable {
    var low: UInt32
    var high: UInt32
  }

  /// Bits under a mask.
  struct Bits: Equatable, Sendable {
    var value: UInt64
    var mask: UInt64
  }

  var kinds: PacketKind
  var ranges: InlineArray<9, Bounds>
  var bits: InlineArray<9, Bits>

  /// Every packet of these kinds.
  init(_ kinds: PacketKind = .all) {
    self.kinds = kinds
    ranges = InlineArray { Bounds(low: 0, high: UInt32(truncatingIfNeeded: RangeField.allCases[$0].place.mask)) }
    bits = InlineArray(repeating: Bits(value: 0, mask: 0))
  }

  subscript(field: RangeField) -> Bounds {
    get { ranges[field.rawValue] }
    set { ranges[field.rawValue] = newValue }
  }

  subscript(field: BitField) -> Bits {
    get { bits[field.rawValue] }
    set { bits[field.rawValue] = newValue }
  }

  /// Whether any number of the field will do.
  func isFree(_ field: RangeField) -> Bool {
    self[field] == Bounds(low: 0, high: UInt32(truncatingIfNeeded: field.place.mask))
  }

  /// The same box within a range of a field.
  func with(_ field: RangeField, _ range: ClosedRange<UInt32>) -> RuleTerm {
    var copy = self
    copy[field] = Bounds(low: range.lowerBound, high: range.upperBound)
    return copy
  }

  /// The same box with bits of a field fixed.
  func with(_ field: BitField, _ value: UInt64, mask: UInt64) -> RuleTerm {
    var copy = self
    copy[field] = Bits(value: value & mask, mask: mask)
    return copy
  }

  // MARK: Algebra

  /// What both boxes have in common; nil when that is nothing.
  func intersection(_ other: RuleTerm) -> RuleTerm? {
    guard meets(other) else { return nil }
    var both = self
    both.kinds.formIntersection(other.kinds)
    for index in ranges.indices {
      both.ranges[index].low = max(ranges[index].low, other.ranges[index].low)
      both.ranges[index].high = min(ranges[index].high, other.ranges[index].high)
    }
    for index in bits.indices {
      both.bits[index].mask |= other.bits[index].mask
      both.bits[index].value |= other.bits[index].value
    }
    return both
  }

  /// Whether the boxes have a key in common.
  func meets(_ other: RuleTerm) -> Bool {
    guard !kinds.isDisjoint(with: other.kinds) else { return false }
    for index in bits.indices
    where (bits[index].value ^ other.bits[index].value) & bits[index].mask & other.bits[index].mask != 0 {
      return false
    }
    for index in ranges.indices
    where ranges[index].low > other.ranges[index].high || other.ranges[index].low > ranges[index].high {
      return false
    }
    return true
  }

  /// Whether every key of `other` is in this box.
  func covers(_ other: RuleTerm) -> Bool {
    guard kinds.isSuperset(of: other.kinds) else { return false }
    for index in bits.indices {
      let (wide, narrow) = (bits[index], other.bits[index])
      guard wide.mask & ~narrow.mask == 0, (wide.value ^ narrow.value) & wide.mask == 0 else { return false }
    }
    for index in ranges.indices
    where ranges[index].low > other.ranges[index].low || ranges[index].high < other.ranges[index].high {
      return false
    }
    return true
  }

  /// What is left of this box without `other`, in boxes that have nothing in common.
  func subtracting(_ other: RuleTerm) -> [RuleTerm] {
    guard meets(other) else { return [self] }
    var left: [RuleTerm] = []
    var rest = self
    if !rest.kinds.isSubset(of: other.kinds) {
      var piece = rest
      piece.kinds.subtract(other.kinds)
      left.append(piece)
      rest.kinds.formIntersection(other.kinds)
    }
    for index in ranges.indices {
      if rest.ranges[index].low < other.ranges[index].low {
        var piece = rest
        piece.ranges[index].high = other.ranges[index].low - 1
        left.append(piece)
        rest.ranges[index].low = other.ranges[index].low
      }
      if rest.ranges[index].high > other.ranges[index].high {
        var piece = rest
        piece.ranges[index].low = other.ranges[index].high + 1
        left.append(piece)
        rest.ranges[index].high = other.ranges[index].high
      }
    }
    for index in bits.indices {
      var open = other.bits[index].mask & ~rest.bits[index].mask
      while open != 0 {
        let bit = UInt64(1) << UInt64(63 - open.leadingZeroBitCount)
        open &= ~bit
        let wanted = other.bits[index].value & bit
        var piece = rest
        piece.bits[index].mask |= bit
        piece.bits[index].value |= wanted ^ bit
        left.append(piece)
        rest.bits[index].mask |= bit
        rest.bits[index].value |= wanted
      }
    }
    return left
  }
}

extension RuleTerm: Equatable {
  static func == (left: RuleTerm, right: RuleTerm) -> Bool { left.covers(right) && right.covers(left) }
}

/// Every way to take one box of each list: what all of the lists have in common.
enum RuleProduct {
  /// - Returns: Nil when that takes more than `limit` boxes.
  static func of(_ left: [RuleTerm], _ right: [RuleTerm], limit: Int) -> [RuleTerm]? {
    var product: [RuleTerm] = []
    for one in left {
      for other in right {
        guard let both = one.intersection(other) else { continue }
        if product.count == limit { return nil }
        product.append(both)
      }
    }
    return product
  }
}
