public import Dataplane

/// EAL for tests: started once a process, without root, huge pages or NICs.
public enum TestEnvironment {
  private static let started: Result<Void, EnvironmentError> = {
    do throws(EnvironmentError) {
      try PacketEnvironment.start([
        "--no-huge", "--no-shconf", "--no-pci", "--no-telemetry", "-l", "0", "-m", "256", "--log-level",
        "lib.eal:error",
      ])
      return .success(())
    } catch {
      return .failure(error)
    }
  }()

  /// Starts EAL unless it runs already.
  public static func start() throws(EnvironmentError) { try started.get() }
}
