import CDPDK
import Wire

extension Packet {
  /// Lowers the maximum segment size that this TCP SYN announces (RFC 9293 section 3.7.1), with the checksum patched.
  ///
  /// Leaves other packets alone, as well as SYNs that announce none, or no more than that.
  /// - Parameter limit: The largest size in bytes.
  /// - Returns: False when it had to be lowered and no buffer was left for a copy.
  public mutating func clampMaximumSegmentSize(to limit: UInt16) -> Bool {
    guard tcp?.flags.contains(.syn) == true, let length = tcp?.headerLength else { return true }
    let end = transportOffset + length
    var offset = transportOffset + 20
    while offset < end {
      let kind = unsafe load8(offset)
      if kind == 0 { return true }
      if kind == 1 {
        offset += 1
        continue
      }
      guard offset + 1 < end, case let length = unsafe Int(load8(offset + 1)), length >= 2, offset + length <= end
      else {
        return true
      }
      if kind == 2, length == 4, unsafe load16(offset + 2) > limit {
        guard makeWritable() else { return false }
        unsafe setSegmentSize(limit, at: offset + 2)
        return true
      }
      offset += length
    }
    return true
  }

  @unsafe
  private mutating func setSegmentSize(_ limit: UInt16, at place: Int) {
    // Options stand at any offset, the checksum's words at even ones.
    let first = place - (place - transportOffset) % 2
    let words = first == place ? 1 : 2
    var change = ChecksumChange()
    let old = unsafe (load16(first), words == 2 ? load16(first + 2) : 0)
    unsafe store16(limit, at: place)
    unsafe change.replace(old.0, with: load16(first))
    if words == 2 { unsafe change.replace(old.1, with: load16(first + 2)) }
    let sum = transportOffset + 16
    unsafe store16(change.applied(to: load16(sum)), at: sum)
  }
}
