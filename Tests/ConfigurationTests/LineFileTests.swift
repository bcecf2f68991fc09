import Configuration
import Glibc
import Testing

@Suite struct LineFileTests {
  /// Runs `body` with a file of these bytes, which is removed afterwards.
  private func withFile<T>(_ bytes: [UInt8], _ body: (FileSetting) throws -> T) throws -> T {
    var template = Array("/tmp/linefile-XXXXXX".utf8CString)
    let descriptor = unsafe template.withUnsafeMutableBufferPointer { buffer in
      unsafe buffer.baseAddress.map { unsafe mkstemp($0) } ?? -1
    }
    try #require(descriptor >= 0)
    let path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    defer { unsafe unlink(path) }
    let written = unsafe bytes.withUnsafeBytes { unsafe write(descriptor, $0.baseAddress, $0.count) }
    close(descriptor)
    try #require(written == bytes.count)
    return try body(FileSetting(path: path))
  }

  @Test func splitsLinesIntoWordsWithPlaces() throws {
    let text = "10.0.0.0/8 1\r\n\n  # comment\n\tä  b#c\nlast"
    try withFile(Array(text.utf8)) { file in
      var lines: [[String]] = []
      var places: [[String]] = []
      try LineFile.read(file) { line in
        lines.append(line.words.map { String($0.text) })
        places.append(line.words.map { "\($0.range.start.line):\($0.range.start.column)+\($0.range.length)" })
      }
      #expect(lines == [["10.0.0.0/8", "1"], ["ä", "b"], ["last"]])
      #expect(places == [["1:1+10", "1:12+1"], ["4:2+1", "4:5+1"], ["5:1+4"]])
    }
  }

  @Test func collectsMistakes() throws {
    let text = (1...300).map { "line\($0)\n" }.joined()
    try withFile(Array(text.utf8)) { file in
      var lines = 0
      let error = try #require(throws: ConfigurationError.self) {
        try LineFile.read(file) { line throws(ConfigurationError) in
          lines += 1
          throw ConfigurationError(line.range, "wrong", remedy: "")
        }
      }
      #expect(error.diagnostics.count == 100 && lines == 100)
      #expect(error.diagnostics[6].range?.start == SourcePosition(file: file.path, line: 7, column: 1))
    }
  }

  @Test func survivesAnyBytes() throws {
    for _ in 0..<100 {
      let bytes =
        (0..<Int.random(in: 0...200)).map { _ in [0, 9, 10, 13, 32, 35, 65, 0xC3, 0xA4, 0xFF].randomElement() ?? 0 }
        as [UInt8]
      try withFile(bytes) { file in
        try LineFile.read(file) { line in
          for word in line.words {
            #expect(!word.text.isEmpty)
            let shown = line.range.text.unicodeScalars.dropFirst(word.range.start.column - 1).prefix(word.range.length)
            #expect(shown.elementsEqual(word.text.unicodeScalars))
          }
        }
      }
    }
  }

  @Test func saysWhyItCannotBeRead() {
    #expect(
      mistakes { try LineFile.read(FileSetting(path: "/no/such/file")) { _ in } } == [
        "/no/such/file: No such file or directory; check the path and its permissions"
      ])
  }
}
