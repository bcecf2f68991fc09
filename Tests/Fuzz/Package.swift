// swift-tools-version: 6.2
import PackageDescription

/// libFuzzer brings the main function, and calls the target's `LLVMFuzzerTestOneInput`.
let fuzzed: [SwiftSetting] = [.unsafeFlags(["-parse-as-library", "-sanitize=fuzzer"])]
let linked: [LinkerSetting] = [.unsafeFlags(["-sanitize=fuzzer"])]

let package = Package(
  name: "Fuzz",
  dependencies: [.package(name: "nfvrun", path: "../..")],
  targets: [
    .executableTarget(
      name: "FuzzConfiguration",
      dependencies: [
        .product(name: "Commands", package: "nfvrun"), .product(name: "Elements", package: "nfvrun"),
      ], swiftSettings: fuzzed, linkerSettings: linked),
    .executableTarget(
      name: "FuzzGraph",
      dependencies: [.product(name: "Elements", package: "nfvrun"), .product(name: "TestKit", package: "nfvrun")],
      swiftSettings: fuzzed, linkerSettings: linked),
    .executableTarget(
      name: "FuzzPackets",
      dependencies: [.product(name: "Dataplane", package: "nfvrun"), .product(name: "Elements", package: "nfvrun")],
      swiftSettings: fuzzed, linkerSettings: linked),
  ],
  swiftLanguageModes: [.v6]
)
