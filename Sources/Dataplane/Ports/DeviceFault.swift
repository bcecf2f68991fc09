import CDPDK
import Glibc

/// Why a DPDK device is not there, in the user's words, from what the driver logged.
struct DeviceFault {
  private let description: String
  private let name: String
  private let number: Int32
  private let log: [String]

  init(_ description: String, _ number: Int32, _ log: [String]) {
    self.description = description
    name = String(description.prefix { $0 != "," })
    self.number = number
    self.log = log
  }

  /// The line that says most: drivers come before EAL, which only says that it did not work.
  static func cause(in log: [String]) -> String? {
    // Without shared configuration drivers cannot talk to secondary processes; they say so and go on.
    let lines = log.filter { !$0.contains("mp action callback") }
    guard let line = lines.first(where: { !$0.hasPrefix("EAL:") }) ?? lines.first else { return nil }
    guard let end = line.firstIndex(of: "("), line[end...].hasPrefix("(): ") else { return line }
    return String(line[line.index(end, offsetBy: 4)...])
  }

  private var isPCI: Bool { name.contains(":") && name.contains(".") }

  private var cause: String { Self.cause(in: log) ?? describe(number) }

  private func logs(_ words: String...) -> Bool { log.contains { line in words.contains { line.contains($0) } } }

  var error: EnvironmentError {
    if isPCI { return pci }
    if logs("failed to parse device") {
      return EnvironmentError(
        "no driver for device '\(name)' is loaded",
        remedy:
          "use one of net_null, net_ring, net_tap, net_memif, net_pcap, net_vhost, net_af_xdp with a number behind "
          + "it, or load its driver with 'runtime: { eal: [-d, librte_net_NAME.so] }'")
    }
    let message = "device '\(description)' cannot be opened: \(cause)"
    if number == -EACCES || logs("Permission denied") || geteuid() != 0 && logs("Operation not permitted") {
      return EnvironmentError(
        message, remedy: "run as root, or: sudo setcap cap_net_admin,cap_net_raw,cap_dac_override+ep NFVRUN")
    }
    if logs("SIOCGIFINDEX", "No such device") {
      return EnvironmentError(message, remedy: "list interfaces with: ip link")
    }
    if logs("No such file or directory") {
      return EnvironmentError(message, remedy: "check the path; it starts from the folder that nfvrun runs in")
    }
    return EnvironmentError(message, remedy: "check the options behind '\(name)' against the driver's documentation")
  }

  private var pci: EnvironmentError {
    let path = "/sys/bus/pci/devices/\(name)"
    guard unsafe access(path, F_OK) == 0 else {
      return EnvironmentError("this host has no PCI device \(name)", remedy: "list devices with: dpdk-devbind.py -s")
    }
    guard let bound = Self.driver(of: path), ["vfio-pci", "uio_pci_generic", "igb_uio"].contains(bound) else {
      let holder = Self.driver(of: path).map { "is held by the kernel's driver \($0)" } ?? "has no driver"
      return EnvironmentError(
        "PCI device \(name) \(holder) (\(cause))", remedy: "bind it with: sudo dpdk-devbind.py -b vfio-pci \(name)")
    }
    return EnvironmentError(
      "PCI device \(name), bound to \(bound), cannot be opened: \(cause)",
      remedy: "run as root, or give your user the device's group under /dev/vfio and raise the limit of locked memory "
        + "(ulimit -l)")
  }

  private static func driver(of path: String) -> String? {
    guard let target = unsafe realpath(path + "/driver", nil) else { return nil }
    defer { unsafe free(target) }
    return unsafe String(cString: target).split(separator: "/").last.map(String.init)
  }
}
