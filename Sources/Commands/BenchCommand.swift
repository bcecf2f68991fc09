import ArgumentParser
import Assembly
import Configuration
import Control
import Dataplane
import Glibc
import Wire

struct Bench: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Measure what a pipeline costs on this machine.",
    discussion: """
      Every port gives synthesised traffic as fast as one core can process it, and frees what it is sent. With --in \
      the named ports play captures instead, from memory and round and round; others then receive nothing unless \
      --port names them. Cycles are those of the time-stamp counter; the share of each port and element is measured \
      in every sixteenth round. Run it on an idle machine.
      """)

  enum Transport: String, CaseIterable, ExpressibleByArgument {
    case udp, tcp, icmp

    var number: UInt8 { self == .udp ? 17 : self == .tcp ? 6 : 1 }
  }

  @OptionGroup var pipeline: PipelineOptions
  @Option(help: "Seconds to measure.") var seconds = 3.0
  @Option(help: "Frame length in bytes without the FCS; the shortest there is when left out.") var size: Int?
  @Flag(help: "Frame lengths 60, 590 and 1514 in the proportions 7 : 4 : 1.") var imix = false
  @Option(help: "Flows, one packet each in turn.") var flows = 65_536
  @Option(name: .customLong("protocol"), help: "udp, tcp or icmp.") var transport = Transport.udp
  @Option(help: ArgumentHelp("Prefix that destinations are taken from.", valueName: "prefix")) var destination =
    "10.0.0.0/8"
  @Option(help: ArgumentHelp("Prefix that sources are taken from.", valueName: "prefix")) var source = "172.16.0.0/12"
  @Option(name: .customLong("batch"), help: "Batch size, 1 to 256.") var batchSize: Int?
  @Option(name: .customLong("port"), help: "Synthesise traffic on this port only; may be repeated.")
  var ports: [String] = []
  @Option(
    name: .customLong("in"),
    help: ArgumentHelp("Play a capture into a port, round and round.", valueName: "port=capture"))
  var inputs: [String] = []
  @Flag(help: "Print JSON.") var json = false

  func validate() throws {
    guard (0.1...86_400).contains(seconds) else { throw ValidationError("--seconds takes 0.1 to 86400") }
    if let batchSize, !(1...256).contains(batchSize) { throw ValidationError("--batch takes 1 to 256") }
  }

  func run() throws {
    let profile = try profile()
    let captures = try captures()
    let synthesised = ports
    var receiving: [String] = []
    let loaded = pipeline.load { name, described in
      guard described.receives else { return PortKind.sink }
      receiving.append(name)
      if let capture = captures[name] { return PortKind.playback(of: capture) }
      let isSynthesised = synthesised.isEmpty ? captures.isEmpty : synthesised.contains(name)
      return isSynthesised ? TrafficSpecification(profile) : PortKind.sink
    }
    let choices = receiving.joined(separator: ", ")
    for (option, names) in [("--port", synthesised), ("--in", captures.keys.sorted())] {
      guard let unknown = names.first(where: { !receiving.contains($0) }) else { continue }
      throw ValidationError("the pipeline receives on no port '\(unknown)'; \(option) takes \(choices)")
    }
    if let both = synthesised.first(where: { captures[$0] != nil }) {
      throw ValidationError("port '\(both)' cannot play a capture and synthesised traffic; name it by --in or --port")
    }
    var measured = loaded
    measured.runtime.workers = 1
    measured.runtime.polling = .busy
    var options = Runner.Options()
    options.eal = pipeline.ealArguments
    options.batchSize = batchSize
    options.duration = UInt64(seconds * 1e9)
    options.notice = { Console.error("nfvrun: warning: \($0)") }
    let stop = StopFlag()
    let outcome: Runner.Outcome
    do throws(RunError) {
      do throws(EnvironmentError) {
        try Signals.stop(stop)
      } catch {
        throw .environment(error)
      }
      outcome = try Runner(measured, options: options, stop: stop).run()
    } catch {
      exitWith(error)
    }
    let cost = Cost(outcome.report)
    Console.print(json ? cost.json.text : cost.text)
  }

  /// The captures to play, by port.
  private func captures() throws -> [String: String] {
    do throws(PortBinding.Malformed) {
      let bindings = try PortBinding.parse(inputs: inputs, outputs: [])
      return Dictionary(uniqueKeysWithValues: bindings.map { ($0.port, $0.input ?? "") })
    } catch {
      throw ValidationError("\(error)")
    }
  }

  private func profile() throws -> TrafficProfile {
    var profile = TrafficProfile()
    profile.hasChecksum = false
    profile.flows = flows
    profile.sizes = imix ? TrafficSpecification.imix : [size ?? 60]
    profile.transport = IPProtocol(rawValue: transport.number)
    guard let from = IPPrefix(source), let to = IPPrefix(destination) else {
      throw ValidationError("--source and --destination take prefixes")
    }
    profile.source = from
    profile.destination = to
    if case .v6 = to { profile.version = 6 }
    let least = max(profile.headerLength, 60)
    guard size.map((least...9216).contains) ?? true, (1...16_777_216).contains(flows) else {
      throw ValidationError("--size takes \(least) to 9216, --flows 1 to 16777216")
    }
    if case .v4 = from, profile.version == 6 {
      throw ValidationError("--source and --destination are of two IP versions")
    }
    if case .v6 = from, profile.version == 4 {
      throw ValidationError("--source and --destination are of two IP versions")
    }
    return profile
  }
}
