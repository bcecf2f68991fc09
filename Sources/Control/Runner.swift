public import Assembly
public import Configuration
public import Dataplane

/// Takes a checked pipeline through its life: environment, ports, plans, workers, report.
public final class Runner {
  /// How a run differs from what the pipeline says.
  public struct Options: Sendable {
    /// Extra arguments for EAL, behind the pipeline's.
    public var eal: [String] = []
    /// Stops the run after this many nanoseconds.
    public var duration: UInt64?
    /// Batch size in place of the pipeline's.
    public var batchSize: Int?
    /// Called now and then during a replay with the number of packets so far.
    public var progress: (@Sendable (UInt64) -> Void)?
    /// Called about once a second during a live run with what happened so far.
    public var status: (@Sendable (Report) -> Void)?

    /// Where a live run can be asked, a path; nil: nowhere but where the pipeline says.
    public var controlSocket: String?
    /// Reads the pipeline's file again, for `reload`.
    public var reload: (@Sendable (Pipeline) throws(ConfigurationError) -> Pipeline)?

    /// Called with what ports noticed when they were opened.
    public var notice: (@Sendable (String) -> Void)?

    /// The pipeline as it is.
    public init() {}
  }

  /// What came of a run.
  public struct Outcome: Sendable {
    /// What happened to the packets.
    public let report: Report
    /// What went wrong on the way, in the user's words.
    public let problems: [String]
    /// What each worker executed, as `nfvrun plan` shows it.
    public let plan: String
  }

  private let pipeline: Pipeline
  private let options: Options
  private let stop: StopFlag

  /// - Parameter stop: Ends the run early when raised.
  public init(_ pipeline: Pipeline, options: Options = Options(), stop: StopFlag) {
    self.pipeline = pipeline
    self.options = options
    self.stop = stop
  }

  /// Whether every receiving port plays packets that carry their own time.
  public var isReplay: Bool { pipeline.isReplay }

  /// Runs until the ports have ended or the run is stopped.
  public func run() throws(RunError) -> Outcome {
    let opened = try open()
    for (port, declaration) in zip(opened.ports, pipeline.ports) {
      for warning in port.warnings { options.notice?("\(declaration.name): \(warning)") }
    }
    let started = nowNanoseconds()
    var problems = try isReplay ? replay(opened) : live(opened)
    let elapsed = nowNanoseconds() - started
    var report = opened.report(of: pipeline, isRunning: false)
    report.nanoseconds = isReplay ? 0 : elapsed
    report.showsCycles = !isReplay
    let plan = opened.description(of: pipeline)
    for (index, port) in opened.ports.enumerated() {
      problems += port.close().map { "\(pipeline.ports[index].name): \($0)" }
      // What waited to be written in one piece with others may turn out to be lost only now.
      let lost = port.queues.reduce(0) { $0 + $1.takeLost() }
      if lost > 0 { report.ports[index].transmitted?.drop(UInt64(lost), .portBusy) }
    }
    return Outcome(report: report, problems: problems, plan: plan)
  }

  /// Opens the ports and shows what the workers would execute, without a packet.
  public func plan() throws(RunError) -> String {
    let opened = try open()
    let text = opened.description(of: pipeline)
    for port in opened.ports { port.cancel() }
    return text
  }

  private func open() throws(RunError) -> OpenedPipeline {
    do throws(EnvironmentError) {
      try PacketEnvironment.start(pipeline.environmentArguments(extra: options.eal))
    } catch {
      throw .environment(error)
    }
    return try OpenedPipeline(pipeline, batchSize: options.batchSize)
  }

  private func replay(_ opened: OpenedPipeline) throws(RunError) -> [String] {
    Worker(plan: opened.workers[0].plan, readers: opened.readers).replay(until: stop) { options.progress?($0) }
  }

  private func live(_ opened: OpenedPipeline) throws(RunError) -> [String] {
    let runtime = pipeline.runtime
    let workers = opened.workers.enumerated().map { index, placed in
      Worker(
        plan: placed.plan, polling: runtime.polling, cpu: runtime.cores.isEmpty ? nil : runtime.cores[index],
        readers: opened.readers)
    }
    let results = Results(count: workers.count)
    let stop = stop
    var threads: [Thread] = []
    var control: ControlThread?
    do throws(EnvironmentError) {
      control = try ControlThread(
        pipeline, opened, socket: options.controlSocket ?? pipeline.runtime.control, reload: options.reload)
      for (index, worker) in workers.enumerated() {
        threads.append(try Thread { results.finish(index, worker.run(until: stop)) })
      }
    } catch {
      stop.raise()
      for thread in threads { thread.join() }
      _ = control?.end()
      throw .environment(error)
    }
    watch(opened, results)
    for thread in threads { thread.join() }
    opened.workers.first?.plan.handover?.drain(opened.workers.map(\.plan))
    return results.problems + (control?.end() ?? [])
  }

  /// Sleeps until the workers are done, tells how things stand, and ends the run when its time is over.
  private func watch(_ opened: OpenedPipeline, _ results: Results) {
    let started = nowNanoseconds()
    var nextStatus = started + 1_000_000_000
    while !results.wait(milliseconds: 20) {
      let now = nowNanoseconds()
      if let duration = options.duration, now - started >= duration { stop.raise() }
      if let status = options.status, now >= nextStatus {
        nextStatus += 1_000_000_000
        var report = opened.report(of: pipeline, isRunning: true)
        report.nanoseconds = now - started
        report.showsCycles = true
        status(report)
      }
    }
  }
}

/// Why a pipeline could not be run.
public enum RunError: Error {
  /// The configuration and what is on this host do not fit.
  case configuration(ConfigurationError)
  /// The host lacks something.
  case environment(EnvironmentError)
}
