import Configuration
import Dataplane

extension PortKind {
  /// The setting that a single value beside a kind's name stands for: `{ af_packet: eth0 }`.
  static let mainSetting = "device"

  /// Every kind of port, in the order of the reference.
  public static let all: [PortKind] = [
    PortKind("pcap", about: "Plays a capture, and writes what is sent to another.", read: CaptureSpecification.read),
    PortKind(
      "af_packet", about: "A network interface of the kernel's, by AF_PACKET rings.",
      read: PacketSocketSpecification.read),
    PortKind("dpdk", about: "A DPDK device: a PCI address or a virtual device.", read: DeviceSpecification.read),
    PortKind("traffic", about: "Traffic synthesised in memory.", read: TrafficSpecification.read),
    PortKind("null", about: "Receives nothing, and frees what it is sent.", read: NullSpecification.read),
  ]

  /// How many queues the user wants; nil when that is left to the scheduler.
  static func takeQueues(_ settings: inout Settings) throws(ConfigurationError) -> Int? {
    let queues: Int? = try settings.takeIfPresent(
      "queues", "receive queues, and as many to transmit; one a worker when left out")
    if let queues, !(1...64).contains(queues) {
      settings.reject(settings.range(of: "queues"), "\(queues) queues", remedy: "give 1 to 64")
      return nil
    }
    return queues
  }

  /// A port that receives nothing and frees what it is sent.
  public static var sink: any PortSpecification { NullSpecification() }

  /// A port that plays a capture from memory, round and round as fast as it goes, and frees what it is sent.
  public static func playback(of path: String) -> any PortSpecification { PlaybackSpecification(path: path) }

  /// A capture in place of a port; without one it receives nothing and counts what is sent.
  static func capture(input: String?, output: String?) -> any PortSpecification {
    var options = CapturePort.Options()
    options.input = input
    options.output = output
    return CaptureSpecification(options: options)
  }
}

struct CaptureSpecification: PortSpecification {
  var options: CapturePort.Options

  var summary: String {
    let parts = [options.input.map { "\($0)" }, options.output.map { "-> \($0)" }].compactMap { $0 }
    return "pcap" + (parts.isEmpty ? "" : " " + parts.joined(separator: " "))
  }
  var isTimed: Bool { options.input != nil && !options.isPaced }
  var isVirtual: Bool { !options.isPaced }
  var resources: [String] { options.output.map { ["file \($0)"] } ?? [] }
  var receives: Bool { options.input != nil }

  static func read(_ settings: inout Settings) throws(ConfigurationError) -> any PortSpecification {
    let input: FileSetting? = try settings.takeIfPresent("in", "capture to play", shorthand: true)
    let output: FileSetting? = try settings.takeIfPresent("out", "capture to write")
    var options = CapturePort.Options()
    options.input = input?.path
    options.output = output?.path
    options.times = try settings.take("times", default: 1, in: 1...Int.max, "how often the capture is played")
    options.isPaced = try settings.take(
      "pace", default: false, "play by the clock, at the capture's own distances, instead of in virtual time")
    options.precision =
      try settings.take("precision", default: PrecisionSetting.nanoseconds, "of timestamps that are written").precision
    options.snapLength = try settings.take(
      "snap", default: CaptureWriter.wholePackets, in: 1...CaptureWriter.wholePackets, "bytes written of each packet")
    return CaptureSpecification(options: options)
  }

  func open(number: Int, queues: Int, pool: PacketPool) throws(EnvironmentError) -> any Port {
    try CapturePort(options, number: number, pool: pool)
  }
}

private enum PrecisionSetting: String, SettingChoice {
  case nanoseconds, microseconds

  var precision: CaptureWriter.Precision { self == .nanoseconds ? .nanoseconds : .microseconds }
}

struct PlaybackSpecification: PortSpecification {
  var path: String

  var summary: String { "playback \(path)" }
  var isVirtual: Bool { true }

  func open(number: Int, queues: Int, pool: PacketPool) throws(EnvironmentError) -> any Port {
    try PlaybackPort(path, number: number, pool: pool)
  }
}

struct DeviceSpecification: PortSpecification {
  var device: String
  var queues: Int?
  var options: EthernetDevice.Options

  var summary: String { "dpdk \(device)" }
  var resources: [String] { ["device \(device.prefix { $0 != "," })"] }
  var allowsSeveralQueues: Bool { true }
  var needsPCI: Bool { device.contains(":") && !device.contains(",") && !device.hasPrefix("net_") }

  static func read(_ settings: inout Settings) throws(ConfigurationError) -> any PortSpecification {
    let device: String = try settings.take(
      PortKind.mainSetting, "PCI address or virtual device", shorthand: true)
    let queues = try PortKind.takeQueues(&settings)
    var options = EthernetDevice.Options()
    options.descriptors = try settings.take(
      "descriptors", default: 0, in: 0...32_768, "a queue's length; 0: the driver's choice")
    options.mtu = try settings.take("mtu", default: 0, in: 0...65_535, "largest payload; 0: as it is")
    options.promiscuous = try settings.take("promiscuous", default: true, "receive frames for other stations")
    return DeviceSpecification(device: device, queues: queues, options: options)
  }

  func open(number: Int, queues: Int, pool: PacketPool) throws(EnvironmentError) -> any Port {
    var options = options
    options.queues = queues
    return try EthernetDevice(device, options: options, pool: pool)
  }
}

struct PacketSocketSpecification: PortSpecification {
  var interface: String
  var queues: Int?
  var options: PacketSocketPort.Options

  var summary: String { "af_packet \(interface)" }
  var resources: [String] { ["interface \(interface)"] }
  var allowsSeveralQueues: Bool { true }

  static func read(_ settings: inout Settings) throws(ConfigurationError) -> any PortSpecification {
    let interface: String = try settings.take(PortKind.mainSetting, "name of the interface", shorthand: true)
    let queues = try PortKind.takeQueues(&settings)
    var options = PacketSocketPort.Options()
    options.promiscuous = try settings.take("promiscuous", default: true, "receive frames for other stations")
    options.coalesce = try settings.take(
      "coalesce", default: false, "send runs of TCP segments as one; the interface cuts them")
    return PacketSocketSpecification(interface: interface, queues: queues, options: options)
  }

  func open(number: Int, queues: Int, pool: PacketPool) throws(EnvironmentError) -> any Port {
    var options = options
    options.queues = queues
    return try PacketSocketPort(interface, number: number, options: options, pool: pool)
  }
}

struct NullSpecification: PortSpecification {
  var queues: Int?

  var summary: String { "null" }
  var isVirtual: Bool { true }
  var allowsSeveralQueues: Bool { true }
  var receives: Bool { false }

  static func read(_ settings: inout Settings) throws(ConfigurationError) -> any PortSpecification {
    NullSpecification(queues: try PortKind.takeQueues(&settings))
  }

  func open(number: Int, queues: Int, pool: PacketPool) throws(EnvironmentError) -> any Port {
    NullPort(number: number, queues: queues)
  }
}
