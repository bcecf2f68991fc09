import ArgumentParser
import Assembly
import Glibc

struct New: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Begin something of your own.", subcommands: [NewElement.self])
}

struct NewElement: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "element",
    abstract: "Make a package with an element of your own, its test, and a program that runs it.",
    discussion: "The package builds and its test passes as it is made; go on from there.")

  @Argument(help: "The element's name, such as Sieve.") var name: String
  @Option(help: ArgumentHelp("Folder to make; the name when left out.", valueName: "folder")) var folder: String?
  @Option(
    help: ArgumentHelp(
      "Where nfvrun's package is: a folder, or a URL and a version as URL@1.2.3.", valueName: "package"))
  var package: String?

  func validate() throws {
    guard name.first?.isUppercase == true, name.allSatisfy({ $0.isASCII && ($0.isLetter || $0.isNumber) }) else {
      throw ValidationError("an element's name begins with a capital and has letters and digits only")
    }
    if Program.elements.contains(where: { $0.name == name }) {
      throw ValidationError("'\(name)' is an element of the library; choose another name")
    }
  }

  func run() throws {
    let home = unsafe getenv("NFVRUN_HOME").map { unsafe String(cString: $0) }
    guard let package = package ?? home else {
      Console.error("nfvrun: error: where nfvrun's package is, is not known; give it with --package")
      Glibc.exit(1)
    }
    let target = folder ?? name
    guard unsafe access(target, F_OK) != 0 else {
      Console.error("nfvrun: error: '\(target)' is there already; give another folder with --folder")
      Glibc.exit(1)
    }
    let files = Scaffold(name: name, package: package).files
    for file in files {
      let path = "\(target)/\(file.path)"
      makeFolders(of: path)
      if let problem = Console.save(file.text, to: path) {
        Console.error("nfvrun: error: \(problem)")
        Glibc.exit(2)
      }
    }
    Console.print(files.map { "\(target)/\($0.path)" }.joined(separator: "\n"))
    Console.print("\nNow: cd \(target) && swift test && swift run \(Scaffold.program(of: name)) pipeline.yaml")
  }

  private func makeFolders(of path: String) {
    for (index, character) in zip(path.indices, path) where character == "/" && index != path.startIndex {
      unsafe mkdir(String(path[..<index]), 0o755)
    }
  }
}
