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
  /// Starts EAL.
  /// - Parameter arguments: As on the command line of a DPDK program, its name left out.
  /// - Throws: When EAL refuses, with what it logged.
  public static func start(_ arguments: [String]) throws(EnvironmentError) {
    var log = [CChar](repeating: 0, count: 8192)
    let copies = unsafe arguments.map { unsafe strdup($0) }
    let pointers = unsafe copies.map { unsafe UnsafePointer<CChar>($0) }
    let result = unsafe nfv_eal_init(Int32(arguments.count), pointers, &log, log.count)
    unsafe copies.forEach { unsafe free($0) }
    guard result < 0 else { return }
    let lines = String(decoding: log.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
      .split(separator: "\n").suffix(3).joined(separator: " / ")
    throw EnvironmentError(
      "EAL did not start with '\(arguments.joined(separator: " "))' (\(describe(result))): \(lines)",
      remedy: "correct runtime.eal or --eal; with none of them nfvrun needs neither root nor huge pages")
  }

  /// Arguments with which EAL needs neither root nor huge pages nor NICs.
  /// - Parameters:
  ///   - megabytes: Memory for packet buffers and devices.
  ///   - hugePages: Whether memory comes from huge pages.
  ///   - pci: Whether EAL looks for PCI devices.
  ///   - extra: More arguments; those that contradict a default replace it.
  public static func arguments(megabytes: Int, hugePages: Bool, pci: Bool, extra: [String]) -> [String] {
    func given(_ options: String...) -> Bool {
      extra.contains { word in options.contains { word == $0 || word.hasPrefix($0 + "=") } }
    }
    var arguments: [String] = []
    if !given("-l", "-c", "--lcores") { arguments += ["--lcores", "0@\(nfv_first_cpu())"] }
    if hugePages {
      if !given("--in-memory", "--file-prefix", "--proc-type", "--no-huge") { arguments.append("--in-memory") }
    } else if !given("--no-huge", "--in-memory", "--huge-dir", "--socket-mem") {
      arguments += ["--no-huge", "--no-shconf"]
      if !given("-m") { arguments += ["-m", "\(megabytes)"] }
    }
    if !pci && !given("-a", "-b", "--allow", "--no-pci") { arguments.append("--no-pci") }
    if !given("--telemetry", "--no-telemetry") { arguments.append("--no-telemetry") }
    if !given("--log-level") { arguments += ["--log-level", "lib.eal:error"] }
    return arguments + extra
  }

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

  /// Packets that died without a verdict since the program started.
  public static var abandonedPackets: UInt64 { nfv_abandoned() }
}
