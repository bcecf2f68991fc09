// swift-tools-version: 6.2
import PackageDescription

/// Every Swift target: memory safety is a promise of this project, and imports say what they expose.
let safe: [SwiftSetting] = [
  .strictMemorySafety(),
  .enableUpcomingFeature("ExistentialAny"),
  .enableUpcomingFeature("InternalImportsByDefault"),
  .enableExperimentalFeature("Lifetimes"),
]

#if arch(x86_64)
  let multiarch = "x86_64-linux-gnu"
#else
  let multiarch = "aarch64-linux-gnu"
#endif

/// DPDK's headers want these flags. They stay in the C target: its public header includes none of DPDK's.
/// `-march=native` stands last because whichever comes last wins, and `pkg-config` would say `corei7`.
let dpdkHeaders: [CSetting] = [
  .unsafeFlags([
    "-I/usr/include/dpdk", "-I/usr/include/\(multiarch)/dpdk", "-include", "rte_config.h", "-O3", "-march=native",
  ])
]

let package = Package(
  name: "nfvrun",
  products: [
    .library(name: "Dataplane", targets: ["Dataplane", "Wire", "Configuration", "Tables"]),
    .library(name: "Elements", targets: ["Elements"]),
    .library(name: "Tables", targets: ["Tables", "Wire"]),
    .library(name: "Netlink", targets: ["Netlink", "Wire"]),
    .library(name: "Commands", targets: ["Commands"]),
    .executable(name: "nfvrun", targets: ["nfvrun"]),
    .library(name: "TestKit", targets: ["TestKit"]),
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2")
  ],
  targets: [
    .systemLibrary(name: "CLibYAML", pkgConfig: "yaml-0.1", providers: [.apt(["libyaml-dev"])]),
    .target(
      name: "CDPDK", cSettings: dpdkHeaders,
      linkerSettings: ["acl", "eal", "ethdev", "mbuf", "mempool", "rcu", "ring"].map { .linkedLibrary("rte_\($0)") }
        + [.linkedLibrary("pcap")]),
    .target(name: "CPacketSocket", dependencies: ["CDPDK"]),
    .target(name: "Wire", swiftSettings: safe),
    .target(name: "Configuration", dependencies: ["CLibYAML", "Wire"], swiftSettings: safe),
    .systemLibrary(name: "CPcap", pkgConfig: "libpcap", providers: [.apt(["libpcap-dev"])]),
    .target(name: "CTables"),
    .target(name: "Tables", dependencies: ["CTables", "Wire"], swiftSettings: safe),
    .systemLibrary(name: "CNetlink", providers: [.apt(["linux-libc-dev"])]),
    .target(name: "Netlink", dependencies: ["CNetlink", "Wire"], swiftSettings: safe),
    .target(name: "Probes", dependencies: ["Wire"], swiftSettings: safe),
    .target(
      name: "Elements", dependencies: ["Dataplane", "Netlink", "Probes", "Tables", "Wire", "Configuration"],
      path: "Elements", swiftSettings: safe),
    .target(
      name: "Dataplane", dependencies: ["CDPDK", "CPacketSocket", "CPcap", "Wire", "Configuration"], swiftSettings: safe
    ),
    .target(name: "Assembly", dependencies: ["Dataplane", "Configuration"], swiftSettings: safe),
    .target(name: "Control", dependencies: ["Assembly", "Dataplane", "Configuration"], swiftSettings: safe),
    .target(
      name: "Commands",
      dependencies: [
        "Assembly", "Control", "Dataplane", "Configuration", "Elements",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ], swiftSettings: safe),
    .executableTarget(name: "nfvrun", dependencies: ["Commands"], swiftSettings: safe),
    .target(
      name: "TestKit", dependencies: ["Dataplane", "Wire", "Configuration"], path: "Tests/TestKit", swiftSettings: safe),
    .executableTarget(
      name: "TablesBench", dependencies: ["Tables", "Wire"], path: "Tests/Bench/Tables", swiftSettings: safe),
    .testTarget(name: "TablesTests", dependencies: ["Tables", "Wire"], swiftSettings: safe),
    .testTarget(
      name: "DataplaneTests", dependencies: ["Dataplane", "TestKit", "CDPDK", "CPcap"], swiftSettings: safe),
    .testTarget(name: "ElementsTests", dependencies: ["Elements", "Assembly", "TestKit"], swiftSettings: safe),
    .testTarget(name: "NetlinkTests", dependencies: ["CNetlink", "Netlink", "Wire"], swiftSettings: safe),
    .testTarget(name: "ProbesTests", dependencies: ["Probes", "Wire"], swiftSettings: safe),
    .testTarget(name: "WireTests", dependencies: ["Wire"], swiftSettings: safe),
    .testTarget(name: "ConfigurationTests", dependencies: ["Configuration"], swiftSettings: safe),
    .testTarget(
      name: "AssemblyTests", dependencies: ["Assembly", "Configuration", "Dataplane", "Elements"], swiftSettings: safe),
    .testTarget(
      name: "ControlTests", dependencies: ["Control", "Assembly", "Configuration", "Dataplane", "Elements", "TestKit"],
      swiftSettings: safe),
  ],
  swiftLanguageModes: [.v6]
)
