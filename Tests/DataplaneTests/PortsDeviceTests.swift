import Glibc
import TestKit
import Testing
import Wire

@testable import Dataplane

/// DPDK's device list has no lock, so devices are opened one test after another.
@Suite(.serialized) struct PortsDeviceTests {
  private func device(
    _ description: String, _ pool: borrowing TestPool, queues: Int = 1
  ) throws -> EthernetDevice {
    var options = EthernetDevice.Options()
    options.queues = queues
    return try EthernetDevice(description, options: options, pool: pool.pool)
  }

  private func refusal(_ description: String, queues: Int = 1) throws -> EnvironmentError? {
    try withTestPool { pool in
      do {
        _ = try device(description, pool, queues: queues).close()
        return nil
      } catch let error as EnvironmentError {
        return error
      }
    }
  }

  private func send(_ frames: [Frame], by queue: any PortQueue, _ pool: borrowing TestPool) {
    for frame in frames {
      var slot = unsafe pool.packet(frame).intoSlot()
      let taken = unsafe queue.transmit(&slot, count: 1, now: Instant(nanoseconds: 0))
      #expect(taken == 1)
    }
  }

  private func receive(_ queue: any PortQueue, port: Int) -> [[UInt8]] {
    unsafe withUnsafeTemporaryAllocation(of: PacketSlot.self, capacity: 32) { slots in
      var bytes: UInt64 = 0
      let count = unsafe queue.receive(
        slots.baseAddress!, limit: 32, now: Instant(nanoseconds: 0), bytes: &bytes)
      var frames: [[UInt8]] = []
      for index in 0..<count {
        guard let packet = unsafe Packet(taking: slots[index]) else { continue }
        #expect(packet.ingressPort == port, "packets carry the device's number")
        frames.append(packet.copyBytes())
        packet.discard()
      }
      #expect(bytes == UInt64(frames.map(\.count).reduce(0, +)))
      return frames
    }
  }

  @Test func ringGivesBackWhatItIsSent() throws {
    try withTestPool { pool in
      // A device before it, so that numbers differ from 0.
      let other = try device("net_null70", pool)
      let ring = try device("net_ring70", pool, queues: 2)
      #expect(ring.number != other.number)
      #expect(ring.queues.count == 2)
      let frames = [Frame.ethernet().ipv4().udp(), Frame.ethernet().vlan(5).ipv6().tcp()]
      for queue in ring.queues {
        send(frames, by: queue, pool)
        #expect(receive(queue, port: ring.number) == frames.map(\.bytes))
        #expect(receive(queue, port: ring.number) == [])
        #expect(queue.nextArrival == nil)
        #expect(queue.descriptor == nil)
      }
      #expect(ring.counters.allSatisfy { $0.value == 0 })
      #expect(ring.close() == [])
      #expect(other.close() == [])
      let again = try device("net_ring70", pool)
      #expect(again.queues.count == 1, "a device that was closed can be opened anew")
      _ = again.close()
    }
  }

  @Test func nullDeviceMakesPackets() throws {
    try withTestPool { pool in
      let null = try device("net_null71,size=1500,copy=1", pool)
      let frames = receive(null.queues[0], port: null.number)
      #expect(frames.count == 32)
      #expect(frames.allSatisfy { $0.count == 1500 })
      _ = null.close()
    }
  }

  @Test func pcapDeviceReadsWhatTheOtherWrote() throws {
    let path = "/tmp/nfv-device-\(getpid()).pcap"
    defer { _ = unsafe unlink(path) }
    let frames = [Frame.ethernet().ipv4().udp(), Frame.ethernet().ipv4().tcp().payload(count: 500)]
    try withTestPool { pool in
      let writer = try device("net_pcap72,tx_pcap=\(path)", pool)
      send(frames, by: writer.queues[0], pool)
      _ = writer.close()
      let reader = try device("net_pcap73,rx_pcap=\(path)", pool)
      #expect(receive(reader.queues[0], port: reader.number) == frames.map(\.bytes))
      _ = reader.close()
    }
  }

  private static let canMakeTaps = unsafe geteuid() == 0 && access("/dev/net/tun", R_OK | W_OK) == 0

  @Test(.enabled(if: canMakeTaps)) func tapDeviceOpens() throws {
    // The driver keeps a buffer for each descriptor.
    try withTestPool(packets: 4096) { pool in
      let tap = try device("net_tap74,iface=nfvtest74", pool)
      #expect(!tap.address.isZero)
      #expect(unsafe access("/sys/class/net/nfvtest74", F_OK) == 0)
      _ = tap.close()
      #expect(unsafe access("/sys/class/net/nfvtest74", F_OK) != 0)
    }
  }

  @Test func saysWhatIsMissing() throws {
    let driver = try refusal("net_nonesuch0")
    #expect(driver?.message == "no driver for device 'net_nonesuch0' is loaded")
    #expect(driver?.remedy.contains("eal: [-d, librte_net_NAME.so]") == true)
    let pci = try refusal("0000:fe:1f.7")
    #expect(pci?.message == "this host has no PCI device 0000:fe:1f.7")
    #expect(pci?.remedy == "list devices with: dpdk-devbind.py -s")
    let file = try refusal("net_pcap75,rx_pcap=/nonesuch.pcap")
    #expect(file?.message.contains("'net_pcap75,rx_pcap=/nonesuch.pcap' cannot be opened: ") == true)
    #expect(file?.message.contains("/nonesuch.pcap: No such file or directory") == true)
    #expect(file?.remedy.hasPrefix("check the path") == true)
    if geteuid() == 0 {
      let interface = try refusal("net_af_packet76,iface=nonesuch")
      #expect(interface?.message.contains("No such device") == true, "\(String(describing: interface))")
      #expect(interface?.remedy == "list interfaces with: ip link")
    }
    let queues = try refusal("net_pcap77,rx_iface=lo", queues: 60)
    #expect(queues != nil)
  }

  @Test func failuresLeaveNothingBehind() throws {
    try withTestPool { pool in
      for _ in 0..<3 {
        #expect(throws: EnvironmentError.self) { try self.refusedForQueues(pool.pool) }
      }
      let device = try device("net_null78", pool)
      #expect(device.queues.count == 1)
      _ = device.close()
    }
  }

  private func refusedForQueues(_ pool: PacketPool) throws {
    var options = EthernetDevice.Options()
    options.queues = 2000
    _ = try EthernetDevice("net_null78", options: options, pool: pool)
  }
}

@Suite struct PortsEnvironmentTests {
  private func arguments(_ extra: [String] = [], hugePages: Bool = false, pci: Bool = false) -> [String] {
    PacketEnvironment.arguments(megabytes: 64, hugePages: hugePages, pci: pci, extra: extra)
  }

  @Test func needsNothingByDefault() {
    let given = arguments()
    for option in ["--no-huge", "--no-shconf", "--no-pci", "--no-telemetry", "-m", "64"] {
      #expect(given.contains(option))
    }
    #expect(!given.contains("--in-memory"), "it excludes --no-huge")
  }

  @Test func usesHugePagesWhenAsked() {
    let given = arguments(hugePages: true, pci: true)
    #expect(given.contains("--in-memory"))
    for option in ["--no-huge", "--no-pci", "-m"] { #expect(!given.contains(option)) }
  }

  @Test(arguments: [["-m", "512"], ["-m512"]]) func memoryIsTheUsers(extra: [String]) {
    let given = arguments(extra)
    #expect(!given.contains("64"))
    #expect(given.suffix(extra.count) == extra[...])
    #expect(given.contains("--no-huge"))
  }

  @Test(arguments: [
    ["--in-memory"], ["--huge-dir=/mnt"], ["--socket-mem", "512"], ["--proc-type=secondary"],
    ["--proc-type", "primary", "--file-prefix=a"], ["--huge-unlink=never"], ["--legacy-mem"],
  ]) func hugePagesAreTheUsers(extra: [String]) {
    for hugePages in [false, true] {
      let given = arguments(extra, hugePages: hugePages)
      for option in ["--no-huge", "--no-shconf", "-m"] { #expect(!given.contains(option)) }
      #expect(given.filter { $0 == "--in-memory" }.count == (extra == ["--in-memory"] ? 1 : 0))
    }
  }

  @Test func noHugePagesNeedMemory() {
    let given = arguments(["--no-huge"], hugePages: true)
    #expect(given.filter { $0 == "--no-huge" }.count == 1)
    #expect(given.contains("-m"))
    #expect(!given.contains("--in-memory"))
  }

  @Test func othersStandBesideTheDefaults() {
    #expect(!arguments(["-a", "0000:03:00.0"]).contains("--no-pci"))
    #expect(!arguments(["-l", "1"]).contains("--lcores"))
    #expect(!arguments(["-l0-3"]).contains("--lcores"))
    #expect(arguments(["--log-level", "8"]).filter { $0 == "--log-level" }.count == 1)
    let virtual = arguments(["--vdev=net_null0", "-d", "librte_net_null.so", "--file-prefix=x"])
    for option in ["--no-huge", "--no-pci", "--lcores"] { #expect(virtual.contains(option)) }
    #expect(virtual.suffix(4) == ["--vdev=net_null0", "-d", "librte_net_null.so", "--file-prefix=x"])
  }
}
