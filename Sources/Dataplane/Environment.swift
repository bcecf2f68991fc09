import CDPDK
import Glibc

/// Something that the host lacks: what it is, and what mends it.
public struct EnvironmentError: Error, Hashable, Sendable, CustomStringConvertible {
  /// What is missing or refused.
  public let message: String
  /// The command or setting that mends it.
  public let remedy: String

  /// An error with its remedy.
  public init(_ message: String, remedy: String) {
    self.message = message
    self.remedy = remedy
  }

  public var description: String { "\(message); \(remedy)" }
}

/// DPDK's environment abstraction layer, which is started once a process.
public enum PacketEnvironment {
  /// Starts EAL; when it runs already, it stays as it is.
  /// - Parameter arguments: As on the command line of a DPDK program, its name left out.
  /// - Throws: When EAL refuses, with what it logged.
  public static func start(_ arguments: [String]) throws(EnvironmentError) {
    let copies = unsafe arguments.map { unsafe strdup($0) }
    let pointers = unsafe copies.map { unsafe UnsafePointer<CChar>($0) }
    let (result, lines) = keepingLog { unsafe nfv_eal_init(Int32(arguments.count), pointers) }
    unsafe copies.forEach { unsafe free($0) }
    guard result < 0, result != -EALREADY else { return }
    let isShortOfPages = lines.contains { $0.contains("hugepage") || $0.contains("huge page") }
    throw EnvironmentError(
      "EAL did not start with '\(arguments.joined(separator: " "))' (\(describe(result))): "
        + lines.suffix(3).joined(separator: " / "),
      remedy: isShortOfPages
        ? "set huge pages aside with: echo 512 | sudo tee /proc/sys/vm/nr_hugepages; or set 'hugepages: never'"
        : "correct runtime.eal or --eal; with none of them nfvrun needs neither root nor huge pages")
  }

  /// Runs `body` and gives, besides its result, the lines that DPDK logged meanwhile.
  static func keepingLog<Result>(_ body: () -> Result) -> (Result, [String]) {
    nfv_log_keep()
    let result = body()
    var text = [CChar](repeating: 0, count: 8192)
    unsafe nfv_log_take(&text, text.count)
    let whole = String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    return (result, whole.split(separator: "\n").map(String.init))
  }

  /// Arguments with which EAL needs neither root nor huge pages nor NICs.
  /// - Parameters:
  ///   - megabytes: Memory for packet buffers and devices.
  ///   - hugePages: Whether memory comes from huge pages.
  ///   - pci: Whether EAL looks for PCI devices.
  ///   - extra: More arguments; those that contradict a default replace it.
  public static func arguments(megabytes: Int, hugePages: Bool, pci: Bool, extra: [String]) -> [String] {
    /// Whether the user gives one of these options; `-m 64`, `-m64`, `--socket-mem 64` and `--socket-mem=64` all do.
    func given(_ options: String...) -> Bool {
      extra.contains { word in
        options.contains { option in
          word == option || word.hasPrefix(option.hasPrefix("--") ? option + "=" : option)
        }
      }
    }
    let isSecondary = extra.contains { $0 == "--proc-type=secondary" || $0 == "secondary" }
    // Whoever chooses how huge pages are laid out wants them, and whoever shares memory with other processes needs them.
    let choosesMemory =
      isSecondary
      || given(
        "--no-huge", "--in-memory", "--huge-dir", "--huge-unlink", "--socket-mem", "--socket-limit", "--legacy-mem",
        "--single-file-segments", "--match-allocations", "--huge-worker-stack", "--proc-type")
    var arguments: [String] = []
    if !given("-l", "-c", "--lcores", "-s", "-S") { arguments += ["--lcores", "0@\(nfv_first_cpu())"] }
    if hugePages && !given("--no-huge") {
      if !choosesMemory && !given("--file-prefix") { arguments.append("--in-memory") }
    } else {
      if !choosesMemory { arguments += ["--no-huge", "--no-shconf"] }
      // Without huge pages memory does not grow.
      if (!choosesMemory || given("--no-huge")) && !given("-m") { arguments += ["-m", "\(megabytes)"] }
    }
    if !pci && !given("-a", "-b", "--allow", "--block", "--no-pci") { arguments.append("--no-pci") }
    if !given("--telemetry", "--no-telemetry") { arguments.append("--no-telemetry") }
    if !given("--log-level") { arguments += ["--log-level", "lib.eal:error"] }
    return arguments + extra
  }

  /// Whether EAL runs: what lives in its memory can be made.
  public static var isRunning: Bool { nfv_eal_is_running() }

  /// Gives the calling thread an identity of its own, as a worker does; false when a process has no more of them.
  package static func registerThread() -> Bool {
    defer { nfv_thread_unregister() }
    return nfv_thread_register() == 0
  }

  /// Gives back what EAL holds.
  public static func stop() { nfv_eal_cleanup() }

  /// Whether the host has huge pages that nobody uses.
  public static var hasFreeHugePages: Bool { nfv_free_huge_pages() > 0 }

  /// Time-stamp counter ticks a second.
  public static var ticksPerSecond: UInt64 { nfv_tsc_hz() }
}
