import CDPDK
import Glibc
public import Wire

/// A DPDK ethdev: a NIC by its PCI address, or any virtual device by its description.
@safe
public final class EthernetDevice: Port {
  /// How a device is opened.
  public struct Options: Sendable {
    /// Receive queues, and transmit queues.
    public var queues = 1
    /// Receive and transmit descriptors a queue; 0 leaves it to the driver.
    public var descriptors = 0
    /// Largest frame payload in bytes; 0 leaves it as it is.
    public var mtu = 0
    /// Whether frames for other stations are received.
    public var promiscuous = true

    /// The defaults.
    public init() {}
  }

  /// The device's number in DPDK: most drivers put it into every packet they receive.
  public let number: Int
  public let queues: [any PortQueue]
  /// The device's hardware address.
  public let address: MACAddress
  private let device: UInt16

  /// Probes, configures and starts a device.
  /// - Parameter description: `0000:03:00.0`, or a virtual device such as `net_null0,copy=0`.
  /// - Throws: `EnvironmentError` that says what is missing and what mends it.
  public init(_ description: String, options: Options, pool: PacketPool) throws(EnvironmentError) {
    let (found, log) = PacketEnvironment.keepingLog { unsafe nfv_device_probe(description) }
    guard found >= 0 else { throw DeviceFault(description, found, log).error }
    device = UInt16(found)
    number = Int(found)
    var info = nfv_device_info()
    guard unsafe nfv_device_describe(device, &info) == 0 else {
      throw EnvironmentError(
        "device '\(description)' gives no description", remedy: "check its driver with dpdk-devbind.py -s")
    }
    address = MACAddress(rawValue: info.mac)
    let limit = Int(min(info.max_rx_queues, info.max_tx_queues))
    guard options.queues <= limit else {
      nfv_device_remove(device)
      throw EnvironmentError(
        "device '\(description)' has \(limit) queues, not \(options.queues)", remedy: "lower 'queues'")
    }
    var settings = nfv_device_settings(
      rx_queues: UInt16(options.queues), tx_queues: UInt16(options.queues),
      rx_descriptors: UInt16(clamping: options.descriptors), tx_descriptors: UInt16(clamping: options.descriptors),
      mtu: UInt16(clamping: options.mtu), promiscuous: options.promiscuous)
    var step: UnsafePointer<CChar>?
    let (started, complaints) = PacketEnvironment.keepingLog {
      unsafe nfv_device_start(UInt16(found), &settings, pool.pool, &step)
    }
    guard started == 0 else {
      let what = unsafe step.map { unsafe String(cString: $0) } ?? "start"
      nfv_device_remove(device)
      throw EnvironmentError(
        "device '\(description)' did not \(what) (\(describe(started)))"
          + (DeviceFault.cause(in: complaints).map { ": \($0)" } ?? ""),
        remedy: started == -ENOMEM
          ? "raise runtime.packets, or lower 'descriptors': drivers keep a buffer for each"
          : "compare queues, descriptors and mtu with what the driver supports")
    }
    let device = device
    let marksPackets = Self.leavesPortAsItIs(info)
    queues = (0..<options.queues).map {
      DeviceQueue(device: device, queue: UInt16($0), marksPackets: marksPackets)
    }
  }

  /// Whether the driver leaves the ingress port of packets as it finds it: that of whoever put them in, or of a member.
  private static func leavesPortAsItIs(_ info: nfv_device_info) -> Bool {
    let driver = unsafe withUnsafeBytes(of: info.driver) { bytes in
      unsafe String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
    }
    return ["net_ring", "net_bonding", "net_softnic"].contains(driver)
  }

  public var counters: [ElementCounter] {
    var read = nfv_device_counters()
    guard unsafe nfv_device_counters_read(device, &read) == 0 else { return [] }
    return [
      ElementCounter("missed", read.rx_missed), ElementCounter("receiveErrors", read.rx_errors),
      ElementCounter("noBuffer", read.rx_no_buffer), ElementCounter("transmitErrors", read.tx_errors),
    ]
  }

  public func close() -> [String] {
    nfv_device_remove(device)
    return []
  }
}

@safe
final class DeviceQueue: PortQueue {
  private let device: UInt16
  private let queue: UInt16
  private let marksPackets: Bool

  init(device: UInt16, queue: UInt16, marksPackets: Bool) {
    self.device = device
    self.queue = queue
    self.marksPackets = marksPackets
  }

  @unsafe
  func receive(_ slots: UnsafeMutablePointer<PacketSlot>, limit: Int, now: Instant, bytes: inout UInt64) -> Int {
    let count = unsafe Int(nfv_device_receive(device, queue, slots, UInt16(limit), &bytes))
    if marksPackets { for index in 0..<count { unsafe slots[index].unsafelyUnwrapped.pointee.port = device } }
    return count
  }

  @unsafe
  func transmit(_ slots: UnsafeMutablePointer<PacketSlot>, count: Int, now: Instant) -> Int {
    unsafe Int(nfv_device_transmit(device, queue, slots, UInt16(count)))
  }
}
