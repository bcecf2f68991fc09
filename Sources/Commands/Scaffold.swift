/// A package with an element of the user's own. `Docs/WritingAnElement.md` walks through these files; a test holds the
/// two together, and builds them.
struct Scaffold {
  struct File {
    var path: String
    var text: String
  }

  let name: String
  let package: String

  /// The name of the program that knows the element.
  static func program(of name: String) -> String { "\(name.lowercased())run" }

  private var dependency: String {
    if let at = package.lastIndex(of: "@"), package.contains("://") {
      return #".package(url: "\#(package[..<at])", from: "\#(package[package.index(after: at)...])")"#
    }
    return package.contains("://")
      ? #".package(url: "\#(package)", branch: "main")"# : #".package(name: "nfvrun", path: "\#(package)")"#
  }

  private var packageIdentity: String {
    guard package.contains("://") else { return "nfvrun" }
    let last = package.split(separator: "/").last.map(String.init) ?? "nfvrun"
    let bare = last.split(separator: "@").first.map(String.init) ?? last
    return bare.hasSuffix(".git") ? String(bare.dropLast(4)) : bare
  }

  var files: [File] {
    [
      File(path: "Package.swift", text: manifest),
      File(path: "Sources/\(name)/\(name).swift", text: element),
      File(path: "Sources/\(Self.program(of: name))/main.swift", text: program),
      File(path: "Tests/\(name)Tests/\(name)Tests.swift", text: test),
      File(path: "pipeline.yaml", text: pipeline),
      File(path: ".gitignore", text: ".build*\nPackage.resolved\n"),
    ]
  }

  private var manifest: String {
    """
    // swift-tools-version: 6.2
    import PackageDescription

    let package = Package(
      name: "\(name)",
      dependencies: [\(dependency)],
      targets: [
        .target(name: "\(name)", dependencies: [.product(name: "Dataplane", package: "\(packageIdentity)")]),
        .executableTarget(
          name: "\(Self.program(of: name))",
          dependencies: ["\(name)", .product(name: "Commands", package: "\(packageIdentity)")]),
        .testTarget(
          name: "\(name)Tests", dependencies: ["\(name)", .product(name: "TestKit", package: "\(packageIdentity)")]),
      ]
    )

    """
  }

  private var element: String {
    """
    import Configuration
    import Dataplane

    /// Drops frames that are longer than allowed, and marks the others with their length.
    public struct \(name): PacketElement {
      /// Why packets are dropped.
      public enum Drop: UInt8, ElementDropReason {
        case longerThanAllowed
      }

      public static let about = ElementDescription("Drops frames that are longer than allowed.")

      private let longest: Int

      public init(_ settings: inout Settings) throws(ConfigurationError) {
        longest = try settings.take("longest", default: 1514, in: 60...9216, "longest frame in bytes", shorthand: true)
      }

      public mutating func process(_ packet: inout Packet) -> Verdict<SoleOutput> {
        guard packet.length <= longest else { return .drop(Drop.longerThanAllowed) }
        packet.mark = UInt32(packet.length)
        return .forward(.output)
      }
    }

    """
  }

  private var program: String {
    """
    import Commands
    import Dataplane
    import \(name)

    Program.main(elements: [ElementKind(\(name).self)])

    """
  }

  private var test: String {
    """
    import TestKit
    import Testing

    @testable import \(name)

    @Test func framesLongerThanAllowedAreDropped() throws {
      let element = try ElementUnderTest(\(name).self, settings: "longest: 100")
      let short = Frame.ethernet().ipv4().udp().payload(count: 10)
      let long = Frame.ethernet().ipv4().udp().payload(count: 100)
      let result = element.push([short, long])
      #expect(result["output"].map(\\.bytes) == [short.bytes])
      #expect(result["output"].first?.mark == UInt32(short.length))
      #expect(result.drops == ["longerThanAllowed": 1])
    }

    """
  }

  private var pipeline: String {
    """
    nfv: 1
    ports:
      lan: { traffic: { imix: yes, count: 1200, rate: 100kpps } }
      wan: null
    elements:
      own: { \(name): 600 }
    graph:
      - lan -> own -> wan

    """
  }
}
