public import Configuration
public import Dataplane

/// How a pipeline is run: the `runtime:` part of the file.
public struct Runtime: Sendable {
  /// How many workers.
  public var workers = 1
  /// CPUs that workers are pinned to, one each; empty: wherever the system puts them.
  public var cores: [Int] = []
  /// Packets a batch at most.
  public var batchSize = 64
  /// How workers wait.
  public var polling = Polling.adaptive
  /// Packet buffers.
  public var packets = 16_384
  /// Bytes a packet buffer holds.
  public var dataRoom = 2048
  /// Megabytes of memory that EAL takes without huge pages; nil: as much as the buffers need.
  public var memory: Int?
  /// Whether huge pages are used.
  public var hugePages = HugePages.auto
  /// More arguments for EAL.
  public var eal: [String] = []
  /// Where a live run can be asked by `nfvrun ctl`: the path of a Unix socket.
  public var control: String?

  /// Whether huge pages are used.
  public enum HugePages: String, SettingChoice, Sendable {
    /// When a port is a PCI device and the host has some free.
    case auto
    /// Always; not to start without.
    case always
    /// Never.
    case never
  }

  /// The defaults.
  public init() {}

  /// Reads the `runtime:` part.
  public init(_ settings: inout Settings) throws(ConfigurationError) {
    let cores: [Int] = try settings.takeIfPresent("cores", "CPUs to pin workers to, one worker each") ?? []
    let workers: Int? = try settings.takeIfPresent("workers", "how many workers; 1 unless cores are given")
    self.cores = cores
    self.workers = workers ?? max(cores.count, 1)
    if !(1...64).contains(self.workers) {
      settings.reject(settings.range(of: "workers"), "\(self.workers) workers", remedy: "give 1 to 64")
      self.workers = 1
    }
    if !cores.isEmpty, cores.count != self.workers {
      settings.reject(
        settings.range(of: "cores"), "\(self.workers) workers but \(cores.count) cores",
        remedy: "name one core a worker")
    }
    if Set(cores).count != cores.count || cores.contains(where: { $0 < 0 || $0 > 1023 }) {
      settings.reject(settings.range(of: "cores"), "cores must differ and be 0 to 1023", remedy: "list each CPU once")
      self.cores = []
    }
    batchSize = try settings.take("batch", default: 64, in: 1...256, "packets a batch at most")
    polling = try settings.take("poll", default: PollSetting.adaptive, "busy never sleeps").polling
    packets = try settings.take("packets", default: 16_384, in: 256...16_777_216, "packet buffers")
    dataRoom = try settings.take("buffer", default: 2048, in: 256...65_000, "bytes a packet buffer holds")
    memory = try settings.takeIfPresent("memory", "megabytes that EAL takes without huge pages, packet buffers apart")
    hugePages = try settings.take("hugepages", default: .auto, "whether huge pages are used")
    control = try settings.takeIfPresent("control", "path of a Unix socket at which a live run answers 'nfvrun ctl'")
    eal = try settings.takeIfPresent("eal", "more arguments for EAL") ?? []
  }

  private enum PollSetting: String, SettingChoice {
    case adaptive, busy

    var polling: Polling { self == .busy ? .busy : .adaptive }
  }

  /// Memory for EAL in megabytes. Packet buffers take none of it.
  public var megabytes: Int { memory ?? 64 }
}
