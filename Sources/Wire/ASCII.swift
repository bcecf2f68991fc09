/// Strict readers of numbers in text, shared by every parser of this module.
///
/// `Int.init` would take "+7" and, with a radix, any case: fine for programs, too lax for configuration files.
enum ASCII {
  static func decimalDigit(_ byte: UInt8) -> UInt8? {
    byte >= 0x30 && byte <= 0x39 ? byte - 0x30 : nil
  }

  static func hexadecimalDigit(_ byte: UInt8) -> UInt8? {
    switch byte {
    case 0x30...0x39: byte - 0x30
    case 0x41...0x46: byte - 0x41 + 10
    case 0x61...0x66: byte - 0x61 + 10
    default: nil
    }
  }

  /// A decimal number without sign, space or superfluous leading zeros ("010" is octal to some programs).
  static func decimal<T: FixedWidthInteger & UnsignedInteger>(_ text: some Sequence<UInt8>, as type: T.Type) -> T? {
    var value: T = 0
    var count = 0
    for byte in text {
      guard let digit = decimalDigit(byte), count == 0 || value > 0 else { return nil }
      let (product, overflow) = value.multipliedReportingOverflow(by: 10)
      let (sum, carry) = product.addingReportingOverflow(T(digit))
      guard !overflow, !carry else { return nil }
      value = sum
      count += 1
    }
    return count > 0 ? value : nil
  }

  /// A hexadecimal number of at most `digits` digits, without prefix.
  static func hexadecimal<T: FixedWidthInteger & UnsignedInteger>(
    _ text: some Sequence<UInt8>, digits: ClosedRange<Int>, as type: T.Type
  ) -> T? {
    var value: T = 0
    var count = 0
    for byte in text {
      guard let digit = hexadecimalDigit(byte), count < digits.upperBound else { return nil }
      value = value << 4 | T(digit)
      count += 1
    }
    return count >= digits.lowerBound ? value : nil
  }

  /// A decimal number, or a hexadecimal one behind "0x".
  static func integer<T: FixedWidthInteger & UnsignedInteger>(_ text: some StringProtocol, as type: T.Type) -> T? {
    if text.hasPrefix("0x") {
      return hexadecimal(text.utf8.dropFirst(2), digits: 1...(T.bitWidth / 4), as: T.self)
    }
    return decimal(text.utf8, as: T.self)
  }

  /// `value` in lower-case hexadecimal, with zeros in front up to `width` digits.
  static func hexadecimal(_ value: some FixedWidthInteger & UnsignedInteger, width: Int) -> String {
    let digits = String(value, radix: 16)
    return String(repeating: "0", count: max(0, width - digits.count)) + digits
  }
}
