import ArgumentParser
import Assembly
import Configuration
import Control
import Dataplane
import Glibc

struct Check: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Check a pipeline without running it: every mistake with its place and what to do.")

  @OptionGroup var pipeline: PipelineOptions

  func run() throws {
    let loaded = pipeline.load()
    let elements = loaded.elements.count
    Console.print("\(loaded.path): \(elements) \(elements == 1 ? "element" : "elements"), no mistakes")
  }
}

struct DrawGraph: ParsableCommand {
  static let configuration = CommandConfiguration(commandName: "graph", abstract: "Draw the graph of a pipeline.")

  enum Format: String, CaseIterable, ExpressibleByArgument { case text, dot, svg }

  @OptionGroup var pipeline: PipelineOptions
  @Option(help: "text, dot for Graphviz, or svg.") var format = Format.text

  func run() throws {
    let graph = pipeline.load().graph
    switch format {
    case .text: Console.print(graph.drawing)
    case .dot: Console.print(graph.dot)
    case .svg: Console.print(graph.svg)
    }
  }
}

struct ShowPlan: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "plan", abstract: "Show what each worker executes, in which order, and on which queues.",
    discussion: "The ports are opened and the plans built as for a run, and printed from there.")

  @OptionGroup var pipeline: PipelineOptions

  func run() throws {
    let loaded = pipeline.load()
    var options = Runner.Options()
    options.eal = pipeline.ealArguments
    do throws(RunError) {
      Console.print(try Runner(loaded, options: options, stop: StopFlag()).plan())
    } catch {
      exitWith(error)
    }
  }
}

struct ListElements: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "elements", abstract: "List the elements, or show one: settings, ends, drop reasons, example.")

  @Argument(help: "The element to show.") var name: String?
  @Flag(help: "Print the whole reference as Markdown.") var markdown = false

  func run() throws {
    let reference = Reference(elements: Program.elements)
    if markdown {
      Console.print(reference.markdown)
    } else if let name {
      guard let element = Program.elements.first(where: { $0.name == name }) else {
        Console.error(
          "nfvrun: error: there is no element '\(name)'; \(remedy(for: name, among: Program.elements.map(\.name)))")
        Glibc.exit(1)
      }
      Console.print(reference.page(of: element))
    } else {
      Console.print(reference.list)
    }
  }
}

struct PrintSchema: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "schema", abstract: "Print the JSON Schema of pipelines, for editors that complete and check YAML.")

  func run() throws { Console.print(Reference(elements: Program.elements).jsonSchema) }
}
