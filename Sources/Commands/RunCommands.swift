import ArgumentParser
import Assembly
import Configuration
import Control
import Dataplane
import Glibc

/// What the commands that run a pipeline take besides.
struct RunOptions: ParsableArguments {
  @Option(help: ArgumentHelp("Write the report as JSON; '-' for standard output.", valueName: "file"))
  var report: String?

  @Option(name: .customLong("batch"), help: "Batch size, 1 to 256, in place of the pipeline's.")
  var batchSize: Int?

  @Flag(name: .shortAndLong, help: "Print no graph and no report.")
  var quiet = false

  @Flag(help: "Print what each worker executes before the report.")
  var showPlan = false

  func validate() throws {
    if let batchSize, !(1...256).contains(batchSize) { throw ValidationError("--batch takes 1 to 256") }
  }

  /// Runs the pipeline, prints and writes the report, and exits with 2 when something went wrong.
  /// - Parameters:
  ///   - control: Where a live run can be asked.
  ///   - reload: Reads the pipeline's file again.
  func carryOut(
    _ pipeline: Pipeline, eal: [String], duration: UInt64? = nil, status: Bool = false, control: String? = nil,
    reload: (@Sendable (Pipeline) throws(ConfigurationError) -> Pipeline)? = nil
  ) {
    let stop = StopFlag()
    var options = Runner.Options()
    options.controlSocket = control
    options.reload = reload
    options.eal = eal
    options.batchSize = batchSize
    options.duration = duration
    options.notice = { Console.error("nfvrun: warning: \($0)") }
    let showsProgress = Console.errorIsTerminal && !quiet
    if showsProgress {
      options.progress = { Console.progress("\(Report.grouped($0)) packets") }
      options.status = { Console.progress($0.summary) }
    }
    if status { options.status = { Console.print($0.text) } }
    if !quiet { Console.print(pipeline.graph.drawing + "\n") }
    do throws(EnvironmentError) {
      try Signals.stop(stop)
    } catch {
      exitWith(.environment(error))
    }
    let outcome: Runner.Outcome
    do throws(RunError) {
      outcome = try Runner(pipeline, options: options, stop: stop).run()
    } catch {
      exitWith(error)
    }
    if showsProgress { Console.progress("") }
    finish(outcome, pipeline)
  }

  private func finish(_ outcome: Runner.Outcome, _ pipeline: Pipeline) {
    var problems = outcome.problems
    if showPlan { Console.print(outcome.plan + "\n") }
    if !quiet {
      Console.print(outcome.report.text)
      if let hint = pipeline.hint { Console.print(hint) }
    }
    if let report, let problem = Console.save(outcome.report.json.text + "\n", to: report) { problems.append(problem) }
    for problem in problems { Console.error("nfvrun: error: \(problem)") }
    if !problems.isEmpty { Glibc.exit(2) }
  }
}

struct Run: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Run a pipeline on the ports it names (the default command).",
    discussion: """
      A pipeline whose ports all play captures is replayed; one with interfaces runs until Ctrl-C, which finishes the \
      packets under way and prints the report.
      """)

  @OptionGroup var pipeline: PipelineOptions
  @OptionGroup var running: RunOptions

  @Option(help: ArgumentHelp("Stop after this many seconds.", valueName: "seconds"))
  var duration: Double?

  @Flag(help: "Print a report every second.")
  var status = false

  @Option(
    help: ArgumentHelp("Answer 'nfvrun ctl' at this Unix socket while a live run lasts.", valueName: "path"))
  var control: String?

  func validate() throws {
    guard duration.map((0...1e9).contains) ?? true else { throw ValidationError("--duration takes 0 to 1000000000") }
  }

  func run() throws {
    let (file, parameters, elements) = (pipeline.file, pipeline.parameters, Program.elements)
    running.carryOut(
      pipeline.load(), eal: pipeline.ealArguments, duration: duration.map { UInt64($0 * 1e9) }, status: status,
      control: control
    ) { (running: Pipeline) throws(ConfigurationError) in
      try Pipeline.load(path: file, elements: elements, parameters: parameters, running: running)
    }
  }
}

struct Replay: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Run a pipeline on captures instead of its ports: no NIC, no root, the same bytes every time.",
    discussion: """
      Time is the captures' own: several inputs are merged by timestamp, timers fire in between. Ports that are not \
      named receive nothing, and what is sent to them is counted.
      """)

  @OptionGroup var pipeline: PipelineOptions
  @OptionGroup var running: RunOptions

  @Option(name: .customLong("in"), help: ArgumentHelp("Play a capture into a port.", valueName: "port=capture"))
  var inputs: [String] = []

  @Option(
    name: .customLong("out"), help: ArgumentHelp("Write what a port sends to a capture.", valueName: "port=capture"))
  var outputs: [String] = []

  func run() throws {
    let bindings: [PortBinding]
    do throws(PortBinding.Malformed) {
      bindings = try PortBinding.parse(inputs: inputs, outputs: outputs)
    } catch {
      throw ValidationError("\(error)")
    }
    running.carryOut(pipeline.load(rebinding: bindings), eal: pipeline.ealArguments)
  }
}
