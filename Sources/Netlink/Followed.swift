/// Values by key: those that the kernel has, and those that were told.
struct Followed<Key: Hashable, Value: Equatable> {
  private(set) var values: [Key: Value] = [:]
  private var told: [Key: Value] = [:]
  private var dirty: Set<Key> = []

  var isDirty: Bool { !dirty.isEmpty }

  /// Sets a value, or removes it when nil; the one before.
  @discardableResult
  mutating func set(_ key: Key, _ value: Value?) -> Value? {
    let before = values[key]
    if before != value {
      values[key] = value
      dirty.insert(key)
    }
    return before
  }

  /// Takes a dump's values instead of those there were.
  mutating func replace(with dumped: [Key: Value]) {
    for key in values.keys where dumped[key] == nil { set(key, nil) }
    for (key, value) in dumped { set(key, value) }
  }

  /// Hands out what is other than what was told: the value told before, and the one there is.
  mutating func tell(_ body: (_ before: Value?, _ value: Value?) -> Void) {
    for key in dirty where told[key] != values[key] {
      body(told[key], values[key])
      told[key] = values[key]
    }
    dirty.removeAll()
  }
}
