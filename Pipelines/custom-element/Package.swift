// swift-tools-version: 6.2
import PackageDescription

let package = Package(
  name: "Sieve",
  dependencies: [.package(name: "nfvrun", path: "../..")],
  targets: [
    .target(name: "Sieve", dependencies: [.product(name: "Dataplane", package: "nfvrun")]),
    .executableTarget(
      name: "sieverun",
      dependencies: ["Sieve", .product(name: "Commands", package: "nfvrun")]),
    .testTarget(
      name: "SieveTests", dependencies: ["Sieve", .product(name: "TestKit", package: "nfvrun")]),
  ]
)
