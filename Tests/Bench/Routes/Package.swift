// swift-tools-version: 6.2
import PackageDescription

#if arch(x86_64)
  let multiarch = "x86_64-linux-gnu"
#else
  let multiarch = "aarch64-linux-gnu"
#endif

let package = Package(
  name: "Routes",
  dependencies: [.package(name: "nfvrun", path: "../../..")],
  targets: [
    .target(
      name: "CFib",
      cSettings: [
        .unsafeFlags([
          "-I/usr/include/dpdk", "-I/usr/include/\(multiarch)/dpdk", "-include", "rte_config.h", "-O3",
          "-march=native",
        ])
      ], linkerSettings: ["eal", "fib", "rib"].map { .linkedLibrary("rte_\($0)") }),
    .executableTarget(name: "BenchRoutes", dependencies: ["CFib", .product(name: "Tables", package: "nfvrun")]),
  ],
  swiftLanguageModes: [.v6]
)
