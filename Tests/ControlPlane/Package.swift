// swift-tools-version: 6.2
import PackageDescription

let package = Package(
  name: "ControlPlane",
  dependencies: [.package(name: "nfvrun", path: "../..")],
  targets: [
    .executableTarget(name: "FollowKernel", dependencies: [.product(name: "Netlink", package: "nfvrun")])
  ],
  swiftLanguageModes: [.v6]
)
