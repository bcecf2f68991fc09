public import Wire

extension MACAddress: TextSetting {
  public static var schema: ValueSchema { ValueSchema("MAC address", example: "02:00:00:00:00:01") }
  public static var placeholder: MACAddress { MACAddress(rawValue: 0x0200_0000_0001) }
}

extension IPv4Address: TextSetting {
  public static var schema: ValueSchema { ValueSchema("IPv4 address", example: "192.0.2.1") }
  public static var placeholder: IPv4Address { IPv4Address(192, 0, 2, 1) }
}

extension IPv6Address: TextSetting {
  public static var schema: ValueSchema { ValueSchema("IPv6 address", example: "2001:db8::1") }
  public static var placeholder: IPv6Address { IPv6Address(high: 0x2001_0DB8 << 32, low: 1) }
}

extension IPAddress: TextSetting {
  public static var schema: ValueSchema { ValueSchema("IP address", example: "192.0.2.1") }
  public static var placeholder: IPAddress { .v4(.placeholder) }
}

/// Words that may be nothing but digits, which editors take for numbers.
private let numberOrText = #""type": ["string", "integer"]"#

/// The error for text that is nearly a prefix: which part is wrong.
private func mismatch<T: SettingValue>(
  _ node: YAMLNode, _ type: T.Type, _ error: PrefixError, lengths: String
) -> ConfigurationError {
  switch error {
  case .notAnAddress: T.mismatch(node)
  case .lengthOutOfRange: node.error("\(node.typeName) has no valid length", "write \(lengths) behind the '/'")
  case .hostBitsSet(let prefix):
    node.error(
      "\(node.typeName) has bits set behind its length", "write \(prefix), or the address alone for just that one")
  }
}

extension IPv4Prefix: SettingValue {
  public static var schema: ValueSchema { ValueSchema("IPv4 prefix", example: "192.0.2.0/24") }
  public static var placeholder: IPv4Prefix { .all }
  public init(setting node: YAMLNode, context: SettingContext) throws(ConfigurationError) {
    do throws(PrefixError) {
      try self.init(parsing: node.scalar ?? "")
    } catch {
      throw Configuration.mismatch(node, Self.self, error, lengths: "0 to 32")
    }
  }
}

extension IPv6Prefix: SettingValue {
  public static var schema: ValueSchema { ValueSchema("IPv6 prefix", example: "2001:db8::/32") }
  public static var placeholder: IPv6Prefix { .all }
  public init(setting node: YAMLNode, context: SettingContext) throws(ConfigurationError) {
    do throws(PrefixError) {
      try self.init(parsing: node.scalar ?? "")
    } catch {
      throw Configuration.mismatch(node, Self.self, error, lengths: "0 to 128")
    }
  }
}

extension IPPrefix: SettingValue {
  public static var schema: ValueSchema { ValueSchema("IP prefix", example: "192.0.2.0/24") }
  public static var placeholder: IPPrefix { .v4(.all) }
  public init(setting node: YAMLNode, context: SettingContext) throws(ConfigurationError) {
    do throws(PrefixError) {
      try self.init(parsing: node.scalar ?? "")
    } catch {
      throw Configuration.mismatch(node, Self.self, error, lengths: "0 to 32 (IPv4) or 0 to 128 (IPv6)")
    }
  }
}

extension IPProtocol: TextSetting {
  public static var schema: ValueSchema { ValueSchema("IP protocol", example: "udp", jsonSchema: numberOrText) }
  public static var placeholder: IPProtocol { IPProtocol(rawValue: 17) }
}

extension EtherType: TextSetting {
  public static var schema: ValueSchema { ValueSchema("EtherType", example: "ipv4", jsonSchema: numberOrText) }
  public static var placeholder: EtherType { .ipv4 }
}

extension VLANIdentifier: TextSetting {
  public static var schema: ValueSchema {
    ValueSchema("VLAN identifier from 0 to 4095", example: "100", jsonSchema: numberOrText)
  }
  public static var placeholder: VLANIdentifier { VLANIdentifier(tagControl: 1) }
}

extension PortRange: TextSetting {
  public static var schema: ValueSchema {
    ValueSchema("port or range of ports", example: "1024-65535", jsonSchema: numberOrText)
  }
  public static var placeholder: PortRange { .all }
}

extension TCPFlags: TextSetting {
  public static var schema: ValueSchema { ValueSchema("TCP flags", example: "syn+ack") }
  public static var placeholder: TCPFlags { .syn }
}

extension DSCP: TextSetting {
  public static var schema: ValueSchema { ValueSchema("DSCP", example: "ef", jsonSchema: numberOrText) }
  public static var placeholder: DSCP { .default }
}

extension DataSize: TextSetting {
  public static var schema: ValueSchema { ValueSchema("size", example: "64KiB", jsonSchema: numberOrText) }
  public static var placeholder: DataSize { DataSize(bytes: 1) }
}

extension DataRate: TextSetting {
  public static var schema: ValueSchema { ValueSchema("data rate", example: "10Gbps") }
  public static var placeholder: DataRate { DataRate(bitsPerSecond: 1) }
}

extension PacketRate: TextSetting {
  public static var schema: ValueSchema { ValueSchema("packet rate", example: "1Mpps") }
  public static var placeholder: PacketRate { PacketRate(packetsPerSecond: 1) }
}

extension Duration: TextSetting {
  public static var schema: ValueSchema { ValueSchema("duration", example: "300s", jsonSchema: numberOrText) }
  public static var placeholder: Duration { .seconds(1) }
  public var settingText: String { compactText }
  public init?(settingText text: String) {
    guard let value = Duration(parsing: text) else { return nil }
    self = value
  }
}
