import ArgumentParser
public import Dataplane
import Elements

/// The program: `nfvrun`, or a runner of the user's own with more elements.
public enum Program {
  @TaskLocal static var ownElements: [ElementKind] = []

  /// The library's elements and the user's.
  static var elements: [ElementKind] { catalogue + ownElements }

  /// Carries out the command line and ends the process.
  /// - Parameter elements: Elements besides the library's, by which a program of one's own differs from `nfvrun`.
  public static func main(elements: [ElementKind] = []) {
    $ownElements.withValue(elements) { Root.main() }
  }
}

struct Root: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "nfvrun",
    abstract: "Runs network functions: a graph of elements, described in YAML, over DPDK, AF_PACKET or captures.",
    discussion:
      "'nfvrun FILE' means 'nfvrun run FILE'. Exit codes: 0 done, 1 the configuration is wrong, 2 the host or the run failed.",
    version: "0.1.0",
    subcommands: [
      Run.self, Replay.self, Check.self, DrawGraph.self, ShowPlan.self, ListElements.self, PrintSchema.self,
      Bench.self, New.self, AskRun.self,
    ],
    defaultSubcommand: Run.self)
}
