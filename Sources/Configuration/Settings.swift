public struct Settings {
  public init() {}
  public mutating func take<T>(_ key: String, default value: T, _ help: String = "") throws(ConfigurationError) -> T { value }
}
public struct ConfigurationError: Error {}
