import Control
import Foundation
import Testing

/// What Foundation reads from JSON text; it is the second opinion here.
func parsed(_ text: String) throws -> Any {
  try JSONSerialization.jsonObject(with: Data(text.utf8), options: [.fragmentsAllowed])
}

@Suite struct JSONTests {
  @Test func keepsTheOrderOfMembers() {
    let value = JSON.object([
      ("b", .number(1)), ("a", .array([.bool(true), .bool(false), .decimal(0.25)])), ("c", .object([])),
      ("d", .array([])),
    ])
    #expect(
      value.text == """
        {
          "b": 1,
          "a": [
            true,
            false,
            0.25
          ],
          "c": {},
          "d": []
        }
        """)
  }

  /// Quotation mark, reverse solidus and control characters are escaped; whatever else stands as it is.
  @Test func rfc8259_7_strings() throws {
    #expect(JSON.string("a\"b\\c\n\r\t/").text == #""a\"b\\c\n\r\t/""#)
    #expect(JSON.string("\u{0}\u{1}\u{1F}\u{7F}").text == "\"\\u0000\\u0001\\u001f\u{7F}\"")
    #expect(JSON.string("\r\n").text == #""\r\n""#)
    for value in UInt32(0)...0x2FF {
      guard let scalar = Unicode.Scalar(value) else { continue }
      let text = "x\(Character(scalar))y"
      #expect(try parsed(JSON.string(text).text) as? String == text)
      let object = try parsed(JSON.object([(text, .number(1))]).text) as? [String: Int]
      #expect(object == [text: 1])
    }
    for text in ["", "äöü", "\u{1F600}", "e\u{301}", "\u{2028}\u{2029}", "\u{FFFF}"] {
      #expect(try parsed(JSON.string(text).text) as? String == text)
    }
  }

  @Test func writesNumbersAsJSONHasThem() throws {
    #expect(JSON.count(.max).text == String(Int.max) && JSON.count(0).text == "0" && JSON.number(-5).text == "-5")
    #expect(JSON.decimal(.nan).text == "null" && JSON.decimal(.infinity).text == "null")
    for value in [0, 1, -1, 0.005, 1e-9, 12345.678, 1e15, 1e16, 1e21, 1e300, Double.greatestFiniteMagnitude] {
      let read = try #require(try parsed(JSON.decimal(value).text) as? Double)
      #expect(abs(read - value) <= max(0.0051, abs(value) * 1e-12), "\(value)")
    }
  }
}
