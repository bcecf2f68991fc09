import ArgumentParser
import Assembly
import Configuration
import Control
import Dataplane
import Glibc

/// What every command that reads a pipeline takes.
struct PipelineOptions: ParsableArguments {
  @Argument(help: "The pipeline, a YAML file.", completion: .file(extensions: ["yaml", "yml"]))
  var file: String

  @Option(name: .customLong("set"), help: ArgumentHelp("Set a parameter of the pipeline.", valueName: "name=value"))
  var parameters: [String] = []

  @Option(help: ArgumentHelp("More arguments for EAL, in one string.", valueName: "arguments"))
  var eal: String = ""

  /// Loads the pipeline; prints every mistake and exits with 1 when there is one.
  func load(rebinding: [PortBinding]? = nil, replacing: Pipeline.PortReplacement? = nil) -> Pipeline {
    let pipeline: Pipeline
    do throws(ConfigurationError) {
      pipeline = try Pipeline.load(
        path: file, elements: Program.elements, parameters: parameters, rebinding: rebinding,
        replacing: replacing)
    } catch {
      exitWith(error)
    }
    for warning in pipeline.warnings { Console.error(warning.rendered(colour: Console.errorIsTerminal)) }
    return pipeline
  }

  /// `--eal` as words; quotes group, as in a shell.
  var ealArguments: [String] { splitWords(eal) }
}

/// Prints what is wrong with a configuration and exits.
func exitWith(_ error: ConfigurationError) -> Never {
  for diagnostic in error.diagnostics { Console.error(diagnostic.rendered(colour: Console.errorIsTerminal)) }
  let count = error.diagnostics.count { $0.severity == .error }
  Console.error(count == 1 ? "1 error" : "\(count) errors")
  exit(1)
}

/// Prints why a run failed and exits.
func exitWith(_ error: RunError) -> Never {
  switch error {
  case .configuration(let error): exitWith(error)
  case .environment(let error):
    Console.error("nfvrun: error: \(error)")
    exit(2)
  }
}

/// Splits a line into words at blanks that no quotes enclose.
func splitWords(_ line: String) -> [String] {
  var words: [String] = []
  var word: String?
  var quote: Character?
  for character in line {
    if let open = quote {
      if character == open { quote = nil } else { word = (word ?? "") + String(character) }
    } else if character == "'" || character == "\"" {
      quote = character
      word = word ?? ""
    } else if character == " " || character == "\t" {
      if let done = word { words.append(done) }
      word = nil
    } else {
      word = (word ?? "") + String(character)
    }
  }
  if let done = word { words.append(done) }
  return words
}
