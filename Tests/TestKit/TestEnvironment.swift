public import Dataplane
import Synchronization

/// EAL for tests: started once a process, without root, huge pages or NICs.
public enum TestEnvironment {
  private static let started: Result<Void, EnvironmentError> = {
    do throws(EnvironmentError) {
      try PacketEnvironment.start(
        PacketEnvironment.arguments(megabytes: 256, hugePages: false, pci: false, extra: []))
      return .success(())
    } catch {
      return .failure(error)
    }
  }()

  private static let count = Atomic(0)

  /// Starts EAL unless it runs already.
  public static func start() throws(EnvironmentError) { try started.get() }

  /// A number that no other call in this process gives, for names that must be unique.
  public static func uniqueNumber() -> Int { count.add(1, ordering: .relaxed).newValue }
}
