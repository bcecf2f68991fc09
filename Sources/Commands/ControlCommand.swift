import ArgumentParser
import Configuration
import Control
import Dataplane
import Glibc

struct AskRun: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "ctl",
    abstract: "Ask a running pipeline: list and change what its elements keep, read its file again.",
    discussion: """
      The run must have a control socket: 'nfvrun run FILE --control PATH', or 'runtime: { control: PATH }'.

        nfvrun ctl PATH                              what can be asked
        nfvrun ctl PATH report                       what happened so far, as JSON
        nfvrun ctl PATH reload                       read the file again and take over what can be replaced
        nfvrun ctl PATH ELEMENT reload               the same for one element
        nfvrun ctl PATH ELEMENT OPERATION [name=value ...]

      Exit codes: 0 done, 1 refused, 2 nobody answers.
      """)

  @Argument(help: "The control socket of the run.", completion: .file())
  var socket: String

  @Argument(help: ArgumentHelp("Element, operation and what it is given.", valueName: "words"))
  var words: [String] = []

  @Flag(help: "Print each row as a line of JSON.")
  var json = false

  @Option(help: ArgumentHelp("Rows for an import, a file of JSON lines; '-' for standard input.", valueName: "file"))
  var rows: String?

  func run() throws {
    let request = try request()
    var kept: [[(name: String, value: String)]] = []
    var failure: String?
    do throws(EnvironmentError) {
      try ControlClient.ask(request, rows: try readRows(), at: socket) { line in
        switch line {
        case .row(let text, let fields):
          if request.element == nil && request.operation == "report" {
            Console.print(fields.first?.value ?? "")
          } else if json {
            Console.print(text)
          } else {
            kept.append(fields)
          }
        case .failure(let message): failure = message
        }
      }
    } catch {
      exitWith(.environment(error))
    }
    if words.count == 1, request.operation == "operations" {
      kept.removeAll { !$0.contains { $0.name == "element" && $0.value == words[0] } }
      if kept.isEmpty { failure = "'\(words[0])' is no element that can be asked" }
    }
    if !kept.isEmpty { Console.print(ControlClient.table(kept)) }
    if let failure {
      Console.error("nfvrun: error: \(failure)")
      Glibc.exit(1)
    }
  }

  private func request() throws -> ControlRequest {
    var arguments: [String: String] = [:]
    for word in words.dropFirst(2) {
      guard let equals = word.firstIndex(of: "="), equals != word.startIndex else {
        throw ValidationError("'\(word)' is not written name=value")
      }
      arguments[String(word[..<equals])] = String(word[word.index(after: equals)...])
    }
    switch (words.count, words.first, words.dropFirst().first) {
    case (0, _, _): return ControlRequest(element: nil, operation: "operations")
    case (1, "report"?, _), (1, "reload"?, _): return ControlRequest(element: nil, operation: words[0])
    case (1, _, _): return ControlRequest(element: nil, operation: "operations")
    case (2, let element?, "reload"?):
      return ControlRequest(element: nil, operation: "reload", arguments: ["element": element])
    default: return ControlRequest(element: words[0], operation: words[1], arguments: arguments)
    }
  }

  private func readRows() throws(EnvironmentError) -> [UInt8] {
    guard let rows else { return [] }
    do throws(FileError) {
      return try readBytes(of: rows == "-" ? "/dev/stdin" : rows, limit: 256 << 20)
    } catch {
      throw EnvironmentError("\(rows): \(error.reason)", remedy: "name a file of JSON lines")
    }
  }
}
